"""What an owner does with the hub itself: claim it, make and revoke tokens, look at the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.errors import Rejected
from appliance.http.call import reply
from appliance.http.requests import ClaimRequest, NoQuery, TokenRequest

if TYPE_CHECKING:
    from aiohttp import web

    from appliance.http.call import Call


async def claimed(call: Call) -> web.StreamResponse:
    """Whether the hub has an owner."""
    call.query(NoQuery)
    claim = call.hub.claim
    return reply({"claimed": claim is None or not await claim.is_open()})


async def claim(call: Call) -> web.StreamResponse:
    """Become the owner of a hub that nobody owns; guessing is slowed down."""
    call.query(NoQuery)
    asked = await call.body(ClaimRequest)
    found = call.hub.claim
    if found is None or not await found.is_open():
        raise Rejected("already_claimed", "this hub has an owner already: sign in with a token")
    with call.door.gate.guessing(call.peer):
        token = await found.take(asked.token, name=asked.name)
    return reply({"name": asked.name, "scopes": ["admin"], "token": token}, status=201)


async def me(call: Call) -> web.StreamResponse:
    """Whose token this is, and what it may do."""
    call.query(NoQuery)
    client = call.client
    return reply(
        {
            "name": client.name,
            "scopes": sorted(client.scopes),
            "per_minute": client.per_minute,
            "daily_cap": client.daily_cap,
        }
    )


async def tokens(call: Call) -> web.StreamResponse:
    """All tokens that are valid, without what they are."""
    call.query(NoQuery)
    return reply({"tokens": await call.hub.clients.tokens()})


async def create_token(call: Call) -> web.StreamResponse:
    """Make a token; it is shown this once."""
    call.query(NoQuery)
    asked = await call.body(TokenRequest)
    made = await call.hub.clients.create(
        name=asked.name, scopes=set(asked.scopes), per_minute=asked.per_minute, daily_cap=asked.daily_cap
    )
    return reply(made, status=201)


async def revoke_token(call: Call) -> web.StreamResponse:
    """Revoke a token, also one's own: it lets nobody in any more."""
    call.query(NoQuery)
    name = call.request.match_info["name"]
    await call.hub.clients.revoke(name)
    return reply({"name": name})


async def settings(call: Call) -> web.StreamResponse:
    """All settings and where each comes from, secrets masked."""
    call.query(NoQuery)
    return reply({"settings": call.door.explain_settings()})


async def contacts(call: Call) -> web.StreamResponse:
    """The names that stand for numbers."""
    call.query(NoQuery)
    known = [
        {"name": contact.name, "numbers": list(contact.numbers), "group": contact.group}
        for contact in call.hub.contacts
    ]
    return reply({"contacts": known})
