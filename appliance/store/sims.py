"""SIMs that were ever seen, and PINs that were ever tried (promise M2).

A wrong PIN costs one of three tries and then the card. So a PIN is remembered, as a digest, before it is tried: once
for each card and PIN, for ever; retention never forgets it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.store.clock import rfc3339

if TYPE_CHECKING:
    import sqlite3

    from appliance.store.journal import Transaction
    from appliance.types import Iccid, Imei, Imsi

__all__ = ["Sim", "may_try_pin", "pin_taken", "seen", "sims"]


@dataclass(frozen=True, slots=True)
class Sim:
    """A SIM as it was seen last; times are RFC 3339, UTC."""

    imsi: Imsi
    iccid: Iccid | None
    imei: Imei | None
    number: str | None
    first_seen_at: str
    last_seen_at: str


def seen(tx: Transaction, *, imsi: Imsi, iccid: Iccid | None, imei: Imei | None, number: str | None) -> None:
    """This SIM is in this modem; what is None now keeps its last value."""
    tx.db.execute(
        "INSERT INTO sim (imsi, iccid, imei, number, first_seen_at, last_seen_at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (imsi) DO UPDATE SET iccid = coalesce(excluded.iccid, sim.iccid),"
        " imei = coalesce(excluded.imei, sim.imei), number = coalesce(excluded.number, sim.number),"
        " last_seen_at = excluded.last_seen_at",
        (imsi, iccid, imei, number, tx.wall, tx.wall),
    )


def sims(db: sqlite3.Connection) -> list[Sim]:
    """All SIMs ever seen, the one seen last first."""
    rows = db.execute("SELECT * FROM sim ORDER BY last_seen_at DESC, imsi")
    return [
        Sim(
            imsi=row["imsi"],
            iccid=row["iccid"],
            imei=row["imei"],
            number=row["number"],
            first_seen_at=rfc3339(row["first_seen_at"]),
            last_seen_at=rfc3339(row["last_seen_at"]),
        )
        for row in rows
    ]


def may_try_pin(tx: Transaction, *, iccid: Iccid, pin_digest: bytes) -> bool:
    """Whether this PIN was never tried on this card; from this commit on it was."""
    return (
        tx.db.execute(
            "INSERT INTO pin_try (iccid, pin_digest, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (iccid, pin_digest, tx.wall),
        ).rowcount
        == 1
    )


def pin_taken(tx: Transaction, *, iccid: Iccid, pin_digest: bytes) -> None:
    """The card has taken this PIN: it may be tried again when the card asks again."""
    tx.db.execute("DELETE FROM pin_try WHERE iccid = ? AND pin_digest = ?", (iccid, pin_digest))
