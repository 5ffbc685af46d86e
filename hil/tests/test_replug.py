"""Modems swapped and replugged again and again, with texts on their way (S2, F-24, F-25): the table "replug"."""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from hil.bench.measures import memory_of
from hil.rig import rig
from hil.rig.traffic import Traffic

if TYPE_CHECKING:
    from hil.conftest import NewRow
    from hil.rig import Rig

pytestmark = pytest.mark.asyncio

BACK: Final = 30.0
"""Seconds until a modem that was plugged in has brought its texts to their end; it takes two."""

STICK: Final[dict[str, Any]] = {"persona": "quectel-ec2x", "boot_delay": 0.1}

SETTINGS: Final[dict[str, dict[str, Any]]] = {"policy": {"in_doubt_wait": 1.0, "failover_after": 3600.0}}

DESCRIPTORS: Final = 3
"""More open files at the end than after the first cycle: a log, a connection of the observer's."""

GROWTH: Final = 12.0
"""Megabytes more at the end than after the first cycles: caches fill, and 500 cycles are 2,000 texts in the store."""


@pytest.mark.timeout(1800)
async def test_two_identical_modems_are_swapped_and_every_text_goes_by_its_own_sim(
    place: Path, row: NewRow, *, long: bool
) -> None:
    cycles = 50 if long else 5
    measured = row("replug", what=f"{cycles} swaps of two alike")
    async with rig(place, modems=[STICK, STICK], usb=True, settings=SETTINGS) as whole:
        traffics = [Traffic(whole, f"swap {n}", modem, reported=False) for n, modem in enumerate(whole.modems.all)]
        other: dict[str, Any] = {"with": whole.modems.all[1].name}
        for cycle in range(cycles):
            for traffic in traffics:
                await traffic.both()
            start = len(whole.observer.heard.items)
            await whole.modems.do("fault", imei=whole.modems.all[0].imei, kind="swap", **other)
            await whole.ready(start=start, within=BACK)
            for traffic in traffics:
                await traffic.settled(within=BACK)
            assert await places(whole) == await real_places(whole), f"after {cycle + 1} swaps"
        measured |= {"texts out": 2 * cycles, "texts in": 2 * cycles}
        for traffic in traffics:
            assert await traffic.breaches() == []
            assert {sent.imsi for sent in whole.modems.sent() if sent.to == traffic.to} == {traffic.modem.imsi}
        measured["sent twice, told"] = len(whole.modems.sent()) - 2 * cycles


async def places(whole: Rig) -> dict[str, str]:
    """Where the hub says that each modem is."""
    told = (await whole.api.get("/api/v1/modems"))["modems"]
    return {modem["imei"]: modem["place"] for modem in told}


async def real_places(whole: Rig) -> dict[str, str]:
    """Where each modem is."""
    modems = (await whole.modems.do("status"))["modems"]
    return {modem["imei"]: f"usb {modem['usb']['position']}" for modem in modems}


@pytest.mark.timeout(3600)
async def test_modems_are_replugged_again_and_again_and_nothing_is_lost_or_leaks(
    place: Path, row: NewRow, *, long: bool
) -> None:
    """Several side by side: one that goes every few seconds is waited for up to ten before it is opened again."""
    sticks, rounds = (5, 100) if long else (3, 5)
    cycles = sticks * rounds
    measured = row("replug", what=f"{cycles} unplugs and replugs of {sticks}")
    async with rig(place, modems=[STICK] * sticks, usb=True, settings=SETTINGS) as whole:
        pid = whole.hub.child.pid
        traffics = [Traffic(whole, f"replug {n}", modem, reported=False) for n, modem in enumerate(whole.modems.all)]
        before = (0, 0.0)
        took: list[float] = []
        for turn in range(rounds):
            took += await asyncio.gather(*(replug(whole, traffic) for traffic in traffics))
            if turn == min(2, rounds // 2):
                before = used_by(pid)
        after = used_by(pid)
        measured |= {
            "texts out": 2 * cycles,
            "texts in": 2 * cycles,
            "sent twice, told": len(whole.modems.sent()) - 2 * cycles,
            "median s": statistics.median(took),
            "slowest s": max(took),
            "files before": before[0],
            "files after": after[0],
            "MB before": before[1],
            "MB after": after[1],
        }
        for traffic in traffics:
            assert await traffic.breaches() == []
        assert await places(whole) == await real_places(whole)
        assert after[0] - before[0] <= DESCRIPTORS
        assert after[1] - before[1] <= GROWTH


async def replug(whole: Rig, traffic: Traffic) -> float:
    """Pull a modem out while texts are on their way, and plug it in again; the seconds until all have arrived."""
    loop = asyncio.get_running_loop()
    topic = f"modem/{traffic.modem.imei}/availability"
    begun, start = loop.time(), len(whole.observer.heard.items)
    await traffic.both()
    await whole.modems.do("fault", imei=traffic.modem.imei, kind="unplug")
    await whole.observer.until_heard(topic, b"offline", start=start)
    await traffic.both()
    start = len(whole.observer.heard.items)
    await whole.modems.do("fault", imei=traffic.modem.imei, kind="replug")
    await whole.observer.until_heard(topic, b"online", start=start, within=BACK)
    await traffic.settled(within=BACK)
    return loop.time() - begun


def used_by(pid: int) -> tuple[int, float]:
    """Open files, and megabytes of memory that are the process's own."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), memory_of(pid)["Pss"] / 1024
