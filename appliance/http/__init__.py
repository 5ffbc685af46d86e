"""The HTTP door: ``/api/v1`` with bearer tokens, problem documents and server-sent events.

::

    settings     what a user may set; imports no aiohttp, so that the settings can be read without it
    routes       one table: method, path, scopes, models, answers, handler; it drives routing, the scope check, OpenAPI
    requests     what clients may ask with: models of queries and bodies
    replies      what they are answered with: models that describe, and that the tests hold every answer against
    handlers     what the routes of messages, inbox, modems and events do
    ownership    what an owner does with the hub: claim, tokens, settings
    health       how the hub is
    pages        what a browser looks at: the console's files, the documentation
    openapi      PURE: the table as an OpenAPI document
    docs         PURE: that document as a page
    metrics      the hub in numbers for Prometheus
    auth         tokens, scopes, back-off for those who guess
    pace         messages in a minute
    call         one request that was let in
    problem      refusals as RFC 9457 documents, one table from code to status
    tail         waiting for events: server-sent events and ``?wait=``
    certificate  the certificate that the hub makes for itself
    door         the server's life
    console/     the console's files: it uses this API and nothing else

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
