"""Other versions of a slot, good ones and sabotaged ones, as signed bundles; and USB sticks that bring them.

A version is the slot's image of the card under test with another ``/etc/modemhub-image`` and, for a sabotage, other
files; so all that it takes is debugfs. ``unfit`` ones are too small to run: what is refused is never written.

A stick is a FAT file system without a partition table, in QEMU's usb-storage: the device's own udev and drivers see it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from image.building import digest
from image.update import bundle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from hil.card.machine import CardMachine

__all__ = ["SABOTAGE", "Slot", "bundled", "plugged", "stick", "unfit"]

IMAGE: Final = "/etc/modemhub-image"
PORT: Final = "4"
"""Of the USB controller; the modems have the first ones."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What is to be in a slot."""

    version: str
    files: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Path: content and mode, in place of what is there."""


_ENDS: Final = "#!/bin/sh\nexit 2\n"
SABOTAGE: Final[Mapping[str, Mapping[str, tuple[str, int]]]] = {
    "the hub refuses its settings": {"/usr/bin/modemhub": (_ENDS, 0o755)},
    "the hub crashes": {"/usr/bin/modemhub": ("#!/bin/sh\nsleep 15\nexit 1\n", 0o755)},
    "no modem comes online": {"/etc/modprobe.d/sabotage.conf": ("install option /bin/false\n", 0o644)},
    "the kernel is no kernel": {"/boot/vmlinuz": ("nothing of the kind\n", 0o644)},
    "the device's Python is broken": {"/usr/bin/modemhub-device": ("#!/bin/sh\nsleep infinity\n", 0o755)},
    "the initramfs is none": {"/boot/initrd.img": ("nothing of the kind\n", 0o644)},
}
"""What each of these slots must be left for."""


def _words(version: str) -> str:
    return f"VERSION={version}\nBUILD=hil\nBOARD=rpi-arm64\n"


def _debugfs(image: Path, *commands: str) -> None:
    script = "".join(f"{command}\n" for command in commands)
    done = subprocess.run(["debugfs", "-w", "-f", "-", image], input=script, capture_output=True, text=True, check=True)
    refused = [line for line in done.stderr.splitlines() if line and not line.startswith("debugfs ")]
    assert not [line for line in refused if "File not found" not in line], refused


def _put(image: Path, path: str, content: str, mode: int) -> None:
    local = image.with_name("content")
    local.write_text(content, encoding="utf-8")
    _debugfs(image, f"rm {path}", f"write {local} {path}", f"set_inode_field {path} mode 0{0o100000 | mode:o}")
    local.unlink()


def _made(root: Path, slot: Slot, out: Path) -> Path:
    image = out.with_suffix(".ext4")
    image.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", root, image], check=True)
    for path, (content, mode) in {IMAGE: (_words(slot.version), 0o644), **slot.files}.items():
        _put(image, path, content, mode)
    try:
        return bundle.build(image, bundle.authority(environment={}), out)
    finally:
        image.unlink()


def bundled(root: Path, slot: Slot) -> Path:
    """A signed bundle of another version of the slot whose image is ``root``; it stays below ``bundles`` beside it."""
    by = bundle.authority(environment={})
    words = (slot.version, repr(sorted(slot.files.items())), str(root.stat().st_mtime_ns))
    name = digest(by.keyring, *(word.encode() for word in words))
    out = root.with_name("bundles") / name / f"modemhub-{slot.version}.raucb"
    if not out.exists():
        _made(root, slot, out.with_suffix(".part")).rename(out)
    return out


def unfit(out: Path, version: str, *, by: bundle.Authority | None = None, compatible: str = bundle.COMPATIBLE) -> Path:
    """A bundle that must be refused, for its version, its board or its signature."""
    tree = out.with_suffix(".tree")
    (tree / "etc").mkdir(parents=True)
    (tree / IMAGE.lstrip("/")).write_text(_words(version), encoding="utf-8")
    (tree / "noise").write_bytes(os.urandom(65536))  # RAUC makes no bundle of next to nothing
    image = out.with_suffix(".ext4")
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, image, "2M"], check=True)
    return bundle.build(image, by or bundle.authority(environment={}), out, compatible=compatible)


def stick(file: Path, *bundles: Path) -> Path:
    """A stick with these in its root."""
    size = sum(each.stat().st_size for each in bundles) // 1024 + 64 * 1024
    subprocess.run(["mformat", "-C", "-F", "-i", file, "-T", str(size * 2), "-v", "STICK", "::"], check=True)
    for each in bundles:
        subprocess.run(["mcopy", "-i", file, each, f"::/{each.name}"], check=True)
    return file


@contextlib.asynccontextmanager
async def plugged(device: CardMachine, file: Path) -> AsyncIterator[None]:
    """A stick in the device while this lasts."""
    disk = {"driver": "file", "filename": str(file), "read-only": True}
    await device.qmp("blockdev-add", **{"driver": "raw", "node-name": "stick", "file": disk, "read-only": True})
    await device.qmp("device_add", driver="usb-storage", id="stick", bus="usb.0", port=PORT, drive="stick")
    try:
        yield
    finally:
        gone = len(device.events.items)
        await device.qmp("device_del", id="stick")
        await device.events.until(
            lambda events: any(event["event"] == "DEVICE_DELETED" for event in events[gone:]), "stick pulled", within=30
        )
        await device.qmp("blockdev-del", **{"node-name": "stick"})
