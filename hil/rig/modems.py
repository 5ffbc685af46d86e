"""The emulated modems and their network as a process, its control socket, and its ledger read as a judge reads it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hil.emulator.client import AsyncControlClient
from hil.rig.process import Child

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

__all__ = ["Modem", "Modems", "Sent"]

IDLE = 0.3
"""Seconds without a command after which a modem that was just used is left alone until the next minute."""

STAND_IN = Path(__file__).resolve().parent / "gpio"
"""Holds a package ``gpiod`` that speaks to the emulator's lines."""


@dataclass(frozen=True, slots=True)
class Modem:
    """One emulated modem and its SIM."""

    name: str
    port: str
    imei: str
    imsi: str
    iccid: str
    number: str
    usb: str | None = None
    """Its path in /sys; None on a UART, or while it is off."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One SMS-SUBMIT that the network accepted."""

    time: float
    imsi: str
    to: str
    text: str | None
    rd: bool
    """TP-RD: sent with the request to reject duplicates."""
    concat: tuple[int, int, int] | None
    """Reference, total, number."""
    entry: dict[str, Any]
    """The whole line of the ledger."""


class Modems:
    """The emulator's process with ``count`` modems; :attr:`all` has them in order once it runs.

    With ``usb`` they are on a fake USB bus (umockdev), with ``gpio`` there are GPIO lines; what a hub needs to see them
    is :attr:`environment`. ``configuration`` is one of the emulator, instead of ``count``.
    """

    def __init__(
        self,
        directory: Path,
        count: int = 1,
        *,
        options: Sequence[str] = (),
        usb: bool = False,
        gpio: bool = False,
        configuration: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory = directory
        self.count = count if configuration is None else len(configuration["modems"])
        self.all: list[Modem] = []
        self.environment: dict[str, str] = {}
        """What the hub's process must have beside its own environment; empty without USB and GPIO."""
        self._options = [*options, *(["--usb"] if usb else []), *(["--gpio", str(directory / "gpio")] if gpio else [])]
        self._configuration = configuration
        self._child: Child | None = None
        self._control = self._ledger = directory

    async def __aenter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "hil.emulator", "--directory", str(self.directory), "--modems", str(self.count)]
        if self._configuration is not None:
            file = self.directory / "config.json"
            file.write_text(json.dumps(self._configuration), encoding="utf-8")
            argv += ["--config", str(file)]
        child = await Child.start("emulator", [*argv, *self._options], log=self.directory.parent / "emulator.log")
        self._child = child
        ready = json.loads(await child.line(lambda line: line.startswith('{"ready"'), "ready line"))
        self._control = self.directory / "control"
        self._ledger = self.directory / "ledger.jsonl"
        fields = Modem.__dataclass_fields__
        self.all = [Modem(**{name: modem[name] for name in fields}) for modem in ready["modems"]]
        if "udev" in ready:
            self.environment |= {"LD_PRELOAD": ready["preload"], "UMOCKDEV_DIR": ready["udev"]}
        if "gpio" in ready:
            paths = [str(STAND_IN), *filter(None, [os.environ.get("PYTHONPATH")])]
            self.environment |= {"PYTHONPATH": os.pathsep.join(paths), "GPIO_DIR": ready["gpio"]}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child:
            await self._child.stop()

    @property
    def ports(self) -> list[str]:
        """The ttys, in order."""
        return [modem.port for modem in self.all]

    @property
    def uarts(self) -> list[str]:
        """The ttys of those that no udev can find."""
        return [modem.port for modem in self.all if modem.port.startswith(str(self.directory))]

    async def do(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """One control verb on a connection of its own, so that a ``wait`` holds up no other; the answer.

        Raises:
            ControlFailed: the emulator refused it.
        """
        control = await AsyncControlClient.connect(self._control)
        try:
            return await control(verb, **arguments)
        finally:
            await control.close()

    async def deliver(self, modem: Modem, text: str, *, sender: str = "+447700900999", **more: Any) -> None:
        """Let the network deliver a text to this modem's SIM."""
        await self.do("deliver", imsi=modem.imsi, **{"from": sender}, text=text, **more)

    async def submits(self, count: int, *, within: float) -> None:
        """Wait until the ledger has so many accepted submits."""
        await self.do("wait", submits=count, timeout=within)

    async def idle(self, modem: Modem) -> None:
        """Wait until the hub has asked this modem nothing for a moment: what follows a text, as sweeps, is done.

        A fault that hits a long command is noticed after that one's own time, which is no figure of the fault.
        """
        asked = -1
        while True:
            (status,) = (await self.do("status", imei=modem.imei))["modems"]
            if status["commands"] == asked:
                return
            asked = status["commands"]
            await asyncio.sleep(IDLE)

    # The ledger.

    def ledger(self) -> list[dict[str, Any]]:
        """Every line."""
        if not self._ledger.exists():
            return []
        with self._ledger.open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def refused(self) -> list[dict[str, Any]]:
        """Every submit that the network refused, with its reason: strict, or told to fail."""
        return [line for line in self.ledger() if line["kind"] == "submit" and not line["accepted"]]

    def sent(self) -> list[Sent]:
        """Every accepted submit in the order of the network."""
        return [
            Sent(
                time=line["time"],
                imsi=line["imsi"],
                to=line["da"],
                text=line["text"],
                rd=line["rd"],
                concat=(c["ref"], c["total"], c["n"]) if (c := line["concat"]) else None,
                entry=line,
            )
            for line in self.ledger()
            if line["kind"] == "submit" and line["accepted"]
        ]

    def texts(self) -> list[tuple[str, str | None]]:
        """(recipient, text) of every message that is complete at the network, in order."""
        return [(line["da"], line.get("text")) for line in self.ledger() if line["kind"] == "message"]

    def times_sent(self) -> dict[tuple[str, str], list[Sent]]:
        """Accepted single-segment submits by (recipient, text): the list is as long as it was sent often."""
        found: dict[tuple[str, str], list[Sent]] = defaultdict(list)
        for sent in self.sent():
            if sent.concat is None and sent.text is not None:
                found[sent.to, sent.text].append(sent)
        return found
