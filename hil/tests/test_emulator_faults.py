"""What a test can break, what it can ask of the network, and that the process begins and ends cleanly."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import hil.emulator as emulator_package
from hil.emulator.client import AsyncControlClient, ControlFailed, Emulator
from hil.emulator.faults import FAULTS
from hil.emulator.persona import PERSONAS, QUIRKS
from hil.emulator.testing import Terminal, Unused

if TYPE_CHECKING:
    from collections.abc import Iterator

HELLO = "0011000C914477000910320000AA05E8329BFD06"


# ----------------------------------------------------------------------------------------------------- faults


def test_mute_lasts_until_clear(modem: Unused) -> None:
    t = modem.terminal
    modem.control("fault", kind="mute")
    modem.send_unheard(b"AT+CSQ\r")
    modem.deliver()
    modem.control("fault", kind="clear")
    t.quiet()
    assert t.ok("AT+CMGL=4")[0] == "+CMGL: 1,0,,24"


def test_mute_until_reopen_ends_when_the_port_was_closed_and_opened(modem: Unused) -> None:
    modem.control("fault", kind="mute_until_reopen")
    modem.send_unheard(b"AT\r")
    assert "mute_until_reopen" in modem.status()["faults"]
    t = modem.reopen()
    modem.wait(faults={})
    t.quiet()


def test_mute_until_reset_hears_nothing_but_the_reset(modem: Unused) -> None:
    t = modem.terminal
    modem.control("fault", kind="mute_until_reset")
    t.send(b"AT\rAT+CSQ\r\x1bAT\r")
    t.send(b"AT+CFUN=1,1\r")
    assert t.until(b"SMS Ready\r\n").startswith(b"\r\nRDY\r\n")
    assert modem.status()["boots"] == 1


def test_garbage_is_the_same_each_time(modem: Unused) -> None:
    t = modem.terminal
    modem.control("fault", kind="garbage", bytes=300)
    modem.control("fault", kind="garbage", bytes=300)
    t.send(b"AT\r")
    noise = t.until(b"\r\nOK\r\n")[:-6]
    assert len(noise) == 600
    assert noise[:300] == noise[300:]


def test_a_flood_ends_after_its_count_and_stands_beside_answers(modem: Unused) -> None:
    t = modem.terminal
    modem.control("fault", kind="flood", count=200, interval=0)
    heard = b""
    while heard.count(b"+CIEV: 2,3") < 200:
        heard += t.until(b"+CIEV: 2,3\r\n")
    t.quiet()


def test_an_endless_flood_ends_with_clear(modem: Unused) -> None:
    t = modem.terminal
    modem.control("fault", kind="flood")
    t.until(b"+CIEV")
    t.send(b"AT+CGSN\r")
    t.until(modem.identity["imei"].encode())
    modem.control("fault", kind="clear")
    t.send(b"AT\r")
    t.until(b"\r\nOK\r\n")
    t.send(b"AT+CSQ\r")
    t.until(b"99\r\n\r\nOK\r\n")
    t.quiet()


def test_echo_comes_back_unasked(modem: Unused) -> None:
    modem.control("fault", kind="echo_on")
    modem.terminal.send(b"AT\r")
    assert modem.terminal.until(b"OK\r\n") == b"AT\r\r\nOK\r\n"


def test_a_stuck_prompt_needs_esc(modem: Unused) -> None:
    t = modem.terminal
    modem.control("fault", kind="stuck_prompt")
    assert t.until(b"> ") == b"\r\n> "
    t.send(b"AT\r\x1aAT+CSQ\r")
    modem.control("fault", kind="clear")
    assert modem.status()["state"] == "prompt"
    t.send(b"\x1b")
    assert t.until(b"OK\r\n") == b"\r\nOK\r\n"
    t.quiet()


def test_a_missing_prompt_takes_text_nevertheless(modem: Unused) -> None:
    t = modem.terminal
    modem.control("fault", kind="no_prompt")
    t.send(b"AT+CMGS=19\r")
    modem.wait(state="prompt")
    t.send(b"\x1b")
    assert t.until(b"OK\r\n") == b"\r\nOK\r\n"
    assert b"+CMGS: 0" in t.submit(HELLO)


def test_a_late_result_is_in_the_ledger_before_it_is_told(modem: Unused) -> None:
    t = modem.terminal
    modem.control("fault", kind="late_result", seconds=0.3)
    t.send(b"AT+CMGS=19\r")
    t.until(b"> ")
    t.send(HELLO.encode() + b"\x1a")
    modem.wait(state="executing")
    assert modem.rows("submit")[0]["accepted"]
    assert t.result() == b"\r\n+CMGS: 0\r\n\r\nOK\r\n"


def test_a_reset_in_a_submit_takes_its_result(modem: Unused) -> None:
    modem.control("set", submit_delay=3600)
    t = modem.terminal
    t.send(b"AT+CMGS=19\r")
    t.until(b"> ")
    t.send(HELLO.encode() + b"\x1a")
    modem.wait(state="executing")
    modem.control("fault", kind="reboot")
    assert t.until(b"SMS Ready\r\n").startswith(b"\r\nRDY\r\n")
    assert len(modem.rows("submit")) == 1


def test_unplug_hangs_up_and_replug_brings_the_same_name(modem: Unused) -> None:
    modem.control("fault", kind="unplug")
    modem.terminal.wait_hangup()
    assert not os.path.lexists(modem.port)
    modem.deliver()
    assert len(modem.status()["held"]) == 1
    modem.control("fault", kind="replug")
    modem.terminal = Terminal(modem.port)
    modem.terminal.until(b"SMS Ready\r\n")
    modem.wait(held=[])


def test_a_reset_can_drop_the_port(modem: Unused) -> None:
    modem.control("set", reboot_drops_port=True)
    modem.terminal.send(b"AT+CFUN=1,1\r")
    modem.terminal.wait_hangup()
    modem.wait(plugged=True)
    modem.terminal = Terminal(modem.port)
    modem.terminal.until(b"SMS Ready\r\n")
    assert modem.status()["boots"] == 1


def test_a_dead_reader_does_not_hang_up(modem: Unused) -> None:
    t = modem.reopen()
    t.quiet()
    assert modem.status()["users"] == 1
    assert modem.status()["opens"] == 2


def test_cnmi_can_be_forgotten(modem: Unused) -> None:
    modem.terminal.ok("AT+CNMI=2,1,0,1,0")
    modem.control("fault", kind="forget_cnmi")
    assert modem.terminal.ok("AT+CNMI?") == ["+CNMI: 0,0,0,0,0"]


def test_without_power_there_is_silence_until_reboot(modem: Unused) -> None:
    modem.control("fault", kind="power_off")
    modem.send_unheard(b"AT\r")
    assert not modem.status()["on"]
    modem.control("fault", kind="reboot")
    assert modem.terminal.until(b"SMS Ready\r\n").startswith(b"\r\nRDY\r\n")


def test_lines_and_octets_can_be_injected(modem: Unused) -> None:
    modem.control("fault", kind="urc", line="+CREG: 9")
    modem.control("fault", kind="raw", hex="ff00")
    assert modem.terminal.until(b"\xff\x00") == b"\r\n+CREG: 9\r\n\xff\x00"


@pytest.mark.parametrize("settings", [{"chunk": 1}, {"chunk": 7}, {"line_rate": 115200}])
def test_a_slow_or_cut_line_changes_no_octet(modem: Unused, settings: dict[str, int]) -> None:
    modem.control("set", **settings)
    t = modem.terminal
    assert t.ok("AT+CGSN") == [modem.identity["imei"]]
    assert b"+CMGS: 0" in t.submit(HELLO)


def test_every_fault_says_what_it_does() -> None:
    assert all(fault.__doc__ for fault in FAULTS.values())


# ----------------------------------------------------------------------------------------- personas and quirks


def test_personas_use_known_quirks_and_name_themselves() -> None:
    assert all(persona.quirks <= QUIRKS.keys() for persona in PERSONAS.values())
    assert all(name == persona.name for name, persona in PERSONAS.items())


@pytest.mark.parametrize(
    ("quirk", "command", "answer"),
    [
        ("delete_empty_ok", "AT+CMGD=5", b"\r\nOK\r\n"),
        ("read_empty_ok", "AT+CMGR=5", b"\r\nOK\r\n"),
        ("list_refused", "AT+CMGL=4", b"\r\n+CMS ERROR: 303\r\n"),
        ("list_empty", "AT+CMGL=4", b"\r\nOK\r\n"),
        ("cnmi_mode1", "AT+CNMI=2,1,0,1,0", b"\r\nERROR\r\n"),
        ("cnmi_no_mode2", "AT+CNMI=2,1", b"\r\n+CMS ERROR: 303\r\n"),
        ("cnmi_ds1_refused", "AT+CNMI=2,1,0,1,0", b"\r\n+CMS ERROR: 303\r\n"),
        ("cpms_two", 'AT+CPMS="SM","SM","SM"', b"\r\nERROR\r\n"),
        ("csca_busy_once", "AT+CSCA?", b"\r\n+CME ERROR: 14\r\n"),
        ("cfun_busy_twice", "AT+CFUN=1", b"\r\n+CME ERROR: 515\r\n"),
        ("bare_cms", "AT+CMGR=9", b"\r\n+CMS ERROR:\r\n"),
        ("crcrlf", "AT", b"\r\r\nOK\r\r\n"),
    ],
)
def test_a_quirk_changes_one_thing(modem: Unused, quirk: str, command: str, answer: bytes) -> None:
    modem.deliver()
    modem.control("set", quirks=[quirk])
    modem.terminal.send(command.encode() + b"\r")
    assert modem.terminal.until(answer) == answer


def test_quirks_of_headers(modem: Unused) -> None:
    modem.control("set", quirks=["no_alpha", "cds_comma"])
    modem.deliver()
    assert modem.terminal.ok("AT+CMGL=4")[0] == "+CMGL: 1,0,24"
    modem.terminal.ok("AT+CNMI=2,1,0,1,0")
    modem.terminal.submit(HELLO.replace("0011", "0031", 1))
    assert modem.terminal.until(b"+CDS: ,25\r\n")


def test_quirks_of_stored_reports(modem: Unused) -> None:
    modem.control("set", quirks=["sr_as_sm", "sr_unreadable"])
    t = modem.terminal
    t.ok("AT+CNMI=2,1,0,2,0")
    t.submit(HELLO.replace("0011", "0031", 1))
    assert t.until(b",1\r\n") == b'\r\n+CDSI: "SM",1\r\n'
    t.ok('AT+CPMS="SR"')
    assert t.error("AT+CMGR=1") == "+CMS ERROR: 321"


def test_a_quirk_of_acknowledgement(modem: Unused) -> None:
    modem.control("set", quirks=["no_ack_pdu"])
    t = modem.terminal
    t.ok("AT+CSMS=1", "AT+CNMI=2,2,0,0,0")
    modem.deliver()
    t.until(b"06\r\n")
    assert t.error("AT+CNMA=1,3") == "+CMS ERROR: 303"
    t.ok("AT+CNMA")


def test_quirks_of_service_centre_and_prompt(modem: Unused) -> None:
    modem.control("set", quirks=["csmp_clears_csca", "no_prompt_space"])
    t = modem.terminal
    t.ok("AT+CSMP=17,167,0,0")
    assert t.ok("AT+CSCA?") == ['+CSCA: "",129']
    t.send(b"AT+CMGS=19\r")
    t.until(b"\r\n>")
    t.send(b"\x1b")
    assert t.until(b"OK\r\n") == b"\r\nOK\r\n"


def test_every_quirk_has_its_branch_and_its_test() -> None:
    sources = "".join(path.read_text() for path in Path(emulator_package.__file__).parent.glob("*.py"))
    assert [name for name in QUIRKS if f'quirk("{name}")' not in sources] == []
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_emulator_*.py"))
    assert [name for name in QUIRKS if f'"{name}"' not in tests] == []


def test_quirks_without_a_final_result(modem: Unused) -> None:
    modem.control("set", quirks=["unknown_text", "missing_ok"])
    modem.terminal.send(b"AT+WIND?\r")
    assert modem.terminal.until(b"SUPPORT\r\n") == b"\r\nCOMMAND NOT SUPPORT\r\n"
    modem.terminal.send(b"AT+CPIN?\r")
    assert modem.terminal.until(b"READY\r\n") == b"\r\n+CPIN: READY\r\n"
    modem.terminal.quiet()


def test_a_stray_ok_stands_between_prompt_and_pdu_and_the_message_is_sent(modem: Unused) -> None:
    modem.control("set", quirks=["stray_ok"])
    t = modem.terminal
    t.send(b"AT+CMGS=19\r")
    assert t.until(b"OK\r\n") == b"\r\n> \r\nOK\r\n"
    t.send(HELLO.encode() + b"\x1a")
    t.quiet()
    assert modem.rows("submit")[0]["accepted"]


def test_a_refused_list_is_read_in_text_mode(modem: Unused) -> None:
    modem.control("set", quirks=["list_refused"])
    modem.deliver()
    t = modem.terminal
    assert t.ok("AT+CMGL=?") == ['+CMGL: ("REC UNREAD","REC READ","STO UNSENT","STO SENT","ALL")']
    t.ok("AT+CMGF=1")
    assert t.ok('AT+CMGL="ALL"')[1] == "hello"


def test_quirks_of_what_is_stored(modem: Unused) -> None:
    modem.control("set", quirks=["me_unreadable", "cdsi_lost"])
    t = modem.terminal
    t.ok('AT+CPMS="ME","ME","ME"', "AT+CNMI=2,1,0,2,0")
    modem.deliver()
    assert t.until(b",1\r\n") == b'\r\n+CMTI: "ME",1\r\n'
    assert t.ok("AT+CPMS?") == ['+CPMS: "ME",1,255,"ME",1,255,"ME",1,255']
    assert t.ok("AT+CMGL=4") == t.ok("AT+CMGR=1") == []
    t.ok("AT+CMGD=1")
    t.submit(HELLO.replace("0011", "0031", 1))
    assert t.until(b",0\r\n") == b'\r\n+CDSI: "SM",0\r\n'
    assert modem.status()["storages"]["SR"]["used"] == 0


def test_a_quirk_of_a_report_storage_that_is_read_one_by_one(modem: Unused) -> None:
    modem.control("set", quirks=["sr_cmgr_only"])
    t = modem.terminal
    t.ok("AT+CNMI=2,1,0,2,0")
    t.submit(HELLO.replace("0011", "0031", 1))
    assert t.until(b",1\r\n") == b'\r\n+CDSI: "SR",1\r\n'
    t.ok('AT+CPMS="SR"')
    assert t.error("AT+CMGL=4") == t.error("AT+CMGD=1,4") == "+CMS ERROR: 303"
    assert t.ok("AT+CMGR=1")[0] == "+CMGR: ,,25"
    t.ok("AT+CMGD=1")


def test_a_message_may_be_announced_without_a_place(modem: Unused) -> None:
    modem.control("set", quirks=["cmti_no_index"])
    modem.terminal.ok("AT+CNMI=2,1,0,0,0")
    modem.deliver()
    assert modem.terminal.until(b"-1\r\n") == b"\r\n+CMTI: ,-1\r\n"


def test_three_storages_or_none(modem: Unused) -> None:
    modem.control("set", quirks=["cpms_three"])
    assert modem.terminal.error('AT+CPMS="SM"') == "ERROR"
    modem.terminal.ok('AT+CPMS="SM","SM","SM"')


def test_a_character_set_cures_error_58(modem: Unused) -> None:
    modem.control("set", quirks=["charset_58"])
    t = modem.terminal
    assert t.error("AT+CPMS?") == t.error("AT+CMGF=0") == "+CME ERROR: 58"
    t.ok('AT+CSCS="IRA"', "AT+CMGF=0")


def test_the_sim_is_busy_for_a_moment_after_the_pin(modem: Unused) -> None:
    modem.control("set", quirks=["sim_busy_after_pin"], sim="pin", sim_busy=3600)
    t = modem.terminal
    t.ok('AT+CPIN="1234"')
    t.until(b"+CPIN: READY\r\n")
    assert t.error("AT+CIMI") == t.error("AT+CPIN?") == "+CME ERROR: 14"
    modem.control("set", sim_busy=0, sim="pin")
    t.ok('AT+CPIN="1234"')
    t.until(b"+CPIN: READY\r\n")
    modem.wait(sim_busy=False)
    assert t.ok("AT+CIMI") == [modem.imsi]


def test_after_power_on_the_rate_is_found_by_a_second_at(modem: Unused) -> None:
    modem.control("set", quirks=["autobaud"])
    t = modem.terminal
    modem.control("fault", kind="reboot")
    modem.wait(boots=1)
    modem.send_unheard(b"ATI\r")
    t.send(b"AT\r")
    assert t.until(b"SMS Ready\r\n").startswith(b"AT\r\r\nOK\r\n\r\nRDY\r\n")


@pytest.mark.parametrize(("quirk", "delay"), [("sms_late", 3600), ("sms_never", 0)])
def test_short_messages_may_be_ready_later_or_never(modem: Unused, quirk: str, delay: float) -> None:
    modem.control("set", quirks=[quirk], sim_delay=delay)
    t = modem.terminal
    modem.control("fault", kind="reboot")
    modem.wait(boots=1)
    t.reread()
    t.send(b"ATE0\r")
    t.until(b"OK\r\n")
    assert t.error("AT+CMGF=0") == t.error("AT+CPMS?") == "ERROR"
    modem.control("set", quirks=["sms_late"], sim_delay=0)
    modem.control("fault", kind="reboot")
    t.until(b"SMS Ready\r\n")
    t.send(b"ATE0\r")
    t.until(b"OK\r\n")
    t.ok("AT+CMGF=0")


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """One modem of each persona."""
    place = tmp_path_factory.mktemp("family")
    config = place / "config.json"
    config.write_text(json.dumps({"modems": [{"persona": name} for name in sorted(PERSONAS)]}))
    with Emulator(place / "run", "--config", str(config)) as emulator:
        yield emulator


@pytest.mark.parametrize("name", sorted(PERSONAS))
def test_a_persona_boots_and_sends(family: Emulator, name: str) -> None:
    persona = PERSONAS[name]
    identity = family.modems[sorted(PERSONAS).index(name)]
    with Terminal(identity["port"]) as t:
        family.control("fault", kind="reboot", imei=identity["imei"])
        family.control("wait", status={"boots": 1}, imei=identity["imei"])
        if "autobaud" in persona.quirks:
            t.send(b"AT\rAT\r")
        for line in (*persona.boot, *persona.ready):
            t.until(line.format(pin="READY", imei=identity["imei"]).encode())
        t.send(b"ATE0\r")
        t.until(b"OK\r\n")
        assert t.ok("AT+CGMI") == [persona.manufacturer]
        assert b"+CMGS: 0" in t.submit(HELLO)


# --------------------------------------------------------------------------------------------------- the socket


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"nonsense", "Expecting value"),
        (b"[]", "a verb is a JSON object"),
        (b'{"do":"fly"}', "no such verb: fly"),
        (b'{"do":"set","modem":"modem9999"}', "nothing to set"),
        (b'{"do":"set","modem":"modem9999","csq":1}', "no such modem"),
        (b'{"do":"set","modem":"modem1","csqq":1}', "no such key: csqq"),
        (b'{"do":"set","modem":"modem1","csq":77}', "csq cannot be 77"),
        (b'{"do":"fault","modem":"modem1","kind":"x"}', "no such fault: x"),
        (b'{"do":"fault","modem":"modem1"}', "missing or unknown: kind"),
        (b'{"do":"deliver","text":"x"}', "say which modem"),
        (b'{"do":"deliver","modem":"modem1","text":"x"}', "missing or unknown: from"),
        (b'{"do":"deliver","modem":"modem1","from":"1","text":"x","omit":[2]}', "the message has 1 parts"),
        (b'{"do":"wait"}', "wait for what"),
        (b'{"do":"wait","submits":1000000,"timeout":0.01}', "not within 0.01 s"),
    ],
)
def test_a_wrong_verb_is_told_in_words(modem: Unused, line: bytes, error: str) -> None:
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(10)
        control.connect(modem.emulator.ready["control"])
        control.sendall(line + b"\n")
        answer = json.loads(control.makefile().readline())
    assert answer["ok"] is False
    assert answer["error"].startswith(error)


def test_a_wait_ends_with_what_it_waits_for(modem: Unused) -> None:
    async def scenario() -> int:
        client = await AsyncControlClient.connect(modem.emulator.ready["control"])
        before = (await client("status", imsi=modem.imsi))["network"]["submits"]
        waiting = asyncio.create_task(client("wait", submits=before + 1, timeout=10))
        await asyncio.to_thread(modem.terminal.submit, HELLO)
        after = await waiting
        await client.close()
        return int(after["network"]["submits"]) - int(before)

    assert asyncio.run(scenario()) == 1


def test_the_status_counts_commands_and_remembers_them(modem: Unused) -> None:
    modem.terminal.ok("AT+CSQ", "AT+CSQ")
    status = modem.status()
    assert status["command_counts"]["+CSQ"] == 2
    assert status["log"][-2:] == ["AT+CSQ", "AT+CSQ"]


# --------------------------------------------------------------------------------------------------- the process


def test_the_process_says_ready_and_leaves_nothing_but_its_ledger(tmp_path: Path) -> None:
    emulator = Emulator(tmp_path, "--modems", "2")
    assert [modem["name"] for modem in emulator.ready["modems"]] == ["modem1", "modem2"]
    assert all(Path(modem["port"]).is_symlink() for modem in emulator.modems)
    assert emulator.close() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger.jsonl"]


def test_the_ledger_is_appended_to_and_flushed_line_by_line(tmp_path: Path) -> None:
    for lines in (2, 4):
        with Emulator(tmp_path) as emulator, Terminal(emulator.modems[0]["port"]) as t:
            t.send(b"ATE0\r")
            t.until(b"OK\r\n")
            t.submit(HELLO)
            emulator.process.send_signal(signal.SIGKILL)
            emulator.process.wait(10)
        rows = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
        assert [row["kind"] for row in rows] == ["submit", "message"] * (lines // 2)


def test_a_configuration_gives_each_modem_its_own(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps(
            {
                "defaults": {"csq": 7},
                "modems": [
                    {"persona": "huawei-hspa", "sim": "pin", "pin": "9876"},
                    {"number": "+447700900555", "csq": 3},
                ],
            }
        )
    )
    with Emulator(tmp_path / "run", "--config", str(config)) as emulator:
        one, other = emulator.control("status")["modems"]
        assert (one["persona"], one["sim"]["state"], one["settings"]["csq"]) == ("huawei-hspa", "pin", 7)
        assert (other["persona"], other["number"], other["settings"]["csq"]) == ("generic", "+447700900555", 3)


def test_a_wrong_configuration_ends_with_2(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"modems": [{"csqq": 7}]}')
    with pytest.raises(RuntimeError, match="ended with 2"):
        Emulator(tmp_path / "run", "--config", str(config))


def test_the_client_raises_what_the_emulator_says(modem: Unused) -> None:
    with pytest.raises(ControlFailed, match="no such verb"):
        modem.control("fly")
