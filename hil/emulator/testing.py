"""For tests: ``Terminal`` speaks to a modem's tty octet by octet; ``Bench`` lends modems that nobody used before.

A wait ends when its octets are there; the time-out only bounds a test that fails.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import select
import tempfile
import termios
import time
import tty
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from hil.emulator.client import Emulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE: Final = 10.0
_FLEET: Final = 16
_IN_SETTLED: Final = 0x08 | 0x80 | 0x200
"""A file was closed after writing, moved in or deleted."""
_FINAL: Final = re.compile(rb"\r\n(?:OK|ERROR|\+CM[SE] ERROR:[^\r]*)\r\n")


class Terminal:
    """A raw tty: what is sent and what is expected, to the octet."""

    def __init__(self, port: str | Path) -> None:
        self._fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._fd, termios.TCSANOW)
        self._pending = b""

    def send(self, octets: bytes) -> None:
        os.write(self._fd, octets)

    def _read(self, deadline: float, wanted: str) -> None:
        ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError(f"{wanted} did not come, but {self._pending!r}")
        self._pending += os.read(self._fd, 65536)

    def rate(self, speed: int) -> None:
        """Set the bit rate, a constant of termios."""
        attributes = termios.tcgetattr(self._fd)
        attributes[4] = attributes[5] = speed
        termios.tcsetattr(self._fd, termios.TCSANOW, attributes)

    def reread(self) -> None:
        """Forget what came and was not asked for."""
        self._pending = b""
        termios.tcflush(self._fd, termios.TCIFLUSH)

    def _cut(self, end: int) -> bytes:
        found, self._pending = self._pending[:end], self._pending[end:]
        return found

    def until(self, marker: bytes, *, patience: float = _PATIENCE) -> bytes:
        """Everything up to and with the marker; raises TimeoutError with what came instead."""
        deadline = time.monotonic() + patience
        while marker not in self._pending:
            self._read(deadline, repr(marker))
        return self._cut(self._pending.index(marker) + len(marker))

    def result(self, *, patience: float = _PATIENCE) -> bytes:
        """Everything up to and with the next final result."""
        deadline = time.monotonic() + patience
        while not (match := _FINAL.search(self._pending)):
            self._read(deadline, "a final result")
        return self._cut(match.end())

    def final(self, command: str) -> tuple[list[str], str]:
        """Send a command (echo off); its information lines and its final result."""
        self.send(command.encode() + b"\r")
        *lines, result = [line for line in self.result().decode("latin-1").split("\r\n") if line]
        return lines, result

    def error(self, command: str) -> str:
        """The final result of a command that must fail."""
        _, result = self.final(command)
        assert result != "OK", command
        return result

    def ok(self, *commands: str) -> list[str]:
        """The information lines of the last command; all must end with OK."""
        lines: list[str] = []
        for command in commands:
            lines, result = self.final(command)
            assert result == "OK", f"{command}: {result}"
        return lines

    def submit(self, pdu: str, *, length: int | None = None) -> bytes:
        """AT+CMGS with a PDU; what comes after it up to the final result."""
        tpdu = len(pdu) // 2 - 1 - int(pdu[:2], 16)
        self.send(f"AT+CMGS={tpdu if length is None else length}\r".encode())
        assert self.until(b"> ").endswith(b"\r\n> ")
        self.send(pdu.encode() + b"\x1a")
        return self.result()

    def quiet(self) -> None:
        """Nothing else came: the very next octets answer this AT."""
        self.send(b"AT\r")
        answer = self.until(b"OK\r\n")
        assert answer == b"\r\nOK\r\n", answer

    def wait_hangup(self) -> None:
        """Until the other side hung up."""
        poll = select.poll()
        poll.register(self._fd, select.POLLHUP)
        assert poll.poll(_PATIENCE * 1000)

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_for_files(folder: Path, enough: Callable[[list[bytes]], bool], *, patience: float = _PATIENCE) -> list[bytes]:
    """The contents of a folder's files in the order of their names, once they are enough."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(0)
    try:
        if libc.inotify_add_watch(watch, os.fsencode(folder), _IN_SETTLED) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", str(folder))
        deadline = time.monotonic() + patience
        while not enough(found := _contents(folder)):
            ready, _, _ = select.select([watch], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"{folder} has {found}")
            os.read(watch, 65536)
        return found
    finally:
        os.close(watch)


def _contents(folder: Path) -> list[bytes]:
    found: list[bytes] = []
    for file in sorted(folder.iterdir()):
        with contextlib.suppress(FileNotFoundError):
            found.append(file.read_bytes())
    return found


class Unused:
    """A modem of its own: ``control`` acts on it alone, ``terminal`` is its open tty with echo off."""

    def __init__(self, emulator: Emulator, identity: dict[str, Any]) -> None:
        self.emulator = emulator
        self.identity = identity
        self.port: str = identity["port"]
        self.imsi: str = identity["imsi"]
        self.number: str = identity["number"]
        self.terminal = Terminal(self.port)

    def control(self, verb: str, /, **words: Any) -> dict[str, Any]:
        return self.emulator.control(verb, imsi=self.imsi, **words)

    def status(self) -> dict[str, Any]:
        return self.emulator.control.modem(imsi=self.imsi)

    def wait(self, **status: Any) -> None:
        """Until the status says so."""
        self.control("wait", status=status, timeout=_PATIENCE)

    def send_unheard(self, octets: bytes) -> None:
        """Send to a modem that will not answer, and wait until it has let them pass."""
        before = self.status()["heard"]
        self.terminal.send(octets)
        self.wait(heard=before + len(octets))

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """This SIM's rows of the ledger."""
        return [row for row in self.emulator.control.ledger(kind) if row["imsi"] == self.imsi]

    def deliver(self, text: str = "hello", sender: str = "+447700900999", **words: Any) -> dict[str, Any]:
        return self.control("deliver", **{"from": sender, "text": text, **words})

    def reopen(self) -> Terminal:
        """Close the tty and open it anew."""
        self.terminal.close()
        self.terminal = Terminal(self.port)
        return self.terminal


class Bench:
    """Lends modems; starts a process for each sixteen."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._running: list[tuple[tempfile.TemporaryDirectory[str], Emulator]] = []
        self._free: Iterator[Unused] = iter(())

    def lend(self) -> Unused:
        modem = next(self._free, None)
        if modem is None:
            place = tempfile.TemporaryDirectory()
            emulator = Emulator(Path(place.name), "--modems", str(_FLEET), *self._arguments)
            self._running.append((place, emulator))
            self._free = (Unused(emulator, identity) for identity in emulator.modems)
            modem = next(self._free)
        modem.terminal.send(b"ATE0\r")
        modem.terminal.until(b"OK\r\n")
        modem.terminal.ok("AT+CMEE=1", "AT+CMGF=0")
        return modem

    def close(self) -> None:
        for place, emulator in self._running:
            emulator.close()
            place.cleanup()
