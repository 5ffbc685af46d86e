"""A file of reserve: given up when the disk is full, so that what arrives can still be kept.

Promise
    While the ballast stands, that many bytes can be had at once by ``release``; they are really allocated, not a hole.

What it does not do
    It does not watch the disk: SQLite's own SQLITE_FULL says when it is full. With a full disk not even a DELETE works
    in WAL mode, so that without a reserve nothing could make room again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Ballast", "sync_directory"]

MARGIN = 4 * 1024 * 1024
"""Bytes that stay free beside a new ballast: the WAL's limit, so that the next commit does not need it at once."""


def sync_directory(directory: Path) -> None:
    """Make creations, renames and removals in ``directory`` durable; raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Ballast:
    """The reserve at ``path``, ``size`` bytes; size 0 is no reserve at all."""

    def __init__(self, path: Path, *, size: int) -> None:
        self._path = path
        self._size = size

    @property
    def stands(self) -> bool:
        """Whether the whole reserve is there."""
        try:
            return self._path.stat().st_blocks * 512 >= self._size
        except FileNotFoundError:
            return self._size == 0

    @property
    def has_margin(self) -> bool:
        """Whether the disk has room beside the reserve."""
        return self._free() >= min(MARGIN, self._size)

    def _free(self) -> int:
        disk = os.statvfs(self._path.parent)
        return disk.f_bavail * disk.f_frsize

    def create(self) -> bool:
        """Allocate the reserve where it does not stand; False when the disk has no room for it and a margin."""
        if self.stands:
            return True
        if self._free() < self._size + min(MARGIN, self._size):
            return False
        growing = self._path.with_name(self._path.name + ".new")
        try:
            fd = os.open(growing, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.posix_fallocate(fd, 0, self._size)
                os.fsync(fd)
            finally:
                os.close(fd)
            growing.replace(self._path)
            sync_directory(self._path.parent)
        except OSError:
            # ENOSPC, EDQUOT, EROFS: whatever it was, there is no reserve; the caller tells by on_ballast.
            growing.unlink(missing_ok=True)
            return False
        return self.stands

    def release(self) -> bool:
        """Give the bytes back to the disk; False when there was nothing to give."""
        try:
            had = self._path.stat().st_size > 0
            self._path.unlink()
        except OSError:
            return False
        return had
