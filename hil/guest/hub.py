"""The hub as a service of the guest, and a rig around it: emulated modems and broker outside, kernel and hub inside.

::

    Modems (hil.emulator) ─ usbredir ─► kernel, udev ─► Hub (systemd, in the guest) ─ TCP ─► Broker, on this host
                                                         ▲ forwarded port ─ Api

The product's tree is put into the guest when its machine has booted, so that a change of code costs no new image: the
package ``appliance`` to ``TREE``, the rules of ``udev/`` to where the Debian package installs them. What it depends on
is in the image. As in ``hil.rig`` the hub is known only by its doors; READY=1 is heard by systemd.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hil.guest.build import SITE
from hil.guest.machine import HOST
from hil.rig.api import Api
from hil.rig.broker import Broker
from hil.rig.hub import toml
from hil.rig.modems import Modems
from hil.rig.observer import Observer
from hil.rig.process import ROOT
from hil.rig.waiting import Overdue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from hil.guest.machine import Machine

__all__ = ["Hub", "Whole", "install", "whole"]

TREE: Final = "/opt/modemhub/tree"
CONFIG: Final = "/etc/modemhub/modemhub.toml"
STATE: Final = "/var/lib/modemhub"
LOG: Final = "/var/log/modemhub.log"
UNIT: Final = "modemhub"
HTTP: Final = 8080
"""Port of the HTTP door in the guest."""
RULES: Final = "/usr/lib/udev/rules.d"
GROUP: Final = "modemhub"
"""The group that the rules name; it must be there before they are read."""
START: Final = 120.0
"""Seconds until a start is given up: under emulation the imports alone take ten."""
ONLINE: Final = 120.0
"""Seconds until a modem that is plugged in is online."""


def _product() -> bytes:
    """The product's tree as a tar for the guest's root."""
    buffer = io.BytesIO()

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if "__pycache__" in entry.name:
            return None
        entry.uid = entry.gid = 0
        return entry

    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(ROOT / "appliance", f"{TREE}/appliance".lstrip("/"), filter=plain)
        for file in sorted((ROOT / "udev").glob("*.rules")):
            tar.add(file, f"{RULES}/{file.name}".lstrip("/"), filter=plain)
    return buffer.getvalue()


async def install(machine: Machine) -> None:
    """Put the product into the guest, once for each machine."""
    await machine.run("tar", "--extract", "--directory", "/", stdin=_product())
    await machine.run("python3", "-m", "compileall", "-q", TREE, within=START)
    await machine.run("groupadd", "--system", "--force", GROUP)
    await machine.run("udevadm", "control", "--reload")


class Hub:
    """The service.

    Args:
        machine: with the product installed.
        broker: port of the broker on this host, or None for no MQTT door.
        settings: more of the settings file, as TOML: whole sections and ``[[modems]]``.
    """

    def __init__(self, machine: Machine, *, broker: int | None, settings: str = "") -> None:
        self.machine = machine
        self.address = f"http://127.0.0.1:{machine.ports[HTTP]}"
        self.token = ""
        sections = {
            **({"mqtt": {"url": f"mqtt://{HOST}:{broker}"}} if broker else {}),
            "http": {"listen": f"0.0.0.0:{HTTP}"},
            "store": {"path": f"{STATE}/modemhub.db"},
            "policy": {"allowed_destinations": ["home"], "sim_daily_cap": 1_000_000},
        }
        self.settings = toml(sections) + "\n" + settings

    async def command(self, *arguments: str, check: bool = True) -> str:
        """Run ``modemhub ARGUMENTS… --config FILE`` in the guest to its end; its output."""
        argv = ["env", f"PYTHONPATH={TREE}:{SITE}", "python3", "-m", "appliance", *arguments, "--config", CONFIG]
        done = await self.machine.run(*argv, check=check, within=START)
        return done.out + done.err

    async def prepare(self) -> None:
        """A new store, the settings, a token."""
        script = f"rm -rf {STATE} {LOG}; mkdir -p {STATE} /etc/modemhub; cat > {CONFIG}"
        await self.machine.run("sh", "-c", script, stdin=self.settings.encode())
        self.token = (await self.command("token", "create", "--name", "rig", "--scope", "admin")).split()[-1]

    async def start(self) -> None:
        """Start the service and wait until it says READY.

        Raises:
            Overdue: it ended, or was not ready in time.
        """
        argv = [
            "systemd-run", "--quiet", f"--unit={UNIT}", "--service-type=notify", f"--setenv=PYTHONPATH={TREE}:{SITE}",
            "--property=NotifyAccess=main", "--property=Restart=always", "--property=RestartSec=1",
            f"--property=StandardOutput=append:{LOG}", f"--property=StandardError=append:{LOG}",
            "python3", "-X", "faulthandler", "-m", "appliance", "run", "--config", CONFIG,
        ]  # fmt: skip
        done = await self.machine.run(*argv, check=False, within=START)
        if done.code:
            raise Overdue(f"the hub did not start: {done.err}\n{await self.said()}")

    async def stop(self) -> None:
        """Stop it; nothing happens when it does not run."""
        script = f"systemctl stop {UNIT}.service; systemctl reset-failed {UNIT}.service"
        await self.machine.run("sh", "-c", script, check=False)

    async def said(self) -> str:
        """All that it wrote."""
        return (await self.machine.run("cat", LOG, check=False)).out


@dataclass(frozen=True, slots=True)
class Whole:
    """All of it, running."""

    machine: Machine
    modems: Modems
    broker: Broker
    observer: Observer
    hub: Hub
    api: Api


@contextlib.asynccontextmanager
async def whole(
    machine: Machine, directory: Path, *personas: str, settings: str = "", modem: Mapping[str, Any] | None = None
) -> AsyncIterator[Whole]:
    """Everything on a machine that has the product installed; it yields when every modem is online.

    Modems of these families are plugged in, one in each USB socket; ``modem`` are more words of their configuration.
    Afterwards the hub's log is in ``directory``, and the service and the modems are gone.
    """
    sockets = zip(personas, machine.sockets, strict=False)
    words = [{"persona": persona, "usbredir": str(socket), **(modem or {})} for persona, socket in sockets]
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        broker = await enter(Broker(directory / "broker"))
        observer = await enter(Observer(broker.port))
        emulated = await enter(Modems(directory / "m", configuration={"modems": words}))
        hub = Hub(machine, broker=broker.port, settings=settings)
        await hub.prepare()
        stack.push_async_callback(_leave, hub, directory)
        await hub.start()
        api = await enter(Api(hub.address, hub.token))
        for one in emulated.all:
            await observer.until_heard(f"modem/{one.imei}/availability", b"online", within=ONLINE)
        yield Whole(machine, emulated, broker, observer, hub, api)


async def _leave(hub: Hub, directory: Path) -> None:
    await hub.stop()
    (directory / "hub.log").write_text(await hub.said(), encoding="utf-8")
