"""The script that checks the data partition: all that can be repaired is, and nothing turns into a new device."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from image.device.boot import DIRECTORIES
from tests.device.judges import tool

if TYPE_CHECKING:
    from collections.abc import Mapping

SCRIPT = Path(__file__).parents[2] / "image/card/overlay/usr/lib/modemhub-device/mend"
MEBI = 1 << 20
BLOCK = 4096
FILES = {"device/settings.toml": b"[system]\n" * 900, "modemhub/modemhub.db": bytes(range(256)) * 1024}
NOTICED = "set_super_value state 2"
"""As the kernel leaves it that came upon an error: the next check is a full one."""


def environment(**more: str) -> Mapping[str, str]:
    return {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", **more}


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """The data partition of a card of which 400 MiB are left for it: three copies of the superblock."""
    for name in ("mke2fs", "e2fsck", "debugfs"):
        tool(name)
    for name in DIRECTORIES:
        (tmp_path / "tree" / name).mkdir(parents=True)
    for name, octets in FILES.items():
        (tmp_path / "tree" / name).write_bytes(octets)
    image = tmp_path / "data.img"
    argv: list[str | Path] = [
        "mke2fs",
        "-q",
        "-t",
        "ext4",
        "-b",
        "4096",
        "-m",
        "0",
        "-d",
        tmp_path / "tree",
        image,
        "400M",
    ]
    subprocess.run(argv, check=True, env=environment())
    return image


def debugfs(disk: Path, *commands: str) -> str:
    script = "".join(f"{command}\n" for command in commands)
    done = subprocess.run(
        ["debugfs", "-w", "-f", "-", disk],
        input=script, capture_output=True, text=True, check=True, env=environment(),
    )  # fmt: skip
    return done.stdout


def zero(disk: Path, start: int, count: int) -> None:
    with disk.open("r+b") as file:
        file.seek(start)
        file.write(bytes(count))


def fsck(disk: Path, option: str) -> int:
    """What e2fsck says by itself, of a copy."""
    copy = disk.with_name("copy.img")
    subprocess.run(["cp", "--sparse=always", disk, copy], check=True)
    done = subprocess.run(["e2fsck", option, copy], check=False, capture_output=True, env=environment())
    return done.returncode


def mend(disk: Path, **more: str) -> bool:
    """Whether it may be mounted."""
    done = subprocess.run(
        ["sh", SCRIPT, disk], check=False, capture_output=True, stdin=subprocess.DEVNULL, env=environment(**more)
    )
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode == 0


def digest(disk: Path, *, start: int = 0) -> bytes:
    with disk.open("rb") as file:
        file.seek(start)
        return hashlib.file_digest(file, "sha256").digest()


def kept(disk: Path, name: str) -> bytes:
    target = disk.with_name("read")
    target.unlink(missing_ok=True)
    debugfs(disk, f"dump /{name} {target}")
    return target.read_bytes()


def test_a_sound_one_is_left_as_it_is(disk: Path) -> None:
    before = digest(disk, start=BLOCK)
    assert mend(disk)
    assert digest(disk, start=BLOCK) == before  # the superblock has the time of each check


@pytest.mark.parametrize(
    ("damage", "refused"),
    [
        ("a parent that is none", 4),
        ("the superblock", 8),
        ("the superblock and the table of groups", 8),
        ("a little thing", 1),
    ],
)
def test_what_can_be_repaired_is_and_nothing_is_lost(disk: Path, damage: str, refused: int) -> None:
    match damage:
        case "a parent that is none":
            debugfs(disk, NOTICED, "unlink /modemhub/..", "link /device /modemhub/..")
        case "the superblock":
            zero(disk, 0, BLOCK)
        case "the superblock and the table of groups":
            zero(disk, 0, 3 * BLOCK)
        case "a little thing":
            debugfs(disk, NOTICED, "set_inode_field /modemhub/modemhub.db checksum 1")
    assert fsck(disk, "-p") & 15 == refused
    assert mend(disk)
    assert fsck(disk, "-fn") == 0
    for name, octets in FILES.items():
        assert kept(disk, name) == octets
    assert mend(disk)


def test_a_file_that_lost_its_name_is_kept_for_who_looks_for_it(disk: Path) -> None:
    debugfs(disk, NOTICED, "unlink /modemhub/modemhub.db")
    assert fsck(disk, "-p") == 4
    assert mend(disk)
    assert "#" in debugfs(disk, "ls -p /lost+found")


@pytest.mark.parametrize("mebis", [1, 4, 64, 400])
def test_where_nothing_is_to_be_found_nothing_is_made_of_it(disk: Path, mebis: int) -> None:
    """Else e2fsck makes an empty file system of it, and the device takes itself for a new one."""
    zero(disk, 0, mebis * MEBI)
    assert fsck(disk, "-y") == (8 if mebis == 400 else 1)
    before = digest(disk)
    for _ in range(2):
        assert not mend(disk)
        assert digest(disk) == before


def test_a_repair_that_lost_the_directories_is_not_taken_for_a_new_device(disk: Path) -> None:
    debugfs(disk, NOTICED, "unlink /modemhub")
    for _ in range(2):
        assert not mend(disk)
        assert fsck(disk, "-fn") in {0, 4}


def test_a_file_in_place_of_a_directory_is_none(disk: Path) -> None:
    debugfs(disk, NOTICED, "set_inode_field /modemhub mode 0100700")
    for _ in range(2):
        assert not mend(disk)


def test_garbage_and_nothing_are_left_alone(tmp_path: Path) -> None:
    tool("e2fsck")
    disk = tmp_path / "garbage"
    disk.write_bytes(os.urandom(8 * MEBI))
    before = digest(disk)
    assert not mend(disk)
    assert digest(disk) == before
    assert not mend(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(("code", "mounted"), [(0, True), (1, True), (2, True), (4, False), (8, True), (12, False)])
def test_errors_that_are_left_keep_it_from_being_mounted(disk: Path, code: int, *, mounted: bool) -> None:
    """What could not be checked is for the kernel to decide."""
    here = disk.parent / "bin"
    here.mkdir()
    (here / "e2fsck").write_text(f"#!/bin/sh\nexit {code}\n", encoding="ascii")
    (here / "e2fsck").chmod(0o755)
    assert mend(disk, PATH=f"{here}:{environment()['PATH']}") is mounted
