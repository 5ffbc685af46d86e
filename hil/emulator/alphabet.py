"""23.038: the GSM 7 bit alphabet, its extension, the national language tables, and the packing of septets.

Promise: ``decode`` accepts exactly the septets to which the tables give a character, and tells the index of the first
other one; ``encode`` writes the shortest form with the given pair of tables.

Tables (23.038 §6.2.1, annex A). A table is a 128-tuple of characters, ``None`` where the standard leaves a hole. The
Indic scripts share one grid: the locking table holds the Unicode block of the script in its order, in the positions
that are not punctuation, digits or small Latin letters; a hole is a code point which the block does not have, and six
further positions (0x60, 0x7B-0x7F) are chosen by script. So a script is its block, its holes and six code points. The
printed standard has typing errors (Kannada 0x24, Tamil single shift 0x24); the grid shows what is meant.

Packing (§6.1.2.1): septet n begins at bit 7n of the octets, least significant bit first; bits that belong to no septet
are zero. The carriage return that fills seven spare bits belongs to USSD (§6.1.2.3), not to short messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ESCAPE: Final = 0x1B
SPANISH: Final = 2
"""The only language with a single shift table alone."""
LANGUAGES: Final = ("", "Turkish", "Spanish", "Portuguese", "Bengali", "Gujarati", "Hindi", "Kannada", "Malayalam",
                    "Oriya", "Punjabi", "Tamil", "Telugu", "Urdu")  # fmt: skip
"""By national language identifier (23.038 table 6.2.1.2.4)."""

Table = tuple[str | None, ...]


class CodeError(ValueError):
    """A septet without a character, or a character without a septet; ``index`` is its place in the input."""

    def __init__(self, index: int, detail: str) -> None:
        super().__init__(detail)
        self.index = index
        self.detail = detail


_DEFAULT = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)


def _at(places: str) -> dict[int, str]:
    """``"14^ 28{"``: two hexadecimal digits and their character, separated by spaces."""
    return {int(place[:2], 16): place[2:] for place in places.split(" ")}


_EXTENSION = {**_at("14^ 28{ 29} 2F\\ 3C[ 3D~ 3E] 40| 65€"), 0x0A: "\f"}


def _default_with(changes: Mapping[int, str]) -> Table:
    return tuple(changes.get(code, _DEFAULT[code]) for code in range(128))


_TURKISH = _at("04€ 07ı 0BĞ 0Cğ 1CŞ 1Dş 40İ 60ç")
_PORTUGUESE = _at(
    "04ê 06ú 07í 08ó 09ç 0BÔ 0Cô 0EÁ 0Fá 12ª 13Ç 14À 15∞ 16^ 17\\ 18€ 19Ó 1A| 1CÂ 1Dâ 1EÊ 24º 40Í 5BÃ 5CÕ 5DÚ 60~ "
    "7Bã 7Cõ 7D`"
)

# Every non-Latin locking table keeps these. The parentheses are exchanged in the standard: 0x28 is ")".
_LATIN_FRAME: Mapping[int, str] = (
    {0x0A: "\n", 0x0D: "\r", ESCAPE: "\x1b", 0x20: " "}
    | _at("21! 28) 29( 2C, 2E. 3A: 3B; 3F?")
    | {code: chr(code) for code in (*range(0x30, 0x3A), *range(0x61, 0x7B))}
)
_CHOSEN = (0x60, 0x7B, 0x7C, 0x7D, 0x7E, 0x7F)
_GRID_CODES = tuple(code for code in range(128) if code not in _LATIN_FRAME and code not in _CHOSEN)
_GRID_OFFSETS = (*range(0x01, 0x04), *range(0x05, 0x3A), *range(0x3C, 0x4E))

_INDIC = {  # language: (Unicode block, code points of the grid which it lacks, the six chosen ones)
    4: (0x0980, "0D 0E 11 12 29 31 33 34 35 45 46 49 4A", "4E 57 5C 5D 70 71"),
    5: (0x0A80, "0E 12 29 31 34 46 4A", "50 60 61 62 63 71"),
    6: (0x0900, "", "50 72 7B 7C 7E 7F"),
    7: (0x0C80, "01 0D 11 29 34 45 49", "55 56 60 61 62 63"),
    8: (0x0D00, "01 0D 11 29 3C 45 49", "57 60 61 62 63 79"),
    9: (0x0B00, "0D 0E 11 12 29 31 34 45 46 49 4A", "56 57 60 61 62 63"),
    10: (0x0A00, "0B 0C 0D 0E 11 12 29 31 34 37 3D 43 44 45 46 49 4A", "51 70 71 72 73 74"),
    11: (
        0x0B80,
        "01 0B 0C 0D 11 16 17 18 1B 1D 20 21 22 25 26 27 2B 2C 2D 3C 3D 43 44 45 49",
        "50 57 70 71 72 79",
    ),
    12: (0x0C00, "0D 11 29 34 3C 45 49", "55 56 60 61 62 63"),
}
_URDU_GRID = (  # offsets from U+0600, in the order of _GRID_CODES
    "27 22 28 7B 80 7E A6 2A C2 7F 79 7D 7A 7C 2B 2C 81 84 83 85 86 87 2D 2E 2F 8C 88 89 8A 8F 8D 30 31 91 93 99 32 96 "
    "98 9A 33 34 35 36 37 38 39 41 42 A9 AA AB AF B3 B1 44 45 46 BA BB BC 48 C4 D5 C1 BE 21 CC D0 D2 4D 50 4F 57"
)
_URDU_CHOSEN = "54 55 51 53 56 70"


def _hex(text: str) -> tuple[int, ...]:
    return tuple(int(two, 16) for two in text.split())


def _script(block: int, grid: Iterable[int | None], chosen: Iterable[int]) -> Table:
    letters = dict(zip((*_GRID_CODES, *_CHOSEN), (*grid, *chosen), strict=True))
    return tuple(
        _LATIN_FRAME.get(code) or (None if letters[code] is None else chr(block + (letters[code] or 0)))
        for code in range(128)
    )


LOCKING: Final[Mapping[int, Table]] = {
    0: tuple(_DEFAULT),
    1: _default_with(_TURKISH),
    3: _default_with(_PORTUGUESE),
    13: _script(0x0600, _hex(_URDU_GRID), _hex(_URDU_CHOSEN)),
} | {
    language: _script(block, (None if o in _hex(holes) else o for o in _GRID_OFFSETS), _hex(chosen))
    for language, (block, holes, chosen) in _INDIC.items()
}
"""Language identifier to the table of plain septets; 0 is the default alphabet. Spanish has none."""

# Every non-Latin single shift table holds this, then fills _FREE in order with characters of its own.
_SHIFT_FRAME = (
    dict(enumerate("@£$¥¿\"¤%&'\f*+"))
    | dict(enumerate("-/<=>¡^¡_#*", start=0x0E))
    | {code: chr(code) for code in range(0x41, 0x5B)}
    | _EXTENSION
)
_FREE = (0x19, 0x1A, *range(0x1C, 0x28), *range(0x2A, 0x2F), *range(0x30, 0x3C), 0x3F)


def _points(first: int, last: int) -> str:
    return "".join(map(chr, range(first, last + 1)))


_DANDA = "\u0964\u0965"
_SHIFT_OWN = {
    4: _points(0x9E6, 0x9EF) + "\u09df\u09e0\u09e1\u09e2\u09e3" + _points(0x9F2, 0x9FA),
    5: _DANDA + _points(0xAE6, 0xAEF),
    6: _DANDA + _points(0x966, 0x96F) + _points(0x951, 0x954) + _points(0x958, 0x963) + "\u0970\u0971",
    7: _DANDA + _points(0xCE6, 0xCEF) + "\u0cde\u0cf1\u0cf2",
    8: _DANDA + _points(0xD66, 0xD75) + _points(0xD7A, 0xD7F),
    9: _DANDA + _points(0xB66, 0xB6F) + "\u0b5c\u0b5d\u0b5f\u0b70\u0b71",
    10: _DANDA + _points(0xA66, 0xA6F) + "\u0a59\u0a5a\u0a5b\u0a5c\u0a5e\u0a75",
    11: _DANDA + _points(0xBE6, 0xBEF) + _points(0xBF3, 0xBF8) + "\u0bfa",
    12: "\0\0" + _points(0xC66, 0xC6F) + "\u0c58\u0c59" + _points(0xC78, 0xC7F),  # no danda: two holes
    13: "\u0600\u0601"
    + _points(0x6F0, 0x6F9)
    + _points(0x60C, 0x614)
    + "\u061b\u061f\u0640\u0652\u0658\u066b\u066c\u0672\u0673\u06cd\u06d4",
}

SINGLE: Final[Mapping[int, Mapping[int, str]]] = {
    0: _EXTENSION,
    1: _EXTENSION | _at("47Ğ 49İ 53Ş 63ç 67ğ 69ı 73ş"),
    2: _EXTENSION | _at("09ç 41Á 49Í 4FÓ 55Ú 61á 69í 6Fó 75ú"),
    3: _EXTENSION
    | _at(
        "05ê 09ç 0BÔ 0Cô 0EÁ 0Fá 12Φ 13Γ 15Ω 16Π 17Ψ 18Σ 19Θ 1FÊ 41À 49Í 4FÓ 55Ú 5BÃ 5CÕ 61Â 69í 6Fó 75ú 7Bã 7Cõ 7Fâ"
    ),
} | {
    language: _SHIFT_FRAME | {code: char for code, char in zip(_FREE, own, strict=False) if char != "\0"}
    for language, own in _SHIFT_OWN.items()
}
"""Language identifier to the characters after an escape; 0 is the default extension."""


def _reverse(pairs: Iterable[tuple[int, str | None]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for code, char in pairs:
        if char is not None:
            found.setdefault(char, code)
    return found


_TO_LOCKING = {
    language: _reverse((code, char) for code, char in enumerate(table) if code != ESCAPE)
    for language, table in LOCKING.items()
}
_TO_SINGLE = {language: _reverse(table.items()) for language, table in SINGLE.items()}


def decode(septets: bytes, locking: int = 0, single: int = 0) -> str:
    """The text of septets (one per octet); raises CodeError at a hole, a double escape or an escape at the end."""
    plain, shifted = LOCKING[locking], SINGLE[single]
    text: list[str] = []
    escaped = False
    for index, code in enumerate(septets):
        if escaped:
            char = shifted.get(code)
            if char is None:
                raise CodeError(index, f"escape and 0x{code:02X} is no character of single shift table {single}")
            text.append(char)
            escaped = False
        elif code == ESCAPE:
            escaped = True
        else:
            char = plain[code]
            if char is None:
                raise CodeError(index, f"0x{code:02X} is no character of locking shift table {locking}")
            text.append(char)
    if escaped:
        raise CodeError(len(septets) - 1, "escape at the end of a segment")
    return "".join(text)


def encode(text: str, locking: int = 0, single: int = 0) -> bytes:
    """The septets of a text, one per octet; raises CodeError with the index of a character that has none."""
    plain, shifted = _TO_LOCKING[locking], _TO_SINGLE[single]
    out = bytearray()
    for index, char in enumerate(text):
        if (code := plain.get(char)) is not None:
            out.append(code)
        elif (code := shifted.get(char)) is not None:
            out += bytes((ESCAPE, code))
        else:
            raise CodeError(index, f"U+{ord(char):04X} has no septet in tables {locking}/{single}")
    return bytes(out)


def pack(septets: bytes, fill: int = 0) -> bytes:
    """Octets of septets that begin after ``fill`` (0 to 6) zero bits."""
    value, shift = 0, fill
    for septet in septets:
        value |= septet << shift
        shift += 7
    return value.to_bytes((shift + 7) // 8, "little")


def unpack(octets: bytes, count: int, fill: int = 0) -> bytes:
    """``count`` septets after ``fill`` bits; the caller has checked that the octets are enough."""
    value = int.from_bytes(octets, "little") >> fill
    return bytes((value >> (7 * n)) & 0x7F for n in range(count))


def spare_bits(octets: bytes, count: int, fill: int = 0) -> tuple[int, int]:
    """The bits before and after the septets, as numbers; both must be zero in a short message (§6.1.2.1)."""
    value = int.from_bytes(octets, "little")
    return value & ((1 << fill) - 1), value >> (fill + 7 * count)
