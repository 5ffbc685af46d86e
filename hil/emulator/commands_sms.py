"""The AT commands for short messages (27.005), in PDU mode and in text mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hil.emulator import alphabet, tpdu
from hil.emulator.at import DEFERRED, AtError, Call, cms
from hil.emulator.storage import ALL, READ, SENT, UNREAD, UNSENT, WORDS, Stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.emulator.modem import Modem
    from hil.emulator.storage import Storage

TABLE: dict[str, Callable[[Modem, Call], list[str]]] = {}

MIN_TPDU: Final = 7
MAX_TPDU: Final = 164
"""Octets of an SMS-SUBMIT: from no destination digits and no user data to twelve, seven and 140 octets."""


def command(*names: str) -> Callable[[Callable[[Modem, Call], list[str]]], Callable[[Modem, Call], list[str]]]:
    """Enter a handler into the table."""

    def enter(handler: Callable[[Modem, Call], list[str]]) -> Callable[[Modem, Call], list[str]]:
        TABLE.update(dict.fromkeys(names, handler))
        return handler

    return enter


_NEED_READINESS: Final = frozenset({"+CMGF", "+CPMS", "+CMGS", "+CMSS", "+CMGW", "+CMGL", "+CMGR", "+CMGD"})


def refuse_while_not_ready(modem: Modem, call: Call) -> None:
    """Raise where the short message part of the modem is not up, or wants another character set first."""
    late = modem.quirk("sms_late") or modem.quirk("sms_never")
    if call.name in _NEED_READINESS and late and not modem.sms_up:
        raise AtError
    if modem.quirk("charset_58") and not modem.once["ira"]:
        raise AtError("CME", 58)


def _number(value: str | None, *, code: int = 304) -> int:
    if value is None or not value.isdecimal():
        raise cms(code)
    return int(value)


def _parameter(modem: Modem) -> AtError:
    """Invalid parameter, in the number of the mode."""
    return cms(305 if modem.registers.cmgf else 304)


# ------------------------------------------------------------------------------------------------ configuration


@command("+CSMS")
def _csms(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return ["+CSMS: (0,1)"]
    if call.op == "?":
        return [f"+CSMS: {modem.registers.csms},1,1,1"]
    (service,) = call.numbers((0,))
    if service not in (0, 1):
        raise cms(302)
    modem.registers.csms = service
    return ["+CSMS: 1,1,1"]


@command("+CMGF")
def _cmgf(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return ["+CMGF: (0,1)"]
    if call.op == "?":
        return [f"+CMGF: {modem.registers.cmgf}"]
    (mode,) = call.numbers((0,))
    if mode not in (0, 1):
        raise AtError
    modem.registers.cmgf = mode
    return []


@command("+CSCA")
def _csca(modem: Modem, call: Call) -> list[str]:
    r = modem.registers
    modem.need_sim("CMS")
    if call.op == "?":
        if modem.quirk("csca_busy_once") and not modem.once["csca"]:
            modem.once["csca"] += 1
            raise AtError("CME", 14)
        return [f'+CSCA: "{r.csca}",{145 if r.csca.startswith("+") else 129}']
    if call.op == "=?":
        return []
    values = call.values()
    number = values[0] or ""
    if len(values) > 1 and values[1] == "145" and not number.startswith("+"):
        number = "+" + number
    if number and not number.removeprefix("+").isdecimal():
        raise _parameter(modem)
    r.csca = number
    return []


@command("+CSMP")
def _csmp(modem: Modem, call: Call) -> list[str]:
    r = modem.registers
    if call.op == "=?":
        return []
    if call.op == "?":
        fo, vp, pid, dcs = r.csmp
        return [f"+CSMP: {fo},{vp},{pid},{dcs}"]
    given = call.values()
    if len(given) > 4:
        raise cms(305)
    for place, value in enumerate(given):
        if value is not None:
            number = _number(value, code=305)
            if number > 255:
                raise cms(305)
            r.csmp[place] = number
    if modem.quirk("csmp_clears_csca"):
        r.csca = ""
    return []


@command("+CSDH")
def _csdh(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return ["+CSDH: (0,1)"]
    if call.op == "?":
        return [f"+CSDH: {modem.registers.csdh}"]
    (modem.registers.csdh,) = call.numbers((0,))
    return []


@command("+CMMS")
def _cmms(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return ["+CMMS: (0-2)"]
    if call.op == "?":
        return [f"+CMMS: {modem.registers.cmms}"]
    (value,) = call.numbers((0,))
    if value > 2:
        raise _parameter(modem)
    modem.registers.cmms = value
    return []


@command("+CGSMS")
def _cgsms(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return ["+CGSMS: (0-3)"]
    if call.op == "?":
        return [f"+CGSMS: {modem.registers.cgsms}"]
    (service,) = call.numbers((0,))
    if service > 3:
        raise AtError("CME", 50)
    modem.registers.cgsms = service
    return []


def _counts(modem: Modem, *, names: bool) -> str:
    chosen = modem.registers.cpms[: 2 if modem.quirk("cpms_two") else 3]
    parts = []
    for name in chosen:
        storage = modem.storage(name)
        quoted = f'"{name}",' if names else ""
        parts.append(f"{quoted}{storage.used},{storage.limit}")
    return ",".join(parts)


@command("+CPMS")
def _cpms(modem: Modem, call: Call) -> list[str]:
    persona, r = modem.persona, modem.registers
    places = (persona.mem1, persona.mem2, persona.mem3)[: 2 if modem.quirk("cpms_two") else 3]
    if call.op == "=?":
        return ["+CPMS: " + ",".join("(" + ",".join(f'"{n}"' for n in names) + ")" for names in places)]
    modem.need_sim("CMS")
    if call.op == "?":
        return [f"+CPMS: {_counts(modem, names=True)}"]
    given = call.values()
    if not (len(places) if modem.quirk("cpms_three") else 1) <= len(given) <= len(places):
        raise AtError
    wanted = list(r.cpms)
    for place, name in enumerate(given):
        if name is None:
            continue
        if name.upper() not in places[place]:
            raise cms(302)
        wanted[place] = name.upper()
    r.cpms = wanted
    return [f"+CPMS: {_counts(modem, names=False)}"]


def _ranges(text: str) -> list[frozenset[int]]:
    """ "(0-2),(0,2)" as sets."""
    found = []
    for group in text.strip("()").split("),("):
        ends = [part.split("-") for part in group.split(",")]
        found.append(frozenset(n for end in ends for n in range(int(end[0]), int(end[-1]) + 1)))
    return found


@command("+CNMI")
def _cnmi(modem: Modem, call: Call) -> list[str]:
    r = modem.registers
    if call.op == "=?":
        return [f"+CNMI: {modem.persona.cnmi_ranges}"]
    if call.op == "?":
        return ["+CNMI: " + ",".join(map(str, r.cnmi))]
    mode, mt, bm, ds, bfr = call.numbers((r.cnmi[0], 0, 0, 0, 0))
    for value, allowed in zip((mode, mt, bm, ds, bfr), _ranges(modem.persona.cnmi_accepts), strict=True):
        if value not in allowed:
            raise cms(303)
    if modem.quirk("cnmi_mode1") and (((mt == 3 or ds == 1) and mode != 1) or (mt == 2 and mode not in (1, 2))):
        raise AtError if modem.persona.cnmi_error is None else cms(modem.persona.cnmi_error)
    if modem.quirk("cnmi_no_mode2") and mode == 2:
        raise cms(303)
    if modem.quirk("cnmi_ds1_refused") and ds == 1:
        raise cms(303)
    r.cnmi = [mode, mt, bm, ds, bfr]
    modem.cnmi_changed(bfr)
    return []


# ---------------------------------------------------------------------------------------------------- reading


def _alpha(modem: Modem) -> str:
    return "" if modem.quirk("no_alpha") else ","


def _fails_on_reports(modem: Modem) -> bool:
    """The selected storage is SR, and all it can is CMGR."""
    return modem.registers.cpms[0] == "SR" and modem.quirk("sr_cmgr_only")


@command("+CMGL")
def _cmgl(modem: Modem, call: Call) -> list[str]:
    text_mode = bool(modem.registers.cmgf)
    if call.op == "=?":
        words = ",".join(f'"{word}"' for word in WORDS) if text_mode or modem.quirk("list_refused") else "0-4"
        return [f"+CMGL: ({words})"]
    modem.need_sim("CMS")
    if (modem.quirk("list_refused") and not text_mode) or _fails_on_reports(modem):
        raise cms(303)
    first = (call.values()[0] if call.args else None) or ("REC UNREAD" if text_mode else "0")
    if text_mode:
        if first.upper() not in WORDS:
            raise cms(305)
        stat = WORDS.index(first.upper())
    else:
        stat = _number(first)
        if stat > ALL:
            raise cms(304)
    if modem.quirk("list_empty") or (modem.registers.cpms[0] == "ME" and modem.quirk("me_unreadable")):
        return []
    lines: list[str] = []
    for index, stored in modem.storage(modem.registers.cpms[0]).items():
        if stat not in (ALL, stored.stat):
            continue
        if stored.poison:
            if lines:
                modem.block("\r\n".join(lines))
            modem.reboot()
            return DEFERRED
        if text_mode:
            lines += _text_lines(modem, stored, f"+CMGL: {index},")
        else:
            lines += [f"+CMGL: {index},{stored.stat},{_alpha(modem)}{len(stored.tpdu)}", stored.line]
        if stored.stat == UNREAD:
            stored.stat = READ
    return ["\r\n".join(lines)] if lines else []


@command("+CMGR")
def _cmgr(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return []
    modem.need_sim("CMS")
    index = _number(call.values()[0])
    name = modem.registers.cpms[0]
    storage = modem.storage(name)
    stored = storage.get(index)
    hidden = (name == "SR" and modem.quirk("sr_unreadable")) or (name == "ME" and modem.quirk("me_unreadable"))
    if stored is None or hidden:
        if modem.quirk("read_empty_ok") or modem.quirk("me_unreadable"):
            return []
        raise cms(321)
    if stored.poison:
        modem.reboot()
        return DEFERRED
    if modem.registers.cmgf:
        lines = _text_lines(modem, stored, "+CMGR: ")
    else:
        stat = "" if _fails_on_reports(modem) else str(stored.stat)
        lines = [f"+CMGR: {stat},{_alpha(modem)}{len(stored.tpdu)}", stored.line]
    if stored.stat == UNREAD:
        stored.stat = READ
    return ["\r\n".join(lines)]


@command("+CMGD")
def _cmgd(modem: Modem, call: Call) -> list[str]:
    storage = modem.storage(modem.registers.cpms[0])
    modem.need_sim("CMS")
    if call.op == "=?":
        used = ",".join(str(index) for index, _ in storage.items())
        return [f"+CMGD: ({used}),(0-4)"]
    values = call.values()
    index = _number(values[0])
    flag = _number(values[1]) if len(values) > 1 and values[1] is not None else 0
    if flag > 4:
        raise _parameter(modem)
    if flag == 0:
        if not storage.valid(index) or not (storage.remove(index) or modem.quirk("delete_empty_ok")):
            raise cms(321)
    elif _fails_on_reports(modem):
        raise cms(303)
    else:
        gone = {1: (READ,), 2: (READ, SENT), 3: (READ, SENT, UNSENT), 4: (UNREAD, READ, SENT, UNSENT)}[flag]
        for each, stored in list(storage.items()):
            if stored.stat in gone:
                storage.remove(each)
    modem.memory_freed()
    modem.network.changed()
    return []


# ------------------------------------------------------------------------------------------ sending in PDU mode


def _envelope(modem: Modem, text: str, declared: int) -> tuple[bytes, bytes]:
    """SCA part and TPDU of an entered PDU; writes a refusal into the ledger and raises +CMS ERROR: 304."""
    try:
        raw = bytes.fromhex(text) if not any(char.isspace() for char in text) else None
    except ValueError:
        raw = None
    if raw is None:
        _refuse(modem, b"", {"field": "pdu", "offset": 0, "detail": f"no hexadecimal octets: {text[:60]!r}"})
        raise cms(304)
    try:
        _, length = tpdu.read_sca(raw)
    except tpdu.Refusal as refusal:
        _refuse(modem, raw, refusal.as_json())
        raise cms(304) from None
    if len(raw) - length != declared:
        detail = f"AT+CMGS={declared}, but the TPDU has {len(raw) - length} octets"
        _refuse(modem, raw[length:], {"field": "length", "offset": min(declared, len(raw) - length), "detail": detail})
        raise cms(304)
    return raw[:length], raw[length:]


def _refuse(modem: Modem, octets: bytes, error: dict[str, Any]) -> None:
    modem.network.refuse(modem.subscriber, modem.imei, octets, {"cause": 304, **error})


def _check_service(modem: Modem, sca: bytes) -> None:
    if not modem.reachable:
        raise cms(331)
    if sca in (b"", b"\0") and not modem.registers.csca:
        raise cms(330)


def _declared(call: Call) -> int:
    length = _number(call.values()[0])
    if not MIN_TPDU <= length <= MAX_TPDU:
        raise cms(304)
    return length


@command("+CMGS")
def _cmgs(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return []
    if call.op != "=":
        raise AtError
    modem.need_sim("CMS")
    if modem.registers.cmgf:
        return _cmgs_text(modem, call)
    length = _declared(call)

    def entered(text: str) -> None:
        sca, octets = _envelope(modem, text, length)
        _check_service(modem, sca)
        modem.submit(octets, lambda mr: f"+CMGS: {mr}")

    return modem.prompt(entered)


@command("+CMGW")
def _cmgw(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return []
    modem.need_sim("CMS")
    values = call.values() if call.args else [None]
    if modem.registers.cmgf:
        number = values[0] or ""

        def entered_text(text: str) -> None:
            _store(modem, Stored(UNSENT, b"\0", _build_submit(modem, number, text)))

        return modem.prompt(entered_text, text_mode=True)
    length = _number(values[0])
    stat = _number(values[1]) if len(values) > 1 and values[1] is not None else UNSENT
    if stat > SENT:
        raise cms(304)

    def entered(text: str) -> None:
        sca, octets = _envelope(modem, text, length)
        _store(modem, Stored(stat, sca, octets))

    return modem.prompt(entered)


def _store(modem: Modem, stored: Stored) -> None:
    index = modem.storage(modem.registers.cpms[1]).add(stored)
    if index is None:
        raise cms(322)
    modem.complete(f"+CMGW: {index}")


@command("+CMSS")
def _cmss(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return []
    modem.need_sim("CMS")
    values = call.values()
    storage: Storage = modem.storage(modem.registers.cpms[1])
    stored = storage.get(_number(values[0]))
    if stored is None:
        raise cms(321)
    if not stored.tpdu or stored.tpdu[0] & 3 != 1:
        raise cms(302)
    octets = stored.tpdu
    if len(values) > 1 and values[1]:
        field = tpdu.write_address(values[1])
        old = 2 + (octets[2] + 1) // 2
        octets = octets[:2] + field + octets[2 + old :]
    _check_service(modem, stored.sca)
    if stored.stat == UNSENT:
        stored.stat = SENT
    modem.submit(octets, lambda mr: f"+CMSS: {mr}")
    return DEFERRED


@command("+CNMA")
def _cnma(modem: Modem, call: Call) -> list[str]:
    if call.op == "=?":
        return ["+CNMA: (0-2)"]
    values = call.values() if call.args else [None]
    n = _number(values[0] or "0")
    if n > 2 or (n and modem.registers.cmgf):
        raise _parameter(modem)
    if not modem.awaits_acknowledgement:
        raise cms(340)
    length = _number(values[1]) if len(values) > 1 and values[1] is not None else 0
    if n == 0 or length == 0:
        modem.acknowledge(111 if n == 2 else None)
        return []
    if modem.quirk("no_ack_pdu"):
        raise cms(303)

    def entered(text: str) -> None:
        try:
            octets = bytes.fromhex(text)
        except ValueError:
            raise cms(304) from None
        if len(octets) != length or not octets or octets[0] & 3:
            raise cms(304)
        modem.acknowledge((octets[1] if len(octets) > 1 else 111) if n == 2 else None)
        modem.complete()

    return modem.prompt(entered)


# --------------------------------------------------------------------------------------------------- text mode


def _from_terminal(modem: Modem, text: str, kind: str) -> str | bytes:
    """What was typed, in the character set of +CSCS; for 8 bit data the octets."""
    cscs = modem.registers.cscs
    try:
        if kind == "8bit":
            return bytes.fromhex(text.replace("\r\n", ""))
        if cscs == "UCS2":
            return bytes.fromhex(text.replace("\r\n", "")).decode("utf-16-be")
        if cscs == "HEX":
            return alphabet.decode(bytes.fromhex(text.replace("\r\n", "")))
        if kind == "ucs2":
            return bytes.fromhex(text.replace("\r\n", "")).decode("utf-16-be")
        if cscs == "GSM":
            return alphabet.decode(text.encode("latin-1"))
    except (ValueError, IndexError):
        raise cms(305) from None
    return text


def _to_terminal(modem: Modem, ud: tpdu.UserData) -> str:
    cscs = modem.registers.cscs
    if ud.text is None:
        return (ud.data or b"").hex().upper()
    if cscs == "UCS2":
        return ud.text.encode("utf-16-be", "replace").hex().upper()
    try:
        septets = alphabet.encode(ud.text, ud.locking, ud.single)
    except alphabet.CodeError:
        return ud.text.encode("utf-16-be", "replace").hex().upper()
    if cscs == "HEX":
        return septets.hex().upper()
    if cscs == "GSM":
        return septets.decode("latin-1")
    return ud.text.replace("\n", "\r\n").encode("latin-1", "replace").decode("latin-1")


def _terminal_number(modem: Modem, number: str) -> str:
    if modem.registers.cscs == "UCS2":
        try:
            return bytes.fromhex(number).decode("utf-16-be")
        except ValueError:
            return number
    return number


def _build_submit(modem: Modem, number: str, text: str, toa: int | None = None) -> bytes:
    fo, vp, pid, dcs = modem.registers.csmp
    try:
        kind = tpdu.read_dcs(dcs).alphabet
    except tpdu.Refusal:
        raise cms(305) from None
    content = _from_terminal(modem, text, kind)
    try:
        if isinstance(content, bytes):
            octets = content
        elif kind == "gsm7":
            octets = alphabet.encode(content.replace("\r\n", "\n"))
        else:
            octets = content.encode("utf-16-be")
    except alphabet.CodeError:
        raise cms(305) from None
    if len(octets) > (tpdu.MAX_SEPTETS if kind == "gsm7" else tpdu.MAX_UD_OCTETS):
        raise cms(305)
    field = tpdu.write_address(number, toa)
    validity = bytes((vp,)) if (fo >> 3) & 3 == 2 else b""
    return bytes((fo, 0)) + field + bytes((pid, dcs)) + validity + tpdu.write_user_data(octets, b"", kind)


def _cmgs_text(modem: Modem, call: Call) -> list[str]:
    values = call.values()
    number = _terminal_number(modem, values[0] or "")
    toa = _number(values[1], code=305) if len(values) > 1 and values[1] is not None else None
    if not number or not all(char in tpdu.NIBBLES for char in number.removeprefix("+")):
        raise cms(305)

    def entered(text: str) -> None:
        octets = _build_submit(modem, number, text, toa)
        _check_service(modem, b"")
        modem.submit(octets, lambda mr: f"+CMGS: {mr}")

    return modem.prompt(entered, text_mode=True)


class _View:
    """A stored or routed TPDU as text mode shows it; what cannot be read is shown as hexadecimal."""

    def __init__(self, octets: bytes) -> None:
        self.first = octets[0]
        self.kind = self.first & 3
        at = 2 if self.kind == 1 else 1
        self.mr = 0
        if self.kind == 2:
            self.mr, at = octets[1], 2
        count, self.toa = octets[at], octets[at + 1]
        end = at + 2 + (count + 1) // 2
        self.number = _show_address(octets[at + 2 : end], count, self.toa)
        self.pid = self.dcs = self.status = 0
        self.stamp = self.done = ""
        self.ud = tpdu.UserData(b"", "", None)
        if self.kind == 2:
            self.stamp, self.done = _stamp(octets[end : end + 7]), _stamp(octets[end + 7 : end + 14])
            self.status = octets[end + 14]
            return
        self.pid, self.dcs = octets[end], octets[end + 1]
        end += 2
        if self.kind == 1:
            end += {0: 0, 2: 1}.get((self.first >> 3) & 3, 7)
        else:
            self.stamp = _stamp(octets[end : end + 7])
            end += 7
        try:
            self.ud = tpdu.read_user_data(
                octets[end], octets[end + 1 :], udhi=bool(self.first & 0x40), coding=tpdu.lenient_dcs(self.dcs),
                offset=end + 1,
            )  # fmt: skip
        except tpdu.Refusal:
            self.ud = tpdu.UserData(b"", None, octets[end + 1 :])
        self.udl = octets[end]


def _show_address(octets: bytes, count: int, toa: int) -> str:
    if (toa >> 4) & 7 == 5:
        septets = alphabet.unpack(octets, count * 4 // 7)
        try:
            return alphabet.decode(septets)
        except alphabet.CodeError:
            return octets.hex().upper()
    digits = "".join(tpdu.NIBBLES[n] for o in octets for n in (o & 0xF, o >> 4) if n < 15)
    return tpdu.Address(digits, toa).number


def _stamp(octets: bytes) -> str:
    if len(octets) < 7:
        return ""
    pairs = [f"{octet & 0xF}{octet >> 4}" for octet in octets[:6]]
    sign = "-" if octets[6] & 0x8 else "+"
    year, month, day, hour, minute, second = pairs
    return f"{year}/{month}/{day},{hour}:{minute}:{second}{sign}{octets[6] & 0x7}{octets[6] >> 4}"


def _report_fields(view: _View) -> str:
    return f'{view.first},{view.mr},"{view.number}",{view.toa},"{view.stamp}","{view.done}",{view.status}'


def _text_lines(modem: Modem, stored: Stored, head: str) -> list[str]:
    """Header and text of +CMGR and +CMGL in text mode."""
    try:
        view = _View(stored.tpdu)
    except IndexError:
        return [f'{head}"{WORDS[stored.stat]}","",,""', stored.tpdu.hex().upper()]
    if view.kind == 2:
        return [f'{head}"{WORDS[stored.stat]}",{_report_fields(view)}']
    number = view.number.encode("utf-16-be").hex().upper() if modem.registers.cscs == "UCS2" else view.number
    line = f'{head}"{WORDS[stored.stat]}","{number}",,'
    line += f'"{view.stamp}"' if view.kind != 1 else ""
    if modem.registers.csdh:
        if head.startswith("+CMGL"):
            line += f",{view.toa},{view.udl}"
        else:
            line += f',{view.toa},{view.first},{view.pid},{view.dcs},"{modem.registers.csca}",145,{view.udl}'
    return [line.rstrip(","), _to_terminal(modem, view.ud)]


def routed_message(modem: Modem, stored: Stored) -> str:
    """The +CMT block."""
    if not modem.registers.cmgf:
        return f"+CMT: ,{len(stored.tpdu)}\r\n{stored.line}"
    try:
        view = _View(stored.tpdu)
    except IndexError:
        return f'+CMT: "",,""\r\n{stored.tpdu.hex().upper()}'
    line = f'+CMT: "{view.number}",,"{view.stamp}"'
    if modem.registers.csdh:
        line += f',{view.toa},{view.first},{view.pid},{view.dcs},"{modem.registers.csca}",145,{view.udl}'
    return f"{line}\r\n{_to_terminal(modem, view.ud)}"


def routed_report(modem: Modem, stored: Stored) -> str:
    """The +CDS block."""
    if not modem.registers.cmgf:
        comma = "," if modem.quirk("cds_comma") else ""
        return f"+CDS: {comma}{len(stored.tpdu)}\r\n{stored.line}"
    try:
        return f"+CDS: {_report_fields(_View(stored.tpdu))}"
    except IndexError:
        return f"+CDS: {stored.tpdu.hex().upper()}"
