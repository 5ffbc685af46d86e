"""The script that ends a boot which hangs: on trial, where there is a way back, and if nothing was proved."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "image/card/overlay/usr/lib/modemhub-device/overdue"
COMMANDS = {
    "fw_printenv": 'cat "$PLACE/choice/$2" 2>/dev/null',
    "fw_setenv": 'echo "set $*" >> "$PLACE/done"',
    "systemctl": 'echo "systemctl $*" >> "$PLACE/done"',
    "reboot": 'echo "reboot $*" >> "$PLACE/done"',
    "sleep": 'echo "sleep $*" >> "$PLACE/slept"; [ ! -e "$PLACE/late" ] || : > "$PLACE/proved"',
}


def run(place: Path, choice: dict[str, str], *, line: str = "ro rauc.slot=B quiet", late: bool = False) -> list[str]:
    """What it did."""
    (place / "bin").mkdir()
    (place / "choice").mkdir()
    for name, text in COMMANDS.items():
        (place / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (place / "bin" / name).chmod(0o755)
    for name, value in choice.items():
        (place / "choice" / name).write_text(value + "\n")
    (place / "cmdline").write_text(line + "\n")
    if late:
        (place / "late").touch()
    script = SCRIPT.read_text().replace("/proc/cmdline", f"{place}/cmdline")
    script = script.replace("/run/modemhub-device/proved", f"{place}/proved")
    environment = {"PATH": f"{place}/bin:/usr/bin:/bin", "PLACE": str(place)}
    subprocess.run(["sh", "-c", script], env=environment, check=True, capture_output=True, timeout=20)
    done = place / "done"
    return done.read_text().splitlines() if done.exists() else []


TRIAL = {"BOOT_ORDER": "B A", "BOOT_A_LEFT": "b", "BOOT_B_LEFT": "2"}
BACK = ["set BOOT_B_LEFT 0", "systemctl --no-block reboot", "reboot --force --force"]


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ({}, True),
        ({"BOOT_B_LEFT": "0"}, True),
        ({"BOOT_B_LEFT": "3"}, False),
        ({"BOOT_B_LEFT": "b"}, False),
        ({"BOOT_ORDER": "B"}, False),
        ({"BOOT_A_LEFT": "0"}, False),
    ],
)
def test_it_ends_a_boot_on_trial_where_there_is_a_way_back(
    tmp_path: Path, change: dict[str, str], *, ends: bool
) -> None:
    assert run(tmp_path, {**TRIAL, **change}) == (BACK if ends else [])


def test_a_boot_that_is_proved_in_time_goes_on(tmp_path: Path) -> None:
    assert run(tmp_path, TRIAL, late=True) == []
    assert (tmp_path / "slept").read_text() == "sleep 1800\n"


@pytest.mark.parametrize("line", ["ro quiet", "ro rauc.slot=X", "ro rauc.slot="])
def test_without_a_slot_it_does_nothing(tmp_path: Path, line: str) -> None:
    assert run(tmp_path, TRIAL, line=line) == []


def test_without_a_boot_choice_it_does_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, {}) == []


def test_the_other_slot_is_the_mirror_and_the_kernel_line_may_shorten_it(tmp_path: Path) -> None:
    choice = {"BOOT_ORDER": "A B", "BOOT_A_LEFT": "1", "BOOT_B_LEFT": "c"}
    assert run(tmp_path, choice, line="rauc.slot=A modemhub.overdue=7")[0] == "set BOOT_A_LEFT 0"
    assert (tmp_path / "slept").read_text().startswith("sleep 7\n")
