"""What the tests of several doors ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.mqtt.house import House, house

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest_asyncio.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as it:
        yield it
