"""kill -9 of the nodes of a Citus cluster, one after the other, while clients move money: workers and the coordinator.

    python3 tests/scaling/worker_kill.py BINARY DIRECTORY PORT DATABASE_URL [--kills 6] [--seed 1]

DIRECTORY and PORT are those of tests/scaling/cluster. Afterwards the client's journal is compared with the books, as by
tests/torture/run, and the doctor looks at them. What clients were told meanwhile is counted by status: 500 must not be there.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import csv
import io
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "torture"))
import bank as banks  # noqa: E402
import journal  # noqa: E402
from load import Load  # noqa: E402

CONNECTIONS = 12
# Before each kill, and while a node is away, in seconds.
SHORTEST, LONGEST = 0.3, 2.0
AWAY = 1.5
# What a node left prepared is committed by the coordinator within its `citus.recover_2pc_interval`.
RECOVERED_WITHIN = 60


class Spread:
    """Books of a database on the coordinator."""

    name = "PostgreSQL"

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        ended = subprocess.run(["psql", "-XqAt", "--csv", "-v", "ON_ERROR_STOP=1", self.url], input=sql, text=True,
                               capture_output=True, check=True)
        return [tuple(int(field) if field.lstrip("-").isdigit() else field for field in row)
                for row in csv.reader(io.StringIO(ended.stdout))]


class Node:
    """A server of the cluster."""

    def __init__(self, directory: pathlib.Path, name: str) -> None:
        self.name, self.data, self.log = name, directory / name, directory / f"{name}.log"
        self.programs = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=banks.version_of).parent
        self.user = "postgres" if os.getuid() == 0 else None

    def kill(self) -> None:
        postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
        processes = [postmaster, *banks.children_of(postmaster)]
        for pid in processes:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        # PostgreSQL does not start beside one that nobody has waited for yet.
        while any(pathlib.Path(f"/proc/{pid}").exists() for pid in processes):
            time.sleep(0.01)

    def start(self) -> None:
        subprocess.run([self.programs / "pg_ctl", "-D", self.data, "-l", self.log, "-w", "start"], user=self.user,
                       group=self.user, stdout=subprocess.DEVNULL, check=True, cwd=self.data)


def prepared(database: Spread) -> int:
    """Transactions that are prepared on a worker: what a commit has left there."""
    rows = database.query("select result from run_command_on_workers('select count(*) from pg_prepared_xacts')")
    return sum(int(row[0]) for row in rows)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("port", type=int)
    parser.add_argument("url")
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    settings = parser.parse_args()
    rng = random.Random(settings.seed)
    work = pathlib.Path(tempfile.mkdtemp(prefix="coffer-worker-kill-"))
    database = Spread(settings.url)
    bank = banks.Bank(settings.binary.resolve(), database, work / "bank", COFFER_SHARDED="true",
                      COFFER_LOG="info,coffer::access=info", COFFER_ACCESS_LOG="true", COFFER_LOG_FORMAT="json")
    nodes = [Node(settings.directory, name) for name in ("worker1", "worker2", "coordinator")]
    with banks.stopped_in_the_end(bank):
        await bank.start()
        load = Load(lambda: bank, work / "journal", f"scaling-{settings.seed}")
        await load.populate()
        async with load.running(CONNECTIONS):
            for kill in range(settings.kills):
                await asyncio.sleep(rng.uniform(SHORTEST, LONGEST))
                node = nodes[kill % len(nodes)]
                await asyncio.to_thread(node.kill)
                await asyncio.sleep(AWAY)
                began = time.monotonic()
                await asyncio.to_thread(node.start)
                await load.acknowledges_more()
                print(f"{node.name}: booked again after {time.monotonic() - began:.1f} s")
        await bank.becomes_ready()
        deadline = time.monotonic() + RECOVERED_WITHIN
        while (left := prepared(database)) and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
        assert not left, f"{left} transactions are still prepared"
        bank.kill()
    journal.examine(load.journal, bank, rng)
    statuses = collections.Counter(line.split('"status":')[1].split(",")[0]
                                   for line in (work / "bank/log").read_text().splitlines()
                                   if '"target":"coffer::access"' in line and '"method":"POST"' in line)
    print(load.journal.summary())
    print("answers by status:", dict(sorted(statuses.items())))
    assert not statuses["500"], f"see {work}/bank/log"


if __name__ == "__main__":
    asyncio.run(main())
