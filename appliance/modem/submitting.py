"""Submits to one modem: the truth about each (a TP-MR, or that nothing was sent, or that nobody can know).

Promise
    * Between ``payload_next`` and the result, neither cancellation nor recovery writes an octet, until the deadline.
    * Where sending fails although the network is there, the bearers of the family are tried in order, and which one
      sends is told.

Theory of operation
    ``submit`` runs in a task of its own under ``shield``. When its caller is cancelled before the PDU was written, it
    is ended by ESC; afterwards it is waited for (``cancel`` seconds), the result is returned, and the cancellation
    comes again at the caller's next ``await``: so the result of what was sent can still be put into the journal.

    A short message goes by circuit, packet or IMS; which of them works is the operator's and the firmware's secret.
    Two failures in a row of a kind that a bearer can be blamed for have the session give the next command of
    ``profile.sms.bearers``; after the last one it is left at the modem's own choice, and tried again an hour later. One
    that has sent and then lost its network is given up too, and is the first to be tried again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from appliance.at import answers, envelope
from appliance.errors import SubmitInDoubt, SubmitRefused
from appliance.modem import commands
from appliance.modem.channel import Silent
from appliance.modem.sim import SIM_FAULTS
from appliance.types import Reason, RetryClass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from appliance.at.answers import Result
    from appliance.modem.channel import Channel, Submitted
    from appliance.modem.talk import Talk

__all__ = ["Submitting"]

_STORAGE_FULL: Final = frozenset({"cms_208", "cms_211", "cms_320", "cms_322", "cms_531"})
"""The standard's numbers, and 531 of BG9x and SIM7070; where that means something else, a sweep does no harm."""

_BEARER: Final = frozenset(
    {
        "cms_27",
        "cms_38",
        "cms_41",
        "cms_47",
        "cms_111",
        "cms_331",
        "cms_332",
        "cms_350",
        "cms_500",
        "cms_unknown",
        "error",
    }
)
"""Failures that another bearer has cured, or that say nothing (modems.md §6: SIM7600 over LTE, EG06, BG96)."""

_BLAMED: Final = 2
"""Such failures in a row until the next bearer is tried: one alone is the network's weather."""

_BEARERS_AGAIN: Final = 3600.0
"""Seconds after which the bearers are gone through again, when none has helped."""

PROMPTLESS: Final = 3
"""Submits without a prompt in a row until the session ends."""


@dataclass(slots=True)
class _Span:
    """A submit in progress; ``paid`` from the moment the PDU is written."""

    task: asyncio.Task[int] | None = None
    paid: bool = False


def _refused(code: str, text: str, retry: RetryClass = RetryClass.MODEM) -> SubmitRefused:
    return SubmitRefused(Reason(code, retry, text))


def _in_doubt(code: str, text: str) -> SubmitInDoubt:
    return SubmitInDoubt(Reason(code, RetryClass.IN_DOUBT, text))


class Submitting:
    """The submits of one modem, over any number of sessions."""

    def __init__(
        self,
        talk: Talk,
        *,
        able: Callable[[], bool],
        storage_full: Callable[[], None],
        sim_fault: Callable[[], None],
        cancel: float,
    ) -> None:
        """Submit by ``talk``.

        Args:
            talk: the modem.
            able: whether it is attached and as it was set up.
            storage_full: called when a failure says so.
            sim_fault: called when a failure says that the SIM is to be looked at.
            cancel: how long a cancelled submit waits for its result, in seconds.
        """
        self._talk = talk
        self._able = able
        self._storage_full = storage_full
        self._sim_fault = sim_fault
        self._cancel = cancel
        self._span: _Span | None = None
        self._doubt_until = 0.0
        self._blamed = 0
        self._bearer = 0
        self._sends = False
        self._bearers_done_at: float | None = None
        self.promptless = 0
        """Submits without a prompt in a row."""
        self.suspect = False
        """One got no answer: the session sees whether the modem is there."""

    def begin(self) -> None:
        """A session begins."""
        self.promptless = 0
        self.suspect = False

    @property
    def in_doubt(self) -> bool:
        """Whether the result of a submit may still come."""
        return asyncio.get_running_loop().time() < self._doubt_until

    @property
    def lost(self) -> bool:
        """Whether that submit has ended with its port: no turn of the channel keeps others from the modem."""
        return self.in_doubt and self._span is None

    async def settle(self, channel: Channel) -> None:
        """Give a submit whose PDU is out the time for its result, unless the port has ended."""
        span = self._span
        if span is not None and span.task is not None and span.paid and not channel.gone.done():
            await asyncio.wait({span.task}, timeout=self._cancel)

    async def submit(self, tpdu: bytes, *, payload_next: Callable[[], Awaitable[None]]) -> int:
        """Submit a TPDU; return its TP-MR. See ``Modem.submit``."""
        length, line = envelope.wrap(tpdu)
        self._check()
        span = _Span()
        task = span.task = asyncio.create_task(
            self._submit(span, length, line.encode("ascii"), payload_next), name=f"submit on {self._talk.status.port}"
        )
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            if span.paid:
                await asyncio.wait({task}, timeout=self._cancel)
            if not span.paid or not task.done():
                task.cancel()
                await asyncio.wait({task})
                raise
        caller = asyncio.current_task()
        if caller is not None:
            caller.uncancel()
            caller.cancel()
        return task.result()

    def _check(self) -> None:
        if not self._able():
            raise _refused("not_ready", "the modem is not ready to submit")

    async def _submit(self, span: _Span, length: int, line: bytes, payload_next: Callable[[], Awaitable[None]]) -> int:
        channel = self._talk.channel
        if channel is None:
            raise _refused("not_ready", "the modem is not ready to submit")
        sms = self._talk.profile.sms
        loop = asyncio.get_running_loop()

        def still() -> None:
            self._check()
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
            if answered is None and self._talk.anew is not None:
                raise _refused("restarted", "the modem started anew before the PDU was handed over")
            if answered is None:
                self.promptless += 1
                self._suspicion()
                raise _refused("no_prompt", "the modem gave no prompt for the PDU")
            self._judge_reason(answered.final, after_payload=False)
        self.promptless = 0
        if answered is None:
            if channel.gone.done():
                raise _in_doubt("port_gone", "the port ended after the PDU was handed over")
            self._doubt_until = 0.0
            self._suspicion()
            if self._talk.anew is not None:
                raise _in_doubt("restarted", "the modem started anew after the PDU was handed over")
            raise _in_doubt("timeout", "no result of the submit")
        self._doubt_until = 0.0
        if not answered.final.ok:
            self._judge_reason(answered.final, after_payload=True)
        self._blamed = 0
        self._sends = True
        try:
            return answers.reference(answered.lines[0])
        except answers.AnswerError:
            raise _refused("no_reference", "sent; the modem told no TP-MR", RetryClass.ACCEPTED) from None

    def _judge_reason(self, final: Result, *, after_payload: bool) -> NoReturn:
        """Raise what an error means for the message, and note what it means for the modem."""
        reason = answers.reason(final, after_payload=after_payload, vendor=self._talk.profile.sms.cms)
        if reason.code in _STORAGE_FULL:
            self._storage_full()
            self._talk.wake.set()
        if reason.code in SIM_FAULTS:
            self._sim_fault()
            self._talk.wake.set()
        if after_payload:
            self._blamed = self._blamed + 1 if reason.code in _BEARER else 0
            self._talk.wake.set()
        if reason.retry is RetryClass.IN_DOUBT:
            raise SubmitInDoubt(reason)
        raise SubmitRefused(reason)

    def _suspicion(self) -> None:
        self.suspect = True
        self._talk.wake.set()

    async def change_bearer(self) -> None:
        """After failures that the bearer can be blamed for: give the family's next command for another one."""
        talk = self._talk
        bearers = talk.profile.sms.bearers
        now = asyncio.get_running_loop().time()
        if self._blamed < _BLAMED or not bearers:
            return
        if self._bearers_done_at is not None and now - self._bearers_done_at < _BEARERS_AGAIN:
            return
        self._blamed = 0
        if self._bearer >= len(bearers):
            self._bearer = 0
            self._bearers_done_at = now
            talk.tell(last_error="short messages fail over every bearer that this modem can choose")
            return
        command = bearers[self._bearer]
        self._bearer += 1
        self._sends = False
        self._bearers_done_at = None
        if await talk.attempt(commands.Timed(command, commands.RADIO)) is not None:
            talk.tell(bearer=command.text, last_error=f"sending failed; now tried with {command.text}")

    async def give_up_bearer(self) -> None:
        """No network since another bearer was chosen: back to the family's last command, as modems are delivered."""
        talk = self._talk
        bearers = talk.profile.sms.bearers
        if talk.status.bearer in {None, *(command.text for command in bearers[-1:])}:
            return
        if self._sends:
            self._bearer -= 1
            self._sends = False
        await talk.attempt(commands.Timed(bearers[-1], commands.RADIO))
        talk.tell(bearer=bearers[-1].text, last_error=f"no network with {talk.status.bearer}: that is given up")

    def forget_bearers(self) -> None:
        """Another modem: what was tried on the one before says nothing of it."""
        self._blamed = self._bearer = 0
        self._sends = False
        self._bearers_done_at = None

    async def choose_bearer(self) -> None:
        """Give the command of the bearer again that was found, after the modem has started anew."""
        bearer = self._talk.status.bearer
        for command in self._talk.profile.sms.bearers:
            if command.text == bearer:
                await self._talk.attempt(commands.Timed(command, commands.RADIO))
