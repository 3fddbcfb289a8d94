"""SIGTERM under load, on SQLite and on PostgreSQL: how a bank is stopped every day.

Proves that each request has a whole answer, or none at all because the bank took no more of them; one without an answer
is not booked. The process ends within COFFER_SHUTDOWN_SECONDS, with exit code 0, and has lost nothing that it
acknowledged.

Control: movements that were answered, told as if they had got no answer, must be found as booked.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import journal
from bank import Bank, Broken, Database, stopped_in_the_end
from context import Run
from load import Load

QUICK_ENDS, LONG_ENDS = 16, 100
CONNECTIONS = 16
SHUTDOWN_SECONDS = 5
# Before each end, in seconds.
SHORTEST, LONGEST = 0.05, 0.5


async def attack(run: Run) -> str:
    ends = run.choose(QUICK_ENDS, LONG_ENDS)
    return f"{ends} ends; " + await run.on_each(ends, on)


async def on(run: Run, database: Database, ends: int) -> str:
    bank = run.bank(database, COFFER_SHUTDOWN_SECONDS=str(SHUTDOWN_SECONDS))
    with stopped_in_the_end(bank):
        await bank.start()
        load = run.load(lambda: bank, database.name, retried_share=0)
        await load.populate()
        longest = max([await end(run, bank, load) for _ in range(ends)])
    unanswered = unanswered_are_refused(load)
    journal.examine(load.journal, bank, run.rng)
    found = answers_taken_away_are_found(load, database)
    return (f"{database.name}: the longest took {longest:.2f} s; {load.journal.summary()}, of them {unanswered} "
            f"without an answer; control: {found} found")


async def end(run: Run, bank: Bank, load: Load) -> float:
    """Ends it under load, and starts it again. Returns the seconds it took to end."""
    async with load.running(CONNECTIONS):
        await asyncio.sleep(run.rng.uniform(SHORTEST, LONGEST))
        code, seconds = await bank.terminate()
    if code or seconds > SHUTDOWN_SECONDS:
        raise Broken(f"SIGTERM: exit code {code} after {seconds:.1f} s: {bank.end_of_log()}")
    if load.half_answers:
        raise Broken(f"half an answer: {load.half_answers[0]}")
    await bank.start()
    return seconds


def unanswered_are_refused(load: Load) -> int:
    """A request that got not a byte was not taken, which makes it as good as refused. Returns how many there are."""
    unanswered = [movement for movement in load.journal.movements if movement.last == "no answer"]
    for movement in unanswered:
        movement.told = "refused"
    return len(unanswered)


def answers_taken_away_are_found(load: Load, database: Database) -> int:
    changed = [replace(movement, told="refused", id=None) if number % 100 == 0 and movement.told == "ok" else movement
               for number, movement in enumerate(load.journal.movements)]
    return journal.expect_found("was refused", changed, journal.history(database))
