"""``modemhub doctor``: what is plugged in is described, what is free is asked, and everything is said in words."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from appliance.hub.roster import Roster
from appliance.modem.detect import Surroundings
from appliance.modem.doctor import consult
from appliance.modem.examine import Finding
from appliance.modem.host import ModemStatus
from appliance.shell.words import modem_words
from appliance.types import Imei, ModemState, Registration
from tests.modem.buses import ROUTER, STORAGE, UNKNOWN, bare, device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.modem.detect import UsbDevice

EC25 = device()


class Asked:
    """Examines ports, all of them in order."""

    def __init__(self) -> None:
        self.ports: list[str] = []

    async def __call__(self, port: str) -> Finding:
        self.ports.append(port)
        return Finding(port, fine=True, words="answers")


def look(
    *devices: UsbDevice, named: Sequence[str] = (), buses: bool = True, around: Surroundings | None = None
) -> tuple[list[Finding], list[str]]:
    """What is said, and which ports were asked."""
    asked = Asked()
    found = asyncio.run(
        consult(named, buses=buses, devices=lambda: devices, around=lambda _: around or Surroundings(), ask=asked)
    )
    return found, asked.ports


def test_where_nothing_is_it_is_said_what_to_do() -> None:
    for devices in ((), (device(usb_id="046d:c31c", ttys=()),)):
        (finding,), asked = look(*devices)
        assert not finding.fine
        assert "none is plugged in that could be recognised" in finding.words
        assert "[[modems]]" in finding.words
        assert asked == []


def test_a_free_modem_is_described_and_asked_on_the_port_that_speaks_at() -> None:
    found, asked = look(EC25)
    assert [finding.port for finding in found] == ["usb 1-1.2", "/dev/ttyUSB2"]
    assert "is a modem" in found[0].words
    assert asked == ["/dev/ttyUSB2"]
    assert all(finding.fine for finding in found)


def test_of_one_that_no_profile_knows_the_first_port_is_asked() -> None:
    assert look(device(usb_id=UNKNOWN))[1] == ["/dev/ttyUSB0"]


@pytest.mark.parametrize(
    ("around", "told"),
    [
        (Surroundings(holders={"/dev/ttyUSB3": "modemhub (pid 99)"}), "in use by modemhub (pid 99)"),
        (Surroundings(closed={"/dev/ttyUSB2": "permission denied"}), "must be in the group dialout"),
    ],
)
def test_what_another_has_or_nobody_may_open_is_told_and_not_asked(around: Surroundings, told: str) -> None:
    found, asked = look(EC25, around=around)
    assert asked == []
    assert told in found[0].words


def test_a_modem_whose_port_the_settings_name_is_asked_once_and_by_that_name() -> None:
    link = "/dev/serial/by-id/usb-Quectel"
    around = Surroundings(named={"/dev/ttyUSB2"}, real={tty.node: tty.node for tty in EC25.ttys})
    found, asked = look(EC25, named=[link], around=around)
    assert asked == [link]
    assert "used as it says there" in found[0].words


@pytest.mark.parametrize(
    ("seen", "told"),
    [(bare(usb_id=STORAGE), "usb-modeswitch"), (bare(usb_id=ROUTER, usb_class="02/06/00"), "HiLink")],
)
def test_a_stick_that_is_no_modem_as_it_is_is_told_and_not_asked(seen: UsbDevice, told: str) -> None:
    (finding,), asked = look(seen)
    assert told in finding.words
    assert not finding.fine
    assert asked == []


def test_named_ports_are_asked_unless_somebody_has_them() -> None:
    around = Surroundings(holders={"/dev/ttyUSB9": "minicom (pid 7)"})
    found, asked = look(named=["/dev/serial0", "/dev/ttyUSB9", "socket://10.0.0.2:23"], around=around)
    assert asked == ["/dev/serial0", "socket://10.0.0.2:23"]
    assert [(finding.port, finding.fine) for finding in found] == [
        ("/dev/serial0", True),
        ("/dev/ttyUSB9", False),
        ("socket://10.0.0.2:23", True),
    ]
    assert found[1].words == "is in use by minicom (pid 7)"


def test_where_detection_is_off_no_bus_is_looked_at() -> None:
    def no_buses() -> Sequence[UsbDevice]:
        raise AssertionError

    asked = Asked()
    found = asyncio.run(
        consult(["/dev/serial0"], buses=False, devices=no_buses, around=lambda _: Surroundings(), ask=asked)
    )
    assert [finding.port for finding in found] == ["/dev/serial0"]


def test_every_sentence_is_whole() -> None:
    for seen in (EC25, device(usb_id=UNKNOWN), bare(), bare(usb_id=ROUTER, usb_class="02/06/00")):
        for finding in look(seen)[0]:
            assert "\n" not in finding.words
            assert "None" not in finding.words
            assert "  " not in finding.words


@pytest.mark.parametrize("state", ModemState)
def test_a_modem_of_the_running_hub_is_put_into_words(state: ModemState) -> None:
    roster = Roster()
    imei = Imei("356938035643015")
    roster.tell(ModemStatus(place="usb 1-1", port="/dev/ttyUSB2", profile="generic", state=state, imei=imei))
    words = modem_words(roster.views()[imei])
    assert imei in words
    assert f"state: {state.value.replace('_', ' ')}" in words
    assert "None" not in words


def test_what_is_wrong_with_a_modem_of_the_running_hub_is_in_its_words() -> None:
    roster = Roster()
    imei = Imei("356938035643015")
    roster.tell(
        ModemStatus(
            place="usb 1-1",
            port="/dev/ttyUSB2",
            profile="generic",
            state=ModemState.SEARCHING,
            imei=imei,
            registration=Registration.DENIED,
            signal_dbm=-73,
            full=("SM",),
            unreadable=("ME 7",),
            recovery="radio off and on",
            last_error="the network refuses this SIM",
        )
    )
    words = modem_words(roster.views()[imei])
    for told in ("denied", "-73 dBm", "nearly full: SM", "ME 7", "radio off and on", "refuses this SIM"):
        assert told in words
