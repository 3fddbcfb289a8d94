"""Failover of PostgreSQL to a synchronous standby: the primary is killed by SIGKILL, the standby promoted, and a relay
in front of both, as a proxy would be, leads the bank to it. The bank lives through it, and the new primary gets a new
standby.

Proves that what was acknowledged is on the standby: the bank answers after COMMIT alone, and COMMIT waits for it.

Control: an asynchronous standby that has lost touch. What was acknowledged since must be missed after its promotion.
"""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import shutil

import journal
from bank import Broken, Cluster, PostgresDatabase, stopped_in_the_end
from context import Run

QUICK_FAILOVERS, LONG_FAILOVERS = 2, 50
CONNECTIONS = 12
# Before each failover, in seconds.
SHORTEST, LONGEST = 0.2, 1.5
# How many movements the control has to lose.
LOST = 50
SOCKET = ".s.PGSQL.5432"


class Relay:
    """Leads connections to the socket of a cluster, and others to that of another one later."""

    def __init__(self, directory: pathlib.Path, cluster: Cluster) -> None:
        directory.mkdir()
        self.directory, self.cluster = directory, cluster
        self.server: asyncio.Server | None = None

    async def start(self) -> None:
        self.server = await asyncio.start_unix_server(self.serve, self.directory / SOCKET)

    def stop(self) -> None:
        if self.server:
            self.server.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there_reader, there_writer = await asyncio.open_unix_connection(self.cluster.directory / SOCKET)
            await asyncio.gather(pass_on(reader, there_writer), pass_on(there_reader, writer))
        writer.close()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


class Pair:
    """A primary and its standby."""

    def __init__(self, run: Run) -> None:
        self.run, self.count = run, 1
        self.primary = run.cluster("cluster1")
        self.standby = self.primary

    async def start(self) -> None:
        """The primary with an empty database, and its first standby."""
        await asyncio.to_thread(self.primary.start)
        self.primary.create("bank")
        # From here on every COMMIT waits for whichever standby there is.
        self.primary.psql("alter system set synchronous_standby_names = '*'")
        self.primary.psql("select pg_reload_conf()")
        await self.add_standby()

    async def add_standby(self) -> None:
        """A copy of the primary that follows it. Waits until it does."""
        self.count += 1
        self.standby = Cluster(self.run.directory / f"cluster{self.count}")
        await asyncio.to_thread(self.standby.follow, self.primary)
        await asyncio.to_thread(self.standby.start)
        for _ in range(600):
            states = await asyncio.to_thread(self.primary.psql, "select sync_state from pg_stat_replication")
            if states.split() == ["sync"]:
                return
            await asyncio.sleep(0.05)
        raise Broken("the standby does not follow")

    async def fail_over(self, relay: Relay) -> None:
        lost = self.primary
        await asyncio.to_thread(lost.kill)
        await asyncio.to_thread(self.standby.promote)
        self.primary = relay.cluster = self.standby
        shutil.rmtree(lost.directory)

    def stop(self) -> None:
        self.primary.stop()
        self.standby.stop()


async def attack(run: Run) -> str:
    failovers = run.choose(QUICK_FAILOVERS, LONG_FAILOVERS)
    pair = Pair(run)
    relay = Relay(run.directory / "relay", pair.primary)
    bank = run.bank(PostgresDatabase(pair.primary, "bank", relay.directory))
    with stopped_in_the_end(pair, relay, bank):
        await relay.start()
        await pair.start()
        await bank.start()
        load = run.load(lambda: bank, "bank")
        await load.populate()
        async with load.running(CONNECTIONS):
            for _ in range(failovers):
                await asyncio.sleep(run.rng.uniform(SHORTEST, LONGEST))
                await pair.fail_over(relay)
                await pair.add_standby()
                await load.acknowledges_more()
        await bank.becomes_ready()
        bank.database = PostgresDatabase(pair.primary, "bank")
        journal.examine(load.journal, bank, run.rng)
        told = f"{failovers} failovers; {load.journal.summary()}"
        async with load.running(CONNECTIONS):
            await lose_touch(pair)
            await load.acknowledges_more(LOST)
            await pair.fail_over(relay)
            bank.kill()
        history = journal.history(PostgresDatabase(pair.primary, "bank"))
        missed = journal.expect_found("lost", load.journal.movements, history)
    return f"{told}; control: {missed} missed"


async def lose_touch(pair: Pair) -> None:
    """The standby hears of nothing any more, and no COMMIT waits for it."""
    for cluster, setting in [(pair.primary, "synchronous_standby_names"), (pair.standby, "primary_conninfo")]:
        await asyncio.to_thread(cluster.psql, f"alter system set {setting} = ''")
        await asyncio.to_thread(cluster.psql, "select pg_reload_conf()")
