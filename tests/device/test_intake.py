"""The file on the card is taken wholly or not at all, wherever the power is cut; its secrets leave the card."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from image.device.fat import Fat
from image.device.intake import Taken, take
from image.device.kept import Kept
from image.device.plan import merged
from image.device.rim import Failed
from image.device.settings import KEPT

if TYPE_CHECKING:
    from pathlib import Path

    from image.device.place import Place
    from tests.device.conftest import Machine

FIRST = """# mine
[wifi]
ssid = "home"          # upstairs
password = "first-password"   # from the router

[sims]
"*" = { pin = "1111" }
"""
SECOND = FIRST.replace("first-password", "second-password").replace('"home"', '"garden"').replace("1111", "2222")
SECRETS = (b"first-password", b"second-password", b"1111", b"2222")


@pytest.fixture
def fat(place: Place, machine: Machine) -> Fat:
    return Fat(place, command=machine)


def put(place: Place, text: str | bytes, name: str = "modemhub.toml") -> Path:
    file = place.fat / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def whole(place: Place) -> dict[str, object]:
    kept = Kept.read(place)
    return merged(kept.settings, kept.secrets)


def test_it_is_taken_and_its_secrets_leave_the_card(place: Place, fat: Fat) -> None:
    file = put(place, FIRST.replace("\n", "\r\n"))
    assert take(place, fat) == Taken()
    assert whole(place) == {
        "wifi": {"ssid": "home", "password": "first-password"},
        "sims": {"*": {"pin": "1111"}},
    }
    left = FIRST.replace("first-password", KEPT).replace("1111", KEPT).replace("\n", "\r\n")
    assert file.read_bytes().decode() == left
    everything = b"".join(each.read_bytes() for each in place.fat.iterdir())
    assert not [secret for secret in SECRETS if secret in everything]
    assert b"first-password" not in (place.device / "settings.toml").read_bytes()


@pytest.mark.parametrize("name", ["secrets.json", "settings.toml", "card.toml", "intake.json"])
def test_what_is_kept_is_for_root_alone(place: Place, fat: Fat, name: str) -> None:
    put(place, FIRST)
    take(place, fat)
    assert (place.device / name).stat().st_mode & 0o777 == 0o600


def test_a_known_file_is_not_looked_at_again(place: Place, fat: Fat, machine: Machine) -> None:
    put(place, FIRST)
    take(place, fat)
    machine.said.clear()
    assert take(place, fat) == Taken()
    assert machine.said == []  # the card was not even made writable


def test_other_settings_keep_the_kept_secrets(place: Place, fat: Fat) -> None:
    file = put(place, FIRST)
    take(place, fat)
    file.write_text(file.read_text(encoding="utf-8").replace('"home"', '"garden"'), encoding="utf-8")
    assert take(place, fat) == Taken()
    assert whole(place)["wifi"] == {"ssid": "garden", "password": "first-password"}


def test_a_section_that_is_gone_is_gone_with_its_secret(place: Place, fat: Fat) -> None:
    file = put(place, FIRST)
    take(place, fat)
    file.write_text("# nothing\n", encoding="utf-8")
    assert take(place, fat) == Taken()
    assert whole(place) == {}
    assert b"first-password" not in (place.device / "secrets.json").read_bytes()


def test_a_kept_secret_of_which_nothing_is_kept_is_told(place: Place, fat: Fat) -> None:
    put(place, FIRST.replace("first-password", KEPT))
    (complaint,) = take(place, fat).complaints
    assert complaint.startswith("wifi.password: nothing is kept on the device for it")
    assert whole(place) == {}


def test_a_wrong_file_changes_nothing(place: Place, fat: Fat) -> None:
    put(place, FIRST)
    take(place, fat)
    wrong = put(place, SECOND + "pasword = 1\n").read_bytes()
    assert take(place, fat).complaints
    assert whole(place)["wifi"] == {"ssid": "home", "password": "first-password"}
    assert (place.fat / "modemhub.toml").read_bytes() == wrong  # its owner's, to be mended


def test_a_card_that_cannot_be_written_is_told_and_tried_again(place: Place, machine: Machine) -> None:
    fat = Fat(place, command=machine)
    file = put(place, FIRST)
    machine.answers["mount"] = Failed("mount: write-protected")
    taken = take(place, fat)
    assert "still on the card" in taken.warnings[0]
    assert whole(place)["wifi"] == {"ssid": "home", "password": "first-password"}
    machine.answers["mount"] = ""
    assert take(place, fat).warnings == ()
    assert b"first-password" not in file.read_bytes()


@pytest.mark.parametrize("left", [None, b"", bytes(500)])
def test_what_a_power_cut_left_of_the_file_is_mended(place: Place, fat: Fat, left: bytes | None) -> None:
    file = put(place, FIRST)
    take(place, fat)
    mine = file.read_bytes()
    file.unlink() if left is None else file.write_bytes(left)
    assert take(place, fat) == Taken()
    assert file.read_bytes() == mine
    assert whole(place)["wifi"] == {"ssid": "home", "password": "first-password"}


def test_a_card_without_a_file_stays_without_one(place: Place, fat: Fat) -> None:
    assert take(place, fat) == Taken()
    assert list(place.fat.iterdir()) == []


def test_the_ending_that_windows_hides_is_seen_through(place: Place, fat: Fat) -> None:
    put(place, "# the template says nothing\n")
    put(place, FIRST, "Modemhub.toml.TXT")
    assert take(place, fat) == Taken()
    assert [file.name for file in place.fat.iterdir()] == ["modemhub.toml"]
    assert whole(place)["wifi"] == {"ssid": "home", "password": "first-password"}


def test_two_files_that_both_say_something_are_told(place: Place, fat: Fat) -> None:
    put(place, FIRST)
    put(place, SECOND, "modemhub.toml.txt")
    assert "remove the one" in take(place, fat).complaints[0]
    assert whole(place) == {}


def test_a_hand_on_what_is_kept_leaves_the_secrets(place: Place, fat: Fat) -> None:
    put(place, FIRST)
    take(place, fat)
    file = place.device / "settings.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("home", "attic"), encoding="utf-8")
    assert whole(place)["wifi"] == {"ssid": "attic", "password": "first-password"}


# ---------------------------------------------------------------- power cuts

TOUCHES = frozenset({"open", "os.rename", "os.remove", "os.mkdir"})
"""Events of the interpreter (PEP 578) at which a file is about to be touched."""


def cut_after(steps: int, place: Place, machine: Machine) -> bool:
    """Take the file in a process that ends at its ``steps``-th touch of a file; whether it was done before that."""
    child = os.fork()
    if child == 0:
        left = steps

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if event in TOUCHES and str(place.root) in str(arguments[0]):
                if left == 0:
                    os._exit(9)
                left -= 1

        sys.addaudithook(hook)
        take(place, Fat(place, command=machine))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in {0, 9}
    return os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("second", [SECOND, FIRST.replace("first-password", "second-password")])
def test_a_power_cut_at_any_step_leaves_the_old_or_the_new(place: Place, machine: Machine, second: str) -> None:
    fat = Fat(place, command=machine)
    put(place, FIRST)
    take(place, fat)
    old = whole(place)
    put(place, second)
    saved = place.root.with_name(place.root.name + "-saved")
    shutil.copytree(place.root, saved)
    seen, steps, finished = [], 0, False
    while not finished:
        shutil.rmtree(place.root)
        shutil.copytree(saved, place.root)
        finished = cut_after(steps, place, machine)
        seen.append(whole(place))
        assert take(place, fat).complaints == ()
        new = whole(place)
        assert new["wifi"] == {"ssid": new["wifi"]["ssid"], "password": "second-password"}  # type: ignore[index] # a table
        assert seen[-1] in (old, new)
        left = b"".join(file.read_bytes() for file in place.fat.iterdir())
        assert not [secret for secret in SECRETS if secret in left]
        assert KEPT.encode() in (place.fat / "modemhub.toml").read_bytes()
        steps += 1
    assert steps > 10
    assert old in seen
    assert seen.index(new) == len([each for each in seen if each == old])  # it never goes back
