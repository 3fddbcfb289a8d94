"""Two instances on one PostgreSQL behind haproxy, which sends each request to the next one. Meanwhile each in turn is told
to end and starts anew, as in an upgrade.

Proves that clients notice nothing of there being two: who signs in at one is known to the other; a session that ends, a
user who is frozen, a role and an API key that are taken away at one count at the other within a second; a movement that is
sent to both with one key is booked once; what a key or an account may move in a day is not twice as much; events and
waiting requests at one tell what the other books; the quota of a day is shared; and no movement is lost by a restart.

Control: instances that sign tokens with different secrets. That half of the requests are refused must be found.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import journal
from bank import Bank, Broken, Database, Service, free_port, stopped_in_the_end
from context import Run
from haproxy import INSTANCE, Haproxy
from load import Account, Customer, Load, Movement
from wire import Answer, request

QUICK_RESTARTS, LONG_RESTARTS = 2, 50
CONNECTIONS = 12
# Between two restarts, in seconds.
SHORTEST, LONGEST = 0.2, 1.0
# By when an instance knows what the other one has decided, in seconds: by the documents one, and what a busy machine adds.
KNOWN_WITHIN = 1.5
# The same for what somebody waits for.
SEEN_WITHIN = 2.5
ADMIN = "admin@example.com"
# Movements of a day: each instance may let pass what it permits until it hears of the other's.
QUOTA, QUOTA_UNHEARD_OF = 60, 30


class Pair:
    """The two instances, and what is in front of them."""

    def __init__(self, run: Run, database: Database, name: str, shared: list[dict[str, str]], **settings: str) -> None:
        self.one, self.two = [
            run.bank(database, f"{name}-{number}", COFFER_LISTEN=f"127.0.0.1:{free_port()}",
                     COFFER_TRUSTED_PROXIES="127.0.0.1", **secret, **settings)
            for number, secret in zip(("one", "two"), shared, strict=True)
        ]
        self.proxy = Haproxy(run.directory / f"{name}-haproxy")

    @property
    def banks(self) -> list[Bank]:
        return [self.one, self.two]

    async def start(self) -> None:
        for bank in self.banks:
            await bank.start()
        await self.proxy.start(self.banks)

    def stop(self) -> None:
        self.proxy.stop()
        for bank in self.banks:
            bank.stop()


async def attack(run: Run) -> str:
    database = run.postgres()
    secret = {"COFFER_JWT_SECRET": secrets.token_hex(32), "COFFER_SECOND_FACTOR_KEY": secrets.token_hex(32)}
    pair = Pair(run, database, "bank", [secret, secret], COFFER_SHUTDOWN_SECONDS="10")
    with stopped_in_the_end(pair):
        await pair.start()
        load = run.load(lambda: pair.proxy, "bank")
        await load.populate()
        await both_know_who_is_signed_in(pair, load.customers[0].token)
        known_after = await decisions_count_at_the_other(pair, load)
        await keys_are_replayed(pair, load)
        await limits_are_not_doubled(pair, load)
        seen_after = await what_one_books_is_seen_at_the_other(pair, load)
        await restarts(run, pair, load)
        journal.examine(load.journal, pair.one, run.rng)
    passed = await quota_of_a_day_is_shared(run, secret)
    await control(run)
    return (f"decisions count at the other instance after {known_after:.2f} s at most, what is booked is seen after "
            f"{seen_after:.2f} s; {passed} movements of a quota of {QUOTA}; {load.journal.summary()}; control: two "
            "secrets are found")


async def both_know_who_is_signed_in(pair: Pair, token: str) -> None:
    answers = [await pair.proxy.call("GET", "/me", token=token) for _ in range(10)]
    if {answer.headers.get(INSTANCE) for answer in answers} != {bank.directory.name for bank in pair.banks}:
        raise Broken("haproxy does not send requests to both")
    if any(answer.status != 200 for answer in answers):
        raise Broken(f"a session is not known to both: {[answer.status for answer in answers]}")


async def decisions_count_at_the_other(pair: Pair, load: Load) -> float:
    """Returns how long the slowest took."""
    admin = await pair.one.create_admin(ADMIN)
    customer = load.customers[2]
    user = (await pair.one.expect("GET", "/me", token=customer.token))["id"]
    took = []

    async def decide(method: str, path: str, body: Any, holds: Callable[[], Awaitable[Answer]], status: int) -> None:
        if (before := await holds()).status == status:
            raise Broken(f"{method} {path}: {status} before it was decided: {before.body.decode()}")
        await pair.one.expect(method, path, body, admin)
        took.append(await comes_to(status, holds))

    def at_two(path: str, token: str, method: str = "GET", body: Any = None) -> Callable[[], Awaitable[Answer]]:
        return lambda: pair.two.call(method, path, body, token)

    staff = await pair.one.sign_in(customer.email)
    await decide("PUT", f"/users/{user}/role", {"role": "staff"}, at_two("/users", staff), 200)
    await decide("PUT", f"/users/{user}/role", {"role": "customer"}, at_two("/users", staff), 403)
    deposit = {"account_number": customer.accounts[0].number, "amount": "0.01", "description": "frozen?"}
    preview = at_two("/deposit?preview=true", staff, "POST", deposit)
    await decide("PUT", f"/users/{user}/status", {"status": "frozen"}, preview, 403)
    await decide("PUT", f"/users/{user}/status", {"status": "active"}, preview, 200)
    key = await pair.one.expect("POST", "/me/api_keys", {"name": "Shop", "scopes": ["read"]}, staff)
    await decide("DELETE", f"/users/{user}/api_keys", None, at_two("/me", key["api_key"]), 401)
    await decide("DELETE", f"/users/{user}/sessions", None, at_two("/me", staff), 401)
    await load.sign_in(customer)
    return max(took)


async def comes_to(status: int, ask: Callable[[], Awaitable[Answer]]) -> float:
    """Returns the seconds until that is answered."""
    began = time.monotonic()
    while (answer := await ask()).status != status:
        if time.monotonic() - began > KNOWN_WITHIN:
            raise Broken(f"after {KNOWN_WITHIN} s: {answer.status} {answer.body.decode()}, not {status}")
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def send(load: Load, to: Service, movement: Movement, token: str) -> Answer:
    """Sends it, and notes in the journal what was answered."""
    if not movement.attempts:
        load.journal.add(movement)
    movement.attempts += 1
    answer = await to.call("POST", movement.path(), movement.body(), token, movement.key)
    load.take(movement, answer)
    return answer


async def keys_are_replayed(pair: Pair, load: Load) -> None:
    """One after the other, and all at once."""
    account = load.accounts[0]
    for times in (1, 10):
        movement = load.name("deposit", account, None, 100)
        movement.key = f"key-{movement.name}"
        first = [await send(load, pair.one, movement, account.owner.token)] if times == 1 else []
        answers = first + await asyncio.gather(
            *(send(load, bank, movement, account.owner.token) for bank in pair.banks * times))
        if any(answer.status != 201 for answer in answers) or len({answer.json()["id"] for answer in answers}) != 1:
            raise Broken(f"one movement with one key: {[answer.body.decode() for answer in answers]}")
        if sum("idempotent-replayed" in answer.headers for answer in answers) != len(answers) - 1:
            raise Broken("one movement with one key was booked by more than one request")


async def limits_are_not_doubled(pair: Pair, load: Load) -> None:
    """Of an account, and of a key."""
    customer = load.customers[1]
    account = await with_money(pair, load, customer)
    await pair.one.expect("PUT", f"/accounts/{account.number}/limits", {"per_day": "10.00"}, customer.token)
    await ten_pass(pair, load, account, customer.token)
    key = {"name": "Shop", "scopes": ["move"], "per_day": "10"}
    made = await pair.one.expect("POST", "/me/api_keys", key, await pair.one.sign_in(customer.email))
    await ten_pass(pair, load, await with_money(pair, load, customer), made["api_key"])


async def with_money(pair: Pair, load: Load, customer: Customer) -> Account:
    """An account that nothing has left yet."""
    opened = await pair.one.expect("POST", "/accounts", {}, customer.token)
    account = Account(opened["account_number"], customer)
    await send(load, pair.two, load.name("deposit", account, None, 10_000), customer.token)
    return account


async def ten_pass(pair: Pair, load: Load, account: Account, token: str) -> None:
    """Of thirty withdrawals of 1.00 at once."""
    movements = [load.name("withdraw", account, None, 100) for _ in range(30)]
    banks = itertools.cycle(pair.banks)
    answers = await asyncio.gather(*(send(load, next(banks), movement, token) for movement in movements))
    if Counter(answer.status for answer in answers) != {201: 10, 409: 20}:
        raise Broken(f"of thirty ten may pass: {Counter(answer.status for answer in answers)}")


async def what_one_books_is_seen_at_the_other(pair: Pair, load: Load) -> float:
    """By who waits for a balance, by a stream of events, and in the list of events. Returns how long the slowest took."""
    account = load.accounts[0]
    token, balance = account.owner.token, f"/balance?account_number={account.number}"
    seen = await pair.two.call("GET", balance, token=token)
    waiting = asyncio.create_task(
        pair.two.call("GET", balance, token=token, If_None_Match=seen.headers["etag"], Prefer="wait=20"))
    stream = await pair.two.connect()
    stream.writer.write(request("GET", "/events", token=token, Accept="text/event-stream"))
    await stream.reader.readuntil(b"\r\n\r\n")
    movement = load.name("deposit", account, None, 100)
    await send(load, pair.one, movement, token)
    began = time.monotonic()
    await asyncio.wait_for(stream.reader.readuntil(f'"{movement.id}"'.encode()), SEEN_WITHIN)
    streamed_after = time.monotonic() - began
    stream.abort()
    changed = await asyncio.wait_for(waiting, SEEN_WITHIN)
    if changed.status != 200:
        raise Broken(f"who waits for a balance hears {changed.status}")
    listed = await pair.two.expect("GET", f"/events?account_number={account.number}", token=token)
    if movement.id not in [event["subject_id"] for event in listed["data"]]:
        raise Broken("an event that was streamed is not in the list")
    return max(streamed_after, time.monotonic() - began)


async def restarts(run: Run, pair: Pair, load: Load) -> None:
    """One instance after the other, under load."""
    async with load.running(CONNECTIONS):
        for _, bank in zip(range(run.choose(QUICK_RESTARTS, LONG_RESTARTS)), itertools.cycle(pair.banks), strict=False):
            await asyncio.sleep(run.rng.uniform(SHORTEST, LONGEST))
            await bank.terminate()
            await bank.start()
            await load.acknowledges_more()
    if load.impolite:
        raise Broken(f"{len(load.impolite)} answers are wrong: " + "; ".join(load.impolite[:3]))


async def quota_of_a_day_is_shared(run: Run, secret: dict[str, str]) -> int:
    """Returns how many movements of one caller pass."""
    database = run.shared.postgres().create(f"{run.name}_quota")
    pair = Pair(run, database, "quota", [secret, secret], COFFER_MOVEMENTS_PER_DAY=str(QUOTA))
    with stopped_in_the_end(pair):
        await pair.start()
        load = run.load(lambda: pair.proxy, "quota")
        await load.populate(customers=1)
        refused: set[str] = set()
        # A bucket fills again while the day goes on, so both are to refuse one after the other.
        while len(refused) < len(pair.banks) and load.journal.acknowledged <= QUOTA + QUOTA_UNHEARD_OF:
            account = load.accounts[0]
            answer = await send(load, pair.proxy, load.name("deposit", account, None, 100), account.owner.token)
            if answer.status == 429:
                refused.add(answer.headers[INSTANCE])
            await asyncio.sleep(0.03)
    if not QUOTA <= load.journal.acknowledged <= QUOTA + QUOTA_UNHEARD_OF:
        raise Broken(f"of a quota of {QUOTA} movements {load.journal.acknowledged} pass")
    return load.journal.acknowledged


async def control(run: Run) -> None:
    database = run.shared.postgres().create(f"{run.name}_control")
    secret = [{"COFFER_JWT_SECRET": secrets.token_hex(32), "COFFER_SECOND_FACTOR_KEY": "of the control, the same for both"}
              for _ in range(2)]
    pair = Pair(run, database, "control", secret)
    with stopped_in_the_end(pair):
        await pair.start()
        load = run.load(lambda: pair.one, "control")
        await load.populate(customers=1)
        try:
            await both_know_who_is_signed_in(pair, load.customers[0].token)
        except Broken:
            return
    raise Broken("a control has failed: instances with two secrets know each other's sessions")
