"""A constant load for a long time, on SQLite and on PostgreSQL: memory, file descriptors and SQLite's log must level
off.

Proves that none of them grows with the number of requests: the most of the last third of the time is hardly more than
that of the third before. The movements are compared in the end as after any fault.

Control: a client that leaves connections open, more and more, must be found; so must memory and log that are added to
what was measured.
"""

from __future__ import annotations

import asyncio
import pathlib
from dataclasses import dataclass, replace

import journal
from bank import Bank, Broken, Database, SqliteFile, stopped_in_the_end
from context import Run
from load import Load
from wire import Connection

QUICK_SECONDS, LONG_SECONDS = 12.0, 1_800.0
CONTROL_SECONDS = 3.0
CONNECTIONS, SAMPLES = 8, 30
LEAKED_A_SAMPLE, LEAKED_KIB_A_SAMPLE, LEAKED_LOG_A_SAMPLE = 4, 8 * 1024, 8 * 2**20
# After each movement of a connection in a long run, of whose movements the client has them all in memory.
PAUSE_SECONDS = 0.02
# A bank that has just begun fills its caches still, so a short run tells less.
QUICK_MEMORY_GROWTH, LONG_MEMORY_GROWTH = 1.25, 1.05
SPARE_MEMORY_KIB, SPARE_DESCRIPTORS = 8 * 1024, 4
# The bank looks five times a second whether its log has 32 MiB, and checkpoints it then. A quick machine writes 30 MiB more until
# it looks, and as much while it copies.
LONGEST_LOG_MIB = 128


@dataclass(frozen=True)
class Sample:
    memory_kib: int
    descriptors: int
    log_bytes: int


def sample(bank: Bank) -> Sample:
    log = pathlib.Path(f"{bank.database.file}-wal") if isinstance(bank.database, SqliteFile) else None
    return Sample(bank.resident_kib(), bank.descriptors(), log.stat().st_size if log and log.exists() else 0)


def growing(samples: list[Sample], memory_growth: float) -> list[str]:
    """What does not level off, in words."""
    third = len(samples) // 3
    before, last = samples[third:-third], samples[-third:]
    wrong = []
    memory, most = (max(one.memory_kib for one in part) for part in (before, last))
    if most > memory * memory_growth + SPARE_MEMORY_KIB:
        wrong.append(f"memory grows: {memory} KiB, then {most}")
    descriptors, most = (max(one.descriptors for one in part) for part in (before, last))
    if most > descriptors + SPARE_DESCRIPTORS:
        wrong.append(f"descriptors grow: {descriptors}, then {most}")
    longest = max(one.log_bytes for one in samples) / 2**20
    if longest > LONGEST_LOG_MIB:
        wrong.append(f"SQLite's log has grown to {longest:.0f} MiB")
    return wrong


async def watch(bank: Bank, seconds: float) -> list[Sample]:
    samples = []
    for _ in range(SAMPLES):
        await asyncio.sleep(seconds / SAMPLES)
        samples.append(sample(bank))
    return samples


async def attack(run: Run) -> str:
    seconds = run.choose(QUICK_SECONDS, LONG_SECONDS) / 2
    told = [await on(run, database, seconds) for database in run.databases()]
    return "; ".join(told)


async def on(run: Run, database: Database, seconds: float) -> str:
    bank = run.bank(database)
    with stopped_in_the_end(bank):
        await bank.start()
        load = run.load(lambda: bank, database.name, pause=run.choose(0, PAUSE_SECONDS))
        await load.populate()
        async with load.running(CONNECTIONS):
            samples = await watch(bank, seconds)
        if wrong := growing(samples, run.choose(QUICK_MEMORY_GROWTH, LONG_MEMORY_GROWTH)):
            raise Broken("; ".join(wrong))
        await leaks_are_found(load, bank)
        bank.kill()
    journal.examine(load.journal, bank, run.rng)
    last = samples[-1]
    return (f"{database.name}: {seconds:.0f} s; {load.journal.summary()}; in the end {last.memory_kib / 1024:.0f} MiB, "
            f"{last.descriptors} descriptors, {last.log_bytes / 2**20:.0f} MiB of log; control: found")


async def leaks_are_found(load: Load, bank: Bank) -> None:
    """What grows on purpose must be told of."""
    leaked: list[Connection] = []

    async def leak() -> None:
        while True:
            leaked.extend([await bank.connect() for _ in range(LEAKED_A_SAMPLE)])
            await asyncio.sleep(CONTROL_SECONDS / SAMPLES)

    leaking = asyncio.create_task(leak())
    load.pause = 0
    async with load.running(CONNECTIONS):
        samples = await watch(bank, CONTROL_SECONDS)
    leaking.cancel()
    for connection in leaked:
        connection.abort()
    samples = [replace(one, memory_kib=one.memory_kib + number * LEAKED_KIB_A_SAMPLE,
                       log_bytes=one.log_bytes + number * LEAKED_LOG_A_SAMPLE) for number, one in enumerate(samples)]
    wrong = growing(samples, LONG_MEMORY_GROWTH)
    for words in ("memory grows", "descriptors grow", "log has grown"):
        if not any(words in line for line in wrong):
            raise Broken(f"a control has failed: '{words}' is not found: {samples[0]}, {samples[-1]}")
