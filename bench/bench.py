"""The measurements behind bench/run: see there for what it is and how to call it.

Every figure of one run comes from one machine, in minutes, so ratios between them mean something; absolute numbers
mean something on that machine only. A machine's speed varies from minute to minute: so what is compared at 64 and 256
connections is measured in turn, several rounds of it, ratios are taken within a round, and the median counts. With fewer
connections each figure is measured once. The load generator (wrk) shares the cores with the server.
"""

import argparse
import concurrent.futures
import datetime
import glob
import json
import os
import pathlib
import platform
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import siege
import waiters

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = ROOT / "target/dist/coffer"
LOAD = ROOT / "bench/load.lua"
PASSWORD = "correct horse battery staple"
USERS, ACCOUNTS_PER_USER = 10, 100  # an owner may have 100 open accounts
LONG_HISTORY = 100_000
BATCH = 1_000
ROUNDS, SECONDS_PER_FIGURE = 3, 2
FEW, CROWD = (1, 32), 256
PGBENCH_SCALES = (10, 1)
IDLE_CONNECTIONS = 10_000
# Users in a siege: so many that the default limits on each are far from what the load generator asks for all of them.
SIEGE_USERS = 500
# What is limited by default, each of which the load generator alone would meet.
UNLIMITED = {f"COFFER_{name}": "0" for name in
             ("CALLER_RATE", "ADDRESS_RATE", "MOVEMENT_RATE", "MOVEMENTS_PER_DAY", "ACCOUNTS_PER_DAY", "CHANGES_PER_DAY",
              "SIGN_UPS_PER_HOUR", "CONNECTIONS_PER_NETWORK")}


def say(text):
    print(text, file=sys.stderr, flush=True)


class Cluster:
    """A throw-away PostgreSQL with its default durability: fsync and synchronous_commit on."""

    def __init__(self, directory):
        found = shutil.which("initdb") or sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))[-1]
        self.programs = pathlib.Path(found).resolve().parent
        self.version = version(self.programs / "postgres")
        self.directory = directory / "postgres"
        self.directory.mkdir()
        # PostgreSQL refuses to run as root, so root hands it to the user `postgres`.
        self.owner = []
        if os.getuid() == 0:
            directory.chmod(0o755)
            shutil.chown(self.directory, "postgres")
            self.owner = ["runuser", "-u", "postgres", "--"]
        data = str(self.directory / "data")
        self.run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8")
        options = f"-k {self.directory} -c listen_addresses= -c max_connections=200 -c shared_buffers=512MB -c max_wal_size=8GB"
        self.run("pg_ctl", "-D", data, "-o", options, "-l", str(self.directory / "log"), "-w", "start")
        self.url = f"postgres:///postgres?host={self.directory}&user=postgres"

    def run(self, program, *arguments):
        command = [*self.owner, str(self.programs / program), *arguments]
        return subprocess.run(command, cwd=self.directory, check=True, capture_output=True, text=True).stdout

    def prepare_pgbench(self, scale):
        socket = ["-h", str(self.directory), "-U", "postgres"]
        self.run("createdb", *socket, f"pgbench{scale}")
        self.run("pgbench", *socket, "-i", "-q", "-s", str(scale), f"pgbench{scale}")

    def pgbench(self, scale, seconds):
        """TPC-B transactions a second, 64 clients, prepared statements."""
        arguments = ["-h", str(self.directory), "-U", "postgres", "-M", "prepared", "-c", "64", "-j", "2",
                     "-T", str(seconds), f"pgbench{scale}"]
        tps = float(re.search(r"tps = ([\d.]+)", self.run("pgbench", *arguments))[1])
        say(f"pgbench TPC-B, scale {scale}: {tps:,.0f}/s")
        return tps

    def stop(self):
        self.run("pg_ctl", "-D", str(self.directory / "data"), "-m", "immediate", "stop")


class Bank:
    """The binary as it is published, as a process of its own."""

    def __init__(self, url, directory, **settings):
        self.url = url
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        self.environment = {"PATH": os.environ["PATH"], "DATABASE_URL": url, "COFFER_DATA_DIR": str(directory),
                            "COFFER_LISTEN": "127.0.0.1:0", **UNLIMITED, **settings}
        self.start()

    def start(self):
        started = time.monotonic()
        self.process = subprocess.Popen([BINARY], env=self.environment, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if "API" in line:
                self.address = line.split()[1]
                break
        self.call("GET", "/readyz")
        self.start_ms = (time.monotonic() - started) * 1000

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def call(self, method, path, body=None, token=None):
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.address + path, data, headers, method=method)
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    def resident_mb(self, peak=False):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+)", status)[1]) / 1024

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def doctor(self):
        return subprocess.run([BINARY, "doctor"], env=self.environment, capture_output=True, text=True)

    def sign_up(self, name):
        body = {"name": name, "email": f"{name}@example.com", "password": PASSWORD}
        account = self.call("POST", "/create_account", body)["account"]["account_number"]
        return account, self.sign_in(name)

    def sign_in(self, name):
        return self.call("POST", "/login", {"email": f"{name}@example.com", "password": PASSWORD})["access_token"]

    def deposit_batches(self, accounts_and_tokens, total):
        """Books `total` deposits in batches, round robin over the accounts; returns the seconds it took."""
        def batch(index):
            owner = accounts_and_tokens[index % len(accounts_and_tokens)]
            token, accounts = owner
            items = [{"type": "deposit", "account_number": accounts[i % len(accounts)], "amount": "1.00"}
                     for i in range(BATCH)]
            self.call("POST", "/transactions/batch", {"transactions": items, "atomic": True}, token)
        started = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(4) as workers:
            list(workers.map(batch, range(total // BATCH)))
        return time.monotonic() - started


class Bench:
    """One database's measurements."""

    def __init__(self, name, bank, directory, seconds):
        self.name, self.bank, self.directory, self.seconds = name, bank, directory, seconds
        self.rows, self.void, self.round = [], [], None

    def populate(self):
        say(f"{self.name}: {USERS * ACCOUNTS_PER_USER} accounts")
        self.owners = []
        for user in range(USERS):
            first, token = self.bank.sign_up(f"user{user}")
            accounts = [first]
            for _ in range(ACCOUNTS_PER_USER - 1):
                accounts.append(self.bank.call("POST", "/accounts", {}, token)["account_number"])
            self.owners.append((token, accounts))
        self.bank.deposit_batches(self.owners, USERS * BATCH)
        self.write_accounts()
        self.login = self.write("login", [f"{PASSWORD} user{user}@example.com\n" for user in range(USERS)])

    def sign_in_anew(self):
        """Tokens last for minutes."""
        self.owners = [(self.bank.sign_in(f"user{user}"), accounts) for user, (_, accounts) in enumerate(self.owners)]
        self.write_accounts()

    def write_accounts(self):
        everyone = [f"{token} {account}\n" for token, accounts in self.owners for account in accounts]
        self.accounts = self.write("accounts", everyone)

    def write(self, name, lines):
        path = self.directory / f"{self.name}-{name}"
        path.write_text("".join(lines))
        return path

    def populate_for_siege(self):
        """Many users with an account each, and one whose account has a long history. Then the bank gets its limits."""
        say(f"{self.name}: {SIEGE_USERS} users")
        self.owners = []
        with concurrent.futures.ThreadPoolExecutor(4) as workers:
            for account, token in workers.map(lambda user: self.bank.sign_up(f"user{user}"), range(SIEGE_USERS)):
                self.bank.call("POST", "/deposit", {"account_number": account, "amount": "1000000"}, token)
                self.owners.append((token, [account]))
        self.mallory = self.bank.sign_up("mallory")
        self.bank.deposit_batches([(self.mallory[1], [self.mallory[0]])], LONG_HISTORY)
        self.accounts = self.write("accounts", [f"{token} {account}\n" for token, [account] in self.owners])
        self.bank.stop()
        for name in UNLIMITED.keys() - {"COFFER_ADDRESS_RATE"}:
            del self.bank.environment[name]
        self.bank.start()

    def long_history(self):
        say(f"{self.name}: one account with {LONG_HISTORY} entries")
        account, token = self.bank.sign_up("historian")
        seconds = self.bank.deposit_batches([(token, [account])], LONG_HISTORY)
        self.history = self.write("history", [f"{token} {account}\n"])
        self.rows.append({"kind": "batch", "spread": "hot", "keyed": False, "connections": 4,
                          "per_second": LONG_HISTORY / seconds, "p50_ms": None, "p99_ms": None})

    def wrk(self, kind, connections, spread="spread", keyed=False, file=None):
        """One figure. A bad answer makes the whole run void."""
        arguments = [kind, str(file or self.accounts), spread, "keyed" if keyed else "plain", f"{time.time_ns()}"]
        threads = str(min(connections, 2))
        command = ["wrk", "-t", threads, "-c", str(connections), "-d", f"{self.seconds}s", "--latency", "--timeout", "10s",
                   "-s", str(LOAD), self.bank.address, "--", *arguments]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        result = json.loads(output.split("RESULT ")[1])
        bad = 0 if kind == "refused" else result["bad_status"]
        if bad or result["socket_errors"]:
            self.void.append(f"{self.name} {kind} {connections}: {result}")
        row = {"kind": kind, "spread": spread, "keyed": keyed, "connections": connections, "round": self.round,
               "per_second": result["requests"] / result["seconds"], "p50_ms": result["p50_us"] / 1000,
               "p99_ms": result["p99_us"] / 1000, "resident_mb": self.bank.resident_mb()}
        self.rows.append(row)
        say(f"{self.name}: {kind:9} {spread:7} {'keyed' if keyed else 'plain'} {connections:4}  "
            f"{row['per_second']:9.0f}/s  p50 {row['p50_ms']:8.2f} ms  p99 {row['p99_ms']:8.2f} ms  {row['resident_mb']:.0f} MB")
        return row["per_second"]

    def movements(self, connections):
        for kind in ("deposit", "withdraw", "transfer"):
            for spread in ("spread", "hot"):
                for keyed in (False, True):
                    self.wrk(kind, connections, spread, keyed)

    def measure(self, rounds, pgbench):
        """`pgbench` is called once a round and gives the transactions a second by scale, or nothing."""
        for connections in FEW:
            self.wrk("refused", connections)
            self.movements(connections)
            self.wrk("balance", connections)
        pgbench_rounds = []
        for self.round in range(rounds):
            pgbench_rounds.append(pgbench())
            for connections in (64, CROWD):
                self.wrk("refused", connections)
                self.wrk("balance", connections)
            self.movements(CROWD)
        self.rows = medians(self.rows, pgbench_rounds)
        self.pgbench = {scale: statistics.median(tps[scale] for tps in pgbench_rounds) for scale in pgbench_rounds[0]}
        self.long_history()
        for connections in (1, 64):
            self.wrk("history", connections, file=self.history)
        self.wrk("login", 2, file=self.login)
        self.peak_mb = self.bank.resident_mb(peak=True)
        self.idle_connections()

    def idle_connections(self):
        """Resident memory with many clients that have asked once and keep their connection."""
        host, port = self.bank.address.removeprefix("http://").split(":")
        clients = []
        for _ in range(IDLE_CONNECTIONS):
            client = socket.create_connection((host, int(port)))
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: bank\r\n\r\n")
            clients.append(client)
        answered = sum(client.recv(4_096).startswith(b"HTTP/1.1 200") for client in clients)
        self.idle_mb = self.bank.resident_mb()
        say(f"{self.name}: {answered} idle connections  {self.idle_mb:.0f} MB")
        if answered < IDLE_CONNECTIONS:
            self.void.append(f"{self.name}: {answered} of {IDLE_CONNECTIONS} connections were answered")
        for client in clients:
            client.close()

    def examine(self):
        report = self.bank.doctor()
        print(f"\ncoffer doctor on {self.name}:\n{report.stdout}{report.stderr}")
        if report.returncode:
            self.void.append(f"{self.name}: the books are wrong")

    def per_second(self, kind, connections, spread="spread", keyed=False):
        for row in self.rows:
            if (row["kind"], row["connections"], row["spread"], row["keyed"]) == (kind, connections, spread, keyed):
                return row["per_second"]
        raise KeyError(kind)


def medians(rows, pgbench):
    """One row for each kind of request, with kinds in the order in which they first came. `pgbench`: by round and scale."""
    def name(row):
        return row["kind"], row["spread"], row["keyed"], row["connections"]

    per_second = {(row["round"], *name(row)): row["per_second"] for row in rows}

    def ratio(row, **to):
        return row["per_second"] / per_second[row["round"], *name({**row, **to})]

    rounds = {}
    for row in rows:
        rounds.setdefault(name(row), []).append(row)
        if row["kind"] != "refused" and (row["round"], "refused", "spread", False, row["connections"]) in per_second:
            row["of_ceiling"] = ratio(row, kind="refused", spread="spread", keyed=False)
        if row["keyed"]:
            row["of_plain"] = ratio(row, keyed=False)
        if row["kind"] == "transfer":
            row["of_deposit"] = ratio(row, kind="deposit")
        if row["kind"] in ("deposit", "withdraw", "transfer") and row["connections"] == CROWD and pgbench[row["round"]]:
            row["of_pgbench"] = row["per_second"] / pgbench[row["round"]][1 if row["spread"] == "hot" else 10]
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    what = ("kind", "spread", "keyed", "connections")
    return [{figure: first[figure] if figure in what else statistics.median(row[figure] for row in [first, *others])
             for figure in first if figure != "round"}
            for first, *others in sorted(rounds.values(), key=lambda same: kinds.index(same[0]["kind"]))]


def table(benches, pgbench):
    lines = ["| | database | connections | requests/s | p50 ms | p99 ms | of the ceiling | of pgbench | of deposits "
             "| of those without a key | MB |", "|---|---|---|---|---|---|---|---|---|---|---|"]
    for bench in benches:
        for row in bench.rows:
            name = row["kind"] + (", one hot account" if row["spread"] == "hot" else "") + (", keyed" if row["keyed"] else "")
            number = lambda figure: "" if row.get(figure) is None else f"{row[figure]:.2f}"
            lines.append(f"| {name} | {bench.name} | {row['connections']} | {row['per_second']:,.0f} | {number('p50_ms')} | "
                         f"{number('p99_ms')} | {number('of_ceiling')} | {number('of_pgbench')} | {number('of_deposit')} | "
                         f"{number('of_plain')} | {row.get('resident_mb', 0):.0f} |")
    for scale, tps in pgbench.items():
        lines.append(f"| pgbench TPC-B, scale {scale} | PostgreSQL | 64 | {tps:,.0f} | | | | 1.00 | | | |")
    return "\n".join(lines)


def picture(benches, pgbench):
    """Horizontal bars for the README."""
    bars = []
    for bench in benches:
        bars.append((f"{bench.name}: refused before the ledger (ceiling)", bench.per_second("refused", CROWD), "#9aa5b1"))
        for kind, spread, label in [("deposit", "spread", "deposit, 1,000 accounts"), ("deposit", "hot", "deposit, one hot account"),
                                    ("transfer", "spread", "transfer, 1,000 accounts")]:
            bars.append((f"{bench.name}: {label}", bench.per_second(kind, CROWD, spread), "#2f6f9f"))
    bars.append(("pgbench TPC-B, scale 10", pgbench[10], "#c98b2b"))
    bars.append(("pgbench TPC-B, scale 1 (hot)", pgbench[1], "#c98b2b"))
    longest = max(value for _, value, _ in bars)
    height = 26 * len(bars) + 40
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 {height}" font-family="sans-serif" font-size="13">',
             f'<rect width="860" height="{height}" fill="#ffffff"/>',
             '<text x="10" y="20" fill="#222">Requests per second, 256 connections, durable commits, 2 cores shared with the load generator</text>']
    for index, (label, value, colour) in enumerate(bars):
        y, width = 34 + 26 * index, 430 * value / longest
        parts.append(f'<text x="330" y="{y + 14}" text-anchor="end" fill="#222">{label}</text>'
                     f'<rect x="338" y="{y}" width="{width:.1f}" height="19" fill="{colour}"/>'
                     f'<text x="{345 + width:.1f}" y="{y + 14}" fill="#222">{value:,.0f}</text>')
    return "\n".join(parts) + "\n</svg>\n"


def growth(directory, seconds, millions):
    """Throughput and p99 as the ledger grows, in turn with an empty one's, and how long a start takes on it."""
    benches = [opened(name, directory, seconds) for name in ("grown", "empty")]
    grown, empty = benches
    bank, entries, results = grown.bank, USERS * BATCH, []
    for target in millions:
        grow = int(target * 1e6) - entries
        if grow > 0:
            say(f"growing to {target} million entries")
            took = bank.deposit_batches(grown.owners, grow)
            say(f"  {grow / took:,.0f} movements/s")
            entries += grow // BATCH * BATCH
            bank.stop()
            bank.start()
        per_second = []
        for bench in benches:
            bench.sign_in_anew()
            per_second.append(bench.wrk("deposit", CROWD))
        wal_mb = (directory / "grown/bank.db-wal").stat().st_size / 2**20
        results.append({**grown.rows[-1], "millions": target, "start_ms": bank.start_ms, "wal_mb": wal_mb,
                        "of_empty": per_second[0] / per_second[1]})
        entries += int(per_second[0] * seconds)
    print("\n| million entries | deposits/s | of an empty bank | p99 ms | start to ready, ms | write-ahead log, MiB | MB |\n"
          "|---|---|---|---|---|---|---|")
    for row in results:
        print(f"| {row['millions']:g} | {row['per_second']:,.0f} | {row['of_empty']:.2f} | {row['p99_ms']:.1f} | "
              f"{row['start_ms']:.0f} | {row['wal_mb']:.0f} | {row['resident_mb']:.0f} |")
    for bench in benches:
        bench.examine()
        bench.bank.stop()
    return grown.void + empty.void


def opened(name, directory, seconds):
    """A new bank on SQLite in a directory of its own, with accounts."""
    home = directory / name
    home.mkdir()
    bench = Bench(name, Bank(f"sqlite://{home}/bank.db", home), directory, seconds)
    bench.populate()
    return bench


def besieged(directory, seconds):
    bank = Bank(f"sqlite://{directory}/siege.db", directory, COFFER_TRUSTED_PROXIES="127.0.0.1")
    bench = Bench("SQLite", bank, directory, seconds)
    try:
        bench.populate_for_siege()
        siege.measure(bench, say)
        bench.examine()
    finally:
        bank.stop()
    return bench.void


def watched(directory):
    cluster = Cluster(directory)
    void = []
    try:
        for name, url in [("SQLite", f"sqlite://{directory}/waiters.db"), ("PostgreSQL", cluster.url)]:
            bank = Bank(url, directory)
            try:
                void += waiters.measure(name, bank, say)
            finally:
                bank.stop()
    finally:
        cluster.stop()
    return void


def version(program):
    """What a program says of itself."""
    return subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.strip()


def machine():
    """What the figures depend on, so that nobody compares those of two machines."""
    names = re.findall(r"^(?:model name|Model)\s*:\s*(.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory_kib = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1])
    return {"cores": os.cpu_count(), "processor": names[0] if names else platform.machine(),
            "memory_gib": round(memory_kib / 2**20), "system": platform.platform()}


def compare(directory, rounds, keep):
    cluster = Cluster(directory)
    try:
        for scale in PGBENCH_SCALES:
            cluster.prepare_pgbench(scale)
        benches = []
        for name, url, pgbench in [
            ("SQLite", f"sqlite://{directory}/coffer.db", dict),
            ("PostgreSQL", cluster.url, lambda: {scale: cluster.pgbench(scale, SECONDS_PER_FIGURE) for scale in PGBENCH_SCALES}),
        ]:
            bench = Bench(name, Bank(url, directory), directory, SECONDS_PER_FIGURE)
            try:
                bench.populate()
                bench.measure(rounds, pgbench)
                bench.examine()
            finally:
                bench.bank.stop()
            benches.append(bench)
    finally:
        cluster.stop()
    pgbench = benches[-1].pgbench
    print(table(benches, pgbench))
    void = [line for bench in benches for line in bench.void]
    if keep and not void:
        result = {"date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(), "version": version(BINARY),
                  "machine": machine(), "postgresql": cluster.version, "pgbench": pgbench,
                  "peak_mb": {bench.name: bench.peak_mb for bench in benches},
                  "idle_mb": {bench.name: bench.idle_mb for bench in benches},
                  "rows": [{"database": bench.name, **row} for bench in benches for row in bench.rows]}
        (ROOT / "bench/results.json").write_text(json.dumps(result, indent=1) + "\n")
        (ROOT / "bench/results.svg").write_text(picture(benches, pgbench))
    return void


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--siege", action="store_true")
    parser.add_argument("--waiters", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--millions", default="0,1,3,10")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="coffer-bench-") as directory:
        directory = pathlib.Path(directory)
        if arguments.siege:
            void = besieged(directory, 10)
        elif arguments.waiters:
            void = watched(directory)
        elif arguments.growth:
            void = growth(directory, 5, [float(number) for number in arguments.millions.split(",")])
        else:
            void = compare(directory, 1 if arguments.quick else ROUNDS, keep=not arguments.quick)
    for line in void:
        print(f"VOID: {line}")
    sys.exit(1 if void else 0)


if __name__ == "__main__":
    main()
