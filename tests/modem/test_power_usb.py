"""USB remedies on a sysfs that is a folder: what is written in which order, and what is left alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from appliance.errors import PowerFailed
from appliance.modem.power import usb
from appliance.modem.power.usb import UsbPower, usb_path, write_sysfs

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

PI3 = "Raspberry Pi 3 Model B Rev 1.2"
PI3_PLUS = "Raspberry Pi 3 Model B Plus Rev 1.3"
PI4 = "Raspberry Pi 4 Model B Rev 1.4"
PI5 = "Raspberry Pi 5 Model B Rev 1.0"
PC = ""
TOGETHER, EACH, NONE = 0, 1, 2


class Machine:
    """A sysfs with USB devices in it; each write is kept, and can fail."""

    def __init__(self, home: Path, *, model: str = PC) -> None:
        self.home = home
        self.sys = home / "sys"
        self.devices = self.sys / "bus/usb/devices"
        self.devices.mkdir(parents=True)
        (self.sys / "bus/usb/drivers/usb").mkdir(parents=True)
        for name in ("bind", "unbind"):
            (self.sys / "bus/usb/drivers/usb" / name).touch()
        self.mounts = home / "mountinfo"
        self.mounts.write_text("22 1 254:0 / / rw - ext4 /dev/root rw\n", encoding="ascii")
        self.model = home / "model"
        if model:
            self.model.write_text(model + "\0", encoding="ascii")
        self.kinds: dict[str, int] = {}
        self.ours: set[str] = set()
        self.asked: list[list[str]] = []
        self.written: list[str] = []
        self.failing: dict[str, str] = {}
        self.slept: list[float] = []

    def device(self, name: str, *, hub: int | None = None, ports: int = 0, disable: bool = True) -> None:
        """A device; ``hub`` is its kind of switching."""
        home = self.devices / name
        home.mkdir()
        (home / "authorized").write_text("1", encoding="ascii")
        (home / "bDeviceClass").write_text("09" if hub is not None else "00", encoding="ascii")
        if hub is not None:
            number = len(self.kinds) + 1
            for key, value in (("busnum", "1"), ("devnum", str(number)), ("speed", "480")):
                (home / key).write_text(value, encoding="ascii")
            self.kinds[f"{number:03}"] = hub
            interface = f"{name[3:]}-0:1.0" if name.startswith("usb") else f"{name}:1.0"
            for port in range(1, ports + 1):
                folder = self.devices / interface / f"{name}-port{port}"
                folder.mkdir(parents=True)
                if disable:
                    (folder / "disable").write_text("0", encoding="ascii")

    async def write(self, path: Path, text: str) -> None:
        short = f"{path.parent.name}/{path.name}={text}"
        self.written.append(short)
        if short in self.failing:
            raise PowerFailed(self.failing[short])

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.written.append("wait")
        await asyncio.sleep(0)

    def characteristics(self, node: Path, superspeed: bool) -> int:
        assert not superspeed
        if node.name not in self.kinds:
            raise OSError(19, "No such device")
        return 0xE0 | self.kinds[node.name]

    def may_cut(self, paths: Collection[str]) -> bool:
        self.asked.append(list(paths))
        return set(paths) <= self.ours

    @property
    def power(self) -> UsbPower:
        return UsbPower(
            may_cut=self.may_cut,
            sys=self.sys,
            dev=self.home,
            mounts=self.mounts,
            model=self.model,
            characteristics=self.characteristics,
            write=self.write,
            sleep=self.sleep,
        )

    def apply(self, path: str, name: str) -> None:
        async def scenario() -> None:
            await next(each for each in self.power.remedies(path) if each.name == name).apply()

        asyncio.run(scenario())


AUTHORIZED, DRIVER, SUPPLY = (
    "USB: authorized off and on",
    "USB: driver unbound and bound",
    "USB: port power off and on",
)


@pytest.fixture
def stick(tmp_path: Path) -> Machine:
    """A modem at port 2 of an external hub that switches each port for itself."""
    machine = Machine(tmp_path)
    machine.device("usb1", hub=TOGETHER, ports=2)
    machine.device("1-1", hub=EACH, ports=4)
    machine.device("1-1.2")
    machine.device("1-1.3")
    return machine


def test_the_remedies_of_a_device(stick: Machine) -> None:
    remedies = stick.power.remedies("1-1.2")
    assert [(each.rung, each.name) for each in remedies] == [(5, AUTHORIZED), (5, DRIVER), (6, SUPPLY)]
    assert all(each.patience >= 20 for each in remedies)  # a TOBY-L2 takes so long to show its ttys


def test_a_kernel_without_port_disable_has_no_supply_remedy(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.device("1-1", hub=EACH, ports=4, disable=False)
    machine.device("1-1.2")
    assert [each.rung for each in machine.power.remedies("1-1.2")] == [5, 5]


def test_authorisation_is_taken_and_given_back(stick: Machine) -> None:
    stick.apply("1-1.2", AUTHORIZED)
    assert stick.written == ["1-1.2/authorized=0", "wait", "1-1.2/authorized=1"]


def test_the_driver_is_unbound_and_bound(stick: Machine) -> None:
    stick.apply("1-1.2", DRIVER)
    assert stick.written == ["usb/unbind=1-1.2", "wait", "usb/bind=1-1.2"]


@pytest.mark.parametrize(
    ("name", "fails", "last"),
    [(AUTHORIZED, "1-1.2/authorized=0", "1-1.2/authorized=1"), (DRIVER, "usb/unbind=1-1.2", "usb/bind=1-1.2")],
)
def test_what_fails_half_way_is_undone_and_told(stick: Machine, name: str, fails: str, last: str) -> None:
    stick.failing[fails] = "the bus is wedged"
    with pytest.raises(PowerFailed, match="wedged"):
        stick.apply("1-1.2", name)
    assert stick.written[-1] == last


def test_an_authorisation_that_does_not_come_back_is_told(stick: Machine) -> None:
    stick.failing["1-1.2/authorized=1"] = "no"
    with pytest.raises(PowerFailed, match="no"):
        stick.apply("1-1.2", AUTHORIZED)


@pytest.mark.parametrize("name", [AUTHORIZED, DRIVER])
def test_a_device_that_is_not_there_is_told(stick: Machine, name: str) -> None:
    with pytest.raises(PowerFailed, match="is not on the bus"):
        stick.apply("1-1.4", name)
    assert stick.written == []


@pytest.mark.parametrize(
    ("name", "last"), [(AUTHORIZED, "1-1.2/authorized=1"), (DRIVER, "usb/bind=1-1.2"), (SUPPLY, "1-1.2/authorized=1")]
)
def test_a_cancelled_remedy_ends_first(stick: Machine, name: str, last: str) -> None:
    async def scenario() -> None:
        resting, goes_on = asyncio.Event(), asyncio.Event()

        async def sleep(_: float) -> None:
            resting.set()
            await goes_on.wait()

        stick.sleep = sleep  # type: ignore[method-assign, assignment]
        remedy = next(each for each in stick.power.remedies("1-1.2") if each.name == name)
        task = asyncio.ensure_future(remedy.apply())
        await resting.wait()
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        goes_on.set()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(scenario())
    assert stick.written[-1] == last


def test_two_remedies_on_one_device_do_not_run_at_once(stick: Machine) -> None:
    async def scenario() -> None:
        first, second, _ = stick.power.remedies("1-1.2")
        task = asyncio.ensure_future(first.apply())
        await asyncio.sleep(0)
        with pytest.raises(PowerFailed, match="busy"):
            await second.apply()
        await task

    asyncio.run(scenario())


# ---------------------------------------------------------------------------------------------- supply

PORT2 = [
    "1-1.2/authorized=0",
    "1-1-port2/disable=1",
    "wait",
    "1-1-port2/disable=0",
    "1-1.2/authorized=1",
]


def test_a_port_that_is_switched_for_itself_is_cut(stick: Machine) -> None:
    stick.apply("1-1.2", SUPPLY)
    assert stick.written == PORT2
    assert stick.asked == []


def test_both_halves_of_a_usb3_port_are_cut(stick: Machine) -> None:
    peer = stick.devices / "2-1:1.0/2-1-port2"
    peer.mkdir(parents=True)
    (peer / "disable").touch()
    (stick.devices / "1-1:1.0/1-1-port2/peer").symlink_to(peer)
    stick.apply("1-1.2", SUPPLY)
    assert [each for each in stick.written if "disable" in each] == [
        "1-1-port2/disable=1",
        "peer/disable=1",
        "1-1-port2/disable=0",
        "peer/disable=0",
    ]


def test_a_modem_that_has_vanished_from_the_bus_is_cut_all_the_same(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.device("1-1", hub=EACH, ports=4)
    machine.apply("1-1.2", SUPPLY)
    assert machine.written == ["1-1-port2/disable=1", "wait", "1-1-port2/disable=0"]


def test_every_port_is_switched_on_again_whatever_fails(stick: Machine) -> None:
    stick.failing["1-1-port2/disable=1"] = "the kernel refuses"
    with pytest.raises(PowerFailed, match="refuses"):
        stick.apply("1-1.2", SUPPLY)
    assert stick.written[-2:] == ["1-1-port2/disable=0", "1-1.2/authorized=1"]


def test_a_hub_without_switches_is_told(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.device("1-1", hub=NONE, ports=4)
    machine.device("1-1.2")
    with pytest.raises(PowerFailed, match="cannot switch"):
        machine.apply("1-1.2", SUPPLY)
    assert machine.written == []


def test_a_hub_that_does_not_answer_is_told(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.device("1-1", hub=EACH, ports=4)
    machine.device("1-1.2")
    machine.kinds.clear()
    with pytest.raises(PowerFailed, match="does not say what it can switch"):
        machine.apply("1-1.2", SUPPLY)


def test_a_hub_that_switches_all_together_is_cut_only_where_all_are_ours_and_idle(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.device("1-1", hub=TOGETHER, ports=3)
    machine.device("1-1.2")
    machine.device("1-1.3")
    with pytest.raises(PowerFailed, match=r"1-1\.3 would lose the supply"):
        machine.apply("1-1.2", SUPPLY)
    assert machine.written == []
    machine.ours = {"1-1.3"}
    machine.apply("1-1.2", SUPPLY)
    assert machine.asked == [["1-1.3"], ["1-1.3"]]
    assert machine.written[1:4] == [f"1-1-port{port}/disable=1" for port in (1, 2, 3)]
    assert machine.written[5:8] == [f"1-1-port{port}/disable=0" for port in (1, 2, 3)]


def test_for_a_modem_that_is_not_on_the_bus_nobody_else_loses_the_supply(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.device("1-1", hub=TOGETHER, ports=3)
    machine.device("1-1.3")
    machine.ours = {"1-1.3"}
    with pytest.raises(PowerFailed, match="most likely unplugged"):
        machine.apply("1-1.2", SUPPLY)
    assert machine.written == []
    (machine.devices / "1-1.3" / "authorized").unlink()
    (machine.devices / "1-1.3" / "bDeviceClass").unlink()
    (machine.devices / "1-1.3").rmdir()
    machine.apply("1-1.2", SUPPLY)
    assert "1-1-port2/disable=1" in machine.written


@pytest.mark.parametrize(
    ("model", "hubs", "path", "others", "cut"),
    [
        (PI3, {"usb1": 1, "1-1": 5}, "1-1.2", ["1-1.1"], {"1-1"}),  # 1-1.1 is the Ethernet chip
        (PI3_PLUS, {"usb1": 1, "1-1": 4, "1-1.1": 4}, "1-1.1.2", ["1-1.1.1"], {"1-1", "1-1.1"}),
        (PI4, {"usb1": 1, "usb2": 4, "1-1": 4}, "1-1.2", ["1-1.4", "2-1"], {"1-1", "usb2"}),
        (PI5, {"usb1": 2, "usb2": 1, "usb3": 2, "usb4": 1}, "1-1", ["3-1"], {"usb1", "usb2", "usb3", "usb4"}),
        ("Raspberry Pi Zero 2 W Rev 1.0", {"usb1": 1}, "1-1", [], {"usb1"}),
    ],
)
def test_a_raspberry_pis_own_hubs_are_gangs_whatever_they_say(  # noqa: PLR0917 - a table
    tmp_path: Path, model: str, hubs: dict[str, int], path: str, others: list[str], cut: set[str]
) -> None:
    machine = Machine(tmp_path, model=model)
    for hub, ports in hubs.items():
        machine.device(hub, hub=EACH, ports=ports)
    for name in (path, *others):
        machine.device(name)
    if others:
        with pytest.raises(PowerFailed, match="would lose the supply"):
            machine.apply(path, SUPPLY)
        assert machine.asked == [others]
        assert machine.written == []
        machine.ours = set(others)
    machine.apply(path, SUPPLY)
    hubs_cut = {each.split("-port")[0] for each in machine.written if each.endswith("disable=1")}
    assert hubs_cut == cut
    on = [each.replace("=1", "=0") for each in machine.written if each.endswith("disable=1")]
    assert [each for each in machine.written if each.endswith("disable=0")] == on


def test_an_external_hub_at_a_raspberry_pi_is_believed(tmp_path: Path) -> None:
    machine = Machine(tmp_path, model=PI4)
    machine.device("1-1", hub=EACH, ports=4)
    machine.device("1-1.3", hub=EACH, ports=4)
    machine.device("1-1.3.1")
    machine.device("1-1.3.2")
    machine.apply("1-1.3.1", SUPPLY)
    assert [each for each in machine.written if "disable" in each] == [
        "1-1.3-port1/disable=1",
        "1-1.3-port1/disable=0",
    ]


@pytest.mark.parametrize("by_mapper", [False, True])
def test_a_mounted_disk_is_never_cut(tmp_path: Path, by_mapper: bool) -> None:
    machine = Machine(tmp_path)
    machine.device("1-1", hub=TOGETHER, ports=3)
    machine.device("1-1.2")
    machine.device("1-1.3")
    machine.ours = {"1-1.3"}
    disk = machine.sys / "devices/usb1/1-1/1-1.3/1-1.3:1.0/host0/block/sda/sda2"
    disk.mkdir(parents=True)
    block = machine.sys / "dev/block"
    block.mkdir(parents=True)
    if by_mapper:
        mapper = machine.sys / "devices/virtual/block/dm-0"
        (mapper / "slaves").mkdir(parents=True)
        (mapper / "slaves/sda2").symlink_to(disk)
        (block / "254:0").symlink_to(mapper)
    else:
        (block / "254:0").symlink_to(disk)
    with pytest.raises(PowerFailed, match="mounted disk sda2"):
        machine.apply("1-1.2", SUPPLY)
    assert machine.written == []


# ---------------------------------------------------------------------------------------------- the real ones


def test_an_attribute_is_written(tmp_path: Path) -> None:
    file = tmp_path / "authorized"
    file.touch()
    asyncio.run(write_sysfs(file, "0"))
    assert file.read_text(encoding="ascii") == "0"


def test_an_attribute_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PowerFailed, match="is not there"):
        asyncio.run(write_sysfs(tmp_path / "authorized", "0"))


def test_a_write_that_does_not_return_is_not_waited_for(tmp_path: Path) -> None:
    fifo = tmp_path / "authorized"
    os.mkfifo(fifo)
    with pytest.raises(PowerFailed, match="the bus is wedged"):
        asyncio.run(write_sysfs(fifo, "0", within=0.05))
    os.close(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK))  # the thread comes back


def test_a_hubs_node_that_is_no_hub_is_an_os_error(tmp_path: Path) -> None:
    node = tmp_path / "001"
    node.touch()
    with pytest.raises(OSError, match="ioctl"):
        usb.hub_characteristics(node, superspeed=False)


def test_the_usb_path_of_a_tty(tmp_path: Path) -> None:
    interface = tmp_path / "devices/platform/usb1/1-1/1-1.2/1-1.2:1.2/ttyUSB2"
    interface.mkdir(parents=True)
    home = tmp_path / "class/tty/ttyUSB2"
    home.mkdir(parents=True)
    (home / "device").symlink_to(interface)
    (tmp_path / "link").symlink_to("/dev/ttyUSB2")
    assert usb_path("/dev/ttyUSB2", sys=tmp_path) == "1-1.2"
    assert usb_path(str(tmp_path / "link"), sys=tmp_path) == "1-1.2"
    assert usb_path("/dev/ttyS0", sys=tmp_path) is None
