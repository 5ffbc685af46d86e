"""Who may ask by HTTP: tokens made, listed, revoked and recognised. What is stored lets nobody in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.hub.claim import new_token
from appliance.store import tokens

if TYPE_CHECKING:
    from collections.abc import Collection

    from appliance.store import HubClock, Journal

__all__ = ["Client", "Clients"]

TRUSTED_MS = 1000
"""How long a token that was looked up is believed: a client with much to send asks once a second, not once a text."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who a token speaks for."""

    name: str
    scopes: frozenset[str]
    daily_cap: int | None = None
    """Segments in 24 hours; None: the policy's."""
    per_minute: int | None = None
    """Messages in a minute; None: no bound of its own."""


class Clients:
    """The clients of one hub, by their tokens."""

    def __init__(self, journal: Journal, clock: HubClock) -> None:
        self._journal = journal
        self._clock = clock
        self._known: dict[bytes, tuple[Client, int]] = {}

    async def tokens(self) -> list[dict[str, Any]]:
        """The tokens that are valid, by name, without what they are."""
        return [_view(token) for token in await self._journal.read(tokens.tokens)]

    async def create(
        self, *, name: str, scopes: Collection[str], per_minute: int | None = None, daily_cap: int | None = None
    ) -> dict[str, Any]:
        """Make a token; returns it as :meth:`tokens` has it, with ``token``: told this once, only its digest is kept.

        Raises:
            Rejected: ``token_exists``.
        """
        token = new_token()
        digest = hashlib.sha256(token.encode()).digest()
        since = await self._journal.write(
            tokens.create, name=name, scopes=scopes, digest=digest, per_minute=per_minute, daily_cap=daily_cap
        )
        made = tokens.Token(name, frozenset(scopes), since, per_minute, daily_cap)
        return {**_view(made), "token": token}

    async def revoke(self, name: str) -> None:
        """Revoke a token; from here on it lets nobody in.

        Raises:
            Rejected: ``not_found``.
        """
        await self._journal.write(tokens.revoke, name=name)
        self._known = {digest: known for digest, known in self._known.items() if known[0].name != name}

    async def authenticate(self, token: str) -> Client | None:
        """Who this token speaks for, or None; one that was revoked by another process is refused within a second."""
        digest = hashlib.sha256(token.encode()).digest()
        client, until = self._known.get(digest, (None, 0))
        if client is not None and self._clock.now() < until:
            return client
        found = await self._journal.read(tokens.authenticate, digest)
        if found is None:
            self._known.pop(digest, None)
            return None
        client = Client(found.name, frozenset(found.scopes), found.daily_cap, found.per_minute)
        self._known[digest] = client, self._clock.now() + TRUSTED_MS
        return client


def _view(token: tokens.Token) -> dict[str, Any]:
    return {
        "name": token.name,
        "scopes": sorted(token.scopes),
        "created_at": token.created_at,
        "per_minute": token.per_minute,
        "daily_cap": token.daily_cap,
    }
