"""A real kernel, its drivers, udev and GPIO under the hub: in a Debian guest, with modems emulated outside.

``make guest`` builds the guest and runs this; it is one guest for the whole file, and each test plugs in its own modem.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from hil.emulator.persona import PERSONAS
from hil.emulator.usbdevice import UsbDevice
from hil.emulator.usbip import Exporter
from hil.emulator.usbredir import Plug
from hil.guest import attach
from hil.guest.build import Impossible, image
from hil.guest.hub import install, whole
from hil.guest.machine import HOST, QEMU, Machine
from hil.rig import Record, mosquitto_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hil.emulator.shape import Usb

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


def usb_of(persona: str) -> Usb:
    usb = PERSONAS[persona].usb
    assert usb is not None
    return usb


EC25, SARA = usb_of("quectel-ec2x"), usb_of("ublox-3g")
IMEI = "861585040012345"
BY_ID = f"/dev/serial/by-id/usb-Quectel_EC25-E_{IMEI}-if0{{}}-port0"
ATTACH = Path(attach.__file__).read_bytes()

TALK = """
import os, select, sys, time, tty
fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
tty.setraw(fd)
os.write(fd, b"AT\\r")
said = b""
while b"OK\\r\\n" not in said and select.select([fd], [], [], 10)[0]:
    said += os.read(fd, 4096)
print(said)
"""


def why_not(config: pytest.Config) -> str | None:
    """Why the guest does not run here."""
    if not config.getoption("--long"):
        return "a guest in QEMU takes minutes: make guest"
    if os.environ.get("PYTEST_XDIST_WORKER"):
        return "there is one guest for all tests of the file: make guest"
    if not shutil.which(QEMU) or not shutil.which("qemu-img"):
        return f"{QEMU} or qemu-img is not installed: make guest"
    if mosquitto_path() is None:
        return "mosquitto is not installed: make guest"
    try:
        there = image().there
    except Impossible as error:
        return str(error)
    return None if there else "the guest is not built: make guest"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Machine]:
    """The guest, with the product in it."""
    if reason := why_not(request.config):
        pytest.skip(reason)
    async with Machine(image(), tmp_path_factory.mktemp("guest")) as running:
        await install(running)
        yield running


class Parrot:
    """The least of a modem: answers every line OK, and records what the bus did."""

    def __init__(self, usb: Usb) -> None:
        self.configured: Record[int] = Record("configurations of the device")
        serial = usb.serial.format(imei=IMEI)
        self.device = UsbDevice(usb, serial=serial, received=self._received, configured=self.configured.add)

    def _received(self, number: int, octets: bytes) -> None:
        self.device.write(number, b"\r\nOK\r\n" * octets.count(b"\r"))


async def appear(machine: Machine, *paths: str) -> None:
    """Wait until udev is done with these."""
    await machine.run("udevadm", "wait", "--timeout=30", *paths)


async def vanish(machine: Machine, *paths: str) -> None:
    await machine.run("udevadm", "wait", "--timeout=30", "--removed", *paths)


async def talk(machine: Machine, port: str) -> str:
    return (await machine.run("python3", "-c", TALK, port)).out.strip()


# What the kernel makes of the emulated devices.


async def test_the_kernels_option_makes_four_ttys_of_an_ec25(machine: Machine) -> None:
    plug = await Plug.into(machine.sockets[0], Parrot(EC25).device)
    try:
        await appear(machine, *(BY_ID.format(n) for n in range(4)), "/dev/cdc-wdm0")
        properties = await machine.shell(f"udevadm info --query=property {BY_ID.format(2)}")
        for line in ("ID_VENDOR_ID=2c7c", "ID_MODEL_ID=0125", "ID_USB_INTERFACE_NUM=02", "ID_USB_DRIVER=option"):
            assert line in properties.splitlines()
        assert await talk(machine, BY_ID.format(2)) == repr(b"\r\nOK\r\n")
    finally:
        plug.pull()
    await vanish(machine, *(BY_ID.format(n) for n in range(4)))


async def test_the_kernels_cdc_acm_makes_seven_ttys_of_a_u_blox(machine: Machine) -> None:
    plug = await Plug.into(machine.sockets[1], Parrot(SARA).device)
    name = f"/dev/serial/by-id/usb-u-blox_AG_u-blox_Wireless_Module_{IMEI}-if{{:02x}}"
    ports = [name.format(2 * n) for n in range(7)]
    try:
        await appear(machine, *ports)
        assert "ID_USB_DRIVER=cdc_acm" in await machine.shell(f"udevadm info --query=property {ports[0]}")
        assert [await talk(machine, port) for port in ports[:2]] == [repr(b"\r\nOK\r\n")] * 2
    finally:
        plug.pull()
    await vanish(machine, *ports)


async def test_authorized_is_seen_by_the_device_as_two_configurations(machine: Machine) -> None:
    parrot = Parrot(EC25)
    plug = await Plug.into(machine.sockets[0], parrot.device)
    try:
        await appear(machine, BY_ID.format(3))
        tty = await machine.shell(f"udevadm info --query=path {BY_ID.format(2)}")
        device = tty.split("/ttyUSB")[0].rpartition("/")[0]
        before = len(parrot.configured.items)
        await machine.shell(f"echo 0 > /sys{device}/authorized")
        await vanish(machine, BY_ID.format(2))
        await machine.shell(f"echo 1 > /sys{device}/authorized")
        await appear(machine, BY_ID.format(2))
        assert parrot.configured.items[before:] == [0, 1]
        assert await talk(machine, BY_ID.format(2)) == repr(b"\r\nOK\r\n")
    finally:
        plug.pull()
    await vanish(machine, BY_ID.format(2))


async def test_vhci_attaches_a_modem_over_usbip_as_a_real_pi_would(machine: Machine) -> None:
    exporter = Exporter(Parrot(EC25).device)
    port = await exporter.listen()
    try:
        await machine.run("python3", "-", HOST, str(port), stdin=ATTACH)
        await appear(machine, *(BY_ID.format(n) for n in range(4)))
        assert "vhci_hcd" in await machine.shell(f"udevadm info --query=path {BY_ID.format(2)}")
        assert await talk(machine, BY_ID.format(2)) == repr(b"\r\nOK\r\n")
        exporter.pull()
        await vanish(machine, *(BY_ID.format(n) for n in range(4)))
    finally:
        await exporter.close()


async def test_a_pulse_is_seen_and_an_input_is_driven(machine: Machine) -> None:
    edges: Record[tuple[bool, float]] = Record("edges of line 5")
    unwatch = machine.lines.watch(5, lambda level, lasted: edges.add((level, lasted)))
    try:
        await machine.run("gpioset", "--chip", "gpiochip0", "--toggle", "300ms,0", "5=1")
        up, down = await edges.until(lambda items: items[:2] if len(items) >= 2 else None, "pulse")
        assert (up[0], down[0]) == (True, False)
        assert 0.25 <= down[1] <= 0.6
    finally:
        unwatch()
    for level, word in ((True, "active"), (False, "inactive")):
        await machine.lines.drive(6, level)
        assert f"={word}" in await machine.shell("gpioget --chip gpiochip0 6")


# The hub on it.

FRIEND = "+447700900821"
REVIVED = 90.0
"""Seconds of promise M1."""


async def test_a_stick_is_found_by_udev_and_used_both_ways(machine: Machine, tmp_path: Path) -> None:
    async with whole(machine, tmp_path, "quectel-ec2x") as it:
        (modem,) = it.modems.all
        links = await machine.shell("ls /dev/modemhub")
        assert sorted(link.rpartition("-")[2] for link in links.split()) == ["if00", "if01", "if02", "if03"]
        assert "ID_MODEMHUB=1" in await machine.shell("udevadm info --query=property /dev/modemhub/*-if02")

        message = await it.api.send(to=FRIEND, text="through the kernel")
        await it.observer.until_state(message["id"], "delivered", within=REVIVED)
        assert it.modems.texts() == [(FRIEND, "through the kernel")]

        await it.modems.deliver(modem, "and back")
        heard = await it.observer.until_heard("received", within=REVIVED)
        assert (heard.json["text"], heard.json["modem"]) == ("and back", modem.imei)
        assert (await it.api.get("/api/v1/inbox"))["messages"][0]["text"] == "and back"
