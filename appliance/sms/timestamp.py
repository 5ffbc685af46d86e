"""Times in TPDUs: seven semi-octet pairs (3GPP 23.040 §9.2.3.11) and validity periods (§9.2.3.12).

Promise: a date survives the octets to the second with its offset from UTC; what is not a date is None and never an
error; a validity period is never shortened by its coarse steps, only by the largest one that exists.

The octets hold YY MM DD hh mm ss and the offset in quarters of an hour, each as two decimal digits with the first in
the *lower* four bits; the offset's sign is bit 3 of its octet. Years 90 to 99 are of the last century: the oldest short
message is of 1992.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

__all__ = ["decode_relative", "decode_timestamp", "encode_relative", "encode_timestamp"]

TIMESTAMP_OCTETS = 7

_QUARTER = timedelta(minutes=15)
_SIGN = 0x08
_FIRST_YEAR_OF_LAST_CENTURY = 90


def decode_timestamp(octets: bytes) -> datetime | None:
    """The moment, aware, with the octets' own offset; None where they are no date."""
    if len(octets) != TIMESTAMP_OCTETS:
        return None
    zone = octets[6]
    digits = [*octets[:6], zone & ~_SIGN]
    if any(octet & 0xF > 9 or octet >> 4 > 9 for octet in digits):
        return None
    year, month, day, hour, minute, second, quarters = ((octet & 0xF) * 10 + (octet >> 4) for octet in digits)
    offset = -quarters * _QUARTER if zone & _SIGN else quarters * _QUARTER
    century = 1900 if year >= _FIRST_YEAR_OF_LAST_CENTURY else 2000
    try:
        return datetime(century + year, month, day, hour, minute, second, tzinfo=timezone(offset))
    except ValueError:
        return None


def encode_timestamp(moment: datetime) -> bytes:
    """Seven octets; ``moment`` is aware, its offset a whole number of quarters of an hour within 19 h 45 min of UTC.

    An offset that the octets cannot hold is not invented: the same moment is then told in UTC. Parts of a second are
    cut off.
    """
    offset = moment.utcoffset() or timedelta(0)
    if offset % _QUARTER or abs(offset) >= 80 * _QUARTER:
        moment, offset = moment.astimezone(UTC), timedelta(0)
    quarters = abs(offset) // _QUARTER
    fields = (moment.year % 100, moment.month, moment.day, moment.hour, moment.minute, moment.second, quarters)
    octets = bytearray(field // 10 | field % 10 << 4 for field in fields)
    if offset < timedelta(0):
        octets[6] |= _SIGN
    return bytes(octets)


# (last value of the range, the period of that value, the step) of TP-VP in relative format, §9.2.3.12.1.
_RELATIVE = (
    (143, timedelta(hours=12), timedelta(minutes=5)),
    (167, timedelta(hours=24), timedelta(minutes=30)),
    (196, timedelta(days=30), timedelta(days=1)),
    (255, timedelta(weeks=63), timedelta(weeks=1)),
)


def decode_relative(value: int) -> timedelta:
    """The validity period of a relative TP-VP octet."""
    last, period, step = next(row for row in _RELATIVE if value <= row[0])
    return period - (last - value) * step


def encode_relative(validity: timedelta) -> int:
    """The smallest relative TP-VP that is not shorter: from 5 minutes to 63 weeks, the nearest of them beyond."""
    for last, period, step in _RELATIVE:
        if validity <= period:
            return max(last - (period - validity) // step, 0)
    return _RELATIVE[-1][0]
