"""The rig: the real hub as a process between emulated modems and a real broker, and the witnesses beside it.

::

    Modems (hil.emulator)  <-pty->  Hub (python -m appliance run)  <-TCP->  Broker (mosquitto)  <->  Observer
      control, ledger                 settings file, READY=1, log    <-TCP->  Api (aiohttp)

Everything is a child process or a connection on 127.0.0.1, in one directory, and is ended by its own pid. Nothing
sleeps: each wait is for a thing that happens, with a generous deadline (:mod:`hil.rig.waiting`). The hub is known only
by its doors, its process and the emulator's ledger; nothing of ``appliance`` is imported.
"""

from __future__ import annotations

import contextlib
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hil.rig.api import Answer, Api
from hil.rig.broker import Broker, mosquitto_path
from hil.rig.hub import Hub
from hil.rig.modems import Modem, Modems, Sent
from hil.rig.observer import Heard, Observer
from hil.rig.process import Child
from hil.rig.waiting import PATIENCE, Overdue, Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from hil.rig.hub import Settings

__all__ = [
    "PATIENCE",
    "Answer",
    "Api",
    "Broker",
    "Child",
    "Heard",
    "Hub",
    "Modem",
    "Modems",
    "Observer",
    "Overdue",
    "Record",
    "Rig",
    "Sent",
    "mosquitto_path",
    "rig",
]


@dataclass(frozen=True, slots=True)
class Rig:
    """All of it, running."""

    modems: Modems
    broker: Broker
    observer: Observer
    hub: Hub
    api: Api

    async def ready(self, *, start: int = 0, within: float = PATIENCE) -> None:
        """Wait until the hub has told every modem ``online``; ``start`` as for the observer."""
        for modem in self.modems.all:
            await self.observer.until_heard(f"modem/{modem.imei}/availability", b"online", start=start, within=within)

    async def restart_hub(self) -> None:
        """Start the hub again on the same directory, and wait until every modem is ready again.

        The hub itself is asked: what the broker still tells may be of the process before.
        """
        await self.hub.start()
        heard = self.observer.heard
        while True:
            seen = len(heard.items)
            modems = (await self.api.call("GET", "/api/v1/modems")).json["modems"]
            if len(modems) == len(self.modems.all) and all(modem["state"] == "ready" for modem in modems):
                return
            await heard.until(lambda items: len(items) > seen, "news of a modem")  # noqa: B023 - asked before seen changes


@contextlib.asynccontextmanager
async def rig(
    directory: Path,
    *,
    modems: int | Sequence[Mapping[str, Any]] = 1,
    usb: bool = False,
    gpio: bool = False,
    broker: Literal["mosquitto", "embedded"] = "mosquitto",
    settings: Settings | None = None,
    emulator: Sequence[str] = (),
    start: bool = True,
    await_modems: bool = True,
    mqtt_port: int = 0,
    http_port: int = 0,
) -> AsyncIterator[Rig]:
    """Start everything in ``directory``; it yields when every modem is online.

    ``modems`` is how many, or the emulator's words for each; among them ``hub`` has what the hub's own ``[[modems]]``
    entry says beside the port (``profile``, ``board``, ``power``). With ``usb`` those whose family has USB are on a
    fake bus, where the hub finds them by itself; with ``gpio`` there are GPIO lines.
    ``settings`` and ``emulator`` (command-line options) are passed on; a port of 0 is any that is free.
    Without ``start`` the hub is only prepared; without ``await_modems`` no modem is waited for.
    """
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        words = [{}] * modems if isinstance(modems, int) else [dict(each) for each in modems]
        said = [each.pop("hub", {}) for each in words]
        if isinstance(modems, int):
            made = Modems(directory / "m", modems, options=emulator, usb=usb, gpio=gpio)
        else:
            made = Modems(directory / "m", options=emulator, usb=usb, gpio=gpio, configuration={"modems": words})
        emulated = await enter(made)
        serving = await enter(Broker(directory / "broker", broker, port=mqtt_port))
        observer = await enter(Observer(serving.port, protocol=serving.protocol))
        hub = Hub(
            directory / "hub",
            modems=[
                {"port": modem.port, **more}
                for modem, more in zip(emulated.all, said, strict=True)
                if modem.port in emulated.uarts
            ],
            mqtt=serving.url,
            settings={**({"detect": {"udev": True}} if usb else {}), **(settings or {})},
            port=http_port,
            environment=emulated.environment,
        )
        stack.push_async_exit(hub.__aexit__)
        await (hub.start() if start else hub.prepare())
        api = await enter(Api(hub.address, hub.token))
        whole = Rig(emulated, serving, observer, hub, api)
        if start and await_modems:
            await whole.ready()
        yield whole
