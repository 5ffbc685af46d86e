"""What the doors ask of the event table and the inbox beside the events in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.store import events, inbound, outbound, troubles
from appliance.store.clock import DAY_MS
from appliance.types import Imei
from tests.store.bench import ALICE, SIM, Store

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


def receive(store: Store, raw: str, *, imei: Imei = ONE) -> str:
    stored = store.write(inbound.commit_pdu, imsi=SIM, imei=imei, iccid=None, raw=raw, storage="SM", index=1)
    part = inbound.ReceivedPart(sender=ALICE, encoding="gsm7", sent_at=None)
    told = store.write(
        inbound.deliver, stored.id, part=part, assemble=lambda raws: inbound.Assembled(raws[0], None, (), 1)
    )
    assert told is not None
    return told


def hub_time(store: Store) -> int:
    return store.write(lambda tx: tx.now)


def test_what_is_older_is_passed_over_and_nothing_younger(store: Store) -> None:
    assert store.read(events.stale, 0, before_hub=hub_time(store)) == 0
    receive(store, "AA")
    receive(store, "BB")
    store.machine.forward(DAY_MS)
    between = hub_time(store)
    assert store.read(events.stale, 0, before_hub=between) == 2
    receive(store, "CC")
    assert store.read(events.stale, 0, before_hub=between) == 2
    assert store.read(events.stale, 3, before_hub=between) == 3
    assert store.read(events.stale, 1, before_hub=0) == 1


def test_a_day_counts_each_message_once_and_by_its_end(store: Store) -> None:
    store.accept(store.message())
    store.send(1)
    receive(store, "AA")
    store.machine.forward(DAY_MS)
    midnight = store.machine.clock().wall_ms()
    assert store.read(events.tally_of_day, since_at=midnight) == {"sent": 0, "received": 0, "failed": 0}
    store.accept(store.message())
    store.send(2)
    store.accept(store.message(ttl_ms=1))
    receive(store, "BB")
    receive(store, "CC")
    store.machine.forward(1000)
    store.write(outbound.expire)
    assert store.read(events.tally_of_day, since_at=midnight) == {"sent": 1, "received": 2, "failed": 1}
    assert store.read(events.tally_of_day, since_at=0) == {"sent": 2, "received": 3, "failed": 1}


def test_the_latest_of_each_modem(store: Store) -> None:
    assert store.read(inbound.latest, modem=ONE) is None
    receive(store, "AA")
    mine = receive(store, "BB")
    others = receive(store, "CC", imei=TWO)
    assert (store.read(inbound.latest, modem=ONE) or {})["id"] == mine
    assert (store.read(inbound.latest, modem=TWO) or {})["id"] == others
