"""The claim of a hub that nobody owns yet: whoever brings its token becomes the first administrator.

Promise
    A hub is unclaimed while this table has its row, and it has one only as long as no token was ever made that is to
    last. Claiming, and making the first lasting token by the command line, end it in the same commit: there is no
    moment with two owners, and no way back.

What it does not do
    It does not make the claim's token, and it does not tell it to anybody: the hub does.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from appliance.errors import Rejected
from appliance.store import tokens

if TYPE_CHECKING:
    import sqlite3

    from appliance.store.journal import Transaction

__all__ = ["begin", "digest", "owned", "take"]


def begin(tx: Transaction, fresh: bytes) -> bool:
    """Let the token with the SHA-256 digest ``fresh`` claim the hub, and no other; False: it has an owner already."""
    if tokens.any_lasting(tx.db):
        tx.db.execute("DELETE FROM claim")
        return False
    tx.db.execute("DELETE FROM claim")
    tx.db.execute("INSERT INTO claim (digest, at) VALUES (?, ?)", (fresh, tx.wall))
    return True


def owned(db: sqlite3.Connection) -> bool:
    """Whether the hub has an owner: a token was made that was to last."""
    return tokens.any_lasting(db)


def digest(db: sqlite3.Connection) -> bytes | None:
    """The SHA-256 digest of the token that claims the hub; None: it has an owner, or was never started."""
    row = db.execute("SELECT digest FROM claim").fetchone()
    return None if row is None else bytes(row["digest"])


def take(tx: Transaction, *, claim: bytes, name: str, token: bytes) -> None:
    """Whoever brings the claim's token (its digest is ``claim``) gets the first administrator's (``token``).

    Raises:
        Rejected: ``already_claimed``; ``forbidden``: this is not the claim's token.
    """
    known = digest(tx.db)
    if known is None:
        raise Rejected("already_claimed", "this hub has an owner already: sign in with a token")
    if not hmac.compare_digest(known, claim):
        raise Rejected("forbidden", "this is not this hub's claim token")
    tokens.create(tx, name=name, scopes=["admin"], digest=token)
