"""What a port answers, in plain words: for ``modemhub doctor``.

Promise: it asks and changes nothing but the echo and the form of errors, which every program sets anew; it enters no
PIN, reads and deletes no message. Whatever is wrong is a finding, not an exception.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.at import answers
from appliance.errors import CommandFailed, ModemError, PortGone
from appliance.modem import commands
from appliance.modem.channel import Channel, Silent
from appliance.modem.port import open_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from appliance.modem.commands import Timed
    from appliance.modem.port import Port
    from appliance.types import Registration

__all__ = ["Finding", "examine"]

_PATIENCE: Final = (0.5, 1.0, 1.0, 1.0, 1.5)
"""Seconds for each attempt; a person waits."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is at a port.

    Attributes:
        port: its name.
        fine: whether a modem is there that could submit now.
        words: what was found, and what to do about it.
    """

    port: str
    fine: bool
    words: str


def _is_missing(port: str) -> bool:
    return port.startswith("/") and not os.path.lexists(port)


async def examine(port: str, *, opened: Callable[[str], Awaitable[Port]] = open_port) -> Finding:
    """Look at a port that no other program has open, the hub included."""
    try:
        line = await opened(port)
    except PortGone as error:
        if _is_missing(port):
            return Finding(port, fine=False, words="is not there: is the modem plugged in, and has it started?")
        return Finding(
            port, fine=False, words=f"cannot be opened: {error}. Does another program have it (the hub, too)?"
        )
    channel = Channel(line, urc=lambda _: None)
    try:
        return await _ask_around(port, channel)
    except Silent:
        words = "nothing answers AT. Is it the modem's AT port, is the modem on, is the speed 115200?"
        return Finding(port, fine=False, words=words)
    except ModemError as error:
        return Finding(port, fine=False, words=f"answers at first, then: {error}")
    finally:
        await channel.close()


async def _ask_around(port: str, channel: Channel) -> Finding:
    imei = await channel.wake(_PATIENCE, ("AT", "ATE0", "ATV1"))

    async def ask(timed: Timed) -> list[str]:
        try:
            return await channel.command(timed.command, within=timed.timeout)
        except CommandFailed:
            return []

    for timed in (commands.ECHO_OFF, commands.NUMERIC_ERRORS):
        await ask(timed)
    names = [line for timed in (commands.MANUFACTURER, commands.MODEL) for line in await ask(timed)]
    who = f"{' '.join(names)[:64] or 'a modem'}, IMEI {imei}"
    sim = "no SIM, or one that is not ready"
    for line in await ask(commands.PIN_STATE):
        with contextlib.suppress(answers.AnswerError):
            sim = answers.cpin(line)
    if sim != "READY":
        return Finding(port, fine=False, words=f"{who}; SIM: {sim}")
    found: list[Registration] = []
    for domain in commands.DOMAINS:
        for line in await ask(commands.poll_domain(domain)):
            with contextlib.suppress(answers.AnswerError):
                found.append(answers.registration(line))
    registered = next((stat for stat in found if stat.can_send), None)
    dbm = None
    for line in await ask(commands.SIGNAL):
        with contextlib.suppress(answers.AnswerError):
            dbm = answers.signal_dbm(line)
    signal = "signal unknown" if dbm is None else f"signal {dbm} dBm"
    if registered is None:
        state = ", ".join(sorted({stat.name.lower().replace("_", " ") for stat in found})) or "unknown"
        words = f"{who}; SIM ready; not registered ({state}); {signal}. Is the aerial on, is the SIM's plan alive?"
        return Finding(port, fine=False, words=words)
    network = registered.name.lower().replace("_", " ")
    return Finding(port, fine=True, words=f"{who}; SIM ready; registered ({network}); {signal}")
