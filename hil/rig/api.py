"""The hub's HTTP door as a client of the house uses it: a token, JSON, problem documents."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import aiohttp

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Mapping
    from types import TracebackType

__all__ = ["Answer", "Api", "Event"]

TIMEOUT = aiohttp.ClientTimeout(total=70)
"""Longer than the longest ``?wait=``."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: status, headers and the JSON body (None when it had none)."""

    status: int
    headers: Mapping[str, str]
    json: Any

    def __str__(self) -> str:
        return f"{self.status} {self.json}"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the hub's stream."""

    seq: int
    kind: str
    json: Any


class Api:
    """``/api/v1`` with one token on keep-alive connections; ``verify``: whether, or by what, a door
    with TLS is asked whose its certificate is.
    """

    def __init__(
        self, address: str, token: str, *, connections: int = 100, verify: bool | ssl.SSLContext = True
    ) -> None:
        self.address = address
        self.token = token
        self._session = aiohttp.ClientSession(
            base_url=address,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT,
            connector=aiohttp.TCPConnector(limit=connections, ssl=verify),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def call(self, method: str, path: str, content: Any = None, **headers: str) -> Answer:
        """One request; ``path`` is absolute. Header names are given with ``_`` for ``-``.

        Raises:
            aiohttp.ClientError: the hub is not there, or went away before it answered.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(method, path, json=content, headers=named) as response:
            body = await response.json(content_type=None) if response.content_length != 0 else None
            return Answer(response.status, response.headers, body)

    async def get(self, path: str) -> Any:
        """The JSON of a page that must be there."""
        answer = await self.call("GET", path)
        if answer.status != 200:
            raise AssertionError(f"GET {path}: {answer}")
        return answer.json

    async def send(self, *, key: str | None = None, wait: float | None = None, **command: Any) -> dict[str, Any]:
        """POST /messages that must be accepted; the message's JSON."""
        path = "/api/v1/messages" + (f"?wait={wait:g}" if wait is not None else "")
        answer = await self.call("POST", path, command, **({"Idempotency_Key": key} if key else {}))
        if answer.status != 202:
            raise AssertionError(f"POST {path} {command}: {answer}")
        message: dict[str, Any] = answer.json
        return message

    async def events(self, *, after: int = 0) -> AsyncGenerator[Event, None]:
        """The hub's event stream from this event on, for ever; close it when done (``contextlib.aclosing``)."""
        kind, number = "", 0
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.get("/api/v1/events", params={"after": after}, timeout=timeout) as response:
            async for line in response.content:
                match line.decode().rstrip("\r\n").partition(":"):
                    case "id", _, value:
                        number = int(value)
                    case "event", _, value:
                        kind = value.strip()
                    case "data", _, value:
                        yield Event(number, kind, json.loads(value))

    async def all_of(self, path: str, *, cursor: str) -> list[dict[str, Any]]:
        """Every message of a paged list: follows ``next`` as the query parameter ``cursor``."""
        items: list[dict[str, Any]] = []
        page = await self.get(f"{path}?limit=200")
        while True:
            items += page["messages"]
            if page["next"] is None or not page["messages"]:
                return items
            page = await self.get(f"{path}?limit=200&{cursor}={page['next']}")
