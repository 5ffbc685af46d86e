"""The guest's GPIO lines from outside: what the guest drives is seen, and what it reads is driven.

Promise: ``Lines.watch`` calls back on each edge of a line of the guest's ``gpiochip0`` that lasts 20 ms or longer, and
tells how long the level before had lasted; ``Lines.drive`` sets the level that the guest reads on an input.
``Lines.outward`` and ``Lines.inward`` wire a line to a file that holds 0 or 1, which is how the emulated modems have
their power keys and their STATUS (``hil.emulator --gpio``).

Theory of operation. ``-M virt`` has one PL061 with eight lines (its manual is ARM DDI 0190); line 3 is wired to the
power button, the others are free. QEMU's qtest socket reads a register beside the running guest: the data register at
an offset that unmasks all eight bits. QEMU has no event for an output, so it is read every ``PERIOD``. A line that is
an input reads as its wire, low until driven.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Lines"]

DATA: Final = 0x0903_0000 + (0xFF << 2)
"""GPIODATA of virt's PL061 with all bits unmasked: address bits 9 to 2 are the mask."""
PERIOD: Final = 0.01
"""Seconds between two reads: the pulses of power keys are 50 ms and longer."""


class Monitor(Protocol):
    """QEMU's monitor."""

    async def __call__(self, command: str, **arguments: Any) -> Any: ...


class Lines:
    """The eight lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
        self._reader = reader
        self._writer = writer
        self._path = path
        self._turn = asyncio.Lock()
        self._watches: list[tuple[int, Callable[[bool, float], None]]] = []
        self._followed: dict[int, tuple[Path, str]] = {}
        self._poll: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, qtest: Path, monitor: Monitor) -> Lines:
        """Over the qtest socket; the monitor tells where in QEMU's tree the chip is."""
        tree: str = await monitor("human-monitor-command", **{"command-line": "info qom-tree"})
        found = re.search(r"/(device\[\d+\]) \(pl061\)", tree)
        if found is None:
            raise AssertionError("this machine has no PL061")
        return cls(*await asyncio.open_unix_connection(qtest), f"/machine/unattached/{found[1]}")

    async def _ask(self, command: str) -> list[str]:
        async with self._turn:
            self._writer.write(command.encode() + b"\n")
            while line := (await self._reader.readline()).decode().split():
                match line:
                    case ["OK", *rest]:
                        return rest
                    case ["FAIL" | "ERR", *_]:
                        raise AssertionError(f"qtest {command}: {' '.join(line)}")
            raise ConnectionError("QEMU closed the qtest socket")

    async def levels(self) -> int:
        """All eight as bits."""
        (value,) = await self._ask(f"readl {DATA:#x}")
        return int(value, 16) & 0xFF

    async def drive(self, line: int, level: bool) -> None:
        """What the guest reads on this input from now on."""
        await self._ask(f"set_irq_in {self._path} unnamed-gpio-in {line} {int(level)}")

    def watch(self, line: int, edge: Callable[[bool, float], None]) -> Callable[[], None]:
        """Call ``edge(level, seconds at the level before)`` from now on; returns what ends it."""
        entry = (line, edge)
        self._watches.append(entry)
        self._begin()
        return lambda: self._watches.remove(entry)

    def outward(self, line: int, file: Path) -> Callable[[], None]:
        """Write what the guest drives into the file, from the next edge on; returns what ends it."""

        def write(level: bool, _lasted: float) -> None:
            file.write_text(str(int(level)), encoding="ascii")

        return self.watch(line, write)

    def inward(self, line: int, file: Path) -> Callable[[], None]:
        """Let the guest read what the file says, as soon as that is 0 or 1; returns what ends it."""
        self._followed[line] = (file, "")
        self._begin()
        return lambda: self._followed.pop(line, None) and None

    def _begin(self) -> None:
        if self._poll is None:
            self._poll = asyncio.create_task(self._look(), name="GPIO lines of the guest")

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        before = await self.levels()
        since = dict.fromkeys(range(8), loop.time())
        while True:
            await asyncio.sleep(PERIOD)
            now = await self.levels()
            changed, before = before ^ now, now
            await self._follow()
            for line in range(8):
                if changed >> line & 1:
                    lasted, since[line] = loop.time() - since[line], loop.time()
                    for watched, edge in tuple(self._watches):
                        if watched == line:
                            edge(bool(now >> line & 1), lasted)

    async def _follow(self) -> None:
        for line, (file, known) in tuple(self._followed.items()):
            text = _content(file)
            if text in ("0", "1") and text != known:
                self._followed[line] = (file, text)
                await self.drive(line, text == "1")

    async def close(self) -> None:
        if self._poll is not None:
            self._poll.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await self._poll
        self._writer.close()


def _content(file: Path) -> str:
    return file.read_text(encoding="ascii").strip() if file.exists() else ""
