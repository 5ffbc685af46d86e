"""A hung modem beside three healthy ones costs them nothing (M1): the table "beside", and ``make bench``'s figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.bench.measures import beside_a_hung_one

if TYPE_CHECKING:
    from pathlib import Path

    from hil.conftest import NewRow

pytestmark = pytest.mark.asyncio


@pytest.mark.timeout(600)
async def test_a_hung_modem_costs_the_healthy_ones_next_to_nothing(place: Path, row: NewRow, *, long: bool) -> None:
    figures = await beside_a_hung_one(place, scale=1.0 if long else 0.2)
    for figure in figures:
        row("beside", figure=figure.name, value=round(figure.value, 2), unit=figure.unit, goal=figure.goal)
    ratio = {figure.name: figure.value for figure in figures if figure.unit == "ratio"}
    assert ratio["a hung modem beside three: latency, p50"] < 2.5
    assert ratio["a hung modem beside three: throughput"] > 0.6
