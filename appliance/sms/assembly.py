"""From the segments that came in to the message (3GPP 23.040 §9.2.3.24.1).

Promise: the segments of one message, in any order and with repetitions, give its text; what is missing is named, and
the rest is there. Characters are decoded after joining: a sender that cut a surrogate pair, a UTF-16 unit or an escape
pair in two does no harm while both halves are there.

It does not decide which segments belong together for how long: ``concatenation_key`` says which may, the hub's window
says when.

Of two segments with one sequence number the first that is not truncated counts. Segments that differ in coding are
decoded run by run. Eight-bit data amid text has no characters: one U+FFFD stands for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from appliance.sms.header import language_of
from appliance.sms.scheme import Encoding
from appliance.sms.user_data import decode_text

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from appliance.sms.address import Address
    from appliance.sms.tpdu import SmsDeliver
    from appliance.sms.user_data import UserData

__all__ = ["Assembled", "ConcatenationKey", "assemble", "concatenation_key"]


class ConcatenationKey(NamedTuple):
    """What all segments of one message have in common. Two messages may have it too: references wrap."""

    originator: Address
    reference: int
    wide: bool
    total: int


@dataclass(frozen=True, slots=True)
class Assembled:
    """A message, or what has come of it.

    Attributes:
        text: the text without the missing segments; None for 8-bit data.
        data: the octets without the missing segments; None for text.
        encoding: the coding of the first segment that is there.
        missing: the sequence numbers that are not there, ascending.
        total: how many segments the message has.
    """

    text: str | None
    data: bytes | None
    encoding: Encoding
    missing: tuple[int, ...]
    total: int

    @property
    def complete(self) -> bool:
        """Whether every segment is there."""
        return not self.missing


def concatenation_key(deliver: SmsDeliver) -> ConcatenationKey | None:
    """What this segment shares with the others of its message; None: it stands alone."""
    place = deliver.concatenation
    if place is None:
        return None
    return ConcatenationKey(deliver.originator, place.reference, place.wide, place.total)


def assemble(parts: Sequence[SmsDeliver]) -> Assembled:
    """The message of these segments, which have one ``concatenation_key``; or of one that stands alone.

    Raises:
        ValueError: no segments, or segments with different keys.
    """
    keys = {concatenation_key(part) for part in parts}
    if len(keys) != 1:
        raise ValueError(f"segments of {len(keys)} messages")
    found: dict[int, UserData] = {}
    total = 1
    for part in sorted(parts, key=lambda part: part.truncated):
        sequence = 1
        if part.concatenation is not None:
            sequence, total = part.concatenation.sequence, part.concatenation.total
        found.setdefault(sequence, part.user_data)
    segments = [(sequence, found[sequence]) for sequence in sorted(found)]
    missing = tuple(sequence for sequence in range(1, total + 1) if sequence not in found)
    encoding = segments[0][1].encoding
    if all(user_data.encoding is Encoding.DATA for _, user_data in segments):
        return Assembled(None, b"".join(user_data.content for _, user_data in segments), encoding, missing, total)
    text = "".join(_text(run) for run in _runs(segments))
    return Assembled(text, None, encoding, missing, total)


def _coding(user_data: UserData) -> Hashable:
    return user_data.encoding, language_of(user_data.elements)


def _runs(segments: Iterable[tuple[int, UserData]]) -> Iterable[list[UserData]]:
    """Segments that follow each other without a gap in one coding."""
    run: list[UserData] = []
    last = 0
    for sequence, user_data in segments:
        if run and (sequence != last + 1 or _coding(user_data) != _coding(run[-1])):
            yield run
            run = []
        run.append(user_data)
        last = sequence
    yield run


def _text(run: list[UserData]) -> str:
    encoding = run[0].encoding
    match encoding:
        case Encoding.GSM7:
            content = b"".join(user_data.content for user_data in run)
        case Encoding.UCS2:
            content = _join_units([user_data.content for user_data in run])
        case _:
            return "\ufffd"
    return decode_text(encoding, content, language_of(run[0].elements)) or ""


def _join_units(contents: list[bytes]) -> bytes:
    """UTF-16 octets joined; an odd octet at an end is half a unit if the next segment is odd too, else a lost one."""
    joined = bytearray()
    for content in contents:
        if len(joined) % 2 and len(content) % 2 == 0:
            joined[-1:] = b"\xff\xfd"
        joined += content
    return bytes(joined)
