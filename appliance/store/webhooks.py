"""What webhooks owe: events that could not be told yet, each with its attempts and when it is due.

Promise
    An event gets its row in the transaction that moves its webhook's cursor over it: there is no moment, whatever
    kills the process, in which it is neither ahead of the cursor nor owed. It loses its row when it was told, when it
    is given up, or with its webhook.

What it does not do
    It does not decide when to try again, and when to stop: the door says after how long.

Theory of operation
    A door's cursor (``events``) is named ``webhook:<name>``. Rows come in the order of the events, so that within one
    webhook ``first_hub`` never falls as ``event`` rises: the oldest are found at the beginning of the primary key.
    Retention keeps every event from the oldest owed one on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.store import events

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence

    from appliance.store.journal import Transaction

__all__ = [
    "Owed",
    "count",
    "failed",
    "forget",
    "give_up",
    "keep",
    "make_due",
    "oldest",
    "oldest_due",
    "owe",
    "soonest",
    "told",
]

PREFIX = "webhook:"
"""Before a webhook's name, in the name of its cursor."""


@dataclass(frozen=True, slots=True)
class Owed:
    """An event that a webhook still has to tell.

    Attributes:
        event: its seq.
        attempts: how often it was tried.
        due_hub: hub time, ms, from which it may be tried again.
    """

    event: int
    attempts: int
    due_hub: int


def owe(tx: Transaction, *, hook: str, seqs: Sequence[int], delay_ms: int | None) -> None:
    """The webhook owes these events (ascending) from now on, and its cursor passes them.

    Args:
        tx: the transaction.
        hook: the webhook's name.
        seqs: the events.
        delay_ms: they were tried once, and are due after so long; None: they were not tried, and are due before all
            that were.
    """
    attempts, due = (0, 0) if delay_ms is None else (1, tx.now + delay_ms)
    tx.db.executemany(
        "INSERT INTO webhook_retry (hook, event, attempts, first_hub, due_hub) VALUES (?, ?, ?, ?, ?)",
        [(hook, seq, attempts, tx.now, due) for seq in seqs],
    )
    events.advance(tx, PREFIX + hook, seqs[-1])


def failed(tx: Transaction, *, hook: str, seq: int, delay_ms: int, give_up_ms: int) -> bool:
    """An owed event failed again: due after ``delay_ms``, but once more when ``give_up_ms`` since its first are over.

    Returns:
        Whether it is given up: they were over already.
    """
    given_up = tx.db.execute(
        "DELETE FROM webhook_retry WHERE hook = ? AND event = ? AND first_hub <= ?", (hook, seq, tx.now - give_up_ms)
    ).rowcount
    tx.db.execute(
        "UPDATE webhook_retry SET attempts = attempts + 1, due_hub = min(?, first_hub + ?)"
        " WHERE hook = ? AND event = ?",
        (tx.now + delay_ms, give_up_ms, hook, seq),
    )
    return given_up > 0


def told(tx: Transaction, *, hook: str, seq: int) -> None:
    """An owed event was told."""
    tx.db.execute("DELETE FROM webhook_retry WHERE hook = ? AND event = ?", (hook, seq))


def make_due(tx: Transaction, *, hook: str, within_ms: int | None) -> None:
    """What would be due within this time is due now; None: all that is owed."""
    until = None if within_ms is None else tx.now + within_ms
    tx.db.execute(
        "UPDATE webhook_retry SET due_hub = ?1 WHERE hook = ?2 AND due_hub > ?1 AND due_hub <= coalesce(?3, due_hub)",
        (tx.now, hook, until),
    )


def give_up(tx: Transaction, *, hook: str, age_ms: int, limit: int) -> int:
    """Forget up to ``limit`` events that are owed for ``age_ms`` or longer; returns how many."""
    return tx.db.execute(
        "DELETE FROM webhook_retry WHERE hook = ?1 AND event IN (SELECT event FROM"
        " (SELECT event, first_hub FROM webhook_retry WHERE hook = ?1 ORDER BY event LIMIT ?3) WHERE first_hub <= ?2)",
        (hook, tx.now - age_ms, limit),
    ).rowcount


def forget(tx: Transaction, *, hook: str) -> None:
    """This webhook is no more: nothing is owed to it, and no event is kept for it."""
    tx.db.execute("DELETE FROM webhook_retry WHERE hook = ?", (hook,))
    events.forget(tx, PREFIX + hook)


def keep(tx: Transaction, *, hooks: Collection[str]) -> None:
    """Forget every webhook but these."""
    named = json.dumps(sorted(hooks))
    tx.db.execute("DELETE FROM webhook_retry WHERE hook NOT IN (SELECT value FROM json_each(?))", (named,))
    tx.db.execute(
        "DELETE FROM cursor WHERE substr(door, 1, length(?1)) = ?1"
        " AND substr(door, length(?1) + 1) NOT IN (SELECT value FROM json_each(?2))",
        (PREFIX, named),
    )


def count(db: sqlite3.Connection, *, hook: str) -> int:
    """How many events the webhook owes."""
    return int(db.execute("SELECT count(*) FROM webhook_retry WHERE hook = ?", (hook,)).fetchone()[0])


def oldest_due(db: sqlite3.Connection, *, hook: str, now: int) -> Owed | None:
    """Of the events that are due at hub time ``now``, the oldest."""
    return _owed(
        db.execute(  # the + keeps the index of due times out: in the order of the key nothing has to be sorted
            "SELECT event, attempts, due_hub FROM webhook_retry"
            " WHERE hook = ? AND +due_hub <= ? ORDER BY event LIMIT 1",
            (hook, now),
        ).fetchone()
    )


def oldest(db: sqlite3.Connection, *, hook: str) -> Owed | None:
    """The oldest of all, due or not."""
    return _owed(
        db.execute(
            "SELECT event, attempts, due_hub FROM webhook_retry WHERE hook = ? ORDER BY event LIMIT 1", (hook,)
        ).fetchone()
    )


def soonest(db: sqlite3.Connection, *, hook: str) -> Owed | None:
    """The one that is due before all others: the oldest that was never tried, if there is one."""
    return _owed(
        db.execute(
            "SELECT event, attempts, due_hub FROM webhook_retry WHERE hook = ? ORDER BY due_hub, event LIMIT 1", (hook,)
        ).fetchone()
    )


def _owed(row: sqlite3.Row | None) -> Owed | None:
    return None if row is None else Owed(event=row["event"], attempts=row["attempts"], due_hub=row["due_hub"])
