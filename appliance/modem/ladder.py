"""The ladder of recovery: which step is due for a modem that is in trouble. A table, a memory and little code; pure.

Promise
    * The cheapest step comes first; but once a step has helped this modem, it comes directly after re-opening.
    * While a submit is in doubt nothing above rung 1 is due: a reset would make the doubt certain.
    * Every climb is bounded. When all steps were taken without help, a person is called (``needs_hands``) and the climb
      begins anew after 1, 5, 15, 30 and then every 60 minutes, for ever.
    * What it knows outlasts a restart of the hub (``Memory``), so that a crash does not begin at the bottom again.

It does nothing itself and knows no clock: ``now`` is any monotonic time in seconds.

Theory of operation
    ::

        rung 0  drain, ESC, AT+CGSN       the channel's own, before anything gets here
        rung 1  re-open the port          or the next port or speed of the same modem
        rung 2  radio off and on          it answers, and has no network
        rung 3  reset by its own command  it is silent but may hear, or rung 2 was no use
        rung 4  GPIO                      reset line, power key
        rung 5  USB                       authorized off and on, driver unbound and bound
        rung 6  supply                    port power or a HAT's enable line
        rung 7  a person                  told, and tried again ever less often

    ``due`` gives the next step, ``take`` notes that it is being taken, ``help`` that the modem is well after it.
    Relapses are counted until ``healthy`` (ten minutes). With the first one re-opening was not enough; with every third
    one the step that helped is passed over once, so that another one has its chance, and the climb waits before it
    begins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["CLIMBS", "Ladder", "Memory", "Rung", "Step", "Trouble"]


class Rung(IntEnum):
    """The numbers of the rungs; 0 is the channel's, 7 is a person."""

    REOPEN = 1
    RADIO = 2
    RESET = 3
    LINES = 4
    USB = 5
    SUPPLY = 6


class Trouble(Enum):
    """What is wrong with a modem."""

    SILENT = "it does not answer"
    NO_NETWORK = "it answers and finds no network"
    ABSENT = "it is not there"


CLIMBS: Final[Mapping[Trouble, frozenset[Rung]]] = MappingProxyType(
    {
        Trouble.SILENT: frozenset({Rung.REOPEN, Rung.RESET, Rung.LINES, Rung.USB, Rung.SUPPLY}),
        Trouble.NO_NETWORK: frozenset({Rung.RADIO, Rung.RESET}),
        Trouble.ABSENT: frozenset({Rung.LINES, Rung.SUPPLY}),
    }
)
"""Which rungs are of use against which trouble."""

WAITS: Final = (60.0, 300.0, 900.0, 1800.0, 3600.0)
"""Seconds until the next climb after one that did not help; the last one repeats."""

_PATIENT: Final = 3
"""Relapses after which the step that helped is passed over once."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that can be done now: its rung, its name, and the seconds in which its effect would show."""

    rung: int
    name: str
    patience: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known of a modem's troubles; outlasts the process.

    Attributes:
        cure: the name of the step that helped last; None: none was ever needed.
        tried: the names of the steps taken since it was well, in order.
        rounds: climbs that ended without help since it was well.
        relapses: how often it fell ill again within ten minutes.
    """

    cure: str | None = None
    tried: tuple[str, ...] = ()
    rounds: int = 0
    relapses: int = 0


class Ladder:
    """One modem's way back to health."""

    def __init__(self, memory: Memory = Memory(), *, waits: Sequence[float] = WAITS) -> None:
        """Go on from ``memory``; an unfinished climb is gone on with, one that ended without help waits again."""
        self.memory = memory
        self._waits = tuple(waits)
        self._not_before: float | None = None
        self._ill = bool(memory.tried or memory.rounds)
        self._last: Step | None = None
        self._taken_at = 0.0

    @property
    def needs_hands(self) -> bool:
        """Whether every step was taken without help."""
        return self.memory.rounds > 0

    @property
    def last(self) -> Step | None:
        """The step that was taken last and of which nothing is known yet."""
        return self._last

    def due(self, trouble: Trouble, steps: Sequence[Step], *, now: float, in_doubt: bool = False) -> Step | None:
        """The step to take now; None: nothing but to look again.

        Args:
            trouble: what is wrong.
            steps: what can be done at all, in the order of the rungs.
            now: monotonic seconds.
            in_doubt: whether a submit's result may still come.
        """
        if not self._ill:
            self._fall_ill(now)
        elif self._not_before is None and self.memory.rounds and not self.memory.tried:
            self._not_before = now + self._wait()
        if self._not_before is not None and now < self._not_before:
            return None
        for step in self._in_order(trouble, steps):
            if step.name in self.memory.tried or (step.rung <= Rung.REOPEN and self.memory.relapses):
                continue
            return None if in_doubt and step.rung > Rung.REOPEN else step
        if not in_doubt:
            self.memory = replace(self.memory, tried=(), rounds=self.memory.rounds + 1)
            self._not_before = now + self._wait()
        return None

    def _fall_ill(self, now: float) -> None:
        self._ill = True
        self._not_before = None
        relapses = self.memory.relapses
        if relapses and relapses % _PATIENT == 0:
            self._not_before = now + self._waits[min(relapses // _PATIENT, len(self._waits)) - 1]
            if self.memory.cure is not None:
                self.memory = replace(self.memory, tried=(self.memory.cure,))

    def _wait(self) -> float:
        return self._waits[min(self.memory.rounds, len(self._waits)) - 1]

    def _in_order(self, trouble: Trouble, steps: Sequence[Step]) -> list[Step]:
        """Of use against the trouble: re-opening, then what helped before, then the others."""
        useful = [step for step in steps if step.rung in CLIMBS[trouble]]
        return sorted(useful, key=lambda step: (step.rung > Rung.REOPEN, step.name != self.memory.cure, step.rung))

    def take(self, step: Step, *, now: float) -> None:
        """This step is being taken."""
        self.memory = replace(self.memory, tried=(*self.memory.tried, step.name))
        self._last = step
        self._taken_at = now

    def fail(self, *, now: float) -> tuple[Step, float] | None:
        """The trouble is still there: the step without effect and its seconds; None: none was taken."""
        return self._settle(now)

    def help(self, *, now: float) -> tuple[Step, float] | None:
        """The modem is well: the step that did it and the seconds it took; None: it was not ill, or by itself."""
        settled = self._settle(now)
        if self._ill:
            self._ill = False
            self._not_before = None
            cure = self.memory.cure if settled is None or settled[0].rung <= Rung.REOPEN else settled[0].name
            self.memory = Memory(cure=cure, relapses=self.memory.relapses + 1)
        return settled

    def _settle(self, now: float) -> tuple[Step, float] | None:
        last, self._last = self._last, None
        return None if last is None else (last, now - self._taken_at)

    def healthy(self) -> bool:
        """It was well for ten minutes: forget all but what helped; whether there was anything to forget."""
        well = Memory(cure=self.memory.cure)
        changed, self.memory = self.memory != well, well
        self._ill = False
        self._not_before = None
        return changed
