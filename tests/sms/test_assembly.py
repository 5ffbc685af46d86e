"""Joining: any order, repetitions, gaps, and senders that cut in the wrong place."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.sms import (
    Address,
    Concatenation,
    DataCodingScheme,
    Encoding,
    SmsDeliver,
    UserData,
    assemble,
    concatenation_key,
    segment,
)
from appliance.sms.timestamp import encode_timestamp
from tests.sms.strategies import any_text, gsm_text, national_text

LAW = settings.get_profile("sms")
SENT = datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC)
SOMEBODY = Address.parse("+447700900123")


def received(user_data: UserData, sender: Address = SOMEBODY) -> SmsDeliver:
    return SmsDeliver(
        originator=sender,
        user_data=user_data,
        service_centre_timestamp=SENT,
        service_centre_timestamp_octets=encode_timestamp(SENT),
        data_coding_scheme=DataCodingScheme.of(user_data.encoding),
    )


def piece(sequence: int, total: int, encoding: Encoding, content: bytes, *, truncated: bool = False) -> SmsDeliver:
    place = Concatenation(9, wide=False, total=total, sequence=sequence)
    return received(UserData(encoding, content, (place.element(),), truncated))


@LAW
@given(st.one_of(gsm_text(), any_text(), national_text()), st.randoms(use_true_random=False))
def test_segments_in_any_order_and_with_repetitions_are_the_text(text: str, random: object) -> None:
    parts = [received(part) for part in segment(text, reference=7).parts]
    parts += parts[: len(parts) // 2]
    random.shuffle(parts)  # type: ignore[attr-defined] # hypothesis gives a Random
    whole = assemble(parts)
    assert (whole.text, whole.data, whole.missing, whole.complete) == (text, None, (), True)


@LAW
@given(st.binary(max_size=1000))
def test_octets_come_back(content: bytes) -> None:
    whole = assemble([received(part) for part in segment(content, reference=7).parts])
    assert (whole.text, whole.data, whole.encoding) == (None, content, Encoding.DATA)


@LAW
@given(gsm_text(1500), st.sets(st.integers(0, 9)))
def test_what_is_missing_is_named_and_the_rest_is_there(text: str, lost: set[int]) -> None:
    parts = segment(text, reference=7).parts
    kept = [part for place, part in enumerate(parts) if place not in lost]
    if not kept:
        return
    whole = assemble([received(part) for part in kept])
    assert whole.text == "".join(part.text or "" for part in kept)
    if len(parts) > 1:
        assert whole.missing == tuple(place + 1 for place in sorted(lost) if place < len(parts))
        assert whole.total == len(parts)


def test_a_surrogate_pair_cut_in_two_is_whole_again() -> None:
    octets = "a😀b".encode("utf-16-be")
    parts = [piece(2, 2, Encoding.UCS2, octets[4:]), piece(1, 2, Encoding.UCS2, octets[:4])]
    assert assemble(parts).text == "a😀b"


def test_half_a_surrogate_pair_is_seen() -> None:
    octets = "a😀b".encode("utf-16-be")
    whole = assemble([piece(1, 3, Encoding.UCS2, octets[:4]), piece(3, 3, Encoding.UCS2, octets[4:])])
    assert (whole.text, whole.missing) == ("a\ufffd\ufffdb", (2,))


def test_a_unit_cut_in_two_is_whole_again() -> None:
    octets = "привет".encode("utf-16-be")
    parts = [
        piece(1, 3, Encoding.UCS2, octets[:5]),
        piece(2, 3, Encoding.UCS2, octets[5:8]),
        piece(3, 3, Encoding.UCS2, octets[8:]),
    ]
    assert assemble(parts).text == "привет"


def test_a_lost_octet_does_not_shift_what_follows() -> None:
    parts = [piece(1, 2, Encoding.UCS2, b"\0A\0"), piece(2, 2, Encoding.UCS2, b"\0B")]
    assert assemble(parts).text == "A\ufffdB"


def test_an_escape_pair_cut_in_two_is_whole_again() -> None:
    parts = [piece(1, 2, Encoding.GSM7, b"a\x1b"), piece(2, 2, Encoding.GSM7, b"eb")]
    assert assemble(parts).text == "a€b"


def test_codings_may_change_between_segments() -> None:
    parts = [
        piece(1, 4, Encoding.GSM7, b"plain "),
        piece(2, 4, Encoding.UCS2, "ж".encode("utf-16-be")),
        piece(3, 4, Encoding.DATA, b"\x01"),
        piece(4, 4, Encoding.GSM7, b"end"),
    ]
    whole = assemble(parts)
    assert (whole.text, whole.data, whole.encoding) == ("plain ж\ufffdend", None, Encoding.GSM7)


def test_of_two_segments_with_one_number_the_whole_one_counts() -> None:
    broken = piece(1, 2, Encoding.GSM7, b"he", truncated=True)
    whole = piece(1, 2, Encoding.GSM7, b"hello ")
    assert assemble([broken, whole, piece(2, 2, Encoding.GSM7, b"you")]).text == "hello you"


def test_senders_totals_and_widths_never_mix() -> None:
    def key(sender: str, reference: int, total: int, *, wide: bool) -> object:
        place = Concatenation(reference, wide=wide, total=total, sequence=1)
        return concatenation_key(received(UserData(Encoding.GSM7, b"a", (place.element(),)), Address.parse(sender)))

    keys = {
        key("+1", 1, 2, wide=False),
        key("+2", 1, 2, wide=False),
        key("1", 1, 2, wide=False),
        key("+1", 2, 2, wide=False),
        key("+1", 1, 3, wide=False),
        key("+1", 1, 2, wide=True),
    }
    assert len(keys) == 6
    assert concatenation_key(received(UserData(Encoding.GSM7, b"a"))) is None


def test_segments_of_different_messages_are_refused() -> None:
    with pytest.raises(ValueError, match="2 messages"):
        assemble([piece(1, 2, Encoding.GSM7, b"a"), piece(2, 3, Encoding.GSM7, b"b")])
    with pytest.raises(ValueError, match="0 messages"):
        assemble([])


def test_255_segments_of_which_one_came() -> None:
    whole = assemble([piece(255, 255, Encoding.GSM7, b"the end")])
    assert (whole.text, len(whole.missing)) == ("the end", 254)
