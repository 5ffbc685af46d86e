"""One modem's life: bring-up, registration, submit, sweep, recovery. What the hub sees of a modem.

Promises
    * ``submit`` tells the truth: a TP-MR, or that nothing was sent, or that nobody can know. Between ``payload_next``
      and the result, neither cancellation nor recovery writes an octet, until the deadline.
    * What arrives is handed to ``ModemHost.arrived`` and only after that returned it is deleted or acknowledged.
    * A message that cannot be read, kept or deleted holds up no other one.
    * A PIN is tried only after the host has committed the intent, never with fewer than two tries known to be left; a
      PUK never.
    * Silence is noticed, told, and answered by the ladder; ``run`` ends and is to be called again, for ever.

It knows no message: TPDUs are octets. It opens the port that it is given; finding and powering modems is others' work.

Theory of operation
    ``run`` is one session on one open port: a single coroutine that gives all commands but submits, so nothing but a
    submit competes for the channel, and the callbacks of the host come one after the other, in order::

        wake, identity -> SIM ready -> storages, indications -> tend:
            registration and signal   every minute; attached, detached
            hints                     +CMTI, +CDSI: that index first, then a sweep of its storage
            direct deliveries         +CMT, +CDS
            sweep                     every five minutes, and after whatever may have lost an indication
        a boot URC, or restart()  -> again from the identity
        the SIM is gone           -> again from the SIM

    URCs arrive in the reader's callback: they leave a note and wake the coroutine, or interrupt a command whose
    answer a reset has swallowed. A URC is a hint: nothing is lost when one is.

    ``submit`` runs in a task of its own under ``shield``. When its caller is cancelled before the PDU was written, it
    is ended by ESC; afterwards it is waited for (``Intervals.cancel``), the result is returned, and the cancellation
    comes again at the caller's next ``await``: so the result of what was sent can still be put into the journal.

Recovery
    ``LADDER``. Rung 0 is the channel's (ESC and our own IMEI). Where it fails the session ends and the next one
    re-opens the port. A modem that stays silent then, or fails again and again, is told AT+CFUN=1,1. Failures are
    forgotten after ten healthy minutes. While a submit is in doubt nothing above rung 1 is done: a reset would make
    the doubt certain.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from appliance.at import answers, envelope
from appliance.errors import (
    AnswerTimeout,
    CommandFailed,
    ModemError,
    ModemhubError,
    PortGone,
    SubmitInDoubt,
    SubmitRefused,
)
from appliance.modem import commands
from appliance.modem.channel import Channel, Silent, Submitted
from appliance.modem.profile import Quirk
from appliance.modem.stores import Stores
from appliance.types import Iccid, Imei, Imsi, ModemState, Reason, Registration, RetryClass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from appliance.at.answers import Result, Stored
    from appliance.at.dialogue import Urc
    from appliance.modem.commands import Timed
    from appliance.modem.port import Port
    from appliance.modem.profile import Profile

__all__ = ["LADDER", "ArrivedPdu", "Intervals", "Modem", "ModemHost", "ModemStatus", "Rung"]


@dataclass(frozen=True, slots=True)
class ArrivedPdu:
    """One PDU as it was read.

    Attributes:
        imei: the modem.
        imsi: the subscription that was in it.
        iccid: the SIM card; empty where the modem tells none.
        tpdu: the octets behind the service centre address; None: the line is not hexadecimal.
        raw: the line as it was read.
        storage: where it is stored; None for a direct delivery.
        index: at which index.
        direct: it came with +CMT or +CDS and is kept nowhere.
    """

    imei: Imei
    imsi: Imsi
    iccid: Iccid
    tpdu: bytes | None
    raw: str
    storage: str | None
    index: int | None
    direct: bool


@dataclass(frozen=True, slots=True)
class ModemStatus:
    """What is known about a modem; None: not known (yet).

    Attributes:
        signal_dbm: the signal in dBm.
        storage: (used, total) by storage.
        last_error: the last thing that went wrong, in words.
        recovery: what is being done against it, in words; None: nothing.
    """

    port: str
    profile: str
    state: ModemState = ModemState.GONE
    imei: Imei | None = None
    manufacturer: str | None = None
    model: str | None = None
    revision: str | None = None
    imsi: Imsi | None = None
    iccid: Iccid | None = None
    number: str | None = None
    registration: Registration | None = None
    operator: str | None = None
    technology: str | None = None
    signal_dbm: int | None = None
    storage: Mapping[str, tuple[int, int]] = field(default_factory=lambda: MappingProxyType({}))
    last_error: str | None = None
    recovery: str | None = None


class ModemHost(Protocol):
    """What a modem needs from its owner. What a callback raises ends the session, but for ``arrived``."""

    async def attached(self, modem: Modem) -> None:
        """Identity and SIM are known and the network is there: it can submit. Again after each recovery."""

    async def detached(self, modem: Modem, reason: str) -> None:
        """It can no longer submit."""

    def changed(self, status: ModemStatus) -> None:
        """Something of the status is another; called immediately."""

    async def arrived(self, pdu: ArrivedPdu) -> None:
        """Commit it; return only after that. A ``ModemhubError`` leaves it where it is, to be told again later."""

    async def removed(self, pdu: ArrivedPdu) -> None:
        """It was deleted on the modem."""

    def called(self, imei: Imei, imsi: Imsi, number: str | None) -> None:
        """Somebody calls; once a call. None: the number is withheld."""

    async def may_try_pin(self, iccid: Iccid, pin: str) -> bool:
        """Commit that this PIN is about to be tried on this SIM; False where it was tried before."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """Seconds between what is done again and again. Nothing polls more often than once a second.

    Attributes:
        poll: registration and signal, when registered.
        searching: registration, when not; the last one repeats.
        sim: the state of a SIM that is missing or locked.
        sweep: all storages, and the indications read back.
        again: what failed and may work later.
        cancel: how long a cancelled submit waits for its result.
        settle: after a boot URC, before the modem is set up again.
        healthy: after which failures are forgotten.
        reset: between two resets at least; doubles up to ``reset_most``.
    """

    poll: float = 60.0
    searching: tuple[float, ...] = (1.0, 1.0, 2.0, 2.0, 5.0, 10.0)
    sim: float = 10.0
    sweep: float = 300.0
    again: float = 10.0
    cancel: float = 10.0
    settle: float = 1.0
    healthy: float = 600.0
    reset: float = 60.0
    reset_most: float = 900.0


class Action(Enum):
    """What a rung of the ladder does."""

    REOPEN = auto()
    SOFT_RESET = auto()


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung: from how many failed sessions on it is taken, and whether a submit in doubt forbids it."""

    number: int
    name: str
    action: Action
    after: int
    spares_doubt: bool


LADDER: Final = (
    Rung(1, "re-opening the port", Action.REOPEN, after=1, spares_doubt=True),
    Rung(3, "soft reset", Action.SOFT_RESET, after=2, spares_doubt=False),
)
"""In the order of the rungs' numbers; rung 0 is the channel's. Rungs for the radio, the reset line, USB and power
have their numbers free."""

WAKE_FRESH: Final[tuple[float, ...]] = (0.5, 1.0, 1.0, 1.0, 1.5, 2.0, 3.0)
"""Seconds for each attempt on a modem that never answered: it may be starting, which takes up to 21 s."""

WAKE_AGAIN: Final[tuple[float, ...]] = (1.0, 1.0, 1.0, 1.0)
"""On one that answered before."""

WAKE_RESET: Final[tuple[float, ...]] = (1.0,) * 30
"""After a reset: the slowest module known answers 21 s after its power pulse."""

PREAMBLES: Final = ("AT", "ATE0", "ATV1")

_STRIKES: Final = 3
"""Commands in a row without an answer, although the modem answers probes, until the session ends."""

_HINTS: Final = 8
"""Indications waiting at which a sweep is cheaper than reading each index."""

_DIRECT: Final = 4096
"""Direct deliveries that wait for their commit at most; +CNMA is owed for one at a time, so more are repetitions."""

_LOOKS: Final = 6
"""Polls without registration between two looks at the SIM."""

_OPEN: Final = frozenset({"READY", "SIM PIN2", "SIM PUK2"})
"""What +CPIN says of a SIM that can be used; PIN2 is for fixed dialling only."""

_STORAGE_FULL: Final = frozenset({"cms_208", "cms_211", "cms_320", "cms_322"})

_SIM_FAULT: Final = frozenset(
    {"cms_310", "cms_311", "cms_313", "cms_315", "cms_316", "cme_10", "cme_11", "cme_12", "cme_13", "cme_15"}
)

_CALL: Final = 1.5
"""Seconds that the first RING waits for its +CLIP; it comes within 0.5 s."""

_CALL_OVER: Final = 10.0
"""Seconds without RING after which the next one is another call; the network repeats it every 5 s."""


@dataclass(slots=True)
class _Span:
    """A submit in progress; ``paid`` from the moment the PDU is written."""

    task: asyncio.Task[int] | None = None
    paid: bool = False


def _refused(code: str, text: str, retry: RetryClass = RetryClass.MODEM) -> SubmitRefused:
    return SubmitRefused(Reason(code, retry, text))


def _in_doubt(code: str, text: str) -> SubmitInDoubt:
    return SubmitInDoubt(Reason(code, RetryClass.IN_DOUBT, text))


class Modem:
    """One modem on one port, over any number of sessions. ``run`` it for ever; ``submit`` while it is attached."""

    def __init__(
        self,
        open_port: Callable[[], Awaitable[Port]],
        *,
        port_name: str,
        profile: Profile,
        host: ModemHost,
        pin: Callable[[Iccid], str | None] = lambda _: None,
        intervals: Intervals = Intervals(),
    ) -> None:
        """Know nothing yet.

        Args:
            open_port: opens the port anew for each session; raises ``PortGone``.
            port_name: what the status calls it.
            profile: the family.
            host: the owner.
            pin: the configured PIN of a SIM, None where there is none.
            intervals: how often what is done.
        """
        self._open_port = open_port
        self._profile = profile
        self._host = host
        self._pin = pin
        self._intervals = intervals
        self._status = ModemStatus(port=port_name, profile=profile.name)
        self._channel: Channel | None = None
        self._stores: Stores | None = None
        self._running = False
        self._attached = False
        self._span: _Span | None = None
        self._wake = asyncio.Event()
        # notes of the reader's callback
        self._anew: str | None = None
        self._sim_changed = False
        self._sim_suspect = False
        self._suspect = False
        self._hints: dict[tuple[str | None, int | None], None] = {}
        self._dirty: set[str] = set()
        self._all_dirty = False
        self._direct: deque[tuple[str, int | None]] = deque(maxlen=_DIRECT)
        self._restart: asyncio.Future[None] | None = None
        self._call: asyncio.TimerHandle | None = None
        self._call_told = False
        # of this session
        self._service = 0
        self._domains: list[str] = []
        self._strikes = 0
        self._setbacks = 0
        self._promptless = 0
        self._cnmi: tuple[int, ...] = ()
        self._next_poll = 0.0
        self._polls = 0
        self._misses = 0
        # over sessions
        self._failures = 0
        self._healthy_since: float | None = None
        self._reset_at: float | None = None
        self._reset_gap = intervals.reset
        self._doubt_until = 0.0

    @property
    def status(self) -> ModemStatus:
        """What is known now."""
        return self._status

    def _tell(self, **changes: Any) -> None:
        status = replace(self._status, **changes)
        if status != self._status:
            self._status = status
            self._host.changed(status)

    # ------------------------------------------------------------------------------------------ session

    async def run(self) -> None:
        """Live one session: open, bring up, serve. Never returns but by an exception; call it again, with a pause.

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
        finally:
            self._running = False

    async def _session(self) -> None:
        self._tell(state=ModemState.RECOVERING if self._failures else ModemState.OPENING)
        why = "stopped"
        try:
            port = await self._open_port()
        except PortGone as error:
            self._tell(state=ModemState.GONE, last_error=str(error))
            raise
        self._anew = None
        self._suspect = False
        self._strikes = self._setbacks = self._promptless = 0
        channel = self._channel = Channel(port, urc=self._on_urc, plain_urcs=self._plain_urcs())
        channel.gone.add_done_callback(lambda _: self._wake.set())
        try:
            await self._live(channel)
        except ModemError as error:
            why = str(error)
            self._tell(last_error=why)
            if isinstance(error, AnswerTimeout):
                self._failed()
            raise
        finally:
            if self._restart is not None and not self._restart.done():
                self._restart.set_exception(PortGone(why))
            self._restart = None
            await self._detach(why)
            await self._let_submit_end(channel)
            self._channel = None
            self._end_call()
            await channel.close()
            self._tell(
                state=ModemState.RECOVERING if self._failures else ModemState.GONE,
                recovery=LADDER[0].name if self._failures else None,
                registration=None,
                signal_dbm=None,
            )

    async def _let_submit_end(self, channel: Channel) -> None:
        """Give a submit whose PDU is out the time for its result, unless the port has ended."""
        span = self._span
        if span is not None and span.task is not None and span.paid and not channel.gone.done():
            await asyncio.wait({span.task}, timeout=self._intervals.cancel)

    def _plain_urcs(self) -> tuple[str, ...]:
        bringup = self._profile.bringup
        return (*bringup.boot_urcs, *bringup.ready_urcs, *bringup.plain_urcs)

    async def _live(self, channel: Channel) -> None:
        patience = WAKE_AGAIN if self._failures or self._status.imei is not None else WAKE_FRESH
        while True:
            try:
                await self._introduce(channel, patience)
                await self._serve()
            except Silent:
                raise
            except AnswerTimeout as error:
                if self._anew is None:
                    self._set_back(error)
                    await self._detach(str(error))
                    patience = WAKE_AGAIN
                    continue
            await self._detach(self._anew or "set up anew")
            if self._restart is not None:
                await self._soft_reset("asked for")
            else:
                self._tell(state=ModemState.RECOVERING, last_error=self._anew, recovery="setting it up again")
                await asyncio.sleep(self._intervals.settle)
            patience = WAKE_RESET

    async def _serve(self) -> None:
        """Everything behind the identity; returns when the modem has started anew or is to be restarted."""
        while self._steady:
            if await self._sim() and await self._set_up():
                await self._tend()
                if self._sim_changed:
                    await self._detach("the SIM has changed")

    @property
    def _steady(self) -> bool:
        return self._anew is None and self._restart is None

    def _strike(self, error: AnswerTimeout) -> None:
        """Count an unanswered command; the third in a row ends the session."""
        self._strikes += 1
        self._tell(last_error=str(error))
        if self._strikes >= _STRIKES:
            raise error

    def _set_back(self, error: AnswerTimeout) -> None:
        """Count a set-up that ended at an unanswered command; the third in a row ends the session."""
        self._setbacks += 1
        self._tell(last_error=str(error))
        if self._setbacks >= _STRIKES:
            raise error

    async def _ask(self, timed: Timed) -> list[str]:
        channel = self._channel
        if channel is None:
            raise PortGone("no session")
        lines = await channel.command(timed.command, within=timed.timeout)
        self._strikes = 0
        return lines

    async def _try(self, timed: Timed) -> list[str] | None:
        """Give a command that a modem may not know; None where it did not do it."""
        try:
            return await self._ask(timed)
        except CommandFailed:
            return None
        except Silent:
            raise
        except AnswerTimeout as error:
            if self._anew is not None:
                raise
            self._strike(error)
            return None

    async def _pause(self, seconds: float) -> None:
        """Wait, or until a note is left.

        Raises:
            PortGone: the port ended.
        """
        loop = asyncio.get_running_loop()
        timer = loop.call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()
        self._wake.clear()
        self._check_port()

    def _check_port(self) -> None:
        channel = self._channel
        if channel is None or channel.gone.done():
            raise PortGone(f"{self._status.port}: {channel.gone.result() if channel else 'closed'}")

    # ------------------------------------------------------------------------------------------ recovery

    def _failed(self) -> None:
        """Note that a session ended in silence."""
        now = asyncio.get_running_loop().time()
        if self._healthy_since is not None and now - self._healthy_since >= self._intervals.healthy:
            self._failures = 0
            self._reset_gap = self._intervals.reset
        self._healthy_since = None
        self._failures += 1

    def _rung(self, failures: int) -> Rung:
        """The highest rung that so many failures allow now."""
        now = asyncio.get_running_loop().time()
        allowed = [
            rung for rung in LADDER if rung.after <= failures and (rung.spares_doubt or now >= self._doubt_until)
        ]
        if self._reset_at is not None and now - self._reset_at < self._reset_gap:
            allowed = [rung for rung in allowed if rung.action is not Action.SOFT_RESET]
        return allowed[-1] if allowed else LADDER[0]

    async def _introduce(self, channel: Channel, patience: tuple[float, ...]) -> None:
        """Wake the modem and learn who it is; climb the ladder where it does not answer.

        Raises:
            Silent: it answers nothing, and no rung is left for now.
        """
        self._anew = None
        self._suspect = False
        self._sim_changed = self._sim_suspect = False
        if self._status.state is not ModemState.RECOVERING:
            self._tell(state=ModemState.BRINGING_UP)
        answered_before = self._status.imei is not None
        try:
            imei = await channel.wake(patience, PREAMBLES)
        except Silent as error:
            failures = self._failures + (1 if answered_before else 0)
            if self._rung(failures).action is not Action.SOFT_RESET:
                raise
            self._tell(last_error=str(error))
            self._note_reset()
            await channel.shout(commands.SOFT_RESET.command.text)
            imei = await channel.wake(WAKE_RESET, PREAMBLES)
        else:
            if self._failures and self._rung(self._failures).action is Action.SOFT_RESET:
                await self._soft_reset(f"{self._failures} failed sessions")
                imei = await channel.wake(WAKE_RESET, PREAMBLES)
        self._tell(state=ModemState.BRINGING_UP)
        for timed in (commands.ECHO_OFF, commands.VERBOSE, commands.NUMERIC_ERRORS):
            await self._try(timed)
        if imei != answers.imei((await self._ask(commands.SERIAL) or [""])[0]):
            raise AnswerTimeout(f"{self._status.port}: two identities")
        if imei != self._status.imei:
            self._tell(imei=imei, imsi=None, iccid=None, number=None)
        self._tell(
            manufacturer=await self._text(commands.MANUFACTURER),
            model=await self._text(commands.MODEL),
            revision=await self._text(commands.REVISION),
        )

    async def _text(self, timed: Timed) -> str | None:
        lines = await self._try(timed)
        prefix = timed.command.owns[0]
        return lines[0].removeprefix(prefix).strip(' "')[:64] or None if lines else None

    def _note_reset(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._reset_at is not None:
            self._reset_gap = min(self._reset_gap * 2, self._intervals.reset_most)
        self._reset_at = now
        self._tell(state=ModemState.RECOVERING, recovery=LADDER[-1].name)

    async def _soft_reset(self, why: str) -> None:
        """Reset the modem by its own command; it answers probes again afterwards, or the port ends."""
        asked, self._restart = self._restart, None
        self._note_reset()
        self._tell(last_error=f"reset: {why}")
        try:
            await self._try(commands.SOFT_RESET)
        finally:
            if asked is not None and not asked.done():
                asked.set_result(None)
        await asyncio.sleep(self._intervals.settle)

    # ------------------------------------------------------------------------------------------ SIM

    async def _sim(self) -> bool:
        """Wait for a SIM that is ready and known; False when there is something else to do first."""
        self._sim_changed = self._sim_suspect = False
        tries = 0
        while self._steady:
            tries += 1
            wait = await self._sim_step(tries)
            if wait is None:
                return True
            await self._pause(wait)
        return False

    async def _sim_step(self, tries: int) -> float | None:
        """Look at the SIM once and do what it needs; seconds until the next look, None when it is ready."""
        try:
            code = await self._pin_state()
        except CommandFailed as error:
            if error.reason.code in {"cme_10", "cms_310"} or tries > 20:
                self._tell(state=ModemState.SIM_MISSING, last_error=str(error))
                return self._intervals.sim
            return 1.0  # busy, or not started yet
        if code in _OPEN:
            return None if await self._sim_known() else 1.0 if tries <= 20 else self._intervals.sim
        match code:
            case "SIM PIN":
                return await self._unlock()
            case "SIM PUK":
                self._tell(state=ModemState.PUK_REQUIRED, last_error="the SIM wants its PUK: a person has to enter it")
            case _:
                self._tell(state=ModemState.PIN_REQUIRED, last_error=f"the SIM wants: {code}")
        return self._intervals.sim

    async def _pin_state(self) -> str:
        for line in await self._ask(commands.PIN_STATE):
            with contextlib.suppress(answers.AnswerError):
                return answers.cpin(line)
        return "READY"  # OK without a line: there is nothing to be entered

    async def _sim_known(self) -> bool:
        """Read who the SIM is; False where it is not ready for that yet."""
        imsi = None
        for line in await self._try(commands.IMSI) or ():
            with contextlib.suppress(answers.AnswerError):
                imsi = answers.imsi(line)
        if imsi is None:
            self._tell(last_error="the SIM does not tell its IMSI")
            return False
        iccid = await self._read_iccid()
        number = self._status.number
        if imsi != self._status.imsi or number is None:
            number = answers.own_number(await self._try(commands.OWN_NUMBER) or [])
        self._tell(imsi=imsi, iccid=iccid, number=number)
        return True

    async def _read_iccid(self) -> Iccid:
        """The card's number, by whichever command the modem knows; empty where it knows none."""
        for timed in (*commands.ICCID, commands.ICCID_FILE):
            read = answers.iccid_of_file if timed is commands.ICCID_FILE else answers.iccid
            for line in await self._try(timed) or ():
                with contextlib.suppress(answers.AnswerError):
                    return read(line)
        return Iccid("")

    async def _unlock(self) -> float:
        """Enter the PIN, if it is known, not tried before, and tries are left; seconds until the next look."""
        iccid = await self._read_iccid()
        self._tell(state=ModemState.PIN_REQUIRED, iccid=iccid or None)
        pin = self._pin(iccid) if iccid else None
        if pin is None:
            self._tell(last_error="the SIM wants a PIN and none is set for it")
            return self._intervals.sim
        try:
            timed = commands.enter_pin(pin)
        except ValueError as error:
            self._tell(last_error=str(error))
            return self._intervals.sim
        left = answers.pin_tries(await self._try(commands.PIN_TRIES) or [])
        if left is not None and left < 2:
            self._tell(last_error=f"the SIM has {left} tries for its PIN left: a person has to enter it")
            return self._intervals.sim
        entering = asyncio.ensure_future(self._enter_pin(iccid, pin, timed))
        try:
            return await asyncio.shield(entering)
        except asyncio.CancelledError:
            await asyncio.wait({entering}, timeout=self._intervals.cancel)
            raise

    async def _enter_pin(self, iccid: Iccid, pin: str, timed: Timed) -> float:
        """The span from the committed intent to the SIM's verdict: broken off, the PIN would never be tried again."""
        if not await self._host.may_try_pin(iccid, pin):
            self._tell(last_error="this PIN was tried on this SIM before")
            return self._intervals.sim
        try:
            await self._ask(timed)
        except CommandFailed as error:
            self._tell(last_error=f"the SIM refused the PIN: {error.reason.text}")
            return self._intervals.sim
        self._tell(state=ModemState.BRINGING_UP, last_error=None)
        return 1.0

    # ------------------------------------------------------------------------------------------ short messages

    async def _set_up(self) -> bool:
        """Set up short messages; False when it has to be tried again."""
        if await self._try(commands.PDU_MODE) is None:
            self._tell(last_error="the modem refuses PDU mode (yet)")
            await self._pause(2.0)
            return False
        stores = self._stores = Stores(self._ask, self._profile.sms.stores)
        await stores.discover()
        self._tell(storage=stores.gauge)
        self._service = await self._set_service(self._profile.sms.service if stores.names else 1)
        await self._indicate(self._profile.sms.cnmi if stores.names else self._profile.sms.cnmi_direct)
        await self._try(commands.CALLER_ID)
        self._domains = []
        for domain in commands.DOMAINS:
            if await self._try(commands.no_reports(domain)) is not None:
                self._domains.append(domain)
        self._domains = self._domains or list(commands.DOMAINS)
        for command in self._profile.bringup.init:
            await self._try(commands.Timed(command, commands.SIM))
        return True

    async def _set_service(self, wanted: int) -> int:
        """Set AT+CSMS; the service that is on afterwards."""
        if await self._try(commands.set_service(wanted)) is not None:
            return wanted
        for line in await self._try(commands.SERVICE) or ():
            with contextlib.suppress(answers.AnswerError):
                return answers.csms_service(line)
        return 0

    async def _indicate(self, ladder: tuple[tuple[int, ...], ...]) -> None:
        """Set AT+CNMI to the first setting that reads back."""
        self._cnmi = ()
        for setting in ladder:
            if await self._try(commands.indicate(setting)) is None:
                continue
            shown = await self._indications()
            if shown is None or shown[1 : len(setting)] == setting[1:4][: len(setting) - 1]:
                self._cnmi = setting
                return
        self._tell(last_error="no setting of +CNMI holds: messages are found by sweeps only")

    async def _indications(self) -> tuple[int, ...] | None:
        for line in await self._try(commands.INDICATIONS) or ():
            with contextlib.suppress(answers.AnswerError):
                return answers.cnmi(line)[:4]
        return None

    # ------------------------------------------------------------------------------------------ tending

    async def _tend(self) -> None:
        """Serve; returns when the modem has started anew, is to be restarted, or its SIM has changed."""
        loop = asyncio.get_running_loop()
        self._next_poll = loop.time()
        next_sweep = loop.time() + self._intervals.sweep
        self._polls = self._misses = self._setbacks = 0
        self._all_dirty = True
        while self._steady and not self._sim_changed:
            try:
                if self._suspect:
                    await self._ease_suspicion()
                if (loop.time() >= self._next_poll or self._sim_suspect) and not await self._watch_network():
                    return
                again = await self._deliver()
                again = not await self._follow_hints() or again
                again = not await self._sweep() or again
                if again:
                    next_sweep = min(next_sweep, loop.time() + self._intervals.again)
                if loop.time() >= next_sweep:
                    next_sweep = loop.time() + self._intervals.sweep
                    await self._read_back()
                    self._all_dirty = True
                    continue
            except Silent:
                raise
            except AnswerTimeout as error:
                if self._anew is not None:
                    return
                self._strike(error)
                continue
            await self._pause(max(min(self._next_poll, next_sweep) - loop.time(), 0))

    async def _watch_network(self) -> bool:
        """Poll the registration and attach or detach by it; False where the SIM is not the one that was there."""
        loop = asyncio.get_running_loop()
        registered = await self._poll()
        lost = self._misses > 1
        self._misses = 0 if registered else self._misses + 1
        doubtful = lost if registered else self._misses % _LOOKS == 2
        if (doubtful or self._sim_suspect) and not await self._same_sim():
            self._sim_changed = True
            return False
        if registered:
            await self._attach()
            self._polls += 1
            self._next_poll = loop.time() + self._intervals.poll
            await self._measure()
        else:
            self._polls = 0
            if self._misses > 1 or not self._attached:
                await self._detach("not registered")
                self._tell(state=ModemState.SEARCHING)
            waits = self._intervals.searching
            self._next_poll = loop.time() + waits[min(self._misses, len(waits)) - 1]
        return True

    async def _ease_suspicion(self) -> None:
        """A submit got no answer: see whether the modem is there."""
        self._suspect = False
        channel = self._channel
        if channel is not None:
            await channel.resynchronise()
        if self._promptless >= _STRIKES:
            raise Silent(f"{self._status.port}: no prompt {self._promptless} times in a row")

    async def _same_sim(self) -> bool:
        """Whether the SIM is the one that was there: some modems do not tell when it is taken out or changed."""
        self._sim_suspect = False
        try:
            ready = await self._pin_state() in _OPEN
        except CommandFailed:
            ready = False
        imsi = None
        for line in (await self._try(commands.IMSI) or ()) if ready else ():
            with contextlib.suppress(answers.AnswerError):
                imsi = answers.imsi(line)
        return imsi == self._status.imsi

    async def _poll(self) -> bool:
        """Ask for the registration, the best of all domains; whether short messages can be submitted."""
        best: Registration | None = None
        for domain in self._domains:
            for line in await self._try(commands.poll_domain(domain)) or ():
                with contextlib.suppress(answers.AnswerError):
                    found = answers.registration(line)
                    best = found if best is None or _BETTER.index(found) < _BETTER.index(best) else best
            if best is not None and best.can_send:
                break
        self._tell(registration=best)
        if self._polls == 0 and best is not None and not best.can_send:
            self._tell(signal_dbm=await self._signal())
        return best is not None and best.can_send

    async def _measure(self) -> None:
        """Signal, and now and then the operator."""
        self._tell(signal_dbm=await self._signal())
        if self._polls % 10 == 1:
            for line in await self._try(commands.OPERATOR) or ():
                with contextlib.suppress(answers.AnswerError):
                    operator = answers.Operator.read(line)
                    self._tell(operator=operator.name, technology=operator.technology)
        loop = asyncio.get_running_loop()
        if self._healthy_since is None:
            self._healthy_since = loop.time()
        elif loop.time() - self._healthy_since >= self._intervals.healthy:
            self._failures = 0

    async def _signal(self) -> int | None:
        for timed in (commands.SIGNAL, commands.SIGNAL_EXTENDED):
            for line in await self._try(timed) or ():
                with contextlib.suppress(answers.AnswerError):
                    dbm = answers.signal_dbm(line)
                    if dbm is not None:
                        return dbm
        return None

    async def _attach(self) -> None:
        if not self._attached and self._steady:
            self._attached = True
            self._tell(state=ModemState.READY, recovery=None)
            await self._host.attached(self)

    async def _detach(self, reason: str) -> None:
        if self._attached:
            self._attached = False
            await self._host.detached(self, reason)

    async def _read_back(self) -> None:
        """See whether the indications are still as they were set; a modem forgets them when it resets in silence."""
        shown = await self._indications()
        if self._cnmi and shown is not None and shown[1 : len(self._cnmi)] != self._cnmi[1:4][: len(self._cnmi) - 1]:
            self._anew = f"the modem has forgotten its settings: +CNMI is {','.join(map(str, shown))}"

    # ------------------------------------------------------------------------------------------ arriving

    async def _follow_hints(self) -> bool:
        """Read what was announced, index by index, then leave its storage to the sweep; whether all could be kept."""
        stores = self._stores
        kept = True
        while self._hints and stores is not None and self._steady:
            if len(self._hints) > _HINTS:
                self._all_dirty = True
                self._hints.clear()
                break
            store, index = next(iter(self._hints))
            del self._hints[store, index]
            if store is None:
                self._all_dirty = True
                continue
            self._dirty.add(store)
            if index is None:
                continue
            try:
                entry = await stores.read(store, index)
            except CommandFailed as error:
                self._tell(last_error=str(error))
                self._all_dirty = True
                continue
            if entry is not None and not entry.outgoing:
                kept = await self._take(store, index, entry) and kept
        return kept

    async def _sweep(self) -> bool:
        """Read and empty the storages that may hold something; whether all could be kept."""
        stores = self._stores
        if stores is None:
            return True
        if self._all_dirty:
            self._all_dirty = False
            self._dirty.update(stores.names)
        kept = True
        order = [*stores.names, *sorted(self._dirty.difference(stores.names))]
        for store in [store for store in order if store in self._dirty]:
            self._dirty.discard(store)
            try:
                for index, entry in await stores.listing(store):
                    kept = await self._take(store, index, entry) and kept
                    if not self._steady:
                        return kept
            except CommandFailed as error:
                self._tell(last_error=str(error))
            except AnswerTimeout:
                self._dirty.add(store)
                raise
            self._tell(storage=stores.gauge)
        if stores.receiving is not None:
            with contextlib.suppress(CommandFailed):
                await stores.select(stores.receiving)
        return kept

    async def _take(self, store: str, index: int, entry: Stored) -> bool:
        """Hand a stored message over and delete it; False where it has to stay."""
        if entry.text_mode:
            self._anew = "the modem has forgotten its settings: it lists in text mode"
            return False
        if not entry.raw:
            return True
        pdu = self._arrived(entry.raw, entry.length, store, index)
        if not await self._commit(pdu):
            return False
        stores = self._stores
        if stores is not None:
            try:
                await stores.delete(store, index)
            except CommandFailed as error:
                self._tell(last_error=str(error))
                return False
            await self._host.removed(pdu)
        return True

    def _arrived(self, raw: str, length: int | None, store: str | None, index: int | None) -> ArrivedPdu:
        try:
            tpdu = envelope.unwrap(raw, length)
        except envelope.EnvelopeError:
            tpdu = None
        status = self._status
        assert status.imei is not None, "arrivals are served behind the bring-up"
        assert status.imsi is not None, "arrivals are served behind the bring-up"
        return ArrivedPdu(
            status.imei, status.imsi, status.iccid or Iccid(""), tpdu, raw, store, index, direct=store is None
        )

    async def _commit(self, pdu: ArrivedPdu) -> bool:
        try:
            await self._host.arrived(pdu)
        except ModemhubError as error:
            self._tell(last_error=f"an arrived message could not be kept yet: {error}")
            return False
        return True

    async def _deliver(self) -> bool:
        """Hand over what came directly, and acknowledge it; whether something has to be tried again."""
        while self._direct:
            raw, length = self._direct[0]
            if not await self._commit(self._arrived(raw, length, None, None)):
                return True
            self._direct.popleft()
            if self._service == 1 and Quirk.NEVER_CNMA not in self._profile.quirks:
                await self._try(commands.ACKNOWLEDGE)
        return False

    # ------------------------------------------------------------------------------------------ URCs

    def _on_urc(self, urc: Urc) -> None:
        """Leave a note; in the reader's callback, so nothing is awaited."""
        line = urc.line
        head = line.partition(":")[0]
        match head:
            case "+CMTI" | "+CDSI":
                self._hints[answers.indication(line)] = None
            case "+CMT" | "+CDS" if urc.payload is not None:
                self._direct.append((urc.payload, answers.direct_length(line)))
            case "+CPIN":
                self._on_pin(line)
            case "RING" | "+CRING":
                self._on_ring()
                return
            case "+CLIP":
                self._tell_call(answers.caller(line))
                return
            case "NO CARRIER":
                self._end_call()
                return
            case _ if _begins(line, self._profile.bringup.boot_urcs):
                self._on_boot(line)
            case _ if _begins(line, self._profile.bringup.ready_urcs):
                self._all_dirty = True
            case _:
                return
        self._wake.set()

    def _on_pin(self, line: str) -> None:
        with contextlib.suppress(answers.AnswerError):
            if answers.cpin(line) != "READY":
                self._sim_changed = True

    def _on_boot(self, line: str) -> None:
        self._anew = f"the modem has started anew ({line[:32]})"
        if self._channel is not None:
            self._channel.interrupt()

    def _on_ring(self) -> None:
        if self._call is not None:
            self._call.cancel()
        loop = asyncio.get_running_loop()
        if self._call_told:
            self._call = loop.call_later(_CALL_OVER, self._end_call)
        else:
            self._call = loop.call_later(_CALL, self._tell_call, None)

    def _tell_call(self, number: str | None) -> None:
        if self._call is not None:
            self._call.cancel()
        self._call = asyncio.get_running_loop().call_later(_CALL_OVER, self._end_call)
        imei, imsi = self._status.imei, self._status.imsi
        if not self._call_told and imei is not None and imsi is not None:
            self._call_told = True
            self._host.called(imei, imsi, number)

    def _end_call(self) -> None:
        if self._call is not None:
            self._call.cancel()
        self._call = None
        self._call_told = False

    # ------------------------------------------------------------------------------------------ verbs

    async def restart(self) -> None:
        """Reset the modem by its own command and set it up anew; returns when the command was given.

        Raises:
            PortGone: there is no session, or it ended.
        """
        if self._channel is None:
            raise PortGone(f"{self._status.port}: no session")
        if self._restart is None:
            self._restart = asyncio.get_running_loop().create_future()
            self._wake.set()
        await asyncio.shield(self._restart)

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
        length, line = envelope.wrap(tpdu)
        self._still()
        span = _Span()
        task = span.task = asyncio.create_task(
            self._submit(span, length, line.encode("ascii"), payload_next), name=f"submit on {self._status.port}"
        )
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            if span.paid:
                await asyncio.wait({task}, timeout=self._intervals.cancel)
            if not span.paid or not task.done():
                task.cancel()
                await asyncio.wait({task})
                raise
        caller = asyncio.current_task()
        if caller is not None:
            caller.uncancel()
            caller.cancel()
        return task.result()

    def _still(self) -> None:
        if not self._attached or not self._steady or self._sim_changed:
            raise _refused("not_ready", "the modem is not ready to submit")

    async def _submit(self, span: _Span, length: int, line: bytes, payload_next: Callable[[], Awaitable[None]]) -> int:
        channel = self._channel
        if channel is None:
            raise _refused("not_ready", "the modem is not ready to submit")
        sms = self._profile.sms
        loop = asyncio.get_running_loop()

        def still() -> None:
            self._still()
            self._span = span

        def paid() -> None:
            span.paid = True
            self._doubt_until = loop.time() + sms.submit_deadline

        try:
            ended = await channel.submit(
                commands.submit(length),
                line,
                still=still,
                payload_next=payload_next,
                paid=paid,
                prompt_timeout=sms.prompt_timeout,
                deadline=sms.submit_deadline,
            )
        except Silent as error:
            self._suspicion()
            raise _refused("timeout", str(error)) from error
        finally:
            if self._span is span:
                self._span = None
        return self._judge(ended, channel)

    def _judge(self, ended: Submitted, channel: Channel) -> int:
        """What a submit's end means."""
        answered = ended.answered
        if not ended.paid:
            if answered is None and self._anew is not None:
                raise _refused("restarted", "the modem started anew before the PDU was handed over")
            if answered is None:
                self._promptless += 1
                self._suspicion()
                raise _refused("no_prompt", "the modem gave no prompt for the PDU")
            self._judge_reason(answered.final, after_payload=False)
        self._promptless = 0
        if answered is None:
            if channel.gone.done():
                raise _in_doubt("port_gone", "the port ended after the PDU was handed over")
            self._doubt_until = 0.0
            self._suspicion()
            if self._anew is not None:
                raise _in_doubt("restarted", "the modem started anew after the PDU was handed over")
            raise _in_doubt("timeout", "no result of the submit")
        self._doubt_until = 0.0
        if not answered.final.ok:
            self._judge_reason(answered.final, after_payload=True)
        try:
            return answers.reference(answered.lines[0])
        except answers.AnswerError:
            raise _refused("no_reference", "sent; the modem told no TP-MR", RetryClass.ACCEPTED) from None

    def _judge_reason(self, final: Result, *, after_payload: bool) -> NoReturn:
        """Raise what an error means for the message, and note what it means for the modem."""
        reason = answers.reason(final, after_payload=after_payload, vendor=self._profile.sms.cms)
        if reason.code in _STORAGE_FULL:
            self._all_dirty = True
            self._wake.set()
        if reason.code in _SIM_FAULT:
            self._sim_suspect = True
            self._wake.set()
        if reason.retry is RetryClass.IN_DOUBT:
            raise SubmitInDoubt(reason)
        raise SubmitRefused(reason)

    def _suspicion(self) -> None:
        """Have the session see whether the modem still answers."""
        self._suspect = True
        self._wake.set()


_BETTER: Final = (
    Registration.HOME,
    Registration.ROAMING,
    Registration.HOME_NO_CSFB,
    Registration.ROAMING_NO_CSFB,
    Registration.SMS_ONLY_HOME,
    Registration.SMS_ONLY_ROAMING,
    Registration.DENIED,
    Registration.SEARCHING,
    Registration.EMERGENCY_ONLY,
    Registration.RLOS,
    Registration.UNKNOWN,
    Registration.NOT_REGISTERED,
)
"""Which of the domains' states is told: the one that can send, else the one that says most."""


def _begins(line: str, beginnings: tuple[str, ...]) -> bool:
    upper = line.upper()
    return any(upper.startswith(beginning.upper()) for beginning in beginnings)
