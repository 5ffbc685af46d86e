"""The control socket: one JSON object per line, one answer per line; the words of a network operator and a saboteur.

Connections are independent: a ``wait`` on one does not hold up another. A verb is a function in ``VERBS``; what it
raises of ``ControlError`` or of the built-in errors for wrong values becomes ``{"ok": false, "error": …}``.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from hil.emulator import ussd
from hil.emulator.faults import FAULTS
from hil.emulator.modem import swap
from hil.emulator.settings import KEYS
from hil.emulator.usb import Stranger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from hil.emulator.gpio import Lines
    from hil.emulator.modem import Modem
    from hil.emulator.network import Network
    from hil.emulator.usb import Bus

LINE_LIMIT: Final = 16 * 1024 * 1024
CALL_INTERVAL: Final = 3.0
"""Seconds between two RINGs."""


class ControlError(Exception):
    """A verb that cannot be done, in words for the test's author."""


class Control:
    """The verbs, over the modems and the network."""

    def __init__(
        self, modems: list[Modem], network: Network, *, bus: Bus | None = None, lines: Lines | None = None
    ) -> None:
        self.modems = modems
        self.network = network
        self._bus = bus
        self._lines = lines
        self._server: asyncio.AbstractServer | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    async def listen(self, path: Path) -> None:
        self._server = await asyncio.start_unix_server(self._serve, path, limit=LINE_LIMIT)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._connections):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while line := await reader.readline():
                answer = await self.answer(line)
                writer.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(writer)
            writer.close()

    async def answer(self, line: bytes) -> dict[str, Any]:
        """The answer to one line."""
        try:
            words = json.loads(line)
            if not isinstance(words, dict):
                return {"ok": False, "error": "a verb is a JSON object"}
            verb = VERBS.get(str(words.get("do")))
            if verb is None:
                return {"ok": False, "error": f"no such verb: {words.get('do')}; known: {', '.join(VERBS)}"}
            return {"ok": True, **await verb(self, words)}
        except KeyError as error:
            return {"ok": False, "error": f"missing or unknown: {error.args[0]}"}
        except (ControlError, AttributeError, LookupError, TypeError, ValueError) as error:
            return {"ok": False, "error": str(error)}

    def chosen(self, words: Mapping[str, Any]) -> list[Modem]:
        """The modems which a verb names by modem, imei, imsi or number; all when it names none."""
        keys = [key for key in ("modem", "imei", "imsi", "number") if words.get(key) is not None]
        found = [
            modem
            for modem in self.modems
            if all(
                str(words[key])
                == {"modem": modem.name, "imei": modem.imei, "imsi": modem.sim.imsi, "number": modem.sim.number}[key]
                for key in keys
            )
        ]
        if not found:
            raise ControlError("no such modem: " + ", ".join(f"{key} {words[key]}" for key in keys))
        return found

    @property
    def bus(self) -> Bus:
        """The USB bus; raises ControlError without one."""
        if self._bus is None:
            raise ControlError("there is no USB bus: start with --usb")
        return self._bus

    @property
    def lines(self) -> Lines:
        """The GPIO lines; raises ControlError without any."""
        if self._lines is None:
            raise ControlError("there are no GPIO lines: start with --gpio, or give a modem lines")
        return self._lines

    def one(self, words: Mapping[str, Any]) -> Modem:
        """The single modem that a verb names; the only one when there is one."""
        found = self.chosen(words)
        if len(found) > 1:
            raise ControlError("say which modem: modem, imei, imsi or number")
        return found[0]


async def _status(control: Control, words: Mapping[str, Any]) -> dict[str, Any]:
    modems = [modem.status() | {"settings": asdict(modem.settings)} for modem in control.chosen(words)]
    return {"modems": modems, "network": dict(control.network.count), "ledger_lines": len(control.network.ledger.rows)}


async def _deliver(control: Control, words: Mapping[str, Any]) -> dict[str, Any]:
    modem = control.one(words)
    sent = control.network.deliver(modem.subscriber, dict(words))
    return {
        "deliveries": [delivery.number for delivery in sent],
        "tpdus": [delivery.tpdu.hex() for delivery in sent[:100]],
        "held": len(modem.subscriber.queue),
    }


_STATE_KEYS: Final = ("storage_limits", "sim", "mr", "pin", "csca", "modem_on")


async def _set(control: Control, words: Mapping[str, Any]) -> dict[str, Any]:
    changes = {key: value for key, value in words.items() if key not in ("do", "modem", "imei", "imsi", "number")}
    if not changes:
        raise ControlError("nothing to set")
    for key in changes:
        if key not in KEYS and key not in _STATE_KEYS:
            raise ControlError(f"no such key: {key}; known: {', '.join(sorted(KEYS | set(_STATE_KEYS)))}")
    for modem in control.chosen(words):
        for key, value in changes.items():
            # each modem uses up a list of its own
            own = json.loads(json.dumps(value))
            if key in KEYS:
                _set_switch(modem, key, own)
            else:
                _set_state(modem, key, own)
    control.network.changed()
    return {}


def _set_switch(modem: Modem, key: str, value: Any) -> None:
    before = [modem.stat(kind) for kind in modem.registers.report]
    modem.settings.set(key, value)
    if key == "chatter":
        modem.chatter_changed()
    if key in ("registration", "creg", "cgreg", "cereg"):
        modem.update_registration()
        if [modem.stat(kind) for kind in modem.registers.report] != before:
            modem.registration_changed()


def _set_state(modem: Modem, key: str, value: Any) -> None:
    sim = modem.sim
    match key:
        case "storage_limits":
            for name, limit in value.items():
                modem.memories[name].limit = int(limit)
            modem.memory_freed()
        case "mr":
            modem.mr = int(value) % 256
        case "pin":
            sim.pin = str(value)
        case "csca":
            modem.registers.csca = str(value)
        case "modem_on":
            if not value:
                modem.power_down()
            elif not modem.on:
                modem.reboot()
        case "sim":
            sim.present = value != "out"
            if value == "ready":
                sim.pin_left, sim.puk_left, sim.unlocked = 3, 10, True
            elif value == "pin":
                sim.pin_enabled, sim.unlocked, sim.pin_left = True, False, 3
            elif value == "puk":
                sim.pin_enabled, sim.unlocked, sim.pin_left = True, False, 0
            elif value != "out":
                raise ControlError("sim is ready, out, pin or puk")
            modem.sim_ready()


async def _fault(control: Control, words: Mapping[str, Any]) -> dict[str, Any]:
    if words["kind"] == "swap":
        return await _swap(control, words)
    kind = FAULTS.get(str(words["kind"]))
    if kind is None:
        raise ControlError(f"no such fault: {words['kind']}; known: {', '.join(FAULTS)}, swap")
    # the new card's words are no words that choose the modem
    which = {key: words[key] for key in ("modem", "imei") if key in words} if words["kind"] == "sim_change" else words
    for modem in control.chosen(which):
        kind(modem, words)
    control.network.changed()
    return {}


async def _swap(control: Control, words: Mapping[str, Any]) -> dict[str, Any]:
    """Two modems exchange their places on the host, as two sticks do; both boot."""
    one, other = control.one(words), control.one({"modem": words["with"]})
    if one is other:
        raise ControlError("a modem cannot be swapped with itself")
    swap(one, other)
    control.network.changed()
    return {}


async def _line(control: Control, words: Mapping[str, Any]) -> dict[str, Any]:
    """Drive a GPIO ``line`` to ``level``; without one, tell its level."""
    line = int(words["line"])
    if "level" in words:
        control.lines.drive(line, int(words["level"]), by="control")
    return {"level": control.lines.level(line)}


async def _usb_plug(control: Control, words: Mapping[str, Any]) -> dict[str, Any]:
    """Plug a device that is no modem: ``what``, and ``at`` which position."""
    stranger = Stranger.of(control.bus, str(words["what"]), words.get("at"))
    return {"position": stranger.position, "path": stranger.path, "ttys": sorted(stranger.ttys.values())}


async def _usb_unplug(control: Control, words: Mapping[str, Any]) -> dict[str, Any]:
    """Pull out what ``usb_plug`` plugged ``at`` this position."""
    gadget = control.bus.gadgets.get(str(words["at"]))
    if not isinstance(gadget, Stranger):
        raise ControlError(f"no device of usb_plug is at {words['at']}")
    control.bus.vanish(gadget)
    del control.bus.gadgets[gadget.position]
    return {}


async def _usb_mode(control: Control, words: Mapping[str, Any]) -> dict[str, Any]:
    """A mode switch: the modem returns as ``id`` "vid:pid", or as itself when that is empty."""
    control.bus  # noqa: B018 - raises without one
    control.one(words).switch_mode(str(words["id"]))
    return {}


async def _ussd(control: Control, words: Mapping[str, Any]) -> dict[str, Any]:
    """``script``: what the network answers from now on; or ``text``, ``status``, ``next``: the network speaks first."""
    modem = control.one(words)
    if "script" in words:
        modem.settings.set("ussd", words["script"])
    else:
        ussd.tell(modem, {key: words[key] for key in ("text", "status", "dcs", "next") if key in words})
    return {}


async def _release_reports(control: Control, words: Mapping[str, Any]) -> dict[str, Any]:
    order = str(words.get("order", "fifo"))
    if order not in ("fifo", "reversed"):
        raise ControlError("order is fifo or reversed")
    return {"released": control.network.release_reports(order)}


async def _ledger(control: Control, words: Mapping[str, Any]) -> dict[str, Any]:
    rows = control.network.ledger.rows[int(words.get("since", 0)) :]
    kind = words.get("kind")
    return {"rows": [row for row in rows if kind is None or row["kind"] == kind]}


async def _call(control: Control, words: Mapping[str, Any]) -> dict[str, Any]:
    modem = control.one(words)
    number = str(words.get("from", ""))
    if not modem.reachable:
        raise ControlError("the modem is not reachable")
    modem.calling = number or "unknown"
    interval = float(words.get("interval", CALL_INTERVAL))

    def ring(left: int) -> None:
        if modem.calling is None:
            return
        if left == 0:
            modem.calling = None
            modem.urc("NO CARRIER")
            return
        modem.urc("RING")
        if modem.registers.clip:
            toa = 145 if number.startswith("+") else 129
            modem.urc(f'+CLIP: "{number}",{toa},"",,"",{0 if number else 1}')
        modem.after(interval, lambda: ring(left - 1))

    ring(int(words.get("rings", 1)))
    return {}


async def _wait(control: Control, words: Mapping[str, Any]) -> dict[str, Any]:
    """Until the counters are at least so high, or a modem's status value is as told."""
    network = control.network
    timeout = float(words.get("timeout", 10.0))
    counters = {key: int(words[key]) for key in network.count if key in words}
    expected = words.get("status")
    lines = words.get("commands")
    if not counters and expected is None and lines is None:
        raise ControlError(f"wait for what? one of {', '.join(network.count)}, commands, status")

    def reached() -> bool:
        if any(network.count[key] < least for key, least in counters.items()):
            return False
        if lines is not None and control.one(words).commands["lines"] < int(lines):
            return False
        if expected is not None:
            status = control.one(words).status()
            return all(status.get(key) == value for key, value in expected.items())
        return True

    if not reached():
        changed = asyncio.Event()
        ended = network.watch(changed.set)
        try:
            async with asyncio.timeout(timeout):
                while not reached():
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            raise ControlError(f"not within {timeout} s; counters: {network.count}") from None
        finally:
            ended()
    return {"network": dict(network.count)}


async def _ping(_control: Control, _words: Mapping[str, Any]) -> dict[str, Any]:
    return {}


VERBS: Final[Mapping[str, Callable[[Control, Mapping[str, Any]], Awaitable[dict[str, Any]]]]] = {
    "status": _status,
    "deliver": _deliver,
    "set": _set,
    "fault": _fault,
    "ussd": _ussd,
    "line": _line,
    "usb_plug": _usb_plug,
    "usb_unplug": _usb_unplug,
    "usb_mode": _usb_mode,
    "release_reports": _release_reports,
    "ledger": _ledger,
    "call": _call,
    "wait": _wait,
    "ping": _ping,
}
