"""Clients of the HTTP door: aiohttp's own client, one token each.

Every answer that a test sees is held against the row of its route: a status, a body or a refusal that the description
does not have fails the test, whatever it is about.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from appliance.http import HttpDoor, HttpSettings
from appliance.http.problem import KINDS
from appliance.http.replies import Problem
from appliance.http.routes import ROUTES
from tests.mqtt.house import House, Time, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from multidict import CIMultiDictProxy

    from appliance.http.routes import Route

TO = "+447700900123"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    json: Any

    def problem(self) -> tuple[int, str]:
        """Status and code of a problem document, which it must be."""
        assert self.headers["Content-Type"] == "application/problem+json", self
        assert self.json["status"] == self.status
        assert self.json["type"] == f"urn:modemhub:problem:{self.json['code']}"
        assert {"title", "detail", "instance"} <= self.json.keys()
        return self.status, self.json["code"]


def row(method: str, path: str) -> Route | None:
    """The row that answers a request, as the router finds it."""
    plain = path.partition("?")[0]
    for route in ROUTES:
        pattern = re.sub(r"\{\w+\}", "[^{}/]+", re.sub(r"\{\w+:([^}]*)\}", r"\1", route.path))
        if route.method == method and re.fullmatch(pattern, plain):
            return route
    return None


def check(method: str, path: str, answer: Answer) -> None:
    """The answer is one that the description has."""
    if method == "HEAD":
        return  # a body less
    kind = answer.headers.get("Content-Type", "")
    route = row(method, path)
    if kind == "application/problem+json":
        Problem.model_validate(answer.json, strict=True)
        assert answer.json["code"] in KINDS, answer
        if route is not None:
            assert answer.json["code"] in route.refuses, f"{route.method} {route.path} does not tell of {answer}"
        return
    assert route is not None, f"nothing answers {method} {path}, and yet: {answer}"
    told = route.answers.get(answer.status)
    assert told is not None, f"{route.method} {route.path} does not tell of {answer}"
    if told.media is not None:
        assert kind.partition(";")[0] == told.media, answer
    if told.model is not None:
        told.model.model_validate(answer.json, strict=True)


class Visitors:
    """Whoever comes to the door."""

    def __init__(self, home: House, door: HttpDoor, session: aiohttp.ClientSession, time: Time) -> None:
        self.home = home
        self.door = door
        self.session = session
        self.time = time
        self.address = "http://{}:{}".format(*door.address)

    async def call(
        self, method: str, path: str, *, token: str | None = None, body: Any = None, **headers: str
    ) -> Answer:
        """One request; header names with ``_`` for ``-``. ``body`` is JSON unless it is bytes."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.session.request(method, self.address + path, data=data, headers=sent) as response:
            content = await response.read()
            told = json.loads(content) if content and "json" in response.content_type else content
            answer = Answer(response.status, response.headers, told)
            check(method, path, answer)
            return answer


@contextlib.asynccontextmanager
async def front(home: House, *, parts: Mapping[str, Any] | None = None, **wishes: Any) -> AsyncIterator[Visitors]:
    """The HTTP door of this hub, open; ``parts`` are what it is built with beside its settings."""
    time = home.time
    settings = HttpSettings(listen="127.0.0.1:0", **wishes)
    door = HttpDoor(home.hub, settings, now=time, sleep=time.sleep, **(parts or {}))
    async with opened(door), aiohttp.ClientSession() as session:
        await door.ready.wait()
        yield Visitors(home, door, session, time)


class Stream:
    """An event stream as a client reads it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def block(self) -> dict[str, str] | None:
        """The next event's fields, or a comment as ``{"": text}``; None at the end of the stream."""
        fields: dict[str, str] = {}
        while line := (await self.response.content.readline()).decode():
            if line == "\n":
                if fields.keys() - {"retry", "id"}:  # else it only says where the stream begins
                    return fields
                fields = {}
                continue
            name, _, value = (
                line.rstrip("\n").partition(": ") if not line.startswith(":") else ("", "", line[1:].strip())
            )
            fields[name] = value
        return None

    async def event(self) -> tuple[int, str, dict[str, Any]]:
        """Id, kind and body of the next event."""
        block = await self.block()
        assert block is not None, "the stream ended"
        return int(block["id"]), block["event"], json.loads(block["data"])
