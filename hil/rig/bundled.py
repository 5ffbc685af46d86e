"""The broker as the appliance has it: Mosquitto with the files that ``image/mosquitto/broker.py`` makes.

The directory stands for the machine: ``etc`` for ``/etc/mosquitto``, ``broker`` for ``/var/lib/mosquitto``. What
Debian's own ``mosquitto.conf`` says (persistence, log, the drop-ins) is said by the rig.
"""

from __future__ import annotations

import contextlib
import getpass
import sys
from typing import TYPE_CHECKING, Self

from hil.rig import Api, Hub, Modems, Observer, Rig
from hil.rig.broker import Broker, free_port
from hil.rig.process import ROOT, Child

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from types import TracebackType

    from hil.rig.hub import Settings

__all__ = ["Bundled", "rig_on"]

SCRIPT = ROOT / "image" / "mosquitto" / "broker.py"


class Bundled:
    """The files, and the broker on them once :meth:`init` has made them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.local, self.tls, self.certificates = (free_port() for _ in range(3))
        self.broker = Broker(directory / "broker", port=self.local, lines=[f"include_dir {directory}/etc/conf.d"])

    @property
    def keys(self) -> Path:
        """Certificates and keys."""
        return self.directory / "etc" / "modemhub"

    @property
    def ca(self) -> Path:
        """What clients verify the broker by."""
        return self.keys / "ca.crt"

    def certificate(self, name: str) -> tuple[Path, Path]:
        """A client's certificate and key."""
        return self.keys / f"{name}.crt", self.keys / f"{name}.key"

    def login(self, name: str) -> tuple[str, str]:
        """User name and password of an account."""
        return name, (self.keys / "accounts" / name).read_text(encoding="utf-8").strip()

    async def script(self, *arguments: str) -> tuple[int, str]:
        """Run the script; exit code and output."""
        where = ("--conf", self.directory / "etc", "--state", self.directory / "broker", "--user", getpass.getuser())
        argv: list[str | Path] = [sys.executable, SCRIPT, *where, *arguments]
        child = await Child.start("broker.py", argv, log=self.directory / "script.log")
        code = await child.ended()
        return code, "\n".join(child.lines.items)

    async def must(self, *arguments: str) -> str:
        """Run the script, which must succeed; its output."""
        code, output = await self.script(*arguments)
        if code != 0:
            raise AssertionError(f"broker.py {' '.join(arguments)}: exit code {code}\n{output}")
        return output

    async def init(self, *more: str) -> str:
        """``broker.py init`` with this one's ports."""
        ports = ("--local-port", self.local, "--port", self.tls, "--certificates-port", self.certificates)
        return await self.must("init", "--address", "127.0.0.1", *map(str, ports), *more)

    async def __aenter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        await self.init()
        await self.broker.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.broker.stop()


@contextlib.asynccontextmanager
async def rig_on(bundled: Bundled, place: Path, *, mqtt: str, settings: Settings) -> AsyncIterator[Rig]:
    """A hub with one modem on the bundled broker; the observer has the account ``observer``, which must be there.

    It yields when the hub has told the modem online.
    """
    login = bundled.login("observer")
    observer = Observer(bundled.local, name=f"at-{place.name}", login=login, everything="modemhub/#")
    async with Modems(place / "m") as modems, observer:
        hub = Hub(place / "hub", modems=[{"port": modem.port} for modem in modems.all], mqtt=mqtt, settings=settings)
        async with hub, Api(hub.address, hub.token) as api:
            for topic in ("modemhub/status", f"modemhub/modem/{modems.all[0].imei}/availability"):
                await observer.heard.until(  # what is retained may be of a hub before this one
                    lambda heard, topic=topic: [  # type: ignore[misc] # the default binds it
                        one for one in heard if (one.topic, one.payload, one.retain) == (topic, b"online", False)
                    ],
                    f"{topic} online",
                )
            yield Rig(modems, bundled.broker, observer, hub, api)
