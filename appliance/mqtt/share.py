"""PURE: when a hub drains a topic together with others (``[mqtt.share]``), and when it leaves that to them.

A broker deals the commands of a shared subscription out without asking who can send. A hub that has no modem to send
with (or whose day's quota is spent, or whose disk is full) should leave the group while others can; but if all did, the
broker would throw the commands away: a topic without subscribers keeps nothing. So every hub says on
``<topic>/hubs/<hub id>`` whether it is able, when that changes and every SAY_EVERY seconds (not retained); one that has
been unable for LEAVE_AFTER seconds leaves as long as another one has said that it is able within BELIEVED seconds, and
comes back when it is able or when no other is any more. Two that become unable at once have heard so of each other
before either leaves.

What the broker had dealt to it before, it keeps: accepted is accepted, and it is sent by this hub or ends visibly.

A command that this hub alone refuses (PASSED_ON: its quota, a SIM or modem that it does not have) is not refused while
another hub is able, but published again for the others, with its MQTT 5 properties and the list of hubs that have seen
it (User Property ``modemhub-passed``), and acknowledged when the broker has it. A crash between the two makes it come
twice. With MQTT 3.1.1, which has no such list, and after MOST_HOPS hubs it is refused by answer.

What a broker does with the share of a hub that is away is the broker's: Mosquitto deals on to its session, and that
share waits for its return (at most ``session_expiry_days``); EMQX and HiveMQ deal it to the others. So no hub says
goodbye to the group when it stops: what is published while all are away waits for the first to return.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["BELIEVED", "LEAVE_AFTER", "MOST_HOPS", "PASSED_ON", "SAY_EVERY", "Group"]

SAY_EVERY = 30.0
BELIEVED = 75.0
"""Seconds: two and a half times SAY_EVERY."""

LEAVE_AFTER = 20.0
"""Seconds: a modem that is reset is back by then."""

MOST_HOPS = 8

PASSED_ON = frozenset({"quota_exceeded", "no_sim", "no_such_modem"})
"""Refusals that are this hub's alone. Who may be texted is a rule, and holds at the first hub that is asked."""


class Group:
    """One hub's picture of its group."""

    def __init__(self, me: str, *, now: float) -> None:
        """Begin as able, at ``now``: a hub that starts has not looked yet."""
        self._me = me
        self._able_last = now
        self._heard: dict[str, float] = {}
        """Hub → when it said last that it is able."""

    def heard(self, hub: str, payload: bytes, *, now: float) -> None:
        """A hub has said how it is."""
        if hub == self._me:
            return
        said = None
        with contextlib.suppress(ValueError):
            said = json.loads(payload)
        if isinstance(said, dict) and said.get("able") is True:
            self._heard[hub] = now
        else:
            self._heard.pop(hub, None)

    def others(self, *, now: float, without: Collection[str] = ()) -> bool:
        """Whether another hub is able, none of these."""
        return any(now - at <= BELIEVED for hub, at in self._heard.items() if hub not in without)

    def takes_part(self, *, able: bool, spent: bool, now: float) -> bool:
        """Whether to be in the group now.

        Args:
            able: there is a modem to send with, and what is accepted can be written.
            spent: the quota is used up: that does not pass within seconds.
            now: seconds.
        """
        if able:
            self._able_last = now
        if able and not spent:
            return True
        unable_long = spent or now - self._able_last >= LEAVE_AFTER
        return not (unable_long and self.others(now=now))
