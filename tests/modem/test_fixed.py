"""A port of the settings as a place: when it is there, which speed it is opened with, what can be done to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from appliance.errors import PortGone, PowerFailed
from appliance.modem.fixed import FixedPlace
from appliance.modem.place import Place, Remedy
from tests.modem.desk import Desk, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from appliance.modem.port import Port


class Bench:
    """Opens desks, and keeps with what."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, int]] = []
        self.missing = False

    async def open(self, name: str, /, *, baudrate: int) -> Port:
        if self.missing:
            raise PortGone(f"{name}: is not there")
        self.opened.append((name, baudrate))
        return await Desk().open()

    @property
    def speeds(self) -> list[int]:
        return [speed for _, speed in self.opened]


SPEEDS = (115200, 9600, 57600)


def place_on(bench: Bench, port: str = "/dev/serial0", speeds: Sequence[int] = SPEEDS) -> FixedPlace:
    return FixedPlace(port, speeds=speeds, opened=bench.open)


def test_it_is_a_place_named_as_in_the_settings() -> None:
    place: Place = FixedPlace("/dev/serial0")
    assert (place.name, place.port, tuple(place.remedies)) == ("/dev/serial0", "/dev/serial0", ())


def test_while_no_speed_has_worked_each_turn_takes_the_next() -> None:
    bench = Bench()

    async def scenario() -> None:
        place = place_on(bench)
        for turn in range(5):
            await place.open(turn)

    run(scenario())
    assert bench.speeds == [115200, 9600, 57600, 115200, 9600]


def test_a_speed_that_worked_comes_first_and_between_all_others() -> None:
    bench = Bench()

    async def scenario() -> None:
        place = place_on(bench)
        await place.open(0)
        await place.open(1)
        place.worked()  # 9600 it is
        bench.opened.clear()
        for turn in range(7):
            await place.open(turn)

    run(scenario())
    assert bench.speeds == [9600, 9600, 115200, 9600, 57600, 9600, 115200]


def test_an_opening_that_failed_proves_no_speed() -> None:
    bench = Bench()

    async def scenario() -> None:
        place = place_on(bench)
        await place.open(0)
        bench.missing = True
        with pytest.raises(PortGone):
            await place.open(1)
        place.worked()
        bench.missing = False
        await place.open(0)

    run(scenario())
    assert bench.speeds == [115200, 115200]


def test_one_speed_is_enough() -> None:
    bench = Bench()

    async def scenario() -> None:
        place = place_on(bench, speeds=(4800,))
        for turn in (0, 0, 1, 2, 3):
            await place.open(turn)

    run(scenario())
    assert set(bench.speeds) == {4800}


def test_a_url_is_always_there_and_a_path_once_it_exists(tmp_path: Path) -> None:
    port = tmp_path / "tty"
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            port.symlink_to("nowhere-yet")

    async def scenario() -> None:
        await FixedPlace("socket://192.0.2.1:4000", sleep=sleep).present()
        assert slept == []
        await FixedPlace(str(port), sleep=sleep).present()
        assert len(slept) == 3
        assert max(slept) <= 0.5
        await FixedPlace(str(port), sleep=sleep).present()
        assert len(slept) == 3

    asyncio.run(scenario())


async def act() -> None:
    return None


class Hat:
    """A board with a reset line and a supply."""

    def __init__(self, *, broken: bool = False) -> None:
        self.switched_on = 0
        self.broken = broken

    @property
    def remedies(self) -> Sequence[Remedy]:
        return (Remedy(4, "reset line", 30, act), Remedy(6, "supply", 30, act))

    async def switch_on(self) -> None:
        self.switched_on += 1
        if self.broken:
            raise PowerFailed("no GPIO chip")


def test_a_board_is_switched_on_once_before_its_port_is_looked_for(tmp_path: Path) -> None:
    hat = Hat()
    port = tmp_path / "tty"

    class On(Hat):
        async def switch_on(self) -> None:
            await super().switch_on()
            port.touch()

    hat = On()

    async def scenario() -> None:
        place = FixedPlace(str(port), board=hat)
        await place.present()
        await place.present()

    run(scenario())
    assert hat.switched_on == 1


def test_a_board_that_cannot_be_switched_does_not_hide_the_port(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = tmp_path / "tty"
    port.touch()
    run(FixedPlace(str(port), board=Hat(broken=True)).present())
    assert "no GPIO chip" in caplog.text


def test_remedies_of_board_and_usb_stand_in_the_order_of_their_rungs() -> None:
    place = FixedPlace("/dev/ttyUSB2", board=Hat(), usb=lambda: (Remedy(5, "USB: authorized off and on", 30, act),))
    assert [remedy.name for remedy in place.remedies] == ["reset line", "USB: authorized off and on", "supply"]
