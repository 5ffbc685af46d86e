"""23.040 §9.1.2.5: address fields."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import SmsDecodeError, SmsEncodeError
from appliance.sms import Address, TypeOfNumber
from tests.sms.strategies import DEFAULT

LAW = settings.get_profile("sms")
ODD_VALUE = bytes.fromhex("21B0CAFE431B9B320DFF00")


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("+46708251358", "0B916407281553F8"),
        ("+447700900123", "0C91447700091032"),
        ("12345", "05812143F5"),
        ("*100#", "05811A00FB"),
        ("1", "0181F1"),
    ],
)
def test_numbers(text: str, octets: str) -> None:
    address = Address.parse(text)
    assert address.encode() == bytes.fromhex(octets)
    assert str(address) == text
    assert Address.decode(bytes.fromhex(octets), 0, field="TP-DA") == (address, len(octets) // 2)


@pytest.mark.parametrize(
    ("name", "octets"),
    [
        ("MMoney", "0BD0CDE6DB5DCE03"),
        ("Design@Home", "14D0C4F23C7D760390EF7619"),
    ],
)
def test_names(name: str, octets: str) -> None:
    address = Address.alphanumeric(name)
    assert address.encode() == bytes.fromhex(octets)
    assert Address.decode(bytes.fromhex(octets), 0, field="TP-OA")[0] == address
    assert str(address) == name
    assert address.is_alphanumeric


@LAW
@given(st.from_regex(r"\+?[0-9]{1,20}", fullmatch=True, alphabet=st.sampled_from("+0123456789")))
def test_every_number_comes_back(text: str) -> None:
    address = Address.parse(text)
    assert str(Address.decode(address.encode(), 0, field="TP-OA")[0]) == text


@LAW
@given(st.text(st.sampled_from([c for c in DEFAULT if c not in "\r\n\f"]), min_size=1, max_size=11))
def test_every_name_that_fits_comes_back(name: str) -> None:
    try:
        address = Address.alphanumeric(name)
    except SmsEncodeError:
        assert sum(2 if c in "€[]{}~^|\\" else 1 for c in name) > 11
        return
    assert Address.decode(address.encode(), 0, field="TP-OA")[0] == address


@pytest.mark.parametrize("text", ["", "+", "+44 7700", "call me", "٣٣٣", "1" * 21, "+*1", "+12a", "１２"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(SmsEncodeError):
        Address.parse(text)


@pytest.mark.parametrize("name", ["", "twelve chars", "a\nb", "Ünï", "abcdefghij€"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(SmsEncodeError):
        Address.alphanumeric(name)


def test_all_types_and_lengths_up_to_twenty_are_an_address() -> None:
    for kind in range(256):
        for length in range(21):
            address, end = Address.decode(bytes((length, kind)) + ODD_VALUE, 0, field="TP-OA")
            assert end == 2 + (length + 1) // 2
            assert address.type_of_number is TypeOfNumber(kind >> 4 & 7)
            assert address.numbering_plan == kind & 15
            assert not set(str(address)) & set("\r\n\f\x1b\x1a")
            assert Address.decode(address.encode(), 0, field="TP-OA")[0] == address


@pytest.mark.parametrize("length", range(21, 256))
def test_a_longer_address_is_an_error(length: int) -> None:
    for kind in (0x81, 0x91, 0xD0):
        with pytest.raises(SmsDecodeError, match="TP-OA at octet 0"):
            Address.decode(bytes((length, kind)) + bytes(130), 0, field="TP-OA")


def test_an_address_past_the_end_is_an_error() -> None:
    whole = Address.parse("+447700900123").encode()
    for length in range(len(whole)):
        with pytest.raises(SmsDecodeError):
            Address.decode(whole[:length], 0, field="TP-OA")
