"""What a device is to us, and when it counts as there: no udev, no clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.modem.detect.devices import Interface, Knowledge, Modem, Nothing, Problem, UsbDevice, judge
from appliance.modem.detect.tracking import Settled, Tracker, Unsettled
from appliance.modem.profile import shipped
from tests.modem.buses import EC25, ROUTER, STORAGE, UNKNOWN, bare, device, knowledge

ACM = "02/02/01"


@pytest.mark.parametrize(
    ("what", "seen"),
    [
        ("an id of a profile", device()),
        ("an id of a profile with CDC-ACM", device(ttys=(0,), usb_class=ACM, driver="cdc_acm")),
        ("tagged by our rules", device(usb_id=UNKNOWN, driver="ftdi_sio", tagged=True)),
        ("an unknown id that the option driver took", device(usb_id=UNKNOWN)),
        ("an unknown id that qcserial took", device(usb_id=UNKNOWN, driver="qcserial")),
        ("an unknown id that sierra took", device(usb_id=UNKNOWN, driver="sierra")),
        ("an unknown id with two V.250 ports", device(usb_id=UNKNOWN, ttys=(0, 2), usb_class=ACM, driver="cdc_acm")),
        ("a router's id, but with AT ports", device(usb_id=ROUTER)),
    ],
)
def test_what_is_used_as_a_modem(what: str, seen: UsbDevice) -> None:
    assert judge(seen, knowledge()) == Modem(), what


@pytest.mark.parametrize(
    ("what", "seen"),
    [
        ("a lone FTDI adapter", device(usb_id="0403:6001", ttys=(0,), driver="ftdi_sio")),
        ("a lone CP210x adapter", device(usb_id="10c4:ea60", ttys=(0,), driver="cp210x")),
        ("a PL2303 adapter", device(usb_id="067b:2303", ttys=(0,), driver="pl2303")),
        ("a CH341 adapter", device(usb_id="1a86:7523", ttys=(0,), driver="ch341-uart")),
        ("an Arduino, a Zigbee stick, a GPS", device(usb_id="2341:0043", ttys=(0,), usb_class=ACM, driver="cdc_acm")),
        ("a debugger with two raw ports", device(usb_id=UNKNOWN, ttys=(0, 2), usb_class="02/02/00", driver="cdc_acm")),
        ("a keyboard", bare(usb_id="046d:c31c", usb_class="03/01/01")),
        ("a disk", bare(usb_id="0781:5567")),
    ],
)
def test_what_is_never_touched(what: str, seen: UsbDevice) -> None:
    assert judge(seen, knowledge()) == Nothing(), what


@pytest.mark.parametrize(
    ("seen", "told", "passing"),
    [
        (bare(usb_id=STORAGE), "storage mode", True),
        (bare(usb_id=EC25), "storage mode", True),
        (bare(usb_id=ROUTER, usb_class="02/06/00"), "HiLink", False),
        (bare(usb_id=EC25, usb_class="ff/00/00"), "echo 2c7c 0125 > /sys/bus/usb-serial", True),
        (replace(bare(usb_id=UNKNOWN, usb_class="ff/00/00"), tagged=True), "no driver has bound", True),
    ],
)
def test_what_cannot_be_used_is_told_with_what_to_do(seen: UsbDevice, told: str, passing: bool) -> None:
    verdict = judge(seen, knowledge())
    assert isinstance(verdict, Problem)
    assert told in verdict.words
    assert verdict.passing is passing


def test_a_device_of_which_one_port_is_in_the_settings_is_left_alone_whole() -> None:
    links = {"/dev/ttyUSB3": "/dev/ttyUSB3", "/dev/ttyUSB1": "/dev/pts/7"}
    assert judge(device(), knowledge(), named={"/dev/ttyUSB3"}) == Nothing()
    assert judge(device(), knowledge(), named={"/dev/pts/7"}, real=lambda node: links.get(node, node)) == Nothing()
    assert judge(device(), knowledge(), named={"/dev/ttyUSB4"}) == Modem()


def test_the_shipped_profiles_are_understood() -> None:
    knows = Knowledge.of(shipped())
    assert judge(bare(usb_id="0000:0000"), knows) == Nothing()
    for profile in shipped():
        for usb in profile.ports.usb:
            assert knows.role(usb.id) == "modem"
            assert profile.name in knows.families(usb.id)
            assert knows.at_interfaces(usb.id, dict.fromkeys(usb.at, "ff/00/00"))[: len(usb.at)] or not usb.at


def test_a_device_settles_when_nothing_of_it_has_changed_for_a_while() -> None:
    tracker = Tracker(settle=1.5)
    assert tracker.due() is None
    assert tracker.look([device(ttys=(0,))], 10.0) == []
    assert tracker.look([device(ttys=(0, 1))], 11.0) == []
    assert tracker.due() == 12.5
    assert tracker.look([device(ttys=(0, 1))], 12.4) == []
    assert tracker.look([device(ttys=(0, 1))], 12.5) == [Settled(device(ttys=(0, 1)))]
    assert tracker.look([device(ttys=(0, 1))], 99.0) == []
    assert tracker.due() is None


def test_a_change_takes_back_what_had_settled_and_it_settles_anew() -> None:
    tracker = Tracker(settle=1.0)
    tracker.look([device()], 0.0)
    tracker.look([device()], 1.0)
    again = device(node="/dev/bus/usb/001/009")
    assert tracker.look([again], 5.0) == [Unsettled("1-1.2")]
    assert tracker.look([again], 6.0) == [Settled(again)]


def test_what_goes_before_it_settled_was_never_there() -> None:
    tracker = Tracker(settle=1.0)
    tracker.look([device()], 0.0)
    assert tracker.look([], 0.5) == []
    assert tracker.due() is None
    tracker.look([device()], 2.0)
    tracker.look([device()], 3.0)
    assert tracker.look([], 4.0) == [Unsettled("1-1.2")]
    assert tracker.look([], 5.0) == []


def test_devices_settle_each_for_itself() -> None:
    tracker = Tracker(settle=1.0)
    one, other = device("1-1"), device("1-2", first=4)
    tracker.look([one], 0.0)
    assert tracker.look([one, other], 1.0) == [Settled(one)]
    assert tracker.due() == 2.0
    assert tracker.look([other], 2.0) == [Unsettled("1-1"), Settled(other)]


def test_interfaces_without_ttys_are_part_of_a_device() -> None:
    assert device() != device(more=(Interface(4, "ff/ff/ff", "qmi_wwan"),))
