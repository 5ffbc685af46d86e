"""PURE. When a jumper between pins 39 (ground) and 40 (GPIO21) means a factory reset.

Promise: it means one only where somebody put it on before the power, and took it off in time. A HAT that uses the line
never erases anything: not one that holds it low, nor one that lets it go high by itself.

The line is low from the first look on, without a break, for HELD seconds; after that it goes high within RELEASED
seconds, and stays there for CALM. Then it must be a line that nobody drives: it follows our pull down, and our pull up
again. An output of a HAT, or a line with a resistor of its own, does not (the pull of the chip is some 50 kΩ).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["CALM", "HELD", "RELEASED", "Gesture", "Pull", "Verdict"]

HELD: Final = 10.0
RELEASED: Final = 60.0
"""Counted from the end of HELD."""
CALM: Final = 0.5
"""A contact bounces for some milliseconds."""
PROOF: Final = 0.2
"""Seconds for which the line has to follow each pull."""


class Pull(Enum):
    """Which way the chip pulls the line."""

    UP = "up"
    DOWN = "down"


class Verdict(Enum):
    """What is known of it."""

    LOOKING = "looking"
    NOTHING = "nothing"
    RESET = "reset"


@dataclass(slots=True)
class Gesture:
    """Fed with what the line is at each moment; ``pull`` is what it wants for the next look."""

    pull: Pull = Pull.UP
    _begin: float | None = None
    _high_since: float | None = None
    _proofs: int = 0
    _proof_since: float = 0.0

    def look(self, at: float, *, low: bool) -> Verdict:
        """The line is low or high at this moment (seconds, growing), with ``pull`` at work."""
        if self._begin is None:
            self._begin = at
        if self._proofs:
            return self._prove(at, low=low)
        held = at - self._begin
        if low:
            if self._high_since is not None and held < HELD:
                return Verdict.NOTHING
            self._high_since = None
            return Verdict.NOTHING if held > HELD + RELEASED else Verdict.LOOKING
        if held < HELD or held > HELD + RELEASED:
            return Verdict.NOTHING
        if self._high_since is None:
            self._high_since = at
        if at - self._high_since >= CALM:
            self._proofs, self._proof_since, self.pull = 1, at, Pull.DOWN
        return Verdict.LOOKING

    def _prove(self, at: float, *, low: bool) -> Verdict:
        if low is not (self.pull is Pull.DOWN):
            return Verdict.NOTHING
        if at - self._proof_since < PROOF:
            return Verdict.LOOKING
        if self._proofs == 2:
            return Verdict.RESET
        self._proofs, self._proof_since, self.pull = 2, at, Pull.UP
        return Verdict.LOOKING
