"""``modemhub-device prove``: commits the slot that runs, or leaves it.

Promise: a slot that an update wrote is kept only after its hub proved itself, and left by itself when it did not. A
slot that was committed is never left from here, whatever its hub does: the way back leads to an older version, not to
better settings. There is no loop: a trial ends in this boot, or the boot loader ends it after three.

What it does not do. A kernel that does not start, and a system that never comes as far as here, are not seen here:
the boot loader counts the attempts of a slot (``image/card/boot.cmd``), and ``overdue`` (a shell script that runs
from the very beginning of a boot, as Python itself may be what is broken) ends one that hangs.

Theory of operation. ``trial.standing`` says what this boot is::

    SETTLED       the hub is waited for, but not required: the slot is marked good, which gives it its attempts back
    INTERRUPTED   as SETTLED; the half-written slot is taken out, and the person is told
    FELL_BACK     as SETTLED; the failed slot is taken out, and the person is told why
    TRIAL         ``verdict`` is asked every few seconds until it says good or bad
    CONDEMNED     power was cut while a trial was being left: it is left

Without the data partition there is no record, and only the boot choice says what this boot is: few attempts left, and
another slot to go to, is a trial, as for ``overdue``. Its system cannot mount what the other can, or nobody can. It
is started anew, so that its attempts run out and the boot loader goes back, after three starts at the most. Any other
slot gets its attempts back at once, and stays: so of two slots that both find no data, one runs on and tells so on the
card (``boot``); there is no loop.

``verdict`` is PURE and reads as a table, its first line that applies decides; what was so before the installation
(``Before``) is required after it, and nothing more: a hub that was switched off, or had no modem, blocks no update::

    the hub failed for good, and was active before                                      bad
    active for as long as required, and answers, a modem is ready, data is kept         good
    the time is over                                                                    bad, and what is missing
    else                                                                                wait
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from .place import Place
from .rim import Failed
from .system import System, ready, say
from .tell import Board
from .trial import Before, Standing, State, Trial, standing

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

__all__ = ["Facts", "Limits", "Verdict", "add_verb", "prove", "verdict"]

PROOF_SECONDS: Final = 300.0
"""A hub that restarts does so within its watchdog's minute, or when its first sweep of a modem fails (90 s)."""
GRACE_SECONDS: Final = 900.0
"""On top: until the hub is started on a slow card (180 s), and a modem was powered, found its network and settled."""
LEAST_GRACE: Final = 120.0
"""Of that, where a test asks for a shorter proof."""
EVERY_SECONDS: Final = 10.0
SETTLED_SECONDS: Final = 300.0
"""A committed slot waits this long for its hub; then it is marked good all the same, as it got as far as here."""
PROVED: Final = "proved"
"""The file below /run that ``overdue`` looks for."""


class Verdict(Enum):
    """Of a trial."""

    GOOD = "good"
    BAD = "bad"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long."""

    proof: float = PROOF_SECONDS
    grace: float = GRACE_SECONDS


@dataclass(frozen=True, slots=True)
class Facts:
    """What is seen of a trial."""

    elapsed: float
    """Seconds since it began to be watched."""
    active: bool = False
    failed: bool = False
    stable: float = 0.0
    """Seconds that the hub is active without a restart."""
    answers: bool = False
    ready: int = 0
    writable: bool = False


def verdict(facts: Facts, before: Before, limits: Limits) -> tuple[Verdict, str]:
    """What is to be done about a trial, and why."""
    if facts.failed and before.active:
        return Verdict.BAD, "its hub does not start: it refuses the settings that were right before"
    missing = list(_missing(facts, before, limits))
    if not missing:
        return Verdict.GOOD, "its hub proved itself"
    if facts.elapsed >= limits.proof + limits.grace:
        return Verdict.BAD, f"after {facts.elapsed:.0f} s, {' and '.join(missing)}"
    return Verdict.WAIT, " and ".join(missing)


def _missing(facts: Facts, before: Before, limits: Limits) -> Iterator[str]:
    if not facts.writable:
        yield "the data partition takes nothing"
    if not before.active:
        if facts.elapsed < limits.proof:
            yield f"{limits.proof:.0f} s are not over"
        return
    if not facts.active:
        yield "its hub is not running"
    elif facts.stable < limits.proof:
        yield f"its hub runs for {facts.stable:.0f} s only"
    if before.answers and not facts.answers:
        yield "its hub does not answer"
    if before.ready and not facts.ready:
        yield f"no modem is ready, and {before.ready} were before"


# ------------------------------------------------------------------------------------------------------------- rim


def limits_of(system: System) -> Limits:
    """The kernel line may ask for a shorter proof: ``modemhub.prove=SECONDS``, for tests."""
    with contextlib.suppress(ValueError):
        proof = float(system.words.get("modemhub.prove", ""))
        if proof >= 0:
            return Limits(proof, min(GRACE_SECONDS, max(LEAST_GRACE, proof)))
    return Limits()


def _facts(system: System, before: Before, began: float, limits: Limits) -> Facts:
    """Look; what costs a process or a write is only looked at when it can decide."""
    hub = system.hub()
    elapsed = system.monotonic() - began
    ripe = hub.stable if before.active else elapsed
    decides = ripe >= limits.proof or elapsed >= limits.proof + limits.grace
    said = system.status() if decides and hub.active else None
    return Facts(
        elapsed=elapsed,
        active=hub.active,
        failed=hub.failed,
        stable=hub.stable,
        answers=said is not None,
        ready=ready(said),
        writable=decides and system.writable(),
    )


def prove(system: System, board: Board) -> int:
    """Decide on the slot that runs; exit status 0, or 1 where the decision could not be carried out.

    Without a decision ``overdue`` ends the boot of a trial, and the boot loader goes back.
    """
    if not system.place.keeps:
        return _without_data(system)
    trial = system.ledger.trial
    stands = standing(trial, booted=system.slot, boot_id=system.boot_id)
    try:
        if stands in {Standing.TRIAL, Standing.CONDEMNED}:
            assert trial is not None
            _try(system, board, trial, condemned=stands is Standing.CONDEMNED)
        else:
            if trial is not None and stands is not Standing.SETTLED:
                _come_back(system, board, trial, stands)
            _settle(system)
    except (Failed, OSError) as failed:
        say(f"prove: {failed}")
        return 1
    return 0


def _without_data(system: System) -> int:
    """Nothing is known but the boot choice."""
    try:
        if system.few_left:
            say("the data partition is not mounted: this slot may be on trial, and is started anew or left")
            system.reboot()
        else:
            system.refill()
            _proved(system)
    except (Failed, OSError) as failed:
        say(f"prove: {failed}")
        return 1
    return 0


def _try(system: System, board: Board, trial: Trial, *, condemned: bool) -> None:
    limits = limits_of(system)
    began = system.monotonic()
    decided, why = Verdict.BAD, trial.reason
    if not condemned:
        say(f"version {trial.version} in slot {trial.slot} is on trial for {limits.proof:.0f} s")
        decided, why = verdict(_facts(system, trial.before, began, limits), trial.before, limits)
        while decided is Verdict.WAIT:
            system.sleep(EVERY_SECONDS)
            decided, why = verdict(_facts(system, trial.before, began, limits), trial.before, limits)
    if decided is Verdict.GOOD:
        system.mark("good", "booted")
        system.become(State.COMMITTED, reason=why)
        _proved(system)
        board.tell("update", [])
        say(f"version {trial.version} is committed: {why}")
        return
    say(f"version {trial.version} is left: {why}")
    with contextlib.suppress(OSError):  # a card that keeps nothing must not keep us here: then the reason is lost
        system.become(State.FAILING, reason=why)
    system.mark("bad", "booted")
    system.reboot()


def _come_back(system: System, board: Board, trial: Trial, stands: Standing) -> None:
    """The slot before runs again."""
    with contextlib.suppress(Failed):  # it has no attempts left, or was never put first: this only makes it plain
        system.mark("bad", "other")
    version = system.image.get("VERSION", trial.from_version)
    if stands is Standing.INTERRUPTED:
        state, what = State.INTERRUPTED, f"The installation of version {trial.version} did not come to its end."
        reason = "power was cut, or it failed"
        advice = "Nothing is lost; it can be installed again."
    else:
        state, what = State.ROLLED_BACK, f"The update to version {trial.version} was taken back."
        reason = trial.reason or "it did not start, or did not come as far as its proof"
        advice = "The settings and all messages are as they were. It is not installed again by itself."
    try:
        system.become(state, reason=reason)
        board.tell("update", [what, f"Why: {reason}.", f"Version {version} runs. {advice}"])
    except OSError as error:
        say(f"it could not be recorded: {error}")
    say(f"{what} Why: {reason}.")


def _settle(system: System) -> None:
    until = system.monotonic() + min(SETTLED_SECONDS, limits_of(system).proof or SETTLED_SECONDS)
    while not (hub := system.hub()).active and not hub.failed and system.monotonic() < until:
        system.sleep(EVERY_SECONDS)
    try:
        system.mark("good", "booted")
    except Failed as failed:
        # RAUC keeps its state on the data partition; without one, the attempts are given back all the same
        say(f"prove: {failed}")
        system.refill()
    finally:
        _proved(system)


def _proved(system: System) -> None:
    system.place.run.mkdir(parents=True, exist_ok=True)
    (system.place.run / PROVED).touch()


def _verb(given: argparse.Namespace) -> int:
    system = System(Place(given.root))
    return prove(system, Board(system.place))


def add_verb(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """``prove``."""
    text = "Commit the slot that runs once its hub proved itself, or go back to the other."
    subparsers.add_parser("prove", help=text, description=text).set_defaults(do=_verb)
