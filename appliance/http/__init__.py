"""The HTTP door: ``/api/v1`` with bearer tokens, problem documents and server-sent events.

::

    settings   what a user may set; imports no aiohttp, so that the settings can be read without it
    routes     one table: method, path, scopes, models, answers, handler; it drives routing, the scope check and OpenAPI
    handlers   what each route does
    auth       tokens, scopes, back-off for those who guess
    body       PURE: bodies and queries, read strictly
    problem    refusals as RFC 9457 documents, one table from code to status
    tail       waiting for events: server-sent events and ``?wait=``
    door       the server's life

aiohttp is imported when :class:`HttpDoor` is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from appliance.http.settings import HttpSettings

if TYPE_CHECKING:
    from appliance.http.door import HttpDoor

__all__ = ["HttpDoor", "HttpSettings"]


def __getattr__(name: str) -> Any:
    """Import the door on first use (PEP 562): reading the settings must not cost an HTTP server."""
    if name == "HttpDoor":
        return import_module("appliance.http.door").HttpDoor
    raise AttributeError(name)
