"""What a disk holds after a power cut: two models, replayed from the steps of a trace.

``strict``
    The pessimist. Of a file there is what an fsync or fdatasync of it covered: writes that had returned when it was
    entered. A name is created, changed or removed only by an fsync of the directory after it; a file's own fsync makes
    no name. What POSIX promises, and no more.

``torn``
    The gambler, seeded. Beside what ``strict`` keeps, of everything that was not synced yet any part may have reached
    the disk: each sector of 512 octets (or each page of 4096) of each write by itself, in any combination, sizes with
    or without the data, names in order or in any combination. A file that was mapped holds anything.

What both take for granted
    A device keeps what it confirmed as flushed, writes a sector as a whole or not at all, and leaves the other sectors
    alone. SQLite takes the same for granted (SQLITE_IOCAP_POWERSAFE_OVERWRITE is its default on Linux): the frames of
    a WAL are not aligned to sectors, so that a commit rewrites the sector in which the one before it ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.store.powercut.trace import (
    Allocated,
    Blind,
    DirectorySynced,
    Mapped,
    Moved,
    Opened,
    Removed,
    Resized,
    Said,
    Synced,
    Written,
)

if TYPE_CHECKING:
    from random import Random

    from tests.store.powercut.trace import Step

__all__ = ["Disk"]

SECTOR = 512
PAGE = 4096
MAPPED = 32768
"""SQLite maps the index of the WAL in pieces of this size."""

Change = Written | Resized | Allocated


@dataclass(slots=True)
class _File:
    """One file, whatever its name: what is durable, and what was done since (with the place of its return)."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, Change]] = field(default_factory=list)
    mapped: bool = False


@dataclass(frozen=True, slots=True)
class _Renaming:
    """A change of names: ``file`` is now called ``name``, and nothing is called ``gone``."""

    name: str | None
    file: _File | None
    gone: str | None


class Disk:
    """A directory that was empty and durable when the trace began.

    Attributes:
        changes: steps so far that may change what a cut leaves (``torn``).
        certain: steps so far that change what a cut leaves for certain (``strict``).
    """

    def __init__(self) -> None:
        self.changes = 0
        self.certain = 0
        self._now: dict[str, _File] = {}
        self._durable: dict[str, _File] = {}
        self._pending: list[tuple[int, _Renaming]] = []

    def apply(self, step: Step) -> None:
        """Take a step; steps come in the order of their return. Raises Blind."""
        match step.act:
            case Said():
                return
            case Opened(name, creates, truncates):
                if name not in self._now:
                    if not creates:
                        raise Blind(f"{name} was opened, and nobody made it")
                    self._rename(step.ended, _Renaming(name, _File(), None))
                elif truncates:
                    self._now[name].pending.append((step.ended, Resized(name, 0)))
                else:
                    return
            case Written(name) | Resized(name) | Allocated(name):
                self._file(name).pending.append((step.ended, step.act))
            case Mapped(name):
                self._file(name).mapped = True
            case Moved(name, to):
                self._rename(step.ended, _Renaming(to, self._file(name), name))
            case Removed(name):
                self._rename(step.ended, _Renaming(None, None, name))
            case Synced(name):
                self._sync(self._file(name), step.begun)
            case DirectorySynced():
                covered = [renaming for ended, renaming in self._pending if ended < step.begun]
                for renaming in covered:
                    _name(self._durable, renaming)
                del self._pending[: len(covered)]
                self.certain += bool(covered)
        self.changes += 1

    def everything(self) -> dict[str, bytes]:
        """The files, by name, as processes see them: what a kill -9 leaves."""
        now = {}
        for name, file in self._now.items():
            content = bytearray(file.durable)
            for _, change in file.pending:
                _change(content, change)
            now[name] = bytes(content)
        return now

    def strict(self) -> dict[str, bytes]:
        """The files, by name, as the pessimist finds them."""
        return {name: bytes(file.durable) for name, file in self._durable.items()}

    def torn(self, chance: Random) -> dict[str, bytes]:
        """The files, by name, as ``chance`` leaves them."""
        names = dict(self._durable)
        if chance.random() < 0.5:
            for _, renaming in self._pending[: chance.randint(0, len(self._pending))]:
                _name(names, renaming)
        else:
            for _, renaming in self._pending:
                if chance.random() < 0.5:
                    _name(names, renaming)
        return {name: _tear(file, chance) for name, file in names.items()}

    def _file(self, name: str) -> _File:
        if name not in self._now:
            raise Blind(f"{name} is changed, and nobody made it")
        return self._now[name]

    def _rename(self, place: int, renaming: _Renaming) -> None:
        _name(self._now, renaming)
        self._pending.append((place, renaming))

    def _sync(self, file: _File, begun: int) -> None:
        covered = [change for ended, change in file.pending if ended < begun]
        for change in covered:
            _change(file.durable, change)
        del file.pending[: len(covered)]
        self.certain += bool(covered)


def _name(names: dict[str, _File], renaming: _Renaming) -> None:
    if renaming.gone is not None:
        names.pop(renaming.gone, None)
    if renaming.name is not None and renaming.file is not None:
        names[renaming.name] = renaming.file


def _change(content: bytearray, change: Change) -> None:
    match change:
        case Written(_, offset, data):
            _fill(content, offset)
            content[offset : offset + len(data)] = data
        case Resized(_, size):
            del content[size:]
            _fill(content, size)
        case Allocated(_, size):
            _fill(content, size)


def _fill(content: bytearray, size: int) -> None:
    content.extend(bytes(max(0, size - len(content))))


def _tear(file: _File, chance: Random) -> bytes:
    content = bytearray(file.durable)
    grain = chance.choice((SECTOR, PAGE))
    luck = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
    sizes_first = chance.random() < 0.5
    size = len(content)
    for _, change in file.pending:
        match change:
            case Written(name, offset, data):
                size = max(size, offset + len(data))
                start = 0
                while start < len(data):
                    end = min(len(data), start + grain - (offset + start) % grain)
                    if chance.random() < luck:
                        _change(content, Written(name, offset + start, data[start:end]))
                    start = end
            case Resized(_, to):
                size = to
                if chance.random() < luck:
                    _change(content, change)
            case Allocated(_, to):
                size = max(size, to)
                if chance.random() < luck:
                    _change(content, change)
    if sizes_first:
        _fill(content, size)
    if file.mapped and chance.random() < 0.5:
        content[:] = chance.randbytes(max(len(content), MAPPED))
    return bytes(content)
