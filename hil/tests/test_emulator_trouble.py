"""The faults of the life cycle: what hangs and what cures it, cards, storages, reboots at bad moments, USSD."""

from __future__ import annotations

import termios
from pathlib import Path
from typing import Any

import pytest

from hil.emulator.client import ControlFailed
from hil.emulator.modem import REMEDIES
from hil.emulator.testing import Bench, Terminal, Unused

HELLO = "0011000C914477000910320000AA05E8329BFD06"


def awake(modem: Unused) -> Terminal:
    """The tty after a boot, echo off again."""
    t = modem.terminal
    t.until(b"SMS Ready\r\n")
    t.send(b"ATE0\r")
    t.until(b"OK\r\n")
    t.ok("AT+CMEE=1")
    return t


# ------------------------------------------------------------------------------------------ what hangs, and cures


def test_a_stronger_remedy_cures_what_a_weaker_one_does() -> None:
    assert REMEDIES["supply"] == frozenset(REMEDIES)
    assert all(name in cured for name, cured in REMEDIES.items())
    assert "reset_line" not in REMEDIES["usb"]


def test_wedged_until_it_is_reopened(modem: Unused) -> None:
    modem.control("fault", kind="wedged", until="reopen")
    modem.send_unheard(b"AT\r")
    t = modem.reopen()
    modem.wait(faults={})
    t.quiet()
    assert modem.status()["boots"] == 0


def test_wedged_until_a_soft_reset_reopening_is_too_weak(modem: Unused) -> None:
    modem.control("fault", kind="wedged", until="soft_reset")
    t = modem.reopen()
    modem.send_unheard(b"AT\r")
    t.send(b"AT+CFUN=1,1\r")
    awake(modem).quiet()
    assert modem.status()["remedies"]["soft_reset"] == 1


@pytest.mark.parametrize("until", ["reset_line", "power_key", "usb", "supply"])
def test_wedged_until_more_than_a_soft_reset(modem: Unused, until: str) -> None:
    modem.control("fault", kind="wedged", until=until)
    modem.send_unheard(b"AT+CFUN=1,1\r")
    assert (modem.status()["boots"], modem.status()["faults"]) == (0, {"wedged": until})
    modem.control("fault", kind="replug")
    modem.terminal.close()
    modem.terminal = Terminal(modem.port)
    awake(modem)
    assert modem.status()["faults"] == {}


def test_a_remedy_that_does_not_exist_is_told(modem: Unused) -> None:
    with pytest.raises(ControlFailed, match="until is one of"):
        modem.control("fault", kind="wedged", until="prayer")


def test_the_wrong_rate_is_noise_until_the_host_has_the_right_one(modem: Unused) -> None:
    modem.control("fault", kind="wrong_baud", rate=9600)
    t = modem.terminal
    t.send(b"ATI\r")
    with pytest.raises(TimeoutError):
        t.until(b"OK\r\n", patience=0.2)
    t.rate(termios.B9600)
    t.reread()
    t.quiet()
    t.ok("AT+IPR=115200")
    t.rate(termios.B115200)
    t.quiet()


def test_a_result_may_never_come_and_the_modem_lives(modem: Unused) -> None:
    modem.control("fault", kind="lost_result")
    t = modem.terminal
    t.send(b"AT+CMGS=19\r")
    t.until(b"> ")
    t.send(HELLO.encode() + b"\x1a")
    modem.control("wait", status={"mr": 1})
    t.quiet()
    assert modem.rows("submit")[0]["accepted"]
    assert b"+CMGS: 1" in t.submit(HELLO)


def test_a_slow_result_is_170_seconds_late(modem: Unused) -> None:
    modem.control("fault", kind="slow_result")
    assert modem.status()["faults"] == {"late_result": 170.0}
    modem.control("fault", kind="slow_result", seconds=0.05)
    assert b"+CMGS: 0" in modem.terminal.submit(HELLO)


@pytest.mark.parametrize(("at", "rows"), [("prompt", 0), ("payload", 0), ("accepted", 1)])
def test_a_reboot_in_the_middle_of_a_submit(modem: Unused, at: str, rows: int) -> None:
    modem.control("fault", kind="reboot_mid_send", at=at)
    t = modem.terminal
    t.send(b"AT+CMGS=19\r")
    t.until(b"> ")
    if at != "prompt":
        t.send(HELLO.encode() + b"\x1a")
    before = t.until(b"RDY\r\n")
    assert b"+CMGS" not in before
    awake(modem)
    assert len(modem.rows("submit")) == rows
    assert b"+CMGS: " in t.submit(HELLO)


@pytest.mark.parametrize("command", ["AT+CMGR=2", "AT+CMGL=4"])
def test_a_poisonous_message_reboots_the_modem_whenever_it_is_read(modem: Unused, command: str) -> None:
    modem.control("fault", kind="poison", text="bad")
    for text in ("good", "bad"):
        modem.deliver(text)
    t = modem.terminal
    for boots in (1, 2):
        t.send(command.encode() + b"\r")
        answer = t.until(b"RDY\r\n")
        assert (b"+CMGL: 1" in answer) == ("CMGL" in command)
        awake(modem)
        assert modem.status()["boots"] == boots
    t.ok("AT+CMGD=2")
    assert len(t.ok("AT+CMGL=4")) == 2


def test_a_stored_message_can_be_poisoned(modem: Unused) -> None:
    modem.deliver("good")
    modem.control("fault", kind="poison", index=1)
    modem.terminal.send(b"AT+CMGR=1\r")
    awake(modem)
    with pytest.raises(ControlFailed, match="no message at 9"):
        modem.control("fault", kind="poison", index=9)


# ----------------------------------------------------------------------------------- what is not told, not kept


def test_a_deaf_modem_stores_without_a_word(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CNMI=2,1,0,0,0")
    modem.control("fault", kind="deaf")
    modem.deliver()
    t.quiet()
    assert len(t.ok("AT+CMGL=4")) == 2
    modem.control("fault", kind="clear")
    modem.deliver()
    assert t.until(b",2\r\n") == b'\r\n+CMTI: "SM",2\r\n'


def test_a_full_storage_holds_mail_up_until_it_is_swept(modem: Unused) -> None:
    modem.control("set", storage_limits={"SM": 5})
    modem.control("fault", kind="storage_full", leave=1)
    modem.deliver("one")
    modem.deliver("two")
    assert (modem.status()["storages"]["SM"]["used"], len(modem.status()["held"])) == (5, 1)
    modem.terminal.ok("AT+CMGD=1,1")
    modem.wait(held=[])


def test_everything_can_be_forgotten(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CNMI=2,1,0,1,0", "AT+CSMS=1", "AT+CMGF=1", 'AT+CPMS="ME","ME","ME"')
    modem.control("fault", kind="forgotten_all")
    assert t.ok("AT+CNMI?") == ["+CNMI: 0,0,0,0,0"]
    assert t.ok("AT+CSMS?") == ["+CSMS: 0,1,1,1"]
    assert t.ok("AT+CMGF?") == ["+CMGF: 0"]
    assert t.ok("AT+CPMS?")[0].startswith('+CPMS: "SM"')


# --------------------------------------------------------------------------------------------- SIM and network


def test_a_card_is_pulled_and_put_back(modem: Unused) -> None:
    t = modem.terminal
    modem.control("fault", kind="sim_out")
    assert t.until(b"INSERTED\r\n") == b"\r\n+CPIN: NOT INSERTED\r\n"
    assert t.error("AT+CPIN?") == "+CME ERROR: 10"
    assert not modem.status()["registered"]
    modem.control("fault", kind="sim_in", urc=False)
    t.quiet()
    assert t.ok("AT+CPIN?") == ["+CPIN: READY"]
    modem.wait(registered=True)


def test_another_card_brings_its_own_mail_and_the_old_one_keeps_its_own(modem: Unused) -> None:
    t = modem.terminal
    old = modem.identity
    modem.deliver("old card")
    new = {"imsi": "234100000009999", "iccid": "8944109999999999998", "number": "+447700909999"}
    imei = old["imei"]
    control = modem.emulator.control
    control("fault", kind="sim_change", imei=imei, urc=False, **new)
    assert t.ok("AT+CIMI") == [new["imsi"]]
    assert t.ok("AT+CCID") == [f"+CCID: {new['iccid']}"]
    assert t.ok("AT+CMGL=4") == []
    modem.emulator.control("deliver", imsi=new["imsi"], **{"from": "+447700900999"}, text="new card")
    assert len(t.ok("AT+CMGL=4")) == 2
    t.submit(HELLO)
    assert [row["imsi"] for row in control.ledger("submit")][-1] == new["imsi"]
    control("fault", kind="sim_change", imei=imei, iccid=old["iccid"])
    t.until(b"+CPIN: READY\r\n")
    assert t.ok("AT+CIMI") == [old["imsi"]]
    assert len(t.ok("AT+CMGL=4")) == 2


def test_pin_and_puk_come_while_it_runs(modem: Unused) -> None:
    t = modem.terminal
    modem.control("fault", kind="pin", pin="4321")
    assert t.until(b"PIN\r\n") == b"\r\n+CPIN: SIM PIN\r\n"
    assert t.error("AT+CIMI") == "+CME ERROR: 11"
    t.ok('AT+CPIN="4321"')
    t.until(b"+CPIN: READY\r\n")
    modem.control("fault", kind="puk")
    t.until(b"+CPIN: SIM PUK\r\n")
    assert t.error('AT+CPIN="4321"') == "+CME ERROR: 12"


def test_registration_can_be_denied(modem: Unused) -> None:
    t = modem.terminal
    t.ok("AT+CREG=1")
    modem.control("fault", kind="registration", stat=3)
    assert t.until(b"3\r\n") == b"\r\n+CREG: 3\r\n"
    t.send(b"AT+CMGS=19\r")
    t.until(b"> ")
    t.send(HELLO.encode() + b"\x1a")
    assert t.result() == b"\r\n+CMS ERROR: 331\r\n"


def test_a_busy_sim_answers_so_and_then_not(modem: Unused) -> None:
    t = modem.terminal
    modem.control("fault", kind="busy_sim", times=2)
    assert t.error("AT+CIMI") == "+CME ERROR: 14"
    assert t.error("AT+CPMS?") == "+CMS ERROR: 314"
    assert t.ok("AT+CIMI") == [modem.imsi]
    modem.control("fault", kind="busy_sim")
    for _ in range(4):
        assert t.error("AT+CPIN?") == "+CME ERROR: 14"


def test_only_one_bearer_works(modem: Unused) -> None:
    t = modem.terminal
    modem.control("fault", kind="bearer", only=[1, "+CNMP=14"])
    t.ok("AT+CGSMS=3")
    assert t.submit(HELLO) == b"\r\n+CMS ERROR: 500\r\n"
    t.ok("AT+CGSMS=1")
    assert t.ok("AT+CGSMS?") == ["+CGSMS: 1"]
    assert b"+CMGS: " in t.submit(HELLO)
    t.ok("AT+CGSMS=2", "AT+CNMP=14")
    assert b"+CMGS: " in t.submit(HELLO)
    t.ok("AT+CNMP=38")
    assert t.submit(HELLO) == b"\r\n+CMS ERROR: 500\r\n"


# -------------------------------------------------------------------------------------------------- the ports


def test_a_renumbered_port_hangs_up_and_comes_as_another_one(modem: Unused) -> None:
    modem.terminal.ok("AT+CNMI=2,1,0,0,0")
    before = Path(modem.port).readlink()
    modem.control("fault", kind="renumber")
    modem.terminal.wait_hangup()
    assert Path(modem.port).readlink() != before
    modem.terminal.close()
    modem.terminal = Terminal(modem.port)
    assert modem.terminal.ok("AT+CNMI?") == ["+CNMI: 2,1,0,0,0"]
    assert modem.status()["boots"] == 0


def test_two_modems_change_places(bench: Bench) -> None:
    one, other = bench.lend(), bench.lend()
    if one.emulator is not other.emulator:
        one = bench.lend()
    control = one.emulator.control
    control("fault", kind="swap", modem=one.identity["name"], **{"with": other.identity["name"]})
    one.terminal.wait_hangup()
    for modem, found in ((one, other), (other, one)):
        modem.terminal.close()
        with Terminal(modem.port) as t:
            t.until(b"SMS Ready\r\n")
            t.send(b"ATE0\r")
            t.until(b"OK\r\n")
            assert t.ok("AT+CGSN") == [found.identity["imei"]]


# ------------------------------------------------------------------------------------------------------- USSD


ANSWERS: dict[str, Any] = {
    "*101#": {"text": "1 Balance 2 Data", "next": {"1": "12.34", "*": {"text": "Bad choice", "status": 2}}},
    "*102#": None,
    "*103#": {"text": "Баланс 5", "status": 0},
}


def test_a_ussd_session_waits_for_a_reply(modem: Unused) -> None:
    modem.control("ussd", script=ANSWERS)
    t = modem.terminal
    t.ok('AT+CUSD=1,"*101#",15')
    assert t.until(b"15\r\n") == b'\r\n+CUSD: 1,"1 Balance 2 Data",15\r\n'
    t.ok('AT+CUSD=1,"1",15')
    assert t.until(b"15\r\n") == b'\r\n+CUSD: 0,"12.34",15\r\n'
    t.ok('AT+CUSD=1,"*101#",15')
    t.until(b"15\r\n")
    t.ok('AT+CUSD=1,"7",15')
    assert t.until(b"15\r\n") == b'\r\n+CUSD: 2,"Bad choice",15\r\n'


def test_a_ussd_session_can_be_ended_and_may_get_no_answer(modem: Unused) -> None:
    modem.control("ussd", script=ANSWERS)
    t = modem.terminal
    t.ok('AT+CUSD=1,"*101#",15')
    t.until(b"15\r\n")
    t.ok("AT+CUSD=2", 'AT+CUSD=1,"1",15')
    assert t.until(b"15\r\n") == b'\r\n+CUSD: 4,"Unknown code",15\r\n'
    t.ok('AT+CUSD=1,"*102#",15')
    t.quiet()


def test_ussd_in_other_alphabets(modem: Unused) -> None:
    modem.control("ussd", script=ANSWERS)
    t = modem.terminal
    t.ok('AT+CUSD=1,"*103#",15')
    assert t.until(b"72\r\n") == f'\r\n+CUSD: 0,"{"Баланс 5".encode("utf-16-be").hex().upper()}",72\r\n'.encode()
    t.ok('AT+CSCS="UCS2"', f'AT+CUSD=1,"{"*100#".encode("utf-16-be").hex()}",15')
    text = "Your balance is 12.34 GBP".encode("utf-16-be").hex().upper()
    assert t.until(b"15\r\n") == f'\r\n+CUSD: 0,"{text}",15\r\n'.encode()


def test_the_network_may_speak_first(modem: Unused) -> None:
    modem.control("ussd", text="You have mail", status=0)
    assert modem.terminal.until(b"15\r\n") == b'\r\n+CUSD: 0,"You have mail",15\r\n'
    modem.control("ussd", status=5)
    assert modem.terminal.until(b"5\r\n") == b"\r\n+CUSD: 5\r\n"


def test_a_clock_may_be_wrong(modem: Unused) -> None:
    modem.control("set", clock="80/01/06,00:00:00+00")
    assert modem.terminal.ok("AT+CCLK?") == ['+CCLK: "80/01/06,00:00:00+00"']
