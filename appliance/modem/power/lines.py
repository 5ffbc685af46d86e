"""GPIO lines for gpiozero through libgpiod version 2, on any board that has a /dev/gpiochip.

gpiozero's own factories ask which Raspberry Pi this is and guess the chip from it. This one asks the chips for their
labels: the header's chip is the same on a Pi 5 whether the kernel numbers it 0 or 4. A line's number is its offset on
the chip; on every Raspberry Pi that is its BCM number.

Nothing is opened before a line is used. A line becomes an output in one request together with its level, so that it
never shows another one in between. Edges, PWM and SPI are not there: nobody needs them for a power key.
"""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from gpiozero.exc import GPIOPinInUse, PinInvalidFunction, PinInvalidPin, PinSetInput, PinUnsupported
from gpiozero.pins import Factory, Pin, PinInfo

from appliance.errors import PowerFailed

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["HEADER_CHIPS", "GpiodFactory", "find_chip"]

HEADER_CHIPS: Final = ("pinctrl-rp1", "pinctrl-bcm2711", "pinctrl-bcm2835", "pinctrl-bcm2836", "pinctrl-bcm2837")
"""Labels of the chips behind the 40-pin header: Pi 5; Pi 4 and 400; all others, Zero 2 included."""

_DEV: Final = Path("/dev")
_CONSUMER: Final = "modemhub"


def find_chip(wanted: str | None, gpiod: ModuleType, *, dev: Path = _DEV) -> str:
    """The path of a chip.

    Args:
        wanted: its path or its label; None: the one behind the Raspberry Pi's header.
        gpiod: the library.
        dev: where the chips are.

    Raises:
        PowerFailed: there is none like this, or this user may not look.
    """
    if wanted is not None and wanted.startswith("/"):
        return wanted
    labels: dict[str, str] = {}
    closed = False
    for path in sorted(dev.glob("gpiochip*"), key=lambda path: (len(path.name), path.name)):
        try:
            with gpiod.Chip(str(path)) as chip:
                labels.setdefault(chip.get_info().label, str(path))
        except PermissionError:
            closed = True
        except OSError:
            continue
    for label in HEADER_CHIPS if wanted is None else (wanted,):
        if label in labels:
            return labels[label]
    if closed:
        raise PowerFailed(f"GPIO: this user may not open {dev}/gpiochip*: it must be in the group gpio")
    there = ", ".join(labels) or "none at all"
    if wanted is not None:
        raise PowerFailed(f'GPIO: there is no chip "{wanted}" (there are: {there})')
    raise PowerFailed(f"GPIO: no chip of a Raspberry Pi is here (there are: {there}): name one in the settings (chip)")


class GpiodFactory(Factory):  # type: ignore[misc]  # gpiozero has no types
    """A pin factory of gpiozero's."""

    def __init__(self, chip: str | None = None, *, gpiod: ModuleType, dev: Path = _DEV) -> None:
        """Open nothing yet.

        Args:
            chip: path or label; None: the one behind the Raspberry Pi's header.
            gpiod: the library, version 2.
            dev: where the chips are.
        """
        super().__init__()
        self.gpiod = gpiod
        self._wanted = chip
        self._dev = dev
        self._path: str | None = None
        self._pins: dict[int, GpiodPin] = {}
        self._users: dict[int, Any] = {}

    def request(self, offset: int, settings: Any) -> Any:
        """Have a line for ourselves; the request outlives the open chip."""
        if self._path is None:
            self._path = find_chip(self._wanted, self.gpiod, dev=self._dev)
        with self.gpiod.Chip(self._path) as chip:
            return chip.request_lines(config={offset: settings}, consumer=_CONSUMER)

    def pin(self, name: int | str) -> GpiodPin:
        """The pin with this number (``6``, ``GPIO6``): the same object for as long as it is in use.

        One whose request failed is not handed out again: the device that wanted it closes it when it is collected.
        """
        offset = _offset(name)
        if not self._is_used(offset):
            self._pins[offset] = GpiodPin(self, offset)
        return self._pins[offset]

    def _is_used(self, offset: int) -> bool:
        return offset in self._pins and self._pins[offset].requested

    def reserve_pins(self, requester: Any, *names: int | str) -> None:
        """Refuse two devices on one line."""
        for name in names:
            user = self._users.get(_offset(name))
            if user is not None and user is not requester and self._is_used(_offset(name)):
                raise GPIOPinInUse(f"GPIO line {_offset(name)} is in use by {user!r}")
            self._users[_offset(name)] = requester

    def release_pins(self, reserver: Any, *names: int | str) -> None:
        """Let a line be used by another device."""
        for name in names:
            if self._users.get(_offset(name)) is reserver:
                del self._users[_offset(name)]

    def release_all(self, reserver: Any) -> None:
        """Let all lines of a device be used by others."""
        self.release_pins(reserver, *[offset for offset, user in self._users.items() if user is reserver])

    def close(self) -> None:
        """Give all lines back."""
        for pin in self._pins.values():
            pin.close()
        self._pins.clear()
        self._users.clear()

    def ticks(self) -> float:
        """Seconds, monotonic."""
        return monotonic()

    def ticks_diff(self, later: float, earlier: float) -> float:
        """Seconds between."""
        return later - earlier

    def _get_board_info(self) -> Any:
        raise PinUnsupported("this factory knows lines, not boards")


def _offset(name: int | str) -> int:
    try:
        return int(str(name).upper().removeprefix("GPIO").removeprefix("BCM"))
    except ValueError:
        raise PinInvalidPin(f"{name!r} is no GPIO line: give its number") from None


class GpiodPin(Pin):  # type: ignore[misc]  # gpiozero has no types
    """One line: nothing until it is used."""

    def __init__(self, factory: GpiodFactory, offset: int) -> None:
        """Request nothing yet."""
        super().__init__()
        self._factory = factory
        self._offset = offset
        self._request: Any = None
        self._function = "input"
        self._pull = "floating"

    def __repr__(self) -> str:
        return f"GPIO{self._offset}"

    @property
    def requested(self) -> bool:
        """Whether the kernel has given it to us."""
        return self._request is not None

    def close(self) -> None:
        """Give the line back to the kernel."""
        if self._request is not None:
            self._request.release()
            self._request = None
        self._function, self._pull = "input", "floating"

    def _get_info(self) -> PinInfo:
        name = f"GPIO{self._offset}"
        return PinInfo(self._offset, name, frozenset({name, self._offset}), "", 0, 0, frozenset({"gpio"}))

    def _apply(self, settings: Any) -> None:
        if self._request is None:
            self._request = self._factory.request(self._offset, settings)
        else:
            self._request.reconfigure_lines(config={self._offset: settings})

    def output_with_state(self, state: bool) -> None:  # noqa: FBT001 - gpiozero's signature
        """Become an output at this level, in one step."""
        line = self._factory.gpiod.line
        value = line.Value.ACTIVE if state else line.Value.INACTIVE
        self._apply(self._factory.gpiod.LineSettings(direction=line.Direction.OUTPUT, output_value=value))
        self._function = "output"

    def input_with_pull(self, pull: str) -> None:
        """Become an input with this pull, in one step."""
        line = self._factory.gpiod.line
        biases = {"floating": line.Bias.DISABLED, "up": line.Bias.PULL_UP, "down": line.Bias.PULL_DOWN}
        self._apply(self._factory.gpiod.LineSettings(direction=line.Direction.INPUT, bias=biases[pull]))
        self._function, self._pull = "input", pull

    def _get_function(self) -> str:
        return self._function

    def _set_function(self, value: str) -> None:
        if value == "input":
            self.input_with_pull(self._pull)
        elif value == "output":
            self.output_with_state(self._get_state())
        else:
            raise PinInvalidFunction(f'"{value}" is no function of {self!r}')

    def _get_state(self) -> bool:
        if self._request is None:
            self.input_with_pull(self._pull)
        return bool(self._request.get_value(self._offset) == self._factory.gpiod.line.Value.ACTIVE)

    def _set_state(self, value: bool) -> None:  # noqa: FBT001 - gpiozero's signature
        if self._function != "output":
            raise PinSetInput(f"{self!r} is an input")
        line = self._factory.gpiod.line
        self._request.set_value(self._offset, line.Value.ACTIVE if value else line.Value.INACTIVE)

    def _get_pull(self) -> str:
        return self._pull

    def _set_pull(self, value: str) -> None:
        self.input_with_pull(value)
