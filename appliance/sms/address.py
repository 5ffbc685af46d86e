"""Addresses: who a short message is for or from (3GPP 23.040 §9.1.2.5).

Promise: a number of at most twenty digits or a name of at most eleven septets becomes an address field and back. It
does not normalise numbers (0 or 00 in front, spaces): that needs a country, and belongs to whoever knows one.

Theory of operation
===================
An address field is its length, a type-of-address octet and up to ten octets of value. The length counts *useful
semi-octets of the value*: digits, or for a name four-bit groups of its packed septets. Type of address is ``1 TTT
NNNN``: type of number and numbering plan.

On reading, what a phone would also have to live with is lived with: bit 8 of the type clear, any plan, filler nibbles
among the digits. A control character in a name (the 7-bit alphabet has LF, CR and FF) becomes a space: a name is one
line, wherever it is written later. A length above twenty means that the next field cannot be found: that is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from appliance.errors import SmsDecodeError, SmsEncodeError
from appliance.sms.alphabet import alphabet, pack, unpack

__all__ = ["Address", "TypeOfNumber"]

_MAX_SEMI_OCTETS = 20
_DIGITS = "0123456789*#abc"
_SEMI_OCTET = {digit: value for value, digit in enumerate(_DIGITS)}
_FILLER = 0xF
_ONE_LINE = str.maketrans("\n\r\f", "   ")
_PLAN_E164 = 1
_PLAN_UNKNOWN = 0


class TypeOfNumber(IntEnum):
    """TON, bits 7 to 5 of the type of address."""

    UNKNOWN = 0
    INTERNATIONAL = 1
    NATIONAL = 2
    NETWORK_SPECIFIC = 3
    SUBSCRIBER = 4
    ALPHANUMERIC = 5
    ABBREVIATED = 6
    RESERVED = 7


@dataclass(frozen=True, slots=True)
class Address:
    """A number or a name; ``str`` of it is ``+447700900123``, ``12345`` or ``Vodafone``.

    Attributes:
        value: digits ``0-9*#abc`` without a plus, or the characters of a name.
        type_of_number: TON.
        numbering_plan: NPI, 0 to 15; 1 is E.164.
    """

    value: str
    type_of_number: TypeOfNumber = TypeOfNumber.UNKNOWN
    numbering_plan: int = _PLAN_E164

    @classmethod
    def parse(cls, text: str) -> Address:
        """``+`` and digits: international; digits, ``*`` and ``#`` alone: a short code or number as dialled.

        Raises:
            SmsEncodeError: nothing, another character, or more than twenty digits.
        """
        international = text.startswith("+")
        digits = text[1:] if international else text
        allowed = "0123456789" if international else "0123456789*#"
        if not digits:
            raise SmsEncodeError("the address has no digits")
        if strange := sorted(set(digits) - set(allowed)):
            raise SmsEncodeError(f"not a digit of an address: {' '.join(map(repr, strange))}")
        if len(digits) > _MAX_SEMI_OCTETS:
            raise SmsEncodeError(f"the address has {len(digits)} digits; an address field holds {_MAX_SEMI_OCTETS}")
        return cls(digits, TypeOfNumber.INTERNATIONAL if international else TypeOfNumber.UNKNOWN)

    @classmethod
    def alphanumeric(cls, name: str) -> Address:
        """A name as a sender's address.

        Raises:
            SmsEncodeError: empty, more than eleven septets, not in the GSM 7-bit default alphabet, or with a line
                break.
        """
        address = cls(name, TypeOfNumber.ALPHANUMERIC, _PLAN_UNKNOWN)
        if not name or name != name.translate(_ONE_LINE):
            raise SmsEncodeError("the name of an address is one line with at least one character")
        address.encode()
        return address

    @property
    def is_alphanumeric(self) -> bool:
        """Whether this is a name; nobody can answer it."""
        return self.type_of_number is TypeOfNumber.ALPHANUMERIC

    @property
    def is_international(self) -> bool:
        """Whether the digits begin with a country code."""
        return self.type_of_number is TypeOfNumber.INTERNATIONAL

    def __str__(self) -> str:
        return f"+{self.value}" if self.is_international and self.value else self.value

    def encode(self) -> bytes:
        """The address field: length, type of address, value; 2 to 12 octets.

        Raises:
            SmsEncodeError: the value does not fit or has a character that no address has.
        """
        kind = 0x80 | self.type_of_number << 4 | self.numbering_plan
        if self.is_alphanumeric:
            gsm = alphabet()
            if strange := sorted(set(self.value) - gsm.characters):
                raise SmsEncodeError(f"not in the GSM 7-bit default alphabet: {' '.join(map(repr, strange))}")
            septets = gsm.encode(self.value)
            length = (len(septets) * 7 + 3) // 4
            value = pack(septets) if length <= _MAX_SEMI_OCTETS else b""
        else:
            if strange := sorted(set(self.value) - _SEMI_OCTET.keys()):
                raise SmsEncodeError(f"not a digit of an address: {' '.join(map(repr, strange))}")
            length = len(self.value)
            nibbles = [_SEMI_OCTET[digit] for digit in self.value] + [_FILLER] * (length % 2)
            value = bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))
        if length > _MAX_SEMI_OCTETS:
            raise SmsEncodeError(f"the address {self.value!r} is too long for an address field")
        return bytes((length, kind)) + value

    @classmethod
    def decode(cls, tpdu: bytes, offset: int, *, field: str) -> tuple[Address, int]:
        """The address field at this octet, and the offset of the octet behind it.

        Args:
            tpdu: the whole TPDU.
            offset: where the length octet is.
            field: the field's name in an error, as ``TP-OA``.

        Raises:
            SmsDecodeError: the field is longer than an address can be, or than the TPDU.
        """
        if len(tpdu) < offset + 2:
            raise SmsDecodeError(field, len(tpdu), "the TPDU ends before the address")
        length, kind = tpdu[offset], tpdu[offset + 1]
        if length > _MAX_SEMI_OCTETS:
            raise SmsDecodeError(
                field, offset, f"an address of {length} semi-octets; at most {_MAX_SEMI_OCTETS} are possible"
            )
        start = offset + 2
        end = start + (length + 1) // 2
        if len(tpdu) < end:
            raise SmsDecodeError(field, len(tpdu), f"the TPDU ends within an address of {length} semi-octets")
        octets = tpdu[start:end]
        type_of_number = TypeOfNumber(kind >> 4 & 7)
        if type_of_number is TypeOfNumber.ALPHANUMERIC:
            value = alphabet().decode(unpack(octets, length * 4 // 7)).translate(_ONE_LINE)
        else:
            nibbles = [nibble for octet in octets for nibble in (octet & 0xF, octet >> 4)][:length]
            value = "".join(_DIGITS[nibble] for nibble in nibbles if nibble != _FILLER)
        return cls(value, type_of_number, kind & 0xF), end
