"""Who asks: bearer tokens (RFC 6750), their scopes, and back-off for those who guess.

Tokens are random and long: guessing is hopeless, but it costs the store a look-up each time. A peer that brings wrong
tokens is therefore refused unheard for a while, longer each time. A token that this process has seen to be right is
heard always, so that one misconfigured device behind a proxy does not shut the others out.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from appliance.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web

    from appliance.hub import Client, Hub

__all__ = ["Gate", "allows", "basic", "bearer"]

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


def basic(request: web.Request) -> str | None:
    """The password of ``Authorization: Basic …`` (RFC 7617), or None: a token, where a browser asks for it."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        _, _, password = base64.b64decode(given.strip(), validate=True).decode("ascii").partition(":")
    except (binascii.Error, ValueError):
        return None
    return password or None


def allows(client: Client, scopes: frozenset[str]) -> bool:
    """Whether the client has one of these scopes; ``admin`` implies all."""
    return not scopes or "admin" in client.scopes or not scopes.isdisjoint(client.scopes)


@dataclass(slots=True)
class _Guesser:
    wrong: int = 0
    until: float = 0.0


class Gate:
    """Asks the hub about tokens, and remembers a little.

    A hub that nobody owns knows no token: what is brought to it costs nothing but the word that it is unclaimed. Only
    claiming it can be guessed at, and is bounded in the same way (:meth:`guessing`).
    """

    def __init__(self, hub: Hub, *, now: Callable[[], float]) -> None:
        self._hub = hub
        self._now = now
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._guessers: OrderedDict[str, _Guesser] = OrderedDict()

    async def client(self, token: str | None, *, peer: str) -> Client:
        """Who brings this token.

        Raises:
            Rejected: ``unauthorized``, ``unclaimed``, or ``too_many_attempts`` with the seconds to wait.
        """
        now = self._now()
        digest = hashlib.sha256(token.encode()).digest() if token is not None else b""
        if token is not None and digest not in self._known:
            self._hear(peer, now)
        client = None if token is None else await self._hub.clients.authenticate(token)
        if client is None:
            self._known.pop(digest, None)
            claim = self._hub.claim
            if claim is not None and await claim.is_open():
                raise Rejected("unclaimed", f"this hub has no owner yet: the claim token is in {claim.at}")
            if token is None:
                raise Rejected("unauthorized", "send Authorization: Bearer <token>; modemhub token create makes one")
            self._wrong(peer, now)
            raise Rejected("unauthorized", "this token is unknown or revoked")
        self._guessers.pop(peer, None)
        _remember(self._known, digest, None)
        return client

    @contextlib.contextmanager
    def guessing(self, peer: str) -> Iterator[None]:
        """Around a look at a secret that can be guessed: who was wrong before is refused unheard for a while.

        Raises:
            Rejected: ``too_many_attempts``.
        """
        now = self._now()
        self._hear(peer, now)
        try:
            yield
        except Rejected as refused:
            if refused.code == "forbidden":
                self._wrong(peer, now)
            raise
        self._guessers.pop(peer, None)

    def _hear(self, peer: str, now: float) -> None:
        guesser = self._guessers.get(peer)
        if guesser is not None and now < guesser.until:
            raise Rejected(
                "too_many_attempts", "too many wrong tokens from this address", retry_after=guesser.until - now
            )

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
