"""Events looked at otherwise than in their order: one modem's recoveries, and how many of what there were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.store import events, troubles
from appliance.types import Imei
from tests.store.bench import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE, TWO = Imei("490154203237518"), Imei("356938035643809")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "hub.db")
    yield store
    store.close()


def step(store: Store, imei: Imei, rung: int, outcome: str = "no_effect") -> None:
    told = {"modem": imei, "rung": rung, "outcome": outcome}
    store.write(troubles.remember, place="usb 1-1", imei=imei, memory={}, told=told)


def test_recoveries_are_of_one_modem_the_newest_first_in_pages(store: Store) -> None:
    for rung in (1, 2, 3):
        step(store, ONE, rung)
        step(store, TWO, rung + 10)
    store.write(events.record, "call", ONE, {"rung": 99})
    page = store.read(events.recoveries, ONE, limit=2)
    assert [event.body["rung"] for event in page] == [3, 2]
    page = store.read(events.recoveries, ONE, before=page[-1].seq, limit=2)
    assert [event.body["rung"] for event in page] == [1]
    assert store.read(events.recoveries, ONE, before=page[-1].seq) == []


def test_what_has_happened_is_counted_from_where_it_was_counted_last(store: Store) -> None:
    store.accept(store.message())
    store.send(1)
    step(store, ONE, 3, "helped")
    newest, counts = store.read(events.tally, 0)
    assert counts == {
        ("message", "queued"): 1,
        ("message", "submitting"): 1,
        ("message", "submitted"): 1,
        ("recovery", "3 helped"): 1,
    }
    assert store.read(events.tally, newest) == (newest, {})
    store.write(events.record, "call", ONE, {})
    assert store.read(events.tally, newest)[1] == {("call", ""): 1}


def test_that_no_report_came_is_not_counted_as_a_second_submission(store: Store) -> None:
    body = {"state": "submitted", "reason": {"code": "no_report"}}
    store.write(events.record, "message", "out_1", body)
    store.write(events.record, "message", "out_1", {"state": "submitted", "reason": None})
    assert store.read(events.tally, 0)[1] == {("message", "submitted"): 1}


def test_every_doors_cursor_is_told(store: Store) -> None:
    assert store.read(events.cursors) == {}
    store.write(events.advance, "mqtt", 3)
    store.write(events.advance, "hook", 5)
    assert store.read(events.cursors) == {"hook": 5, "mqtt": 3}
