"""A slot is kept when it proved itself, and left when not; whatever is cut off where, what runs is whole."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image.device.prove import GRACE_SECONDS, PROOF_SECONDS, Facts, Limits, Verdict, limits_of, prove, verdict
from image.device.trial import Before, Ledger, Standing, State, Trial, standing
from tests.device.world import PowerCut, Rebooting, Release, World

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

OLD = Release("0.1.0", "old")
GOOD = Release("0.2.0", "new")
BAD = {
    "never active": Release("0.2.0", starts=False),
    "wrong settings": Release("0.2.0", refuses=True),
    "does not answer": Release("0.2.0", answers=False),
    "no modem": Release("0.2.0", ready=0),
    "no kernel": Release("0.2.0", boots=False),
}
FULL = Before(active=True, answers=True, ready=2)
LIMITS = Limits(300, 900)
FINE = Facts(elapsed=330, active=True, stable=310, answers=True, ready=1, writable=True)


def world(directory: Path, *, old: Release = OLD) -> World:
    made = World(directory, slots={"A": old})
    made.live()
    made.clock += 600
    return made


def install(made: World, release: Release) -> type[Exception] | None:
    bundle = made.file(release)
    return made.until(lambda: made.updater.install(bundle))


# ------------------------------------------------------------------------------------------------------ verdict


@pytest.mark.parametrize(
    ("facts", "before", "decided", "says"),
    [
        (FINE, FULL, Verdict.GOOD, "proved"),
        (Facts(330, active=True, stable=299, answers=True, ready=1, writable=True), FULL, Verdict.WAIT, "299 s only"),
        (Facts(330, active=True, stable=310, answers=True, ready=0, writable=True), FULL, Verdict.WAIT, "no modem"),
        (Facts(330, active=True, stable=310, answers=False, ready=0, writable=True), FULL, Verdict.WAIT, "not answer"),
        (Facts(330, active=True, stable=310, answers=True, ready=1), FULL, Verdict.WAIT, "takes nothing"),
        (Facts(1200, active=True, stable=310, answers=True, writable=True), FULL, Verdict.BAD, "2 were before"),
        (Facts(1200, active=True, stable=2, writable=True), FULL, Verdict.BAD, "2 s only and its hub does not answer"),
        (Facts(1200, writable=True), FULL, Verdict.BAD, "not running"),
        (Facts(1, failed=True, writable=True), FULL, Verdict.BAD, "refuses the settings"),
        (Facts(1, failed=True, writable=True), Before(), Verdict.WAIT, "not over"),
        (Facts(301, failed=True, writable=True), Before(), Verdict.GOOD, "proved"),
        (Facts(310, active=True, stable=301, answers=True, writable=True), Before(True, True), Verdict.GOOD, "proved"),
        (Facts(310, active=True, stable=301, writable=True), Before(active=True), Verdict.GOOD, "proved"),
    ],
)
def test_the_verdict_is_what_the_table_says(facts: Facts, before: Before, decided: Verdict, says: str) -> None:
    found, why = verdict(facts, before, LIMITS)
    assert found is decided
    assert says in why


facts = st.builds(
    Facts,
    elapsed=st.floats(0, 5000),
    active=st.booleans(),
    failed=st.booleans(),
    stable=st.floats(0, 5000),
    answers=st.booleans(),
    ready=st.integers(0, 3),
    writable=st.booleans(),
)
befores = st.builds(Before, active=st.booleans(), answers=st.booleans(), ready=st.integers(0, 3))


@settings(deadline=None)
@given(seen=facts, before=befores)
def test_no_facts_are_waited_on_beyond_the_time_and_none_is_good_that_is_worse_than_before(
    seen: Facts, before: Before
) -> None:
    decided, why = verdict(seen, before, LIMITS)
    assert why
    if seen.elapsed >= LIMITS.proof + LIMITS.grace:
        assert decided is not Verdict.WAIT
    if decided is Verdict.GOOD:
        assert seen.writable
        assert not (before.active and (not seen.active or seen.stable < LIMITS.proof))
        assert not (before.active and before.answers and not seen.answers)
        assert not (before.active and before.ready and not seen.ready)
    if decided is Verdict.BAD:
        assert (before.active and seen.failed) or seen.elapsed >= LIMITS.proof + LIMITS.grace


@settings(deadline=None)
@given(seen=facts, before=befores)
def test_what_is_asked_of_a_slot_grows_with_what_was_before(seen: Facts, before: Before) -> None:
    if verdict(seen, before, LIMITS)[0] is Verdict.GOOD and before.active:
        for less in (Before(True, before.answers, 0), Before(active=True)):
            assert verdict(seen, less, LIMITS)[0] is Verdict.GOOD


@pytest.mark.parametrize(
    ("line", "limits"),
    [
        ("", Limits(PROOF_SECONDS, GRACE_SECONDS)),
        ("modemhub.prove=10", Limits(10, 120)),
        ("modemhub.prove=nonsense", Limits(PROOF_SECONDS, GRACE_SECONDS)),
        ("modemhub.prove=3000", Limits(3000, GRACE_SECONDS)),
    ],
)
def test_the_kernel_line_may_ask_for_another_proof(tmp_path: Path, line: str, limits: Limits) -> None:
    made = world(tmp_path)
    made.place.at("/proc/cmdline").write_text(f"ro rauc.slot=A {line}\n")
    assert limits_of(made.system) == limits


# ------------------------------------------------------------------------------------------------------ standing


@pytest.mark.parametrize(("state", "booted", "same_boot"), list(product(State, "AB", [True, False])))
def test_every_record_means_something_in_every_boot(state: State, booted: str, *, same_boot: bool) -> None:
    trial = Trial(state, slot="B", from_slot="A", version="2", from_version="1", boot_id="one")
    stands = standing(trial, booted=booted, boot_id="one" if same_boot else "two")
    if not state.open:
        assert stands is Standing.SETTLED
    elif booted == "B":
        assert stands is (Standing.CONDEMNED if state is State.FAILING else Standing.TRIAL)
    elif same_boot:
        assert stands is Standing.SETTLED
    else:
        assert stands is (Standing.INTERRUPTED if state is State.INSTALLING else Standing.FELL_BACK)


def test_a_record_comes_back_as_it_was_written_and_a_spoilt_one_is_none(tmp_path: Path) -> None:
    file = tmp_path / "device/update.json"
    assert Ledger.load(file) == Ledger()
    trial = Trial(State.FAILING, "B", "A", "2", "1", "b", "h", "id", "now", "why ä", FULL)
    Ledger(trial, ("h", "g")).save(file)
    assert Ledger.load(file) == Ledger(trial, ("h", "g"))
    for spoilt in (b"", b"\0" * 100, b"[]", b'{"trial": {"state": "odd"}, "tried": []}', b'{"trial": 1, "tried": []}'):
        file.write_bytes(spoilt)
        assert Ledger.load(file) == Ledger()


# ------------------------------------------------------------------------------------------------------ the whole


def test_a_good_update_is_committed_and_gets_its_attempts(tmp_path: Path) -> None:
    made = world(tmp_path)
    assert install(made, GOOD) is Rebooting
    made.live()
    assert made.booted == "B"
    assert made.left["B"] == 12
    trial = made.system.ledger.trial
    assert trial is not None
    assert (trial.state, trial.before) == (State.COMMITTED, Before(active=True, answers=True, ready=1))
    assert (made.place.run / "proved").exists()
    assert made.told == ""
    made.live()
    assert made.booted == "B"


@pytest.mark.parametrize("name", BAD)
def test_a_bad_update_is_taken_back_and_the_person_is_told(tmp_path: Path, name: str) -> None:
    made = world(tmp_path)
    assert install(made, BAD[name]) is Rebooting
    made.live()
    assert made.booted == "A"
    assert made.order == ["A"]
    trial = made.system.ledger.trial
    assert trial is not None
    assert trial.state is State.ROLLED_BACK
    assert "The update to version 0.2.0 was taken back" in made.told
    assert trial.reason in made.told
    assert made.boots.count("B") == (0 if name == "no kernel" else 1)
    made.live()
    assert made.booted == "A"


def test_a_later_commit_takes_back_what_was_told(tmp_path: Path) -> None:
    made = world(tmp_path)
    install(made, BAD["no modem"])
    made.live()
    assert made.told
    made.clock += 600
    install(made, Release("0.3.0"))
    made.live()
    assert made.release.version == "0.3.0"
    assert made.told == ""


@pytest.mark.parametrize("old", [Release("0.1.0", starts=False), Release("0.1.0", refuses=True)])
def test_a_committed_slot_is_never_left_whatever_its_hub_does(tmp_path: Path, old: Release) -> None:
    made = World(tmp_path, slots={"A": old, "B": Release("0.0.9")})
    for _ in range(30):
        made.live()
    assert set(made.boots) == {"A"}
    assert not [call for call in made.calls if "mark-bad" in call or "reboot" in call]


def test_a_hub_that_was_off_before_keeps_no_update_out(tmp_path: Path) -> None:
    made = world(tmp_path, old=Release("0.1.0", refuses=True))
    assert install(made, Release("0.2.0", refuses=True)) is Rebooting
    made.live()
    assert made.release.version == "0.2.0"
    assert made.system.ledger.trial is not None
    assert made.system.ledger.trial.state is State.COMMITTED


def test_an_installation_that_waits_for_its_reboot_is_no_trial_yet(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.updater.install(made.file(GOOD), reboot=False)
    assert prove(made.system, made.board) == 0
    assert made.system.ledger.trial is not None
    assert made.system.ledger.trial.state is State.INSTALLED
    assert made.told == ""


# ------------------------------------------------------------------------------------------------------ power cuts


def steps_of(directory: Path, release: Release) -> int:
    """How many steps an update has from its beginning until all is decided."""
    made = world(directory)
    made.steps = 0
    install(made, release)
    made.live()
    return made.steps


@pytest.mark.parametrize("release", [GOOD, *BAD.values()], ids=["good", *BAD])
def test_power_cut_at_any_step_leaves_old_or_new_and_never_a_bad_one(tmp_path: Path, release: Release) -> None:
    last = steps_of(tmp_path / "count", release)
    for at in range(last + 1):
        made = world(tmp_path / str(at))
        made.steps, made.cut_at = 0, at
        cut = install(made, release)
        made.live()
        made.cut_at = -1
        assert made.release.version in {"0.1.0", "0.2.0"}
        if release is not GOOD:
            assert made.release == OLD, f"cut at step {at}"
        elif cut is Rebooting:
            assert made.release == GOOD, f"cut at step {at}"
        trial = made.system.ledger.trial
        assert trial is None or not trial.state.open, f"cut at step {at}"
        assert (made.place.run / "proved").exists()
        # it can be updated again from wherever it is
        made.clock += 600
        assert install(made, Release("0.3.0")) is Rebooting
        made.live()
        assert made.release.version == "0.3.0"


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_power_cut_again_and_again_never_bricks(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """At most two in a trial's proof: a third one in a row is the boot loader's fall back, which is checked too."""
    release = data.draw(st.sampled_from([GOOD, *BAD.values()]))
    made = world(tmp_path_factory.mktemp("device"))
    made.steps, made.cut_at = 0, data.draw(st.integers(0, 12))
    ended = install(made, release)
    for pause in data.draw(st.lists(st.integers(0, 80), max_size=6)):
        made.steps, made.cut_at = 0, pause
        made.boot()
        made.until(lambda: prove(made.system, made.board))
    made.cut_at = -1
    made.live()
    assert made.release.version in {"0.1.0", "0.2.0"}
    if release is not GOOD:
        assert made.release == OLD
    trial = made.system.ledger.trial
    assert trial is None or not trial.state.open
    assert ended in {PowerCut, Rebooting}


def test_a_rauc_that_cannot_mark_leaves_the_decision_to_who_watches_the_boot(tmp_path: Path) -> None:
    made = world(tmp_path)
    install(made, GOOD)
    made.boot()
    run = made.run

    def broken(argv: object, seconds: float | None) -> object:
        done = run(argv, seconds) if argv[0] != "rauc" else None  # type: ignore[arg-type,index]
        return done or subprocess.CompletedProcess([], 1, "", "no bus")

    object.__setattr__(made.system, "run", broken)
    assert prove(made.system, made.board) == 1
    assert not (made.place.run / "proved").exists()
    assert made.system.ledger.trial is not None
    assert made.system.ledger.trial.state is State.INSTALLED


# ------------------------------------------------------------------------------------------- without the data partition


def test_a_slot_that_cannot_mount_the_data_partition_is_left_and_the_person_is_told(tmp_path: Path) -> None:
    made = world(tmp_path)
    assert install(made, Release("0.2.0", mounts=False)) is Rebooting
    made.live()
    assert made.boots[-4:] == ["B", "B", "B", "A"]
    assert made.order[0] == "A"
    assert "update to version 0.2.0 was taken back" in made.told
    assert made.system.ledger.trial is not None
    assert made.system.ledger.trial.state is State.ROLLED_BACK


@pytest.mark.parametrize("trial", [False, True])
def test_without_data_one_slot_runs_on_with_all_its_attempts_however_often_it_is_started(
    tmp_path: Path, *, trial: bool
) -> None:
    made = world(tmp_path)
    if trial:
        assert install(made, GOOD) is Rebooting
    made.readable = False
    for _ in range(30):
        made.live()
        assert made.booted == "A"
        assert made.left["A"] == 12
    assert made.boots.count("B") == 3 * trial
    made.readable = True
    made.live()
    assert made.booted == "A"
    assert ("update to version 0.2.0 was taken back" in made.told) is trial


def test_without_data_ten_short_starts_of_a_committed_slot_end_in_one_that_runs_on(tmp_path: Path) -> None:
    made = world(tmp_path)
    assert install(made, GOOD) is Rebooting
    made.live()
    for _ in range(10):
        made.boot()  # and off again
    made.readable = False
    made.live()
    settled = made.booted
    made.live()
    assert made.booted == settled
    assert made.left[settled] == 12


def test_without_data_a_boot_choice_that_cannot_be_written_is_no_reason_to_reboot(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.readable = False
    made.boot()
    whole = made.run

    def run(argv: Sequence[str], seconds: float | None) -> subprocess.CompletedProcess[str]:
        if argv[0].startswith("fw_"):
            return subprocess.CompletedProcess(list(argv), 1, "", "no such device")
        return whole(argv, seconds)

    assert prove(replace(made.system, run=run), made.board) == 1
