"""What each route does: a handler reads its request, asks the hub, returns JSON; refusals are raised as Rejected."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from appliance.errors import Rejected
from appliance.http.auth import allows
from appliance.http.tail import server_sent
from appliance.hub import SendCommand, read_model, read_query
from appliance.types import SegmentState

if TYPE_CHECKING:
    from appliance.http.door import HttpDoor
    from appliance.hub import Client, Event, Hub

__all__ = [
    "Call",
    "EventsQuery",
    "InboxQuery",
    "MessagesQuery",
    "NoQuery",
    "UssdRequest",
    "WaitQuery",
]

Model = TypeVar("Model", bound=BaseModel)

EVENTS_AT_ONCE = 200

SEES_ALL = frozenset({"status"})
"""Who sees messages that are not its own."""

State = Literal[
    "queued", "submitting", "submitted", "delivered", "undelivered", "failed", "expired", "cancelled", "in_doubt"
]
assert set(get_args(State)) == set(SegmentState)


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NoQuery(_Query):
    """No query parameter is known."""


class WaitQuery(_Query):
    """``?wait=``."""

    wait: Annotated[float, Field(ge=0, le=60)] = 0
    """Seconds to wait for the message's end before the answer."""


class UssdRequest(BaseModel):
    """The body of a USSD request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Annotated[str, Field(min_length=1, max_length=182)] | None
    """``*100#``, or the answer to what the network asked; null ends the session. 182: 23.038 §5."""


class MessagesQuery(_Query):
    """Filters and page of ``GET /messages``."""

    state: State | None = None
    to: Annotated[str, Field(min_length=1, max_length=40)] | None = None
    before: Annotated[int, Field(ge=1)] | None = None
    """``next`` of the page before."""
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class InboxQuery(_Query):
    """Filters and page of ``GET /inbox``."""

    since_seq: Annotated[int, Field(ge=0)] = 0
    """Only what came after it; ``next`` of the page before."""
    sender: Annotated[str, Field(min_length=1, max_length=40)] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class EventsQuery(_Query):
    """``?after=``."""

    after: Annotated[int, Field(ge=0)] | None = None
    """Replay what came after this event; ``Last-Event-ID`` wins. Absent: from now on."""


@dataclass(frozen=True, slots=True)
class Call:
    """One authorised request."""

    request: web.Request
    client: Client
    token: str
    door: HttpDoor

    @property
    def hub(self) -> Hub:
        """The hub."""
        return self.door.hub

    @property
    def owner(self) -> str | None:
        """Whose messages this client sees: None is everybody's."""
        return None if allows(self.client, SEES_ALL) else self.client.name

    def query(self, model: type[Model]) -> Model:
        """The query string, read."""
        return read_query(model, self.request.query.items())

    async def body(self, model: type[Model]) -> Model:
        """The JSON body, read."""
        if self.request.content_type != "application/json":
            raise Rejected("unsupported_media_type", "send Content-Type: application/json")
        return read_model(model, await self.request.read())


def reply(value: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON response."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


# ---------------------------------------------------------------------- messages


async def send(call: Call) -> web.StreamResponse:
    """Accept a message, durably, and answer with it."""
    wait = call.query(WaitQuery).wait
    command = await call.body(SendCommand)
    sent = await call.hub.send(
        command,
        client=call.client.name,
        client_daily_cap=call.client.daily_cap,
        key=_idempotency_key(call.request),
    )
    messages = list(sent.messages)
    if wait:
        await call.door.wait_for_ends(sent.ids, wait)
        messages = [await call.hub.message(one) or known for one, known in zip(sent.ids, messages, strict=True)]
    headers = {"Idempotent-Replayed": "true"} if sent.duplicate else {}
    if sent.single:
        headers["Location"] = f"/api/v1/messages/{sent.ids[0]}"
        return reply(messages[0], status=202, headers=headers)
    return reply({"messages": messages}, status=202, headers=headers)


def _idempotency_key(request: web.Request) -> str | None:
    """The header Idempotency-Key: in quotes, as the draft of its standard wants it, or without, as most send it."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    key = key.strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not 0 < len(key) <= 200 or not key.isascii() or not key.isprintable():
        raise Rejected("invalid", "Idempotency-Key is 1 to 200 printable ASCII characters")
    return key


async def preview(call: Call) -> web.StreamResponse:
    """How a message would be sent, and what it would cost."""
    call.query(NoQuery)
    return reply(call.hub.preview(await call.body(SendCommand)))


async def messages(call: Call) -> web.StreamResponse:
    """A page of outbound messages, the newest first."""
    query = call.query(MessagesQuery)
    to = None if query.to is None else "+" + query.to[1:] if query.to.startswith(" ") else query.to
    page = await call.hub.messages(state=query.state, to=to, client=call.owner, before=query.before, limit=query.limit)
    return reply({"messages": page.items, "next": page.next})


async def message(call: Call) -> web.StreamResponse:
    """One outbound message."""
    call.query(NoQuery)
    found = await call.hub.message(call.request.match_info["id"])
    if found is None or call.owner not in {None, found["client"]}:
        raise Rejected("not_found", "there is no such message, or it is not yours")
    return reply(found)


async def cancel(call: Call) -> web.StreamResponse:
    """Cancel a message that was not handed to a modem yet; one's own, unless admin."""
    call.query(NoQuery)
    client = None if "admin" in call.client.scopes else call.client.name
    return reply(await call.hub.cancel(call.request.match_info["id"], client=client))


# ---------------------------------------------------------------------- inbox


async def inbox(call: Call) -> web.StreamResponse:
    """A page of received messages, the oldest first."""
    query = call.query(InboxQuery)
    page = await call.hub.inbox(since_seq=query.since_seq, sender=query.sender, limit=query.limit)
    return reply({"messages": page.items, "next": page.next})


async def received(call: Call) -> web.StreamResponse:
    """One received message."""
    call.query(NoQuery)
    found = await call.hub.received(call.request.match_info["id"])
    if found is None:
        raise Rejected("not_found", "there is no such received message")
    return reply(found)


# ---------------------------------------------------------------------- modems


async def modems(call: Call) -> web.StreamResponse:
    """All modems."""
    call.query(NoQuery)
    return reply({"modems": [{"imei": imei, **state} for imei, state in call.hub.modems().items()]})


async def modem(call: Call) -> web.StreamResponse:
    """One modem."""
    call.query(NoQuery)
    imei = call.request.match_info["imei"]
    return reply({"imei": imei, **_modem(call, imei)})


async def restart_modem(call: Call) -> web.StreamResponse:
    """Restart a modem; answered when it was told to."""
    call.query(NoQuery)
    imei = call.request.match_info["imei"]
    _modem(call, imei)
    await call.hub.restart_modem(imei)
    return reply({"imei": imei, "status": "ok"}, status=202)


async def power_cycle_modem(call: Call) -> web.StreamResponse:
    """Switch a modem off and on; answered when that was done."""
    call.query(NoQuery)
    imei = call.request.match_info["imei"]
    _modem(call, imei)
    return reply({"imei": imei, "status": "ok", "done": await call.hub.power_cycle_modem(imei)}, status=202)


async def ussd(call: Call) -> web.StreamResponse:
    """Ask the network by USSD; answered when the network has."""
    call.query(NoQuery)
    imei = call.request.match_info["imei"]
    _modem(call, imei)
    asked = await call.body(UssdRequest)
    return reply({"imei": imei, **await call.hub.ussd(imei, asked.text)})


def _modem(call: Call, imei: str) -> dict[str, Any]:
    state = call.hub.modems().get(imei)
    if state is None:
        raise Rejected("not_found", "there is no modem with this IMEI")
    return state


# ---------------------------------------------------------------------- events and health


async def events(call: Call) -> web.StreamResponse:
    """The events that the scopes allow, as an event stream (HTML Living Standard §9.2), until one side ends it."""
    after = _after(call)
    door = call.door
    with door.stream():
        if after is None:
            after = call.hub.newest
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await stream.prepare(call.request)
        try:
            await stream.write(b"retry: 2000\n\n")
            while not door.stopping.is_set():
                found = await call.hub.events(after, limit=EVENTS_AT_ONCE)
                if told := b"".join(server_sent(event) for event in found if _may_see(call, event)):
                    await stream.write(told)
                if found:
                    after = found[-1].seq
                elif not await door.event_or_heartbeat(after) and not door.stopping.is_set():
                    if await call.hub.authenticate(call.token) is None:  # revoked meanwhile
                        break
                    await stream.write(b": still here\n\n")
        except ConnectionError:
            pass  # the other side has gone: nothing is left to say
        return stream


def _after(call: Call) -> int | None:
    after = call.query(EventsQuery).after
    last = call.request.headers.get("Last-Event-ID")
    if last is None:
        return after
    if not (last.isascii() and last.isdigit() and len(last) < 19):
        raise Rejected("invalid", "Last-Event-ID is the id of an event of this stream: a number")
    return int(last)


def _may_see(call: Call, event: Event) -> bool:
    match event.kind:
        case "message":
            return call.owner in {None, event.body.get("client")} and allows(call.client, frozenset({"send", "status"}))
        case "received" | "call":
            return allows(call.client, frozenset({"inbox"}))
        case _:
            return allows(call.client, frozenset({"status"}))


async def healthz(call: Call) -> web.StreamResponse:
    """The process is alive; says nothing else, as anybody may ask."""
    return reply({"status": call.hub.health()["status"]})


async def readyz(call: Call) -> web.StreamResponse:
    """200 when messages can be sent, 503 with the reasons when not."""
    call.query(NoQuery)
    health = call.hub.health()
    return reply(health, status=200 if health["status"] == "ok" else 503)
