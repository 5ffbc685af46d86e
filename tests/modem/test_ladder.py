"""The ladder of recovery: which step is due."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.modem.ladder import CLIMBS, WAITS, Ladder, Memory, Rung, Step, Trouble

REOPEN = Step(Rung.REOPEN, "re-opening the port", 5)
RADIO = Step(Rung.RADIO, "radio off and on", 60)
RESET = Step(Rung.RESET, "reset by command", 25)
LINE = Step(Rung.LINES, "reset line", 25)
KEY = Step(Rung.LINES, "power key", 30)
USB = Step(Rung.USB, "USB", 12)
SUPPLY = Step(Rung.SUPPLY, "supply", 30)
ALL = (REOPEN, RADIO, RESET, LINE, KEY, USB, SUPPLY)


def climb(ladder: Ladder, now: float, steps: tuple[Step, ...] = ALL, trouble: Trouble = Trouble.SILENT) -> list[Step]:
    """Take what is due until nothing is."""
    taken = []
    while (step := ladder.due(trouble, steps, now=now)) is not None:
        ladder.take(step, now=now)
        now += step.patience
        ladder.fail(now=now)
        taken.append(step)
    return taken


def test_the_rungs_are_climbed_in_order_and_the_radio_is_no_use_against_silence() -> None:
    assert climb(Ladder(), 0.0) == [REOPEN, RESET, LINE, KEY, USB, SUPPLY]


def test_a_modem_without_network_is_never_cut_off_its_supply() -> None:
    assert climb(Ladder(), 0.0, trouble=Trouble.NO_NETWORK) == [RADIO, RESET]


def test_a_modem_that_is_not_there_is_neither_opened_nor_reset_by_command() -> None:
    assert climb(Ladder(), 0.0, trouble=Trouble.ABSENT) == [LINE, KEY, SUPPLY]


def test_what_helped_comes_first_next_time_after_re_opening() -> None:
    ladder = Ladder()
    for step in (REOPEN, RESET, LINE, KEY, USB):
        assert ladder.due(Trouble.SILENT, ALL, now=0.0) == step
        ladder.take(step, now=0.0)
        if step is not USB:
            ladder.fail(now=1.0)
    assert ladder.help(now=7.0) == (USB, 7.0)
    ladder.healthy()
    again = Ladder(ladder.memory)
    assert climb(again, 1000.0) == [REOPEN, USB, RESET, LINE, KEY, SUPPLY]


def test_re_opening_is_never_noted_as_the_cure() -> None:
    ladder = Ladder(Memory(cure="USB"))
    ladder.due(Trouble.SILENT, ALL, now=0.0)
    ladder.take(REOPEN, now=0.0)
    ladder.help(now=1.0)
    assert ladder.memory.cure == "USB"


def test_after_a_climb_without_help_a_person_is_called_and_it_begins_anew_ever_later() -> None:
    ladder = Ladder()
    now = 0.0
    waits = []
    for _ in range(8):
        assert climb(ladder, now)
        assert ladder.needs_hands
        begin = now
        while ladder.due(Trouble.SILENT, ALL, now=now) is None:
            now += 1
        waits.append(now - begin)
    assert waits == sorted(waits)
    assert waits[0] >= WAITS[0]
    assert waits[-1] >= WAITS[-1]


def test_an_unfinished_climb_is_gone_on_with_after_a_restart_of_the_hub() -> None:
    ladder = Ladder()
    for step in (REOPEN, RESET, LINE):
        ladder.take(step, now=0.0)
    assert climb(Ladder(ladder.memory), 50.0) == [KEY, USB, SUPPLY]


def test_a_climb_that_ended_without_help_waits_again_after_a_restart_of_the_hub() -> None:
    ladder = Ladder()
    climb(ladder, 0.0)
    again = Ladder(ladder.memory)
    assert again.due(Trouble.SILENT, ALL, now=5.0) is None
    assert again.due(Trouble.SILENT, ALL, now=5.0 + WAITS[0] - 1) is None
    assert again.due(Trouble.SILENT, ALL, now=5.0 + WAITS[0]) == REOPEN


def test_in_doubt_nothing_above_re_opening_is_due_and_the_climb_is_not_over() -> None:
    ladder = Ladder()
    assert ladder.due(Trouble.SILENT, ALL, now=0.0, in_doubt=True) == REOPEN
    ladder.take(REOPEN, now=0.0)
    for now in range(300):
        assert ladder.due(Trouble.SILENT, ALL, now=now, in_doubt=True) is None
    assert not ladder.needs_hands
    assert ladder.due(Trouble.SILENT, ALL, now=300.0) == RESET


def test_a_modem_that_falls_ill_again_and_again_gets_another_cure_and_time_between() -> None:
    ladder = Ladder(Memory(cure=RESET.name))
    now, cures = 0.0, []
    for _ in range(7):
        begin = now
        while (step := ladder.due(Trouble.SILENT, (REOPEN, RESET, LINE), now=now)) is None or step is REOPEN:
            if step is REOPEN:
                ladder.take(step, now=now)
                ladder.fail(now=now)
            now += 1
        ladder.take(step, now=now)
        ladder.help(now=now + 10)
        cures.append((step.name, now - begin >= WAITS[0]))
        now += 30
    assert [name for name, _ in cures] == [*[RESET.name] * 3, *[LINE.name] * 3, RESET.name]
    assert [waited for _, waited in cures] == [False, False, False, True, False, False, True]


def test_ten_healthy_minutes_forget_all_but_the_cure() -> None:
    ladder = Ladder(Memory(cure="USB", relapses=2))
    assert ladder.healthy()
    assert ladder.memory == Memory(cure="USB")
    assert not ladder.healthy()


STEPS = st.sets(st.sampled_from(ALL), min_size=1).map(lambda steps: tuple(sorted(steps, key=ALL.index)))


@given(STEPS, st.sampled_from(Trouble), st.lists(st.tuples(st.floats(0, 4000), st.booleans(), st.booleans())))
def test_whatever_happens_only_useful_steps_are_taken_each_once_in_a_climb(
    steps: tuple[Step, ...], trouble: Trouble, schedule: list[tuple[float, bool, bool]]
) -> None:
    ladder = Ladder()
    now = 0.0
    for passed, in_doubt, helped in schedule:
        now += passed
        step = ladder.due(trouble, steps, now=now, in_doubt=in_doubt)
        if step is None:
            continue
        assert step.rung in CLIMBS[trouble]
        assert step.name not in ladder.memory.tried
        assert step.rung <= Rung.REOPEN or not in_doubt
        ladder.take(step, now=now)
        if helped:
            ladder.help(now=now)
        else:
            ladder.fail(now=now)
    assert len(set(ladder.memory.tried)) == len(ladder.memory.tried)
