"""The AT commands about the device, the SIM, the network and calls (27.007, V.250)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hil.emulator import tpdu, ussd
from hil.emulator.at import DEFERRED, AtError, Call, cme
from hil.emulator.settings import ACCESS

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.emulator.modem import Modem

TABLE: dict[str, Callable[[Modem, Call], list[str]]] = {}

VENDOR: Final = frozenset(
    {"+CPINR", "+QPINC", "+SPIC", "^CPIN", "+ZPINPUK", "+UPINCNT", "#PCT", "+CPINC", "^SPIC", "+QURCCFG", "!GPSEND"}
)
"""Commands of the table that a family has only where its persona says so."""

EF_ICCID: Final = 0x2FE2
"""The file that holds the ICCID, ten octets of swapped digits (ETSI TS 102 221 §13.2)."""


def command(*names: str) -> Callable[[Callable[[Modem, Call], list[str]]], Callable[[Modem, Call], list[str]]]:
    """Enter a handler into the table."""

    def enter(handler: Callable[[Modem, Call], list[str]]) -> Callable[[Modem, Call], list[str]]:
        TABLE.update(dict.fromkeys(names, handler))
        return handler

    return enter


def _choice(call: Call, allowed: tuple[int, ...], default: int = 0) -> int:
    (value,) = call.numbers((default,))
    if value not in allowed:
        raise AtError
    return value


# ------------------------------------------------------------------------------------------------------ V.250


@command("E")
def _e(modem: Modem, call: Call) -> list[str]:
    modem.active.parameters.echo = bool(_choice(call, (0, 1)))
    return []


@command("V")
def _v(modem: Modem, call: Call) -> list[str]:
    modem.active.parameters.verbose = bool(_choice(call, (0, 1)))
    return []


@command("Q")
def _q(modem: Modem, call: Call) -> list[str]:
    modem.active.parameters.quiet = bool(_choice(call, (0, 1)))
    return []


@command("X", "L", "M", "&C", "&D", "&W", "&K", "+IFC", "+ICF", "\\Q")
def _accepted(_modem: Modem, _call: Call) -> list[str]:
    return []


@command("+IPR")
def _ipr(modem: Modem, call: Call) -> list[str]:
    if call.op == "=" and call.args.isdecimal() and "wrong_baud" in modem.faults:
        rate = int(call.args)
        modem.after(0, lambda: modem.faults.update(wrong_baud=rate))
    return []


@command("S0", "S3", "S4", "S5", "S7", "S10")
def _s(modem: Modem, call: Call) -> list[str]:
    register = int(call.name[1:])
    if call.op == "?":
        return [f"{modem.active.parameters.s.get(register, 0):03d}"]
    value = int(call.args or 0)
    if value > (127 if register in (3, 4, 5) else 255):
        raise AtError
    modem.active.parameters.s[register] = value
    return []


@command("Z", "&F")
def _z(modem: Modem, call: Call) -> list[str]:
    if call.op == "=" and call.args not in ("0", ""):
        raise AtError
    fresh = type(modem.registers)()
    r = modem.registers
    modem.active.parameters = type(modem.active.parameters)()
    r.cmee, r.cmgf, r.csms, r.clip = 0, 0, 0, 0
    r.report = fresh.report
    if call.name == "&F":
        r.cnmi = list(modem.persona.cnmi)
    return []


@command("I")
def _i(modem: Modem, _call: Call) -> list[str]:
    persona = modem.persona
    lines = persona.ati or (persona.manufacturer, persona.model, f"Revision: {persona.revision}")
    return ["\r\n".join(lines).format(imei=modem.imei)]


@command("+GCAP")
def _gcap(_modem: Modem, _call: Call) -> list[str]:
    return ["+GCAP: +CGSM,+DS,+ES"]


@command("H", "+CHUP")
def _hang_up(modem: Modem, _call: Call) -> list[str]:
    modem.calling = None
    return []


@command("D")
def _dial(modem: Modem, call: Call) -> list[str]:
    modem.need_sim("CME")
    if call.args.rstrip(";").endswith("#"):
        ussd.ask(modem, call.args.rstrip(";"))
        return []
    modem.block("NO CARRIER")
    modem.silence()
    return DEFERRED


# --------------------------------------------------------------------------------------------------- identity


@command("+CGMI", "+GMI")
def _manufacturer(modem: Modem, _call: Call) -> list[str]:
    return [modem.persona.manufacturer]


@command("+CGMM", "+GMM")
def _model(modem: Modem, _call: Call) -> list[str]:
    return [modem.persona.model]


@command("+CGMR", "+GMR")
def _revision(modem: Modem, _call: Call) -> list[str]:
    return [modem.persona.revision]


@command("+CGSN", "+GSN")
def _imei(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return []
    return [f'+CGSN: "{modem.imei}"' if call.args == "1" else modem.imei]


@command("+CIMI")
def _imsi(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return []
    modem.need_sim("CME")
    return [modem.sim.imsi]


def iccid(modem: Modem, call: Call, typed: str) -> list[str]:
    """The family's command for the ICCID; not in the table, because the families differ in its name and answer."""
    if call.op == "=?":
        return []
    if not modem.sim.present or not modem.sim_up:
        raise cme(10 if not modem.sim.present else modem.persona.early_sim)
    forms = modem.persona.iccid
    form = forms.get(typed) or forms[typed.rstrip("?")]
    return [form.format(iccid=modem.sim.iccid)]


@command("+CRSM")
def _crsm(modem: Modem, call: Call) -> list[str]:
    """READ BINARY and GET RESPONSE of EF_ICCID (27.007 §8.18); any other file is not there (SW 6A82)."""
    if call.op == "=?":
        return []
    if not modem.sim.present or not modem.sim_up:
        raise cme(10 if not modem.sim.present else modem.persona.early_sim)
    values = call.values()
    if len(values) < 1 or not all(value is None or value.isalnum() for value in values):
        raise cme(50)
    action, file = int(values[0] or 0), int(values[1] or 0) if len(values) > 1 else 0
    if file != EF_ICCID:
        return ["+CRSM: 106,130"]
    if action == 0xC0:
        return ["+CRSM: 144,0,0000000A2FE2040000000000"]
    if action != 0xB0:
        return ["+CRSM: 109,0"]
    digits = modem.sim.iccid.ljust(20, "F")
    octets = "".join(digits[at + 1] + digits[at] for at in range(0, 20, 2))
    length = int(values[4] or 0) if len(values) > 4 else 0
    return [f'+CRSM: 144,0,"{octets[: 2 * length] if length else octets}"']


@command("+CNUM")
def _cnum(modem: Modem, _call: Call) -> list[str]:
    modem.need_sim("CME")
    toa = 145 if modem.sim.number.startswith("+") else 129
    return [f'+CNUM: "","{modem.sim.number}",{toa}']


@command("+CMEE")
def _cmee(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return ["+CMEE: (0-2)"]
    if call.op == "?":
        return [f"+CMEE: {modem.registers.cmee}"]
    modem.registers.cmee = _choice(call, (0, 1, 2))
    return []


@command("+CSCS")
def _cscs(modem: Modem, call: Call) -> list[str]:
    sets = ("IRA", "GSM", "UCS2", "HEX", "8859-1")
    if call.op == "=?":
        return ["+CSCS: (" + ",".join(f'"{name}"' for name in sets) + ")"]
    if call.op == "?":
        return [f'+CSCS: "{modem.registers.cscs}"']
    name = (call.values()[0] or "").upper()
    if name not in sets:
        raise cme(4)
    modem.registers.cscs = name
    modem.once["ira"] += name == "IRA"
    return []


# -------------------------------------------------------------------------------------------------------- SIM


@command("+CPIN")
def _cpin(modem: Modem, call: Call) -> list[str]:
    sim = modem.sim
    if call.op == "=?":
        return []
    if not modem.sim_up:
        raise cme(modem.persona.early_sim)
    if sim.state == "ready" and (modem.sim_busy or "busy_sim" in modem.faults):
        modem.need_sim("CME")
    if call.op == "?":
        if sim.state in ("out", "dead"):
            raise cme(10 if sim.state == "out" else 13)
        line = "+CPIN: " + {"ready": "READY", "pin": "SIM PIN", "puk": "SIM PUK"}[sim.state]
        if modem.quirk("missing_ok"):
            modem.block(line)
            modem.silence()
            return DEFERRED
        return [line]
    values = call.values()
    match sim.state, len(values):
        case "pin", 1 | 2:
            right = sim.verify(values[0] or "")
        case "puk", 2:
            right = sim.unblock(values[0] or "", values[1] or "")
        case "puk", 1:
            raise cme(12)
        case "out", _:
            raise cme(10)
        case "dead", _:
            raise cme(13)
        case _:
            raise cme(3)
    modem.network.changed()
    if not right:
        raise cme(16 if sim.state in ("pin", "puk") else 13)
    modem.pin_entered()
    return []


@command("+CPINR", "+QPINC", "+SPIC", "^CPIN", "+ZPINPUK", "+UPINCNT", "#PCT", "+CPINC", "^SPIC")
def _counters(modem: Modem, call: Call) -> list[str]:
    """How many tries are left, in the form of the family; the second PIN has all of its own."""
    sim = modem.sim
    if not sim.present:
        raise cme(10)
    pin, puk = sim.pin_left, sim.puk_left
    current = puk if sim.state == "puk" else pin
    match call.name:
        case "+QPINC":
            return [f'+QPINC: "SC",{pin},{puk}\r\n+QPINC: "P2",3,10']
        case "+SPIC":
            return [f"+SPIC: {pin},{puk},3,10"]
        case "^CPIN":
            state = {"ready": "READY", "pin": "SIM PIN"}.get(sim.state, "SIM PUK")
            # the count of what is asked for; nothing is asked for when READY
            return [f"^CPIN: {state},{'' if state == 'READY' else current},{puk},{pin},10,3"]
        case "+ZPINPUK":  # the order is not documented: as +SPIC
            return [f"+ZPINPUK: {pin},{puk},3,10"] if call.op == "=?" else []
        case "+UPINCNT":
            return [f"+UPINCNT: {pin},3,{puk},10"]
        case "+CPINC":
            return [f"+CPINC: {pin},3,{puk},10"]
        case "#PCT":
            return [f"#PCT: {current}"]
        case "^SPIC":
            which = [value for value in call.values() if value] if call.args else []
            if which and which[0] != "SC":
                return ["^SPIC: 3"]
            return [f"^SPIC: {(puk if which[1:] == ['1'] else pin) if which else current}"]
    return [f"+CPINR: SIM PIN,{pin},3", f"+CPINR: SIM PUK,{puk},10"]


@command("+QURCCFG")
def _qurccfg(modem: Modem, call: Call) -> list[str]:
    """The read form; the set forms are the persona's ``routes``."""
    if call.op == "=" and call.args.upper().replace(" ", "") == '"URCPORT"':
        names = {"at": "usbat", "ppp": "usbmodem", "uart": "uart1"}
        return [f'+QURCCFG: "urcport","{names.get(modem.urc_role, modem.urc_role)}"']
    if call.op == "=?":
        return ['+QURCCFG: "urcport",("usbat","usbmodem","uart1","uart2","all")']
    raise cme(50)


@command("!GPSEND")
def _gpsend(modem: Modem, _call: Call) -> list[str]:
    """Ends the position session that makes an MC7455 say OK at the wrong place (T10)."""
    modem.settings.quirks = [name for name in modem.settings.quirks if name != "stray_ok"]
    return []


@command("+CLCK")
def _clck(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return ['+CLCK: ("SC")']
    values = call.values()
    if call.op != "=" or len(values) < 2 or values[0] != "SC":
        raise cme(4)
    if not modem.sim.present:
        raise cme(10)
    if values[1] == "2":
        return [f"+CLCK: {int(modem.sim.pin_enabled)}"]
    if values[1] not in ("0", "1") or len(values) < 3:
        raise cme(50)
    modem.need_sim("CME")
    if not modem.sim.verify(values[2] or ""):
        raise cme(16)
    modem.sim.pin_enabled = values[1] == "1"
    return []


@command("+CPWD")
def _cpwd(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return ['+CPWD: ("SC",8)']
    values = call.values()
    if len(values) != 3 or values[0] != "SC":
        raise cme(4)
    modem.need_sim("CME")
    if not modem.sim.pin_enabled:
        raise cme(3)
    if not modem.sim.verify(values[1] or ""):
        raise cme(16)
    modem.sim.pin = values[2] or ""
    return []


# ------------------------------------------------------------------------------------------- power and radio


@command("+CFUN")
def _cfun(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return ["+CFUN: (0,1,4),(0,1)"]
    if call.op == "?":
        return [f"+CFUN: {modem.cfun}"]
    function, reset = call.numbers((1, 0))
    if function not in (0, 1, 4) or reset not in (0, 1):
        raise cme(50)
    if reset:
        modem.loop.call_soon(modem.reset)
        return []
    if function == 1 and modem.quirk("cfun_busy_twice") and modem.once["cfun"] < 2:
        modem.once["cfun"] += 1
        raise cme(515)
    modem.cfun = function
    modem.update_registration()
    return []


@command("+COPS")
def _cops(modem: Modem, call: Call) -> list[str]:
    r, settings = modem.registers, modem.settings
    if call.op == "=?":
        return _scan(modem)
    names = (settings.operator, settings.operator[:8], settings.plmn)
    if call.op == "?":
        if not modem.reachable:
            return [f"+COPS: {r.cops_mode}"]
        return [f'+COPS: {r.cops_mode},{r.cops_format},"{names[r.cops_format]}",{ACCESS[settings.technology]}']
    values = call.values()
    mode = values[0] or "0"
    if mode not in ("0", "1", "2", "3", "4"):
        raise cme(50)
    if len(values) > 1 and values[1] is not None:
        if values[1] not in ("0", "1", "2"):
            raise cme(50)
        r.cops_format = int(values[1])
    if mode in ("1", "4") and len(values) > 2 and values[2] not in names:
        raise cme(30)
    if mode != "3":
        r.cops_mode = int(mode)
        modem.update_registration()
    return []


def _scan(modem: Modem) -> list[str]:
    settings = modem.settings
    access = ACCESS[settings.technology]
    line = (
        f'+COPS: (2,"{settings.operator}","{settings.operator[:8]}","{settings.plmn}",{access}),'
        f'(3,"Other Net","Other","23499",{access}),,(0,1,2,3,4),(0,1,2)'
    )
    if not settings.scan_delay:
        return [line]
    ended = False
    session = modem.active

    def end(*blocks: str) -> None:
        nonlocal ended
        if not ended:
            ended = True
            session.complete(*blocks)

    session.abortable(end)
    modem.after(settings.scan_delay, lambda: end(line))
    return DEFERRED


def registration(modem: Modem, kind: str, n: int) -> str:
    """What follows ``+CREG: `` in the unsolicited form under <n>."""
    stat = modem.stat(kind)
    if n < 2 or stat not in (1, 5, 6, 7):
        return str(stat)
    return f'{stat},"1A2B","01C3D4E5",{ACCESS[modem.settings.technology]}'


@command("+CREG", "+CGREG", "+CEREG")
def _creg(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return [f"{call.name}: (0-2)"]
    if call.op == "?":
        n = modem.registers.report[call.name]
        return [f"{call.name}: {n},{registration(modem, call.name, n)}"]
    modem.registers.report[call.name] = _choice(call, (0, 1, 2))
    return []


@command("+CSQ")
def _csq(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return ["+CSQ: (0-31,99),(0-7,99)"]
    level = modem.settings.csq if modem.cfun == 1 else 99
    return [f"+CSQ: {level},{modem.settings.ber}"]


@command("+CESQ")
def _cesq(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return ["+CESQ: (0-63,99),(0-7,99),(0-96,255),(0-49,255),(0-34,255),(0-97,255)"]
    csq = modem.settings.csq
    if csq == 99 or modem.cfun != 1:
        return ["+CESQ: 99,99,255,255,255,255"]
    if ACCESS[modem.settings.technology] >= 7:
        return [f"+CESQ: 99,99,255,255,20,{min(97, csq * 2 + 20)}"]
    return [f"+CESQ: {min(63, csq * 2)},99,255,255,255,255"]


@command("+CPAS")
def _cpas(modem: Modem, _call: Call) -> list[str]:
    return [f"+CPAS: {3 if modem.calling else 0}"]


@command("+CBC")
def _cbc(_modem: Modem, call: Call) -> list[str]:
    return ["+CBC: (0-2),(0-100)"] if call.op == "=?" else ["+CBC: 0,100,4100"]


@command("+CGATT")
def _cgatt(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return ["+CGATT: (0,1)"]
    return [f"+CGATT: {int(modem.reachable)}"] if call.op == "?" else []


@command("+CCLK")
def _cclk(modem: Modem, call: Call) -> list[str]:
    if call.op != "?":
        return []
    if modem.settings.clock:
        return [f'+CCLK: "{modem.settings.clock}"']
    now = tpdu.now()
    return [f'+CCLK: "{now:%y/%m/%d,%H:%M:%S}+00"']


@command("+CTZU", "+CTZR")
def _ctz(_modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return [f"{call.name}: (0,1)"]
    return [f"{call.name}: 0"] if call.op == "?" else []


# ------------------------------------------------------------------------------------------------------ calls


@command("+CLIP")
def _clip(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return ["+CLIP: (0,1)"]
    if call.op == "?":
        return [f"+CLIP: {modem.registers.clip},1"]
    modem.registers.clip = _choice(call, (0, 1))
    return []


@command("+CRC")
def _crc(_modem: Modem, call: Call) -> list[str]:
    return ["+CRC: 0"] if call.op == "?" else []


@command("+CUSD")
def _cusd(modem: Modem, call: Call) -> list[str]:
    """27.007 §7.15: 0 and 1 switch the unsolicited line off and on, 2 ends the session."""
    if call.op == "=?":
        return ["+CUSD: (0,1,2)"]
    if call.op == "?":
        return [f"+CUSD: {modem.registers.cusd}"]
    values = call.values()
    if values[0] not in ("0", "1", "2"):
        raise cme(50)
    if values[0] == "2":
        ussd.cancel(modem)
        return []
    modem.registers.cusd = int(values[0])
    if len(values) > 1 and values[1]:
        modem.need_sim("CME")
        dcs = int(values[2]) if len(values) > 2 and values[2] and values[2].isdecimal() else ussd.GSM7
        ussd.ask(modem, ussd.read(modem, values[1], dcs))
    return []
