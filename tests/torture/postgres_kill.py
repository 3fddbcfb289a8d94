"""kill -9 of PostgreSQL under a bank that lives on: of one of its backends, after which the server starts anew by
itself, or of the whole server, which is then started.

Proves that a COMMIT whose answer is lost is looked up and told as it was, or told to be unknown; and that the bank
finds its way back alone.

Control: a server that acknowledges before it has written its log (synchronous_commit=off). Killed, it must have lost
what the bank acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import journal
from bank import Broken, Cluster, stopped_in_the_end
from context import Run

QUICK_KILLS, LONG_KILLS = 6, 100
CONNECTIONS = 12
# Before each kill, in seconds.
SHORTEST, LONGEST = 0.05, 1.0
# How many movements the control has to lose.
LOST = 50


async def attack(run: Run) -> str:
    cluster = run.cluster("postgres")
    with stopped_in_the_end(cluster):
        cluster.start()
        told = await survives(run, cluster)
        return f"{told}; control: {await forgetfulness_is_found(run, cluster)} missed"


async def survives(run: Run, cluster: Cluster) -> str:
    bank = run.bank(cluster.create("honest"))
    kills = run.choose(QUICK_KILLS, LONG_KILLS)
    whole = 0
    with stopped_in_the_end(bank):
        await bank.start()
        load = run.load(lambda: bank, "honest")
        await load.populate()
        async with load.running(CONNECTIONS):
            for kill in range(kills):
                await asyncio.sleep(run.rng.uniform(SHORTEST, LONGEST))
                if kill % 2:
                    await asyncio.to_thread(kill_a_backend, run, cluster)
                else:
                    await asyncio.to_thread(cluster.kill)
                    await asyncio.to_thread(cluster.start)
                    whole += 1
                await load.acknowledges_more()
        await bank.becomes_ready()
        bank.kill()
    journal.examine(load.journal, bank, run.rng)
    return f"{whole} kills of the server, {kills - whole} of a backend; {load.journal.summary()}"


def kill_a_backend(run: Run, cluster: Cluster) -> None:
    rows = cluster.psql("select pid from pg_stat_activity where application_name = 'coffer' order by pid").split()
    if not rows:
        raise Broken("the bank has no connection")
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(run.rng.choice(rows)), signal.SIGKILL)


async def forgetfulness_is_found(run: Run, cluster: Cluster) -> int:
    """How many acknowledged movements are missed after the kill of a server that acknowledges too early."""
    database = cluster.create("forgetful")
    cluster.psql("alter database forgetful set synchronous_commit = off")
    bank = run.bank(database, "bank-forgetful")
    with stopped_in_the_end(bank):
        await bank.start()
        load = run.load(lambda: bank, "forgetful")
        await load.populate()
        # From here on nothing may be lost but movements. The process that writes the log of those who do not wait for
        # it is quick, so it is stopped.
        cluster.psql("checkpoint")
        os.kill(int(cluster.psql("select pid from pg_stat_activity where backend_type = 'walwriter'")), signal.SIGSTOP)
        async with load.running(CONNECTIONS):
            await load.acknowledges_more(LOST)
            cluster.kill()
            bank.kill()
    cluster.start()
    return journal.expect_found("lost", load.journal.movements, journal.history(database))
