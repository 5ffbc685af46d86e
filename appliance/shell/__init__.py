"""The hub from outside, for people's scripts: a client of the public HTTP API, and what the command line says with it.

::

    wire       one request: address, token, whom to trust (TLS), and failures as our exceptions
    stream     PURE reading of event streams, and one that goes on where it was
    client     HubClient: the API as methods
    words      PURE: what a person reads, and what a person writes for a moment or a recipient
    arguments  the commands' options; imports no client, so that other commands cost nothing
    commands   what each command does and prints
    holder     which process a borrowed token belongs to

In a script, on any machine and with nothing but Python's own library::

    from appliance.shell import HubClient

    hub = HubClient("http://127.0.0.1:8080", token)
    for message in hub.send("+447700900123", "Hello", wait=30):
        print(message["to"], message["state"])
    for event in hub.events(kinds={"received"}):
        print(event.body["from"], event.body["text"])

What it does not do: know the hub, the store or the settings. Who lends a command its token is ``__main__``'s business.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from appliance.shell.client import HubClient, Message, Preview, Received
    from appliance.shell.stream import Event, EventStream

__all__ = ["Event", "EventStream", "HubClient", "Message", "Preview", "Received"]

_HOMES = {
    "Event": "appliance.shell.stream",
    "EventStream": "appliance.shell.stream",
    "HubClient": "appliance.shell.client",
    "Message": "appliance.shell.client",
    "Preview": "appliance.shell.client",
    "Received": "appliance.shell.client",
}


def __getattr__(name: str) -> Any:
    """Import the client on first use (PEP 562): the hub itself, which has none, must not pay for it."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(name)
