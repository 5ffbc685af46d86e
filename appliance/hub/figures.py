"""The hub in numbers: what has happened since this start of the process, what waits, what room is left."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from appliance.store import events, outbound
from appliance.store.clock import rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.store import HubClock, Journal, Room

__all__ = ["Counts", "Figures"]


@dataclass(frozen=True, slots=True)
class Figures:
    """The hub in numbers.

    Attributes:
        since: when counting began: this start of the process (RFC 3339, UTC).
        uptime: seconds since then.
        events: how often what has happened since: (kind, detail) → count, as ``store.events.tally`` has it.
        queues: segments that wait, by SIM; ``""`` are those without one.
        lags: events that each door has yet to tell.
        room: what the store takes on its disk, and what is left.
        full: whether the disk was found full.
    """

    since: str
    uptime: float
    events: Mapping[tuple[str, str], int]
    queues: Mapping[str, int]
    lags: Mapping[str, int]
    room: Room
    full: bool


class Counts:
    """Counts from the event table, from the moment that it is made.

    Call :meth:`catch_up` more often than events are forgotten.
    """

    def __init__(self, journal: Journal, clock: HubClock) -> None:
        self._journal = journal
        self._clock = clock
        self._started = clock.now()
        self._started_at = rfc3339(clock.wall_ms())
        self._counted = journal.newest
        self._counts: dict[tuple[str, str], int] = {}
        self._counting = asyncio.Lock()

    async def figures(self) -> Figures:
        """How it is now."""
        await self.catch_up()
        cursors = await self._journal.read(events.cursors)
        newest = self._journal.newest
        return Figures(
            since=self._started_at,
            uptime=(self._clock.now() - self._started) / 1000,
            events=dict(self._counts),
            queues=await self._journal.read(outbound.queue_depths),
            lags={door: max(0, newest - seq) for door, seq in cursors.items()},
            room=self._journal.room(),
            full=self._journal.full,
        )

    async def today(self) -> dict[str, int]:
        """How many messages were ``sent``, ``received`` and ``failed`` since midnight by this machine's clock."""
        now = datetime.fromtimestamp(self._clock.wall_ms() / 1000).astimezone()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return await self._journal.read(events.tally_of_day, since_at=int(midnight.timestamp() * 1000))

    async def catch_up(self) -> None:
        """Count what has happened since it was counted last, before it is forgotten; idle, nothing is read for it."""
        if self._journal.newest > self._counted:
            async with self._counting:
                self._counted, fresh = await self._journal.read(events.tally, self._counted)
                for what, many in fresh.items():
                    self._counts[what] = self._counts.get(what, 0) + many
