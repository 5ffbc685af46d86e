"""Status reports find their segment (promise D1)."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from appliance.store import inbound, outbound, reports
from appliance.store.clock import DAY_MS
from appliance.store.evidence import same_number
from appliance.types import Imei, Imsi, OnInDoubt
from tests.store.bench import ALICE, BOB, OTHER_SIM, SILENCE, SIM, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.store.evidence import Outcome
    from appliance.types import MessageId


class Reporting(Store):
    """A store that hears status reports."""

    _numbers = count()

    def report(
        self, mr: int, outcome: Outcome = "delivered", *, to: str = ALICE, imsi: Imsi = SIM, pdu: int | None = None
    ) -> MessageId | None:
        pdu_id = self.pdu(imsi) if pdu is None else pdu
        status = {"delivered": 0, "unconfirmed": 1, "pending": 0x30, "failed": 70}[outcome]
        return self.write(
            reports.report,
            pdu_id=pdu_id,
            imsi=imsi,
            mr=mr,
            recipient=to,
            outcome=outcome,
            status=status,
            text="validity period expired",
            discharged_at=None,
        )

    def pdu(self, imsi: Imsi = SIM) -> int:
        stored = self.write(
            inbound.commit_pdu,
            imsi=imsi,
            imei=Imei("490154203237518"),
            iccid=None,
            raw=f"{next(self._numbers):08X}",
            storage="SM",
            index=1,
        )
        return stored.id

    def doubtful(self, **how: Any) -> tuple[outbound.Accepted, outbound.Claim]:
        (accepted,) = self.accept(self.message(**how))
        claim = self.hand_over()
        self.write(outbound.doubt, claim.seq, claim.n, reason=SILENCE, wait_ms=600_000)
        return accepted, claim


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Reporting]:
    store = Reporting(tmp_path / "hub.db")
    yield store
    store.close()


def test_a_report_tells_delivered_and_the_reason_of_undelivered(store: Reporting) -> None:
    (one,) = store.accept(store.message())
    (two,) = store.accept(store.message())
    store.send(1)
    store.send(2)
    assert store.report(1) == one.id
    assert store.report(2, "failed") == two.id
    assert store.told(one.id)[-1] == "delivered"
    view = store.view(two.id)
    assert view["state"] == "undelivered"
    assert view["reason"] == {"code": "tp_status_70", "class": "permanent", "text": "validity period expired"}


def test_all_segments_count(store: Reporting) -> None:
    (accepted,) = store.accept(store.message(segments=3))
    for mr in (1, 2, 3):
        store.send(mr)
    for mr in (2, 1):
        store.report(mr)
        assert store.state(accepted.id) == "submitted"
    store.report(3)
    assert store.told(accepted.id) == ["queued", "submitting", "submitted", "delivered"]


def test_the_newest_of_300_sends_through_the_wrap(store: Reporting) -> None:
    ids = []
    for n in range(300):
        ids.append(store.accept(store.message())[0].id)
        store.send(n % 256)
    store.restart()
    for n in (299, 256, 255, 44):
        assert store.report(n % 256) == ids[n]
    assert [store.state(ids[n]) for n in (0, 43, 44, 255, 256, 299)] == [
        *("submitted", "submitted", "delivered", "delivered", "delivered", "delivered")
    ]
    # The newest has its report: the next one for that TP-MR is the older message's.
    assert store.report(299 % 256) == ids[43]


def test_another_sim_or_recipient_or_reference_is_another_message(store: Reporting) -> None:
    (accepted,) = store.accept(store.message())
    store.send(5)
    assert store.report(5, to=BOB) is None
    assert store.report(5, imsi=OTHER_SIM) is None
    assert store.report(6) is None
    assert store.state(accepted.id) == "submitted"
    assert [(row["mr"], row["to"]) for row in store.read(reports.orphans)] == [(6, ALICE), (5, ALICE), (5, BOB)]


def test_a_report_before_the_result_waits_for_it(store: Reporting) -> None:
    (accepted,) = store.accept(store.message())
    claim = store.hand_over()
    assert store.report(9) is None
    store.restart()
    store.write(outbound.submitted, claim.seq, claim.n, imsi=SIM, mr=9)
    assert store.told(accepted.id) == ["queued", "submitting", "submitted", "delivered"]
    assert store.read(reports.orphans) == []


def test_an_orphan_of_before_the_claim_is_not_taken_for_this_one(store: Reporting) -> None:
    store.report(9)
    store.machine.forward(1)
    (accepted,) = store.accept(store.message())
    store.send(9)
    assert store.state(accepted.id) == "submitted"


def test_the_same_report_again_changes_and_tells_nothing(store: Reporting) -> None:
    (accepted,) = store.accept(store.message())
    store.send(1)
    pdu = store.pdu()
    assert store.report(1, pdu=pdu) == accepted.id
    assert store.report(1, pdu=pdu) == accepted.id
    assert store.report(1, "failed") == accepted.id
    assert store.told(accepted.id) == ["queued", "submitting", "submitted", "delivered"]
    assert store.read(inbound.undecided) == []


@pytest.mark.parametrize("outcome", ["pending", "unconfirmed"])
def test_what_says_nothing_final_changes_no_state_but_is_shown(store: Reporting, outcome: Outcome) -> None:
    (accepted,) = store.accept(store.message())
    store.send(1)
    assert store.report(1, outcome) == accepted.id
    assert store.told(accepted.id) == ["queued", "submitting", "submitted"]
    assert store.view(accepted.id)["segments"][0]["report_status"] in {0x30, 1}
    store.report(1)
    assert store.state(accepted.id) == "delivered"


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        ("delivered", "delivered"),
        ("failed", "undelivered"),
        ("pending", "submitted"),
        ("unconfirmed", "submitted"),
    ],
)
@pytest.mark.parametrize("policy", list(OnInDoubt))
def test_a_report_is_the_witness_of_a_doubt(store: Reporting, policy: OnInDoubt, outcome: Outcome, state: str) -> None:
    accepted, _ = store.doubtful(on_in_doubt=policy)
    assert store.report(77, outcome) == accepted.id
    assert store.state(accepted.id) == state
    assert not store.view(accepted.id)["maybe_duplicate"]
    store.machine.forward(600_000)
    assert store.write(outbound.claim, SIM) is None
    if state == "submitted":
        assert store.report(77) == accepted.id
        assert store.state(accepted.id) == "delivered"


def test_a_report_that_came_while_in_flight_decides_the_doubt(store: Reporting) -> None:
    (accepted,) = store.accept(store.message())
    claim = store.hand_over()
    store.report(3)
    store.restart()
    store.write(outbound.recover)
    assert store.told(accepted.id) == ["queued", "submitting", "delivered"]
    assert store.view(accepted.id)["segments"][0]["mr"] == 3
    assert store.write(outbound.claim, SIM) is None
    assert claim.seq == accepted.seq


def test_a_number_that_is_known_is_better_evidence_than_a_doubt(store: Reporting) -> None:
    (sure,) = store.accept(store.message())
    store.send(4)
    doubtful, _ = store.doubtful(on_in_doubt=OnInDoubt.HOLD)
    assert store.report(4) == sure.id
    assert store.state(doubtful.id) == "in_doubt"


def test_a_doubt_of_long_ago_has_no_witness_any_more(store: Reporting) -> None:
    accepted, _ = store.doubtful(on_in_doubt=OnInDoubt.HOLD)
    store.machine.forward(8 * DAY_MS)
    assert store.report(1) is None
    assert store.state(accepted.id) == "in_doubt"


def test_submitted_without_a_reference_is_matched_by_the_recipient(store: Reporting) -> None:
    (accepted,) = store.accept(store.message())
    claim = store.hand_over()
    store.write(outbound.submitted, claim.seq, 1, imsi=SIM, mr=None)
    assert store.state(accepted.id) == "submitted"
    assert store.report(200) == accepted.id
    assert store.state(accepted.id) == "delivered"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("+447700900123", "447700900123", True),
        ("+447700900123", "07700900123", True),
        ("+447700900123", "7700900123", True),
        ("+447700900123", "00447700900123", True),
        ("+447700900123", "+447700900124", False),
        ("+447700900123", "900123", False),
        ("900123", "900123", True),
        ("80888", "1580888", False),
        ("Bank", "BANK", True),
        ("Bank", "+447700900123", False),
    ],
)
def test_networks_spell_one_number_in_many_ways(one: str, other: str, *, same: bool) -> None:
    assert same_number(one, other) is same
    assert same_number(other, one) is same


def test_a_report_that_never_comes_is_not_waited_for_for_ever_and_a_late_one_still_speaks(store: Reporting) -> None:
    waits, late, unasked = (store.accept(store.message(to=to))[0] for to in (ALICE, BOB, ALICE))
    store.write(lambda tx: tx.db.execute("UPDATE message SET report = 0 WHERE seq = ?", (unasked.seq,)))
    for mr in (1, 2, 3):
        store.send(mr)
    assert [store.view(one.id)["final"] for one in (waits, late, unasked)] == [False, False, True]
    assert store.write(reports.overdue, window_ms=1000) == 0
    store.machine.forward(1000)
    assert store.write(reports.overdue, window_ms=1000) == 2
    assert store.write(reports.overdue, window_ms=0) == 0
    view = store.view(waits.id)
    assert (view["state"], view["final"], view["reason"]["code"]) == ("submitted", True, "no_report")
    assert store.told(waits.id)[-2:] == ["submitted", "submitted"]
    store.report(2, to=BOB)
    assert (store.view(late.id)["state"], store.view(late.id)["reason"]) == ("delivered", None)


def test_a_late_report_on_the_first_copy_of_one_message_is_no_witness_for_another(store: Reporting) -> None:
    twice, _ = store.doubtful(on_in_doubt=OnInDoubt.RESEND)  # its first copy had TP-MR 6, and nobody was told
    store.machine.forward(600_000)
    store.send(7)
    for mr in (8, 9):
        store.accept(store.message())
        store.send(mr)
    never_left, _ = store.doubtful(on_in_doubt=OnInDoubt.HOLD)
    assert store.report(6) is None
    assert store.state(never_left.id) == "in_doubt"
    assert store.report(10) == never_left.id
    assert store.state(twice.id) == "submitted"


def test_where_two_doubts_can_be_meant_none_is_settled(store: Reporting) -> None:
    store.accept(store.message())
    store.send(255)
    doubts = []
    for _ in range(2):
        store.machine.forward(1)
        doubts.append(store.doubtful(on_in_doubt=OnInDoubt.HOLD)[0])
    assert store.report(0) is None
    assert [store.state(doubt.id) for doubt in doubts] == ["in_doubt", "in_doubt"]
    assert store.report(1) == doubts[1].id
