"""The broker, which can be stopped, killed, frozen and started again on the same port: Mosquitto, or for the demo on a
machine without it an embedded one from a Python package (MQTT 3.1.1 only, nothing on disk).
"""

from __future__ import annotations

import getpass
import shutil
import signal
import socket
import sys
from typing import TYPE_CHECKING, Literal, Self

from hil.rig.process import Child

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

__all__ = ["Broker", "free_port", "mosquitto_path"]


def free_port(*, wish: int = 0) -> int:
    """A TCP port of 127.0.0.1 on which nobody listens: the one wished for, if it is free."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", wish))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def mosquitto_path() -> str | None:
    """Where the mosquitto program is; Debian keeps it out of an ordinary user's PATH."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class Broker:
    """A broker process on one port, whose life the rig controls; the port stays the same through restarts.

    ``mosquitto``: Eclipse Mosquitto from Debian, persistence on, else as Debian ships it, MQTT 5.
    ``embedded``: amqtt in a process of its own: MQTT 3.1.1, and everything is forgotten when it ends.
    ``lines`` are Mosquitto's listeners and what is to be told about them, instead of one for everybody on ``port``.
    """

    def __init__(
        self,
        directory: Path,
        kind: Literal["mosquitto", "embedded"] = "mosquitto",
        *,
        port: int = 0,
        lines: Sequence[str] | None = None,
    ) -> None:
        self.directory = directory
        self.kind = kind
        self.port = port or free_port()
        self._lines = lines
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """For the hub's settings."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def protocol(self) -> Literal["5", "3.1.1"]:
        """The newest protocol that it speaks."""
        return "5" if self.kind == "mosquitto" else "3.1.1"

    async def start(self) -> None:
        """Start it, and return when it listens."""
        self.directory.mkdir(parents=True, exist_ok=True)
        match self.kind:
            case "mosquitto":
                argv: list[str | Path] = [self._program(), "-c", self._config()]
            case "embedded":
                argv = [sys.executable, "-m", "hil.rig.embedded", str(self.port)]
        self._child = await Child.start(f"{self.kind} broker", argv, log=self.directory / "broker.log")
        await self._child.line(lambda line: line.endswith("running"), "running broker")

    def _program(self) -> str:
        program = mosquitto_path()
        if program is None:
            raise FileNotFoundError("mosquitto is not installed: apt install mosquitto")
        return program

    def _config(self) -> Path:
        config = self.directory / "mosquitto.conf"
        everybody = (f"listener {self.port} 127.0.0.1", "allow_anonymous true", "max_queued_messages 0")
        lines = (
            "persistence true",
            f"persistence_location {self.directory}/",
            "log_dest stderr",
            *(f"log_type {kind}" for kind in ("error", "warning", "notice", "information")),
            f"user {getpass.getuser()}",  # started by root it would else become a user that owns nothing here
            *(everybody if self._lines is None else self._lines),
        )
        config.write_text("".join(f"{line}\n" for line in lines))
        return config

    async def stop(self) -> None:
        """SIGTERM: an orderly end, sessions saved."""
        if self._child:
            await self._child.stop()

    async def kill(self) -> None:
        """SIGKILL: what was not saved is gone."""
        if self._child:
            await self._child.kill()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, as behind a dead link."""
        if self._child:
            self._child.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        if self._child:
            self._child.signal(signal.SIGCONT)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
