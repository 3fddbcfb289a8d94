"""Compares the load client's journal with the bank's history, read from its database.

What must hold of each movement: *ok* is in the history exactly once, under the id that the client was told and with its
accounts and amount; *refused* never; *unknown* at most once. And nothing is there that nobody sent.

A comparison that finds nothing proves something only if it would have found it. So each is repeated with histories into
which a fault of each kind was put: `prove_it_notices`.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bank import Bank, Broken, Database
from load import Journal, Movement

TYPES = {1: "deposit", 2: "withdraw", 3: "transfer"}
MAX_NAMED = 5


@dataclass(frozen=True)
class Booked:
    """A row of the bank's journal."""

    name: str
    id: str
    type: str
    debit: str
    credit: str
    amount: int


def history(database: Database) -> list[Booked]:
    """All that was ever booked, of one snapshot."""
    id_as_text = "lower(hex(id))" if database.name == "SQLite" else "replace(id::text, '-', '')"
    columns = f"description, {id_as_text}, type, debit_account, credit_account, amount"
    rows = database.query(f"select {columns} from transactions")
    return [Booked(str(name), id, TYPES.get(type, str(type)), f"{debit:014}", f"{credit:014}", amount)
            for name, id, type, debit, credit, amount in rows]


def differences(movements: Iterable[Movement], booked: Iterable[Booked]) -> list[str]:
    """What is not as it must be, in words."""
    by_name: dict[str, list[Booked]] = defaultdict(list)
    for row in booked:
        by_name[row.name].append(row)
    wrong = []
    for movement in movements:
        rows = by_name.pop(movement.name, [])
        wrong += [f"{movement.name} ({movement.last}) {fault}" for fault in faults(movement, rows)]
    wrong += [f"{name} is booked, and nobody sent it" for name in by_name]
    return wrong


def faults(movement: Movement, rows: Sequence[Booked]) -> list[str]:
    found = []
    if len(rows) > 1:
        found.append(f"is booked {len(rows)} times")
    if movement.told == "ok" and not rows:
        found.append("was acknowledged, and is lost")
    if movement.told == "refused" and rows:
        found.append("was refused, and is booked")
    for row in rows:
        if movement.id and row.id != movement.id.replace("-", ""):
            found.append(f"was acknowledged as {movement.id}, and is booked as {row.id}")
        if not is_as_sent(movement, row):
            found.append(f"is booked as {row}")
    return found


def is_as_sent(movement: Movement, row: Booked) -> bool:
    if (movement.type, movement.amount) != (row.type, row.amount):
        return False
    match movement.type:
        case "deposit":
            return row.credit == movement.account
        case "withdraw":
            return row.debit == movement.account
        case _:
            return (row.debit, row.credit) == (movement.account, movement.to)


def compare(journal: Journal, database: Database) -> list[Booked]:
    """Raises Broken with the first differences. Returns the history."""
    booked = history(database)
    wrong = differences(journal.movements, booked)
    if wrong:
        raise Broken(f"{len(wrong)} movements are wrong: " + "; ".join(wrong[:MAX_NAMED]))
    return booked


def examine(journal: Journal, bank: Bank, rng: random.Random) -> None:
    """The whole proof of a run: the comparison, that it would notice, and the doctor."""
    prove_it_notices(journal, compare(journal, bank.database), rng)
    bank.doctor()


def prove_it_notices(journal: Journal, booked: Sequence[Booked], rng: random.Random) -> None:
    """The control of the comparison itself: each kind of fault, put into a history that has none, must be found."""
    acknowledged = {movement.name for movement in journal.movements if movement.told == "ok"}
    if not acknowledged:
        raise Broken("nothing was acknowledged: the run means nothing")
    victim = rng.choice([row for row in booked if row.name in acknowledged])
    others = [row for row in booked if row is not victim]
    expect_found("lost", journal.movements, others)
    expect_found("2 times", journal.movements, [*booked, replace(victim, id="0" * 32)])
    expect_found("nobody sent", journal.movements, [*booked, replace(victim, name="somebody else's")])
    expect_found("is booked as", journal.movements, [*others, replace(victim, amount=victim.amount + 1)])
    refused = [replace(movement, told="refused") if movement.name == victim.name else movement
               for movement in journal.movements]
    expect_found("was refused", refused, booked)


def expect_found(words: str, movements: Iterable[Movement], booked: Iterable[Booked]) -> int:
    """Raises Broken unless the comparison finds such a fault; returns how many it finds."""
    found = sum(words in difference for difference in differences(movements, booked))
    if not found:
        raise Broken(f"a control has failed: no movement that '{words}' was found where there is one")
    return found
