"""Failover of PostgreSQL to a synchronous standby, by a bank whose DATABASE_URL names both. The primary is killed by
SIGKILL, or cut off: it hangs, the standby is promoted, and it goes on where it was, without waiting for a standby any
more. The bank lives through it, and the former primary becomes the new standby.

Proves that what was acknowledged is on the standby, because the bank answers after COMMIT alone and COMMIT waits for the
standby; that the bank books again within three seconds of the promotion, by itself; that it leaves a former primary which
takes writes alone, and a server of another cluster, whose books are others; and that nobody is answered 500 meanwhile, but 503
with Retry-After.

Control: an asynchronous standby that has lost touch. What was acknowledged since must be missed after its promotion.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator

import journal
from bank import PASSWORD, Bank, Broken, Cluster, PostgresDatabase, children_of, stopped_in_the_end
from context import Run
from load import Load
from wire import request

QUICK_FAILOVERS, LONG_FAILOVERS = 4, 50
CONNECTIONS = 12
# Before each failover, in seconds.
SHORTEST, LONGEST = 0.2, 1.5
# From the promotion to the first movement that is booked, in seconds.
BOOKS_WITHIN = 3.0
# How long a former primary goes on beside the new one, in seconds.
BOTH_FOR = 2.0
# How long nobody is promoted, in seconds.
ALONE_FOR = 1.0
# How many movements the control has to lose.
LOST = 50


class Pair:
    """A primary and its standby, each with a place that `DATABASE_URL` names, which names a stranger, too."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.primary, self.standby = run.cluster("one"), Cluster(run.directory / "two")
        self.stranger = Cluster(run.directory / "stranger")

    def url(self) -> str:
        hosts = ",".join(str(cluster.directory) for cluster in (self.primary, self.standby, self.stranger))
        return f"postgres:///bank?host={hosts}&user=postgres&target_session_attrs=read-write"

    async def start(self) -> None:
        """The primary with an empty database, and its first standby. The stranger takes writes as well."""
        await asyncio.to_thread(self.stranger.make)
        for cluster in (self.primary, self.stranger):
            await asyncio.to_thread(cluster.start)
            cluster.create("bank")
        await self.start_standby()

    async def start_standby(self) -> None:
        """A copy of the primary that follows it. Waits until it does, and until every COMMIT waits for it. The copy, once
        promoted, waits for nobody until it has a standby itself, as whoever manages a cluster would have it."""
        await asyncio.to_thread(self.standby.follow, self.primary)
        await asyncio.to_thread(self.standby.start)
        await configure(self.primary, "synchronous_standby_names", "*")
        for _ in range(600):
            states = await asyncio.to_thread(self.primary.psql, "select sync_state from pg_stat_replication")
            if states.split() == ["sync"]:
                return
            await asyncio.sleep(0.05)
        raise Broken("the standby does not follow")

    async def promote(self) -> float:
        """The standby, in place of a primary that is gone. Returns when that was done."""
        await asyncio.to_thread(self.standby.promote)
        promoted_at = time.monotonic()
        self.primary, self.standby = self.standby, self.primary
        return promoted_at

    async def rebuild_standby(self) -> None:
        """In the place of the former primary."""
        await asyncio.to_thread(self.standby.stop)
        shutil.rmtree(self.standby.data)
        await self.start_standby()

    def stop(self) -> None:
        for cluster in (self.primary, self.standby, self.stranger):
            cluster.stop()


class Cut:
    """Every process of a cluster hangs."""

    def __init__(self, cluster: Cluster) -> None:
        assert cluster.process is not None
        self.pids = [cluster.process.pid, *children_of(cluster.process.pid)]
        self.send(signal.SIGSTOP)

    def send(self, what: signal.Signals) -> None:
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, what)


class Others:
    """Callers that sign in and read, and what they were answered."""

    def __init__(self, bank: Bank, load: Load) -> None:
        self.bank, self.load = bank, load
        self.read = 0
        self.wrong: list[str] = []
        # Not by cancelling them: up to Python 3.11 `wait_for` loses that when what it waits for ends at the same moment.
        self.stopping = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        customer = self.load.customers[0]
        number = customer.accounts[0].number
        sign_in = {"email": customer.email, "password": PASSWORD}
        tasks = [asyncio.create_task(self.ask_until_stopped(method, path, body, pause)) for method, path, body, pause in (
            ("GET", f"/balance?account_number={number}", None, 0.02),
            ("GET", f"/transactions?account_number={number}", None, 0.05),
            ("GET", "/accounts", None, 0.05),
            ("POST", "/accounts", {"label": "another"}, 0.2),
            ("POST", "/login", sign_in, 0.5),
        )]
        try:
            yield
        finally:
            self.stopping.set()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def ask_until_stopped(self, method: str, path: str, body: dict[str, str] | None, pause: float) -> None:
        while not self.stopping.is_set():
            connection = await self.bank.connect()
            try:
                token = self.load.customers[0].token
                answer = await connection.ask(request(method, path, body, token))
            finally:
                connection.abort()
            self.read += answer.status == 200
            if answer.status == 500 or (answer.status == 503 and "retry-after" not in answer.headers):
                self.wrong.append(f"{method} {path}: {answer.status} {answer.body.decode()}")
            await asyncio.sleep(pause)


async def attack(run: Run) -> str:
    failovers = run.choose(QUICK_FAILOVERS, LONG_FAILOVERS)
    pair = Pair(run)
    bank = run.bank(PostgresDatabase(pair.primary, "bank", url=pair.url()))
    with stopped_in_the_end(pair, bank):
        await pair.start()
        await bank.start()
        load = run.load(lambda: bank, "bank")
        await load.populate()
        others = Others(bank, load)
        took = []
        async with others.running(), load.running(CONNECTIONS):
            for failover in range(failovers):
                await asyncio.sleep(run.rng.uniform(SHORTEST, LONGEST))
                took.append(await (cut_off(pair, load) if failover % 2 else fail_over(pair, load)))
                await pair.rebuild_standby()
                await load.acknowledges_more()
        if wrong := others.wrong + load.impolite:
            raise Broken(f"{len(wrong)} answers are wrong: " + "; ".join(wrong[:3]))
        await bank.becomes_ready()
        bank.database = PostgresDatabase(pair.primary, "bank")
        journal.examine(load.journal, bank, run.rng)
        told = (f"{failovers} failovers; booked again after {min(took):.2f} to {max(took):.2f} s; {others.read:,} reads; "
                f"{load.journal.summary()}")
        async with load.running(CONNECTIONS):
            await lose_touch(pair)
            await load.acknowledges_more(LOST)
            await asyncio.to_thread(pair.primary.kill)
            await pair.promote()
            bank.kill()
        history = journal.history(PostgresDatabase(pair.primary, "bank"))
        missed = journal.expect_found("lost", load.journal.movements, history)
    return f"{told}; control: {missed} missed"


async def fail_over(pair: Pair, load: Load) -> float:
    """The primary is dead, and for a while the stranger alone takes writes. Returns the seconds from the promotion to the first
    movement that was booked."""
    await asyncio.to_thread(pair.primary.kill)
    await asyncio.sleep(ALONE_FOR)
    return await books_again(load, await pair.promote())


async def cut_off(pair: Pair, load: Load) -> float:
    """The primary hangs, and later goes on as if nothing had been."""
    former = pair.primary
    cut = Cut(former)
    try:
        took = await books_again(load, await pair.promote())
    finally:
        cut.send(signal.SIGCONT)
    # It takes writes, and acknowledges what is nowhere else.
    await configure(former, "synchronous_standby_names", "")
    await asyncio.sleep(BOTH_FOR)
    return took


async def books_again(load: Load, promoted_at: float) -> float:
    acknowledged = load.journal.acknowledged
    while load.journal.acknowledged == acknowledged:
        await asyncio.sleep(0.005)
        if time.monotonic() - promoted_at > BOOKS_WITHIN:
            raise Broken(f"nothing is booked {BOOKS_WITHIN} s after the promotion")
    return time.monotonic() - promoted_at


async def lose_touch(pair: Pair) -> None:
    """The standby hears of nothing any more, and no COMMIT waits for it."""
    await configure(pair.primary, "synchronous_standby_names", "")
    await configure(pair.standby, "primary_conninfo", "")


async def configure(cluster: Cluster, setting: str, value: str) -> None:
    await asyncio.to_thread(cluster.psql, f"alter system set {setting} = '{value}'")
    await asyncio.to_thread(cluster.psql, "select pg_reload_conf()")
