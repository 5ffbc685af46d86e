"""The client against the real door, in the door's own process; and what only a broken connection shows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from appliance.errors import HubBrokeOff, HubUnreachable, RefusedByHub, SettingsError
from appliance.hub import Contacts
from appliance.shell import HubClient
from appliance.shell.client import PATIENCE, PAUSE
from appliance.store import tokens
from appliance.types import Imei, Imsi
from tests.http.visitors import Visitors, front
from tests.mqtt.house import house
from tests.shell.answering import answering, ok, refused, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

TO, OTHER = "+447700900123", "+447700900456"


class Time:
    """A clock that goes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest_asyncio.fixture
async def visitors(tmp_path: Path) -> AsyncIterator[Visitors]:
    async with house(tmp_path) as home:
        home.hub.contacts = Contacts({"anna": TO, "family": ["anna", OTHER]})
        async with front(home) as it:
            yield it


async def client(visitors: Visitors, *scopes: str) -> HubClient:
    name = "-".join(scopes)
    return HubClient(visitors.address, await visitors.home.token(name, *scopes))


async def done(do: Callable[..., Any], *args: Any, **more: Any) -> Any:
    """What a client's method returns; it waits for its answer, so it has a thread of its own."""
    return await asyncio.to_thread(do, *args, **more)


@pytest.mark.asyncio
async def test_send_look_and_cancel(visitors: Visitors) -> None:
    hub = await client(visitors, "send")
    (one,) = await done(hub.send, "anna", "Hello", priority=1, report=None)
    assert (one["to"], one["state"], one["priority"]) == (TO, "queued", 1)
    assert await done(hub.message, one["id"]) == {**one, "text": "Hello"}
    (data,) = await done(hub.send, OTHER, data=b"\x00\xff", port=5000)
    assert (data["encoding"], data["port"]) == ("data", 5000)
    assert (await done(hub.message, data["id"]))["data"] == "AP8="
    both = await done(hub.send, "family", "to all")
    assert [message["to"] for message in both] == [TO, OTHER]
    listed = await done(lambda: list(hub.messages(to=TO)))
    assert [message["id"] for message in listed] == [both[0]["id"], one["id"]]
    cancelled = await done(hub.cancel, one["id"])
    assert (cancelled["id"], cancelled["state"]) == (one["id"], "cancelled")


@pytest.mark.asyncio
async def test_the_same_id_is_the_same_message_and_no_id_is_a_new_one(visitors: Visitors) -> None:
    hub = await client(visitors, "send")
    first, again = [await done(hub.send, TO, "x", id="door ö 1") for _ in range(2)]
    assert first == again
    new, newer = [await done(hub.send, TO, "x") for _ in range(2)]
    assert new[0]["id"] != newer[0]["id"]


@pytest.mark.asyncio
async def test_preview_contacts_modems_and_status(visitors: Visitors) -> None:
    hub = await client(visitors, "send", "status")
    preview = await done(hub.preview, ["anna", OTHER], "“")
    assert (preview["encoding"], preview["forcing"], preview["cost_segments"]) == ("ucs2", ["“"], 2)
    assert [contact["name"] for contact in await done(hub.contacts)] == ["anna", "family"]
    assert await done(hub.modems) == []
    assert (await done(hub.status))["version"] == visitors.home.hub.version
    await done(hub.check)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("ask", "status", "code"),
    [
        (lambda hub: hub.send("nobody", "x"), 400, "invalid"),
        (lambda hub: hub.send(TO, "“", encoding="gsm7"), 422, "not_encodable"),
        (lambda hub: hub.message("out_none"), 404, "not_found"),
        (lambda hub: hub.message("../inbox"), 404, "not_found"),
        (lambda hub: list(hub.inbox()), 403, "forbidden"),
        (lambda hub: hub.events(after=-1), 400, "invalid"),
    ],
)
async def test_refusals_are_exceptions_with_the_hubs_code(
    visitors: Visitors, ask: Callable[[HubClient], Any], status: int, code: str
) -> None:
    hub = await client(visitors, "send")
    with pytest.raises(RefusedByHub) as caught:
        await done(ask, hub)
    assert (caught.value.status, caught.value.code) == (status, code)


@pytest.mark.asyncio
async def test_events_from_the_real_door(visitors: Visitors) -> None:
    hub = await client(visitors, "inbox", "status")
    visitors.home.hub.called(Imei("490154203237518"), Imsi("234100000000001"), TO)
    with await done(hub.events, after=0, kinds={"call"}) as events:
        event = await done(next, events)
    assert (event.kind, event.body["from"]) == ("call", TO)
    assert event.seq is not None


@pytest.mark.asyncio
async def test_whatever_command_asks_it_is_one_client(visitors: Visitors) -> None:
    journal = visitors.home.journal
    one, other = [await client_of(visitors, f"{tokens.PASSING}{n}-1") for n in (1, 2)]
    first, again = [await done(hub.send, TO, "once", id="door-1") for hub in (one, other)]
    assert first == again
    assert first[0]["client"] == "command-line"
    await journal.write(tokens.give_back, name=f"{tokens.PASSING}1-1")
    await journal.write(tokens.give_back, name=f"{tokens.PASSING}1-1")
    assert [token.name for token in await journal.read(tokens.tokens)] == [f"{tokens.PASSING}2-1"]
    await client_of(visitors, f"{tokens.PASSING}1-1")
    await visitors.home.token("mine", "send")
    with pytest.raises(ValueError, match="mine is not lent"):
        await journal.write(tokens.give_back, name="mine")


async def client_of(visitors: Visitors, name: str) -> HubClient:
    return HubClient(visitors.address, await visitors.home.token(name, "send"))


def message(state: str, *, final: bool) -> dict[str, Any]:
    return {"id": "out_1", "state": state, "final": final}


def test_a_send_that_broke_off_is_asked_again_under_the_same_key() -> None:
    time = Time()
    answers = [b"", refused(503, "unavailable")]
    with answering(b"", b"", ok(message("queued", final=False), status="202 Accepted")) as server:
        hub = HubClient(server.url, "t", now=time, sleep=time.sleep)
        assert [one["state"] for one in hub.send(TO, "x")] == ["queued"]
    first, *more = [asked.json for asked in server.asked]
    assert first["id"]
    assert more == [first, first]
    with answering(*answers) as server, pytest.raises(RefusedByHub):
        HubClient(server.url, "t", now=time, sleep=time.sleep).send(TO, "x")


def test_a_send_whose_hub_does_not_come_back_says_what_is_not_known() -> None:
    time = Time()
    with answering(b"") as server:
        hub = HubClient(server.url, "t", now=time, sleep=time.sleep)
        start = time.now
        server._listener.settimeout(5)
        with pytest.raises(HubBrokeOff, match=r"not known.*door-7"):
            close_after_first(server, hub)
    assert time.now - start == PATIENCE


def close_after_first(server: Any, hub: HubClient) -> None:
    """Send; from the second asking on nobody listens there any more."""
    sleep = hub._sleep

    def sleep_and_close(seconds: float) -> None:
        server._listener.close()
        sleep(seconds)

    hub._sleep = sleep_and_close
    hub.send(TO, "x", id="door-7")


def test_nobody_there_was_asked_nothing() -> None:
    with answering() as server:
        url = server.url
    with pytest.raises(HubUnreachable) as caught:
        HubClient(url, "t").send(TO, "x")
    assert not isinstance(caught.value, HubBrokeOff)


def test_waiting_goes_on_after_the_longest_wait_of_one_request() -> None:
    time = Time()
    with answering(
        ok(message("queued", final=False)),
        ok(message("submitted", final=False)),
        b"",
        ok(message("delivered", final=True)),
    ) as server:
        hub = HubClient(server.url, "t", now=time, sleep=time.sleep)
        assert [one["state"] for one in hub.send(TO, "x", wait=90)] == ["delivered"]
    assert server.asked[0].line == "POST /api/v1/messages?wait=60 HTTP/1.1"
    assert [asked.line for asked in server.asked[1:]] == ["GET /api/v1/messages/out_1 HTTP/1.1"] * 3
    assert time.now == 50 + 3 * PAUSE


def test_waiting_ends() -> None:
    time = Time()
    with answering(ok(message("queued", final=False)), ok(message("queued", final=False))) as server:
        hub = HubClient(server.url, "t", now=time, sleep=time.sleep)
        assert [one["state"] for one in hub.send(TO, "x", wait=PAUSE)] == ["queued"]


def test_the_inbox_is_read_page_by_page() -> None:
    pages = [{"messages": [{"seq": 1}, {"seq": 2}], "next": 2}, {"messages": [{"seq": 3}], "next": None}]
    with answering(*map(ok, pages)) as server:
        hub = HubClient(server.url, "t")
        assert [one["seq"] for one in hub.inbox(since_seq=0, sender="+44 1")] == [1, 2, 3]
    assert [asked.line.split("?")[1].split()[0] for asked in server.asked] == [
        "since_seq=0&sender=%2B44+1&limit=200",
        "since_seq=2&sender=%2B44+1&limit=200",
    ]


def test_where_the_newest_event_is_known_a_break_before_the_first_one_leaves_no_gap() -> None:
    with answering(stream(), stream((42, "message", {}))) as server:
        hub = HubClient(server.url, "t", newest=41, sleep=lambda _: None)
        with hub.events() as events:
            assert next(events).seq == 42
    assert [asked.headers["Last-Event-ID"] for asked in server.asked] == ["41", "41"]


def test_a_hub_of_the_environment() -> None:
    with answering(ok({"modems": []})) as server:
        environment = {"MODEMHUB_URL": server.url, "MODEMHUB_TOKEN": " secret\n"}
        assert HubClient.from_environment(environment).modems() == []
    assert server.asked[0].headers["Authorization"] == "Bearer secret"
    with pytest.raises(SettingsError, match="MODEMHUB_TOKEN"):
        HubClient.from_environment({"MODEMHUB_URL": "http://hub"})
