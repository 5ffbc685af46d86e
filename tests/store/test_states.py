"""The state of a message follows from the states of its segments, by one table (promise S6)."""

from __future__ import annotations

from itertools import permutations, product

import pytest

from appliance.store.states import UNSENT, derive
from appliance.types import SegmentState as S

ALL_UP_TO_THREE = [states for size in (1, 2, 3) for states in product(S, repeat=size)]

NEXT = {
    S.QUEUED: {S.SUBMITTING, S.EXPIRED, S.CANCELLED, S.FAILED, S.IN_DOUBT},
    S.SUBMITTING: {S.QUEUED, S.SUBMITTED, S.FAILED, S.IN_DOUBT},
    S.SUBMITTED: {S.DELIVERED, S.UNDELIVERED},
    S.IN_DOUBT: {S.SUBMITTED, S.DELIVERED, S.UNDELIVERED},
    S.DELIVERED: set[S](),
    S.UNDELIVERED: set[S](),
    S.FAILED: set[S](),
    S.EXPIRED: set[S](),
    S.CANCELLED: set[S](),
}


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([S.QUEUED], S.QUEUED),
        ([S.QUEUED, S.QUEUED], S.QUEUED),
        ([S.SUBMITTING, S.QUEUED], S.SUBMITTING),
        ([S.SUBMITTED, S.QUEUED], S.SUBMITTING),
        ([S.DELIVERED, S.QUEUED], S.SUBMITTING),
        ([S.FAILED, S.SUBMITTING], S.SUBMITTING),
        ([S.SUBMITTED, S.SUBMITTED], S.SUBMITTED),
        ([S.SUBMITTED, S.DELIVERED], S.SUBMITTED),
        ([S.DELIVERED, S.DELIVERED], S.DELIVERED),
        ([S.DELIVERED, S.UNDELIVERED], S.UNDELIVERED),
        ([S.SUBMITTED, S.UNDELIVERED], S.UNDELIVERED),
        ([S.SUBMITTED, S.FAILED], S.FAILED),
        ([S.IN_DOUBT, S.FAILED], S.FAILED),
        ([S.IN_DOUBT, S.EXPIRED], S.EXPIRED),
        ([S.IN_DOUBT, S.UNDELIVERED], S.IN_DOUBT),
        ([S.IN_DOUBT, S.DELIVERED], S.IN_DOUBT),
        ([S.CANCELLED, S.CANCELLED], S.CANCELLED),
    ],
)
def test_the_table(segments: list[S], message: S) -> None:
    assert derive(segments) is message


def test_one_segment_is_the_message() -> None:
    for state in S:
        assert derive([state]) is state


def test_the_order_of_segments_does_not_matter() -> None:
    for states in ALL_UP_TO_THREE:
        assert len({derive(order) for order in permutations(states)}) == 1


def test_something_left_to_send_is_exactly_what_the_lanes_take_it_for() -> None:
    for states in ALL_UP_TO_THREE:
        assert (derive(states) in UNSENT) == any(state in UNSENT for state in states)


def test_an_end_is_an_end_whatever_becomes_of_the_segments() -> None:
    for states in ALL_UP_TO_THREE:
        before = derive(states)
        if before in UNSENT:
            continue
        for index, state in enumerate(states):
            for following in NEXT[state]:
                after = derive([*states[:index], following, *states[index + 1 :]])
                match before:
                    case S.SUBMITTED | S.IN_DOUBT:
                        assert after in {S.SUBMITTED, S.IN_DOUBT, S.DELIVERED, S.UNDELIVERED}
                        assert not (before is S.SUBMITTED and after is S.IN_DOUBT)
                    case _:
                        assert after is before


def test_no_segments_is_no_message() -> None:
    with pytest.raises(ValueError, match="without segments"):
        derive([])
