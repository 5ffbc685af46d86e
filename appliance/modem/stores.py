"""The storages of one modem for short messages: which there are, how full, reading and deleting.

Promise: a message is read and deleted in the storage that it was told to be in. What cannot be read does not keep the
others from being read. Messages that somebody stored to be sent are never touched.

Theory of operation
    AT+CPMS has up to three places: <mem1> for reading and deleting, <mem2> for sending from, <mem3> for what arrives.
    ``discover`` finds the names and the number of places (two on some modems). Selecting <mem1> tells the fill of it;
    <mem1> is named alone, or with the other places where a firmware takes nothing less (E3372).
    AT+CMGL=4 reads a storage at once. Some firmwares refuse it, or answer nothing although messages are there: then
    each index is asked for, once for each fill, from 0: modems begin at 0 or 1. So also where listing made the modem
    start anew; what is proven to do that is not read (``Poison``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from appliance.at import answers
from appliance.errors import CommandFailed
from appliance.modem import commands
from appliance.modem.poison import Poison

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from appliance.at.answers import Stored
    from appliance.modem.commands import Timed

__all__ = ["SIM_BUSY", "Ask", "Place", "Stores"]

_PROBE_LIMIT: Final = 512
"""Indexes asked for one by one; the largest storage known has 255 places."""

SIM_BUSY: Final = frozenset({"cms_314", "cme_14"})
"""It cannot be read now and can be in some seconds."""

_GONE: Final = frozenset({"cms_321", "cme_21", "cme_22"})
"""Nothing is at this index: already deleted."""


class Ask(Protocol):
    """How a command is given: raises ``CommandFailed``, ``AnswerTimeout`` or ``PortGone``."""

    async def __call__(self, timed: Timed, /) -> list[str]:
        """Return the lines of its answer."""


Place = tuple[str, int]
"""A storage and an index in it."""


class Stores:
    """The storages of a modem; made anew for each bring-up."""

    def __init__(self, ask: Ask, preferred: Sequence[str], poison: Poison | None = None) -> None:
        """Know nothing yet; ``preferred`` is the order in which storages are wanted."""
        self._ask = ask
        self._poison = poison or Poison()
        self._preferred = tuple(preferred)
        self._places = 3
        self._alone = True
        self._selected: str | None = None
        self._probed: dict[str, int] = {}
        self._gauge: dict[str, tuple[int, int]] = {}
        self.names: tuple[str, ...] = ()
        """What is swept; the one for arriving messages last, so that it stays selected."""

    @property
    def receiving(self) -> str | None:
        """Where arriving messages are stored; None where the modem has no storage that can be used."""
        return self.names[-1] if self.names else None

    @property
    def gauge(self) -> Mapping[str, tuple[int, int]]:
        """(used, total) of each storage that was selected so far."""
        return dict(self._gauge)

    async def discover(self) -> None:
        """Find the storages and choose the one for arriving messages.

        Raises:
            AnswerTimeout, PortGone: as the commands do.
        """
        groups = await self._known()
        readable = groups[0] if groups else ()
        receiving = groups[-1] if groups else ()
        wanted = [store for store in self._preferred if not groups or store in readable]
        self.names = ()
        for store in [store for store in wanted if store != "SR" and (not groups or store in receiving)]:
            if await self._receive_in(store):
                break
        else:
            return
        others = [other for other in wanted if other not in {store, "MT"} and (store != "MT" or other == "SR")]
        if not groups:
            others = [other for other in others if await self._can_select(other)]
        self.names = (*others, store)

    async def _can_select(self, store: str) -> bool:
        try:
            await self.select(store)
        except CommandFailed:
            return False
        return True

    async def _known(self) -> tuple[tuple[str, ...], ...]:
        try:
            lines = await self._ask(commands.STORES_KNOWN)
        except CommandFailed:
            return ()
        groups = answers.cpms_stores(lines[0]) if lines else ()
        return groups if not groups or any(groups) else ((), (), ())

    async def _receive_in(self, store: str) -> bool:
        for places in range(self._places, 0, -1):
            try:
                lines = await self._ask(commands.select(*[store] * places))
            except CommandFailed:
                continue
            self._places = places
            self._note(store, lines)
            return True
        return False

    def _note(self, store: str, lines: Sequence[str]) -> None:
        self._selected = store
        for line in lines:
            try:
                _, used, total = answers.cpms_gauge(line)[0]
            except answers.AnswerError:
                continue
            self._gauge[store] = (used, total)

    async def select(self, store: str, *, again: bool = False) -> None:
        """Make a storage the one that is read and deleted from; ``again``: also where it should be already.

        Raises:
            CommandFailed: the modem has no such storage (now).
        """
        if self._selected == store and not again:
            return
        self._selected = None
        receiving = self.receiving
        whole = (store, *[receiving or store] * (self._places - 1))
        if store == receiving or not self._alone:
            self._note(store, await self._ask(commands.select(*whole)))
            return
        try:
            lines = await self._ask(commands.select(store))
        except CommandFailed as error:
            if receiving is None or self._places == 1 or error.reason.code in SIM_BUSY:
                raise
            lines = await self._ask(commands.select(*whole))
            self._alone = False
        self._note(store, lines)

    async def listing(self, store: str) -> list[tuple[int, Stored]]:
        """Everything in a storage that arrived, with its index.

        Raises:
            CommandFailed: the storage cannot be selected, or the SIM is busy.
        """
        await self.select(store, again=True)
        if not self._poison.lists(store):
            return await self._one_by_one(store, anyway=True)
        found = await self._stored(commands.LIST_ALL, store, None)
        if not found:
            return await self._one_by_one(store)
        listed = [(entry.index, entry) for entry in found if entry.index is not None and not entry.outgoing]
        for index, _ in listed:
            self._poison.harmless(store, index)
        return [(index, entry if entry.raw else await self.read(store, index) or entry) for index, entry in listed]

    async def _one_by_one(self, store: str, *, anyway: bool = False) -> list[tuple[int, Stored]]:
        used, total = self._gauge.get(store, (0, 0))
        if not used or (self._probed.get(store, 0) == used and not anyway):
            return []
        found: list[tuple[int, Stored]] = []
        for index in range(min(total + 1, _PROBE_LIMIT)):
            entry = await self.read(store, index)
            if entry is not None and not entry.outgoing:
                found.append((index, entry))
        self._poison.passed(store)
        self._probed[store] = used
        return found

    async def read(self, store: str, index: int) -> Stored | None:
        """One message; None where nothing is, or nothing that may be read.

        Raises:
            CommandFailed: the storage cannot be selected, or the SIM is busy.
        """
        await self.select(store)
        if not self._poison.allows(store, index):
            return None
        found = await self._stored(commands.read(index), store, index)
        return found[0] if found and found[0].raw else None

    async def _stored(self, timed: Timed, store: str, index: int | None) -> tuple[Stored, ...]:
        """What a reading command finds; nothing where the modem refuses. Suspected while the modem has not answered.

        Raises:
            CommandFailed: the SIM is busy.
        """
        self._poison.begin(store, index)
        try:
            lines = await self._ask(timed)
        except CommandFailed as error:
            self._poison.end()
            if error.reason.code in SIM_BUSY:
                raise
            return ()
        self._poison.end()
        return answers.stored(lines)

    async def delete(self, store: str, index: int) -> None:
        """Delete one message; one that is not there any more is deleted.

        Raises:
            CommandFailed: the modem refuses.
        """
        await self.select(store)
        try:
            await self._ask(commands.delete(index))
        except CommandFailed as error:
            if error.reason.code not in _GONE:
                raise
        used, total = self._gauge.get(store, (0, 0))
        self._gauge[store] = (max(used - 1, 0), total)
        self._probed.pop(store, None)
