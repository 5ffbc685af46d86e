"""A device whose root is a directory: FAT, /data and /run are there, and /data is told to be mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from image.device import rim
from image.device.place import Place

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DIRECTORIES = (
    "boot/firmware",
    "data",
    "run",
    "proc/sys/kernel",
    "proc/self",
    "var/lib/modemhub",
    "var/lib/mosquitto",
    "dev",
    "etc",
)

MOUNTS = "/dev/mmcblk0p2 / ext4 ro 0 0\n/dev/mmcblk0p4 /data ext4 rw,noatime 0 0\n"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for name in DIRECTORIES:
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "proc/self/mounts").write_text(MOUNTS, encoding="ascii")
    return Place(tmp_path)


class Machine:
    """What the commands of a machine would do that is none: mounts and services are noted, tools are run.

    Attributes:
        said: every command, as words.
        answers: what a command (its first word) writes, or the error that it ends with; ahead of running it.
    """

    def __init__(self) -> None:
        self.said: list[list[str]] = []
        self.answers: dict[str, str | Exception] = dict.fromkeys(
            ("mount", "sync", "systemctl", "nft", "blkdiscard", "mke2fs"), ""
        )

    def __call__(self, argv: Sequence[str | Path], *, given: str | None = None) -> str:
        words = [str(word) for word in argv]
        self.said.append(words)
        answer = self.answers.get(words[0])
        if isinstance(answer, Exception):
            raise answer
        return rim.run(argv, given=given) if answer is None else answer


@pytest.fixture
def machine() -> Machine:
    return Machine()
