"""What the tests measured, as tables: shown at the end of the session, and kept as files.

A test asks for a row (the fixture ``row``), and fills it while it goes on, so that a row also tells how far a test came
that failed. Rows travel with the test's report, from whichever process it ran in; the session's end puts them together.
A table's file is replaced by each session that has rows of it; the long form has files of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["TITLES", "Row", "keep", "lines", "written"]

Row = dict[str, Any]
"""One row: values by the names of their columns."""

TITLES: Final[Mapping[str, str]] = {
    "personas": "Every family of modems: start, texts, replug, revival",
    "faults": "Every fault: what is expected, how long it took (seconds after the fault ended or could be noticed)",
    "replug": "Swapped, and unplugged again and again",
    "pins": "A PIN costs one try",
    "beside": "A hung modem beside healthy ones",
    "share": "Three hubs on one topic of a broker, one of them killed in mid-flow",
    "doctor": "modemhub doctor, in its own words",
    "card": "The SD image in QEMU, from its first start on",
    "cuts": "The image loses its power: seconds to the hub's answer, the moment, what became of the writes",
    "updates": "Updates of the image: seconds to the new slot, to the commit, and back",
    "interrupted": "Power cut while an update is installed: after which write, and what started afterwards",
    "idle": "What a device that has nothing to do writes to its card, for each hour",
}
"""The tables, in the order in which they are shown."""


def written(value: Any) -> str:
    """A value as people read it: seconds with one decimal, what is unknown as a dash."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.3f}" if 0 < abs(value) < 0.05 else f"{value:.1f}"
        case _:
            return str(value).replace("|", "/").replace("\n", " ")


def lines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The rows as a Markdown table; a column stands where it was first used."""
    rows = list(rows)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [[written(row.get(column)) if column in row else "" for column in columns] for row in rows]
    widths = [max(len(column), *(len(row[n]) for row in cells)) for n, column in enumerate(columns)]
    return [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in (columns, ["-" * width for width in widths], *cells)
    ]


def keep(directory: Path, name: str, rows: Iterable[Mapping[str, Any]], *, form: str) -> Path:
    """Write a table's file; its path."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{name}-{form}.md"
    file.write_text("\n".join((f"# {TITLES[name]} ({form} form)", "", *lines(rows), "")), encoding="utf-8")
    return file
