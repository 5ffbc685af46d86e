"""A real hub on a real journal, and a host's view of a modem: PDUs come in as a modem would hand them over."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from appliance.hub import Hub
from appliance.hub.settings import PolicySettings
from appliance.modem import ArrivedPdu
from appliance.store import HubClock, Journal, sims
from appliance.supervisor import Supervisor
from appliance.types import Iccid, Imei, Imsi

IMSI, IMEI, ICCID = Imsi("234100000000001"), Imei("356938035643015"), Iccid("8944100000000000018")


class Time:
    """Hub time that passes only while everybody sleeps; the wall clock runs along, and can be set to jump."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.wall_offset = 1.7e9

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)

    def clock(self) -> HubClock:
        return HubClock(boottime=lambda: self.now, wall=lambda: self.wall_offset + self.now, boot_id="boot")


@dataclass
class House:
    """What a test has in hand."""

    hub: Hub
    journal: Journal
    time: Time
    supervisor: Supervisor

    async def arrive(self, tpdu: bytes | str, *, index: int = 1) -> ArrivedPdu:
        """Hand a TPDU over as a modem does; a str is a line that is not hexadecimal."""
        octets = tpdu if isinstance(tpdu, bytes) else None
        raw = tpdu.hex().upper() if isinstance(tpdu, bytes) else tpdu
        pdu = ArrivedPdu(
            imei=IMEI, imsi=IMSI, iccid=ICCID, tpdu=octets, raw=raw, storage="ME", index=index, direct=False
        )
        await self.hub.arrived(pdu)
        return pdu

    async def received(self, count: int) -> list[dict[str, Any]]:
        """The bodies of the ``received`` events, once there are ``count`` of them."""
        seq = 0
        while True:
            told = await self.hub.events(0, kinds=["received"])
            if len(told) >= count:
                return [event.body for event in told]
            seq = await self.journal.committed(seq)


Open = Callable[..., Any]


@pytest_asyncio.fixture
async def open_hub(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens a hub on the same journal file each time; the one before is closed first, as a restart does."""
    opened: list[House] = []
    time = Time()

    async def close() -> None:
        for house in opened:
            house.supervisor.stop()
            await house.supervisor.run()
            await house.journal.close()
        opened.clear()

    async def open_(*, known_sim: bool = True, upkeep: bool = False, **policy: Any) -> House:
        await close()
        journal = await Journal.open(tmp_path / "hub.db", clock=time.clock(), ballast_bytes=4096)
        if known_sim:
            await journal.write(sims.seen, imsi=IMSI, iccid=ICCID, imei=IMEI, number=None)
        # Without upkeep a sleeper sleeps for ever: its rounds would make hub time fly.
        supervisor = Supervisor()
        hub = Hub(
            journal,
            journal.clock,
            supervisor,
            policy=PolicySettings(**policy),
            sleep=time.sleep if upkeep else lambda _: asyncio.Event().wait(),  # type: ignore[arg-type,return-value] # never returns
        )
        await hub.start()
        house = House(hub, journal, time, supervisor)
        opened.append(house)
        return house

    yield open_
    await close()


@pytest.fixture
def anyone() -> dict[str, Any]:
    """A policy that allows every number."""
    return {"allowed_destinations": ["*"]}
