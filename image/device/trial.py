"""The record of an update, and what it means at a boot.

Promise: ``/data/device/update.json`` is whole at any moment (``rim.write``). At a power cut between any two steps of an
installation, a commit or a rollback, ``standing`` says what to do at the next boot.

What it does not do: it does not choose the slot that starts. That is one sector which U-Boot and RAUC write.

Theory of operation. RAUC's handlers write the record, so that it is there whichever way an installation was started::

    step                                   record        a power cut after it: the next boot is, and finds
    -----------------------------------------------------------------------------------------------------------------
    the bundle is verified and admitted    installing    old slot: INTERRUPTED
    RAUC takes the other slot out          installing    old slot: INTERRUPTED
    RAUC writes the other slot             installing    old slot: INTERRUPTED
    RAUC gives it attempts, puts it first  installing    new slot: TRIAL; old slot, if it never starts: INTERRUPTED
    RAUC's post-install handler            installed     new slot: TRIAL; old slot, if it never starts: FELL_BACK
    -- boot of the new slot --
    it proved itself: RAUC marks it good   installed     new slot: TRIAL, once more
    that is recorded                       committed     new slot: SETTLED
    -- or --
    it did not: that is recorded           failing       new slot: CONDEMNED
    RAUC takes it out, reboot              failing       old slot: FELL_BACK
    that is recorded                       rolled_back   old slot: SETTLED

An installation in the boot in which it was made (same boot id) is no trial yet: the reboot is still to come.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self

from .rim import write

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Before", "Ledger", "Standing", "State", "Trial", "standing"]

REMEMBERED: Final = 32
"""Bundles that were tried; more have never been on one stick."""


class State(StrEnum):
    """How far an update is."""

    INSTALLING = "installing"
    INSTALLED = "installed"
    FAILING = "failing"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"
    INTERRUPTED = "interrupted"

    @property
    def open(self) -> bool:
        """Something is still to be decided."""
        return self in {State.INSTALLING, State.INSTALLED, State.FAILING}


class Standing(StrEnum):
    """What this boot is."""

    SETTLED = "settled"
    """The slot that was committed, and nothing is open but perhaps a reboot."""
    TRIAL = "trial"
    CONDEMNED = "condemned"
    """A trial that failed and has not been left yet."""
    FELL_BACK = "fell_back"
    """The slot before, after a trial that failed."""
    INTERRUPTED = "interrupted"
    """The slot before; the installation did not come to its end."""


@dataclass(frozen=True, slots=True)
class Before:
    """How the hub was before: no more is asked of the new one."""

    active: bool = False
    answers: bool = False
    ready: int = 0
    """Modems that were ready."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One update."""

    state: State
    slot: str
    from_slot: str
    version: str
    from_version: str
    build: str = ""
    bundle: str = ""
    """SHA-256 of the image in the bundle."""
    boot_id: str = ""
    """Of the boot in which it was installed."""
    at: str = ""
    """When its state came about, by the clock, for people."""
    reason: str = ""
    before: Before = field(default_factory=Before)

    @classmethod
    def of(cls, words: dict[str, Any]) -> Self:
        """Read it from JSON's.

        Raises:
            TypeError, ValueError: it is none.
        """
        return cls(**{**words, "state": State(words["state"]), "before": Before(**words["before"])})


def standing(trial: Trial | None, *, booted: str, boot_id: str) -> Standing:
    """What the record means in the boot of slot ``booted``; PURE."""
    if trial is None or not trial.state.open:
        return Standing.SETTLED
    if booted == trial.slot and booted != trial.from_slot:
        return Standing.CONDEMNED if trial.state is State.FAILING else Standing.TRIAL
    if boot_id == trial.boot_id:
        return Standing.SETTLED
    return Standing.INTERRUPTED if trial.state is State.INSTALLING else Standing.FELL_BACK


@dataclass(frozen=True, slots=True)
class Ledger:
    """The last update, and the bundles that have been installed once."""

    trial: Trial | None = None
    tried: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read it; where there is none, or what is there is no record, an empty one.

        A file that a failing card has spoilt must not keep a device from starting: it is then a settled one.
        """
        try:
            words = json.loads(path.read_bytes())
            trial = words["trial"]
            return cls(None if trial is None else Trial.of(trial), tuple(str(each) for each in words["tried"]))
        except (FileNotFoundError, TypeError, ValueError, KeyError):
            return cls()

    def save(self, path: Path) -> None:
        """Write it, whole or not at all.

        Raises:
            OSError: it could not be written.
        """
        words = {"trial": None if self.trial is None else asdict(self.trial), "tried": self.tried}
        write(path, json.dumps(words, indent=1, ensure_ascii=False).encode())

    def become(self, state: State, *, at: str, reason: str = "") -> Self:
        """The same with its update in this state."""
        assert self.trial is not None
        tried = self.tried
        if state is State.INSTALLED and self.trial.bundle:
            tried = (*(each for each in tried if each != self.trial.bundle), self.trial.bundle)[-REMEMBERED:]
        trial = replace(self.trial, state=state, at=at, reason=reason or self.trial.reason)
        return replace(self, trial=trial, tried=tried)
