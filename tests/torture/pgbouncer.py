"""A bank behind pgbouncer in transaction mode: each transaction has a session of the server's that somebody else had
before, and there are fewer of them than the bank has connections. Meanwhile pgbouncer is killed and started again.

Proves that the bank migrates, books, signs people in, replays keys, writes events, sends them to webhooks, and is
examined through it, with the settings that docs/OPERATING.md names; and that transactions which write bring their
settings along: a stranger's lock is not waited for.

Control: a bank that keeps its prepared statements, as it does by default, must be found out by its answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import shutil
import subprocess
import time

import journal
from bank import Bank, Broken, Cluster, PostgresDatabase, free_port, stopped_in_the_end
from context import Run
from load import Load
from receiver import Receiver

QUICK_KILLS, LONG_KILLS = 2, 50
CONNECTIONS = 12
# Between two kills, in seconds.
SHORTEST, LONGEST = 0.5, 1.5
# Sessions that pgbouncer has for a database: fewer than the bank has connections, so that they are shared.
SESSIONS = 4
OPENS_WITHIN_SECONDS = 10
SETTINGS = {"COFFER_STATEMENT_CACHE": "0", "COFFER_MIGRATION_LOCK": "false"}


class Pgbouncer:
    """In front of a cluster, on a port of the loopback address."""

    def __init__(self, directory: pathlib.Path, cluster: Cluster) -> None:
        found = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/bin:/usr/bin")
        assert found, "pgbouncer is not installed"
        self.program, self.directory, self.cluster, self.port = found, directory, cluster, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir()
        (directory / "users").write_text('"postgres" ""\n')
        (directory / "pgbouncer.ini").write_text(f"""
            [databases]
            * = host={cluster.directory}
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {self.port}
            unix_socket_dir =
            auth_type = trust
            auth_file = {directory / "users"}
            admin_users = postgres
            pool_mode = transaction
            default_pool_size = {SESSIONS}
            logfile = {directory / "log"}
        """.replace("            ", ""))
        if cluster.user:
            for path in (directory, *directory.iterdir()):
                shutil.chown(path, cluster.user, cluster.user)

    def url(self, database: str) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def start(self) -> None:
        self.process = subprocess.Popen([self.program, "-q", self.directory / "pgbouncer.ini"], cwd=self.directory,
                                        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=self.cluster.user,
                                        group=self.cluster.user)
        deadline = time.monotonic() + OPENS_WITHIN_SECONDS
        while True:
            with contextlib.suppress(Broken):
                self.ask("show version")
                return
            if time.monotonic() > deadline:
                raise Broken(f"pgbouncer does not start: {(self.directory / 'log').read_text()[-2_000:]}")
            time.sleep(0.02)

    def ask(self, command: str) -> list[list[str]]:
        """A command of its console."""
        psql = [str(self.cluster.programs / "psql"), "-XqAt", "-F", "\t", "-h", "127.0.0.1", "-p", str(self.port), "-U",
                "postgres", "-d", "pgbouncer", "-c", command]
        ended = subprocess.run(psql, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise Broken(f"{command}: {ended.stderr}")
        return [line.split("\t") for line in ended.stdout.splitlines()]

    def connections(self, database: str) -> tuple[int, int]:
        """Of clients, and to the server, for this database."""
        clients = sum(row[2] == database for row in self.ask("show clients"))
        return clients, sum(row[2] == database for row in self.ask("show servers"))

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.kill()


async def attack(run: Run) -> str:
    cluster = run.shared.postgres()
    pgbouncer = Pgbouncer(run.directory / "pgbouncer", cluster)
    with stopped_in_the_end(pgbouncer):
        pgbouncer.start()
        told = await survives(run, pgbouncer)
        return f"{told}; control: {await kept_statements_are_found(run, pgbouncer)}"


def behind(pgbouncer: Pgbouncer, name: str) -> PostgresDatabase:
    """A new database, which the bank reaches by pgbouncer alone."""
    pgbouncer.cluster.create(name)
    return PostgresDatabase(pgbouncer.cluster, name, pgbouncer.url(name))


async def survives(run: Run, pgbouncer: Pgbouncer) -> str:
    kills = run.choose(QUICK_KILLS, LONG_KILLS)
    database = behind(pgbouncer, "behind")
    receiver, opened = Receiver(), []
    bank = run.bank(database, "bank", COFFER_WEBHOOK_NETWORKS="127.0.0.0/8", **SETTINGS)
    with stopped_in_the_end(bank, receiver):
        await bank.start()
        load = run.load(lambda: bank, "bank")
        await load.populate()
        await receiver.start()
        await receiver.subscribe(bank, "account.opened")
        async with load.running(CONNECTIONS):
            for _ in range(kills):
                await asyncio.sleep(run.rng.uniform(SHORTEST, LONGEST))
                clients, sessions = await asyncio.to_thread(pgbouncer.connections, database.database)
                if not sessions <= SESSIONS < clients:
                    raise Broken(f"{clients} connections have {sessions} sessions: they share none")
                opened.append(await opens_an_account(bank, load))
                await asyncio.to_thread(pgbouncer.kill)
                await asyncio.to_thread(pgbouncer.start)
                await load.acknowledges_more()
        await bank.becomes_ready()
        if load.impolite:
            raise Broken(f"{len(load.impolite)} answers are wrong: " + "; ".join(load.impolite[:3]))
        await replays_a_key(load, bank)
        await refuses_what_a_stranger_has_locked(load, bank, database)
        listed = await accounts_in_events(bank, load)
        if listed != opened:
            raise Broken(f"events tell of {listed}, and {opened} were opened")
        await receiver.hears_of(opened)
        # Through pgbouncer, as the bank itself.
        journal.examine(load.journal, bank, run.rng)
        await bank.terminate()
    return (f"{kills} kills of pgbouncer, {clients} connections on {sessions} sessions; {len(opened)} messages to a "
            f"webhook; {load.journal.summary()}")


async def opens_an_account(bank: Bank, load: Load) -> str:
    opened = await bank.expect("POST", "/accounts", {}, load.customers[0].token)
    return str(opened["account_number"])


async def accounts_in_events(bank: Bank, load: Load) -> list[str]:
    """Of all pages: a page looks through so many events, and the customer's movements are among them."""
    numbers: list[str] = []
    path = "/events?type=account.opened"
    while True:
        page = await bank.expect("GET", path, token=load.customers[0].token)
        numbers.extend(str(event["account_number"]) for event in page["data"])
        if not page["has_more"]:
            return numbers
        path = f"/events?type=account.opened&after={page['last_id']}"


async def replays_a_key(load: Load, bank: Bank) -> None:
    """A movement that is sent again with its key is answered again, and is the same one."""
    movement = next(movement for movement in load.journal.movements if movement.key and movement.told == "ok")
    token = next(account.owner.token for account in load.accounts if account.number == movement.account)
    answer = await bank.call("POST", movement.path(), movement.body(), token, movement.key)
    if answer.status != 201 or answer.json()["id"] != movement.id:
        raise Broken(f"{movement.name} again: {answer.status} {answer.body.decode()}")


async def refuses_what_a_stranger_has_locked(load: Load, bank: Bank, database: PostgresDatabase) -> None:
    """The transaction's own `lock_timeout` ends it, long before the bank gives up waiting for an answer."""
    account = load.accounts[0]
    lock = f"begin; select 1 from accounts where account_number = {int(account.number)} for update; select pg_sleep(4)"
    stranger = asyncio.create_task(asyncio.to_thread(database.cluster.psql, lock, database.database))
    await asyncio.sleep(0.5)
    began = time.monotonic()
    answer = await bank.call("POST", "/deposit", {"account_number": account.number, "amount": "1.00"}, account.owner.token)
    took = time.monotonic() - began
    await stranger
    if answer.status != 503 or took > 3:
        raise Broken(f"an account that a stranger has locked: {answer.status} after {took:.1f} s")


async def kept_statements_are_found(run: Run, pgbouncer: Pgbouncer) -> str:
    database = behind(pgbouncer, "careless")
    bank = run.bank(database, "bank-careless", COFFER_MIGRATION_LOCK="false")
    with stopped_in_the_end(bank):
        try:
            await bank.start()
            load = run.load(lambda: bank, "careless")
            await load.populate()
            await load.run_for(3, CONNECTIONS)
        except Broken as error:
            return f"a bank that keeps its statements does not work ({str(error).splitlines()[0][:60]})"
        counts = load.journal.counts()
    if counts["refused"] + counts["unknown"] <= counts["ok"] / 10:
        raise Broken(f"a control has failed: a bank that keeps its statements works: {load.journal.summary()}")
    return f"a bank that keeps its statements refuses {counts['refused']:,} movements"
