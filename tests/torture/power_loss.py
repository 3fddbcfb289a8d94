"""Power cuts on SQLite: thousands of disks as a power cut could have left them, each opened and compared.

A library that is preloaded into the bank (power_loss.c) records what SQLite does to its files while a client moves
money. A power cut is a point in that recording. What the disk holds then is what was synced, and of what was written
since to each file any of these: nothing, all, the first writes and a part of the next, or any sectors of any writes in
any order. Names of files are as they were when the directory was last synced, or as they became later.

Each such disk is opened by SQLite, whose check must find it whole. What had been acknowledged before the cut must be
there, exactly once; what had been refused must not; nor what had not been sent yet. Of every fiftieth the doctor looks
at the books in place of SQLite alone, as the first to open them. And none must look like a copy without its log, which no
bank would serve. Meanwhile people are erased, which empties the log.

The recording has the beginning of the books, an end by SIGTERM, which removes the log, another start, kill -9, and a
start that finds the log; a client's times and the recording's are of one clock. In the end the files must be what the
recording makes of them: nothing of them was written in any other way.

Control: a disk that says that it has synced, and has not. Acknowledged movements must be missed.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import itertools
import multiprocessing
import os
import pathlib
import random
import shutil
import sqlite3
import struct
import traceback
from dataclasses import dataclass, field, replace

import journal
from bank import PASSWORD, Bank, Broken, SqliteFile, stopped_in_the_end
from context import HERE, Run
from load import Load, Movement

QUICK_POINTS, LONG_POINTS, CONTROL_POINTS = 300, 10_000, 40
# The client's work between two ends of the bank: so many seconds, or so many movements, whichever comes first. All of
# it is looked at on each disk.
QUICK_SECONDS, LONG_SECONDS, CONTROL_SECONDS = 1.0, 15.0, 0.2
QUICK_MOVEMENTS, LONG_MOVEMENTS = 1_500, 4_000
CONNECTIONS = 8
DOCTOR_EVERY = 50
# Between two ends of the bank, so many people are erased. The power is cut before each of so many operations after one
# that empties the log: few operations do.
ERASED, CUTS_AFTER_EMPTYING = 3, 8
# What a disk writes whole, or not at all.
SECTOR = 512
DATABASE, WAL, JOURNAL, DIRECTORY = 1, 2, 3, 4
SUFFIXES = {DATABASE: "", WAL: "-wal", JOURNAL: "-journal"}
RECORD = struct.Struct("<cBHIQQ")
CAN_BE_MISSED = "was acknowledged, and is lost"
# In SQLite's header, and of a file that is served, as core/src/db/serving.rs says.
MARK_OFFSET, SERVED = 60, 1


@dataclass(frozen=True)
class Operation:
    """A record of power_loss.c."""

    kind: str
    file: int
    offset: int
    began: int
    data: bytes


def read_recording(file: pathlib.Path) -> list[Operation]:
    content, at, operations = file.read_bytes(), 0, []
    while at < len(content):
        kind, of, _, length, offset, began = RECORD.unpack_from(content, at)
        at += RECORD.size
        operations.append(Operation(kind.decode(), of, offset, began, content[at:at + length]))
        at += length
    return operations


@dataclass
class Inode:
    """A file: what is durable of it, and what was done to it since it was synced."""

    durable: bytearray = field(default_factory=bytearray)
    since: list[Operation] = field(default_factory=list)

    def sync(self) -> None:
        for operation in self.since:
            apply(operation, self.durable)
        self.since.clear()

    def after_a_cut(self, rng: random.Random) -> bytearray:
        """What may be left of it."""
        content = bytearray(self.durable)
        if rng.random() < 0.5:
            keep_the_first(self.since, content, rng)
        else:
            keep_any(self.since, content, rng)
        return content


def apply(operation: Operation, content: bytearray) -> None:
    if operation.kind == "t":
        resize(content, operation.offset)
    else:
        write(content, operation.offset, operation.data)


def write(content: bytearray, offset: int, data: bytes | memoryview) -> None:
    if len(content) < offset:
        resize(content, offset)
    content[offset:offset + len(data)] = data


def resize(content: bytearray, size: int) -> None:
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


def keep_the_first(operations: list[Operation], content: bytearray, rng: random.Random) -> None:
    """In order, up to any of them, of which the first sectors are kept: none and all are among the cases."""
    count = rng.randint(0, len(operations))
    for operation in operations[:count]:
        apply(operation, content)
    if count < len(operations) and operations[count].kind == "w":
        torn = operations[count]
        write(content, torn.offset, torn.data[:sectors(torn, rng.randint(0, len(torn.data) // SECTOR))])


def sectors(operation: Operation, count: int) -> int:
    """The length of so many sectors of a write, which need not begin with one."""
    return max(0, count * SECTOR - operation.offset % SECTOR)


def keep_any(operations: list[Operation], content: bytearray, rng: random.Random) -> None:
    """Each sector of each write, or not. A later write to the same sector may be kept where an earlier one is lost, and
    the other way round."""
    share = rng.choice((0.1, 0.5, 0.9))
    pieces = [piece for operation in operations for piece in split(operation) if rng.random() < share]
    if rng.random() < 0.5:
        rng.shuffle(pieces)
    for piece in pieces:
        apply(piece, content)


def split(operation: Operation) -> list[Operation]:
    if operation.kind == "t":
        return [operation]
    begin, end = operation.offset, operation.offset + len(operation.data)
    borders = [begin, *range((begin // SECTOR + 1) * SECTOR, end, SECTOR), end]
    return [replace(operation, offset=a, data=operation.data[a - begin:b - begin])
            for a, b in itertools.pairwise(borders)]


@dataclass
class Disk:
    """The files of a database as they are while the power is on, and as they may be when it goes."""

    durable_names: dict[int, Inode] = field(default_factory=dict)
    names: dict[int, Inode] = field(default_factory=dict)
    # What has become of the names since the directory was synced, step by step.
    names_since: list[dict[int, Inode]] = field(default_factory=list)

    def take(self, operation: Operation) -> None:
        match operation.kind:
            case "c":
                self.rename({**self.names, operation.file: Inode()})
            case "u":
                self.rename({file: inode for file, inode in self.names.items() if file != operation.file})
            case "s" if operation.file == DIRECTORY:
                self.durable_names, self.names_since = self.names, []
            case "s":
                self.names[operation.file].sync()
            case "w" | "t":
                self.names[operation.file].since.append(operation)

    def rename(self, names: dict[int, Inode]) -> None:
        self.names = names
        self.names_since.append(names)

    def after_a_cut(self, rng: random.Random) -> dict[int, bytearray]:
        names = rng.choice([self.durable_names, *self.names_since])
        return {file: inode.after_a_cut(rng) for file, inode in names.items()}

    def as_it_is(self) -> dict[int, bytearray]:
        """With the power on."""
        contents = {}
        for file, inode in self.names.items():
            inode.sync()
            contents[file] = inode.durable
        return contents


def write_files(contents: dict[int, bytearray], database: pathlib.Path) -> None:
    for file, content in contents.items():
        pathlib.Path(f"{database}{SUFFIXES[file]}").write_bytes(content)


@dataclass
class Cuts:
    """What the processes that look at the disks share."""

    bank: Bank
    operations: list[Operation]
    movements: list[Movement]
    points: list[int]
    seed: str
    directory: pathlib.Path

    def known_at(self, time: int) -> list[Movement]:
        """What had been sent by then, and what clients had been told of it."""
        count = bisect.bisect_left(self.movements, time, key=lambda movement: movement.sent_at)
        return [movement if movement.told_at < time else replace(movement, told="unknown", id=None)
                for movement in self.movements[:count]]

    def look_and_tell(self, worker: int, workers: int, found: multiprocessing.SimpleQueue[list[str]]) -> None:
        """In a process of its own."""
        try:
            found.put(self.look(worker, workers))
        except BaseException:
            found.put([traceback.format_exc()])
            raise

    def look(self, worker: int, workers: int) -> list[str]:
        """What is wrong with the disks of every so many points, each in words."""
        disk, wrong, done = Disk(), [], 0
        for number, point in enumerate(self.points):
            for operation in self.operations[done:point]:
                disk.take(operation)
            done = point
            if number % workers != worker:
                continue
            directory = self.directory / f"disk{number}"
            directory.mkdir()
            database = SqliteFile(directory / "coffer.db")
            write_files(disk.after_a_cut(random.Random(f"{self.seed}-{point}")), database.file)
            found = self.wrong_on(database, self.operations[point].began, number % DOCTOR_EVERY == 0)
            if not found:
                shutil.rmtree(directory)
            wrong += [f"cut before operation {point}, {directory}: {fault}" for fault in found]
        return wrong

    def wrong_on(self, database: SqliteFile, cut_at: int, is_for_the_doctor: bool) -> list[str]:
        if lacks_its_log(database.file):
            return ["it looks like a copy without its log"]
        known = self.known_at(cut_at)
        has_books = any(movement.told == "ok" for movement in known)
        if is_for_the_doctor and has_books and database.file.exists():
            try:
                self.bank.doctor(database)
            except Broken as broken:
                return [str(broken)]
        try:
            with contextlib.closing(sqlite3.connect(database.file)) as connection:
                # Nobody cuts the power now.
                connection.execute("pragma synchronous = off")
                check = connection.execute("pragma integrity_check").fetchall()
                if check != [("ok",)]:
                    return [f"SQLite finds: {check[:3]}"]
                has_tables = connection.execute("select 1 from sqlite_schema where name = 'transactions'").fetchall()
                return journal.differences(known, journal.history(database) if has_tables else [])
        except sqlite3.Error as error:
            return [f"SQLite: {error}"]


def lacks_its_log(database: pathlib.Path) -> bool:
    """Whether a bank would say so."""
    log = pathlib.Path(f"{database}-wal")
    if not database.exists() or (log.exists() and log.stat().st_size):
        return False
    return database.read_bytes()[MARK_OFFSET:MARK_OFFSET + 4] == SERVED.to_bytes(4, "big")


async def erase_people(run: Run, bank: Bank, admin: str) -> None:
    for _ in range(ERASED):
        email = f"erased-{run.rng.getrandbits(64):x}@example.com"
        opened = await bank.expect("POST", "/create_account", {"name": "Erased", "email": email, "password": PASSWORD})
        token = await bank.sign_in(email)
        await bank.expect("DELETE", f"/accounts/{opened['account']['account_number']}", token=token)
        await bank.expect("POST", f"/users/{opened['user']['id']}/erase", token=admin)


async def record(run: Run, name: str, seconds: float, **environment: str) -> tuple[Bank, Load, list[Operation]]:
    """Books from their beginning, closed and opened again, killed and opened again, with a client at work."""
    database = run.sqlite(name)
    recording = run.directory / f"{name}.recording"
    bank = run.bank(database, f"bank-{name}", LD_PRELOAD=str(run.library(HERE / "power_loss.c")),
                    POWER_LOSS_FILE=str(database.file), POWER_LOSS_LOG=str(recording), **environment)
    with stopped_in_the_end(bank):
        await bank.start()
        load = run.load(lambda: bank, name)
        await load.populate()
        admin = await bank.create_admin("admin@example.com")

        async def work() -> None:
            movements = run.choose(QUICK_MOVEMENTS, LONG_MOVEMENTS)
            await asyncio.gather(load.run_for(seconds, CONNECTIONS, movements), erase_people(run, bank, admin))

        await work()
        await bank.terminate()
        await bank.start()
        await work()
        bank.kill()
        await bank.start()
        await work()
        bank.kill()
    operations = read_recording(recording)
    is_whole(operations, database)
    return bank, load, operations


def is_whole(operations: list[Operation], database: SqliteFile) -> None:
    """Raises Broken unless the recording makes the files that there are."""
    disk = Disk()
    for operation in operations:
        disk.take(operation)
    for file, content in disk.as_it_is().items():
        if pathlib.Path(f"{database.file}{SUFFIXES[file]}").read_bytes() != content:
            raise Broken(f"{database.file}{SUFFIXES[file]} was written in a way that is not recorded")


def after_emptied_log(operations: list[Operation]) -> set[int]:
    emptied = [at for at, operation in enumerate(operations) if operation.kind == "t" and operation.file == WAL]
    return {cut for at in emptied for cut in range(at, at + CUTS_AFTER_EMPTYING) if cut < len(operations)}


def some_points(run: Run, operations: list[Operation], count: int) -> set[int]:
    return set(run.rng.sample(range(len(operations)), min(count, len(operations))))


def look_at_all(run: Run, bank: Bank, load: Load, operations: list[Operation], cuts_at: set[int]) -> list[str]:
    """Cuts the power at each of these points, in a process for each core. Returns all that is wrong."""
    points = sorted(cuts_at)
    movements = sorted(load.journal.movements, key=lambda movement: movement.sent_at)
    cuts = Cuts(bank, operations, movements, points, run.seed, pathlib.Path(run.directory))
    workers = os.cpu_count() or 1
    context = multiprocessing.get_context("fork")
    found: multiprocessing.SimpleQueue[list[str]] = context.SimpleQueue()
    processes = [context.Process(target=cuts.look_and_tell, args=(worker, workers, found)) for worker in range(workers)]
    for process in processes:
        process.start()
    wrong = [fault for _ in processes for fault in found.get()]
    for process in processes:
        process.join()
    return wrong


async def attack(run: Run) -> str:
    bank, load, operations = await record(run, "honest", run.choose(QUICK_SECONDS, LONG_SECONDS))
    emptied = after_emptied_log(operations)
    if not emptied:
        raise Broken("the log was never emptied: nobody was erased")
    points = some_points(run, operations, run.choose(QUICK_POINTS, LONG_POINTS)) | emptied
    wrong = look_at_all(run, bank, load, operations, points)
    if wrong:
        raise Broken(f"{len(wrong)} faults, first: " + "; ".join(wrong[:journal.MAX_NAMED]))
    journal.examine(load.journal, bank, run.rng)
    syncs = sum(operation.kind == "s" for operation in operations)
    logs = sum(operation.kind == "w" and operation.file == WAL and operation.offset == 0 for operation in operations)
    return (f"{len(points):,} power cuts in {len(operations):,} operations ({syncs:,} syncs, {logs} beginnings of the log); "
            f"{load.journal.summary()}; control: {await lies_are_found(run)} missed")


async def lies_are_found(run: Run) -> int:
    """How many acknowledged movements are missed after power cuts on a disk that says that it has synced."""
    bank, load, operations = await record(run, "lying", CONTROL_SECONDS, POWER_LOSS_LIES="1")
    wrong = look_at_all(run, bank, load, operations, some_points(run, operations, CONTROL_POINTS))
    missed = sum(CAN_BE_MISSED in fault for fault in wrong)
    if not missed:
        raise Broken("a control has failed: a disk that lies loses nothing that was acknowledged")
    return missed
