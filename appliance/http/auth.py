"""Who asks: bearer tokens (RFC 6750), their scopes, and back-off for those who guess.

Tokens are random and long: guessing is hopeless, but it costs the store a look-up each time. A peer that brings wrong
tokens is therefore refused unheard for a while, longer each time. A token that this process has seen to be right is
heard always, so that one misconfigured device behind a proxy does not shut the others out.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from appliance.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from appliance.hub import Client, Hub

__all__ = ["Gate", "allows", "bearer"]

Key = TypeVar("Key")
Value = TypeVar("Value")

GUESSES_FREE = 5
"""Wrong tokens in a row that cost nothing: a device that is being set up."""

BACK_OFF_LONGEST = 60.0
"""Seconds; doubles from 1 s with each further wrong token."""

KEPT = 1024
"""Peers and tokens remembered at most."""


def bearer(request: web.Request) -> str | None:
    """The token of ``Authorization: Bearer …``, or None."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and token and token.isascii() else None


def allows(client: Client, scopes: frozenset[str]) -> bool:
    """Whether the client has one of these scopes; ``admin`` implies all."""
    return not scopes or "admin" in client.scopes or not scopes.isdisjoint(client.scopes)


@dataclass(slots=True)
class _Guesser:
    wrong: int = 0
    until: float = 0.0


class Gate:
    """Asks the hub about tokens, and remembers a little."""

    def __init__(self, hub: Hub, *, now: Callable[[], float]) -> None:
        self._hub = hub
        self._now = now
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._guessers: OrderedDict[str, _Guesser] = OrderedDict()

    async def client(self, token: str | None, *, peer: str) -> Client:
        """Who brings this token.

        Raises:
            Rejected: ``unauthorized``, or ``too_many_attempts`` with the seconds to wait.
        """
        if token is None:
            raise Rejected("unauthorized", "send Authorization: Bearer <token>; modemhub token create makes one")
        now = self._now()
        digest = hashlib.sha256(token.encode()).digest()
        guesser = self._guessers.get(peer)
        if guesser is not None and now < guesser.until and digest not in self._known:
            raise Rejected(
                "too_many_attempts", "too many wrong tokens from this address", retry_after=guesser.until - now
            )
        client = await self._hub.authenticate(token)
        if client is None:
            self._known.pop(digest, None)
            self._wrong(peer, now)
            raise Rejected("unauthorized", "this token is unknown or revoked")
        self._guessers.pop(peer, None)
        _remember(self._known, digest, None)
        return client

    def _wrong(self, peer: str, now: float) -> None:
        guesser = self._guessers.get(peer) or _Guesser()
        guesser.wrong += 1
        if guesser.wrong > GUESSES_FREE:
            guesser.until = now + min(BACK_OFF_LONGEST, 2.0 ** min(guesser.wrong - GUESSES_FREE - 1, 10))
        _remember(self._guessers, peer, guesser)


def _remember(memory: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > KEPT:
        memory.popitem(last=False)
