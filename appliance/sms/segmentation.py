"""From a text to the user data of its segments (3GPP 23.038 §6.2, 23.040 §9.2.3.24.1).

Promise: the segments put together are the text; none is longer than a TPDU carries; no other way of cutting needs
fewer; none ends inside an escape pair, a surrogate pair or a grapheme cluster (one longer than a whole segment is cut
between code points). Nothing is lost unless ``TRANSLIT`` was asked for, and then each loss is stated.

Which coding ``AUTO`` takes:

1. the GSM 7-bit default alphabet with its extension, where it holds the text;
2. instead, or where it does not: a pair of national tables that holds the text, if it needs *fewer segments* than the
   default alphabet, or else than UCS-2. Fewer segments is the only gain that a sender can feel, and a receiver that
   does not know the tables shows wrong letters: so equal is not good enough. Of several pairs: fewest segments, then
   one table before two, then a single shift before a locking table (a receiver that does not know it still shows the
   base letter), then fewest septets;
3. UCS-2, written as UTF-16.

Cutting takes as much as fits each time. As cuts may only be at cluster boundaries, and a segment that starts later
never ends earlier, no other cutting needs fewer segments.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

from appliance.errors import SmsEncodeError
from appliance.sms.alphabet import LOCKING, SINGLE_SHIFT, Alphabet, Language, alphabet
from appliance.sms.cluster import boundaries
from appliance.sms.header import Concatenation, InformationElement, InformationElementIdentifier, Ports, encode_elements
from appliance.sms.scheme import Encoding
from appliance.sms.transliteration import Substitution, transliterate
from appliance.sms.user_data import UserData, capacity

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_SEGMENTS", "Segmentation", "segment"]

MAX_SEGMENTS = 255
"""The most that a concatenation can count (23.040 §9.2.3.24.1)."""

_MOST_UNITS = 160
_SHOWN = 20

_CHEAP = {language: alphabet(language).cheap for language in LOCKING}
_SHIFTED = {language: frozenset(table.values()) for language, table in SINGLE_SHIFT.items()}


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A message cut into segments.

    Attributes:
        encoding: the coding taken: GSM7, UCS2 or DATA.
        parts: the user data of each segment, in order; at least one.
        units: septets, UTF-16 units or octets used in each part, without its header.
        capacity: how many units each part could hold.
        substitutions: what ``TRANSLIT`` replaced.
        forcing: the distinct characters outside the GSM 7-bit default alphabet, where they led to UCS-2; for previews.
        language: National Language Identifiers (locking, single) of the tables used; None where both are the default.
    """

    encoding: Encoding
    parts: tuple[UserData, ...]
    units: tuple[int, ...]
    capacity: int
    substitutions: tuple[Substitution, ...] = ()
    forcing: tuple[str, ...] = ()
    language: tuple[int, int] | None = None


class _Framing(NamedTuple):
    """What every segment's header has to hold."""

    reference: int
    wide: bool
    elements: tuple[InformationElement, ...]
    max_segments: int

    def with_language(self, locking: int, single: int) -> _Framing:
        """This framing with the elements that name these tables; default tables need none."""
        named = (
            (locking, InformationElementIdentifier.NATIONAL_LANGUAGE_LOCKING_SHIFT),
            (single, InformationElementIdentifier.NATIONAL_LANGUAGE_SINGLE_SHIFT),
        )
        extra = tuple(InformationElement(identifier, bytes((table,))) for table, identifier in named if table)
        return self._replace(elements=self.elements + extra)

    def capacity(self, encoding: Encoding, *, several: bool) -> int:
        """Units in one segment that stands alone, or is one of several."""
        place = (Concatenation(0, self.wide, 1, 1).element(),) if several else ()
        return capacity(encoding, len(encode_elements(place + self.elements)))

    def parts(self, encoding: Encoding, contents: list[bytes]) -> tuple[UserData, ...]:
        """The user data of these contents."""
        if len(contents) == 1:
            return (UserData(encoding, contents[0], self.elements),)
        places = (Concatenation(self.reference, self.wide, len(contents), n) for n in range(1, len(contents) + 1))
        return tuple(
            UserData(encoding, content, (place.element(), *self.elements))
            for place, content in zip(places, contents, strict=True)
        )


def segment(
    content: str | bytes,
    *,
    encoding: Encoding = Encoding.AUTO,
    reference: int,
    wide_reference: bool = False,
    port: int | None = None,
    max_segments: int = MAX_SEGMENTS,
    national: bool = True,
) -> Segmentation:
    """Cuts a text, or 8-bit data, into the user data of its segments.

    Args:
        content: the text, or octets, which are always sent as 8-bit data.
        encoding: AUTO, GSM7, UCS2 or TRANSLIT; for octets AUTO or DATA.
        reference: what the segments share if there are several: 0 to 255, or to 65535 with ``wide_reference``.
        wide_reference: write a 16-bit reference: one septet or octet less in each segment, and 256 times rarer
            collisions.
        port: destination application port, 0 to 65535; the source port is then 0.
        max_segments: more than so many are an error.
        national: whether national language tables may be used.

    Raises:
        SmsEncodeError: characters that the wanted coding does not have (named), a lone surrogate, too many segments, an
            option out of range.
    """
    if not 0 <= reference <= (0xFFFF if wide_reference else 0xFF):
        raise SmsEncodeError(f"concatenation reference {reference} does not fit")
    if port is not None and not 0 <= port <= 0xFFFF:
        raise SmsEncodeError(f"there is no port {port}")
    most = min(max_segments, MAX_SEGMENTS)
    if len(content) > most * _MOST_UNITS:
        raise SmsEncodeError(f"too long: {len(content)} characters do not fit {most} segments")
    framing = _Framing(reference, wide_reference, () if port is None else (Ports(port, 0).element(),), most)
    if isinstance(content, bytes):
        if encoding not in {Encoding.AUTO, Encoding.DATA}:
            raise SmsEncodeError(f"octets cannot be sent as {encoding}")
        return _data(content, framing)
    match encoding:
        case Encoding.AUTO:
            return _auto(content, framing, national=national)
        case Encoding.GSM7:
            return _gsm7_only(content, framing, national=national)
        case Encoding.UCS2:
            return _ucs2(content, framing)
        case Encoding.TRANSLIT:
            replaced, substitutions = transliterate(content)
            plan = _gsm7(replaced, framing, Language.DEFAULT, Language.DEFAULT)
            return Segmentation(plan.encoding, plan.parts, plan.units, plan.capacity, substitutions)
        case _:
            raise SmsEncodeError("a text cannot be sent as 8-bit data")


def _auto(text: str, framing: _Framing, *, national: bool) -> Segmentation:
    if alphabet().characters.issuperset(text):
        return _gsm7_or_fewer(text, framing, national=national)
    octets = _utf16(text)
    best = len(_cuts(text, framing, Encoding.UCS2, _utf16_units)) - 1
    if national and (pair := _national(text, framing, fewer_than=best)):
        return _gsm7(text, framing, *pair)
    return _ucs2(text, framing, octets)


def _gsm7_only(text: str, framing: _Framing, *, national: bool) -> Segmentation:
    if alphabet().characters.issuperset(text):
        return _gsm7_or_fewer(text, framing, national=national)
    if national and (pair := _national(text, framing, fewer_than=None)):
        return _gsm7(text, framing, *pair)
    outside = _outside_default(text)
    named = " ".join(repr(character) for character in outside[:_SHOWN])
    raise SmsEncodeError(f"not in GSM 7-bit: {named}{' …' if len(outside) > _SHOWN else ''}")


def _gsm7_or_fewer(text: str, framing: _Framing, *, national: bool) -> Segmentation:
    """The default alphabet, which holds this text, or national tables that need fewer segments."""
    gsm = alphabet()
    content = gsm.encode(text)
    if len(content) <= (room := framing.capacity(Encoding.GSM7, several=False)):
        return Segmentation(Encoding.GSM7, framing.parts(Encoding.GSM7, [content]), (len(content),), room)
    if national and len(content) > len(text):
        best = len(_cuts(text, framing, Encoding.GSM7, _septet_counter(gsm))) - 1
        if pair := _national(text, framing, fewer_than=best):
            return _gsm7(text, framing, *pair)
    return _gsm7(text, framing, Language.DEFAULT, Language.DEFAULT)


def _national(text: str, framing: _Framing, *, fewer_than: int | None) -> tuple[Language, Language] | None:
    """The pair of tables that holds the text in the fewest segments, if these are fewer; else None."""
    counts = Counter(text)
    # What a segment holds beside the elements for no, one and two tables, alone and as one of several.
    rooms = [
        [framing.with_language(*tables).capacity(Encoding.GSM7, several=several) for several in (False, True)]
        for tables in ((0, 0), (0, 1), (1, 1))
    ]
    candidates = []
    for locking, cheap in _CHEAP.items():
        dear = {character: count for character, count in counts.items() if character not in cheap}
        septets = len(text) + sum(dear.values())
        for single, shifted in _SHIFTED.items():
            tables = bool(locking) + bool(single)
            alone, of_several = rooms[tables]
            least = 1 if septets <= alone else -(-septets // of_several)
            if tables and (fewer_than is None or least < fewer_than) and shifted.issuperset(dear):
                candidates.append((least, tables, bool(locking), septets, locking, single))
    best = fewer_than
    found = None
    for least, _, _, _, locking, single in sorted(candidates):
        if best is not None and least >= best:
            break
        framed = framing.with_language(locking, single)
        needed = len(_cuts(text, framed, Encoding.GSM7, _septet_counter(alphabet(locking, single)))) - 1
        if best is None or needed < best:
            best, found = needed, (locking, single)
    return found


def _gsm7(text: str, framing: _Framing, locking: Language, single: Language) -> Segmentation:
    gsm = alphabet(locking, single)
    framed = framing.with_language(locking, single)
    cuts = _cuts(text, framed, Encoding.GSM7, _septet_counter(gsm))
    contents = [gsm.encode(text[start:end]) for start, end in pairwise(cuts)]
    return _planned(Encoding.GSM7, framed, contents, 1, language=(locking, single) if locking or single else None)


def _ucs2(text: str, framing: _Framing, octets: bytes | None = None) -> Segmentation:
    octets = _utf16(text) if octets is None else octets
    cuts = _cuts(text, framing, Encoding.UCS2, _utf16_units)
    contents = [octets] if len(cuts) == 2 else [_utf16(text[start:end]) for start, end in pairwise(cuts)]
    return _planned(Encoding.UCS2, framing, contents, 2, forcing=_outside_default(text))


def _data(content: bytes, framing: _Framing) -> Segmentation:
    room = framing.capacity(Encoding.DATA, several=False)
    if len(content) > room:
        room = framing.capacity(Encoding.DATA, several=True)
    contents = [content[start : start + room] for start in range(0, len(content), room)] or [b""]
    return _planned(Encoding.DATA, framing, contents, 1)


def _planned(
    encoding: Encoding,
    framing: _Framing,
    contents: list[bytes],
    unit_octets: int,
    *,
    forcing: tuple[str, ...] = (),
    language: tuple[int, int] | None = None,
) -> Segmentation:
    if len(contents) > framing.max_segments:
        raise SmsEncodeError(f"too long: {len(contents)} segments; at most {framing.max_segments} are allowed")
    return Segmentation(
        encoding,
        framing.parts(encoding, contents),
        tuple(len(content) // unit_octets for content in contents),
        framing.capacity(encoding, several=len(contents) > 1),
        (),
        forcing,
        language,
    )


def _outside_default(text: str) -> tuple[str, ...]:
    """The distinct characters outside the GSM 7-bit default alphabet, in the order of the text."""
    gsm = alphabet().characters
    return tuple(dict.fromkeys(character for character in text if character not in gsm))


def _utf16(text: str) -> bytes:
    try:
        return text.encode("utf-16-be")
    except UnicodeEncodeError as error:
        raise SmsEncodeError(f"a lone surrogate at character {error.start}: that is no text") from None


def _utf16_units(text: str) -> list[int]:
    return [2 if character > "\uffff" else 1 for character in text]


def _septet_counter(gsm: Alphabet) -> Callable[[str], list[int]]:
    def septets(text: str) -> list[int]:
        return [1 if character in gsm.cheap else 2 for character in text]

    return septets


def _cuts(text: str, framing: _Framing, encoding: Encoding, units: Callable[[str], list[int]]) -> list[int]:
    """Where segments begin, and the end: indices of code points. As much as fits goes into each segment."""
    used = [0, *accumulate(units(text))]
    end = len(text)
    if used[end] <= framing.capacity(encoding, several=False):
        return [0, end]
    room = framing.capacity(encoding, several=True)
    whole = boundaries(text)
    cuts = [0]
    while used[end] - used[cuts[-1]] > room:
        furthest = bisect_right(used, used[cuts[-1]] + room) - 1
        place = bisect_right(whole, furthest)
        cut = whole[place - 1]
        if cut <= cuts[-1] or used[whole[place]] - used[cut] > room:
            # The cluster here is longer than a segment: it is cut where the segment is full.
            cut = furthest
        cuts.append(cut)
    return [*cuts, end]
