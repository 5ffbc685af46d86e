"""Power key, reset, supply and STATUS: what a host does with GPIO lines, by files, by the control socket, by gpiod."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hil.emulator.client import ControlFailed, Emulator
from hil.emulator.testing import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

STAND_IN = Path(__file__).resolve().parents[1] / "rig" / "gpio"
HAT = {
    "pwrkey": {"line": 6, "pressed": 1}, "reset": {"line": 13, "active": 1}, "status": {"line": 23, "running": 0},
    "flight": {"line": 4, "on": 1}, "pwrkey_on_ms": 100, "pwrkey_off_ms": 200, "reset_ms": 100,
}  # fmt: skip
ENABLE = {"enable": {"line": 26, "on": 0}}
MODEMS: list[dict[str, Any]] = [
    {"lines": HAT, "power": "off"},
    {"lines": ENABLE},
    {"lines": {"pwrkey": {"line": 10}, "enable": {"line": 17, "on": 0}, "pwrkey_on_ms": 50}},
]


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"modems": MODEMS}))
    with Emulator(tmp_path / "run", "--gpio", str(tmp_path / "gpio"), "--config", str(config)) as emulator:
        yield emulator


def lines(emulator: Emulator) -> Path:
    return Path(emulator.ready["gpio"])


def gpiod(emulator: Emulator, code: str, *, fails: bool = False) -> str:
    """Run a piece of Python that imports gpiod, on the emulator's lines."""
    environment = {**os.environ, "PYTHONPATH": str(STAND_IN), "GPIO_DIR": emulator.ready["gpio"]}
    preamble = (
        "import time, gpiod\nfrom datetime import timedelta\nfrom gpiod import LineSettings\n"
        "from gpiod.line import Bias, Direction, Drive, Edge, Value\n"
        "OUT = LineSettings(direction=Direction.OUTPUT)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", preamble + code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stdout.strip() if not fails else done.stderr.strip()


def pulse(emulator: Emulator, line: int, seconds: float) -> None:
    """A pulse of exactly this length, as a driver's log entries say it; it is over already."""
    now = time.monotonic()
    edges = ((1, now - seconds), (0, now))
    rows = [json.dumps({"time": when, "line": line, "level": level, "by": "test"}) for level, when in edges]
    with (lines(emulator) / "log.jsonl").open("a") as log:
        log.write("\n".join(rows) + "\n")


def wait(emulator: Emulator, name: str = "modem1", **status: Any) -> None:
    emulator.control("wait", modem=name, status=status, timeout=10)


def status(emulator: Emulator, name: str = "modem1") -> dict[str, Any]:
    return emulator.control.modem(modem=name)


def seen(emulator: Emulator, edges: int) -> None:
    """Until the emulator has taken that many edges of the test: it reads a log in order, so its own comes last."""
    emulator.control("line", line=40, level=edges % 2)
    assert emulator.control("line", line=40)["level"] == edges % 2


def test_a_press_that_is_long_enough_switches_on_and_off(emulator: Emulator) -> None:
    assert not status(emulator)["on"]
    assert (lines(emulator) / "23").read_text() == "1"
    pulse(emulator, 6, 0.11)
    wait(emulator, on=True, boots=1)
    assert (lines(emulator) / "23").read_text() == "0"
    pulse(emulator, 6, 0.25)
    wait(emulator, on=False)
    assert (lines(emulator) / "23").read_text() == "1"
    assert status(emulator)["remedies"]["power_key"] == 2


def test_a_press_that_is_too_short_does_nothing(emulator: Emulator) -> None:
    pulse(emulator, 6, 0.09)
    seen(emulator, 1)
    assert (status(emulator)["on"], status(emulator)["booting"]) == (False, False)
    pulse(emulator, 6, 0.11)
    wait(emulator, on=True)
    pulse(emulator, 6, 0.19)
    seen(emulator, 2)
    assert status(emulator)["on"]


def test_a_key_that_is_held_acts_once_while_it_is_held(emulator: Emulator) -> None:
    emulator.control("line", line=6, level=1)
    wait(emulator, on=True)
    emulator.control("line", line=6, level=0)
    assert (status(emulator)["on"], status(emulator)["remedies"]) == (True, {"power_key": 1})


def test_a_shell_can_press_the_key(emulator: Emulator) -> None:
    with Terminal(emulator.modems[0]["port"]) as t:
        (lines(emulator) / "6").write_text("1\n")
        t.until(b"SMS Ready\r\n")
        (lines(emulator) / "6").write_text("0\n")
    rows = [json.loads(row) for row in (lines(emulator) / "log.jsonl").read_text().splitlines()]
    assert next((row["level"], row["by"]) for row in rows if row["line"] == 6) == (1, "file")
    assert all(isinstance(row["time"], float) for row in rows)


def test_the_reset_line_reboots_a_running_modem_only(emulator: Emulator) -> None:
    pulse(emulator, 13, 0.2)
    seen(emulator, 1)
    assert not status(emulator)["booting"]
    pulse(emulator, 6, 0.11)
    wait(emulator, on=True)
    emulator.control("fault", kind="wedged", until="reset_line", modem="modem1")
    pulse(emulator, 13, 0.05)
    seen(emulator, 2)
    assert status(emulator)["boots"] == 1
    pulse(emulator, 13, 0.15)
    wait(emulator, boots=2, faults={})


def test_reset_holds_the_modem_down(emulator: Emulator) -> None:
    pulse(emulator, 6, 0.11)
    wait(emulator, on=True)
    emulator.control("line", line=13, level=1)
    wait(emulator, on=False)
    emulator.control("line", line=13, level=0)
    wait(emulator, on=True, boots=2)


def test_a_weak_remedy_does_nothing_to_a_modem_that_needs_its_supply_cut(emulator: Emulator) -> None:
    emulator.control("fault", kind="wedged", until="supply", modem="modem3")
    pulse(emulator, 10, 5.0)
    wait(emulator, "modem3", remedies={"power_key": 1})
    assert (status(emulator, "modem3")["on"], status(emulator, "modem3")["faults"]) == (True, {"wedged": "supply"})
    emulator.control("line", line=17, level=1)
    wait(emulator, "modem3", on=False, faults={})
    emulator.control("line", line=17, level=0)
    assert not status(emulator, "modem3")["booting"]
    pulse(emulator, 10, 0.06)
    wait(emulator, "modem3", on=True)


def test_a_modem_without_a_key_starts_with_its_supply(emulator: Emulator) -> None:
    emulator.control("line", line=26, level=1)
    wait(emulator, "modem2", on=False)
    assert status(emulator, "modem2")["harm"] == ["supply cut while running"]
    emulator.control("line", line=26, level=0)
    wait(emulator, "modem2", on=True, boots=1)


def test_flight_mode_is_a_line(emulator: Emulator) -> None:
    pulse(emulator, 6, 0.11)
    wait(emulator, on=True)
    emulator.control("line", line=4, level=1)
    wait(emulator, cfun=4, registered=False)
    emulator.control("line", line=4, level=0)
    wait(emulator, cfun=1, registered=True)


def test_key_and_reset_together_are_remembered(emulator: Emulator) -> None:
    for line, level in ((6, 1), (13, 1), (13, 0), (6, 0)):
        emulator.control("line", line=line, level=level)
    assert status(emulator)["harm"] == ["power key and reset at the same time"]


def test_a_wiring_that_does_not_exist_is_told(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"modems": [{"lines": {"horn": {"line": 1}}}]}')
    with pytest.raises(RuntimeError, match="ended with 2"):
        Emulator(tmp_path / "run", "--config", str(config))


def test_without_lines_the_verb_says_so(tmp_path: Path) -> None:
    with Emulator(tmp_path / "run") as emulator, pytest.raises(ControlFailed, match="no GPIO lines"):
        emulator.control("line", line=1, level=1)


# ------------------------------------------------------------------------------------------------ the stand-in


def test_gpiod_presses_the_key_and_reads_status(emulator: Emulator) -> None:
    said = gpiod(
        emulator,
        "chip = gpiod.Chip('/dev/gpiochip0')\n"
        "info = chip.get_info()\n"
        "print(info.name, info.label, info.num_lines, gpiod.is_gpiochip_device('/dev/gpiochip0'))\n"
        "key = chip.request_lines({6: OUT}, consumer='hub')\n"
        "status = gpiod.request_lines('/dev/gpiochip0', consumer='hub', config={'GPIO23': LineSettings(\n"
        "    direction=Direction.INPUT, edge_detection=Edge.BOTH, bias=Bias.PULL_UP)})\n"
        "print(status.get_value('GPIO23'), chip.get_line_info(6).used, chip.get_line_info(6).consumer)\n"
        "key.set_value(6, Value.ACTIVE)\n"
        "assert status.wait_edge_events(timedelta(seconds=10))\n"
        "event, = status.read_edge_events()\n"
        "key.set_value(6, Value.INACTIVE)\n"
        "key.release()\n"
        "print(event.event_type.name, event.line_offset, chip.get_line_info(6).used)\n",
    )
    assert said.splitlines() == [
        "gpiochip0 pinctrl-bcm2711 54 True",
        "Value.ACTIVE True hub",
        "FALLING_EDGE 23 False",
    ]
    wait(emulator, on=True, boots=1)


def test_gpiod_makes_pulses_of_their_true_length(emulator: Emulator) -> None:
    gpiod(
        emulator,
        "with gpiod.request_lines('/dev/gpiochip0', consumer='hub', config={6: OUT}) as key:\n"
        " key.set_value(6, Value.ACTIVE); time.sleep(0.12); key.set_value(6, Value.INACTIVE)\n",
    )
    wait(emulator, on=True)
    rows = [json.loads(row) for row in (lines(emulator) / "log.jsonl").read_text().splitlines()]
    up, down = [row["time"] for row in rows if row["line"] == 6]
    assert down - up >= 0.12


def test_a_line_belongs_to_one_process_until_it_ends(emulator: Emulator) -> None:
    environment = {**os.environ, "PYTHONPATH": str(STAND_IN), "GPIO_DIR": emulator.ready["gpio"]}
    code = (
        "import gpiod\nr = gpiod.request_lines('/dev/gpiochip0', {6: None}, 'other')\n"
        "print('held', flush=True)\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        error = gpiod(emulator, "gpiod.request_lines('/dev/gpiochip0', {6: OUT}, 'hub')", fails=True)
        assert f"[Errno {errno.EBUSY}]" in error
        assert gpiod(emulator, "print(gpiod.Chip('/dev/gpiochip0').get_line_info(6).consumer)") == "other"
        holder.kill()
    gpiod(emulator, "gpiod.request_lines('/dev/gpiochip0', {6: OUT}, 'hub')")


CHIP = "'/dev/gpiochip0'"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (f"gpiod.request_lines({CHIP}, {{4: LineSettings(direction=Direction.INPUT)}}).set_value(4, Value.ACTIVE)",
         "PermissionError"),
        ("gpiod.Chip('/dev/gpiochip7')", "FileNotFoundError"),
        (f"gpiod.Chip({CHIP}).get_line_info(99)", "ValueError"),
        (f"r = gpiod.request_lines({CHIP}, {{4: OUT}}); r.release(); r.get_value(4)", "RequestReleasedError"),
        (f"c = gpiod.Chip({CHIP}); c.close(); c.get_info()", "ChipClosedError"),
        (f"a = gpiod.request_lines({CHIP}, {{(4, 5): OUT}}); a.get_value(8)", "ValueError"),
    ],
)  # fmt: skip
def test_gpiod_refuses_what_the_package_refuses(emulator: Emulator, code: str, error: str) -> None:
    assert error in gpiod(emulator, code, fails=True)


def test_active_low_is_turned_round(emulator: Emulator) -> None:
    code = (
        "low = LineSettings(direction=Direction.OUTPUT, active_low=True, output_value=Value.ACTIVE)\n"
        "with gpiod.request_lines('/dev/gpiochip0', {30: low}) as line:\n"
        ' print(open(f\'{__import__("os").environ["GPIO_DIR"]}/30\').read(), line.get_value(30))'
    )
    assert gpiod(emulator, code) == "0 Value.ACTIVE"
