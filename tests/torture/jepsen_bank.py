"""Jepsen's bank test: two instances on one PostgreSQL move money among a few accounts at once, while others read all
balances.

Proves that transfers are atomic and isolated across instances: in every snapshot the balances add up to what was paid
in and none is below zero, whether the database is asked or an instance for its trial balance; and in the end each
account's history has each sequence once and each balance is the one before and the amount.

Control: balances that are read one after the other, without a snapshot, must not add up at least once: otherwise
nothing moved while they were read, and the readers above have proved nothing. And a history with one amount changed
must be found.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from typing import Any

import journal
from bank import Bank, Broken, Database, stopped_in_the_end
from context import Run
from load import FIRST_DEPOSIT, TOKEN_SECONDS, Load

QUICK_SECONDS, LONG_SECONDS = 8, 600
CONNECTIONS = 16
ADMIN = "admin@example.com"


async def attack(run: Run) -> str:
    database = run.postgres()
    # Instances share their secrets.
    shared = {"COFFER_JWT_SECRET": secrets.token_hex(32), "COFFER_SECOND_FACTOR_KEY": secrets.token_hex(32)}
    banks = [run.bank(database, f"bank-{number}", **shared) for number in (1, 2)]
    with stopped_in_the_end(*banks):
        for bank in banks:
            await bank.start()
        turns = itertools.cycle(banks)
        load = run.load(lambda: next(turns), "transfers", types="transfer")
        await load.populate()
        await banks[0].create_admin(ADMIN)
        until = time.monotonic() + run.choose(QUICK_SECONDS, LONG_SECONDS)
        total = FIRST_DEPOSIT * len(load.accounts)
        async with load.running(CONNECTIONS):
            snapshots, trial_balances, torn = await asyncio.gather(
                read_snapshots(database, total, until),
                read_trial_balances(banks, total, until),
                read_one_after_the_other(banks, load, total, until),
            )
        for bank in banks:
            bank.kill()
    journal.examine(load.journal, banks[0], run.rng)
    check_histories(run, database)
    return (f"2 instances; {load.journal.summary()}; {snapshots:,} snapshots and {trial_balances:,} trial balances add "
            f"up; control: {torn} sums without a snapshot do not")


async def read_snapshots(database: Database, total: int, until: float) -> int:
    """One statement is one snapshot. Returns how many there were."""
    count = 0
    sql = "select sum(balance), min(balance) from accounts where owner_id is not null"
    while time.monotonic() < until:
        [(balances, least)] = await asyncio.to_thread(database.query, sql)
        if balances != total or least < 0:
            raise Broken(f"balances add up to {balances}, not to {total}; the least is {least}")
        count += 1
        await asyncio.sleep(0.02)
    return count


async def read_trial_balances(banks: list[Bank], total: int, until: float) -> int:
    """Of either instance in turn. Returns how many there were."""
    count, token, token_from = 0, "", float("-inf")
    while time.monotonic() < until:
        if time.monotonic() - token_from > TOKEN_SECONDS:
            token, token_from = await banks[0].sign_in(ADMIN), time.monotonic()
        answer = await banks[count % 2].expect("GET", "/trial_balance", token=token)
        [currency] = answer["data"]
        lines = {line["code"]: minor_units(line["balance"]) for line in currency["accounts"]}
        if sum(lines.values()) or -lines["customers"] != total:
            raise Broken(f"the trial balance is {currency}, and {total} was paid in")
        count += 1
        await asyncio.sleep(0.02)
    return count


def minor_units(amount: str) -> int:
    return int(amount.replace(".", ""))


async def read_one_after_the_other(banks: list[Bank], load: Load, total: int, until: float) -> int:
    """Returns how many sums were wrong, as they may be."""
    torn = 0
    while time.monotonic() < until:
        balances = 0
        for account, bank in zip(load.accounts, itertools.cycle(banks), strict=False):
            token = await load.fresh_token(account.owner)
            answer = await bank.expect("GET", f"/balance?account_number={account.number}", token=token)
            balances += minor_units(answer["balance"])
        torn += balances != total
    if not torn:
        raise Broken("a control has failed: balances that were read one after the other always add up")
    return torn


def check_histories(run: Run, database: Database) -> None:
    columns = "account_number, sequence, amount, balance"
    rows = database.query(f"select {columns} from entries order by account_number, sequence")
    if wrong := gaps(rows):
        raise Broken(wrong)
    victim = run.rng.randrange(len(rows))
    account, sequence, amount, balance = rows[victim]
    if not gaps([*rows[:victim], (account, sequence, amount + 1, balance), *rows[victim + 1:]]):
        raise Broken("a control has failed: an amount was changed, and the history still adds up")


def gaps(rows: list[Any]) -> str:
    """The first entry that does not follow from the one before; empty where all do."""
    for account, entries in itertools.groupby(rows, key=lambda row: row[0]):
        balance = 0
        for expected, (_, sequence, amount, after) in enumerate(entries, start=1):
            balance += amount
            if sequence != expected or after != balance or balance < 0:
                return f"entry {expected} of account {account}: {sequence}, {amount}, {after} after {balance - amount}"
    return ""
