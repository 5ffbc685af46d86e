"""Outbound messages: from the acceptance to exactly one end (promises S1 to S6, C2).

Promise
    Each verb is one transaction, and whenever it changes a message's state, and at acceptance, it emits an event of
    kind "message" whose body is the public JSON without the text. A message that has ended never changes again, but
    for one case: ``in_doubt`` becomes ``submitted``, ``delivered`` or ``undelivered`` when evidence (a late result, a
    status report) proves it.

What it does not do
    It does not decide who may send where, which SIM is best, or how long to back off: the hub does. It does not read
    TPDUs.

Theory of operation
    Segments carry the state; ``message.told`` is the word of the newest event, always what ``states.derive`` says.
    ``_settle`` is the only place that writes it.

    A *lane* is what must stay in order (S5): one SIM, one recipient, one priority. The table ``lane`` names, for each,
    the first message that still has something to send, and when its next segment may be tried; ``_relane`` is the only
    place that writes it, from the rows. A claim promotes the lanes whose time has come and takes the best ready one:
    highest priority, then a message of which some segments have left already (they stay contiguous), then the oldest.
    A waiting lane costs a claim nothing, however many messages stand in it.

    The life of a segment, and what each verb means for the truth:

    =================  ==========================  ==================================================================
    verb               from → to                   certainty
    =================  ==========================  ==================================================================
    ``claim``          queued → submitting         surely not sent (attempts + 1)
    ``payload_next``   submitting, marked          from here until the result, nobody can know
    ``submitted``      submitting → submitted      surely sent, as TP-MR ``mr``
    ``put_back``       submitting → queued         surely not sent
    ``fail``           submitting → failed         surely not sent, and never will be
    ``doubt``          submitting → queued         may have been sent; its one re-submission is due (``resent`` = 1)
    ``doubt``          submitting → in_doubt       may have been sent; policy ``hold``, or re-submitted already
    =================  ==========================  ==================================================================

    What may have left once never becomes "failed", "expired" or "cancelled": a segment with ``resent`` = 1 that is
    refused, or whose time runs out, ends ``in_doubt``. Siblings that never left, when one segment fails or is in doubt
    for good, end ``failed`` (``sibling_failed``, ``sibling_in_doubt``): sending the rest of a broken message costs and
    helps nobody. So a message of which one segment is in doubt for good is ``failed`` when others never left.

    Spending is counted in segments in hour buckets of hub time; a bucket counts until all of it is older than 24 hours,
    so that no window of 24 hours can exceed a cap. What was counted is not given back when a message ends unsent.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from appliance.errors import Rejected, StoreError
from appliance.store import evidence
from appliance.store.clock import DAY_MS, HOUR_MS, rfc3339
from appliance.store.journal import needs_room
from appliance.store.states import ENDED, UNSENT, derive
from appliance.types import Imsi, MessageId, OnInDoubt, Reason, RetryClass, SegmentState

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from appliance.store.journal import Transaction

__all__ = [
    "IDEMPOTENCY_MS",
    "NO_REPORT",
    "Accepted",
    "Claim",
    "NewMessage",
    "Recovered",
    "accept",
    "assign",
    "cancel",
    "claim",
    "doubt",
    "expire",
    "fail",
    "lane_sim",
    "last_seq",
    "message_view",
    "messages",
    "next_due",
    "payload_next",
    "put_back",
    "queue_depths",
    "reassign",
    "recover",
    "resolve",
    "submitted",
    "submitted_and_claim",
]

IDEMPOTENCY_MS = 7 * DAY_MS
"""How long a key stands for its message (promise S4)."""

NO_REPORT = "no_report"
"""Reason of a ``submitted`` message whose status report is not waited for any more."""

SPEND_HOURS = 24
EXPIRE_BITE = 100
"""Messages that one claim expires on its way: a queue that is overdue as a whole must not make one claim long."""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be accepted.

    Attributes:
        id: chosen by the caller; unique for ever.
        client: who sends it; caps and idempotency keys are per client.
        recipient: as it will be shown and compared: E.164 with ``+``, or a short code.
        segments: the TPDUs, in order; at least one.
        ttl_ms: it expires when it is not submitted within this time.
        idempotency_key: see ``accept``.
        fingerprint: of the whole request; another one under the same key is a conflict.
        replaces_key: the key is reused over time (an MQTT packet identifier): an older message gives it up.
        imsi: the SIM that shall send it, or None when none can yet; unless pinned, the SIM that still has texts for its
            recipient takes it instead.
        pinned: the client named the SIM: it is never reassigned.
        priority: higher goes first.
        report: whether a status report is asked for in the TPDUs.
        extra: shown with the message under its own names; JSON.
    """

    id: MessageId
    client: str
    recipient: str
    segments: tuple[bytes, ...]
    ttl_ms: int
    idempotency_key: str | None = None
    fingerprint: bytes = b""
    replaces_key: bool = False
    imsi: Imsi | None = None
    pinned: bool = False
    priority: int = 0
    report: bool = True
    on_in_doubt: OnInDoubt = OnInDoubt.RESEND
    encoding: str = "gsm7"
    text: str | None = None
    data: bytes | None = None
    port: int | None = None
    flash: bool = False
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of one message.

    Attributes:
        id: its own, or that of the message it repeats.
        seq: its place in the queue.
        duplicate: it was accepted before, under the same key.
        view: its public JSON without the text; only id and seq of a duplicate that is forgotten already.
    """

    id: MessageId
    seq: int
    duplicate: bool
    view: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """One segment to be submitted now.

    Attributes:
        message_id: of the message.
        seq: the message's key for the other verbs.
        n: the segment, from 1.
        total: segments of the message.
        tpdu: to be submitted.
        recipient: of the message.
        reject_duplicates: it may have been sent before: set TP-RD (23.040 §9.2.3.25).
        report: whether a status report is asked for.
        attempts: this one counted.
    """

    message_id: MessageId
    seq: int
    n: int
    total: int
    tpdu: bytes
    recipient: str
    reject_duplicates: bool
    report: bool
    attempts: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """What ``recover`` found in flight: segments surely not sent, and segments that nobody can know of."""

    put_back: int
    in_doubt: int


# ── accepting ────────────────────────────────────────────────────────────────────────────────────────────────────────


@needs_room
def accept(
    tx: Transaction, messages: Sequence[NewMessage], *, client_cap: int | None, sim_cap: int
) -> tuple[Accepted, ...]:
    """Take all of these messages, or none.

    The same client and key within 7 days, with the same fingerprints: the old ids, ``duplicate=True``, nothing written.

    Args:
        tx: the transaction.
        messages: of one request, in order: their index is the ordinal under the key.
        client_cap: segments in 24 hours for each client, or None.
        sim_cap: segments in 24 hours for each SIM, and for the messages that have none yet.

    Raises:
        Rejected: ``idempotency_conflict`` or ``quota_exceeded`` (with ``retry_after`` in seconds when waiting helps).
        StoreFull: the disk is full.
    """
    known = _known(tx, messages)
    kept: dict[str, Imsi | None] = {}
    fresh = [
        (ordinal, _in_order(tx, message, kept)) for ordinal, message in enumerate(messages) if ordinal not in known
    ]
    clients: dict[str, int] = {}
    sims: dict[str, int] = {}
    for _, message in fresh:
        if not message.segments:
            raise ValueError(f"{message.id} has no segments")
        clients[message.client] = clients.get(message.client, 0) + len(message.segments)
        imsi = message.imsi or ""
        sims[imsi] = sims.get(imsi, 0) + len(message.segments)
    for client, segments in clients.items():
        _spend(tx, f"client:{client}", segments, cap=client_cap, whose="this client")
    for imsi, segments in sims.items():
        _spend(tx, f"sim:{imsi}", segments, cap=sim_cap, whose="this SIM" if imsi else "messages without a SIM")
    accepted = dict(known)
    for ordinal, message in fresh:
        seq, view = _insert(tx, message, ordinal)
        accepted[ordinal] = Accepted(message.id, seq, duplicate=False, view=view)
    return tuple(accepted[ordinal] for ordinal in range(len(messages)))


def _in_order(tx: Transaction, message: NewMessage, kept: dict[str, Imsi | None]) -> NewMessage:
    """The message on the SIM that still has texts for its recipient, so that their order holds."""
    if message.pinned:
        return message
    imsi = kept.setdefault(message.recipient, lane_sim(tx.db, message.recipient) or message.imsi)
    return message if imsi == message.imsi else replace(message, imsi=imsi)


def _known(tx: Transaction, messages: Sequence[NewMessage]) -> dict[int, Accepted]:
    """The messages that were accepted before, by ordinal; clears keys that are given up."""
    asked: dict[tuple[str, str], dict[int, NewMessage]] = {}
    for ordinal, message in enumerate(messages):
        if message.idempotency_key is not None:
            asked.setdefault((message.client, message.idempotency_key), {})[ordinal] = message
    known: dict[int, Accepted] = {}
    for (client, key), group in asked.items():
        replaces = any(message.replaces_key for message in group.values())
        rows = tx.db.execute(
            "SELECT ordinal, fingerprint, message_id, message_seq, hub FROM idempotency WHERE client = ? AND key = ?",
            (client, key),
        ).fetchall()
        if not rows:
            continue
        if replaces or rows[0]["hub"] <= tx.now - IDEMPOTENCY_MS:
            tx.db.execute("DELETE FROM idempotency WHERE client = ? AND key = ?", (client, key))
            continue
        if {row["ordinal"]: row["fingerprint"] for row in rows} != {n: m.fingerprint for n, m in group.items()}:
            raise Rejected(
                "idempotency_conflict",
                "this idempotency key was used for another request in the last 7 days; use a new key for a new request",
            )
        for row in rows:
            message_id, seq = row["message_id"], row["message_seq"]
            view = message_view(tx.db, message_id, text=False) or {"id": message_id, "seq": seq}
            known[row["ordinal"]] = Accepted(message_id, seq, duplicate=True, view=view)
    return known


def _spent(db: sqlite3.Connection, subject: str, now: int) -> list[tuple[int, int]]:
    """The hour buckets that count now, oldest first: (hour, segments)."""
    hour = now // HOUR_MS
    rows = db.execute(
        "SELECT hour, segments FROM spend WHERE subject = ? AND hour >= ? ORDER BY hour", (subject, hour - SPEND_HOURS)
    )
    return [(row["hour"], row["segments"]) for row in rows]


def _book(tx: Transaction, subject: str, segments: int, hour: int) -> None:
    tx.db.execute(
        "INSERT INTO spend (subject, hour, segments) VALUES (?, ?, ?) ON CONFLICT (subject, hour) DO UPDATE"
        " SET segments = max(0, spend.segments + excluded.segments)",
        (subject, hour, segments),
    )


def _spend(tx: Transaction, subject: str, segments: int, *, cap: int | None, whose: str) -> None:
    if cap is not None:
        buckets = _spent(tx.db, subject, tx.now)
        excess = sum(count for _, count in buckets) + segments - cap
        if excess > 0:
            retry_after = None
            for hour, count in buckets:
                excess -= count
                if excess <= 0:
                    retry_after = ((hour + SPEND_HOURS + 1) * HOUR_MS - tx.now) / 1000
                    break
            raise Rejected(
                "quota_exceeded",
                f"{whose} may spend {cap} segments in 24 hours, and {segments} more would exceed that",
                retry_after=retry_after,
            )
    _book(tx, subject, segments, tx.now // HOUR_MS)


def _insert(tx: Transaction, message: NewMessage, ordinal: int) -> tuple[int, dict[str, Any]]:
    seq = tx.db.execute(
        "INSERT INTO message (id, client, recipient, imsi, pinned, priority, report, on_in_doubt, encoding, text, data,"
        " port, flash, extra, segments, told, booked_hour, accepted_hub, accepted_at, updated_hub, updated_at,"
        " expires_hub) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?)",
        (
            message.id,
            message.client,
            message.recipient,
            message.imsi,
            message.pinned,
            message.priority,
            message.report,
            message.on_in_doubt,
            message.encoding,
            message.text,
            message.data,
            message.port,
            message.flash,
            json.dumps(dict(message.extra), ensure_ascii=False),
            len(message.segments),
            tx.now // HOUR_MS,
            tx.now,
            tx.wall,
            tx.now,
            tx.wall,
            tx.now + message.ttl_ms,
        ),
    ).lastrowid
    assert seq is not None
    tx.db.executemany(
        "INSERT INTO segment (message, n, tpdu, state) VALUES (?, ?, ?, 'queued')",
        [(seq, n, tpdu) for n, tpdu in enumerate(message.segments, start=1)],
    )
    if message.idempotency_key is not None:
        tx.db.execute(
            "INSERT INTO idempotency (client, key, ordinal, fingerprint, message_id, message_seq, hub)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (message.client, message.idempotency_key, ordinal, message.fingerprint, message.id, seq, tx.now),
        )
    if message.imsi is not None:
        # A lane that is there keeps its head: that is older.
        tx.db.execute(
            "INSERT INTO lane (recipient, imsi, priority, head, begun, ready, due_hub) VALUES (?, ?, ?, ?, 0, 1, 0)"
            " ON CONFLICT (recipient, imsi, priority) DO NOTHING",
            (message.recipient, message.imsi, message.priority, seq),
        )
    return seq, _tell(tx, seq)


# ── SIMs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def assign(tx: Transaction, imsi: Imsi, *, sim_cap: int, limit: int = 1000) -> int:
    """Give messages without a SIM to this one, oldest first; returns how many.

    Their spending moves from the pool to the SIM, booked now: now is when it may be spent. What exceeds the cap stays.
    """
    left = sim_cap - sum(count for _, count in _spent(tx.db, f"sim:{imsi}", tx.now))
    rows = tx.db.execute(
        "SELECT seq, recipient, priority, segments, booked_hour FROM message"
        " WHERE imsi IS NULL AND told IN ('queued', 'submitting') ORDER BY seq LIMIT ?",
        (limit,),
    ).fetchall()
    moved = 0
    stuck: set[tuple[str, int]] = set()
    for row in rows:
        lane = (row["recipient"], row["priority"])
        if lane in stuck or row["segments"] > left:
            stuck.add(lane)  # a younger message of the lane must not overtake it
            continue
        left -= row["segments"]
        _move(tx, row, from_subject="sim:", imsi=imsi)
        _relane(tx, imsi, *lane)
        moved += 1
    return moved


def reassign(tx: Transaction, from_imsi: Imsi, to_imsi: Imsi, *, limit: int, sim_cap: int) -> int:
    """Give messages of one SIM to another; returns how many.

    Only whole lanes of which nothing was ever tried and nothing is pinned move, oldest first, so that the order for a
    recipient is kept. ``limit`` is in messages; a lane that is longer moves alone. What exceeds the cap stays.
    """
    left = sim_cap - sum(count for _, count in _spent(tx.db, f"sim:{to_imsi}", tx.now))
    lanes = tx.db.execute(
        "SELECT recipient, priority FROM lane WHERE imsi = ? AND begun = 0 AND due_hub IS NOT NULL ORDER BY head",
        (from_imsi,),
    ).fetchall()
    moved = 0
    for lane in lanes:
        if moved >= limit:
            break
        rows = tx.db.execute(
            "SELECT seq, recipient, priority, segments, booked_hour, pinned, EXISTS (SELECT 1 FROM segment"
            " WHERE segment.message = message.seq AND (attempts > 0 OR resent = 1 OR state <> 'queued')) AS touched"
            " FROM message WHERE imsi = ? AND recipient = ? AND priority = ? AND told IN ('queued', 'submitting')"
            " ORDER BY seq",
            (from_imsi, lane["recipient"], lane["priority"]),
        ).fetchall()
        segments = sum(row["segments"] for row in rows)
        if segments > left or any(row["pinned"] or row["touched"] for row in rows):
            continue
        if moved and moved + len(rows) > limit:
            continue
        left -= segments
        for row in rows:
            _move(tx, row, from_subject=f"sim:{from_imsi}", imsi=to_imsi)
        moved += len(rows)
        _relane(tx, from_imsi, lane["recipient"], lane["priority"])
        _relane(tx, to_imsi, lane["recipient"], lane["priority"])
    return moved


def _move(tx: Transaction, row: sqlite3.Row, *, from_subject: str, imsi: str) -> None:
    hour = tx.now // HOUR_MS
    _book(tx, from_subject, -row["segments"], row["booked_hour"])
    _book(tx, f"sim:{imsi}", row["segments"], hour)
    tx.db.execute("UPDATE message SET imsi = ?, booked_hour = ? WHERE seq = ?", (imsi, hour, row["seq"]))


# ── submitting ───────────────────────────────────────────────────────────────────────────────────────────────────────


def claim(tx: Transaction, imsi: Imsi) -> Claim | None:
    """The next segment for this SIM, now ``submitting``; None when nothing is ready (``next_due`` says when).

    Expires overdue messages on the way, in bites: while very many are overdue it may be None although something is
    ready, and ``next_due`` is then in the past.
    """
    expire(tx, limit=EXPIRE_BITE)
    tx.db.execute("UPDATE lane SET ready = 1 WHERE imsi = ? AND ready = 0 AND due_hub <= ?", (imsi, tx.now))
    for _ in range(EXPIRE_BITE):
        lane = tx.db.execute(
            "SELECT head FROM lane WHERE imsi = ? AND ready = 1 ORDER BY priority DESC, begun DESC, head LIMIT 1",
            (imsi,),
        ).fetchone()
        if lane is None:
            return None
        row = tx.db.execute(
            "SELECT m.id, m.seq, m.segments, m.recipient, m.report, m.expires_hub, s.n, s.tpdu, s.resent, s.attempts"
            " FROM message AS m JOIN segment AS s ON s.message = m.seq WHERE m.seq = ? AND s.state = 'queued'"
            " ORDER BY s.n LIMIT 1",
            (lane["head"],),
        ).fetchone()
        if row["expires_hub"] > tx.now:
            break
        _expire(tx, row["seq"])
    else:
        return None
    tx.db.execute(
        "UPDATE segment SET state = 'submitting', attempts = attempts + 1, payload_next = 0, claimed_hub = ?"
        " WHERE message = ? AND n = ?",
        (tx.now, row["seq"], row["n"]),
    )
    _settle(tx, row["seq"])
    return Claim(
        message_id=row["id"],
        seq=row["seq"],
        n=row["n"],
        total=row["segments"],
        tpdu=row["tpdu"],
        recipient=row["recipient"],
        reject_duplicates=bool(row["resent"]),
        report=bool(row["report"]),
        attempts=row["attempts"] + 1,
    )


def payload_next(tx: Transaction, seq: int, n: int) -> None:
    """The prompt is there and the PDU goes next: from here until its result this segment is in doubt (promise S3).

    Raises:
        StoreError: the segment is not ``submitting``; nothing may be sent.
    """
    changed = tx.db.execute(
        "UPDATE segment SET payload_next = 1 WHERE message = ? AND n = ? AND state = 'submitting'", (seq, n)
    ).rowcount
    if changed != 1:
        raise StoreError(f"segment {n} of message {seq} is not being submitted")


def submitted(tx: Transaction, seq: int, n: int, *, imsi: Imsi, mr: int | None) -> None:
    """The service centre has it, as TP-MR ``mr``; a report that came before this result is found and told.

    ``mr`` None: it has it, and did not say as what (TP-FCS 0xC5); a report is then matched by the recipient alone.
    A late result also resolves a doubt. Saying the same again is harmless.

    Raises:
        StoreError: the segment was never tried, or has ended otherwise.
    """
    row = _segment(tx, seq, n)
    match row["state"]:
        case SegmentState.SUBMITTING | SegmentState.IN_DOUBT:
            pass
        case SegmentState.QUEUED if row["resent"]:
            pass
        case SegmentState.SUBMITTED | SegmentState.DELIVERED | SegmentState.UNDELIVERED if (
            None in {mr, row["mr"]} or row["mr"] == mr
        ):
            return
        case other:
            raise StoreError(f"segment {n} of message {seq} is {other} and cannot become submitted")
    resolve(tx, seq, n, SegmentState.SUBMITTED, imsi=imsi, mr=mr)
    _orphan(tx, seq, n, imsi=imsi, mr=mr)


def submitted_and_claim(tx: Transaction, seq: int, n: int, *, imsi: Imsi, mr: int | None) -> Claim | None:
    """``submitted`` and then ``claim`` for the same SIM, in one commit."""
    submitted(tx, seq, n, imsi=imsi, mr=mr)
    return claim(tx, imsi)


def put_back(tx: Transaction, seq: int, n: int, *, reason: Reason, delay_ms: int, counted: bool) -> None:
    """Surely not sent: queued again, to be tried after ``delay_ms``; not counted means that it was no attempt.

    Raises:
        StoreError: the segment is not ``submitting``.
    """
    _submitting(tx, seq, n)
    tx.db.execute(
        "UPDATE segment SET state = 'queued', payload_next = 0, attempts = attempts - ?, not_before_hub = ?,"
        " reason_code = ?, reason_class = ?, reason_text = ? WHERE message = ? AND n = ?",
        (0 if counted else 1, tx.now + delay_ms, reason.code, reason.retry, reason.text, seq, n),
    )
    _settle(tx, seq)


def fail(tx: Transaction, seq: int, n: int, *, reason: Reason) -> None:
    """Surely not sent by this attempt, and never will be; its queued siblings end too (``sibling_failed``).

    When an earlier attempt is in doubt, that is what remains: ``in_doubt``.

    Raises:
        StoreError: the segment is not ``submitting``.
    """
    row = _submitting(tx, seq, n)
    _end(tx, seq, n, SegmentState.IN_DOUBT if row["resent"] else SegmentState.FAILED, reason)
    _end_siblings(tx, seq, "sibling_failed", "another segment of this message failed")
    _settle(tx, seq)


def doubt(tx: Transaction, seq: int, n: int, *, reason: Reason, wait_ms: int) -> None:
    """Nobody can know whether it was sent.

    A status report that came meanwhile is a witness and decides. Else, by the message's policy: ``resend`` and not
    resent yet: queued again, to be re-submitted once after ``wait_ms``; otherwise ``in_doubt`` for good, and siblings
    that never left end ``failed`` with ``sibling_in_doubt``.

    Raises:
        StoreError: the segment is not ``submitting``.
    """
    row = _submitting(tx, seq, n)
    if _witness(tx, seq, n):
        return
    policy = tx.db.execute("SELECT on_in_doubt FROM message WHERE seq = ?", (seq,)).fetchone()["on_in_doubt"]
    if policy == OnInDoubt.RESEND and not row["resent"]:
        tx.db.execute(
            "UPDATE segment SET state = 'queued', resent = 1, payload_next = 0, not_before_hub = ?, reason_code = ?,"
            " reason_class = ?, reason_text = ? WHERE message = ? AND n = ?",
            (tx.now + wait_ms, reason.code, reason.retry, reason.text, seq, n),
        )
    else:
        _end(tx, seq, n, SegmentState.IN_DOUBT, reason)
        _end_siblings(tx, seq, "sibling_in_doubt", "another segment of this message is in doubt, this one never left")
    _settle(tx, seq)


def recover(tx: Transaction, *, wait_ms: int = 0) -> Recovered:
    """At start: what was in flight when the process ended. Not handed over: queued, uncounted. Else: ``doubt``."""
    rows = tx.db.execute(
        "SELECT message, n, payload_next FROM segment WHERE state = 'submitting' ORDER BY message, n"
    ).fetchall()
    in_doubt = 0
    for row in rows:
        if row["payload_next"]:
            in_doubt += 1
            reason = Reason("restart", RetryClass.IN_DOUBT, "the hub ended while the modem had the message")
            doubt(tx, row["message"], row["n"], reason=reason, wait_ms=wait_ms)
        else:
            reason = Reason("restart", RetryClass.RETRY_NOW, "the hub ended before the modem had the message")
            put_back(tx, row["message"], row["n"], reason=reason, delay_ms=0, counted=False)
    return Recovered(put_back=len(rows) - in_doubt, in_doubt=in_doubt)


# ── ends without sending ─────────────────────────────────────────────────────────────────────────────────────────────


def cancel(tx: Transaction, message_id: MessageId, *, client: str | None = None) -> dict[str, Any]:
    """Take a message back of which nothing was handed over; of this client only, when given. Returns its public JSON.

    Raises:
        Rejected: ``not_found`` or ``not_cancellable``.
    """
    row = tx.db.execute(
        "SELECT seq FROM message WHERE id = ? AND (? IS NULL OR client = ?)", (message_id, client, client)
    ).fetchone()
    if row is None:
        raise Rejected("not_found", "there is no such message")
    seq = row["seq"]
    handed = tx.db.execute(
        "SELECT 1 FROM segment WHERE message = ? AND (state <> 'queued' OR resent = 1) LIMIT 1", (seq,)
    ).fetchone()
    if handed is not None:
        raise Rejected("not_cancellable", "it has ended already, or a part of it has been handed to the modem")
    reason = Reason("cancelled", RetryClass.PERMANENT, "cancelled by request")
    tx.db.execute(
        "UPDATE segment SET state = 'cancelled', reason_code = ?, reason_class = ?, reason_text = ? WHERE message = ?",
        (reason.code, reason.retry, reason.text, seq),
    )
    _settle(tx, seq)
    view = message_view(tx.db, message_id)
    assert view is not None
    return view


_OVERDUE = (
    "SELECT seq, expires_hub FROM message INDEXED BY message_expiry"  # else all that is queued is sorted
    " WHERE told IN ('queued', 'submitting') AND expires_hub <= ?"
    " AND EXISTS (SELECT 1 FROM segment WHERE segment.message = message.seq AND state = 'queued')"
    " ORDER BY expires_hub LIMIT ?"
)


def expire(tx: Transaction, *, limit: int = 1000) -> int:
    """End what is queued and overdue, in messages, oldest first; returns how many ended so."""
    rows = tx.db.execute(_OVERDUE, (tx.now, limit)).fetchall()
    for row in rows:
        _expire(tx, row["seq"])
    return len(rows)


def _expire(tx: Transaction, seq: int) -> None:
    reason = Reason("expired", RetryClass.PERMANENT, "not submitted within its time")
    doubtful = Reason("expired", RetryClass.IN_DOUBT, "in doubt, and its time ended before it was submitted again")
    for state, why, resent in ((SegmentState.EXPIRED, reason, 0), (SegmentState.IN_DOUBT, doubtful, 1)):
        tx.db.execute(
            "UPDATE segment SET state = ?, reason_code = ?, reason_class = ?, reason_text = ?"
            " WHERE message = ? AND state = 'queued' AND resent = ?",
            (state, why.code, why.retry, why.text, seq, resent),
        )
    _settle(tx, seq)


def next_due(db: sqlite3.Connection, imsi: Imsi) -> int | None:
    """Hub time, ms, of the earliest thing that time alone makes ready for this SIM, or expired (of any); or None."""
    waiting = db.execute(
        "SELECT due_hub FROM lane WHERE imsi = ? AND ready = 0 AND due_hub IS NOT NULL ORDER BY due_hub LIMIT 1",
        (imsi,),
    ).fetchone()
    overdue = db.execute(_OVERDUE, (2**62, 1)).fetchone()
    times = [row[name] for row, name in ((waiting, "due_hub"), (overdue, "expires_hub")) if row is not None]
    return min(times, default=None)


# ── the rows of one message ──────────────────────────────────────────────────────────────────────────────────────────


def resolve(
    tx: Transaction,
    seq: int,
    n: int,
    state: SegmentState,
    *,
    imsi: str | None = None,
    mr: int | None = None,
    reason: Reason | None = None,
) -> None:
    """Evidence about one segment: it is ``submitted``, ``delivered`` or ``undelivered``; not a verb of its own.

    A doubt that is resolved before its re-submission has no duplicate.
    """
    row = _segment(tx, seq, n)
    resent = 0 if row["state"] == SegmentState.QUEUED else row["resent"]
    tx.db.execute(
        "UPDATE segment SET state = ?, resent = ?, payload_next = 0, imsi = coalesce(imsi, ?), mr = coalesce(mr, ?),"
        " submitted_hub = coalesce(submitted_hub, ?), submitted_at = coalesce(submitted_at, ?), reason_code = ?,"
        " reason_class = ?, reason_text = ? WHERE message = ? AND n = ?",
        (
            state,
            resent,
            imsi,
            mr,
            tx.now,
            tx.wall,
            None if reason is None else reason.code,
            None if reason is None else reason.retry,
            None if reason is None else reason.text,
            seq,
            n,
        ),
    )
    _settle(tx, seq)


def _segment(tx: Transaction, seq: int, n: int) -> sqlite3.Row:
    row: sqlite3.Row | None = tx.db.execute(
        "SELECT state, resent, mr, claimed_hub FROM segment WHERE message = ? AND n = ?", (seq, n)
    ).fetchone()
    if row is None:
        raise StoreError(f"there is no segment {n} of message {seq}")
    return row


def _submitting(tx: Transaction, seq: int, n: int) -> sqlite3.Row:
    row = _segment(tx, seq, n)
    if row["state"] != SegmentState.SUBMITTING:
        raise StoreError(f"segment {n} of message {seq} is {row['state']}, not being submitted")
    return row


def _end(tx: Transaction, seq: int, n: int, state: SegmentState, reason: Reason) -> None:
    tx.db.execute(
        "UPDATE segment SET state = ?, reason_code = ?, reason_class = ?, reason_text = ? WHERE message = ? AND n = ?",
        (state, reason.code, reason.retry, reason.text, seq, n),
    )


def _end_siblings(tx: Transaction, seq: int, code: str, text: str) -> None:
    # What is queued here never left: segments go in order, and one that waits for its re-submission holds up the next.
    tx.db.execute(
        "UPDATE segment SET state = 'failed', reason_code = ?, reason_class = ?,"
        " reason_text = ? WHERE message = ? AND state = 'queued'",
        (code, RetryClass.PERMANENT, text, seq),
    )


def _settle(tx: Transaction, seq: int) -> None:
    """After a change of segments: tell the message's state when it is another one, and put its lane in order."""
    message = tx.db.execute("SELECT told, imsi, recipient, priority FROM message WHERE seq = ?", (seq,)).fetchone()
    state = derive(
        SegmentState(row["state"]) for row in tx.db.execute("SELECT state FROM segment WHERE message = ?", (seq,))
    )
    if state != message["told"]:
        tx.db.execute(
            "UPDATE message SET told = ?, updated_hub = ?, updated_at = ? WHERE seq = ?", (state, tx.now, tx.wall, seq)
        )
        _tell(tx, seq)
    if message["imsi"] is not None and (state in UNSENT or message["told"] in UNSENT):
        _relane(tx, message["imsi"], message["recipient"], message["priority"])


def retell(tx: Transaction, seq: int) -> None:
    """Tell a message anew whose state is the same word and whose meaning is another."""
    tx.db.execute("UPDATE message SET updated_hub = ?, updated_at = ? WHERE seq = ?", (tx.now, tx.wall, seq))
    _tell(tx, seq)


def _relane(tx: Transaction, imsi: str, recipient: str, priority: int) -> None:
    """Write the lane's row anew from the rows of its first message that has something to send."""
    head = tx.db.execute(
        "SELECT seq FROM message WHERE imsi = ? AND recipient = ? AND priority = ?"
        " AND told IN ('queued', 'submitting') ORDER BY seq LIMIT 1",
        (imsi, recipient, priority),
    ).fetchone()
    if head is None:
        tx.db.execute("DELETE FROM lane WHERE recipient = ? AND imsi = ? AND priority = ?", (recipient, imsi, priority))
        return
    begun, due = False, None
    for row in tx.db.execute(
        "SELECT state, not_before_hub FROM segment WHERE message = ? ORDER BY n DESC", (head["seq"],)
    ).fetchall():
        if row["state"] == SegmentState.SUBMITTING:
            due = None
            begun = True
            break
        if row["state"] == SegmentState.QUEUED:
            due = row["not_before_hub"]
        else:
            begun = True
    tx.db.execute(
        "INSERT INTO lane (recipient, imsi, priority, head, begun, ready, due_hub) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (recipient, imsi, priority) DO UPDATE SET head = excluded.head, begun = excluded.begun,"
        " ready = excluded.ready, due_hub = excluded.due_hub",
        (recipient, imsi, priority, head["seq"], begun, due is not None and due <= tx.now, due),
    )


def _tell(tx: Transaction, seq: int) -> dict[str, Any]:
    row = tx.db.execute("SELECT * FROM message WHERE seq = ?", (seq,)).fetchone()
    view = _view(tx.db, row, text=False)
    tx.emit("message", row["id"], view)
    return view


def _orphan(tx: Transaction, seq: int, n: int, *, imsi: str, mr: int | None) -> bool:
    """Let a report that came since this segment's claim speak of it; with ``mr`` None as a witness of a doubt."""
    row = tx.db.execute(
        "SELECT m.recipient, s.claimed_hub FROM message AS m JOIN segment AS s ON s.message = m.seq"
        " WHERE m.seq = ? AND s.n = ?",
        (seq, n),
    ).fetchone()
    report = evidence.orphan(tx, imsi=imsi, mr=mr, recipient=row["recipient"], since=row["claimed_hub"])
    if report is None:
        return False
    evidence.bind(tx, report["id"], seq=seq, n=n, status=report["status"])
    state = evidence.state_of(report["outcome"])
    if mr is None or state != SegmentState.SUBMITTED:
        reason = evidence.reason_of(report["outcome"], report["status"], report["text"])
        resolve(tx, seq, n, state, imsi=imsi, mr=report["mr"], reason=reason)
    return True


def _witness(tx: Transaction, seq: int, n: int) -> bool:
    imsi = tx.db.execute("SELECT imsi FROM message WHERE seq = ?", (seq,)).fetchone()["imsi"]
    return _orphan(tx, seq, n, imsi=imsi, mr=None)


# ── queries ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def message_view(db: sqlite3.Connection, message_id: MessageId, *, text: bool = True) -> dict[str, Any] | None:
    """The public JSON of one message, or None; event bodies are it without the text.

    Keys: seq, id, state, final (nothing more is waited for), to, client, encoding, text?, data? (base64), port?,
    flash?, segments [{n, state, attempts, mr, reason?, report_status?}], attempts (the most of any segment),
    maybe_duplicate, reason {code, class, text} or null, sim (IMSI or null), priority, report, on_in_doubt, accepted_at,
    updated_at, expires_at (RFC 3339, UTC), the extras.
    """
    row = db.execute("SELECT * FROM message WHERE id = ?", (message_id,)).fetchone()
    return None if row is None else _view(db, row, text=text)


def messages(
    db: sqlite3.Connection,
    *,
    state: str | None = None,
    to: str | None = None,
    client: str | None = None,
    before_seq: int | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Messages, newest first, as ``message_view``; the next page is before the last one's ``seq``."""
    wanted = {"told": state, "recipient": to, "client": client}
    conditions = [f"{column} = ?" for column, value in wanted.items() if value is not None]
    values: list[object] = [value for value in wanted.values() if value is not None]
    if before_seq is not None:
        conditions.append("seq < ?")
        values.append(before_seq)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    query = f"SELECT * FROM message{where} ORDER BY seq DESC LIMIT ?"  # noqa: S608 - the columns are named above
    rows = db.execute(query, (*values, limit))
    return [_view(db, row, text=True) for row in rows.fetchall()]


def queue_depths(db: sqlite3.Connection) -> dict[str, int]:
    """Segments that wait to be sent, for each SIM; ``""`` are those that have no SIM yet."""
    rows = db.execute(
        "SELECT coalesce(m.imsi, '') AS imsi, count(*) AS depth"
        " FROM message AS m JOIN segment AS s ON s.message = m.seq"
        " WHERE m.told IN ('queued', 'submitting') AND s.state = 'queued' GROUP BY m.imsi"
    )
    return {row["imsi"]: row["depth"] for row in rows}


def lane_sim(db: sqlite3.Connection, recipient: str) -> Imsi | None:
    """The SIM that has unfinished messages to this recipient (the oldest of them), or None."""
    row = db.execute("SELECT imsi, min(head) FROM lane WHERE recipient = ?", (recipient,)).fetchone()
    return None if row["imsi"] is None else Imsi(row["imsi"])


def last_seq(db: sqlite3.Connection) -> int:
    """The seq of the newest message ever accepted, 0 when there was none."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'message'").fetchone()
    return 0 if row is None else int(row["seq"])


def _view(db: sqlite3.Connection, row: sqlite3.Row, *, text: bool) -> dict[str, Any]:
    segments: list[dict[str, Any]] = []
    attempts, duplicate = 0, False
    why: dict[str, Any] | None = None
    rank = 3
    for part in db.execute(
        "SELECT n, state, attempts, resent, mr, report_status, reason_code, reason_class, reason_text FROM segment"
        " WHERE message = ? ORDER BY n",
        (row["seq"],),
    ):
        attempts = max(attempts, part["attempts"])
        duplicate = duplicate or bool(part["resent"])
        segment: dict[str, Any] = {
            "n": part["n"],
            "state": part["state"],
            "attempts": part["attempts"],
            "mr": part["mr"],
        }
        if part["report_status"] is not None:
            segment["report_status"] = part["report_status"]
        if part["reason_code"] is not None:
            reason = {"code": part["reason_code"], "class": part["reason_class"], "text": part["reason_text"]}
            segment["reason"] = reason
            # The message's reason is that of the segment which decides; a sibling only says that another one does.
            mine = 2 if part["state"] != row["told"] else 1 if part["reason_code"].startswith("sibling_") else 0
            if mine < rank:
                why, rank = reason, mine
        segments.append(segment)
    view: dict[str, Any] = {
        "seq": row["seq"],
        "id": row["id"],
        "state": row["told"],
        "final": row["told"] in ENDED
        or (row["told"] == "submitted" and (not row["report"] or (why or {}).get("code") == NO_REPORT)),
        "to": row["recipient"],
        "client": row["client"],
        "encoding": row["encoding"],
        "segments": segments,
        "attempts": attempts,
        "maybe_duplicate": duplicate,
        "reason": why,
        "sim": row["imsi"],
        "priority": row["priority"],
        "report": bool(row["report"]),
        "on_in_doubt": row["on_in_doubt"],
        "accepted_at": rfc3339(row["accepted_at"]),
        "updated_at": rfc3339(row["updated_at"]),
        "expires_at": rfc3339(row["accepted_at"] + row["expires_hub"] - row["accepted_hub"]),
    }
    if row["port"] is not None:
        view["port"] = row["port"]
    if row["flash"]:
        view["flash"] = True
    if text and row["text"] is not None:
        view["text"] = row["text"]
    if text and row["data"] is not None:
        view["data"] = base64.b64encode(row["data"]).decode("ascii")
    for name, value in json.loads(row["extra"]).items():
        view.setdefault(name, value)
    return view
