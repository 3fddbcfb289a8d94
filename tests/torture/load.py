"""The load client: many connections that move money, and a journal of what each sent and what it was told.

Every movement has a name of its own, which the bank stores as its description and by which it is found in the history.
Nothing in the bank keeps a description from being there twice, so the name proves what it is to prove: that the bank
books nothing twice. Some movements have the name as their `reference`, too, and two of three an Idempotency-Key.

What a client is told is one of three:

- *ok*: the answer is 201. The movement must be in the history exactly once.
- *refused*: any other answer but 504 `outcome_unknown`, by which alone the bank says that it does not know. It must never be
  there.
- *unknown*: 504, no whole answer, or 502 of a proxy that got none. It may be there, at most once.

An unknown movement with a key is sent again, most of the time, until the bank says that it is booked. From then on it
is ok.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import pathlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from bank import PASSWORD, Broken, Service
from wire import Answer, Connection, NoAnswer, request

# An access token lasts 15 minutes.
TOKEN_SECONDS = 600
# In minor units: the first deposit of each account, the most of any movement after it, and what nobody has.
FIRST_DEPOSIT, MOST, TOO_MUCH = 1_000_000, 500, 90_000_000
TOO_MUCH_SHARE, KEYED_SHARE = 0.03, 0.67
# Answers by which the movement may be booked or not.
NO_VERDICT = (502, 504)
# How a retry may be refused: for want of money, by a token that is too old, or for now.
INSUFFICIENT = "409 insufficient_funds"
PASSING = (INSUFFICIENT, "401", "429")


@dataclass
class Account:
    number: str
    owner: Customer = field(repr=False)


@dataclass
class Customer:
    email: str
    accounts: list[Account] = field(default_factory=list)
    token: str = ""
    token_from: float = 0.0
    signing_in: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class Movement:
    """What a client sent, and what it was told. Times are of the monotonic clock, in nanoseconds."""

    name: str
    type: str
    account: str
    to: str | None
    amount: int
    key: str | None
    reference: str | None
    sent_at: int = 0
    told: str = "unknown"
    told_at: int = 0
    id: str | None = None
    attempts: int = 0
    # The last status, or why there was none.
    last: str = ""

    def path(self) -> str:
        return f"/{self.type}"

    def body(self) -> dict[str, Any]:
        amount = f"{self.amount // 100}.{self.amount % 100:02}"
        body = {"amount": amount, "description": self.name}
        if self.reference:
            body["reference"] = self.reference
        if self.type == "transfer":
            return {"from_account": self.account, "to_account": self.to, **body}
        return {"account_number": self.account, **body}


class Journal:
    """Every movement that was sent, in memory and, for whoever looks into a failure, in a file."""

    def __init__(self, file: pathlib.Path) -> None:
        self.movements: list[Movement] = []
        self.acknowledged = 0
        self.file = file

    def add(self, movement: Movement) -> None:
        movement.sent_at = time.monotonic_ns()
        self.movements.append(movement)

    def tell(self, movement: Movement, told: str, last: str) -> None:
        movement.told, movement.told_at, movement.last = told, time.monotonic_ns(), last
        self.acknowledged += told == "ok"

    def counts(self) -> Counter[str]:
        """By what was told; those that are ok after more than one attempt are *retried*."""
        return Counter("retried" if movement.told == "ok" and movement.attempts > 1 else movement.told
                       for movement in self.movements)

    def summary(self) -> str:
        counts = self.counts()
        return ", ".join(f"{counts[told]:,} {told}" for told in ("ok", "retried", "unknown", "refused"))

    def save(self) -> None:
        with self.file.open("w") as lines:
            lines.writelines(json.dumps(asdict(movement)) + "\n" for movement in self.movements)


class Load:
    """Customers with accounts, and connections that move money among them.

    `bank` gives the bank to talk to, for each connection anew: there may be several. `types` are the kinds of
    movements, `retried_share` how many of the unknown ones with a key are sent again, `referenced_share` how many have
    a reference; after each a connection pauses for `pause` seconds.
    """

    def __init__(self, bank: Callable[[], Service], file: pathlib.Path, seed: str,
                 types: str = "deposit withdraw transfer", retried_share: float = 0.8, referenced_share: float = 0.33,
                 pause: float = 0) -> None:
        self.bank, self.seed, self.types = bank, seed, types.split()
        self.retried_share, self.referenced_share, self.pause = retried_share, referenced_share, pause
        self.journal = Journal(file)
        self.customers: list[Customer] = []
        self.stopping = asyncio.Event()
        self.next_name = 0
        # The calls that are not answered whole although bytes of an answer came.
        self.half_answers: list[str] = []
        # Answers that a bank never gives: 500, or 503 without a word of when to come back.
        self.impolite: list[str] = []

    @property
    def accounts(self) -> list[Account]:
        return [account for customer in self.customers for account in customer.accounts]

    async def populate(self, customers: int = 3, accounts_each: int = 3) -> None:
        """Customers, their accounts, and money on each."""
        for number in range(customers):
            customer = Customer(f"customer{number}@example.com")
            body = {"name": f"Customer {number}", "email": customer.email, "password": PASSWORD}
            opened = await self.bank().expect("POST", "/create_account", body)
            customer.accounts.append(Account(opened["account"]["account_number"], customer))
            await self.sign_in(customer)
            for _ in range(accounts_each - 1):
                opened = await self.bank().expect("POST", "/accounts", {}, customer.token)
                customer.accounts.append(Account(opened["account_number"], customer))
            self.customers.append(customer)
        for account in self.accounts:
            movement = self.name("deposit", account, None, FIRST_DEPOSIT)
            self.journal.add(movement)
            answer = await self.bank().call("POST", "/deposit", movement.body(), account.owner.token)
            self.take(movement, answer)
            if answer.status != 201:
                raise Broken(f"the first deposit: {answer.status} {answer.body.decode()}")

    async def sign_in(self, customer: Customer) -> None:
        customer.token = await self.bank().sign_in(customer.email)
        customer.token_from = time.monotonic()

    def expire(self, token: str) -> None:
        """Has whoever used it sign in again: to a bank whose clock has jumped it is too old, or of the future."""
        for customer in self.customers:
            if customer.token == token:
                customer.token_from = float("-inf")

    async def fresh_token(self, customer: Customer) -> str:
        async with customer.signing_in:
            if time.monotonic() - customer.token_from > TOKEN_SECONDS:
                await self.sign_in(customer)
        return customer.token

    def name(self, type: str, account: Account, to: Account | None, amount: int) -> Movement:
        self.next_name += 1
        return Movement(f"torture-{self.seed}-{self.next_name}", type, account.number, to.number if to else None,
                        amount, key=None, reference=None)

    def invent(self, rng: random.Random) -> tuple[Movement, Customer]:
        """Any movement between any accounts; a few take what is not there."""
        type = rng.choice(self.types)
        account, to = rng.sample(self.accounts, 2)
        too_much = type != "deposit" and rng.random() < TOO_MUCH_SHARE
        amount = TOO_MUCH if too_much else rng.randint(1, MOST)
        movement = self.name(type, account, to if type == "transfer" else None, amount)
        if rng.random() < KEYED_SHARE:
            movement.key = f"key-{movement.name}"
        if rng.random() < self.referenced_share:
            movement.reference = movement.name
        return movement, account.owner

    @contextlib.asynccontextmanager
    async def running(self, connections: int) -> AsyncIterator[Load]:
        """Moves money until the block ends. Each connection finishes its movement, and no retry is left half done."""
        self.stopping.clear()
        workers = [asyncio.create_task(self.work(number)) for number in range(connections)]
        try:
            yield self
        finally:
            self.stopping.set()
            outcomes = await asyncio.gather(*workers, return_exceptions=True)
            self.journal.save()
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def run_for(self, seconds: float, connections: int, most: float = math.inf) -> None:
        """Moves money for so long, or until so many movements more are acknowledged."""
        enough, until = self.journal.acknowledged + most, time.monotonic() + seconds
        async with self.running(connections):
            while time.monotonic() < until and self.journal.acknowledged < enough:
                await asyncio.sleep(0.02)

    async def acknowledges_more(self, movements: int = 20, seconds: float = 60) -> None:
        """Waits for some more movements to be acknowledged: the bank is at work, or at work again."""
        enough = self.journal.acknowledged + movements
        deadline = time.monotonic() + seconds
        while self.journal.acknowledged < enough:
            if time.monotonic() > deadline:
                raise Broken(f"the bank has not booked {movements} movements within {seconds} s")
            await asyncio.sleep(0.05)

    async def work(self, number: int) -> None:
        rng = random.Random(f"{self.seed}-{number}-{self.next_name}")
        connection: Connection | None = None
        while not self.stopping.is_set():
            movement, customer = self.invent(rng)
            connection = await self.carry_out(movement, customer, connection, rng)
            if self.pause:
                await asyncio.sleep(self.pause)
        if connection:
            connection.abort()

    async def connected(self, connection: Connection | None) -> Connection | None:
        """The same connection while it can be used, or another one; None while nobody listens."""
        if connection and connection.is_usable:
            return connection
        with contextlib.suppress(OSError):
            return await self.bank().connect()
        return None

    async def carry_out(self, movement: Movement, customer: Customer, connection: Connection | None,
                        rng: random.Random) -> Connection | None:
        """Sends it, and again while its fate is unknown and it has a key. Returns the connection for the next one."""
        is_retried = movement.key is not None and rng.random() < self.retried_share
        pause = 0.01
        while True:
            connection = await self.connected(connection)
            token = customer.token
            with contextlib.suppress(OSError, NoAnswer, Broken):
                token = await self.fresh_token(customer)
            if connection:
                await self.attempt(movement, token, connection)
            if movement.told == "ok" or (movement.attempts and not self.is_worth_repeating(movement, is_retried)):
                return connection
            if self.stopping.is_set() and (not movement.attempts or pause > 1):
                return connection
            # Nobody listens, or the bank is busy.
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 2)

    @staticmethod
    def is_worth_repeating(movement: Movement, is_retried: bool) -> bool:
        """Not where the money is gone by the time of the retry."""
        return is_retried and movement.told == "unknown" and movement.last != INSUFFICIENT

    async def attempt(self, movement: Movement, token: str, connection: Connection) -> None:
        if not movement.attempts:
            self.journal.add(movement)
        movement.attempts += 1
        try:
            answer = await connection.ask(request("POST", movement.path(), movement.body(), token, movement.key))
        except NoAnswer as error:
            if error.received:
                self.half_answers.append(f"{movement.name}: {error}")
            self.journal.tell(movement, "unknown", str(error))
        else:
            self.take(movement, answer)
            if answer.status >= 500:
                await asyncio.sleep(0.02)
            if answer.status == 401:
                self.expire(token)

    def take(self, movement: Movement, answer: Answer) -> None:
        last = f"{answer.status} {answer.problem()}".strip()
        if answer.status == 500 or (answer.status == 503 and "retry-after" not in answer.headers):
            self.impolite.append(f"{movement.name}: {last}")
        if answer.status == 201:
            movement.id = answer.json()["id"]
            self.journal.tell(movement, "ok", last)
        elif answer.status == 504 or (movement.attempts > 1 and movement.told == "unknown"):
            # A retry that is refused says nothing of the attempt before. But it is the same request with the same key.
            self.journal.tell(movement, "unknown", last)
            if answer.status < 500 and not last.startswith(PASSING):
                raise Broken(f"{movement.name} was sent again with its key: {last}")
        else:
            self.journal.tell(movement, "refused", last)
