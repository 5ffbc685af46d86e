"""What webhooks owe, for their door: the queue of events that could not be told yet, in seconds instead of hub time.

Every change is durable when its method returns; with :meth:`Debts.owe` the webhook's cursor moves in the same commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.store import webhooks

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from appliance.store import HubClock, Journal

__all__ = ["Debt", "Debts"]

GIVE_UP_BITE = 200
"""Rows given up in one transaction: short enough that no accept waits noticeably."""


@dataclass(frozen=True, slots=True)
class Debt:
    """An event that a webhook still has to tell.

    Attributes:
        seq: the event's.
        attempts: how often it was tried.
        due_in: seconds until it may be tried again; 0: it may now.
    """

    seq: int
    attempts: int
    due_in: float


class Debts:
    """What each webhook, by its name, owes."""

    def __init__(self, journal: Journal, clock: HubClock) -> None:
        self._journal = journal
        self._clock = clock

    async def keep(self, hooks: Collection[str]) -> None:
        """Forget what was owed to webhooks other than these, and their cursors."""
        await self._journal.write(webhooks.keep, hooks=hooks)

    async def forget(self, hook: str) -> None:
        """Forget what was owed to this webhook, and its cursor."""
        await self._journal.write(webhooks.forget, hook=hook)

    async def count(self, hook: str) -> int:
        """How many events it owes."""
        return await self._journal.read(webhooks.count, hook=hook)

    async def oldest_due(self, hook: str) -> Debt | None:
        """The oldest of those that may be tried now."""
        return self._debt(await self._journal.read(webhooks.oldest_due, hook=hook, now=self._clock.now()))

    async def oldest(self, hook: str) -> Debt | None:
        """The oldest of all."""
        return self._debt(await self._journal.read(webhooks.oldest, hook=hook))

    async def soonest(self, hook: str) -> Debt | None:
        """The one that may be tried before all others: the oldest that was never tried, if there is one."""
        return self._debt(await self._journal.read(webhooks.soonest, hook=hook))

    async def owe(self, hook: str, seqs: Sequence[int], *, delay: float | None) -> None:
        """These events (ascending, the next behind the cursor) are owed from now on; the cursor passes them.

        They were tried once, and are due after ``delay`` seconds; None: they were not tried.
        """
        delay_ms = None if delay is None else int(delay * 1000)
        await self._journal.write(webhooks.owe, hook=hook, seqs=seqs, delay_ms=delay_ms)

    async def failed(self, hook: str, seq: int, *, delay: float, give_up_after: float) -> bool:
        """An owed event failed again; whether it is given up, being owed for ``give_up_after`` seconds."""
        return await self._journal.write(
            webhooks.failed, hook=hook, seq=seq, delay_ms=int(delay * 1000), give_up_ms=int(give_up_after * 1000)
        )

    async def told(self, hook: str, seq: int) -> None:
        """An owed event was told."""
        await self._journal.write(webhooks.told, hook=hook, seq=seq)

    async def make_due(self, hook: str, *, within: float | None = None) -> None:
        """What would be due within these seconds may be tried now; None: all that is owed."""
        within_ms = None if within is None else int(within * 1000)
        await self._journal.write(webhooks.make_due, hook=hook, within_ms=within_ms)

    async def give_up(self, hook: str, *, after: float) -> int:
        """Forget all that is owed for ``after`` seconds or longer; how many they were."""
        given_up = 0
        while bite := await self._journal.write(
            webhooks.give_up, hook=hook, age_ms=int(after * 1000), limit=GIVE_UP_BITE
        ):
            given_up += bite
        return given_up

    def _debt(self, owed: webhooks.Owed | None) -> Debt | None:
        if owed is None:
            return None
        return Debt(owed.event, owed.attempts, max(0, owed.due_hub - self._clock.now()) / 1000)
