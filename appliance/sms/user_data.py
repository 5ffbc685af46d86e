"""TP-UDHI, TP-UDL and TP-UD: the header and the content of one segment (3GPP 23.040 §9.2.3.16, .23, .24).

Promise: what ``encode`` writes, ``decode`` reads; and what others write is read as far as it is there.

Theory of operation
===================
User data has at most 140 octets. The header, where TP-UDHI says that there is one, comes first, with its own length
octet. TP-UDL counts septets for 7-bit text, octets otherwise, and always includes the header. 7-bit text behind a
header begins at a septet boundary: the header then counts as whole septets, and the bits between are fill bits. Here
the whole user data is packed and unpacked at once, the header lying over leading zero septets; so fill bits are nowhere
computed.

Read leniently: no TP-UDL, or fewer octets than it promises (what is there is kept, and ``truncated`` says so), more
than it promises (left out), a TP-UDL above 140 octets. A header that is not wholly there cannot be told from text: that
is an error.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.errors import SmsDecodeError, SmsEncodeError
from appliance.sms.alphabet import Alphabet, alphabet, pack, unpack
from appliance.sms.header import (
    Concatenation,
    InformationElement,
    Ports,
    concatenation_of,
    decode_elements,
    encode_elements,
    language_of,
    message_waiting_of,
    ports_of,
)
from appliance.sms.scheme import Encoding, MessageWaiting

__all__ = ["MAX_OCTETS", "UserData", "capacity", "decode_text"]

MAX_OCTETS = 140
"""What one TPDU carries (23.040 §9.2.3.16)."""


def header_septets(octets: int) -> int:
    """How many septets a header of so many octets covers, its length octet included."""
    return (octets * 8 + 6) // 7


def capacity(encoding: Encoding, header_octets: int = 0) -> int:
    """How many units one segment holds beside such a header: septets, UTF-16 units or octets."""
    match encoding:
        case Encoding.GSM7:
            return MAX_OCTETS * 8 // 7 - header_septets(header_octets)
        case Encoding.UCS2:
            return (MAX_OCTETS - header_octets) // 2
        case _:
            return MAX_OCTETS - header_octets


def decode_text(encoding: Encoding, content: bytes, language: tuple[int, int] = (0, 0)) -> str | None:
    """The text of septets or UTF-16 octets, U+FFFD for what is none; None for 8-bit data."""
    match encoding:
        case Encoding.GSM7:
            return alphabet(*language).decode(content)
        case Encoding.UCS2:
            return content.decode("utf-16-be", "replace")
        case _:
            return None


@dataclass(frozen=True, slots=True)
class UserData:
    """One segment's user data.

    Attributes:
        encoding: GSM7, UCS2 or DATA.
        content: behind the header: septets, one an octet, for GSM7; octets otherwise.
        elements: the header's information elements.
        truncated: on reading: the TPDU ended before TP-UDL said.
    """

    encoding: Encoding
    content: bytes
    elements: tuple[InformationElement, ...] = ()
    truncated: bool = False

    @property
    def text(self) -> str | None:
        """This segment's text; None for 8-bit data."""
        return decode_text(self.encoding, self.content, language_of(self.elements) if self.elements else (0, 0))

    @property
    def data(self) -> bytes | None:
        """This segment's octets; None for text."""
        return self.content if self.encoding is Encoding.DATA else None

    @property
    def concatenation(self) -> Concatenation | None:
        """This segment's place in a message of several."""
        return concatenation_of(self.elements)

    @property
    def ports(self) -> Ports | None:
        """The applications that this is between."""
        return ports_of(self.elements)

    @property
    def message_waiting(self) -> MessageWaiting | None:
        """The header's indication that messages wait elsewhere."""
        return message_waiting_of(self.elements)

    @property
    def alphabet(self) -> Alphabet:
        """The pair of 7-bit tables that the header names."""
        return alphabet(*language_of(self.elements))

    def encode(self) -> bytes:
        """TP-UDL and TP-UD.

        Raises:
            SmsEncodeError: more than 140 octets.
        """
        header = encode_elements(self.elements)
        if self.encoding is Encoding.GSM7:
            septets = bytes(header_septets(len(header))) + self.content
            length = len(septets)
            octets = header + pack(septets[:256])[len(header) :]
            fits = length <= MAX_OCTETS * 8 // 7
        else:
            octets = header + self.content
            length = len(octets)
            fits = length <= MAX_OCTETS
        if not fits:
            raise SmsEncodeError(f"user data of {length} {'septets' if self.encoding is Encoding.GSM7 else 'octets'}")
        return bytes((length,)) + octets

    @classmethod
    def decode(cls, tpdu: bytes, offset: int, *, encoding: Encoding, has_header: bool) -> UserData:
        """The user data whose TP-UDL is at this octet.

        Raises:
            SmsDecodeError: a header (TP-UDHI) that is not wholly there.
        """
        start = offset + 1
        length = tpdu[offset] if offset < len(tpdu) else 0
        wanted = (length * 7 + 7) // 8 if encoding is Encoding.GSM7 else length
        octets = tpdu[start : start + wanted]
        elements: tuple[InformationElement, ...] = ()
        behind = 0
        if has_header:
            if not octets:
                raise SmsDecodeError("TP-UDHL", min(start, len(tpdu)), "TP-UDHI is set and there is no user data")
            behind = octets[0] + 1
            if behind > len(octets):
                raise SmsDecodeError(
                    "TP-UDHL", start, f"a header of {octets[0]} octets in {len(octets)} octets of user data"
                )
            elements = decode_elements(octets[1:behind])
        content = unpack(octets, length)[header_septets(behind) :] if encoding is Encoding.GSM7 else octets[behind:]
        return cls(encoding, content, elements, offset >= len(tpdu) or len(octets) < wanted)
