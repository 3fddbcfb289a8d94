"""Every fault that a bank must live through, one after the other: see tests/torture/run for how to call it.

Each fault is a file with a function `attack`, which raises `Broken` or says in a line what it did. Its docstring says
what it proves, and by which control: a situation that is broken on purpose, in which the check must fail.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import pathlib
import resource
import secrets
import shutil
import signal
import sys
import tempfile
import time
import traceback

from context import Run, Shared

FAULTS = ["kill", "power_loss", "postgres_kill", "failover", "pgbouncer", "instances", "sigterm", "vanishing", "full_disk", "jepsen_bank",
          "clocks", "upgrade", "soak"]
# This one takes a second binary.
WITH_OLDER = "rolling_upgrade"


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/torture/run", description=__doc__)
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--long", action="store_true", help="as often as the name of a proof deserves: hours")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9), help="of a run that is to be repeated")
    parser.add_argument("--older", type=pathlib.Path, help=f"the binary of the release before, for {WITH_OLDER}")
    parser.add_argument("faults", nargs="*", metavar="NAME", help=f"of these alone: {', '.join(FAULTS)}")
    arguments = parser.parse_intermixed_args()
    faults = [*FAULTS, WITH_OLDER] if arguments.older else FAULTS
    if unknown := set(arguments.faults) - set(faults):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}, and with --older "
                     f"{WITH_OLDER}")
    # Whoever is told to end ends what it has started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="coffer-torture-"))
    shared = Shared(arguments.binary.resolve(), directory, arguments.older and arguments.older.resolve())
    began = time.monotonic()
    try:
        failed = [name for name in arguments.faults or faults if not survives(shared, name, arguments)]
    finally:
        shared.stop()
    print(f"seed {arguments.seed}, {time.monotonic() - began:.0f} s in all", flush=True)
    if failed:
        print(f"FAILED: {', '.join(failed)}; the seed is {arguments.seed}, and {directory} has what is left of it")
        return 1
    shutil.rmtree(directory)
    return 0


def survives(shared: Shared, name: str, arguments: argparse.Namespace) -> bool:
    run = Run(shared, name, arguments.seed, arguments.long)
    began = time.monotonic()
    try:
        said = asyncio.run(importlib.import_module(name).attack(run))
    except Exception:
        print(f"{name}: FAILED\n{traceback.format_exc()}", flush=True)
        return False
    print(f"{name}: {said} ({time.monotonic() - began:.1f} s)", flush=True)
    run.remove()
    return True


if __name__ == "__main__":
    sys.exit(main())
