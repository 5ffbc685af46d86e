"""PURE: when to try again.

Two clocks. An **event** that failed is tried again after 5 s, 30 s, 2 min, 10 min, 1 h, 3 h, and then every 6 h; when
three days are over, once more, and is then given up. A **receiver** that is down is probed after 5 s, 30 s, 2 min,
10 min, and then every 15 min, because one request in a quarter of an hour is no load, and six hours more of silence
after a night's outage would be no service. Each delay is shortened by up to a quarter by chance, so that hubs that lost
the same receiver do not all come back at once.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

__all__ = ["AT_NEWS", "EVENT", "GIVE_UP_AFTER", "RECEIVER", "back_off", "retry_after"]

EVENT = (5.0, 30.0, 120.0, 600.0, 3600.0, 3 * 3600.0, 6 * 3600.0)
"""Seconds after the 1st, 2nd… attempt of one event; the last repeats."""

RECEIVER = (5.0, 30.0, 120.0, 600.0, 900.0)
"""Seconds between probes of a receiver that is down; the last repeats."""

AT_NEWS = 60.0
"""Seconds since the last probe after which a new event is reason enough for another."""

GIVE_UP_AFTER = 3 * 86_400.0
"""Seconds since an event's first attempt (Standard Webhooks 1.0.0 recommends days)."""

LONGEST_WAIT = 86_400.0
"""Seconds that a receiver's Retry-After is believed: a wrong one must not silence it for ever."""

JITTER = 0.25


def back_off(delays: Sequence[float], attempt: int, rng: random.Random) -> float:
    """Seconds after the ``attempt``-th failure, from 1."""
    longest = delays[min(attempt, len(delays)) - 1]
    return rng.uniform(longest * (1 - JITTER), longest)


def retry_after(value: str | None, *, date: str | None) -> float:
    """The seconds that a Retry-After header asks for (RFC 9110 §10.2.3), at most LONGEST_WAIT; 0 when it asks nothing.

    Args:
        value: seconds, or a date, which counts from the same answer's ``Date``: our clock may be another.
        date: that header.
    """
    if value is None:
        return 0.0
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", value):
        seconds = float(value)
    else:
        try:
            seconds = (parsedate_to_datetime(value) - parsedate_to_datetime(date or "")).total_seconds()
        except (ValueError, TypeError):  # TypeError: one with and one without a zone
            return 0.0
    return max(0.0, min(seconds, LONGEST_WAIT))
