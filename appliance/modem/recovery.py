"""One modem's way back: its trouble, the step that is being taken against it, and the time that step has.

Promise
    * What the ladder has due is taken, told to the host with its outcome, and remembered over restarts of the hub.
    * A step has its patience, the seconds in which the modem may come back; only then is the next one due.
    * The trouble is over when the modem has been set up again, not when it answers once; ten minutes later it is
      forgotten.
    * While a submit is in doubt nothing above rung 1 is done, whoever asks for it.

Theory of operation
    Rung 0 is the channel's (ESC and our own IMEI). Where it fails the session ends in *trouble* (``ended``), and the
    next one begins with ``climb``: remedies of the place are applied there, with the port closed; re-opening and the
    reset by command are the session's, which is told the step. Then ``place_filled`` waits for something to open, and
    ``wake_attempts`` says for how long the modem is to be asked. ``well`` ends it.

    *turn* counts the openings that ended in silence, so that the place tries what else could be the port.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from appliance.errors import AnswerTimeout, ModemhubError, PortFailed, PortGone, PowerFailed
from appliance.modem.channel import PREAMBLE_TIMEOUT
from appliance.modem.host import RungTaken
from appliance.modem.ladder import CLIMBS, Ladder, Memory, Rung, Step, Trouble
from appliance.modem.talk import STRIKES, give_up
from appliance.types import ModemState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.errors import ModemError
    from appliance.modem.place import Place, Remedy
    from appliance.modem.talk import Talk

__all__ = ["IN_DOUBT", "MARGIN", "RESET", "WAKE_AGAIN", "Recovery", "attempts"]

REOPEN: Final = Step(Rung.REOPEN, "re-opening the port", 0.0)

RESET: Final = "reset by command"

VANISH: Final = 10.0
"""Seconds in which a modem that a reset reaches has vanished from the bus; modules take 2 to 5 s."""

BACK_ON_THE_BUS: Final = 8.0
"""Seconds in which a modem answers that has come back on the bus without a start of its own."""

MARGIN: Final = 5.0
"""Seconds more than the longest start known."""

WAKE_FRESH: Final[tuple[float, ...]] = (0.5, 1.0, 1.0, 1.0, 1.5, 2.0, 3.0)
"""Seconds for each attempt on a modem that never answered: it may be starting, which takes up to 21 s."""

WAKE_AGAIN: Final[tuple[float, ...]] = (1.0, 1.0, 1.0, 1.0)
"""On one that answered before."""

IN_DOUBT: Final = "a text is on its way whose result is not known yet: try again in some minutes"


def attempts(seconds: float) -> tuple[float, ...]:
    """Attempts to wake a modem for so long; before each question goes a preamble, which has its own time."""
    return (1.0,) * max(math.ceil(seconds / (1.0 + PREAMBLE_TIMEOUT)), len(WAKE_AGAIN))


class Recovery:
    """One modem's troubles, over any number of sessions."""

    def __init__(
        self, talk: Talk, place: Place, *, in_doubt: Callable[[], bool], absent: float, healthy: float
    ) -> None:
        """Know of no trouble yet.

        Args:
            talk: the modem.
            place: where it lives.
            in_doubt: whether the result of a submit may still come.
            absent: seconds after which a modem that is not there, but could be switched on, is.
            healthy: seconds after which troubles are forgotten.
        """
        self._talk = talk
        self._place = place
        self._in_doubt = in_doubt
        self._absent = absent
        self._healthy_after = healthy
        self._ladder: Ladder | None = None
        self._trouble: Trouble | None = None
        self._patience_until = 0.0
        self._reset_until = 0.0
        self._vanished = False
        self._failures = 0
        self._well_since: float | None = None
        self._asked = asyncio.Event()
        self.turn = 0
        """Openings that ended in silence since the modem was well or was started anew."""

    def state(self, otherwise: ModemState) -> ModemState:
        """The state to tell where nothing else is known: what is done about a trouble comes first."""
        if self._trouble is None:
            return otherwise
        if not self._needs_hands:
            return ModemState.RECOVERING
        return ModemState.GONE if self._trouble is Trouble.ABSENT else ModemState.NEEDS_HANDS

    @property
    def in_words(self) -> str | None:
        """What is being done, in words; None: there is no trouble."""
        return self._talk.status.recovery if self._trouble else None

    @property
    def _needs_hands(self) -> bool:
        return self._ladder is not None and self._ladder.needs_hands

    # ------------------------------------------------------------------------------------------ between sessions

    def ended(self, error: ModemError, *, opened: bool = True) -> None:
        """Note how a session ended; ``opened``: it had a port."""
        self._failures = self._failures + 1 if isinstance(error, PortFailed) else 0
        if isinstance(error, AnswerTimeout) or self._failures >= STRIKES:  # once or twice, it is just being pulled out
            self._trouble = Trouble.SILENT
            self.turn += 1
            if opened:  # it was asked for as long as it had; ports that were only tried may still be starting
                self._patience_until = 0.0
        elif self._ladder is not None and self._ladder.last is not None and self._ladder.last.name == RESET:
            self._patience_until = self._reset_until  # it vanished: the reset works
        self._vanished = self._talk.status.imei is not None and isinstance(error, PortGone)
        self._well_since = None

    async def climb(self) -> Step | None:
        """Take the step that is due, as far as it is taken with the port closed; None: none is."""
        loop = asyncio.get_running_loop()
        ladder = self._ladder
        if ladder is None:
            ladder = self._ladder = Ladder(await self._memory())
        self._asked.clear()
        if self._talk.cycle is not None:
            await self._power_cycle(self._talk.cycle)
            return None
        if self._trouble is None or loop.time() < self._patience_until:
            return None
        await self._no_effect()
        while True:
            step = ladder.due(self._trouble, self._steps(), now=loop.time(), in_doubt=self._in_doubt())
            if step is None:
                if ladder.needs_hands:
                    self._talk.tell(
                        state=self.state(ModemState.NEEDS_HANDS),
                        recovery="nothing helped: a person is needed; tried again by itself",
                    )
                return None
            ladder.take(step, now=loop.time())
            self._talk.tell(state=ModemState.RECOVERING, recovery=step.name)
            await self._told(None)
            try:
                await self._apply(step)
            except PowerFailed as error:
                await self._no_effect(str(error))
                continue
            if step.rung > Rung.REOPEN:
                self.turn = 0
            self._patience_until = loop.time() + step.patience
            self._reset_until = self._patience_until + self._talk.profile.bringup.boot_time + MARGIN
            return step

    def _steps(self) -> list[Step]:
        """What can be done to this modem, in the order of the rungs."""
        bringup, power = self._talk.profile.bringup, self._talk.profile.power
        remedies = self._place.remedies
        # Where its start cannot be seen it has to be waited for, unless what comes next starts it again in any case.
        seen = self._place.vanishes or (bool(remedies) and not remedies[0].key)
        patience = VANISH if seen else bringup.boot_time
        hangs = self._talk.status.imei is not None and not self._needs_hands
        return [
            REOPEN,
            *([Step(Rung.RESET, RESET, patience)] if power.resets else []),
            *(Step(remedy.rung, remedy.name, remedy.patience) for remedy in remedies if not (remedy.cold and hangs)),
        ]

    async def _apply(self, step: Step) -> None:
        for remedy in self._place.remedies:
            if remedy.name == step.name:
                await remedy.apply()

    async def place_filled(self, step: Step | None) -> None:
        """Wait for the place to have something in it; ``step``: what ``climb`` has just taken.

        Raises:
            PortGone: it did not come back in the patience of the step that was taken, or could be switched on, or a
                power cycle is asked for.
        """
        left = self._patience_until - asyncio.get_running_loop().time()
        within = max(left, MARGIN) if self._trouble is not None and (step or left > 0) else None
        if within is None and any(remedy.rung in CLIMBS[Trouble.ABSENT] for remedy in self._place.remedies):
            within = self._absent * (10 if self._needs_hands else 1)
        waits = [asyncio.ensure_future(self._place.present()), asyncio.ensure_future(self._asked.wait())]
        try:
            await asyncio.wait(waits, timeout=within, return_when=asyncio.FIRST_COMPLETED)
            if waits[0].done():
                waits[0].result()
                return
        finally:
            for wait in waits:
                wait.cancel()
        if not self._asked.is_set():
            self._trouble = self._trouble or Trouble.ABSENT
        raise PortGone(f"{self._place.name}: is not there")

    def wake_attempts(self) -> tuple[float, ...]:
        """Seconds for each attempt to have the modem answer, on a port just opened."""
        left = self._patience_until - asyncio.get_running_loop().time()
        last = self._ladder.last if self._ladder is not None else None
        if last is not None and last.rung == Rung.USB:
            return attempts(BACK_ON_THE_BUS)
        if self._trouble is not None and left > sum(WAKE_AGAIN):
            return attempts(left)
        if self._trouble is None and self._vanished:
            return attempts(self._talk.profile.bringup.boot_time + MARGIN)
        return WAKE_AGAIN if self._trouble is not None or self._talk.status.imei is not None else WAKE_FRESH

    # ------------------------------------------------------------------------------------------ within one

    async def met(self, before: str | None) -> None:
        """It has said who it is, and is not the one before (None: nobody had spoken here): another one's memory."""
        if before is not None or self._trouble is None:  # what was done was not for this one
            self._trouble, self.turn, self._patience_until = None, 0, 0.0
            self._ladder = Ladder(await self._memory())

    async def well(self) -> None:
        """It has been set up, or waits for something that no remedy brings: the trouble is over."""
        if self._well_since is not None or self._ladder is None:
            return
        loop = asyncio.get_running_loop()
        self._well_since = loop.time()
        before = self._ladder.memory
        settled = self._ladder.help(now=loop.time())
        if settled is not None:
            await self._told(self._taken(settled, "helped"))
        elif self._ladder.memory != before:
            await self._told(None)
        self._place.worked()
        self._trouble = None
        self.turn = 0
        self._patience_until = 0.0
        self._talk.tell(recovery=None)

    async def healthy(self) -> None:
        """Forget old troubles after ten minutes without new ones."""
        now = asyncio.get_running_loop().time()
        if self._ladder is None or self._well_since is None or now - self._well_since < self._healthy_after:
            return
        if self._ladder.healthy():
            await self._told(None)

    # ------------------------------------------------------------------------------------------ memory and telling

    async def _memory(self) -> Memory:
        return await self._talk.host.troubles(self._place.name, self._talk.status.imei) or Memory()

    async def _no_effect(self, failed: str | None = None) -> None:
        """The trouble is still there after the last step, or that could not be taken."""
        assert self._ladder is not None, "the ladder is there before the first step"
        settled = self._ladder.fail(now=asyncio.get_running_loop().time())
        if settled is not None:
            await self._told(self._taken(settled, "no_effect" if failed is None else "failed", failed))

    def _taken(self, settled: tuple[Step, float], outcome: str, detail: str | None = None) -> RungTaken:
        step, seconds = settled
        reason = (self._trouble or Trouble.SILENT).value
        return RungTaken(step.rung, step.name, reason, round(seconds, 3), outcome, detail)

    async def _told(self, taken: RungTaken | None) -> None:
        assert self._ladder is not None, "the ladder is there before the first step"
        try:
            await self._talk.host.recovering(self._place.name, self._talk.status.imei, self._ladder.memory, taken)
        except ModemhubError as error:
            self._talk.tell(last_error=f"what was done against the trouble could not be kept: {error}")

    # ------------------------------------------------------------------------------------------ by hand

    async def cycle(self) -> str:
        """Switch the modem off and on, because somebody asks for it: by the strongest remedy that can be applied.

        Returns:
            The name of what was done, when it was done.

        Raises:
            PowerFailed: there is none, none could be applied, or a submit is in doubt.
            PortGone: the modem is not tended any more.
        """
        talk = self._talk
        self._switchable()
        if talk.cycle is None:
            talk.cycle = asyncio.get_running_loop().create_future()
            talk.wake.set()
            self._asked.set()
        return await asyncio.shield(talk.cycle)

    async def _power_cycle(self, asked: asyncio.Future[str]) -> None:
        self._talk.cycle = None
        try:
            remedy = await self._strongest()
        except PowerFailed as error:
            asked.set_exception(error)
            return
        except BaseException:
            give_up(asked, f"{self._place.name}: the power cycle was broken off")
            raise
        self._trouble = Trouble.SILENT
        self._patience_until = asyncio.get_running_loop().time() + remedy.patience
        asked.set_result(remedy.name)

    async def _strongest(self) -> Remedy:
        refusals = []
        for remedy in reversed(self._switchable()):
            self._talk.tell(state=ModemState.RECOVERING, recovery=remedy.name, last_error="power cycle: asked for")
            try:
                await remedy.apply()
            except PowerFailed as error:
                refusals.append(str(error))
            else:
                return remedy
        raise PowerFailed("; ".join(refusals))

    def _switchable(self) -> Sequence[Remedy]:
        remedies = self._place.remedies
        if not remedies:
            raise PowerFailed(
                f"{self._place.name}: nothing here can switch it off and on; restart resets it by its own command"
            )
        if self._in_doubt():
            raise PowerFailed(IN_DOUBT)
        return remedies
