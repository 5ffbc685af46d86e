"""The serial line of one modem: a pty, its symlink, and what can go wrong on a wire.

Promise: octets leave in the order in which they were written, cut into pieces of ``chunk`` octets and paced at
``line_rate`` when these are set; nothing blocks the loop. The emulator holds the slave open, so that a reader that dies
does not hang up; ``unplug`` closes both ends, which the reader sees as a hang-up, and removes the symlink.

Output that nobody reads stays in the pty and, behind it, in a backlog of bounded size; what is beyond is lost from
its head, as in a modem's own buffer.
"""

from __future__ import annotations

import contextlib
import os
import pty
import termios
import tty
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

    from hil.emulator.opens import Opens
    from hil.emulator.settings import Settings

BACKLOG: Final = 256 * 1024
_BITS_PER_OCTET: Final = 10
"""8N1 on the wire."""
_CHUNK_GAP: Final = 0.0005
"""Seconds between two chunks, so that a reader can see them apart."""


class Line:
    """A pty with a symlink to its slave."""

    def __init__(
        self,
        link: Path,
        settings: Settings,
        opens: Opens,
        *,
        loop: asyncio.AbstractEventLoop,
        received: Callable[[bytes], None],
        opened: Callable[[bool], None],
    ) -> None:
        self.link = link
        self._settings = settings
        self._opens = opens
        self._loop = loop
        self._received = received
        self._opened = opened
        self._master = self._slave = -1
        self._watch = -1
        self._backlog = bytearray()
        self._pacer: asyncio.TimerHandle | None = None
        self._writer = False
        self.users = 0
        self.opens = 0

    @property
    def plugged(self) -> bool:
        return self._master >= 0

    def plug(self) -> None:
        """Make the pty and the symlink."""
        if self.plugged:
            return
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        path = os.ttyname(self._slave)
        self.users = 0
        self._watch = self._opens.watch(path, self._told)
        temporary = self.link.with_name(f".{self.link.name}.new")
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        temporary.symlink_to(path)
        temporary.replace(self.link)
        self._loop.add_reader(self._master, self._readable)

    def unplug(self) -> None:
        """Hang up and remove the symlink."""
        if not self.plugged:
            return
        with contextlib.suppress(FileNotFoundError):
            self.link.unlink()
        self._opens.forget(self._watch)
        self._loop.remove_reader(self._master)
        self._stop_writing()
        self._backlog.clear()
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1
        self.users = 0

    def _told(self, is_open: bool) -> None:
        self.users = max(0, self.users + (1 if is_open else -1))
        self.opens += is_open
        self._opened(is_open)

    def _readable(self) -> None:
        self._opens.drain()
        try:
            data = os.read(self._master, 65536)
        except BlockingIOError:
            return
        except OSError:
            self._loop.remove_reader(self._master)
            return
        if data:
            self._received(data)

    # ---- writing

    def write(self, data: bytes) -> None:
        """Send octets to whoever reads the slave."""
        if not self.plugged:
            return
        self._backlog += data
        if len(self._backlog) > BACKLOG:
            del self._backlog[: len(self._backlog) - BACKLOG]
        if self._pacer is None and not self._writer:
            self._pump()

    def discard(self) -> None:
        """Forget what was not sent yet, also what lies in the pty."""
        self._backlog.clear()
        if self.plugged:
            termios.tcflush(self._slave, termios.TCIFLUSH)

    def _pump(self) -> None:
        self._pacer = None
        while self._backlog and self.plugged:
            piece = bytes(self._backlog[: self._piece()])
            try:
                sent = os.write(self._master, piece)
            except BlockingIOError:
                if not self._writer:
                    self._writer = True
                    self._loop.add_writer(self._master, self._writable)
                return
            del self._backlog[:sent]
            gap = self._gap(sent)
            if gap and self._backlog:
                self._pacer = self._loop.call_later(gap, self._pump)
                return

    def _piece(self) -> int:
        if self._settings.chunk:
            return self._settings.chunk
        if self._settings.line_rate:
            return max(1, self._settings.line_rate // _BITS_PER_OCTET // 100)
        return 4096

    def _gap(self, sent: int) -> float:
        if self._settings.line_rate:
            return sent * _BITS_PER_OCTET / self._settings.line_rate
        return _CHUNK_GAP if self._settings.chunk else 0.0

    def _writable(self) -> None:
        self._writer = False
        self._loop.remove_writer(self._master)
        self._pump()

    def _stop_writing(self) -> None:
        if self._pacer is not None:
            self._pacer.cancel()
            self._pacer = None
        if self._writer:
            self._writer = False
            self._loop.remove_writer(self._master)
