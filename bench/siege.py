"""How long honest transfers and sign-ins take while somebody floods the bank: see bench/run --siege.

Each siege is a process of its own on the same machine; what it costs itself counts against the bank, too. The bank has
its limits as they are by default, but for the one on requests of one address, which the load generator would meet.
"""

import asyncio
import contextlib
import itertools
import json
import multiprocessing
import random
import time

PASSWORD = "correct horse battery staple"
PER_SECOND = 500
SLOW_CLIENTS = 2_000
# A client that sends one byte a second, or nothing, must be gone after this.
SLOW_CLIENT_SECONDS = 15
# Connections that somebody tries to keep by asking a probe now and then.
KEPT_CONNECTIONS = 4_000
PROBE_EVERY_SECONDS = 8
SEARCHERS = 16
CONNECTIONS = 32
# What must hold in each siege.
MOST_OF_THE_QUIET_P99 = 2
LONGEST_SIGN_IN_SECONDS = 1


def post(path, body, address="192.0.2.1", token=""):
    body = json.dumps(body)
    return (f"POST {path} HTTP/1.1\r\nHost: bank\r\nX-Forwarded-For: {address}\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()


async def answer(reader):
    """Status and body of the next answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = int(next(line.split(":")[1] for line in head.lower().split("\r\n") if line.startswith("content-length")))
    return int(head.split()[1]), await reader.readexactly(length)


class Tally:
    """What a siege sees, in shared memory."""

    def __init__(self, said):
        self.said, self.counts = said, {}

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1
        self.said.value = json.dumps(self.counts).encode()


async def at_a_rate(do):
    """Starts `do` so often a second, whether or not the ones before are done."""
    tasks, started, sent = set(), time.monotonic(), 0
    while True:
        while sent < (time.monotonic() - started) * PER_SECOND:
            task = asyncio.create_task(do(sent))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(0.01)


def random_address():
    return f"2001:db8:{random.getrandbits(16):x}:{random.getrandbits(16):x}::1"


def guess(_, address):
    body = {"email": f"user{random.randrange(10)}@example.com", "password": "not the password"}
    return post("/login", body, address)


def sign_up(number, address):
    body = {"name": "Mallory", "email": f"mallory{number}-{random.getrandbits(64)}@example.com", "password": PASSWORD}
    return post("/create_account", body, address)


def flood(request, many_addresses=False, hang_up=False):
    """Requests at a fixed rate, by clients that wait for the answer or go at once: by a reset, or as if they still read."""
    async def attack(host, port, siege, said):
        tally = Tally(said)

        async def once(number):
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(request(number, random_address() if many_addresses else "192.0.2.1"))
                if hang_up:
                    await writer.drain()
                    await asyncio.sleep(0.005)
                    tally.count("hung up")
                    writer.transport.abort() if number % 2 else writer.close()
                else:
                    tally.count((await answer(reader))[0])
                    writer.close()

        await at_a_rate(once)
    return attack


async def send_slowly(host, port, siege, said):
    """Clients that send a byte of a header a second, or nothing at all, and come back when they are thrown out."""
    longest = 0.0

    async def dawdle(number):
        nonlocal longest
        while True:
            with contextlib.suppress(OSError):
                started = time.monotonic()
                reader, writer = await asyncio.open_connection(host, port)
                if number % 2:
                    writer.write(b"POST /transfer HTTP/1.1\r\nX-Slow: ")
                closed = asyncio.create_task(reader.read())
                while not closed.done():
                    if number % 2:
                        writer.write(b"a")
                    await asyncio.wait([closed], timeout=1)
                longest = max(longest, time.monotonic() - started)
                said.value = f"{longest:.1f}".encode()
                writer.close()
            await asyncio.sleep(0.1)

    await asyncio.gather(*(dawdle(number) for number in range(SLOW_CLIENTS)))


async def keep_connections(host, port, siege, said):
    """As many connections as the bank gives, from four networks that are no proxies, each kept by a probe."""
    kept = 0

    async def keep(number):
        nonlocal kept
        while True:
            is_kept = False
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                source = (f"127.0.0.{2 + number % 4}", 0)
                reader, writer = await asyncio.open_connection(host, port, local_addr=source)
                while True:
                    writer.write(b"GET /livez HTTP/1.1\r\nHost: bank\r\n\r\n")
                    if (await answer(reader))[0] != 200:
                        break
                    kept += not is_kept
                    is_kept = True
                    said.value = f"{kept} kept".encode()
                    await asyncio.sleep(PROBE_EVERY_SECONDS)
            kept -= is_kept
            await asyncio.sleep(1)

    await asyncio.gather(*(keep(number) for number in range(KEPT_CONNECTIONS)))


def ask_again_and_again(request, clients):
    """One customer, over several connections, as often as the bank answers."""
    async def attack(host, port, siege, said):
        tally = Tally(said)

        async def ask():
            reader, writer = await asyncio.open_connection(host, port)
            while True:
                writer.write(request(siege))
                status, _ = await answer(reader)
                tally.count(status)

        # The bank may be gone before the siege is.
        await asyncio.gather(*(ask() for _ in range(clients)), return_exceptions=True)
    return attack


def batch(siege):
    item = {"type": "deposit", "account_number": siege.account, "amount": "1.00", "description": "x" * 140}
    return post("/transactions/batch", {"transactions": [item] * 1_000}, token=siege.token)


def search(siege):
    return (f"GET /transactions?account_number={siege.account}&text=needle HTTP/1.1\r\nHost: bank\r\n"
            f"Authorization: Bearer {siege.token}\r\n\r\n").encode()


async def sign_in_as_others(host, port, siege, said):
    """Customers who sign in, one after the other, from networks of their own; says the longest and what failed."""
    longest, count, failed = 0.0, 0, 0
    for number in itertools.count():
        body = {"email": f"user{20 + number % 20}@example.com", "password": PASSWORD}
        started = time.monotonic()
        status = 0
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(post("/login", body, f"198.51.100.{number % 20}"))
            status, _ = await answer(reader)
            writer.close()
        longest, count, failed = max(longest, time.monotonic() - started), count + 1, failed + (status != 200)
        said.value = f"{longest} {count} {failed}".encode()
        await asyncio.sleep(0.25)


class Siege:
    """What the processes need to know of the bank."""

    def __init__(self, bench):
        self.account, self.token = bench.mallory
        self.host, port = bench.bank.address.removeprefix("http://").split(":")
        self.port = int(port)

    def start(self, attack):
        """Starts a process; returns it and where it says what it sees."""
        said = multiprocessing.Array("c", 1_000)
        run = lambda: asyncio.run(attack(self.host, self.port, self, said))
        process = multiprocessing.Process(target=run, daemon=True)
        process.start()
        return process, said


SIEGES = [
    # What it is called, what it does, and the seconds before its effect is measured.
    ("none", None, 0),
    (f"{PER_SECOND} sign-ins a second from one address", flood(guess), 3),
    (f"{PER_SECOND} sign-ins a second from as many addresses", flood(guess, many_addresses=True), 3),
    (f"{PER_SECOND} sign-ins a second by clients that hang up", flood(guess, many_addresses=True, hang_up=True), 3),
    (f"{PER_SECOND} sign-ups a second from one address", flood(sign_up), 3),
    (f"{PER_SECOND} sign-ups a second from as many addresses, by clients that hang up",
     flood(sign_up, many_addresses=True, hang_up=True), 3),
    (f"{SLOW_CLIENTS:,} clients that send a byte a second, or nothing", send_slowly, SLOW_CLIENT_SECONDS + 5),
    (f"{KEPT_CONNECTIONS:,} connections kept by probes", keep_connections, 8),
    ("batches of 1,000 by one customer, as many as the bank takes", ask_again_and_again(batch, 4), 3),
    ("searches by one customer through 100,000 entries", ask_again_and_again(search, SEARCHERS), 3),
]


def measure(bench, say):
    """Prints the table; returns what was not as it must be."""
    siege, rows = Siege(bench), []
    for name, attack, seconds_before in SIEGES:
        attacker, seen = siege.start(attack) if attack else (None, None)
        time.sleep(seconds_before)
        others, signed_in = siege.start(sign_in_as_others)
        bench.wrk("transfer", CONNECTIONS)
        # Without a word, none has been answered.
        said = signed_in.value.decode() or "inf 0 1"
        longest, count, failed = (float(number) for number in said.split())
        saw = seen.value.decode() if seen else ""
        for process in filter(None, (attacker, others)):
            process.terminate()
            process.join()
        say(f"{name}: {saw}; {count:.0f} sign-ins of others, the longest {longest:.2f} s")
        rows.append({"name": name, "saw": saw, "sign_in": longest, "failed": failed, **bench.rows[-1]})
        time.sleep(2)
    quiet = rows[0]["p99_ms"]
    for row in rows:
        if row["p99_ms"] > MOST_OF_THE_QUIET_P99 * quiet:
            bench.void.append(f"{row['name']}: p99 of transfers is {row['p99_ms'] / quiet:.1f} times the quiet one")
        if row["failed"] or row["sign_in"] > LONGEST_SIGN_IN_SECONDS:
            bench.void.append(f"{row['name']}: {row['failed']:.0f} sign-ins of others failed, the longest took {row['sign_in']:.2f} s")
        if "byte a second" in row["name"] and not 0 < float(row["saw"] or 0) <= SLOW_CLIENT_SECONDS:
            bench.void.append(f"a slow client was there for {row['saw']} s")
    print("\n| siege | transfers/s | p50 ms | p99 ms | of the p99 without | longest sign-in of others, s | statuses, or what it saw |"
          "\n|---|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['name']} | {row['per_second']:,.0f} | {row['p50_ms']:.2f} | {row['p99_ms']:.2f} | "
              f"{row['p99_ms'] / quiet:.1f} | {row['sign_in']:.2f} | {row['saw']} |")
    return bench.void
