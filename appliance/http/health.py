"""How the hub is, for people, supervisors and Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from appliance.http.call import reply
from appliance.http.requests import NoQuery

if TYPE_CHECKING:
    from appliance.http.call import Call


async def status(call: Call) -> web.StreamResponse:
    """How the hub is, what is wrong in plain words, and what is done about it."""
    call.query(NoQuery)
    fingerprint = call.door.fingerprint
    tls = None if fingerprint is None else {"fingerprint": fingerprint}
    return reply({**await call.hub.status(), "tls": tls})


async def metrics(call: Call) -> web.StreamResponse:
    """The hub in numbers, for Prometheus."""
    call.query(NoQuery)
    from appliance.http import metrics as numbers  # noqa: PLC0415 - 4 MB that only those pay who ask

    hub, door = call.hub, call.door
    text = numbers.exposition(await hub.counts.figures(), hub.modems(), await hub.status(), door.requests, door.streams)
    return web.Response(body=text, headers={"Content-Type": numbers.CONTENT_TYPE})


async def healthz(call: Call) -> web.StreamResponse:
    """The process is alive; says nothing else, as anybody may ask."""
    return reply({"status": call.hub.health()["status"]})


async def readyz(call: Call) -> web.StreamResponse:
    """200 when messages can be sent, 503 with the reasons when not."""
    call.query(NoQuery)
    health = call.hub.health()
    return reply(health, status=200 if health["status"] == "ok" else 503)
