"""Texts in both directions by one SIM, and what the laws say of them: the traffic during a fault.

Every ``Traffic`` has a recipient of its own, and its texts begin with its name, so that many may run on one rig at a
time and each is judged for itself.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, Final

from hil.rig.laws import ENDS, in_order, once_each, sent_once_or_told
from hil.rig.waiting import Overdue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.rig import Heard, Rig
    from hil.rig.modems import Modem

__all__ = ["LONG_TEXT", "Traffic"]

LONG_TEXT: Final = "a long one, äöü, in three segments; " * 12
"""432 characters of the GSM alphabet."""

_FIRST_RECIPIENT: Final = 900_200
"""+447700900200 and up: an Ofcom range for drama; those below are the emulated SIMs' own."""

_recipients = itertools.cycle(range(799))


class Traffic:
    """What is sent and received by one SIM; it follows the SIM, whichever modem that is in."""

    def __init__(self, whole: Rig, name: str, modem: Modem, *, reported: bool = True) -> None:
        """Send nothing yet; ``reported``: each accepted text has to end with its status report."""
        self.whole = whole
        self.ends = ENDS if reported else ENDS | {"submitted"}
        self.name = name
        self.modem = modem
        self.to = f"+447700{_FIRST_RECIPIENT + next(_recipients)}"
        self.accepted: dict[str, str] = {}
        """Text → message id, in the order of acceptance."""
        self.delivered: list[str] = []
        """The texts that the network has for the SIM."""

    async def out(self, count: int = 1, *, long_one: bool = False, **more: Any) -> list[str]:
        """Have so many texts accepted, one of them a long one if wished; their ids."""
        ids = []
        for n in range(count):
            text = f"{self.name} out {len(self.accepted)}"
            if long_one and n == 0:
                text += f" {LONG_TEXT}"
            message = await self.whole.api.send(to=self.to, text=text, **({"sim": self.modem.imsi} | more))
            self.accepted[text] = message["id"]
            ids.append(message["id"])
        return ids

    async def into(self, count: int = 1, **more: Any) -> None:
        """Let the network have so many texts for the SIM."""
        for _ in range(count):
            text = f"{self.name} in {len(self.delivered)}"
            await self.whole.modems.do(
                "deliver", imsi=self.modem.imsi, **({"from": "+447700900999", "text": text} | more)
            )
            self.delivered.append(text)

    async def both(self, count: int = 1) -> None:
        """So many texts each way."""
        await self.out(count)
        await self.into(count)

    # ---- at the end

    def received(self) -> list[dict[str, Any]]:
        """What the door told of this traffic, as often as it did."""
        told = self.whole.observer.received()
        return [message for message in told if str(message.get("text")).startswith(f"{self.name} in ")]

    async def settled(self, *, within: float) -> None:
        """Wait until every accepted message has ended and every delivered text was told."""
        observer = self.whole.observer

        def done(_: list[Heard]) -> bool:
            ended = observer.ended()
            texts = {message.get("text") for message in self.received()}
            return set(self.delivered) <= texts and all(ended.get(each) in self.ends for each in self.accepted.values())

        try:
            await observer.heard.until(done, f"end of {self.name}", within=within)
        except Overdue as overdue:
            raise Overdue(f"not settled: {self.unsettled}\n{overdue}") from None

    @property
    def unsettled(self) -> str:
        """What is not done yet."""
        ended = self.whole.observer.ended()
        texts = {message.get("text") for message in self.received()}
        out = [text[:40] for text, each in self.accepted.items() if ended.get(each) not in self.ends]
        return f"out {out}, in {sorted(set(self.delivered) - texts)}"

    async def messages(self) -> dict[str, dict[str, Any]]:
        """Text → the accepted message as HTTP tells it now."""
        pages = (self.whole.api.get(f"/api/v1/messages/{each}") for each in self.accepted.values())
        return dict(zip(self.accepted, await asyncio.gather(*pages), strict=True))

    async def breaches(self) -> list[str]:
        """What the laws have against it."""
        messages = await self.messages()
        keys: Mapping[tuple[str, str], dict[str, Any]] = {
            (self.to, text): message for text, message in messages.items() if len(message["segments"]) == 1
        }
        return [
            *sent_once_or_told(self.whole.modems, keys, ends=self.ends, recipient=self.to),
            *in_order(self.whole.modems, keys),
            *once_each(self.delivered, self.received()),
            *self._long_ones(messages),
        ]

    def _long_ones(self, messages: Mapping[str, dict[str, Any]]) -> list[str]:
        complete = [text for to, text in self.whole.modems.texts() if to == self.to]
        return [
            f"the long text {text[:40]!r} is told {message['state']} and complete {complete.count(text)} times"
            for text, message in messages.items()
            if len(message["segments"]) > 1
            and message["state"] == "delivered"
            and not 1 <= complete.count(text) <= 1 + message["maybe_duplicate"]
        ]

    async def count(self, state: str) -> int:
        """How many of the accepted messages are in this state."""
        return sum(message["state"] == state for message in (await self.messages()).values())
