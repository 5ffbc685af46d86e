"""An emulator for each file of tests that asks for one, and from it a modem that no other test has had."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.emulator.testing import Bench, Unused

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    bench = Bench("--report-delay", "0")
    yield bench
    bench.close()


@pytest.fixture
def modem(bench: Bench) -> Iterator[Unused]:
    modem = bench.lend()
    yield modem
    modem.terminal.close()
