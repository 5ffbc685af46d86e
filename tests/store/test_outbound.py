"""From the acceptance to exactly one end: promises S1 to S6 and C2, verb by verb."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from appliance.errors import Rejected, StoreError
from appliance.store import events, outbound
from appliance.store.clock import DAY_MS, HOUR_MS
from appliance.types import MessageId, OnInDoubt
from tests.store.bench import ALICE, BOB, LATER, NEVER, OTHER_SIM, SILENCE, SIM, TTL, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "hub.db")
    yield store
    store.close()


# ── acceptance ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_accepted_message_is_queued_and_told_without_its_text(store: Store) -> None:
    (accepted,) = store.accept(store.message(text="meet me at nine"))
    (event,) = store.read(events.after, 0)
    assert (event.kind, event.subject, event.body["state"]) == ("message", accepted.id, "queued")
    assert event.body == accepted.view
    assert "meet me" not in json.dumps(event.body)
    assert store.view(accepted.id)["text"] == "meet me at nine"


def test_all_or_nothing(store: Store) -> None:
    with pytest.raises(Rejected, match="quota_exceeded"):
        store.accept(store.message(), store.message(imsi=OTHER_SIM, segments=5), sim_cap=4)
    assert store.read(outbound.messages) == []
    assert store.read(events.last) == 0
    assert store.rows("SELECT * FROM spend") == []
    store.accept(store.message(), sim_cap=1, client_cap=1)  # what was refused has spent nothing


def test_same_key_same_request_is_the_same_message_for_7_days_also_after_a_restart(store: Store) -> None:
    first = store.accept(store.message(key="k"), store.message(key="k", to=BOB))
    store.machine.forward(7 * DAY_MS - 1)
    store.restart()
    again = store.accept(store.message(key="k"), store.message(key="k", to=BOB))
    assert [row.id for row in again] == [row.id for row in first]
    assert all(row.duplicate for row in again)
    assert len(store.read(outbound.messages)) == 2
    store.machine.forward(1)
    (fresh, _) = store.accept(store.message(key="k"), store.message(key="k", to=BOB))
    assert not fresh.duplicate
    assert fresh.id not in {row.id for row in first}


def test_a_repeated_request_is_never_refused_for_the_quota_it_spent_itself(store: Store) -> None:
    (first,) = store.accept(store.message(key="k", segments=3), sim_cap=3, client_cap=3)
    (again,) = store.accept(store.message(key="k", segments=3), sim_cap=3, client_cap=3)
    assert again.duplicate
    assert again.id == first.id


@pytest.mark.parametrize("other", [{"fingerprint": b"other"}, {"second": True}])
def test_same_key_another_request_is_a_conflict(store: Store, other: dict[str, object]) -> None:
    store.accept(store.message(key="k"))
    request = [store.message(key="k", fingerprint=bytes(str(other.get("fingerprint", "")), "ascii"))]
    if other.get("second"):
        request.append(store.message(key="k", to=BOB))
    with pytest.raises(Rejected, match="idempotency_conflict"):
        store.accept(*request)
    assert len(store.read(outbound.messages)) == 1


def test_the_same_key_of_another_client_is_another_key(store: Store) -> None:
    store.accept(store.message(key="k", client="a"))
    (other,) = store.accept(store.message(key="k", client="b"))
    assert not other.duplicate


def test_a_key_that_is_reused_over_time_is_given_up_by_its_old_message(store: Store) -> None:
    (old,) = store.accept(store.message(key="17", fingerprint=b"a"))
    (new,) = store.accept(store.message(key="17", fingerprint=b"b", replaces_key=True))
    assert not new.duplicate
    (again,) = store.accept(store.message(key="17", fingerprint=b"b"))
    assert (again.id, again.duplicate) == (new.id, True)
    assert store.state(old.id) == "queued"


# ── spending ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_24_hours_exceed_a_cap_and_waiting_as_told_helps(store: Store) -> None:
    store.machine.forward(HOUR_MS // 2)
    store.accept(store.message(segments=3), sim_cap=4)
    store.machine.forward(HOUR_MS)
    with pytest.raises(Rejected) as refused:
        store.accept(store.message(segments=2), sim_cap=4)
    assert refused.value.code == "quota_exceeded"
    wait = refused.value.retry_after
    assert wait is not None
    store.machine.forward(24 * HOUR_MS - HOUR_MS)
    with pytest.raises(Rejected):
        store.accept(store.message(segments=2), sim_cap=4)
    store.machine.forward(wait * 1000 - 23 * HOUR_MS)
    store.accept(store.message(segments=2), sim_cap=4)


def test_what_no_waiting_can_help_promises_none(store: Store) -> None:
    with pytest.raises(Rejected) as refused:
        store.accept(store.message(segments=5), sim_cap=4)
    assert refused.value.retry_after is None


def test_caps_are_per_client_and_per_sim_and_a_restart_refills_nothing(store: Store) -> None:
    store.accept(store.message(client="a"), client_cap=1)
    store.restart()
    with pytest.raises(Rejected, match="this client"):
        store.accept(store.message(client="a"), client_cap=1)
    store.accept(store.message(client="b"), client_cap=1)
    with pytest.raises(Rejected, match="this SIM"):
        store.accept(store.message(client="c"), sim_cap=2)
    store.accept(store.message(client="c", imsi=OTHER_SIM, pinned=True), sim_cap=2)


@pytest.mark.parametrize("jump", [-10 * 365 * 86_400, 10 * 365 * 86_400])
def test_a_jump_of_the_wall_clock_refills_nothing_and_forgets_no_key(store: Store, jump: float) -> None:
    (first,) = store.accept(store.message(key="k"), sim_cap=1)
    store.machine.wall += jump
    store.restart()
    assert store.accept(store.message(key="k"), sim_cap=1)[0].id == first.id
    with pytest.raises(Rejected, match="quota_exceeded"):
        store.accept(store.message(), sim_cap=1)


# ── the life of a segment ────────────────────────────────────────────────────────────────────────────────────────────


def test_one_message_from_queue_to_submitted(store: Store) -> None:
    (accepted,) = store.accept(store.message())
    claim = store.claim()
    assert (claim.message_id, claim.n, claim.total, claim.tpdu, claim.recipient) == (accepted.id, 1, 1, b"\x01", ALICE)
    assert not claim.reject_duplicates
    assert claim.attempts == 1
    store.write(outbound.payload_next, claim.seq, claim.n)
    store.write(outbound.submitted, claim.seq, claim.n, imsi=SIM, mr=7)
    assert store.told(accepted.id) == ["queued", "submitting", "submitted"]
    assert store.view(accepted.id)["segments"] == [{"n": 1, "state": "submitted", "attempts": 1, "mr": 7}]
    assert store.write(outbound.claim, SIM) is None


def test_segments_go_in_order_and_only_those_not_submitted_go_again(store: Store) -> None:
    (accepted,) = store.accept(store.message(segments=3))
    assert store.send(1).n == 1
    claim = store.claim()
    store.write(outbound.put_back, claim.seq, claim.n, reason=LATER, delay_ms=1000, counted=True)
    assert store.states(accepted.id) == ["submitted", "queued", "queued"]
    assert store.state(accepted.id) == "submitting"
    assert store.write(outbound.claim, SIM) is None
    store.machine.forward(1000)
    assert [store.send(2).n, store.send(3).n] == [2, 3]
    assert [segment["attempts"] for segment in store.view(accepted.id)["segments"]] == [1, 2, 1]
    assert store.state(accepted.id) == "submitted"


def test_submitted_and_claim_is_both(store: Store) -> None:
    store.accept(store.message(segments=2))
    claim = store.hand_over()
    following = store.write(outbound.submitted_and_claim, claim.seq, claim.n, imsi=SIM, mr=1)
    assert following is not None
    assert (following.seq, following.n) == (claim.seq, 2)


def test_put_back_uncounted_is_no_attempt(store: Store) -> None:
    (accepted,) = store.accept(store.message())
    claim = store.claim()
    store.write(outbound.put_back, claim.seq, claim.n, reason=LATER, delay_ms=5000, counted=False)
    view = store.view(accepted.id)
    assert (view["state"], view["attempts"], view["reason"]["code"]) == ("queued", 0, "cms_38")
    assert store.read(outbound.next_due, SIM) is not None
    store.machine.forward(4999)
    assert store.write(outbound.claim, SIM) is None
    store.machine.forward(1)
    assert store.claim().seq == claim.seq


def test_a_failed_segment_ends_its_siblings_and_the_reason_is_its_own(store: Store) -> None:
    (accepted,) = store.accept(store.message(segments=3))
    store.send(1)
    claim = store.claim()
    store.write(outbound.fail, claim.seq, claim.n, reason=NEVER)
    view = store.view(accepted.id)
    assert store.states(accepted.id) == ["submitted", "failed", "failed"]
    assert view["segments"][2]["reason"]["code"] == "sibling_failed"
    assert (view["state"], view["reason"]["code"]) == ("failed", "cms_28")
    assert store.write(outbound.claim, SIM) is None


def test_resend_is_once_marked_and_visible(store: Store) -> None:
    (accepted,) = store.accept(store.message())
    claim = store.hand_over()
    store.write(outbound.doubt, claim.seq, claim.n, reason=SILENCE, wait_ms=10_000)
    assert store.view(accepted.id)["maybe_duplicate"]
    assert store.write(outbound.claim, SIM) is None
    store.machine.forward(10_000)
    again = store.hand_over()
    assert again.reject_duplicates
    store.write(outbound.doubt, again.seq, again.n, reason=SILENCE, wait_ms=10_000)
    assert store.state(accepted.id) == "in_doubt"
    store.machine.forward(TTL)
    assert store.write(outbound.claim, SIM) is None
    assert store.told(accepted.id) == ["queued", "submitting", "queued", "submitting", "in_doubt"]


def test_hold_is_never_sent_twice(store: Store) -> None:
    (accepted,) = store.accept(store.message(segments=2, on_in_doubt=OnInDoubt.HOLD))
    claim = store.hand_over()
    store.write(outbound.doubt, claim.seq, claim.n, reason=SILENCE, wait_ms=0)
    assert store.states(accepted.id) == ["in_doubt", "failed"]
    assert store.view(accepted.id)["segments"][1]["reason"]["code"] == "sibling_in_doubt"
    assert not store.view(accepted.id)["maybe_duplicate"]
    assert store.write(outbound.claim, SIM) is None


@pytest.mark.parametrize("verb", ["refused", "expired"])
def test_what_may_have_left_once_is_never_said_not_to_have(store: Store, verb: str) -> None:
    (accepted,) = store.accept(store.message())
    claim = store.hand_over()
    store.write(outbound.doubt, claim.seq, claim.n, reason=SILENCE, wait_ms=0)
    with pytest.raises(Rejected, match="not_cancellable"):
        store.write(outbound.cancel, accepted.id, client=None)
    if verb == "refused":
        again = store.claim()
        store.write(outbound.fail, again.seq, again.n, reason=NEVER)
    else:
        store.machine.forward(TTL)
        assert store.write(outbound.expire) == 1
    assert store.state(accepted.id) == "in_doubt"


def test_a_late_result_resolves_a_doubt(store: Store) -> None:
    (held,) = store.accept(store.message(on_in_doubt=OnInDoubt.HOLD))
    (resent,) = store.accept(store.message(to=BOB))
    for mr in (1, 2):
        claim = store.hand_over()
        store.write(outbound.doubt, claim.seq, claim.n, reason=SILENCE, wait_ms=1000)
        store.write(outbound.submitted, claim.seq, claim.n, imsi=SIM, mr=mr)
    assert store.told(held.id)[-2:] == ["in_doubt", "submitted"]
    assert store.state(resent.id) == "submitted"
    assert not store.view(resent.id)["maybe_duplicate"]
    store.machine.forward(1000)
    assert store.write(outbound.claim, SIM) is None


def test_results_of_what_is_not_in_flight_are_refused(store: Store) -> None:
    (accepted,) = store.accept(store.message())
    verbs: list[Callable[[], None]] = [
        lambda: store.write(outbound.payload_next, accepted.seq, 1),
        lambda: store.write(outbound.submitted, accepted.seq, 1, imsi=SIM, mr=1),
        lambda: store.write(outbound.put_back, accepted.seq, 1, reason=LATER, delay_ms=0, counted=True),
        lambda: store.write(outbound.fail, accepted.seq, 1, reason=NEVER),
        lambda: store.write(outbound.doubt, accepted.seq, 1, reason=SILENCE, wait_ms=0),
        lambda: store.write(outbound.payload_next, accepted.seq, 9),
    ]
    for verb in verbs:
        with pytest.raises(StoreError):
            verb()
    assert store.told(accepted.id) == ["queued"]


def test_the_same_result_twice_is_harmless(store: Store) -> None:
    (accepted,) = store.accept(store.message())
    claim = store.send(7)
    store.write(outbound.submitted, claim.seq, claim.n, imsi=SIM, mr=7)
    assert store.told(accepted.id) == ["queued", "submitting", "submitted"]
    with pytest.raises(StoreError):
        store.write(outbound.submitted, claim.seq, claim.n, imsi=SIM, mr=8)


def test_recovery_sends_again_only_what_surely_was_not_sent(store: Store) -> None:
    (before,) = store.accept(store.message())
    (after,) = store.accept(store.message(to=BOB))
    (held,) = store.accept(store.message(to="+12025550123", on_in_doubt=OnInDoubt.HOLD))
    store.claim()
    store.hand_over()
    store.hand_over()
    store.restart()
    assert store.write(outbound.recover, wait_ms=5000) == outbound.Recovered(put_back=1, in_doubt=2)
    assert [store.state(row.id) for row in (before, after, held)] == ["queued", "queued", "in_doubt"]
    assert store.view(before.id)["attempts"] == 0
    assert not store.view(before.id)["maybe_duplicate"]
    claim = store.claim()
    assert (claim.message_id, claim.reject_duplicates) == (before.id, False)
    assert store.write(outbound.claim, SIM) is None
    store.machine.forward(5000)
    claim = store.claim()
    assert (claim.message_id, claim.reject_duplicates) == (after.id, True)
    assert store.write(outbound.recover) == outbound.Recovered(put_back=2, in_doubt=0)


# ── ends without sending ─────────────────────────────────────────────────────────────────────────────────────────────


def test_cancel_takes_back_only_what_was_not_handed_over_and_only_ones_own(store: Store) -> None:
    (mine,) = store.accept(store.message(segments=2))
    with pytest.raises(Rejected, match="not_found"):
        store.write(outbound.cancel, mine.id, client="somebody else")
    with pytest.raises(Rejected, match="not_found"):
        store.write(outbound.cancel, MessageId("out_nothing"), client=None)
    assert store.write(outbound.cancel, mine.id, client="client")["state"] == "cancelled"
    assert store.told(mine.id) == ["queued", "cancelled"]
    (begun,) = store.accept(store.message(segments=2))
    store.send(1)
    with pytest.raises(Rejected, match="not_cancellable"):
        store.write(outbound.cancel, begun.id, client=None)
    with pytest.raises(Rejected, match="not_cancellable"):
        store.write(outbound.cancel, mine.id, client=None)


def test_overdue_is_expired_by_whichever_comes_first(store: Store) -> None:
    (one,) = store.accept(store.message(ttl_ms=1000))
    (two,) = store.accept(store.message(ttl_ms=1000, imsi=None))
    (three,) = store.accept(store.message(ttl_ms=2000, to=BOB))
    store.machine.forward(999)
    assert store.write(outbound.expire) == 0
    store.machine.forward(1)
    assert store.claim().message_id == three.id
    assert [store.state(row.id) for row in (one, two)] == ["expired", "expired"]
    assert store.view(one.id)["reason"]["code"] == "expired"


def test_a_segment_in_flight_is_not_expired_but_its_siblings_are(store: Store) -> None:
    (accepted,) = store.accept(store.message(segments=2, ttl_ms=1000))
    claim = store.hand_over()
    store.machine.forward(1000)
    assert store.write(outbound.expire) == 1
    assert store.states(accepted.id) == ["submitting", "expired"]
    assert store.write(outbound.expire) == 0
    assert store.read(outbound.next_due, SIM) is None
    store.write(outbound.submitted, claim.seq, 1, imsi=SIM, mr=1)
    assert store.state(accepted.id) == "expired"


@pytest.mark.parametrize("off", [-10 * 365 * 86_400.0, 10 * 365 * 86_400.0])
def test_a_reboot_with_a_mad_wall_clock_expires_nothing(store: Store, off: float) -> None:
    (accepted,) = store.accept(store.message(ttl_ms=60_000))
    store.machine.reboot(off=off)
    store.restart()
    assert store.write(outbound.expire) == 0
    assert store.claim().message_id == accepted.id


def test_next_due_is_the_first_thing_that_time_alone_brings(store: Store) -> None:
    assert store.read(outbound.next_due, SIM) is None
    (accepted,) = store.accept(store.message(ttl_ms=10_000))
    claim = store.claim()
    assert store.read(outbound.next_due, SIM) is None
    store.write(outbound.put_back, claim.seq, 1, reason=LATER, delay_ms=4_000, counted=True)
    due = store.read(outbound.next_due, SIM)
    assert due is not None
    store.machine.forward(4_000)
    claim = store.claim()
    assert claim.message_id == accepted.id
    store.write(outbound.put_back, claim.seq, 1, reason=LATER, delay_ms=40_000, counted=True)
    assert store.read(outbound.next_due, SIM) == due + 6_000


# ── order ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_first_in_first_out_per_recipient_and_no_message_holds_up_another_recipient(store: Store) -> None:
    (first,) = store.accept(store.message())
    (second,) = store.accept(store.message())
    (elsewhere,) = store.accept(store.message(to=BOB))
    claim = store.claim()
    assert claim.message_id == first.id
    store.write(outbound.put_back, claim.seq, 1, reason=LATER, delay_ms=60_000, counted=True)
    assert store.send(1).message_id == elsewhere.id
    assert store.write(outbound.claim, SIM) is None
    store.machine.forward(60_000)
    assert [store.send(2).message_id, store.send(3).message_id] == [first.id, second.id]


def test_while_a_segment_is_in_flight_nothing_of_its_lane_is_claimed(store: Store) -> None:
    store.accept(store.message(segments=2), store.message())
    store.claim()
    assert store.write(outbound.claim, SIM) is None


def test_priority_first_then_what_has_begun_then_age(store: Store) -> None:
    (low,) = store.accept(store.message(priority=-1))
    (long,) = store.accept(store.message(to=BOB, segments=2))
    claim = store.hand_over()
    assert claim.message_id == long.id
    store.write(outbound.put_back, claim.seq, 1, reason=LATER, delay_ms=100, counted=True)
    (high,) = store.accept(store.message(priority=5))
    (normal,) = store.accept(store.message(to="+12025550123"))
    assert store.send(1).message_id == high.id
    store.machine.forward(100)
    assert store.send(2).message_id == long.id
    assert store.send(3).message_id == long.id
    assert store.send(4).message_id == normal.id
    assert store.send(5).message_id == low.id


def test_the_segments_of_a_message_stay_together(store: Store) -> None:
    (older,) = store.accept(store.message())
    claim = store.claim()
    store.write(outbound.put_back, claim.seq, 1, reason=LATER, delay_ms=100, counted=True)
    (long,) = store.accept(store.message(to=BOB, segments=2))
    assert store.send(1).message_id == long.id
    store.machine.forward(100)
    assert store.send(2).message_id == long.id
    assert store.send(3).message_id == older.id


def test_an_ended_head_frees_its_lane(store: Store) -> None:
    for end in ("fail", "doubt", "cancel"):
        (first,) = store.accept(store.message(on_in_doubt=OnInDoubt.HOLD))
        (second,) = store.accept(store.message())
        if end == "cancel":
            store.write(outbound.cancel, first.id, client=None)
        else:
            claim = store.hand_over()
            if end == "fail":
                store.write(outbound.fail, claim.seq, 1, reason=NEVER)
            else:
                store.write(outbound.doubt, claim.seq, 1, reason=SILENCE, wait_ms=0)
        assert store.send(9).message_id == second.id


def test_sims_do_not_see_each_others_queue(store: Store) -> None:
    store.accept(store.message())
    (other,) = store.accept(store.message(imsi=OTHER_SIM, pinned=True))
    assert store.claim(OTHER_SIM).message_id == other.id
    assert store.write(outbound.claim, OTHER_SIM) is None


# ── SIMs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_messages_without_a_sim_wait_for_one_and_spend_there(store: Store) -> None:
    (one,) = store.accept(store.message(imsi=None, segments=2), sim_cap=5)
    (two,) = store.accept(store.message(imsi=None, segments=2), sim_cap=5)
    store.accept(store.message(imsi=None, to=BOB), sim_cap=5)
    with pytest.raises(Rejected, match="without a SIM"):
        store.accept(store.message(imsi=None), sim_cap=5)
    assert store.write(outbound.claim, SIM) is None
    assert store.read(outbound.queue_depths) == {"": 5}
    assert store.write(outbound.assign, SIM, sim_cap=3) == 2
    assert store.read(outbound.queue_depths) == {SIM: 3, "": 2}
    assert store.state(two.id) == "queued"
    assert store.claim().message_id == one.id
    with pytest.raises(Rejected, match="this SIM"):
        store.accept(store.message(), sim_cap=3)
    store.accept(store.message(imsi=None, to="+447700900999", segments=3), sim_cap=5)


def test_an_unpinned_message_goes_by_the_sim_that_still_has_texts_for_its_recipient(store: Store) -> None:
    def sim(message: outbound.NewMessage) -> object:
        return store.accept(message)[0].view["sim"]

    assert sim(store.message(imsi=SIM)) == SIM
    assert sim(store.message(imsi=OTHER_SIM)) == SIM
    assert sim(store.message(imsi=OTHER_SIM, pinned=True)) == OTHER_SIM
    assert sim(store.message(to=BOB, imsi=OTHER_SIM)) == OTHER_SIM


def test_a_younger_message_does_not_overtake_one_that_the_cap_left_without_a_sim(store: Store) -> None:
    store.accept(store.message(imsi=None, segments=3))
    store.accept(store.message(imsi=None, segments=1))
    assert store.write(outbound.assign, SIM, sim_cap=2) == 0


def test_reassignment_moves_whole_untouched_lanes_in_order(store: Store) -> None:
    (tried,) = store.accept(store.message())
    (behind,) = store.accept(store.message())
    claim = store.claim()
    store.write(outbound.put_back, claim.seq, 1, reason=LATER, delay_ms=0, counted=True)
    (pinned,) = store.accept(store.message(to="+12025550123", pinned=True))
    free = [store.accept(store.message(to=BOB))[0] for _ in range(3)]
    assert store.write(outbound.reassign, SIM, OTHER_SIM, limit=2, sim_cap=100) == 3
    assert store.read(outbound.queue_depths) == {SIM: 3, OTHER_SIM: 3}
    assert [store.send(n, OTHER_SIM).message_id for n in range(3)] == [row.id for row in free]
    assert {store.view(row.id)["sim"] for row in (tried, behind, pinned)} == {SIM}
    assert store.write(outbound.reassign, SIM, OTHER_SIM, limit=100, sim_cap=100) == 0


def test_reassignment_respects_the_cap_and_moves_the_spending(store: Store) -> None:
    store.accept(store.message(segments=2), store.message(to=BOB, segments=3))
    assert store.write(outbound.reassign, SIM, OTHER_SIM, limit=100, sim_cap=4) == 1
    assert dict(store.rows("SELECT subject, sum(segments) FROM spend WHERE subject LIKE 'sim:%' GROUP BY 1")) == {
        f"sim:{SIM}": 3,
        f"sim:{OTHER_SIM}": 2,
    }


def test_the_sim_of_a_recipient_is_where_something_waits_for_him(store: Store) -> None:
    assert store.read(outbound.lane_sim, ALICE) is None
    store.accept(store.message(imsi=OTHER_SIM))
    assert store.read(outbound.lane_sim, ALICE) == OTHER_SIM
    store.send(1, OTHER_SIM)
    assert store.read(outbound.lane_sim, ALICE) is None


# ── queries ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_messages_are_filtered_and_paged_newest_first(store: Store) -> None:
    rows = [store.accept(store.message(to=to, client=client))[0] for to in (ALICE, BOB) for client in ("a", "b")]
    store.send(1)
    ids = [row.id for row in rows]
    assert [view["id"] for view in store.read(outbound.messages)] == ids[::-1]
    assert [view["id"] for view in store.read(outbound.messages, to=BOB)] == [ids[3], ids[2]]
    assert [view["id"] for view in store.read(outbound.messages, client="a", to=BOB)] == [ids[2]]
    assert [view["id"] for view in store.read(outbound.messages, state="submitted")] == [ids[0]]
    page = store.read(outbound.messages, limit=3)
    rest = store.read(outbound.messages, limit=3, before_seq=page[-1]["seq"])
    assert [view["id"] for view in page + rest] == ids[::-1]
    assert store.read(outbound.last_seq) == rows[-1].seq
