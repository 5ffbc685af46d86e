"""Which of a device's ports speaks AT: asked of all at once.

Promise: a port is chosen only for a clean ``OK``: everything it said is printable text in lines, one of them ``OK``;
an echo and URCs are allowed, binary frames (QCDM) and NMEA are not. Every port that is not chosen is closed again,
also on cancellation.

It sets nothing: the question is ``AT``. An ESC before the second one frees a modem that is still at the prompt of a
submit that nobody finished.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.errors import PortGone

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from appliance.modem.port import Port

__all__ = ["Probed", "is_clean_ok", "probe"]

QUESTIONS: Final = ((b"AT\r", 0.6), (b"\x1bAT\r", 0.8), (b"AT\r", 1.0), (b"AT\r", 1.5))
"""What is written, and the seconds until the next. The answer comes within 20 ms; a modem that is starting takes its
time, and the ladder comes back to it."""

_PREFERENCE: Final = 0.2
"""Seconds that a port earlier in the order is given after a later one has answered."""

_TEXT: Final = re.compile(rb"[\x1b\t\r\n\x20-\x7e]*")
_NMEA: Final = re.compile(r"[$!][A-Z]{2}")
_ENOUGH: Final = 4096
"""Octets after which a port that never said OK is known to say something else."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What came of it.

    Attributes:
        port: the chosen one, open; None: no port answered.
        node: its node.
        refused: why ports could not be opened, by node.
    """

    port: Port | None
    node: str | None
    refused: dict[str, PortGone]


def is_clean_ok(heard: bytes) -> bool:
    """Whether this is what an AT port says to ``AT``."""
    if not _TEXT.fullmatch(heard) or len(heard) > _ENOUGH:
        return False
    lines = heard.decode("ascii").replace("\r", "\n").split("\n")
    return "OK" in lines[:-1] and not any(_NMEA.match(line) for line in lines)


async def probe(nodes: Sequence[str], *, opened: Callable[[str], Awaitable[Port]], skip: int = 0) -> Probed:
    """Open these ports, ask each, and keep one that answers.

    Args:
        nodes: in the order of preference.
        opened: opens a node.
        skip: how many of those that answer are passed over, round and round: for a modem that fell silent on the first.
    """
    ports: dict[str, Port] = {}
    refused: dict[str, PortGone] = {}
    heard: dict[str, bytearray] = {}
    chosen: str | None = None

    async def open_one(node: str) -> None:
        try:
            ports[node] = await opened(node)
        except PortGone as error:
            refused[node] = error

    try:
        await asyncio.gather(*map(open_one, nodes))
        news = asyncio.Event()
        for node in nodes:
            if node in ports:
                heard[node] = bytearray()
                ports[node].listen(_into(heard[node], news))
        await _ask(ports, heard, news, all_of_them=skip > 0)
        answered = [node for node in nodes if node in heard and is_clean_ok(bytes(heard[node]))]
        if answered:
            chosen = answered[skip % len(answered)]
        return Probed(ports.get(chosen) if chosen is not None else None, chosen, refused)
    finally:
        try:
            await asyncio.gather(*(port.close() for node, port in ports.items() if node != chosen))
        except asyncio.CancelledError:
            if chosen is not None:
                await ports[chosen].close()
            raise


def _into(buffer: bytearray, news: asyncio.Event) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        if len(buffer) <= _ENOUGH:
            buffer.extend(data)
        news.set()

    return read


async def _ask(ports: dict[str, Port], heard: dict[str, bytearray], news: asyncio.Event, *, all_of_them: bool) -> None:
    """Ask until the first in the order has answered, or one has and those before it had their chance."""

    def answered() -> list[bool]:
        return [is_clean_ok(bytes(said)) for said in heard.values()]

    loop = asyncio.get_running_loop()
    for question, patience in QUESTIONS:
        for node, port in ports.items():
            if is_clean_ok(bytes(heard[node])) or port.gone.done():
                continue
            try:
                port.write(question)
            except PortGone:
                continue
        deadline = loop.time() + patience
        while (left := deadline - loop.time()) > 0:
            news.clear()
            so_far = answered()
            if so_far and (all(so_far) or (so_far[0] and not all_of_them)):
                return
            if any(so_far):
                deadline = min(deadline, loop.time() + _PREFERENCE)
                left = deadline - loop.time()
            try:
                async with asyncio.timeout(left):
                    await news.wait()
            except TimeoutError:
                break
        if any(answered()):
            return
