"""A disk that is full, one whose fsync fails (EIO) and one that hangs for a moment, on SQLite, in any order, under
load; now and then the bank is killed while the disk is bad. The disk is tests/bank/failing_disk.c, preloaded.

Proves that what the disk did not take is refused, and does not come back from the log after a crash; that what was
acknowledged is there; and that the bank books again as soon as the disk works.

Control: a disk that takes each write and forgets it. What was acknowledged meanwhile must be missed.
"""

from __future__ import annotations

import asyncio
import pathlib
import time
from collections.abc import Iterator

import journal
from bank import Bank, Broken, SqliteFile, stopped_in_the_end
from context import HERE, Run
from load import Load, Movement

QUICK_ROUNDS, LONG_ROUNDS = 9, 300
CONNECTIONS = 12
TROUBLES = ["full", "sync fails", "sync hangs"]
# How long the disk works, and is bad for a moment, in seconds: the bank has the patience to try again.
SHORTEST, LONGEST = 0.1, 0.7
# How long it takes at most until movements are refused on a disk that stays bad.
REFUSED_WITHIN_SECONDS = 12
KILLED_SHARE = 0.3
# How many movements the control has to lose.
LOST = 50


class FailingDisk:
    """What tests/bank/failing_disk.c reads at each operation."""

    def __init__(self, run: Run, name: str) -> None:
        self.file = run.directory / f"disk-{name}"
        self.environment = {"LD_PRELOAD": str(run.library(HERE.parent / "bank/failing_disk.c")),
                            "FAILING_DISK": str(self.file)}
        self.becomes("works")

    def becomes(self, state: str) -> None:
        draft = pathlib.Path(f"{self.file}.new")
        draft.write_text(state)
        draft.rename(self.file)


async def attack(run: Run) -> str:
    rounds = run.choose(QUICK_ROUNDS, LONG_ROUNDS)
    disk = FailingDisk(run, "bad")
    bank = run.bank(run.sqlite(), **disk.environment)
    with stopped_in_the_end(bank):
        await bank.start()
        load = run.load(lambda: bank, "bad")
        await load.populate()
        kills = 0
        async with load.running(CONNECTIONS):
            for number in range(rounds):
                await asyncio.sleep(run.rng.uniform(SHORTEST, LONGEST))
                trouble = TROUBLES[number % len(TROUBLES)]
                disk.becomes(trouble)
                await (refuses(load, trouble) if number < 2 else asyncio.sleep(run.rng.uniform(SHORTEST, LONGEST)))
                kills += await recover(run, bank, disk, load)
        bank.kill()
    journal.examine(load.journal, bank, run.rng)
    refused = sum(1 for _ in refusals(load))
    missed = await forgetfulness_is_found(run)
    return (f"{rounds} times, {kills} of them with kill -9; {load.journal.summary()}, of them {refused} for the disk's "
            f"sake; control: {missed} missed")


def refusals(load: Load) -> Iterator[Movement]:
    """What was refused because the database could not write, or the disk is full."""
    return (movement for movement in load.journal.movements if movement.last.startswith(("503", "507")))


async def refuses(load: Load, trouble: str) -> None:
    """Waits until the disk is bad for so long that movements are refused."""
    before, deadline = sum(1 for _ in refusals(load)), time.monotonic() + REFUSED_WITHIN_SECONDS
    while sum(1 for _ in refusals(load)) == before:
        if time.monotonic() > deadline:
            raise Broken(f"{trouble}: nothing is refused within {REFUSED_WITHIN_SECONDS} s")
        await asyncio.sleep(0.05)


async def recover(run: Run, bank: Bank, disk: FailingDisk, load: Load) -> bool:
    """The disk works again. Returns whether the bank was killed before it did."""
    is_killed = run.rng.random() < KILLED_SHARE
    if is_killed:
        bank.kill()
    disk.becomes("works")
    if is_killed:
        await bank.start()
    await bank.becomes_ready()
    await load.acknowledges_more()
    return is_killed


async def forgetfulness_is_found(run: Run) -> int:
    """How many acknowledged movements are missed after a crash on a disk that writes nothing."""
    disk = FailingDisk(run, "forgetful")
    database = run.sqlite("forgetful")
    bank = run.bank(database, "bank-forgetful", **disk.environment)
    with stopped_in_the_end(bank):
        await bank.start()
        load = run.load(lambda: bank, "forgetful")
        await load.populate()
        async with load.running(CONNECTIONS):
            disk.becomes("forgets")
            await load.acknowledges_more(LOST)
            bank.kill()
    return journal.expect_found("lost", load.journal.movements, journal.history(SqliteFile(database.file)))
