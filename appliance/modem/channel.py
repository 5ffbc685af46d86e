"""Commands over a port: one at a time, each with its time, and a way back after silence.

Promises
    * One command is in progress at a time; the others wait in the order in which they came.
    * After a time-out no result is believed until the modem has answered our own question (``appliance.at.dialogue``).
    * Between the first octet of a submit's PDU and its result nothing else is written.
    * When the line ends, whoever waits gets ``PortGone`` at once.

It does not know what the commands mean, and keeps no clock but the running loop's (``call_later``), which is
monotonic; tests run it on a loop whose time is their own.

Rung 0 of recovery is here: ESC and AT+CGSN, as often as ``PROBE_TIMEOUTS`` has entries. It runs before the next
command whenever the dialogue is desynchronised, also after the cancellation of a command. Where it fails, the modem
answers nothing at all: ``Silent``, and the session should end.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.at.answers import reason
from appliance.at.dialogue import Answered, Command, Dialogue, Prompted, State, Stray, Synchronised, Urc
from appliance.errors import AnswerTimeout, CommandFailed, PortGone

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from appliance.at.dialogue import Event
    from appliance.modem.port import Port
    from appliance.types import Imei

__all__ = ["PREAMBLE_TIMEOUT", "RUNG_0", "Channel", "Silent", "Submitted"]

PROBE_TIMEOUTS: Final = (0.5, 1.0, 1.0, 1.0, 1.5)
"""Seconds for each probe of rung 0."""

RUNG_0: Final = sum(PROBE_TIMEOUTS)
"""Seconds after which a modem that answers nothing is silent (5 s: a busy SIM takes 2 to 3)."""

GRACE: Final = 0.5
"""Seconds for an OK that may be missing, after the answer's own line."""

PREAMBLE_TIMEOUT: Final = 0.3
"""Seconds for the answer to AT on a port just opened; on time it comes within 20 ms."""


class Silent(AnswerTimeout):
    """Rung 0 failed: the modem answers nothing at all."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """How a submit ended.

    Attributes:
        answered: its final result; None: silence until the deadline, or an end from outside.
        paid: whether the PDU had been handed over.
    """

    answered: Answered | None
    paid: bool


class Channel:
    """One open port as a place for commands. Made within a running loop; begins desynchronised."""

    def __init__(
        self,
        port: Port,
        *,
        urc: Callable[[Urc], None],
        plain_urcs: Collection[str] = (),
    ) -> None:
        """Listen on the port; each URC goes to ``urc`` at once, in order."""
        self._port = port
        self._urc = urc
        self._loop = asyncio.get_running_loop()
        self._dialogue = Dialogue(plain_urcs=plain_urcs)
        self._turn = asyncio.Lock()
        self._imei: Imei | None = None
        self._waiter: asyncio.Future[Event | AnswerTimeout | PortGone] | None = None
        self._answered: Answered | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._strays = 0
        port.gone.add_done_callback(self._on_gone)
        port.listen(self._on_data)

    @property
    def gone(self) -> asyncio.Future[str]:
        """Done when the port has ended."""
        return self._port.gone

    @property
    def strays(self) -> int:
        """Lines that belonged to nothing, since the port was opened."""
        return self._strays

    @property
    def desynchronised(self) -> bool:
        """Whether the next command has to ask for the IMEI first."""
        return self._dialogue.state is State.DESYNCHRONISED

    # ------------------------------------------------------------------------------------------ in

    def _on_data(self, data: bytes) -> None:
        for event in self._dialogue.feed(data):
            match event:
                case Urc():
                    self._urc(event)
                case Stray():
                    self._strays += 1
                    if self._dialogue.state is State.DESYNCHRONISED:
                        self._wake(event)
                case Answered():
                    self._answered = event
                    self._wake(event)
                case Prompted() | Synchronised():
                    self._wake(event)
        if self._dialogue.lingering and self._grace is None:
            self._grace = self._loop.call_later(GRACE, self._expire)

    def _wake(self, event: Event | AnswerTimeout | PortGone) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(event)

    def _on_gone(self, gone: asyncio.Future[str]) -> None:
        self._wake(PortGone(f"{self._port.name}: {gone.result()}"))

    def _expire(self) -> None:
        """End the wait: with an answer that lacks only its OK, else with a time-out."""
        if self._waiter is None or self._waiter.done():
            return
        for event in self._dialogue.expire():
            if isinstance(event, Answered):
                self._answered = event
                self._wake(event)
        self._wake(AnswerTimeout())

    def _give_up(self) -> None:
        """Believe nothing more of a command in progress."""
        if self._dialogue.state is not State.IDLE:
            self._dialogue.expire()

    def _check(self) -> None:
        if self._port.gone.done():
            raise PortGone(f"{self._port.name}: {self._port.gone.result()}")

    async def _next(self, within: float, data: bytes | None = None) -> Event:
        """Write and wait for the next event that somebody waits for.

        Raises:
            AnswerTimeout: none came in time; the dialogue is desynchronised.
            PortGone: the line ended.
        """
        self._check()
        waiter: asyncio.Future[Event | AnswerTimeout | PortGone] = self._loop.create_future()
        self._waiter = waiter
        timer = self._loop.call_later(within, self._expire)
        try:
            if data is not None:
                self._port.write(data)
            event = await waiter
        finally:
            timer.cancel()
            self._waiter = None
            if self._grace is not None:
                self._grace.cancel()
                self._grace = None
        if isinstance(event, AnswerTimeout | PortGone):
            raise event
        return event

    # ------------------------------------------------------------------------------------------ commands

    async def command(self, command: Command, *, within: float) -> list[str]:
        """Give a command when it is its turn; return the lines of its answer.

        Args:
            command: not one with a prompt.
            within: seconds for the final result, from the moment it is written.

        Raises:
            CommandFailed: the modem answered with an error.
            AnswerTimeout: no result came; the next command resynchronises first.
            Silent: the modem answers nothing at all.
            PortGone: the line ended.
        """
        async with self._turn:
            await self._in_step()
            answered = await self._exchange(command, within)
        if not answered.final.ok:
            raise CommandFailed(command.label, reason(answered.final, after_payload=False))
        return list(answered.lines)

    async def _exchange(self, command: Command, within: float) -> Answered:
        self._answered = None
        try:
            event = await self._next(within, self._dialogue.send(command))
        except AnswerTimeout:
            raise AnswerTimeout(f"no answer to {command.label} in {within:g} s") from None
        except asyncio.CancelledError:
            self._give_up()
            raise
        assert isinstance(event, Answered), "a command without a prompt ends by its answer"
        return event

    async def resynchronise(self) -> None:
        """Run rung 0 where the dialogue needs it.

        Raises:
            Silent: the modem answers nothing at all.
            PortGone: the line ended.
        """
        async with self._turn:
            await self._in_step()

    async def _in_step(self) -> None:
        self._check()
        if self.desynchronised:
            await self._resynchronise()

    async def _resynchronise(self) -> None:
        for timeout in PROBE_TIMEOUTS:
            if await self._probe(timeout):
                return
        raise Silent(f"{self._port.name}: silent for {RUNG_0:g} s")

    async def _probe(self, within: float) -> bool:
        """Ask once for the IMEI; whether it came, and its OK."""
        deadline = self._loop.time() + within
        data: bytes | None = self._dialogue.resynchronise(self._imei)
        while (left := deadline - self._loop.time()) > 0:
            try:
                event = await self._next(left, data)
            except AnswerTimeout:
                return False
            if isinstance(event, Synchronised):
                self._imei = event.imei
                return True
            data = None
        return False

    async def wake(self, attempts: Sequence[float], preambles: Sequence[str] = ("AT",)) -> Imei:
        """Find out who answers on a port just opened, or after a reset; return its IMEI.

        Each attempt gives one of the preambles and then asks for the IMEI; so a modem that adapts its speed to
        what it hears, or tells its results in numbers, is brought to answer.

        Args:
            attempts: seconds for each.
            preambles: the commands to give before, in turn; whatever they answer is dropped.

        Raises:
            Silent: nothing answered.
            PortGone: the line ended.
        """
        async with self._turn:
            self._dialogue.expire()
            for number, timeout in enumerate(attempts):
                preamble = preambles[number % len(preambles)]
                with contextlib.suppress(AnswerTimeout):
                    await self._next(PREAMBLE_TIMEOUT, b"\x1b" + preamble.encode("ascii") + b"\r")
                if await self._probe(timeout) and self._imei is not None:
                    return self._imei
        raise Silent(f"{self._port.name}: nothing answers AT")

    async def shout(self, text: str) -> None:
        """Write a command to a modem that answers nothing, in the hope that it still listens. Desynchronised after."""
        async with self._turn:
            self._dialogue.expire()
            self._port.write(b"\x1b" + Command(text).text.encode("ascii") + b"\r")

    # ------------------------------------------------------------------------------------------ submit

    async def submit(
        self,
        command: Command,
        data: bytes,
        *,
        still: Callable[[], None],
        payload_next: Callable[[], Awaitable[None]],
        paid: Callable[[], None],
        prompt_timeout: float,
        deadline: float,
    ) -> Submitted:
        """Submit: the command, the prompt, ``payload_next``, the PDU with its Ctrl-Z, the result.

        Args:
            command: AT+CMGS=<length>, with a prompt.
            data: the PDU as upper-case hexadecimal digits.
            still: called when it is its turn; what it raises ends the submit, nothing is written.
            payload_next: awaited at the prompt; what it raises ends the submit by ESC, nothing is sent.
            paid: called directly before the PDU is written: from here on it may have been sent.
            prompt_timeout: seconds for the prompt.
            deadline: seconds for the result.

        Cancellation before ``paid`` ends the submit by ESC. Afterwards it expires the dialogue: shield it.

        Raises:
            Silent: the modem answers nothing at all; nothing was sent.
            PortGone: the line ended before the PDU was written; nothing was sent. Afterwards: see Returns.
        """
        async with self._turn:
            await self._in_step()
            still()
            self._answered = None
            try:
                await self._next(prompt_timeout, self._dialogue.send(command))
                if self._answered is None:
                    await payload_next()
            except AnswerTimeout:
                return Submitted(None, paid=False)
            except BaseException:
                self._escape()
                raise
            if self._dialogue.state is not State.PROMPTED:  # an error, or an end from outside, came meanwhile
                return Submitted(self._answered, paid=False)
            self._check()
            payload = self._dialogue.payload(data)
            paid()
            try:
                await self._next(deadline, payload)
            except (AnswerTimeout, PortGone):
                return Submitted(None, paid=True)
            except asyncio.CancelledError:
                self._give_up()
                raise
            return Submitted(self._answered, paid=True)

    def _escape(self) -> None:
        """Free the prompt by ESC, if it is still ours."""
        if self._dialogue.state in {State.PROMPT, State.PROMPTED}:
            escape = self._dialogue.abort()
            if not self._port.gone.done():
                self._port.write(escape)

    def interrupt(self) -> None:
        """End the wait of the command in progress now, as its time-out would: the modem has started anew."""
        if self._waiter is None:
            self._give_up()
        else:
            self._expire()

    async def close(self) -> None:
        """Close the port; whoever waits gets ``PortGone``."""
        await self._port.close()
