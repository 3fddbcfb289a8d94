"""What a fault gets: the binary, a directory, randomness with a seed, and databases that end with the run."""

from __future__ import annotations

import pathlib
import random
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from bank import Bank, Broken, Cluster, Database, PostgresDatabase, Service, SqliteFile
from load import Load

T = TypeVar("T")
HERE = pathlib.Path(__file__).resolve().parent


class Shared:
    """What all faults of a run use: the binary, and a PostgreSQL cluster for those that do it no harm."""

    def __init__(self, binary: pathlib.Path, directory: pathlib.Path, older: pathlib.Path | None = None) -> None:
        self.binary, self.directory, self.older = binary, directory, older
        # PostgreSQL's user goes through it.
        directory.chmod(0o755)
        self.cluster: Cluster | None = None

    def postgres(self) -> Cluster:
        """Started by whoever is the first to need it."""
        if self.cluster is None:
            self.cluster = Cluster(self.directory / "postgres").make(self.template())
            self.cluster.start()
        return self.cluster

    def template(self) -> pathlib.Path:
        """The data directory of a cluster that never ran: to copy it is quicker than to make another."""
        made = self.directory / "template"
        if not made.exists():
            Cluster(made).make()
        return made / "data"

    def stop(self) -> None:
        if self.cluster:
            self.cluster.stop()


class Run:
    """One fault's run."""

    def __init__(self, shared: Shared, name: str, seed: int, is_long: bool) -> None:
        self.shared, self.name, self.is_long = shared, name, is_long
        self.seed = f"{name}-{seed}"
        self.rng = random.Random(self.seed)
        self.directory = shared.directory / name
        self.directory.mkdir()

    def choose(self, quick: T, long: T) -> T:
        return long if self.is_long else quick

    def sqlite(self, name: str = "sqlite") -> SqliteFile:
        directory = self.directory / name
        directory.mkdir()
        return SqliteFile(directory / "coffer.db")

    def postgres(self) -> PostgresDatabase:
        return self.shared.postgres().create(self.name)

    def databases(self) -> list[Database]:
        """One of each kind."""
        return [self.sqlite(), self.postgres()]

    async def on_each(self, times: int, on: Callable[[Run, Database, int], Awaitable[str]]) -> str:
        """What is told of each kind of database, which gets its share of the times."""
        databases = self.databases()
        return "; ".join([await on(self, database, times // len(databases)) for database in databases])

    def cluster(self, name: str, *options: str) -> Cluster:
        """A cluster of its own, not started."""
        return Cluster(self.directory / name, *options).make(self.shared.template())

    def bank(self, database: Database, name: str = "", **settings: str) -> Bank:
        return Bank(self.shared.binary, database, self.directory / (name or f"bank-{database.name}"), **settings)

    def load(self, bank: Callable[[], Service], name: str, **options: Any) -> Load:
        return Load(bank, self.directory / f"journal-{name}", f"{self.seed}-{name}", **options)

    def library(self, source: pathlib.Path) -> pathlib.Path:
        """A library to preload, compiled."""
        library = self.directory / f"{source.stem}.so"
        command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-o", str(library), str(source), "-ldl", "-lpthread"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise Broken(f"{source.name} does not compile: {ended.stderr}")
        return library

    def remove(self) -> None:
        shutil.rmtree(self.directory)
