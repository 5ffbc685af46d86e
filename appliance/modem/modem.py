"""One modem's life: bring-up, registration, submit, sweep, recovery. What the hub sees of a modem.

Promises
    * ``submit`` tells the truth: a TP-MR, or that nothing was sent, or that nobody can know (``submitting``).
    * What arrives is committed by the host before it is deleted or acknowledged (``arriving``).
    * A PIN is tried once, a PUK never (``sim``).
    * Silence is noticed, told, and answered by the ladder (``ladder``), for ever: ``run`` is to be called again.

It knows no message: TPDUs are octets. It knows no tty, USB device or GPIO line either: it lives in a ``Place``, which
opens its port and has the remedies that can be applied to it from outside.

Theory of operation
    ``run`` is one session on one open port: a single coroutine that gives all commands but submits and USSD requests,
    and the callbacks of the host come one after the other, in order::

        climb: the step that the ladder has due, if the last session ended in trouble
        wait for the place to have something in it; open
        wake, identity, family -> SIM ready -> storages, indications -> tend:
            registration and signal   every minute; attached, detached
            hints                     +CMTI, +CDSI: that index first, then a sweep of its storage
            direct deliveries         +CMT, +CDS
            sweep                     every five minutes, and after whatever may have lost an indication
        a boot URC, or restart()  -> again from the identity
        the SIM is gone           -> again from the SIM

    URCs arrive in the reader's callback: they leave a note and wake the coroutine, or interrupt a command whose
    answer a reset has swallowed. A URC is a hint: nothing is lost when one is.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from appliance.at import answers
from appliance.errors import (
    AnswerTimeout,
    ModemError,
    PortGone,
    PowerFailed,
    SettingsError,
)
from appliance.modem import commands
from appliance.modem.arriving import Arriving
from appliance.modem.calls import Calls
from appliance.modem.channel import Channel, Silent
from appliance.modem.network import Network
from appliance.modem.profile import choose, generic
from appliance.modem.recovery import IN_DOUBT, MARGIN, RESET, WAKE_AGAIN, Recovery, attempts
from appliance.modem.sim import Sim
from appliance.modem.submitting import PROMPTLESS, Submitting
from appliance.modem.talk import STRIKES, Talk, give_up
from appliance.modem.ussd import Ussd
from appliance.types import ModemState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from appliance.at.dialogue import Urc
    from appliance.modem.host import ModemHost, ModemStatus, UssdAnswer
    from appliance.modem.ladder import Step
    from appliance.modem.place import Place
    from appliance.modem.profile import Profile
    from appliance.types import Iccid

__all__ = ["Intervals", "Modem"]


@dataclass(frozen=True, slots=True)
class Intervals:
    """Seconds between what is done again and again. Nothing polls more often than once a second.

    Attributes:
        poll: registration and signal, when registered.
        searching: registration, when not; the last one repeats.
        sim: the state of a SIM that is missing or locked.
        sweep: all storages, and the indications read back.
        deaf: all storages, while the modem does not tell what arrives.
        again: what failed and may work later.
        cancel: how long a cancelled submit waits for its result.
        settle: after a boot URC, before the modem is set up again.
        healthy: after which troubles are forgotten.
        absent: after which a modem that is not there, but could be switched on, is.
    """

    poll: float = 60.0
    searching: tuple[float, ...] = (1.0, 1.0, 2.0, 2.0, 5.0, 10.0)
    sim: float = 10.0
    sweep: float = 300.0
    deaf: float = 30.0
    again: float = 10.0
    cancel: float = 10.0
    settle: float = 1.0
    healthy: float = 600.0
    absent: float = 30.0


PREAMBLES: Final = ("AT", "ATE0", "ATV1")

BEARER_PATIENCE: Final = 120.0
"""Seconds that another bearer is given to find its network: a scan of all bands takes as long."""

_LOOKS: Final = 6
"""Polls without registration between two looks at the SIM."""


class Modem:
    """One modem in one place, over any number of sessions. ``run`` it for ever; ``submit`` while it is attached."""

    def __init__(
        self,
        place: Place,
        *,
        profiles: Sequence[Profile],
        host: ModemHost,
        profile: Profile | None = None,
        pin: Callable[[Iccid], str | None] = lambda _: None,
        hang_up: bool = True,
        intervals: Intervals = Intervals(),
    ) -> None:
        """Know nothing yet.

        Args:
            place: where it lives.
            profiles: the families it may be of.
            host: the owner.
            profile: the family that it is said to be of; None: as it says itself.
            pin: the configured PIN of a SIM, None where there is none.
            hang_up: end incoming calls after they were told.
            intervals: how often what is done.
        """
        self._place = place
        self._profiles = profiles
        self._said = profile
        self._intervals = intervals
        self._talk = talk = Talk(place.name, profile or generic(), host)
        self._sim = Sim(talk, pin, every=intervals.sim, cancel=intervals.cancel)
        self._network = Network(talk)
        self._arriving = Arriving(talk)
        self._calls = Calls(self._called)
        self._ussd = Ussd(talk, silent=self._suspect_silence)
        self._submitting = Submitting(
            talk,
            able=lambda: self._attached and talk.steady and not self._sim.changed,
            storage_full=self._arriving.look_everywhere,
            sim_fault=self._suspect_sim,
            cancel=intervals.cancel,
        )
        self._recovery = Recovery(
            talk,
            place,
            in_doubt=lambda: self._submitting.in_doubt,
            absent=intervals.absent,
            healthy=intervals.healthy,
        )
        self._plain_urcs = tuple(
            {urc: None for known in profiles for urc in (*known.bringup.boot_urcs, *known.bringup.ready_urcs)}
            | {urc: None for known in profiles for urc in (*known.bringup.plain_urcs, *known.power.off_urcs)}
        )
        self._running = False
        self._attached = False
        self._hang_up = hang_up
        self._ringing = False
        self._setbacks = 0
        self._misses = 0
        self._next_poll = 0.0

    @property
    def status(self) -> ModemStatus:
        """What is known now."""
        return self._talk.status

    # ------------------------------------------------------------------------------------------ session

    async def run(self) -> None:
        """Live one session: recover, open, bring up, serve. Never returns but by an exception; call it again.

        Raises:
            PortGone: the port cannot be opened, or ended.
            AnswerTimeout: the modem is silent, or keeps failing.
            ModemError: it cannot be used.
        """
        if self._running:
            raise RuntimeError("one session at a time")
        self._running = True
        try:
            await self._session()
        except asyncio.CancelledError:
            give_up(self._talk.cycle, f"{self._place.name}: is not tended any more")
            self._talk.cycle = None
            raise
        finally:
            self._running = False

    async def _session(self) -> None:
        talk = self._talk
        step = await self._recovery.climb()
        await self._recovery.place_filled(step)
        talk.tell(port=self._place.port, state=self._recovery.state(ModemState.OPENING))
        why = "stopped"
        try:
            port = await self._place.open(self._recovery.turn)
        except ModemError as error:
            self._arriving.restarted()
            self._recovery.ended(error, opened=False)
            talk.tell(state=self._recovery.state(ModemState.GONE), last_error=str(error))
            raise
        self._submitting.begin()
        talk.anew = None
        talk.strikes = self._setbacks = 0
        talk.tell(port=port.name)
        channel = talk.channel = Channel(port, urc=self._on_urc, plain_urcs=self._plain_urcs)
        channel.gone.add_done_callback(lambda _: talk.wake.set())
        try:
            await self._live(channel, step)
        except ModemError as error:
            why = str(error)
            talk.tell(last_error=why)
            self._arriving.restarted()
            self._recovery.ended(error)
            raise
        finally:
            await self._hang_up_port(channel, why)

    async def _hang_up_port(self, channel: Channel, why: str) -> None:
        """End a session, whatever comes between: a submit has its time, nobody waits any more, the line is free."""
        talk = self._talk
        try:
            await self._detach(why)
            await self._submitting.settle(channel)
        finally:
            talk.channel = None
            give_up(talk.restart, why)
            talk.restart = None
            self._calls.end()
            self._ringing = False
            self._ussd.ended(why)
            talk.tell(
                state=self._recovery.state(ModemState.GONE),
                recovery=self._recovery.in_words,
                registration=None,
                signal_dbm=None,
            )
            await channel.close()

    async def _live(self, channel: Channel, step: Step | None) -> None:
        talk = self._talk
        if step is not None and step.name == RESET:
            for command in talk.profile.power.resets:
                await channel.shout(command.text)
        patience = self._recovery.wake_attempts()
        while True:
            try:
                await self._introduce(channel, patience)
                await self._serve()
            except Silent:
                raise
            except AnswerTimeout as error:
                if talk.anew is None:
                    self._set_back(error)
                    await self._detach(str(error))
                    patience = WAKE_AGAIN
                    continue
            await self._detach(talk.anew or "set up anew")
            if talk.cycle is not None:
                raise PortGone(f"{talk.status.port}: closed for a power cycle")
            if talk.restart is not None:
                await self._soft_reset("asked for")
            else:
                talk.tell(state=ModemState.RECOVERING, last_error=talk.anew, recovery="setting it up again")
                self._arriving.restarted()
                await asyncio.sleep(self._intervals.settle)
            patience = attempts(talk.profile.bringup.boot_time + MARGIN)

    async def _serve(self) -> None:
        """Everything behind the identity; returns when the modem has started anew or is to be restarted."""
        while self._talk.steady:
            if await self._wait_for_sim() and await self._set_up():
                await self._tend()
                if self._sim.changed:
                    await self._detach("the SIM has changed")

    def _set_back(self, error: AnswerTimeout) -> None:
        """Count a set-up that ended at an unanswered command; the third in a row ends the session."""
        self._setbacks += 1
        self._talk.tell(last_error=str(error))
        if self._setbacks >= STRIKES:
            raise error

    # ------------------------------------------------------------------------------------------ recovery

    async def _soft_reset(self, why: str) -> None:
        """Reset the modem by its own command; it answers probes again afterwards, or the port ends."""
        talk = self._talk
        asked, talk.restart = talk.restart, None
        self._ussd.ended(f"reset: {why}")
        talk.tell(state=ModemState.RECOVERING, recovery=RESET, last_error=f"reset: {why}")
        try:
            for command in talk.profile.power.resets:
                if await talk.attempt(commands.Timed(command, commands.QUICK)) is not None:
                    break
        finally:
            if asked is not None and not asked.done():
                asked.set_result(None)
        await asyncio.sleep(self._intervals.settle)

    # ------------------------------------------------------------------------------------------ bring-up

    async def _introduce(self, channel: Channel, patience: tuple[float, ...]) -> None:
        """Wake the modem, learn who it is and of which family.

        Raises:
            Silent: it answers nothing.
        """
        talk = self._talk
        talk.anew = None
        self._submitting.suspect = False
        self._sim.begin()
        if talk.status.state.heard:
            talk.tell(state=ModemState.BRINGING_UP)
        imei = await channel.wake(patience, PREAMBLES)
        for timed in (commands.ECHO_OFF, commands.VERBOSE, commands.NUMERIC_ERRORS):
            await talk.attempt(timed)
        if imei != answers.imei((await talk.ask(commands.SERIAL) or [""])[0]):
            raise AnswerTimeout(f"{talk.status.port}: two identities")
        before = talk.status.imei
        if imei == before:
            talk.tell(state=ModemState.BRINGING_UP)
        else:
            talk.tell(state=ModemState.BRINGING_UP, imei=imei, imsi=None, iccid=None, number=None, bearer=None)
            self._submitting.forget_bearers()
            await self._recovery.met(before)
        talk.tell(
            manufacturer=await talk.text(commands.MANUFACTURER),
            model=await talk.text(commands.MODEL),
            revision=await talk.text(commands.REVISION),
        )
        if self._said is None:
            self._recognise()

    def _recognise(self) -> None:
        """Choose the family by what the modem says of itself."""
        status = self._talk.status
        try:
            self._talk.profile = choose(self._profiles, status.manufacturer or "", status.model or "")
        except SettingsError as error:
            self._talk.profile = generic()
            self._talk.tell(last_error=str(error))
        self._talk.tell(profile=self._talk.profile.name)

    async def _wait_for_sim(self) -> bool:
        """Wait for a SIM that is ready and known; False when there is something else to do first."""
        talk = self._talk
        self._sim.begin()
        before = talk.status.imsi
        tries = 0
        while talk.steady:
            tries += 1
            wait = await self._sim.step(tries)
            if wait is None:
                if talk.status.imsi != before:
                    self._arriving.forget()
                return True
            if talk.status.state is not ModemState.BRINGING_UP:
                talk.tell(registration=None)
                await self._recovery.well()
            await talk.pause(wait)
        return False

    async def _set_up(self) -> bool:
        """Set up short messages; False when it has to be tried again."""
        talk = self._talk
        if await talk.attempt(commands.PDU_MODE) is None:
            talk.tell(last_error="the modem refuses PDU mode (yet)")
            await talk.pause(2.0)
            return False
        await self._arriving.set_up()
        for timed in (commands.CALLER_ID, commands.NETWORK_TIME):
            await talk.attempt(timed)
        await self._network.set_up()
        for command in talk.profile.bringup.init:
            await talk.attempt(commands.Timed(command, commands.SIM))
        await self._submitting.choose_bearer()
        return True

    # ------------------------------------------------------------------------------------------ tending

    async def _tend(self) -> None:
        """Serve; returns when the modem has started anew, is to be restarted, or its SIM has changed."""
        talk, arriving = self._talk, self._arriving
        loop = asyncio.get_running_loop()
        await self._recovery.well()
        self._next_poll = loop.time()
        next_sweep = loop.time() + self._sweep_every
        next_look = loop.time()
        self._misses = self._setbacks = 0
        arriving.look_everywhere()
        due = False
        while talk.steady and not self._sim.changed:
            try:
                if self._submitting.suspect:
                    await self._ease_suspicion()
                if self._ringing:
                    await self._end_call()
                await self._submitting.change_bearer()
                if (loop.time() >= self._next_poll or self._sim.suspect) and not await self._watch_network():
                    return
                if arriving.wanted and loop.time() >= next_look:
                    next_look = loop.time() + self._intervals.again
                    arriving.look_everywhere()
                kept = await arriving.deliver()
                kept = await arriving.follow_hints() and kept
                kept = await arriving.sweep(unannounced=due) and kept
                due = False
                if not kept:
                    next_sweep = min(next_sweep, loop.time() + self._intervals.again)
                if loop.time() >= next_sweep and talk.steady:
                    next_sweep = loop.time() + self._sweep_every
                    await arriving.read_back()
                    arriving.look_everywhere()
                    due = kept
                    continue
            except Silent:
                raise
            except AnswerTimeout as error:
                if talk.anew is not None:
                    return
                talk.strike(error)
                continue
            soonest = min(self._next_poll, next_sweep, *([next_look] if arriving.wanted else []))
            await talk.pause(max(soonest - loop.time(), 0))

    @property
    def _sweep_every(self) -> float:
        return self._intervals.deaf if self._arriving.deaf else self._intervals.sweep

    async def _watch_network(self) -> bool:
        """Poll the registration and attach or detach by it; False where the SIM is not the one that was there."""
        loop = asyncio.get_running_loop()
        registered = await self._network.poll()
        lost = self._misses > 1
        self._misses = 0 if registered else self._misses + 1
        doubtful = lost if registered else self._misses % _LOOKS == 2
        if (doubtful or self._sim.suspect) and not await self._sim.same():
            self._sim.changed = True
            return False
        if registered:
            await self._attach()
            self._next_poll = loop.time() + self._intervals.poll
            await self._network.measure()
            await self._recovery.healthy()
        else:
            if self._misses > 1 or not self._attached:
                await self._detach("not registered")
                if self._network.lost_for >= BEARER_PATIENCE:
                    await self._submitting.give_up_bearer()
                if await self._network.search(in_doubt=self._submitting.in_doubt) is not None:
                    await self._soft_reset("no network")
                    self._talk.anew = "reset, because it found no network"
            waits = self._intervals.searching
            self._next_poll = loop.time() + waits[min(self._misses, len(waits)) - 1]
        return True

    async def _ease_suspicion(self) -> None:
        """A submit got no answer: see whether the modem is there."""
        self._submitting.suspect = False
        if self._talk.channel is not None:
            await self._talk.channel.resynchronise()
        if self._submitting.promptless >= PROMPTLESS:
            raise Silent(f"{self._talk.status.port}: no prompt {self._submitting.promptless} times in a row")

    async def _attach(self) -> None:
        if not self._attached and self._talk.steady:
            self._attached = True
            self._talk.tell(state=ModemState.READY, recovery=None)
            await self._talk.host.attached(self)

    async def _detach(self, reason: str) -> None:
        if self._attached:
            self._attached = False
            await self._talk.host.detached(self, reason)

    async def _end_call(self) -> None:
        self._ringing = False
        for timed in commands.HANG_UP:
            if await self._talk.attempt(timed) is not None:
                break

    # ------------------------------------------------------------------------------------------ URCs

    def _on_urc(self, urc: Urc) -> None:
        """Leave a note; in the reader's callback, so nothing is awaited."""
        line = urc.line
        match line.partition(":")[0]:
            case "+CMTI" | "+CDSI":
                self._arriving.hint(line)
            case "+CMT" | "+CDS" if urc.payload is not None:
                self._arriving.delivered(line, urc.payload)
            case "+CPIN":
                self._sim.on_urc(line)
            case "+CUSD":
                self._ussd.told(line)
                return
            case "RING" | "+CRING":
                self._calls.ring()
                return
            case "+CLIP":
                self._calls.clip(answers.caller(line))
                return
            case "NO CARRIER":
                self._calls.end()
                return
            case _ if _begins(line, self._talk.profile.bringup.boot_urcs):
                self._on_boot(line)
            case _ if _begins(line, self._talk.profile.bringup.ready_urcs):
                self._arriving.look_soon()
            case _:
                return
        self._talk.wake.set()

    def _on_boot(self, line: str) -> None:
        self._talk.anew = f"the modem has started anew ({line[:32]})"
        self._ussd.ended(self._talk.anew)
        if self._talk.channel is not None:
            self._talk.channel.interrupt()

    def _called(self, number: str | None) -> None:
        imei, imsi = self.status.imei, self.status.imsi
        if imei is None or imsi is None:
            return
        self._talk.host.called(imei, imsi, number)
        self._ringing = self._hang_up
        self._talk.wake.set()

    def _suspect_silence(self) -> None:
        self._submitting.suspect = True
        self._talk.wake.set()

    def _suspect_sim(self) -> None:
        self._sim.suspect = True

    # ------------------------------------------------------------------------------------------ verbs

    async def restart(self) -> None:
        """Reset the modem by its own command and set it up anew; returns when the command was given.

        Raises:
            PortGone: there is no session, or it ended.
            PowerFailed: no command for it is known, or a submit is in doubt.
        """
        talk = self._talk
        if talk.channel is None:
            raise PortGone(f"{talk.status.port}: no session")
        if not talk.profile.power.resets:
            raise PowerFailed(f"{talk.status.port}: no command is known that restarts this family of modems")
        if self._submitting.lost:
            raise PowerFailed(IN_DOUBT)
        pending: asyncio.Future[Any] | None = talk.cycle or talk.restart
        if pending is None:
            pending = talk.restart = asyncio.get_running_loop().create_future()
            talk.wake.set()
        await asyncio.shield(pending)

    async def power_cycle(self) -> str:
        """Switch it off and on by the strongest means there is; the name of what was done. See ``Recovery.cycle``."""
        return await self._recovery.cycle()

    @property
    def in_doubt(self) -> bool:
        """Whether the result of a submit may still come: until then nothing is to be switched that it hangs on."""
        return self._submitting.in_doubt

    @property
    def writes_ussd_packed(self) -> bool:
        """Whether the strings of a USSD request are packed septets in hexadecimal digits."""
        return self._talk.profile.ussd.packed

    async def ussd(self, text: str) -> UssdAnswer:
        """Ask the network by USSD, or answer what it asked. See ``Ussd.request``."""
        return await self._ussd.request(text)

    async def end_ussd(self) -> None:
        """End a USSD session."""
        await self._ussd.cancel()

    async def submit(self, tpdu: bytes, *, payload_next: Callable[[], Awaitable[None]]) -> int:
        """Submit a TPDU; return its TP-MR.

        Args:
            tpdu: the octets of an SMS-SUBMIT.
            payload_next: awaited at the prompt, before the PDU is written. If it raises, ESC is written instead,
                nothing is sent, and the exception goes on to the caller.

        Cancelled before the PDU is written, nothing is sent. Cancelled afterwards, it waits up to ``Intervals.cancel``
        for the result, returns or raises it, and the cancellation comes at the caller's next ``await``; only where no
        result comes in that time is ``CancelledError`` raised, and the message is in doubt.

        Raises:
            SubmitRefused: nothing was sent, or the network refused it, or it has it already: ``reason.retry``.
            SubmitInDoubt: it may have been sent.
            PortGone: the port ended before the PDU was written: nothing was sent.
        """
        return await self._submitting.submit(tpdu, payload_next=payload_next)


def _begins(line: str, beginnings: tuple[str, ...]) -> bool:
    upper = line.upper()
    return any(upper.startswith(beginning.upper()) for beginning in beginnings)
