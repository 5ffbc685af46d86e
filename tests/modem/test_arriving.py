"""What arrives: committed before it is deleted or acknowledged, and nothing holds up the next."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import StoreFull
from appliance.modem.modem import Modem
from appliance.modem.profile import Quirk, parse, shipped
from tests.modem.desk import ICCID, IMEI, IMSI, PDU, TPDU, Bench, Desk, Journal, bench, line, run

if TYPE_CHECKING:
    from appliance.modem.host import ArrivedPdu

STORED = f"0,,30\r\n{PDU}"
OTHER = PDU[:-2] + "08"


def deleted(desk: Desk) -> list[str]:
    return [command for command in desk.commands if command.startswith("AT+CMGD")]


def test_what_was_announced_is_read_committed_deleted_and_told_as_removed() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.stores["ME"][7] = STORED
            it.desk.tell('+CMTI: "ME",7')
            await it.host.until(lambda: it.host.count("removed ME 7"))
            assert it.host.entries[-3:] == ["arriving ME 7", "arrived ME 7", "removed ME 7"]
            pdu = it.host.pdus[0]
            assert (pdu.tpdu, pdu.raw, pdu.imsi, pdu.direct) == (TPDU, PDU, IMSI, False)
            assert it.desk.stores["ME"] == {}

    run(scenario())


def test_it_is_not_deleted_before_it_is_committed() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.host.gate = asyncio.Event()
            it.desk.stores["ME"][7] = STORED
            it.desk.tell('+CMTI: "ME",7')
            await it.host.until(lambda: it.host.count("arriving ME 7"))
            await asyncio.sleep(30)
            assert deleted(it.desk) == []
            it.host.gate.set()
            await it.host.until(lambda: it.host.count("removed ME 7"))
            assert deleted(it.desk) == ["AT+CMGD=7"]

    run(scenario())


def test_what_cannot_be_committed_stays_and_is_told_again_and_the_next_one_is_read() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.host.refusals = [StoreFull("no room")]
            it.desk.stores["ME"] = {1: STORED, 2: f"0,,30\r\n{OTHER}"}
            begin = it.now
            it.desk.tell('+CMTI: "ME",1', '+CMTI: "ME",2')
            await it.host.until(lambda: it.host.count("removed ME 2"))
            assert 1 in it.desk.stores["ME"] or it.host.count("removed ME 1")
            await it.host.until(lambda: it.host.count("removed ME 1"))
            assert it.now - begin < 20
            assert it.desk.stores["ME"] == {}

    run(scenario())


def test_an_error_that_is_not_ours_ends_the_session_and_nothing_is_deleted() -> None:
    class Broken(Journal):
        async def arrived(self, pdu: ArrivedPdu) -> None:
            raise RuntimeError(f"a fault of the host with {pdu.index}")

    async def scenario() -> None:
        desk = Desk(stores={"ME": {7: STORED}, "SM": {}})
        modem = Modem(desk, profiles=shipped(), host=Broken())
        with pytest.raises(RuntimeError, match="with 7"):
            await modem.run()
        assert deleted(desk) == []
        assert desk.wire is not None
        assert desk.wire.gone.done()

    run(scenario())


def test_every_storage_is_swept_at_the_start() -> None:
    async def scenario() -> None:
        desk = Desk(stores={"ME": {0: STORED, 200: STORED}, "SM": {1: STORED}})
        async with bench(desk) as it:
            await it.host.until(lambda: len(it.host.pdus) == 3)
            await asyncio.sleep(1)
            assert desk.stores == {"ME": {}, "SM": {}}
            assert it.modem.status.storage == {"ME": (0, 50), "SM": (0, 50)}

    run(scenario())


def test_without_any_indication_it_is_found_within_five_minutes() -> None:
    async def scenario() -> None:
        async with bench() as it:
            begin = it.now
            it.desk.stores["SM"][3] = STORED
            await it.host.until(lambda: it.host.count("removed SM 3"))
            assert it.now - begin <= 301

    run(scenario())


@pytest.mark.parametrize(
    "urc",
    ['+CMTI: "ME",-1', '+CMTI: "ME"', '+CMTI: "XX",1', "+CMTI:", '+CMTI: "ME",9', '+CMTI: "SM",2', '+CDSI: "ME",9'],
)
def test_a_wrong_indication_is_a_hint_too(urc: str) -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.stores["ME"][2] = STORED
            begin = it.now
            it.desk.tell(urc)
            if urc == '+CMTI: "SM",2':  # that storage is there, and empty: the next sweep of all finds it
                it.desk.tell("SMS READY")
            await it.host.until(lambda: it.host.count("removed ME 2"))
            assert it.now - begin < 1

    run(scenario())


def test_announced_twice_it_is_read_once() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.stores["ME"][2] = STORED
            it.desk.tell('+CMTI: "ME",2', '+CMTI: "ME",2', '+CMTI: "ME",2')
            await asyncio.sleep(1)
            assert len(it.host.pdus) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("broken", "tpdu", "raw"),
    [
        ("0,,30\r\n07911326040", None, "07911326040"),
        ("0,,30\r\nnot hexadecimal", None, "not hexadecimal"),
        (",,30\r\n" + PDU, TPDU, PDU),
        ("0,,99\r\n" + PDU, TPDU, PDU),
        ("0,30\r\n" + PDU, TPDU, PDU),
        ('0,"Bob, the builder",30\r\n' + PDU, TPDU, PDU),
        ("0,,30\r\n" + "FF" * 30, b"\xff" * 30, "FF" * 30),
    ],
)
def test_what_cannot_be_decoded_is_kept_raw_and_the_next_one_is_read(broken: str, tpdu: bytes | None, raw: str) -> None:
    async def scenario() -> None:
        async with bench(Desk(stores={"ME": {1: broken, 2: STORED}, "SM": {}})) as it:
            await it.host.until(lambda: it.host.count("removed ME 2"))
            assert [(pdu.tpdu, pdu.raw) for pdu in it.host.pdus] == [(tpdu, raw), (TPDU, PDU)]
            assert it.desk.stores["ME"] == {}

    run(scenario())


def test_an_empty_message_is_left_alone_and_the_next_one_is_read() -> None:
    async def scenario() -> None:
        async with bench(Desk(stores={"ME": {1: "0,,0", 2: STORED}, "SM": {}})) as it:
            await it.host.until(lambda: it.host.count("removed ME 2"))
            assert deleted(it.desk) == ["AT+CMGD=2"]
            it.desk.tell('+CMTI: "ME",1')
            await asyncio.sleep(1)
            assert len(it.host.pdus) == 1

    run(scenario())


def test_what_somebody_stored_to_be_sent_is_neither_read_nor_deleted() -> None:
    async def scenario() -> None:
        drafts = {1: f"2,,30\r\n{PDU}", 2: f"3,,30\r\n{PDU}"}
        async with bench(Desk(stores={"ME": dict(drafts), "SM": {}})) as it:
            it.desk.tell('+CMTI: "ME",1')
            await asyncio.sleep(1)
            assert it.host.pdus == []
            assert it.desk.stores["ME"] == drafts

    run(scenario())


def test_what_cannot_be_deleted_is_told_again_and_holds_up_nothing() -> None:
    async def scenario() -> None:
        desk = Desk(answers={"AT+CMGD=1": line("+CMS ERROR: 302")}, stores={"ME": {1: STORED, 2: STORED}, "SM": {}})
        async with bench(desk) as it:
            await it.host.until(lambda: it.host.count("removed ME 2"))
            assert it.host.count("removed ME 1") == 0
            del desk.answers["AT+CMGD=1"]
            await it.host.until(lambda: it.host.count("removed ME 1"))

    run(scenario())


@pytest.mark.parametrize("listing", [line("+CMS ERROR: 303"), line("OK")])
def test_a_modem_that_does_not_list_is_read_index_by_index(listing: bytes) -> None:
    async def scenario() -> None:
        desk = Desk(answers={"AT+CMGL=4": listing}, stores={"ME": {0: STORED, 50: STORED}, "SM": {}})
        async with bench(desk) as it:
            await it.host.until(lambda: len(it.host.pdus) == 2)
            assert desk.stores["ME"] == {}

    run(scenario())


def test_a_storage_that_fails_does_not_keep_the_others_from_being_read() -> None:
    async def scenario() -> None:
        desk = Desk(answers={'AT+CPMS="SM"': line("+CMS ERROR: 310")}, stores={"ME": {1: STORED}, "SM": {}})
        async with bench(desk) as it:
            await it.host.until(lambda: it.host.count("removed ME 1"))

    run(scenario())


@pytest.mark.parametrize("busy", [{"AT+CMGR=3": 2, "AT+CMGL=4": 1}, {'AT+CPMS="SM"': 3}])
def test_what_a_busy_sim_does_not_let_be_read_is_read_soon(busy: dict[str, int]) -> None:
    async def scenario() -> None:
        async with bench(Desk(stores={"ME": {}, "SM": {}})) as it:
            await asyncio.sleep(20)
            it.desk.stores["SM"][3] = STORED
            it.desk.answers = {command: [line("+CMS ERROR: 314")] * times for command, times in busy.items()}
            start = asyncio.get_running_loop().time()
            it.desk.tell('+CMTI: "SM",3')
            await it.host.until(lambda: it.host.count("removed SM 3"))
            assert asyncio.get_running_loop().time() - start < 60

    run(scenario())


def test_a_storage_is_read_on_a_modem_that_takes_nothing_less_than_all_places() -> None:
    async def scenario() -> None:
        desk = Desk(answers={'AT+CPMS="SM"': line("ERROR")}, stores={"ME": {}, "SM": {1: STORED}})
        async with bench(desk) as it:
            await it.host.until(lambda: it.host.count("removed SM 1"))
            assert desk.commands.count('AT+CPMS="SM"') == 1
            assert 'AT+CPMS="SM","ME","ME"' in desk.commands

    run(scenario())


def test_a_report_that_comes_directly_is_told_and_not_acknowledged_where_no_acknowledgement_is_on() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.tell(f"+CDS: 30\r\n{PDU}")
            await it.host.until(lambda: it.host.pdus)
            assert (it.host.pdus[0].direct, it.host.pdus[0].storage, it.host.pdus[0].tpdu) == (True, None, TPDU)
            await asyncio.sleep(1)
            assert "AT+CNMA" not in it.desk.commands

    run(scenario())


STORELESS = {"AT+CPMS=?": line("+CPMS: (),(),()", "OK")}


def test_without_a_storage_messages_come_directly_and_are_acknowledged_after_the_commit() -> None:
    async def scenario() -> None:
        async with bench(Desk(answers=dict(STORELESS), stores={})) as it:
            assert "AT+CSMS=1" in it.desk.commands
            assert it.desk.cnmi == "2,2,0,1,0"
            it.host.gate = asyncio.Event()
            it.desk.tell(f"+CMT: ,30\r\n{PDU}")
            await it.host.until(lambda: it.host.count("arriving None None"))
            await asyncio.sleep(1)
            assert "AT+CNMA" not in it.desk.commands
            it.host.gate.set()
            await it.host.until(lambda: it.host.pdus)
            await asyncio.sleep(1)
            assert it.desk.commands.count("AT+CNMA") == 1

    run(scenario())


def test_what_cannot_be_committed_is_not_acknowledged() -> None:
    async def scenario() -> None:
        async with bench(Desk(answers=dict(STORELESS), stores={})) as it:
            it.host.refusals = [StoreFull("no room")]
            it.desk.tell(f"+CMT: ,30\r\n{PDU}")
            await asyncio.sleep(1)
            assert "AT+CNMA" not in it.desk.commands
            await asyncio.sleep(15)
            assert it.desk.commands.count("AT+CNMA") == 1
            assert len(it.host.pdus) == 1

    run(scenario())


def test_what_came_directly_to_one_modem_is_not_told_as_anothers() -> None:
    async def scenario() -> None:
        async with bench(Desk(answers=dict(STORELESS), stores={})) as it:
            it.host.refusals = [StoreFull("no room")] * 3
            it.desk.tell(f"+CMT: ,30\r\n{PDU}")
            await asyncio.sleep(1)
            it.desk.plain |= {
                "AT+CGSN": line("356938035643015", "OK"),
                "AT+CIMI": line("234100000000002", "OK"),
                "AT+CCID": line("+CCID: 8944100000000000026", "OK"),
            }
            it.desk.hang_up()
            await it.host.until(lambda: it.host.count("attached 356938035643015"))
            await it.host.until(lambda: it.host.pdus)
            (pdu,) = it.host.pdus
            assert (pdu.imei, pdu.imsi, pdu.iccid) == (IMEI, IMSI, ICCID)

    run(scenario())


def test_a_modem_that_wants_no_acknowledgement_gets_none() -> None:
    async def scenario() -> None:
        profile = parse(
            "\n".join(
                ['name = "x"', f'quirks = ["{Quirk.NEVER_CNMA}"]', "[match]", 'manufacturer = "x"', 'model = "x"']
            ),
            "x",
        )
        async with bench(Desk(answers=dict(STORELESS), stores={}), profile=profile) as it:
            it.desk.tell(f"+CMT: ,30\r\n{PDU}")
            await it.host.until(lambda: it.host.pdus)
            await asyncio.sleep(1)
            assert "AT+CNMA" not in it.desk.commands

    run(scenario())


def test_many_at_once_all_arrive() -> None:
    async def scenario() -> None:
        async with bench() as it:
            for index in range(1, 41):
                it.desk.stores["ME"][index] = STORED
                it.desk.tell(f'+CMTI: "ME",{index}')
            await it.host.until(lambda: len(it.host.pdus) >= 40)
            assert it.desk.stores["ME"] == {}
            assert len(it.host.pdus) == 40

    run(scenario())


def test_a_modem_that_lists_in_text_mode_has_forgotten_its_settings_and_is_set_up_anew() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.stores["ME"][1] = '"REC UNREAD","+447700900123",,"26/11/23,12:00:00+00"\r\nOK'
            it.desk.tell('+CMTI: "ME",1')
            await it.host.until(lambda: it.host.count("arriving ME 1") or it.desk.commands.count("AT+CMGF=0") == 2)
            it.desk.stores["ME"][1] = STORED
            await it.host.until(lambda: it.host.count("removed ME 1"))
            assert it.desk.commands.count("AT+CMGF=0") >= 2
            assert len(it.host.pdus) == 1

    run(scenario())


def test_full_storage_is_swept_when_the_modem_says_so() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.stores["SM"][3] = STORED
            begin = it.now
            it.desk.tell('^SMMEMFULL: "SM"')
            await it.host.until(lambda: it.host.count("removed SM 3"))
            assert it.now - begin < 1

    run(scenario())


@pytest.mark.parametrize(
    ("lines", "numbers"),
    [
        (["RING", '+CLIP: "+447700900123",145,"",,"",0', "RING", '+CLIP: "+447700900123",145'], ["+447700900123"]),
        (["RING", '+CLIP: "",128'], [None]),
        (["RING"], [None]),
        (["RING", "NO CARRIER", "RING", '+CLIP: "+447700900124",145', "NO CARRIER"], ["+447700900124"]),
    ],
)
def test_a_call_is_told_once(lines: list[str], numbers: list[str | None]) -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.tell(*lines)
            await asyncio.sleep(5)
            assert it.host.calls == numbers
            await asyncio.sleep(60)
            it.desk.tell("RING", '+CLIP: "+447700900199",145')
            assert it.host.calls == [*numbers, "+447700900199"]

    run(scenario())


KNOWN_COMMANDS = re.compile(
    r"AT|ATE0|ATV1|ATH|AT\+(CMEE=1|CGSN|CGMI|CGMM|CGMR|CPIN\?|CIMI|CCID|ICCID|CRSM=176,12258,0,0,10|CNUM|CMGF=0|CLIP=1"
    r"|CSMS=[01]|CSMS\?|CPMS=\?|CPMS=\"(SM|ME|MT|SR|BM|TA|SM_P|ME_P)\"(,\"(SM|ME)\"){0,2}|CNMI=[0-3](,[0-3]){0,4}"
    r"|CNMI\?|C[EG]?REG=0|C[EG]?REG\?|CSQ|CESQ|COPS\?|CCLK\?|CTZU=1|CHUP|CPMS\?|CMGL=4|CMGR=\d{1,9}|CMGD=\d{1,9}|CMGS=18|CNMA)"
)

HOSTILE = [
    *('+CMTI: "SM",3;+CMGD=1,4', '+CMTI: "SM\x1a",3', '+CMTI: "ME",99999999999', "+CMGL: 1,1,,30", PDU, "OK", "ERROR"),
    *("+CMT: ,30", "+CDS: 30", "> ", "AT+CMGD=1,4", "+CREG: 2", "+CPIN: SIM PUK", "+CPMS: 1,2", "RING", "NO CARRIER"),
    *(
        '+CLIP: "AT\r+CMGS=1",1',
        '+CUSD: 0,"',
        '"',
        "\x1a",
        "\x1b",
        "+CME ERROR: 10",
        "+CMS ERROR: 500",
        "356938035643809",
    ),
    *("+CMGS: 3", "+CSQ: 1,1", "RDY", "+CFUN: 1", "SMS DONE"),
]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20)), max_size=15), st.binary(max_size=40))
def test_nothing_that_comes_in_reaches_a_command_or_jams_the_reader(lines: list[str], noise: bytes) -> None:
    async def scenario() -> Bench:
        async with bench() as it:
            it.desk.tell(*(text.encode("ascii", "replace").decode() for text in lines))
            assert it.desk.wire is not None
            it.desk.wire.put(noise + b"\r\n")
            it.desk.stores["ME"][5] = STORED
            await it.host.until(lambda: it.host.count("removed ME 5"), within=400)
            return it

    it = run(scenario())
    assert [command for command in it.desk.commands if KNOWN_COMMANDS.fullmatch(command) is None] == []
