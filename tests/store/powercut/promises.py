"""What was promised, learnt from the lines of the writer; and what a message may be by them. Knows no store.

Theory of operation
    A verb that was asked for and not acknowledged may have been committed or not; one that was acknowledged was. So of
    a message there is one *certain* form, the one of its last acknowledgement, and the forms that verbs under way can
    have made of it since, in any order that fits: the acceptance of a message and a claim of it may share a commit.
    Verbs are steps from one form to another, as the tables of ``appliance.store.outbound`` tell them; they are written
    anew here, so that a mistake there is not believed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["VERBS", "Ledger", "Message", "Pdu", "Segment", "recovered"]


@dataclass(frozen=True, slots=True)
class Segment:
    """``handed``: the payload goes next (only while submitting); ``resent``: its re-submission is due or done."""

    state: str = "queued"
    handed: bool = False
    resent: bool = False
    mr: int | None = None


Form = tuple[Segment, ...]
"""The segments of one message."""


@dataclass(frozen=True, slots=True)
class Message:
    """What was asked to be accepted."""

    id: str
    client: str
    key: str
    ordinal: int
    to: str
    sim: str
    hold: bool
    text: str
    tpdus: tuple[str, ...]


@dataclass(slots=True)
class Pdu:
    """What was promised of an inbound PDU: ``certain`` by acknowledgements, ``asked`` at most.

    The words are ``kept``, ``removed``, and its outcomes ``deliver``, ``undecodable``, ``report``.
    """

    sim: str
    certain: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A verb under way."""

    verb: str
    facts: dict[str, Any]


# ── one message ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _with(form: Form, n: int, segment: Segment) -> Form:
    return (*form[: n - 1], segment, *form[n:])


def _first_queued(form: Form) -> int | None:
    return next((n for n, segment in enumerate(form, start=1) if segment.state == "queued"), None)


def _claimed(form: Form, n: int) -> Form:
    return _with(form, n, replace(form[n - 1], state="submitting", handed=False))


def _doubted(form: Form, n: int, *, hold: bool) -> Form:
    segment = form[n - 1]
    if not hold and not segment.resent:
        return _with(form, n, replace(segment, state="queued", handed=False, resent=True))
    ended = _with(form, n, replace(segment, state="in_doubt", handed=False))
    return tuple(replace(one, state="failed") if one.state == "queued" else one for one in ended)


def _told(form: Form, n: int, *, state: str, mr: int | None = None) -> Form:
    segment = form[n - 1]
    resent = segment.resent and segment.state != "queued"
    return _with(form, n, Segment(state=state, resent=resent, mr=segment.mr if mr is None else mr))


def recovered(form: Form, *, hold: bool) -> Form:
    """What the next start makes of it: not handed over is queued, handed over is in doubt (promise S3)."""
    for n, segment in enumerate(form, start=1):
        if segment.state == "submitting":
            form = _doubted(form, n, hold=hold) if segment.handed else _with(form, n, replace(segment, state="queued"))
    return form


def _stepped(form: Form, verb: str, facts: dict[str, Any], *, hold: bool) -> Form | None:
    """What a verb that names this message makes of it; None where it cannot be."""
    n = facts["n"]
    match verb, form[n - 1].state:
        case "payload_next", "submitting":
            return _with(form, n, replace(form[n - 1], handed=True))
        case "put_back", "submitting":
            return _with(form, n, replace(form[n - 1], state="queued", handed=False))
        case "doubt", "submitting":
            return _doubted(form, n, hold=hold)
        case (("submitted" | "submitted_and_claim"), "submitting"):
            return _told(form, n, state="submitted", mr=facts["mr"])
        case "report", "submitted":
            return _told(form, n, state="delivered")
    return None


# ── the ledger ───────────────────────────────────────────────────────────────────────────────────────────────────────

NAMING = frozenset({"payload_next", "put_back", "doubt", "submitted", "submitted_and_claim", "report"})
"""Verbs that name a message and a segment."""

CLAIMING = frozenset({"claim", "submitted_and_claim"})
OUTCOMES = frozenset({"deliver", "undecodable", "report"})
OTHERS = frozenset({"accept", "recover", "commit_pdu", "removed", "advance", "record", "may_try_pin", "hub_id"})
VERBS = NAMING | CLAIMING | OUTCOMES | OTHERS


class Ledger:
    """What was asked, acknowledged and told so far.

    Attributes:
        messages: all that were asked to be accepted, by id.
        forms: the certain form of each message whose acceptance was acknowledged, and before it the older ones.
        pdus: by raw octets (hex).
        received: of each PDU with an acknowledged outcome, the received message's id and text (None: not told by it).
        told: events that a door has read, by seq: kind, subject, state.
        recorded: events of ``record``, by seq: kind, subject.
        cursors: by door: acknowledged, and asked at most.
        tried: PINs that were acknowledged as tried, by ICCID.
        hub: the hub's id, once acknowledged.
        acknowledged: how many ACKs and told events there were.
    """

    def __init__(self) -> None:
        self.messages: dict[str, Message] = {}
        self.requests: list[tuple[str, ...]] = []
        self.forms: dict[str, list[Form]] = {}
        self.pdus: dict[str, Pdu] = {}
        self.received: dict[str, tuple[str, str | None]] = {}
        self.told: dict[int, tuple[str, str, str | None]] = {}
        self.recorded: dict[int, tuple[str, str]] = {}
        self.cursors: dict[str, tuple[int, int]] = {}
        self.tried: set[str] = set()
        self.hub: str | None = None
        self.acknowledged = 0
        self._under_way: dict[int, _Asked] = {}

    def hear(self, word: str, facts: dict[str, Any]) -> None:
        """Take a line of the writer; raises ValueError for what it does not know."""
        match word:
            case "ASK":
                if facts["verb"] not in VERBS:
                    raise ValueError(f"nobody knows what {facts['verb']} promises")
                asked = _Asked(facts["verb"], facts)
                self._under_way[facts["i"]] = asked
                self._ask(asked)
            case "ACK":
                self._acknowledge(self._under_way.pop(facts["i"]), facts)
                self.acknowledged += 1
            case "TOLD":
                for seq, kind, subject, state in facts["events"]:
                    self.told[seq] = (kind, subject, state)
                    self.acknowledged += 1
            case "FROM":
                pass
            case _:
                raise ValueError(f"nobody knows what {word} means")

    def _ask(self, asked: _Asked) -> None:
        facts = asked.facts
        match asked.verb:
            case "accept":
                said = [dict(message) for message in facts["messages"]]
                for one in said:
                    one["tpdus"] = tuple(one.pop("segments"))
                    self.messages[one["id"]] = Message(**one)
                self.requests.append(tuple(one["id"] for one in said))
            case "commit_pdu":
                self.pdus.setdefault(facts["raw"], Pdu(facts["sim"])).asked.add("kept")
            case "removed" | "deliver" | "undecodable" | "report":
                self.pdus[facts["raw"]].asked.add(asked.verb)
            case "advance":
                certain, most = self.cursors.get(facts["door"], (0, 0))
                self.cursors[facts["door"]] = (certain, max(most, facts["seq"]))

    def _acknowledge(self, asked: _Asked, answer: dict[str, Any]) -> None:
        facts = asked.facts
        match asked.verb:
            case "accept":
                for message_id in answer["ids"]:
                    self.forms.setdefault(message_id, [self._fresh(message_id)])
            case "recover":
                for message_id, forms in self.forms.items():
                    self._certainly(message_id, recovered(forms[-1], hold=self.messages[message_id].hold))
            case "commit_pdu":
                self.pdus[facts["raw"]].certain.add("kept")
            case "removed" | "deliver" | "undecodable" | "report":
                self.pdus[facts["raw"]].certain.add(asked.verb)
            case "advance":
                certain, most = self.cursors[facts["door"]]
                self.cursors[facts["door"]] = (max(certain, facts["seq"]), most)
            case "record":
                self.recorded[answer["seq"]] = (facts["kind"], facts["subject"])
            case "may_try_pin":
                self.tried.add(facts["iccid"])
            case "hub_id":
                self.hub = answer["hub"]
        if asked.verb in {"deliver", "undecodable"} and answer["received"] is not None:
            self.received[facts["raw"]] = (answer["received"], facts.get("text"))
        if asked.verb in NAMING:
            message_id = facts["id"]
            form = _stepped(self._certain(message_id), asked.verb, facts, hold=self.messages[message_id].hold)
            if form is None:
                raise ValueError(f"{asked.verb} was acknowledged of {message_id}, which it cannot be")
            self._certainly(message_id, form)
        if asked.verb in CLAIMING and answer["got"] is not None:
            message_id, n = answer["got"]
            if message_id not in self.forms:  # both shared a commit, and the claim was heard of first
                self.forms[message_id] = [self._fresh(message_id)]
            self._certainly(message_id, _claimed(self._certain(message_id), n))

    def _fresh(self, message_id: str) -> Form:
        return tuple(Segment() for _ in self.messages[message_id].tpdus)

    def _certain(self, message_id: str) -> Form:
        return self.forms[message_id][-1]

    def _certainly(self, message_id: str, form: Form) -> None:
        if form != self.forms[message_id][-1]:
            self.forms[message_id].append(form)

    # ── what may be ──────────────────────────────────────────────────────────────────────────────────────────────────

    def claims_under_way(self, sim: str) -> int:
        """How many segments of this SIM may have been claimed without an acknowledgement."""
        return sum(asked.verb in CLAIMING and asked.facts["sim"] == sim for asked in self._under_way.values())

    def possible(self, message_id: str) -> dict[Form | None, int]:
        """Every form that the message may have, None for "not there"; and how many claims under way each one takes."""
        message = self.messages[message_id]
        naming, claims, recovering, accepting = [], 0, False, False
        for asked in self._under_way.values():
            if asked.verb in NAMING and asked.facts["id"] == message_id:
                naming.append(asked)
            if asked.verb in CLAIMING and asked.facts["sim"] == message.sim:
                claims += 1
            recovering = recovering or asked.verb == "recover"
            accepting = accepting or (
                asked.verb == "accept" and any(one["id"] == message_id for one in asked.facts["messages"])
            )
        reached: dict[Form | None, int] = {}
        if message_id in self.forms:
            begin: list[Form] = [self._certain(message_id)]
        else:
            reached[None] = 0
            begin = [self._fresh(message_id)] if accepting else []
        waiting = [(form, 0, frozenset[int]()) for form in begin]
        while waiting:
            form, taken, used = waiting.pop()
            reached[form] = min(taken, reached.get(form, taken))
            for place, asked in enumerate(naming):
                after = None if place in used else _stepped(form, asked.verb, asked.facts, hold=message.hold)
                if after is not None:
                    waiting.append((after, taken, used | {place}))
            if taken < claims and (n := _first_queued(form)) is not None and not _in_flight(form):
                waiting.append((_claimed(form, n), taken + 1, used))
            if recovering and (settled := recovered(form, hold=message.hold)) != form:
                waiting.append((settled, taken, used))
        return reached

    def unacknowledged(self) -> Iterator[tuple[str, ...]]:
        """The requests of which no acceptance is certain: all of one is there, or nothing."""
        return (ids for ids in self.requests if not any(message_id in self.forms for message_id in ids))

    def restless(self) -> bool:
        """Whether any verb is under way that may change a message."""
        return any(asked.verb in NAMING | CLAIMING | {"accept", "recover"} for asked in self._under_way.values())


def _in_flight(form: Iterable[Segment]) -> bool:
    return any(segment.state == "submitting" for segment in form)
