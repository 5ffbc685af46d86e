"""Who may what: every row of the table against every token, and everything that is refused as a problem document."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import socket
from typing import TYPE_CHECKING

import aiohttp
import pytest

from appliance.errors import SettingsError
from appliance.http import HttpDoor, HttpSettings
from appliance.http.requests import SCOPES
from appliance.http.routes import ROUTES, Route
from appliance.hub import Claim
from appliance.store import tokens
from tests.http.visitors import TO, Visitors, front
from tests.mqtt.house import opened

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mqtt.house import House
pytestmark = pytest.mark.asyncio

EVERY = pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")

PUBLIC = {
    ("GET", "/"),
    ("GET", "/console/{path:.+}"),
    ("GET", "/docs/style.css"),
    ("GET", "/healthz"),
    ("GET", "/api/v1/claim"),
    ("POST", "/api/v1/claim"),
}
"""What answers without a token: files, life, and the claim of a hub that nobody owns."""

BODIES = {
    "SendCommand": {"to": TO, "text": "x"},
    "UssdRequest": {"text": "*100#"},
    "TokenRequest": {"name": "new", "scopes": ["send"]},
    "ClaimRequest": {"token": "mhc_wrong", "name": "me"},
}


def path_of(route: Route) -> str:
    given = {"path": "app.js", "id": "out_0", "imei": "490154203237518", "name": "nobody"}
    return re.sub(r"\{(\w+)(:[^}]*)?\}", lambda variable: given[variable[1]], route.path)


def body_of(route: Route) -> object:
    return None if route.body is None else BODIES[route.body.__name__]


@EVERY
async def test_a_route_lets_in_its_scopes_and_admin_and_nobody_else(visitors: Visitors, route: Route) -> None:
    door = visitors.door
    door.stopping.set()  # an event stream ends at once
    held = {scope: await visitors.home.token(scope, scope) for scope in SCOPES}
    for scope, token in held.items():
        answer = await visitors.call(route.method, path_of(route), token=token, body=body_of(route))
        if route.public or not route.scopes or scope == "admin" or scope in route.scopes:
            assert answer.status not in {401, 403}, (scope, answer)
        else:
            assert answer.problem() == (403, "forbidden")
            assert answer.json["scopes"] == sorted(route.scopes)
            assert all(needed in answer.json["detail"] for needed in route.scopes)


@EVERY
async def test_without_a_right_token_nothing_answers_that_is_not_public(visitors: Visitors, route: Route) -> None:
    for header in (None, "Bearer wrong", "Bearer", "Basic dXNlcjpwYXNz", "Bearer \N{SNOWMAN}"):
        headers = {} if header is None else {"Authorization": header}
        answer = await visitors.call(route.method, path_of(route), body=body_of(route), **headers)
        if route.public:
            assert answer.status not in {401, 403}
        else:
            assert answer.problem() == (401, "unauthorized")
            offers = answer.headers.getall("WWW-Authenticate")
            assert [offer.split()[0] for offer in offers] == (["Bearer", "Basic"] if route.basic else ["Bearer"])


@EVERY
async def test_before_the_claim_nothing_answers_that_is_not_public(home: House, tmp_path: Path, route: Route) -> None:
    home.hub.claim = Claim(home.journal, tmp_path / "CLAIM.txt")
    async with front(home) as visitors:
        for token in (None, "wrong"):
            answer = await visitors.call(route.method, path_of(route), token=token, body=body_of(route))
            if not route.public:
                assert answer.problem() == (403, "unclaimed")
                assert "CLAIM.txt" in answer.json["detail"]
            elif route.method == "POST":
                assert answer.problem() == (403, "forbidden")
            else:
                assert answer.status not in {401, 403}


@EVERY
async def test_the_token_is_a_password_where_a_browser_asks_and_nothing_can_be_changed(
    visitors: Visitors, route: Route
) -> None:
    token = await visitors.home.token("root", "admin")
    pair = base64.b64encode(f"anybody:{token}".encode()).decode()
    visitors.door.stopping.set()
    answer = await visitors.call(route.method, path_of(route), body=body_of(route), Authorization=f"Basic {pair}")
    if route.basic:
        assert answer.status == 200
        assert route.method == "GET"
    elif not route.public:
        assert answer.problem() == (401, "unauthorized")


@pytest.mark.parametrize("pair", ["", "!", "YQ==", "OnM=", "/w==", "dXNlcjo="])
async def test_a_basic_header_that_holds_no_token_is_none(visitors: Visitors, pair: str) -> None:
    answer = await visitors.call("GET", "/docs", Authorization=f"Basic {pair}")
    assert answer.problem() == (401, "unauthorized")


async def test_a_token_of_octets_that_are_no_text_is_a_wrong_token(visitors: Visitors) -> None:
    reader, writer = await asyncio.open_connection(*visitors.door.address)
    writer.write(b"GET /api/v1/modems HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"401"
    writer.close()
    await writer.wait_closed()


async def test_what_is_public_is_listed_here_and_nothing_that_changes_state_is_a_get() -> None:
    assert {(route.method, route.path) for route in ROUTES if route.public} == PUBLIC
    assert {route.path for route in ROUTES if not route.scopes and not route.public} == {
        "/api/v1/me",
        "/openapi.json",
        "/docs",
    }
    assert {route.path for route in ROUTES if route.basic} == {"/metrics", "/openapi.json", "/docs"}
    assert {route.method for route in ROUTES if route.body is not None or "restart" in route.path} == {"POST"}


@EVERY
async def test_a_method_that_a_path_does_not_know_is_refused(visitors: Visitors, route: Route) -> None:
    for method in ("PUT", "PATCH", "OPTIONS", "TRACE"):
        answer = await visitors.call(method, path_of(route))
        assert answer.problem() == (405, "method_not_allowed")
        others = [other for other in ROUTES if other.path == route.path]
        heads = {"HEAD" for other in others if other.public and other.method == "GET"}
        assert set(answer.headers["Allow"].split(",")) == {other.method for other in others} | heads


async def test_what_is_no_http_is_refused_by_the_parser_itself(visitors: Visitors) -> None:
    for line in (b"BREW /api/v1/modems HTTP/1.1", b"GET /\x00 HTTP/1.1", b"GET", b"\x16\x03\x01\x02\x00\x01"):
        reader, writer = await asyncio.open_connection(*visitors.door.address)
        writer.write(line + b"\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).split()[1:2] in ([b"400"], [b"404"])
        writer.close()
        await writer.wait_closed()


async def test_what_is_no_http_leaves_no_token_in_the_log(visitors: Visitors, caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = await asyncio.open_connection(*visitors.door.address)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\x00\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"400"
    writer.close()
    await writer.wait_closed()
    assert "secret" not in caplog.text


async def test_what_is_public_can_be_asked_for_without_its_body(visitors: Visitors) -> None:
    answer = await visitors.call("HEAD", "/healthz")
    assert (answer.status, answer.json) == (200, b"")
    assert (await visitors.call("HEAD", "/api/v1/modems")).status == 405


async def test_headers_that_are_too_long_end_that_connection_and_no_other(visitors: Visitors) -> None:
    reader, writer = await asyncio.open_connection(*visitors.door.address)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"400"
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    assert (await visitors.call("GET", "/healthz")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "problem"),
    [
        ("GET", "/nothing", (404, "not_found")),
        ("GET", "/console/../door.py", (404, "not_found")),
        ("GET", "/api/v1/modems/1/signal", (404, "not_found")),
        ("GET", "/api/v1/modems/1/recoveries", (404, "not_found")),
        ("DELETE", "/api/v1/tokens/nobody", (404, "not_found")),
        ("GET", "/api/v1/inbox?since_seq=1&before=1", (400, "invalid")),
        ("GET", "/api/v1/inbox?before=-1", (400, "invalid")),
        ("GET", "/api/v1/inbox?before=9999999999999999999999", (400, "invalid")),
        ("GET", "/api/v1/messages?before=9223372036854775808", (400, "invalid")),
        ("GET", "/api/v1/status?x=1", (400, "invalid")),
        ("GET", "/api/v1/nothing", (404, "not_found")),
        ("GET", "/api/v1/messages/out_0", (404, "not_found")),
        ("GET", "/api/v1/inbox/in_0", (404, "not_found")),
        ("DELETE", "/api/v1/messages/out_0", (404, "not_found")),
        ("GET", "/api/v1/modems/1", (404, "not_found")),
        ("POST", "/api/v1/modems/1/restart", (404, "not_found")),
        ("PUT", "/api/v1/messages", (405, "method_not_allowed")),
        ("GET", "/api/v1/messages?limit=0", (400, "invalid")),
        ("GET", "/api/v1/messages?limit=x", (400, "invalid")),
        ("GET", "/api/v1/messages?limit=1&limit=2", (400, "invalid")),
        ("GET", "/api/v1/messages?state=lost", (400, "invalid")),
        ("GET", "/api/v1/messages?stat=queued", (400, "invalid")),
        ("GET", "/api/v1/inbox?since_seq=-1", (400, "invalid")),
        ("GET", "/api/v1/modems?x", (400, "invalid")),
        ("GET", "/api/v1/events?after=x", (400, "invalid")),
    ],
)
async def test_what_is_refused_is_a_problem(visitors: Visitors, method: str, path: str, problem: object) -> None:
    token = await visitors.home.token("root", "admin")
    answer = await visitors.call(method, path, token=token)
    assert answer.problem() == problem
    if answer.status == 405:
        assert set(answer.headers["Allow"].split(",")) == {"GET", "POST"}


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        (b"", 400, "invalid", None),
        (b"\xff\xfe\xfd", 400, "invalid", None),
        (b"{", 400, "invalid", None),
        (b'{"to": "+447700900123", "text": "\\ud83d"}', 400, "invalid", None),
        (b'{"to": "+447700900123", "text": "x", "id": "\xed\xa0\xbd"}', 400, "invalid", None),
        (b'{"to": "+447700900123", "data": "\\u0081"}', 400, "invalid", "/data"),
        (b'{"to": "+447700900123", "text": "x", "priority": "1"}', 400, "invalid", "/priority"),
        (b'{"to": "+447700900123", "text": "x", "flash": 1}', 400, "invalid", "/flash"),
        (b'{"to": "+447700900123", "text": "x"} {}', 400, "invalid", None),
        (b'{"to": "+447700900123", "to": "+447700900124", "text": "x"}', 400, "invalid", None),
        (b'{"to": "+447700900123", "text": "x", "ttl": NaN}', 400, "invalid", None),
        (b'{"to": "+447700900123", "text": "x", "ttl": ' + b"9" * 5000 + b"}", 400, "invalid", None),
        (b"[" * 50_000, 400, "invalid", None),
        (b"[]", 400, "invalid", ""),
        (b'{"to": "+447700900123"}', 400, "invalid", ""),
        (b'{"to": 447700900123, "text": "x"}', 400, "invalid", "/to"),
        (b'{"to": ["+447700900123", 5], "text": "x"}', 400, "invalid", "/to/1"),
        (b'{"to": "+447700900123", "text": "x", "te~x/t": 1}', 400, "invalid", "/te~0x~1t"),
        (b'{"to": "+447700900123", "text": "x", "sim": "8944100000000000001"}', 422, "no_sim", "/sim"),
        (b'{"to": "+447700900123", "text": "x", "modem": "490154203237518"}', 422, "no_such_modem", "/modem"),
        (b" " * 140_000, 413, "too_large", None),
    ],
)
async def test_a_wrong_body_is_refused_with_a_pointer(
    visitors: Visitors, *, body: bytes, status: int, code: str, pointer: str | None
) -> None:
    token = await visitors.home.token("sender", "send")
    answer = await visitors.call("POST", "/api/v1/messages", token=token, body=body)
    assert answer.problem() == (status, code)
    assert answer.json.get("pointer") == pointer


async def test_a_body_that_is_not_json_by_its_type_is_refused(visitors: Visitors) -> None:
    token = await visitors.home.token("sender", "send")
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = await visitors.call(
            "POST", "/api/v1/messages", token=token, body={"to": TO, "text": "x"}, Content_Type=kind
        )
        assert answer.problem() == (415, "unsupported_media_type")


async def test_refusals_of_policy_have_their_own_status(home: House) -> None:
    async with front(home) as visitors:
        token = await home.token("sender", "send")
        answer = await visitors.call("POST", "/api/v1/messages", token=token, body={"to": "88444", "text": "x"})
        assert answer.problem() == (403, "destination_not_allowed")
        assert answer.json["pointer"] == "/to"


async def test_every_response_is_hardened(visitors: Visitors) -> None:
    for path in ("/healthz", "/nothing", "/api/v1/messages"):
        answer = await visitors.call("GET", path)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["Server"] == "modemhub"
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_guessing_is_slowed_down_and_who_is_known_is_not_shut_out(visitors: Visitors) -> None:
    known, new = await visitors.home.token("known", "status"), await visitors.home.token("new", "status")
    assert (await visitors.call("GET", "/api/v1/modems", token=known)).status == 200
    for guess in range(6):
        answer = await visitors.call("GET", "/api/v1/modems", token=f"guess{guess}")
        assert answer.problem() == (401, "unauthorized")
    answer = await visitors.call("GET", "/api/v1/modems", token=new)
    assert answer.problem() == (429, "too_many_attempts")
    assert answer.headers["Retry-After"] == "1"
    assert (await visitors.call("GET", "/api/v1/modems", token=known)).status == 200
    visitors.time.pass_by(1)
    assert (await visitors.call("GET", "/api/v1/modems", token=new)).status == 200


async def test_a_revoked_token_stops_working(visitors: Visitors) -> None:
    token = await visitors.home.token("gone", "status")
    assert (await visitors.call("GET", "/api/v1/modems", token=token)).status == 200
    await visitors.home.journal.write(tokens.revoke, name="gone")
    visitors.time.pass_by(2)
    assert (await visitors.call("GET", "/api/v1/modems", token=token)).problem() == (401, "unauthorized")


async def test_every_address_is_ipv4_too(home: House) -> None:
    door = HttpDoor(home.hub, HttpSettings(listen="[::]:0"))
    async with opened(door), aiohttp.ClientSession() as session:
        await door.ready.wait()
        for host in ("127.0.0.1", "[::1]"):
            async with session.get(f"http://{host}:{door.address[1]}/healthz") as answer:
                assert answer.status == 200


async def test_an_address_in_use_ends_the_door(home: House) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        door = HttpDoor(home.hub, HttpSettings(listen=f"127.0.0.1:{taken.getsockname()[1]}"))
        with pytest.raises(SettingsError, match="cannot be listened on: Address already in use"):
            await door.run()
