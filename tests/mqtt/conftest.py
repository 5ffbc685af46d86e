"""A hub, a Mosquitto and a raw broker for each test that asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.mqtt.house import MOSQUITTO, Mosquitto
from tests.mqtt.wire import RawBroker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest_asyncio.fixture
async def raw() -> AsyncIterator[RawBroker]:
    async with RawBroker() as broker:
        yield broker


@pytest_asyncio.fixture
async def mosquitto(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    broker = Mosquitto(tmp_path / "broker")
    await broker.start()
    yield broker
    await broker.stop()
