"""Wall clocks that jump by days and hours, both ways, under load, on SQLite and on PostgreSQL; now and then the bank is
killed and started with a clock that is wrong. libfaketime sets the clock of the bank's process.

Proves that a clock books nothing twice and forgets no Idempotency-Key: what was booked before a jump is sent again with
its key after it, and is answered with the movement of then. The doctor proves that no history goes back in time. What
single jumps do to tokens, instances and warnings is proved by tests/bank/clocks.rs.

Control: the bank's memory of keys is erased, as by a bank that takes them to be old. What is sent again is booked
twice, which must be found.
"""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import sqlite3

import journal
from bank import Bank, Broken, Database, SqliteFile, stopped_in_the_end
from context import Run
from load import Load, Movement
from wire import Answer, NoAnswer

QUICK_JUMPS, LONG_JUMPS = 8, 100
CONNECTIONS, REPLAYS = 8, 8
OFFSETS = ["+0", "+8d", "-8d", "+3600", "-3600", "+1", "-1", "+30d"]
# Housekeeping, which deletes old keys, looks twice a second. In seconds.
SHORTEST, LONGEST = 0.6, 1.2
KILLED_SHARE = 0.25


class Clock:
    """The wall clock of a bank."""

    def __init__(self, run: Run, name: str) -> None:
        library = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
        if library is None:
            raise Broken("there is no libfaketime: install the package faketime")
        self.file = run.directory / f"clock-{name}"
        self.environment = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(self.file),
                            "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        self.jumps_to("+0")

    def jumps_to(self, offset: str) -> None:
        draft = pathlib.Path(f"{self.file}.new")
        draft.write_text(offset)
        draft.rename(self.file)


async def attack(run: Run) -> str:
    jumps = run.choose(QUICK_JUMPS, LONG_JUMPS)
    return f"{jumps} jumps; " + await run.on_each(jumps, on)


async def on(run: Run, database: Database, jumps: int) -> str:
    clock = Clock(run, database.name)
    bank = run.bank(database, **clock.environment)
    replayed = 0
    with stopped_in_the_end(bank):
        await bank.start()
        load = run.load(lambda: bank, database.name)
        await load.populate()
        async with load.running(CONNECTIONS):
            await load.acknowledges_more()
            for _ in range(jumps):
                clock.jumps_to(run.rng.choice(OFFSETS))
                if run.rng.random() < KILLED_SHARE:
                    bank.kill()
                    await bank.start()
                await asyncio.sleep(run.rng.uniform(SHORTEST, LONGEST))
                replayed += await replay_some(run, load, bank)
                await load.acknowledges_more()
        clock.jumps_to("+0")
        bank.kill()
        journal.examine(load.journal, bank, run.rng)
        found = await forgotten_keys_are_found(run, load, bank, clock)
    return f"{database.name}: {load.journal.summary()}, {replayed} sent again; control: {found} found twice"


def keyed(load: Load) -> list[Movement]:
    return [movement for movement in load.journal.movements if movement.key and movement.told == "ok"]


async def send_again(load: Load, bank: Bank, movement: Movement) -> Answer:
    """With its key. A token that the jump has made invalid is replaced."""
    customer = next(account.owner for account in load.accounts if account.number == movement.account)
    for _ in range(20):
        with contextlib.suppress(NoAnswer, Broken):
            token = await load.fresh_token(customer)
            answer = await bank.call("POST", movement.path(), movement.body(), token, movement.key)
            if answer.status not in (401, 503):
                return answer
            load.expire(token)
        await asyncio.sleep(0.3)
    raise Broken(f"{movement.name} could not be sent again")


async def replay_some(run: Run, load: Load, bank: Bank) -> int:
    """Sends again some of what was booked at any time. Returns how many."""
    movements = run.rng.sample(keyed(load), min(REPLAYS, len(keyed(load))))
    for movement in movements:
        answer = await send_again(load, bank, movement)
        is_replayed = answer.headers.get("idempotent-replayed") == "true"
        if answer.status != 201 or not is_replayed or answer.json()["id"] != movement.id:
            raise Broken(f"{movement.name} was sent again with its key: {answer.status} {answer.body.decode()}")
    return len(movements)


async def forgotten_keys_are_found(run: Run, load: Load, bank: Bank, clock: Clock) -> int:
    forget_keys(bank.database)
    await bank.start()
    # A movement without a reference, which nothing but its key keeps from being booked again.
    movement = next(movement for movement in keyed(load) if not movement.reference and movement.type == "deposit")
    await send_again(load, bank, movement)
    bank.kill()
    return journal.expect_found("2 times", load.journal.movements, journal.history(bank.database))


def forget_keys(database: Database) -> None:
    if isinstance(database, SqliteFile):
        with contextlib.closing(sqlite3.connect(database.file)) as connection:
            connection.executescript("delete from idempotency_keys; delete from key_index;")
    else:
        database.cluster.psql("delete from idempotency_keys", database.database)
