"""What a modem's lines say: result codes and their meaning for retrying, storages, registration, signal, identities.

Promise: every function is total. It returns a value or raises ``AnswerError`` (a ``ValueError``) that keeps the line;
no line whatever raises anything else. Nothing here is ever put back into a command: a storage's name is returned as
one of our own constants (``STORES``), numbers as ``int``.

Result codes (V.250 §5.7, 27.007 §9.2, 27.005 §3.2.5)
    ``final`` reads a line as a final result. ``reason`` says what it means, and the same number means two things: at
    the command nothing has left, after the PDU it may have. The in-doubt rule: after the PDU, whatever does not say
    that the network or the modem refused (a bare ERROR, words without a number, an unlisted number, "unknown error",
    "network timeout") is IN_DOUBT. Before it, the same results are worth another try and cannot have sent anything.
    Numbers from 512 belong to the manufacturer (27.005 §3.2.5): they mean something only by the profile's table.

Shapes
    The parsers take what modems are known to write and not only what the standard allows: lists without parentheses,
    headers without the alpha field, quotes that do not close, spaces inside numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from appliance.types import Iccid, Imei, Imsi, Reason, Registration, RetryClass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "CMS_WORDS",
    "NO_VENDOR_CODES",
    "PIN_COUNTERS",
    "STORES",
    "AnswerError",
    "Operator",
    "Result",
    "Stored",
    "Ussd",
    "caller",
    "cesq_dbm",
    "clock",
    "cnmi",
    "cpin",
    "cpms_gauge",
    "cpms_stores",
    "csms_service",
    "csq_dbm",
    "direct_length",
    "final",
    "iccid",
    "iccid_of_file",
    "imei",
    "imsi",
    "indication",
    "own_number",
    "pin_tries",
    "reason",
    "reference",
    "registration",
    "signal_dbm",
    "stored",
    "ussd",
    "vendor_codes",
]


class AnswerError(ValueError):
    """A line does not say what its command asks for.

    Attributes:
        line: the line as it was read.
    """

    def __init__(self, line: str, detail: str) -> None:
        super().__init__(detail)
        self.line = line


# ---------------------------------------------------------------------------------------------- result codes

_P: Final = RetryClass.PERMANENT
_N: Final = RetryClass.RETRY_NOW
_L: Final = RetryClass.RETRY_LATER
_M: Final = RetryClass.MODEM
_D: Final = RetryClass.IN_DOUBT
_A: Final = RetryClass.ACCEPTED

_CMS: Final[Mapping[int, tuple[RetryClass, str]]] = MappingProxyType(
    {
        # 3GPP 24.011 annex E-2: the network's causes
        1: (_P, "unassigned number"),
        8: (_P, "operator determined barring"),
        10: (_P, "call barred"),
        17: (_L, "network failure"),
        21: (_P, "short message transfer rejected"),
        22: (_L, "memory capacity exceeded"),
        27: (_L, "destination out of service"),
        28: (_P, "unidentified subscriber"),
        29: (_P, "facility rejected"),
        30: (_P, "unknown subscriber"),
        38: (_L, "network out of order"),
        41: (_N, "temporary failure"),
        42: (_L, "congestion"),
        47: (_L, "resources unavailable"),
        50: (_P, "requested facility not subscribed"),
        69: (_P, "requested facility not implemented"),
        81: (_L, "invalid short message transfer reference value"),
        95: (_P, "invalid message"),
        96: (_P, "invalid mandatory information"),
        97: (_P, "message type not implemented"),
        98: (_L, "message not compatible with protocol state"),
        99: (_P, "information element not implemented"),
        107: (_D, "other error"),
        111: (_L, "protocol error"),
        127: (_D, "interworking, unspecified"),
        # 3GPP 23.040 §9.2.3.22: TP-FCS
        128: (_P, "telematic interworking not supported"),
        129: (_P, "short message type 0 not supported"),
        130: (_P, "cannot replace short message"),
        143: (_P, "unspecified TP-PID error"),
        144: (_P, "data coding scheme not supported"),
        145: (_P, "message class not supported"),
        159: (_P, "unspecified TP-DCS error"),
        160: (_P, "command cannot be actioned"),
        161: (_P, "command unsupported"),
        175: (_P, "unspecified TP-Command error"),
        176: (_P, "TPDU not supported"),
        192: (_L, "SC busy"),
        193: (_P, "no SC subscription"),
        194: (_L, "SC system failure"),
        195: (_P, "invalid SME address"),
        196: (_P, "destination SME barred"),
        197: (_A, "SM rejected, duplicate SM"),
        198: (_M, "TP-VPF not supported"),
        199: (_M, "TP-VP not supported"),
        208: (_M, "SIM SMS storage full"),
        209: (_M, "no SMS storage capability in SIM"),
        210: (_M, "error in MS"),
        211: (_M, "memory capacity exceeded"),
        212: (_N, "SIM application toolkit busy"),
        213: (_M, "SIM data download error"),
        255: (_D, "unspecified error cause"),
        # 3GPP 27.005 §3.2.5: the modem's own
        300: (_M, "ME failure"),
        301: (_N, "SMS service of ME reserved"),
        302: (_M, "operation not allowed"),
        303: (_M, "operation not supported"),
        304: (_P, "invalid PDU mode parameter"),
        305: (_P, "invalid text mode parameter"),
        310: (_M, "SIM not inserted"),
        311: (_M, "SIM PIN required"),
        312: (_M, "PH-SIM PIN required"),
        313: (_M, "SIM failure"),
        314: (_N, "SIM busy"),
        315: (_M, "SIM wrong"),
        316: (_M, "SIM PUK required"),
        317: (_M, "SIM PIN2 required"),
        318: (_M, "SIM PUK2 required"),
        320: (_M, "memory failure"),
        321: (_M, "invalid memory index"),
        322: (_M, "memory full"),
        330: (_M, "SMSC address unknown"),
        331: (_L, "no network service"),
        332: (_D, "network timeout"),
        340: (_D, "no +CNMA acknowledgement expected"),
        341: (_L, "buffer overflow"),
        342: (_P, "SMS size too large"),
        350: (_D, "unknown error"),
        500: (_D, "unknown error"),
        510: (_P, "message blocked"),
    }
)

_CME: Final[Mapping[int, tuple[RetryClass, str]]] = MappingProxyType(
    {
        0: (_M, "phone failure"),
        1: (_M, "no connection to phone"),
        2: (_N, "phone-adaptor link reserved"),
        3: (_M, "operation not allowed"),
        4: (_M, "operation not supported"),
        5: (_M, "PH-SIM PIN required"),
        6: (_M, "PH-FSIM PIN required"),
        7: (_M, "PH-FSIM PUK required"),
        10: (_M, "SIM not inserted"),
        11: (_M, "SIM PIN required"),
        12: (_M, "SIM PUK required"),
        13: (_M, "SIM failure"),
        14: (_N, "SIM busy"),
        15: (_M, "SIM wrong"),
        16: (_M, "incorrect password"),
        17: (_M, "SIM PIN2 required"),
        18: (_M, "SIM PUK2 required"),
        20: (_M, "memory full"),
        21: (_M, "invalid index"),
        22: (_M, "not found"),
        23: (_M, "memory failure"),
        24: (_P, "text string too long"),
        25: (_P, "invalid characters in text string"),
        26: (_P, "dial string too long"),
        27: (_P, "invalid characters in dial string"),
        30: (_L, "no network service"),
        31: (_D, "network timeout"),
        32: (_L, "network not allowed - emergency calls only"),
        40: (_M, "network personalization PIN required"),
        41: (_M, "network personalization PUK required"),
        50: (_P, "incorrect parameters"),
        51: (_M, "command implemented but currently disabled"),
        52: (_N, "command aborted by user"),
        54: (_L, "emergency calls only"),
        57: (_L, "temporarily out of service"),
        60: (_M, "system failure"),
        100: (_D, "unknown"),
        103: (_L, "illegal MS"),
        106: (_L, "illegal ME"),
        107: (_L, "packet services not allowed"),
        111: (_L, "PLMN not allowed"),
        112: (_L, "location area not allowed"),
        113: (_L, "roaming not allowed in this location area"),
        114: (_L, "packet services not allowed in this PLMN"),
        117: (_L, "network failure"),
        122: (_L, "congestion"),
        126: (_L, "insufficient resources"),
        127: (_M, "missing or unknown APN"),
    }
)

_VENDOR_FROM: Final = 512
"""27.005 §3.2.5: from here on the numbers are the manufacturer's."""

NO_VENDOR_CODES: Final[Mapping[int, tuple[RetryClass, str]]] = MappingProxyType({})

CMS_WORDS: Final[Mapping[str, int]] = MappingProxyType(
    {text.lower(): code for code, (_, text) in sorted(_CMS.items(), reverse=True) if code not in {107, 350}}
)
"""The words of AT+CMEE=2 and their numbers, lower case; where words stand twice, the first number."""

_CME_WORDS: Final[Mapping[str, int]] = MappingProxyType(
    {text.lower(): code for code, (_, text) in sorted(_CME.items(), reverse=True)}
)

_PLAIN_RESULTS: Final = frozenset(
    {
        "OK",
        "ERROR",
        "COMMAND NOT SUPPORT",
        "COMMAND NOT SUPPORTED",
        "TOO MANY PARAMETERS",
        "NO CARRIER",
        "NO DIALTONE",
        "NO DIAL TONE",
        "NO ANSWER",
        "BUSY",
        "ABORTED",
    }
)
"""Final results that stand alone on their line."""

_EXTENDED_RESULT: Final = re.compile(r"\+(CM[ES])\s*ERROR\b\s*:?\s*(.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Result:
    """A final result as it was read.

    Attributes:
        line: the whole line.
        kind: ``OK``, ``ERROR``, ``CME``, ``CMS`` or the words of another final result.
        number: the error's number; None for a bare result and for words that no table lists.
    """

    line: str
    kind: str
    number: int | None = None

    @property
    def ok(self) -> bool:
        """Whether the command was done."""
        return self.kind == "OK"


OK: Final = Result("OK", "OK")


def final(line: str) -> Result | None:
    """Read a line as a final result; None when it is none."""
    text = line.strip()
    if text == "OK":
        return OK
    upper = text.upper()
    if upper in _PLAIN_RESULTS:
        return Result(text, upper)
    if upper.startswith("+CM") and (found := _EXTENDED_RESULT.fullmatch(text)):
        kind = found[1].upper()
        words = found[2].strip().strip('"').strip()
        return Result(text, kind, _number_of(kind, words))
    return None


def _number_of(kind: str, words: str) -> int | None:
    if words.isascii() and words.isdecimal():
        return int(words[:9])
    return (CMS_WORDS if kind == "CMS" else _CME_WORDS).get(words.lower())


def reason(
    result: Result,
    *,
    after_payload: bool,
    vendor: Mapping[int, tuple[RetryClass, str]] = NO_VENDOR_CODES,
) -> Reason:
    """Say what a failed final result means for the segment that met it.

    Args:
        result: what ended the command; an OK that came without its answer may be given too.
        after_payload: whether the PDU had been handed over: then the unknown is IN_DOUBT.
        vendor: the profile's meaning of +CMS ERROR numbers, asked before the standard's table.
    """
    unknown = _D if after_payload else _L
    number = result.number
    if number is None:
        code = result.kind.lower().replace(" ", "_") if result.kind not in {"CMS", "CME"} else None
        return Reason(code or f"{result.kind.lower()}_unknown", unknown, f"the modem answered {result.line[:80]!r}")
    code = f"{result.kind.lower()}_{number}"
    row = vendor.get(number) if result.kind == "CMS" else None
    if row is None and number < _VENDOR_FROM:
        row = (_CMS if result.kind == "CMS" else _CME).get(number)
    if row is None:
        return Reason(code, unknown, f"error {number}, whose meaning is not known")
    retry, text = row
    if not after_payload and retry in {_D, _A}:
        retry = _L
    return Reason(code, retry, text)


def vendor_codes(table: Mapping[str, tuple[str, str]]) -> Mapping[int, tuple[RetryClass, str]]:
    """Read a profile's table of +CMS ERROR numbers: ``{"513": ("retry_later", "words")}``.

    Raises:
        ValueError: a number or a retry class is none.
    """
    return MappingProxyType({int(number): (RetryClass(retry), text) for number, (retry, text) in table.items()})


# ---------------------------------------------------------------------------------------------- fields


def _behind(line: str, prefix: str) -> str:
    """What stands behind ``+CXXX:``; AnswerError where the line has another prefix."""
    text = line.strip()
    if not text.upper().startswith(prefix):
        raise AnswerError(line, f"not a {prefix} line")
    return text[len(prefix) :].lstrip(": ").rstrip()


def _fields(text: str) -> list[str]:
    """Split at the commas outside quotes; quotes stay. An open quote runs to the end."""
    fields: list[str] = []
    begin = 0
    quoted = False
    for index, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            fields.append(text[begin:index].strip())
            begin = index + 1
    fields.append(text[begin:].strip())
    return fields


def _int(field: str) -> int | None:
    """A small decimal number, or None."""
    digits = field.strip().strip('"')
    if digits.isascii() and digits.isdecimal() and len(digits) <= 9:
        return int(digits)
    return None


# ---------------------------------------------------------------------------------------------- storages

STORES: Final = ("SM", "ME", "MT", "SR", "BM", "TA", "SM_P", "ME_P")
"""The storages that may be named in a command (27.005 §3.1 and two of SIMCom's)."""


def _store(name: str) -> str | None:
    """Our own constant for a storage's name, so that no octet of the modem reaches a command."""
    upper = name.strip().strip('"').upper()
    return next((store for store in STORES if store == upper), None)


def cpms_stores(line: str) -> tuple[tuple[str, ...], ...]:
    """The storages of a ``+CPMS=?`` answer: one tuple for each of <mem1>, <mem2>, <mem3>; unknown names left out.

    A flat list is one storage each. Fewer groups than three, or none, are returned as they are.
    """
    text = _behind(line, "+CPMS")
    groups: list[tuple[str, ...]] = []
    group: list[str] | None = None
    for token in re.findall(r"[()]|[A-Za-z_]+", text):
        if token == "(":  # noqa: S105 - a parenthesis, no password
            group = []
        elif token == ")":  # noqa: S105 - a parenthesis, no password
            if group is not None:
                groups.append(tuple(group))
            group = None
        elif (store := _store(token)) is not None:
            if group is None:
                groups.append((store,))
            else:
                group.append(store)
    if group:
        groups.append(tuple(group))
    return tuple(groups)


def cpms_gauge(line: str) -> tuple[tuple[str | None, int, int], ...]:
    """(storage, used, total) for each of <mem1>… of a ``+CPMS`` answer; the storage is None in a set command's answer.

    Raises:
        AnswerError: no pair of numbers.
    """
    gauges: list[tuple[str | None, int, int]] = []
    store: str | None = None
    numbers: list[int] = []
    for field in _fields(_behind(line, "+CPMS")):
        number = _int(field)
        if number is None or field.startswith('"'):
            store, numbers = _store(field), []
            continue
        numbers.append(number)
        if len(numbers) == 2:
            gauges.append((store, numbers[0], numbers[1]))
            store, numbers = None, []
    if not gauges:
        raise AnswerError(line, "no storage gauge")
    return tuple(gauges)


@dataclass(frozen=True, slots=True)
class Stored:
    """One message in a storage, as +CMGL or +CMGR told it.

    Attributes:
        index: its place; None where +CMGR (which does not say it) or a broken header told none.
        stat: 0 unread, 1 read, 2 unsent, 3 sent (27.005 §3.1); None where it is missing.
        length: TPDU octets stated by the header, or None.
        raw: the hex line as it was read; empty where none came.
        text_mode: the header has the form of text mode: the modem has lost AT+CMGF=0.
    """

    index: int | None
    stat: int | None
    length: int | None
    raw: str
    text_mode: bool = False

    @property
    def outgoing(self) -> bool:
        """Whether somebody stored it to be sent: not ours to read or delete."""
        return self.stat in {2, 3}


def stored(lines: Sequence[str]) -> tuple[Stored, ...]:
    """The messages of a +CMGL or +CMGR answer: headers, each followed by its hex line or by nothing."""
    messages: list[Stored] = []
    pending: Stored | None = None
    for line in lines:
        header = _stored_header(line)
        if header is not None:
            if pending is not None:
                messages.append(pending)
            pending = header
        elif pending is not None:
            messages.append(
                Stored(pending.index, pending.stat, pending.length, line.strip(), text_mode=pending.text_mode)
            )
            pending = None
    if pending is not None:
        messages.append(pending)
    return tuple(messages)


def _stored_header(line: str) -> Stored | None:
    upper = line.lstrip().upper()
    if upper.startswith("+CMGL"):
        fields = _fields(_behind(line, "+CMGL"))
        index, fields = _int(fields[0]), fields[1:]
    elif upper.startswith("+CMGR"):
        index, fields = None, _fields(_behind(line, "+CMGR"))
    else:
        return None
    stat = _int(fields[0]) if fields and not fields[0].startswith('"') else None
    length = _int(fields[-1]) if len(fields) > 1 and not fields[-1].startswith('"') else None
    text_mode = bool(fields) and fields[0].startswith('"') and len(fields[0]) > 2
    return Stored(index, stat, length, "", text_mode=text_mode)


def indication(line: str) -> tuple[str | None, int | None]:
    """(storage, index) of ``+CMTI`` or ``+CDSI``; None for what is unknown or negative.

    Raises:
        AnswerError: neither of the two.
    """
    text = line.strip()
    prefix = next((p for p in ("+CMTI", "+CDSI") if text.upper().startswith(p)), None)
    if prefix is None:
        raise AnswerError(line, "neither +CMTI nor +CDSI")
    fields = _fields(_behind(line, prefix))
    return _store(fields[0]), _int(fields[1]) if len(fields) > 1 else None


def direct_length(line: str) -> int | None:
    """TPDU octets stated by a ``+CMT``, ``+CDS`` header; None where it states none. Some put a comma before it."""
    return _int(_fields(line.partition(":")[2])[-1])


def reference(line: str) -> int:
    """TP-MR of a ``+CMGS: <mr>[,<ackpdu>]`` line, 0 to 255.

    Raises:
        AnswerError: no such number.
    """
    number = _int(_fields(_behind(line, "+CMGS"))[0])
    if number is None or number > 255:
        raise AnswerError(line, "no TP-MR")
    return number


def cnmi(line: str) -> tuple[int, ...]:
    """<mode>,<mt>,<bm>,<ds>,<bfr> of a ``+CNMI?`` answer, as many as there are, missing ones 0.

    Raises:
        AnswerError: no number at all.
    """
    fields = _fields(_behind(line, "+CNMI"))
    if _int(fields[0]) is None:
        raise AnswerError(line, "no <mode>")
    return tuple(_int(field) or 0 for field in fields[:5])


def csms_service(line: str) -> int:
    """<service> of a ``+CSMS?`` answer (the first of four numbers; a set command's answer has three and no service).

    Raises:
        AnswerError: fewer than four numbers.
    """
    fields = _fields(_behind(line, "+CSMS"))
    service = _int(fields[0])
    if service is None or len(fields) < 4:
        raise AnswerError(line, "no <service>")
    return service


# ---------------------------------------------------------------------------------------------- network


def registration(line: str) -> Registration:
    """<stat> of ``+CREG``, ``+CGREG``, ``+CEREG`` or ``+C5GREG``, polled or unsolicited (27.007 §7.2, §10.1.20).

    Which form it is shows in the second field: a stat is one or two digits and never quoted; a location area code is
    quoted, or has more than two characters. A stat that no edition of the standard has is UNKNOWN.

    Raises:
        AnswerError: no stat in it.
    """
    found = re.fullmatch(r"\s*\+C(?:G|E|5G)?REG\s*:?\s*(.*?)\s*", line, re.IGNORECASE | re.DOTALL)
    if found is None:
        raise AnswerError(line, "no registration line")
    fields = [field.strip() for field in found[1].split(",")]
    first = _stat(fields[0])
    second = fields[1] if len(fields) > 1 else None
    if second is None or (second.startswith('"') and first is not None):
        stat = first
    elif second == "" and len(fields) == 3 and fields[2] == "":
        stat = None  # +CREG: 2,,  <n> alone
    else:
        stat = _stat(second)
        if stat is None:
            stat = first  # +CREG: 1,8BE3,2BAF
    if stat is None:
        raise AnswerError(line, "no <stat>")
    try:
        return Registration(stat)
    except ValueError:
        return Registration.UNKNOWN


def _stat(field: str) -> int | None:
    """<n> or <stat>: decimal, at most three digits with leading zeros; None for anything else."""
    digits = field.replace(" ", "")
    if digits.isascii() and digits.isdecimal() and len(digits) <= 3 and int(digits) < 100:
        return int(digits)
    return None


@dataclass(frozen=True, slots=True)
class Operator:
    """The serving network as ``+COPS?`` tells it: a name or MCC and MNC, and the access technology; None: unknown."""

    name: str | None
    technology: str | None

    @classmethod
    def read(cls, line: str) -> Operator:
        """Read a ``+COPS?`` answer; no network is (None, None).

        Raises:
            AnswerError: another line.
        """
        fields = _fields(_behind(line, "+COPS"))
        name = _printable(fields[2]) if len(fields) > 2 else ""
        act = _int(fields[3]) if len(fields) > 3 else None
        return cls(name or None, _TECHNOLOGIES.get(act) if act is not None else None)


_TECHNOLOGIES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "GSM",
        1: "GSM",
        2: "UMTS",
        3: "EDGE",
        4: "HSDPA",
        5: "HSUPA",
        6: "HSPA",
        7: "LTE",
        8: "EC-GSM-IoT",
        9: "NB-IoT",
        10: "LTE",
        11: "NR",
        12: "NR",
        13: "LTE",
    }
)
"""<AcT> of 27.007 §7.3."""


def _printable(field: str) -> str:
    """A quoted field's text for people to read: printable characters only, at most 64."""
    return "".join(char for char in field.strip().strip('"') if char.isprintable())[:64].strip()


def csq_dbm(line: str) -> int | None:
    """Signal of a ``+CSQ`` answer in dBm; None for 99, 199 and what is out of range (27.007 §8.5).

    0 to 31 are -113 to -51 dBm in steps of two. 100 to 191 are the RSCP form of UMTS and TD-SCDMA modules, -116 dBm up.

    Raises:
        AnswerError: no number.
    """
    value = _int(_fields(_behind(line, "+CSQ"))[0])
    if value is None:
        raise AnswerError(line, "no <rssi>")
    if value <= 31:
        return -113 + 2 * value
    if 100 <= value <= 191:
        return value - 216
    return None


def cesq_dbm(line: str) -> int | None:
    """Signal of a ``+CESQ`` answer in dBm: RSRP, else RSCP, else RXLEV; None where all are unknown (27.007 §8.69).

    Raises:
        AnswerError: fewer than six numbers.
    """
    values = [_int(field) for field in _fields(_behind(line, "+CESQ"))[:6]]
    if len(values) < 6:
        raise AnswerError(line, "fewer than six fields")
    for value, top, lowest in ((values[5], 97, -141), (values[2], 96, -121), (values[0], 63, -111)):
        if value is not None and value <= top:
            return lowest + value
    return None


def signal_dbm(line: str) -> int | None:
    """Signal in dBm of whichever of ``+CSQ`` and ``+CESQ`` the line is."""
    return cesq_dbm(line) if line.lstrip().upper().startswith("+CESQ") else csq_dbm(line)


# ---------------------------------------------------------------------------------------------- SIM and identity


def cpin(line: str) -> str:
    """<code> of a ``+CPIN`` line in capitals, as ``READY``, ``SIM PIN``, ``SIM PUK`` (27.007 §8.3).

    Raises:
        AnswerError: no code.
    """
    code = _printable(_behind(line, "+CPIN")).upper()
    if not code:
        raise AnswerError(line, "no <code>")
    return code


PIN_COUNTERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "+CPINR": "AT+CPINR",
        "+QPINC": "AT+QPINC?",
        "+SPIC": "AT+SPIC",
        "^CPIN": "AT^CPIN?",
        "+ZPINPUK": "AT+ZPINPUK=?",
        "+UPINCNT": "AT+UPINCNT",
        "#PCT": "AT#PCT",
        "+CPINC": "AT+CPINC?",
        "^SPIC": "AT^SPIC",
    }
)
"""Counters of the tries left for the PIN: the name, which with a colon begins the answer, and the command that asks."""


_TRIES_FIELD: Final[Mapping[str, int]] = MappingProxyType(
    {"+SPIC": 0, "+ZPINPUK": 0, "+UPINCNT": 0, "+CPINC": 0, "#PCT": 0, "^SPIC": 0, "^CPIN": 3, "+QPINC": 1, "+CPINR": 1}
)
"""Which field of a counter's answer has the tries for PIN1."""

_TRIES_NAME: Final[Mapping[str, str]] = MappingProxyType({"+QPINC": "SC", "+CPINR": "SIM PIN"})
"""What the first field says where a counter has a line for each code."""

_TRIES_MOST: Final = 10
"""A PIN has 3 tries, a PUK 10 (31.102); a number beyond is no counter."""


def pin_tries(lines: Sequence[str], command: str = "+CPINR") -> int | None:
    """Tries left for the SIM's PIN as a counter's answer tells; None: not told.

    ``command`` is a key of ``PIN_COUNTERS``; the answers are::

        +CPINR: SIM PIN,<tries>[,<default>]                  27.007 §8.65; a line for each code
        +QPINC: "SC",<pin>,<puk>                             Quectel EC2x manual, chapter 5; a line "P2" too
        +SPIC: <pin1>,<puk1>,<pin2>,<puk2>                   SIM7600 manual, example 3,10,0,10
        ^CPIN: <state>,[<overall>],<puk1>,<pin1>,<puk2>,<pin2>    Huawei; ofono drivers/atmodem/sim.c
        +ZPINPUK: <pin>,<puk>                                ZTE; ofono
        +UPINCNT: <pin1>,<pin2>,<puk1>,<puk2>                u-blox; ModemManager's tests, 3,3,10,10
        +CPINC: <pin1>,<pin2>,<puk1>,<puk2>                  Sierra; ModemManager mm-broadband-modem-sierra.c
        #PCT: <tries>, ^SPIC: <tries>                        Telit, Cinterion; ofono

    The last two count for the code that is asked for now: they tell the PIN's tries only while +CPIN says ``SIM PIN``.
    """
    prefix = command.upper() + ":"
    if command not in PIN_COUNTERS:
        return None
    at = _TRIES_FIELD[command]
    for line in lines:
        if not line.lstrip().upper().replace(" ", "").startswith(prefix):
            continue
        fields = _fields(line.partition(":")[2].strip())
        name = _TRIES_NAME.get(command)
        if name is not None and _printable(fields[0]).upper() != name:
            continue
        tries = _int(fields[at]) if len(fields) > at else None
        if tries is not None and tries <= _TRIES_MOST:
            return tries
    return None


def imei(line: str) -> Imei:
    """The 15 digits of an IMEI line: bare, quoted, or behind ``+CGSN:`` or ``IMEI:``.

    Raises:
        AnswerError: no such line.
    """
    found = re.fullmatch(r'(?:\+?(?:CGSN|GSN|IMEI)\s*:)?\s*"?(\d{15})"?', line.strip(), re.IGNORECASE | re.ASCII)
    if found is None:
        raise AnswerError(line, "no IMEI")
    return Imei(found[1])


def imsi(line: str) -> Imsi:
    """The 14 or 15 digits of an IMSI line: bare, quoted, or behind ``+CIMI:``.

    Raises:
        AnswerError: no such line.
    """
    found = re.fullmatch(r'(?:[+*^]?CIMI\s*:)?\s*"?(\d{14,15})"?', line.strip(), re.IGNORECASE | re.ASCII)
    if found is None:
        raise AnswerError(line, "no IMSI")
    return Imsi(found[1])


def iccid(line: str) -> Iccid:
    """The 18 to 20 digits of an ICCID line, whatever its prefix; the filler F of the SIM's file is taken off.

    A card's number begins with 89 (E.118); where it begins with 98, the modem (Huawei's AT^ICCID?) has told the octets
    of the file as they are, and the digits of each are put into their order.

    Raises:
        AnswerError: no such line.
    """
    found = re.fullmatch(
        r'(?:[+*^$#!%]?[A-Z]{3,10}\s*:)?\s*"?(\d{18,20}[Ff]{0,2}|\d{18}[Ff]\d)"?', line.strip(), re.ASCII
    )
    digits = found[1] if found is not None else ""
    if digits.startswith("98"):
        digits = _swapped(digits)
    digits = digits.rstrip("Ff")
    if not (digits.isdecimal() and 18 <= len(digits) <= 20):
        raise AnswerError(line, "no ICCID")
    return Iccid(digits)


def _swapped(octets: str) -> str:
    """The digits of a file of the SIM: of each octet the low half first."""
    return "".join(octets[at + 1 : at + 2] + octets[at : at + 1] for at in range(0, len(octets), 2))


def iccid_of_file(line: str) -> Iccid:
    """The ICCID of ``+CRSM: 144,0,<EF_ICCID>``: the ten octets of the SIM's file, digits swapped (27.007 §8.18).

    Raises:
        AnswerError: another status, or no ICCID in it.
    """
    fields = _fields(_behind(line, "+CRSM"))
    octets = fields[2].strip('"') if len(fields) > 2 and _int(fields[0]) == 144 else ""
    return iccid(_swapped(octets))


def own_number(lines: Sequence[str]) -> str | None:
    """The first number of ``+CNUM`` lines (27.007 §7.1) as the SIM has it; None where it has none."""
    for line in lines:
        if line.lstrip().upper().startswith("+CNUM"):
            fields = _fields(_behind(line, "+CNUM"))
            number = _dialable(fields[1]) if len(fields) > 1 else None
            if number is not None:
                return number
    return None


def caller(line: str) -> str | None:
    """The number of a ``+CLIP`` line (27.007 §7.11); None where it is withheld or no number."""
    return _dialable(_fields(_behind(line, "+CLIP"))[0])


def _dialable(field: str) -> str | None:
    number = field.strip().strip('"')
    return number if re.fullmatch(r"\+?[0-9*#]{1,32}", number, re.ASCII) else None


# ---------------------------------------------------------------------------------------------- clock, bearer, USSD


def clock(line: str) -> datetime | None:
    """The time of ``+CCLK: "yy/MM/dd,hh:mm:ss±zz"`` with its zone in quarters of an hour (27.007 §8.15).

    None where the modem has not been told the time: a date that is none, or before 2020 (a clock that was never set
    begins at 80/01/06, 70/01/01, 04/01/01 or 00/01/01). Without a zone it is taken as UTC.

    Raises:
        AnswerError: no such line.
    """
    text = _behind(line, "+CCLK")
    found = re.fullmatch(
        r'"?(\d{2}|\d{4})/(\d{1,2})/(\d{1,2}),(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.\d+)?\s*([+-]\d{1,3})?"?',
        text,
        re.ASCII,
    )
    if found is None:
        raise AnswerError(line, "no clock")
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    quarters = int(found[7] or 0)
    if year < 100:
        year += 2000
    if not _CLOCK_FROM <= year < _CLOCK_UNTIL or abs(quarters) > _QUARTERS_MOST:
        return None
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=timezone(timedelta(minutes=15 * quarters)))
    except ValueError:
        return None


_CLOCK_FROM: Final = 2020
_CLOCK_UNTIL: Final = 2070
"""Two digits of 70 and more are the last century's: epochs of clocks that were never set."""
_QUARTERS_MOST: Final = 56
"""14 hours, the largest offset that any country has."""


@dataclass(frozen=True, slots=True)
class Ussd:
    """What ``+CUSD`` tells (27.007 §7.15).

    Attributes:
        status: 0 done, 1 the network waits for an answer, 2 ended by the network, 3 another client has it, 4 not
            supported, 5 the network has timed out.
        text: the string as it was read, still coded as the modem does it; None where there is none.
        dcs: its coding scheme (23.038 §5); None where it is missing.
    """

    status: int
    text: str | None
    dcs: int | None


def ussd(line: str) -> Ussd:
    """Read ``+CUSD: <m>[,"<str>"[,<dcs>]]``. Quotes inside of the string stay; the last ones may be missing.

    Raises:
        AnswerError: no status.
    """
    head, _, rest = _behind(line, "+CUSD").partition(",")
    status = _int(head)
    if status is None:
        raise AnswerError(line, "no <m>")
    found = re.fullmatch(r'\s*"?(.*?)"?\s*(?:,\s*(\d{0,3})\s*)?', rest, re.DOTALL | re.ASCII) if rest.strip() else None
    if found is None:
        return Ussd(status, None, None)
    dcs = _int(found[2] or "")
    return Ussd(status, found[1], dcs if dcs is not None and dcs <= 255 else None)
