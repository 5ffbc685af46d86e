"""Profiles: every file is whole, every wrong key is named, every quirk has its branch."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from appliance.errors import SettingsError
from appliance.modem.profile import Quirk, generic, parse, shipped
from appliance.types import RetryClass

LEAST = 'name = "x"\n[match]\nmanufacturer = "x"\nmodel = "y"\n'


@pytest.mark.parametrize("profile", shipped(), ids=lambda profile: profile.name)
def test_every_file_is_a_profile(profile: object) -> None:
    assert profile in shipped()


def test_no_two_profiles_of_one_rank_say_the_same_match() -> None:
    matches = [profile.match for profile in shipped()]
    assert len(matches) == len(set(matches))


def test_every_match_is_a_regular_expression_and_every_evidence_is_given() -> None:
    for profile in shipped():
        re.compile(profile.match.manufacturer)
        re.compile(profile.match.model)
        assert profile.evidence


def test_the_generic_profile_waits_long_enough_for_the_network() -> None:
    sms = generic().sms
    assert (sms.prompt_timeout, sms.submit_deadline, sms.service) == (10, 300, 0)
    assert sms.cnmi[0] == (2, 1, 0, 1, 0)
    assert generic().quirks == frozenset()


def test_what_is_left_away_has_a_value() -> None:
    profile = parse(LEAST, "x.toml")
    assert profile.match.rank == 1
    assert profile.sms.cnmi


def test_vendor_numbers() -> None:
    profile = parse(LEAST + '[sms.cms]\n513 = ["retry_later", "too long in the air"]\n', "x.toml")
    assert profile.sms.cms[513] == (RetryClass.RETRY_LATER, "too long in the air")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("colour = 1\n" + LEAST, "x.toml: colour: is not known"),
        (LEAST + "[sms]\ncnmii = []\n", "x.toml: sms.cnmii: is not known"),
        (LEAST + "[sms]\ncnmi = [[2, 9]]\n", "x.toml: sms.cnmi:"),
        (LEAST + "[sms]\ncnmi = [[true]]\n", "x.toml: sms.cnmi:"),
        (LEAST + '[sms]\nstores = ["XX"]\n', "x.toml: sms.stores: 'XX'"),
        (LEAST + "[sms]\nsubmit_deadline = 1\n", "x.toml: sms.submit_deadline:"),
        (LEAST + '[sms]\nservice = "1"\n', "x.toml: sms.service:"),
        (LEAST + '[sms.cms]\n513 = "later"\n', "x.toml: sms.cms:"),
        (LEAST + '[sms.cms]\nx = ["retry_later", "y"]\n', "x.toml: sms.cms:"),
        (LEAST + '[bringup]\ninit = ["AT\\rAT"]\n', "x.toml: bringup.init:"),
        (LEAST + '[bringup]\nboot_urcs = [""]\n', "x.toml: bringup.boot_urcs:"),
        (LEAST + "[ports]\nat = 2\n", "x.toml: ports.at: is not known"),
        (LEAST + "[power]\npin = 4\n", "x.toml: power.pin: is not known"),
        ('quirks = ["odd"]\n' + LEAST, "x.toml: quirks: 'odd'"),
        ("[match]\n", "x.toml: name: is missing"),
        ("= 1", "x.toml:"),
        ("sms = 1\n" + LEAST, "x.toml: sms: must be a table"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(text: str, named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(text, "x.toml")
    assert named in str(caught.value)


def test_all_errors_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        parse("a = 1\nb = 2\n" + LEAST, "x.toml")
    assert len(str(caught.value).splitlines()) == 2


def test_every_quirk_has_one_branch_in_the_driver() -> None:
    source = "".join(
        file.read_text(encoding="utf-8")
        for file in files("appliance.modem").iterdir()
        if file.name.endswith(".py") and file.name != "profile.py"
    )
    for quirk in Quirk:
        assert source.count(f"Quirk.{quirk.name}") == 1, quirk
