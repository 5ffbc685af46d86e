"""The real hub on a real journal without a modem, and what its doors are tested with."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import hashlib
import random
import shutil
import socket
from typing import TYPE_CHECKING, Any

from appliance.hub import Hub
from appliance.hub.settings import PolicySettings
from appliance.mqtt import MqttDoor, MqttSettings
from appliance.store import HubClock, Journal, tokens
from appliance.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from tests.modem.desk import Desk

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class Time:
    """A clock that the test moves; sleepers wake when their time has come."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []
        self._news = asyncio.Event()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        place = (self.now + seconds, asyncio.Event())
        self._sleepers.append(place)
        self._news.set()
        try:
            await place[1].wait()
        finally:
            if place in self._sleepers:
                self._sleepers.remove(place)

    async def sleeping(self, seconds: float) -> None:
        """Return when somebody sleeps until ``seconds`` from now or sooner."""
        while not any(at <= self.now + seconds for at, _ in self._sleepers):
            self._news.clear()
            await self._news.wait()

    async def sleep_of(self, seconds: float) -> None:
        """Return when somebody sleeps until exactly ``seconds`` from now, and let that time pass."""
        while not any(at == self.now + seconds for at, _ in self._sleepers):
            self._news.clear()
            await self._news.wait()
        self.pass_by(seconds)

    async def sleep_until(self, at: float) -> None:
        """Return when somebody sleeps until then (to the microsecond), and let the time pass."""
        while not (found := [wakes for wakes, _ in self._sleepers if abs(wakes - at) < 1e-6]):
            self._news.clear()
            await self._news.wait()
        self.pass_by(found[0] - self.now + 1e-6)

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        due = [woken for at, woken in self._sleepers if at <= self.now]
        self._sleepers = [(at, woken) for at, woken in self._sleepers if at > self.now]
        for woken in due:
            woken.set()


class House:
    """One hub and its journal; closing it is a restart's first half."""

    def __init__(self, journal: Journal, supervisor: Supervisor, hub: Hub, time: Time) -> None:
        self.journal = journal
        self.supervisor = supervisor
        self.hub = hub
        self.time = time
        """The hub's; a door may have its own."""

    async def token(self, name: str, *scopes: str) -> str:
        """Make a token; returns it."""
        token = f"token-of-{name}"
        digest = hashlib.sha256(token.encode()).digest()
        await self.journal.write(tokens.create, name=name, scopes=list(scopes), digest=digest)
        return token


async def plug_in(home: House, desk: Desk) -> str:
    """Have the hub tend a modem on a desk; its IMEI, once it can send. A desk answers at once: no time passes."""
    home.hub._fleet.appeared(desk)  # type: ignore[arg-type] # a place of the tests'
    version = -1
    while not (ready := [imei for imei, view in home.hub.modems().items() if view["available"]]):
        version = await home.hub.modems_changed(version)
    return ready[0]


@contextlib.asynccontextmanager
async def house(
    directory: Path,
    *,
    probe: Callable[[str, str], None] | None = None,
    allowed: Iterable[str] = ("*",),
    **policy: Any,
) -> AsyncIterator[House]:
    time = Time()
    clock = HubClock(boottime=time, wall=lambda: 1_800_000_000 + time.now, boot_id="the same")
    journal = await Journal.open(directory / "hub.db", clock=clock, probe=probe, ballast_bytes=64 * 1024)
    supervisor = Supervisor()
    rules = PolicySettings(allowed_destinations=list(allowed), **({"sim_daily_cap": 100_000} | policy))
    hub = Hub(journal, clock, supervisor, policy=rules)
    await hub.start()
    running = asyncio.create_task(supervisor.run())
    try:
        yield House(journal, supervisor, hub, time)
    finally:
        supervisor.stop()
        await running
        await journal.close()


@contextlib.asynccontextmanager
async def opened(door: Any) -> AsyncIterator[Any]:
    """Run a door; leaving is the graceful stop. What ends the door early is raised here."""
    running = asyncio.create_task(door.run())
    try:
        yield door
    finally:
        if not running.done():
            running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


class Longest(random.Random):
    """No jitter: always the longest, so that a test knows a back-off by its length. Keeps the bounds asked for."""

    def __init__(self) -> None:
        super().__init__(0)
        self.bounds: list[tuple[float, float]] = []

    def uniform(self, a: float, b: float) -> float:
        self.bounds.append((a, b))
        return b


def mqtt_door(hub: Hub, url: str, *, time: Time | None = None, rng: Longest | None = None, **wishes: Any) -> MqttDoor:
    """The door to a broker, in the test's own time when it has one."""
    settings = MqttSettings(url=url, **wishes)
    if time is None:
        return MqttDoor(hub, settings)
    return MqttDoor(hub, settings, now=time, sleep=time.sleep, rng=rng or Longest())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Mosquitto:
    """A real Mosquitto on its own port, with its sessions in ``directory``."""

    def __init__(self, directory: Path, *, listener: str = "", scheme: str = "mqtt") -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"{scheme}://localhost:{self.port}"
        self._listener = listener
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        assert MOSQUITTO is not None
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\n{self._listener}\nallow_anonymous true\npersistence true\n"
            f"persistence_location {self.directory}/\nmax_queued_messages 0\nlog_dest stderr\n"
            f"user {getpass.getuser()}\n"
        )
        self._process = await asyncio.create_subprocess_exec(
            MOSQUITTO, "-c", config, stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
        )
        assert self._process.stderr is not None
        while b"running" not in (line := await self._process.stderr.readline()):
            assert line, "mosquitto ended"
        self._drain = asyncio.create_task(self._process.stderr.read())

    async def stop(self) -> None:
        """An orderly end: sessions are saved."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.terminate()
            await self._process.wait()
            await self._drain
            self._process = None
