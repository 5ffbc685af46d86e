"""23.040 §9.2.2: known TPDUs, the hostile ones by name, every TP-DCS, every TP-UDL, every place to stop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import SmsDecodeError, SmsEncodeError
from appliance.sms import (
    Address,
    Concatenation,
    DataCodingScheme,
    Encoding,
    InformationElement,
    MessageWaiting,
    ReportOutcome,
    SmsDeliver,
    SmsStatusReport,
    SmsSubmit,
    UserData,
    WaitingKind,
    decode_incoming,
    segment,
    with_reject_duplicates,
)
from tests.sms import laws
from tests.sms.hostile import HOSTILE

LAW = settings.get_profile("sms")
STAMP = "42209232958500"
SENT = datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC)


def deliver(rest: str, *, first: str = "04", scheme: str = "00", pid: str = "00") -> SmsDeliver:
    """A DELIVER from 12345 with this TP-UDL and TP-UD."""
    message = decode_incoming(bytes.fromhex(f"{first}05812143F5{pid}{scheme}{STAMP}{rest}"))
    assert isinstance(message, SmsDeliver)
    return message


def report(rest: str = "", *, status: str = "00") -> SmsStatusReport:
    """A STATUS-REPORT on TP-MR 7 to 12345 with this behind TP-ST."""
    message = decode_incoming(bytes.fromhex(f"060705812143F5{STAMP}{STAMP}{status}{rest}"))
    assert isinstance(message, SmsStatusReport)
    return message


class TestDeliver:
    def test_a_well_known_one(self) -> None:
        message = decode_incoming(bytes.fromhex("040BC87238880900F10000993092516195800AE8329BFD4697D9EC37"))
        assert isinstance(message, SmsDeliver)
        assert str(message.originator) == "27838890001"
        assert message.text == "hellohello"
        assert message.encoding is Encoding.GSM7
        assert message.service_centre_timestamp is not None
        assert message.service_centre_timestamp.isoformat() == "1999-03-29T15:16:59+02:00"
        assert not message.more_messages_to_send
        assert message.concatenation is None
        assert not message.truncated

    def test_flags(self) -> None:
        message = deliver("00", first="A8")
        assert message.more_messages_to_send
        assert message.loop_prevention
        assert message.status_report_indication
        assert message.reply_path

    def test_tp_mti_three_is_taken_for_a_deliver(self) -> None:
        assert deliver("0141", first="07").text == "A"

    def test_a_name_as_originator(self) -> None:
        message = decode_incoming(bytes.fromhex(f"040ED0D637396C7EBBCB0000{STAMP}0141"))
        assert isinstance(message, SmsDeliver)
        assert str(message.originator) == "Vodafone"
        assert message.originator.is_alphanumeric

    def test_ucs2(self) -> None:
        assert deliver("06041F04400438", scheme="08").text == "При"

    def test_data(self) -> None:
        message = deliver("03DEAD00", scheme="04")
        assert (message.text, message.data) == (None, b"\xde\xad\x00")

    def test_flash(self) -> None:
        assert deliver("0141", scheme="10").message_class == 0
        assert deliver("0141", scheme="F0").message_class == 0
        assert deliver("0141").message_class is None

    @pytest.mark.parametrize("pid", range(256))
    def test_protocol_identifiers(self, pid: int) -> None:
        message = deliver("0141", pid=f"{pid:02X}")
        assert message.replace_type == (pid - 0x40 if 0x41 <= pid <= 0x47 else None)
        assert message.is_silent == (pid == 0x40)

    def test_a_bad_date_is_kept_as_octets(self) -> None:
        message = decode_incoming(bytes.fromhex("0405812143F50000FFFFFFFFFFFFFF0141"))
        assert isinstance(message, SmsDeliver)
        assert message.service_centre_timestamp is None
        assert message.service_centre_timestamp_octets == b"\xff" * 7
        assert message.text == "A"

    def test_concatenation_with_an_8_bit_reference(self) -> None:
        message = deliver("08050003CC020182", first="44")
        assert message.concatenation == Concatenation(0xCC, wide=False, total=2, sequence=1)
        assert message.text == "A"  # one fill bit lies before it

    def test_concatenation_with_a_16_bit_reference(self) -> None:
        message = deliver("09060804ABCD030241", first="44")
        assert message.concatenation == Concatenation(0xABCD, wide=True, total=3, sequence=2)
        assert message.text == "A"  # no fill bits: seven octets are eight septets

    def test_of_two_concatenations_the_last_counts(self) -> None:
        message = deliver("0E0B0003CC02010804ABCD03024142", first="44", scheme="04")
        assert message.concatenation == Concatenation(0xABCD, wide=True, total=3, sequence=2)

    def test_an_unknown_element_is_passed_over(self) -> None:
        message = deliver("0B097102AABB0003CC020141", first="44", scheme="04")
        assert message.concatenation == Concatenation(0xCC, wide=False, total=2, sequence=1)
        assert message.data == b"\x41"

    def test_ports(self) -> None:
        assert deliver("080605040B8423F041", first="44", scheme="04").ports == (0x0B84, 0x23F0)
        assert deliver("060404020BF041", first="44", scheme="04").ports == (0x0B, 0xF0)
        assert deliver("0141").ports is None

    def test_national_language(self) -> None:
        assert deliver("0A062401012501011C", first="44").text == "Ş"

    def test_message_waiting_from_the_header_before_that_of_the_scheme(self) -> None:
        message = deliver("050401028003", first="44", scheme="C8")
        assert message.message_waiting == MessageWaiting(WaitingKind.VOICE, active=True, count=3, store=True)
        assert deliver("00", scheme="C9").message_waiting == MessageWaiting(
            WaitingKind.FAX, active=True, count=None, store=False
        )
        assert deliver("00").message_waiting is None

    @pytest.mark.parametrize("scheme", range(256))
    def test_every_coding_scheme(self, scheme: int) -> None:
        message = deliver("0400410042", scheme=f"{scheme:02X}")
        match message.encoding:
            case Encoding.GSM7:
                assert (message.text, message.data) == ("@$£Δ", None)
            case Encoding.UCS2:
                assert (message.text, message.data) == ("AB", None)
            case _:
                assert (message.text, message.data) == (None, b"\0A\0B")

    @pytest.mark.parametrize("length", range(256))
    @pytest.mark.parametrize("scheme", ["00", "04", "08"])
    def test_every_length_is_read_as_far_as_it_goes(self, length: int, scheme: str) -> None:
        body = bytes(range(65, 75))
        message = deliver(f"{length:02X}{body.hex()}", scheme=scheme)
        wanted = -(-length * 7 // 8) if scheme == "00" else length
        assert message.truncated == (wanted > len(body))
        if message.data is not None:
            assert message.data == body[:length]
        elif scheme == "08":
            assert message.text == (
                body[: length & ~1].decode("utf-16-be") + "\ufffd" * (length % 2 if length < 10 else 0)
            )
        else:
            assert len(message.text or "") == min(length, 11)

    def test_no_user_data_length_at_all(self) -> None:
        message = deliver("")
        assert (message.text, message.truncated) == ("", True)


class TestStatusReport:
    def test_a_plain_one(self) -> None:
        message = report()
        assert message.message_reference == 7
        assert str(message.recipient) == "12345"
        assert message.service_centre_timestamp == message.discharge_time == SENT
        assert message.outcome is ReportOutcome.DELIVERED
        assert message.text == "received by the recipient"
        assert not message.truncated

    def test_optional_parts(self) -> None:
        message = report("0700080400410042")
        assert message.protocol_identifier == 0
        assert message.data_coding_scheme == DataCodingScheme(8)
        assert message.user_data == UserData(Encoding.UCS2, b"\0A\0B")

    def test_user_data_without_a_scheme_is_7_bit(self) -> None:
        assert report("040141").user_data == UserData(Encoding.GSM7, b"A")

    @pytest.mark.parametrize("indicator", range(256))
    def test_every_parameter_indicator_with_and_without_what_it_announces(self, indicator: int) -> None:
        assert report(f"{indicator:02X}").status == 0
        message = report(f"{indicator:02X}" + "00" * (indicator >> 7) + "4004024142")
        assert message.status == 0
        if indicator & 7 == 7:
            assert message.protocol_identifier == 0x40
            assert message.user_data == UserData(Encoding.DATA, b"AB")

    def test_what_is_announced_and_missing_is_told(self) -> None:
        assert report("07").truncated
        assert report("070004FF41").truncated
        assert not report("00").truncated

    @pytest.mark.parametrize("field", ["TP-MTI", "TP-MR", "TP-RA", "TP-SCTS", "TP-DT", "TP-ST"])
    def test_what_must_be_there_is_named(self, field: str) -> None:
        places = {"TP-MTI": 0, "TP-MR": 1, "TP-RA": 4, "TP-SCTS": 9, "TP-DT": 20, "TP-ST": 21}
        octets = bytes.fromhex(f"060705812143F5{STAMP}{STAMP}00")[: places[field]]
        with pytest.raises(SmsDecodeError) as caught:
            decode_incoming(octets)
        assert caught.value.field == field
        assert caught.value.offset == len(octets)


class TestSubmit:
    def test_a_well_known_one(self) -> None:
        octets = bytes.fromhex("11000B916407281553F80000AA0AE8329BFD4697D9EC37")
        message = SmsSubmit(
            Address.parse("+46708251358"), segment("hellohello", reference=0).parts[0], validity=timedelta(days=4)
        )
        assert message.encode() == octets
        assert SmsSubmit.decode(octets) == message

    def test_flash_in_ucs2_with_a_report(self) -> None:
        message = SmsSubmit(
            Address.parse("12345"),
            segment("При", reference=0).parts[0],
            message_class=0,
            status_report_request=True,
            message_reference=9,
        )
        assert message.encode() == bytes.fromhex("210905812143F5001806041F04400438")

    def test_a_segment(self) -> None:
        part = segment("A" * 161, reference=0xCC).parts[1]
        octets = SmsSubmit(Address.parse("12345"), part).encode()
        assert octets == bytes.fromhex("410005812143F500000F050003CC020282C16030180C0601")

    def test_an_absolute_validity(self) -> None:
        message = SmsSubmit(Address.parse("12345"), segment("A", reference=0).parts[0], validity=SENT)
        assert message.encode() == bytes.fromhex("190005812143F50000422092329585000141")
        assert SmsSubmit.decode(message.encode()) == message

    @pytest.mark.parametrize(
        ("octets", "validity"),
        [
            ("01A70000000000", timedelta(days=1)),
            ("023C0000000000", timedelta(seconds=60)),
            ("03103254000000", timedelta(hours=1, minutes=23, seconds=45)),
            ("00000000000000", None),
        ],
    )
    def test_an_enhanced_validity(self, octets: str, validity: timedelta | None) -> None:
        assert SmsSubmit.decode(bytes.fromhex(f"090005812143F50000{octets}0141")).validity == validity

    def test_reject_duplicates_changes_one_bit(self) -> None:
        message = SmsSubmit(Address.parse("12345"), segment("A", reference=0).parts[0])
        assert with_reject_duplicates(message.encode()) == (
            SmsSubmit(message.destination, message.user_data, reject_duplicates=True).encode()
        )

    @pytest.mark.parametrize("octets", ["", "04", "02", "03"])
    def test_only_a_submit_can_reject_duplicates(self, octets: str) -> None:
        with pytest.raises(SmsDecodeError, match="TP-MTI"):
            with_reject_duplicates(bytes.fromhex(octets))

    def test_options_out_of_range_are_refused(self) -> None:
        part = segment("A", reference=0).parts[0]
        for wrong in (
            SmsSubmit(Address.parse("1"), part, message_class=4),
            SmsSubmit(Address.parse("1"), part, message_reference=256),
            SmsSubmit(Address.parse("1"), part, protocol_identifier=-1),
            SmsSubmit(Address.parse("1"), UserData(Encoding.DATA, bytes(141))),
            SmsSubmit(Address.parse("1"), UserData(Encoding.GSM7, bytes(161))),
            SmsSubmit(Address.parse("1"), UserData(Encoding.GSM7, bytes(160), (InformationElement(1, b""),))),
        ):
            with pytest.raises(SmsEncodeError):
                wrong.encode()


class TestAnything:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_hostile(self, name: str) -> None:
        octets = bytes.fromhex(HOSTILE[name])
        laws.incoming(octets)
        laws.outgoing(octets)

    @pytest.mark.parametrize(
        ("name", "field"),
        [
            ("ModemManager 3d9497ff: header announced, no user data", "TP-MTI"),
            ("ModemManager 60ef408c: originator past the end", "TP-OA"),
            ("ModemManager bc2aeeb7: recipient past the end", "TP-RA"),
            ("oFono CVE-2023-4233: an address of 255 digits", "TP-OA"),
            ("Osmocom: user data shorter than its header", "TP-UDHL"),
            ("a header of 255 octets", "TP-UDHL"),
        ],
    )
    def test_the_hostile_ones_that_are_no_message_say_where(self, name: str, field: str) -> None:
        with pytest.raises(SmsDecodeError) as caught:
            decode_incoming(bytes.fromhex(HOSTILE[name]))
        assert caught.value.field == field

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("oFono CVE-2023-2794: TP-UDL beyond the end, 7-bit", "A"),
            ("chan_dongle e700abc: empty UCS-2", ""),
            ("CVE-2013-7100: odd UCS-2", "A\ufffd"),
            ("lone high surrogate", "\ufffdA"),
            ("lone low surrogate", "A\ufffd"),
        ],
    )
    def test_the_hostile_ones_that_say_something_are_told(self, name: str, text: str) -> None:
        message = decode_incoming(bytes.fromhex(HOSTILE[name]))
        assert isinstance(message, SmsDeliver)
        assert message.text == text

    @pytest.mark.parametrize("name", [name for name in HOSTILE if name.startswith(("concatenation", "an element"))])
    def test_a_senseless_concatenation_is_as_if_absent(self, name: str) -> None:
        message = decode_incoming(bytes.fromhex(HOSTILE[name]))
        assert isinstance(message, SmsDeliver)
        assert message.concatenation is None
        assert message.data == b"A"

    def test_a_name_is_one_line(self) -> None:
        message = decode_incoming(bytes.fromhex(HOSTILE["name with carriage return, line feed and form feed"]))
        assert isinstance(message, SmsDeliver)
        assert str(message.originator) == "A   B"

    @pytest.mark.parametrize("name", [name for name in HOSTILE if name.startswith("gnokii")])
    def test_reserved_parameter_bits_do_not_cost_the_report(self, name: str) -> None:
        message = decode_incoming(bytes.fromhex(HOSTILE[name]))
        assert isinstance(message, SmsStatusReport)
        assert message.outcome is ReportOutcome.DELIVERED

    def test_every_place_to_stop(self) -> None:
        for whole in (
            f"440C914477000910320008{STAMP}0C0B000304030224010125010141424344",
            f"440C914477000910320000{STAMP}140B000304030224010125010141424344454647",
            f"060705812143F5{STAMP}{STAMP}000700040441424344",
            "51070581214305000804AA08050003AA02010041",
        ):
            octets = bytes.fromhex(whole)
            for end in range(len(octets) + 1):
                laws.incoming(octets[:end])
                laws.outgoing(octets[:end])

    @LAW
    @given(st.binary(max_size=200))
    def test_noise(self, octets: bytes) -> None:
        laws.incoming(octets)
        laws.outgoing(octets)

    @LAW
    @given(st.binary(max_size=160), st.integers(0, 255), st.sampled_from(["04", "44", "07"]), st.integers(0, 255))
    def test_any_user_data_behind_a_sound_beginning(self, body: bytes, scheme: int, first: str, length: int) -> None:
        laws.incoming(bytes.fromhex(f"{first}05812143F500{scheme:02X}{STAMP}{length:02X}") + body)

    @LAW
    @given(st.binary(max_size=160), st.sampled_from(["06", "46"]))
    def test_anything_behind_a_status(self, rest: bytes, first: str) -> None:
        octets = bytes.fromhex(f"{first}0705812143F5{STAMP}{STAMP}00") + rest
        assert laws.incoming(octets) is not None
