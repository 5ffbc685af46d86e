"""The AT command line: how it is cut into commands (V.250 §5), results and errors (27.007 §9, 27.005 §3.2.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CTRL_Z: Final = 0x1A
ESC: Final = 0x1B
DEFERRED: Final[list[str]] = ["<deferred>"]
"""Returned (by identity) by a command that will tell its result later."""

CMS_TEXT: Final = {
    1: "Unassigned (unallocated) number",
    8: "Operator determined barring",
    10: "Call barred",
    21: "Short message transfer rejected",
    27: "Destination out of service",
    28: "Unidentified subscriber",
    29: "Facility rejected",
    30: "Unknown subscriber",
    38: "Network out of order",
    41: "Temporary failure",
    42: "Congestion",
    47: "Resources unavailable, unspecified",
    50: "Requested facility not subscribed",
    69: "Requested facility not implemented",
    95: "Invalid message, unspecified",
    96: "Invalid mandatory information",
    97: "Message type non-existent or not implemented",
    111: "Protocol error, unspecified",
    127: "Interworking, unspecified",
    192: "SC busy",
    194: "SC system failure",
    195: "Invalid SME address",
    197: "SM Rejected-Duplicate SM",
    208: "SIM SMS storage full",
    211: "Memory capacity exceeded",
    300: "ME failure",
    301: "SMS service of ME reserved",
    302: "operation not allowed",
    303: "operation not supported",
    304: "invalid PDU mode parameter",
    305: "invalid text mode parameter",
    310: "(U)SIM not inserted",
    311: "(U)SIM PIN required",
    313: "(U)SIM failure",
    314: "(U)SIM busy",
    316: "(U)SIM PUK required",
    320: "memory failure",
    321: "invalid memory index",
    322: "memory full",
    330: "SMSC address unknown",
    331: "no network service",
    332: "network timeout",
    340: "no +CNMA acknowledgement expected",
    500: "unknown error",
}
CME_TEXT: Final = {
    0: "phone failure",
    3: "operation not allowed",
    4: "operation not supported",
    10: "SIM not inserted",
    11: "SIM PIN required",
    12: "SIM PUK required",
    13: "SIM failure",
    14: "SIM busy",
    16: "incorrect password",
    21: "invalid index",
    22: "not found",
    30: "no network service",
    50: "Incorrect parameters",
    58: "language or alphabet not supported",
    100: "unknown",
    515: "please wait, init or command processing in progress",
}


class AtError(Exception):
    """A command failed: kind is "CME", "CMS" or "" for a bare ERROR."""

    def __init__(self, kind: str = "", code: int = 0) -> None:
        super().__init__(f"{kind} {code}")
        self.kind = kind
        self.code = code

    def line(self, cmee: int, *, bare_cms: bool = False) -> str:
        """The final result line under this +CMEE."""
        if not self.kind or cmee == 0:
            return "ERROR"
        if bare_cms and self.kind == "CMS":
            return "+CMS ERROR:"
        texts = CMS_TEXT if self.kind == "CMS" else CME_TEXT
        shown = texts.get(self.code, "unknown error") if cmee == 2 else str(self.code)
        return f"+{self.kind} ERROR: {shown}"


def cms(code: int) -> AtError:
    return AtError("CMS", code)


def cme(code: int) -> AtError:
    return AtError("CME", code)


@dataclass(frozen=True, slots=True)
class Call:
    """One command of a line: ``op`` is "", "=", "?" or "=?"."""

    name: str
    op: str = ""
    args: str = ""

    @property
    def typed(self) -> str:
        return self.name + self.op + self.args

    def values(self) -> list[str | None]:
        """The arguments; an omitted one is None, quotes are taken off."""
        return [None if value == "" else value.strip('"') for value in split_arguments(self.args)]

    def numbers(self, defaults: tuple[int, ...]) -> list[int]:
        """Decimal arguments with defaults for omitted ones; raises AtError for anything else."""
        given = self.values() if self.args.strip() else []
        if len(given) > len(defaults):
            raise AtError
        found = list(defaults)
        for place, value in enumerate(given):
            if value is None:
                continue
            if not value.isdecimal():
                raise AtError
            found[place] = int(value)
        return found


def split_arguments(text: str) -> list[str]:
    """Cut at the commas that stand outside quotes."""
    parts: list[str] = []
    part = ""
    quoted = False
    for char in text:
        if char == '"':
            quoted = not quoted
        if char == "," and not quoted:
            parts.append(part.strip())
            part = ""
        else:
            part += char
    parts.append(part.strip())
    return parts


def _end_of_extended(text: str, at: int) -> int:
    quoted = False
    while at < len(text):
        if text[at] == '"':
            quoted = not quoted
        elif text[at] == ";" and not quoted:
            return at
        at += 1
    return at


def parse_line(body: str) -> list[Call]:
    """The commands of a line without its AT; raises AtError where V.250 has no meaning for it."""
    calls: list[Call] = []
    at = 0
    while at < len(body):
        char = body[at].upper()
        if char in " ;":
            at += 1
        elif char == "D":
            calls.append(Call("D", "=", body[at + 1 :].strip()))
            break
        elif char.isalpha() or char == "&":
            call, at = _basic(body, at)
            calls.append(call)
        elif char in "+^*#%$!_\\":
            end = _end_of_extended(body, at)
            calls.append(_extended(body[at:end].strip()))
            at = end
        else:
            raise AtError
    return calls


def _basic(body: str, at: int) -> tuple[Call, int]:
    start = at
    at += 2 if body[at] == "&" else 1
    name = body[start:at].upper()
    digits = at
    while at < len(body) and body[at].isdecimal():
        at += 1
    if name == "S":
        name, digits = body[start:at].upper(), at
        if at < len(body) and body[at] == "=":
            digits = at = at + 1
            while at < len(body) and body[at].isdecimal():
                at += 1
            return Call(name, "=", body[digits:at]), at
    if at < len(body) and body[at] == "?":
        return Call(name, "?"), at + 1
    return Call(name, "=" if at > digits else "", body[digits:at]), at


def _extended(text: str) -> Call:
    end = next((place for place, char in enumerate(text) if char in "=?"), len(text))
    name, rest = text[:end].strip().upper(), text[end:]
    if len(name) < 2:
        raise AtError
    if rest in ("", "?", "=?"):
        return Call(name, rest)
    if rest.startswith("?"):
        raise AtError
    return Call(name, "=", rest[1:].strip())
