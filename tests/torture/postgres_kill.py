"""kill -9 of PostgreSQL under a bank that lives on: of one of its backends, after which the server starts anew by
itself, or of the whole server, which is then started.

Proves that a COMMIT whose answer is lost is looked up and told as it was, or told to be unknown; that the bank finds its
way back alone; and that a server which is told to acknowledge before it has written its log (synchronous_commit=off) loses
nothing of what the bank acknowledged, because the bank's transactions tell it otherwise.

Controls: what somebody else has written to that server must be lost. And a server starts anew from a copy of its data
directory that is older: what the bank acknowledged since must be missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal

import journal
from bank import Broken, Cluster, stopped_in_the_end
from context import Run

QUICK_KILLS, LONG_KILLS = 6, 100
CONNECTIONS = 12
# Before each kill, in seconds.
SHORTEST, LONGEST = 0.05, 1.0
# How many movements a server is to keep, or to lose in the control.
MANY = 50


async def attack(run: Run) -> str:
    cluster = run.cluster("postgres")
    with stopped_in_the_end(cluster):
        cluster.start()
        told = await survives(run, cluster)
        kept = await hasty_server_loses_nothing(run, cluster)
        return f"{told}; {kept} kept by a hasty server; control: {await older_copy_is_found(run, cluster)} missed"


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


async def hasty_server_loses_nothing(run: Run, cluster: Cluster) -> int:
    """How many movements were acknowledged and are there after the kill of a server that would acknowledge too early."""
    database = cluster.create("hasty")
    cluster.psql("alter database hasty set synchronous_commit = off")
    bank = run.bank(database, "bank-hasty")
    with stopped_in_the_end(bank):
        await bank.start()
        load = run.load(lambda: bank, "hasty")
        await load.populate()
        # The process that writes the log of those who do not wait for it is quick, so it is stopped.
        os.kill(int(cluster.psql("select pid from pg_stat_activity where backend_type = 'walwriter'")), signal.SIGSTOP)
        cluster.psql("create table notes (note int)", database.database)
        async with load.running(CONNECTIONS):
            await load.acknowledges_more(MANY)
            bank.kill()
        cluster.psql("insert into notes values (1)", database.database)
        cluster.kill()
    cluster.start()
    if database.query("select count(*) from notes") != [(0,)]:
        raise Broken("a control has failed: a server that acknowledges too early has lost nothing")
    journal.compare(load.journal, database)
    return load.journal.acknowledged


async def older_copy_is_found(run: Run, cluster: Cluster) -> int:
    """How many acknowledged movements are missed."""
    bank = run.bank(cluster.create("older"), "bank-older")
    copy = cluster.directory / "copy"
    with stopped_in_the_end(bank):
        await bank.start()
        load = run.load(lambda: bank, "older")
        await load.populate()
        cluster.kill()
        cluster.run("cp", "-a", cluster.data, copy)
        cluster.start()
        async with load.running(CONNECTIONS):
            await load.acknowledges_more(MANY)
            cluster.kill()
            bank.kill()
    shutil.rmtree(cluster.data)
    copy.rename(cluster.data)
    cluster.start()
    return journal.expect_found("lost", load.journal.movements, journal.history(bank.database))
