"""The claim of a fresh hub: who has its file becomes its owner.

Promise
    As long as no token was ever made, there is a claim token, in ``CLAIM.txt`` beside the store, readable by the hub's
    user alone, and nowhere else: the store has its digest, no log has it. Whoever brings it gets an administrator's
    token, once; the claim and its file are gone then. The claim survives a restart; where the file is lost, or is not
    the claim's, there is a new claim with a new file.

What it does not do
    It does not bound guessing (the door does), and it opens nothing by time: a hub that nobody claims stays closed.

Theory of operation
    ``prepare`` settles at the start which claim there is; ``publish`` writes the file once the address is known.
    ``is_open`` asks the store as long as the hub was unclaimed when it was asked last: the command line may have made a
    token meanwhile, which ends the claim too.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import re
import secrets
from typing import TYPE_CHECKING

from appliance.errors import StoreFull
from appliance.store import claim

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.store import Journal

__all__ = ["Claim", "claim_file", "new_token"]

log = logging.getLogger(__name__)

_TOKEN = re.compile(r"^mhc_[A-Za-z0-9_-]{32}$", re.MULTILINE)


def new_token() -> str:
    """A token for a client: 192 random bits."""
    return "mh_" + secrets.token_urlsafe(24)


def claim_file(store: Path) -> Path:
    """Where a hub that nobody owns tells how to become its owner: beside the store."""
    return store.with_name("CLAIM.txt")


class Claim:
    """The claim of one hub.

    Args:
        journal: the hub's.
        file: where the claim is told; it is removed when the hub has an owner.
        at: where people find the file, if not by its path: on the card that it is copied to.
        show: tells the claim to a person who looks on (a terminal, never a log); None: there is none.
    """

    def __init__(
        self, journal: Journal, file: Path, *, at: str | None = None, show: Callable[[str], None] | None = None
    ) -> None:
        self.file = file
        self.at = at or str(file)
        self._journal = journal
        self._show = show
        self._token: str | None = None
        self._open = False

    async def prepare(self) -> None:
        """Settle whether the hub has an owner, and which claim there is if not; an ordinary start writes nothing."""
        self._open = not await self._journal.read(claim.owned)
        if not self._open:
            await self._remove()
            return
        kept = await asyncio.to_thread(self._read)
        if kept is not None and await self._journal.read(claim.digest) == _digest(kept):
            self._token = kept
            return
        token = "mhc_" + secrets.token_urlsafe(24)
        try:
            self._open = await self._journal.write(claim.begin, _digest(token))
        except StoreFull:
            log.error("nobody can claim this hub, as its disk is full: make room and restart it")  # noqa: TRY400 - nothing to trace
        else:
            self._token = token if self._open else None

    async def publish(self, address: str, *, fingerprint: str | None = None) -> None:
        """Write the claim's file, and show it; nothing where the hub has an owner.

        A file that cannot be written keeps no modem from being served: it is logged, and there is a new claim with the
        next start.

        Args:
            address: of the console, as a browser on this network can open it.
            fingerprint: of the certificate that the browser will ask about; None: plain HTTP.
        """
        if self._token is None:
            return
        told = _told(self._token, address, fingerprint)
        try:
            await asyncio.to_thread(_write, self.file, told)
        except OSError as error:
            log.error("nobody can claim this hub, as %s cannot be written: %s", self.file, error)  # noqa: TRY400
        if self._show is not None:
            self._show(told)

    async def is_open(self) -> bool:
        """Whether nobody owns this hub yet."""
        if self._open and await self._journal.read(claim.owned):
            await self._closed()
        return self._open

    async def take(self, token: str, *, name: str) -> str:
        """Become the owner: returns an administrator's token named ``name``.

        Raises:
            Rejected: ``forbidden``, ``already_claimed``, ``token_exists``.
        """
        made = new_token()
        await self._journal.write(claim.take, claim=_digest(token), name=name, token=_digest(made))
        await self._closed()
        return made

    async def _closed(self) -> None:
        self._open = False
        self._token = None
        await self._remove()

    async def _remove(self) -> None:
        with contextlib.suppress(OSError):  # a claim that claims nothing is no danger
            await asyncio.to_thread(self.file.unlink, missing_ok=True)

    def _read(self) -> str | None:
        try:
            found = _TOKEN.search(self.file.read_text("ascii"))
        except (OSError, UnicodeDecodeError):
            return None
        return found[0] if found else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _told(token: str, address: str, fingerprint: str | None) -> str:
    certificate = (
        ""
        if fingerprint is None
        else f"""
The browser will ask about the certificate, which this hub has made itself. Its SHA-256 fingerprint:
{fingerprint}
"""
    )
    return f"""This modemhub has no owner yet. Open its console and give it this claim token:

{token}

Console: {address}
{certificate}
Without a browser: modemhub token create --name me --scope admin
This file goes away when the hub has an owner.
"""


def _write(file: Path, text: str) -> None:
    """All or nothing, and for nobody else's eyes at any moment."""
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as written:
        written.write(text)
        written.flush()
        os.fsync(written.fileno())
    fresh.replace(file)
