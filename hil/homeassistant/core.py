"""Home Assistant Core as a process: set up as a person does it, asked through its own API, judged by its log.

::

    HomeAssistant ── REST, WebSocket ──> hass (hil.homeassistant.build) ── MQTT ──> Broker
        states, events, registries           configuration, log

Theory of operation. The first start goes through the steps of the first-run page (an owner, a token) and adds the MQTT
integration by its own dialogue, with the broker's address and nothing else, so everything about discovery is as Core
has it by default. Each later start finds that configuration in the directory. From the moment it runs, every event of
its bus is in :attr:`HomeAssistant.events`, and :attr:`HomeAssistant.states` is what its states are now. What it logs at
WARNING or above is in :meth:`HomeAssistant.complaints`, less what is known to be of no concern here (``UNCONCERNED``).
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp

from hil.homeassistant.build import tree
from hil.rig import Child, Overdue, Record
from hil.rig.broker import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

__all__ = ["Event", "HomeAssistant", "State"]

START: Final = 120.0
"""Seconds until a start is given up; it takes 3, the first one 10 (its code is compiled)."""

PATIENCE: Final = 30.0
"""Seconds that anything else is waited for."""

CONFIGURATION: Final = """\
homeassistant:
  name: Test
  country: GB
  time_zone: UTC
recorder:
history:
logbook:
automation: !include automations.yaml
script: !include scripts.yaml
"""
"""What a new installation has (``default_config``) less the integrations that want the internet or hardware."""

HTTP: Final[dict[str, Any]] = {
    "cors_allowed_origins": [],
    "login_attempts_threshold": -1,
    "ip_ban_enabled": False,
    "ssl_profile": "intermediate_v6",
    "use_x_frame_options": True,
    "created_at": "2026-01-01T00:00:00+00:00",
    "error": None,
    "error_message": None,
}
"""What its store ``http`` holds beside host and port: there alone can it be told to listen on 127.0.0.1 only."""

ABSENT: Final = (
    "ai_task", "assist_pipeline", "assist_satellite", "camera", "conversation", "ffmpeg",
    "image_processing", "infrared", "radio_frequency", "tts",
)  # fmt: skip
"""Integrations that Core tries to load for the triggers they offer, and whose packages are not fetched."""

UNCONCERNED: Final = (
    re.compile(r"\[homeassistant\.setup\] .*'(" + "|".join(ABSENT) + r")'"),
    re.compile(r"\[homeassistant\.bootstrap\] Skipping pip installation"),
    re.compile(r"\[aiohttp_fast_zlib\]"),
    re.compile(r"\[homeassistant\.components\.recorder\b.*(shutdown cleanly|unfinished session)"),
)
"""Complaints that are about this way of running Core, and killing it."""

LINE: Final = re.compile(r"[\d-]+ [\d:.+]+ (?P<level>[A-Z]+) \([^)]*\) \[(?P<logger>[^\]]+)\]")
"""The beginning of an entry of the log; what follows on other lines belongs to it."""


@dataclass(frozen=True, slots=True)
class State:
    """One state of an entity."""

    entity_id: str
    state: str
    attributes: dict[str, Any]

    @classmethod
    def of(cls, told: dict[str, Any]) -> Self:
        return cls(told["entity_id"], told["state"], told["attributes"])


@dataclass(frozen=True, slots=True)
class Event:
    """One event of Core's bus."""

    kind: str
    data: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.kind} {json.dumps(self.data, ensure_ascii=False)[:300]}"


class Refused(AssertionError):
    """Core answered a command with an error."""


class HomeAssistant:
    """One Core: its configuration directory, and its process from start to start.

    Args:
        directory: holds its configuration and ``hass.log``; made if missing.
        broker_port: of the broker on 127.0.0.1 that its MQTT integration is given.
    """

    def __init__(self, directory: Path, broker_port: int) -> None:
        self.directory = directory
        self.address = f"http://127.0.0.1:{free_port()}"
        self.events: Record[Event] = Record("events of Home Assistant")
        self.states: dict[str, State] = {}
        self._broker_port = broker_port
        self._child: Child | None = None
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None
        self._refresh_token = ""
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._told: list[str] = []
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "configuration.yaml").write_text(CONFIGURATION, encoding="utf-8")
        for file in ("automations.yaml", "scripts.yaml"):
            (directory / file).touch()
        stored = directory / ".storage" / "http"
        stored.parent.mkdir(exist_ok=True)
        listens = {"server_port": int(self.address.rpartition(":")[2]), "server_host": ["127.0.0.1"]}
        content = {"stable": {**HTTP, **listens}, "pending": None, "yaml_migration_done": True}
        whole = {"version": 3, "minor_version": 1, "key": "http", "data": content}
        stored.write_text(json.dumps(whole), encoding="utf-8")

    # The process.

    async def start(self, *, within: float = START) -> None:
        """Start it, and return when it says that it runs and its MQTT integration is loaded.

        Raises:
            Overdue: it ended, or did not get that far in time.
        """
        built, heard = tree(), len(self.events.items)
        own_log = self.directory / "home-assistant.txt"  # the same as it prints
        options = [
            "--config",
            str(self.directory),
            "--skip-pip",
            "--verbose",
            "--log-no-color",
            "--log-file",
            str(own_log),
        ]
        argv = [*built.python, "-m", "homeassistant", *options]
        log = self.directory / "hass.log"
        self._child = child = await Child.start("Home Assistant", argv, log=log, environment=built.environment)
        await child.line(lambda line: "Now listening on port" in line, "open port", within=within)
        self._session = aiohttp.ClientSession(base_url=self.address)
        if not self._refresh_token:
            await self._claim()
            await self._connect()
            await self._add_mqtt()
        else:
            await self._connect()
        if (await self.command("get_config"))["state"] != "RUNNING":
            started = "homeassistant_started"
            await self.until_event(lambda event: event.kind == started, started, start=heard, within=within)
        (entry,) = await self.command("config_entries/get", domain="mqtt")
        if entry["state"] != "loaded":
            raise Overdue(f"the MQTT integration did not load: {entry}")

    async def stop(self) -> int:
        """Stop it in good order; the exit code."""
        code = await self.child.stop(within=START)
        await self._disconnect()
        return code

    async def kill(self) -> None:
        """SIGKILL."""
        await self.child.kill()
        await self._disconnect()

    @property
    def child(self) -> Child:
        """Its process."""
        assert self._child is not None, "Home Assistant was never started"
        return self._child

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child:
            await self._child.stop(within=PATIENCE)
        await self._disconnect()

    # Set-up, as the first-run page and the dialogue of the integration do it.

    async def _claim(self) -> None:
        client = {"client_id": f"{self.address}/"}
        owner = {"name": "Owner", "username": "owner", "password": "owner", "language": "en"}
        code = (await self.request("POST", "/api/onboarding/users", {**client, **owner}))["auth_code"]
        self._refresh_token = (await self._token(grant_type="authorization_code", code=code))["refresh_token"]

    async def _token(self, **grant: str) -> dict[str, str]:
        assert self._session is not None
        form = {"client_id": f"{self.address}/", **grant}
        async with self._session.post("/auth/token", data=form, raise_for_status=True) as response:
            tokens: dict[str, str] = await response.json()
            return tokens

    async def _add_mqtt(self) -> None:
        flows = "/api/config/config_entries/flow"
        flow = await self.request("POST", flows, {"handler": "mqtt"})
        no_tls = {"set_client_cert": False, "set_ca_cert": "off"}
        answer = {"broker": "127.0.0.1", "port": self._broker_port, "other_settings": no_tls}
        made = await self.request("POST", f"{flows}/{flow['flow_id']}", answer)
        if made["type"] != "create_entry":
            raise Refused(f"the MQTT integration was not added: {made}")

    async def request(self, method: str, path: str, content: Any = None) -> Any:
        """One REST request; the JSON of the answer."""
        assert self._session is not None
        access = self._session.headers.get("Authorization")
        headers = {"Authorization": access} if access else {}
        async with self._session.request(method, path, json=content, headers=headers) as response:
            if response.status >= 300:
                raise Refused(f"{method} {path}: {response.status} {await response.text()}")
            return await response.json()

    # The WebSocket API.

    async def _connect(self) -> None:
        assert self._session is not None
        access = (await self._token(grant_type="refresh_token", refresh_token=self._refresh_token))["access_token"]
        self._session.headers["Authorization"] = f"Bearer {access}"
        self._socket = socket = await self._session.ws_connect("/api/websocket", max_msg_size=0)
        await socket.receive_json()
        await socket.send_json({"type": "auth", "access_token": access})
        if (answer := await socket.receive_json())["type"] != "auth_ok":
            raise Refused(f"the token was not taken: {answer}")
        self._waiting.clear()
        self._reader = asyncio.create_task(self._read(socket), name="events of Home Assistant")
        await self.command("subscribe_events")
        self.states = {told["entity_id"]: State.of(told) for told in await self.command("get_states")}

    async def _disconnect(self) -> None:
        if self._reader:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._session:
            await self._session.close()
        self._session = self._socket = self._reader = None
        if self._child:
            self._told += self._child.lines.items
            self._child = None

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            told = message.json()
            match told["type"]:
                case "result":
                    self._waiting.pop(told["id"]).set_result(told)
                case "event":
                    self._hear(Event(told["event"]["event_type"], told["event"]["data"]))

    def _hear(self, event: Event) -> None:
        if event.kind == "state_changed":
            if event.data["new_state"] is None:
                self.states.pop(event.data["entity_id"], None)
            else:
                self.states[event.data["entity_id"]] = State.of(event.data["new_state"])
        self.events.add(event)

    async def command(self, kind: str, **fields: Any) -> Any:
        """One command of the WebSocket API; its result.

        Raises:
            Refused: it was answered with an error.
        """
        assert self._socket is not None
        self._number += 1
        number = self._number
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "type": kind, **fields})
        async with asyncio.timeout(PATIENCE):
            told = await future
        if not told["success"]:
            raise Refused(f"{kind} {fields}: {told['error']}")
        return told["result"]

    async def call(self, action: str, *, on: str | None = None, **data: Any) -> None:
        """Perform an action ("notify.send_message"), on an entity if one is given, and wait for its end."""
        domain, service = action.split(".")
        target = {"target": {"entity_id": on}} if on else {}
        await self.command("call_service", domain=domain, service=service, service_data=data, **target)

    async def devices(self) -> list[dict[str, Any]]:
        """The device registry: what MQTT brought."""
        entries = await self.command("config_entries/get", domain="mqtt")
        ours = {entry["entry_id"] for entry in entries}
        devices: list[dict[str, Any]] = await self.command("config/device_registry/list")
        return [device for device in devices if ours & set(device["config_entries"])]

    async def entities(self) -> list[dict[str, Any]]:
        """The entity registry: what MQTT brought."""
        entities: list[dict[str, Any]] = await self.command("config/entity_registry/list")
        return [entity for entity in entities if entity["platform"] == "mqtt"]

    async def issues(self) -> list[dict[str, Any]]:
        """What its page of repairs shows of MQTT, and of what uses it."""
        told = await self.command("repairs/list_issues")
        return [issue for issue in told["issues"] if issue["domain"] in {"mqtt", "sensor", "event", "notify"}]

    # Waiting.

    async def until_event(
        self, matches: Callable[[Event], object], what: str, *, start: int = 0, within: float = PATIENCE
    ) -> Event:
        """The first event that matches, from the ``start``-th heard on."""
        return await self.events.until(
            lambda events: next((event for event in events[start:] if matches(event)), None), what, within=within
        )

    async def until(self, holds: Callable[[dict[str, State]], object], what: str, *, within: float = PATIENCE) -> None:
        """Wait until that holds for the states."""
        try:
            await self.events.until(lambda _: holds(self.states), what, within=within)
        except Overdue as overdue:
            shown = "\n".join(f"  {state.entity_id} = {state.state}" for state in self.states.values())
            raise Overdue(f"{overdue}\nThe states:\n{shown}") from None

    async def until_state(self, entity_id: str, state: str, *, within: float = PATIENCE) -> State:
        """Wait until the entity has this state."""
        await self.until(
            lambda states: entity_id in states and states[entity_id].state == state,
            f"{entity_id} = {state}",
            within=within,
        )
        return self.states[entity_id]

    # The log.

    def complaints(self) -> list[str]:
        """Each entry of its log at WARNING or above that is of concern, of all its starts."""
        entries: list[tuple[str, list[str]]] = []
        for line in [*self._told, *(self._child.lines.items if self._child else [])]:
            if begun := LINE.match(line):
                entries.append((begun["level"], [line]))
            elif entries:
                entries[-1][1].append(line)
        return [
            "\n".join(lines)
            for level, lines in entries
            if level in {"WARNING", "ERROR", "CRITICAL"} and not any(known.search(lines[0]) for known in UNCONCERNED)
        ]
