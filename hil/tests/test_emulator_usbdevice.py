"""The emulated USB modem, octet by octet: as Linux enumerates it, over usbredir and USB/IP.

Both clients here are written from the protocols' descriptions and share nothing with the emulator's own packing.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import struct
from typing import TYPE_CHECKING, Any, Self

import pytest

from hil.emulator.client import Emulator
from hil.emulator.persona import PERSONAS
from hil.emulator.shape import Usb, acm, vendor
from hil.emulator.usbdevice import BACKLOG, Setup, Speed, Stall, Status, Transfer, UsbDevice
from hil.emulator.usbip import Exporter
from hil.emulator.usbredir import Plug

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path


def usb_of(persona: str) -> Usb:
    usb = PERSONAS[persona].usb
    assert usb is not None
    return usb


EC25 = usb_of("quectel-ec2x")
UBLOX = Usb("1546", "1102", "u-blox", "LARA-R2", acm("at", "at2"), serial="")
IMEI = "861585040012345"


class Modem:
    """Hears what a modem would hear; answers each line OK."""

    def __init__(self, usb: Usb = EC25, **options: Any) -> None:
        self.heard: list[tuple[int, bytes]] = []
        self.opened: list[tuple[int, bool]] = []
        self.configured: list[int] = []
        self.device = UsbDevice(
            usb,
            serial=usb.serial.format(imei=IMEI),
            received=self._received,
            opened=lambda number, dtr: self.opened.append((number, dtr)),
            configured=self.configured.append,
            **options,
        )

    def _received(self, number: int, octets: bytes) -> None:
        self.heard.append((number, octets))
        if octets.endswith(b"\r"):
            self.device.write(number, b"\r\nOK\r\n")


def parse_configuration(octets: bytes) -> list[tuple[int, bytes]]:
    """(type, body) of each descriptor; the lengths must add up to wTotalLength."""
    assert struct.unpack_from("<H", octets, 2)[0] == len(octets)
    found, at = [], 0
    while at < len(octets):
        assert octets[at] >= 2
        found.append((octets[at + 1], octets[at + 2 : at + octets[at]]))
        at += octets[at]
    assert at == len(octets)
    return found


GET_DEVICE = Setup(0x80, 6, 0x0100, 0, 18)
GET_CONFIGURATION = Setup(0x80, 6, 0x0200, 0, 512)
CONFIGURE = Setup(0x00, 9, 1, 0, 0)


def outcome(transfer_of: Callable[[Callable[[Status, bytes], None]], Transfer]) -> tuple[list[Any], Transfer]:
    done: list[Any] = []
    return done, transfer_of(lambda status, octets: done.append((status, octets)))


# -------------------------------------------------------------------------------------------------- descriptors


def test_the_device_descriptor_is_that_of_an_ec25() -> None:
    octets = Modem().device.control(GET_DEVICE)
    assert octets.hex(" ") == "12 01 00 02 00 00 00 40 7c 2c 25 01 18 03 01 02 03 01"


def test_linux_option_and_qmi_wwan_match_the_interfaces_of_an_ec25() -> None:
    """option takes ff/ff/ff with exactly two endpoints and ff/00/00; qmi_wwan takes number 4, which has three."""
    descriptors = parse_configuration(UsbDevice(EC25).control(GET_CONFIGURATION))
    interfaces = [body for kind, body in descriptors if kind == 4]
    assert [(i[0], i[2], i[3:6].hex()) for i in interfaces] == [
        (0, 2, "ffffff"), (1, 3, "ff0000"), (2, 3, "ff0000"), (3, 3, "ff0000"), (4, 3, "ffffff"),
    ]  # fmt: skip
    endpoints = [body for kind, body in descriptors if kind == 5]
    assert [(e[0], e[1], struct.unpack_from("<H", e, 2)[0]) for e in endpoints] == [
        (0x81, 2, 512), (0x01, 2, 512),
        (0x82, 3, 16), (0x83, 2, 512), (0x02, 2, 512),
        (0x84, 3, 16), (0x85, 2, 512), (0x03, 2, 512),
        (0x86, 3, 16), (0x87, 2, 512), (0x04, 2, 512),
        (0x88, 3, 16), (0x89, 2, 512), (0x05, 2, 512),
    ]  # fmt: skip


def test_cdc_acm_finds_its_union_and_both_interfaces() -> None:
    device = UsbDevice(UBLOX)
    assert device.control(GET_DEVICE)[4:7].hex() == "ef0201"
    descriptors = parse_configuration(device.control(GET_CONFIGURATION))
    assert [(body[0], body[1]) for kind, body in descriptors if kind == 11] == [(0, 2), (2, 2)]
    unions = [body[1:] for kind, body in descriptors if kind == 0x24 and body[0] == 6]
    assert unions == [b"\0\1", b"\2\3"]
    interfaces = [(body[0], body[2], body[3:6].hex()) for kind, body in descriptors if kind == 4]
    assert interfaces == [(0, 1, "020201"), (1, 2, "0a0000"), (2, 1, "020201"), (3, 2, "0a0000")]


def test_full_speed_has_packets_of_64_and_no_other_speed() -> None:
    device = UsbDevice(EC25, speed=Speed.FULL)
    descriptors = parse_configuration(device.control(GET_CONFIGURATION))
    sizes = {struct.unpack_from("<H", body, 2)[0] for kind, body in descriptors if kind == 5 and body[1] == 2}
    assert sizes == {64}
    for kind in (6, 7):
        with pytest.raises(Stall):
            device.control(Setup(0x80, 6, kind << 8, 0, 255))


def test_strings_and_what_is_not_there() -> None:
    device = UsbDevice(EC25)
    assert device.control(Setup(0x80, 6, 0x0300, 0, 255)) == b"\4\3\x09\4"
    assert device.control(Setup(0x80, 6, 0x0302, 0x0409, 255))[2:].decode("utf-16-le") == "EC25-E"
    assert device.control(Setup(0x80, 6, 0x0302, 0x0409, 2)) == b"\x0e\3"
    for missing in (0x0304, 0x03FF, 0x0F00, 0x0101):
        with pytest.raises(Stall):
            device.control(Setup(0x80, 6, missing, 0x0409, 255))


def test_a_modem_without_a_serial_number_names_none() -> None:
    assert UsbDevice(UBLOX).control(GET_DEVICE)[14:17] == b"\1\2\0"


def test_every_family_has_descriptors() -> None:
    """Numbers may have gaps, and the functions of class 2 need not be modems."""
    for persona in PERSONAS.values():
        if persona.usb is not None:
            device = UsbDevice(persona.usb)
            descriptors = parse_configuration(device.control(GET_CONFIGURATION))
            numbers = [body[0] for kind, body in descriptors if kind == 4]
            assert numbers == [interface.number for interface in persona.usb.interfaces]
            addresses = [body[0] for kind, body in descriptors if kind == 5]
            assert len(addresses) == len(set(addresses)) == len(device.endpoints)


def test_sixteen_endpoints_in_one_direction_are_too_many() -> None:
    with pytest.raises(ValueError, match="15 endpoints"):
        UsbDevice(Usb("1d6b", "0104", "", "", vendor(*["at"] * 8)))


# ---------------------------------------------------------------------------------------------- requests, endpoints


def test_before_it_is_configured_no_endpoint_answers() -> None:
    modem = Modem()
    done, transfer = outcome(lambda d: Transfer(0x03, 3, d, b"AT\r"))
    modem.device.submit(transfer)
    assert done == [(Status.STALLED, b"")]
    assert modem.heard == []
    with pytest.raises(Stall):
        modem.device.control(Setup(0x21, 0x22, 3, 2, 0))


def test_an_in_transfer_waits_for_the_modem_and_is_never_longer_than_asked() -> None:
    modem = Modem()
    modem.device.control(CONFIGURE)
    done, transfer = outcome(lambda d: Transfer(0x85, 4, d))
    modem.device.submit(transfer)
    assert done == []
    modem.device.write(2, b"123456")
    assert done == [(Status.DONE, b"1234")]
    more, second = outcome(lambda d: Transfer(0x85, 512, d))
    modem.device.submit(second)
    assert more == [(Status.DONE, b"56")]


def test_what_nobody_fetches_is_kept_up_to_the_backlog_and_loses_its_head() -> None:
    device = Modem().device
    device.control(CONFIGURE)
    device.write(2, b"head" + bytes(BACKLOG))
    assert device.unread(2) == BACKLOG
    done, transfer = outcome(lambda d: Transfer(0x85, 4, d))
    device.submit(transfer)
    assert done == [(Status.DONE, bytes(4))]


def test_a_held_interface_takes_nothing_until_it_is_let_go() -> None:
    modem = Modem()
    modem.device.control(CONFIGURE)
    modem.device.hold(2, True)
    done, transfer = outcome(lambda d: Transfer(0x03, 3, d, b"AT\r"))
    modem.device.submit(transfer)
    assert (done, modem.heard) == ([], [])
    modem.device.hold(2, False)
    assert (done, modem.heard) == ([(Status.DONE, b"")], [(2, b"AT\r")])


def test_a_cancelled_transfer_leaves_the_octets_to_the_next() -> None:
    device = Modem().device
    device.control(CONFIGURE)
    done, transfer = outcome(lambda d: Transfer(0x85, 512, d))
    device.submit(transfer)
    assert device.cancel(transfer)
    device.write(2, b"RING")
    assert done == []
    assert not device.cancel(transfer)
    more, second = outcome(lambda d: Transfer(0x85, 512, d))
    device.submit(second)
    assert more == [(Status.DONE, b"RING")]


def test_unconfiguring_ends_what_waits_and_closes_the_ports() -> None:
    """Writing 0 and 1 to authorized in sysfs is SET_CONFIGURATION 0 and 1 on the bus."""
    modem = Modem()
    modem.device.control(CONFIGURE)
    modem.device.control(Setup(0x21, 0x22, 3, 2, 0))
    done, transfer = outcome(lambda d: Transfer(0x85, 512, d))
    modem.device.submit(transfer)
    modem.device.control(Setup(0x00, 9, 0, 0, 0))
    modem.device.control(CONFIGURE)
    assert done == [(Status.GONE, b"")]
    assert modem.configured == [1, 0, 1]
    assert modem.opened == [(2, True), (2, False)]


def test_an_acm_function_is_known_by_its_control_interface() -> None:
    modem = Modem(UBLOX)
    modem.device.control(CONFIGURE)
    coding = struct.pack("<IBBB", 9600, 0, 0, 8)
    assert modem.device.control(Setup(0xA1, 0x21, 0, 2, 7)) == struct.pack("<IBBB", 115200, 0, 0, 8)
    modem.device.control(Setup(0x21, 0x20, 0, 2, 7), coding)
    assert modem.device.control(Setup(0xA1, 0x21, 0, 2, 7)) == coding
    for state in (3, 3, 2):
        modem.device.control(Setup(0x21, 0x22, state, 2, 0))
    assert modem.opened == [(2, True), (2, False)]
    assert modem.device.rate(2) == 9600
    done, out = outcome(lambda d: Transfer(0x02, 3, d, b"AT\r"))
    modem.device.submit(out)
    assert (done, modem.heard) == ([(Status.DONE, b"")], [(2, b"AT\r")])
    done, back = outcome(lambda d: Transfer(0x84, 512, d))
    modem.device.submit(back)
    assert done == [(Status.DONE, b"\r\nOK\r\n")]


# ------------------------------------------------------------------------------------------------------ usbredir


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


WIDE = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6
"""connect_device_version, ep_info_max_packet_size, 64bits_ids, 32bits_bulk_length."""


class Qemu:
    """The usb-guest of usbredir: listens, greets, sends packets, keeps what comes."""

    def __init__(self, place: Path, capabilities: int = WIDE) -> None:
        self.path = place / "usb"
        self.capabilities = capabilities
        self.ids = itertools.count(1)
        self.writers: list[asyncio.StreamWriter] = []
        self.ended: list[asyncio.Event] = []
        self.connected: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.writers.append(writer)
            self.connected.put_nowait((reader, writer))

        self.server = await asyncio.start_unix_server(serve, self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for writer in self.writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        await asyncio.gather(*(ended.wait() for ended in self.ended))

    async def plug(self, modem: Modem) -> tuple[Plug, asyncio.Event]:
        """Plug it in; the event is set when it is out again."""
        self.ended.append(ended := asyncio.Event())
        return await Plug.into(self.path, modem.device, ended=ended.set), ended

    async def greet(self) -> bytes:
        """Exchange hellos; the modem's capabilities."""
        self.reader, self.writer = await self.connected.get()
        kind, length, number = struct.unpack("<III", await self.reader.readexactly(12))
        assert (kind, length, number) == (0, 68, 0)
        theirs = (await self.reader.readexactly(68))[64:]
        hello = b"scripted".ljust(64, b"\0") + struct.pack("<I", self.capabilities)
        self.writer.write(struct.pack("<III", 0, len(hello), 0) + hello)
        return theirs

    @property
    def head(self) -> struct.Struct:
        return struct.Struct("<IIQ" if self.capabilities & 1 << 5 else "<III")

    async def read(self) -> tuple[int, int, bytes]:
        kind, length, number = self.head.unpack(await self.reader.readexactly(self.head.size))
        return kind, number, await self.reader.readexactly(length)

    def send(self, kind: int, payload: bytes = b"") -> int:
        number = next(self.ids)
        self.writer.write(self.head.pack(kind, len(payload), number) + payload)
        return number

    async def ask(self, kind: int, payload: bytes) -> bytes:
        """A packet whose answer has the same id."""
        number = self.send(kind, payload)
        while (got := await self.read())[1] != number:
            assert got[0] in (4, 5), got
        return got[2]

    async def control(self, setup: Setup, data: bytes = b"") -> tuple[int, bytes]:
        fields = (setup.request, setup.request_type, 0, setup.value, setup.index, setup.length)
        endpoint = 0x80 if setup.request_type & 0x80 else 0
        answer = await self.ask(100, struct.pack("<4B3H", endpoint, *fields) + data)
        assert answer[1:3] == bytes((setup.request, setup.request_type))
        assert struct.unpack_from("<H", answer, 8)[0] == (
            len(answer) - 10 if endpoint else setup.length * (not answer[3])
        )
        return answer[3], answer[10:]

    def bulk(self, endpoint: int, *, length: int = 0, data: bytes = b"") -> int:
        size = length or len(data)
        return self.send(101, struct.pack("<BBHIH", endpoint, 0, size & 0xFFFF, 0, size >> 16) + data)

    async def enumerate(self) -> None:
        """As the kernel does: introduction, descriptors, SET_CONFIGURATION."""
        kinds = [await self.read() for _ in range(3)]
        assert [kind for kind, _, _ in kinds] == [5, 4, 1]
        self.send(3)
        _, device = await self.control(GET_DEVICE)
        assert len(device) == 18
        _, head = await self.control(Setup(0x80, 6, 0x0200, 0, 9))
        _, whole = await self.control(Setup(0x80, 6, 0x0200, 0, struct.unpack_from("<H", head, 2)[0]))
        parse_configuration(whole)
        assert await self.ask(6, b"\1") == b"\0\1"


def test_qemu_is_told_everything_that_its_xhci_wants(tmp_path: Path) -> None:
    async def test() -> None:
        async with Qemu(tmp_path) as qemu:
            await qemu.plug(Modem())
            assert await qemu.greet() == struct.pack("<I", WIDE)
            (_, _, endpoints), (_, _, interfaces), (_, _, connect) = [await qemu.read() for _ in range(3)]
            kinds, numbers, sizes = endpoints[:32], endpoints[64:96], struct.unpack("<32H", endpoints[96:])
            assert (kinds[0], kinds[16], kinds[17], kinds[18], kinds[1], kinds[6]) == (0, 0, 2, 3, 2, 255)
            assert (numbers[17], numbers[18], numbers[25]) == (0, 1, 4)
            assert (sizes[0], sizes[17], sizes[18]) == (64, 512, 16)
            assert interfaces[:9] == struct.pack("<I", 5) + bytes(range(5))
            assert interfaces[36:41] == b"\xff" * 5
            assert connect == struct.pack("<4B3H", 2, 0, 0, 0, 0x2C7C, 0x0125, 0x0318)

    run(test)


def test_a_guest_with_less_is_spoken_to_as_it_can_hear(tmp_path: Path) -> None:
    async def test() -> None:
        async with Qemu(tmp_path, capabilities=0) as qemu:
            modem = Modem()
            await qemu.plug(modem)
            await qemu.greet()
            lengths = [len((await qemu.read())[2]) for _ in range(3)]
            assert lengths == [96, 132, 8]
            assert await qemu.ask(6, b"\1") == b"\0\1"
            number = qemu.send(101, struct.pack("<BBHI", 0x03, 0, 3, 0) + b"AT\r")
            assert await qemu.read() == (101, number, struct.pack("<BBHI", 0x03, 0, 3, 0))
            assert modem.heard == [(2, b"AT\r")]

    run(test)


def test_a_command_goes_in_and_its_answer_comes_out(tmp_path: Path) -> None:
    async def test() -> None:
        async with Qemu(tmp_path) as qemu:
            modem = Modem()
            await qemu.plug(modem)
            await qemu.greet()
            await qemu.enumerate()
            assert await qemu.ask(15, b"\x84") == b"\0\x84"
            assert (await qemu.control(Setup(0x21, 0x22, 3, 2, 0)))[0] == 0
            first, second = qemu.bulk(0x85, length=512), qemu.bulk(0x85, length=512)
            out = qemu.bulk(0x03, data=b"AT\r")
            assert await qemu.read() == (101, out, struct.pack("<BBHIH", 0x03, 0, 3, 0, 0))
            assert await qemu.read() == (101, first, struct.pack("<BBHIH", 0x85, 0, 6, 0, 0) + b"\r\nOK\r\n")
            modem.device.write(2, b"RING")
            assert await qemu.read() == (101, second, struct.pack("<BBHIH", 0x85, 0, 4, 0, 0) + b"RING")
            assert modem.opened == [(2, True)]

    run(test)


def test_a_long_write_has_a_length_of_32_bits(tmp_path: Path) -> None:
    async def test() -> None:
        async with Qemu(tmp_path) as qemu:
            modem = Modem()
            await qemu.plug(modem)
            await qemu.greet()
            await qemu.enumerate()
            out = qemu.bulk(0x03, data=bytes(70_000))
            assert await qemu.read() == (101, out, struct.pack("<BBHIH", 0x03, 0, 70_000 & 0xFFFF, 0, 1))
            assert modem.heard == [(2, bytes(70_000))]

    run(test)


def test_a_cancelled_packet_is_answered_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with Qemu(tmp_path) as qemu:
            modem = Modem()
            await qemu.plug(modem)
            await qemu.greet()
            await qemu.enumerate()
            waiting = qemu.bulk(0x85, length=512)
            qemu.writer.write(qemu.head.pack(21, 0, waiting))
            assert await qemu.read() == (101, waiting, struct.pack("<BBHIH", 0x85, 1, 0, 0, 0))
            qemu.writer.write(qemu.head.pack(21, 0, waiting))
            modem.device.write(2, b"x")
            later = qemu.bulk(0x85, length=512)
            assert await qemu.read() == (101, later, struct.pack("<BBHIH", 0x85, 0, 1, 0, 0) + b"x")

    run(test)


def test_what_the_device_does_not_know_stalls(tmp_path: Path) -> None:
    async def test() -> None:
        async with Qemu(tmp_path) as qemu:
            await qemu.plug(Modem())
            await qemu.greet()
            await qemu.enumerate()
            assert await qemu.control(Setup(0x80, 6, 0x0F00, 0, 5)) == (4, b"")
            assert await qemu.ask(6, b"\7") == b"\4\1"
            assert await qemu.ask(9, b"\1\1") == b"\4\1\0"
            assert await qemu.ask(10, b"\1") == b"\0\1\0"
            stalled = qemu.bulk(0x8F, length=512)
            assert await qemu.read() == (101, stalled, struct.pack("<BBHIH", 0x8F, 4, 0, 0, 0))

    run(test)


def test_pulled_and_put_back_it_is_a_new_device(tmp_path: Path) -> None:
    async def test() -> None:
        async with Qemu(tmp_path) as qemu:
            modem = Modem()
            plug, ended = await qemu.plug(modem)
            await qemu.greet()
            await qemu.enumerate()
            await qemu.control(Setup(0x21, 0x22, 3, 2, 0))
            plug.pull()
            assert await qemu.reader.read() == b""
            await ended.wait()
            assert modem.opened == [(2, True), (2, False)]
            assert modem.configured[-1] == 0
            modem.device.write(2, b"said to nobody")
            await qemu.plug(modem)
            await qemu.greet()
            await qemu.enumerate()
            assert modem.device.unread(2) == 0

    run(test)


def test_a_guest_that_breaks_the_protocol_is_left(tmp_path: Path) -> None:
    async def test() -> None:
        async with Qemu(tmp_path) as qemu:
            await qemu.plug(Modem())
            qemu.reader, qemu.writer = await qemu.connected.get()
            await qemu.reader.readexactly(80)
            qemu.writer.write(struct.pack("<III", 1, 0, 0))
            assert await qemu.reader.read() == b""

    run(test)


# ------------------------------------------------------------------------------------- the emulated modem behind it


def behind_usbredir(
    place: Path, test: Callable[[Qemu, Callable[..., dict[str, Any]]], Coroutine[Any, Any, None]]
) -> None:
    """An EC25 of the emulator, plugged into the scripted QEMU and enumerated; ``control`` does not block the loop."""

    async def whole() -> None:
        async with Qemu(place) as qemu:
            config = place / "emulator.json"
            config.write_text(json.dumps({"modems": [{"persona": "quectel-ec2x", "usbredir": str(qemu.path)}]}))
            emulator = await asyncio.to_thread(Emulator, place / "m", "--config", str(config))
            try:
                await qemu.greet()
                await qemu.enumerate()
                await test(qemu, emulator.control)
            finally:
                await asyncio.to_thread(emulator.close)

    run(whole)


async def say(qemu: Qemu, command: bytes, *, out: int = 0x03, into: int = 0x85) -> bytes:
    """A command on an AT port; what comes back up to its OK, which may be in several pieces."""
    sent, waiting, said = qemu.bulk(out, data=command), qemu.bulk(into, length=512), b""
    while not said.endswith(b"\r\nOK\r\n"):
        kind, number, payload = await qemu.read()
        assert (kind, payload[1]) == (101, 0)
        if number == waiting:
            said += payload[10:]
            waiting = qemu.bulk(into, length=512)
        else:
            assert number == sent
    qemu.writer.write(qemu.head.pack(21, 0, waiting))
    assert (await qemu.read())[1] == waiting
    return said


def test_an_emulated_modem_has_its_ports_on_the_interfaces_of_its_family(tmp_path: Path) -> None:
    async def test(qemu: Qemu, control: Callable[..., dict[str, Any]]) -> None:
        await qemu.control(Setup(0x21, 0x22, 3, 2, 0))
        await say(qemu, b"ATE0\r")
        assert await say(qemu, b"AT+CGMM\r") == b"\r\nEC25\r\n\r\nOK\r\n"
        assert await say(qemu, b"ATE0\r", out=0x04, into=0x87) == b"ATE0\r\r\nOK\r\n"
        (modem,) = control("status")["modems"]
        assert (modem["users"], modem["opens"]) == (1, 1)
        assert modem["usb"] == {"at": str(qemu.path), "connected": True, "id": "2c7c:0125", "configuration": 1}
        await qemu.control(Setup(0x21, 0x22, 0, 2, 0))
        assert control("status")["modems"][0]["users"] == 0

    behind_usbredir(tmp_path, test)


def test_a_modem_that_hangs_until_its_usb_starts_anew_hears_the_new_configuration(tmp_path: Path) -> None:
    async def test(qemu: Qemu, control: Callable[..., dict[str, Any]]) -> None:
        control("fault", kind="wedged", until="usb")
        deaf = qemu.bulk(0x03, data=b"AT\r")
        assert (await qemu.read())[1] == deaf
        assert await qemu.ask(6, b"\0") == b"\0\0"
        assert await qemu.ask(6, b"\1") == b"\0\1"
        assert control("status")["modems"][0]["remedies"] == {"usb": 1}
        assert await say(qemu, b"AT\r") == b"AT\r\r\nOK\r\n"

    behind_usbredir(tmp_path, test)


def test_a_modem_that_resets_leaves_the_bus_and_comes_back(tmp_path: Path) -> None:
    async def test(qemu: Qemu, control: Callable[..., dict[str, Any]]) -> None:
        control("fault", kind="reboot")
        assert await qemu.reader.read() == b""
        await qemu.greet()
        await qemu.enumerate()
        await asyncio.to_thread(control, "wait", status={"boots": 1})
        assert b"AT\r\r\nOK\r\n" in await say(qemu, b"AT\r")

    behind_usbredir(tmp_path, test)


# -------------------------------------------------------------------------------------------------------- USB/IP


class Vhci:
    """A USB/IP client: imports, submits URBs, unlinks them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.numbers = itertools.count(1)

    async def import_device(self, busid: bytes = b"1-1") -> tuple[int, bytes]:
        self.writer.write(struct.pack(">HHI", 0x0111, 0x8003, 0) + busid.ljust(32, b"\0"))
        version, code, status = struct.unpack(">HHI", await self.reader.readexactly(8))
        assert (version, code) == (0x0111, 3)
        return status, b"" if status else await self.reader.readexactly(312)

    def submit(self, endpoint: int, *, length: int = 0, data: bytes = b"", setup: bytes = bytes(8)) -> int:
        number, inward = next(self.numbers), bool(endpoint & 0x80)
        head = struct.pack(">5I", 1, number, 0x10002, inward, endpoint & 15)
        body = struct.pack(">IiiiiI", 0, length if inward else len(data), 0, 0, 0, 0)[:20] + setup
        self.writer.write(head + body + data)
        return number

    async def answer_of_unlink(self, target: int) -> int:
        """Unlink a URB; the status of the answer."""
        number = next(self.numbers)
        self.writer.write(struct.pack(">5II24x", 2, number, 0x10002, 0, 0, target))
        command, answered, status, _, _ = await self.answer()
        assert (command, answered) == (4, number)
        return status

    async def answer(self, *, inward: bool = False) -> tuple[int, int, int, int, bytes]:
        """Command, number, status, length, data."""
        command, number, *_ = struct.unpack(">5I", await self.reader.readexactly(20))
        status, length, *_ = struct.unpack(">ii20x", await self.reader.readexactly(28))
        data = await self.reader.readexactly(length) if inward and command == 3 else b""
        return command, number, status, length, data

    async def control(self, setup: Setup, data: bytes = b"") -> tuple[int, bytes]:
        octets = struct.pack("<BBHHH", setup.request_type, setup.request, setup.value, setup.index, setup.length)
        inward = bool(setup.request_type & 0x80)
        number = self.submit(0x80 if inward else 0, length=setup.length, data=data, setup=octets)
        command, answered, status, _, got = await self.answer(inward=inward)
        assert (command, answered) == (3, number)
        return status, got


class Clients:
    """Any number of them, closed at the end."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._all: list[Vhci] = []

    async def one(self) -> Vhci:
        client = Vhci(*await asyncio.open_connection("127.0.0.1", self._port))
        self._all.append(client)
        return client

    async def close(self) -> None:
        for client in self._all:
            client.writer.close()
            with contextlib.suppress(ConnectionError):
                await client.writer.wait_closed()


def over_usbip(test: Callable[[Modem, Exporter, Clients], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        modem = Modem()
        exporter = Exporter(modem.device)
        clients = Clients(await exporter.listen())
        try:
            await test(modem, exporter, clients)
        finally:
            await clients.close()
            await exporter.close()

    run(whole)


def test_usbip_lists_and_lends_the_device_to_one_client() -> None:
    async def test(_: Modem, exporter: Exporter, clients: Clients) -> None:
        lister = await clients.one()
        lister.writer.write(struct.pack(">HHI", 0x0111, 0x8005, 0))
        head = struct.unpack(">HHII", await lister.reader.readexactly(12))
        assert head == (0x0111, 5, 0, 1)
        described = await lister.reader.readexactly(312)
        assert described[256:288].rstrip(b"\0") == b"1-1"
        assert struct.unpack_from(">IIIHHH", described, 288) == (1, 2, 3, 0x2C7C, 0x0125, 0x0318)
        assert described[306:312] == bytes((0, 0, 0, 0, 1, 5))
        assert (await lister.reader.read())[:4] == b"\xff\xff\xff\0"

        stranger = await clients.one()
        assert (await stranger.import_device(b"9-9"))[0] == 1
        first, second = await clients.one(), await clients.one()
        assert await first.import_device() == (0, described)
        assert exporter.imported
        assert (await second.import_device())[0] == 1

    over_usbip(test)


def test_usbip_moves_a_command_and_its_answer() -> None:
    async def test(modem: Modem, _: Exporter, clients: Clients) -> None:
        host = await clients.one()
        await host.import_device()
        assert (await host.control(GET_DEVICE))[1].hex().startswith("12010002")
        assert await host.control(CONFIGURE) == (0, b"")
        assert await host.control(Setup(0x21, 0x22, 3, 2, 0)) == (0, b"")
        assert await host.control(Setup(0x80, 6, 0x0F00, 0, 5)) == (-32, b"")
        asked = host.submit(0x85, length=512)
        sent = host.submit(0x03, data=b"AT\r")
        assert await host.answer() == (3, sent, 0, 3, b"")
        assert await host.answer(inward=True) == (3, asked, 0, 6, b"\r\nOK\r\n")
        assert (modem.heard, modem.opened) == ([(2, b"AT\r")], [(2, True)])

    over_usbip(test)


def test_usbip_unlinks_what_waits_and_says_when_it_was_too_late() -> None:
    async def test(modem: Modem, _: Exporter, clients: Clients) -> None:
        host = await clients.one()
        await host.import_device()
        await host.control(CONFIGURE)
        waiting = host.submit(0x85, length=512)
        assert await host.answer_of_unlink(waiting) == -104
        modem.device.write(2, b"x")
        asked = host.submit(0x85, length=512)
        assert await host.answer(inward=True) == (3, asked, 0, 1, b"x")
        assert await host.answer_of_unlink(asked) == 0

    over_usbip(test)


def test_usbip_pulled_the_client_hears_the_end_and_may_come_again() -> None:
    async def test(modem: Modem, exporter: Exporter, clients: Clients) -> None:
        host = await clients.one()
        await host.import_device()
        await host.control(CONFIGURE)
        host.submit(0x85, length=512)
        assert (await host.control(Setup(0x21, 0x22, 3, 2, 0)))[0] == 0
        exporter.pull()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await host.answer()
        again = await clients.one()
        while (await again.import_device())[0]:
            again = await clients.one()
        assert modem.configured == [1, 0]
        assert modem.opened == [(2, True), (2, False)]

    over_usbip(test)
