"""23.038 §6.1.2.1.1 and §6.2: septets, tables, and what is shown for codes without a character."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.sms.alphabet import ESCAPE, LOCKING, SINGLE_SHIFT, Language, alphabet, pack, unpack

LAW = settings.get_profile("sms")
SEPTETS = st.lists(st.integers(0, 127), max_size=255).map(bytes)
HANDSET = json.loads((Path(__file__).parent.parent / "oracles" / "handset_tables.json").read_text())


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("", ""),
        ("A", "41"),
        ("hellohello", "E8329BFD4697D9EC37"),
        ("1234567", "31D98C56B3DD00"),
        ("12345678", "31D98C56B3DD70"),
        ("@@@@@@@@", "00000000000000"),
        ("€", "9B32"),
    ],
)
def test_packed_octets_are_those_of_the_standard(text: str, octets: str) -> None:
    septets = alphabet().encode(text)
    assert pack(septets) == bytes.fromhex(octets)
    assert alphabet().decode(unpack(bytes.fromhex(octets), len(septets))) == text


@LAW
@given(SEPTETS)
def test_septets_survive_packing(septets: bytes) -> None:
    octets = pack(septets)
    assert len(octets) == -(-len(septets) * 7 // 8)
    assert unpack(octets, len(septets)) == septets


@LAW
@given(SEPTETS)
def test_packing_is_one_number_with_the_first_septet_lowest(septets: bytes) -> None:
    number = sum(septet << 7 * place for place, septet in enumerate(septets))
    assert int.from_bytes(pack(septets), "little") == number


@LAW
@given(st.binary(max_size=230), st.integers(0, 255))
def test_unpacking_gives_no_more_than_there_is(octets: bytes, count: int) -> None:
    assert len(unpack(octets, count)) == min(count, len(octets) * 8 // 7)


@pytest.mark.parametrize("language", LOCKING)
def test_locking_tables_are_those_of_a_handset(language: Language) -> None:
    others = {int(code, 16): character for code, character in HANDSET["locking"][str(int(language))].items()}
    assert {code: character for code, character in LOCKING[language].items() if code != ESCAPE} == others


@pytest.mark.parametrize("language", SINGLE_SHIFT)
def test_single_shift_tables_are_those_of_a_handset(language: Language) -> None:
    others = {int(code, 16): character for code, character in HANDSET["single"][str(int(language))].items()}
    assert SINGLE_SHIFT[language] == others


def test_there_are_thirteen_languages_and_spanish_alone_has_no_locking_table() -> None:
    assert set(SINGLE_SHIFT) == set(Language)
    assert set(LOCKING) == set(Language) - {Language.SPANISH}


@pytest.mark.parametrize("language", LOCKING)
def test_every_locking_table_has_the_digits_latin_letters_and_line_ends_in_their_places(language: Language) -> None:
    table = LOCKING[language]
    assert all(table[ord(sign)] == sign for sign in "\n\r !0123456789:;?abcdefghijklmnopqrstuvwxyz")
    assert table[ESCAPE] == "\x1b"


@pytest.mark.parametrize("language", SINGLE_SHIFT)
def test_no_single_shift_table_uses_the_control_or_the_escape_code(language: Language) -> None:
    assert not {0x0D, ESCAPE} & set(SINGLE_SHIFT[language])
    assert SINGLE_SHIFT[language][0x0A] == "\f"
    assert SINGLE_SHIFT[language][0x65] == "€"


def test_every_character_of_every_pair_of_tables_comes_back() -> None:
    for locking in LOCKING:
        for single in SINGLE_SHIFT:
            pair = alphabet(locking, single)
            for character in pair.characters:
                septets = pair.encode(character)
                assert pair.decode(septets) == character
                assert len(septets) == (1 if character in pair.cheap else 2)


@LAW
@given(SEPTETS, st.integers(0, 255), st.integers(0, 255))
def test_any_septets_in_any_language_are_a_text(septets: bytes, locking: int, single: int) -> None:
    text = alphabet(locking, single).decode(septets)
    assert "\x1b" not in text
    assert len(text) <= len(septets)


def test_of_two_codes_the_lower_one_is_written() -> None:
    assert alphabet(Language.HINDI, Language.HINDI).encode("¡") == b"\x1b\x13"
    assert alphabet(Language.HINDI, Language.HINDI).decode(b"\x1b\x15") == "¡"


def test_languages_without_a_table_are_the_default() -> None:
    assert alphabet(Language.SPANISH, 0).locking is Language.DEFAULT
    assert alphabet(14, 255).single is Language.DEFAULT


@pytest.mark.parametrize(
    ("septets", "text"),
    [
        (b"a\x1bAb", "aAb"),  # no entry: the locking table's character
        (b"a\x1b\rb", "a\rb"),  # reserved for a control character
        (b"a\x1b", "a "),  # nothing behind the escape
        (b"a\x1b\x1bb", "a b"),  # a further escape
        (b"\x1b\x1b\x1be", " €"),
        (b"\x1b\x1b\x1b", "  "),
    ],
)
def test_escapes_that_lead_nowhere(septets: bytes, text: str) -> None:
    assert alphabet().decode(septets) == text


def test_a_code_without_a_character_is_seen() -> None:
    assert alphabet(Language.BENGALI).decode(b"a\x0cb") == "a\ufffdb"
