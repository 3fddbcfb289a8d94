"""Upgrades from every schema that there ever was, on SQLite and on PostgreSQL: what the first k migrations make, for
each k.

Each such database gets the rows of a bank of today that it has tables and columns for: customers who can sign in,
accounts and their movements, with true hashes. The binary opens it, and with it brings the schema up to date. Proves
that it does; that nothing is lost by it, and the doctor is content; and that the customers move money afterwards. That
the files of migrations stay as they are is proved by tests/bank/migrations.rs.

Control: a database that lacks an entry must be told from a whole one after its upgrade.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import pathlib
import sqlite3
from typing import Any

import journal
from bank import Bank, Broken, Cluster, Database, PostgresDatabase, SqliteFile, stopped_in_the_end
from context import HERE, Run
from load import Load

MIGRATIONS = HERE.parent.parent / "migrations"
# From the third on, a schema has all that moves money. The first two are what a first start leaves that was cut short.
FIRST_WITH_BOOKS = 3
QUICK_ON_POSTGRES, CONNECTIONS = 4, 4
# Where sqlx lists the migrations that a database has, and how it makes that.
SQLX_TABLE = "_sqlx_migrations"
TABLE_OF_SQLX = f"""create table {SQLX_TABLE} (version bigint primary key, description text not null,
    installed_on timestamptz not null default now(), success boolean not null, checksum bytea not null,
    execution_time bigint not null);"""


def migrations(dialect: str) -> list[pathlib.Path]:
    return sorted((MIGRATIONS / dialect).glob("*.sql"))


async def attack(run: Run) -> str:
    count = len(migrations("sqlite"))
    on_postgres = run.choose(sorted(run.rng.sample(range(1, count + 1), QUICK_ON_POSTGRES)), list(range(1, count + 1)))
    sqlite, postgres = SqliteSource(run), PostgresSource(run)
    for source, schemas in ((sqlite, range(1, count + 1)), (postgres, on_postgres)):
        await source.fill()
        for schema in schemas:
            await upgrade(run, source, schema)
        await missing_entry_is_found(run, source)
    return (f"{count} schemas on SQLite, {len(on_postgres)} on PostgreSQL; {sqlite.load.journal.summary()} on either; "
            "control: a missing entry is found")


class Source:
    """A bank of today, whose rows older schemas get."""

    dialect: str

    def __init__(self, run: Run, database: Database) -> None:
        self.run = run
        self.bank = run.bank(database, f"source-{self.dialect}")
        # References are of a later schema than the first.
        self.load = run.load(lambda: self.bank, self.dialect, referenced_share=0)

    async def fill(self) -> None:
        with stopped_in_the_end(self.bank):
            await self.bank.start()
            await self.load.populate(customers=1)
            async with self.load.running(CONNECTIONS):
                await self.load.acknowledges_more(100)
            await self.bank.terminate()
        journal.examine(self.load.journal, self.bank, self.run.rng)

    def older(self, schema: int, name: str) -> Database:
        """A database with the first `schema` migrations, and the rows that fit."""
        raise NotImplementedError

    def forget_an_entry(self, database: Database) -> None:
        raise NotImplementedError


class SqliteSource(Source):
    dialect = "sqlite"

    def __init__(self, run: Run) -> None:
        self.database = run.sqlite("today")
        super().__init__(run, self.database)

    def older(self, schema: int, name: str) -> SqliteFile:
        database = self.run.sqlite(name)
        with contextlib.closing(sqlite3.connect(database.file)) as connection:
            # Nobody cuts the power here.
            connection.execute("pragma synchronous = off")
            for file in migrations(self.dialect)[:schema]:
                connection.executescript(file.read_text())
            connection.execute("attach ? as today", (str(self.database.file),))
            of_sqlx = connection.execute("select sql from today.sqlite_schema where name = ?", (SQLX_TABLE,))
            connection.execute(of_sqlx.fetchone()[0])
            rows_of_sqlx = f"select * from today.{SQLX_TABLE} where version <= {schema}"
            connection.execute(f"insert into {SQLX_TABLE} {rows_of_sqlx}")
            # Rows are there already that migrations have put there, and triggers would keep them.
            triggers = connection.execute("select name, sql from main.sqlite_schema where type = 'trigger'").fetchall()
            for trigger, _ in triggers:
                connection.execute(f"drop trigger {trigger}")
            tables = connection.execute("select name from main.sqlite_schema where type = 'table' and name <> ?",
                                        (SQLX_TABLE,)).fetchall()
            for (table,) in tables:
                here, there = (columns_of(connection, of, table) for of in ("main", "today"))
                columns = ", ".join(column for column in here if column in there)
                connection.execute(f"delete from {table}")
                connection.execute(f"insert into main.{table} ({columns}) select {columns} from today.{table}")
            for _, trigger in triggers:
                connection.execute(trigger)
            connection.commit()
        return database

    def forget_an_entry(self, database: Database) -> None:
        assert isinstance(database, SqliteFile)
        with contextlib.closing(sqlite3.connect(database.file)) as connection:
            connection.execute("drop trigger entries_refuse_delete")
            connection.execute("delete from entries where position = (select max(position) from entries)")
            connection.commit()


def columns_of(connection: sqlite3.Connection, schema: str, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"pragma {schema}.table_info({table})").fetchall()]


class PostgresSource(Source):
    dialect = "postgres"

    def __init__(self, run: Run) -> None:
        self.cluster: Cluster = run.shared.postgres()
        self.database = run.postgres()
        self.rows: dict[str, list[dict[str, Any]]] = {}
        super().__init__(run, self.database)

    async def fill(self) -> None:
        await super().fill()
        for table in columns_of_tables(self.database):
            rows = self.cluster.psql(f"select row_to_json(rows) from {table} rows", self.database.database)
            self.rows[table] = json_rows(rows)

    def older(self, schema: int, name: str) -> PostgresDatabase:
        database = self.cluster.create(f"{self.run.name}_{name}")
        script = [file.read_text() for file in migrations(self.dialect)[:schema]]
        self.cluster.psql("\n".join([*script, TABLE_OF_SQLX]), database.database)
        tables = columns_of_tables(database)
        # Rows are there already that migrations have put there, and triggers would refuse some of the others.
        inserts = ["set session_replication_role = replica", *(f"delete from {table}" for table in tables)]
        for table, columns in tables.items():
            rows = [row for row in self.rows.get(table, []) if table != SQLX_TABLE or row["version"] <= schema]
            inserts += [insert(table, columns, row) for row in rows]
        self.cluster.psql(";\n".join(inserts), database.database)
        return database

    def forget_an_entry(self, database: Database) -> None:
        assert isinstance(database, PostgresDatabase)
        last = "select account_number, max(sequence) from entries group by account_number limit 1"
        self.cluster.psql("set session_replication_role = replica; "
                          f"delete from entries where (account_number, sequence) = ({last})", database.database)


def columns_of_tables(database: PostgresDatabase) -> dict[str, list[str]]:
    sql = """select table_name, column_name from information_schema.columns join pg_tables on tablename = table_name
             where table_schema = 'public' and schemaname = 'public'"""
    columns: dict[str, list[str]] = {}
    for table, column in database.query(sql):
        columns.setdefault(table, []).append(column)
    return columns


def insert(table: str, columns: list[str], row: dict[str, Any]) -> str:
    """Of those columns that are there today, too."""
    both = [column for column in columns if column in row]
    return f"insert into {table} ({', '.join(both)}) values ({', '.join(literal(row[column]) for column in both)})"


def json_rows(csv_rows: str) -> list[dict[str, Any]]:
    """Of the CSV that psql writes: a field that has quotation marks is within quotation marks, and they are doubled."""
    return [json.loads(line[1:-1].replace('""', '"')) for line in csv_rows.splitlines()]


def literal(value: Any) -> str:
    """For a column of any type, which PostgreSQL makes of the text."""
    if value is None:
        return "null"
    text = value if isinstance(value, str) else json.dumps(value)
    return "'" + text.replace("'", "''") + "'"


def upgraded(run: Run, source: Source, database: Database, name: str) -> Bank:
    """A bank on it, with the secrets of the source."""
    secrets = {f"COFFER_{secret.upper()}": (source.bank.directory / secret).read_text().strip()
               for secret in ("jwt_secret", "second_factor_key")}
    return run.bank(database, f"bank-{name}", **secrets)


async def upgrade(run: Run, source: Source, schema: int) -> None:
    name = f"{source.dialect}{schema}"
    database = source.older(schema, name)
    bank = upgraded(run, source, database, name)
    with stopped_in_the_end(bank):
        await bank.start()
        if schema >= FIRST_WITH_BOOKS:
            journal.compare(source.load.journal, database)
            await moves_money(run, source, bank, name)
        await bank.terminate()
    bank.doctor()


async def moves_money(run: Run, source: Source, bank: Bank, name: str) -> None:
    """The customers of before sign in and go on."""
    more: Load = run.load(lambda: bank, name)
    more.customers = source.load.customers
    for customer in more.customers:
        await more.sign_in(customer)
    async with more.running(CONNECTIONS):
        await more.acknowledges_more()
    more.journal.movements += source.load.journal.movements
    journal.compare(more.journal, bank.database)


async def missing_entry_is_found(run: Run, source: Source) -> None:
    name = f"{source.dialect}_missing"
    database = source.older(FIRST_WITH_BOOKS, name)
    source.forget_an_entry(database)
    bank = upgraded(run, source, database, name)
    with stopped_in_the_end(bank):
        await bank.start()
        await bank.terminate()
    try:
        await asyncio.to_thread(bank.doctor)
    except Broken:
        return
    raise Broken(f"a control has failed: {name} lacks an entry, and the doctor is content")
