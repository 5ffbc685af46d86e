"""PURE: whether Home Assistant is there, and so what of the telling counts.

Home Assistant keeps no session at the broker: what is published while it is away is lost to it. It says ``online``
(birth) on ``<prefix>/status`` after each connect, once its entities listen, and the broker says ``offline`` (will) when
the connection ends; both are usually not retained. Where they are, the retained one proves nothing: a birth may be
retained without the will, or the other way round. So only what is heard live counts, and each new link of ours begins
in ignorance:

::

                  ┌────────────── birth ──────────────┐
    link ──▶ UNKNOWN ───── will ─────▶ AWAY ── birth ─▶ ONLINE ── will ──▶ AWAY
                  └──────────── proof ────────────────▶

    UNKNOWN  it may be there. Events are told at once, but for that they are not *surely* told.
             A will says that it was there until now: what was told is surely told.
             A birth says that it was not: what was told since the link began was told to nobody.
             Proof: the broker says (MQTT 5, PUBACK 0x10) that a sibling topic has no listener, and the event's has.
    ONLINE   what the broker acknowledges is surely told.
    AWAY     nothing is told.

At each birth, everything after the last surely told event is told again, marked ``replayed``.

What this cannot know: a Home Assistant that loses its power or its network is missed by the broker only 1.5 keep-alives
(90 s) later; what was told in between counts as told. The texts are in the inbox (``request/inbox/replay``), the last
one in the sensor "Last SMS". And one that has no birth message is never told again.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["Presence", "Whereabouts"]

BIRTH, WILL = b"online", b"offline"
"""Home Assistant's defaults. What else a user has it say is not understood, and counts as nothing heard."""


class Whereabouts(Enum):
    """What is known of Home Assistant."""

    UNKNOWN = "unknown"
    ONLINE = "online"
    AWAY = "away"


class Presence:
    """What is known of Home Assistant, and how far it has been told."""

    def __init__(self, *, sure: int, told: int) -> None:
        """Begin with what the journal remembers: everything up to ``sure`` surely told, up to ``told`` perhaps."""
        self.where = Whereabouts.UNKNOWN
        self.sure = sure
        self.told = max(sure, told)
        self.replay_until = 0
        """Events up to this seq are told late or again."""

    def linked(self) -> None:
        """There is a new link."""
        self.where = Whereabouts.UNKNOWN
        self.replay_until = 0

    def passed(self, seq: int) -> None:
        """Everything up to ``seq`` has been told to whoever listens."""
        self.told = max(self.told, seq)
        if self.where is Whereabouts.ONLINE:
            self.sure = self.told

    def proven(self) -> None:
        """It listens."""
        self.where = Whereabouts.ONLINE
        self.sure = self.told

    def heard(self, payload: bytes, *, newest: int) -> bool:
        """Something was heard live on its status topic; whether telling has to begin anew, from ``told``.

        Args:
            payload: what.
            newest: the newest event of the hub.
        """
        if payload == BIRTH:
            self.where = Whereabouts.ONLINE
            self.told = self.sure
            self.replay_until = newest
            return True
        if payload == WILL and self.where is not Whereabouts.AWAY:
            self.where = Whereabouts.AWAY
            self.sure = self.told
            return True
        return False
