"""QEMU's ``-M virt`` (arm64) as a board on a table: power, console, network, USB sockets, GPIO lines, monitor.

Promise: between ``start`` and ``stop`` one QEMU runs and every connection to it is made; ``qemu.sockets`` are USB
sockets into which a modem is plugged (``hil.emulator.usbredir``); ``qemu.lines`` are the GPIO lines; ``qemu.console``
has what the board says, line by line; ``qemu.events`` what QEMU tells of itself (RESET, WATCHDOG, SHUTDOWN). The guest
sees this host's 127.0.0.1 as ``HOST``; only this host reaches the guest, on ``qemu.ports``. It knows nothing of what is
booted: disk, firmware or kernel are given by who starts it.

Theory of operation. This process listens and QEMU connects, to the console and to the monitor; so nothing is tried
again and again. Once the monitor has answered, all other sockets of QEMU are there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hil.guest.gpio import Lines
from hil.rig.broker import free_port
from hil.rig.process import Child
from hil.rig.waiting import Overdue, Record, came

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["HOST", "QEMU", "Done", "Failed", "Qemu", "Qmp"]

QEMU: Final = "qemu-system-aarch64"
HOST: Final = "10.0.2.2"
"""This host's 127.0.0.1 as the guest sees it (QEMU's user network)."""
MACHINE: Final = "virt,acpi=off"
"""A virt with firmware and ACPI has its power button elsewhere, and then no GPIO chip."""
POWER: Final = 30.0
"""Seconds until QEMU is given up that does not come to its monitor; it takes half a second."""
LINE: Final = 1 << 20
"""Octets of the longest line of the monitor or the console."""


class Failed(AssertionError):
    """A command in the machine ended with another status than 0."""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended in the machine."""

    code: int
    out: str
    err: str


class Qmp:
    """QEMU's monitor, one command at a time; events are kept."""

    def __init__(self, events: Record[dict[str, Any]]) -> None:
        self._events = events
        self._turn = asyncio.Lock()
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._greeted = asyncio.Event()
        self._gone = False

    async def read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve QEMU's connection to its end."""
        self._writer = writer
        try:
            while line := await reader.readline():
                word = json.loads(line)
                if "event" in word:
                    self._events.add(word)
                elif "QMP" in word:
                    self._greeted.set()
                elif self._answer is not None and not self._answer.done():
                    self._answer.set_result(word)
        except ConnectionError:  # QEMU was killed
            pass
        finally:
            self._gone = True
            self._greeted.set()
            if self._answer is not None and not self._answer.done():
                self._answer.set_result({})
            writer.close()

    async def __call__(self, command: str, **arguments: Any) -> Any:
        """The command's return value.

        Raises:
            AssertionError: QEMU refuses it.
            Overdue: QEMU has ended.
        """
        await self._greeted.wait()
        async with self._turn:
            if self._gone or self._writer is None:
                raise Overdue(f"QEMU ended before {command}")
            self._answer = asyncio.get_running_loop().create_future()
            self._writer.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
            answer = await self._answer
        if "error" in answer:
            raise AssertionError(f"QMP {command}: {answer['error']}")
        if "return" not in answer:
            raise Overdue(f"QEMU ended before it answered {command}")
        return answer["return"]


class Qemu:
    """One board; it may be started again after it was stopped.

    Args:
        directory: gets ``console.log`` and ``qemu.log``, which are appended to.
        usb: how many USB sockets it has.
        forward: ports of the guest that are reached from here.
    """

    def __init__(self, directory: Path, *, usb: int, forward: Sequence[int]) -> None:
        self.directory = directory
        self.ports = {port: free_port() for port in forward}
        # paths of sockets are short: 107 octets
        self.place = Path(tempfile.mkdtemp(prefix="qemu-"))
        self.sockets = [self.place / f"usb{number}" for number in range(usb)]
        self.console: Record[str] = Record("the console")
        self.events: Record[dict[str, Any]] = Record("events of QEMU")
        self.qmp: Qmp
        self.lines: Lines
        self.child: Child | None = None
        self._servers: list[asyncio.Server] = []

    def _argv(self) -> list[str]:
        place = self.place
        forwards = "".join(f",hostfwd=tcp:127.0.0.1:{host}-:{guest}" for guest, host in self.ports.items())
        argv = [
            QEMU, "-M", MACHINE, "-cpu", "max,pauth-impdef=on", "-smp", "2", "-m", "1024",
            "-nodefaults", "-display", "none",
            "-chardev", f"socket,id=console,path={place}/console", "-serial", "chardev:console",
            "-netdev", f"user,id=net{forwards}", "-device", "virtio-net-pci,netdev=net,romfile=",
            "-device", "virtio-rng-pci",
            "-qmp", f"unix:{place}/qmp",
            "-qtest", f"unix:{place}/qtest,server=on,wait=off", "-qtest-log", "none",
            "-device", "qemu-xhci,id=usb",
        ]  # fmt: skip
        for number, path in enumerate(self.sockets):
            argv += ["-chardev", f"socket,id=usb{number},path={path},server=on,wait=off"]
            argv += ["-device", f"usb-redir,chardev=usb{number},id=modem{number},bus=usb.0,port={number + 1}"]
        return argv

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with (self.directory / "console.log").open("a", encoding="utf-8") as log, contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                text = line.decode(errors="backslashreplace").rstrip("\r\n")
                log.write(text + "\n")
                log.flush()
                self.console.add(text)
        writer.close()

    async def start(self, *more: str | Path) -> None:
        """Switch it on, with more arguments for QEMU.

        Raises:
            Overdue: QEMU does not start; says what it wrote.
        """
        assert self.child is None or not self.child.running
        self.qmp = Qmp(self.events)
        for name, serve in (("console", self._listen), ("qmp", self.qmp.read)):
            (self.place / name).unlink(missing_ok=True)
            self._servers.append(await asyncio.start_unix_server(serve, self.place / name, limit=LINE))
        self.child = await Child.start("qemu", [*self._argv(), *more], log=self.directory / "qemu.log")
        if not await came(self.qmp("qmp_capabilities"), unless=self.child.ended(within=POWER)):
            raise Overdue(f"QEMU did not start: {self.child.lines.items}")
        self.lines = await Lines.connect(self.place / "qtest", self.qmp)

    async def stop(self) -> None:
        """Switch it off, as pulling the plug does: the guest is told nothing. What it had written to its disk stays."""
        if hasattr(self, "lines"):
            await self.lines.close()
        if self.child is not None:
            await self.child.kill()
        for server in self._servers:
            server.close()
        self._servers.clear()

    def said(self) -> str:
        """The end of the console."""
        return "\n".join(self.console.items[-30:])

    async def close(self) -> None:
        """Switch it off for good."""
        await self.stop()
        shutil.rmtree(self.place, ignore_errors=True)
