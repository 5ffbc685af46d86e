"""What a status report proves about a segment, and finding the reports that wait for their segment (promise D1).

A report may come before the result of the submit that it speaks of, or while nobody knows whether there was a submit
at all. Such a report is kept as an *orphan*; ``submitted`` and ``doubt`` look here for one that came since their claim.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from appliance.types import Reason, RetryClass, SegmentState

if TYPE_CHECKING:
    import sqlite3

    from appliance.store.journal import Transaction

__all__ = ["Outcome", "bind", "can_bear", "orphan", "reason_of", "same_number", "state_of"]

Outcome = Literal["delivered", "unconfirmed", "pending", "failed"]
"""What TP-ST says (23.040 §9.2.3.15): 0x00; 0x01 and 0x02; 0x20 to 0x3F; the rest."""

MR_VALUES = 256
"""TP-MR is one octet (23.040 §9.2.3.6)."""

SUFFIX_DIGITS = 7
"""Fewer digits than this are a short code, which is equal or another one; more may lack their prefix in a report."""


def same_number(one: str, other: str) -> bool:
    """Whether two addresses are one subscriber: a network may report +447700900123 as 07700900123 or 7700900123.

    Digits are compared without ``+`` and leading zeros: equal, or the shorter one (7 digits or more) ends the longer
    one. An alphanumeric address is equal or another one.
    """
    first, second = one.removeprefix("+"), other.removeprefix("+")
    if not (first.isdigit() and second.isdigit()):
        return first.casefold() == second.casefold()
    first, second = first.lstrip("0"), second.lstrip("0")
    if first == second:
        return True
    short, long = sorted((first, second), key=len)
    return len(short) >= SUFFIX_DIGITS and long.endswith(short)


def state_of(outcome: str) -> SegmentState:
    """What a segment is of which this was reported."""
    match outcome:
        case "delivered":
            return SegmentState.DELIVERED
        case "failed":
            return SegmentState.UNDELIVERED
        case _:
            return SegmentState.SUBMITTED


def reason_of(outcome: str, status: int, text: str) -> Reason | None:
    """Why it is undelivered; None when it is not."""
    return Reason(f"tp_status_{status}", RetryClass.PERMANENT, text) if outcome == "failed" else None


def can_bear(tx: Transaction, mr: int, *, imsi: str, claimed_hub: int) -> bool:
    """Whether a submission of this SIM that was claimed then, and whose TP-MR nobody was told, can have this one.

    A SIM counts on by one with each submission (23.040 §9.2.3.6). So it lies behind the last one that is known from
    before the claim, by no more than there are doubtful submissions since. Without that, a late report on the first
    copy of another message would pass for a witness, and a message that never left would be told as delivered.
    """
    last = tx.db.execute(
        "SELECT mr, submitted_hub FROM segment WHERE imsi = ? AND mr IS NOT NULL AND submitted_hub <= ?"
        " ORDER BY submitted_hub DESC LIMIT 1",
        (imsi, claimed_hub),
    ).fetchone()
    if last is None:
        return True
    doubts = tx.db.execute(
        "SELECT count(*) FROM segment AS s JOIN message AS m ON m.seq = s.message"
        " WHERE (s.state = 'in_doubt' OR (s.state = 'queued' AND s.resent = 1)) AND s.claimed_hub >= ?"
        " AND s.claimed_hub < ? AND m.imsi = ?",
        (last["submitted_hub"], claimed_hub, imsi),
    ).fetchone()[0]
    behind: int = (mr - last["mr"]) % MR_VALUES
    return 1 <= behind <= 1 + int(doubts)


def orphan(tx: Transaction, *, imsi: str, mr: int | None, recipient: str, since: int) -> sqlite3.Row | None:
    """The newest orphan of this SIM and recipient that came at hub time ``since`` or later.

    Of this TP-MR; where that is not known, of one that a submission claimed at ``since`` can have.
    """
    rows = tx.db.execute(
        "SELECT id, mr, recipient, outcome, status, text FROM report WHERE message IS NULL AND imsi = ? AND hub >= ?"
        " ORDER BY hub DESC, id DESC",
        (imsi, since),
    )
    for row in rows.fetchall():
        fits = can_bear(tx, row["mr"], imsi=imsi, claimed_hub=since) if mr is None else row["mr"] == mr
        if fits and same_number(row["recipient"], recipient):
            found: sqlite3.Row = row
            return found
    return None


def bind(tx: Transaction, report: int, *, seq: int, n: int, status: int) -> None:
    """This report speaks of that segment."""
    tx.db.execute("UPDATE report SET message = ?, n = ? WHERE id = ?", (seq, n, report))
    tx.db.execute("UPDATE segment SET report_status = ? WHERE message = ? AND n = ?", (status, seq, n))
