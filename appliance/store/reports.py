"""Status reports: finding the segment that a report speaks of (promise D1).

Promise
    A report is matched by SIM, TP-MR and recipient, the newest first, so that the wrap of TP-MR at 256 finds the right
    message; also when it comes before ``+CMGS:`` or after a restart; a report on nothing of ours is kept and shown.

Theory of operation
    In this order, the first that fits:

    1. the newest ``submitted`` segment of the same SIM, TP-MR and recipient;
    2. the newest one that has its report already: a repeated report, kept and without effect;
    3. the one segment of the same SIM and recipient that has no TP-MR and can have this one: in doubt or waiting for
       its re-submission (the report is the witness that it was sent), or submitted as nobody said what (TP-FCS 0xC5);
    4. none: an orphan. ``outbound.submitted`` and ``outbound.doubt`` look for it, when it spoke of a segment in flight.

    "pending" (the service centre still tries) and "unconfirmed" (it does not know) change no state, but both prove a
    submission, so that they resolve a doubt to ``submitted``. Source: 23.040 §9.2.2.3, §9.2.3.15.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.store import evidence
from appliance.store.clock import DAY_MS, rfc3339
from appliance.store.outbound import NO_REPORT, resolve, retell
from appliance.types import RetryClass, SegmentState

if TYPE_CHECKING:
    import sqlite3

    from appliance.store.evidence import Outcome
    from appliance.store.journal import Transaction
    from appliance.types import Imsi, MessageId

__all__ = ["orphans", "overdue", "report"]

WITNESS_MS = 7 * DAY_MS
"""A report may be the witness of a doubt that is no older: most service centres keep a message for 1 to 3 days."""


def report(
    tx: Transaction,
    *,
    pdu_id: int,
    imsi: Imsi,
    mr: int,
    recipient: str,
    outcome: Outcome,
    status: int,
    text: str,
    discharged_at: str | None,
) -> MessageId | None:
    """Keep a status report and let it speak; returns the id of the message it speaks of, or None for an orphan.

    The same ``pdu_id`` again has no effect and the same answer.

    Args:
        tx: the transaction.
        pdu_id: of ``inbound.commit_pdu``; its outcome becomes ``report``.
        imsi: the SIM that received the report: the one that submitted.
        mr: TP-MR.
        recipient: TP-RA.
        outcome: what TP-ST means.
        status: TP-ST as it came; an undelivered segment's reason is ``tp_status_<decimal>``.
        text: TP-ST in words.
        discharged_at: TP-DT as it shall be shown, or None.
    """
    known = tx.db.execute(
        "SELECT m.id FROM report AS r LEFT JOIN message AS m ON m.seq = r.message WHERE r.pdu = ?", (pdu_id,)
    ).fetchone()
    if known is not None:
        answer: MessageId | None = known["id"]
        return answer
    tx.db.execute("UPDATE inbound_pdu SET outcome = 'report' WHERE id = ?", (pdu_id,))
    found = _numbered(tx, imsi=imsi, mr=mr, recipient=recipient)
    witness = None if found is not None else _unnumbered(tx, imsi=imsi, mr=mr, recipient=recipient)
    report_id = tx.db.execute(
        "INSERT INTO report (pdu, imsi, mr, recipient, outcome, status, text, discharged_at, hub, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (pdu_id, imsi, mr, recipient, outcome, status, text, discharged_at, tx.now, tx.wall),
    ).lastrowid
    about = found or witness
    if about is None:
        return None
    assert report_id is not None
    seq, n = about["seq"], about["n"]
    evidence.bind(tx, report_id, seq=seq, n=n, status=status)
    state = evidence.state_of(outcome)
    if witness is not None or (about["state"] == SegmentState.SUBMITTED and state != SegmentState.SUBMITTED):
        resolve(tx, seq, n, state, imsi=imsi, mr=mr, reason=evidence.reason_of(outcome, status, text))
    message_id: MessageId = about["id"]
    return message_id


def overdue(tx: Transaction, *, window_ms: int, limit: int = 100) -> int:
    """Stop waiting for reports of what was submitted longer ago than the window; returns of how many messages.

    They stay ``submitted``, which is all that is known, with the reason ``no_report``: the end of S1 for a message
    whose report never comes. A report that comes later still speaks.
    """
    rows = tx.db.execute(
        "SELECT seq FROM message AS m WHERE told = 'submitted' AND report = 1 AND updated_hub <= ? AND NOT EXISTS"
        " (SELECT 1 FROM segment WHERE message = m.seq AND reason_code = ?) LIMIT ?",
        (tx.now - window_ms, NO_REPORT, limit),
    ).fetchall()
    for row in rows:
        tx.db.execute(
            "UPDATE segment SET reason_code = ?, reason_class = ?, reason_text = ? WHERE message = ? AND state = ?",
            (NO_REPORT, RetryClass.PERMANENT, "no status report came", row["seq"], SegmentState.SUBMITTED),
        )
        retell(tx, row["seq"])
    return len(rows)


def _numbered(tx: Transaction, *, imsi: str, mr: int, recipient: str) -> sqlite3.Row | None:
    repeated: sqlite3.Row | None = None
    for row in tx.db.execute(
        "SELECT m.id, m.seq, m.recipient, s.n, s.state FROM segment AS s JOIN message AS m ON m.seq = s.message"
        " WHERE s.imsi = ? AND s.mr = ? ORDER BY s.submitted_hub DESC, s.message DESC, s.n DESC",
        (imsi, mr),
    ):
        if evidence.same_number(row["recipient"], recipient):
            if row["state"] == SegmentState.SUBMITTED:
                found: sqlite3.Row = row
                return found
            repeated = repeated or row
    return repeated


def _unnumbered(tx: Transaction, *, imsi: str, mr: int, recipient: str) -> sqlite3.Row | None:
    """The one doubtful segment that can be meant; None where there is none, or more than one."""
    rows = tx.db.execute(
        "SELECT m.id, m.seq, m.recipient, s.n, s.state, s.claimed_hub"
        " FROM segment AS s JOIN message AS m ON m.seq = s.message"
        " WHERE s.mr IS NULL AND (s.state IN ('in_doubt', 'submitted')"
        " OR (s.state = 'queued' AND s.resent = 1)) AND s.claimed_hub >= ? AND m.imsi = ?",
        (tx.now - WITNESS_MS, imsi),
    ).fetchall()
    fitting = [
        row
        for row in rows
        if evidence.same_number(row["recipient"], recipient)
        and evidence.can_bear(tx, mr, imsi=imsi, claimed_hub=row["claimed_hub"])
    ]
    return fitting[0] if len(fitting) == 1 else None


def orphans(db: sqlite3.Connection, *, limit: int = 100) -> list[dict[str, Any]]:
    """The newest reports on nothing of ours: sim, mr, to, outcome, status, text, discharged_at, received_at."""
    rows = db.execute("SELECT * FROM report WHERE message IS NULL ORDER BY id DESC LIMIT ?", (limit,))
    return [
        {
            "sim": row["imsi"],
            "mr": row["mr"],
            "to": row["recipient"],
            "outcome": row["outcome"],
            "status": row["status"],
            "text": row["text"],
            "discharged_at": row["discharged_at"],
            "received_at": rfc3339(row["at"]),
        }
        for row in rows
    ]
