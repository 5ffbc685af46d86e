"""How many messages a token may send in a minute: one bucket for each client.

PURE but for the clock that it is given. A bucket holds a minute's messages and fills evenly. A request takes as many as
it names numbers; one that names more than the bucket can ever hold is let through when the bucket is full, and the
debt is waited off: a list is never impossible, only dear.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pace"]

KEPT = 1024
"""Clients remembered; one that is forgotten begins with a full bucket."""


@dataclass(slots=True)
class _Bucket:
    level: float
    at: float


class Pace:
    """The buckets of all clients."""

    def __init__(self, *, now: Callable[[], float]) -> None:
        self._now = now
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, client: str, messages: int, *, per_minute: int) -> None:
        """Let ``client`` send so many messages now.

        Raises:
            Rejected: ``rate_limited``, with the seconds to wait.
        """
        now = self._now()
        bucket = self._buckets.setdefault(client, _Bucket(per_minute, now))
        self._buckets.move_to_end(client)
        if len(self._buckets) > KEPT:
            self._buckets.popitem(last=False)
        filled = bucket.level + (now - bucket.at) * per_minute / 60
        bucket.level, bucket.at = min(float(per_minute), filled), now
        missing = min(messages, per_minute) - bucket.level
        if missing > 0:
            raise Rejected(
                "rate_limited",
                f"this token may send {per_minute} messages in a minute",
                retry_after=missing * 60 / per_minute,
            )
        bucket.level -= messages
