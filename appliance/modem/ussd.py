"""Unstructured supplementary services (balance, top-up) of one modem: one request at a time, and its session.

A network that answers with status 1 waits for an answer of ours: the next request is that answer. ``cancel`` ends it,
and so does a request that got no answer, or the answer would come as the next one's. Nobody waits for what can never
come: the end of the session and a start of the modem end the request.
The strings go through as they are: which alphabet is in them is the hub's knowledge.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from appliance.at import answers
from appliance.errors import AnswerTimeout, ModemError, PortGone
from appliance.modem import commands
from appliance.modem.host import UssdAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.modem.talk import Talk

__all__ = ["Ussd"]

_WITHIN: Final = 60.0
"""Seconds for the network's answer (23.090 gives it no limit; menus take up to 30 s)."""


class Ussd:
    """The requests of one modem."""

    def __init__(self, talk: Talk, *, silent: Callable[[], None]) -> None:
        """Nothing is asked yet; ``silent`` is called when the modem did not answer."""
        self._talk = talk
        self._silent = silent
        self._turn = asyncio.Lock()
        self._answer: asyncio.Future[UssdAnswer] | None = None

    def told(self, line: str) -> None:
        """+CUSD came."""
        try:
            found = answers.ussd(line)
        except answers.AnswerError:
            return
        if self._answer is not None and not self._answer.done():
            packed = self._talk.profile.ussd.packed
            self._answer.set_result(UssdAnswer(found.status, found.text, found.dcs, packed))

    def ended(self, why: str) -> None:
        """No answer will come any more."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(PortGone(why))

    async def request(self, text: str) -> UssdAnswer:
        """Send a request, or the answer to what the network asked; return what it says.

        Raises:
            CommandFailed: the modem refuses.
            AnswerTimeout: the network said nothing in 60 s.
            PortGone: there is no session, or the modem has started anew.
            ModemError: a request is on its way already.
        """
        if self._turn.locked():
            raise ModemError("a USSD request is on its way already: wait for its answer")
        async with self._turn:
            answer: asyncio.Future[UssdAnswer] = asyncio.get_running_loop().create_future()
            self._answer = answer
            try:
                await self._talk.ask(commands.ussd(text, self._talk.profile.ussd.dcs))
                async with asyncio.timeout(_WITHIN):
                    return await answer
            except TimeoutError:
                self._answer = None
                with contextlib.suppress(ModemError):
                    await self.cancel()
                raise AnswerTimeout(f"the network did not answer the USSD request in {_WITHIN:.0f} s") from None
            except AnswerTimeout:
                self._silent()
                raise
            finally:
                self._answer = None
                if answer.done() and not answer.cancelled():
                    answer.exception()  # it is told by the command's own

    async def cancel(self) -> None:
        """End the session with the network.

        Raises:
            CommandFailed, AnswerTimeout, PortGone: as commands do.
        """
        try:
            await self._talk.ask(commands.USSD_CANCEL)
        except AnswerTimeout:
            self._silent()
            raise
