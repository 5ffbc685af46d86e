"""The service centre reads an SMS-SUBMIT strictly: one law for each thing that it refuses, with field and offset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.emulator import tpdu
from hil.emulator.network import build_deliver

DA = "0c91447700091032"
PLAIN = "05e8329bfd06"


def submit(
    first: str = "11",
    *,
    mr: str = "2a",
    da: str = DA,
    pid: str = "00",
    dcs: str = "00",
    vp: str = "aa",
    ud: str = PLAIN,
) -> bytes:
    return bytes.fromhex(first + mr + da + pid + dcs + vp + ud)


def test_a_right_submit_is_understood_to_the_last_bit() -> None:
    read = tpdu.read_submit(submit("35"))
    assert (read.rd, read.srr, read.rp, read.udhi, read.vpf) == (True, True, False, False, 2)
    assert (read.mr, read.da.number, read.da.toa, read.pid, read.dcs) == (42, "+447700900123", 0x91, 0, 0)
    assert read.vp == {"format": "relative", "value": 0xAA, "seconds": 4 * 86400}
    assert read.ud.text == "hello"


WITH_HEADER = "0a050003420201906536"
"""TP-UDL 10, UDHL 5, concatenation 42 2/1, one fill bit, "Hel"."""


@pytest.mark.parametrize(
    ("octets", "field", "offset"),
    [
        (submit("10"), "tp-mti", 0),
        (submit("12"), "tp-mti", 0),
        (submit("13"), "tp-mti", 0),
        (b"\x11", "tp-mr", 1),
        (submit(da="0091"), "tp-da", 2),
        (submit(da="1591" + "44" * 11), "tp-da", 2),
        (submit(da="0c11447700091032"), "tp-da", 3),
        (submit(da="0cf1447700091032"), "tp-da", 3),
        (submit(da="0c92447700091032"), "tp-da", 3),
        (submit(da="0cd0447700091032"), "tp-da", 3),
        (submit(da="0b91447700091032"), "tp-da", 9),
        (submit(da="0c914477000910f2"), "tp-da", 9),
        (submit(da="0c91447700f91032"), "tp-da", 7),
        (submit(da="0c91a47700091032"), "tp-da", 4),
        (submit(da="0c91407700091032"), "tp-da", 4),
        (submit(da="1091" + "4477000910324477"), "tp-da", 4),
        (submit(pid="80"), "tp-pid", 10),
        (submit(pid="01"), "tp-pid", 10),
        (submit(pid="50"), "tp-pid", 10),
        (submit(dcs="0c"), "tp-dcs", 11),
        (submit(dcs="01"), "tp-dcs", 11),
        (submit(dcs="20"), "tp-dcs", 11),
        (submit(dcs="80"), "tp-dcs", 11),
        (submit(dcs="b0"), "tp-dcs", 11),
        (submit(dcs="c4"), "tp-dcs", 11),
        (submit(dcs="f8"), "tp-dcs", 11),
        (submit("01"), "tp-udl", 12),
        (submit("11", vp=""), "tp-udl", 13),
        (submit("19", vp="621132120000"), "tp-udl", 19),
        (submit("19", vp="6a113212000000"), "tp-vp", 12),
        (submit("19", vp="62313212000000"), "tp-vp", 12),
        (submit("19", vp="62113212000075"), "tp-vp", 18),
        (submit("19", vp="621132120000a0"), "tp-vp", 18),
        (submit("09", vp="08000000000000"), "tp-vp", 12),
        (submit("09", vp="80000000000000"), "tp-vp", 12),
        (submit("09", vp="04000000000000"), "tp-vp", 12),
        (submit("09", vp="01aa0100000000"), "tp-vp", 14),
        (submit("09", vp="02000000000000"), "tp-vp", 13),
        (submit("09", vp="03100600000000"), "tp-vp", 13),
        (submit(ud="04e8329bfd06"), "tp-ud", 18),
        (submit(ud="06e8329bfd06"), "tp-ud", 19),
        (submit(ud="05e8329bfd"), "tp-ud", 18),
        (submit(ud="05e8329bfd86"), "tp-ud", 18),
        (submit(ud="05e8329bfd0e"), "tp-ud", 18),
        (submit(ud="0731d98c56b3dd1a"), "tp-ud", 20),
        (submit(ud="a1" + "00" * 141), "tp-udl", 13),
        (submit(dcs="04", ud="8d" + "00" * 141), "tp-udl", 13),
        (submit(dcs="04", ud="0301"), "tp-ud", 15),
        (submit(dcs="04", ud="01010203"), "tp-ud", 15),
        (submit(dcs="08", ud="03041000"), "tp-ud", 16),
        (submit(dcs="08", ud="04d83d0041"), "tp-ud", 14),
        (submit(dcs="08", ud="040041d83d"), "tp-ud", 16),
        (submit(dcs="08", ud="02dc00"), "tp-ud", 14),
        (submit(ud="02c10d"), "tp-ud", 14),
        (submit(ud="029b0d"), "tp-ud", 14),
        (submit("51", ud="00"), "udh", 14),
        (submit("51", dcs="04", ud="0100"), "udh", 14),
        (submit("51", dcs="04", ud="03050003"), "udh", 14),
        (submit("51", dcs="04", ud="020100"), "udh", 15),
        (submit("51", dcs="04", ud="06050004420201"), "udh", 16),
        (submit("51", dcs="04", ud="050400024202"), "udh", 16),
        (submit("51", dcs="04", ud="06050803420201"), "udh", 16),
        (submit("51", dcs="04", ud="06050003420000"), "udh", 18),
        (submit("51", dcs="04", ud="06050003420200"), "udh", 19),
        (submit("51", dcs="04", ud="06050003420203"), "udh", 19),
        (submit("51", dcs="04", ud="0b0a00034202010003420201"), "udh", 20),
        (submit("51", dcs="04", ud="0c0b0003420201080400420201"), "udh", 20),
        (submit("51", dcs="04", ud="0504050300ff"), "udh", 16),
        (submit("51", dcs="04", ud="0504040300ff"), "udh", 16),
        (submit("51", dcs="04", ud="04030201ff"), "udh", 15),
        (submit("51", dcs="04", ud="03022600"), "udh", 15),
        (submit("51", dcs="04", ud="0403240101"), "udh", 15),
        (submit("51", ud="050324010000"), "udh", 17),
        (submit("51", ud="050324010e00"), "udh", 17),
        (submit("51", ud="050325010200"), "udh", 17),
        (submit("51", ud="06042402010100"), "udh", 16),
        (submit("51", ud="0a050003420201916536"), "tp-ud", 20),
        (submit("51", ud="06050003420201"), "tp-udl", 13),
        (submit("51", ud="0905000342020190e5"), "tp-ud", 21),
    ],
)
def test_what_the_standard_does_not_allow_is_refused_at_its_octet(octets: bytes, field: str, offset: int) -> None:
    with pytest.raises(tpdu.Refusal) as caught:
        tpdu.read_submit(octets)
    assert (caught.value.field, caught.value.offset) == (field, offset), caught.value.detail
    assert caught.value.cause in (96, 97, 111, 144)


def test_half_a_character_is_told_apart_from_half_a_pair() -> None:
    with pytest.raises(tpdu.Refusal, match="half a UCS2 character"):
        tpdu.read_submit(submit(dcs="08", ud="03041000"))
    with pytest.raises(tpdu.Refusal, match="a surrogate without its other half"):
        tpdu.read_submit(submit(dcs="08", ud="040041d83d"))


def test_a_header_and_its_fill_bit_are_right_when_zero() -> None:
    read = tpdu.read_submit(submit("51", ud=WITH_HEADER))
    assert read.ud.text == "Hel"
    assert read.ud.concat == tpdu.Concat(0x42, 2, 1)
    assert read.ud.header.hex() == "050003420201"


def test_a_wide_reference_is_read_as_well() -> None:
    read = tpdu.read_submit(submit("51", dcs="04", ud="0706080412340201"))
    assert read.ud.concat == tpdu.Concat(0x1234, 2, 1, wide=True)


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (submit(ud="00"), ""),
        (submit(ud="0731d98c56b3dd00"), "1234567"),
        (submit(ud="0831d98c56b3dd70"), "12345678"),
        (submit("01", vp=""), "hello"),
        (submit("19", vp="62113212000000"), "hello"),
        (submit("09", vp="013c0000000000"), "hello"),
        (submit("09", vp="43100000000000"), "hello"),
        (submit(da="05812143f5"), "hello"),
        (submit(dcs="10"), "hello"),
        (submit(dcs="f1"), "hello"),
        (submit(dcs="08", ud="04d83dde00"), "\U0001f600"),
        (submit(dcs="18", ud="020416"), "Ж"),
    ],
)
def test_what_the_standard_allows_is_taken(octets: bytes, text: str) -> None:
    assert tpdu.read_submit(octets).ud.text == text


@pytest.mark.parametrize(
    ("pdu", "field", "offset"),
    [
        ("", "sca", 0),
        ("01", "sca", 0),
        ("0c9144770009500044770009", "sca", 0),
        ("0311447700", "sca", 1),
        ("0491447f00", "sca", 3),
        ("0791447700", "sca", 5),
    ],
)
def test_the_service_centre_address_is_read_strictly(pdu: str, field: str, offset: int) -> None:
    with pytest.raises(tpdu.Refusal) as caught:
        tpdu.read_sca(bytes.fromhex(pdu))
    assert (caught.value.field, caught.value.offset) == (field, offset)


def test_the_stored_service_centre_is_one_zero_octet() -> None:
    assert tpdu.read_sca(b"\x00\x11") == (None, 1)
    assert tpdu.read_sca(bytes.fromhex("039144f7")) == (tpdu.Address("447", 0x91), 4)
    assert tpdu.write_sca("") == b"\x00"
    assert tpdu.write_sca("+447700900500").hex() == "0791447700095000"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(0, 300), (11, 3600), (143, 12 * 3600), (144, 45000), (167, 86400), (168, 2 * 86400), (196, 30 * 86400),
     (197, 5 * 604800), (255, 63 * 604800)],
)  # fmt: skip
def test_relative_validity_has_four_scales(value: int, seconds: int) -> None:
    assert tpdu.relative_seconds(value) == seconds


@pytest.mark.parametrize("quarters", [0, 4, 22, 56, -4, -14, -48])
def test_a_time_stamp_keeps_its_quarters_of_an_hour(quarters: int) -> None:
    when = datetime(2026, 11, 23, 12, 34, 56, tzinfo=timezone(timedelta(minutes=15 * quarters)))
    octets = tpdu.write_timestamp(when)
    assert tpdu.read_timestamp(octets) == when
    assert tpdu.read_timestamp(octets).utcoffset() == when.utcoffset()


def test_a_time_stamp_west_of_greenwich_sets_bit_3_of_the_last_octet() -> None:
    west = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=-8)))
    assert tpdu.write_timestamp(west).hex() == "6210203040502b"


@pytest.mark.parametrize(
    ("number", "octets"),
    [
        ("+447700900123", "0c91447700091032"),
        ("+44770090012", "0b914477000910f2"),
        ("12345", "05812143f5"),
        ("*100#", "05811a00fb"),
        ("Alpha", "09d041361c1d06"),
    ],
)
def test_an_address_is_written_with_its_type(number: str, octets: str) -> None:
    assert tpdu.write_address(number).hex() == octets


def test_a_report_carries_reference_recipient_times_and_status() -> None:
    at = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
    octets = tpdu.write_report(7, tpdu.Address("447700900123", 0x91), at, at, 0x41)
    assert octets.hex() == "06070c91447700091032" + "62113221000000" * 2 + "41"


def deliver(**words: Any) -> list[bytes]:
    words = {"from": "+447700900999", "scts": "2026-11-23T12:00:00+01:00", **words}
    return build_deliver(words, lambda *, wide: 0x1234 if wide else 0x42)


def test_a_plain_deliver_is_what_a_service_centre_sends() -> None:
    assert [o.hex() for o in deliver(text="hello")] == ["040c9144770009909900006211322100004005e8329bfd06"]


def test_the_alphabet_is_chosen_by_the_text() -> None:
    assert [deliver(text=text)[0][10] for text in ("a€", "Ж")] == [0x00, 0x08]
    assert deliver(data="00ff")[0][10] == 0x04


@pytest.mark.parametrize(
    ("words", "lengths"),
    [
        ({"text": "a" * 160}, [160]),
        ({"text": "a" * 161}, [160, 15]),
        ({"text": "a" * 161, "concat": {"wide": True}}, [160, 17]),
        ({"text": "a" * 152 + "€"}, [154]),
        ({"text": "a" * 152 + "€" + "b" * 20}, [159, 29]),
        ({"text": "Ж" * 70}, [140]),
        ({"text": "Ж" * 71}, [140, 14]),
        ({"text": "Ж" * 66 + "\U0001f600" + "Ж" * 10}, [138, 30]),
        ({"data": "00" * 141}, [140, 13]),
        ({"text": "a" * 140, "port": 5000}, [148]),
        ({"text": "hello", "concat": {"ref": 7}}, [12]),
    ],
)
def test_a_long_text_is_cut_where_the_standard_allows(words: dict[str, Any], lengths: list[int]) -> None:
    assert [octets[18] for octets in deliver(**words)] == lengths


def test_parts_can_be_ordered_omitted_and_repeated() -> None:
    parts = deliver(text="a" * 400)
    assert len(parts) == 3
    assert deliver(text="a" * 400, order=[2, 1, 3], omit=[3], duplicate=[1]) == [parts[1], parts[0], parts[0]]


@pytest.mark.parametrize(
    ("words", "dcs"),
    [
        ({"class": 0}, 0x10),
        ({"class": 2, "text": "Ж"}, 0x1A),
        ({"mwi": {"type": "voice"}}, 0xD8),
        ({"mwi": {"type": "email", "active": False, "store": False}}, 0xC2),
        ({"mwi": {"type": "fax"}, "text": "Ж"}, 0xE9),
    ],
)
def test_class_and_message_waiting_are_in_the_coding_scheme(words: dict[str, Any], dcs: int) -> None:
    assert deliver(**{"text": "x", **words})[0][10] == dcs


@given(st.binary(max_size=180))
def test_no_octets_break_the_reader(octets: bytes) -> None:
    offsets = []
    try:
        tpdu.read_submit(octets)
    except tpdu.Refusal as refusal:
        offsets.append(refusal.offset)
    assert all(0 <= offset <= len(octets) for offset in offsets)
    tpdu.peek(octets)


@given(st.text(st.characters(codec="utf-8"), max_size=300), st.booleans())
def test_what_the_codec_writes_it_reads(text: str, wide: bool) -> None:
    parts = deliver(text=text, concat={"wide": wide})
    found = ""
    for n, octets in enumerate(parts, start=1):
        read = tpdu.read_user_data(
            octets[18], octets[19:], udhi=True, coding=tpdu.read_dcs(octets[10]), offset=19
        )  # fmt: skip
        assert read.concat is not None
        assert (read.concat.n, read.concat.total, read.concat.wide) == (n, len(parts), wide)
        found += read.text or ""
    assert found == text
