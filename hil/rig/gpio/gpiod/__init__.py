"""A stand-in for the package ``gpiod`` 2.x, on the emulator's GPIO files instead of a chip in /dev.

First on PYTHONPATH with ``GPIO_DIR`` set, it is what ``import gpiod`` finds. There is one chip of ``GPIO_LINES`` (54)
lines: ``gpiochip0``, by that name in any directory (``/dev/gpiochip0``), or ``GPIO_DIR`` itself. Its label is
``GPIO_LABEL`` (pinctrl-bcm2711), its lines are named GPIO0 ….

As the kernel has it: a line is exclusive, also between processes and after the death of one (EBUSY; a lock on
``.busy/<n>``); an output takes its value with the request; an input cannot be set (EPERM); what was released cannot be
used. A released output keeps its level. Edges are what the log of the emulator says.

What it lacks: info events, reconfiguration, biases that do anything, debouncing, hardware time stamps.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import select
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from . import line
from .line import Bias, Clock, Direction, Drive, Edge, Value

if TYPE_CHECKING:
    from types import TracebackType

__all__ = [
    "Chip",
    "ChipClosedError",
    "ChipInfo",
    "EdgeEvent",
    "LineInfo",
    "LineRequest",
    "LineSettings",
    "RequestReleasedError",
    "api_version",
    "is_gpiochip_device",
    "line",
    "request_lines",
]

__version__: Final = "2.2.1+emulated"
api_version: Final = "2.2.1"
_IN_MODIFY: Final = 0x02
_NONBLOCK: Final = 0o4000 | 0o2000000


class ChipClosedError(Exception):
    """A closed chip was used."""

    def __init__(self) -> None:
        super().__init__("I/O operation on closed chip")


class RequestReleasedError(Exception):
    """A released request was used."""

    def __init__(self) -> None:
        super().__init__("GPIO lines have been released")


@dataclass(frozen=True)
class ChipInfo:
    name: str
    label: str
    num_lines: int


@dataclass
class LineSettings:
    direction: Direction = Direction.AS_IS
    edge_detection: Edge = Edge.NONE
    bias: Bias = Bias.AS_IS
    drive: Drive = Drive.PUSH_PULL
    active_low: bool = False
    debounce_period: timedelta = timedelta()
    event_clock: Clock = Clock.MONOTONIC
    output_value: Value = Value.INACTIVE


@dataclass(frozen=True)
class LineInfo:
    offset: int
    name: str
    used: bool
    consumer: str
    direction: Direction
    active_low: bool
    bias: Bias
    drive: Drive
    edge_detection: Edge
    event_clock: Clock
    debounced: bool
    debounce_period: timedelta


@dataclass(frozen=True)
class EdgeEvent:
    """One edge."""

    class Type(Enum):
        RISING_EDGE = 1
        FALLING_EDGE = 2

    event_type: Type
    timestamp_ns: int
    line_offset: int
    global_seqno: int
    line_seqno: int


def _directory() -> Path:
    return Path(os.environ["GPIO_DIR"])


def is_gpiochip_device(path: str | os.PathLike[str]) -> bool:
    """Whether this is the chip."""
    return "GPIO_DIR" in os.environ and (Path(path).name == "gpiochip0" or Path(path) == _directory())


def request_lines(
    path: str,
    config: dict[Any, LineSettings | None],
    consumer: str | None = None,
    event_buffer_size: int | None = None,
    output_values: dict[int | str, Value] | None = None,
) -> LineRequest:
    """Open the chip, request lines, close it."""
    with Chip(path) as chip:
        return chip.request_lines(config, consumer, event_buffer_size, output_values)


def _seconds(timeout: timedelta | float | None) -> float | None:
    return timeout.total_seconds() if isinstance(timeout, timedelta) else timeout


class Chip:
    """The chip."""

    def __init__(self, path: str) -> None:
        if not is_gpiochip_device(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        self._path: str | None = str(path)
        self._directory = _directory()

    def __bool__(self) -> bool:
        return self._path is not None

    def __enter__(self) -> Self:
        self._check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self) -> None:
        if self._path is None:
            raise ChipClosedError

    def close(self) -> None:
        self._path = None

    @property
    def path(self) -> str:
        self._check()
        assert self._path is not None
        return self._path

    def get_info(self) -> ChipInfo:
        self._check()
        return ChipInfo(
            "gpiochip0", os.environ.get("GPIO_LABEL", "pinctrl-bcm2711"), int(os.environ.get("GPIO_LINES", "54"))
        )

    def line_offset_from_id(self, id: str | int) -> int:  # noqa: A002 - the package's name for it
        """Raises ValueError or OSError ENOENT, as the package."""
        self._check()
        if isinstance(id, str):
            digits = id.removeprefix("GPIO")
            if not digits.isdecimal():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), id)
            id = int(digits)  # noqa: A001
        if not 0 <= id < self.get_info().num_lines:
            raise ValueError("line offset of out range")
        return id

    def get_line_info(self, line: int | str) -> LineInfo:
        offset = self.line_offset_from_id(line)
        held = _holder(self._directory, offset)
        return LineInfo(
            offset, f"GPIO{offset}", held is not None, str((held or {}).get("consumer", "")),
            Direction((held or {}).get("direction", Direction.INPUT.value)), active_low=False, bias=Bias.UNKNOWN,
            drive=Drive.PUSH_PULL, edge_detection=Edge.NONE, event_clock=Clock.MONOTONIC, debounced=False,
            debounce_period=timedelta(),
        )  # fmt: skip

    def request_lines(
        self,
        config: dict[Any, LineSettings | None],
        consumer: str | None = None,
        event_buffer_size: int | None = None,
        output_values: dict[int | str, Value] | None = None,
    ) -> LineRequest:
        """Take lines for oneself; raises OSError EBUSY when one is somebody's already."""
        del event_buffer_size
        wanted: dict[int, LineSettings] = {}
        names: dict[int | str, int] = {}
        for key, settings in config.items():
            for one in key if isinstance(key, Iterable) and not isinstance(key, str) else (key,):
                offset = self.line_offset_from_id(one)
                if offset in wanted:
                    raise ValueError(f"line must be configured exactly once - offset {offset} repeats")
                wanted[offset] = settings or LineSettings()
                names[one] = names[offset] = offset
        values = {self.line_offset_from_id(one): value for one, value in (output_values or {}).items()}
        return LineRequest(
            self._directory, chip_name=self.get_info().name, wanted=wanted, names=names, values=values,
            consumer=consumer or "?",
        )  # fmt: skip


def _busy_file(directory: Path, offset: int) -> Path:
    return directory / ".busy" / str(offset)


def _holder(directory: Path, offset: int) -> dict[str, Any] | None:
    """Who holds a line."""
    file = _busy_file(directory, offset)
    try:
        fd = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        found: dict[str, Any] = json.loads(file.read_text() or "{}")
        return found
    finally:
        os.close(fd)
    return None


class LineRequest:
    """Lines that are one's own until they are released."""

    def __init__(
        self,
        directory: Path,
        *,
        chip_name: str,
        wanted: dict[int, LineSettings],
        names: dict[int | str, int],
        values: dict[int, Value],
        consumer: str,
    ) -> None:
        self._directory = directory
        self._chip_name = chip_name
        self._wanted = wanted
        self._names = names
        self._consumer = consumer
        self._locks: list[int] = []
        self._released = False
        self._watch = -1
        self._seen = 0
        self._counts: dict[int, int] = {}
        try:
            for offset in wanted:
                self._locks.append(self._claim(offset))
        except OSError:
            self._unlock()
            raise
        outputs: dict[int | str, Value] = {
            offset: values.get(offset, settings.output_value)
            for offset, settings in wanted.items()
            if settings.direction is Direction.OUTPUT
        }
        self.set_values(outputs)
        if any(settings.edge_detection is not Edge.NONE for settings in wanted.values()):
            self._watch_edges()

    def _claim(self, offset: int) -> int:
        file = _busy_file(self._directory, offset)
        file.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY)) from None
        note = {"consumer": self._consumer, "direction": self._wanted[offset].direction.value, "pid": os.getpid()}
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(note).encode(), 0)
        return fd

    def _unlock(self) -> None:
        for fd in self._locks:
            os.close(fd)
        self._locks.clear()

    def __bool__(self) -> bool:
        return not self._released

    def __enter__(self) -> Self:
        self._check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._released:
            self.release()

    def _check(self) -> None:
        if self._released:
            raise RequestReleasedError

    def release(self) -> None:
        """Give the lines back; they keep their level."""
        self._check()
        self._released = True
        self._unlock()
        if self._watch >= 0:
            os.close(self._watch)

    def _offset(self, one: int | str) -> int:
        if one not in self._names:
            raise ValueError(f"unknown line name: {one}" if isinstance(one, str) else "line offset of out range")
        return self._names[one]

    def get_value(self, line: int | str) -> Value:
        return self.get_values([line])[0]

    def get_values(self, lines: Iterable[int | str] | None = None) -> list[Value]:
        self._check()
        found = []
        for one in self.lines if lines is None else lines:
            offset = self._offset(one)
            file = self._directory / str(offset)
            level = file.exists() and file.read_text().strip() == "1"
            found.append(Value.ACTIVE if level != self._wanted[offset].active_low else Value.INACTIVE)
        return found

    def set_value(self, line: int | str, value: Value) -> None:
        self.set_values({line: value})

    def set_values(self, values: dict[int | str, Value]) -> None:
        """Drive outputs; raises OSError EPERM for an input."""
        self._check()
        for one, value in values.items():
            offset = self._offset(one)
            if self._wanted[offset].direction is not Direction.OUTPUT:
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
            self._drive(offset, int((value is Value.ACTIVE) != self._wanted[offset].active_low))

    def _drive(self, offset: int, level: int) -> None:
        """As the emulator's ``gpio`` has it: under the lock, the log before the file, and only what is an edge."""
        file = self._directory / str(offset)
        lock = os.open(self._directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if file.exists() and file.read_text().strip() == str(level):
                return
            edge = {"time": time.monotonic(), "line": offset, "level": level, "by": self._consumer}
            with (self._directory / "log.jsonl").open("a") as log:
                log.write(json.dumps(edge) + "\n")
            file.write_text(str(level))
        finally:
            os.close(lock)

    # ---- edges

    def _watch_edges(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._log = self._directory / "log.jsonl"
        self._log.touch()
        self._seen = self._log.stat().st_size
        self._watch = libc.inotify_init1(_NONBLOCK)
        if self._watch < 0 or libc.inotify_add_watch(self._watch, os.fsencode(self._log), _IN_MODIFY) < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        self._events: list[EdgeEvent] = []

    def _read_log(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._watch, 65536)
        with self._log.open() as log:
            log.seek(self._seen)
            rows = [json.loads(row) for row in log.read().splitlines()]
            self._seen = log.tell()
        for row in rows:
            settings = self._wanted.get(int(row["line"]))
            if settings is None:
                continue
            rising = bool(row["level"]) != settings.active_low
            if settings.edge_detection not in (Edge.BOTH, Edge.RISING if rising else Edge.FALLING):
                continue
            offset = int(row["line"])
            self._counts[offset] = self._counts.get(offset, 0) + 1
            kind = EdgeEvent.Type.RISING_EDGE if rising else EdgeEvent.Type.FALLING_EDGE
            total = sum(self._counts.values())
            self._events.append(EdgeEvent(kind, int(row["time"] * 1e9), offset, total, self._counts[offset]))

    def wait_edge_events(self, timeout: timedelta | float | None = None) -> bool:
        """Whether an edge can be read within the time-out (None: for ever)."""
        self._check()
        deadline = None if timeout is None else time.monotonic() + (_seconds(timeout) or 0.0)
        while True:
            self._read_log()
            if self._events:
                return True
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            select.select([self._watch], [], [], left)

    def read_edge_events(self, max_events: int | None = None) -> list[EdgeEvent]:
        """The edges so far; waits for the first."""
        self.wait_edge_events()
        found, self._events = self._events[:max_events], self._events[max_events:] if max_events else []
        return found

    def fileno(self) -> int:
        return self.fd

    @property
    def fd(self) -> int:
        self._check()
        return self._watch

    @property
    def chip_name(self) -> str:
        self._check()
        return self._chip_name

    @property
    def offsets(self) -> list[int]:
        self._check()
        return list(self._wanted)

    @property
    def lines(self) -> list[int | str]:
        self._check()
        return list(self._wanted)

    @property
    def num_lines(self) -> int:
        self._check()
        return len(self._wanted)
