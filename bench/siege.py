"""How long honest transfers take while somebody floods the bank: see bench/run --siege.

Each siege is a process of its own on the same machine; what it costs itself counts against the bank, too.
"""

import asyncio
import contextlib
import json
import multiprocessing
import random
import time

LOGINS_PER_SECOND = 500
SLOW_CLIENTS = 2_000
# A client that sends one byte a second, or nothing, must be gone after this.
SLOW_CLIENT_SECONDS = 15
CONNECTIONS = 32


async def flood_logins(host, port, many_addresses, said):
    """Sign-ins with wrong passwords at a fixed rate, whether or not they are answered in time."""
    statuses = {}

    async def log_in():
        address = f"2001:db8:{random.getrandbits(16):x}:{random.getrandbits(16):x}::1" if many_addresses else "192.0.2.1"
        body = json.dumps({"email": f"user{random.randrange(10)}@example.com", "password": "not the password"})
        request = (f"POST /login HTTP/1.1\r\nHost: bank\r\nX-Forwarded-For: {address}\r\nConnection: close\r\n"
                   f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}")
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(request.encode())
            status = (await reader.readline()).split()[1].decode()
            statuses[status] = statuses.get(status, 0) + 1
            said.value = json.dumps(statuses).encode()
            writer.close()

    tasks, started, sent = set(), time.monotonic(), 0
    while True:
        while sent < (time.monotonic() - started) * LOGINS_PER_SECOND:
            task = asyncio.create_task(log_in())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(0.01)


async def hold_connections(host, port, _, said):
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


def besiege(attack, bank, many_addresses=False):
    """Starts an attack; returns its process and where it says what it sees."""
    host, port = bank.address.removeprefix("http://").split(":")
    said = multiprocessing.Array("c", 1_000)
    process = multiprocessing.Process(target=lambda: asyncio.run(attack(host, int(port), many_addresses, said)), daemon=True)
    process.start()
    return process, said


def measure(bench, say):
    """Prints the table; returns what was not as it must be."""
    sieges = [
        ("none", None, False, 0),
        (f"{LOGINS_PER_SECOND} sign-ins a second from one address", flood_logins, False, 3),
        (f"{LOGINS_PER_SECOND} sign-ins a second from as many addresses", flood_logins, True, 3),
        (f"{SLOW_CLIENTS:,} clients that send a byte a second, or nothing", hold_connections, False, SLOW_CLIENT_SECONDS + 5),
    ]
    rows = []
    for name, attack, many_addresses, seconds_before in sieges:
        process = None
        if attack:
            process, said = besiege(attack, bench.bank, many_addresses)
            time.sleep(seconds_before)
        bench.wrk("transfer", CONNECTIONS)
        row = bench.rows[-1]
        seen = ""
        if process:
            seen = said.value.decode()
            process.terminate()
            process.join()
        say(f"{name}: {seen}")
        if attack is hold_connections and not 0 < float(seen or 0) <= SLOW_CLIENT_SECONDS:
            bench.void.append(f"a slow client was there for {seen} s")
        rows.append((name, row, seen))
    quiet = rows[0][1]["p99_ms"]
    print("\n| siege | transfers/s | p50 ms | p99 ms | of the p99 without | statuses, or seconds the slowest stayed |\n|---|---|---|---|---|---|")
    for name, row, seen in rows:
        print(f"| {name} | {row['per_second']:,.0f} | {row['p50_ms']:.2f} | {row['p99_ms']:.2f} | {row['p99_ms'] / quiet:.1f} | {seen} |")
    return bench.void
