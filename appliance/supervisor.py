"""Keeps the process honest: what must run, runs, or the process ends and systemd starts it anew.

Two kinds of task, no third:

* A **vital** task (the journal's keeper, a door) must not end. When one does, by returning or by raising, the
  supervisor stops everything in order and :meth:`Supervisor.run` raises :class:`VitalTaskEnded`; the process exits with
  1.
* A **tended** task (one modem, one SIM's dispatcher) may fail without harm to the others. Only it is started again,
  after a delay that grows with each failure in a row and falls back once it has run long enough. Nothing tended is ever
  given up; at the top of the delay it is held there, and :attr:`Tended.last_error` tells why.

Theory of operation: every task is an ``asyncio.Task`` of the supervisor's. Stopping cancels them newest first, one
after the other, each with its own time to finish, so that what was started last (and uses the rest) ends first. systemd
is told ``READY=1`` when the caller says so, and ``WATCHDOG=1`` only while the proof of life returns in time: a loop
that turns is not yet a service that works.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.errors import ModemhubError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["BACK_OFF", "Supervisor", "Tended", "VitalTaskEnded", "notify_systemd"]

log = logging.getLogger(__name__)

BACK_OFF = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before the 1st, 2nd… restart in a row. The top stays at 10 s: a modem that comes back is to be found well
within M1's 90 s."""

HEALTHY_AFTER = 60.0
"""Seconds of running after which earlier failures no longer count."""

STOP_TIME = 10.0
"""Seconds a task may take to finish when stopped: longer than a PDU's hand-over, shorter than systemd's TimeoutStopSec.
"""

WATCHDOG_SHARE = 3
"""systemd is fed three times in its interval, so that one late beat does not kill the service."""


class VitalTaskEnded(ModemhubError):
    """A task without which modemhub is not modemhub has ended."""


@dataclass(slots=True, eq=False)
class Tended:
    """A task that is started again when it fails."""

    name: str
    start: Callable[[], Awaitable[None]]
    back_off: Sequence[float]
    failures: int = 0
    """In a row."""
    last_error: str | None = None
    waiting: bool = False
    """Failed, and waiting to be started again."""
    task: asyncio.Task[None] | None = field(default=None, repr=False)


def notify_systemd(state: str) -> None:
    """Tell systemd ``state``, as ``READY=1`` (sd_notify(3)); nothing happens when it did not start us."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram, contextlib.suppress(OSError):  # nobody listens
        datagram.connect("\0" + address[1:] if address.startswith("@") else address)
        datagram.send(state.encode())


class Supervisor:
    """Owns every long-running task of the process."""

    def __init__(
        self,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] | None = None,
        notify: Callable[[str], None] = notify_systemd,
    ) -> None:
        self._sleep = sleep
        self._clock = clock
        self._notify = notify
        self._order: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._ended: tuple[str, BaseException | None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self.tended: dict[str, Tended] = {}

    def vital(self, name: str, start: Callable[[], Awaitable[None]]) -> None:
        """Start a task whose end is the process's end."""

        async def watch() -> None:
            error: BaseException | None = None
            try:
                await start()
            except Exception as caught:  # noqa: BLE001 - the supervisor is where errors end; it re-raises as VitalTaskEnded
                error = caught
            if not self._stop.is_set():
                self._ended = (name, error)
                self._stop.set()

        self._order.append(asyncio.create_task(watch(), name=name))

    def tend(self, name: str, start: Callable[[], Awaitable[None]], *, back_off: Sequence[float] = BACK_OFF) -> Tended:
        """Start a task that is started again after ``back_off`` seconds when it ends.

        ``name`` must be free. The task ends for good only by :meth:`release` or when everything stops.
        """
        if name in self.tended:
            raise ValueError(f"{name} is tended already")
        tended = Tended(name, start, back_off)
        tended.task = asyncio.create_task(self._tend(tended), name=name)
        self.tended[name] = tended
        self._order.append(tended.task)
        return tended

    async def release(self, tended: Tended) -> None:
        """Stop a tended task for good and wait until it has ended."""
        if self.tended.get(tended.name) is tended:
            del self.tended[tended.name]
        if tended.task is not None:
            await _stop(tended.task)
            if tended.task in self._order:
                self._order.remove(tended.task)

    def dismiss(self, tended: Tended) -> None:
        """As :meth:`release`, without waiting; the name is free at once."""
        if self.tended.get(tended.name) is tended:
            del self.tended[tended.name]
        task = asyncio.create_task(self.release(tended), name=f"end of {tended.name}")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _tend(self, tended: Tended) -> None:
        clock = self._clock or asyncio.get_running_loop().time
        while True:
            tended.waiting = False
            begun = clock()
            try:
                await tended.start()
                tended.last_error = "ended"
            except Exception as error:  # the tended loop: any failure of one modem is that modem's alone
                tended.last_error = f"{type(error).__name__}: {error}"
                expected = isinstance(error, ModemhubError)
                log.warning("%s failed: %s", tended.name, tended.last_error, exc_info=None if expected else error)
            if clock() - begun >= HEALTHY_AFTER:
                tended.failures = 0
            delay = tended.back_off[min(tended.failures, len(tended.back_off) - 1)]
            tended.failures += 1
            tended.waiting = True
            await self._sleep(delay)

    async def until(self, event: asyncio.Event) -> None:
        """Return when ``event`` is set, or everything is to stop already: then :meth:`run` tells why."""
        waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self._stop.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    @property
    def stopping(self) -> bool:
        """Whether everything is to stop."""
        return self._stop.is_set()

    def ready(self) -> None:
        """Tell systemd that the service is up."""
        self._notify("READY=1")

    def watchdog(self, proof_of_life: Callable[[], Awaitable[None]]) -> None:
        """Feed systemd's watchdog, when it asks for it, after each time that ``proof_of_life`` returned."""
        microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
        if not microseconds:
            return
        interval = microseconds / 1_000_000 / WATCHDOG_SHARE

        async def feed() -> None:
            while True:
                await proof_of_life()
                self._notify("WATCHDOG=1")
                await self._sleep(interval)

        self.vital("watchdog", feed)

    def stop(self) -> None:
        """Ask :meth:`run` to stop everything and return."""
        self._stop.set()

    async def run(self) -> None:
        """Run until :meth:`stop` or until a vital task ends.

        Raises:
            VitalTaskEnded: with the task's own error as its cause.
        """
        try:
            await self._stop.wait()
        finally:
            self._stop.set()
            self._notify("STOPPING=1")
            for task in reversed(self._order):
                await _stop(task)
        if self._ended is not None:
            name, error = self._ended
            raise VitalTaskEnded(f"{name} ended: {error or 'it returned'}") from error


async def _stop(task: asyncio.Task[None]) -> None:
    """Cancel ``task`` and wait at most STOP_TIME until it has finished."""
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=STOP_TIME)
    if not done:
        log.error("%s did not stop within %.0f s", task.get_name(), STOP_TIME)
        return
    with contextlib.suppress(asyncio.CancelledError, Exception):
        task.result()
