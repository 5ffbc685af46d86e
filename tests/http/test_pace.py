"""Messages in a minute: evenly, each client's own, and no list impossible."""

from __future__ import annotations

import pytest

from appliance.errors import Rejected
from appliance.http.pace import KEPT, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def refused(pace: Pace, client: str, messages: int, per_minute: int) -> float:
    with pytest.raises(Rejected, match="rate_limited") as error:
        pace.take(client, messages, per_minute=per_minute)
    assert error.value.retry_after is not None
    return error.value.retry_after


def test_a_bucket_holds_a_minute_and_fills_evenly() -> None:
    clock = Clock()
    pace = Pace(now=clock)
    for _ in range(6):
        pace.take("a", 1, per_minute=6)
    assert refused(pace, "a", 1, 6) == 10
    clock.now = 9.5
    assert refused(pace, "a", 1, 6) == pytest.approx(0.5)
    clock.now = 10
    pace.take("a", 1, per_minute=6)
    clock.now = 1000
    for _ in range(6):
        pace.take("a", 1, per_minute=6)
    refused(pace, "a", 1, 6)


def test_each_client_has_its_own() -> None:
    pace = Pace(now=Clock())
    pace.take("a", 1, per_minute=1)
    pace.take("b", 1, per_minute=1)
    refused(pace, "a", 1, 1)


def test_a_list_longer_than_the_bucket_waits_for_it_to_be_full_and_is_waited_off() -> None:
    clock = Clock()
    pace = Pace(now=clock)
    pace.take("a", 1, per_minute=6)
    assert refused(pace, "a", 12, 6) == 10
    clock.now = 10
    pace.take("a", 12, per_minute=6)
    assert refused(pace, "a", 1, 6) == 70


def test_who_was_not_seen_for_long_is_forgotten() -> None:
    pace = Pace(now=Clock())
    pace.take("a", 1, per_minute=1)
    for number in range(KEPT):
        pace.take(str(number), 1, per_minute=1)
    pace.take("a", 1, per_minute=1)
