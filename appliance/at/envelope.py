"""The hex line that carries a TPDU through AT+CMGS, +CMGR, +CMGL, +CMT and +CDS (3GPP 27.005 §3.1, §4).

Promise: ``wrap`` and ``unwrap`` are inverse for every TPDU. ``unwrap`` returns the TPDU octets or raises
``EnvelopeError`` with the line as it was read, and nothing else.

A line is the service centre address (SCA) and the TPDU in hexadecimal, two digits an octet. The SCA is one octet that
counts what follows of it, a type octet, and up to ten octets of digits (24.011 §8.2.5.1 without the element's
identifier). The length that a header states counts the TPDU's octets alone.

What is not believed: the stated length (firmwares state the wrong one, or count the SCA), and the SCA's presence
(some leave it away). The rules, first that fits wins:

1. SCA and TPDU add up to the stated length.
2. The whole line has the stated length, and does not begin with a whole SCA of digits: there is no SCA.
3. A plausible SCA is there: it is taken off. What stands beyond the stated length is cut off only where it is the
   0xFF filling of a SIM record (31.102 §4.2.25).
4. Otherwise the whole line is handed over: the room that knows TPDUs will say what is wrong with it.
"""

from __future__ import annotations

__all__ = ["EnvelopeError", "unwrap", "wrap"]

_SCA_MAX = 12
"""Octets of an SCA with its length octet: 1 + 1 + 10."""


class EnvelopeError(ValueError):
    """The line is not hexadecimal octets.

    Attributes:
        raw: the line as it was read.
    """

    def __init__(self, raw: str, detail: str) -> None:
        super().__init__(detail)
        self.raw = raw


def wrap(tpdu: bytes) -> tuple[int, str]:
    """Return what AT+CMGS needs: the TPDU's octets counted, and the hex line with the stored SCA (``00``).

    Raises:
        ValueError: the TPDU is empty or longer than the 164 octets that 23.040 allows, with room to spare.
    """
    if not 0 < len(tpdu) <= 255:
        raise ValueError(f"a TPDU of {len(tpdu)} octets cannot be sent")
    return len(tpdu), "00" + tpdu.hex().upper()


def unwrap(line: str, stated: int | None = None) -> bytes:
    """Return the TPDU of a hex line; ``stated`` is the header's length in octets, or None where it gave none.

    Raises:
        EnvelopeError: not hexadecimal, an odd number of digits, or nothing behind the SCA.
    """
    text = line.strip()
    if len(text) % 2:
        raise EnvelopeError(line, f"odd number of hex digits: {len(text)}")
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        raise EnvelopeError(line, "not hexadecimal") from None
    if not octets:
        raise EnvelopeError(line, "empty")
    behind = 1 + octets[0]
    plausible = behind <= _SCA_MAX and behind != 2
    if stated is not None and stated > 0:
        if plausible and behind + stated == len(octets):
            return octets[behind:]
        if stated == len(octets) and not _begins_with_sca(octets):
            return octets
    if not plausible:
        return octets
    tpdu = octets[behind:]
    if not tpdu:
        raise EnvelopeError(line, "nothing behind the service centre address")
    if stated is not None and 0 < stated < len(tpdu) and not tpdu[stated:].strip(b"\xff"):
        return tpdu[:stated]
    return tpdu


def _begins_with_sca(octets: bytes) -> bool:
    """Whether type and digits of an SCA are there: a TPDU without SCA has an address length or TP-MR in that place."""
    behind = 1 + octets[0]
    digits = octets[2:behind].hex().upper()
    return 3 <= behind <= _SCA_MAX and octets[1] >= 0x80 and (digits[:-2] + digits[-1:]).isdecimal()
