"""The AT side, to the octet, through a real pty: V.250 lines, 27.007 device and SIM commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hil.emulator.testing import Bench, Unused

# ------------------------------------------------------------------------------------------------------ V.250


def test_echo_comes_back_before_the_result(modem: Unused) -> None:
    t = modem.terminal
    t.send(b"ATE1\r")
    assert t.until(b"OK\r\n") == b"\r\nOK\r\n"
    t.send(b"at+csq\r")
    assert t.until(b"OK\r\n") == b"at+csq\r\r\n+CSQ: 20,99\r\n\r\nOK\r\n"
    t.send(b"ATE0\r")
    assert t.until(b"OK\r\n") == b"ATE0\r\r\nOK\r\n"
    t.quiet()


def test_numeric_results_have_no_line_feeds(modem: Unused) -> None:
    t = modem.terminal
    t.send(b"ATV0\r")
    assert t.until(b"0\r") == b"0\r"
    t.send(b"AT+CSQ\r")
    assert t.until(b"\r\n0\r") == b"+CSQ: 20,99\r\n0\r"
    t.send(b"AT+NOSUCH\r")
    assert t.until(b"\r") == b"4\r"
    t.send(b"ATV1\r")
    assert t.until(b"OK\r\n") == b"\r\nOK\r\n"


def test_quiet_suppresses_results_but_not_information(modem: Unused) -> None:
    t = modem.terminal
    t.send(b"ATQ1\r")
    t.send(b"AT+CSQ\r")
    assert t.until(b"99\r\n") == b"\r\n+CSQ: 20,99\r\n"
    t.send(b"ATQ0\r")
    assert t.until(b"OK\r\n") == b"\r\nOK\r\n"


def test_commands_of_one_line_run_in_order_and_stop_at_the_first_error(modem: Unused) -> None:
    t = modem.terminal
    t.send(b"ATE0V1+CMEE=1;+CSQ;+CMGF?;+NOSUCH;+CMGF=1\r")
    assert t.result() == b"\r\n+CSQ: 20,99\r\n\r\n+CMGF: 0\r\n\r\nERROR\r\n"
    assert t.ok("AT+CMGF?") == ["+CMGF: 0"]


def test_a_slash_repeats_the_last_line_at_once(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CSQ")
    t.send(b"A/")
    assert t.until(b"OK\r\n") == b"\r\n+CSQ: 20,99\r\n\r\nOK\r\n"


def test_backspace_edits_and_line_feeds_and_noise_are_passed_over(modem: Unused) -> None:
    t = modem.terminal
    t.send(b"\r\n\x00AT+CSX\x08Q\r\n")
    assert t.until(b"OK\r\n") == b"\r\n+CSQ: 20,99\r\n\r\nOK\r\n"
    t.send(b"xyzAT\r")
    assert t.until(b"OK\r\n") == b"\r\nOK\r\n"
    t.send(b"nothing\r")
    t.quiet()


def test_the_end_of_line_character_can_be_chosen(modem: Unused) -> None:
    t = modem.terminal
    t.send(b"ATS3?\r")
    assert t.until(b"OK\r\n") == b"\r\n013\r\n\r\nOK\r\n"
    t.send(b"ATS3=33\r")
    t.until(b"OK\r\n")
    t.send(b"ATS3=13!")
    assert t.until(b"OK\r\n") == b"\r\nOK\r\n"


@pytest.mark.parametrize(
    ("cmee", "cme", "cms"),
    [(0, "ERROR", "ERROR"), (1, "+CME ERROR: 50", "+CMS ERROR: 321"),
     (2, "+CME ERROR: Incorrect parameters", "+CMS ERROR: invalid memory index")],
)  # fmt: skip
def test_errors_follow_cmee(modem: Unused, cmee: int, cme: str, cms: str) -> None:
    t = modem.terminal
    t.ok(f"AT+CMEE={cmee}")
    assert t.error("AT+CFUN=9") == cme
    assert t.error("AT+CMGR=1") == cms


def test_characters_during_a_command_wait(modem: Unused) -> None:
    modem.control("set", submit_delay=0.1)
    t = modem.terminal
    t.send(b"AT+CMGS=19\r")
    t.until(b"> ")
    t.send(b"0011000C914477000910320000AA05E8329BFD06\x1aAT+CSQ\r")
    assert t.until(b"OK\r\n") == b"\r\n+CMGS: 0\r\n\r\nOK\r\n"
    assert t.until(b"OK\r\n") == b"\r\n+CSQ: 20,99\r\n\r\nOK\r\n"


def test_a_character_aborts_the_operator_scan(modem: Unused) -> None:
    modem.control("set", scan_delay=3600)
    modem.terminal.send(b"AT+COPS=?\r")
    modem.wait(state="executing")
    modem.terminal.send(b"x")
    assert modem.terminal.until(b"OK\r\n") == b"\r\nOK\r\n"
    modem.terminal.quiet()


# --------------------------------------------------------------------------------------------------- identity


def test_identities_are_told(modem: Unused) -> None:
    t = modem.terminal
    assert t.ok("AT+CGSN") == [modem.identity["imei"]]
    assert t.ok("AT+CIMI") == [modem.imsi]
    assert t.ok("AT+CCID") == [f"+CCID: {modem.identity['iccid']}"]
    assert t.ok("AT+CNUM") == [f'+CNUM: "","{modem.number}",145']
    assert t.ok("ATI") == ["Emulated", "EMU-1", "Revision: EMU1.0"]
    assert [t.ok(c) for c in ("AT+CGMI", "AT+GMM", "AT+CGMR")] == [["Emulated"], ["EMU-1"], ["EMU1.0"]]


def _luhn(digits: str) -> bool:
    doubled = [int(d) * (1 + place % 2) for place, d in enumerate(reversed(digits))]
    return sum(value // 10 + value % 10 for value in doubled) % 10 == 0


def test_identities_are_valid_and_distinct(bench: Bench) -> None:
    modems = bench.lend().emulator.modems
    assert all(_luhn(m["imei"]) and len(m["imei"]) == 15 for m in modems)
    assert all(_luhn(m["iccid"]) and m["iccid"].startswith("8944") for m in modems)
    assert all(m["imsi"].startswith("23410") and len(m["imsi"]) == 15 for m in modems)
    for key in ("imei", "imsi", "iccid", "number", "port"):
        assert len({m[key] for m in modems}) == 16


# -------------------------------------------------------------------------------------------------------- SIM


def test_a_wrong_pin_burns_one_try_and_the_third_blocks(modem: Unused) -> None:
    modem.control("set", sim="pin")
    t = modem.terminal
    assert t.ok("AT+CPIN?") == ["+CPIN: SIM PIN"]
    assert t.error("AT+CIMI") == "+CME ERROR: 11"
    assert t.error("AT+CMGL=4") == "+CMS ERROR: 311"
    assert t.ok("AT+CPINR") == ["+CPINR: SIM PIN,3,3", "+CPINR: SIM PUK,10,10"]
    assert t.error('AT+CPIN="0000"') == "+CME ERROR: 16"
    assert modem.status()["sim"]["pin_left"] == 2
    assert t.error('AT+CPIN="0001"') == "+CME ERROR: 16"
    assert t.error('AT+CPIN="0002"') == "+CME ERROR: 16"
    assert t.ok("AT+CPIN?") == ["+CPIN: SIM PUK"]
    assert t.error('AT+CPIN="1234"') == "+CME ERROR: 12"
    assert t.error('AT+CPIN="11111111","1234"') == "+CME ERROR: 16"
    assert modem.status()["sim"]["puk_left"] == 9
    t.ok('AT+CPIN="12345678","4321"')
    assert t.ok("AT+CPIN?")[-1] == "+CPIN: READY"
    assert modem.status()["sim"]["pin_left"] == 3


def test_the_right_pin_opens_the_sim_and_the_network(modem: Unused) -> None:
    modem.control("set", sim="pin")
    t = modem.terminal
    t.ok("AT+CREG=1")
    assert t.ok("AT+CREG?") == ["+CREG: 1,0"]
    t.send(b"AT+CPIN=1234\r")
    assert t.until(b"CREG: 1\r\n") == b"\r\nOK\r\n\r\n+CPIN: READY\r\n\r\n+CREG: 1\r\n"
    assert t.error('AT+CPIN="1234"') == "+CME ERROR: 3"
    assert modem.status()["sim"]["pin_attempts"] == 1


def test_the_pin_is_asked_again_after_a_reset_and_its_tries_are_kept(modem: Unused) -> None:
    t = modem.terminal
    t.ok('AT+CLCK="SC",1,"1234"')
    assert t.ok('AT+CLCK="SC",2') == ["+CLCK: 1"]
    t.send(b"AT+CFUN=1,1\r")
    t.until(b"+CPIN: SIM PIN\r\n")
    t.send(b"ATE0\r")
    t.until(b"OK\r\n")
    t.ok("AT+CMEE=1")
    assert t.error('AT+CPIN="9999"') == "+CME ERROR: 16"
    modem.control("fault", kind="reboot")
    t.until(b"+CPIN: SIM PIN\r\n")
    assert modem.status()["sim"]["pin_left"] == 2


def test_a_missing_sim_is_an_error_of_its_own(modem: Unused) -> None:
    modem.control("set", sim="out")
    t = modem.terminal
    assert t.error("AT+CPIN?") == "+CME ERROR: 10"
    assert t.error("AT+CPMS?") == "+CMS ERROR: 310"
    modem.control("set", sim="ready")
    assert t.ok("AT+CPIN?") == ["+CPIN: READY"]


def test_the_pin_can_be_changed(modem: Unused) -> None:
    t = modem.terminal
    assert t.error('AT+CPWD="SC","1234","5678"') == "+CME ERROR: 3"
    t.ok('AT+CLCK="SC",1,"1234"', 'AT+CPWD="SC","1234","5678"')
    assert t.error('AT+CLCK="SC",0,"1234"') == "+CME ERROR: 16"
    t.ok('AT+CLCK="SC",0,"5678"')


# ------------------------------------------------------------------------------------------- power and network


def test_registration_is_told_in_three_depths(modem: Unused) -> None:
    t = modem.terminal
    assert t.ok("AT+CREG?") == ["+CREG: 0,1"]
    assert t.ok("AT+CEREG=2", "AT+CEREG?") == ['+CEREG: 2,1,"1A2B","01C3D4E5",7']
    t.ok("AT+CREG=1")
    modem.control("set", registration=2)
    assert t.until(b"CEREG: 2\r\n") == b"\r\n+CREG: 2\r\n\r\n+CEREG: 2\r\n"
    modem.control("set", registration=5)
    assert t.until(b",7\r\n") == b'\r\n+CREG: 5\r\n\r\n+CEREG: 5,"1A2B","01C3D4E5",7\r\n'
    modem.control("set", creg=0)
    assert t.ok("AT+CREG?")[-1] == "+CREG: 1,0"
    assert modem.status()["reachable"]


def test_flight_mode_deregisters(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CFUN=4")
    assert t.ok("AT+CFUN?", "AT+CSQ") == ["+CSQ: 99,99"]
    assert t.ok("AT+COPS?") == ["+COPS: 0"]
    assert t.ok("AT+CREG?") == ["+CREG: 0,0"]
    t.ok("AT+CFUN=1")
    assert t.ok("AT+CREG?") == ["+CREG: 0,1"]


def test_the_operator_is_told_in_its_formats(modem: Unused) -> None:
    t = modem.terminal
    assert t.ok("AT+COPS?") == ['+COPS: 0,0,"Emu Mobile",7']
    assert t.ok("AT+COPS=3,2", "AT+COPS?") == ['+COPS: 0,2,"23410",7']
    assert t.ok("AT+COPS=?")[0].startswith('+COPS: (2,"Emu Mobile","Emu Mobi","23410",7),')


@pytest.mark.parametrize(("csq", "told"), [(0, "0"), (31, "31"), (99, "99")])
def test_signal_is_what_was_set(modem: Unused, csq: int, told: str) -> None:
    modem.control("set", csq=csq)
    assert modem.terminal.ok("AT+CSQ") == [f"+CSQ: {told},99"]
    assert modem.terminal.ok("AT+CESQ")[0].startswith("+CESQ: 99,99,255,255,")


def test_a_reset_forgets_the_registers_and_tells_its_boot(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CNMI=2,1,0,0,0", "AT+CMGF=1")
    t.send(b"AT+CFUN=1,1\r")
    assert t.until(b"SMS Ready\r\n") == (b"\r\nOK\r\n\r\nRDY\r\n\r\n+CFUN: 1\r\n\r\n+CPIN: READY\r\n\r\nSMS Ready\r\n")
    t.send(b"AT+CNMI?;+CMGF?\r")
    assert t.result() == b"AT+CNMI?;+CMGF?\r\r\n+CNMI: 0,0,0,0,0\r\n\r\n+CMGF: 0\r\n\r\nOK\r\n"


# ------------------------------------------------------------------------------------------------------ calls


def test_a_call_rings_with_its_number_until_hung_up(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CLIP=1")
    modem.control("call", **{"from": "+447700900999", "rings": 1000, "interval": 0.01})
    assert t.until(b",0\r\n") == b'\r\nRING\r\n\r\n+CLIP: "+447700900999",145,"",,"",0\r\n'
    t.until(b"RING")
    t.send(b"AT+CHUP\r")
    t.until(b"OK\r\n")
    t.quiet()


def test_a_service_code_is_answered_after_ok(modem: Unused) -> None:
    t = modem.terminal
    t.send(b'AT+CUSD=1,"*100#",15\r')
    assert t.until(b"15\r\n") == b'\r\nOK\r\n\r\n+CUSD: 0,"Your balance is 12.34 GBP",15\r\n'
