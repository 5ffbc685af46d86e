"""The table of all routes: what exists, who may use it, what goes in and what comes out.

It drives routing and the scope check; a description (OpenAPI) reads the same rows, so that none can say what is not so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.http import handlers
from appliance.http.handlers import Call, EventsQuery, InboxQuery, MessagesQuery, NoQuery, UssdRequest, WaitQuery
from appliance.hub import SendCommand

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web
    from pydantic import BaseModel

__all__ = ["ROUTES", "Route"]

API = "/api/v1"


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path."""

    method: str
    path: str
    """With ``{name}`` for variable segments."""
    scopes: frozenset[str]
    """Any of them lets in, ``admin`` always does; none: any token."""
    handler: Callable[[Call], Awaitable[web.StreamResponse]]
    answers: Mapping[int, str]
    """Status → what it tells; refusals that every route knows (400, 401, 403, 404, 429, 500) are left out."""
    query: type[BaseModel] = NoQuery
    body: type[BaseModel] | None = None
    public: bool = False
    """Needs no token."""
    headers: tuple[str, ...] = field(default=())
    """Request headers with a meaning here."""


def _of(*scopes: str) -> frozenset[str]:
    return frozenset(scopes)


_SEND = {
    202: "accepted, durably; the message, or all when `to` is a list",
    409: "the idempotency key was used for something else",
    413: "the body is too long",
    415: "the body is not JSON",
    422: "it cannot be sent like this",
    507: "the disk is full",
}

ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        f"{API}/messages",
        _of("send"),
        handlers.send,
        _SEND,
        query=WaitQuery,
        body=SendCommand,
        headers=("Idempotency-Key",),
    ),
    Route(
        "POST",
        f"{API}/messages/preview",
        _of("send"),
        handlers.preview,
        {200: "encoding, segments, what forces it, what it costs", 422: "it cannot be encoded"},
        body=SendCommand,
    ),
    Route(
        "GET",
        f"{API}/messages",
        _of("send", "status"),
        handlers.messages,
        {200: "a page of messages, newest first; one's own without the scope status"},
        query=MessagesQuery,
    ),
    Route("GET", f"{API}/messages/{{id}}", _of("send", "status"), handlers.message, {200: "the message"}),
    Route(
        "DELETE",
        f"{API}/messages/{{id}}",
        _of("send"),
        handlers.cancel,
        {200: "the cancelled message", 409: "it was handed to a modem already"},
    ),
    Route(
        "GET",
        f"{API}/inbox",
        _of("inbox"),
        handlers.inbox,
        {200: "a page of received messages, oldest first"},
        query=InboxQuery,
    ),
    Route("GET", f"{API}/inbox/{{id}}", _of("inbox"), handlers.received, {200: "the received message"}),
    Route("GET", f"{API}/modems", _of("status"), handlers.modems, {200: "all modems"}),
    Route("GET", f"{API}/modems/{{imei}}", _of("status"), handlers.modem, {200: "the modem"}),
    Route(
        "POST",
        f"{API}/modems/{{imei}}/restart",
        _of("control"),
        handlers.restart_modem,
        {202: "the modem was told to restart", 422: "it does not answer now"},
    ),
    Route(
        "POST",
        f"{API}/modems/{{imei}}/power_cycle",
        _of("control"),
        handlers.power_cycle_modem,
        {202: "it was switched off and on", 422: "that cannot be done here, or not now"},
    ),
    Route(
        "POST",
        f"{API}/modems/{{imei}}/ussd",
        _of("control"),
        handlers.ussd,
        {200: "what the network says", 422: "the modem or the network refuses"},
        body=UssdRequest,
    ),
    Route(
        "GET",
        f"{API}/events",
        _of("send", "inbox", "status"),
        handlers.events,
        {200: "an event stream", 503: "too many streams"},
        query=EventsQuery,
        headers=("Last-Event-ID",),
    ),
    Route("GET", "/healthz", _of(), handlers.healthz, {200: "the process is alive"}, public=True),
    Route("GET", "/readyz", _of("status"), handlers.readyz, {200: "messages can be sent", 503: "why not"}),
)
