"""Where the others are wrong: each known fault, with the clause that says so and a test for exactly that case.

A difference that one of these explains is counted under its name. Anything else is a difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

Line = dict[str, Any]


class Fault(NamedTuple):
    """What one oracle does wrong."""

    oracle: str
    name: str
    clause: str
    applies: Callable[[Line, Line], bool]


def _text(line: Line) -> str:
    return str(line.get("text", ""))


def _octets(record: Line) -> int:
    return len(_text(record).encode("utf-16-be")) // 2 + len(record.get("data", "")) // 2


def _other_letters(pairs: set[tuple[str, str]]) -> Callable[[Line, Line], bool]:
    """The texts differ only where this right letter was read as that wrong one."""

    def applies(record: Line, found: Line) -> bool:
        right, wrong = _text(record), _text(found)
        unlike = {pair for pair in zip(right, wrong, strict=False) if pair[0] != pair[1]}
        return len(right) == len(wrong) and bool(unlike) and unlike <= pairs

    return applies


def _both(*tests: Callable[[Line, Line], bool]) -> Callable[[Line, Line], bool]:
    return lambda record, found: all(test(record, found) for test in tests)


def _last_lost(record: Line, found: Line) -> bool:
    return _text(record)[-1:] in {"@", "\r"} and _text(found) == _text(record)[:-1]


def _zeros_appended(record: Line, found: Line) -> bool:
    right, wrong = _text(record), _text(found)
    return bool(right) and wrong.startswith(right) and set(wrong[len(right) :]) == {"@"}


FAULTS: tuple[Fault, ...] = (
    Fault(
        "pycrate",
        "gsmcodecs: apostrophe for the comma at 0x2C, PA for DDA in Kannada",
        "23.038 A.3.4 to A.3.13: 0x2C is COMMA; A.3.7: 0x24 stands between TTHA and DDHA",
        _other_letters({(",", "'"), ("\u0ca1", "\u0caa")}),
    ),
    Fault(
        "pycrate",
        "drops an @ or carriage return at the end",
        "23.040 9.2.3.16: TP-UDL counts the septets; there is no padding character in user data",
        _last_lost,
    ),
    Fault(
        "pycrate",
        "gsmcodecs: no euro sign in Telugu",
        "23.038 A.2.12: 0x65 is EURO SIGN",
        lambda record, found: "€" in _text(record) and "-12' codec can't decode byte 0x65" in found.get("error", ""),
    ),
    Fault(
        "pycrate",
        "writes a carriage return where seven bits are left over, and counts it",
        "23.038 6.1.2.3.1: that is for USSD; 23.040 9.2.3.16: TP-UDL counts the septets of the text",
        lambda record, found: _text(found) == _text(record) + "\r",
    ),
    Fault(
        "smspdudecoder",
        "takes an escape code among the header's bits for one of the text, and loses a character",
        "23.040 9.2.3.24: the header is octets; text begins at the septet behind it",
        lambda record, found: "total" in record and _text(record)[1:] == _text(found).rstrip("@"),
    ),
    Fault(
        "smspdudecoder",
        "counts characters for septets: fill bits behind an escape pair become @",
        "23.040 9.2.3.16: TP-UDL counts septets; an escape pair is two",
        _zeros_appended,
    ),
    Fault(
        "messaging",
        "cannot read an empty text",
        "23.040 9.2.3.16: user data may be empty",
        lambda record, found: "error" in found and record.get("text") == "",
    ),
    Fault(
        "gammu",
        "doubles ~ in UCS-2",
        "23.038 6.2.3: UCS-2 has no escape",
        lambda record, found: (
            "~" in _text(record) and bool(_text(found)) and _text(record).replace("~", "~~").startswith(_text(found))
        ),
    ),
    Fault(
        "gammu",
        "writes U+0001 for ~ in UCS-2",
        "23.038 6.2.3: UCS-2 has no escape",
        lambda record, found: "~" in _text(record) and _text(record).replace("~", "\x01") == _text(found),
    ),
    Fault(
        "gammu",
        "refuses an address of twenty digits before next to no user data",
        "23.040 9.1.2.5: an address has up to ten octets of digits; 9.2.3.16: user data may be empty",
        lambda record, found: "error" in found and len(record["number"].lstrip("+")) == 20 and _octets(record) <= 2,
    ),
    Fault(
        "gammu",
        "reads a sender of letters without the default alphabet: @ ends it, £, brackets and braces are others",
        "23.040 9.1.2.5: an alphanumeric address is in the default alphabet of 23.038",
        lambda record, found: (
            "error" not in found
            and _text(record) == _text(found)
            and record.get("data") == found.get("data")
            and any(letter in "@£[]{}~" for letter in record["number"])
        ),
    ),
    Fault(
        "node_pdu",
        "takes a number with 00 within for an international one, and drops its first two digits",
        "23.040 9.1.2.5: type of number says that, no digits do",
        lambda record, found: "00" in record["number"] and found.get("number") == "+" + record["number"][2:],
    ),
    Fault(
        "node_pdu",
        "reads an @ where nothing stands behind the header's fill bit",
        "23.040 9.2.3.16: TP-UDL counts the header's septets too; all seven are the header's and its fill bit's",
        lambda record, found: record.get("text") == "" and found.get("text") == "@" and "total" in record,
    ),
    Fault(
        "node_pdu",
        "writes a space for the form feed",
        "23.038 6.2.1.1: it is 0x0A behind an escape",
        _other_letters({("\f", " ")}),
    ),
    Fault(
        "node_pdu",
        "` for the section sign and for the form feed",
        "23.038 6.2.1: 0x5F is SECTION SIGN; 6.2.1.1: 0x0A behind an escape is FORM FEED",
        _other_letters({("§", "`"), ("\f", "`")}),
    ),
)


def explain(oracle: str, record: Line, found: Line) -> Fault | None:
    """The oracle's own fault that explains this difference."""
    return next((fault for fault in FAULTS if fault.oracle == oracle and fault.applies(record, found)), None)
