"""What is remembered of modems' troubles, and the telling of what was done against them.

Promise: the memory and the event of one step are one transaction. A modem is found again by its IMEI in whatever place
it comes back, and, as long as it says nothing, by the place that it was in.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from appliance.store.journal import Transaction
    from appliance.types import Imei

__all__ = ["remember", "remembered"]


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
