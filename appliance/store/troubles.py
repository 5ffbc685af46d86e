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
    """Keep the memory of the modem in this place; ``told`` is the body of an event ``recovery``, if there is one."""
    modem = imei or _last_in(tx.db, place) or place
    if modem != place:  # whatever was in it without saying who it is, was this one
        tx.db.execute("DELETE FROM trouble WHERE modem = ?", (place,))
    tx.db.execute(
        "INSERT INTO trouble (modem, place, memory, at) VALUES (?, ?, ?, ?) ON CONFLICT (modem) DO UPDATE"
        " SET place = excluded.place, memory = excluded.memory, at = excluded.at",
        (modem, place, json.dumps(memory), tx.now),
    )
    if told is not None:
        tx.emit("recovery", imei or place, told)


def remembered(db: sqlite3.Connection, *, place: str, imei: Imei | None) -> dict[str, Any] | None:
    """The memory of this modem, else, where it has not said who it is, of the one that was last in this place."""
    row = db.execute("SELECT memory FROM trouble WHERE modem = ?", (imei or _last_in(db, place),)).fetchone()
    if row is None:
        return None
    memory: dict[str, Any] = json.loads(row["memory"])
    return memory


def _last_in(db: sqlite3.Connection, place: str) -> str | None:
    row = db.execute("SELECT modem FROM trouble WHERE place = ? ORDER BY at DESC LIMIT 1", (place,)).fetchone()
    return None if row is None else str(row["modem"])


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
