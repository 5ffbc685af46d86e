"""A hub, and a receiver on a free port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.webhooks.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    it = Receiver()
    await it.start()
    yield it
    it.release.set()
    await it.stop()
