"""Laws of the septet tables and of their packing (23.038)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.emulator.alphabet import (
    ESCAPE,
    LANGUAGES,
    LOCKING,
    SINGLE,
    CodeError,
    decode,
    encode,
    pack,
    spare_bits,
    unpack,
)

INDIC = range(4, 13)
FRAME = "\n\r !),(.:;?0123456789abcdefghijklmnopqrstuvwxyz"


def test_every_language_has_its_tables() -> None:
    assert len(LANGUAGES) == 14
    assert sorted(SINGLE) == list(range(14))
    assert sorted(LOCKING) == [0, 1, *range(3, 14)]


@pytest.mark.parametrize("language", sorted(LOCKING))
def test_a_locking_table_has_128_places_and_no_character_twice(language: int) -> None:
    table = LOCKING[language]
    characters = [char for char in table if char is not None]
    assert len(table) == 128
    assert len(set(characters)) == len(characters)
    assert all(len(char) == 1 for char in characters)


@pytest.mark.parametrize("language", sorted(LOCKING))
def test_line_feed_return_escape_and_space_stand_at_the_same_place_everywhere(language: int) -> None:
    table = LOCKING[language]
    assert [table[code] for code in (0x0A, 0x0D, ESCAPE, 0x20)] == ["\n", "\r", "\x1b", " "]
    assert "".join(table[code] or "?" for code in range(0x30, 0x3C)) == "0123456789:;"
    assert table[0x3F] == "?"
    assert "".join(table[code] or "?" for code in range(0x61, 0x7B)) == "abcdefghijklmnopqrstuvwxyz"


# Characters without the holes: 23.038 §6.2.1 and A.3, counted in the standard's tables, escape included.
@pytest.mark.parametrize(
    ("language", "characters"),
    [(0, 128), (1, 128), (3, 128), (4, 115), (5, 121), (6, 128), (7, 121), (8, 121), (9, 117), (10, 111), (11, 103),
     (12, 121), (13, 128)],
)  # fmt: skip
def test_a_locking_table_has_as_many_characters_as_the_standard(language: int, characters: int) -> None:
    assert sum(char is not None for char in LOCKING[language]) == characters


@pytest.mark.parametrize(
    ("language", "characters"),
    [(0, 10), (1, 17), (2, 19), (3, 37), (4, 82), (5, 70), (6, 88), (7, 73), (8, 82), (9, 75), (10, 76), (11, 77),
     (12, 78), (13, 90)],
)  # fmt: skip
def test_a_single_shift_table_has_as_many_characters_as_the_standard(language: int, characters: int) -> None:
    assert len(SINGLE[language]) == characters


@pytest.mark.parametrize("language", sorted(SINGLE))
def test_every_single_shift_table_keeps_the_default_extension(language: int) -> None:
    table = SINGLE[language]
    assert {table.get(code) for code in (0x14, 0x28, 0x29, 0x2F, 0x3C, 0x3D, 0x3E, 0x40, 0x65)} == set("^{}\\[~]|€")
    assert all(table[code] == char for code, char in SINGLE[0].items())
    assert 0x0D not in table
    assert ESCAPE not in table


@pytest.mark.parametrize("language", INDIC)
def test_indic_locking_letters_come_from_one_block_in_its_order(language: int) -> None:
    letters = [ord(char) for code in range(0x60) if (char := LOCKING[language][code]) and char not in FRAME + "\x1b"]
    assert letters == sorted(letters)
    assert len({point // 128 for point in letters}) == 1
    assert all(0x900 <= point < 0xD80 for point in letters)


@pytest.mark.parametrize("language", range(4, 14))
def test_non_latin_parentheses_are_exchanged(language: int) -> None:
    assert (LOCKING[language][0x28], LOCKING[language][0x29]) == (")", "(")


@pytest.mark.parametrize(
    ("text", "tables", "septets"),
    [
        ("@£$¥", (0, 0), "00010203"),
        ("€[]", (0, 0), "1b651b3c1b3e"),
        ("İĞışç", (1, 1), "400b071d60"),
        ("ğ", (0, 1), "1b67"),
        ("áÁ", (0, 2), "1b611b41"),
        ("ãÃ", (3, 3), "7b5b"),
        ("ã", (0, 3), "1b7b"),
        ("নমস্কার", (4, 4), "2f424c5f155044"),
        ("नमस्ते", (6, 6), "2f424c5f2759"),
        ("ಡ", (7, 7), "24"),
        ("௮", (11, 11), "1b24"),
        ("౦", (12, 12), "1b1c"),
        ("سلام", (13, 13), "3d4d004e"),
        ("\u06f0", (13, 13), "1b1c"),
        ("A", (6, 6), "1b41"),
    ],
)
def test_known_characters_have_their_septets(text: str, tables: tuple[int, int], septets: str) -> None:
    assert encode(text, *tables).hex() == septets
    assert decode(bytes.fromhex(septets), *tables) == text


@pytest.mark.parametrize(
    ("septets", "tables", "index"),
    [
        ("411b", (0, 0), 1),
        ("1b1b41", (0, 0), 1),
        ("1b41", (0, 0), 1),
        ("410c", (4, 4), 1),
        ("1b19", (12, 12), 1),
    ],
)
def test_a_septet_without_a_character_is_told_with_its_place(septets: str, tables: tuple[int, int], index: int) -> None:
    with pytest.raises(CodeError) as caught:
        decode(bytes.fromhex(septets), *tables)
    assert caught.value.index == index


def test_a_character_without_a_septet_is_told_with_its_place() -> None:
    with pytest.raises(CodeError) as caught:
        encode("abcЖ")
    assert caught.value.index == 3


def test_the_samples_of_everybody_pack_as_everybody_knows_them() -> None:
    assert pack(encode("hellohello")).hex().upper() == "E8329BFD4697D9EC37"
    assert pack(encode("12345678")).hex().upper() == "31D98C56B3DD70"
    assert pack(encode("1234567")).hex().upper() == "31D98C56B3DD00"
    assert pack(encode("a"), 1).hex() == "c2"


@given(st.data())
def test_what_a_pair_of_tables_can_say_comes_back(data: st.DataObject) -> None:
    locking = data.draw(st.sampled_from(sorted(LOCKING)))
    single = data.draw(st.sampled_from(sorted(SINGLE)))
    letters = [c for c in LOCKING[locking] if c and c != "\x1b"] + list(SINGLE[single].values())
    text = data.draw(st.text(st.sampled_from(letters), max_size=200))
    septets = encode(text, locking, single)
    fill = data.draw(st.integers(0, 6))
    octets = pack(septets, fill)
    assert len(octets) == (fill + 7 * len(septets) + 7) // 8
    assert spare_bits(octets, len(septets), fill) == (0, 0)
    assert decode(unpack(octets, len(septets), fill), locking, single) == text
