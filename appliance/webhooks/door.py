"""The webhooks together: which there are, and what a status page says of them."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from appliance.errors import StoreError
from appliance.webhooks.hook import Hook
from appliance.webhooks.sender import Sender, resolve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from appliance.hub import Hub
    from appliance.webhooks.sender import Resolve
    from appliance.webhooks.settings import WebhookSettings

__all__ = ["WebhookDoor"]

log = logging.getLogger(__name__)


class WebhookDoor:
    """:meth:`settle` once, then run each of :attr:`hooks` as a task of its own: none delays another."""

    def __init__(
        self,
        hub: Hub,
        settings: Mapping[str, WebhookSettings],
        *,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        chance = rng or random.Random()  # noqa: S311 - only spreads retries
        self._hub = hub
        self.hooks = {
            name: Hook(
                name,
                hub,
                each,
                sender=partial(Sender, each, hub_id=hub.hub_id, wall=wall, resolve=resolve),
                now=now,
                sleep=sleep,
                rng=chance,
            )
            for name, each in settings.items()
        }

    async def settle(self) -> None:
        """Forget the webhooks that are not in the settings any more, and take the place of the new ones.

        A store that takes nothing now keeps nobody from starting: each webhook takes its place when it first can.
        """
        try:
            await self._hub.debts.keep(self.hooks.keys())
            for hook in self.hooks.values():
                await self._hub.cursor(hook.cursor)
        except StoreError as error:
            log.warning("webhooks: their places cannot be taken yet: %s", error)

    @property
    def states(self) -> list[dict[str, Any]]:
        """``name``, ``pending`` (events that are owed) and ``last_error`` (None: nothing is wrong) of each."""
        return [
            {"name": hook.name, "pending": hook.pending, "last_error": hook.last_error} for hook in self.hooks.values()
        ]
