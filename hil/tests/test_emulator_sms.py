"""Short messages through the emulated modem: sending, receiving, storages, acknowledgement, reports (27.005)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hil.emulator.testing import Bench, Terminal, Unused

HELLO = "0011000C914477000910320000AA05E8329BFD06"
HELLO_REPORT = "0031000C914477000910320000AA05E8329BFD06"


def part(n: int, packed: str) -> str:
    """Part n of two: nine septets, of which the header takes seven."""
    return f"0051000C914477000910320000AA090500030702{n:02X}{packed}"


# --------------------------------------------------------------------------------------------------- sending


def test_a_submit_ends_with_its_reference_and_stands_in_the_ledger(modem: Unused) -> None:
    assert modem.terminal.submit(HELLO) == b"\r\n+CMGS: 0\r\n\r\nOK\r\n"
    (row,) = modem.rows("submit")
    assert (row["da"], row["text"], row["mr"], row["accepted"], row["error"]) == (
        "+447700900123", "hello", 0, True, None,
    )  # fmt: skip
    assert row["vp"] == {"format": "relative", "value": 170, "seconds": 345600}
    assert row["tpdu"] == HELLO[2:].lower()
    (message,) = modem.rows("message")
    assert (message["da"], message["text"], message["segments"]) == ("+447700900123", "hello", [row["line"]])


def test_the_modem_counts_the_reference_and_wraps_at_256(modem: Unused) -> None:
    modem.control("set", mr=255)
    assert [modem.terminal.submit(HELLO)[9:12] for _ in range(3)] == [b"255", b"0\r\n", b"1\r\n"]
    assert [row["mr"] for row in modem.rows("submit")] == [255, 0, 1]


def test_the_references_of_the_host_can_be_kept(modem: Unused) -> None:
    modem.control("set", use_host_mr=True)
    assert b"+CMGS: 77\r" in modem.terminal.submit(HELLO.replace("001100", "00114D", 1))


def test_esc_leaves_the_prompt_with_ok_and_sends_nothing(modem: Unused) -> None:
    t = modem.terminal
    t.send(b"AT+CMGS=19\r")
    assert t.until(b"> ") == b"\r\n> "
    t.send(HELLO.encode() + b"\x1b")
    assert t.until(b"OK\r\n") == b"\r\nOK\r\n"
    t.quiet()
    assert modem.rows("submit") == []


def test_backspace_edits_a_pdu_and_echo_shows_it(modem: Unused) -> None:
    t = modem.terminal
    t.send(b"ATE1\r")
    t.until(b"OK\r\n")
    t.send(b"AT+CMGS=19\r")
    t.until(b"> ")
    t.send(HELLO.encode() + b"FF\x08\x08\x1a")
    assert t.until(b"OK\r\n") == HELLO.encode() + b"FF\b \b\b \b\r\n+CMGS: 0\r\n\r\nOK\r\n"


@pytest.mark.parametrize(
    ("pdu", "length", "code", "field"),
    [
        (HELLO, 18, 304, "length"),
        (HELLO, 20, 304, "length"),
        (HELLO + "0", 19, 304, "pdu"),
        (HELLO[:-2] + "0x", 19, 304, "pdu"),
        ("0D" + HELLO[2:], 19, 304, "sca"),
        (HELLO.replace("0C91", "0C11"), 19, 96, "tp-da"),
        (HELLO[:-2] + "86", 19, 111, "tp-ud"),
        (HELLO.replace("0011", "0012"), 19, 97, "tp-mti"),
    ],
)
def test_a_wrong_pdu_is_refused_and_written_down(modem: Unused, pdu: str, length: int, code: int, field: str) -> None:
    assert modem.terminal.submit(pdu, length=length) == f"\r\n+CMS ERROR: {code}\r\n".encode()
    (row,) = modem.rows("submit")
    assert row["accepted"] is False
    assert row["error"]["field"] == field
    assert {"offset", "detail", "cause"} <= row["error"].keys()
    assert modem.rows("message") == []


@pytest.mark.parametrize("length", ["6", "165", "abc", ""])
def test_an_impossible_length_gets_no_prompt(modem: Unused, length: str) -> None:
    assert modem.terminal.error(f"AT+CMGS={length}") == "+CMS ERROR: 304"


def test_parts_become_one_message_in_any_order(modem: Unused) -> None:
    modem.terminal.submit(part(2, "d86f"))
    assert modem.rows("message") == []
    assert modem.status()["open_parts"] == [
        {"da": "+447700900123", "wide": False, "ref": 7, "total": 2, "have": [2]}
    ]  # fmt: skip
    modem.terminal.submit(part(1, "9065"))
    (message,) = modem.rows("message")
    assert (message["text"], message["mrs"]) == ("Helo", [1, 0])
    assert [row["concat"]["n"] for row in modem.rows("submit")] == [2, 1]


def test_a_repeated_part_does_not_begin_a_message_again(modem: Unused) -> None:
    modem.control("set", use_host_mr=True)
    for pdu in (part(1, "9065"), part(2, "d86f"), part(2, "d86f")):
        modem.terminal.submit(pdu)
    assert len(modem.rows("message")) == 1
    assert [row["duplicate"] for row in modem.rows("submit")] == [False, False, True]
    assert modem.status()["open_parts"] == []


def test_duplicates_are_rejected_on_request_only(modem: Unused) -> None:
    modem.control("set", use_host_mr=True)
    rd = HELLO.replace("0011", "0015", 1)
    modem.terminal.submit(HELLO)
    assert b"+CMGS: 0" in modem.terminal.submit(rd)
    modem.control("set", reject_duplicates=True)
    assert modem.terminal.submit(rd) == b"\r\n+CMS ERROR: 197\r\n"
    assert [(row["rd"], row["accepted"]) for row in modem.rows("submit")] == [
        (False, True), (True, True), (True, False),
    ]  # fmt: skip


def test_without_network_nothing_is_sent(modem: Unused) -> None:
    modem.control("set", registration=2)
    assert modem.terminal.submit(HELLO) == b"\r\n+CMS ERROR: 331\r\n"
    assert modem.rows("submit") == []


def test_without_a_service_centre_nothing_is_sent(modem: Unused) -> None:
    modem.terminal.ok('AT+CSCA=""')
    assert modem.terminal.submit(HELLO) == b"\r\n+CMS ERROR: 330\r\n"
    assert b"+CMGS" in modem.terminal.submit("0791447700095000" + HELLO[2:])


@pytest.mark.parametrize(
    ("order", "answer", "sent"),
    [
        (38, b"\r\n+CMS ERROR: 38\r\n", False),
        ("ERROR", b"\r\nERROR\r\n", False),
        ({"code": 500, "sent": True}, b"\r\n+CMS ERROR: 500\r\n", True),
        ({"code": "ERROR", "sent": True}, b"\r\nERROR\r\n", True),
    ],
)
def test_an_ordered_error_hits_the_next_submit_only(modem: Unused, order: Any, answer: bytes, sent: bool) -> None:
    modem.control("set", submit_errors=[order])
    assert modem.terminal.submit(HELLO) == answer
    assert b"+CMGS" in modem.terminal.submit(HELLO)
    assert [row["accepted"] for row in modem.rows("submit")] == [sent, True]


@pytest.mark.parametrize(("order", "sent"), [("silent-sent", True), ("silent-lost", False)])
def test_silence_leaves_the_truth_to_the_ledger(modem: Unused, order: str, sent: bool) -> None:
    modem.control("set", submit_errors=[order])
    t = modem.terminal
    t.send(b"AT+CMGS=19\r")
    t.until(b"> ")
    t.send(HELLO.encode() + b"\x1a")
    t.quiet()
    assert [row["accepted"] for row in modem.rows("submit")] == [sent]


def test_a_stored_message_can_be_sent_to_another_number(modem: Unused) -> None:
    t = modem.terminal
    t.send(b"AT+CMGW=19\r")
    t.until(b"> ")
    t.send(HELLO.encode() + b"\x1a")
    assert t.result() == b"\r\n+CMGW: 1\r\n\r\nOK\r\n"
    assert t.ok("AT+CMSS=1") == ["+CMSS: 0"]
    assert t.ok('AT+CMSS=1,"+447700900999"') == ["+CMSS: 1"]
    assert t.ok("AT+CMGL=3")[0] == "+CMGL: 1,3,,19"
    assert [row["da"] for row in modem.rows("submit")] == ["+447700900123", "+447700900999"]


def test_one_sim_can_write_to_another(bench: Bench) -> None:
    one, other = bench.lend(), bench.lend()
    other.terminal.ok("AT+CNMI=2,2,0,0,0")
    digits = other.number[1:]
    swapped = "".join(digits[n + 1] + digits[n] for n in range(0, 12, 2))
    one.terminal.submit(HELLO.replace("447700091032", swapped))
    assert other.terminal.until(b"FD06\r\n").startswith(b"\r\n+CMT: ,24\r\n0791447700095000040C91")


# ---------------------------------------------------------------------------------------------- status reports


def report(t: Terminal) -> tuple[int, int]:
    """TP-MR and TP-ST of the next +CDS, whose form is checked."""
    assert t.until(b"+CDS: ") == b"\r\n+CDS: "
    length, pdu = int(t.until(b"\r\n")), bytes.fromhex(t.until(b"\r\n").decode())
    assert pdu[:8].hex() == "0791447700095000"
    assert len(pdu) == 8 + length == 33
    assert (pdu[8], pdu[10:18].hex()) == (0x06, "0c91447700091032")
    return pdu[9], pdu[32]


def test_a_report_is_routed_after_the_result(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CNMI=2,1,0,1,0")
    assert t.submit(HELLO_REPORT) == b"\r\n+CMGS: 0\r\n\r\nOK\r\n"
    assert report(t) == (0, 0)
    t.submit(HELLO)
    t.quiet()


def test_a_report_can_come_before_the_result(modem: Unused) -> None:
    modem.control("set", report_before_result=True)
    t = modem.terminal
    t.ok("AT+CNMI=2,1,0,1,0")
    assert t.submit(HELLO_REPORT).endswith(b"\r\n+CMGS: 0\r\n\r\nOK\r\n")
    modem.control("set", urc_during_submit="hold")
    assert t.submit(HELLO_REPORT) == b"\r\n+CMGS: 1\r\n\r\nOK\r\n"
    assert report(t) == (1, 0)


def test_a_report_is_stored_with_ds_2(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CNMI=2,1,0,2,0")
    t.submit(HELLO_REPORT)
    assert t.until(b"\r\n", patience=5) + t.until(b"\r\n") == b'\r\n+CDSI: "SR",1\r\n'
    t.ok('AT+CPMS="SR"')
    header, pdu = t.ok("AT+CMGR=1")
    assert (header, len(pdu)) == ("+CMGR: 0,,25", 66)


@pytest.mark.parametrize(
    ("status", "told"),
    [(0x46, [0x46]), ([0x41, 0x00], [0x41, 0x00, 0x00]), ([[0x20, 0x00]], [0x20, 0x00, 0x00]),
     ({"+447700900123": 0x63}, [0x63])],
)  # fmt: skip
def test_the_status_of_reports_is_planned(modem: Unused, status: Any, told: list[int]) -> None:
    modem.control("set", report_status=status)
    t = modem.terminal
    t.ok("AT+CNMI=2,1,0,1,0")
    heard: list[int] = []
    while len(heard) < len(told):
        t.submit(HELLO_REPORT)
        heard.append(report(t)[1])
        if status == [[0x20, 0x00]] and len(heard) == 1:
            heard.append(report(t)[1])
    assert heard == told


def test_reports_are_held_until_released_and_can_change_their_order(modem: Unused) -> None:
    modem.control("set", report="hold")
    t = modem.terminal
    t.ok("AT+CNMI=2,1,0,1,0")
    t.submit(HELLO_REPORT)
    t.submit(HELLO_REPORT)
    t.quiet()
    modem.emulator.control("release_reports", order="reversed")
    assert [report(t), report(t)] == [(1, 0), (0, 0)]


def test_reports_can_be_withheld_or_doubled(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CNMI=2,1,0,1,0")
    modem.control("set", report="none")
    t.submit(HELLO_REPORT)
    modem.control("set", report="auto", report_twice=True)
    t.submit(HELLO_REPORT)
    assert [report(t), report(t)] == [(1, 0), (1, 0)]


# -------------------------------------------------------------------------------------------------- receiving


def test_a_message_is_stored_and_announced(modem: Unused) -> None:
    t = modem.terminal
    t.ok('AT+CPMS="ME","ME","ME"', "AT+CNMI=2,1,0,0,0")
    modem.deliver(scts="2026-11-23T12:00:00+01:00")
    assert t.until(b",1\r\n") == b'\r\n+CMTI: "ME",1\r\n'
    pdu = "0791447700095000" + "040C9144770009909900006211322100004005E8329BFD06"
    t.send(b"AT+CMGR=1\r")
    assert t.result() == f"\r\n+CMGR: 0,,24\r\n{pdu}\r\n\r\nOK\r\n".encode()
    assert t.ok("AT+CMGL=0") == []
    t.send(b"AT+CMGL=1\r")
    assert t.result() == f"\r\n+CMGL: 1,1,,24\r\n{pdu}\r\n\r\nOK\r\n".encode()
    assert t.ok("AT+CPMS?") == ['+CPMS: "ME",1,255,"ME",1,255,"ME",1,255']
    t.ok("AT+CMGD=1")
    assert t.error("AT+CMGD=1") == "+CMS ERROR: 321"
    assert t.error("AT+CMGR=1") == "+CMS ERROR: 321"


def test_a_message_is_routed_and_not_stored(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CNMI=2,2,0,0,0")
    modem.deliver(scts="2026-11-23T12:00:00+00:00")
    assert t.until(b"06\r\n") == (
        b"\r\n+CMT: ,24\r\n0791447700095000040C9144770009909900006211322100000005E8329BFD06\r\n"
    )
    assert t.ok("AT+CMGL=4") == []


# 27.005 §3.4.1: what <mt> does with each message class. stored+told, routed, or shown (never stored).
@pytest.mark.parametrize(
    ("mt", "message_class", "expected"),
    [
        (0, None, "stored"), (0, 0, "shown"), (0, 1, "stored"), (0, 2, "sim"), (0, 3, "stored"),
        (1, None, "told"), (1, 0, "shown"), (1, 1, "told"), (1, 2, "sim told"), (1, 3, "told"),
        (2, None, "routed"), (2, 0, "routed"), (2, 1, "routed"), (2, 2, "sim told"), (2, 3, "routed"),
        (3, None, "told"), (3, 0, "shown"), (3, 1, "told"), (3, 2, "sim told"), (3, 3, "routed"),
    ],
)  # fmt: skip
def test_mt_and_class_decide_where_a_message_goes(
    modem: Unused, mt: int, message_class: int | None, expected: str
) -> None:
    t = modem.terminal
    t.ok('AT+CPMS="ME","ME","ME"', f"AT+CNMI=2,{mt},0,0,0")
    words: dict[str, Any] = {} if message_class is None else {"class": message_class}
    modem.deliver(**words)
    status = modem.status()
    used = {name: storage["used"] for name, storage in status["storages"].items()}
    place = "SM" if "sim" in expected else "ME"
    assert used == {"SM": 0, "ME": 0, "SR": 0} | ({place: 1} if expected not in ("routed", "shown") else {})
    assert len(status["displayed"]) == (expected == "shown")
    t.send(b"AT\r")
    heard = t.result()
    assert heard.startswith(
        {"routed": b"\r\n+CMT: ,24", "told": b'\r\n+CMTI: "ME",1', "sim told": b'\r\n+CMTI: "SM",1'}.get(
            expected, b"\r\nOK"
        )
    )
    (row,) = modem.rows("mt")
    assert row["acknowledged"]


def test_mode_0_keeps_indications_until_the_mode_changes(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CNMI=0,1,0,0,0")
    modem.deliver()
    t.quiet()
    t.ok("AT+CNMI=2,1,0,0,0")
    assert t.until(b",1\r\n") == b'\r\n+CMTI: "SM",1\r\n'
    t.ok("AT+CNMI=0,1,0,0,0")
    modem.deliver()
    t.ok("AT+CNMI=2,1,0,0,1")
    t.quiet()


def test_indications_never_come_inside_the_prompt(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CNMI=2,1,0,0,0")
    t.send(b"AT+CMGS=19\r")
    t.until(b"> ")
    modem.deliver()
    t.send(HELLO.encode() + b"\x1a")
    assert t.until(b",1\r\n") == b'\r\n+CMGS: 0\r\n\r\nOK\r\n\r\n+CMTI: "SM",1\r\n'


def test_an_indication_may_come_between_a_pdu_and_its_result(modem: Unused) -> None:
    modem.control("set", submit_delay=0.2)
    t = modem.terminal
    t.ok("AT+CNMI=2,1,0,0,0")
    t.send(b"AT+CMGS=19\r")
    t.until(b"> ")
    t.send(HELLO.encode() + b"\x1a")
    modem.wait(state="executing")
    modem.deliver()
    assert t.result() == b'\r\n+CMTI: "SM",1\r\n\r\n+CMGS: 0\r\n\r\nOK\r\n'


def test_indications_can_be_swallowed(modem: Unused) -> None:
    modem.control("set", urc=False)
    t = modem.terminal
    t.ok("AT+CNMI=2,1,0,0,0")
    modem.deliver()
    t.quiet()
    assert t.ok("AT+CMGL=4")[0] == "+CMGL: 1,0,,24"


# --------------------------------------------------------------------------------------------------- storages


def test_a_full_storage_makes_the_network_hold_and_a_free_slot_brings_the_message(modem: Unused) -> None:
    modem.control("set", storage_limits={"SM": 2})
    t = modem.terminal
    t.ok("AT+CNMI=2,1,0,0,0")
    modem.deliver("number {n}", count=3)
    assert t.until(b",2\r\n").endswith(b'+CMTI: "SM",2\r\n')
    status = modem.status()
    assert (status["memory_full"], len(status["held"])) == (True, 1)
    assert [row["cause"] for row in modem.rows("mt")] == [None, None, 0xD3]
    t.ok("AT+CMGD=1")
    assert t.until(b",1\r\n") == b'\r\n+CMTI: "SM",1\r\n'
    assert modem.status()["held"] == []
    assert modem.rows("mt")[-1]["attempt"] == 2


def test_a_full_storage_refuses_to_write(modem: Unused) -> None:
    modem.control("set", storage_limits={"SM": 0})
    t = modem.terminal
    t.send(b"AT+CMGW=19\r")
    t.until(b"> ")
    t.send(HELLO.encode() + b"\x1a")
    assert t.result() == b"\r\n+CMS ERROR: 322\r\n"


def test_mt_shows_the_sim_and_then_the_modem(modem: Unused) -> None:
    modem.control("set", storage_limits={"SM": 1, "ME": 2})
    t = modem.terminal
    assert t.ok('AT+CPMS="MT","MT","MT"') == ["+CPMS: 0,3,0,3,0,3"]
    t.ok("AT+CNMI=2,1,0,0,0")
    modem.deliver("{n}", count=3)
    heard = [t.until(b"\r\n") + t.until(b"\r\n") for _ in range(3)]
    assert heard == [f'\r\n+CMTI: "{name}",{n}\r\n'.encode() for name, n in (("SM", 1), ("ME", 1), ("ME", 2))]
    assert [line.split(",")[0] for line in t.ok("AT+CMGL=4")[::2]] == ["+CMGL: 1", "+CMGL: 2", "+CMGL: 3"]
    t.ok("AT+CMGD=2")
    assert modem.status()["storages"]["ME"]["used"] == 1


@pytest.mark.parametrize(("flag", "left"), [(1, [2, 3, 4]), (2, [2, 3]), (3, [2]), (4, [])])
def test_delflag_deletes_by_status(modem: Unused, flag: int, left: list[int]) -> None:
    t = modem.terminal
    modem.deliver("{n}", count=2)
    t.ok("AT+CMGR=1")
    for stat in (2, 3):
        t.send(f"AT+CMGW=19,{stat}\r".encode())
        t.until(b"> ")
        t.send(HELLO.encode() + b"\x1a")
        t.result()
    assert t.ok("AT+CMGD=?") == ["+CMGD: (1,2,3,4),(0-4)"]
    t.ok(f"AT+CMGD=1,{flag}")
    assert [int(line.split(",")[0][7:]) for line in t.ok("AT+CMGL=4")[::2]] == sorted(left)


def test_storages_are_named_and_a_wrong_name_is_refused(modem: Unused) -> None:
    t = modem.terminal
    assert t.ok("AT+CPMS=?") == ['+CPMS: ("SM","ME","MT","SR"),("SM","ME","MT"),("SM","ME","MT")']
    assert t.error('AT+CPMS="XX"') == "+CMS ERROR: 302"
    assert t.error('AT+CPMS="SM","SR"') == "+CMS ERROR: 302"
    assert t.ok('AT+CPMS="ME"', "AT+CPMS?") == ['+CPMS: "ME",0,255,"SM",0,50,"SM",0,50']


# --------------------------------------------------------------------------------------------- acknowledgement


def test_without_phase_2_nothing_is_to_be_acknowledged(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CNMI=2,2,0,0,0")
    modem.deliver()
    t.until(b"06\r\n")
    assert t.error("AT+CNMA") == "+CMS ERROR: 340"


def test_a_modem_that_acknowledges_by_itself_wants_nothing_and_says_so(modem: Unused) -> None:
    modem.control("set", quirks=["auto_ack"])
    t = modem.terminal
    t.ok("AT+CSMS=1")
    t.ok("AT+CNMI=2,2,0,0,0")
    modem.deliver()
    t.until(b"06\r\n")
    assert not modem.control("status")["modems"][0]["awaits_cnma"]
    assert t.error("AT+CNMA") == "+CMS ERROR: 340"


@pytest.mark.parametrize("command", ["AT+CNMA", "AT+CNMA=0"])
def test_phase_2_sends_the_next_message_after_the_acknowledgement(modem: Unused, command: str) -> None:
    t = modem.terminal
    assert t.ok("AT+CSMS=1") == ["+CSMS: 1,1,1"]
    assert t.ok("AT+CSMS?") == ["+CSMS: 1,1,1,1"]
    t.ok("AT+CNMI=2,2,0,1,0")
    modem.deliver("{n}", count=2)
    t.until(b"+CMT: ")
    t.until(b"\r\n")
    t.until(b"\r\n")
    t.quiet()
    assert modem.status()["awaits_cnma"]
    t.send(command.encode() + b"\r")
    assert t.until(b"+CMT: ").startswith(b"\r\nOK\r\n")
    t.until(b"\r\n")
    t.until(b"\r\n")
    t.ok(command)
    assert t.error(command) == "+CMS ERROR: 340"
    assert [row["acknowledged"] for row in modem.rows("mt")] == [True, True]


def test_no_acknowledgement_in_time_is_an_error_and_ends_routing(modem: Unused) -> None:
    modem.control("set", cnma_timeout=0.05, redeliver_delay=0.05)
    t = modem.terminal
    t.ok("AT+CSMS=1", "AT+CNMI=2,2,0,1,0")
    modem.deliver()
    modem.wait(awaits_cnma=True)
    modem.wait(held=[])
    assert t.ok("AT+CNMI?")[-1] == "+CNMI: 2,0,0,0,0"
    assert [row["cause"] for row in modem.rows("mt")] == [111, None]
    assert modem.status()["storages"]["SM"]["used"] == 1


def test_a_message_can_be_refused_and_comes_again(modem: Unused) -> None:
    modem.control("set", redeliver_delay=0)
    t = modem.terminal
    t.ok("AT+CSMS=1", "AT+CNMI=2,2,0,1,0")
    modem.deliver()
    t.until(b"06\r\n")
    t.send(b"AT+CNMA=2\r")
    assert t.until(b"+CMT").startswith(b"\r\nOK\r\n")
    t.until(b"06\r\n")
    t.send(b"AT+CNMA=1,3\r")
    t.until(b"> ")
    t.send(b"000000\x1a")
    assert t.result() == b"\r\nOK\r\n"
    assert [row["acknowledged"] for row in modem.rows("mt")] == [False, True]


def test_reports_are_acknowledged_as_messages_are(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CSMS=1", "AT+CNMI=2,1,0,1,0")
    t.submit(HELLO_REPORT)
    assert report(t) == (0, 0)
    assert modem.status()["awaits_cnma"]
    t.ok("AT+CNMA")


# ------------------------------------------------------------------------------------------- bad and odd traffic


def test_a_broken_tpdu_arrives_as_it_is(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CNMI=2,1,0,0,0")
    for octets in ("04", "040c91", "ff" * 200, "040c914477000990990000621132210000400fe832"):
        modem.control("deliver", tpdu=octets)
    listed = t.ok("AT+CMGL=4")
    assert [line[16:].lower() for line in listed if not line.startswith("+")][:2] == ["04", "040c91"]


def test_text_mode_shows_what_it_cannot_read_as_octets(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CMGF=1", "AT+CNMI=2,2,0,1,0")
    modem.control("deliver", tpdu="040c91")
    modem.control("deliver", tpdu="0607")
    assert t.until(b"0607\r\n") == b'\r\n+CMT: "",,""\r\n040C91\r\n\r\n+CDS: 0607\r\n'
    t.ok("AT+CNMI=2,1,0,0,0")
    modem.control("deliver", tpdu="040c91")
    assert t.ok('AT+CMGL="ALL"')[-1] == "040C91"


def test_a_silent_message_leaves_no_trace_on_the_modem(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CNMI=2,1,0,0,0")
    modem.deliver(pid=0x40)
    t.quiet()
    assert t.ok("AT+CMGL=4") == []


# --------------------------------------------------------------------------------------------------- text mode


def test_text_mode_sends_and_reads(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CMGF=1", "AT+CNMI=2,1,0,0,0")
    t.send(b'AT+CMGS="+447700900123"\r')
    t.until(b"> ")
    t.send(b"line one\rline two\x1a")
    assert t.result() == b"\r\n> \r\n+CMGS: 0\r\n\r\nOK\r\n"
    assert modem.rows("submit")[0]["text"] == "line one\nline two"
    modem.deliver("answer", scts="2026-11-23T12:00:00+01:00")
    t.until(b"+CMTI")
    t.until(b"\r\n")
    assert t.ok("AT+CMGR=1") == ['+CMGR: "REC UNREAD","+447700900999",,"26/11/23,12:00:00+04"', "answer"]
    assert t.ok('AT+CMGL="ALL"')[0] == '+CMGL: 1,"REC READ","+447700900999",,"26/11/23,12:00:00+04"'


def test_text_mode_speaks_ucs2(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CMGF=1", 'AT+CSCS="UCS2"', "AT+CSMP=17,167,0,8")
    number = "+447700900123".encode("utf-16-be").hex()
    t.send(f'AT+CMGS="{number}"\r'.encode())
    t.until(b"> ")
    t.send("Привет".encode("utf-16-be").hex().encode() + b"\x1a")
    assert b"+CMGS: 0" in t.result()
    assert modem.rows("submit")[0]["text"] == "Привет"
