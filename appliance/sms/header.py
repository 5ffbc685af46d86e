"""The user data header and its information elements (3GPP 23.040 §9.2.3.24).

Promise: a header is read exactly as the standard tells a receiver to, so that a strange element costs that element and
not the message:

* an element of unknown identifier is passed over;
* of several elements that exclude each other (8- and 16-bit concatenation, 8- and 16-bit ports, two of the same) the
  last counts;
* an element whose content is of the wrong length, or a concatenation with a total or sequence number of 0, or beyond
  the total, is as if absent;
* a header whose last element is cut short, or followed by a spare octet, is ignored whole; the text behind it stays
  where it is.

It does not say where the header stands in the user data: that is ``user_data``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from appliance.sms.scheme import MessageWaiting, WaitingKind

__all__ = [
    "Concatenation",
    "InformationElement",
    "InformationElementIdentifier",
    "Ports",
    "concatenation_of",
    "decode_elements",
    "encode_elements",
    "language_of",
    "message_waiting_of",
    "ports_of",
]


class InformationElementIdentifier(IntEnum):
    """The identifiers with a meaning here."""

    CONCATENATED_8 = 0x00
    SPECIAL_SMS_INDICATION = 0x01
    APPLICATION_PORT_8 = 0x04
    APPLICATION_PORT_16 = 0x05
    CONCATENATED_16 = 0x08
    NATIONAL_LANGUAGE_SINGLE_SHIFT = 0x24
    NATIONAL_LANGUAGE_LOCKING_SHIFT = 0x25


_IEI = InformationElementIdentifier


@dataclass(frozen=True, slots=True)
class InformationElement:
    """One element: its identifier, 0 to 255, and its content."""

    identifier: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Concatenation:
    """This segment's place in a message (§9.2.3.24.1 and .8).

    Attributes:
        reference: what the segments of one message share.
        wide: whether the reference has 16 bits; 8- and 16-bit references never belong together.
        total: how many segments there are, 1 to 255.
        sequence: which one this is, from 1.
    """

    reference: int
    wide: bool
    total: int
    sequence: int

    def element(self) -> InformationElement:
        """This place as an information element."""
        tail = bytes((self.total, self.sequence))
        if self.wide:
            return InformationElement(_IEI.CONCATENATED_16, self.reference.to_bytes(2, "big") + tail)
        return InformationElement(_IEI.CONCATENATED_8, bytes((self.reference,)) + tail)


@dataclass(frozen=True, slots=True)
class Ports:
    """Application port addressing (§9.2.3.24.3 and .4)."""

    destination: int
    source: int

    def element(self) -> InformationElement:
        """These ports as an information element with 16-bit addresses."""
        content = self.destination.to_bytes(2, "big") + self.source.to_bytes(2, "big")
        return InformationElement(_IEI.APPLICATION_PORT_16, content)


def encode_elements(elements: tuple[InformationElement, ...]) -> bytes:
    """The header with its length octet in front; nothing where there are no elements."""
    if not elements:
        return b""
    body = b"".join(bytes((element.identifier, len(element.content))) + element.content for element in elements)
    return bytes((len(body),)) + body


def decode_elements(body: bytes) -> tuple[InformationElement, ...]:
    """The elements of a header, given without its length octet; none where the elements do not fill it exactly."""
    elements = []
    place, end = 0, len(body)
    while place + 2 <= end:
        content = place + 2
        place = content + body[place + 1]
        elements.append(InformationElement(body[content - 2], body[content:place]))
    return tuple(elements) if place == end else ()


def concatenation_of(elements: tuple[InformationElement, ...]) -> Concatenation | None:
    """The last concatenation element that makes sense."""
    found = None
    for element in elements:
        match element:
            case InformationElement(_IEI.CONCATENATED_8, content) if len(content) == 3:
                place = Concatenation(content[0], wide=False, total=content[1], sequence=content[2])
            case InformationElement(_IEI.CONCATENATED_16, content) if len(content) == 4:
                reference = int.from_bytes(content[:2], "big")
                place = Concatenation(reference, wide=True, total=content[2], sequence=content[3])
            case _:
                continue
        if 1 <= place.sequence <= place.total:
            found = place
    return found


def ports_of(elements: tuple[InformationElement, ...]) -> Ports | None:
    """The last port element, of 8 or 16 bits."""
    found = None
    for element in elements:
        match element:
            case InformationElement(_IEI.APPLICATION_PORT_8, content) if len(content) == 2:
                found = Ports(content[0], content[1])
            case InformationElement(_IEI.APPLICATION_PORT_16, content) if len(content) == 4:
                found = Ports(int.from_bytes(content[:2], "big"), int.from_bytes(content[2:], "big"))
            case _:
                pass
    return found


def language_of(elements: tuple[InformationElement, ...]) -> tuple[int, int]:
    """National Language Identifiers of the locking and the single shift table; 0 is the default."""
    locking = single = 0
    for element in elements:
        match element:
            case InformationElement(_IEI.NATIONAL_LANGUAGE_LOCKING_SHIFT, content) if len(content) == 1:
                locking = content[0]
            case InformationElement(_IEI.NATIONAL_LANGUAGE_SINGLE_SHIFT, content) if len(content) == 1:
                single = content[0]
            case _:
                pass
    return locking, single


def message_waiting_of(elements: tuple[InformationElement, ...]) -> MessageWaiting | None:
    """The first special message indication (§9.2.3.24.2); there may be one for each kind."""
    for element in elements:
        if element.identifier == _IEI.SPECIAL_SMS_INDICATION and len(element.content) == 2:
            kind, count = element.content
            waiting = WaitingKind(kind & 3) if kind & 0x7C == 0 else WaitingKind.OTHER
            return MessageWaiting(waiting, count > 0, count, bool(kind & 0x80))
    return None
