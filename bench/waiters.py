"""Many who wait for another balance (`Prefer: wait`): the memory they cost, and how long after a deposit they know."""

import selectors
import socket
import statistics
import threading
import time

WAITERS, OF_A_CALLER = 10_000, 100  # the bank lets so many of one caller wait
CALLERS = WAITERS // OF_A_CALLER
# All must have begun to wait by then, and be answered by the end of the other: the bank lets them wait for 25 seconds.
SETTLED_WITHIN, ANSWERED_WITHIN = 15, 15


def measure(name, bank, say):
    """Everybody waits for one of CALLERS accounts, into each of which money comes. Returns what makes the run void."""
    say(f"{name}: {CALLERS} users")
    callers = [bank.sign_up(f"waiter{number}") for number in range(CALLERS)]
    before_mb, before, began = bank.resident_mb(), bank.cpu_seconds(), time.monotonic()
    clients = connect(bank, callers)
    idle = settle(bank, began + SETTLED_WITHIN)
    waiting_mb, settled = bank.resident_mb(), bank.cpu_seconds()
    delays = wake(bank, callers, clients)
    for client in clients:
        client.close()
    say(f"{name}: {before_mb:.0f} MB, with {WAITERS} who wait {waiting_mb:.0f} MB; {settled - before:.1f} s of a core "
        f"to begin, then {idle:.2f} of a core")
    if len(delays) < WAITERS:
        return [f"{name}: {len(delays)} of {WAITERS} who waited had another balance within {ANSWERED_WITHIN} s"]
    cuts = statistics.quantiles(delays, n=100)
    p50, p99, most = (seconds * 1000 for seconds in (cuts[49], cuts[98], max(delays)))
    say(f"{name}: after the deposit  p50 {p50:.1f} ms  p99 {p99:.1f} ms  max {most:.1f} ms")
    return []


def connect(bank, callers):
    """Connections with a request that waits, each with its account."""
    host, port = bank.address.removeprefix("http://").split(":")
    clients = {}
    for number in range(WAITERS):
        account, token = callers[number % CALLERS]
        client = socket.create_connection((host, int(port)))
        client.sendall(waiting(account, token))
        clients[client] = account
    return clients


def settle(bank, until):
    """Waits until the bank is idle. Returns the share of a core that it uses then."""
    while True:
        before = bank.cpu_seconds()
        time.sleep(1)
        share = bank.cpu_seconds() - before
        if share < 0.2 or time.monotonic() > until:
            return share


def waiting(account, token):
    return (f"GET /balance?account_number={account} HTTP/1.1\r\nHost: bank\r\nAuthorization: Bearer {token}\r\n"
            "If-None-Match: \"0\"\r\nPrefer: wait=25\r\n\r\n").encode()


def wake(bank, callers, clients):
    """A deposit for each account, one after the other; the seconds from its beginning to each answer."""
    began = {}

    def deposit():
        for account, token in callers:
            began[account] = time.monotonic()
            bank.call("POST", "/deposit", {"account_number": account, "amount": "1"}, token)

    with selectors.DefaultSelector() as selector:
        for client, account in clients.items():
            selector.register(client, selectors.EVENT_READ, account)
        depositor = threading.Thread(target=deposit)
        depositor.start()
        delays, until = [], time.monotonic() + ANSWERED_WITHIN
        while len(delays) < WAITERS and time.monotonic() < until:
            for key, _ in selector.select(timeout=0.1):
                at = time.monotonic()
                selector.unregister(key.fileobj)
                if key.fileobj.recv(4_096).startswith(b"HTTP/1.1 200") and key.data in began:
                    delays.append(at - began[key.data])
        depositor.join()
    return delays
