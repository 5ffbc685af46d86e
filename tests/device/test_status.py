"""What a person is told of the device at a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from image.device import kept
from image.device.fat import Fat
from image.device.status import status
from image.device.tell import Board

if TYPE_CHECKING:
    from image.device.place import Place
    from tests.device.conftest import Machine

LINK = {"link_type": "ether", "addr_info": [{"family": "inet", "local": "192.0.2.7", "scope": "global"}]}


@pytest.fixture
def running(place: Place, machine: Machine) -> Place:
    place.image.write_text("VERSION=0.2.0\nBUILD=0123abcd\nBOARD=rpi-arm64\n", encoding="utf-8")
    place.at("/proc/cmdline").write_text("root=PARTUUID=4d485542-03 ro rauc.slot=B quiet\n", encoding="ascii")
    machine.answers["ip"] = json.dumps([LINK])
    return place


def told(place: Place, machine: Machine, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str]]:
    code = status(place, command=machine)
    lines = capsys.readouterr().out.splitlines()
    return code, {what: said.strip() for what, _, said in (line.partition(":") for line in lines)}


def test_version_slot_and_address_are_told(
    running: Place, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = told(running, machine, capsys)
    assert code == 0
    assert (said["version"], said["slot"], said["addresses"]) == ("0.2.0 0123abcd rpi-arm64", "B", "192.0.2.7")
    assert said["console"] == "https://modemhub.local:8080"
    assert said["owner"].startswith("none yet")
    assert said["updates"] == "nobody is asked"
    assert "wrong" not in said


def test_it_follows_the_settings(running: Place, machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    kept.save(running, {"http": {"listen": "off"}, "system": {"ssh_keys": ["k"]}, "broker": {"enabled": False}}, {})
    machine.answers["ip"] = "[]"
    _, said = told(running, machine, capsys)
    assert (said["console"], said["addresses"], said["ports"]) == ("not in the network", "none", "none")
    assert (said["SSH"], said["broker"]) == ("1 keys", "another one, or none")


def test_what_is_wrong_is_told_and_is_its_exit_code(
    running: Place, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    Board(running, fat=Fat(running, command=machine)).tell("settings", ["line 3: a quote is missing at the end"])
    code, said = told(running, machine, capsys)
    assert code == 1
    assert said["wrong"] == "settings: line 3: a quote is missing at the end"


def test_a_root_that_does_not_say_which_it_is(
    running: Place, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    running.image.unlink()
    assert told(running, machine, capsys)[1]["version"] == "unknown"
