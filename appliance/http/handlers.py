"""What the routes of messages, inbox, modems and events do: a handler reads its request, asks the hub, returns JSON.

Refusals are raised as Rejected. What the owner does with the hub itself is in ``ownership``, how the hub is in
``health``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from appliance.errors import Rejected
from appliance.http.auth import allows
from appliance.http.call import reply
from appliance.http.requests import (
    EventsQuery,
    InboxQuery,
    MessagesQuery,
    NoQuery,
    RecoveriesQuery,
    UssdRequest,
    WaitQuery,
)
from appliance.http.tail import modem_told, server_sent
from appliance.hub import SendCommand

if TYPE_CHECKING:
    from appliance.http.call import Call
    from appliance.hub import Event

EVENTS_AT_ONCE = 200

SIGNAL_EVERY = 60
"""Seconds between two samples of a signal, as the hub takes them."""

# ---------------------------------------------------------------------- messages


async def send(call: Call) -> web.StreamResponse:
    """Accept a message, durably, and answer with it."""
    wait = call.query(WaitQuery).wait
    command = await call.body(SendCommand)
    if call.client.per_minute is not None:
        call.door.pace.take(call.client.name, call.hub.numbers(command), per_minute=call.client.per_minute)
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
    to = None if query.to is None else _number(call, query.to)
    page = await call.hub.messages(state=query.state, to=to, client=call.owner, before=query.before, limit=query.limit)
    return reply({"messages": page.items, "next": page.next})


def _number(call: Call, given: str) -> str:
    """A number as the journal spells it; a ``+`` that was not escaped came as a space."""
    return call.hub.spelled("+" + given[1:] if given.startswith(" ") else given)


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
    """A page of received messages: the oldest first, or with ``before`` the newest first."""
    query = call.query(InboxQuery)
    sender = None if query.sender is None else _number(call, query.sender)
    if query.before is not None:
        page = await call.hub.inbox_before(query.before, sender=sender, limit=query.limit)
    else:
        page = await call.hub.inbox(since_seq=query.since_seq or 0, sender=sender, limit=query.limit)
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


async def signal(call: Call) -> web.StreamResponse:
    """A modem's signal over the last day."""
    call.query(NoQuery)
    imei = call.request.match_info["imei"]
    _modem(call, imei)
    return reply({"every": SIGNAL_EVERY, "samples": call.hub.signal(imei)})


async def recoveries(call: Call) -> web.StreamResponse:
    """What was done against a modem's troubles, the newest first."""
    query = call.query(RecoveriesQuery)
    imei = call.request.match_info["imei"]
    _modem(call, imei)
    page = await call.hub.recoveries(imei, before=query.before, limit=query.limit)
    return reply({"recoveries": page.items, "next": page.next})


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


# ---------------------------------------------------------------------- events


async def events(call: Call) -> web.StreamResponse:
    """The events that the scopes allow, as an event stream (HTML Living Standard §9.2), until one side ends it."""
    after = _after(call)
    door = call.door
    modems = _Modems(call)
    with door.stream():
        if after is None:
            after = call.hub.newest
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await stream.prepare(call.request)
        try:
            await stream.write(f"retry: 2000\nid: {after}\n\n".encode())  # where to go on if it breaks at once
            sign_of_life = b""
            while not door.stopping.is_set():
                if await call.hub.clients.authenticate(call.token) is None:  # revoked meanwhile
                    break
                found = await call.hub.events(after, limit=EVENTS_AT_ONCE)
                told = b"".join(server_sent(event) for event in found if _may_see(call, event)) + modems.news()
                if told := told or sign_of_life:
                    await stream.write(told)
                sign_of_life = b""
                if found:
                    after = found[-1].seq
                elif not await door.news_or_heartbeat(after, modems.version):
                    sign_of_life = b": still here\n\n"
        except ConnectionError:
            pass  # the other side has gone: nothing is left to say
        return stream


class _Modems:
    """What a stream has told of the modems: each at the beginning, and again when it is another."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._wanted = allows(call.client, frozenset({"status"}))
        self._told: dict[str, dict[str, Any]] = {}
        self.version: int | None = None
        """Of the roster that was looked at; None: nobody wants to know."""

    def news(self) -> bytes:
        """The modems that were not told as they are now, as events without an id: they are not replayed."""
        if not self._wanted:
            return b""
        self.version = self._call.hub.modems_version
        views = self._call.hub.modems()
        fresh = {imei: view for imei, view in views.items() if self._told.get(imei) != view}
        self._told.update(fresh)
        return b"".join(modem_told({"imei": imei, **view}) for imei, view in fresh.items())


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
