"""The hub as a process: ``python -m appliance run`` with a settings file of its own, started, killed and started again.

Nothing of the hub's code is imported. That it is up is heard where systemd hears it: the rig holds the notification
socket (sd_notify(3)) and waits for ``READY=1``.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from hil.rig.broker import free_port
from hil.rig.process import Child
from hil.rig.waiting import PATIENCE, Overdue, came

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

__all__ = ["Hub", "toml"]

Settings = dict[str, dict[str, Any]]

_numbers = itertools.count()


def toml(settings: Mapping[str, Any], *, modems: Sequence[Mapping[str, Any]] = ()) -> str:
    """Sections of values (strings, numbers, booleans, lists, tables) and the ``[[modems]]`` as a TOML text."""

    def written(value: Any) -> str:
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{key} = {written(inner)}" for key, inner in value.items()) + " }"
        return json.dumps(value, ensure_ascii=False)

    def section(head: str, values: Mapping[str, Any]) -> str:
        return "\n".join((head, *(f"{key} = {written(value)}" for key, value in values.items()), ""))

    return "\n".join(
        (
            *(section(f"[{name}]", values) for name, values in settings.items()),
            *(section("[[modems]]", values) for values in modems),
        )
    )


class Notified:
    """A notification socket; abstract, so that no path can be too long for it."""

    def __init__(self) -> None:
        self.name = f"modemhub-rig-{os.getpid()}-{next(_numbers)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind("\0" + self.name)

    async def ready(self) -> None:
        """Wait for ``READY=1``."""
        loop = asyncio.get_running_loop()
        while b"READY=1" not in (await loop.sock_recv(self._socket, 4096)).split(b"\n"):
            pass

    def close(self) -> None:
        self._socket.close()


class Hub:
    """One hub: its directory (settings, store, log), and its process from start to start.

    Args:
        directory: holds ``modemhub.toml``, the store and ``hub.log``; made if missing.
        modems: its ``[[modems]]``: the ttys that udev cannot find, each with whatever else is set for it.
        mqtt: the broker's url, or None for no MQTT door.
        settings: sections and keys that differ from the rig's defaults.
        port: where its HTTP door listens; 0 for any that is free.
        environment: what its processes have beside the rig's own.
    """

    def __init__(
        self,
        directory: Path,
        *,
        modems: Sequence[Mapping[str, Any]],
        mqtt: str | None,
        settings: Settings | None = None,
        port: int = 0,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.directory = directory
        self.config = directory / "modemhub.toml"
        self.log = directory / "hub.log"
        self.address = f"http://127.0.0.1:{port or free_port()}"
        self.token = ""
        self._environment = environment
        self._child: Child | None = None
        self._notified: Notified | None = None
        directory.mkdir(parents=True, exist_ok=True)
        sections: Settings = {
            **({"mqtt": {"url": mqtt}} if mqtt else {}),
            "http": {"listen": self.address.removeprefix("http://")},
            "store": {"path": str(directory / "modemhub.db")},
            "policy": {"allowed_destinations": ["home"], "sim_daily_cap": 1_000_000},
            "detect": {"udev": False},
        }
        for name, values in (settings or {}).items():
            sections[name] = {**sections.get(name, {}), **values}
        self.config.write_text(toml(sections, modems=modems), encoding="utf-8")

    async def command(self, *arguments: str) -> tuple[int, str]:
        """Run ``modemhub ARGUMENTS… --config FILE`` to its end; exit code and output."""
        argv = [sys.executable, "-m", "appliance", *arguments, "--config", str(self.config)]
        log = self.directory / "commands.log"
        child = await Child.start(f"modemhub {arguments[0]}", argv, log=log, environment=self._environment)
        code = await child.ended()
        return code, "\n".join(child.lines.items)

    async def make_token(self, name: str = "rig", *scopes: str) -> str:
        """A new token by the command line."""
        chosen = (word for scope in scopes or ("admin",) for word in ("--scope", scope))
        code, output = await self.command("token", "create", "--name", name, *chosen)
        if code != 0:
            raise AssertionError(f"modemhub token create: exit code {code}\n{output}")
        return output.split()[-1]

    async def prepare(self) -> None:
        """Make :attr:`token`, if that is not done."""
        self.token = self.token or await self.make_token()

    async def start(self, *, crash_at: str | None = None, within: float = PATIENCE) -> None:
        """Start the process and wait until it says READY, or until the planned crash came before that.

        Args:
            crash_at: ``VERB:before|after:COUNT``: it kills itself around that commit of that store verb.
            within: seconds.

        Raises:
            Overdue: it ended otherwise, or was not ready in time.
        """
        await self.prepare()
        environment = {**self._environment, **({"MODEMHUB_CRASH_AT": crash_at} if crash_at else {})}
        argv = [sys.executable, "-X", "faulthandler", "-m", "appliance", "run", "--config", str(self.config)]
        self._hear_nothing()
        self._notified = notified = Notified()
        environment["NOTIFY_SOCKET"] = "@" + notified.name
        self._child = child = await Child.start("hub", argv, log=self.log, environment=environment)
        if await came(notified.ready(), unless=child.ended(within=within)):
            return
        if not (crash_at and not child.running and await child.ended() == -signal.SIGKILL):
            said = "\n".join(child.lines.items[-40:])
            raise Overdue(f"the hub ended or was not ready within {within:g} s:\n{said}")

    def _hear_nothing(self) -> None:
        if self._notified:
            self._notified.close()

    @property
    def child(self) -> Child:
        """Its process."""
        assert self._child is not None, "the hub was never started"
        return self._child

    async def kill(self) -> None:
        """SIGKILL."""
        await self.child.kill()

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        return await self.child.stop()

    def said(self) -> str:
        """All that its processes wrote so far."""
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child:
            await self._child.stop()
        self._hear_nothing()
