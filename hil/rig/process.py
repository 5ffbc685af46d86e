"""One process of the rig: started by its argument list, heard line by line, ended by its own pid.

The child dies with the rig, however the rig ends: where ``setpriv`` exists (util-linux) the kernel is told to send it
SIGKILL when its parent has gone, so that a killed test run leaves no broker and no modem behind.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hil.rig.waiting import PATIENCE, Overdue, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

__all__ = ["ROOT", "Child"]

ROOT = Path(__file__).resolve().parent.parent.parent
"""The directory that holds ``appliance`` and ``hil``."""

LINE = 1 << 20
"""Octets of the longest line that is still a line: a refused TPDU in a log is far shorter."""

INSTALLED = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": ""}
"""A process starts as an installed one does, from bytecode: compiling all anew would double its start."""


class Child:
    """A running process; its output, both streams together, is in ``lines`` and in the file ``log``."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self.lines: Record[str] = Record(name)
        self._process = process
        self._reader = asyncio.create_task(self._read(), name=f"output of {name}")

    @classmethod
    async def start(
        cls, name: str, argv: Sequence[str | Path], *, log: Path, environment: Mapping[str, str] | None = None
    ) -> Self:
        """Start it from the project's root; ``log`` is appended to."""
        tied = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        process = await asyncio.create_subprocess_exec(
            *tied,
            *map(str, argv),
            cwd=ROOT,
            env={**os.environ, **INSTALLED, **(environment or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE,
            start_new_session=True,  # a Ctrl-C at the terminal is the rig's to pass on, in its order
        )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        """Its process id; it stays valid until the end has been seen."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    async def _read(self) -> None:
        assert self._process.stdout is not None
        with self.log.open("a", encoding="utf-8") as file:
            while line := await self._process.stdout.readline():
                text = line.decode(errors="backslashreplace").rstrip("\n")
                file.write(text + "\n")
                file.flush()
                self.lines.add(text)
        await self._process.wait()
        self.lines.touch()

    async def line(self, matches: Callable[[str], object], what: str, *, within: float = PATIENCE) -> str:
        """The first line that matches.

        Raises:
            Overdue: it ended, or said nothing of the kind in time.
        """

        def answer(lines: list[str]) -> str | None:
            found = next((line for line in lines if matches(line)), None)
            if found is None and not self.running:
                tail = "\n".join(f"  {line}" for line in lines[-30:])
                raise Overdue(f"{self.name} ended with {self._process.returncode} before {what}:\n{tail}")
            return found

        return await self.lines.until(answer, what, within=within)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when it has ended."""
        if self.running:
            self._process.send_signal(number)

    async def ended(self, *, within: float = PATIENCE) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        try:
            async with asyncio.timeout(within):
                await asyncio.shield(self._reader)
                return await self._process.wait()
        except TimeoutError:
            raise Overdue(f"{self.name} has not ended within {within:g} s") from None

    async def kill(self) -> int:
        """SIGKILL, and wait."""
        self.signal(signal.SIGKILL)
        return await self.ended()

    async def stop(self, *, within: float = PATIENCE) -> int:
        """SIGTERM, and wait; SIGKILL when that is not heard in time (an exit code of −9 tells)."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            return await self.ended(within=within)
        except Overdue:
            return await self.kill()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
