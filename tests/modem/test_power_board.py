"""Boards: their files, and what is done to the lines, on gpiozero's mock pins and a module that reacts to them."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from gpiozero.pins.mock import MockFactory
from pydantic import ValidationError

from appliance.errors import PowerFailed, SettingsError
from appliance.modem.power import Board, BoardFile, Layout, boards
from appliance.modem.power.board import Pulses
from appliance.modem.profile import shipped
from appliance.modem.settings import PowerSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from appliance.modem.place import Remedy

EIGHT = {
    "adafruit-fona",
    "sixfab-base",
    "sixfab-cellular-iot",
    "sixfab-cellular-iot-app",
    "waveshare-cm4-sim8200",
    "waveshare-sim7070g",
    "waveshare-sim7600x",
    "waveshare-sim868",
}


@dataclass
class Rig:
    """A module on mock lines, and a clock that is only what is slept.

    The key toggles it after ``on_min`` or ``off_min`` seconds; it goes down ``takes`` seconds after the key; it has
    STATUS where the layout has. ``log`` has every line that left its rest, and for how long.
    """

    layout: Layout
    running: bool = False
    stuck: bool = False
    on_min: float = 0.5
    off_min: float = 2.0
    takes: float = 1.0
    log: list[tuple[str, float]] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.pins = MockFactory()
        self.down_at: float | None = None
        self.driven = False
        self._show()

    def board(self) -> Board:
        self.made_board = Board(self.layout, name="hat", factory=self.made, sleep=self.sleep)
        return self.made_board

    def made(self, chip: str | None) -> MockFactory:
        assert chip == self.layout.chip
        self.driven = True
        return self.pins

    def is_active(self, name: str) -> bool:
        line = getattr(self.layout, name)
        if line is None or line.offset not in {int(info.name[4:]) for info in self.pins.pins}:
            return False
        pin = self.pins.pin(line.offset)
        return bool(pin.function == "output" and bool(pin.state) == line.active_high)

    @property
    def supplied(self) -> bool:
        """A supply that nobody switches is on."""
        line = self.layout.enable
        return line is None or self.pins.pin(line.offset).function == "input" or self.is_active("enable")

    async def sleep(self, seconds: float) -> None:
        assert not (self.is_active("pwrkey") and self.is_active("reset"))
        if not (supplied := self.supplied):
            self.log.append(("dark", seconds))
            self.running = False
        for name in ("pwrkey", "reset"):
            if self.is_active(name):
                self.log.append((name, seconds))
        if supplied and self.is_active("pwrkey") and not self.stuck:
            if not self.running and seconds >= self.on_min:
                self.running = True
            elif self.running and seconds >= self.off_min:
                self.down_at = self.now + seconds + self.takes
        self.now += seconds
        if self.down_at is not None and self.now >= self.down_at:
            self.running, self.down_at = False, None
        self._show()
        await asyncio.sleep(0)

    def _show(self) -> None:
        line = self.layout.status
        if line is not None:
            pin = self.pins.pin(line.offset)
            if self.running == line.active_high:
                pin.drive_high()
            else:
                pin.drive_low()


def layout(
    *, status: bool = True, key: bool = True, reset: bool = False, enable: bool = False, **pulses: float
) -> Layout:
    given: dict[str, Any] = {"pulses": {"on": 1.0, "off": 3.0, "down": 10, "rest": 2, "boot": 20} | pulses}
    if key:
        given["pwrkey"] = {"line": 6, "active": "high"}
    if status:
        given["status"] = {"line": 23, "active": "low"}
    if reset:
        given["reset"] = {"line": 5, "active": "low"}
    if enable:
        given["enable"] = {"line": 17, "active": "low"}
    return Layout.of(None, PowerSettings.model_validate(given))


def remedy(board: Board, name: str) -> Remedy:
    return next(each for each in board.remedies if each.name == name)


def apply(rig: Rig, name: str) -> None:
    async def scenario() -> None:
        await remedy(rig.board(), name).apply()

    asyncio.run(scenario())


# ---------------------------------------------------------------------------------------------- files


def test_the_boards_are_these() -> None:
    assert set(boards()) == EIGHT


@pytest.mark.parametrize("name", sorted(EIGHT))
def test_each_board_has_evidence_and_can_do_something(name: str) -> None:
    board = boards()[name]
    assert board.evidence
    assert all(len(line) > 10 for line in board.evidence)
    needed = {
        line: {"line": 27}
        for line in ("pwrkey", "reset", "enable")
        if (said := getattr(board.lines, line)) is not None and said.line is None
    }
    made = Board(Layout.of(name, PowerSettings.model_validate(needed)), name=name)
    assert made.remedies
    assert len({each.name for each in made.remedies}) == len(made.remedies)
    assert [each.rung for each in made.remedies] == sorted(each.rung for each in made.remedies)
    assert all(each.patience > (boards()[name].pulses.boot or 0) for each in made.remedies)


def test_a_board_names_a_profile_that_is_there() -> None:
    families = {profile.name for profile in shipped()}
    if families == {"generic"}:
        pytest.skip("only the generic profile is shipped")
    assert {board.profile for board in boards().values()} - {None} <= families


def test_an_unknown_key_in_a_board_is_an_error() -> None:
    with pytest.raises(ValidationError, match="powerkey"):
        BoardFile.model_validate(
            {"name": "x", "title": "X", "evidence": ["seen"], "lines": {"powerkey": {"line": 4, "active": "high"}}}
        )


# ---------------------------------------------------------------------------------------------- settings


def test_the_settings_go_before_the_board() -> None:
    given = PowerSettings.model_validate(
        {"chip": "pinctrl-rp1", "pwrkey": 16, "flight": {"active": "low"}, "pulses": {"off": 4}}
    )
    made = Layout.of("waveshare-sim7600x", given)
    assert made.chip == "pinctrl-rp1"
    assert made.pwrkey is not None
    assert (made.pwrkey.offset, made.pwrkey.active_high) == (16, True)
    assert made.flight is not None
    assert (made.flight.offset, made.flight.active_high) == (4, False)
    assert (made.pulses.on, made.pulses.off) == (2.0, 4.0)


def test_a_number_is_enough_where_the_board_says_the_level() -> None:
    made = Layout.of("adafruit-fona", PowerSettings.model_validate({"reset": 17}))
    assert made.reset is not None
    assert (made.reset.offset, made.reset.active_high, made.pulses.reset) == (17, False, 0.15)


@pytest.mark.parametrize(
    ("board", "given", "told"),
    [
        ("waveshare-sim7600", {}, 'there is no "waveshare-sim7600"; there are: adafruit-fona'),
        ("adafruit-fona", {}, "reset: this board does not say which line it is"),
        (None, {}, "names no line that could do anything"),
        (None, {"status": {"line": 4, "active": "high"}}, "names no line that could do anything"),
        (None, {"pwrkey": 6}, 'pwrkey: which level? Give it (pwrkey = { line = 6, active = "high" })'),
        (None, {"pwrkey": {"active": "low"}}, "pwrkey: which line?"),
        (None, {"pwrkey": {"line": 6, "active": "low"}, "reset": {"line": 6, "active": "low"}}, "the same number"),
    ],
)
def test_what_is_wrong_is_said_in_words(board: str | None, given: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError) as error:
        Layout.of(board, PowerSettings.model_validate(given))
    assert told in str(error.value)


@pytest.mark.parametrize(
    "given",
    [
        {"pwrkey": {"line": 6, "active": "up"}},
        {"pwrkey": -1},
        {"pwrkey": True},
        {"power": 6},
        {"pulses": {"on": 0}},
        {"pulses": {"on": 60}},
        {"pulses": {"press": 1}},
        {"chip": ""},
    ],
)
def test_wrong_settings_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PowerSettings.model_validate(given)


def test_the_usual_pulses_are_above_the_longest_minima_known() -> None:
    usual = Pulses()
    assert usual.on >= 2
    assert usual.off >= 3
    assert usual.reset >= 0.46


# ---------------------------------------------------------------------------------------------- lines


def test_nothing_is_driven_before_it_is_asked_for() -> None:
    rig = Rig(layout(reset=True, enable=True))
    board = rig.board()
    assert [each.name for each in board.remedies] == ["reset line", "power key", "supply"]
    assert not rig.driven


@pytest.mark.parametrize(
    ("made", "names"),
    [
        (layout(status=False), ["power key", "power key, off and on"]),
        (layout(status=True), ["power key"]),
        (layout(key=False, reset=True), ["reset line"]),
        (layout(key=False, enable=True, status=False), ["supply"]),
        (layout(status=False, reset=True, enable=True), ["reset line", "power key", "power key, off and on", "supply"]),
    ],
)
def test_a_board_has_the_remedies_of_its_lines(made: Layout, names: list[str]) -> None:
    remedies = Board(made).remedies
    assert [each.name for each in remedies] == names
    assert {each.rung for each in remedies if each.name == "supply"} <= {6}
    assert {each.rung for each in remedies if each.name != "supply"} <= {4}
    assert all(each.patience > 20 for each in remedies)


def test_a_modem_that_is_off_gets_one_press() -> None:
    rig = Rig(layout())
    apply(rig, "power key")
    assert rig.running
    assert rig.log == [("pwrkey", 1.0)]


def test_a_modem_that_hangs_is_pressed_off_waited_for_and_pressed_on() -> None:
    rig = Rig(layout(), running=True)
    apply(rig, "power key")
    assert rig.running
    assert rig.log == [("pwrkey", 3.0), ("pwrkey", 1.0)]
    assert 3 + 1 + 2 + 1 <= rig.now < 9  # it was waited for, and not longer than it took


def test_a_key_that_does_nothing_is_told() -> None:
    rig = Rig(layout(), running=True, stuck=True)
    with pytest.raises(PowerFailed, match="still runs 10 s after"):
        apply(rig, "power key")
    assert not rig.is_active("pwrkey")


def test_off_lasts_for_the_longer_of_both_times() -> None:
    rig = Rig(layout(on=4.0, off=3.0), running=True, on_min=4.0, off_min=4.0)
    apply(rig, "power key")
    assert rig.log[0] == ("pwrkey", 4.0)


@pytest.mark.parametrize("running", [False, True])
def test_without_status_one_of_both_remedies_is_right(running: bool) -> None:
    rig = Rig(layout(status=False), running=running)
    apply(rig, "power key, off and on" if running else "power key")
    assert rig.running


def test_the_reset_line_is_held_while_the_key_rests() -> None:
    rig = Rig(layout(reset=True), running=True)
    apply(rig, "reset line")
    assert rig.log == [("reset", 0.5)]
    assert not rig.is_active("reset")


def test_a_reset_of_a_modem_that_is_off_is_refused() -> None:
    with pytest.raises(PowerFailed, match="is off"):
        apply(Rig(layout(reset=True)), "reset line")


def test_the_supply_is_cut_after_a_clean_end_and_the_key_pressed_after_it() -> None:
    rig = Rig(layout(enable=True), running=True)
    apply(rig, "supply")
    assert rig.log == [("pwrkey", 3.0), ("dark", 2.0), ("pwrkey", 1.0)]
    assert rig.running
    assert rig.is_active("enable")


def test_the_supply_of_a_board_without_a_key_is_cut_and_comes_back() -> None:
    rig = Rig(layout(key=False, enable=True, status=False))
    apply(rig, "supply")
    assert rig.log == [("dark", 2.0)]
    assert rig.is_active("enable")


@pytest.mark.parametrize(("running", "pressed"), [(False, [("pwrkey", 1.0)]), (True, [])])
def test_a_cold_start_presses_the_key_only_where_status_says_off(
    running: bool, pressed: list[tuple[str, float]]
) -> None:
    rig = Rig(layout(reset=True, enable=True), running=running)
    asyncio.run(rig.board().switch_on())
    assert rig.running
    assert rig.log == pressed
    assert rig.is_active("enable")
    assert not rig.is_active("reset")


def test_a_cold_start_without_status_presses_nothing_and_leaves_flight_mode() -> None:
    rig = Rig(Layout.of("waveshare-sim7600x"))
    asyncio.run(rig.board().switch_on())
    assert rig.log == []
    for offset in (4, 6):
        assert rig.pins.pin(offset).function == "output"
        assert rig.pins.pin(offset).state == 0


def test_a_line_is_an_output_at_rest_from_its_first_moment_and_stays_so() -> None:
    rig = Rig(layout(reset=True))
    asyncio.run(rig.board().switch_on())
    key, reset = rig.pins.pin(6), rig.pins.pin(5)
    assert (key.function, bool(key.state), reset.function, bool(reset.state)) == ("output", False, "output", True)
    assert [bool(state.state) for state in key.states] == [False, True, False]
    assert True not in [bool(state.state) for state in reset.states[:-1]]


def test_a_line_that_rests_by_itself_is_given_back() -> None:
    power = PowerSettings.model_validate({"pwrkey": {"line": 6, "active": "high", "undriven": "low"}})
    rig = Rig(Layout.of(None, power))
    apply(rig, "power key")
    assert rig.pins.pin(6).function == "input"
    power = PowerSettings.model_validate({"pwrkey": {"line": 6, "active": "high", "undriven": "high"}})
    rig = Rig(Layout.of(None, power))
    apply(rig, "power key")
    assert rig.pins.pin(6).function == "output"


# ---------------------------------------------------------------------------------------------- interrupted


def interrupted(make: Callable[[Rig], Callable[[], Coroutine[Any, Any, None]]], rig: Rig, at: str) -> None:
    """Cancel an act while a line is active."""

    async def scenario() -> None:
        reached = asyncio.Event()
        goes_on = asyncio.Event()
        usual = rig.sleep

        async def sleep(seconds: float) -> None:
            if not rig.supplied if at == "dark" else rig.is_active(at):
                reached.set()
                await goes_on.wait()
            await usual(seconds)

        rig.sleep = sleep  # type: ignore[method-assign]
        task = asyncio.ensure_future(make(rig)())
        await reached.wait()
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()  # the pulse is held to its end
        goes_on.set()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("name", "at"), [("power key", "pwrkey"), ("reset line", "reset"), ("supply", "dark"), ("supply", "pwrkey")]
)
def test_a_pulse_that_is_cancelled_ends_at_rest(name: str, at: str) -> None:
    rig = Rig(layout(reset=True, enable=True), running=True)
    interrupted(lambda rig: remedy(rig.board(), name).apply, rig, at)  # type: ignore[arg-type, return-value]
    assert not rig.is_active("pwrkey")
    assert not rig.is_active("reset")
    assert rig.supplied


def test_two_remedies_at_once_do_not_add_up() -> None:
    rig = Rig(layout(reset=True), running=True)

    async def scenario() -> None:
        board = rig.board()
        first = asyncio.ensure_future(remedy(board, "power key").apply())
        await asyncio.sleep(0)
        with pytest.raises(PowerFailed, match="busy: power key is in progress"):
            await remedy(board, "reset line").apply()
        await first
        await remedy(board, "reset line").apply()

    asyncio.run(scenario())
    assert [name for name, _ in rig.log] == ["pwrkey", "pwrkey", "reset"]


def test_a_line_that_cannot_be_used_is_told_and_tried_again() -> None:
    rig = Rig(layout())
    calls: Sequence[int] = [0]

    def made(chip: str | None) -> MockFactory:
        calls[0] += 1  # type: ignore[index]
        if calls[0] == 1:
            raise PermissionError(13, "Permission denied")
        return rig.made(chip)

    async def scenario() -> None:
        board = Board(rig.layout, name="hat", factory=made, sleep=rig.sleep)
        with pytest.raises(PowerFailed, match="group gpio"):
            await board.switch_on()
        await board.switch_on()

    asyncio.run(scenario())
    assert rig.running
