"""kill -9 of the bank under load, again and again, on SQLite and on PostgreSQL.

Proves that what was acknowledged outlives the process, and that what was not is booked at most once, whatever the
process was doing when it died; and that it opens its books afterwards without anybody's help.

Control: the books as they were before the last round, which is what a bank that loses its last moments looks like. What
was acknowledged since must be missed.
"""

from __future__ import annotations

import asyncio

import journal
from bank import Database, stopped_in_the_end
from context import Run

QUICK_KILLS, LONG_KILLS = 16, 500
CONNECTIONS = 12
# Before each kill, in seconds: from the first requests to well under way.
SHORTEST, LONGEST = 0.02, 0.5


async def attack(run: Run) -> str:
    kills = run.choose(QUICK_KILLS, LONG_KILLS)
    return f"{kills} kills; " + await run.on_each(kills, on)


async def on(run: Run, database: Database, kills: int) -> str:
    bank = run.bank(database)
    with stopped_in_the_end(bank):
        await bank.start()
        load = run.load(lambda: bank, database.name)
        await load.populate()
        before: Database | None = None
        async with load.running(CONNECTIONS):
            for kill in range(kills):
                await asyncio.sleep(run.rng.uniform(SHORTEST, LONGEST))
                bank.kill()
                if kill == kills - 1:
                    before = await asyncio.to_thread(copy, database)
                await bank.start()
            await load.acknowledges_more()
        bank.kill()
        journal.examine(load.journal, bank, run.rng)
        assert before is not None
        missed = journal.expect_found("lost", load.journal.movements, journal.history(before))
    return f"{database.name}: {load.journal.summary()}; control: {missed} missed"


def copy(database: Database) -> Database:
    return database.copy("before_the_last_round")
