"""What the parts of one modem's life share: whom they speak to, what is known, and how to ask.

Promise: an unanswered command is counted; the third in a row, although the modem answers probes, ends the session. A
command that the modem may refuse is tried without harm.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from appliance.errors import AnswerTimeout, CommandFailed, PortGone
from appliance.modem.channel import Silent
from appliance.modem.host import ModemStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.modem.channel import Channel
    from appliance.modem.commands import Timed
    from appliance.modem.host import ModemHost
    from appliance.modem.profile import Profile

__all__ = ["STRIKES", "Talk", "give_up"]

T = TypeVar("T")

STRIKES: Final = 3
"""Commands in a row without an answer, although the modem answers probes, until the session ends."""


class Talk:
    """One modem, as the parts of its life see it; over any number of sessions."""

    def __init__(self, place: str, profile: Profile, host: ModemHost) -> None:
        """Know nothing yet."""
        self.host = host
        self.profile = profile
        self.status = ModemStatus(place=place, port=place, profile=profile.name)
        self.channel: Channel | None = None
        self.wake = asyncio.Event()
        """Set by whoever leaves a note: the session looks at all of them."""
        self.anew: str | None = None
        """Why everything has to be set up again; None: nothing has."""
        self.restart: asyncio.Future[None] | None = None
        """Somebody asked for a reset: the session's to do."""
        self.cycle: asyncio.Future[str] | None = None
        """Somebody asked for a power cycle: to be done with the port closed."""
        self.strikes = 0

    def tell(self, **changes: Any) -> None:
        """Change the status, and say so where it is another one then."""
        status = replace(self.status, **changes)
        if status != self.status:
            self.status = status
            self.host.changed(status)

    @property
    def steady(self) -> bool:
        """Whether the modem is still as it was set up."""
        return self.anew is None and self.restart is None and self.cycle is None

    async def ask(self, timed: Timed) -> list[str]:
        """Give a command; the lines of its answer.

        Raises:
            CommandFailed: the modem refuses.
            AnswerTimeout: it did not answer.
            PortGone: there is no session.
        """
        channel = self.channel
        if channel is None:
            raise PortGone(f"{self.status.port}: no session")
        lines = await channel.command(timed.command, within=timed.timeout)
        self.strikes = 0
        return lines

    async def attempt(self, timed: Timed) -> list[str] | None:
        """Give a command that a modem may not know; None where it did not do it."""
        try:
            return await self.ask(timed)
        except CommandFailed:
            return None
        except Silent:
            raise
        except AnswerTimeout as error:
            if self.anew is not None:
                raise
            self.strike(error)
            return None

    async def text(self, timed: Timed) -> str | None:
        """The first line of an answer without its prefix, shortened; None where there is none."""
        lines = await self.attempt(timed)
        return lines[0].removeprefix(timed.command.owns[0]).strip(' "')[:64] or None if lines else None

    def strike(self, error: AnswerTimeout) -> None:
        """Count an unanswered command; the third in a row ends the session."""
        self.strikes += 1
        self.tell(last_error=str(error))
        if self.strikes >= STRIKES:
            raise error

    async def pause(self, seconds: float) -> None:
        """Wait, or until a note is left.

        Raises:
            PortGone: the port ended.
        """
        timer = asyncio.get_running_loop().call_later(seconds, self.wake.set)
        try:
            await self.wake.wait()
        finally:
            timer.cancel()
        self.wake.clear()
        channel = self.channel
        if channel is None or channel.gone.done():
            raise PortGone(f"{self.status.port}: {channel.gone.result() if channel else 'closed'}")

    async def read(self, timed: Timed, meaning: Callable[[str], T]) -> T | None:
        """What the first line of an answer means that has a meaning; None where there is none."""
        for line in await self.attempt(timed) or ():
            with contextlib.suppress(ValueError):
                return meaning(line)
        return None


def give_up(asked: asyncio.Future[Any] | None, why: str) -> None:
    """Tell whoever waits for this that it will not be done."""
    if asked is not None and not asked.done():
        asked.set_exception(PortGone(why))
