"""The card's layout is told in one place, and those who cannot read that place say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from image.card.build import CHOICE_AT, CHOICE_SIZE, DATA, FRESH, SIGNATURE
from image.device.boot import DIRECTORIES

CARD = Path(__file__).resolve().parents[2] / "image/card"
OVERLAY = CARD / "overlay"
SECTOR = 512


def text(path: str) -> str:
    return (CARD / path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path",
    [
        "boot.cmd",
        "overlay/usr/lib/udev/rules.d/71-modemhub-card.rules",
        "overlay/usr/lib/udev/rules.d/73-modemhub-stick.rules",
    ],
)
def test_partitions_are_found_by_the_disks_signature(path: str) -> None:
    found = set(re.findall(r"PARTUUID=([0-9a-f]{8})-|_UUID}!?=?=\"([0-9a-f]{8})", text(path)))
    assert {one or other for one, other in found} == {f"{SIGNATURE:08x}"}


def test_the_boot_choice_is_where_linux_and_u_boot_look_for_it() -> None:
    assert text("overlay/etc/fw_env.config").splitlines()[-1].split()[1:] == [f"{CHOICE_AT:#x}", f"{CHOICE_SIZE:#x}"]
    assert re.findall(r"^setenv sector (\S+)$", text("boot.cmd"), re.MULTILINE) == [f"{CHOICE_AT // SECTOR:#x}"]
    assert set(re.findall(r"env (?:import|export) -c (?:-s )?(?:\S+ )?(0x\w+)", text("boot.cmd"))) == {
        f"{CHOICE_SIZE:#x}"
    }
    assert CHOICE_SIZE == SECTOR  # written whole or not at all


def test_a_fresh_card_has_as_many_attempts_as_the_boot_script_gives() -> None:
    (attempts,) = re.findall(r"^setenv attempts (\d+)$", text("boot.cmd"), re.MULTILINE)
    assert f"BOOT_A_LEFT={attempts}\n" in FRESH


def test_the_data_partition_is_written_as_each_start_would_make_it() -> None:
    made = {name: (mode, owner) for name, (owner, mode) in DIRECTORIES.items()}
    assert DATA.items() <= made.items()
