"""A HAT: which GPIO lines switch its modem, how long they are pulled, and what that can do for a modem that hangs.

Promises
    * Nothing is driven before ``switch_on`` or a remedy is asked for; a line becomes an output at its resting level.
    * A pulse ends at rest, also when it is cancelled or fails half-way; no two remedies of a board run at a time.
    * The power key and the reset line are never active together, and the supply is cut only by the last remedy.
    * A line stays driven at rest for as long as the board lives, which is as long as the process, unless its layout
      says that it has the same level when nobody drives it: a released key that floats to "pressed" would switch the
      modem off.

The power key is a toggle: pressed on a modem that is off, it switches on; pressed for longer on one that runs, off.
    With a STATUS line it is known which. One remedy: off → a press; running but hung → a long press, wait until STATUS
    says off, rest, a press.

    Without, only the caller's knowledge is there, that the modem says nothing. Two remedies: "power key" assumes that
    it was off; "power key, off and on" that it hangs. Where an assumption was wrong the other one is right the next
    time around.

    The press that switches off lasts for the longer of both times: an EG915U ignores 2 s, stays on, and the software
    believes it off.
"""

from __future__ import annotations

import asyncio
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.errors import PowerFailed, SettingsError
from appliance.modem.place import Remedy
from appliance.modem.power.span import Turn, to_its_end
from appliance.modem.settings import LineSettings, PowerLines, PowerSettings, PulseSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

__all__ = ["Board", "BoardFile", "Layout", "Line", "Pulses", "boards"]

MARGIN: Final = 5.0
"""Seconds beyond the time to start, until a modem counts as not revived."""

SUPPLY_SETTLES: Final = 1.0
"""Seconds from the supply to the first look at STATUS, or press of the key."""

_STATUS_EVERY: Final = 0.25
"""Seconds between two looks at STATUS."""


class BoardFile(BaseModel):
    """A board as its file tells it."""

    model_config = ConfigDict(extra="forbid")

    name: str
    title: str
    evidence: Annotated[list[str], Field(min_length=1)]
    """Where it is known from."""
    profile: str | None = None
    """The family of the modem on it, where it is always the same."""
    port: str | None = None
    """Where its AT port usually is."""
    lines: PowerLines
    pulses: PulseSettings = PulseSettings()


@cache
def boards() -> Mapping[str, BoardFile]:
    """Every board that is known, by name.

    Raises:
        SettingsError: a file is wrong.
    """
    found = {}
    for file in sorted(files("appliance.modem.power").joinpath("boards").iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".toml"):
            try:
                board = BoardFile.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
            except (tomllib.TOMLDecodeError, ValidationError) as error:
                raise SettingsError(f"{file.name}: {error}") from error
            if board.name + ".toml" != file.name:
                raise SettingsError(f"{file.name}: name: is {board.name!r}")
            found[board.name] = board
    return found


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its offset, the level that makes it what its name says, and whether it rests by itself."""

    offset: int
    active_high: bool
    rests_undriven: bool


@dataclass(frozen=True, slots=True)
class Pulses:
    """Seconds; see ``PulseSettings``."""

    on: float = 2.1
    off: float = 3.2
    reset: float = 0.5
    boot: float = 25.0
    down: float = 20.0
    rest: float = 2.0
    """The defaults are above the longest minima known: EG915U on 2 s and off 3 s, EC25 reset 0.46 s, boot 21 s."""


_NAMES: Final = ("pwrkey", "reset", "enable", "status", "flight")


@dataclass(frozen=True, slots=True)
class Layout:
    """What a modem's lines are: those of its board, of the settings, or of both."""

    chip: str | None
    pwrkey: Line | None
    reset: Line | None
    enable: Line | None
    status: Line | None
    flight: Line | None
    pulses: Pulses

    @classmethod
    def of(cls, board: str | None, power: PowerSettings | None = None) -> Layout:
        """The lines of a board, with what the settings say before it.

        Raises:
            SettingsError: no such board; a line without a number or level; two lines with one number; nothing to do.
        """
        known = boards()
        if board is not None and board not in known:
            raise SettingsError(f'modems.board: there is no "{board}"; there are: {", ".join(known)}')
        file = known[board] if board is not None else None
        given = power or PowerSettings()
        lines: dict[str, Line | None] = {}
        errors: list[str] = []
        for name in _NAMES:
            says: LineSettings | None = getattr(given, name)
            has: LineSettings | None = getattr(file.lines, name) if file is not None else None
            lines[name] = _line(name, says, has, errors)
        offsets = [line.offset for line in lines.values() if line is not None]
        if len(set(offsets)) < len(offsets):
            errors.append("two lines have the same number")
        if not errors and not any(lines[name] for name in ("pwrkey", "reset", "enable")):
            errors.append("names no line that could do anything: give pwrkey, reset or enable")
        if errors:
            raise SettingsError("\n".join(f"modems.power: {error}" for error in errors))
        seconds = {
            name: value
            for pulses in ((file.pulses,) if file is not None else ()) + (given.pulses,)
            for name, value in pulses.model_dump(exclude_none=True).items()
        }
        return cls(chip=given.chip, pulses=Pulses(**seconds), **lines)


def _line(name: str, says: LineSettings | None, has: LineSettings | None, errors: list[str]) -> Line | None:
    """One line out of what the settings say and the board has."""
    if says is None and (has is None or has.line is None):
        if has is not None and name != "status":
            errors.append(f"{name}: this board does not say which line it is: give its number ({name} = 17)")
        return None
    offset, active, undriven = (
        next((value for each in (says, has) if each is not None and (value := getattr(each, key)) is not None), None)
        for key in ("line", "active", "undriven")
    )
    if offset is None:
        errors.append(f'{name}: which line? Give its number ({name} = {{ line = 6, active = "high" }})')
    if active is None:
        errors.append(f'{name}: which level? Give it ({name} = {{ line = {offset or 6}, active = "high" }})')
    if offset is None or active is None:
        return None
    rest = active if name == "enable" else ("low" if active == "high" else "high")
    moved = says is not None and says.line is not None and has is not None and says.line != has.line
    if moved and says is not None:
        undriven = says.undriven
    return Line(offset, active_high=active == "high", rests_undriven=undriven == rest)


_Output = Literal["pwrkey", "reset", "enable", "flight"]


class Board:
    """One HAT in this machine."""

    def __init__(
        self,
        layout: Layout,
        *,
        name: str = "board",
        factory: Callable[[str | None], Any] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Touch nothing yet.

        Args:
            layout: its lines.
            name: what people call it.
            factory: makes gpiozero's pin factory for a chip; None: that of ``lines``.
            sleep: waits.
        """
        self._layout = layout
        self._name = name
        self._make_factory = factory or _gpiod_factory
        self._sleep = sleep
        self._factory: Any = None
        self._outputs: dict[str, Any] = {}
        self._status: Any = None
        self._turn = Turn(name)

    @property
    def remedies(self) -> Sequence[Remedy]:
        """What its lines can do for a modem that hangs, the mildest first."""
        layout = self._layout
        patience = layout.pulses.boot + MARGIN
        remedies = []
        if layout.reset is not None:
            remedies.append(Remedy(4, "reset line", patience, self._reset))
        if layout.pwrkey is not None and layout.status is not None:
            remedies.append(Remedy(4, "power key", patience, self._toggle, key=True))
        elif layout.pwrkey is not None:
            remedies.append(Remedy(4, "power key", patience, self._press_once, key=True, cold=True))
            remedies.append(Remedy(4, "power key, off and on", patience, self._press_twice, key=True))
        if layout.enable is not None:
            remedies.append(Remedy(6, "supply", patience, self._cut))
        return tuple(remedies)

    async def switch_on(self) -> None:
        """For a cold start: bring all lines to rest and the supply on, and press the key where STATUS says off.

        Without a STATUS line no key is pressed: it might switch off what runs. A modem that says nothing then gets its
        key from the ladder.

        Raises:
            PowerFailed: a line cannot be used.
        """
        with self._turn.taken("switching on"):
            for name in ("reset", "pwrkey", "flight", "enable"):
                self._at_rest(name)
            if self._layout.enable is not None and self._layout.pwrkey is not None:
                await self._sleep(SUPPLY_SETTLES)
            if self._layout.pwrkey is not None and self._runs() is False:
                await self._pulse("pwrkey", self._layout.pulses.on)

    # ------------------------------------------------------------------------------------------ remedies

    async def _reset(self) -> None:
        with self._turn.taken("reset"):
            if self._runs() is False:
                raise PowerFailed(f"{self._name}: the modem is off (STATUS): a reset would do nothing")
            self._at_rest("pwrkey")
            await self._pulse("reset", self._layout.pulses.reset)

    async def _toggle(self) -> None:
        with self._turn.taken("power key"):
            self._at_rest("reset")
            if self._runs():
                await self._press_off()
                if not await self._is_down():
                    raise PowerFailed(
                        f"{self._name}: STATUS says that the modem still runs {self._layout.pulses.down:g} s after its "
                        "power key was pressed"
                    )
                await self._sleep(self._layout.pulses.rest)
            await self._pulse("pwrkey", self._layout.pulses.on)

    async def _press_once(self) -> None:
        with self._turn.taken("power key"):
            self._at_rest("reset")
            await self._pulse("pwrkey", self._layout.pulses.on)

    async def _press_twice(self) -> None:
        with self._turn.taken("power key"):
            self._at_rest("reset")
            await self._press_off()
            await self._sleep(self._layout.pulses.down)
            await self._sleep(self._layout.pulses.rest)
            await self._pulse("pwrkey", self._layout.pulses.on)

    async def _cut(self) -> None:
        with self._turn.taken("supply"):
            for name in ("enable", "reset", "pwrkey"):
                self._at_rest(name)
            if self._layout.pwrkey is not None and self._runs():  # a clean end, where it can still be had
                await self._press_off()
                await self._is_down()
            await self._pulse("enable", self._layout.pulses.rest)
            if self._layout.pwrkey is not None:
                await self._sleep(SUPPLY_SETTLES)
                if not self._runs():
                    await self._pulse("pwrkey", self._layout.pulses.on)

    async def _press_off(self) -> None:
        await self._pulse("pwrkey", max(self._layout.pulses.on, self._layout.pulses.off))

    async def _is_down(self) -> bool:
        """Wait for STATUS to say off; whether it does in time."""
        left = self._layout.pulses.down
        while self._runs() and left > 0:
            await self._sleep(_STATUS_EVERY)
            left -= _STATUS_EVERY
        return not self._runs()

    # ------------------------------------------------------------------------------------------ lines

    async def _pulse(self, name: _Output, seconds: float) -> None:
        """Leave the rest for so long: shielded, and back at rest whatever happens."""

        async def pulse() -> None:
            output = self._at_rest(name)
            try:
                self._to(output, active=name != "enable")
                await self._sleep(seconds)
            finally:
                self._to(output, active=name == "enable")
                line: Line | None = getattr(self._layout, name)
                if line is not None and line.rests_undriven:
                    self._outputs.pop(name).close()

        await to_its_end(pulse())

    def _at_rest(self, name: str) -> Any:
        """The line as an output, at rest from the first moment on; None where there is none."""
        line: Line | None = getattr(self._layout, name)
        if line is None:
            return None
        if name not in self._outputs:
            from gpiozero import OutputDevice  # noqa: PLC0415 - 200 ms that only a hub with such a board pays

            self._outputs[name] = self._told(
                lambda: OutputDevice(
                    line.offset,
                    active_high=line.active_high,
                    initial_value=name == "enable",
                    pin_factory=self._pins(),
                ),
                name,
            )
        return self._outputs[name]

    def _to(self, output: Any, *, active: bool) -> None:
        self._told(output.on if active else output.off, "a line")

    def _runs(self) -> bool | None:
        """What STATUS says; None: there is none."""
        line = self._layout.status
        if line is None:
            return None
        if self._status is None:
            from gpiozero import InputDevice  # noqa: PLC0415 - as above

            self._status = self._told(
                lambda: InputDevice(line.offset, pull_up=None, active_state=line.active_high, pin_factory=self._pins()),
                "status",
            )
        return bool(self._told(lambda: self._status.value, "status"))

    def _pins(self) -> Any:
        if self._factory is None:
            self._factory = self._make_factory(self._layout.chip)
        return self._factory

    def _told(self, use: Callable[[], Any], name: str) -> Any:
        """Use a line; say in words why it cannot be used."""
        from gpiozero.exc import GPIOZeroError  # noqa: PLC0415 - as above

        try:
            return use()
        except PermissionError as error:
            raise PowerFailed(
                f"{self._name}: {name}: this user may not use GPIO lines: it must be in the group gpio"
            ) from error
        except (OSError, GPIOZeroError, ValueError) as error:
            raise PowerFailed(f"{self._name}: {name}: {error}") from error


def _gpiod_factory(chip: str | None) -> Any:
    import gpiod  # noqa: PLC0415 - only a hub with such a board needs the library

    from appliance.modem.power.lines import GpiodFactory  # noqa: PLC0415 - as above

    return GpiodFactory(chip, gpiod=gpiod)
