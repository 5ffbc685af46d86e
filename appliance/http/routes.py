"""The table of all routes: what exists, who may use it, what goes in and what comes out.

It drives routing, the scope check and the description (``openapi``), so that none can say what is not so; the tests
hold every answer that they see against its row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.http import handlers, health, ownership, pages, replies
from appliance.http.problem import KINDS
from appliance.http.requests import (
    ClaimRequest,
    EventsQuery,
    InboxQuery,
    MessagesQuery,
    NoQuery,
    RecoveriesQuery,
    TokenRequest,
    UssdRequest,
    WaitQuery,
)
from appliance.hub import SendCommand

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web
    from pydantic import BaseModel

    from appliance.http.call import Call

__all__ = ["ROUTES", "Answer", "Route"]

API = "/api/v1"

MESSAGE = f"{API}/messages/{{id:(?!preview$)[^/]+}}"
"""One message. None is called ``preview``: that path has its own methods, and must not tell of these."""

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a route answers under one status."""

    text: str
    """What it tells, for a person."""
    model: type[BaseModel] | None = None
    """The body's; None: it is no JSON."""
    media: str | None = JSON
    """The body's type; None: it has no body, or one of several types."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Header → what it tells."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path."""

    method: str
    path: str
    """With ``{name}`` for variable segments, ``{name:regex}`` where not all will do."""
    scopes: frozenset[str]
    """Any of them lets in, ``admin`` always does; none: any token."""
    handler: Callable[[Call], Awaitable[web.StreamResponse]]
    answers: Mapping[int, Answer]
    """Status → what it tells; refusals are under ``refuses``."""
    tag: str
    """The chapter of the description."""
    query: type[BaseModel] = NoQuery
    body: type[BaseModel] | None = None
    public: bool = False
    """Needs no token."""
    basic: bool = False
    """Also takes the token as the password of HTTP Basic: for browsers and Prometheus, where nothing can be changed."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Request headers with a meaning here, and what it is."""
    refusals: tuple[str, ...] = ()
    """Codes of its own."""
    described: bool = True
    """Whether the description has it: files of the console are no part of the API."""

    @property
    def refuses(self) -> tuple[str, ...]:
        """All codes of its refusals, in the order of their status."""
        codes = [*self.refusals, "invalid", "internal", "unavailable"]
        if self.body is not None:
            codes += ["too_large", "unsupported_media_type"]
        if not self.public:
            codes += ["unauthorized", "forbidden", "unclaimed", "too_many_attempts"]
        return tuple(code for code in KINDS if code in codes)


def _of(*scopes: str) -> frozenset[str]:
    return frozenset(scopes)


_ANY = _of()

_SENDING = (
    "destination_not_allowed",
    "idempotency_conflict",
    "expired",
    "not_encodable",
    "too_long",
    "no_such_modem",
    "no_sim",
    "quota_exceeded",
    "rate_limited",
    "store_full",
)

_SWITCHING = ("not_found", "no_such_modem", "modem_failed", "not_possible")

_IDEMPOTENCY = (
    "1 to 200 printable ASCII characters that name this request: the same key and body again within 7 days is answered"
    " with the same message, which is sent once."
)

_FILE_HEADERS = {"ETag": "of this content", "Cache-Control": "always no-cache: ask again with If-None-Match"}

ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        f"{API}/messages",
        _of("send"),
        handlers.send,
        {
            202: Answer(
                "accepted, durably; the message, or all when `to` is a list or a group",
                replies.Accepted,
                headers={
                    "Location": "where the message is, when it is one",
                    "Idempotent-Replayed": "`true`: it was accepted before, under the same key",
                },
            )
        },
        "Messages",
        query=WaitQuery,
        body=SendCommand,
        headers={"Idempotency-Key": _IDEMPOTENCY},
        refusals=_SENDING,
    ),
    Route(
        "POST",
        f"{API}/messages/preview",
        _of("send"),
        handlers.preview,
        {200: Answer("encoding, segments, what forces it, what it costs", replies.Preview)},
        "Messages",
        body=SendCommand,
        refusals=("not_encodable", "too_long"),
    ),
    Route(
        "GET",
        f"{API}/messages",
        _of("send", "status"),
        handlers.messages,
        {200: Answer("a page of messages, newest first; one's own without the scope status", replies.Messages)},
        "Messages",
        query=MessagesQuery,
    ),
    Route(
        "GET",
        MESSAGE,
        _of("send", "status"),
        handlers.message,
        {200: Answer("the message", replies.Message)},
        "Messages",
        refusals=("not_found",),
    ),
    Route(
        "DELETE",
        MESSAGE,
        _of("send"),
        handlers.cancel,
        {200: Answer("the cancelled message", replies.Message)},
        "Messages",
        refusals=("not_found", "not_cancellable"),
    ),
    Route(
        "GET",
        f"{API}/inbox",
        _of("inbox"),
        handlers.inbox,
        {200: Answer("a page of received messages", replies.Inbox)},
        "Inbox",
        query=InboxQuery,
    ),
    Route(
        "GET",
        f"{API}/inbox/{{id}}",
        _of("inbox"),
        handlers.received,
        {200: Answer("the received message", replies.Received)},
        "Inbox",
        refusals=("not_found",),
    ),
    Route(
        "GET",
        f"{API}/contacts",
        _of("send", "inbox", "status"),
        ownership.contacts,
        {200: Answer("all contacts of the settings", replies.Contacts)},
        "Messages",
    ),
    Route(
        "GET", f"{API}/modems", _of("status"), handlers.modems, {200: Answer("all modems", replies.Modems)}, "Modems"
    ),
    Route(
        "GET",
        f"{API}/modems/{{imei}}",
        _of("status"),
        handlers.modem,
        {200: Answer("the modem", replies.Modem)},
        "Modems",
        refusals=("not_found",),
    ),
    Route(
        "GET",
        f"{API}/modems/{{imei}}/signal",
        _of("status"),
        handlers.signal,
        {200: Answer("the signal over the last day", replies.Signal)},
        "Modems",
        refusals=("not_found",),
    ),
    Route(
        "GET",
        f"{API}/modems/{{imei}}/recoveries",
        _of("status"),
        handlers.recoveries,
        {200: Answer("a page of steps against its troubles, newest first", replies.Recoveries)},
        "Modems",
        query=RecoveriesQuery,
        refusals=("not_found",),
    ),
    Route(
        "POST",
        f"{API}/modems/{{imei}}/restart",
        _of("control"),
        handlers.restart_modem,
        {202: Answer("the modem was told to restart", replies.ModemDone)},
        "Modems",
        refusals=_SWITCHING,
    ),
    Route(
        "POST",
        f"{API}/modems/{{imei}}/power_cycle",
        _of("control"),
        handlers.power_cycle_modem,
        {202: Answer("it was switched off and on", replies.ModemDone)},
        "Modems",
        refusals=_SWITCHING,
    ),
    Route(
        "POST",
        f"{API}/modems/{{imei}}/ussd",
        _of("control"),
        handlers.ussd,
        {200: Answer("what the network says", replies.UssdAnswer)},
        "Modems",
        body=UssdRequest,
        refusals=(*_SWITCHING, "not_encodable"),
    ),
    Route(
        "GET",
        f"{API}/events",
        _of("send", "inbox", "status"),
        handlers.events,
        {
            200: Answer(
                "an event stream: `message`, `received`, `call`, `recovery` and `store` with an id, in order, and"
                " `modem` without one, for each modem at the beginning and whenever it is another",
                media="text/event-stream",
            )
        },
        "Events",
        query=EventsQuery,
        headers={"Last-Event-ID": "Replay what came after this event; wins over `after`."},
    ),
    Route(
        "GET",
        f"{API}/status",
        _of("status"),
        health.status,
        {200: Answer("how the hub is, what is wrong, and what is done about it", replies.Status)},
        "Hub",
    ),
    Route(
        "GET",
        f"{API}/settings",
        _of("admin"),
        ownership.settings,
        {200: Answer("all settings and where each comes from", replies.Settings)},
        "Hub",
    ),
    Route("GET", f"{API}/me", _ANY, ownership.me, {200: Answer("this token", replies.Me)}, "Tokens"),
    Route(
        "GET", f"{API}/tokens", _of("admin"), ownership.tokens, {200: Answer("all tokens", replies.Tokens)}, "Tokens"
    ),
    Route(
        "POST",
        f"{API}/tokens",
        _of("admin"),
        ownership.create_token,
        {201: Answer("the new token, shown this once", replies.CreatedToken)},
        "Tokens",
        body=TokenRequest,
        refusals=("token_exists",),
    ),
    Route(
        "DELETE",
        f"{API}/tokens/{{name}}",
        _of("admin"),
        ownership.revoke_token,
        {200: Answer("it lets nobody in any more", replies.RevokedToken)},
        "Tokens",
        refusals=("not_found",),
    ),
    Route(
        "GET",
        f"{API}/claim",
        _ANY,
        ownership.claimed,
        {200: Answer("whether the hub has an owner", replies.Claimable)},
        "Tokens",
        public=True,
    ),
    Route(
        "POST",
        f"{API}/claim",
        _ANY,
        ownership.claim,
        {201: Answer("the owner's token, shown this once", replies.Claimed)},
        "Tokens",
        body=ClaimRequest,
        public=True,
        refusals=("forbidden", "already_claimed", "token_exists", "too_many_attempts"),
    ),
    Route(
        "GET",
        "/healthz",
        _ANY,
        health.healthz,
        {200: Answer("the process is alive", replies.Liveness)},
        "Hub",
        public=True,
    ),
    Route(
        "GET",
        "/readyz",
        _of("status"),
        health.readyz,
        {200: Answer("messages can be sent", replies.Health), 503: Answer("why not", replies.Health)},
        "Hub",
    ),
    Route(
        "GET",
        "/metrics",
        _of("status"),
        health.metrics,
        {200: Answer("metrics in the text format of Prometheus", media="text/plain")},
        "Hub",
        basic=True,
    ),
    Route(
        "GET",
        "/openapi.json",
        _ANY,
        pages.openapi,
        {200: Answer("this document", replies.Description)},
        "Hub",
        basic=True,
    ),
    Route("GET", "/docs", _ANY, pages.docs, {200: Answer("a page", media="text/html")}, "Hub", basic=True),
    Route(
        "GET",
        "/docs/style.css",
        _ANY,
        pages.docs_style,
        {200: Answer("its style", media="text/css", headers=_FILE_HEADERS), 304: Answer("as before", media=None)},
        "Hub",
        public=True,
        described=False,
    ),
    Route(
        "GET",
        "/",
        _ANY,
        pages.index,
        {200: Answer("the console", media="text/html", headers=_FILE_HEADERS), 304: Answer("as before", media=None)},
        "Console",
        public=True,
        refusals=("not_found",),
        described=False,
    ),
    Route(
        "GET",
        "/console/{path:.+}",
        _ANY,
        pages.console,
        {200: Answer("a file", media=None, headers=_FILE_HEADERS), 304: Answer("as before", media=None)},
        "Console",
        public=True,
        refusals=("not_found",),
        described=False,
    ),
)
