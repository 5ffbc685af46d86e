"""A hub with an open HTTP door on a free port, and clients with tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.http.visitors import Visitors, front

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.mqtt.house import House


@pytest_asyncio.fixture
async def visitors(home: House) -> AsyncIterator[Visitors]:
    async with front(home) as it:
        yield it
