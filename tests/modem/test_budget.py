"""M1: back within 90 s of the first time-out wherever the last remedy of a place cures, with all waits as they are."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from appliance.hub.fleet import BACK_OFF
from appliance.modem.ladder import Rung
from appliance.modem.place import Remedy
from appliance.modem.power import Board, Layout, boards
from appliance.modem.power.usb import BUS_PATIENCE, DARK_FOR, OFF_FOR, SUPPLY_PATIENCE
from appliance.modem.profile import generic, shipped
from appliance.modem.settings import LineSettings, PowerSettings
from tests.modem.desk import Desk, bench, run
from tests.modem.test_families import FAMILIES, of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.modem.profile import Profile


@dataclass(frozen=True)
class Act:
    """A remedy as it is, but for what it does: how long that takes, and when it is answered where it has cured."""

    remedy: Remedy
    takes: float
    answered: float


async def _unused() -> None:
    raise AssertionError


USB = (
    Act(Remedy(Rung.USB, "USB: authorized off and on", BUS_PATIENCE, _unused), OFF_FOR, 5),
    Act(Remedy(Rung.USB, "USB: driver unbound and bound", BUS_PATIENCE, _unused), OFF_FOR, 5),
    Act(Remedy(Rung.SUPPLY, "USB: port power off and on", SUPPLY_PATIENCE, _unused), DARK_FOR, 15),
)
"""One that hung by its bus answers in 5 s; twice an EC25's start is 15 s, and most of what any module was measured at.
"""


def slow(*acts: Act, desk: Desk) -> Sequence[Remedy]:
    """Remedies that take their time; the last one cures."""

    def one(act: Act) -> Remedy:
        async def apply() -> None:
            await asyncio.sleep(act.takes)
            if act is acts[-1]:
                asyncio.get_running_loop().call_later(act.answered, setattr, desk, "mute", False)

        return replace(act.remedy, apply=apply)

    return [one(act) for act in acts]


def until_well(profile: Profile, *acts: Act, vanishes: bool) -> float:
    """Seconds from the first time-out to the modem's being set up again."""

    async def scenario() -> float:
        desk = of(profile, Desk(vanishes=vanishes))
        desk.remedies = slow(*acts, desk=desk)
        async with bench(desk, pause=max(BACK_OFF[: len(acts) + 3])) as it:
            desk.mute = True
            await it.host.until(lambda: it.modem.status.last_error is not None)
            begin = it.now
            await it.ready(2)
            assert it.host.taken[-1].name == acts[-1].remedy.name
            assert it.host.taken[-1].outcome == "helped"
            return it.now - begin

    return run(scenario())


@FAMILIES
@pytest.mark.parametrize("last", range(1, len(USB) + 1))
def test_by_usb(profile: Profile, last: int) -> None:
    assert until_well(profile, *USB[:last], vanishes=True) <= 90


LINES = {"adafruit-fona": PowerSettings(reset=LineSettings(line=17))}
"""What a board leaves to the settings."""


@pytest.mark.parametrize("name", sorted(boards()))
def test_by_the_lines_of_a_board(name: str) -> None:
    layout = Layout.of(name, LINES.get(name))
    pulses = layout.pulses
    takes = {
        "reset line": pulses.reset,
        "power key": pulses.off + pulses.down / 2 + pulses.rest + pulses.on,  # STATUS says when it is down
        "power key, off and on": pulses.off + pulses.down + pulses.rest + pulses.on,
        "supply": pulses.rest + 2,
    }
    acts = [Act(each, takes[each.name], pulses.boot - 1) for each in Board(layout, name=name).remedies if not each.cold]
    by_name = {profile.name: profile for profile in shipped()}
    profile = by_name.get(boards()[name].profile or "", generic())
    for last in range(1, len(acts) + 1):
        assert until_well(profile, *acts[:last], vanishes=False) <= 90, acts[:last]
