"""A rolling upgrade: two instances of the release before, behind haproxy, get the new binary one after the other, under
load. `--older` names the binary of the release before.

Proves that the older instance goes on serving while the newer one brings the tables up to date, that both serve one bank
side by side (money, sign-ins, keys that are sent to both), and that the books are right in the end.

Control: that of the comparison, in `journal.py`.
"""

from __future__ import annotations

import asyncio
import pathlib
import secrets

import journal
from bank import Bank, Broken, stopped_in_the_end
from context import Run
from instances import Pair, both_know_who_is_signed_in, keys_are_replayed, limits_are_not_doubled

CONNECTIONS = 12
# How long both versions serve side by side, in seconds.
QUICK_SECONDS, LONG_SECONDS = 3.0, 120.0


async def attack(run: Run) -> str:
    older, newer = run.shared.older, run.shared.binary
    assert older, "say --older BINARY"
    secret = {"COFFER_JWT_SECRET": secrets.token_hex(32), "COFFER_SECOND_FACTOR_KEY": secrets.token_hex(32)}
    database = run.postgres()
    pair = Pair(run, database, "bank", [secret, secret])
    with stopped_in_the_end(pair):
        for bank in pair.banks:
            bank.binary = older
        await pair.start()
        load = run.load(lambda: pair.proxy, "bank")
        await load.populate()
        [(before,)] = database.query("select max(version) from _sqlx_migrations")
        async with load.running(CONNECTIONS):
            await load.acknowledges_more()
            await replace(pair.one, newer)
            [(after,)] = database.query("select max(version) from _sqlx_migrations")
            await load.acknowledges_more()
            await keys_are_replayed(pair, load)
            for customer in load.customers:
                await load.sign_in(customer)
            await both_know_who_is_signed_in(pair, load.customers[0].token)
            await asyncio.sleep(run.choose(QUICK_SECONDS, LONG_SECONDS))
            await load.acknowledges_more()
            side_by_side = load.journal.acknowledged
            await replace(pair.two, newer)
            await load.acknowledges_more()
        await limits_are_not_doubled(pair, load)
        if load.impolite:
            raise Broken(f"{len(load.impolite)} answers are wrong: " + "; ".join(load.impolite[:3]))
        journal.examine(load.journal, pair.one, run.rng)
    return (f"from schema {before} to {after}; {side_by_side:,} movements until the last of the older ones ended; "
            f"{load.journal.summary()}")


async def replace(bank: Bank, binary: pathlib.Path) -> None:
    await bank.terminate()
    bank.binary = binary
    await bank.start()
