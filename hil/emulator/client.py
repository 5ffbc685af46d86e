"""The other end of the control socket, for tests: ``ControlClient`` blocks, ``AsyncControlClient`` awaits.

Also ``Emulator``: the emulator as a process, for tests that want one of their own.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, Self

_LIMIT: Final = 64 * 1024 * 1024
_REPOSITORY: Final = Path(__file__).resolve().parents[2]


class ControlFailed(Exception):
    """The emulator answered ``ok: false``; the message is its ``error``."""


def _checked(line: bytes) -> dict[str, Any]:
    if not line:
        raise ConnectionError("the emulator closed the control socket")
    answer: dict[str, Any] = json.loads(line)
    if not answer.pop("ok"):
        raise ControlFailed(answer["error"])
    return answer


class ControlClient:
    """``client("deliver", number="+44…", text="…")`` sends a verb and waits for its answer."""

    def __init__(self, path: str | Path, *, timeout: float = 60.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rb")

    def __call__(self, verb: str, /, **words: Any) -> dict[str, Any]:
        """Send a verb; returns the answer without its ``ok``; raises ControlFailed with its error."""
        self._socket.sendall(json.dumps({"do": verb, **words}).encode() + b"\n")
        return _checked(self._file.readline())

    def modem(self, **which: Any) -> dict[str, Any]:
        """The status of one modem."""
        found: dict[str, Any] = self("status", **which)["modems"][0]
        return found

    def ledger(self, kind: str | None = None, since: int = 0) -> list[dict[str, Any]]:
        """Rows of the ledger, all kinds or one."""
        rows: list[dict[str, Any]] = self("ledger", since=since, kind=kind)["rows"]
        return rows

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncControlClient:
    """As ControlClient, one call at a time: ``await client("status")``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, path: str | Path) -> AsyncControlClient:
        return cls(*await asyncio.open_unix_connection(path, limit=_LIMIT))

    async def __call__(self, verb: str, /, **words: Any) -> dict[str, Any]:
        async with self._turn:
            self._writer.write(json.dumps({"do": verb, **words}).encode() + b"\n")
            await self._writer.drain()
            return _checked(await self._reader.readline())

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


class Emulator:
    """``with Emulator(directory, "--modems", "2") as emulator:`` runs the process; ``control`` speaks to it."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.directory = directory
        command = [sys.executable, "-m", "hil.emulator", "--directory", str(directory), *arguments]
        self.process = subprocess.Popen(command, cwd=_REPOSITORY, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.stdout.close()
            raise RuntimeError(f"the emulator ended with {self.process.wait()}")
        self.ready: dict[str, Any] = json.loads(line)
        self.modems: list[dict[str, Any]] = self.ready["modems"]
        self.control = ControlClient(self.ready["control"])

    def close(self) -> int:
        """End it cleanly; returns its exit status."""
        self.control.close()
        self.process.terminate()
        status = self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
