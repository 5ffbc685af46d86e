"""A factory reset is done when it was asked for, wherever the power is cut, and never otherwise."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image.device import kept
from image.device.gesture import CALM, HELD, RELEASED, Gesture, Pull, Verdict
from image.device.reset import DONE, ask, data_partition, watch, wipe
from image.device.rim import Failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from image.device.place import Place
    from tests.device.conftest import Machine

STEP = 0.05
ROOT = os.makedev(179, 2)


@pytest.fixture(autouse=True)
def _disk(place: Place) -> None:
    """A card with four partitions, and a stick that was flashed with the same image."""
    for disk, number in (("mmcblk0", 179), ("sda", 8)):
        for part in range(1, 5):
            name = f"{disk}p{part}" if disk == "mmcblk0" else f"{disk}{part}"
            directory = place.at(f"/sys/devices/{disk}/{name}")
            directory.mkdir(parents=True)
            (directory / "partition").write_text(f"{part}\n", encoding="ascii")
            link = place.at(f"/sys/dev/block/{number}:{part}")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(directory)


def test_another_disk_of_the_same_image_is_not_touched(place: Place) -> None:
    assert data_partition(place, os.makedev(8, 3)) == place.at("/dev/sda4")
    assert data_partition(place, ROOT) == place.at("/dev/mmcblk0p4")
    place.at("/sys/dev/block/0:25").symlink_to(place.at("/sys/devices"))
    with pytest.raises(Failed):
        data_partition(place, os.makedev(0, 25))


def did(machine: Machine) -> list[str]:
    return [words[0] for words in machine.said]


@pytest.mark.parametrize("name", ["factory-reset", "FACTORY-RESET", "Factory-Reset.txt", "factory-reset.TXT"])
def test_a_file_asks_for_it(place: Place, machine: Machine, name: str) -> None:
    (place.fat / name).touch()
    assert wipe(place, root=ROOT, command=machine) == 0
    assert [path.name for path in place.fat.iterdir()] == [DONE]
    (made,) = [words for words in machine.said if words[0] == "mke2fs"]
    assert made[-1] == str(place.at("/dev/mmcblk0p4"))
    assert did(machine).index("blkdiscard") < did(machine).index("mke2fs")


@pytest.mark.parametrize("name", ["factory-reset-done.txt", "factory-reset.zip", "my factory-reset", "reset"])
def test_nothing_else_does(place: Place, machine: Machine, name: str) -> None:
    (place.fat / name).touch()
    assert wipe(place, root=ROOT, command=machine) == 0
    assert machine.said == []


def test_the_verb_asks_for_it(place: Place, machine: Machine) -> None:
    assert ask(place, command=machine) == 0
    wipe(place, root=ROOT, command=machine)
    assert "mke2fs" in did(machine)


@pytest.mark.parametrize("step", ["mke2fs", "sync", "mount"])
def test_what_fails_stays_asked_for(place: Place, machine: Machine, step: str) -> None:
    (place.fat / "factory-reset").touch()
    machine.answers[step] = Failed("the power is cut")
    with pytest.raises(Failed):
        wipe(place, root=ROOT, command=machine)
    assert (place.fat / "factory-reset").exists()
    machine.answers[step] = ""
    wipe(place, root=ROOT, command=machine)
    assert not (place.fat / "factory-reset").exists()


def test_a_card_without_discard_is_wiped_too(place: Place, machine: Machine) -> None:
    (place.fat / "factory-reset").touch()
    machine.answers["blkdiscard"] = Failed("blkdiscard: not supported")
    assert wipe(place, root=ROOT, command=machine) == 0
    assert "mke2fs" in did(machine)


# ---------------------------------------------------------------- the jumper


class Wire:
    """A line of the header, and what is on it: True low, False high, None nothing, so that it follows the pull."""

    def __init__(self, what: Callable[[float], bool | None]) -> None:
        self.what = what
        self.now = 0.0
        self.closed = False

    def is_low(self, pull: Pull) -> bool:
        held = self.what(self.now)
        return pull is Pull.DOWN if held is None else held

    def close(self) -> None:
        self.closed = True

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def judged(what: Callable[[float], bool | None]) -> Verdict:
    wire, gesture = Wire(what), Gesture()
    while (verdict := gesture.look(wire.now, low=wire.is_low(gesture.pull))) is Verdict.LOOKING:
        wire.sleep(STEP)
        assert wire.now < HELD + RELEASED + 5
    return verdict


def held_for(seconds: float) -> Callable[[float], bool | None]:
    return lambda at: True if at < seconds else None


@pytest.mark.parametrize(
    ("what", "verdict"),
    [
        (held_for(HELD + 1), Verdict.RESET),
        (held_for(HELD + RELEASED - 1), Verdict.RESET),
        (held_for(HELD - 1), Verdict.NOTHING),
        (held_for(HELD + RELEASED + 1), Verdict.NOTHING),
        (held_for(0), Verdict.NOTHING),
        (held_for(10_000), Verdict.NOTHING),
        (lambda _: False, Verdict.NOTHING),
        # put on after the start
        (lambda at: True if 1 < at < HELD + 2 else None, Verdict.NOTHING),
        # a HAT's output: low while its modem is off, driven high afterwards
        (lambda at: at < HELD + 5, Verdict.NOTHING),
        # a contact that bounces as it is taken off
        (lambda at: True if at < HELD + 1 or HELD + 1.1 < at < HELD + 1.2 else None, Verdict.RESET),
    ],
)
def test_what_the_jumper_means(what: Callable[[float], bool | None], verdict: Verdict) -> None:
    assert judged(what) is verdict


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 40), st.sampled_from([True, False])), min_size=1, max_size=8))
def test_a_hat_that_drives_the_line_never_erases_anything(course: list[tuple[float, bool]]) -> None:
    def driven(at: float) -> bool:
        for seconds, low in course:
            if at < seconds:
                return low
            at -= seconds
        return course[-1][1]

    assert judged(driven) is Verdict.NOTHING


@settings(deadline=None)
@given(st.lists(st.floats(0.2, 30), min_size=1, max_size=6))
def test_only_one_long_hold_from_the_start_is_a_reset(breaks: list[float]) -> None:
    """Held and let go in turns: a reset exactly where the first hold was long enough, and what follows is calm."""
    edges = [0.0]
    for each in breaks:
        edges.append(edges[-1] + each)

    def what(at: float) -> bool | None:
        turn = next((n for n, (a, b) in enumerate(pairwise(edges)) if a <= at < b), None)
        return None if turn is None or turn % 2 else True

    if judged(what) is Verdict.RESET:
        assert breaks[0] >= HELD - STEP
    elif len(breaks) == 1 and HELD + STEP < breaks[0] < HELD + RELEASED - CALM - 1:
        pytest.fail("one long hold is a reset")


def watched(place: Place, machine: Machine, wire: Wire) -> int:
    return watch(place, find=lambda: wire, command=machine, clock=wire.clock, sleep=wire.sleep)


def test_the_jumper_starts_the_machine_anew_into_the_reset(place: Place, machine: Machine) -> None:
    wire = Wire(held_for(HELD + 1))
    assert watched(place, machine, wire) == 0
    assert wire.closed
    assert (place.fat / "factory-reset").exists()
    assert machine.said[-1] == ["systemctl", "reboot"]


@pytest.mark.parametrize(
    "settings",
    [
        {"system": {"reset_jumper": False}},
        {"modems": [{"port": "/dev/serial0", "power": {"pwrkey": {"line": 21}}}]},
        {"modems": [{"port": "/dev/serial0", "power": {"status": 21}}]},
    ],
)
def test_a_line_that_is_not_ours_is_not_even_looked_at(
    place: Place, machine: Machine, settings: dict[str, object]
) -> None:
    kept.save(place, settings, {})

    def find() -> Wire:
        raise AssertionError("it was looked for")

    assert watch(place, find=find, command=machine) == 0
    assert machine.said == []


def test_a_board_without_the_line_has_no_jumper(place: Place, machine: Machine) -> None:
    assert watch(place, find=lambda: None, command=machine) == 0
    assert machine.said == []
