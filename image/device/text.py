"""PURE. The settings file's octets, as somebody's editor wrote them, made into text and TOML.

Promise: what any editor of Windows, macOS or Linux writes is read: UTF-8 with and without mark, UTF-16, the Windows
code page of western Europe; any line ends; NULs and Ctrl-Z at the end. What is no TOML is told by line, with what to do
about it. No value of the file is repeated in a complaint: it may be a password.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

__all__ = ["NotToml", "decoded", "line_of", "parsed", "toml"]

CURLY = "“”„‟«»″‘’‚‛′"
"""Quotation marks that word processors put in the place of the straight ones."""

_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")

_HINTS = (
    ("Invalid value", 'text has to stand in straight quotes, as in ssid = "my network"'),
    ("Invalid statement", 'a line is a [section], or key = value; a comment begins with "#"'),
    ("Expected '='", 'a line is a [section], or key = value; a comment begins with "#"'),
    ("Illegal character", "something invisible stands in this line, or a quote is missing at its end: write it anew"),
    ("Unescaped", "put text with a backslash into single quotes, as in 'a\\b'"),
    ("Unterminated string", "a quote is missing at the end"),
    ("Cannot declare", "this section stands twice: put everything of it below one heading"),
    ("Cannot overwrite", "this key stands twice in its section"),
    ("Expected newline", "only one key = value in a line, and nothing behind it but a comment"),
    ("Unclosed array", 'a "]" is missing'),
    ("Cannot mutate immutable", "this section was written as { … } before: keep one of the two"),
)


class NotToml(Exception):
    """It is no TOML; the complaints, each with its line and what to do."""

    def __init__(self, complaints: list[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = complaints


def decoded(octets: bytes) -> str:
    """The text in them, with newlines alone at the line ends, whatever the editor made of it."""
    even, odd = octets[:40:2], octets[1:40:2]  # of UTF-16, one of the two is NULs, but for a few letters
    if octets[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        text = octets.decode("utf-16", "replace")
    elif odd.count(0) > len(odd) // 2 and not even.count(0):
        text = octets.decode("utf-16-le", "replace")
    elif even.count(0) > len(even) // 2 and not odd.count(0):
        text = octets.decode("utf-16-be", "replace")
    else:
        try:
            text = octets.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = octets.decode("cp1252", "replace")
    text = text.lstrip("\ufeff").rstrip("\0\x1a")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parsed(text: str) -> dict[str, Any]:
    """The tables in it.

    Raises:
        NotToml: with every complaint that can be made.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        curly = [
            f'line {number}: these are typographic quotation marks ({found[0]}); TOML wants the straight ones: "'
            for number, line in enumerate(text.split("\n"), 1)
            if (found := re.search(f"[{CURLY}]", _bare(line))) is not None
        ]
        raise NotToml(curly or [_complaint(str(error), text)]) from None


def _bare(line: str) -> str:
    """A line without what stands in straight quotes, and without its comment."""
    return re.sub(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'", "", line).partition("#")[0]


def _complaint(said: str, text: str) -> str:
    place = _AT.search(said)
    what = said[: place.start()] if place else said
    number = int(place[1]) if place and place[1] else text.count("\n") + 1
    lines = text.split("\n")
    if what.startswith("Illegal character '\\n'") and number > 1 and number <= len(lines):
        what = "Unterminated string"
    if what.startswith("Invalid value") and place and not place[1]:
        what = "Unclosed array"
    hint = next((hint for begin, hint in _HINTS if what.startswith(begin)), "this is not TOML")
    key = re.match(r"\s*([A-Za-z0-9_.\"*-]+)\s*=", lines[number - 1]) if number <= len(lines) else None
    return f"line {number}{f' ({key[1]})' if key else ''}: {hint}"


def line_of(text: str, path: tuple[Any, ...]) -> int | None:
    """The line in which the setting at ``path`` stands, or what is nearest above it; None: nothing of it is there."""
    best: tuple[int, int] | None = None
    table: tuple[Any, ...] = ()
    counted: dict[tuple[Any, ...], int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if head := re.match(r"\s*(\[\[?)\s*([^\[\]#]+?)\s*\]", line):
            table = _steps(head[2])
            if head[1] == "[[":
                counted[table] = counted.get(table, -1) + 1
                table = (*table, counted[table])
            here = table
        elif pair := re.match(r"\s*([^=#\[\]]+?)\s*=", line):
            here = (*table, *_steps(pair[1]))
        else:
            continue
        if here and path[: len(here)] == here and (best is None or len(here) > best[0]):
            best = (len(here), number)
    return None if best is None else best[1]


def _steps(dotted: str) -> tuple[str, ...]:
    try:
        found: Any = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    steps: list[str] = []
    while isinstance(found, dict):
        (step,) = found
        steps.append(step)
        found = found[step]
    return tuple(steps)


def toml(content: Mapping[str, Any]) -> str:
    """A mapping as TOML: one section for each table at the top, everything below them in one line."""
    plain = [f"{_key(key)} = {_value(value)}" for key, value in content.items() if not isinstance(value, Mapping)]
    tables = [
        "\n".join([f"[{_key(key)}]", *(f"{_key(below)} = {_value(value)}" for below, value in table.items())])
        for key, table in content.items()
        if isinstance(table, Mapping)
    ]
    return "\n\n".join([*(["\n".join(plain)] if plain else []), *tables]) + "\n"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _string(key)


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\u{ord(found[0]):04x}", escaped) + '"'


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _string(value)
        case Mapping():
            inner = ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case list() | tuple():
            return f"[{', '.join(_value(each) for each in value)}]"
    return value.isoformat() if hasattr(value, "isoformat") else _string(str(value))
