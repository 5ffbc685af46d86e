"""What the black-box tests share: the long form, a place for a rig, tables, and evidence of what went wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import pytest

from hil import tables
from hil.rig import mosquitto_path

if TYPE_CHECKING:
    from collections.abc import Generator

    from hil.tables import Row

TAIL = 60
"""Lines of each process's log that a failed test shows."""

KEPT: Final = Path(__file__).resolve().parents[1] / ".cache" / "hil"
"""Where the tables of the last sessions are."""

_ROW: Final = "row of a table"

_rows: dict[str, list[Row]] = {}
"""What this session's tests have measured, by table."""


class NewRow(Protocol):
    """Begins a row of a table; the columns may be filled later."""

    def __call__(self, table: str, /, **columns: Any) -> Row: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="black-box tests with the counts of the promises (make hil)")
    parser.addoption("--card", metavar="FILE", help="the built SD image, to be tested in QEMU (make card)")


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether this is the long form."""
    return bool(request.config.getoption("--long"))


@pytest.fixture(scope="session")
def card(request: pytest.FixtureRequest) -> Path:
    """The built SD image."""
    given = request.config.getoption("--card")
    if not given:
        pytest.skip("the SD image in QEMU takes a quarter of an hour: make card")
    return Path(given)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory for a rig with Mosquitto."""
    if mosquitto_path() is None:
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    return tmp_path


@pytest.fixture
def row(request: pytest.FixtureRequest) -> NewRow:
    """Begin a row of a table of ``hil.tables``; a column ``verdict`` is added where the test sets none."""

    def begin(table: str, /, **columns: Any) -> Row:
        assert table in tables.TITLES
        request.node.user_properties.append((_ROW, (table, columns)))
        return columns

    return begin


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows the end of every log in the test's directory: the hub's, the broker's, the emulator's."""
    report = yield
    del call
    place = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and isinstance(place, Path):
        for log in sorted(place.rglob("*.log")):
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            report.sections.append((f"end of {log.relative_to(place)}", "\n".join(lines[-TAIL:])))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Take the rows of a test that ran here, or in another process of this session."""
    if report.when != "call":
        return
    verdict = "known fault" if hasattr(report, "wasxfail") else report.outcome
    properties: list[tuple[str, Any]] = report.user_properties
    for key, value in properties:
        if key == _ROW:
            table, columns = value
            _rows.setdefault(table, []).append({**columns, "verdict": columns.get("verdict", verdict)})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the tables and keep them."""
    form = "long" if config.getoption("--long") else "short"
    for name in tables.TITLES:
        if name in _rows:
            rows = sorted(_rows[name], key=lambda row: next(iter(map(str, row.values()))))
            file = tables.keep(KEPT, name, rows, form=form)
            terminalreporter.write_sep("=", f"{tables.TITLES[name]} ({file.relative_to(KEPT.parents[1])})")
            for line in tables.lines(rows):
                terminalreporter.write_line(line)
