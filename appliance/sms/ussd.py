"""Strings of unstructured supplementary services as modems give and take them (3GPP 23.038 §5, §6.1.2.3; 27.007 §7.15).

Promise: whatever a modem gives is shown: decoded where it says how, else as it came. A request is refused where it
cannot be written.

The coding scheme is that of cell broadcast, of which a modem tells the number. In the default alphabet modems give the
text itself, and some the hexadecimal digits of the packed septets; in UCS2 all give hexadecimal digits. Seven unused
bits at the end are a CR, and a text that ends in CR there has one more (§6.1.2.3.1).
"""

from __future__ import annotations

from appliance.errors import SmsEncodeError
from appliance.sms.alphabet import alphabet, pack, unpack
from appliance.sms.scheme import Encoding

__all__ = ["decode_ussd", "encode_ussd"]

_CR = 0x0D

_MOST = 182
"""Septets of one string: 160 octets (23.038 §5)."""


def decode_ussd(given: str, dcs: int | None, *, packed: bool) -> str:
    """The text of a ``<str>``.

    Args:
        given: as it stands between the quotes.
        dcs: the cell broadcast coding scheme; None: not told.
        packed: whether the modem writes the default alphabet as packed septets.
    """
    encoding = _encoding(dcs)
    if encoding is Encoding.GSM7 and not packed:
        return given
    try:
        octets = bytes.fromhex(given)
    except ValueError:
        return given
    if encoding is Encoding.UCS2:
        return octets.decode("utf-16-be", "replace")
    if encoding is Encoding.DATA:
        return given
    septets = unpack(octets, len(octets) * 8 // 7)
    if len(octets) % 7 == 0 and septets.endswith(bytes([_CR])):
        septets = septets[:-1]
    return alphabet().decode(septets)


def encode_ussd(text: str, *, packed: bool) -> str:
    """The ``<str>`` for a request.

    Raises:
        SmsEncodeError: a character that the default alphabet has not, no character, or too many. What is not packed is
            part of a command line, which holds printable ASCII and no quotation mark.
    """
    if not text:
        raise SmsEncodeError("a USSD request is not empty")
    strangers = sorted(
        character
        for character in set(text)
        if character not in alphabet().characters or character == '"' or not (packed or " " <= character <= "~")
    )
    if strangers:
        raise SmsEncodeError(f"a USSD request cannot hold {''.join(strangers)!r}")
    septets = alphabet().encode(text)
    if len(septets) > _MOST:
        raise SmsEncodeError(f"a USSD request has at most {_MOST} characters")
    if not packed:
        return text
    if len(septets) % 8 == 7 or (len(septets) % 8 == 0 and septets[-1] == _CR):
        septets += bytes([_CR])
    return pack(septets).hex().upper()


def _encoding(dcs: int | None) -> Encoding:
    """23.038 §5, table of the coding groups; what is reserved is read as the default alphabet."""
    if dcs is None:
        return Encoding.GSM7
    if dcs == 0x11:
        return Encoding.UCS2
    if dcs & 0xC0 == 0x40 or dcs & 0xF0 == 0x90:
        return {0: Encoding.GSM7, 1: Encoding.DATA, 2: Encoding.UCS2}.get(dcs >> 2 & 3, Encoding.GSM7)
    if dcs & 0xF0 == 0xF0 and dcs & 4:
        return Encoding.DATA
    return Encoding.GSM7
