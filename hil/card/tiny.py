"""The least card that the image's U-Boot script can boot: its sector, and slots whose kernel says its name and stops.

Promise: ``card`` writes an image file with the partitions of the real one (an MBR, a FAT with ``boot.scr`` made of
``image/card/boot.cmd``, two slots), 64 MB and sparse, in a tenth of a second; ``kernel`` is a program for a slot that
U-Boot takes for a Linux kernel: on the console it says ``kernel of NAME: `` and the kernel's line that it was given,
then it switches the machine off.

It needs mkimage, mke2fs, mkfs.vfat and mtools; ``needed`` tells what is missing.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
import zlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hil.card.cuts import SECTOR
from hil.card.machine import Fat
from hil.rig.process import ROOT
from image.building import missing

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CHOICE", "card", "choice", "chosen", "kernel", "needed"]

SCRIPT: Final = ROOT / "image" / "card" / "boot.cmd"
COMMANDS: Final = {
    "mkimage": "u-boot-tools",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
}
"""What it needs, and Debian's package of it."""
PATH: Final = "/usr/sbin:/sbin:/usr/bin:/bin"
"""Makers of file systems are not in everybody's."""
SIGNATURE: Final = 0x4D485542
CHOICE: Final = 0x1000
"""The sector of the boot choice, on the real card too."""
FAT_AT, SLOT_AT, SLOT = 8192, {"A": 81920, "B": 90112}, 8192
"""First sector of the FAT partition and of the slots, sectors of a slot; FAT32 has 33 MB at the least."""
SIZE: Final = 64 << 20
PL011: Final = {"virt": 0x0900_0000, "raspi3b": 0x3F20_1000}
"""Where a serial port of QEMU's machine is."""

PROGRAM: Final = (
    # 48: x9 = the serial port's data register, x0 = the device tree, x2 = its end
    0x58FFFFC9,  # ldr x9, 40
    0xB9400402,  # ldr w2, [x0, #4]
    0x5AC00842,  # rev w2, w2
    0x8B020002,  # add x2, x0, x2
    # 58: look for what the kernel's line begins with, octet by octet
    0x10000344,  # adr x4, c0
    0xAA0003E3,  # mov x3, x0
    0x38401485,  # 60: ldrb w5, [x4], #1
    0x34000105,  # cbz w5, 84
    0x38401466,  # ldrb w6, [x3], #1
    0x6B0600BF,  # cmp w5, w6
    0x54FFFF80,  # b.eq 60
    0x91000400,  # add x0, x0, #1
    0xEB02001F,  # cmp x0, x2
    0x54FFFEE3,  # b.lo 58
    0x1400000C,  # b b0
    # 84: say the name, then the line
    0x50000223,  # adr x3, ca
    0x38401465,  # 88: ldrb w5, [x3], #1
    0x34000065,  # cbz w5, 98
    0xB9000125,  # str w5, [x9]
    0x17FFFFFD,  # b 88
    0x38401405,  # 98: ldrb w5, [x0], #1
    0x34000065,  # cbz w5, a8
    0xB9000125,  # str w5, [x9]
    0x17FFFFFD,  # b 98
    0x52800145,  # a8: mov w5, #10
    0xB9000125,  # str w5, [x9]
    # b0: SYSTEM_OFF of PSCI (ARM DEN 0022), and wait for it
    0xD2B08000,  # mov x0, #0x84000000
    0xF2800100,  # movk x0, #8
    0xD4000002,  # hvc #0
    0x14000000,  # b .
)
"""AArch64 instructions; the numbers are their offsets in the file."""
SOUGHT: Final = b"root=PART\0"


def kernel(name: str, *, board: str = "virt") -> bytes:
    """A program behind the header that the kernel's Documentation/arch/arm64/booting.rst describes."""
    # code0 jumps over header and address; image size with room; little-endian, may be anywhere
    header = struct.pack("<IIQQQQQQ4sI", 0x14000012, 0, 0, 0x10000, 0xA, 0, 0, 0, b"ARM\x64", 0)
    program = b"".join(word.to_bytes(4, "little") for word in PROGRAM)
    return header + struct.pack("<Q", PL011[board]) + program + SOUGHT + f"kernel of {name}: ".encode() + b"\0"


def needed() -> str | None:
    """Why no card can be made here, or None."""
    return missing(COMMANDS, path=PATH)


def choice(**variables: str) -> bytes:
    """The sector of the boot choice with these variables."""
    data = b"".join(f"{name}={value}\0".encode() for name, value in variables.items()) + b"\0"
    data = data.ljust(SECTOR - 4, b"\0")
    return struct.pack("<I", zlib.crc32(data)) + data


def chosen(image: Path) -> dict[str, str]:
    """The variables of the sector.

    Raises:
        ValueError: its checksum is wrong.
    """
    with image.open("rb") as file:
        file.seek(CHOICE * SECTOR)
        sector = file.read(SECTOR)
    (checksum,) = struct.unpack("<I", sector[:4])
    if checksum != zlib.crc32(sector[4:]):
        raise ValueError("the sector's checksum is wrong")
    words = sector[4:].split(b"\0\0", 1)[0].split(b"\0")
    return dict(word.decode().split("=", 1) for word in words if word)


def _run(*argv: str | Path) -> None:
    subprocess.run(argv, check=True, capture_output=True, env={"PATH": PATH})


@cache
def _slot(files: tuple[tuple[str, bytes], ...]) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        boot = Path(scratch) / "root" / "boot"
        boot.mkdir(parents=True)
        for name, content in files:
            (boot / name).write_bytes(content)
        image = Path(scratch) / "slot"
        # as the real one is made
        options = ("-q", "-t", "ext4", "-O", "^has_journal", "-m", "0")
        _run("mke2fs", *options, "-d", boot.parent, image, f"{SLOT * SECTOR // 1024}k")
        return image.read_bytes()


@cache
def _fat(script: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / "boot.cmd").write_bytes(script)
        _run("mkimage", "-A", "arm64", "-T", "script", "-C", "none", "-d", place / "boot.cmd", place / "boot.scr")
        sectors = SLOT_AT["A"] - FAT_AT
        _run("mkfs.vfat", "-F", "32", "-n", "MODEMHUB", "-C", place / "fat", str(sectors * SECTOR // 1024))
        Fat(place / "fat", 0).write("boot.scr", (place / "boot.scr").read_bytes())
        return (place / "fat").read_bytes()


def card(
    image: Path, *, a: Mapping[str, bytes] | None, b: Mapping[str, bytes] | None, sector: bytes = b"", **files: bytes
) -> Path:
    """Write a card.

    Args:
        image: the new file.
        a: the files of slot A's ``/boot``; None: never written to, as slot B of a fresh card.
        b: those of slot B.
        sector: the boot choice.
        files: more for the FAT partition, by name; ``_`` for ``.`` in it.
    """
    entries = [(0x0C, FAT_AT, SLOT_AT["A"] - FAT_AT), *((0x83, at, SLOT) for at in SLOT_AT.values())]
    table = b"".join(struct.pack("<B3sB3sII", 0, b"\0" * 3, kind, b"\0" * 3, at, size) for kind, at, size in entries)
    with image.open("wb") as file:
        file.truncate(SIZE)
        file.seek(440)
        file.write(struct.pack("<IH", SIGNATURE, 0) + table.ljust(64, b"\0") + b"\x55\xaa")
        file.seek(CHOICE * SECTOR)
        file.write(sector)
        file.seek(FAT_AT * SECTOR)
        file.write(_fat(SCRIPT.read_bytes()))
        for at, content in zip(SLOT_AT.values(), (a, b), strict=True):
            if content is not None:
                file.seek(at * SECTOR)
                file.write(_slot(tuple(sorted(content.items()))))
    for name, octets in files.items():
        Fat.of(image).write(name.replace("_", "."), octets)
    return image
