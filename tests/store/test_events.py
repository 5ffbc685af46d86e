"""What the doors ask of the event table and the inbox beside the events themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.store import events, inbound, outbound
from appliance.store.clock import DAY_MS
from appliance.types import Imei
from tests.store.bench import ALICE, SIM, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE, OTHER = Imei("490154203237518"), Imei("356938035643809")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "hub.db")
    yield store
    store.close()


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
    others = receive(store, "CC", imei=OTHER)
    assert (store.read(inbound.latest, modem=ONE) or {})["id"] == mine
    assert (store.read(inbound.latest, modem=OTHER) or {})["id"] == others
