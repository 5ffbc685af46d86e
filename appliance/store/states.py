"""The state of a message out of the states of its segments (promise S6). Pure.

The rule, as a table; the first line that fits is it:

==================================================  ===============================================================
among the segments                                  the message is
==================================================  ===============================================================
one is submitting                                   ``submitting``
all are queued                                      ``queued``: nothing has left yet
one is queued                                       ``submitting``: some have left, others are to follow
one is failed                                       ``failed``
one is expired                                      ``expired``
one is cancelled                                    ``cancelled``
one is in_doubt                                     ``in_doubt``
one is undelivered                                  ``undelivered``
one is submitted                                    ``submitted``: a report is outstanding, or none was asked for
all are delivered                                   ``delivered``
==================================================  ===============================================================

So an end is told as soon as it is certain: of two segments, one undelivered and one still without its report, the
message is undelivered, whatever the second report will say; of two segments, one expired and one in doubt, it is
expired, whatever became of the other. From there on nothing in a segment's life changes the word, but for a doubt that
evidence resolves: ``in_doubt`` becomes ``undelivered``, ``submitted`` or ``delivered``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.types import SegmentState

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ENDED", "UNSENT", "WORST_FIRST", "derive"]

UNSENT = frozenset({SegmentState.QUEUED, SegmentState.SUBMITTING})
"""A message in one of these still has something to send."""

WORST_FIRST = (
    SegmentState.FAILED,
    SegmentState.EXPIRED,
    SegmentState.CANCELLED,
    SegmentState.IN_DOUBT,
    SegmentState.UNDELIVERED,
    SegmentState.SUBMITTED,
    SegmentState.DELIVERED,
)
"""When nothing is left to send, the first of these that a segment bears is the message's."""


ENDED = frozenset(WORST_FIRST) - {SegmentState.SUBMITTED}
"""Ends of promise S1; ``submitted`` is one where no report was asked for, or none came in time."""


def derive(states: Iterable[SegmentState]) -> SegmentState:
    """The message's state; raises ValueError for a message without segments."""
    found = frozenset(states)
    if SegmentState.SUBMITTING in found:
        return SegmentState.SUBMITTING
    if SegmentState.QUEUED in found:
        return SegmentState.QUEUED if len(found) == 1 else SegmentState.SUBMITTING
    for state in WORST_FIRST:
        if state in found:
            return state
    raise ValueError("a message without segments has no state")
