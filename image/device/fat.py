"""The FAT partition: read-only but for moments, as a FAT has no journal.

Names are compared without regard to case. A file is replaced by a new one beside it that is renamed over it, so that a
power cut leaves one of the two, or in the worst case none: then ``intake`` writes its own again.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from .rim import Command, Failed, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .place import Place

__all__ = ["Fat"]


class Fat:
    """The partition of one device.

    Args:
        place: where it is mounted.
        command: runs ``mount``.
    """

    def __init__(self, place: Place, *, command: Command = run) -> None:
        self._directory = place.fat
        self._command = command
        self._deep = 0

    def find(self, name: str) -> Path | None:
        """The file of this name, whatever its case."""
        with contextlib.suppress(OSError):
            for path in sorted(self._directory.iterdir()):
                if path.name.lower() == name.lower() and path.is_file():
                    return path
        return None

    def read(self, name: str) -> bytes | None:
        """What is in it; None: it is not there, or cannot be read."""
        path = self.find(name)
        try:
            return None if path is None else path.read_bytes()
        except OSError:
            return None

    @contextlib.contextmanager
    def writable(self) -> Iterator[None]:
        """Writable meanwhile, and on the card afterwards.

        Raises:
            Failed: it is not mounted, or cannot be written.
        """
        if self._deep == 0:
            self._command(["mount", "-o", "remount,rw", self._directory])
        self._deep += 1
        try:
            yield
        finally:
            self._deep -= 1
            if self._deep == 0:
                self._command(["sync", "-f", self._directory])
                self._command(["mount", "-o", "remount,ro", self._directory])

    def write(self, name: str, content: bytes) -> bool:
        """Have the file ``name`` hold this; whether it was written.

        What stood there is overwritten before it goes, as it may be a secret.

        Raises:
            Failed: it cannot be written.
        """
        if self.read(name) == content:
            return False
        try:
            with self.writable():
                old = self.find(name)
                target = self._directory / (old.name if old is not None else name)
                fresh = self._directory / (target.name + ".new")
                with fresh.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                if old is not None:
                    _blank(old)
                fresh.replace(target)
        except OSError as error:
            raise Failed(f"{name} cannot be written to the card: {error.strerror}") from error
        return True

    def remove(self, name: str) -> bool:
        """Have no file of this name; whether there was one.

        Raises:
            Failed: it cannot be removed.
        """
        path = self.find(name)
        if path is None:
            return False
        try:
            with self.writable():
                _blank(path)
                path.unlink(missing_ok=True)
        except OSError as error:
            raise Failed(f"{name} cannot be removed from the card: {error.strerror}") from error
        return True


def _blank(path: Path) -> None:
    """Overwrite what is in it, where it lies."""
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
