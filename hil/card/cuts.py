"""Power cuts that are as bad as real ones: what a disk may hold when its power went.

Killing QEMU is too kind. What the guest wrote and never flushed is in this host's memory, and survives; on a card it is
in a cache without power. A file system, a database or an updater that forgets a flush passes every such test.

Promise: between two cuts every write and every flush of the guest is recorded in order. ``Disk.cut`` then makes the
image as a power cut may have left it: what was written before the last completed flush is there; of what was written
later any part may be, down to single sectors of one write (a torn write); a sector is old or new, never a mixture. The
same record and the same seed give the same disk. The image is changed in place, stays sparse, and boots again.

It does not model a card that lies about flushes, loses what it once held, or harms a neighbouring sector: no software
can stand those. Nor reads: the guest reads what it wrote, as from a cache.

Theory of operation. QEMU's ``blklogwrites`` stands between the guest's disk and a qcow2 overlay of the image, which is
thrown away at the cut with all that the guest believes. ::

    virtio-blk ── blklogwrites ──┬── overlay (qcow2) ── image (raw, only read)
                                 └── record

The record has the format of Linux' dm-log-writes (admin-guide/device-mapper/log-writes.rst): a superblock, then for
each request one sector with four little-endian words (sector, count, flags, length of inline data) and then its data.
A request is recorded when the disk has done it and before the guest hears so; thus a write that the guest knew to be
done when it asked for a flush stands before that flush. The count in the superblock is only as new as the last flush,
so it is not used: the record ends where its file ends.

A request in flight at the cut can leave a gap: its place was given out and it was not written. To be sure that it is
all there or not at all, QEMU is first stopped, which lets each thread finish its system call, and then killed
(``drop``). A gap is then all zeros, and its request was not completed: it is as good as never made. Flushes go no
further than the record (``no-flush`` below it): the host's own disk has no part in this, and a flush takes no time in
which a write could overtake it. QEMU 7.2 spoils its record when zeroes are written by their own command (mended in
9.0), so the guest's disk has to be attached without that: ``Disk.DEVICE``.
"""

from __future__ import annotations

import enum
import errno
import json
import os
import random
import signal
import struct
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = [
    "SECTOR",
    "Disk",
    "Entry",
    "Flags",
    "Loss",
    "NoRecord",
    "Piece",
    "Plan",
    "drop",
    "entries",
    "extract",
    "plan",
]

SECTOR: Final = 512
"""Octets that a disk writes whole or not at all, and the unit of the record."""
MAGIC: Final = 0x6A736677736872
VERSION: Final = 1
_SUPER: Final = struct.Struct("<QQQI")
_ENTRY: Final = struct.Struct("<QQQQ")
CHUNK: Final = 1 << 20
"""Octets that are copied at once."""


class NoRecord(Exception):
    """The file is not a record of ``blklogwrites``, or it is damaged; says where."""


class Flags(enum.IntFlag):
    """What a request was, beside a write."""

    FLUSH = 1
    FUA = 2
    DISCARD = 4
    MARK = 8
    METADATA = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One request: ``count`` sectors from ``sector`` on, their data in the record from octet ``data`` on."""

    sector: int
    count: int
    flags: Flags
    data: int

    @property
    def size(self) -> int:
        """Octets of its data in the record."""
        return 0 if self.flags & Flags.DISCARD else self.count * SECTOR


@dataclass(frozen=True, slots=True)
class Piece:
    """Sectors that the cut left written; ``data`` is where their octets are in the record, None for zeros."""

    sector: int
    count: int
    data: int | None


@dataclass(frozen=True, slots=True)
class Loss:
    """What became of the writes: before the last flush, and after it."""

    flushed: int
    kept: int
    torn: int
    lost: int

    def __str__(self) -> str:
        return f"{self.flushed} writes flushed; of those after: {self.kept} kept, {self.torn} torn, {self.lost} lost"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write, in this order, to make the disk after the cut of the disk before."""

    pieces: tuple[Piece, ...]
    loss: Loss


# ------------------------------------------------------------------------------------------------------------- pure


def entries(record: bytes | memoryview | _Sectors, *, sectors: int | None = None) -> Iterator[Entry]:
    """The requests of a record, in its order; gaps are passed over.

    Args:
        record: all of it.
        sectors: of the disk; a request beyond is damage.

    Raises:
        NoRecord: it is none.
    """
    size = len(record)
    if size >= SECTOR and any(first := bytes(record[: _SUPER.size])):
        magic, version, _, sector = _SUPER.unpack(first)
        if (magic, version, sector) != (MAGIC, VERSION, SECTOR):
            raise NoRecord(f"magic {magic:#x}, version {version}, sectors of {sector} octets")
    at = SECTOR
    while at < size:
        head = bytes(record[at : at + SECTOR])
        if not any(head):
            at += SECTOR
            continue
        sector, count, number, inline = _ENTRY.unpack_from(head)
        flags = Flags(number & sum(Flags))
        plain = number == flags and inline == 0 and not any(head[_ENTRY.size :]) and not flags & Flags.MARK
        if not plain or not (count or flags & Flags.FLUSH) or (sectors is not None and sector + count > sectors):
            raise NoRecord(f"no request at octet {at}: {sector}, {count}, {number:#x}, {inline}")
        entry = Entry(sector, count, flags, at + SECTOR)
        at += SECTOR + entry.size
        if at > size:
            raise NoRecord(f"the data from octet {entry.data} on end too early")
        yield entry


def plan(requests: Iterable[Entry], rng: random.Random) -> Plan:
    """What a power cut after these requests may have left, by the choices of ``rng``.

    One of three tempers rules what was not flushed: all of it is lost; it went to the disk in order, up to a write that
    is torn; each write is whole, torn or lost by itself.
    """
    every = list(requests)
    flushed = max((n + 1 for n, entry in enumerate(every) if entry.flags & Flags.FLUSH), default=0)
    # a flush comes before the data of its own request
    if flushed and every[flushed - 1].count and not every[flushed - 1].flags & Flags.FUA:
        flushed -= 1
    later = [entry for entry in every[flushed:] if entry.count]
    before = [entry for entry in every[:flushed] if entry.count]
    pieces = [Piece(entry.sector, entry.count, _at(entry, 0)) for entry in before]
    kept = torn = 0
    for entry, fate in zip(later, _fates(later, rng), strict=True):
        there = (True,) * entry.count if entry.flags & Flags.FUA else fate
        kept += all(there)
        torn += any(there) and not all(there)
        pieces += _runs(entry, there)
    return Plan(tuple(pieces), Loss(len(before), kept, torn, len(later) - kept - torn))


def _fates(later: Sequence[Entry], rng: random.Random) -> list[tuple[bool, ...]]:
    """For each write, as if none had FUA, which of its sectors are on the disk."""

    def torn(entry: Entry) -> tuple[bool, ...]:
        return tuple(rng.random() < 0.5 for _ in range(entry.count))

    def single(entry: Entry) -> tuple[bool, ...]:
        if rng.random() < 0.25:
            return torn(entry)
        return (rng.random() < share,) * entry.count

    match rng.randrange(4):
        case 0:
            return [(False,) * entry.count for entry in later]
        case 1:
            last = rng.randrange(len(later) + 1)
            return [torn(entry) if n == last else (n < last,) * entry.count for n, entry in enumerate(later)]
        case _:
            share = rng.random()
            return [single(entry) for entry in later]


def _at(entry: Entry, sector: int) -> int | None:
    return None if entry.flags & Flags.DISCARD else entry.data + sector * SECTOR


def _runs(entry: Entry, there: Sequence[bool]) -> Iterator[Piece]:
    """The sectors that are there, neighbours together."""
    start = 0
    for n in range(len(there) + 1):
        if n == len(there) or not there[n]:
            if n > start:
                yield Piece(entry.sector + start, n - start, _at(entry, start))
            start = n + 1


# ------------------------------------------------------------------------------------------------------------- files


class _Sectors:
    """A file as octets, read as they are asked for: a record may be larger than is good in memory."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __len__(self) -> int:
        return os.fstat(self._descriptor).st_size

    def __getitem__(self, piece: slice) -> bytes:
        start, stop, _ = piece.indices(len(self))
        return os.pread(self._descriptor, stop - start, start)


def _apply(pieces: Iterable[Piece], record: int, image: int) -> None:
    """Write the pieces; what is there already is left alone, so that holes stay holes."""
    for piece in pieces:
        for start in range(0, piece.count * SECTOR, CHUNK):
            size = min(CHUNK, piece.count * SECTOR - start)
            octets = b"" if piece.data is None else os.pread(record, size, piece.data + start)
            octets = octets.ljust(size, b"\0")
            at = piece.sector * SECTOR + start
            if os.pread(image, size, at) != octets:
                os.pwrite(image, octets, at)


def _within(piece: Piece, part: range) -> Iterator[Piece]:
    """What of it is in this part of the disk, counted from the part's start."""
    start, stop = part.start // SECTOR, part.stop // SECTOR
    first, end = max(piece.sector, start), min(piece.sector + piece.count, stop)
    if first < end:
        data = None if piece.data is None else piece.data + (first - piece.sector) * SECTOR
        yield Piece(first - start, end - first, data)


def extract(image: Path, part: range, copy: Path) -> None:
    """Make ``copy`` these octets of an image; holes stay holes."""
    with image.open("rb") as source, copy.open("wb") as target:
        target.truncate(len(part))
        at = part.start
        while at < part.stop:
            try:
                at = os.lseek(source.fileno(), at, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                    break
                raise
            if at < part.stop:
                octets = os.pread(source.fileno(), min(CHUNK, part.stop - at), at)
                os.pwrite(target.fileno(), octets, at - part.start)
                at += len(octets)


class Disk:
    """A raw image that a guest writes to, from one cut to the next.

    Args:
        image: it is changed by ``cut`` and ``keep`` alone.
        directory: holds the overlay and the record meanwhile; both grow with what is written.
    """

    NODE: Final = "card"
    DEVICE: Final = "drive=card,discard=off,write-zeroes=off"
    """What follows ``virtio-blk-pci,`` or the like."""

    def __init__(self, image: Path, directory: Path) -> None:
        self.image = image.resolve()
        self.overlay = directory.resolve() / "card.qcow2"
        self.record = directory.resolve() / "card.record"

    def blockdev(self) -> str:
        """QEMU's ``-blockdev`` for one run, with nothing written yet.

        Raises:
            FileExistsError: the last run was neither cut nor kept.
        """
        self.record.touch(exist_ok=False)
        argv: list[str | Path] = [
            "qemu-img",
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            "raw",
            "-b",
            self.image,
            self.overlay,
        ]
        subprocess.run(argv, check=True)
        below = {"cache": {"no-flush": True}}
        return json.dumps(
            {
                "driver": "blklogwrites",
                "node-name": self.NODE,
                "log-sector-size": SECTOR,
                "cache": {"no-flush": False},
                "file": {
                    "driver": "qcow2",
                    "file": {"driver": "file", "filename": str(self.overlay), **below},
                    **below,
                },
                "log": {"driver": "file", "filename": str(self.record), **below},
            }
        )

    def requests(self) -> list[Entry]:
        """What the guest asked of the disk since it was attached, as far as it is recorded now."""
        with self.record.open("rb") as record:
            return list(entries(_Sectors(record.fileno()), sectors=self.image.stat().st_size // SECTOR))

    def cut(self, seed: int | str) -> Loss:
        """Make the image what a power cut may have left; QEMU has to be gone (``drop``)."""
        made = plan(self.requests(), random.Random(seed))
        self._settle(made.pieces)
        return made.loss

    def after(self, count: int, seed: int | str, *, part: range, copy: Path) -> Loss:
        """What a cut after the first ``count`` requests may have left, without one.

        Args:
            count: of the requests so far; QEMU may go on.
            seed: as for ``cut``.
            part: octets of the disk.
            copy: becomes that part.
        """
        made = plan(self.requests()[:count], random.Random(seed))
        extract(self.image, part, copy)
        inside = (piece for whole in made.pieces for piece in _within(whole, part))
        with self.record.open("rb") as record, copy.open("r+b") as target:
            _apply(inside, record.fileno(), target.fileno())
        return made.loss

    def keep(self) -> None:
        """Make the image what the guest wrote, all of it: it was shut down, and QEMU is gone."""
        self._settle([Piece(entry.sector, entry.count, _at(entry, 0)) for entry in self.requests() if entry.count])

    def _settle(self, pieces: Sequence[Piece]) -> None:
        with self.record.open("rb") as record, self.image.open("r+b") as image:
            _apply(pieces, record.fileno(), image.fileno())
        self.overlay.unlink()
        self.record.unlink()


def drop(pid: int) -> None:
    """End a child of this process, QEMU, as if its power went, but with no system call half done."""
    os.kill(pid, signal.SIGSTOP)
    # told when the last of its threads has stopped; WNOWAIT: its end is for its owner to see
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    os.kill(pid, signal.SIGKILL)
