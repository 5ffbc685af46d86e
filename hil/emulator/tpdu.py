"""23.040: SMS-SUBMIT and SMS-DELIVER read strictly, SMS-DELIVER and SMS-STATUS-REPORT written, and all their fields.

Promise of the readers (``read_submit``, ``read_deliver``, ``read_sca``): every octet and every bit is accounted for.
What the standard does not allow is refused with the field, the octet's offset in the TPDU (in the SCA: in the whole
PDU) and the reason; nothing is guessed and nothing is skipped. The writer makes what the network would send, and its
parts can be combined to what no network should.

Offsets in ``Refusal`` count octets from 0. ``cause`` is what the network would answer: 24.011 cause 96 (invalid
mandatory information) for the fixed fields, 97 for another message type, 111 (protocol error) for the user data.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from hil.emulator import alphabet

MAX_UD_OCTETS: Final = 140
MAX_SEPTETS: Final = 160
CAUSE_FIXED: Final = 96
CAUSE_TYPE: Final = 97
CAUSE_USER_DATA: Final = 111

NIBBLES: Final = "0123456789*#abc"
"""Semi-octet values of 23.040 §9.1.2.3; 0xF is the filler."""

IEI_CONCAT_8: Final = 0x00
IEI_CONCAT_16: Final = 0x08
IEI_PORTS_8: Final = 0x04
IEI_PORTS_16: Final = 0x05
IEI_SINGLE_SHIFT: Final = 0x24
IEI_LOCKING_SHIFT: Final = 0x25
IE_LENGTHS: Final = {0x00: 3, 0x01: 2, 0x04: 2, 0x05: 4, 0x06: 1, 0x07: 1, 0x08: 4, 0x20: 1, 0x24: 1, 0x25: 1}
"""Information elements with a fixed length (§9.2.3.24)."""

_RESERVED_IEI = (0x02, 0x03, *range(0x26, 0x70), *range(0xA0, 0xC0), *range(0xE0, 0x100))
_NPI = (0, 1, 3, 4, 5, 6, 8, 9, 10)
_TON_RESERVED = 7
_TON_INTERNATIONAL = 1
_TON_ALPHANUMERIC = 5
_E164_DIGITS = 15
_UTC = timezone.utc  # noqa: UP017 - the alias datetime.UTC reads as a class in annotations


class Refusal(ValueError):
    """What the standard does not allow: field, octet offset, reason, and the cause which the network answers."""

    def __init__(self, field: str, offset: int, detail: str, cause: int = CAUSE_FIXED) -> None:
        super().__init__(f"{field} at octet {offset}: {detail}")
        self.field = field
        self.offset = offset
        self.detail = detail
        self.cause = cause

    def as_json(self) -> dict[str, Any]:
        return {"field": self.field, "offset": self.offset, "detail": self.detail, "cause": self.cause}


class _Octets:
    """A cursor over octets that knows the field it reads."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def one(self, field: str) -> int:
        return self.take(1, field)[0]

    def take(self, count: int, field: str) -> bytes:
        if self.at + count > len(self.data):
            raise Refusal(field, len(self.data), f"the TPDU ends, {count} octets are needed at {self.at}")
        piece = self.data[self.at : self.at + count]
        self.at += count
        return piece


# --------------------------------------------------------------------------------------------------- addresses


@dataclass(frozen=True, slots=True)
class Address:
    """An address field: its digits (or letters) and its type of address octet."""

    value: str
    toa: int

    @property
    def number(self) -> str:
        """The number as people write it: with + when international."""
        return f"+{self.value}" if (self.toa >> 4) & 7 == _TON_INTERNATIONAL else self.value


def digits_to_octets(digits: str) -> bytes:
    """Swapped semi-octets with the 0xF filler for an odd count."""
    nibbles = [NIBBLES.index(digit) for digit in digits]
    if len(nibbles) % 2:
        nibbles.append(0xF)
    return bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))


def write_address(number: str, toa: int | None = None) -> bytes:
    """An address field (§9.1.2.5): +digits international, digits unknown, anything else alphanumeric."""
    digits = number.removeprefix("+")
    if toa is None:
        numeric = bool(digits) and all(char in NIBBLES for char in digits)
        toa = 0x91 if number.startswith("+") else 0x81 if numeric else 0xD0
    if (toa >> 4) & 7 == _TON_ALPHANUMERIC:
        septets = alphabet.encode(number)
        packed = alphabet.pack(septets)
        return bytes(((len(septets) * 7 + 3) // 4, toa)) + packed
    return bytes((len(digits), toa)) + digits_to_octets(digits)


def _read_digits(octets: bytes, count: int, field: str, offset: int) -> str:
    digits: list[str] = []
    for place in range(2 * len(octets)):
        nibble = (octets[place // 2] >> (4 * (place % 2))) & 0xF
        at = offset + place // 2
        if place == count:
            if nibble != 0xF:
                raise Refusal(field, at, f"an odd number of digits ends with the filler F, not {nibble:X}")
        elif nibble == 0xF:
            raise Refusal(field, at, f"the filler F stands in digit {place + 1} of {count}")
        else:
            digits.append(NIBBLES[nibble])
    return "".join(digits)


def _check_toa(toa: int, field: str, offset: int) -> None:
    if not toa & 0x80:
        raise Refusal(field, offset, f"bit 8 of the type of address 0x{toa:02X} is not set")
    if (toa >> 4) & 7 == _TON_RESERVED:
        raise Refusal(field, offset, f"the type of number 7 of 0x{toa:02X} is reserved")
    if toa & 0xF not in _NPI:
        raise Refusal(field, offset, f"the numbering plan {toa & 0xF} of 0x{toa:02X} is reserved")


def _check_international(digits: str, field: str, offset: int) -> None:
    if not digits.isdigit():
        raise Refusal(field, offset, "an international number has digits only")
    if digits.startswith("0"):
        raise Refusal(field, offset, "an international number does not begin with 0")
    if len(digits) > _E164_DIGITS:
        raise Refusal(field, offset, f"{len(digits)} digits, E.164 ends at {_E164_DIGITS}")


def _read_address(octets: _Octets, field: str) -> Address:
    start = octets.at
    count = octets.one(field)
    if not 1 <= count <= 20:
        raise Refusal(field, start, f"{count} digits; 1 to 20 are allowed")
    toa = octets.one(field)
    _check_toa(toa, field, start + 1)
    body = octets.take((count + 1) // 2, field)
    if (toa >> 4) & 7 == _TON_ALPHANUMERIC:
        if field == "tp-da":
            raise Refusal(field, start + 1, "a destination cannot be alphanumeric")
        try:
            return Address(alphabet.decode(alphabet.unpack(body, count * 4 // 7)), toa)
        except alphabet.CodeError as error:
            raise Refusal(field, start + 2 + 7 * error.index // 8, error.detail) from None
    digits = _read_digits(body, count, field, start + 2)
    if (toa >> 4) & 7 == _TON_INTERNATIONAL and toa & 0xF == 1:
        _check_international(digits, field, start + 2)
    return Address(digits, toa)


def read_sca(pdu: bytes) -> tuple[Address | None, int]:
    """The service centre address in front of the TPDU (27.005 §3.1) and the octets it takes; None: the stored one."""
    octets = _Octets(pdu)
    length = octets.one("sca")
    if length == 0:
        return None, 1
    if not 2 <= length <= 11:
        raise Refusal("sca", 0, f"length {length}; 0 or 2 to 11 octets are allowed")
    toa = octets.one("sca")
    _check_toa(toa, "sca", 1)
    body = octets.take(length - 1, "sca")
    count = 2 * len(body) - (1 if body[-1] >> 4 == 0xF else 0)
    digits = _read_digits(body, count, "sca", 2)
    if (toa >> 4) & 7 == _TON_INTERNATIONAL:
        _check_international(digits, "sca", 2)
    return Address(digits, toa), octets.at


def write_sca(number: str) -> bytes:
    """The SCA part of a PDU line, with its length in octets; an empty number gives 00."""
    if not number:
        return b"\x00"
    field = write_address(number)
    return bytes((len(field) - 1,)) + field[1:]


# -------------------------------------------------------------------------------------------------------- time


def _bcd(value: int) -> int:
    return (value % 10) << 4 | value // 10


def write_timestamp(when: datetime) -> bytes:
    """Seven octets of §9.2.3.11; the zone in quarters of an hour, bit 4 of the last octet set west of Greenwich."""
    offset = when.utcoffset() or timedelta(0)
    quarters = round(offset.total_seconds() / 900)
    zone = _bcd(abs(quarters)) | (0x08 if quarters < 0 else 0)
    fields = (when.year % 100, when.month, when.day, when.hour, when.minute, when.second)
    return bytes(_bcd(field) for field in fields) + bytes((zone,))


def read_timestamp(data: bytes, field: str = "tp-scts", offset: int = 0) -> datetime:
    """The moment in seven octets; the century is 2000."""
    values: list[int] = []
    for place, octet in enumerate(data[:6]):
        tens, ones = octet & 0xF, octet >> 4
        if tens > 9 or ones > 9:
            raise Refusal(field, offset + place, f"0x{octet:02X} is no pair of decimal digits")
        values.append(tens * 10 + ones)
    tens, ones = data[6] & 0x7, data[6] >> 4
    if ones > 9:
        raise Refusal(field, offset + 6, f"0x{data[6]:02X} is no time zone")
    quarters = tens * 10 + ones
    if quarters > 56:
        raise Refusal(field, offset + 6, f"a time zone of {quarters} quarters of an hour")
    zone = timezone(timedelta(minutes=15 * (-quarters if data[6] & 0x8 else quarters)))
    try:
        return datetime(2000 + values[0], *values[1:], tzinfo=zone)  # type: ignore[misc,arg-type] # five ints
    except ValueError as error:
        raise Refusal(field, offset, str(error)) from None


def relative_seconds(octet: int) -> int:
    """TP-VP relative (§9.2.3.12.1): 5 minute steps to 12 h, half hours to 24 h, days to 30, weeks to 63."""
    if octet <= 143:
        return (octet + 1) * 300
    if octet <= 167:
        return 12 * 3600 + (octet - 143) * 1800
    if octet <= 196:
        return (octet - 166) * 86400
    return (octet - 192) * 7 * 86400


def _read_validity(octets: _Octets, vpf: int) -> dict[str, Any] | None:
    start = octets.at
    if vpf == 0:
        return None
    if vpf == 2:
        value = octets.one("tp-vp")
        return {"format": "relative", "value": value, "seconds": relative_seconds(value)}
    data = octets.take(7, "tp-vp")
    if vpf == 3:
        moment = read_timestamp(data, "tp-vp", start)
        return {"format": "absolute", "at": moment.isoformat()}
    return _read_enhanced(data, start)


def _read_enhanced(data: bytes, start: int) -> dict[str, Any]:
    indicator = data[0]
    if indicator & 0x38:
        raise Refusal("tp-vp", start, f"reserved bits set in the functionality indicator 0x{indicator:02X}")
    if indicator & 0x80:
        raise Refusal("tp-vp", start, "an extension of the functionality indicator is not defined")
    single_shot = bool(indicator & 0x40)
    used = {0: 1, 1: 2, 2: 2, 3: 4}.get(indicator & 7)
    if used is None:
        raise Refusal("tp-vp", start, f"the validity format {indicator & 7} is reserved")
    for place in range(used, 7):
        if data[place]:
            raise Refusal("tp-vp", start + place, "unused octets of the enhanced format are zero")
    seconds: int | None = None
    match indicator & 7:
        case 1:
            seconds = relative_seconds(data[1])
        case 2:
            seconds = data[1]
            if seconds == 0:
                raise Refusal("tp-vp", start + 1, "zero seconds is reserved")
        case 3:
            parts = [(octet & 0xF) * 10 + (octet >> 4) for octet in data[1:4]]
            if any((octet & 0xF) > 9 or octet >> 4 > 9 for octet in data[1:4]) or parts[1] > 59 or parts[2] > 59:
                raise Refusal("tp-vp", start + 1, "no hours, minutes and seconds")
            seconds = parts[0] * 3600 + parts[1] * 60 + parts[2]
    return {"format": "enhanced", "value": data.hex(), "seconds": seconds, "single_shot": single_shot}


# ------------------------------------------------------------------------------------------------------ coding


@dataclass(frozen=True, slots=True)
class Coding:
    """What a data coding scheme octet says (23.038 §4)."""

    alphabet: str
    """gsm7, 8bit or ucs2."""
    message_class: int | None = None
    waiting: str | None = None
    """discard or store for the message waiting groups."""


def read_dcs(dcs: int, offset: int = 0) -> Coding:
    """The coding of a TP-DCS octet; reserved values are refused."""
    group = dcs >> 4
    if group <= 0b0111:
        if dcs & 0x20:
            raise Refusal("tp-dcs", offset, "compressed text is not supported", 144)
        if not dcs & 0x10 and dcs & 0x03:
            raise Refusal("tp-dcs", offset, f"class bits of 0x{dcs:02X} are reserved while bit 4 is zero")
        names = ("gsm7", "8bit", "ucs2")
        if dcs & 0x0C == 0x0C:
            raise Refusal("tp-dcs", offset, f"the alphabet of 0x{dcs:02X} is reserved")
        return Coding(names[(dcs >> 2) & 3], dcs & 3 if dcs & 0x10 else None)
    if group <= 0b1011:
        raise Refusal("tp-dcs", offset, f"the coding group of 0x{dcs:02X} is reserved")
    if group <= 0b1110:
        if dcs & 0x04:
            raise Refusal("tp-dcs", offset, f"bit 2 of 0x{dcs:02X} is reserved")
        return Coding("ucs2" if group == 0b1110 else "gsm7", None, "discard" if group == 0b1100 else "store")
    if dcs & 0x08:
        raise Refusal("tp-dcs", offset, f"bit 3 of 0x{dcs:02X} is reserved")
    return Coding("8bit" if dcs & 4 else "gsm7", dcs & 3)


def lenient_dcs(dcs: int) -> Coding:
    """The coding as a receiving phone takes it: reserved values mean the default alphabet (23.038 §4)."""
    try:
        return read_dcs(dcs)
    except Refusal:
        return Coding("gsm7")


def _check_pid(pid: int, offset: int) -> None:
    good = pid == 0 or 0x20 <= pid <= 0x48 or pid in (0x5E, 0x5F) or 0x7C <= pid <= 0x7F or pid >= 0xC0
    if not good:
        raise Refusal("tp-pid", offset, f"0x{pid:02X} is reserved", CAUSE_FIXED)


# --------------------------------------------------------------------------------------------------- user data


@dataclass(frozen=True, slots=True)
class Concat:
    """A concatenation element: 8 or 16 bit reference, parts, and the place of this one (from 1)."""

    ref: int
    total: int
    n: int
    wide: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"ref": self.ref, "total": self.total, "n": self.n, "wide": self.wide}


@dataclass(frozen=True, slots=True)
class UserData:
    """The decoded TP-UD: either text or data is set."""

    header: bytes
    text: str | None
    data: bytes | None
    concat: Concat | None = None
    ports: tuple[int, int] | None = None
    locking: int = 0
    single: int = 0


def _elements(header: bytes, offset: int) -> list[tuple[int, bytes, int]]:
    """The elements of a header without its length octet: (identifier, value, offset)."""
    found: list[tuple[int, bytes, int]] = []
    at = 0
    while at < len(header):
        if at + 2 > len(header):
            raise Refusal("udh", offset + at, "an element has no length octet", CAUSE_USER_DATA)
        iei, length = header[at], header[at + 1]
        if at + 2 + length > len(header):
            raise Refusal(
                "udh", offset + at + 1, f"element 0x{iei:02X} of {length} octets passes the end", CAUSE_USER_DATA
            )
        found.append((iei, header[at + 2 : at + 2 + length], offset + at))
        at += 2 + length
    return found


def _check_elements(elements: list[tuple[int, bytes, int]], coding: Coding) -> None:
    seen: set[int] = set()
    for iei, value, at in elements:
        if iei in _RESERVED_IEI:
            raise Refusal("udh", at, f"element 0x{iei:02X} is reserved", CAUSE_USER_DATA)
        if iei in IE_LENGTHS and len(value) != IE_LENGTHS[iei]:
            raise Refusal(
                "udh", at + 1, f"element 0x{iei:02X} has {len(value)} octets, not {IE_LENGTHS[iei]}", CAUSE_USER_DATA
            )
        kind = {IEI_CONCAT_16: IEI_CONCAT_8, IEI_PORTS_16: IEI_PORTS_8}.get(iei, iei)
        if kind in (IEI_CONCAT_8, IEI_PORTS_8, IEI_SINGLE_SHIFT, IEI_LOCKING_SHIFT):
            if kind in seen:
                raise Refusal("udh", at, f"element 0x{iei:02X} says again what another one said", CAUSE_USER_DATA)
            seen.add(kind)
        if iei in (IEI_CONCAT_8, IEI_CONCAT_16):
            total, n = value[-2], value[-1]
            if total == 0:
                raise Refusal("udh", at + len(value), "a message of 0 parts", CAUSE_USER_DATA)
            if not 1 <= n <= total:
                raise Refusal("udh", at + 1 + len(value), f"part {n} of {total}", CAUSE_USER_DATA)
        if iei in (IEI_SINGLE_SHIFT, IEI_LOCKING_SHIFT):
            tables = alphabet.SINGLE if iei == IEI_SINGLE_SHIFT else alphabet.LOCKING
            if value[0] == 0 or value[0] not in tables:
                raise Refusal("udh", at + 2, f"language {value[0]} has no such table", CAUSE_USER_DATA)
            if coding.alphabet != "gsm7":
                raise Refusal("udh", at, f"a shift table for {coding.alphabet} text", CAUSE_USER_DATA)


def read_user_data(udl: int, ud: bytes, *, udhi: bool, coding: Coding, offset: int) -> UserData:
    """TP-UDL and TP-UD read strictly; ``offset`` is that of the octet after TP-UDL."""
    seven_bit = coding.alphabet == "gsm7"
    limit = MAX_SEPTETS if seven_bit else MAX_UD_OCTETS
    if udl > limit:
        raise Refusal("tp-udl", offset - 1, f"{udl} is over {limit}", CAUSE_USER_DATA)
    needed = (udl * 7 + 7) // 8 if seven_bit else udl
    if len(ud) != needed:
        word = "short" if len(ud) < needed else "long"
        raise Refusal(
            "tp-ud", offset + min(len(ud), needed), f"too {word}: {len(ud)} octets, TP-UDL {udl} needs {needed}",
            CAUSE_USER_DATA,
        )  # fmt: skip
    header = b""
    elements: list[tuple[int, bytes, int]] = []
    if udhi:
        if not ud:
            raise Refusal("udh", offset, "TP-UDHI is set and there is no user data", CAUSE_USER_DATA)
        if ud[0] + 1 > len(ud):
            raise Refusal("udh", offset, f"UDHL {ud[0]} passes the end of {len(ud)} octets", CAUSE_USER_DATA)
        if ud[0] == 0:
            raise Refusal("udh", offset, "TP-UDHI is set and the header is empty", CAUSE_USER_DATA)
        header = ud[: ud[0] + 1]
        elements = _elements(header[1:], offset + 1)
        _check_elements(elements, coding)
    values = {iei: value for iei, value, _ in elements}
    locking = values.get(IEI_LOCKING_SHIFT, b"\0")[0]
    single = values.get(IEI_SINGLE_SHIFT, b"\0")[0]
    text, data = _read_body(udl, ud, header, coding, tables=(locking, single), offset=offset)
    return UserData(header, text, data, _concat(values), _ports(values), locking, single)


def _concat(values: dict[int, bytes]) -> Concat | None:
    if value := values.get(IEI_CONCAT_8):
        return Concat(value[0], value[1], value[2])
    if value := values.get(IEI_CONCAT_16):
        return Concat(value[0] << 8 | value[1], value[2], value[3], wide=True)
    return None


def _ports(values: dict[int, bytes]) -> tuple[int, int] | None:
    if value := values.get(IEI_PORTS_8):
        return value[0], value[1]
    if value := values.get(IEI_PORTS_16):
        return value[0] << 8 | value[1], value[2] << 8 | value[3]
    return None


def _read_body(
    udl: int, ud: bytes, header: bytes, coding: Coding, *, tables: tuple[int, int], offset: int
) -> tuple[str | None, bytes | None]:
    body, start = ud[len(header) :], offset + len(header)
    if coding.alphabet == "8bit":
        return None, body
    if coding.alphabet == "ucs2":
        if len(body) % 2:
            raise Refusal("tp-ud", start + len(body) - 1, "half a UCS2 character at the end", CAUSE_USER_DATA)
        try:
            return body.decode("utf-16-be"), None
        except UnicodeDecodeError as error:
            raise Refusal("tp-ud", start + error.start, "a surrogate without its other half", CAUSE_USER_DATA) from None
    fill = -8 * len(header) % 7
    header_septets = (8 * len(header) + 6) // 7
    count = udl - header_septets
    if count < 0:
        raise Refusal("tp-udl", offset - 1, f"{udl} septets are fewer than the header's {header_septets}", 111)
    before, after = alphabet.spare_bits(body, count, fill)
    if before:
        raise Refusal("tp-ud", start, f"{fill} fill bits after the header are not zero", CAUSE_USER_DATA)
    if after:
        raise Refusal("tp-ud", start + len(body) - 1, "spare bits after the last septet are not zero", CAUSE_USER_DATA)
    septets = alphabet.unpack(body, count, fill)
    try:
        return alphabet.decode(septets, *tables), None
    except alphabet.CodeError as error:
        at = start + (fill + 7 * error.index) // 8
        raise Refusal("tp-ud", at, error.detail, CAUSE_USER_DATA) from None


# ------------------------------------------------------------------------------------------------------ submit


@dataclass(frozen=True, slots=True)
class Submit:
    """An SMS-SUBMIT of which every bit was understood."""

    rd: bool
    vpf: int
    srr: bool
    udhi: bool
    rp: bool
    mr: int
    da: Address
    pid: int
    dcs: int
    vp: dict[str, Any] | None
    udl: int
    ud: UserData
    tpdu: bytes


def read_submit(tpdu: bytes) -> Submit:
    """SMS-SUBMIT (§9.2.2.2) from its octets; raises Refusal."""
    octets = _Octets(tpdu)
    first = octets.one("tp-mti")
    if first & 3 != 1:
        raise Refusal("tp-mti", 0, f"message type {first & 3} is not SMS-SUBMIT", CAUSE_TYPE)
    mr = octets.one("tp-mr")
    da = _read_address(octets, "tp-da")
    pid = octets.one("tp-pid")
    _check_pid(pid, octets.at - 1)
    dcs = octets.one("tp-dcs")
    coding = read_dcs(dcs, octets.at - 1)
    vpf = (first >> 3) & 3
    vp = _read_validity(octets, vpf)
    udl = octets.one("tp-udl")
    offset = octets.at
    ud = read_user_data(udl, tpdu[offset:], udhi=bool(first & 0x40), coding=coding, offset=offset)
    return Submit(
        rd=bool(first & 0x04), vpf=vpf, srr=bool(first & 0x20), udhi=bool(first & 0x40), rp=bool(first & 0x80),
        mr=mr, da=da, pid=pid, dcs=dcs, vp=vp, udl=udl, ud=ud, tpdu=tpdu,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Deliver:
    """An SMS-DELIVER of which every bit was understood."""

    oa: Address
    pid: int
    dcs: int
    scts: datetime
    ud: UserData


def read_deliver(tpdu: bytes) -> Deliver:
    """SMS-DELIVER (§9.2.2.1) from its octets, as strictly as a submit; raises Refusal."""
    octets = _Octets(tpdu)
    first = octets.one("tp-mti")
    if first & 3 != 0:
        raise Refusal("tp-mti", 0, f"message type {first & 3} is not SMS-DELIVER", CAUSE_TYPE)
    oa = _read_address(octets, "tp-oa")
    pid = octets.one("tp-pid")
    dcs = octets.one("tp-dcs")
    coding = read_dcs(dcs, octets.at - 1)
    offset = octets.at
    scts = read_timestamp(octets.take(7, "tp-scts"), "tp-scts", offset)
    udl = octets.one("tp-udl")
    offset = octets.at
    ud = read_user_data(udl, tpdu[offset:], udhi=bool(first & 0x40), coding=coding, offset=offset)
    return Deliver(oa, pid, dcs, scts, ud)


def peek(tpdu: bytes) -> dict[str, Any]:
    """What can still be said of a refused submit: its first octet and, when readable, its destination."""
    told: dict[str, Any] = {}
    if tpdu:
        told |= {"rd": bool(tpdu[0] & 0x04), "srr": bool(tpdu[0] & 0x20)}
    if len(tpdu) > 4:
        count = tpdu[2]
        body = tpdu[4 : 4 + (count + 1) // 2]
        digits = "".join(NIBBLES[n] if n < 15 else "" for o in body for n in (o & 0xF, o >> 4))[:count]
        told |= {"mr": tpdu[1], "toa": tpdu[3], "da": Address(digits, tpdu[3]).number}
    return told


# ---------------------------------------------------------------------------------------------- what SC sends


def write_header(
    concat: Concat | None = None,
    ports: tuple[int, int] | None = None,
    locking: int = 0,
    single: int = 0,
    *,
    extra: bytes = b"",
) -> bytes:
    """A user data header with its length octet, or nothing when there is nothing to say."""
    body = b""
    if concat is not None:
        if concat.wide:
            body += bytes((IEI_CONCAT_16, 4, concat.ref >> 8, concat.ref & 0xFF, concat.total, concat.n))
        else:
            body += bytes((IEI_CONCAT_8, 3, concat.ref, concat.total, concat.n))
    if ports is not None:
        body += bytes((IEI_PORTS_16, 4)) + ports[0].to_bytes(2, "big") + ports[1].to_bytes(2, "big")
    if single:
        body += bytes((IEI_SINGLE_SHIFT, 1, single))
    if locking:
        body += bytes((IEI_LOCKING_SHIFT, 1, locking))
    body += extra
    return bytes((len(body),)) + body if body else b""


def write_user_data(content: bytes, header: bytes, kind: str) -> bytes:
    """TP-UDL and TP-UD; ``content`` holds septets (one per octet) for gsm7, else octets."""
    if kind != "gsm7":
        return bytes((len(header) + len(content),)) + header + content
    fill = -8 * len(header) % 7
    udl = (8 * len(header) + 6) // 7 + len(content)
    return bytes((udl,)) + header + alphabet.pack(content, fill)


def write_deliver(
    origin: str,
    scts: datetime,
    user_data: bytes,
    *,
    dcs: int = 0,
    pid: int = 0,
    udhi: bool = False,
    more: bool = False,
    sri: bool = False,
) -> bytes:
    """SMS-DELIVER (§9.2.2.1); ``user_data`` begins with TP-UDL."""
    first = (0x00 if more else 0x04) | (0x20 if sri else 0) | (0x40 if udhi else 0)
    return bytes((first,)) + write_address(origin) + bytes((pid, dcs)) + write_timestamp(scts) + user_data


def write_report(mr: int, recipient: Address, scts: datetime, done: datetime, status: int) -> bytes:
    """SMS-STATUS-REPORT (§9.2.2.3) without optional parameters."""
    field = bytes((len(recipient.value), recipient.toa)) + digits_to_octets(recipient.value)
    return bytes((0x06, mr)) + field + write_timestamp(scts) + write_timestamp(done) + bytes((status,))


def split_text(text: str, kind: str, *, reserved: int, locking: int = 0, single: int = 0) -> list[bytes]:
    """Contents for segments whose header takes ``reserved`` octets; no escape pair or surrogate pair is cut."""
    if kind == "gsm7":
        room = MAX_SEPTETS - (8 * reserved + 6) // 7
        units = [alphabet.encode(char, locking, single) for char in text]
    else:
        room = (MAX_UD_OCTETS - reserved) // 2 * 2
        units = [char.encode("utf-16-be") for char in text]
    return _fill(units, room)


def split_data(data: bytes, *, reserved: int) -> list[bytes]:
    """8 bit contents for segments whose header takes ``reserved`` octets."""
    room = MAX_UD_OCTETS - reserved
    return [data[at : at + room] for at in range(0, len(data), room)] or [b""]


def _fill(units: list[bytes], room: int) -> list[bytes]:
    parts: list[bytes] = []
    part = bytearray()
    for unit in units:
        if len(part) + len(unit) > room:
            parts.append(bytes(part))
            part = bytearray()
        part += unit
    parts.append(bytes(part))
    return parts


def now() -> datetime:
    """The service centre's clock."""
    return datetime.now(_UTC)
