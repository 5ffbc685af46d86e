"""Any order of verbs, clocks and crashes: the outbound rows are what a plain model says (S1, S3, S5, S6).

The model keeps what a person would write on a card for each segment. It knows the promises, not the tables: which
segment must be claimed next, how often one may have left, and that an end is an end.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.errors import Rejected
from appliance.store import inbound, outbound, reports
from appliance.store.states import UNSENT, derive
from appliance.types import Imei, OnInDoubt
from appliance.types import SegmentState as S
from tests.store.bench import ALICE, BOB, LATER, NEVER, OTHER_SIM, SILENCE, SIM, Store

if TYPE_CHECKING:
    from appliance.types import Imsi

WAIT = 5_000
ENDED = frozenset(S) - UNSENT - {S.SUBMITTED, S.IN_DOUBT}


@dataclass
class Card:
    """One segment, as the model knows it."""

    state: S = S.QUEUED
    not_before: int = 0
    marked: bool = False
    resent: bool = False
    maybe_left: int = 0
    mr: int | None = None


@dataclass
class Letter:
    """One message, as the model knows it."""

    accepted: outbound.Accepted
    to: str
    imsi: Imsi
    priority: int
    policy: OnInDoubt
    expires: int
    cards: list[Card]
    told: list[S] = field(default_factory=list)

    @property
    def state(self) -> S:
        return derive(card.state for card in self.cards)


class Outbound(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.store = Store(Path(self.directory.name) / "hub.db")
        self.letters: list[Letter] = []
        self.in_flight: dict[tuple[int, int], outbound.Claim] = {}
        self.mr = 0
        self.pdus = 0
        self.now = 0

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    @initialize()
    def start(self) -> None:
        self.store.write(outbound.recover)

    # ── the model's own words ────────────────────────────────────────────────────────────────────────────────────────

    def card(self, seq: int, n: int) -> Card:
        return self.letter(seq).cards[n - 1]

    def letter(self, seq: int) -> Letter:
        return next(letter for letter in self.letters if letter.accepted.seq == seq)

    def expire_model(self) -> None:
        for letter in self.letters:
            if letter.expires <= self.now:
                for card in letter.cards:
                    if card.state is S.QUEUED:
                        card.state = S.IN_DOUBT if card.resent else S.EXPIRED

    def due(self, imsi: Imsi) -> tuple[Letter, int] | None:
        """What the promises say is to be sent next: FIFO in a lane, lanes by priority, begun, age."""
        heads: dict[tuple[str, int], Letter] = {}
        for letter in self.letters:
            if letter.imsi == imsi and letter.state in UNSENT:
                heads.setdefault((letter.to, letter.priority), letter)
        ready = []
        for letter in heads.values():
            if any(card.state is S.SUBMITTING for card in letter.cards):
                continue
            n = next(n for n, card in enumerate(letter.cards, 1) if card.state is S.QUEUED)
            if letter.cards[n - 1].not_before <= self.now:
                begun = any(card.state is not S.QUEUED for card in letter.cards)
                ready.append((-letter.priority, not begun, letter.accepted.seq, n))
        if not ready:
            return None
        _, _, seq, n = min(ready)
        return self.letter(seq), n

    def end_siblings(self, letter: Letter) -> None:
        for card in letter.cards:
            if card.state is S.QUEUED:
                assert not card.resent
                card.state = S.FAILED

    def doubt_model(self, letter: Letter, card: Card, wait: int) -> None:
        if letter.policy is OnInDoubt.RESEND and not card.resent:
            card.state, card.resent, card.not_before = S.QUEUED, True, self.now + wait
        else:
            card.state = S.IN_DOUBT
            self.end_siblings(letter)

    def pick(self, data: st.DataObject) -> tuple[outbound.Claim, Letter, Card]:
        key = data.draw(st.sampled_from(sorted(self.in_flight)))
        claim = self.in_flight.pop(key)
        return claim, self.letter(claim.seq), self.card(*key)

    # ── what may happen ──────────────────────────────────────────────────────────────────────────────────────────────

    @rule(
        to=st.sampled_from([ALICE, BOB]),
        imsi=st.sampled_from([SIM, SIM, OTHER_SIM]),
        priority=st.sampled_from([0, 0, 1]),
        policy=st.sampled_from(OnInDoubt),
        segments=st.integers(1, 3),
        ttl=st.sampled_from([3_000, 60_000, 600_000]),
        pinned=st.booleans(),
    )
    def accept(
        self, *, to: str, imsi: Imsi, priority: int, policy: OnInDoubt, segments: int, ttl: int, pinned: bool
    ) -> None:
        message = self.store.message(
            to=to, imsi=imsi, priority=priority, on_in_doubt=policy, segments=segments, ttl_ms=ttl, pinned=pinned
        )
        if not pinned:
            imsi = next((letter.imsi for letter in self.letters if letter.to == to and letter.state in UNSENT), imsi)
        (accepted,) = self.store.accept(message)
        cards = [Card() for _ in range(segments)]
        self.letters.append(Letter(accepted, to, imsi, priority, policy, self.now + ttl, cards))

    @rule(imsi=st.sampled_from([SIM, SIM, OTHER_SIM]))
    def claim(self, imsi: Imsi) -> None:
        claim = self.store.write(outbound.claim, imsi)
        self.expire_model()
        due = self.due(imsi)
        if due is None:
            assert claim is None
            return
        letter, n = due
        assert claim is not None
        assert (claim.seq, claim.n) == (letter.accepted.seq, n)
        card = letter.cards[n - 1]
        assert claim.reject_duplicates == card.resent
        card.state, card.marked = S.SUBMITTING, False
        self.in_flight[claim.seq, claim.n] = claim

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def hand_over(self, data: st.DataObject) -> None:
        claim, letter, card = self.pick(data)
        self.in_flight[claim.seq, claim.n] = claim
        self.store.write(outbound.payload_next, claim.seq, claim.n)
        if not card.marked:
            card.marked = True
            card.maybe_left += 1
        assert card.maybe_left <= (1 if letter.policy is OnInDoubt.HOLD else 2)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), late=st.booleans())
    def sent(self, data: st.DataObject, late: bool) -> None:
        claim, letter, card = self.pick(data)
        self.mr = (self.mr + 1) % 256
        if late and card.marked:
            self.store.write(outbound.doubt, claim.seq, claim.n, reason=SILENCE, wait_ms=WAIT)
            self.doubt_model(letter, card, WAIT)
            card.resent = card.resent and card.state is not S.QUEUED
        self.store.write(outbound.submitted, claim.seq, claim.n, imsi=letter.imsi, mr=self.mr)
        card.state, card.mr = S.SUBMITTED, self.mr

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), delay=st.sampled_from([0, 2_000, 100_000]), counted=st.booleans())
    def refused_for_now(self, data: st.DataObject, delay: int, counted: bool) -> None:
        claim, _, card = self.pick(data)
        self.store.write(outbound.put_back, claim.seq, claim.n, reason=LATER, delay_ms=delay, counted=counted)
        card.maybe_left -= card.marked
        card.state, card.not_before, card.marked = S.QUEUED, self.now + delay, False

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def refused_for_ever(self, data: st.DataObject) -> None:
        claim, letter, card = self.pick(data)
        self.store.write(outbound.fail, claim.seq, claim.n, reason=NEVER)
        card.state = S.IN_DOUBT if card.resent else S.FAILED
        self.end_siblings(letter)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def silence(self, data: st.DataObject) -> None:
        claim, letter, card = self.pick(data)
        self.store.write(outbound.doubt, claim.seq, claim.n, reason=SILENCE, wait_ms=WAIT)
        self.doubt_model(letter, card, WAIT)

    @precondition(lambda self: self.letters)
    @rule(data=st.data(), good=st.booleans())
    def report(self, data: st.DataObject, good: bool) -> None:
        known = [
            (letter, card) for letter in self.letters for card in letter.cards if card.state is S.SUBMITTED and card.mr
        ]
        if not known:
            return
        letter, card = data.draw(st.sampled_from(known))
        self.pdus += 1
        stored = self.store.write(
            inbound.commit_pdu,
            imsi=letter.imsi,
            imei=Imei("490154203237518"),
            iccid=None,
            raw=f"{self.pdus:08X}",
            storage="SM",
            index=1,
        )
        assert card.mr is not None
        found = self.store.write(
            reports.report,
            pdu_id=stored.id,
            imsi=letter.imsi,
            mr=card.mr,
            recipient=letter.to,
            outcome="delivered" if good else "failed",
            status=0 if good else 70,
            text="",
            discharged_at=None,
        )
        assert found == letter.accepted.id
        card.state = S.DELIVERED if good else S.UNDELIVERED

    @precondition(lambda self: self.letters)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        letter = data.draw(st.sampled_from(self.letters))
        untouched = all(card.state is S.QUEUED and not card.resent for card in letter.cards)
        try:
            self.store.write(outbound.cancel, letter.accepted.id, client=None)
        except Rejected:
            assert not untouched
        else:
            assert untouched
            for card in letter.cards:
                card.state = S.CANCELLED

    @rule(milliseconds=st.sampled_from([1, 2_000, 5_000, 100_000]))
    def time_passes(self, milliseconds: int) -> None:
        self.store.machine.forward(milliseconds)
        self.now += milliseconds

    @rule(years=st.integers(-10, 10))
    def the_wall_clock_jumps(self, years: int) -> None:
        self.store.machine.wall += years * 365 * 86_400

    @rule()
    def expire(self) -> None:
        self.store.write(outbound.expire)
        self.expire_model()

    @rule()
    def restart(self) -> None:
        self.store.restart()
        self.store.write(outbound.recover, wait_ms=WAIT)
        for claim in self.in_flight.values():
            letter, card = self.letter(claim.seq), self.card(claim.seq, claim.n)
            if card.marked:
                self.doubt_model(letter, card, WAIT)
            else:
                card.state, card.not_before = S.QUEUED, self.now
        self.in_flight.clear()

    @rule()
    def fail_over(self) -> None:
        self.store.write(outbound.reassign, SIM, OTHER_SIM, limit=2, sim_cap=10**6)
        moved = {view["id"]: view["sim"] for view in self.store.read(outbound.messages)}
        for letter in self.letters:
            if moved[letter.accepted.id] != letter.imsi:
                assert letter.state is S.QUEUED
                assert not any(card.resent or card.marked for card in letter.cards)
                letter.imsi = OTHER_SIM
        for letter in self.letters:  # a lane was not split
            lane = {
                other.imsi
                for other in self.letters
                if (other.to, other.priority, moved[other.accepted.id]) == (letter.to, letter.priority, SIM)
                and other.state in UNSENT
            }
            assert lane <= {SIM}

    # ── what always holds ────────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def the_rows_are_what_the_model_says(self) -> None:
        rows: dict[tuple[int, int], Any] = {
            (seq, n): (state, bool(resent))
            for seq, n, state, resent in self.store.rows("SELECT message, n, state, resent FROM segment")
        }
        expected = {
            (letter.accepted.seq, n): (card.state, card.resent)
            for letter in self.letters
            for n, card in enumerate(letter.cards, 1)
        }
        assert rows == expected

    @invariant()
    def what_was_told_is_true_and_an_end_is_an_end(self) -> None:
        for letter in self.letters:
            told = [S(word) for word in self.store.told(letter.accepted.id)]
            assert told[-1] is letter.state
            assert told[: len(letter.told)] == letter.told
            assert all(one is not other for one, other in pairwise(told))
            for one, other in pairwise(told):
                assert one not in ENDED
                assert one is not S.IN_DOUBT or other in {S.SUBMITTED, S.DELIVERED, S.UNDELIVERED}
            letter.told = told

    @invariant()
    def the_lanes_say_what_the_rows_say(self) -> None:
        heads: dict[tuple[str, str, int], int] = {}
        for letter in self.letters:
            if letter.state in UNSENT:
                heads.setdefault((letter.to, letter.imsi, letter.priority), letter.accepted.seq)
        lanes = self.store.rows("SELECT recipient, imsi, priority, head FROM lane")
        assert {(to, imsi, priority): head for to, imsi, priority, head in lanes} == heads


Outbound.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TestOutbound = Outbound.TestCase
