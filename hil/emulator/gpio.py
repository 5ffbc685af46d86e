"""GPIO lines of the host, wired to the modems: power key, reset, supply, flight mode, and the modem's STATUS.

Each line n is a file ``DIR/<n>`` that holds ``0`` or ``1``; ``DIR/log.jsonl`` has every edge, ``{"time", "line",
"level", "by"}`` with CLOCK_MONOTONIC. Who drives a line takes the lock on ``DIR/.lock``, appends the edge to the log
and writes the file; then the length of a pulse is what the driver made of it, however late this process hears of it. A
file that is written without a log entry (a shell's echo) is logged here, at the time when it is seen.

What a line does is the wiring of a modem's configuration; the pulses must be as long as the family wants them
(``pwrkey_on_ms``, ``pwrkey_off_ms``, ``reset_ms``; the wiring may say others)::

    {"pwrkey": {"line": 6, "pressed": 1}, "reset": {"line": 13, "active": 1}, "enable": {"line": 26, "on": 0},
     "status": {"line": 23, "running": 0}, "flight": {"line": 4, "on": 1}, "pwrkey_on_ms": 100}

* power key: held long enough on a modem that is off it boots, on a running one it shuts down; once for each press. It
  acts while the key is still held (some hosts hold it until STATUS changes), or at the release. A press that begins
  while the modem boots or shuts down does nothing, and neither does one that is too short.
* reset: held long enough the modem is dead, and boots at the release.
* enable: the supply. With a power key a modem waits for it then (``autostart`` in the configuration says otherwise).
* status: written by the modem. flight: +CFUN=4 while it is on.

What a data sheet forbids is done and remembered in the modem's ``harm``: a supply cut under a running modem, power key
and reset at the same time.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hil.emulator import inotify
from hil.emulator.inotify import Inotify

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from hil.emulator.modem import Modem
    from hil.emulator.network import Network

_WORDS: Final[Mapping[str, str]] = {
    "pwrkey": "pressed", "reset": "active", "enable": "on", "status": "running", "flight": "on",
}  # fmt: skip
"""The lines of a wiring, and the word for the level at which each does its work."""
_MINIMA: Final = ("pwrkey_on_ms", "pwrkey_off_ms", "reset_ms")


@dataclass(slots=True)
class _Key:
    """A line that works by how long it is held."""

    since: float | None = None
    """When it was pressed; None while it is not."""
    least: float = 0.0
    """Seconds that it must be held."""
    acted: bool = False


@dataclass(slots=True)
class Wiring:
    """The lines of one modem: by name, (line, level at which it does its work)."""

    modem: Modem
    lines: dict[str, tuple[int, int]] = field(default_factory=dict)
    minima: dict[str, float] = field(default_factory=dict)
    """Seconds."""
    pwrkey: _Key = field(default_factory=_Key)
    reset: _Key = field(default_factory=_Key)

    @classmethod
    def read(cls, modem: Modem, words: Mapping[str, Any]) -> Wiring:
        """From a configuration; raises ValueError in words."""
        wiring = cls(modem)
        for name, value in words.items():
            if name in _MINIMA:
                wiring.minima[name] = float(value) / 1000
            elif name in _WORDS:
                level = int(value.get(_WORDS[name], 1))
                wiring.lines[name] = int(value["line"]), level
            else:
                raise ValueError(f"no such line: {name}; known: {', '.join((*_WORDS, *_MINIMA))}")
        for name in _MINIMA:
            wiring.minima.setdefault(name, getattr(modem.persona, name) / 1000)
        return wiring


class Lines:
    """All lines of the host."""

    def __init__(self, directory: Path, network: Network, loop: asyncio.AbstractEventLoop) -> None:
        self.directory = directory
        self._watcher = Inotify(loop)
        self._loop = loop
        directory.mkdir(parents=True, exist_ok=True)
        for old in directory.iterdir():
            if old.name.isdecimal() or old.name == "log.jsonl":
                old.unlink()
        self._log = directory / "log.jsonl"
        self._log.touch()
        (directory / "gpiochip0").touch()
        self._lock = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        self._read = 0
        self._levels: dict[int, int] = {}
        self._wirings: list[Wiring] = []
        self._watcher.watch(self._log, inotify.MODIFY, lambda _mask: self._logged())
        self._ended = network.watch(self._tell_status)

    # ---- levels

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def level(self, line: int) -> int:
        return self._levels.get(line, 0)

    def drive(self, line: int, level: int, *, by: str) -> None:
        """Set a line, as its driver does."""
        if level not in (0, 1) or line < 0:
            raise ValueError(f"line {line} cannot be {level}")
        self._know(line)
        with self._locked():
            self._append(line, level, by)
            (self.directory / str(line)).write_text(str(level))
        self._logged()

    def _append(self, line: int, level: int, by: str) -> None:
        with self._log.open("a") as log:
            log.write(json.dumps({"time": time.monotonic(), "line": line, "level": level, "by": by}) + "\n")

    def _know(self, line: int, level: int = 0) -> None:
        """Make the file of a line, and watch it for those who write it without the log."""
        if line in self._levels:
            return
        file = self.directory / str(line)
        if not file.exists():
            file.write_text(str(level))
        self._levels[line] = level
        self._watcher.watch(file, inotify.MODIFY | inotify.CLOSE_WRITE, lambda _mask: self._written(line, file))

    def _written(self, line: int, file: Path) -> None:
        """Somebody wrote the file; what the log does not have of it is added."""
        with self._locked():
            edges = self._unread()
            known = next((level for other, level, _ in reversed(edges) if other == line), self._levels[line])
            text = file.read_text().strip()
            if text in ("0", "1") and int(text) != known:
                self._append(line, int(text), "file")
                edges += self._unread()
        self._take(edges)

    def _logged(self) -> None:
        with self._locked():
            edges = self._unread()
        self._take(edges)

    def _take(self, edges: list[tuple[int, int, float]]) -> None:
        for line, level, when in edges:
            self._edge(line, level, when)

    def _unread(self) -> list[tuple[int, int, float]]:
        with self._log.open() as log:
            log.seek(self._read)
            rows = [json.loads(row) for row in log.read().splitlines()]
            self._read = log.tell()
        return [(int(row["line"]), int(row["level"]), float(row["time"])) for row in rows]

    # ---- what they do

    def wire(self, modem: Modem, words: Mapping[str, Any]) -> None:
        """Connect a modem; its lines are at rest, and its supply is as the modem's; raises ValueError."""
        wiring = Wiring.read(modem, words)
        self._wirings.append(wiring)
        for name, (line, active) in wiring.lines.items():
            at_work = (name == "enable" and modem.supplied) or (name == "status" and modem.on)
            self._know(line, active if at_work else 1 - active)
        if "pwrkey" in wiring.lines:
            modem.autostart = False

    def _edge(self, line: int, level: int, when: float) -> None:
        if self._levels.get(line) == level:
            return
        self._know(line, level)
        self._levels[line] = level
        for wiring in self._wirings:
            for name, (own, active) in wiring.lines.items():
                if own == line:
                    self._work(wiring, name, when, at_work=level == active)

    def _work(self, wiring: Wiring, name: str, when: float, *, at_work: bool) -> None:
        modem = wiring.modem
        match name:
            case "enable":
                modem.set_supply(at_work)
            case "flight":
                modem.set_flight(at_work)
            case "pwrkey" | "reset":
                other = wiring.reset if name == "pwrkey" else wiring.pwrkey
                if at_work and other.since is not None:
                    modem.harm.append("power key and reset at the same time")
                (self._pwrkey if name == "pwrkey" else self._reset)(wiring, when, held=at_work)

    def _later(self, key: _Key, since: float, least: float, act: Callable[[], None]) -> None:
        """Act when the line was held that long, if it still is; what came meanwhile is heard first."""

        def due() -> None:
            self._watcher.drain()
            if key.since == since and not key.acted:
                key.acted = True
                act()

        self._loop.call_at(max(since, self._loop.time() - least) + least, due)

    def _pwrkey(self, wiring: Wiring, when: float, *, held: bool) -> None:
        modem, key = wiring.modem, wiring.pwrkey
        if held:
            key.since, key.acted = when, modem.booting or modem.stopping
            key.least = wiring.minima["pwrkey_off_ms" if modem.on else "pwrkey_on_ms"]
            if not key.acted:
                self._later(key, when, key.least, modem.power_key)
            return
        since, key.since = key.since, None
        if since is not None and not key.acted and when - since >= key.least:
            key.acted = True
            modem.power_key()

    def _reset(self, wiring: Wiring, when: float, *, held: bool) -> None:
        modem, key = wiring.modem, wiring.reset
        if held:
            key.since, key.acted, key.least = when, False, wiring.minima["reset_ms"]
            self._later(key, when, key.least, modem.hold_in_reset)
            return
        since, key.since = key.since, None
        if since is not None and not key.acted and when - since >= key.least:
            modem.hold_in_reset()
        modem.leave_reset()

    def _tell_status(self) -> None:
        for wiring in self._wirings:
            if "status" in wiring.lines:
                line, running = wiring.lines["status"]
                level = running if wiring.modem.on else 1 - running
                if self._levels[line] != level:
                    self.drive(line, level, by=wiring.modem.name)

    def close(self) -> None:
        self._ended()
        self._watcher.close()
        os.close(self._lock)
