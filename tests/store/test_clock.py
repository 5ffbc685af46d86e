"""Hub time never jumps (promise T1)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from appliance.store.clock import DAY_MS, Anchor, rfc3339
from tests.store.bench import Machine

DECADE = 10 * 365 * 86_400


@pytest.mark.parametrize("jump", [-DECADE, DECADE, -1, 1, 7 * 86_400, -1_800_000_000])
def test_a_jump_of_the_wall_clock_does_not_move_hub_time(jump: float) -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now()
    machine.wall += jump
    assert clock.now() == before
    machine.forward(1500)
    assert clock.now() == before + 1500


@pytest.mark.parametrize("jump", [-DECADE, 0, DECADE])
def test_within_one_boot_it_follows_boottime_also_over_a_restart(jump: float) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.forward(5_000)
    anchor = clock.anchor()
    machine.wall += jump
    machine.forward(60_000)
    again = machine.clock()
    again.resume(Anchor.from_json(anchor.to_json()))
    assert again.now() == clock.now() == anchor.hub + 60_000


@pytest.mark.parametrize(
    ("off", "counted"),
    [
        (0.0, 0),
        (3600.0, 3_600_000),
        (7 * 86_400.0, 7 * DAY_MS),
        (7 * 86_400.0 + 1, 0),
        (DECADE, 0),
        (-1.0, 0),
        (-DECADE, 0),
    ],
)
def test_after_a_reboot_it_goes_on_plus_what_the_wall_clock_can_be_believed(off: float, counted: int) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.forward(5_000)
    anchor = clock.anchor()
    machine.reboot(off=off)
    again = machine.clock()
    again.resume(anchor)
    assert again.now() == anchor.hub + counted
    machine.forward(1_000)
    assert again.now() == anchor.hub + counted + 1_000


def test_it_never_goes_back_even_if_boottime_did() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.forward(5_000)
    anchor = clock.anchor()
    machine.boottime -= 100
    again = machine.clock()
    again.resume(anchor)
    assert again.now() == anchor.hub


@pytest.mark.parametrize("moment", ["1970-01-01T00:00:00.000Z", "2026-11-23T12:00:00.007Z", "0999-01-02T03:04:05.678Z"])
def test_times_are_shown_as_rfc3339_with_milliseconds(moment: str) -> None:
    parsed = datetime.fromisoformat(moment)
    wall = round((parsed - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
    assert rfc3339(wall) == moment


def test_no_wall_clock_is_too_wrong_to_be_shown() -> None:
    assert rfc3339(10**18) == "9999-12-31T23:59:59.999Z"
    assert rfc3339(-(10**18)) == "0001-01-01T00:00:00.000Z"
