"""23.040 §9.2.3.11 and §9.2.3.12: time stamps and validity periods."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.sms.timestamp import decode_relative, decode_timestamp, encode_relative, encode_timestamp

LAW = settings.get_profile("sms")


@pytest.mark.parametrize(
    ("octets", "moment"),
    [
        ("99309251619580", "1999-03-29T15:16:59+02:00"),
        ("42209232958500", "2024-02-29T23:59:58+00:00"),
        ("4220923295854A", "2024-02-29T23:59:58-06:00"),  # 24 quarters, sign in bit 3
        ("42209232958519", "2024-02-29T23:59:58-02:45"),
        ("89211332959597", "1998-12-31T23:59:59+19:45"),
        ("00101000000000", "2000-01-01T00:00:00+00:00"),
    ],
)
def test_known_stamps(octets: str, moment: str) -> None:
    found = decode_timestamp(bytes.fromhex(octets))
    assert found is not None
    assert found.isoformat() == moment
    assert encode_timestamp(found) == bytes.fromhex(octets)


@pytest.mark.parametrize(
    "octets",
    [
        "00000000000000",
        "FFFFFFFFFFFFFF",
        "42310000000000",
        "42200300000000",
        "42209242000000",
        "4220922306A000",
        "42A09223958500",
    ],
)
def test_what_is_no_date_is_none(octets: str) -> None:
    assert decode_timestamp(bytes.fromhex(octets)) is None


@LAW
@given(st.binary(min_size=0, max_size=9))
def test_no_octets_raise(octets: bytes) -> None:
    moment = decode_timestamp(octets)
    if moment is not None:
        assert encode_timestamp(moment)[:6] == octets[:6]
        assert decode_timestamp(encode_timestamp(moment)) == moment


@LAW
@given(
    st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2089, 12, 31)),  # noqa: DTZ001 - the zone is drawn apart
    st.integers(-79, 79),
)
def test_every_moment_comes_back_with_its_offset(moment: datetime, quarters: int) -> None:
    aware = moment.replace(microsecond=0, tzinfo=timezone(quarters * timedelta(minutes=15)))
    again = decode_timestamp(encode_timestamp(aware))
    assert again == aware
    assert again is not None
    assert again.utcoffset() == aware.utcoffset()


def test_an_offset_that_the_octets_cannot_hold_is_told_in_utc() -> None:
    moment = datetime(2024, 2, 29, 12, 0, tzinfo=timezone(timedelta(minutes=7)))
    found = decode_timestamp(encode_timestamp(moment))
    assert found == moment
    assert found is not None
    assert found.utcoffset() == timedelta(0)
    assert decode_timestamp(encode_timestamp(moment.astimezone(timezone(timedelta(hours=20))))) == moment.astimezone(
        UTC
    )


def test_the_256_relative_periods() -> None:
    minutes = [5 * (value + 1) for value in range(144)]
    minutes += [12 * 60 + 30 * (value - 143) for value in range(144, 168)]
    minutes += [(value - 166) * 24 * 60 for value in range(168, 197)]
    minutes += [(value - 192) * 7 * 24 * 60 for value in range(197, 256)]
    assert [decode_relative(value) for value in range(256)] == [timedelta(minutes=count) for count in minutes]
    assert [encode_relative(timedelta(minutes=count)) for count in minutes] == list(range(256))


@LAW
@given(st.timedeltas(min_value=timedelta(days=-1), max_value=timedelta(days=900)))
def test_a_validity_is_the_shortest_that_is_long_enough(validity: timedelta) -> None:
    value = encode_relative(validity)
    assert decode_relative(value) >= min(validity, timedelta(weeks=63))
    assert value == 0 or decode_relative(value - 1) < validity
