"""The modem families: what each says of itself, takes and refuses, as their manuals and published sessions have it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hil.emulator.client import Emulator
from hil.emulator.persona import PERSONAS
from hil.emulator.shape import ANSWERING
from hil.emulator.testing import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = sorted(PERSONAS)
HELLO = "0031000C914477000910320000AA05E8329BFD06"
PIN_TEST = {
    "+ZPINPUK": "AT+ZPINPUK=?",
    "+SPIC": "AT+SPIC",
    "^SPIC": "AT^SPIC",
    "#PCT": "AT#PCT",
    "+UPINCNT": "AT+UPINCNT",
}
COUNTERS = {
    "+QPINC": ['+QPINC: "SC",{pin},{puk}', '+QPINC: "P2",3,10'],
    "+SPIC": ["+SPIC: {pin},{puk},3,10"],
    "^CPIN": ["^CPIN: SIM PIN,{pin},{puk},{pin},10,3"],
    "+ZPINPUK": ["+ZPINPUK: {pin},{puk},3,10"],
    "+UPINCNT": ["+UPINCNT: {pin},3,{puk},10"],
    "#PCT": ["#PCT: {pin}"],
    "+CPINC": ["+CPINC: {pin},3,{puk},10"],
    "^SPIC": ["^SPIC: {pin}"],
    "+CPINR": ["+CPINR: SIM PIN,{pin},3", "+CPINR: SIM PUK,{puk},10"],
}


class One:
    """One modem of a family: its tty with echo off and numeric errors, and the control socket on it alone."""

    def __init__(self, emulator: Emulator, name: str) -> None:
        self.persona = PERSONAS[name]
        self.identity = emulator.modems[NAMES.index(name)]
        self.emulator = emulator
        self.t = Terminal(self.identity["port"])
        self.t.send(b"ATE0\r")
        self.t.until(b"OK\r\n")
        self.t.ok("AT+CMEE=1", "AT+CMGF=0")

    def control(self, verb: str, /, **words: Any) -> dict[str, Any]:
        return self.emulator.control(verb, imei=self.identity["imei"], **words)

    def status(self) -> dict[str, Any]:
        return self.emulator.control.modem(imei=self.identity["imei"])


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    place = tmp_path_factory.mktemp("families")
    config = place / "config.json"
    config.write_text(json.dumps({"modems": [{"persona": name} for name in NAMES]}))
    with Emulator(place / "run", "--config", str(config), "--report-delay", "0") as emulator:
        yield emulator


@pytest.fixture(params=NAMES)
def one(emulator: Emulator, request: pytest.FixtureRequest) -> Iterator[One]:
    one = One(emulator, request.param)
    yield one
    one.control("set", sim="ready", csq=20)
    one.t.close()


@pytest.fixture
def of(emulator: Emulator) -> Iterator[Any]:
    lent: list[One] = []

    def lend(name: str) -> One:
        lent.append(One(emulator, name))
        return lent[-1]

    yield lend
    for one in lent:
        one.t.close()


def test_the_pin_counter_counts_down_in_the_form_of_the_family(one: One) -> None:
    counter = one.persona.counters
    command = PIN_TEST.get(counter, f"AT{counter}?")
    one.control("set", sim="pin", pin="1234", sim_busy=0)
    for left in (3, 2):
        assert one.t.ok(command) == [line.format(pin=left, puk=10) for line in COUNTERS[counter]]
        assert one.t.error('AT+CPIN="9999"') == "+CME ERROR: 16"
    one.t.ok('AT+CPIN="1234"')
    one.t.reread()
    one.control("wait", status={"sim_busy": False})
    one.t.ok('AT+CLCK="SC",0,"1234"')
    other = "AT+SPIC" if counter == "+QPINC" else "AT+QPINC?"
    if "unknown_text" not in one.persona.quirks:
        assert one.t.error(other) == "ERROR"


def test_the_iccid_is_read_by_the_family_s_command_and_from_its_file(one: One) -> None:
    iccid = one.identity["iccid"]
    for typed, form in one.persona.iccid.items():
        assert one.t.ok(f"AT{typed}") == [form.format(iccid=iccid)]
    (line,) = one.t.ok("AT+CRSM=176,12258,0,0,10")
    swapped = line.removeprefix('+CRSM: 144,0,"').removesuffix('"')
    assert "".join(swapped[at + 1] + swapped[at] for at in range(0, 20, 2)) == iccid.ljust(20, "F")


def test_the_first_stored_message_has_the_family_s_first_index(one: One) -> None:
    persona, t = one.persona, one.t
    assert t.ok("AT+CPMS?")[0].startswith(f'+CPMS: "{persona.cpms[0]}",0,')
    if "cpms_two" not in persona.quirks:
        assert t.ok('AT+CPMS="SM","SM","SM"') == [f"+CPMS: {','.join(['0', str(persona.storages['SM'])] * 3)}"]
    cnmi = next(
        f"AT+CNMI={mode},1,0,0,{bfr}"
        for mode in (2, 1)
        for bfr in (0, 1)
        if t.final(f"AT+CNMI={mode},1,0,0,{bfr}")[1] == "OK"
    )
    t.ok(cnmi)
    one.control("deliver", **{"from": "+447700900999"}, text="hello")
    assert t.until(b'"SM",') == b'\r\n+CMTI: "SM",'
    assert t.until(b"\r\n") == f"{persona.index_base}\r\n".encode()
    t.ok(f"AT+CMGD={persona.index_base}")


@pytest.mark.parametrize(
    ("name", "taken", "refused"),
    [
        ("quectel-ec2x", "2,1,0,1,0", None),
        ("simcom-sim7600", "2,1,0,2,0 1,1,0,1,0 1,2,0,1,0", ("2,1,0,1,0", "ERROR")),
        ("simcom-a76xx", "1,1,0,1,0", ("2,2,0,1,0", "ERROR")),
        ("simcom-sim7070", "2,1,0,2,0 1,1,0,1,0", ("2,1,0,1,0", "+CMS ERROR: 303")),
        ("simcom-sim7000", "1,1,0,1,0", ("2,1,0,1,0", "ERROR")),
        ("huawei-hspa", "2,1,0,2,0 1,1,0,1,0", None),
        ("zte-usb", "1,1,0,1,0", ("2,1,0,1,0", "+CMS ERROR: 303")),
        ("cinterion", "2,1,0,2,1", ("2,1,0,2,0", "+CMS ERROR: 303")),
        ("mtk-sticks", "2,1,0,2,0", ("2,1,0,1,0", "+CMS ERROR: 303")),
        ("mtk-sticks", "2,1,0,0,0", ("1,2,0,0,0", "+CMS ERROR: 303")),
        ("wavecom", "2,1,0,2", ("2,1,0,3", "+CMS ERROR: 303")),
    ],
)
def test_cnmi_is_taken_and_refused_as_the_family_does(
    of: Any, name: str, taken: str, refused: tuple[str, str] | None
) -> None:
    t = of(name).t
    for values in taken.split():
        t.ok(f"AT+CNMI={values}")
        assert t.ok("AT+CNMI?") == [f"+CNMI: {values}{',0' if values.count(',') == 3 else ''}"]
    if refused:
        assert t.error(f"AT+CNMI={refused[0]}") == refused[1]


@pytest.mark.parametrize("name", [name for name in NAMES if PERSONAS[name].usb])
def test_a_usb_shape_has_one_port_for_what_happens_unasked(name: str) -> None:
    usb = PERSONAS[name].usb
    assert usb is not None
    numbers = [interface.number for interface in usb.interfaces]
    assert len(set(numbers)) == len(numbers)
    roles = [interface.role for interface in usb.interfaces]
    assert roles.count("at") == 1
    assert any(role in ANSWERING for role in roles)
    assert len(usb.vid) == len(usb.pid) == 4


def test_families_have_timings_that_can_be_kept() -> None:
    for persona in PERSONAS.values():
        assert 0 < persona.pwrkey_on_ms <= 5000
        assert 0 < persona.pwrkey_off_ms <= 5000
        assert 0 < persona.boot_seconds < 60


def test_a_vendor_s_error_number_stands_for_the_standard_one(of: Any) -> None:
    for name, code in (("quectel-bg9x", 531), ("simcom-sim7070", 531), ("generic", 322)):
        one = of(name)
        one.control("set", storage_limits={"SM": 0, "ME": 0})
        one.t.send(b"AT+CMGW=19\r")
        one.t.until(b"> ")
        one.t.send(HELLO.encode() + b"\x1a")
        assert one.t.result() == f"\r\n+CMS ERROR: {code}\r\n".encode()
        one.control("set", storage_limits=dict(PERSONAS[name].storages))


def test_the_sim_comes_later_than_the_modem(of: Any) -> None:
    """T5: AT+CPIN? too early is +CME ERROR: SIM failure on an A76xx, and busy elsewhere."""
    for name, code in (("simcom-a76xx", 13), ("quectel-ec2x", 14)):
        one = of(name)
        one.control("set", sim_delay=3600)
        one.control("fault", kind="reboot")
        one.t.until(PERSONAS[name].boot[0].encode() + b"\r\n")
        one.t.send(b"ATE0\r")
        one.t.until(b"OK\r\n")
        one.t.ok("AT+CMEE=1")
        assert one.t.error("AT+CPIN?") == one.t.error("AT+CIMI") == f"+CME ERROR: {code}"
        assert one.t.ok("AT+CREG?") == ["+CREG: 0,0"]
        one.control("set", sim_delay=None)
        one.control("fault", kind="reboot")
        one.t.until(PERSONAS[name].ready[-1].encode() + b"\r\n")


def test_a_real_start_takes_what_the_family_takes(of: Any) -> None:
    one = of("simcom-sim7600")
    one.control("set", boot_delay="real")
    one.control("fault", kind="reboot")
    status = one.status()
    assert (status["on"], status["booting"]) == (False, True)
    one.control("set", boot_delay=0)
    one.control("fault", kind="power_off")
    one.control("fault", kind="reboot")
    one.t.until(b"PB DONE\r\n")


def test_the_farewell_of_a_family(of: Any) -> None:
    for name, command, farewell in (
        ("quectel-ec2x", "AT+QPOWD=1", b"\r\nOK\r\n\r\nPOWERED DOWN\r\n"),
        ("simcom-2g", "AT+CPOWD=1", b"\r\nOK\r\n\r\nNORMAL POWER DOWN\r\n"),
        ("cinterion", "AT^SMSO", b"\r\n^SMSO: MS OFF\r\n\r\nOK\r\n\r\n^SHUTDOWN\r\n"),
    ):
        one = of(name)
        one.t.send(command.encode() + b"\r")
        assert one.t.until(farewell) == farewell
        assert not one.status()["on"]
        one.control("fault", kind="reboot")
        one.control("wait", status={"on": True})


def test_a_sierra_s_position_session_ends_by_its_command(of: Any) -> None:
    one = of("sierra-mc74xx")
    one.control("set", quirks=["stray_ok"])
    one.t.ok("AT!GPSEND=0,255")
    assert b"+CMGS: " in one.t.submit(HELLO)


def test_chatter_comes_until_it_is_hushed(of: Any) -> None:
    one = of("huawei-hspa")
    one.control("set", chatter=0.01)
    for line in one.persona.chatter:
        one.t.until(line.encode() + b"\r\n")
    one.t.send(b"AT^CURC=0\r")
    one.t.until(b"\r\nOK\r\n")
    one.t.quiet()
    one.control("set", chatter=0)


def test_the_urcs_go_where_they_were_sent(of: Any) -> None:
    one = of("quectel-ec2x")
    t = one.t
    one.control("fault", kind="urc_elsewhere")
    t.ok("AT+CNMI=2,1,0,0,0")
    one.control("deliver", **{"from": "+447700900999"}, text="unheard")
    t.quiet()
    t.ok('AT+QURCCFG="urcport","usbat"')
    assert t.ok('AT+QURCCFG="urcport"') == ['+QURCCFG: "urcport","usbat"']
    one.control("deliver", **{"from": "+447700900999"}, text="heard")
    assert t.until(b"\r\n+CMTI: ").endswith(b"+CMTI: ")


def test_ussd_is_packed_on_a_huawei(of: Any) -> None:
    """AA180C3602 is *100# in GSM 7 bit, packed."""
    one = of("huawei-hspa")
    one.control("ussd", script={"*100#": "hello"})
    one.t.ok('AT+CUSD=1,"AA180C3602",15')
    assert one.t.until(b"15\r\n") == b'\r\n+CUSD: 0,"E8329BFD06",15\r\n'
