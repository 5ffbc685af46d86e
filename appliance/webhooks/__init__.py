"""Webhooks: events told to whoever listens by HTTP, each until it is answered, signed by Standard Webhooks 1.0.0.

::

    settings   what a user may set; imports no HTTP library
    signature  PURE: what proves that it comes from this hub
    addresses  PURE: where a webhook may go
    schedule   PURE: when to try again
    sender     one attempt: the event as a POST, and what the answer means
    hook       one webhook: the cursor, the debts, up and down
    door       all of them

How to receive and verify is told in README.md beside this file. aiohttp's client is imported when
:class:`WebhookDoor` is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from appliance.webhooks.settings import WebhookSettings

if TYPE_CHECKING:
    from appliance.webhooks.door import WebhookDoor

__all__ = ["WebhookDoor", "WebhookSettings"]


def __getattr__(name: str) -> Any:
    """Import the door on first use (PEP 562): reading the settings must not cost an HTTP client."""
    if name == "WebhookDoor":
        return import_module("appliance.webhooks.door").WebhookDoor
    raise AttributeError(name)
