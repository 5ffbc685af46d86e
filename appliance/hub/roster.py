"""Which modems and SIMs there are, as the modems tell it, and which SIM a message goes to.

The roster is memory only: every word of it is told again by the modems within seconds of a start. What must outlast a
restart (which SIMs were ever seen, whose queue is how long) is in the store.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from appliance.types import ModemState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from appliance.modem import Modem, ModemStatus
    from appliance.types import Imei, Imsi

__all__ = ["Roster"]


class Roster:
    """The modems of this hub by IMEI and their SIMs by IMSI."""

    def __init__(self) -> None:
        self._statuses: dict[Imei, ModemStatus] = {}
        self._places: dict[Imei, str] = {}
        self._able: dict[Imsi, Modem] = {}
        self._queues: Mapping[str, int] = {}
        self._expected: Counter[str] = Counter()
        self._version = 0
        self._changed = asyncio.Event()

    def tell(self, status: ModemStatus) -> None:
        """A modem says how it is; what another place says of a modem that has moved since is no news of it."""
        if status.imei is None:
            return
        if status.state.heard:
            self._places[status.imei] = status.place
        if self._places.setdefault(status.imei, status.place) != status.place:
            return
        if self._statuses.get(status.imei) != status:
            self._statuses[status.imei] = status
            self._bump()

    def forget(self, imei: str) -> None:
        """This modem is not expected any more."""
        for known in [known for known in self._statuses if known == imei]:
            del self._statuses[known]
            self._places.pop(known, None)
            self._bump()

    def touch(self) -> None:
        """Something beside the modems is another: what is plugged in and cannot be used."""
        self._bump()

    def queues(self, depths: Mapping[str, int]) -> None:
        """How many segments wait for each SIM."""
        self._expected.clear()
        if depths != self._queues:
            self._queues = depths
            self._bump()

    def expect(self, imsi: Imsi, segments: int) -> None:
        """So many more are on their way to this SIM's queue; counted until the queues are told again."""
        self._expected[imsi] += segments

    def able(self, imsi: Imsi, modem: Modem) -> None:
        """This SIM can submit through this modem now."""
        self._able[imsi] = modem
        self._bump()

    def unable(self, modem: Modem) -> list[Imsi]:
        """No SIM can submit through this modem; returns those that could."""
        lost = [imsi for imsi, able in self._able.items() if able is modem]
        for imsi in lost:
            del self._able[imsi]
        if lost:
            self._bump()
        return lost

    def able_sims(self) -> Iterator[Imsi]:
        """The SIMs that can submit now, the shortest queue first."""
        return iter(sorted(self._able, key=lambda imsi: (self._queues.get(imsi, 0) + self._expected[imsi], imsi)))

    def queue(self, imsi: Imsi | None) -> int:
        """How many segments wait for a SIM."""
        return self._queues.get(imsi, 0) if imsi is not None else 0

    def status(self, imei: str) -> ModemStatus | None:
        """What is known of a modem."""
        return next((status for known, status in self._statuses.items() if known == imei), None)

    @property
    def statuses(self) -> list[ModemStatus]:
        """How each modem is that has said who it is."""
        return list(self._statuses.values())

    def views(self) -> dict[str, dict[str, Any]]:
        """IMEI → the JSON of ``modemhub/modem/<imei>/state``, with ``available``."""
        return {imei: self._view(status) for imei, status in self._statuses.items()}

    def _view(self, status: ModemStatus) -> dict[str, Any]:
        return {
            "imei": status.imei,
            "state": status.state.value,
            "available": status.state is ModemState.READY,
            "registration": status.registration.name.lower() if status.registration is not None else None,
            "operator": status.operator,
            "technology": status.technology,
            "signal_dbm": status.signal_dbm,
            "sim": status.imsi,
            "iccid": status.iccid,
            "number": status.number,
            "storage": {store: {"used": used, "total": total} for store, (used, total) in status.storage.items()},
            "storage_full": list(status.full),
            "unreadable": list(status.unreadable),
            "bearer": status.bearer,
            "network_time": status.network_time,
            "queue": self.queue(status.imsi),
            "last_error": status.last_error,
            "recovery": status.recovery,
            "manufacturer": status.manufacturer,
            "model": status.model,
            "revision": status.revision,
            "place": status.place,
            "port": status.port,
            "profile": status.profile,
        }

    @property
    def version(self) -> int:
        """Which state of the roster this is; another one after each change."""
        return self._version

    async def changed(self, version: int) -> int:
        """Wait until the roster is not at ``version`` any more; returns where it is."""
        while self._version == version:
            await self._changed.wait()
        return self._version

    def _bump(self) -> None:
        self._version += 1
        self._changed.set()
        self._changed.clear()
