"""What webhooks owe: the row and the cursor are one commit, and retention keeps what is owed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.store import events, inbound, retention, webhooks
from appliance.store.clock import DAY_MS, HOUR_MS
from appliance.types import Imei, MessageId
from tests.store.bench import ALICE, SIM, Store
from tests.store.test_plans import explained, steps

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.store import Transaction

THREE_DAYS = 3 * DAY_MS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "hub.db")
    yield store
    store.close()


def happen(store: Store, count: int) -> list[int]:
    return [store.write(events.record, "call", "x", {}) for _ in range(count)]


def owed(store: Store, hook: str = "door") -> list[tuple[int, int, int]]:
    """Event, attempts, and milliseconds until it is due."""
    return store.rows(
        "SELECT event, attempts, due_hub - ? FROM webhook_retry WHERE hook = ? ORDER BY event",
        store.write(lambda tx: tx.now),
        hook,
    )


def receive(store: Store) -> MessageId:
    stored = store.write(
        inbound.commit_pdu, imsi=SIM, imei=Imei("490154203237518"), iccid=None, raw="AA", storage="SM", index=1
    )
    part = inbound.ReceivedPart(sender=ALICE, encoding="gsm7", sent_at=None)
    store.write(inbound.deliver, stored.id, part=part, assemble=lambda _: inbound.Assembled("hello", None, (), 1))
    store.write(inbound.removed, stored.id)
    return MessageId(store.read(inbound.inbox)[-1]["id"])


def test_owing_moves_the_cursor_in_the_same_commit_or_not_at_all(store: Store) -> None:
    happen(store, 5)
    store.write(webhooks.owe, hook="door", seqs=[1, 2], delay_ms=None)
    store.write(webhooks.owe, hook="door", seqs=[4], delay_ms=5000)
    assert store.read(events.cursor, "webhook:door") == 4
    with pytest.raises(Exception, match="UNIQUE"):  # nothing is owed twice, and nothing of a wrong wish stays
        store.write(webhooks.owe, hook="door", seqs=[5, 4], delay_ms=None)
    assert store.read(events.cursor, "webhook:door") == 4
    assert [(event, attempts) for event, attempts, _ in owed(store)] == [(1, 0), (2, 0), (4, 1)]
    assert store.read(webhooks.count, hook="door") == 3


def test_the_order_of_trying(store: Store) -> None:
    happen(store, 4)

    def now() -> int:
        return store.write(lambda tx: tx.now)

    store.write(webhooks.owe, hook="door", seqs=[1], delay_ms=5000)
    store.write(webhooks.owe, hook="door", seqs=[2], delay_ms=1000)
    assert store.read(webhooks.oldest_due, hook="door", now=now()) is None
    store.machine.forward(1000)
    due = store.read(webhooks.oldest_due, hook="door", now=now())
    assert due is not None
    assert due.event == 2
    store.write(webhooks.owe, hook="door", seqs=[3, 4], delay_ms=None)
    for query, event in ((webhooks.oldest, 1), (webhooks.soonest, 3)):
        found = store.read(query, hook="door")
        assert found is not None
        assert found.event == event
    store.write(webhooks.told, hook="door", seq=3)
    store.write(webhooks.told, hook="door", seq=4)
    store.write(webhooks.told, hook="door", seq=2)
    store.write(webhooks.make_due, hook="door", within_ms=3999)
    assert store.read(webhooks.oldest_due, hook="door", now=now()) is None
    store.write(webhooks.make_due, hook="door", within_ms=4000)
    due = store.read(webhooks.oldest_due, hook="door", now=now())
    assert due is not None
    assert due.event == 1
    store.write(webhooks.failed, hook="door", seq=1, delay_ms=HOUR_MS, give_up_ms=THREE_DAYS)
    assert store.read(webhooks.oldest_due, hook="door", now=now()) is None
    store.write(webhooks.make_due, hook="door", within_ms=None)
    assert store.read(webhooks.oldest_due, hook="door", now=now()) is not None
    store.write(webhooks.told, hook="door", seq=1)
    assert store.read(webhooks.oldest, hook="door") is None
    assert store.read(webhooks.soonest, hook="door") is None


def test_failing_is_bounded_in_time(store: Store) -> None:
    happen(store, 1)
    store.write(webhooks.owe, hook="door", seqs=[1], delay_ms=5000)
    store.machine.forward(THREE_DAYS - HOUR_MS)
    assert not store.write(webhooks.failed, hook="door", seq=1, delay_ms=6 * HOUR_MS, give_up_ms=THREE_DAYS)
    assert owed(store) == [(1, 2, HOUR_MS)]
    store.machine.forward(HOUR_MS)
    assert store.write(webhooks.failed, hook="door", seq=1, delay_ms=6 * HOUR_MS, give_up_ms=THREE_DAYS)
    assert owed(store) == []


def test_only_the_old_are_given_up_in_bites_and_of_this_webhook(store: Store) -> None:
    happen(store, 12)
    store.write(webhooks.owe, hook="door", seqs=list(range(1, 8)), delay_ms=None)
    store.write(webhooks.owe, hook="bell", seqs=list(range(1, 8)), delay_ms=None)
    store.machine.forward(HOUR_MS)
    store.write(webhooks.owe, hook="door", seqs=list(range(8, 13)), delay_ms=None)
    bites = []
    while gone := store.write(webhooks.give_up, hook="door", age_ms=HOUR_MS, limit=3):
        bites.append(gone)
    assert bites == [3, 3, 1]
    assert [event for event, _, _ in owed(store)] == list(range(8, 13))
    assert len(owed(store, "bell")) == 7


def test_forgetting_one_and_keeping_some(store: Store) -> None:
    happen(store, 1)
    for hook in ("a", "b", "c", "d"):
        store.write(webhooks.owe, hook=hook, seqs=[1], delay_ms=None)
    store.write(events.advance, "mqtt", 1)
    store.write(webhooks.forget, hook="a")
    store.write(webhooks.keep, hooks={"b", "x"})
    assert store.rows("SELECT hook FROM webhook_retry") == [("b",)]
    assert store.rows("SELECT door FROM cursor ORDER BY door") == [("mqtt",), ("webhook:b",)]
    store.write(webhooks.keep, hooks=())
    assert store.rows("SELECT hook FROM webhook_retry") == []
    assert store.rows("SELECT door FROM cursor") == [("mqtt",)]


def forget(store: Store) -> None:
    while store.write(retention.retain, keep_ms=HOUR_MS, limit=2):
        pass


def test_retention_keeps_what_is_owed_with_its_text_and_nothing_longer(store: Store) -> None:
    happen(store, 3)
    first = receive(store)
    seq = store.read(events.last)
    happen(store, 3)
    store.write(webhooks.owe, hook="door", seqs=[seq], delay_ms=None)
    store.write(events.advance, "webhook:door", store.read(events.last))
    store.machine.forward(2 * HOUR_MS)
    forget(store)
    assert [event.seq for event in store.read(events.after, 0)] == list(range(seq, seq + 4))
    view = store.read(inbound.received_view, first)
    assert view is not None
    assert view["text"] == "hello"
    store.write(webhooks.told, hook="door", seq=seq)
    forget(store)
    assert store.read(events.after, 0) == []
    assert store.read(inbound.received_view, first) is None


def test_retention_keeps_the_text_of_what_a_door_has_not_told(store: Store) -> None:
    store.write(events.advance, "mqtt", 0)
    first = receive(store)
    store.machine.forward(2 * HOUR_MS)
    forget(store)
    assert store.read(inbound.received_view, first) is not None
    store.write(events.advance, "mqtt", store.read(events.last))
    forget(store)
    assert store.read(inbound.received_view, first) is None


def test_the_verbs_and_queries_use_indexes(store: Store) -> None:
    happen(store, 5)
    explained(store, lambda tx: webhooks.owe(tx, hook="door", seqs=[1, 2, 3], delay_ms=0))
    explained(store, lambda tx: webhooks.failed(tx, hook="door", seq=1, delay_ms=0, give_up_ms=1))
    explained(store, lambda tx: webhooks.told(tx, hook="door", seq=1))
    explained(store, lambda tx: webhooks.make_due(tx, hook="door", within_ms=5))
    explained(store, lambda tx: webhooks.count(tx.db, hook="door"))
    explained(store, lambda tx: webhooks.oldest(tx.db, hook="door"))
    explained(store, lambda tx: webhooks.oldest_due(tx.db, hook="door", now=0))
    explained(store, lambda tx: webhooks.soonest(tx.db, hook="door"))


def test_a_bite_of_retention_costs_the_same_with_much_owed(tmp_path: Path) -> None:
    costs = []
    for size in (100, 20_000):
        store = Store(tmp_path / f"{size}.db")

        def fill(tx: Transaction, size: int = size) -> None:
            for _ in range(size + 1000):
                tx.emit("call", "x", {})

        store.write(fill)
        store.write(webhooks.owe, hook="door", seqs=range(1001, size + 1001), delay_ms=None)
        store.machine.forward(HOUR_MS)
        gone: list[int] = []

        def bite(store: Store = store, gone: list[int] = gone) -> None:
            gone.append(store.write(retention.retain, keep_ms=0, limit=200))

        costs.append(steps(store, bite))
        assert gone == [200]
        store.close()
    small, large = costs
    assert large <= small * 1.2 + 5
