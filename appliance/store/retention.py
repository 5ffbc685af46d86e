"""Forgetting, in small bites.

Promise
    What is old goes, in bites that delay nobody for long: a call deletes at most ``limit`` rows of what it begins with,
    and all of it by an index. What is needed for a promise stays: unfinished messages, events that a door has not told
    or a webhook still owes (with the received messages that they speak of), idempotency keys and spending of the last 7
    days, PDUs that a modem may still hold (else they would be received anew), and PINs that were tried.

What it does not do
    It does not shrink the file: freed pages are used again. Only a full disk makes the journal give pages back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.store.clock import DAY_MS, HOUR_MS
from appliance.store.outbound import IDEMPOTENCY_MS

if TYPE_CHECKING:
    from appliance.store.journal import Transaction

__all__ = ["retain"]

SPEND_MS = 7 * DAY_MS

_MESSAGES = """
    DELETE FROM message WHERE seq IN (
        SELECT seq FROM message WHERE told NOT IN ('queued', 'submitting') AND updated_hub <= :before
        ORDER BY updated_hub LIMIT :limit)
"""
_RECEIVED = """
    DELETE FROM received WHERE row IN (
        SELECT row FROM (SELECT row, told_hub FROM received WHERE seq IS NOT NULL ORDER BY seq LIMIT :limit)
        WHERE told_hub <= :before AND told_hub < coalesce((
            SELECT hub FROM event WHERE seq >= min(
                coalesce((SELECT min(event) FROM webhook_retry), 9223372036854775807),
                coalesce((SELECT min(seq) + 1 FROM cursor), 9223372036854775807)
            ) ORDER BY seq LIMIT 1), told_hub + 1))
"""
_PDUS = """
    DELETE FROM inbound_pdu WHERE id IN (
        SELECT id FROM inbound_pdu AS p
        WHERE outcome IS NOT NULL AND removed = 1 AND received_hub <= :before
        AND NOT EXISTS (SELECT 1 FROM received AS r WHERE r.id = p.received)
        ORDER BY received_hub LIMIT :limit)
"""
_REPORTS = """
    DELETE FROM report WHERE id IN (SELECT id FROM report WHERE hub <= :before ORDER BY hub LIMIT :limit)
"""
_EVENTS = """
    DELETE FROM event WHERE seq IN (
        SELECT seq FROM (SELECT seq, hub FROM event ORDER BY seq LIMIT :limit)
        WHERE hub <= :before AND seq <= coalesce((SELECT min(seq) FROM cursor), seq)
            AND seq < coalesce((SELECT min(event) FROM webhook_retry), seq + 1))
"""
_KEYS = """
    DELETE FROM idempotency WHERE (client, key, ordinal) IN (
        SELECT client, key, ordinal FROM idempotency WHERE hub <= :before ORDER BY hub LIMIT :limit)
"""

_BITES: tuple[tuple[str, int | None], ...] = (
    (_MESSAGES, None),
    (_RECEIVED, None),
    (_PDUS, None),
    (_REPORTS, None),
    (_EVENTS, None),
    (_KEYS, IDEMPOTENCY_MS),
)
"""What goes, in this order, and at which age where the promise and not the user sets it."""


def retain(tx: Transaction, *, keep_ms: int, limit: int) -> int:
    """Forget up to ``limit`` rows that are older than ``keep_ms``; returns how many went, 0 when nothing is left to do.

    Args:
        tx: the transaction.
        keep_ms: hub time since a message ended, a received one was told, an event happened.
        limit: rows in this bite, all tables together.
    """
    gone = 0
    for statement, age in _BITES:
        if gone >= limit:
            break
        before = tx.now - (keep_ms if age is None else age)
        gone += tx.db.execute(statement, {"before": before, "limit": limit - gone}).rowcount
    if gone == 0:
        tx.db.execute("DELETE FROM spend WHERE hour < ?", ((tx.now - SPEND_MS) // HOUR_MS,))
    return gone
