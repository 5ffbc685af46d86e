"""QEMU with the guest in it: ``-M virt`` (arm64), two processors, its disk an overlay that ends with the run.

Promise: inside ``async with Machine(image, directory) as machine`` the guest has booted; ``machine.run`` runs a command
in it as root; ``machine.sockets`` are USB sockets into which a modem is plugged (``hil.emulator.usbredir``);
``machine.lines`` are its GPIO lines. Afterwards QEMU has ended and nothing is left but the logs. The guest sees this
host's 127.0.0.1 as ``HOST``; only this host reaches the guest, on the forwarded ports.

::

    hil.emulator ── usbredir sockets ──┐
    broker on 127.0.0.1 ◄─ HOST ───────┤ QEMU ── guest: kernel, udev, agent, hub
    test ── forwarded port, HTTP ──────┤
    test ── virtio port, commands ─────┤
    gpio ── qtest socket, pl061 ───────┘

Commands go over a virtio port to the agent of the recipe's overlay: no network, no password, no key, and tens of
milliseconds where an ssh login under emulation takes seconds. Under TCG everything is about twenty times slower than on
the host, so deadlines are generous.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from typing import TYPE_CHECKING, Any, Final, Self

from hil.qemu import HOST, QEMU, Done, Failed, Qemu
from hil.rig.process import Child
from hil.rig.waiting import Overdue, came

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from hil.guest.build import Image
    from hil.guest.gpio import Lines

__all__ = ["HOST", "QEMU", "Machine"]

BOOT: Final = 300.0
"""Seconds until the guest is given up; it takes 30 to 60."""
COMMAND: Final = 60.0
"""Seconds until a command in the guest is given up."""
LINE: Final = 64 * 1024 * 1024
"""Octets of the longest answer of the agent."""
KERNEL: Final = (
    "root=/dev/vda rw console=ttyAMA0 loglevel=5 panic=-1 net.ifnames=0"
    " systemd.show_status=false systemd.mask=serial-getty@ttyAMA0.service systemd.mask=getty.target"
    " systemd.mask=apt-daily.timer systemd.mask=apt-daily-upgrade.timer systemd.mask=dpkg-db-backup.timer"
    " systemd.mask=e2scrub_all.timer systemd.mask=fstrim.timer"
)


class _Agent:
    """The host's end of the virtio port."""

    def __init__(self) -> None:
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.AbstractServer | None = None
        self.greeted = asyncio.Event()
        """The guest has booted as far as the agent."""
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)

    async def listen(self, path: Path) -> None:
        """Wait for QEMU there."""
        self._server = await asyncio.start_unix_server(self._read, path, limit=LINE)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        try:
            while line := await reader.readline():
                answer = json.loads(line)
                if "hello" in answer:
                    self.greeted.set()
                waiting = self._waiting.pop(answer.get("id", 0), None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        finally:
            for waiting in self._waiting.values():
                waiting.cancel()

    async def run(self, argv: Sequence[str], stdin: bytes) -> Done:
        assert self._writer is not None
        number = next(self._numbers)
        self._waiting[number] = waiting = asyncio.get_running_loop().create_future()
        order = {"id": number, "argv": list(argv), "stdin": base64.b64encode(stdin).decode()}
        self._writer.write(json.dumps(order).encode() + b"\n")
        await self._writer.drain()
        answer = await waiting
        out, err = (base64.b64decode(answer[name]).decode(errors="replace") for name in ("stdout", "stderr"))
        return Done(answer["code"], out, err)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._writer is not None:
            self._writer.close()


class Machine:
    """One run of the guest.

    Args:
        image: what to boot.
        directory: gets ``console.log`` and ``qemu.log``.
        usb: how many USB sockets it has.
        forward: ports of the guest that are reached from here.
    """

    def __init__(self, image: Image, directory: Path, *, usb: int = 2, forward: Sequence[int] = (8080,)) -> None:
        self.image = image
        self.directory = directory
        self.qemu = Qemu(directory, usb=usb, forward=forward)
        self.ports = self.qemu.ports
        self.sockets = self.qemu.sockets
        self._agent = _Agent()

    @property
    def lines(self) -> Lines:
        """Its GPIO lines."""
        return self.qemu.lines

    def _argv(self) -> list[str]:
        place = self.qemu.place
        return [
            "-no-reboot",
            "-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd), "-append", KERNEL,
            "-drive", f"if=none,id=disk,format=qcow2,cache=unsafe,file={place}/disk.qcow2",
            "-device", "virtio-blk-pci,drive=disk",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,path={place}/agent",
            "-device", "virtserialport,chardev=agent,name=modemhub.agent",
        ]  # fmt: skip

    async def __aenter__(self) -> Self:
        try:
            await self._boot()
        except BaseException:
            await self._end()
            raise
        return self

    async def _boot(self) -> None:
        place = self.qemu.place
        disk = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(self.image.root)]
        made = await Child.start("qemu-img", [*disk, place / "disk.qcow2"], log=self.directory / "qemu.log")
        if await made.ended():
            raise Overdue(f"qemu-img: {made.lines.items}")
        await self._agent.listen(place / "agent")
        await self.qemu.start(*self._argv())
        assert self.qemu.child is not None
        if not await came(self._agent.greeted.wait(), unless=self.qemu.child.ended(within=BOOT)):
            raise Overdue(f"the guest did not come up:\n{self.qemu.said()}\n{self.qemu.child.lines.items}")

    async def run(self, *argv: str, stdin: bytes = b"", check: bool = True, within: float = COMMAND) -> Done:
        """Run a command as root in the guest, to its end.

        Raises:
            Failed: its status is not 0, unless ``check`` is off.
            Overdue: it has not ended in time.
        """
        try:
            async with asyncio.timeout(within):
                done = await self._agent.run(argv, stdin)
        except TimeoutError:
            raise Overdue(f"in the guest: {' '.join(argv)} has not ended within {within:g} s") from None
        if check and done.code:
            raise Failed(f"in the guest: {' '.join(argv)}: {done.code}\n{done.out}{done.err}")
        return done

    async def shell(self, script: str, *, check: bool = True, within: float = COMMAND) -> str:
        """Run a line of shell; its output."""
        return (await self.run("sh", "-c", script, check=check, within=within)).out

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        self._agent.close()
        await self.qemu.close()
