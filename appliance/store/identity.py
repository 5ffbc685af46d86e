"""What the hub is, and that it lives: its id, and a verb that proves that the writer turns."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.store.journal import Transaction

__all__ = ["breathe", "hub_id"]


def hub_id(tx: Transaction) -> str:
    """This hub's id for ever: 8 hexadecimal digits, drawn at the first start."""
    row = tx.db.execute("SELECT value FROM meta WHERE key = 'hub_id'").fetchone()
    if row is not None:
        return str(row[0])
    drawn = secrets.token_hex(4)
    tx.db.execute("INSERT INTO meta (key, value) VALUES ('hub_id', ?)", (drawn,))
    return drawn


def breathe(tx: Transaction) -> None:
    """Change nothing: when this returns, event loop, writer thread and database have turned. Costs no fsync."""
    tx.db.execute("SELECT 1").fetchone()
