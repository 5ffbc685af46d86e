"""The fake USB bus as a hub under test sees it: pyudev and the ttys in another process, and what that may write."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hil.emulator.client import ControlFailed, Emulator
from hil.emulator.testing import Terminal
from hil.emulator.usb import Unavailable, library
from hil.rig import Modems

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    library()
except Unavailable as missing:
    pytest.skip(str(missing), allow_module_level=True)

MODEMS = [
    {"persona": "quectel-ec2x"},
    {"persona": "huawei-hspa"},
    {"persona": "cinterion"},
    {"persona": "simcom-2g"},
    {"persona": "simcom-sim7600", "usb": "1-2.3"},
    {"persona": "quectel-ec2x", "uart": True},
]

WITNESS = """
import json, os, sys
import pyudev
context = pyudev.Context()
monitor = pyudev.Monitor.from_netlink(context)
monitor.filter_by("tty")
monitor.start()
def told(device, action):
    usb = device.find_parent("usb", "usb_device")
    interface = device.find_parent("usb", "usb_interface")
    known = {"name": device.sys_name, "node": device.device_node, "action": action,
             "number": device.get("ID_USB_INTERFACE_NUM"),
             "id": f"{device.get('ID_VENDOR_ID')}:{device.get('ID_MODEL_ID')}", "ours": device.get("ID_MODEMHUB")}
    if usb is not None and interface is not None and action != "remove":
        known |= {"usb": usb.sys_name, "product": text(usb, 'product'), "driver": interface.driver,
                  "vid": text(usb, 'idVendor'), "kind": text(interface, 'bInterfaceClass')}
    print(json.dumps(known), flush=True)
def text(device, name):
    value = device.attributes.get(name)  # None where the device is gone already
    return value and value.decode().strip()
for device in context.list_devices(subsystem="tty"):
    told(device, "there")
print(json.dumps({"action": "listed"}), flush=True)
for device in iter(monitor.poll, None):
    told(device, device.action)
"""


class Witness:
    """A process under the preload library that tells what pyudev tells it, line by line."""

    def __init__(self, emulator: Emulator) -> None:
        self.environment = {
            **os.environ, "LD_PRELOAD": emulator.ready["preload"], "UMOCKDEV_DIR": emulator.ready["udev"]
        }  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-c", WITNESS], env=self.environment, stdout=subprocess.PIPE, text=True
        )

    def next(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def listed(self) -> list[dict[str, Any]]:
        found = []
        while (one := self.next())["action"] != "listed":
            found.append(one)
        return found

    def until(self, action: str, count: int) -> list[str]:
        """The names of the next ``count`` ttys of which this is told; Debian 13's umockdev tells a removal twice."""
        names: dict[str, None] = {}
        while len(names) < count:
            one = self.next()
            if one["action"] == action:
                names[one["name"]] = None
        return list(names)

    def python(self, code: str) -> str:
        """Run a piece of Python under the preload library, as the hub would."""
        done = subprocess.run(
            [sys.executable, "-c", code], env=self.environment, capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.strip()

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"modems": MODEMS}))
    with Emulator(tmp_path / "run", "--usb", "--config", str(config)) as emulator:
        yield emulator


@pytest.fixture
def witness(emulator: Emulator) -> Iterator[Witness]:
    witness = Witness(emulator)
    yield witness
    witness.close()


def status(emulator: Emulator, name: str = "modem1") -> dict[str, Any]:
    return emulator.control.modem(modem=name)


def ask(port: str) -> list[str]:
    with Terminal(port) as t:
        t.send(b"ATE0\r")
        t.until(b"OK\r\n")
        return t.ok("AT+CGSN")


def write(witness: Witness, path: str, text: str) -> None:
    witness.python(f"open({path!r}, 'w').write({text!r})")


def test_udev_lists_every_serial_interface_with_its_ids(emulator: Emulator, witness: Witness) -> None:
    ttys = {one["name"]: one for one in witness.listed()}
    first = [one for one in ttys.values() if one["usb"] == "1-1.1"]
    assert sorted((one["name"], one["number"], one["driver"]) for one in first) == [
        (f"ttyUSB{n}", f"0{n}", "option") for n in range(4)
    ]
    assert {(one["id"], one["vid"], one["product"], one["kind"], one["ours"]) for one in first} == {
        ("2c7c:0125", "2c7c", "EC25-E", "ff", "1")
    }
    assert [ttys[f"ttyACM{n}"]["driver"] for n in range(5)] == ["cdc_acm"] * 5
    assert {one["usb"] for one in ttys.values()} == {"1-1.1", "1-1.2", "1-1.3", "1-2.3"}
    told = {modem["name"]: modem for modem in emulator.modems}
    assert told["modem5"]["usb"].endswith("/1-2.3")
    assert told["modem4"]["usb"] is None
    assert told["modem6"]["usb"] is None
    assert Path(told["modem6"]["port"]).name == "modem6"


def test_each_interface_plays_its_role(emulator: Emulator, witness: Witness) -> None:
    imei = emulator.modems[0]["imei"]
    root = Path(emulator.ready["udev"]) / "dev"
    assert ask(str(root / "ttyUSB2")) == ask(str(root / "ttyUSB3")) == [imei]
    with Terminal(root / "ttyUSB1") as nmea, Terminal(root / "ttyUSB0") as diag:
        assert nmea.until(b"\r\n").startswith(b"$GPGGA,")
        assert diag.until(b"\x7e") == b"\x7e"
    answer = witness.python(
        "import serial\nwith serial.Serial('/dev/ttyUSB2', 115200, timeout=10) as s:\n"
        " s.write(b'AT+CGSN\\r')\n print(s.read_until(b'OK\\r\\n').decode().split()[0])"
    )
    assert answer == imei


def test_the_ports_share_the_modem_and_not_their_lines(emulator: Emulator) -> None:
    root = Path(emulator.ready["udev"]) / "dev"
    with Terminal(root / "ttyUSB2") as at, Terminal(root / "ttyUSB3") as second:
        at.send(b"ATE0\r")
        at.until(b"OK\r\n")
        second.send(b"AT+CNMI=2,1,0,1,0\r")
        assert second.until(b"OK\r\n") == b"AT+CNMI=2,1,0,1,0\r\r\nOK\r\n"
        assert at.ok("AT+CNMI?") == ["+CNMI: 2,1,0,1,0"]
        at.send(b"AT+CMGS=19\r")
        at.until(b"> ")
        second.send(b"AT+CSQ\r")
        second.until(b"OK\r\n")
        at.send(b"\x1b")
        at.until(b"OK\r\n")
        emulator.control("deliver", modem="modem1", **{"from": "+447700900999"}, text="hello")
        assert at.until(b",0\r\n") == b'\r\n+CMTI: "ME",0\r\n'
        second.send(b"ATE0\r")
        second.until(b"OK\r\n")
        second.quiet()
        second.ok('AT+QURCCFG="urcport","usbmodem"')
        emulator.control("deliver", modem="modem1", **{"from": "+447700900999"}, text="hello")
        assert second.until(b",1\r\n") == b'\r\n+CMTI: "ME",1\r\n'
        at.quiet()


def test_a_reset_takes_the_device_away_and_brings_it_back(emulator: Emulator, witness: Witness) -> None:
    witness.listed()
    emulator.control("fault", kind="reboot", modem="modem1")
    assert witness.until("remove", 4) == ["ttyUSB3", "ttyUSB2", "ttyUSB1", "ttyUSB0"]
    assert witness.until("add", 4) == ["ttyUSB0", "ttyUSB1", "ttyUSB2", "ttyUSB3"]
    emulator.control("wait", modem="modem1", status={"boots": 1, "on": True})


def test_numbers_change_with_the_order_of_coming(emulator: Emulator, witness: Witness) -> None:
    witness.listed()
    for name in ("modem1", "modem2"):
        emulator.control("fault", kind="unplug", modem=name)
    for name in ("modem2", "modem1"):
        emulator.control("fault", kind="replug", modem=name)
        emulator.control("wait", modem=name, status={"on": True})
    assert status(emulator, "modem2")["usb"]["ttys"] == {"0": "ttyUSB0", "1": "ttyUSB1", "2": "ttyUSB2"}
    assert status(emulator)["usb"]["ttys"] == {"0": "ttyUSB3", "1": "ttyUSB4", "2": "ttyUSB5", "3": "ttyUSB6"}
    assert ask(status(emulator)["port"]) == [emulator.modems[0]["imei"]]


def test_renumber_changes_the_names_and_nothing_else(emulator: Emulator, witness: Witness) -> None:
    witness.listed()
    before = status(emulator)
    emulator.control("fault", kind="renumber", modem="modem1")
    after = status(emulator)
    assert not set(before["usb"]["ttys"].values()) & set(after["usb"]["ttys"].values())
    assert (after["boots"], after["on"]) == (0, True)
    witness.until("remove", 4)
    assert set(witness.until("add", 4)) == set(after["usb"]["ttys"].values())


def test_deauthorising_restarts_usb_but_not_the_modem(emulator: Emulator, witness: Witness) -> None:
    witness.listed()
    emulator.control("fault", kind="wedged", until="usb", modem="modem1")
    attribute = "/sys/bus/usb/devices/1-1.1/authorized"
    write(witness, attribute, "0")
    witness.until("remove", 4)
    assert status(emulator)["usb"]["ttys"] == {}
    assert witness.python("import os; print(os.path.exists('/sys/bus/usb/devices/1-1.1'))") == "True"
    write(witness, attribute, "1\n")
    witness.until("add", 4)
    emulator.control("wait", modem="modem1", status={"faults": {}})
    assert (status(emulator)["boots"], status(emulator)["remedies"]["usb"]) == (0, 1)
    assert ask(status(emulator)["port"]) == [emulator.modems[0]["imei"]]


def test_unbind_and_bind_are_the_same(emulator: Emulator, witness: Witness) -> None:
    witness.listed()
    write(witness, "/sys/bus/usb/drivers/usb/unbind", "1-1.2")
    witness.until("remove", 3)
    write(witness, "/sys/bus/usb/drivers/usb/bind", "1-1.2")
    witness.until("add", 3)
    emulator.control("wait", modem="modem2", status={"remedies": {"usb": 1}})


def test_a_hub_port_is_the_supply(emulator: Emulator, witness: Witness) -> None:
    witness.listed()
    emulator.control("fault", kind="wedged", until="supply", modem="modem1")
    port = witness.python("import os; print(os.path.realpath('/sys/bus/usb/devices/1-1.1/port'))")
    assert port.endswith("/1-1/1-1:1.0/1-1-port1")
    write(witness, f"{port}/disable", "1")
    witness.until("remove", 4)
    emulator.control("wait", modem="modem1", status={"on": False, "supplied": False})
    emulator.control("fault", kind="replug", modem="modem1")
    assert not status(emulator)["plugged"]
    write(witness, f"{port}/disable", "0")
    witness.until("add", 4)
    emulator.control("wait", modem="modem1", status={"on": True, "faults": {}, "boots": 1})
    assert status(emulator)["harm"] == ["supply cut while running"]


def test_two_sticks_change_places(emulator: Emulator, witness: Witness) -> None:
    witness.listed()
    emulator.control("fault", kind="swap", modem="modem1", **{"with": "modem5"})
    for name, place in (("modem1", "1-2.3"), ("modem5", "1-1.1")):
        emulator.control("wait", modem=name, status={"on": True})
        assert status(emulator, name)["usb"]["position"] == place


def test_a_mode_switch_brings_another_id(emulator: Emulator, witness: Witness) -> None:
    witness.listed()
    emulator.control("usb_mode", modem="modem2", id="12d1:1446")
    witness.until("remove", 3)
    assert (status(emulator, "modem2")["usb"]["id"], status(emulator, "modem2")["usb"]["ttys"]) == ("12d1:1446", {})
    emulator.control("usb_mode", modem="modem2", id="12d1:1506")
    assert len(witness.until("add", 3)) == 3
    assert status(emulator, "modem2")["usb"]["id"] == "12d1:1506"
    emulator.control("set", modem="modem1", reboot_as="2c7c:0121")
    emulator.control("fault", kind="reboot", modem="modem1")
    emulator.control("wait", modem="modem1", status={"boots": 1})
    assert status(emulator)["usb"]["id"] == "2c7c:0121"


def test_other_devices_hang_on_the_same_hub(emulator: Emulator, witness: Witness) -> None:
    witness.listed()
    plugged = {what: emulator.control("usb_plug", what=what) for what in ("storage", "hilink", "keyboard", "19d2:1405")}
    assert all(one["ttys"] == [] for one in plugged.values())
    adapter = emulator.control("usb_plug", what="ftdi", at="1-3.1")
    assert adapter["position"] == "1-3.1"
    one = witness.next()
    assert (one["action"], one["driver"], one["ours"], one["id"]) == ("add", "ftdi_sio", None, "0403:6001")
    with pytest.raises(ControlFailed, match="taken"):
        emulator.control("usb_plug", what="ftdi", at="1-1.1")
    with pytest.raises(ControlFailed, match="what is one of"):
        emulator.control("usb_plug", what="toaster")
    emulator.control("usb_unplug", at="1-3.1")
    assert witness.until("remove", 1) == adapter["ttys"]


def test_a_modem_that_is_switched_off_is_gone(emulator: Emulator, witness: Witness) -> None:
    witness.listed()
    with Terminal(status(emulator)["port"]) as t:
        t.send(b"AT+QPOWD=1\r")
        witness.until("remove", 4)
    assert (status(emulator)["on"], status(emulator)["plugged"]) == (False, False)


def test_a_dead_port_beside_a_living_one(emulator: Emulator) -> None:
    emulator.control("fault", kind="dead_port", modem="modem1")
    root = Path(emulator.ready["udev"]) / "dev"
    with Terminal(root / "ttyUSB3") as second:
        second.send(b"ATE0\r")
        second.until(b"OK\r\n")
        assert second.ok("AT+CGSN") == [emulator.modems[0]["imei"]]
        second.send(b"AT+CFUN=1,1\r")
    emulator.control("wait", modem="modem1", status={"boots": 1, "faults": {}})


def test_the_testbed_goes_with_the_process(tmp_path: Path) -> None:
    emulator = Emulator(tmp_path / "run", "--usb", "--persona", "quectel-ec2x")
    root = Path(emulator.ready["udev"])
    assert root.is_dir()
    assert emulator.close() == 0
    assert not root.exists()


LOOK = """
import gpiod, os
print(*sorted(name for name in os.listdir("/dev") if name[:3] == "tty"))
print(gpiod.is_gpiochip_device("/dev/gpiochip0"), os.path.exists("/dev/gpiochip0"))
"""


def look(environment: dict[str, str]) -> list[str]:
    """What a process sees that has this environment beside its own."""
    command = [sys.executable, "-c", LOOK]
    return subprocess.check_output(command, env={**os.environ, **environment}, text=True, timeout=30).split()


def test_the_rig_says_what_a_hub_needs_to_see_them(tmp_path: Path) -> None:
    async def scenario() -> tuple[dict[str, str], list[str], list[str]]:
        configuration = {"modems": [{"persona": "quectel-ec2x", "lines": {"pwrkey": {"line": 6}}}, {"uart": True}]}
        async with Modems(tmp_path / "m", usb=True, gpio=True, configuration=configuration) as modems:
            return modems.environment, await asyncio.to_thread(look, modems.environment), modems.uarts

    environment, seen, uarts = asyncio.run(scenario())
    assert sorted(environment) == ["GPIO_DIR", "LD_PRELOAD", "PYTHONPATH", "UMOCKDEV_DIR"]
    assert seen == ["ttyUSB0", "ttyUSB1", "ttyUSB2", "ttyUSB3", "True", "True"]
    assert uarts == [str(tmp_path / "m" / "modem2")]


def test_without_a_bus_its_verbs_say_so(tmp_path: Path) -> None:
    with Emulator(tmp_path / "run") as emulator, pytest.raises(ControlFailed, match="start with --usb"):
        emulator.control("usb_plug", what="ftdi")
