"""Movements a second over REST on a Citus cluster and on one PostgreSQL with the same binary, in turn.

    python3 tests/scaling/measure.py BINARY CITUS_URL PLAIN_URL [--seconds 8] [--rounds 2] [--connections 256] [--writers 2]

Both databases are migrated and empty of customers, and the first one is distributed (packaging/citus/distribute.sql). Transfers
within one shard are between accounts of one shard. See tests/scaling/run, which calls this.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
import bench  # noqa: E402

# Of a thousand accounts over 8 shards these are about 125: enough to be no hot ones.
SELECT_ONE_SHARD = """select account_number from accounts
    where get_shard_id_for_distribution_column('accounts', account_number)
        = (select get_shard_id_for_distribution_column('accounts', min(account_number)) from accounts)"""


def one_shard(url, everyone):
    """The lines of those accounts that lie on one shard."""
    found = subprocess.run(["psql", "-X", "-At", url, "-c", SELECT_ONE_SHARD], check=True, capture_output=True, text=True)
    numbers = {number.zfill(14) for number in found.stdout.split()}
    return [line for line in everyone if line.split()[1] in numbers]


def opened(name, url, binary, directory, settings, seconds):
    bench.BINARY = binary
    home = directory / name
    home.mkdir()
    bank = bench.Bank(url, home, COFFER_LEDGER_WRITERS=str(settings.writers),
                      **({"COFFER_SHARDED": "true"} if name == "citus" else {}))
    it = bench.Bench(name, bank, directory, seconds)
    it.populate()
    return it


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("citus")
    parser.add_argument("plain")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--writers", type=int, default=2)
    settings = parser.parse_args()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="coffer-scaling-"))
    banks = [opened(name, url, settings.binary.resolve(), directory, settings, settings.seconds)
             for name, url in (("citus", settings.citus), ("plain", settings.plain))]
    citus, plain = banks
    citus.one_shard = citus.write("one-shard", one_shard(settings.citus, citus.accounts.read_text().splitlines(True)))
    # As many accounts: what is compared is where they lie.
    some = plain.accounts.read_text().splitlines(True)[:len(citus.one_shard.read_text().splitlines())]
    plain.one_shard = plain.write("one-shard", some)
    figures = {}
    for _ in range(settings.rounds):
        for it in banks:
            for what, kind, spread, file in (
                    ("deposits", "deposit", "spread", None), ("transfers over all shards", "transfer", "spread", None),
                    ("transfers within one shard", "transfer", "spread", it.one_shard),
                    ("deposits on one account", "deposit", "hot", None), ("balances", "balance", "spread", None),
                    ("pages of history", "history", "spread", None)):
                connections = settings.connections if kind != "history" else 16
                figures.setdefault((what, it.name), []).append(it.wrk(kind, connections, spread, file=file))
    print(f"{'a second':28}{'citus':>10}{'plain':>10}")
    for what in dict.fromkeys(what for what, _ in figures):
        values = [statistics.median(figures[what, it.name]) for it in banks]
        print(f"{what:28}{values[0]:10,.0f}{values[1]:10,.0f}")
    for it in banks:
        it.examine()
        it.bank.stop()
    print("\n".join(wrong for it in banks for wrong in it.void))
    sys.exit(any(it.void for it in banks))


if __name__ == "__main__":
    main()
