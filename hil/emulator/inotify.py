"""inotify (Linux), for the loop: who opens and closes the emulated ports, and who writes into fake attribute files.

A pty master does not learn that a reader opened or closed the slave while the emulator itself keeps it open, and the
emulator must keep it open: else the death of the reader would hang up the line, which no USB modem does.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

MODIFY: Final = 0x02
CLOSE_WRITE: Final = 0x08
CLOSE: Final = CLOSE_WRITE | 0x10
OPEN: Final = 0x20
_IN_NONBLOCK: Final = 0o4000
_IN_CLOEXEC: Final = 0o2000000
_EVENT: Final = struct.Struct("iIII")


class Inotify:
    """Calls what ``watch`` was given with the mask of each event."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._watched: dict[int, Callable[[int], None]] = {}
        loop.add_reader(self._fd, self.drain)

    def watch(self, path: str | Path, mask: int, told: Callable[[int], None]) -> int:
        """Begin; returns the handle for ``forget``. A path that is watched already gets the new mask and function."""
        handle: int = self._libc.inotify_add_watch(self._fd, os.fsencode(path), mask)
        if handle < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", str(path))
        self._watched[handle] = told
        return handle

    def forget(self, handle: int, *, unheard: bool = False) -> None:
        """End a watch; what it had to tell is told first, unless it may go ``unheard``."""
        if not unheard:
            self.drain()
        if self._watched.pop(handle, None) is not None:
            self._libc.inotify_rm_watch(self._fd, handle)

    def drain(self) -> None:
        """Take the events that are already there, so that what is asked next is up to date."""
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            handle, mask, _, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size + length
            told = self._watched.get(handle)
            if told is not None:
                told(mask)

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
