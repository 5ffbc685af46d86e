"""The hub's HTTP door as a client of the house uses it: a token, JSON, problem documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["Answer", "Api"]

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


class Api:
    """``/api/v1`` with one token on keep-alive connections."""

    def __init__(self, address: str, token: str, *, connections: int = 100) -> None:
        self.address = address
        self.token = token
        self._session = aiohttp.ClientSession(
            base_url=address,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT,
            connector=aiohttp.TCPConnector(limit=connections),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request; ``path`` is absolute. Header names are given with ``_`` for ``-``.

        Raises:
            aiohttp.ClientError: the hub is not there, or went away before it answered.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(method, path, json=body, headers=named) as response:
            json = await response.json(content_type=None) if response.content_length != 0 else None
            return Answer(response.status, response.headers, json)

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

    async def all_of(self, path: str, *, cursor: str) -> list[dict[str, Any]]:
        """Every item of a paged list: follows ``next`` as the query parameter ``cursor``."""
        items: list[dict[str, Any]] = []
        page = await self.get(f"{path}?limit=200")
        while True:
            items += page["items"]
            if page.get("next") is None or not page["items"]:
                return items
            page = await self.get(f"{path}?limit=200&{cursor}={page['next']}")
