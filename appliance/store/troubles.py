"""What is remembered of modems' troubles, and the telling of what was done against them.

Promise: the memory and the event of one step are one transaction. A modem is found again by its IMEI in whatever place
it comes back, and, as long as it says nothing, by the place that it was in.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from appliance.store.clock import DAY_MS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from appliance.store.journal import Transaction
    from appliance.types import Imei

__all__ = ["may_reboot", "remember", "remembered"]


def remember(
    tx: Transaction, *, place: str, imei: Imei | None, memory: Mapping[str, Any], told: Mapping[str, Any] | None
) -> None:
    """Keep the memory of this place; ``told`` is the body of an event ``recovery`` about it, None: there is none."""
    tx.db.execute(
        "INSERT INTO trouble (place, imei, memory, at) VALUES (?, ?, ?, ?) ON CONFLICT (place) DO UPDATE"
        " SET imei = coalesce(excluded.imei, trouble.imei), memory = excluded.memory, at = excluded.at",
        (place, imei, json.dumps(memory), tx.wall),
    )
    if told is not None:
        tx.emit("recovery", imei or place, told)


def remembered(db: sqlite3.Connection, *, place: str, imei: Imei | None) -> dict[str, Any] | None:
    """The memory of this modem, else, where it has not said who it is, of the one that was last in this place."""
    if imei is not None:
        row = db.execute("SELECT memory FROM trouble WHERE imei = ? ORDER BY at DESC LIMIT 1", (imei,)).fetchone()
    else:
        row = db.execute("SELECT memory FROM trouble WHERE place = ?", (place,)).fetchone()
    if row is None:
        return None
    memory: dict[str, Any] = json.loads(row["memory"])
    return memory


def may_reboot(tx: Transaction, *, most: int) -> bool:
    """Whether the machine may be started anew: no segment is on its way, and fewer than ``most`` times in 24 hours.

    From this commit on it counts as done, and is told as an event ``recovery``.
    """
    if tx.db.execute("SELECT 1 FROM segment WHERE state = 'submitting' LIMIT 1").fetchone() is not None:
        return False
    row = tx.db.execute("SELECT value FROM meta WHERE key = 'reboots'").fetchone()
    before = [at for at in (json.loads(row["value"]) if row is not None else []) if tx.now - at < DAY_MS]
    if len(before) >= most:
        return False
    tx.db.execute(
        "INSERT INTO meta (key, value) VALUES ('reboots', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (json.dumps([*before, tx.now]),),
    )
    told = {"modem": None, "place": None, "rung": 8, "name": "restart of the machine", "outcome": "begun"}
    tx.emit("recovery", "", told)
    return True
