"""The detector in virtual time: places come, stay and go; what cannot be used is told."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from appliance.errors import PortGone
from appliance.modem.detect import Detector
from tests.modem.buses import EC25, ROUTER, STORAGE, Buses, Listener, bare, device, knowledge
from tests.modem.desk import Wire, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from appliance.modem.port import Port


@contextlib.asynccontextmanager
async def detecting(buses: Buses, host: Listener, **options: Any) -> AsyncIterator[Detector]:
    detector = Detector(host, knowledge(), source=lambda: buses, **({"manager": lambda: None} | options))
    task = asyncio.create_task(detector.run())
    await asyncio.sleep(0)
    try:
        yield detector
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_it_listens_before_it_looks_and_stops_listening() -> None:
    buses = Buses()

    async def scenario() -> None:
        async with detecting(buses, Listener()):
            pass

    run(scenario())
    assert buses.calls == ["watch", "snapshot", "close"]


def test_a_modem_is_offered_when_its_ttys_have_settled() -> None:
    buses, host = Buses(), Listener()

    async def scenario() -> None:
        async with detecting(buses, host):
            for count in range(1, 5):
                buses.plug(device(ttys=range(count)))
                await asyncio.sleep(0.3)
            await asyncio.sleep(1.0)
            assert host.told == []
            await asyncio.sleep(0.5)
            assert host.told == ["appeared usb 1-1.2"]
            (place,) = host.places
            assert place.port == "/dev/ttyUSB2"
            async with asyncio.timeout(0):
                await place.present()

    run(scenario())


def test_a_modem_that_is_reset_stays_in_its_place_whatever_its_new_names_are() -> None:
    buses, host = Buses(), Listener()
    buses.plug(device())

    async def scenario() -> None:
        async with detecting(buses, host):
            await asyncio.sleep(2)
            (place,) = host.places
            buses.unplug("1-1.2")
            await asyncio.sleep(1)
            waiting = asyncio.create_task(place.present())
            await asyncio.sleep(250)
            assert not waiting.done()
            assert place.port == "usb 1-1.2"
            buses.plug(device(first=4, node="/dev/bus/usb/001/005"))
            await asyncio.sleep(2)
            assert waiting.done()
            assert place.port == "/dev/ttyUSB6"
            assert host.told == ["appeared usb 1-1.2"]

    run(scenario())


def test_a_stick_that_goes_by_way_of_its_cd_stays_in_its_place() -> None:
    buses, host = Buses(), Listener()
    buses.plug(device())

    async def scenario() -> None:
        async with detecting(buses, host):
            await asyncio.sleep(2)
            buses.plug(bare(usb_id=STORAGE))
            await asyncio.sleep(20)
            buses.plug(device(usb_id="abcd:1506"))
            await asyncio.sleep(400)
            assert host.told == ["appeared usb 1-1.2"]

    run(scenario())


def test_a_modem_that_stays_away_is_given_up_and_one_that_comes_later_is_a_new_place() -> None:
    buses, host = Buses(), Listener()
    buses.plug(device())

    async def scenario() -> None:
        async with detecting(buses, host, linger=300) as detector:
            await asyncio.sleep(2)
            buses.unplug("1-1.2")
            await asyncio.sleep(299)
            assert host.told == ["appeared usb 1-1.2"]
            await asyncio.sleep(2)
            assert host.told == ["appeared usb 1-1.2", "left usb 1-1.2"]
            assert detector.places == ()
            buses.plug(device())
            await asyncio.sleep(2)
            assert host.told[2:] == ["appeared usb 1-1.2"]

    run(scenario())


def test_a_modem_is_given_up_also_where_something_else_was_plugged_in_instead() -> None:
    buses, host = Buses(), Listener()
    buses.plug(device())

    async def scenario() -> None:
        async with detecting(buses, host):
            await asyncio.sleep(2)
            buses.plug(bare(usb_id="046d:c31c", usb_class="03/01/01"))
            await asyncio.sleep(302)
            assert host.told == ["appeared usb 1-1.2", "left usb 1-1.2"]

    run(scenario())


def test_lost_uevents_cost_a_minute() -> None:
    buses, host = Buses(deaf=True), Listener()

    async def scenario() -> None:
        async with detecting(buses, host):
            await asyncio.sleep(1)
            buses.plug(device())
            await asyncio.sleep(62)
            assert host.told == ["appeared usb 1-1.2"]

    run(scenario())


def test_a_rescan_looks_at_once() -> None:
    buses, host = Buses(deaf=True), Listener()

    async def scenario() -> None:
        async with detecting(buses, host) as detector:
            buses.plug(device())
            detector.rescan()
            await asyncio.sleep(2)
            assert host.told == ["appeared usb 1-1.2"]

    run(scenario())


def test_an_idle_detector_looks_once_a_minute() -> None:
    buses = Buses()
    buses.plug(device())

    async def scenario() -> None:
        async with detecting(buses, Listener()):
            await asyncio.sleep(3)
            before = len(buses.calls)
            await asyncio.sleep(600)
            assert len(buses.calls) - before == 10

    run(scenario())


def test_storage_mode_is_told_only_when_it_does_not_pass() -> None:
    buses, host = Buses(), Listener()
    buses.plug(bare(usb_id=STORAGE))

    async def scenario() -> None:
        async with detecting(buses, host):
            await asyncio.sleep(30)
            assert host.told == []
            await asyncio.sleep(3)
            assert "is in storage mode" in host.remarks["1-1.2"]
            buses.plug(device())
            await asyncio.sleep(3)
            assert host.told == ["remark 1-1.2", "remark_gone 1-1.2", "appeared usb 1-1.2"]

    run(scenario())


def test_a_router_stick_is_told_and_taken_back_when_it_goes() -> None:
    buses, host = Buses(), Listener()
    buses.plug(bare(usb_id=ROUTER, usb_class="02/06/00"))

    async def scenario() -> None:
        async with detecting(buses, host):
            await asyncio.sleep(2)
            assert "has no AT port" in host.remarks["1-1.2"]
            buses.unplug("1-1.2")
            await asyncio.sleep(1)
            assert host.told == ["remark 1-1.2", "remark_gone 1-1.2"]

    run(scenario())


def test_a_modem_without_a_driver_is_told_but_not_while_it_is_reset() -> None:
    buses, host = Buses(), Listener()
    buses.plug(device())

    async def scenario() -> None:
        async with detecting(buses, host):
            await asyncio.sleep(2)
            buses.plug(bare(usb_id=EC25, usb_class="ff/00/00"))
            await asyncio.sleep(20)
            assert host.remarks == {}
            await asyncio.sleep(20)
            assert "no driver has bound" in host.remarks["1-1.2"]

    run(scenario())


def test_modem_manager_is_told_where_it_disturbs_and_only_while_it_runs() -> None:
    buses, host = Buses(), Listener()
    buses.plug(device("1-1", ignored=True), device("1-2", first=4, ignored=False))
    running: list[int | None] = [312]

    async def scenario() -> None:
        async with detecting(buses, host, manager=lambda: running[0]):
            await asyncio.sleep(2)
            assert list(host.remarks) == ["1-2"]
            assert "ModemManager runs (pid 312)" in host.remarks["1-2"]
            assert "systemctl disable --now ModemManager" in host.remarks["1-2"]
            running[0] = None
            await asyncio.sleep(61)
            assert host.remarks == {}

    run(scenario())


def test_a_busy_port_is_told_until_it_opens() -> None:
    buses, host = Buses(), Listener()
    buses.plug(device())
    busy = True

    async def opened(name: str) -> Port:
        if busy:
            raise PortGone(f"{name}: is in use by minicom (pid 7)")
        return Wire(lambda _: None)

    async def scenario() -> None:
        nonlocal busy
        async with detecting(buses, host, opened=opened):
            await asyncio.sleep(2)
            (place,) = host.places
            with pytest.raises(PortGone, match="minicom"):
                await place.open(0)
            assert host.remarks["1-1.2"] == "/dev/ttyUSB2: is in use by minicom (pid 7)."
            busy = False
            await place.open(0)
            assert host.remarks == {}

    run(scenario())


def test_a_device_with_a_port_in_the_settings_is_not_offered(tmp_path: Any) -> None:
    link = tmp_path / "by-id"
    node = tmp_path / "ttyUSB2"
    node.touch()
    link.symlink_to(node)
    seen = device()
    seen = replace(seen, ttys=tuple(replace(tty, node=str(tmp_path / f"ttyUSB{tty.number}")) for tty in seen.ttys))
    buses, host = Buses(), Listener()
    buses.plug(seen, device("1-3", first=4))

    async def scenario() -> None:
        async with detecting(buses, host, named=[str(link)]):
            await asyncio.sleep(5)
            assert host.told == ["appeared usb 1-3"]

    run(scenario())


def test_ten_modems_at_once_are_ten_places() -> None:
    buses, host = Buses(), Listener()

    async def scenario() -> None:
        async with detecting(buses, host):
            buses.plug(*(device(f"1-1.{number}", first=4 * number) for number in range(10)))
            await asyncio.sleep(2)
            assert len(host.places) == 10
            for number in range(0, 10, 2):
                buses.unplug(f"1-1.{number}")
            await asyncio.sleep(302)
            assert sorted(place.path for place in host.places) == [f"1-1.{number}" for number in range(1, 10, 2)]

    run(scenario())
