"""Damage to a card that is out of its machine: what a failing card, or a power cut that no card should allow, leaves.

Everything here writes into the card's image itself; the next start finds it so.
"""

from __future__ import annotations

import struct
import subprocess
from typing import TYPE_CHECKING, Final

from hil.card.cuts import extract
from hil.card.reader import DATA, FAT, partition

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["data_debugfs", "preens", "spoil_second_fat", "wrong_parent", "zero_data"]

NOTICED: Final = "set_super_value state 2"
"""As the kernel leaves a file system in which it came upon an error: else the next check is no full one."""


def data_debugfs(card: Path, *commands: str) -> str:
    """Have debugfs do this to the data partition, which was unmounted well."""
    script = "".join(f"{command}\n" for command in commands)
    argv = ["debugfs", "-w", "-f", "-", f"{card}?offset={partition(card, DATA).start}"]
    return subprocess.run(argv, input=script, capture_output=True, text=True, check=True).stdout


def wrong_parent(card: Path) -> None:
    """The directory of the hub's database says that it is inside another one: nothing that e2fsck repairs unasked."""
    data_debugfs(card, NOTICED, "unlink /modemhub/..", "link /device /modemhub/..")


def zero_data(card: Path, count: int) -> None:
    """The first octets of the data partition are gone."""
    with card.open("r+b") as file:
        file.seek(partition(card, DATA).start)
        file.write(bytes(count))


def preens(card: Path, scratch: Path) -> int:
    """e2fsck's exit code, of a copy, when it may only repair what needs nobody's decision."""
    copy = scratch / "preened.img"
    try:
        extract(card, partition(card, DATA), copy)
        return subprocess.run(["e2fsck", "-p", copy], check=False, capture_output=True).returncode
    finally:
        copy.unlink(missing_ok=True)


def spoil_second_fat(card: Path) -> None:
    """The second of the FAT partition's two tables is gone; boot loaders read the first."""
    start = partition(card, FAT).start
    with card.open("r+b") as file:
        file.seek(start)
        sector = file.read(512)
        size, reserved = (struct.unpack_from("<H", sector, at)[0] for at in (11, 14))
        (length,) = struct.unpack_from("<I", sector, 36)
        file.seek(start + (reserved + length) * size)
        file.write(bytes(length * size))
