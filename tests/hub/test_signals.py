"""The signals of a day: in order, bounded, each modem's own."""

from __future__ import annotations

import asyncio
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from appliance.hub import signals
from appliance.hub.signals import Sample, Signals
from appliance.modem import ModemStatus
from appliance.types import Imei, ModemState

if TYPE_CHECKING:
    from tests.hub.conftest import Open

ONE, TWO = Imei("490154203237518"), Imei("356938035643809")


def status(imei: Imei | None, dbm: int | None = None) -> ModemStatus:
    return ModemStatus(place="x", port="x", profile="x", state=ModemState.READY, imei=imei, signal_dbm=dbm)


def test_samples_are_kept_in_order_and_the_oldest_go() -> None:
    line = Signals(keep=2)
    for minute, dbm in enumerate((-90, None, -70)):
        line.sample(f"at {minute}", [status(ONE, dbm), status(None, -50)])
    assert line.of(ONE) == (Sample("at 1", None, ModemState.READY), Sample("at 2", -70, ModemState.READY))


def test_a_day_is_kept_of_each_modem() -> None:
    line = Signals()
    for minute in range(24 * 60 + 1):
        line.sample(str(minute), [status(ONE, -minute)])
    line.sample("late", [status(TWO, -1)])
    assert len(line.of(ONE)) == 24 * 60
    assert line.of(ONE)[0].at == "1"
    assert [sample.dbm for sample in line.of(TWO)] == [-1]


def test_modems_that_nobody_has_seen_for_long_are_forgotten() -> None:
    line = Signals()
    for number in range(signals.MODEMS + 1):
        line.sample("x", [status(Imei(f"{number:015}"), -80), status(ONE, -70)])
    assert line.of(Imei(f"{0:015}")) == ()
    assert len(line.of(ONE)) == signals.MODEMS + 1


@pytest.mark.asyncio
async def test_the_hub_samples_once_a_minute(open_hub: Open) -> None:
    house = await open_hub(upkeep=True)
    house.hub.changed(status(ONE, -70))
    async with asyncio.timeout(10):
        while len(house.hub.signal(ONE)) < 4:
            await house.hub.breathe()  # hub time flies meanwhile
    at = [datetime.fromisoformat(sample["at"]) for sample in house.hub.signal(ONE)]
    assert {(later - earlier).total_seconds() for earlier, later in pairwise(at)} == {60.0}
