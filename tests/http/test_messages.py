"""Sending, reading, cancelling: accepted means committed, keys make it once, and everybody sees what is theirs."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from appliance.hub import Contacts
from tests.http.visitors import TO, Visitors, front
from tests.mqtt.house import House, house

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.store import Transaction

pytestmark = pytest.mark.asyncio

BODY = {"to": TO, "text": "hello"}


async def post(visitors: Visitors, token: str, body: Any = BODY, *, query: str = "", **headers: str) -> Any:
    return await visitors.call("POST", f"/api/v1/messages{query}", token=token, body=body, **headers)


async def test_a_message_is_accepted_and_found_where_the_answer_says(visitors: Visitors) -> None:
    token = await visitors.home.token("sender", "send")
    answer = await post(visitors, token)
    assert answer.status == 202
    assert (answer.json["state"], answer.json["to"], answer.json["client"]) == ("queued", TO, "sender")
    found = await visitors.call("GET", answer.headers["Location"], token=token)
    assert found.json["id"] == answer.json["id"]
    assert found.json["text"] == "hello"


async def test_no_202_before_the_commit(tmp_path: Path) -> None:
    reached, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold(moment: str, verb: str) -> None:
        if (moment, verb) == ("before", "accept"):
            loop.call_soon_threadsafe(reached.set)
            go.wait()

    async with house(tmp_path, probe=hold) as home, front(home) as visitors:
        token = await home.token("sender", "send", "status")
        asking = asyncio.create_task(post(visitors, token))
        try:
            await reached.wait()
            listed = await visitors.call("GET", "/api/v1/messages", token=token)
            assert listed.json["messages"] == []  # the door lives, and has nothing to say about this one
            assert not asking.done()
        finally:
            go.set()
        assert (await asking).status == 202


async def test_several_recipients_are_several_messages(visitors: Visitors) -> None:
    token = await visitors.home.token("sender", "send")
    answer = await post(visitors, token, BODY | {"to": [TO, "+447700900124"]})
    assert answer.status == 202
    assert [one["to"] for one in answer.json["messages"]] == [TO, "+447700900124"]


async def test_a_key_makes_it_once_also_across_a_restart(tmp_path: Path) -> None:
    ids: set[str] = set()
    for round_ in range(2):
        async with house(tmp_path) as home, front(home) as visitors:
            token = await home.token("sender", "send") if not round_ else "token-of-sender"
            for key in ("k-1", '"k-1"'):
                answer = await post(visitors, token, Idempotency_Key=key)
                assert answer.status == 202
                assert answer.headers.get("Idempotent-Replayed") == ("true" if ids else None)
                ids.add(answer.json["id"])
            other = await post(visitors, token, BODY | {"text": "other"}, Idempotency_Key="k-1")
            assert other.problem() == (409, "idempotency_conflict")
            in_body = await post(visitors, token, BODY | {"id": "k-1"})
            assert in_body.json["id"] in ids
    assert len(ids) == 1


async def test_a_key_is_of_its_client(visitors: Visitors) -> None:
    one, other = await visitors.home.token("one", "send"), await visitors.home.token("other", "send")
    first = await post(visitors, one, Idempotency_Key="k")
    second = await post(visitors, other, Idempotency_Key="k")
    assert first.json["id"] != second.json["id"]


@pytest.mark.parametrize("key", ["", '""', "x" * 201, "ä"])
async def test_a_key_that_is_none_is_refused(visitors: Visitors, key: str) -> None:
    token = await visitors.home.token("sender", "send")
    assert (await post(visitors, token, Idempotency_Key=key)).problem() == (400, "invalid")


async def test_two_keys_that_differ_are_refused(visitors: Visitors) -> None:
    token = await visitors.home.token("sender", "send")
    answer = await post(visitors, token, BODY | {"id": "a"}, Idempotency_Key="b")
    assert answer.problem() == (400, "invalid")
    assert answer.json["pointer"] == "/id"


async def test_a_quota_is_told_with_the_time_to_wait(tmp_path: Path) -> None:
    async with house(tmp_path, client_daily_cap=2) as home, front(home) as visitors:
        token = await home.token("sender", "send")
        assert [(await post(visitors, token)).status for _ in range(2)] == [202, 202]
        answer = await post(visitors, token)
        assert answer.problem() == (429, "quota_exceeded")
        assert 0 < int(answer.headers["Retry-After"]) <= 25 * 3600


def _no_room(tx: Transaction) -> None:
    tx.db.execute("PRAGMA max_page_count = 1")


async def test_a_full_disk_is_507_and_nothing_is_kept(visitors: Visitors) -> None:
    token = await visitors.home.token("sender", "send")
    await visitors.home.journal.write(_no_room)
    big = BODY | {"text": "x" * 20_000}
    answer = await post(visitors, token, big)
    assert answer.problem() == (507, "store_full")
    assert (await visitors.call("GET", "/api/v1/messages", token=token)).json["messages"] == []


async def test_a_client_sees_its_own_and_who_may_see_states_sees_all(visitors: Visitors) -> None:
    one, other = await visitors.home.token("one", "send"), await visitors.home.token("other", "send")
    seer = await visitors.home.token("seer", "status")
    sent = (await post(visitors, one)).json["id"]
    for token, sees in ((one, True), (other, False), (seer, True)):
        page = await visitors.call("GET", "/api/v1/messages", token=token)
        assert [message["id"] for message in page.json["messages"]] == ([sent] if sees else [])
        found = await visitors.call("GET", f"/api/v1/messages/{sent}", token=token)
        assert found.status == (200 if sees else 404)
    assert (await visitors.call("DELETE", f"/api/v1/messages/{sent}", token=other)).problem() == (404, "not_found")
    assert (await visitors.call("DELETE", f"/api/v1/messages/{sent}", token=one)).json["state"] == "cancelled"
    again = await visitors.call("DELETE", f"/api/v1/messages/{sent}", token=one)
    assert again.problem() == (409, "not_cancellable")


async def test_pages_follow_their_cursor_to_the_end(visitors: Visitors) -> None:
    token = await visitors.home.token("sender", "send")
    ids = [(await post(visitors, token)).json["id"] for _ in range(5)]
    seen, query = [], "?limit=2"
    while True:
        page = (await visitors.call("GET", f"/api/v1/messages{query}", token=token)).json
        seen += [message["id"] for message in page["messages"]]
        if page["next"] is None:
            break
        query = f"?limit=2&before={page['next']}"
    assert seen == ids[::-1]


async def test_filters_are_by_state_and_recipient_also_with_a_plus_that_the_query_made_a_space(
    visitors: Visitors,
) -> None:
    token = await visitors.home.token("sender", "send")
    sent = (await post(visitors, token)).json["id"]
    await post(visitors, token, BODY | {"to": "+447700900124"})
    for query in (f"to={TO}", f"to=%2B{TO[1:]}"):
        page = (await visitors.call("GET", f"/api/v1/messages?state=queued&{query}", token=token)).json
        assert [message["id"] for message in page["messages"]] == [sent]
    assert (await visitors.call("GET", "/api/v1/messages?state=failed", token=token)).json["messages"] == []


async def test_a_preview_costs_nothing_and_sends_nothing(visitors: Visitors) -> None:
    token = await visitors.home.token("sender", "send")
    answer = await visitors.call("POST", "/api/v1/messages/preview", token=token, body=BODY | {"text": "ж" * 71})
    assert (answer.json["encoding"], answer.json["segments"]) == ("ucs2", 2)
    assert (await visitors.call("GET", "/api/v1/messages", token=token)).json["messages"] == []


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"text": "a" * 160}, {"encoding": "gsm7", "segments": 1, "units": [160], "capacity": 160, "forcing": []}),
        ({"text": "a" * 161}, {"encoding": "gsm7", "segments": 2, "units": [153, 8], "capacity": 153}),
        ({"text": "€" * 80}, {"encoding": "gsm7", "segments": 1, "units": [160]}),
        (
            {"text": "aж€\N{GRINNING FACE}жя"},
            {"encoding": "ucs2", "units": [7], "capacity": 70, "forcing": ["ж", "\N{GRINNING FACE}", "я"]},
        ),
        (
            {"text": "\N{GRINNING FACE}„ok“", "encoding": "translit"},
            {
                "encoding": "gsm7",
                "forcing": [],
                "substitutions": [
                    {"character": "\N{GRINNING FACE}", "replacement": ":D", "position": 0},
                    {"character": "„", "replacement": '"', "position": 1},
                    {"character": "“", "replacement": '"', "position": 4},
                ],
            },
        ),
        ({"data": "AAEC", "port": 9}, {"encoding": "data", "units": [3]}),
        ({"to": [TO, TO.replace("+44", "0044 "), "family"]}, {"recipients": 2, "cost_segments": 2}),
    ],
)
async def test_a_preview_tells_what_forces_the_encoding_and_where_it_loses_something(
    visitors: Visitors, wish: dict[str, Any], told: dict[str, Any]
) -> None:
    token = await visitors.home.token("sender", "send")
    visitors.home.hub.contacts = Contacts({"family": [TO, "+447700900124"]})
    body = {"to": TO, **({} if "data" in wish else {"text": "x"}), **wish}
    answer = await visitors.call("POST", "/api/v1/messages/preview", token=token, body=body)
    assert {name: answer.json[name] for name in told} == told


async def test_waiting_ends_with_the_message(visitors: Visitors) -> None:
    token = await visitors.home.token("sender", "send")
    waiting = asyncio.create_task(post(visitors, token, query="?wait=60"))
    await visitors.time.sleeping(60)
    page = await visitors.call("GET", "/api/v1/messages", token=token)
    await visitors.call("DELETE", f"/api/v1/messages/{page.json['messages'][0]['id']}", token=token)
    answer = await waiting
    assert (answer.status, answer.json["state"]) == (202, "cancelled")


async def test_waiting_ends_with_the_time(visitors: Visitors) -> None:
    token = await visitors.home.token("sender", "send")
    waiting = asyncio.create_task(post(visitors, token, query="?wait=5"))
    await visitors.time.sleep_of(5)
    answer = await waiting
    assert (answer.status, answer.json["state"]) == (202, "queued")
    assert (await post(visitors, token, query="?wait=61")).problem() == (400, "invalid")


async def test_waiting_ends_when_the_hub_stops(home: House) -> None:
    async with front(home) as visitors:
        token = await home.token("sender", "send")
        waiting = asyncio.create_task(post(visitors, token, query="?wait=60"))
        await visitors.time.sleeping(60)
        visitors.door.stopping.set()
        assert (await waiting).json["state"] == "queued"


async def test_health_is_for_all_and_readiness_for_who_may_know(visitors: Visitors) -> None:
    token = await visitors.home.token("seer", "status")
    health = await visitors.call("GET", "/healthz")
    assert (health.status, health.json.keys()) == (200, {"status"})
    ready = await visitors.call("GET", "/readyz", token=token)
    assert ready.status == (200 if ready.json["status"] == "ok" else 503)
