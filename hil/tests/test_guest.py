"""A real kernel, its drivers, udev and GPIO under the hub: in a Debian guest, with modems emulated outside.

``make guest`` builds the guest and runs this; it is one guest for the whole file, and each test plugs in its own modem.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from hil.emulator.__main__ import identity
from hil.emulator.persona import PERSONAS
from hil.emulator.usbdevice import UsbDevice
from hil.emulator.usbip import Exporter
from hil.emulator.usbredir import Plug
from hil.guest import attach
from hil.guest.build import Impossible, image
from hil.guest.hub import RULES, install, whole
from hil.guest.machine import HOST, QEMU, Machine
from hil.rig import Record, mosquitto_path
from hil.rig.laws import sent_once_or_told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hil.emulator.shape import Usb
    from hil.guest.hub import Whole
    from hil.rig import Modem

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
    imported: Record[bool] = Record("imports of the device")
    exporter = Exporter(Parrot(EC25).device, changed=imported.add)
    port = await exporter.listen()
    await machine.run("sh", "-c", "cat > /run/attach.py", stdin=ATTACH)
    keeper = ["systemd-run", "--quiet", "--collect", "--unit=attach", "python3", "/run/attach.py", "--keep"]
    await machine.run(*keeper, HOST, str(port))
    try:
        await appear(machine, *(BY_ID.format(n) for n in range(4)))
        assert "vhci_hcd" in await machine.shell(f"udevadm info --query=path {BY_ID.format(2)}")
        assert await talk(machine, BY_ID.format(2)) == repr(b"\r\nOK\r\n")
        exporter.pull()
        await imported.until(lambda items: items == [True, False, True], "second import")
        await appear(machine, *(BY_ID.format(n) for n in range(4)))
    finally:
        await machine.run("systemctl", "stop", "attach.service")
        await exporter.close()
    await vanish(machine, *(BY_ID.format(n) for n in range(4)))


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
UDEV = "[detect]\nudev = true\n"
RESET = 5
"""The GPIO line that is the reset line of the modem on the board."""
REVIVED = 90.0
"""Seconds of promise M1."""


async def both_ways(it: Whole, modem: Modem, text: str) -> None:
    """A text out, which the network gets and reports, and one in, by this modem; told by MQTT and by HTTP."""
    message = await it.api.send(to=FRIEND, text=f"{text} out", modem=modem.imei)
    await it.observer.until_state(message["id"], "delivered", within=REVIVED)
    assert [(sent.to, sent.text, sent.imsi) for sent in it.modems.sent()][-1] == (FRIEND, f"{text} out", modem.imsi)
    start = len(it.observer.heard.items)
    await it.modems.deliver(modem, f"{text} in")
    heard = await it.observer.until_heard("received", start=start, within=REVIVED)
    assert (heard.json["text"], heard.json["modem"]) == (f"{text} in", modem.imei)
    assert f"{text} in" in [told["text"] for told in (await it.api.get("/api/v1/inbox"))["messages"]]


async def status(it: Whole) -> dict[str, Any]:
    """What the only emulated modem says of itself."""
    found: dict[str, Any] = (await it.modems.do("status"))["modems"][0]
    return found


async def test_udevadm_finds_no_fault_in_the_rules(machine: Machine) -> None:
    await install(machine)
    said = await machine.shell(f"udevadm verify {RULES}/70-modemhub.rules")  # its exit code is the verdict
    assert "1 udev rules file" in said


async def test_a_stick_is_found_by_udev_and_used_both_ways(machine: Machine, tmp_path: Path) -> None:
    async with whole(machine, tmp_path, "quectel-ec2x", settings=UDEV) as it:
        links = (await machine.shell("ls /dev/modemhub")).split()
        assert sorted(link.rpartition("-")[2] for link in links) == ["if00", "if01", "if02", "if03"]
        properties = await machine.shell("udevadm info --query=property /dev/modemhub/*-if02")
        assert "ID_MODEMHUB=1" in properties.splitlines()
        await both_ways(it, it.modems.all[0], "through option")


async def test_two_modems_of_two_drivers_at_once(machine: Machine, tmp_path: Path) -> None:
    async with whole(machine, tmp_path, "quectel-ec2x", "ublox-3g", settings=UDEV) as it:
        quectel, ublox = it.modems.all
        await both_ways(it, ublox, "through cdc_acm")
        await both_ways(it, quectel, "through option")


async def test_pulled_in_the_middle_of_a_send_and_put_back_nothing_is_lost(machine: Machine, tmp_path: Path) -> None:
    # reports come when the hub is there for good: what a modem without storage for them is told meanwhile is lost
    modem_of_test = {"submit_delay": 3.0, "report": "hold"}
    async with whole(machine, tmp_path, "quectel-ec2x", settings=UDEV, modem=modem_of_test) as it:
        texts = [f"text {n}" for n in range(4)]
        ids = {text: (await it.api.send(to=FRIEND, text=text))["id"] for text in texts}
        # the network has the second one, and its result is still to come
        await it.modems.submits(2, within=REVIVED)
        await it.modems.do("fault", kind="unplug")
        (modem,) = it.modems.all
        await it.observer.until_heard(f"modem/{modem.imei}/availability", b"offline", within=REVIVED)
        await machine.run("udevadm", "wait", "--timeout=30", "--removed", "/dev/ttyUSB0")
        await it.modems.do("set", submit_delay=0.0)
        await it.modems.do("fault", kind="replug")
        for number in ids.values():
            await it.observer.until_state(number, "submitted", within=REVIVED)
        await it.modems.do("release_reports")
        for number in ids.values():
            await it.observer.until_state(number, "delivered", within=REVIVED)
        told = {(FRIEND, text): await it.api.get(f"/api/v1/messages/{number}") for text, number in ids.items()}
        assert sent_once_or_told(it.modems, told) == []
        assert [message["maybe_duplicate"] for message in told.values()] == [False, True, False, False]


async def test_authorized_revives_a_modem_that_hangs_until_its_usb_starts_anew(
    machine: Machine, tmp_path: Path
) -> None:
    async with whole(machine, tmp_path, "quectel-ec2x", settings=UDEV) as it:
        await it.modems.do("fault", kind="wedged", until="usb")
        message = await it.api.send(to=FRIEND, text="to a modem that hangs")
        await it.observer.until_state(message["id"], "delivered", within=REVIVED)
        assert [text for _, text in it.modems.texts()] == ["to a modem that hangs"]
        after = await status(it)
        assert after["remedies"]["usb"] >= 1
        assert after["boots"] == 0  # its power stayed


async def test_a_reset_line_on_gpiochip0_restarts_the_modem_on_it(machine: Machine, tmp_path: Path) -> None:
    imei = identity(1)["imei"]
    port = BY_ID.replace(IMEI, imei).format(2)
    settings = f"""
        [detect]
        udev = false
        [[modems]]
        port = "{port}"
        [modems.power]
        chip = "/dev/gpiochip0"
        reset = {{ line = {RESET}, active = "high" }}
    """
    lines = {"reset": {"line": RESET, "active": 1}}
    pulses: list[tuple[bool, float]] = []
    unwatch = machine.lines.watch(RESET, lambda level, lasted: pulses.append((level, lasted)))
    try:
        async with whole(machine, tmp_path, "quectel-ec2x", settings=settings, modem={"lines": lines}) as it:
            unwire = machine.lines.outward(RESET, tmp_path / "m" / "gpio" / str(RESET))
            try:
                await it.modems.do("fault", kind="wedged", until="reset_line")
                message = await it.api.send(to=FRIEND, text="after the reset line")
                await it.observer.until_state(message["id"], "delivered", within=REVIVED)
                assert [text for _, text in it.modems.texts()] == ["after the reset line"]
                after = await status(it)
                assert (after["boots"], after["remedies"]["reset_line"]) == (1, 1)
                held = [lasted for level, lasted in pulses if not level]
                assert len(held) == 1
                assert held[0] >= 0.15  # the EC25's RESET_N is held 150 to 460 ms
            finally:
                unwire()
    finally:
        unwatch()
