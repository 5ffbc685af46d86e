"""Opens what a power cut left with the real journal, and holds it against what was promised.

``reopen`` does what the hub does at its next start (``Journal.open``, then ``recover``) and writes down what it found;
``judge`` is pure. A breach is one of

``lost``
    something that was acknowledged, or told to a door, is not there, or an older form of it is;
``impossible``
    something is there that nobody asked for, or that contradicts itself;
``corrupt``
    the file cannot be opened, was moved aside, or does not pass SQLite's checks.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

from appliance.errors import StoreError
from appliance.store import HubClock, Journal, outbound
from tests.store.powercut.promises import Segment, recovered
from tests.store.powercut.writer import BALLAST

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from tests.store.powercut.promises import Form, Ledger

__all__ = ["Breach", "Event", "Found", "FoundMessage", "FoundPdu", "Kind", "judge", "reopen"]


class Kind(StrEnum):
    LOST = "lost"
    IMPOSSIBLE = "impossible"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class Breach:
    """``of``: message, PDU, event, cursor, or store; ``what``: in words."""

    kind: Kind
    of: str
    what: str


@dataclass(frozen=True, slots=True)
class FoundMessage:
    id: str
    client: str
    to: str
    sim: str
    hold: bool
    text: str
    tpdus: tuple[str, ...]
    told: str
    form: Form


@dataclass(frozen=True, slots=True)
class FoundPdu:
    """``set``: it stands among the parts of a received message."""

    sim: str
    removed: bool
    outcome: str | None
    set: bool


@dataclass(frozen=True, slots=True)
class Event:
    seq: int
    kind: str
    subject: str
    state: str | None
    hub: int


@dataclass(frozen=True, slots=True)
class Found:
    """What stands in a store after a cut: as it was found, and what ``recover`` made of the messages.

    Attributes:
        broken: why it is corrupt, or None; then nothing else was read.
        now: hub time right after the start, ms; None when there was no anchor.
        messages: by id.
        recovered: the forms after ``recover``, by id.
        keys: message id by client, idempotency key and ordinal.
        spent: segments booked, by subject (``client:…``, ``sim:…``).
        pdus: by raw octets (hex).
        received: text by id of received messages that were told.
        events: in order of seq.
        cursors: seq by door.
        tried: ICCIDs of which a PIN was tried.
        hub: the hub's id.
        ballast: whether the reserve stands.
    """

    broken: str | None = None
    now: int | None = None
    messages: dict[str, FoundMessage] | None = None
    recovered: dict[str, Form] | None = None
    keys: dict[tuple[str, str, int], str] | None = None
    spent: dict[str, int] | None = None
    pdus: dict[str, FoundPdu] | None = None
    received: dict[str, str | None] | None = None
    events: tuple[Event, ...] = ()
    cursors: dict[str, int] | None = None
    tried: frozenset[str] = frozenset()
    hub: str | None = None
    ballast: bool = True


# ── reopening ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def reopen(directory: Path) -> Found:
    """Start a hub's journal on what is in ``directory``, on another boot of the machine with its clock at 1970."""
    clock = HubClock(boottime=lambda: 7.0, wall=lambda: 0.0, boot_id="after the cut")
    try:
        journal = await Journal.open(directory / "hub.db", clock=clock, ballast_bytes=BALLAST, check_seconds=10)
    except StoreError as error:
        return Found(broken=f"it does not open: {error}")
    try:
        if journal.quarantined is not None:
            return Found(broken="it was moved aside as corrupt")
        wrong = await journal.check() or await journal.read(_foreign_keys)
        if wrong is not None:
            return Found(broken=wrong)
        now = journal.clock.now()
        read = await journal.read(_rows)
        await journal.write(outbound.recover, wait_ms=0)
        after = await journal.read(_forms)
        ballast = (directory / "hub.db.ballast").stat().st_size == BALLAST and not journal.on_ballast
        return _found(read, now=now, after=after, ballast=ballast)
    except StoreError as error:
        return Found(broken=f"it does not work: {error}")
    finally:
        await journal.close()


def _foreign_keys(db: sqlite3.Connection) -> str | None:
    return None if db.execute("PRAGMA foreign_key_check").fetchone() is None else "a foreign key leads nowhere"


Rows = dict[str, list[tuple[object, ...]]]

_QUERIES = {
    "message": "SELECT id, client, recipient, imsi, on_in_doubt = 'hold', text, told FROM message",
    "tpdu": "SELECT m.id, lower(hex(s.tpdu)) FROM segment AS s JOIN message AS m ON m.seq = s.message"
    " ORDER BY s.message, s.n",
    "idempotency": "SELECT client, key, ordinal, message_id FROM idempotency",
    "spend": "SELECT subject, sum(segments) FROM spend GROUP BY subject",
    "pdu": "SELECT raw, imsi, removed, outcome, raw IN (SELECT raw FROM part) FROM inbound_pdu",
    "received": "SELECT id, text FROM received WHERE seq IS NOT NULL",
    "event": "SELECT seq, kind, subject, body ->> 'state', hub FROM event ORDER BY seq",
    "cursor": "SELECT door, seq FROM cursor",
    "pin": "SELECT iccid FROM pin_try",
    "meta": "SELECT key, value FROM meta",
}


def _rows(db: sqlite3.Connection) -> tuple[Rows, dict[str, Form]]:
    return {name: [tuple(row) for row in db.execute(query)] for name, query in _QUERIES.items()}, _forms(db)


def _forms(db: sqlite3.Connection) -> dict[str, Form]:
    forms: dict[str, Form] = {}
    for message_id, state, handed, resent, mr in db.execute(
        "SELECT m.id, s.state, s.payload_next, s.resent, s.mr FROM segment AS s JOIN message AS m ON m.seq = s.message"
        " ORDER BY s.message, s.n"
    ):
        segment = Segment(state, state == "submitting" and bool(handed), bool(resent), mr)
        forms[message_id] = (*forms.get(message_id, ()), segment)
    return forms


def _found(read: tuple[Rows, dict[str, Form]], *, now: int, after: dict[str, Form], ballast: bool) -> Found:
    rows, forms = read
    tpdus: dict[str, tuple[str, ...]] = {}
    for message_id, tpdu in rows["tpdu"]:
        tpdus[str(message_id)] = (*tpdus.get(str(message_id), ()), str(tpdu))
    meta = {str(key): str(value) for key, value in rows["meta"]}
    messages = {
        str(message_id): FoundMessage(
            id=str(message_id),
            client=str(client),
            to=str(to),
            sim=str(sim),
            hold=bool(hold),
            text=str(text),
            tpdus=tpdus.get(str(message_id), ()),
            told=str(told),
            form=forms.get(str(message_id), ()),
        )
        for message_id, client, to, sim, hold, text, told in rows["message"]
    }
    return Found(
        now=now if "anchor" in meta else None,
        messages=messages,
        recovered=after,
        keys={(str(client), str(key), int(str(n))): str(one) for client, key, n, one in rows["idempotency"]},
        spent={str(subject): int(str(segments)) for subject, segments in rows["spend"]},
        pdus={
            str(raw): FoundPdu(str(sim), bool(gone), None if outcome is None else str(outcome), bool(part))
            for raw, sim, gone, outcome, part in rows["pdu"]
        },
        received={str(one): None if text is None else str(text) for one, text in rows["received"]},
        events=tuple(
            Event(int(str(seq)), str(kind), str(subject), None if state is None else str(state), int(str(hub)))
            for seq, kind, subject, state, hub in rows["event"]
        ),
        cursors={str(door): int(str(seq)) for door, seq in rows["cursor"]},
        tried=frozenset(str(iccid) for (iccid,) in rows["pin"]),
        hub=meta.get("hub_id"),
        ballast=ballast,
    )


# ── judging ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def judge(ledger: Ledger, found: Found) -> list[Breach]:
    """Every breach of a promise, in no order that matters."""
    if found.broken is not None:
        return [Breach(Kind.CORRUPT, "store", found.broken)]
    return [*_messages(ledger, found), *_inbound(ledger, found), *_events(ledger, found), *_rest(ledger, found)]


def _lost(of: str, what: str) -> Breach:
    return Breach(Kind.LOST, of, what)


def _impossible(of: str, what: str) -> Breach:
    return Breach(Kind.IMPOSSIBLE, of, what)


def _messages(ledger: Ledger, found: Found) -> Iterator[Breach]:
    messages, after, keys = found.messages or {}, found.recovered or {}, found.keys or {}
    claims: Counter[str] = Counter()
    restless = ledger.restless()
    for message_id, message in ledger.messages.items():
        there = messages.get(message_id)
        if there is None:
            if message_id in ledger.forms:
                yield _lost("message", f"{message_id} was accepted, and is not there")
            continue
        asked = (message.client, message.to, message.sim, message.hold, message.text, message.tpdus)
        if asked != (there.client, there.to, there.sim, there.hold, there.text, there.tpdus):
            yield _impossible("message", f"{message_id} is there with another content")
        if keys.get((message.client, message.key, message.ordinal)) != message_id:
            yield _lost("message", f"{message_id} is there, and the key that it was accepted under is not")
        forms = ledger.forms.get(message_id)
        if restless or forms is None:
            possible = ledger.possible(message_id)
            claims[message.sim] += possible.get(there.form, 0)
            fits = there.form in possible
        else:
            fits = there.form == forms[-1]
        if not fits and forms is not None and there.form in forms:
            yield _lost("message", f"{message_id} is {_words(there.form)}, and {_words(forms[-1])} was acknowledged")
        elif not fits:
            yield _impossible("message", f"{message_id} is {_words(there.form)}, which nothing asked for can have made")
        settled = after.get(message_id, ())
        if settled != recovered(there.form, hold=message.hold):
            yield _impossible(
                "message", f"{message_id} was {_words(there.form)}, and a new start makes {_words(settled)} of it"
            )
        yield from _doubts(ledger, message_id, settled)
    for sim, count in claims.items():
        if count > ledger.claims_under_way(sim):
            yield _impossible("message", f"{count} segments of {sim} were claimed that nobody asked for")
    for message_id in messages.keys() - ledger.messages.keys():
        yield _impossible("message", f"{message_id} is there, and nobody sent it")
    for ids in ledger.unacknowledged():
        if 0 < sum(message_id in messages for message_id in ids) < len(ids):
            yield _impossible("message", f"of the request {ids} a part was taken")


def _doubts(ledger: Ledger, message_id: str, settled: Form) -> Iterator[Breach]:
    """What may have left is never plainly queued again (promise S3), however the rest is judged."""
    for n, segment in enumerate(ledger.forms.get(message_id, [()])[-1], start=1):
        plain = len(settled) >= n and settled[n - 1].state == "queued" and not settled[n - 1].resent
        if segment.handed and plain:
            yield _lost(
                "message", f"{message_id}/{n} was handed to the modem, and would be sent as if it never had been"
            )


def _words(form: Form) -> str:
    return ", ".join(
        f"{segment.state}{' (handed)' if segment.handed else ''}{' (resent)' if segment.resent else ''}"
        for segment in form
    )


def _inbound(ledger: Ledger, found: Found) -> Iterator[Breach]:
    pdus, received = found.pdus or {}, found.received or {}
    for raw, pdu in ledger.pdus.items():
        there = pdus.get(raw)
        if there is None:
            if pdu.certain:
                yield _lost("PDU", f"PDU {raw[:12]} was kept, and is not there ({', '.join(sorted(pdu.certain))})")
            continue
        is_so = {"kept", *(["removed"] if there.removed else []), *([there.outcome] if there.outcome else [])}
        if not pdu.certain <= is_so:
            yield _lost("PDU", f"PDU {raw[:12]} is not {', '.join(sorted(pdu.certain - is_so))}, as was acknowledged")
        if not is_so <= pdu.asked or there.sim != pdu.sim:
            yield _impossible("PDU", f"PDU {raw[:12]} is {', '.join(sorted(is_so))}, which nobody asked for")
        if (there.outcome == "deliver") != there.set:
            yield _impossible(
                "PDU", f"PDU {raw[:12]} is {there.outcome} and stands {'' if there.set else 'not '}in a message"
            )
    for raw in pdus.keys() - ledger.pdus.keys():
        yield _impossible("PDU", f"PDU {raw[:12]} is there, and no modem had it")
    for raw, (received_id, text) in ledger.received.items():
        if received_id not in received:
            yield _lost("PDU", f"{received_id} (PDU {raw[:12]}) was told as received, and is not there")
        elif received[received_id] != text:
            yield _impossible("PDU", f"{received_id} is there with another text")


def _events(ledger: Ledger, found: Found) -> Iterator[Breach]:
    events, cursors = found.events, found.cursors or {}
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        yield _impossible("event", "there is a gap in the events")
    if any(later.hub < earlier.hub for earlier, later in pairwise(events)):
        yield _impossible("event", "hub time goes back from one event to the next")
    by_seq = {event.seq: (event.kind, event.subject, event.state) for event in events}
    for seq, told in ledger.told.items():
        if seq not in by_seq:
            yield _lost("event", f"event {seq} was told, and is not there")
        elif by_seq[seq] != told:
            yield _impossible("event", f"event {seq} was told as {told}, and is now {by_seq[seq]}")
    for seq, recorded in ledger.recorded.items():
        if seq not in by_seq or by_seq[seq][:2] != recorded:
            yield _lost("event", f"event {seq} was recorded, and is not there")
    for door in ledger.cursors.keys() | cursors.keys():
        certain, most = ledger.cursors.get(door, (0, 0))
        there = cursors.get(door, 0)
        if there < certain:
            yield _lost("cursor", f"the cursor of {door} was at {certain}, and is at {there}")
        if there > min(most, len(events)):
            yield _impossible(
                "cursor", f"the cursor of {door} is at {there}, of {len(events)} events, and {most} was asked for"
            )
    newest = {event.subject: event.state for event in events if event.kind == "message"}
    for message_id, message in (found.messages or {}).items():
        if newest.get(message_id) != message.told:
            yield _impossible(
                "event", f"{message_id} is {message.told}, and its newest event says {newest.get(message_id)}"
            )
        if message.told != _state(message.form):
            yield _impossible("event", f"{message_id} is {message.told}, and its segments are {_words(message.form)}")
    told_received = {event.subject for event in events if event.kind == "received"}
    if told_received != (found.received or {}).keys():
        yield _impossible("event", "the received messages are not those that events tell of")


def _state(form: Form) -> str:
    """The word for a message with these segments: its first segments leave first, and a bad end is the end."""
    states = {segment.state for segment in form}
    if "submitting" in states or ("queued" in states and len(states) > 1):
        return "submitting"
    for word in ("queued", "failed", "in_doubt", "submitted", "delivered"):
        if word in states:
            return word
    return "none"


def _rest(ledger: Ledger, found: Found) -> Iterator[Breach]:
    if ledger.hub is not None and found.hub != ledger.hub:
        yield _lost("store", f"the hub was {ledger.hub}, and is {found.hub}")
    for iccid in ledger.tried - found.tried:
        yield _lost("store", f"the PIN of {iccid} was tried, and that is forgotten")
    newest = max((event.hub for event in found.events), default=0)
    if found.now is None:
        if ledger.acknowledged:
            yield _lost("store", "the anchor of hub time is not there")
    elif found.now < newest:
        yield _impossible("store", f"hub time is {found.now}, and an event happened at {newest}")
    if not found.ballast:
        yield _impossible("store", "there is no reserve")
    booked: Counter[str] = Counter()
    for message in (found.messages or {}).values():
        booked[f"client:{message.client}"] += len(message.form)
        booked[f"sim:{message.sim}"] += len(message.form)
    if dict(booked) != (found.spent or {}):
        yield _impossible("store", f"{dict(booked)} segments are there, and {found.spent} are booked")
