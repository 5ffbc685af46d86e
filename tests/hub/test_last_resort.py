"""The machine is started anew only when every modem is dead, for long, and none is merely pulled out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.hub.last_resort import DEAD_FOR_MS, LastResort
from appliance.types import ModemState as S

if TYPE_CHECKING:
    from tests.hub.conftest import Open

pytestmark = pytest.mark.asyncio

MINUTES = DEAD_FOR_MS // 60_000


@pytest.mark.parametrize(
    ("states", "reboots"),
    [
        ([S.NEEDS_HANDS, S.RECOVERING], 2),
        ([S.NEEDS_HANDS, S.READY], 0),
        ([S.NEEDS_HANDS, S.GONE], 2),
        ([S.GONE], 0),
        ([], 0),
        ([S.PUK_REQUIRED], 0),
    ],
)
async def test_only_when_every_modem_that_is_there_is_dead(open_hub: Open, states: list[S], reboots: int) -> None:
    house = await open_hub()
    done: list[float] = []

    async def reboot() -> None:
        done.append(house.time.now)

    resort = LastResort(house.journal, house.journal.clock, states=lambda: states, reboot=reboot)
    begin = house.time.now
    for _ in range(20 * 60):
        await resort.look()
        house.time.now += 60
    assert len(done) == reboots  # twice a day, in twenty hours
    assert all(at - begin >= MINUTES * 60 for at in done)


async def test_one_that_lives_again_begins_the_time_anew(open_hub: Open) -> None:
    house = await open_hub()
    done: list[None] = []

    async def reboot() -> None:
        done.append(None)

    states = [S.NEEDS_HANDS]
    resort = LastResort(house.journal, house.journal.clock, states=lambda: states, reboot=reboot)
    for minute in range(10 * MINUTES):
        states[0] = S.READY if minute % MINUTES == 0 else S.NEEDS_HANDS
        await resort.look()
        house.time.now += 60
    assert done == []


async def test_never_where_it_is_not_allowed(open_hub: Open) -> None:
    house = await open_hub()
    resort = LastResort(house.journal, house.journal.clock, states=lambda: [S.NEEDS_HANDS], reboot=None)
    for _ in range(100):
        await resort.look()
        house.time.now += 60
    assert await house.hub.events(0, kinds=["recovery"]) == []
