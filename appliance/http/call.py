"""One request that was let in: what every handler begins and ends with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web
from pydantic import BaseModel

from appliance.errors import Rejected
from appliance.http.auth import allows
from appliance.hub import read_model, read_query

if TYPE_CHECKING:
    from appliance.http.door import HttpDoor
    from appliance.hub import Client, Hub

__all__ = ["Call", "reply"]

Model = TypeVar("Model", bound=BaseModel)

SEES_ALL = frozenset({"status"})
"""Who sees messages that are not its own."""


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
    def peer(self) -> str:
        """The address that asks."""
        return self.request.remote or ""

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
