"""A card flashed with the image, in a machine that boots it as a Raspberry Pi would: U-Boot, script, slot, kernel.

Promise: the machine gets a copy of the image file, as long as a card is; nothing of it is altered but the files that a
person may put on the FAT partition before the first start: ``modemhub.toml``, and ``boot-extra.txt`` for words of the
kernel's line. ``boot`` switches it on and waits for the hub, ``cut`` takes its power, ``reset`` pushes its reset line;
the card stays, so that ``boot`` after ``cut`` is the same card again. From outside it is reached as a device in a house
is: HTTPS, MQTT and ssh on ``ports``, modems in ``sockets``; and while it is off, ``fat`` reads its FAT partition as a
card reader would.

::

    modem ──── usbredir ─────────┐
    client ─── ports[8080, 8883] ┤ QEMU ── U-Boot ── boot.scr ── slot A or B ── the device
    ssh ────── ports[22] ────────┤
    card.img ─ virtio ───────────┘

What it is not: a Raspberry Pi. Firmware, device trees and drivers of the board are not in it; the disk is virtio, no
SD card.

Theory of operation. U-Boot for QEMU is of the same Debian release as the one for the Pi on the image, out of the
package that ``image/tools.lock`` names. The card is a sparse copy, longer than the image: so the growing of the data
partition is seen. ``hil.card.cuts`` records what the guest writes and decides what a cut leaves of it. An ssh key is
made for each machine; settings name it by ``SSH_KEY``.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from hil.card.cuts import Disk, drop
from hil.card.reader import FAT, partition
from hil.qemu import Done, Failed, Qemu
from hil.rig.waiting import Overdue
from image import debian
from image.building import appears, missing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from hil.card.cuts import Loss
    from hil.qemu import Qmp

__all__ = ["SSH_KEY", "CardMachine", "Failed", "Fat", "anyone", "needed", "uboot"]

SSH_KEY: Final = "@SSH_KEY@"
"""Stands in the settings for the public key of this machine's owner."""
HTTPS: Final = 8080
BOOT: Final = 900.0
"""Seconds until a boot is given up; to the hub's first answer it takes 90, and four times that beside three others."""
COMMAND: Final = 180.0
"""Seconds until a command in the guest is given up."""
AGAIN: Final = 1.0
"""Seconds between two questions whether the hub answers: nothing tells from outside."""
UP: Final = ("modemhub.service", "modemhub - ", "Multi-User", "Network is Online", "login:")
"""Words of the console after which it makes sense to ask: before, QEMU complains about every connection."""
COMMANDS: Final = {
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-img": "qemu-utils",
    "mcopy": "mtools",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "dpkg-deb": "dpkg",
}
"""What it needs, and Debian's package of it."""


def needed() -> str | None:
    """Why no card can be booted here, or None."""
    return missing(COMMANDS)


def uboot() -> Path:
    """U-Boot for ``-M virt``, of the release that the image has.

    Raises:
        Impossible: the mirror cannot be reached, or does not have it any more.
    """
    (package,) = (each for each in debian.locked(debian.HERE / "tools.lock") if each.name == "u-boot-qemu")
    place = debian.CACHE / f"u-boot-{package.sha256[:16]}"
    if not place.exists():
        debian.fetch([package])
        with appears(place) as fresh:
            subprocess.run(["dpkg-deb", "--extract", package.file, fresh], check=True)
    return place / "usr/lib/u-boot/qemu_arm64/u-boot.bin"


def anyone() -> ssl.SSLContext:
    """TLS with whoever answers: nobody's certificate is verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass(frozen=True, slots=True)
class Fat:
    """The FAT partition inside an image file, by mtools: no mount, no loop device."""

    image: Path
    offset: int

    @classmethod
    def of(cls, image: Path) -> Self:
        """The first partition of an MBR."""
        return cls(image, partition(image, FAT).start)

    def _run(self, *argv: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [argv[0], "-i", f"{self.image}@@{self.offset}", *argv[1:]]
        environment = {**os.environ, "MTOOLS_SKIP_CHECK": "1"}
        return subprocess.run(command, input=stdin, env=environment, capture_output=True, check=False)

    def write(self, name: str, content: bytes) -> None:
        """Put a file there, in place of one of that name."""
        done = self._run("mcopy", "-o", "-", f"::/{name}", stdin=content)
        if done.returncode:
            raise AssertionError(f"{name} cannot be put on the FAT partition: {done.stderr.decode()}")

    def read(self, name: str) -> bytes:
        """A file's content.

        Raises:
            FileNotFoundError: there is none of that name.
        """
        done = self._run("mcopy", f"::/{name}", "-")
        if done.returncode:
            raise FileNotFoundError(f"{name} on the FAT partition: {done.stderr.decode().strip()}")
        return done.stdout

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        self._run("mdel", f"::/{name}")

    def names(self) -> list[str]:
        """What is at its top, as a card reader shows it."""
        lines = self._run("mdir", "-b", "::/").stdout.decode().splitlines()
        return sorted(line.removeprefix("::/") for line in lines if line)


class CardMachine:
    """A machine with a card; entered, the device on it is ready.

    Args:
        image: the image file; it is not written to.
        directory: gets the card while this runs, the logs, and the ssh key.
        usb: how many USB sockets it has.
        forward: ports of the device that are reached from here.
        settings: ``modemhub.toml`` for the FAT partition; ``SSH_KEY`` in it becomes the public key.
        words: more words for the kernel's line.
        size: octets of the card, or None: as long as the image is.
        on: whether entering boots it.
    """

    def __init__(
        self,
        image: Path,
        directory: Path,
        *,
        usb: int = 1,
        forward: Sequence[int] = (8080, 22, 8883),
        settings: str | None = None,
        words: str = "",
        size: int | None = 4 << 30,
        on: bool = True,
    ) -> None:
        self.image = image
        self.directory = directory
        self.card = directory / "card.img"
        self.settings = settings
        self.words = words
        self.size = size
        self.public_key = ""
        self.qemu = Qemu(directory, usb=usb, forward=forward)
        self.ports = self.qemu.ports
        self.sockets = self.qemu.sockets
        self.console = self.qemu.console
        self.events = self.qemu.events
        self.disk = Disk(self.card, directory)
        self._on = on
        self._booted_at = 0
        self._bios = Path()

    @property
    def qmp(self) -> Qmp:
        """QEMU's monitor, while it is on."""
        return self.qemu.qmp

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self._flash)
            if self._on:
                await self.boot()
        except BaseException:
            await self._end()
            raise
        return self

    def _flash(self) -> None:
        self._bios = uboot()
        key = self.directory / "key"
        if not key.exists():
            keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "owner", "-f", str(key)]
            subprocess.run(keygen, check=True, stdin=subprocess.DEVNULL)
        self.public_key = key.with_suffix(".pub").read_text(encoding="ascii").strip()
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", self.image, self.card], check=True)
        if self.size is not None and self.size > self.card.stat().st_size:
            os.truncate(self.card, self.size)
        if self.settings is not None:
            self.configure(self.settings)
        if self.words:
            Fat.of(self.card).write("boot-extra.txt", f"extra={self.words}\n".encode())

    def configure(self, settings: str) -> None:
        """Put ``modemhub.toml`` on the card, as a person does; the machine is off."""
        self._off()
        Fat.of(self.card).write("modemhub.toml", settings.replace(SSH_KEY, self.public_key).encode())

    def _off(self) -> None:
        child = self.qemu.child
        assert child is None or not child.running, "the card is in the machine, and that is on"

    async def power_on(self) -> None:
        """Switch it on; it boots from now on.

        Raises:
            Overdue: QEMU does not start.
        """
        self._booted_at = len(self.console.items)
        await self.qemu.start(
            "-bios", self._bios,
            "-blockdev", await asyncio.to_thread(self.disk.blockdev),
            "-device", f"virtio-blk-pci,{Disk.DEVICE}",
            "-device", "i6300esb", "-action", "watchdog=reset",
        )  # fmt: skip

    async def boot(self, *, within: float = BOOT) -> None:
        """Switch it on and wait until the hub answers.

        Raises:
            Overdue: it does not in time.
        """
        await self.power_on()
        await self.ready(within=within)

    async def cable(self, *, plugged: bool) -> None:
        """Plug its network cable in, or pull it out; while it is on."""
        await self.qemu.qmp("set_link", name="net", up=plugged)

    async def cut(self, seed: int | str = 0) -> Loss:
        """Take its power; what it had not flushed may be lost, as the seed decides."""
        await self.drop()
        return await asyncio.to_thread(self.disk.cut, seed)

    async def drop(self) -> None:
        """Take its power; the card is as it was at its last start, and ``disk`` can cut what was recorded since."""
        assert self.qemu.child is not None
        if self.qemu.child.running:
            drop(self.qemu.child.pid)
        await self.qemu.stop()

    async def ended(self, *, within: float = COMMAND) -> None:
        """Wait until it has switched itself off; all that it wrote is on the card.

        Raises:
            Overdue: it has not in time.
        """
        assert self.qemu.child is not None
        await self.qemu.child.ended(within=within)
        await self.qemu.stop()
        await asyncio.to_thread(self.disk.keep)

    async def shut_down(self, *, within: float = COMMAND) -> None:
        """Push its power key, and wait until it is off.

        Raises:
            Overdue: it is not in time.
        """
        await self.qemu.qmp("system_powerdown")
        await self.ended(within=within)

    async def reset(self) -> None:
        """Push its reset line."""
        self._booted_at = len(self.console.items)
        await self.qemu.qmp("system_reset")
        if 22 in self.ports:
            await self._forget_ssh()

    async def restarted(self, word: str, *, within: float = BOOT) -> str:
        """Wait until it has started anew by itself, and its console says this; what it said before counts no more.

        Raises:
            Overdue: it has not in time.
        """
        line = await self.says(word, within=within)
        self._booted_at = len(self.console.items)
        if 22 in self.ports:
            await self._forget_ssh()
        return line

    async def says(self, word: str, *, within: float = BOOT) -> str:
        """The first line of the console with this word since it was last switched on or reset.

        Raises:
            Overdue: there was none in time.
        """
        start = self._booted_at
        return await self.console.until(
            lambda lines: next((line for line in lines[start:] if word in line), None), f"{word!r}", within=within
        )

    def booted(self) -> list[str]:
        """What the console has said since then."""
        return self.console.items[self._booted_at :]

    async def certificate(self, port: int = HTTPS) -> bytes:
        """The certificate that a door shows, as DER.

        Raises:
            OSError: nobody answers there.
        """
        _reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[port], ssl=anyone())
        try:
            found: ssl.SSLObject = writer.get_extra_info("ssl_object")
            der = found.getpeercert(binary_form=True)
            assert der is not None
            return der
        finally:
            writer.close()

    async def fingerprint(self, port: int = HTTPS) -> str:
        """SHA-256 of that certificate, hexadecimal, lower case."""
        return hashlib.sha256(await self.certificate(port)).hexdigest()

    async def ready(self, *, within: float = BOOT) -> None:
        """Wait until the hub's door answers with TLS.

        Raises:
            Overdue: it does not in time; shows the console's end.
        """
        start = self._booted_at
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        await self.console.until(
            lambda lines: any(word in line for line in lines[start:] for word in UP),
            "sign of a system that is up",
            within=within,
        )
        while True:
            try:
                async with asyncio.timeout(AGAIN * 10):
                    await self.certificate()
            except (OSError, TimeoutError) as error:
                if loop.time() > deadline:
                    raise Overdue(f"no answer by HTTPS within {within:g} s: {error}\n{self.qemu.said()}") from None
                await asyncio.sleep(AGAIN)
            else:
                return

    def _ssh(self) -> list[str]:
        options = {
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "ConnectTimeout": "30",
            # a handshake takes seconds under emulation: one serves all commands of a boot
            "ControlMaster": "auto",
            "ControlPath": f"{self.qemu.place}/ssh-%p",
            "ControlPersist": "yes",
        }
        return [
            "ssh", "-F", "none", "-i", str(self.directory / "key"), "-p", str(self.ports[22]), "-T",
            *(word for name, value in options.items() for word in ("-o", f"{name}={value}")),
            "root@127.0.0.1",
        ]  # fmt: skip

    async def _forget_ssh(self) -> None:
        """End the connection that serves all commands: its other end has gone."""
        process = await asyncio.create_subprocess_exec(
            *self._ssh(), "-O", "exit", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await process.wait()

    async def ssh(
        self, argv: Sequence[str], *, stdin: bytes = b"", check: bool = True, within: float = COMMAND
    ) -> Done:
        """Run a command on the device as root, to its end; the settings have to name ``SSH_KEY``.

        Raises:
            Failed: its status is not 0, unless ``check`` is off. 255 is ssh's own.
            Overdue: it has not ended in time.
        """
        process = await asyncio.create_subprocess_exec(
            *self._ssh(), shlex.join(argv),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(within):
                out, err = await process.communicate(stdin)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise Overdue(f"on the device: {shlex.join(argv)} has not ended within {within:g} s") from None
        assert process.returncode is not None
        done = Done(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
        if check and done.code:
            raise Failed(f"on the device: {shlex.join(argv)}: {done.code}\n{done.out}{done.err}")
        return done

    async def shell(self, script: str, *, check: bool = True, within: float = COMMAND) -> str:
        """Run a line of shell; its output."""
        return (await self.ssh(["sh", "-c", script], check=check, within=within)).out

    def fat(self, name: str) -> bytes:
        """A file of the FAT partition; the machine is off.

        Raises:
            FileNotFoundError: there is none of that name.
        """
        self._off()
        return Fat.of(self.card).read(name)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        if 22 in self.ports:
            await self._forget_ssh()
        await self.qemu.close()
        for file in (self.card, self.disk.overlay, self.disk.record):
            file.unlink(missing_ok=True)
