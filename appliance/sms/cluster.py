"""Grapheme clusters: what a reader takes for one character, so that no segment ends inside one (Unicode UAX #29).

Promise: ``boundaries`` gives the extended grapheme clusters of Unicode 15.1 as far as the interpreter's own character
data goes; combining marks, emoji sequences (ZWJ, skin tones, variation selectors, tags, flags), Hangul syllables and
Indian conjuncts stay whole.

Theory of operation
===================
Each code point is given a class, one letter; the rules GB3 to GB13 are then one regular expression over the letters.
What ``unicodedata`` does not tell (pictographs, prepended marks, viramas) stands below as ranges. A mark of category Mc
that the standard counts as Extend is a spacing mark here: for where clusters end that is the same.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from functools import lru_cache

__all__ = ["boundaries"]

# Class letters: C carriage return, F line feed, N other control, E extend, J zero width joiner, S spacing mark, P
# prepend, R regional indicator, X pictograph, L V T hangul jamo, A hangul LV, B hangul LVT, K consonant that conjoins,
# G virama, O other.
_CLUSTER = re.compile(
    r"""
      CF | [CFN]                                     # GB3 to GB5
    | P* (?: RR?                                     # GB12, GB13
           | L* (?: V+ | A V* | B ) T* | L+ | T+     # GB6 to GB8
           | X (?: [EG]* J X )*                      # GB11
           | K (?: [EGJ]* G [EGJ]* K )*              # GB9c
           | O ) [EGJS]*                             # GB9, GB9a
    | P+ [EGJS]* | [EGJS]+                           # GB9b; marks without a base
    """,
    re.VERBOSE,
)

# (first, last) code points; Extended_Pictographic of emoji-data, with the unassigned places that it reserves.
_PICTOGRAPHS = (
    (0x00A9, 0x00A9),
    (0x00AE, 0x00AE),
    (0x203C, 0x203C),
    (0x2049, 0x2049),
    (0x2122, 0x2122),
    (0x2139, 0x2139),
    (0x2194, 0x2199),
    (0x21A9, 0x21AA),
    (0x231A, 0x231B),
    (0x2328, 0x2328),
    (0x2388, 0x2388),
    (0x23CF, 0x23CF),
    (0x23E9, 0x23F3),
    (0x23F8, 0x23FA),
    (0x24C2, 0x24C2),
    (0x25AA, 0x25AB),
    (0x25B6, 0x25B6),
    (0x25C0, 0x25C0),
    (0x25FB, 0x25FE),
    (0x2600, 0x2605),
    (0x2607, 0x2612),
    (0x2614, 0x2685),
    (0x2690, 0x2705),
    (0x2708, 0x2712),
    (0x2714, 0x2714),
    (0x2716, 0x2716),
    (0x271D, 0x271D),
    (0x2721, 0x2721),
    (0x2728, 0x2728),
    (0x2733, 0x2734),
    (0x2744, 0x2744),
    (0x2747, 0x2747),
    (0x274C, 0x274C),
    (0x274E, 0x274E),
    (0x2753, 0x2755),
    (0x2757, 0x2757),
    (0x2763, 0x2767),
    (0x2795, 0x2797),
    (0x27A1, 0x27A1),
    (0x27B0, 0x27B0),
    (0x27BF, 0x27BF),
    (0x2934, 0x2935),
    (0x2B05, 0x2B07),
    (0x2B1B, 0x2B1C),
    (0x2B50, 0x2B50),
    (0x2B55, 0x2B55),
    (0x3030, 0x3030),
    (0x303D, 0x303D),
    (0x3297, 0x3297),
    (0x3299, 0x3299),
    (0x1F000, 0x1F0FF),
    (0x1F10D, 0x1F10F),
    (0x1F12F, 0x1F12F),
    (0x1F16C, 0x1F171),
    (0x1F17E, 0x1F17F),
    (0x1F18E, 0x1F18E),
    (0x1F191, 0x1F19A),
    (0x1F1AD, 0x1F1E5),
    (0x1F201, 0x1F20F),
    (0x1F21A, 0x1F21A),
    (0x1F22F, 0x1F22F),
    (0x1F232, 0x1F23A),
    (0x1F23C, 0x1F23F),
    (0x1F249, 0x1F3FA),
    (0x1F400, 0x1F53D),
    (0x1F546, 0x1F64F),
    (0x1F680, 0x1F6FF),
    (0x1F774, 0x1F77F),
    (0x1F7D5, 0x1F7FF),
    (0x1F80C, 0x1F80F),
    (0x1F848, 0x1F84F),
    (0x1F85A, 0x1F85F),
    (0x1F888, 0x1F88F),
    (0x1F8AE, 0x1F8FF),
    (0x1F90C, 0x1F93A),
    (0x1F93C, 0x1F945),
    (0x1F947, 0x1FAFF),
    (0x1FC00, 0x1FFFD),
)
_PICTOGRAPH_STARTS = [first for first, _ in _PICTOGRAPHS]

# Grapheme_Cluster_Break=Prepend.
_PREPEND = frozenset(
    map(
        chr,
        (
            *range(0x0600, 0x0606),
            *(0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2, 0x0D4E, 0x110BD, 0x110CD, 0x111C2, 0x111C3),
            *(0x1193F, 0x11941, 0x11A3A, *range(0x11A84, 0x11A8A), 0x11D46, 0x11F02),
        ),
    )
)

# Indic_Conjunct_Break: the viramas, and the consonants of their six scripts.
_VIRAMAS = frozenset("\u094d\u09cd\u0acd\u0b4d\u0c4d\u0d4d")
_CONSONANTS = (
    (0x0915, 0x0939),
    (0x0958, 0x095F),
    (0x0978, 0x097F),
    (0x0995, 0x09A8),
    (0x09AA, 0x09B0),
    (0x09B2, 0x09B2),
    (0x09B6, 0x09B9),
    (0x09DC, 0x09DD),
    (0x09DF, 0x09DF),
    (0x09F0, 0x09F1),
    (0x0A95, 0x0AA8),
    (0x0AAA, 0x0AB0),
    (0x0AB2, 0x0AB3),
    (0x0AB5, 0x0AB9),
    (0x0AF9, 0x0AF9),
    (0x0B15, 0x0B28),
    (0x0B2A, 0x0B30),
    (0x0B32, 0x0B33),
    (0x0B35, 0x0B39),
    (0x0B5C, 0x0B5D),
    (0x0B5F, 0x0B5F),
    (0x0B71, 0x0B71),
    (0x0C15, 0x0C28),
    (0x0C2A, 0x0C39),
    (0x0C58, 0x0C5A),
    (0x0D15, 0x0D3A),
)
_CONSONANT_STARTS = [first for first, _ in _CONSONANTS]

_NAMED = {
    "\r": "C",
    "\n": "F",
    "\u200c": "E",
    "\u200d": "J",
    "\u0e33": "S",
    "\u0eb3": "S",
    "\uff9e": "E",
    "\uff9f": "E",
}
_CATEGORY = {"Mn": "E", "Me": "E", "Mc": "S", "Cc": "N", "Cf": "N", "Zl": "N", "Zp": "N", "Cs": "N"}


def _within(ranges: tuple[tuple[int, int], ...], starts: list[int], point: int) -> bool:
    place = bisect_right(starts, point) - 1
    return place >= 0 and point <= ranges[place][1]


def _hangul(point: int) -> str | None:
    match point:
        case _ if 0xAC00 <= point <= 0xD7A3:
            return "B" if (point - 0xAC00) % 28 else "A"
        case _ if 0x1100 <= point <= 0x115F or 0xA960 <= point <= 0xA97C:
            return "L"
        case _ if 0x1160 <= point <= 0x11A7 or 0xD7B0 <= point <= 0xD7C6:
            return "V"
        case _ if 0x11A8 <= point <= 0x11FF or 0xD7CB <= point <= 0xD7FB:
            return "T"
        case _:
            return None


@lru_cache(maxsize=4096)
def _class(character: str) -> str:
    """The class letter of one code point."""
    point = ord(character)
    if letter := _NAMED.get(character):
        return letter
    if character in _VIRAMAS:
        return "G"
    if character in _PREPEND:
        return "P"
    if 0x1F1E6 <= point <= 0x1F1FF:
        return "R"
    if 0x1F3FB <= point <= 0x1F3FF or 0xE0020 <= point <= 0xE007F:
        return "E"
    if _within(_PICTOGRAPHS, _PICTOGRAPH_STARTS, point):
        return "X"
    if _within(_CONSONANTS, _CONSONANT_STARTS, point):
        return "K"
    return _hangul(point) or _CATEGORY.get(unicodedata.category(character), "O")


def boundaries(text: str) -> list[int]:
    """Where clusters begin, and the end: indices of code points, ascending, the first 0 and the last ``len(text)``.

    An empty text has the one boundary 0.
    """
    if text.isascii() and "\r" not in text:
        return list(range(len(text) + 1))
    return [0, *(match.end() for match in _CLUSTER.finditer("".join(map(_class, text))))]
