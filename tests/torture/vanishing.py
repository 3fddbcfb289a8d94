"""Clients that vanish: in the middle of a request, after the whole of it, and while the answer comes.

Proves that a request of which the bank has only a part moves nothing; that one which it has whole is booked at most
once, whoever waits for the answer, and exactly once if the client comes back with its key; that other clients notice
none of it; and that nothing of those who are gone stays: connections and file descriptors are given back.

Control: whole requests, told as if a part had been sent, must be found as booked.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace

import journal
from bank import Bank, Broken, Database, stopped_in_the_end
from context import Run
from load import Load
from wire import Connection, request

QUICK_CLIENTS, LONG_CLIENTS = 1_000, 20_000
AT_ONCE, STEADY_CONNECTIONS = 48, 4
# Of those with a key.
RETURNING_SHARE = 0.3
# How many descriptors more than before the bank may have, and how long it may take to give back the others.
SPARE_DESCRIPTORS, GIVEN_BACK_WITHIN_SECONDS = 8, 20


async def attack(run: Run) -> str:
    clients = run.choose(QUICK_CLIENTS, LONG_CLIENTS)
    return f"{clients:,} clients; " + await run.on_each(clients, on)


async def on(run: Run, database: Database, clients: int) -> str:
    bank = run.bank(database)
    with stopped_in_the_end(bank):
        await bank.start()
        load = run.load(lambda: bank, database.name)
        await load.populate()
        before = bank.descriptors()
        steady = run.load(lambda: bank, f"{database.name}-steady")
        steady.customers = load.customers
        async with steady.running(STEADY_CONNECTIONS):
            await crowd(run, bank, load, clients)
        if steady.journal.counts()["unknown"]:
            raise Broken(f"others had no answer: {steady.journal.summary()}")
        await gives_back(bank, before)
        await bank.becomes_ready()
    load.journal.movements += steady.journal.movements
    journal.examine(load.journal, bank, run.rng)
    found = whole_requests_are_found(load, database)
    return f"{database.name}: {load.journal.summary()}; control: {found} found"


async def crowd(run: Run, bank: Bank, load: Load, clients: int) -> None:
    """So many clients, some at once."""
    turns = iter(range(clients))

    async def come_and_go(number: int) -> None:
        rng = random.Random(f"{run.seed}-{number}")
        for _ in turns:
            await vanish(bank, load, rng)

    await asyncio.gather(*(come_and_go(number) for number in range(AT_ONCE)))


async def vanish(bank: Bank, load: Load, rng: random.Random) -> None:
    """One client, by a reset or by the end of the connection."""
    movement, customer = load.invent(rng)
    sent = request("POST", movement.path(), movement.body(), await load.fresh_token(customer), movement.key)
    connection = await bank.connect()
    load.journal.add(movement)
    movement.attempts = 1
    if rng.random() < 0.5:
        # Anything from the first byte to all but the last one.
        connection.writer.write(sent[:rng.randint(1, len(sent) - 1)])
        load.journal.tell(movement, "refused", "a part was sent")
    else:
        connection.writer.write(sent)
        load.journal.tell(movement, "unknown", "gone")
    await leave(connection, rng)
    if movement.told == "unknown" and movement.key and rng.random() < RETURNING_SHARE:
        returned = await load.carry_out(movement, customer, None, rng)
        if returned:
            returned.abort()


async def leave(connection: Connection, rng: random.Random) -> None:
    try:
        await connection.writer.drain()
        how = rng.choice(["at once", "a little later", "with the first bytes of the answer"])
        if how == "a little later":
            await asyncio.sleep(rng.uniform(0, 0.01))
        elif how == "with the first bytes of the answer":
            await asyncio.wait_for(connection.reader.read(16), 0.05)
    except (OSError, asyncio.TimeoutError):
        pass
    connection.reset() if rng.random() < 0.5 else connection.writer.close()


async def gives_back(bank: Bank, before: int) -> None:
    deadline = time.monotonic() + GIVEN_BACK_WITHIN_SECONDS
    while (descriptors := bank.descriptors()) > before + SPARE_DESCRIPTORS:
        if time.monotonic() > deadline:
            raise Broken(f"{descriptors} descriptors are open, {before} before: connections of those who are gone")
        await asyncio.sleep(0.1)


def whole_requests_are_found(load: Load, database: Database) -> int:
    changed = [replace(movement, told="refused") if movement.last == "gone" else movement
               for movement in load.journal.movements]
    return journal.expect_found("was refused", changed, journal.history(database))
