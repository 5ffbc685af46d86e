"""A serial line as a pty with a symlink, what can go wrong on a wire, and the cable of a modem that has no USB.

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

from hil.emulator import inotify

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence
    from pathlib import Path

    from hil.emulator.inotify import Inotify
    from hil.emulator.settings import Settings
    from hil.emulator.transport import Listener

BACKLOG: Final = 256 * 1024
_BITS_PER_OCTET: Final = 10
"""8N1 on the wire."""
_CHUNK_GAP: Final = 0.0005
"""Seconds between two chunks, so that a reader can see them apart."""


_RATES: Final = {
    getattr(termios, name): int(name[1:]) for name in dir(termios) if name[0] == "B" and name[1:].isdecimal()
}


class PtyLine:
    """A pty with a symlink to its slave."""

    def __init__(
        self, link: Path, settings: Settings, watcher: Inotify, *, loop: asyncio.AbstractEventLoop, listener: Listener
    ) -> None:
        self.link = link
        self._settings = settings
        self._watcher = watcher
        self._loop = loop
        self._listener = listener
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

    @property
    def place(self) -> str:
        return str(self.link)

    @property
    def rate(self) -> int | None:
        return _RATES.get(termios.tcgetattr(self._slave)[5]) if self.plugged else None

    def plug(self) -> None:
        """Make the pty and the symlink."""
        if self.plugged:
            return
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        path = os.ttyname(self._slave)
        self.users = 0
        self._watch = self._watcher.watch(path, inotify.OPEN | inotify.CLOSE, self._told)
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
        self._watcher.forget(self._watch)
        self._loop.remove_reader(self._master)
        self._stop_writing()
        self._backlog.clear()
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1
        self.users = 0

    def renumber(self) -> None:
        """A hang-up, and another pty under the same link."""
        old = os.dup(self._slave)
        try:
            self.unplug()
            self.plug()
        finally:
            os.close(old)

    def _told(self, mask: int) -> None:
        is_open = bool(mask & inotify.OPEN)
        if not is_open and not mask & inotify.CLOSE:
            return
        self.users = max(0, self.users + (1 if is_open else -1))
        self.opens += is_open
        self._listener.opened(is_open)

    def _readable(self) -> None:
        self._watcher.drain()
        try:
            data = os.read(self._master, 65536)
        except BlockingIOError:
            return
        except OSError:
            self._loop.remove_reader(self._master)
            return
        if data:
            self._listener.received(data)

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


class Wire:
    """The cable of a modem on a UART: one line, which stays when the modem is off."""

    usb = False
    powered_by_host = True

    def __init__(self, line: PtyLine) -> None:
        self.lines: Sequence[PtyLine] = (line,)
        self.plug = line.plug
        self.unplug = line.unplug
        self.renumber = line.renumber

    @property
    def plugged(self) -> bool:
        return self.lines[0].plugged

    def exchange(self, other: Wire) -> None:
        mine, theirs = self.lines[0], other.lines[0]
        mine.link, theirs.link = theirs.link, mine.link

    def status(self) -> dict[str, object]:
        return {}
