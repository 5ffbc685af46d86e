"""The event table: what happened, in order, for doors that tail it with a cursor each.

Promise
    ``seq`` grows by commit order and is never given twice; an event is seen by all readers or by none. A door that
    moves its cursor only after its work is done (PUBACK) loses nothing and is told in order, across crashes.

What it does not do
    It does not know which kinds there are, and it does not wait: ``Journal.committed`` does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.store.clock import rfc3339

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping

    from appliance.store.journal import Transaction

__all__ = [
    "Event",
    "advance",
    "after",
    "cursor",
    "cursors",
    "forget",
    "last",
    "record",
    "recoveries",
    "stale",
    "tally",
    "tally_of_day",
]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        seq: its place in the order of all events, from 1.
        kind: ``message``, ``received``, ``store``, …
        subject: what it is about, as a message id.
        at: RFC 3339, UTC.
        body: JSON object.
    """

    seq: int
    kind: str
    subject: str
    at: str
    body: dict[str, Any]


def after(db: sqlite3.Connection, seq: int, *, kinds: Collection[str] | None = None, limit: int = 256) -> list[Event]:
    """The events with a greater seq than ``seq``, oldest first; of these kinds only, when given.

    An empty list means that nothing of the kinds is committed after ``seq``: the door may then move its cursor to the
    ``last`` that it read before.
    """
    if kinds is None:
        rows = db.execute(
            "SELECT seq, kind, subject, at, body FROM event WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
        )
    else:
        rows = db.execute(
            "SELECT seq, kind, subject, at, body FROM event"
            " WHERE seq > ? AND kind IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?",
            (seq, json.dumps(list(kinds)), limit),
        )
    return [_event(row) for row in rows]


def recoveries(db: sqlite3.Connection, subject: str, *, before: int = 0, limit: int = 100) -> list[Event]:
    """What was done against the troubles of one modem, newest first, before the event ``before`` (0: all of it)."""
    rows = db.execute(
        "SELECT seq, kind, subject, at, body FROM event INDEXED BY event_recovery"
        " WHERE kind = 'recovery' AND subject = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
        (subject, before or 1 << 62, limit),
    )
    return [_event(row) for row in rows]


def tally(db: sqlite3.Connection, after_seq: int) -> tuple[int, dict[tuple[str, str], int]]:
    """How many events came after ``after_seq``, and up to which: (kind, detail) → count.

    The detail is a message's new state (a repetition that only says that no report came is not counted), a step's rung
    and outcome as ``3 helped``, else nothing.
    """
    newest = last(db)
    rows = db.execute(
        "SELECT kind, CASE kind WHEN 'message' THEN json_extract(body, '$.state')"
        " WHEN 'recovery' THEN json_extract(body, '$.rung') || ' ' || json_extract(body, '$.outcome')"
        " ELSE '' END AS detail, count(*) AS many FROM event WHERE seq > ? AND seq <= ?"
        " AND NOT (kind = 'message' AND json_extract(body, '$.state') = 'submitted'"
        " AND coalesce(json_extract(body, '$.reason.code'), '') = 'no_report') GROUP BY 1, 2",
        (after_seq, newest),
    )
    return newest, {(row["kind"], row["detail"]): row["many"] for row in rows}


def record(tx: Transaction, kind: str, subject: str, body: Mapping[str, object]) -> int:
    """Append an event that changes no row, as an incoming call; returns its seq."""
    return tx.emit(kind, subject, body)


def last(db: sqlite3.Connection) -> int:
    """The seq of the newest event ever, 0 when there was none; also when it has been forgotten since."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
    return 0 if row is None else int(row["seq"])


def cursors(db: sqlite3.Connection) -> dict[str, int]:
    """How far each door has told."""
    return {row["door"]: row["seq"] for row in db.execute("SELECT door, seq FROM cursor ORDER BY door")}


def stale(db: sqlite3.Connection, seq: int, *, before_hub: int) -> int:
    """The seq up to which everything after ``seq`` happened before this hub time; ``seq`` itself when nothing did."""
    row = db.execute(
        "SELECT seq FROM event WHERE seq > ? AND hub >= ? ORDER BY seq LIMIT 1", (seq, before_hub)
    ).fetchone()
    return last(db) if row is None else max(seq, int(row["seq"]) - 1)


def tally_of_day(db: sqlite3.Connection, *, since_at: int) -> dict[str, int]:
    """How many messages were ``sent``, ``received`` and ``failed`` since this wall time, each counted once."""
    row = db.execute(
        "WITH late AS (SELECT kind, subject, json_extract(body, '$.state') AS state,"
        " json_extract(body, '$.reason.code') AS reason FROM event"
        " WHERE seq > coalesce((SELECT seq FROM event WHERE at < ? ORDER BY seq DESC LIMIT 1), 0)"
        " AND kind IN ('message', 'received'))"
        " SELECT count(DISTINCT CASE WHEN state = 'submitted' AND reason IS NOT 'no_report' THEN subject END) AS sent,"
        " count(DISTINCT CASE WHEN kind = 'received' THEN subject END) AS received,"
        " count(DISTINCT CASE WHEN state IN ('failed', 'undelivered', 'expired', 'in_doubt') THEN subject END)"
        " AS failed"
        " FROM late",
        (since_at,),
    ).fetchone()
    return {name: int(row[name]) for name in ("sent", "received", "failed")}


def cursor(db: sqlite3.Connection, door: str) -> int | None:
    """How far this door has told, or None when it never did."""
    row = db.execute("SELECT seq FROM cursor WHERE door = ?", (door,)).fetchone()
    return None if row is None else int(row["seq"])


def advance(tx: Transaction, door: str, seq: int) -> None:
    """This door has told everything up to ``seq``; never moves back."""
    tx.db.execute(
        "INSERT INTO cursor (door, seq, at) VALUES (?, ?, ?) ON CONFLICT (door) DO UPDATE"
        " SET seq = excluded.seq, at = excluded.at WHERE excluded.seq > cursor.seq",
        (door, seq, tx.wall),
    )


def forget(tx: Transaction, door: str) -> None:
    """This door is no more: events need not be kept for it."""
    tx.db.execute("DELETE FROM cursor WHERE door = ?", (door,))


def _event(row: sqlite3.Row) -> Event:
    return Event(
        seq=row["seq"],
        kind=row["kind"],
        subject=row["subject"],
        at=rfc3339(row["at"]),
        body=json.loads(row["body"]),
    )
