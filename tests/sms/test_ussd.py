"""USSD strings: what any modem gives is shown, and what is written is what a network reads (23.038 §6.1.2.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import SmsEncodeError
from appliance.sms import decode_ussd, encode_ussd
from appliance.sms.alphabet import alphabet

TEXTS = st.text(st.sampled_from(sorted(alphabet().characters - {'"'})), min_size=1, max_size=91)


def packed_by_hand(septets: list[int]) -> str:
    """Septets as one number, the first one lowest: the figure of 23.038 §6.1.2.3 without any of our code."""
    number = sum(septet << 7 * at for at, septet in enumerate(septets))
    return number.to_bytes(-(-7 * len(septets) // 8), "little").hex().upper()


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("*100#", "AA180C3602"),  # as in gsm-ussd, huawei-ussd.pl and every forum about E1550
        ("*101#", "AA182C3602"),
        ("1", "31"),
        ("1234567", "31D98C56B3DD1A"),  # seven septets: the unused bits are a CR
        ("12345678", "31D98C56B3DD70"),
    ],
)
def test_known_strings(text: str, packed: str) -> None:
    assert encode_ussd(text, packed=True) == packed
    assert decode_ussd(packed, 15, packed=True) == text
    assert decode_ussd(packed.lower(), 15, packed=True) == text


@given(TEXTS)
def test_what_is_packed_is_read_back(text: str) -> None:
    twice = "\r" if len(alphabet().encode(text)) % 8 == 0 and text.endswith("\r") else ""  # §6.1.2.3.1: does no harm
    assert decode_ussd(encode_ussd(text, packed=True), 15, packed=True) == text + twice


@given(TEXTS)
def test_it_is_packed_as_the_standard_draws_it(text: str) -> None:
    septets = list(alphabet().encode(text))
    if len(septets) % 8 == 7 or (len(septets) % 8 == 0 and septets[-1] == 0x0D):
        septets.append(0x0D)
    assert encode_ussd(text, packed=True) == packed_by_hand(septets)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters='"`'), min_size=1, max_size=91))
def test_what_is_not_packed_goes_as_it_is(text: str) -> None:
    assert encode_ussd(text, packed=False) == text
    assert decode_ussd(text, 15, packed=False) == text


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("text", ["", '*100*"#', "₴", "*100#☃", "\x1a", "\x00", "1" * 183])
def test_what_cannot_be_written_is_refused(text: str, packed: bool) -> None:
    with pytest.raises(SmsEncodeError):
        encode_ussd(text, packed=packed)


@pytest.mark.parametrize("text", ["é", "£5", "*100#\r", "a\nb", "Δ", "€"])
def test_where_the_string_is_a_command_as_it_stands_it_is_printable_ascii(text: str) -> None:
    with pytest.raises(SmsEncodeError):
        encode_ussd(text, packed=False)
    assert decode_ussd(encode_ussd(text, packed=True), 15, packed=True) == text


UCS2 = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]))


@given(UCS2, st.sampled_from([0x11, 0x48, 0x58, 0x59, 0x98]), st.booleans())
def test_ucs2_is_hexadecimal_digits(text: str, dcs: int, packed: bool) -> None:
    assert decode_ussd(text.encode("utf-16-be").hex(), dcs, packed=packed) == text


@pytest.mark.parametrize(
    ("given_", "dcs", "packed", "shown"),
    [
        ("Balance 5.00", None, False, "Balance 5.00"),
        ("Balance 5.00", None, True, "Balance 5.00"),  # said to be packed, and is not
        ("Balance 5.00", 72, False, "Balance 5.00"),
        ("D83", 72, True, "D83"),
        ("0048006", 72, False, "0048006"),
        ("004800", 72, False, "H�"),
        ("C2303BEC9E83", 15, False, "C2303BEC9E83"),
        ("C8329BFD06", 15, True, "Hello"),
        ("C8329BFD06", 240, True, "Hello"),
        ("C8329BFD06", 244, True, "C8329BFD06"),  # data
        ("C8329BFD06", 68, True, "C8329BFD06"),
        ("", 15, True, ""),
        ("", None, False, ""),
    ],
)
def test_whatever_a_modem_gives_is_shown(given_: str, dcs: int | None, packed: bool, shown: str) -> None:
    assert decode_ussd(given_, dcs, packed=packed) == shown


@given(st.text(), st.none() | st.integers(-5, 300), st.booleans())
def test_nothing_that_comes_is_an_error(text: str, dcs: int | None, packed: bool) -> None:
    assert isinstance(decode_ussd(text, dcs, packed=packed), str)
