"""One SIM's queue, submitted through whichever modem holds the SIM.

Promises: S3 (intent before AT+CMGS, "payload next" before the PDU, one re-submission at most), S5 (order, and no
message holds up another), S6 (segments), M1 (one dead modem delays no other: each SIM has a dispatcher of its own).

Theory of operation::

    claim ──commit──▶ AT+CMGS ──▶ "> " ──▶ payload next ──commit──▶ PDU ──▶ +CMGS: mr ──▶ submitted ──commit──▶ claim …
                        │                     │                       │
                        ▼                     ▼                       ▼
                     put back              put back              doubt / refused: by ``Reason.retry``

The unit from claim to recorded result is never cancelled: stopping waits for it. Should the process die inside it, the
rows say how far it came (:func:`appliance.store.outbound.recover`). A result that cannot be written because the disk is
full is kept and written again until it can: it must not be forgotten.

``_AFTER_REFUSAL`` is the whole retry policy as a table.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from appliance.errors import ModemError, StoreFull, SubmitInDoubt, SubmitRefused
from appliance.sms import with_reject_duplicates
from appliance.store import outbound
from appliance.types import Reason, RetryClass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from appliance.store import HubClock, Journal, Transaction
    from appliance.types import Imsi

__all__ = ["Dispatcher", "Submitter"]

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

RETRY_NOW = (2.0, 4.0, 8.0)
"""Seconds before the 2nd, 3rd and 4th attempt after a passing error; then as RETRY_LATER (24.011 cause 41 "immediate
retry allowed")."""

RETRY_LATER = (30.0, 60.0, 120.0, 240.0, 480.0, 900.0)
"""Seconds between attempts while the network cannot (causes 38, 42, 47, 331…); the last one repeats until the message
expires."""

MODEM_REST = (2.0, 5.0, 15.0, 60.0)
"""Seconds a message waits when modem or SIM, not the message, is at fault; by the number of such refusals in a row."""

DISPATCHER_RESTS_AFTER = 3
"""Refusals of class MODEM in a row after which the dispatcher itself waits: it is not the messages."""

FULL_DISK_RETRY = 1.0
"""Seconds between attempts to write a result on a full disk."""


class Submitter(Protocol):
    """What a dispatcher needs of a modem."""

    async def submit(self, tpdu: bytes, *, payload_next: Callable[[], Awaitable[None]]) -> int:
        """Submit, as :meth:`appliance.modem.Modem.submit` does."""


class Dispatcher:
    """Submits what is queued for one SIM. Run :meth:`run` as a tended task; it never ends by itself."""

    def __init__(
        self,
        imsi: Imsi,
        journal: Journal,
        clock: HubClock,
        *,
        in_doubt_wait: float,
        drained: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.imsi = imsi
        self._journal = journal
        self._clock = clock
        self._in_doubt_wait_ms = int(in_doubt_wait * 1000)
        self._drained = drained
        self._sleep = sleep
        self._modem: Submitter | None = None
        self._wake = asyncio.Event()
        self._refused_in_a_row = 0

    def use(self, modem: Submitter | None) -> None:
        """Submit through ``modem`` from now on; None: wait for one."""
        self._modem = modem
        self._refused_in_a_row = 0
        self.wake()

    def wake(self) -> None:
        """Something was queued for this SIM, or has become ready."""
        self._wake.set()

    async def run(self) -> None:
        """Claim and submit, for ever."""
        while True:
            self._wake.clear()
            claim = None if self._modem is None else await self._journal.write(outbound.claim, self.imsi)
            if claim is None:
                self._drained()
                await self._rest()
            while claim is not None:
                claim = await self._unit(self._submit(claim))

    async def _rest(self) -> None:
        """Wait for a wake-up, at most until time alone makes something ready."""
        due = await self._journal.read(outbound.next_due, self.imsi) if self._modem is not None else None
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._wake.wait())]
        if due is not None:
            waits.append(asyncio.ensure_future(self._sleep(max(0.0, (due - self._clock.now()) / 1000))))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _unit(self, work: Awaitable[outbound.Claim | None]) -> outbound.Claim | None:
        """Run ``work`` to its end even when this task is cancelled meanwhile."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task})
            task.exception()
            raise

    async def _submit(self, claim: outbound.Claim) -> outbound.Claim | None:
        """Submit one segment and record what became of it; returns the next one to submit."""
        modem = self._modem
        if modem is None:
            await self._broken_off(claim, handed_over=False)
            return None
        tpdu = with_reject_duplicates(claim.tpdu) if claim.reject_duplicates else claim.tpdu
        handed_over = False

        async def payload_next() -> None:
            nonlocal handed_over
            await self._journal.write(outbound.payload_next, claim.seq, claim.n)
            handed_over = True

        try:
            mr = await modem.submit(tpdu, payload_next=payload_next)
        except SubmitRefused as refused:
            return await self._refused(claim, refused.reason)
        except SubmitInDoubt as doubt:
            await self._doubt(claim, doubt.reason)
            return None
        except (ModemError, StoreFull) as error:
            log.info("%s segment %d: %s", claim.message_id, claim.n, error)
            await self._broken_off(claim, handed_over=handed_over)
            return None
        except BaseException:
            await self._broken_off(claim, handed_over=handed_over)
            raise
        return await self._submitted(claim, mr)

    async def _submitted(self, claim: outbound.Claim, mr: int | None) -> outbound.Claim | None:
        self._refused_in_a_row = 0
        if self._modem is None:
            await self._record(outbound.submitted, claim.seq, claim.n, imsi=self.imsi, mr=mr)
            return None
        return await self._record(outbound.submitted_and_claim, claim.seq, claim.n, imsi=self.imsi, mr=mr)

    async def _doubt(self, claim: outbound.Claim, reason: Reason) -> None:
        log.warning("%s segment %d is in doubt: %s", claim.message_id, claim.n, reason.text)
        await self._record(outbound.doubt, claim.seq, claim.n, reason=reason, wait_ms=self._in_doubt_wait_ms)

    async def _broken_off(self, claim: outbound.Claim, *, handed_over: bool) -> None:
        """The submit ended without a verdict: the rows' own rule of recovery, applied at once."""
        reason = Reason(
            "broken_off",
            RetryClass.IN_DOUBT if handed_over else RetryClass.MODEM,
            "the session with the modem broke off",
        )
        if handed_over:
            await self._doubt(claim, reason)
        else:
            await self._put_back(claim, reason, delay=MODEM_REST[0], counted=False)

    async def _refused(self, claim: outbound.Claim, reason: Reason) -> outbound.Claim | None:
        self._refused_in_a_row = self._refused_in_a_row + 1 if reason.retry is RetryClass.MODEM else 0
        match reason.retry:
            case RetryClass.PERMANENT:
                await self._record(outbound.fail, claim.seq, claim.n, reason=reason)
            case RetryClass.ACCEPTED:
                return await self._submitted(claim, None)
            case RetryClass.IN_DOUBT:
                await self._doubt(claim, reason)
            case RetryClass.RETRY_NOW if claim.attempts <= len(RETRY_NOW):
                await self._put_back(claim, reason, delay=RETRY_NOW[claim.attempts - 1])
            case RetryClass.RETRY_NOW | RetryClass.RETRY_LATER:
                await self._put_back(claim, reason, delay=_step(RETRY_LATER, claim.attempts))
            case RetryClass.MODEM:
                delay = _step(MODEM_REST, self._refused_in_a_row)
                await self._put_back(claim, reason, delay=delay, counted=False)
                if self._refused_in_a_row >= DISPATCHER_RESTS_AFTER:
                    await self._sleep(delay)
        return None

    async def _put_back(self, claim: outbound.Claim, reason: Reason, *, delay: float, counted: bool = True) -> None:
        await self._record(
            outbound.put_back, claim.seq, claim.n, reason=reason, delay_ms=int(delay * 1000), counted=counted
        )

    async def _record(self, verb: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Commit a result, however long the disk is full."""
        while True:
            try:
                return await self._journal.write(verb, *args, **kwargs)
            except StoreFull:
                log.error("the disk is full: a result waits to be written")  # noqa: TRY400 - told, not traced: it is retried
                await self._sleep(FULL_DISK_RETRY)


def _step(steps: tuple[float, ...], count: int) -> float:
    """The ``count``-th step (from 1), the last one repeating."""
    return steps[min(max(count, 1), len(steps)) - 1]
