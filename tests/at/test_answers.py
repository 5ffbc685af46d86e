"""What lines say: the shapes that modems are known to write, and the meaning of every error number."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.at import answers
from appliance.at.answers import AnswerError, Operator, Result, Stored, Ussd, final, reason
from appliance.types import Registration, RetryClass

if TYPE_CHECKING:
    from collections.abc import Callable


def _zone(minutes: int) -> timezone:
    return timezone(timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("line", "kind", "number"),
    [
        ("OK", "OK", None),
        ("ERROR", "ERROR", None),
        ("error", "ERROR", None),
        ("COMMAND NOT SUPPORT", "COMMAND NOT SUPPORT", None),
        ("TOO MANY PARAMETERS", "TOO MANY PARAMETERS", None),
        ("NO CARRIER", "NO CARRIER", None),
        ("+CMS ERROR: 38", "CMS", 38),
        ("+CMS ERROR:38", "CMS", 38),
        ("+CME ERROR: 10", "CME", 10),
        ("+CMS ERROR: 0", "CMS", 0),
        ("+CMS ERROR:", "CMS", None),
        ("+CMS ERROR", "CMS", None),
        ("+CMS ERROR: Unknown error", "CMS", 500),
        ("+CMS ERROR: network timeout", "CMS", 332),
        ("+CME ERROR: SIM not inserted", "CME", 10),
        ("+CME ERROR: some new words", "CME", None),
        ("+CMS ERROR: 99999999999999999999", "CMS", 999999999),
    ],
)
def test_a_final_result_is_read(line: str, kind: str, number: int | None) -> None:
    result = final(line)
    assert result is not None
    assert (result.kind, result.number) == (kind, number)


@pytest.mark.parametrize(
    "line", ["", "OKAY", "OK.", '+CMTI: "SM",3', "+CMS", "+CMGS: 12", "+CREG: 1", "ERRORS", "RING"]
)
def test_other_lines_are_none(line: str) -> None:
    assert final(line) is None


IN_DOUBT_AFTER_THE_PDU = [
    *("ERROR", "+CMS ERROR:", "+CMS ERROR: some new words", "+CMS ERROR: 500", "+CMS ERROR: 332", "+CMS ERROR: 350"),
    *("+CMS ERROR: 255", "+CMS ERROR: 127", "+CMS ERROR: 107", "+CMS ERROR: 0", "+CMS ERROR: 513", "+CMS ERROR: 77"),
    *("+CMS ERROR: 240", "+CME ERROR: 100", "+CME ERROR: 31", "+CME ERROR: 999", "COMMAND NOT SUPPORT", "NO CARRIER"),
    *("+CMS ERROR: 340", "+CMS ERROR: Unknown error"),
]


def meaning(line: str, *, after_payload: bool, **more: Any) -> RetryClass:
    result = final(line)
    assert result is not None
    return reason(result, after_payload=after_payload, **more).retry


@pytest.mark.parametrize("line", IN_DOUBT_AFTER_THE_PDU)
def test_what_does_not_say_that_it_was_refused_is_in_doubt_after_the_pdu(line: str) -> None:
    assert meaning(line, after_payload=True) is RetryClass.IN_DOUBT


@pytest.mark.parametrize("line", [*IN_DOUBT_AFTER_THE_PDU, *(f"+CMS ERROR: {n}" for n in range(600))])
def test_before_the_pdu_nothing_is_in_doubt_and_nothing_accepted(line: str) -> None:
    assert meaning(line, after_payload=False) not in {RetryClass.IN_DOUBT, RetryClass.ACCEPTED}


@pytest.mark.parametrize(
    ("numbers", "retry"),
    [
        ([1, 8, 10, 21, 28, 29, 30, 50, 69, 95, 96, 97, 99, 144, 193, 195, 196, 304, 342], RetryClass.PERMANENT),
        ([41, 212, 301, 314], RetryClass.RETRY_NOW),
        ([17, 22, 27, 38, 42, 47, 81, 98, 111, 192, 194, 331, 341], RetryClass.RETRY_LATER),
        ([208, 209, 210, 211, 300, 302, 310, 311, 313, 316, 320, 321, 322, 330, 198, 199], RetryClass.MODEM),
        ([197], RetryClass.ACCEPTED),
    ],
)
def test_a_numbered_cause_is_definite_after_the_pdu_too(numbers: list[int], retry: RetryClass) -> None:
    for number in numbers:
        assert meaning(f"+CMS ERROR: {number}", after_payload=True) is retry, number


def test_a_reason_has_a_stable_code_and_words() -> None:
    told = reason(Result("+CMS ERROR: 38", "CMS", 38), after_payload=True)
    assert (told.code, told.text) == ("cms_38", "network out of order")
    assert reason(Result("ERROR", "ERROR"), after_payload=True).code == "error"
    assert reason(Result("+CMS ERROR:", "CMS"), after_payload=True).code == "cms_unknown"
    assert (
        reason(Result("COMMAND NOT SUPPORT", "COMMAND NOT SUPPORT"), after_payload=False).code == "command_not_support"
    )


def test_numbers_of_the_manufacturer_mean_only_what_the_profile_says() -> None:
    vendor = answers.vendor_codes({"513": ("retry_later", "acknowledgement timed out")})
    assert meaning("+CMS ERROR: 513", after_payload=True, vendor=vendor) is RetryClass.RETRY_LATER
    assert meaning("+CMS ERROR: 513", after_payload=True) is RetryClass.IN_DOUBT
    assert meaning("+CME ERROR: 513", after_payload=True, vendor=vendor) is RetryClass.IN_DOUBT
    with pytest.raises(ValueError, match="never"):
        answers.vendor_codes({"513": ("never", "x")})


@pytest.mark.parametrize(
    ("line", "groups"),
    [
        ('+CPMS: ("SM","ME","SR"),("SM","ME"),("SM")', (("SM", "ME", "SR"), ("SM", "ME"), ("SM",))),
        ('+CPMS: ( "SM" , "ME" ), ( "SM" ), ( "SM" )', (("SM", "ME"), ("SM",), ("SM",))),
        ('+CPMS: (("SM","BM","SR"),("SM"))', (("SM", "BM", "SR"), ("SM",))),
        ('+CPMS: "SM","SM","SM"', (("SM",), ("SM",), ("SM",))),
        ("+CPMS: (),(),()", ((), (), ())),
        ("+CPMS: ", ()),
        ('+CPMS: (ME", "SR"),("ME")', (("ME", "SR"), ("ME",))),
        ('+CPMS: ("ME_P","SM_P","XX"),("ME_P"),("ME_P")', (("ME_P", "SM_P"), ("ME_P",), ("ME_P",))),
        ('+CPMS: ("SM","ME"', (("SM", "ME"),)),
    ],
)
def test_the_storages_there_are(line: str, groups: tuple[tuple[str, ...], ...]) -> None:
    assert answers.cpms_stores(line) == groups


@pytest.mark.parametrize(
    ("line", "gauges"),
    [
        ("+CPMS: 3,50,3,50,3,50", ((None, 3, 50), (None, 3, 50), (None, 3, 50))),
        ('+CPMS: "SM",3,50,"ME",0,255,"SM",3,50', (("SM", 3, 50), ("ME", 0, 255), ("SM", 3, 50))),
        ("+CPMS: 14,50,14,50", ((None, 14, 50), (None, 14, 50))),
        ("+CPMS:0,20", ((None, 0, 20),)),
        ('+CPMS: "XX",1,2', ((None, 1, 2),)),
    ],
)
def test_how_full_the_storages_are(line: str, gauges: tuple[tuple[str | None, int, int], ...]) -> None:
    assert answers.cpms_gauge(line) == gauges


@pytest.mark.parametrize(
    ("header", "index", "stat", "length", "text_mode"),
    [
        ("+CMGL: 0,1,,147", 0, 1, 147, False),
        ("+CMGL: 0,1,160", 0, 1, 160, False),
        ('+CMGL: 7,0,"Bob, the builder",24', 7, 0, 24, False),
        ("+CMGR: 1,,78", None, 1, 78, False),
        ("+CMGR: 0,24", None, 0, 24, False),
        ("+CMGR: ,,26", None, None, 26, False),
        ("+CMGR: 2,2,,174", None, 2, 174, False),
        ('+CMGR: "REC UNREAD","+447700900123",,"26/11/23,12:00:00+00"', None, None, None, True),
        ('+CMGL: 3,"REC READ","+447700900123",,"26/11/23,12:00:00+00"', 3, None, None, True),
        ("+CMGL:", None, None, None, False),
        ("+CMGL: x,y,z", None, None, None, False),
    ],
)
def test_a_stored_message(
    header: str, index: int | None, stat: int | None, length: int | None, text_mode: bool
) -> None:
    assert answers.stored([header, "0011"]) == (Stored(index, stat, length, "0011", text_mode=text_mode),)
    assert answers.stored([header]) == (Stored(index, stat, length, "", text_mode=text_mode),)


def test_a_header_without_its_line_does_not_take_the_next_header() -> None:
    assert answers.stored(["+CMGL: 0,1,,0", "+CMGL: 1,1,,2", "AABB", "+CMGL: 2,1,,0"]) == (
        Stored(0, 1, 0, ""),
        Stored(1, 1, 2, "AABB"),
        Stored(2, 1, 0, ""),
    )


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('+CMTI: "SM",3', ("SM", 3)),
        ('+CMTI:"ME",0', ("ME", 0)),
        ('+CDSI: "SR",52', ("SR", 52)),
        ('+CMTI: "SM",-1', ("SM", None)),
        ('+CMTI: "XX",3', (None, 3)),
        ('+CMTI: "SM"', ("SM", None)),
        ('+CMTI: "SM\r";+CMGD=1,4,"",3', (None, 4)),
    ],
)
def test_an_indication(line: str, place: tuple[str | None, int | None]) -> None:
    assert answers.indication(line) == place


def test_a_storages_name_is_our_own_constant() -> None:
    store, _ = answers.indication('+CMTI: "sm",3')
    assert any(store is constant for constant in answers.STORES)


@pytest.mark.parametrize(
    ("line", "stat"),
    [
        ("+CREG: 0,1", 1),
        ("+CREG: 1", 1),
        ("+CREG: 2,1,8BE3,2BAF", 1),
        ('+CREG: 2,1,"0B,"0100701",7', 1),
        ('+CREG: 2,1,"5E25', 1),
        ('+CREG: 2,1,"","605F"', 1),
        ("+CREG: 2,1,  0 5, 2715", 1),
        ('+CREG:002,001,"18d8","ffff"', 1),
        ("+CREG: 2,0,00,0", 0),
        ('+CGREG: 1,"1422","00000142",3,"00"', 1),
        ('+CGREG: 0,5,"1422","00000142",3,"00"', 5),
        ("+CREG: 5", 5),
        ('+CREG: 2,5,"54DB","0F6B0578"', 5),
        ('+CREG: 5,"0BF6","0F6B0578",7', 5),
        ("+CREG: 1,8BE3,2BAF", 1),
        ("+CEREG: 0,11", 11),
        ("+CEREG: 0,6", 6),
        ('+CEREG: 2,10,"54DB","0F6B0578",7', 10),
        ("+CREG: 0,4", 4),
        ("+CREG: 0,12", 4),
        ("+CREG: 0,98", 4),
    ],
)
def test_a_registration(line: str, stat: int) -> None:
    assert answers.registration(line) is Registration(stat)


@pytest.mark.parametrize("line", ["+CREG: 2,,", "+CREG:", "+CREG: x", "+COPS: 0", "", "+CREG: ٣"])
def test_no_registration(line: str) -> None:
    with pytest.raises(AnswerError):
        answers.registration(line)


@pytest.mark.parametrize(
    ("line", "dbm"),
    [
        ("+CSQ: 0,99", -113),
        ("+CSQ: 20,99", -73),
        ("+CSQ: 31,0", -51),
        ("+CSQ: 99,99", None),
        ("+CSQ:15", -83),
        ("+CSQ: 100,99", -116),
        ("+CSQ: 191,99", -25),
        ("+CSQ: 199,99", None),
        ("+CSQ: 32,0", None),
        ("+CESQ: 99,99,255,255,20,56", -85),
        ("+CESQ: 99,99,40,30,255,255", -81),
        ("+CESQ: 40,0,255,255,255,255", -71),
        ("+CESQ: 99,99,255,255,255,255", None),
    ],
)
def test_a_signal(line: str, dbm: int | None) -> None:
    assert answers.signal_dbm(line) == dbm


@pytest.mark.parametrize(
    ("line", "name", "technology"),
    [
        ('+COPS: 0,0,"Vodafone UK",7', "Vodafone UK", "LTE"),
        ('+COPS: 0,2,"23415",2', "23415", "UMTS"),
        ('+COPS: 1,0,"a, b"', "a, b", None),
        ("+COPS: 0", None, None),
        ('+COPS: 0,0,"",99', None, None),
        ('+COPS: 0,0,"bell\x07\x1b[31m",0', "bell[31m", "GSM"),
    ],
)
def test_an_operator(line: str, name: str | None, technology: str | None) -> None:
    assert Operator.read(line) == Operator(name, technology)


@pytest.mark.parametrize(
    ("read", "line", "value"),
    [
        (answers.cnmi, "+CNMI: 2,1,0,1,0", (2, 1, 0, 1, 0)),
        (answers.cnmi, "+CNMI: 2,1", (2, 1)),
        (answers.cnmi, "+CNMI: 2,,0", (2, 0, 0)),
        (answers.csms_service, "+CSMS: 0,1,1,1", 0),
        (answers.csms_service, "+CSMS: 1,1,1,1", 1),
        (answers.cpin, "+CPIN: READY", "READY"),
        (answers.cpin, "+CPIN:SIM PIN", "SIM PIN"),
        (answers.cpin, '+CPIN: "SIM PUK"', "SIM PUK"),
        (answers.reference, "+CMGS: 12", 12),
        (answers.reference, '+CMGS: 255,"26/11/23"', 255),
        (answers.imei, "356938035643809", "356938035643809"),
        (answers.imei, '"356938035643809"', "356938035643809"),
        (answers.imei, '+CGSN: "356938035643809"', "356938035643809"),
        (answers.imei, "IMEI: 356938035643809", "356938035643809"),
        (answers.imsi, "234100000000001", "234100000000001"),
        (answers.imsi, "+CIMI: 23410000000001", "23410000000001"),
        (answers.iccid, "+CCID: 8944100000000000018", "8944100000000000018"),
        (answers.iccid, '+CCID: "8944100000000000018F"', "8944100000000000018"),
        (answers.iccid, "+ICCID: 89441000000000000186", "89441000000000000186"),
        (answers.iccid, "^ICCID: 8944100000000000018", "8944100000000000018"),
        (answers.iccid, "8944100000000000018", "8944100000000000018"),
        (answers.iccid_of_file, '+CRSM: 144,0,"984401000000000000 18"', None),
        (answers.iccid_of_file, '+CRSM: 144,0,"984401000000000010F8"', "8944100000000000018"),
        (answers.iccid_of_file, '+CRSM: 106,130,""', None),
        (answers.direct_length, "+CMT: ,27", 27),
        (answers.direct_length, '+CMT: "Bob",27', 27),
        (answers.direct_length, "+CDS: 27", 27),
        (answers.direct_length, "+CDS: ,27", 27),
        (answers.direct_length, "+CDS:", None),
        (answers.caller, '+CLIP: "+447700900123",145,"",,"",0', "+447700900123"),
        (answers.caller, '+CLIP: "",128', None),
        (answers.reference, "+CMGS: 256", None),
        (answers.reference, "+CMGS:", None),
        (answers.imei, "35693803564380", None),
        (answers.imei, "3569380356438090", None),
        (answers.imsi, "OK", None),
        (answers.iccid, "894410000000000001", "894410000000000001"),
        (answers.iccid, "89441000000000000", None),
        (answers.iccid, '!ICCID: "8944100000000000018"', "8944100000000000018"),
        (answers.iccid, "#CCID: 89441000000000000186", "89441000000000000186"),
        (answers.iccid, "+ZGETICCID: 89441000000000000186", "89441000000000000186"),
        (answers.iccid, '^ICCID: "98440100000000000081"', "89441000000000000018"),
        (answers.iccid, '^ICCID: "984401000000000010F8"', "8944100000000000018"),
        (answers.iccid, '^ICCID: "98440100000000000018F8"', None),
        (answers.iccid, "894410000000000001F8", None),
        (answers.ussd, '+CUSD: 0,"Balance: 5.00",15', Ussd(0, "Balance: 5.00", 15)),
        (answers.ussd, '+CUSD: 1,"1> top up\n2> "gifts", and more",72', Ussd(1, '1> top up\n2> "gifts", and more', 72)),
        (answers.ussd, '+CUSD: 0,"C2303B4C",', Ussd(0, "C2303B4C", None)),
        (answers.ussd, '+CUSD: 0,"C2303B4C"', Ussd(0, "C2303B4C", None)),
        (answers.ussd, '+CUSD: 0,"cost 3,15', Ussd(0, "cost 3", 15)),
        (answers.ussd, '+CUSD: 0,"",0', Ussd(0, "", 0)),
        (answers.ussd, '+CUSD: 0,"x",999', Ussd(0, "x", None)),
        (answers.ussd, "+CUSD: 2", Ussd(2, None, None)),
        (answers.ussd, "+CUSD: 4,", Ussd(4, None, None)),
        (answers.ussd, '+CUSD: "x",15', None),
        (answers.ussd, "+CUSD:", None),
        (answers.clock, '+CCLK: "26/11/23,14:05:09+04"', datetime(2026, 11, 23, 14, 5, 9, tzinfo=_zone(60))),
        (answers.clock, '+CCLK: "26/11/23,14:05:09-34"', datetime(2026, 11, 23, 14, 5, 9, tzinfo=_zone(-510))),
        (answers.clock, '+CCLK: "2026/11/23,14:05:09+00"', datetime(2026, 11, 23, 14, 5, 9, tzinfo=UTC)),
        (answers.clock, "+CCLK: 26/11/23,14:05:09", datetime(2026, 11, 23, 14, 5, 9, tzinfo=UTC)),
        (answers.clock, '+CCLK: "80/01/06,00:00:10+00"', None),
        (answers.clock, '+CCLK: "70/01/01,00:00:10"', None),
        (answers.clock, '+CCLK: "04/01/01,00:00:10+08"', None),
        (answers.clock, '+CCLK: "26/02/30,00:00:10+08"', None),
        (answers.clock, '+CCLK: "26/02/03,24:00:10+08"', None),
        (answers.clock, '+CCLK: "26/02/03,23:00:10+99"', None),
        (answers.clock, '+CCLK: ""', None),
        (answers.cpin, "+CPIN:", None),
        (answers.csms_service, "+CSMS: 1,1,1", None),
    ],
)
def test_a_line(read: Callable[[str], object], line: str, value: object) -> None:
    found = None
    with contextlib.suppress(AnswerError):
        found = read(line)
    assert found == value


def test_the_own_number_is_the_first_that_is_one() -> None:
    assert answers.own_number(['+CNUM: "a","",129', '+CNUM: "My, number","+447700900123",145,7,4']) == "+447700900123"
    assert answers.own_number([]) is None


TRIES: list[tuple[str, list[str], int | None]] = [
    ("+CPINR", ["+CPINR: SIM PUK,10,10", "+CPINR: SIM PIN,2,3"], 2),
    ("+CPINR", ["+CPINR: SIM PIN2,2,3"], None),
    ("+CPINR", ["+CPINRE: SIM PIN,2,3"], None),
    ("+CPINR", ["+SPIC: 3,10,0,10"], None),
    ("+QPINC", ['+QPINC: "P2",1,10', '+QPINC: "SC",3,10'], 3),
    ("+QPINC", ["+QPINC: SC,2,10"], 2),
    ("+QPINC", ['+QPINC: "P2",3,10'], None),
    ("+SPIC", ["+SPIC: 3,10,0,10"], 3),
    ("+SPIC", ["+SPIC:0,10,0,10"], 0),
    ("^CPIN", ["^CPIN: SIM PIN,3,10,2,10,3"], 2),
    ("^CPIN", ["^CPIN:SIM PIN,,10,1,10,3"], 1),
    ("^CPIN", ["^CPIN: READY,10,10,3,6,0"], 3),
    ("^CPIN", ["^CPIN: SIM PIN,3"], None),
    ("+ZPINPUK", ["+ZPINPUK: 3,10"], 3),
    ("+ZPINPUK", ["+ZPINPUK=3,10"], None),
    ("+UPINCNT", ["+UPINCNT: 0,3,5,5"], 0),
    ("+CPINC", ["+CPINC: 2,3,10,10"], 2),
    ("#PCT", ["#PCT: 3"], 3),
    ("^SPIC", ["^SPIC: 1"], 1),
    ("^SPIC", ["^SPIC: 99"], None),
    ("^SPIC", ["^SPIC: SIM PIN"], None),
    ("^SPIC", [], None),
    ("no counter", ["no counter: 3"], None),
]


@pytest.mark.parametrize(("command", "lines", "tries"), TRIES)
def test_the_tries_left_are_those_of_the_pin(command: str, lines: list[str], tries: int | None) -> None:
    assert answers.pin_tries(lines, command) == tries


def test_without_a_command_it_is_the_standards_counter() -> None:
    assert answers.pin_tries(["+CPINR: SIM PIN,2,3"]) == 2


def test_every_counter_is_shown_above() -> None:
    assert {command for command, _, tries in TRIES if tries is not None} == answers.PIN_COUNTERS.keys()


def _tries(counter: str, line: str) -> int | None:
    return answers.pin_tries([line], counter)


ONE_LINE: list[Callable[[str], object]] = [
    *(answers.cpms_stores, answers.cpms_gauge, answers.indication, answers.reference, answers.cnmi),
    *(answers.csms_service, answers.registration, Operator.read, answers.signal_dbm, answers.cpin, answers.imei),
    *(answers.imsi, answers.iccid, answers.iccid_of_file, answers.caller, answers.direct_length, final),
    lambda line: answers.stored([line, line]),
    lambda line: answers.own_number([line]),
    *(answers.clock, answers.ussd),
    *(partial(_tries, counter) for counter in answers.PIN_COUNTERS),
]

PREFIXES = ["", "+CPMS:", "+CMTI:", "+CMGS:", "+CNMI:", "+CSMS:", "+CREG:", "+COPS:", "+CSQ:", "+CESQ:", "+CPIN:"]
PREFIXES += [counter + ":" for counter in answers.PIN_COUNTERS] + ["+CCLK:", "+CUSD:", "+CGSMS:", "^ICCID:"]
PREFIXES += ["+CMGL:", "+CMGR:", "+CNUM:", "+CRSM:", "+CLIP:", "+CMS ERROR:", "+CME ERROR:", "+CGSN:"]


@given(
    st.sampled_from(ONE_LINE),
    st.sampled_from(PREFIXES),
    st.one_of(st.text(max_size=40), st.text('0123456789,"() SMEFx-+/:', max_size=40)),
)
def test_every_reader_is_total(read: Callable[[str], object], prefix: str, text: str) -> None:
    with contextlib.suppress(AnswerError):
        read(prefix + text)


@given(st.integers(0, 5), st.text(max_size=200), st.integers(0, 255))
def test_any_ussd_string_comes_back(status: int, text: str, dcs: int) -> None:
    assert answers.ussd(f'+CUSD: {status},"{text}",{dcs}') == Ussd(status, text, dcs)


@given(st.datetimes(datetime(2020, 1, 1), datetime(2069, 12, 31)), st.integers(-48, 56))  # noqa: DTZ001 - bounds
def test_any_time_comes_back(moment: datetime, quarters: int) -> None:
    line = f'+CCLK: "{moment:%y/%m/%d,%H:%M:%S}{quarters:+03d}"'
    assert answers.clock(line) == moment.replace(microsecond=0, tzinfo=_zone(15 * quarters))
