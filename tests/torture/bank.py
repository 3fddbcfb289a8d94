"""Banks, their databases, and PostgreSQL clusters: started, killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from typing import Any, Protocol

from wire import Answer, Connection, request

PASSWORD = "correct horse battery staple"
OPENS_WITHIN_SECONDS = 60
# The limits are not what is put to the test, and a load client meets all of them.
UNLIMITED = {f"COFFER_{name}": "0" for name in
             ("CALLER_RATE", "ADDRESS_RATE", "MOVEMENT_RATE", "MOVEMENTS_PER_DAY", "ACCOUNTS_PER_DAY",
              "CHANGES_PER_DAY", "SIGN_UPS_PER_HOUR", "CONNECTIONS_PER_NETWORK", "DISK_RESERVE")}


class Broken(Exception):
    """Something that must hold does not."""


class SqliteFile:
    """Books in a file."""

    name = "SQLite"

    def __init__(self, file: pathlib.Path) -> None:
        self.file = file
        self.url = f"sqlite://{file}"

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of one snapshot."""
        with contextlib.closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(sql).fetchall()

    def copy(self, name: str) -> SqliteFile:
        """The books as they are now, while nobody has them open."""
        copied = self.file.with_name(name)
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{self.file}{suffix}", f"{copied}{suffix}")
        return SqliteFile(copied)


class PostgresDatabase:
    """Books in a database of a cluster. A bank reaches it by another `url` where something stands between them."""

    name = "PostgreSQL"

    def __init__(self, cluster: Cluster, database: str, url: str = "") -> None:
        self.cluster, self.database = cluster, database
        self.url = url or f"postgres:///{database}?host={cluster.directory}&user=postgres"

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of one snapshot; numbers as numbers, all else as text."""
        return [tuple(int(field) if field.lstrip("-").isdigit() else field for field in row)
                for row in csv.reader(io.StringIO(self.cluster.psql(sql, self.database)))]

    def copy(self, name: str) -> PostgresDatabase:
        """The books as they are now, while nobody has them open."""
        self.cluster.psql(f"create database {name} template {self.database}")
        return PostgresDatabase(self.cluster, name)


Database = SqliteFile | PostgresDatabase


class Cluster:
    """A throw-away PostgreSQL cluster that listens on a socket in its directory.

    Killed processes leave what they have written to the system, so by default it does without fsync: only a power cut
    could tell the difference.
    """

    def __init__(self, directory: pathlib.Path, *options: str) -> None:
        found = shutil.which("initdb") or max(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=version_of)
        self.programs = pathlib.Path(found).resolve().parent
        self.directory, self.data = directory, directory / "data"
        # PostgreSQL refuses to run as root, so root hands it to another user.
        self.user = "postgres" if os.getuid() == 0 else None
        self.options = ["fsync=off", "listen_addresses=", "max_connections=100", *options]
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir()
        if self.user:
            shutil.chown(directory, self.user, self.user)

    def make(self, template: pathlib.Path | None = None) -> Cluster:
        """Empty; a copy of a template is made more quickly."""
        if template:
            self.run("cp", "-a", template, self.data)
        else:
            self.run(self.programs / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8")
        return self

    def follow(self, primary: Cluster) -> Cluster:
        """As a standby, made of a backup."""
        self.run(self.programs / "pg_basebackup", "-h", primary.directory, "-U", "postgres", "-D", self.data,
                 "-R", "-X", "stream", "-c", "fast", "--no-sync")
        return self

    def run(self, program: pathlib.Path | str, *arguments: pathlib.Path | str) -> str:
        command = [str(program), *map(str, arguments)]
        ended = subprocess.run(command, cwd=self.directory, capture_output=True, text=True, check=False, user=self.user,
                               group=self.user)
        if ended.returncode:
            raise Broken(f"{' '.join(command)}: {ended.stdout}{ended.stderr}")
        return ended.stdout

    def start(self) -> None:
        """As our own child: who else waits for it when it is killed nobody knows, and until then its lock counts."""
        command = [str(self.programs / "postgres"), "-D", str(self.data), "-k", str(self.directory)]
        command += [word for option in self.options for word in ("-c", option)]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, user=self.user, group=self.user)
        deadline = time.monotonic() + OPENS_WITHIN_SECONDS
        ready = [str(self.programs / "pg_isready"), "-q", "-h", str(self.directory)]
        while subprocess.run(ready, check=False).returncode:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Broken(f"PostgreSQL does not start: {(self.directory / 'log').read_text()[-2_000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()

    def promote(self) -> None:
        self.run(self.programs / "pg_ctl", "-D", self.data, "-w", "promote")

    def kill(self) -> None:
        """Kills every process of the cluster by SIGKILL, the postmaster first, so that it tidies up nothing."""
        assert self.process is not None
        children = children_of(self.process.pid)
        self.process.kill()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        deadline = time.monotonic() + 10
        while any(is_alive(pid) for pid in children):
            if time.monotonic() > deadline:
                raise Broken("PostgreSQL does not die")
            time.sleep(0.005)

    def psql(self, sql: str, database: str = "postgres") -> str:
        """The rows as CSV."""
        command = [str(self.programs / "psql"), "-XqAt", "--csv", "-v", "ON_ERROR_STOP=1", "-h", str(self.directory),
                   "-U", "postgres", "-d", database]
        ended = subprocess.run(command, input=sql, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise Broken(f"psql: {ended.stderr}")
        return ended.stdout

    def create(self, database: str) -> PostgresDatabase:
        self.psql(f"create database {database}")
        return PostgresDatabase(self, database)


def free_port() -> int:
    """A port of the loopback address that nobody uses just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def version_of(initdb: pathlib.Path) -> float:
    return float(initdb.parent.parent.name)


def is_alive(pid: int) -> bool:
    """Whether it runs; one that is dead and not yet waited for does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def children_of(parent: int) -> list[int]:
    children = []
    for process in pathlib.Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                if int((process / "stat").read_text().rsplit(")", 1)[1].split()[1]) == parent:
                    children.append(int(process.name))
    return children


class Service:
    """Whatever answers as a bank does, on a port of the loopback address."""

    port = 0

    async def connect(self) -> Connection:
        return await Connection.open("127.0.0.1", self.port)

    async def opens(self, seconds: float = 10) -> None:
        """Waits until somebody listens. Raises OSError if nobody does."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                (await self.connect()).abort()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.02)

    async def call(self, method: str, path: str, body: Any = None, token: str = "", key: str | None = None,
                   **headers: str) -> Answer:
        """One request on a connection of its own."""
        connection = await self.connect()
        try:
            return await connection.ask(request(method, path, body, token, key, **headers))
        finally:
            connection.abort()

    async def expect(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        """The body of an answer that is good."""
        answer = await self.call(method, path, body, token)
        if answer.status >= 300:
            raise Broken(f"{method} {path}: {answer.status} {answer.body.decode()}")
        return answer.json()

    async def becomes_ready(self, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while (answer := await self.call("GET", "/readyz")).status != 200:
            if time.monotonic() > deadline:
                raise Broken(f"the bank is not ready after {seconds} s: {answer.body.decode()}")
            await asyncio.sleep(0.05)

    async def sign_in(self, email: str) -> str:
        """Returns an access token, for 15 minutes."""
        return str((await self.expect("POST", "/login", {"email": email, "password": PASSWORD}))["access_token"])


class Bank(Service):
    """The binary as a process of its own, on a port that it chooses anew at each start."""

    def __init__(self, binary: pathlib.Path, database: Database, directory: pathlib.Path, **settings: str) -> None:
        self.binary, self.database, self.directory = binary, database, directory
        directory.mkdir(exist_ok=True)
        self.environment = {"PATH": os.environ["PATH"], "DATABASE_URL": database.url, "COFFER_DATA_DIR": str(directory),
                            "COFFER_LISTEN": "127.0.0.1:0", "COFFER_LOG": "warn,sqlx=error", **UNLIMITED, **settings}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def spawn(self) -> None:
        with (self.directory / "log").open("ab") as log, (self.directory / "banner").open("wb") as banner:
            self.process = subprocess.Popen([self.binary], env=self.environment, stdin=subprocess.DEVNULL,
                                            stdout=banner, stderr=log, cwd=self.directory)

    async def start(self) -> None:
        self.spawn()
        await self.opened()

    async def opened(self) -> None:
        """Waits for its banner."""
        assert self.process is not None
        deadline = time.monotonic() + OPENS_WITHIN_SECONDS
        while time.monotonic() < deadline:
            for line in (self.directory / "banner").read_text().splitlines():
                if line.strip().startswith("API"):
                    self.port = int(line.rsplit(":", 1)[1])
                    return
            if self.process.poll() is not None:
                break
            await asyncio.sleep(0.005)
        raise Broken(f"the bank does not open: {self.end_of_log()}")

    def end_of_log(self) -> str:
        return (self.directory / "log").read_text()[-1_500:]

    def kill(self) -> None:
        """By SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def terminate(self) -> tuple[int, float]:
        """By SIGTERM. Returns its exit code, and the seconds until its end."""
        assert self.process is not None
        began = time.monotonic()
        self.process.terminate()
        code = await asyncio.to_thread(self.process.wait, 60)
        return code, time.monotonic() - began

    def stop(self) -> None:
        """However it is."""
        if self.process and self.process.poll() is None:
            self.kill()

    async def create_admin(self, email: str) -> str:
        """An admin, made at the command line; returns the access token."""
        ended = subprocess.run([self.binary, "admin", "create", email], env=self.environment, input=PASSWORD.encode(),
                               capture_output=True, check=False)
        if ended.returncode:
            raise Broken(f"coffer admin create: {ended.stderr.decode()}")
        return await self.sign_in(email)

    def doctor(self, database: Database | None = None) -> None:
        """Raises Broken unless the books are right."""
        environment = {**self.environment, "DATABASE_URL": (database or self.database).url}
        environment.pop("LD_PRELOAD", None)
        ended = subprocess.run([self.binary, "doctor"], env=environment, capture_output=True, text=True, check=False)
        if ended.returncode:
            bad = [line for line in ended.stdout.splitlines() if not line.startswith("ok")]
            raise Broken("coffer doctor: " + "\n".join([*bad, ended.stderr]))

    def resident_kib(self) -> int:
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class Stoppable(Protocol):
    def stop(self) -> None: ...


@contextlib.contextmanager
def stopped_in_the_end(*things: Stoppable) -> Iterator[None]:
    """Nothing outlives a fault, however it ends."""
    try:
        yield
    finally:
        for thing in things:
            thing.stop()
