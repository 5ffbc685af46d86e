"""Forgetting keeps what a promise needs (S2, S4, C2, R2, M2), and tokens and SIMs are what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.errors import Rejected
from appliance.store import events, identity, inbound, outbound, reports, retention, sims, tokens
from appliance.store.clock import DAY_MS, HOUR_MS
from appliance.types import Iccid, Imei, OnInDoubt
from tests.store.bench import ALICE, BOB, OTHER_SIM, SILENCE, SIM, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMEI = Imei("490154203237518")
MONTH = 30 * DAY_MS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "hub.db")
    yield store
    store.close()


def forget(store: Store, keep_ms: int = MONTH, limit: int = 3) -> int:
    bites = []
    while (gone := store.write(retention.retain, keep_ms=keep_ms, limit=limit)) > 0:
        bites.append(gone)
    assert all(gone <= limit for gone in bites)
    return sum(bites)


def receive(store: Store, raw: str, *, removed: bool = True) -> None:
    stored = store.write(inbound.commit_pdu, imsi=SIM, imei=IMEI, iccid=None, raw=raw, storage="SM", index=1)
    part = inbound.ReceivedPart(sender=ALICE, encoding="gsm7", sent_at=None)
    store.write(inbound.deliver, stored.id, part=part, assemble=lambda raws: inbound.Assembled(raws[0], None, (), 1))
    if removed:
        store.write(inbound.removed, stored.id)


def test_what_is_young_or_unfinished_stays(store: Store) -> None:
    store.accept(store.message(ttl_ms=10 * MONTH))
    store.machine.forward(2 * MONTH)
    store.accept(store.message(to=BOB))
    store.send(1)
    store.send(2)
    (waiting,) = store.accept(store.message(ttl_ms=10 * MONTH))
    receive(store, "AA")
    store.machine.forward(MONTH - 1)
    kept = [view["id"] for view in store.read(outbound.messages)]
    forget(store)
    assert [view["id"] for view in store.read(outbound.messages)] == kept
    assert len(store.read(inbound.inbox)) == 1
    store.machine.forward(MONTH)
    forget(store)
    assert [view["id"] for view in store.read(outbound.messages)] == [waiting.id]
    assert store.read(inbound.inbox) == []
    assert store.rows("SELECT count(*) FROM segment") == [(1,)]
    assert store.claim().message_id == waiting.id


def test_everything_of_a_finished_message_goes(store: Store) -> None:
    store.accept(store.message(key="k", segments=2))
    store.send(1)
    store.send(2)
    stored = store.write(inbound.commit_pdu, imsi=SIM, imei=IMEI, iccid=None, raw="AA", storage="SM", index=1)
    store.write(
        reports.report,
        pdu_id=stored.id,
        imsi=SIM,
        mr=1,
        recipient=ALICE,
        outcome="delivered",
        status=0,
        text="",
        discharged_at=None,
    )
    store.write(inbound.removed, stored.id)
    receive(store, "BB")
    store.machine.forward(MONTH)
    forget(store)
    for table in ("message", "segment", "idempotency", "event", "inbound_pdu", "received", "part", "report", "lane"):
        assert store.rows(f"SELECT count(*) FROM {table}") == [(0,)], table
    assert store.rows("SELECT count(*) FROM spend") == [(0,)]


def test_seqs_are_never_given_again(store: Store) -> None:
    (old,) = store.accept(store.message())
    receive(store, "AA")
    store.send(1)
    before = store.read(events.last)
    store.machine.forward(MONTH)
    forget(store)
    store.restart()
    assert store.read(events.last) == before
    assert store.read(outbound.last_seq) == old.seq
    (new,) = store.accept(store.message())
    assert new.seq == old.seq + 1
    assert store.read(events.last) == before + 1
    receive(store, "BB")
    assert [row["seq"] for row in store.read(inbound.inbox)] == [2]


def test_an_event_that_a_door_has_not_told_stays(store: Store) -> None:
    for number in range(5):
        store.write(events.record, "call", str(number), {})
    store.write(events.advance, "mqtt", 2)
    store.write(events.advance, "mail", 4)
    store.machine.forward(MONTH)
    forget(store)
    assert [event.seq for event in store.read(events.after, 0)] == [3, 4, 5]
    store.write(events.advance, "mqtt", 5)
    store.write(events.advance, "mqtt", 1)
    assert store.read(events.cursor, "mqtt") == 5
    forget(store)
    assert [event.seq for event in store.read(events.after, 0)] == [5]
    store.write(events.forget, "mail")
    assert store.read(events.cursor, "mail") is None
    forget(store)
    assert store.read(events.after, 0) == []


def test_a_key_outlives_its_message_for_its_7_days(store: Store) -> None:
    (old,) = store.accept(store.message(key="k"))
    store.send(1)
    store.machine.forward(7 * DAY_MS - 1)
    forget(store, keep_ms=HOUR_MS)
    assert store.read(outbound.messages) == []
    (again,) = store.accept(store.message(key="k"))
    assert (again.id, again.duplicate, again.view) == (old.id, True, {"id": old.id, "seq": old.seq})


def test_spending_of_the_last_day_stays(store: Store) -> None:
    store.accept(store.message(segments=2))
    store.send(1)
    store.send(2)
    store.machine.forward(23 * HOUR_MS)
    forget(store, keep_ms=HOUR_MS)
    with pytest.raises(Rejected, match="quota_exceeded"):
        store.accept(store.message(), sim_cap=2)


def test_a_pdu_that_the_modem_may_still_hold_is_not_received_anew(store: Store) -> None:
    receive(store, "AA", removed=False)
    store.machine.forward(MONTH)
    forget(store)
    assert store.read(inbound.inbox) == []
    again = store.write(inbound.commit_pdu, imsi=SIM, imei=IMEI, iccid=None, raw="AA", storage="SM", index=1)
    assert not again.fresh
    assert again.outcome == "deliver"


def test_a_doubt_is_kept_as_long_as_everything_else(store: Store) -> None:
    (accepted,) = store.accept(store.message(on_in_doubt=OnInDoubt.HOLD))
    claim = store.hand_over()
    store.write(outbound.doubt, claim.seq, 1, reason=SILENCE, wait_ms=0)
    store.machine.forward(MONTH - 1)
    forget(store)
    assert store.state(accepted.id) == "in_doubt"


# ── tokens and SIMs ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_token_lets_in_until_it_is_revoked(store: Store) -> None:
    digest = b"\x01" * 32
    store.write(tokens.create, name="door", scopes={"send", "inbox"}, digest=digest)
    token = store.read(tokens.authenticate, digest)
    assert token is not None
    assert (token.name, token.scopes) == ("door", frozenset({"send", "inbox"}))
    assert store.read(tokens.authenticate, b"\x02" * 32) is None
    with pytest.raises(Rejected, match="token_exists"):
        store.write(tokens.create, name="door", scopes=[], digest=b"\x02" * 32)
    store.write(tokens.revoke, name="door")
    assert store.read(tokens.authenticate, digest) is None
    assert store.read(tokens.tokens) == []
    with pytest.raises(Rejected, match="not_found"):
        store.write(tokens.revoke, name="door")
    store.write(tokens.create, name="door", scopes=["send"], digest=b"\x02" * 32)
    assert [token.name for token in store.read(tokens.tokens)] == ["door"]


def test_only_a_digest_is_stored(store: Store) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        store.write(tokens.create, name="door", scopes=[], digest=b"the token itself")


def test_a_pin_is_tried_once_per_card_for_ever(store: Store) -> None:
    one, other = Iccid("8944"), Iccid("8945")
    assert store.write(sims.may_try_pin, iccid=one, pin_digest=b"pin")
    assert not store.write(sims.may_try_pin, iccid=one, pin_digest=b"pin")
    store.machine.reboot(off=10 * 365 * 86_400)
    store.restart()
    forget(store, keep_ms=1)
    assert not store.write(sims.may_try_pin, iccid=one, pin_digest=b"pin")
    assert store.write(sims.may_try_pin, iccid=one, pin_digest=b"another pin")
    assert store.write(sims.may_try_pin, iccid=other, pin_digest=b"pin")


def test_a_pin_that_was_taken_may_be_tried_again(store: Store) -> None:
    one, other = Iccid("8944"), Iccid("8945")
    for iccid in (one, other):
        assert store.write(sims.may_try_pin, iccid=iccid, pin_digest=b"pin")
    store.write(sims.pin_taken, iccid=one, pin_digest=b"pin")
    assert store.write(sims.may_try_pin, iccid=one, pin_digest=b"pin")
    assert not store.write(sims.may_try_pin, iccid=other, pin_digest=b"pin")


def test_sims_are_remembered_with_what_was_last_known(store: Store) -> None:
    store.write(sims.seen, imsi=SIM, iccid=Iccid("8944"), imei=IMEI, number="+491700000001")
    store.machine.forward(1000)
    store.write(sims.seen, imsi=OTHER_SIM, iccid=None, imei=IMEI, number=None)
    store.machine.forward(1000)
    store.write(sims.seen, imsi=SIM, iccid=None, imei=IMEI, number=None)
    first, second = store.read(sims.sims)
    assert (first.imsi, first.iccid, first.number) == (SIM, "8944", "+491700000001")
    assert first.first_seen_at < first.last_seen_at
    assert (second.imsi, second.iccid) == (OTHER_SIM, None)


def test_the_hub_has_one_id_for_ever(store: Store) -> None:
    drawn = store.write(identity.hub_id)
    store.restart()
    assert store.write(identity.hub_id) == drawn
    store.write(identity.breathe)
