"""A card in a reader: looked at by whoever finds it, without booting it.

Promise: ``examine`` names what is wrong with a card that is out of its machine: with the FAT, with the data partition
after what each start does (its journal, e2fsck's preen), with the database in it. ``untouched`` tells whether a slot
has the very octets of the image that was flashed, ``writers`` which files a record of writes went to. All of it looks
at copies of partitions, so that the next start finds the card as it was.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import subprocess
from collections import Counter
from typing import TYPE_CHECKING, Final

from hil.card.cuts import SECTOR, extract
from image.building import missing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hil.card.cuts import Disk, Entry, Loss

__all__ = [
    "DATA",
    "FAT",
    "SLOT_A",
    "SLOT_B",
    "data_after",
    "examine",
    "examine_data",
    "needed",
    "partition",
    "untouched",
    "writers",
]

FAT, SLOT_A, SLOT_B, DATA = range(4)
"""The partitions, in their order on the card."""
DATABASE: Final = "/modemhub/modemhub.db"
"""On the data partition."""
PIECE: Final = 1 << 20
BUSY: Final = "Feature orphan_present is set but orphan file is clean."
"""No damage: the kernel sets the flag when it mounts and takes it away when it unmounts; e2fsck 1.47.0 leaves it there
when it has played the journal."""
COMMANDS: Final = {"e2fsck": "e2fsprogs", "debugfs": "e2fsprogs", "fsck.vfat": "dosfstools"}
"""What it needs, and Debian's package of it."""


def needed() -> str | None:
    """Why no card can be examined here, or None."""
    return missing(COMMANDS)


def partition(card: Path, number: int) -> range:
    """Its octets, by the MBR."""
    with card.open("rb") as file:
        file.seek(446 + 16 * number + 8)
        first, count = struct.unpack("<II", file.read(8))
    return range(first * SECTOR, (first + count) * SECTOR)


def data_after(disk: Disk, count: int, seed: int | str, copy: Path) -> Loss:
    """Make ``copy`` the data partition as a cut after so many requests may have left it; ``Disk.after``."""
    disk.after(count, seed, part=range(SECTOR), copy=copy)  # the first start moves the partition's end
    return disk.after(count, seed, part=partition(copy, DATA), copy=copy)


def _complaint(argv: list[str], fine: set[int]) -> list[str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode in fine:
        return []
    return [f"{argv[0]} {argv[1]} of {argv[-1].rpartition('/')[2]}: {done.returncode}\n{done.stdout}{done.stderr}"]


def examine(card: Path, scratch: Path) -> list[str]:
    """What is wrong with a card that is out of its machine; ``scratch`` is a directory for copies."""
    fat, data, database = scratch / "fat.img", scratch / "data.img", scratch / "examined.db"
    try:
        extract(card, partition(card, FAT), fat)
        extract(card, partition(card, DATA), data)
        return [*_complaint(["fsck.vfat", "-n", str(fat)], {0}), *examine_data(data, database)]
    finally:
        for file in (fat, data, database, *scratch.glob("examined.db-*")):
            file.unlink(missing_ok=True)


def examine_data(data: Path, database: Path) -> list[str]:
    """What is wrong with a data partition; it is repaired as at each start, and its database is copied out of it."""
    return [
        # 1: errors were corrected, of those that need nobody's decision
        *_complaint(["e2fsck", "-p", str(data)], {0, 1}),
        *_damage(data),
        *_database(data, database),
    ]


def _damage(data: Path) -> list[str]:
    """What a full check finds."""
    done = subprocess.run(["e2fsck", "-fn", data], capture_output=True, text=True, check=False)
    asked = [line for line in done.stdout.splitlines() if line.endswith("? no")]
    if done.returncode == 0 or (done.returncode == 4 and asked == ["Clear? no"] and BUSY in done.stdout):
        return []
    return [f"e2fsck -fn: {done.returncode}\n{done.stdout}{done.stderr}"]


def _database(data: Path, copy: Path) -> list[str]:
    for end in ("", "-wal"):
        dump = f"dump {DATABASE}{end} {copy}{end}"
        subprocess.run(["debugfs", "-R", dump, str(data)], capture_output=True, check=False)
    if not copy.exists() or not copy.stat().st_size:
        return []  # the first start had not come so far
    with contextlib.closing(sqlite3.connect(copy)) as db:
        try:
            found = [row[0] for row in db.execute("PRAGMA integrity_check")]
        except sqlite3.DatabaseError as error:
            found = [str(error)]
    return [] if found == ["ok"] else [f"the database: {found}"]


def writers(disk: Disk, requests: Iterable[Entry], data: Path) -> Counter[str]:
    """Who wrote how many octets: a file of the data partition, its journal or its other structures, or a partition.

    The guest was told to flush; ``data`` becomes its data partition.
    """
    now = len(disk.requests())
    disk.after(now, 0, part=range(SECTOR), copy=data)
    places = [partition(data, number) for number in range(4)]
    disk.after(now, 0, part=places[DATA], copy=data)
    told: Counter[str] = Counter()
    size = _block_size(data)
    blocks: Counter[int] = Counter()
    for entry in requests:
        at, octets = entry.sector * SECTOR, entry.count * SECTOR
        number = next((n for n, place in enumerate(places) if at in place), None)
        if number == DATA:
            first = at - places[DATA].start
            blocks.update(range(first // size, (first + octets - 1) // size + 1))
        elif octets:
            told["outside of all partitions" if number is None else f"partition {number + 1}"] += octets
    inodes = _asked(data, "icheck", blocks)
    names = _asked(data, "ncheck", {inode for inode in inodes.values() if inode.isdigit()})
    for block, times in blocks.items():
        inode = inodes.get(str(block), "")
        name = {"8": "the journal"}.get(inode) or names.get(inode) or "structures of the file system"
        told[name] += times * size
    return told


def _block_size(data: Path) -> int:
    with data.open("rb") as file:
        file.seek(1024 + 24)  # s_log_block_size
        (log,) = struct.unpack("<I", file.read(4))
    return 1024 << int(log)


def _asked(data: Path, question: str, about: Iterable[object]) -> dict[str, str]:
    """What debugfs says of each in two columns; the second as a path, where it is one."""
    lines: list[str] = []
    words = list(map(str, about))
    for start in range(0, len(words), 1000):
        argv = ["debugfs", "-R", " ".join((question, *words[start : start + 1000])), str(data)]
        lines += subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    return dict(line.split("\t", 1) for line in lines if "\t" in line)


def untouched(card: Path, image: Path, number: int) -> bool:
    """Whether a partition has the very octets of the image."""
    part = partition(image, number)
    if partition(card, number) != part:
        return False
    with card.open("rb") as one, image.open("rb") as other:
        return all(
            os.pread(one.fileno(), PIECE, at) == os.pread(other.fileno(), PIECE, at)
            for at in range(part.start, part.stop, PIECE)
        )
