"""Bearer tokens, as SHA-256 digests: what is stored lets nobody in.

A token has 192 random bits, so that a plain digest without salt or stretching is enough, and looking it up by an index
tells nothing that helps to guess one. A revoked token stays as a row: its name may be given anew.

A token whose name begins with :data:`PASSING` is lent to one command of the command line and given back when it ends.
Its bearer is ``command-line`` whatever the rest of the name: one client, whose idempotency keys and caps hold from one
command to the next. One that was given back leaves no row. None is a sign that the hub has an owner; every other
token ends the claim (``claim``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from appliance.errors import Rejected
from appliance.store.clock import rfc3339

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping

    from appliance.store.journal import Transaction

__all__ = ["PASSING", "Token", "adopt", "any_lasting", "authenticate", "create", "give_back", "revoke", "tokens"]

DIGEST_OCTETS = 32

PASSING = "command-line-"
"""How the names of those tokens begin that the command line makes for itself and gives back when it ends."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token that lets somebody in: the client's name, what it may do, and since when (RFC 3339, UTC).

    Attributes:
        per_minute: messages in a minute; None: no bound of its own.
        daily_cap: segments in 24 hours; None: the policy's.
    """

    name: str
    scopes: frozenset[str]
    created_at: str
    per_minute: int | None
    daily_cap: int | None


def create(
    tx: Transaction,
    *,
    name: str,
    scopes: Collection[str],
    digest: bytes,
    per_minute: int | None = None,
    daily_cap: int | None = None,
) -> str:
    """Let the bearer of the token with this SHA-256 digest in, as ``name``; returns since when (RFC 3339, UTC).

    Raises:
        Rejected: ``token_exists``: a token of this name is valid already.
        ValueError: the digest is not one of SHA-256.
    """
    if len(digest) != DIGEST_OCTETS:
        raise ValueError(f"a SHA-256 digest has {DIGEST_OCTETS} octets, not {len(digest)}")
    if tx.db.execute("SELECT 1 FROM token WHERE name = ? AND revoked_at IS NULL", (name,)).fetchone() is not None:
        raise Rejected(
            "token_exists", f"there is a token named {name} already: revoke it first, or choose another name"
        )
    tx.db.execute(
        "INSERT INTO token (name, scopes, digest, created_at, per_minute, daily_cap) VALUES (?, ?, ?, ?, ?, ?)",
        (name, json.dumps(sorted(scopes)), digest, tx.wall, per_minute, daily_cap),
    )
    if not name.startswith(PASSING):
        tx.db.execute("DELETE FROM claim")
    return rfc3339(tx.wall)


def revoke(tx: Transaction, *, name: str) -> None:
    """This token lets nobody in any more.

    Raises:
        Rejected: ``not_found``.
    """
    changed = tx.db.execute(
        "UPDATE token SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL", (tx.wall, name)
    ).rowcount
    if changed == 0:
        raise Rejected("not_found", f"there is no token named {name}")


def adopt(tx: Transaction, *, wanted: Mapping[str, tuple[bytes, Collection[str]]], known: Mapping[str, bytes]) -> int:
    """Have exactly the tokens ``wanted`` of those that came by a file; returns how many changed.

    A name in ``wanted`` belongs to it: a valid token of that name with another digest or other scopes is revoked for
    it. One that is in ``known``, what was adopted before, and no longer in ``wanted``, is revoked, unless its name was
    given to another token meanwhile.

    Args:
        tx: the transaction.
        wanted: SHA-256 digest and scopes by name.
        known: SHA-256 digests by name.

    Raises:
        ValueError: a digest is not one of SHA-256.
    """
    changed = 0
    for name, digest in known.items():
        if name not in wanted:
            changed += tx.db.execute(
                "UPDATE token SET revoked_at = ? WHERE name = ? AND digest = ? AND revoked_at IS NULL",
                (tx.wall, name, digest),
            ).rowcount
    for name, (digest, scopes) in wanted.items():
        told = json.dumps(sorted(scopes))
        valid = "SELECT 1 FROM token WHERE name = ? AND digest = ? AND scopes = ? AND revoked_at IS NULL"
        if tx.db.execute(valid, (name, digest, told)).fetchone() is not None:
            continue
        changed += 1
        tx.db.execute("UPDATE token SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL", (tx.wall, name))
        # The same token may have stood here before, by this name or another one: a digest has one row for good.
        tx.db.execute("DELETE FROM token WHERE digest = ?", (digest,))
        create(tx, name=name, scopes=scopes, digest=digest)
    return changed


def give_back(tx: Transaction, *, name: str) -> None:
    """A token lent to a command lets nobody in any more; nothing happens when that was done already.

    Raises:
        ValueError: it is not one of those.
    """
    if not name.startswith(PASSING):
        raise ValueError(f"{name} is not lent")
    tx.db.execute("DELETE FROM token WHERE name = ? AND revoked_at IS NULL", (name,))


def any_lasting(db: sqlite3.Connection) -> bool:
    """Whether a token was ever made that was to last, revoked or not: somebody owns this hub."""
    row = db.execute("SELECT 1 FROM token WHERE substr(name, 1, ?) <> ? LIMIT 1", (len(PASSING), PASSING)).fetchone()
    return row is not None


def tokens(db: sqlite3.Connection) -> list[Token]:
    """The tokens that are valid, by name."""
    rows = db.execute(
        "SELECT name, scopes, created_at, per_minute, daily_cap FROM token WHERE revoked_at IS NULL ORDER BY name"
    )
    return [_token(row) for row in rows]


def authenticate(db: sqlite3.Connection, digest: bytes) -> Token | None:
    """The valid token with this SHA-256 digest, or None."""
    row = db.execute(
        "SELECT name, scopes, created_at, per_minute, daily_cap FROM token WHERE digest = ? AND revoked_at IS NULL",
        (digest,),
    ).fetchone()
    if row is None:
        return None
    token = _token(row)
    return replace(token, name=PASSING.rstrip("-")) if token.name.startswith(PASSING) else token


def _token(row: sqlite3.Row) -> Token:
    return Token(
        name=row["name"],
        scopes=frozenset(json.loads(row["scopes"])),
        created_at=rfc3339(row["created_at"]),
        per_minute=row["per_minute"],
        daily_cap=row["daily_cap"],
    )
