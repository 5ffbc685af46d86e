"""The event stream: what the scopes allow, from where the client was, until one side ends it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from appliance.hub import SendCommand
from appliance.store import tokens
from appliance.types import Imei, Imsi
from tests.http.visitors import TO, Stream, Visitors, front

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.mqtt.house import House

pytestmark = pytest.mark.asyncio


@contextlib.asynccontextmanager
async def stream(visitors: Visitors, token: str, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    sent = {"Authorization": f"Bearer {token}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    async with visitors.session.get(f"{visitors.address}/api/v1/events{query}", headers=sent) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"] == "text/event-stream"
        yield Stream(response)


async def send(home: House, client: str = "sender") -> str:
    return (await home.hub.send(SendCommand(to=TO, text="secret"), client=client)).ids[0]


async def test_new_events_are_told_as_they_happen(visitors: Visitors) -> None:
    token = await visitors.home.token("sender", "send")
    await send(visitors.home)  # before the stream: not told
    async with stream(visitors, token) as events:
        one = await send(visitors.home)
        number, kind, body = await events.event()
        assert (kind, body["id"], body["state"], body["event"]) == ("message", one, "queued", number)
        assert "text" not in body
        await visitors.home.hub.cancel(one, client=None)
        later, _, body = await events.event()
        assert (body["id"], body["state"]) == (one, "cancelled")
        assert later > number


@pytest.mark.parametrize("where", ["query", "header"])
async def test_a_stream_goes_on_where_the_client_was(visitors: Visitors, where: str) -> None:
    token = await visitors.home.token("seer", "status")
    ids = [await send(visitors.home) for _ in range(250)]
    async with stream(visitors, token, "?after=0") as events:
        first, _, body = await events.event()
        assert body["id"] == ids[0]
    wish: dict[str, Any] = {"query": f"?after={first}"} if where == "query" else {"Last_Event_ID": f"{first}"}
    async with stream(visitors, token, **wish) as events:
        assert [(await events.event())[2]["id"] for _ in ids[1:]] == ids[1:]
        last = await send(visitors.home)
        assert (await events.event())[2]["id"] == last


async def test_a_stream_tells_what_the_scopes_allow(visitors: Visitors) -> None:
    home = visitors.home
    scopes = {"one": ["send"], "reader": ["inbox"], "seer": ["status"], "root": ["admin"]}
    held = {name: await home.token(name, *of) for name, of in scopes.items()}
    await send(home, "one")
    await send(home, "other")
    home.hub.called(Imei("490154203237518"), Imsi("234100000000001"), TO)
    last = await send(home, "one")
    seen: dict[str, list[tuple[str, str]]] = {}
    for name, token in held.items():
        async with stream(visitors, token, "?after=0") as events:
            told = seen.setdefault(name, [])
            enough = {"one": 2, "reader": 1, "seer": 3, "root": 4}[name]
            while len(told) < enough:
                _, kind, body = await events.event()
                told.append((kind, body.get("client", "")))
    one, other, call = ("message", "one"), ("message", "other"), ("call", "")
    assert seen["one"] == [one, one]
    assert seen["reader"] == [call]
    assert seen["seer"] == [one, other, one]
    assert sorted(seen["root"]) == sorted([one, other, call, one])
    assert last


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 30])
async def test_a_wrong_last_event_id_is_refused(visitors: Visitors, last: str) -> None:
    token = await visitors.home.token("seer", "status")
    answer = await visitors.call("GET", "/api/v1/events", token=token, Last_Event_ID=last)
    assert answer.problem() == (400, "invalid")


async def test_a_silent_stream_shows_signs_of_life_and_ends_with_the_token(visitors: Visitors) -> None:
    token = await visitors.home.token("seer", "status")
    async with stream(visitors, token) as events:
        await visitors.time.sleep_of(15)
        assert await events.block() == {"": "still here"}
        await visitors.home.journal.write(tokens.revoke, name="seer")
        await visitors.time.sleep_of(15)
        assert await events.block() is None


async def test_streams_are_counted(home: House) -> None:
    async with front(home, max_streams=1) as visitors:
        token = await home.token("seer", "status")
        async with stream(visitors, token):
            answer = await visitors.call("GET", "/api/v1/events", token=token)
            assert answer.problem() == (503, "unavailable")


async def test_stopping_ends_the_streams(home: House) -> None:
    async with aiohttp.ClientSession() as session:
        async with front(home) as visitors:
            headers = {"Authorization": f"Bearer {await home.token('seer', 'status')}"}
            response = await session.get(f"{visitors.address}/api/v1/events", headers=headers)
        assert await Stream(response).block() is None


async def test_a_stream_says_where_it_begins_before_its_first_event(visitors: Visitors) -> None:
    token = await visitors.home.token("seer", "status")
    await send(visitors.home)
    async with stream(visitors, token) as events:
        begun = await events.response.content.readuntil(b"\n\n")
    assert f"id: {visitors.home.hub.newest}\n".encode() in begun
