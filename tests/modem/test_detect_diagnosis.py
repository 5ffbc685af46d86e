"""What ``modemhub doctor`` says about what is plugged in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from appliance.modem.detect import Surroundings, diagnose
from tests.modem.buses import EC25, ROUTER, STORAGE, UNKNOWN, bare, device, knowledge

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.modem.detect import UsbDevice

QUIET = Surroundings()


def said(seen: UsbDevice, around: Surroundings = QUIET) -> tuple[bool, str]:
    (finding,) = diagnose([seen], knowledge(), around)
    assert finding.port == "usb 1-1.2"
    return finding.fine, finding.words


def test_a_modem_in_order_is_described() -> None:
    fine, words = said(device())
    assert fine
    assert words == (
        "Quectel EC25-E (2c7c:0125) is a modem: by its USB id of the family quectel-ec25. "
        "Ports: /dev/ttyUSB0 (interface 0, ff/00/00); /dev/ttyUSB1 (interface 1, ff/00/00); "
        "/dev/ttyUSB2 (interface 2, ff/00/00, AT, preferred); /dev/ttyUSB3 (interface 3, ff/00/00, AT)."
    )


def test_a_modem_that_no_profile_knows_is_described() -> None:
    fine, words = said(device(usb_id=UNKNOWN))
    assert fine
    assert "of a USB id that no profile knows" in words
    assert "Which one speaks AT is not known: all are asked." in words


@pytest.mark.parametrize(
    ("seen", "around", "told"),
    [
        (device(ignored=False), Surroundings(modem_manager=312), "ModemManager runs (pid 312)"),
        (device(), Surroundings(closed={"/dev/ttyUSB2": "permission denied"}), "may not open /dev/ttyUSB2"),
        (device(), Surroundings(over_currents={"1-1.2": 3}), "was cut off 3 times"),
        (bare(usb_id=STORAGE), QUIET, "usb-modeswitch"),
        (bare(usb_id=ROUTER, usb_class="02/06/00"), QUIET, "HiLink"),
        (bare(usb_id=EC25, usb_class="ff/00/00"), QUIET, "no driver has bound"),
    ],
)
def test_what_is_in_the_way_is_told(seen: UsbDevice, around: Surroundings, told: str) -> None:
    fine, words = said(seen, around)
    assert not fine
    assert told in words


def test_who_has_a_port_is_told() -> None:
    _, words = said(device(), Surroundings(holders={"/dev/ttyUSB3": "modemhub (pid 99)"}))
    assert "/dev/ttyUSB3 (interface 3, ff/00/00, AT, in use by modemhub (pid 99))" in words


def test_modem_manager_is_no_matter_where_it_keeps_away() -> None:
    assert said(device(ignored=True), Surroundings(modem_manager=312))[0]


@pytest.mark.parametrize(
    "seen",
    [
        device(usb_id="0403:6001", ttys=(0,), driver="ftdi_sio"),
        device(usb_id="2341:0043", ttys=(0,), driver="cdc_acm", usb_class="02/02/01"),
    ],
)
def test_a_port_that_may_be_anything_is_left_alone_and_said_how_to_be_used(seen: UsbDevice) -> None:
    fine, words = said(seen)
    assert fine
    assert "it is left alone" in words
    assert "[[modems]]" in words


def test_a_device_with_a_port_in_the_settings_is_said_to_be_so() -> None:
    around = Surroundings(named={"/dev/pts/7"}, real={"/dev/ttyUSB1": "/dev/pts/7"})
    assert said(device(), around) == (
        True,
        "Quectel EC25-E (2c7c:0125) has a port in the settings: it is used as it says there.",
    )


def test_what_does_not_matter_is_not_mentioned() -> None:
    assert diagnose([bare(usb_id="046d:c31c", usb_class="03/01/01")], knowledge(), QUIET) == []


def test_the_supply_is_spoken_of_only_where_there_is_a_modem_and_something_was_seen() -> None:
    around = Surroundings(supply=("it was low",))
    assert [finding.port for finding in diagnose([device()], knowledge(), around)] == ["usb 1-1.2", "supply"]
    assert diagnose([], knowledge(), around) == []


def raspberry(
    home: Path, *, alarm: str | None = None, milliamperes: int | None = None, lifted: int = 0
) -> Surroundings:
    """Look around on a machine that is two folders."""
    if alarm is not None:
        sensor = home / "sys/class/hwmon/hwmon1"
        sensor.mkdir(parents=True)
        (sensor / "name").write_text("rpi_volt\n", encoding="ascii")
        (sensor / "in0_lcrit_alarm").write_text(alarm + "\n", encoding="ascii")
    if milliamperes is not None:
        power = home / "firmware/chosen/power"
        power.mkdir(parents=True)
        (power / "max_current").write_bytes(milliamperes.to_bytes(4, "big"))
        (power / "usb_max_current_enable").write_bytes(lifted.to_bytes(4, "big"))
    return Surroundings.look([], sys=home / "sys", firmware=home / "firmware")


@pytest.mark.parametrize(
    ("alarm", "milliamperes", "lifted", "told"),
    [
        (None, None, 0, []),
        ("0", 5000, 0, []),
        ("1", None, 0, ["fall too low"]),
        (None, 3000, 0, ["600 mA"]),
        (None, 3000, 1, []),
        ("1", 3000, 0, ["fall too low", "600 mA"]),
    ],
)
def test_what_the_machine_says_of_its_supply(
    tmp_path: Path, alarm: str | None, milliamperes: int | None, lifted: int, told: list[str]
) -> None:
    supply = raspberry(tmp_path, alarm=alarm, milliamperes=milliamperes, lifted=lifted).supply
    assert len(supply) == len(told)
    assert all(words in sentence for words, sentence in zip(told, supply, strict=True))


def test_a_look_around_finds_counts_links_and_missing_nodes(tmp_path: Path) -> None:
    (tmp_path / "1-1.2/port").mkdir(parents=True)
    (tmp_path / "1-1.2/port/over_current_count").write_text("2\n", encoding="ascii")
    node = tmp_path / "ttyUSB0"
    node.touch()
    link = tmp_path / "link"
    link.symlink_to(node)
    seen = device(ttys=(0, 1))
    seen = replace(
        seen,
        sys_path=str(tmp_path / "1-1.2"),
        ttys=(replace(seen.ttys[0], node=str(link)), replace(seen.ttys[1], node=str(tmp_path / "ttyUSB1"))),
    )
    around = Surroundings.look([seen], named=[str(node)], sys=tmp_path, firmware=tmp_path)
    assert around.over_currents == {"1-1.2": 2}
    assert around.real[str(link)] in around.named
    assert around.closed == {str(tmp_path / "ttyUSB1"): "is not there"}
