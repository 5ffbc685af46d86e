"""Who may be texted, and in which spelling a recipient is kept (promise C2)."""

import phonenumbers
import pytest

from appliance.errors import Rejected
from appliance.hub.countries import _BY_MCC, home_country
from appliance.hub.destinations import check_allowed, is_allowance, normalise
from appliance.types import Imsi

BRITISH, AUSTRIAN, INTERNATIONAL = Imsi("234100000000001"), Imsi("232010000000001"), Imsi("901700000000001")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("+447700900123", "+447700900123"),
        ("+44 7700 900-123", "+447700900123"),
        ("0044 (7700) 900123", "+447700900123"),
        ("07700 900123", "+447700900123"),
        ("+4366412345", "+4366412345"),
        ("88444", "88444"),
        ("112", "112"),
    ],
)
def test_a_recipient_has_one_spelling(given: str, kept: str) -> None:
    assert normalise(given, region="GB", pointer="/to") == kept


@pytest.mark.parametrize(
    "given", ["", "+", "Vodafone", "+0123456789", "+12345678901234567", "07700 900123 x", "+44\r\n77", "12", "٠١٢٣٤٥٦٧"]
)
def test_what_is_no_number_is_refused_with_a_way_out(given: str) -> None:
    with pytest.raises(Rejected, match="with its country code") as refused:
        normalise(given, region="GB", pointer="/to/3")
    assert (refused.value.code, refused.value.pointer) == ("invalid", "/to/3")


def test_a_national_number_needs_a_region() -> None:
    with pytest.raises(Rejected, match="country code"):
        normalise("07700900123", region=None, pointer="/to")


@pytest.mark.parametrize(
    ("allowed", "sims", "recipient"),
    [
        (["home"], [BRITISH], "+447700900123"),
        (["home"], [BRITISH, AUSTRIAN], "+43664123456"),
        (["*"], [], "+8613800138000"),
        (["+43", "+49"], [], "+491701234567"),
        (["home", "88444"], [BRITISH], "88444"),
    ],
)
def test_allowed(allowed: list[str], sims: list[Imsi], recipient: str) -> None:
    check_allowed(recipient, allowed=allowed, sims=sims, pointer="/to")


@pytest.mark.parametrize(
    ("allowed", "sims", "recipient", "code"),
    [
        (["home"], [BRITISH], "+43664123456", "destination_not_allowed"),
        (["home"], [INTERNATIONAL], "+447700900123", "destination_not_allowed"),
        (["home"], [], "+447700900123", "no_sim"),
        (["*"], [BRITISH], "88444", "destination_not_allowed"),
        (["home", "+43"], [BRITISH], "112", "destination_not_allowed"),
        ([], [BRITISH], "+447700900123", "destination_not_allowed"),
    ],
)
def test_not_allowed(allowed: list[str], sims: list[Imsi], recipient: str, code: str) -> None:
    with pytest.raises(Rejected) as refused:
        check_allowed(recipient, allowed=allowed, sims=sims, pointer="/to")
    assert refused.value.code == code


def test_a_refusal_shows_no_full_number() -> None:
    with pytest.raises(Rejected) as refused:
        check_allowed("+436641234567", allowed=["home"], sims=[BRITISH], pointer="/to")
    assert "1234567" not in str(refused.value)


@pytest.mark.parametrize("entry", ["home", "*", "+4", "+4366", "88444"])
def test_lawful_allowances(entry: str) -> None:
    assert is_allowance(entry)


@pytest.mark.parametrize("entry", ["", "Home", "44", "+0", "GB", "+44 7", "1234567"])
def test_unlawful_allowances(entry: str) -> None:
    assert not is_allowance(entry)


def test_calling_codes_are_those_of_phonenumbers() -> None:
    for country in _BY_MCC.values():
        assert country.prefix == f"+{phonenumbers.country_code_for_region(country.region)}", country


def test_a_sim_of_no_country_has_no_home() -> None:
    assert home_country(INTERNATIONAL) is None
    assert home_country(BRITISH) == ("GB", "+44")
