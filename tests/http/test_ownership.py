"""Claiming the hub, and what its owner does then: tokens, their bounds, contacts, settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from appliance.hub import Claim, Contacts
from tests.http.visitors import TO, front

if TYPE_CHECKING:
    from pathlib import Path

    from tests.http.visitors import Visitors
    from tests.mqtt.house import House

pytestmark = pytest.mark.asyncio


def claim_of(path: Path) -> str:
    found = re.search(r"^mhc_\S+$", (path / "CLAIM.txt").read_text("ascii"), re.MULTILINE)
    assert found is not None
    return found[0]


async def test_a_hub_is_claimed_with_what_its_file_says(home: House, tmp_path: Path) -> None:
    home.hub.claim = Claim(home.journal, tmp_path / "CLAIM.txt")
    async with front(home) as visitors:
        assert (await visitors.call("GET", "/api/v1/claim")).json == {"claimed": False}
        assert visitors.door.url in (tmp_path / "CLAIM.txt").read_text("ascii")
        body = {"token": claim_of(tmp_path), "name": "me"}
        answer = await visitors.call("POST", "/api/v1/claim", body=body)
        assert answer.status == 201
        assert (answer.json["name"], answer.json["scopes"]) == ("me", ["admin"])
        assert (await visitors.call("GET", "/api/v1/claim")).json == {"claimed": True}
        me = await visitors.call("GET", "/api/v1/me", token=answer.json["token"])
        assert me.json == {"name": "me", "scopes": ["admin"], "per_minute": None, "daily_cap": None}
        assert (await visitors.call("POST", "/api/v1/claim", body=body)).problem() == (409, "already_claimed")
        assert (await visitors.call("GET", "/api/v1/modems")).problem() == (401, "unauthorized")


async def test_a_hub_that_was_never_asked_has_an_owner(visitors: Visitors) -> None:
    assert (await visitors.call("GET", "/api/v1/claim")).json == {"claimed": True}
    body = {"token": "mhc_x", "name": "me"}
    assert (await visitors.call("POST", "/api/v1/claim", body=body)).problem() == (409, "already_claimed")


async def test_guessing_the_claim_is_slowed_down(home: House, tmp_path: Path) -> None:
    home.hub.claim = Claim(home.journal, tmp_path / "CLAIM.txt")
    async with front(home) as visitors:
        for guess in range(6):
            answer = await visitors.call("POST", "/api/v1/claim", body={"token": f"mhc_{guess}", "name": "me"})
            assert answer.problem() == (403, "forbidden")
        right = {"token": claim_of(tmp_path), "name": "me"}
        answer = await visitors.call("POST", "/api/v1/claim", body=right)
        assert answer.problem() == (429, "too_many_attempts")
        assert answer.headers["Retry-After"] == "1"
        visitors.time.pass_by(1)
        assert (await visitors.call("POST", "/api/v1/claim", body=right)).status == 201


async def test_tokens_that_never_were_cost_nothing_before_the_claim(home: House, tmp_path: Path) -> None:
    home.hub.claim = Claim(home.journal, tmp_path / "CLAIM.txt")
    async with front(home) as visitors:
        for _ in range(10):  # a console that still has the token of a former life
            assert (await visitors.call("GET", "/api/v1/me", token="old")).problem() == (403, "unclaimed")


async def test_a_valid_token_works_before_the_claim_is_noticed_to_be_over(home: House, tmp_path: Path) -> None:
    home.hub.claim = Claim(home.journal, tmp_path / "CLAIM.txt")
    async with front(home) as visitors:
        token = await home.token("me", "admin")
        assert (await visitors.call("GET", "/api/v1/me", token=token)).status == 200
        assert (await visitors.call("GET", "/api/v1/me", token="wrong")).problem() == (401, "unauthorized")
        assert not (tmp_path / "CLAIM.txt").exists()


@pytest.mark.parametrize("name", ["", "mqtt", "command-line-1", "x" * 65, "a\nb", " a", "a "])
async def test_a_name_that_no_client_may_have_is_refused(visitors: Visitors, name: str) -> None:
    root = await visitors.home.token("root", "admin")
    body = {"name": name, "scopes": ["send"]}
    answer = await visitors.call("POST", "/api/v1/tokens", token=root, body=body)
    assert answer.problem() == (400, "invalid")
    assert answer.json["pointer"] == "/name"


async def test_a_token_is_made_listed_used_and_revoked(visitors: Visitors) -> None:
    root = await visitors.home.token("root", "admin")
    wish = {"name": "heating/größe 1", "scopes": ["send", "inbox"], "per_minute": 5, "daily_cap": 50}
    made = await visitors.call("POST", "/api/v1/tokens", token=root, body=wish)
    assert made.status == 201
    assert made.json == {
        "name": "heating/größe 1",
        "scopes": ["inbox", "send"],
        "created_at": made.json["created_at"],
        "per_minute": 5,
        "daily_cap": 50,
        "token": made.json["token"],
    }
    token = made.json["token"]
    again = await visitors.call("POST", "/api/v1/tokens", token=root, body=wish)
    assert again.problem() == (409, "token_exists")
    me = await visitors.call("GET", "/api/v1/me", token=token)
    assert me.json == {"name": "heating/größe 1", "scopes": ["inbox", "send"], "per_minute": 5, "daily_cap": 50}
    listed = (await visitors.call("GET", "/api/v1/tokens", token=root)).json["tokens"]
    assert [each["name"] for each in listed] == ["heating/größe 1", "root"]
    assert token not in str(listed)
    gone = await visitors.call("DELETE", "/api/v1/tokens/heating%2Fgr%C3%B6%C3%9Fe%201", token=root)
    assert (gone.status, gone.json) == (200, {"name": "heating/größe 1"})
    assert (await visitors.call("GET", "/api/v1/me", token=token)).problem() == (401, "unauthorized")
    assert [each["name"] for each in (await visitors.call("GET", "/api/v1/tokens", token=root)).json["tokens"]] == [
        "root"
    ]


@pytest.mark.parametrize(
    "differs",
    [
        {"scopes": []},
        {"scopes": ["everything"]},
        {"scopes": "send"},
        {"per_minute": 0},
        {"per_minute": "5"},
        {"daily_cap": -1},
        {"daily_cap": 1 << 63},
        {"token": "mh_mine"},
    ],
)
async def test_a_token_that_cannot_be_is_refused(visitors: Visitors, differs: dict[str, Any]) -> None:
    root = await visitors.home.token("root", "admin")
    body = {"name": "new", "scopes": ["send"]} | differs
    assert (await visitors.call("POST", "/api/v1/tokens", token=root, body=body)).problem() == (400, "invalid")


async def bounded(visitors: Visitors, **bounds: int) -> str:
    root = await visitors.home.token("root", "admin")
    body = {"name": "bounded", "scopes": ["send"], **bounds}
    made = await visitors.call("POST", "/api/v1/tokens", token=root, body=body)
    token: str = made.json["token"]
    return token


async def test_more_messages_in_a_minute_than_a_token_may_are_put_off(visitors: Visitors) -> None:
    token = await bounded(visitors, per_minute=3)

    async def post(to: Any = TO) -> Any:
        return await visitors.call("POST", "/api/v1/messages", token=token, body={"to": to, "text": "x"})

    assert (await post([TO, "+447700900124"])).status == 202
    assert (await post()).status == 202
    answer = await post()
    assert answer.problem() == (429, "rate_limited")
    assert answer.headers["Retry-After"] == "20"
    visitors.time.pass_by(20)
    assert (await post()).status == 202
    assert (await post()).status == 429
    preview = await visitors.call("POST", "/api/v1/messages/preview", token=token, body={"to": TO, "text": "x"})
    assert preview.status == 200  # costs nothing


async def test_a_tokens_own_cap_holds_beside_the_policys(visitors: Visitors) -> None:
    token = await bounded(visitors, daily_cap=2)
    body = {"to": TO, "text": "x" * 161}
    assert (await visitors.call("POST", "/api/v1/messages", token=token, body=body)).status == 202
    answer = await visitors.call("POST", "/api/v1/messages", token=token, body=body)
    assert answer.problem() == (429, "quota_exceeded")
    assert int(answer.headers["Retry-After"]) > 3600


async def test_contacts_are_told_with_their_numbers(visitors: Visitors) -> None:
    token = await visitors.home.token("reader", "inbox")
    visitors.home.hub.contacts = Contacts({"anna": TO, "family": ["anna", "+447700900124"]})
    answer = await visitors.call("GET", "/api/v1/contacts", token=token)
    assert answer.json == {
        "contacts": [
            {"name": "anna", "numbers": [TO], "group": False},
            {"name": "family", "numbers": [TO, "+447700900124"], "group": True},
        ]
    }


async def test_settings_are_told_as_the_door_was_given_them(home: House) -> None:
    told = [{"key": "mqtt.password", "value": "**********", "source": "secrets", "secret": True, "description": None}]
    async with front(home, parts={"explain_settings": lambda: told}) as visitors:
        token = await home.token("root", "admin")
        assert (await visitors.call("GET", "/api/v1/settings", token=token)).json == {"settings": told}
