"""https: the receiver is who its name says, or nothing is told to it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from aiohttp import connector
from pydantic import SecretStr

from appliance.hub import Event
from appliance.webhooks.sender import Failed, Outcome, Sender, Told
from appliance.webhooks.settings import WebhookSettings
from tests.authority import Authority
from tests.webhooks.receiver import SECRET, Receiver

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.asyncio

NAME = "receiver.example"

EVENT = Event(7, "call", "x", "2026-01-31T12:00:00.000Z", {"n": 1})


async def tell(receiver: Receiver, *, name: str = NAME) -> Outcome:
    async def here(host: str, _: int) -> Sequence[str]:
        assert host == name
        return ["127.0.0.1"]

    url = f"https://{name}:{receiver.port}/"
    settings = WebhookSettings(url=url, secret=SecretStr(SECRET), allow_private=True)
    async with Sender(settings, hub_id="abcd", wall=lambda: 1.0, resolve=here) as sender:
        return await sender.tell(EVENT)


async def test_a_receiver_is_told_only_under_a_name_that_its_certificate_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(authority.issue("receiver", host=NAME))
    receiver = Receiver()
    await receiver.start(server)
    try:
        untrusted = await tell(receiver)
        assert untrusted == Failed("its certificate is not valid, or not for this name", down=True)
        # The machine's own authorities, with one more.
        trusting = ssl.create_default_context(cafile=authority.file)
        monkeypatch.setattr(connector, "_SSL_CONTEXT_VERIFIED", trusting)
        assert await tell(receiver) == Told()
        assert await tell(receiver, name="other.example") == untrusted
        assert len(receiver.got) == 1
    finally:
        await receiver.stop()


async def test_a_receiver_without_tls_is_told_nothing() -> None:
    receiver = Receiver()
    await receiver.start()
    try:
        assert await tell(receiver) == Failed("it does not speak TLS as we do", down=True)
        assert receiver.got == []
    finally:
        await receiver.stop()
