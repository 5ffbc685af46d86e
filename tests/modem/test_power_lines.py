"""gpiozero's devices over libgpiod: what is asked of the library, call by call."""

from __future__ import annotations

import enum
import subprocess
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import gpiod
import pytest
from gpiozero import InputDevice, OutputDevice
from gpiozero.exc import GPIOPinInUse, PinSetInput

from appliance.errors import PowerFailed
from appliance.modem.power.lines import GpiodFactory, find_chip

if TYPE_CHECKING:
    from pathlib import Path


class Value(enum.Enum):
    INACTIVE = 0
    ACTIVE = 1


class Direction(enum.Enum):
    INPUT = "in"
    OUTPUT = "out"


class Bias(enum.Enum):
    DISABLED = "none"
    PULL_UP = "up"
    PULL_DOWN = "down"


@dataclass
class Library:
    """Stands for the module ``gpiod``: keeps every call, in order."""

    labels: dict[str, str]
    calls: list[str] = field(default_factory=list)
    closed: frozenset[str] = frozenset()
    busy: set[int] = field(default_factory=set)
    levels: dict[int, Value] = field(default_factory=dict)
    line: Any = field(default_factory=lambda: SimpleNamespace(Value=Value, Direction=Direction, Bias=Bias))

    def LineSettings(self, **settings: Any) -> str:  # noqa: N802 - the library's name
        return ",".join(each.name for each in settings.values())

    def Chip(self, path: str) -> Chip:  # noqa: N802 - the library's name
        name = path.rpartition("/")[2]
        if name in self.closed:
            raise PermissionError(13, "Permission denied")
        return Chip(self, name)


@dataclass
class Chip:
    library: Library
    name: str

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def get_info(self) -> Any:
        return SimpleNamespace(label=self.library.labels[self.name])

    def request_lines(self, *, config: dict[int, str], consumer: str) -> Request:
        ((offset, settings),) = config.items()
        if offset in self.library.busy:
            raise OSError(16, "Device or resource busy")
        self.library.calls.append(f"{self.name} request {offset} {settings} by {consumer}")
        return Request(self.library, offset)


@dataclass
class Request:
    library: Library
    offset: int

    def reconfigure_lines(self, *, config: dict[int, str]) -> None:
        self.library.calls.append(f"reconfigure {self.offset} {config[self.offset]}")

    def set_value(self, offset: int, value: Value) -> None:
        self.library.calls.append(f"set {offset} {value.name}")
        self.library.levels[offset] = value

    def get_value(self, offset: int) -> Value:
        return self.library.levels.get(offset, Value.INACTIVE)

    def release(self) -> None:
        self.library.calls.append(f"release {self.offset}")


def test_a_hub_without_such_boards_loads_no_gpio_library() -> None:
    code = (
        "import sys, appliance.modem as modem; modem.Board(modem.Layout.of('sixfab-base')).remedies; "
        "print(*sorted({'gpiozero', 'gpiod', 'pyudev', 'serial'} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert loaded.strip() == ""


def dev_with(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).touch()
    return tmp_path


def test_the_stand_in_has_only_what_the_library_has() -> None:
    for group, kind in ((Value, gpiod.line.Value), (Direction, gpiod.line.Direction), (Bias, gpiod.line.Bias)):
        assert {each.name for each in group} <= {each.name for each in kind}
    assert {"direction", "output_value", "bias"} <= set(vars(gpiod.LineSettings()))
    for name in ("request_lines", "get_info"):
        assert hasattr(gpiod.Chip, name)
    for name in ("reconfigure_lines", "set_value", "get_value", "release"):
        assert hasattr(gpiod.LineRequest, name)


@pytest.mark.parametrize(
    ("labels", "wanted", "found"),
    [
        ({"gpiochip0": "pinctrl-bcm2835"}, None, "gpiochip0"),
        ({"gpiochip0": "pinctrl-bcm2711", "gpiochip1": "raspberrypi-exp-gpio"}, None, "gpiochip0"),
        ({"gpiochip0": "gpio-brcmstb@107d508500", "gpiochip4": "pinctrl-rp1"}, None, "gpiochip4"),
        ({"gpiochip0": "pinctrl-rp1", "gpiochip10": "gpio-brcmstb@107d508500"}, None, "gpiochip0"),
        ({"gpiochip0": "9030000.pl061"}, "9030000.pl061", "gpiochip0"),
    ],
)
def test_the_chip_is_found_by_its_label(tmp_path: Path, labels: dict[str, str], wanted: str | None, found: str) -> None:
    library: Any = Library(labels)
    assert find_chip(wanted, library, dev=dev_with(tmp_path, *labels)) == str(tmp_path / found)


def test_a_path_is_taken_as_it_is() -> None:
    library: Any = Library({})
    assert find_chip("/dev/gpiochip7", library) == "/dev/gpiochip7"


@pytest.mark.parametrize(
    ("labels", "closed", "wanted", "told"),
    [
        ({}, frozenset(), None, "no chip of a Raspberry Pi is here (there are: none at all)"),
        ({"gpiochip0": "9030000.pl061"}, frozenset(), None, "(there are: 9030000.pl061): name one in the settings"),
        ({"gpiochip0": "pinctrl-rp1"}, frozenset(), "pinctrl-bcm2711", 'no chip "pinctrl-bcm2711"'),
        ({"gpiochip0": "pinctrl-rp1"}, frozenset({"gpiochip0"}), None, "must be in the group gpio"),
    ],
)
def test_a_chip_that_is_not_found_is_told(
    tmp_path: Path, labels: dict[str, str], closed: frozenset[str], wanted: str | None, told: str
) -> None:
    library: Any = Library(labels, closed=closed)
    with pytest.raises(PowerFailed) as error:
        find_chip(wanted, library, dev=dev_with(tmp_path, *labels))
    assert told in str(error.value)


@pytest.fixture
def library() -> Library:
    return Library({"gpiochip0": "pinctrl-rp1"})


@pytest.fixture
def factory(library: Library, tmp_path: Path) -> GpiodFactory:
    stand_in: Any = library
    return GpiodFactory(gpiod=stand_in, dev=dev_with(tmp_path, "gpiochip0"))


def test_nothing_is_asked_of_the_library_before_a_line_is_used(library: Library, factory: GpiodFactory) -> None:
    factory.pin(6)
    assert library.calls == []


@pytest.mark.parametrize(
    ("active_high", "on", "level"),
    [(True, False, "INACTIVE"), (True, True, "ACTIVE"), (False, False, "ACTIVE"), (False, True, "INACTIVE")],
)
def test_an_output_begins_at_its_level_in_one_request(
    library: Library, factory: GpiodFactory, active_high: bool, on: bool, level: str
) -> None:
    device = OutputDevice(6, active_high=active_high, initial_value=on, pin_factory=factory)
    assert library.calls == [f"gpiochip0 request 6 OUTPUT,{level} by modemhub"]
    device.close()


def test_a_pulse_sets_the_level_and_closing_gives_the_line_back(library: Library, factory: GpiodFactory) -> None:
    device = OutputDevice(6, pin_factory=factory)
    device.on()
    assert device.value == 1
    device.off()
    device.close()
    assert library.calls[1:] == ["set 6 ACTIVE", "set 6 INACTIVE", "release 6"]


def test_an_input_is_read_and_never_driven(library: Library, factory: GpiodFactory) -> None:
    device = InputDevice(23, pull_up=None, active_state=False, pin_factory=factory)
    assert device.value == 1
    library.levels[23] = Value.ACTIVE
    assert device.value == 0
    assert library.calls == ["gpiochip0 request 23 INPUT,DISABLED by modemhub"]
    with pytest.raises(PinSetInput):
        device.pin.state = 1
    device.close()


def test_a_pull_is_one_more_request_of_the_same_line(library: Library, factory: GpiodFactory) -> None:
    device = InputDevice(23, pull_up=True, pin_factory=factory)
    assert library.calls == ["gpiochip0 request 23 INPUT,DISABLED by modemhub", "reconfigure 23 INPUT,PULL_UP"]
    device.close()


def test_a_line_has_one_user_and_is_free_after_it(factory: GpiodFactory) -> None:
    device = OutputDevice("GPIO6", pin_factory=factory)
    with pytest.raises(GPIOPinInUse):
        OutputDevice(6, pin_factory=factory)
    assert factory.pin(6) is device.pin
    device.close()
    OutputDevice(6, pin_factory=factory).close()


def test_a_line_that_another_program_had_can_be_had_after_it(library: Library, factory: GpiodFactory) -> None:
    library.busy.add(6)
    with pytest.raises(OSError, match="busy") as failed:
        OutputDevice(6, pin_factory=factory)
    library.busy.clear()
    device = OutputDevice(6, pin_factory=factory)
    del failed
    device.on()
    assert library.calls == ["gpiochip0 request 6 OUTPUT,INACTIVE by modemhub", "set 6 ACTIVE"]
    factory.close()
    assert library.calls[-1] == "release 6"
