"""Which port of a device is opened, and that all others are closed: scripted ports, virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from appliance.errors import AnswerTimeout, PortGone
from appliance.modem.detect.place import UsbPlace
from appliance.modem.detect.probe import is_clean_ok, probe
from appliance.modem.place import Place, Remedy
from tests.modem.buses import UNKNOWN, device, knowledge
from tests.modem.desk import Wire, line, run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.modem.port import Port

OK = line("OK")
ECHO = b"AT\r\r\nOK\r\n"
QCDM = bytes.fromhex("7e4b0000aabb7e")
NMEA = b"$GPGGA,,,,,,0,,,,,,,,*66\r\n"

Answer = bytes | Callable[[bytes], bytes] | None


@dataclass
class Ttys:
    """Ports by node, each with what it says to whatever is written; None: nothing."""

    answers: Mapping[str, Answer]
    busy: set[str] = field(default_factory=set)
    delays: Mapping[str, float] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)
    wires: dict[str, Wire] = field(default_factory=dict)

    async def open(self, node: str) -> Port:
        self.opened.append(node)
        if node in self.busy:
            raise PortGone(f"{node}: is in use by minicom (pid 7)")
        answer = self.answers.get(node)
        loop = asyncio.get_running_loop()

        def take(data: bytes) -> None:
            said = answer(data) if callable(answer) else answer
            if said:
                loop.call_later(self.delays.get(node, 0.01), wire.put, said)

        wire = Wire(take, node)
        self.wires[node] = wire
        return wire

    @property
    def still_open(self) -> list[str]:
        return [node for node, wire in self.wires.items() if not wire.gone.done()]


def tty(number: int) -> str:
    return f"/dev/ttyUSB{number}"


@pytest.mark.parametrize(
    "heard", [OK, ECHO, b"\x1bAT\r" + OK, line("RDY", "+CPIN: READY", "OK"), OK + OK, b"AT\r\nOK\n"]
)
def test_a_clean_ok(heard: bytes) -> None:
    assert is_clean_ok(heard)


@pytest.mark.parametrize(
    "heard",
    [
        b"",
        b"AT\r",
        b"AT\r\r\nOK",
        line("ERROR"),
        line("NOT OK"),
        line("OK!"),
        QCDM + OK,
        OK + QCDM,
        NMEA + OK,
        OK + b"!AIVDM,1,1\r\n",
        b"\xff" + OK,
        b"x" * 5000 + OK,
    ],
)
def test_no_clean_ok(heard: bytes) -> None:
    assert not is_clean_ok(heard)


def test_the_first_in_the_order_that_answers_is_kept_and_all_others_are_closed() -> None:
    async def scenario() -> None:
        ttys = Ttys({tty(0): QCDM, tty(1): NMEA + OK, tty(2): ECHO, tty(3): OK})
        probed = await probe([tty(0), tty(1), tty(2), tty(3)], opened=ttys.open)
        assert (probed.node, ttys.still_open) == (tty(2), [tty(2)])
        assert probed.port is ttys.wires[tty(2)]

    run(scenario())


def test_an_earlier_port_is_given_a_moment_more_than_a_later_one() -> None:
    async def scenario() -> None:
        ttys = Ttys({tty(0): OK, tty(1): OK}, delays={tty(0): 0.1})
        assert (await probe([tty(0), tty(1)], opened=ttys.open)).node == tty(0)
        ttys = Ttys({tty(0): OK, tty(1): OK}, delays={tty(0): 0.5})
        assert (await probe([tty(0), tty(1)], opened=ttys.open)).node == tty(1)

    run(scenario())


def test_an_answer_is_quick_and_silence_is_bounded() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        ttys = Ttys({tty(0): OK, tty(1): None})
        await probe([tty(0), tty(1)], opened=ttys.open)
        assert loop.time() - began < 0.05
        began = loop.time()
        ttys = Ttys({})
        probed = await probe([tty(0), tty(1)], opened=ttys.open)
        assert (probed.port, probed.node, ttys.still_open) == (None, None, [])
        assert loop.time() - began < 5

    run(scenario())


def test_a_modem_at_a_forgotten_prompt_is_freed_by_esc() -> None:
    def prompted(data: bytes) -> bytes:
        return OK if data.startswith(b"\x1b") else b""

    async def scenario() -> None:
        ttys = Ttys({tty(0): prompted})
        assert (await probe([tty(0)], opened=ttys.open)).node == tty(0)

    run(scenario())


def test_what_cannot_be_opened_does_not_keep_the_others_from_being_asked() -> None:
    async def scenario() -> None:
        ttys = Ttys({tty(1): OK}, busy={tty(0)})
        probed = await probe([tty(0), tty(1)], opened=ttys.open)
        assert probed.node == tty(1)
        assert list(probed.refused) == [tty(0)]

    run(scenario())


def test_a_port_that_hangs_up_while_it_is_asked_is_no_answer() -> None:
    async def scenario() -> None:
        ttys = Ttys({tty(1): OK}, delays={tty(1): 0.7})
        asyncio.get_running_loop().call_later(0.1, lambda: ttys.wires[tty(0)].hang_up())  # noqa: PLW0108 - not there yet
        assert (await probe([tty(0), tty(1)], opened=ttys.open)).node == tty(1)

    run(scenario())


@pytest.mark.parametrize("after", [0.0, 0.3, 2.0])
def test_a_probe_that_is_cancelled_leaves_nothing_open(after: float) -> None:
    async def scenario() -> None:
        ttys = Ttys({})
        task = asyncio.create_task(probe([tty(0), tty(1)], opened=ttys.open))
        await asyncio.sleep(after)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert ttys.still_open == []

    run(scenario())


def place_of(ttys: Ttys, **options: str) -> UsbPlace:
    return UsbPlace(device(**options), at_interfaces=knowledge().at_interfaces, opened=ttys.open)  # type: ignore[arg-type]


def test_it_is_a_place_with_the_remedies_of_its_path() -> None:
    async def act() -> None:
        return None

    async def scenario() -> None:
        remedy = Remedy(5, "USB", 30, act)
        at: list[str] = []

        def remedies(path: str) -> list[Remedy]:
            at.append(path)
            return [remedy]

        place: Place = UsbPlace(device(), at_interfaces=knowledge().at_interfaces, remedies=remedies)
        assert (place.name, place.port, list(place.remedies), at) == ("usb 1-1.2", tty(2), [remedy], ["1-1.2"])

    run(scenario())


def test_a_known_port_is_opened_without_a_question() -> None:
    async def scenario() -> None:
        ttys = Ttys({})
        port = await place_of(ttys).open(0)
        assert (port.name, ttys.opened, ttys.still_open) == (tty(2), [tty(2)], [tty(2)])

    run(scenario())


def test_further_turns_go_through_the_known_ports_and_then_ask_all() -> None:
    async def scenario() -> None:
        ttys = Ttys({tty(0): OK})
        place = place_of(ttys)
        names = [(await place.open(turn)).name for turn in range(6)]
        assert names == [tty(2), tty(3), tty(0), tty(2), tty(3), tty(0)]
        assert place.port == tty(0)

    run(scenario())


def test_what_worked_is_opened_first_while_the_device_stays_and_then_what_is_known_to_be_best() -> None:
    async def scenario() -> None:
        ttys = Ttys({})
        place = place_of(ttys)
        await place.open(0)
        await place.open(1)  # interface 3
        place.worked()
        assert (await place.open(0)).name == tty(3)
        assert (await place.open(1)).name == tty(2)
        place.moved(None)
        place.moved(device(first=4))
        assert (await place.open(0)).name == tty(6)

    run(scenario())


def test_of_an_unknown_device_all_are_asked_and_turns_pass_over_those_that_fell_silent() -> None:
    async def scenario() -> None:
        ttys = Ttys({tty(0): QCDM, tty(1): OK, tty(3): OK})
        place = place_of(ttys, usb_id=UNKNOWN)
        assert (await place.open(0)).name == tty(1)
        for wire in ttys.wires.values():
            wire.hang_up()
        assert (await place.open(1)).name == tty(3)
        assert ttys.still_open == [tty(3)]

    run(scenario())


def test_of_an_unknown_device_what_worked_is_opened_first_also_under_another_name() -> None:
    async def scenario() -> None:
        ttys = Ttys({tty(0): QCDM, tty(3): OK})
        place = place_of(ttys, usb_id=UNKNOWN)
        assert (await place.open(0)).name == tty(3)
        place.worked()
        place.moved(device(usb_id=UNKNOWN, first=4))
        assert (await place.open(0)).name == tty(7)

    run(scenario())


def test_a_busy_port_does_not_hide_the_next_one() -> None:
    async def scenario() -> None:
        assert (await place_of(Ttys({}, busy={tty(2)})).open(0)).name == tty(3)

    run(scenario())


@pytest.mark.parametrize(
    ("usb_id", "busy", "told"),
    [
        ("2c7c:0125", {2, 3}, "in use by minicom"),
        (UNKNOWN, {0, 1, 2, 3}, "in use by minicom"),
        (UNKNOWN, set(), "none of its 4 ports answers AT"),
    ],
)
def test_what_cannot_be_opened_is_told(usb_id: str, busy: set[int], told: str) -> None:
    async def scenario() -> None:
        heard: list[str | None] = []
        place = UsbPlace(
            device(usb_id=usb_id),
            at_interfaces=knowledge().at_interfaces,
            refused=heard.append,
            opened=Ttys({}, busy={tty(number) for number in busy}).open,
        )
        with pytest.raises(PortGone if busy else AnswerTimeout, match=told):
            await place.open(0)
        assert [bool(words) for words in heard] == [bool(busy)]

    run(scenario())


def test_where_nothing_is_there_is_nothing_to_open() -> None:
    async def scenario() -> None:
        place = place_of(Ttys({}))
        place.moved(None)
        assert place.port == "usb 1-1.2"
        with pytest.raises(PortGone, match="nothing is plugged in"):
            await place.open(0)

    run(scenario())
