"""What the black-box tests share: the long form, a place for a rig, and evidence of what went wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hil.rig import mosquitto_path

if TYPE_CHECKING:
    from collections.abc import Generator

TAIL = 60
"""Lines of each process's log that a failed test shows."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="black-box tests with the counts of the promises (make hil)")


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether this is the long form."""
    return bool(request.config.getoption("--long"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory for a rig with Mosquitto."""
    if mosquitto_path() is None:
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    return tmp_path


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
