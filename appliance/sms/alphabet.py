"""The 7-bit alphabets of 3GPP 23.038: code ↔ character, and septets ↔ octets.

Promise: every character that one of the fourteen alphabets holds becomes its septets, every septet string becomes text,
and ``unpack(pack(s), len(s)) == s`` for every septet string, also behind a header.

It does not choose between the alphabets (``segmentation``) and knows no TPDU.

Theory of operation
===================
A text in 7-bit coding is read with two tables: a *locking* table gives a code its character, and after the escape code
0x1B the *single shift* table does (§6.2.1.2.2). Both are the default ones, or those of a national language that an
information element names (23.040 §9.2.3.24.15 and .16). Septets are held here one an octet; ``pack`` squeezes them
(§6.1.2.1.1).

Three rules for what the tables do not hold, on reading:

* an escape before a code without an entry in the single shift table shows the locking table's character (§6.2.1.1,
  A.2);
* an escape before an escape, or at the very end, shows a space (§6.2.1.1 note 1);
* a code to which a national locking table gives no character shows U+FFFD: the standard says nothing, and a loss shall
  be seen.

The Indian tables are one keyboard: the same places hold the same letters of each script, because the Unicode blocks
themselves descend from one code (ISCII). So one frame, the block's first code point, the letters that a script lacks
and the six places where the scripts differ *are* the tables. Numbers in the tables are hexadecimal offsets in the
block, which also keeps combining marks from being reordered by an editor.

Where other people's copies of the tables disagree: Kannada 0x24 is DDA (0CA1; the standard's number repeats 0CAA, its
picture and its order are right), Tamil 0x24 after the escape is digit eight (0BEE), Telugu has the euro sign at 0x65,
and the Indian locking tables have a comma at 0x2C.
"""

from __future__ import annotations

import codecs
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ESCAPE", "LOCKING", "SINGLE_SHIFT", "Alphabet", "Language", "alphabet", "pack", "unpack"]

ESCAPE = 0x1B


class Language(IntEnum):
    """National Language Identifier (23.038 §6.2.1.2.4, table 6.2.1.2.4.1)."""

    DEFAULT = 0
    TURKISH = 1
    SPANISH = 2
    PORTUGUESE = 3
    BENGALI = 4
    GUJARATI = 5
    HINDI = 6
    KANNADA = 7
    MALAYALAM = 8
    ORIYA = 9
    PUNJABI = 10
    TAMIL = 11
    TELUGU = 12
    URDU = 13


# §6.2.1, in code order; the escape's place is held by the escape itself.
_DEFAULT_LOCKING = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)

# §6.2.1.1. 0x0D is reserved for a control character and 0x1B for a further escape: neither is a character.
_DEFAULT_SINGLE = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}


def _letters(codes: str, characters: str) -> dict[int, str]:
    """Characters at these codes: ``codes`` are hexadecimal, apart by spaces, one for each character."""
    return dict(zip((int(code, 16) for code in codes.split()), characters, strict=True))


# A.3.1 and A.3.3: what differs from the default alphabet.
_LATIN_LOCKING = {
    Language.TURKISH: _letters("04 07 0B 0C 1C 1D 40 60", "€ıĞğŞşİç"),
    Language.PORTUGUESE: (
        _letters("04 06 07 08 09 0B 0C 0E 0F", "êúíóçÔôÁá")
        | _letters("12 13 14 15 16 17 18 19 1A 1C 1D 1E", "ªÇÀ∞^\\€Ó|ÂâÊ")
        | _letters("24 40 5B 5C 5D 60 7B 7C 7D", "ºÍÃÕÚ~ãõ`")
    ),
}

# A.2.1 to A.2.3: what is added to the default extension table.
_LATIN_SINGLE = {
    Language.TURKISH: _letters("47 49 53 63 67 69 73", "ĞİŞçğış"),
    Language.SPANISH: _letters("09 41 49 4F 55 61 69 6F 75", "çÁÍÓÚáíóú"),
    Language.PORTUGUESE: (
        _letters("05 09 0B 0C 0E 0F", "êçÔôÁá")
        | _letters("12 13 15 16 17 18 19 1F", "ΦΓΩΠΨΣΘÊ")
        | _letters("41 49 4F 55 5B 5C 61 69 6F 75 7B 7C 7F", "ÀÍÓÚÃÕÂíóúãõâ")
    ),
}

# The Unicode block of each script; the numbers below are offsets in it.
_BLOCK = {
    Language.BENGALI: 0x0980,
    Language.GUJARATI: 0x0A80,
    Language.HINDI: 0x0900,
    Language.KANNADA: 0x0C80,
    Language.MALAYALAM: 0x0D00,
    Language.ORIYA: 0x0B00,
    Language.PUNJABI: 0x0A00,
    Language.TAMIL: 0x0B80,
    Language.TELUGU: 0x0C00,
    Language.URDU: 0x0600,
}

# A.3.4 to A.3.12. A number is an offset in the block, one sign is that character, ~1 to ~6 are the places where scripts
# differ.
_INDIAN_LOCKING = """
    01 02 03 05 06 07 08 09 0A 0B LF 0C 0D CR 0E 0F
    10 11 12 13 14 15 16 17 18 19 1A ES 1B 1C 1D 1E
    SP  ! 1F 20 21 22 23 24  )  ( 25 26  , 27  . 28
     0  1  2  3  4  5  6  7  8  9  :  ; 29 2A 2B  ?
    2C 2D 2E 2F 30 31 32 33 34 35 36 37 38 39 3C 3D
    3E 3F 40 41 42 43 44 45 46 47 48 49 4A 4B 4C 4D
    ~1  a  b  c  d  e  f  g  h  i  j  k  l  m  n  o
     p  q  r  s  t  u  v  w  x  y  z ~2 ~3 ~4 ~5 ~6
"""

# The six places, and the places of the frame that this script leaves without a character.
_INDIAN_LETTERS = {
    Language.BENGALI: ("4E 57 5C 5D 70 71", "0D 0E 11 12 29 31 33 34 35 45 46 49 4A"),
    Language.GUJARATI: ("50 60 61 62 63 71", "0E 12 29 31 34 46 4A"),
    Language.HINDI: ("50 72 7B 7C 7E 7F", ""),
    Language.KANNADA: ("55 56 60 61 62 63", "01 0D 11 29 34 45 49"),
    Language.MALAYALAM: ("57 60 61 62 63 79", "01 0D 11 29 3C 45 49"),
    Language.ORIYA: ("56 57 60 61 62 63", "0D 0E 11 12 29 31 34 45 46 49 4A"),
    Language.PUNJABI: ("51 70 71 72 73 74", "0B 0C 0D 0E 11 12 29 31 34 37 3D 43 44 45 46 49 4A"),
    Language.TAMIL: ("50 57 70 71 72 79", "01 0B 0C 0D 11 16 17 18 1B 1D 20 21 22 25 26 27 2B 2C 2D 3C 3D 43 44 45 49"),
    Language.TELUGU: ("55 56 60 61 62 63", "0D 11 29 34 3C 45 49"),
}

# A.3.13.
_URDU_LOCKING = """
    27 22 28 7B 80 7E A6 2A C2 7F LF 79 7D CR 7A 7C
    2B 2C 81 84 83 85 86 87 2D 2E 2F ES 8C 88 89 8A
    SP  ! 8F 8D 30 31 91 93  )  ( 99 32  , 96  . 98
     0  1  2  3  4  5  6  7  8  9  :  ; 9A 33 34  ?
    35 36 37 38 39 41 42 A9 AA AB AF B3 B1 44 45 46
    BA BB BC 48 C4 D5 C1 BE 21 CC D0 D2 4D 50 4F 57
    54  a  b  c  d  e  f  g  h  i  j  k  l  m  n  o
     p  q  r  s  t  u  v  w  x  y  z 55 51 53 56 70
"""

# A.2.4 to A.2.13: the frame of the Asian single shift tables; ** are the 31 places that the script fills from the first
# on.
_ASIAN_SINGLE = """
     @  £  $  ¥  ¿  "  ¤  %  &  ' FF  *  + ..  -  /
     <  =  >  ¡  ^  ¡  _  #  * ** ** ES ** ** ** **
    ** ** ** ** ** ** ** **  {  } ** ** ** ** **  \\
    ** ** ** ** ** ** ** ** ** ** ** **  [  ~  ] ..
     |  A  B  C  D  E  F  G  H  I  J  K  L  M  N  O
     P  Q  R  S  T  U  V  W  X  Y  Z .. .. .. .. ..
    .. .. .. .. ..  € .. .. .. .. .. .. .. .. .. ..
    .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. ..
"""

# d1 and d2 are DEVANAGARI DANDA and DOUBLE DANDA, which the scripts of India share.
_ASIAN_SYMBOLS = {
    Language.BENGALI: "66 67 68 69 6A 6B 6C 6D 6E 6F 5F 60 61 62 63 72 73 74 75 76 77 78 79 7A",
    Language.GUJARATI: "d1 d2 66 67 68 69 6A 6B 6C 6D 6E 6F",
    Language.HINDI: "64 65 66 67 68 69 6A 6B 6C 6D 6E 6F 51 52 53 54 58 59 5A 5B 5C 5D 5E 5F 60 61 62 63 70 71",
    Language.KANNADA: "d1 d2 66 67 68 69 6A 6B 6C 6D 6E 6F 5E 71 72",
    Language.MALAYALAM: "d1 d2 66 67 68 69 6A 6B 6C 6D 6E 6F 70 71 72 73 74 75 7A 7B 7C 7D 7E 7F",
    Language.ORIYA: "d1 d2 66 67 68 69 6A 6B 6C 6D 6E 6F 5C 5D 5F 70 71",
    Language.PUNJABI: "d1 d2 66 67 68 69 6A 6B 6C 6D 6E 6F 59 5A 5B 5C 5E 75",
    Language.TAMIL: "d1 d2 66 67 68 69 6A 6B 6C 6D 6E 6F 73 74 75 76 77 78 7A",
    Language.TELUGU: ".. .. 66 67 68 69 6A 6B 6C 6D 6E 6F 58 59 78 79 7A 7B 7C 7D 7E 7F",
    Language.URDU: "00 01 F0 F1 F2 F3 F4 F5 F6 F7 F8 F9 0C 0D 0E 0F 10 11 12 13 14 1B 1F 40 52 58 6B 6C 72 73 CD",
}
_URDU_FULL_STOP = {0x3F: "\u06d4"}

_NAMED = {"LF": "\n", "CR": "\r", "FF": "\f", "SP": " ", "ES": "\x1b", "d1": "\u0964", "d2": "\u0965", "..": None}


def _read(frame: str, block: int) -> dict[int, str]:
    """A table from its picture: 128 signs in code order."""
    table = {}
    for code, sign in enumerate(frame.split()):
        character = _NAMED[sign] if sign in _NAMED else sign if len(sign) == 1 else chr(block + int(sign, 16))
        if character is not None:
            table[code] = character
    return table


def _indian_locking(language: Language) -> dict[int, str]:
    places, absent = _INDIAN_LETTERS[language]
    frame = _INDIAN_LOCKING
    for number, letter in enumerate(places.split(), 1):
        frame = frame.replace(f"~{number}", letter)
    missing = {chr(_BLOCK[language] + int(offset, 16)) for offset in absent.split()}
    return {code: letter for code, letter in _read(frame, _BLOCK[language]).items() if letter not in missing}


def _asian_single(language: Language) -> dict[int, str]:
    frame = _ASIAN_SINGLE
    for symbol in _ASIAN_SYMBOLS[language].split():
        frame = frame.replace("**", symbol, 1)
    table = _read(frame.replace("**", ".."), _BLOCK[language])
    return {code: character for code, character in table.items() if code != ESCAPE}


def _locking_tables() -> Mapping[Language, Mapping[int, str]]:
    default = dict(enumerate(_DEFAULT_LOCKING))
    return (
        {Language.DEFAULT: default}
        | {language: default | letters for language, letters in _LATIN_LOCKING.items()}
        | {language: _indian_locking(language) for language in _INDIAN_LETTERS}
        | {Language.URDU: _read(_URDU_LOCKING, _BLOCK[Language.URDU])}
    )


def _single_shift_tables() -> Mapping[Language, Mapping[int, str]]:
    return (
        {Language.DEFAULT: _DEFAULT_SINGLE}
        | {language: _DEFAULT_SINGLE | letters for language, letters in _LATIN_SINGLE.items()}
        | {language: _asian_single(language) for language in _ASIAN_SYMBOLS}
        | {Language.URDU: _asian_single(Language.URDU) | _URDU_FULL_STOP}
    )


LOCKING = _locking_tables()
"""Code → character of each locking shift table; Spanish has none (§A.3.2). The escape stands for itself."""

SINGLE_SHIFT = _single_shift_tables()
"""Code → character of each single shift table, read after an escape."""

_REPLACEMENT = "\ufffd"


class Alphabet:
    """One pair of locking and single shift table, ready for use; get it from ``alphabet``.

    Attributes:
        locking: the locking table's language.
        single: the single shift table's language.
        septets: character → its one or two septets.
        cheap: the characters that need one septet.
        characters: all characters that this pair can write.
    """

    __slots__ = ("_after_escape", "_by_code", "characters", "cheap", "locking", "septets", "single")

    def __init__(self, locking: Language, single: Language) -> None:
        self.locking = locking
        self.single = single
        lock = LOCKING[locking]
        shift = SINGLE_SHIFT[single]
        # The inverted exclamation mark has two codes in the Asian single shift tables: the lower one is written.
        escaped = {c: bytes((ESCAPE, code)) for code, c in sorted(shift.items(), reverse=True)}
        plain = {c: bytes((code,)) for code, c in lock.items() if code != ESCAPE}
        self.septets: Mapping[str, bytes] = escaped | plain
        self.cheap = frozenset(plain)
        self.characters = frozenset(self.septets)
        self._by_code = "".join(lock.get(code, _REPLACEMENT) for code in range(128))
        self._after_escape = {code: shift.get(code, self._by_code[code]) for code in range(128)}

    def encode(self, text: str) -> bytes:
        """The text's septets, one an octet.

        Raises:
            KeyError: a character that this pair does not hold; ask ``characters`` first.
        """
        return b"".join(map(self.septets.__getitem__, text))

    def decode(self, septets: bytes) -> str:
        """The text of these septets, one an octet, each below 128; whatever they are, there is a text."""
        if ESCAPE not in septets:
            return codecs.charmap_decode(septets, "strict", self._by_code)[0]
        plain, *shifted = septets.split(b"\x1b")
        text = [codecs.charmap_decode(plain, "strict", self._by_code)[0]]
        pending = False
        for piece in shifted:
            # An empty piece lies between two escapes, or behind the last one.
            if pending:
                text.append(codecs.charmap_decode(piece, "strict", self._by_code)[0])
                pending = False
            elif piece:
                text.append(self._after_escape[piece[0]])
                text.append(codecs.charmap_decode(piece[1:], "strict", self._by_code)[0])
            else:
                text.append(" ")
                pending = True
        return "".join(text)


@cache
def alphabet(locking: int = 0, single: int = 0) -> Alphabet:
    """The alphabet of these National Language Identifiers; one without a table is the default (23.040 §9.2.3.24.15)."""
    return Alphabet(
        Language(locking) if locking in LOCKING else Language.DEFAULT,
        Language(single) if single in SINGLE_SHIFT else Language.DEFAULT,
    )


# Packing works on whole user data as one number: septets start 8 bits apart and are moved together, first in pairs,
# then in fours, then in eights; eight septets then fill seven of eight octets. The largest user data has 255 septets:
# 256 octets here.
_EIGHTS = 32
_LOW_7_OF_16 = int.from_bytes(b"\x7f\x00" * (4 * _EIGHTS), "little")
_LOW_14_OF_32 = int.from_bytes(b"\xff\x3f\x00\x00" * (2 * _EIGHTS), "little")
_LOW_28_OF_64 = int.from_bytes(b"\xff\xff\xff\x0f\x00\x00\x00\x00" * _EIGHTS, "little")


def pack(septets: bytes) -> bytes:
    """At most 256 septets, one an octet, as octets with the first in the lowest bits (23.038 §6.1.2.1.1).

    Text behind a header needs no fill bits from anybody: put as many zero septets in front as the header covers, pack,
    and lay the header over the zero octets.
    """
    count = len(septets)
    number = int.from_bytes(septets, "little")
    number = (number & _LOW_7_OF_16) | ((number >> 1) & (_LOW_7_OF_16 << 7))
    number = (number & _LOW_14_OF_32) | ((number >> 2) & (_LOW_14_OF_32 << 14))
    number = (number & _LOW_28_OF_64) | ((number >> 4) & (_LOW_28_OF_64 << 28))
    octets = bytearray(number.to_bytes(8 * _EIGHTS, "little"))
    del octets[7::8]
    return bytes(octets[: (count * 7 + 7) // 8])


def unpack(octets: bytes, count: int) -> bytes:
    """The first ``count`` septets of these octets, one an octet; fewer where these hold fewer, at most 256."""
    count = min(count, len(octets) * 8 // 7)
    spread = bytearray(8 * _EIGHTS)
    octets = octets[: 7 * _EIGHTS].ljust(7 * _EIGHTS, b"\0")
    for place in range(7):
        spread[place::8] = octets[place::7]
    number = int.from_bytes(spread, "little")
    number = (number & _LOW_28_OF_64) | ((number & (_LOW_28_OF_64 << 28)) << 4)
    number = (number & _LOW_14_OF_32) | ((number & (_LOW_14_OF_32 << 14)) << 2)
    number = (number & _LOW_7_OF_16) | ((number & (_LOW_7_OF_16 << 7)) << 1)
    return number.to_bytes(8 * _EIGHTS, "little")[:count]
