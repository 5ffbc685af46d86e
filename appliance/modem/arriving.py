"""What arrives at one modem: hints, direct deliveries, sweeps. Committed first, then deleted or acknowledged (R1).

Promise
    * What arrives is handed to ``ModemHost.arrived``, and only after that returned it is deleted or acknowledged.
    * A message that cannot be read, kept or deleted holds up no other one (R3), and a full storage is told (M3).
    * Nothing is lost when an indication is: every storage is swept again and again.

Theory of operation
    A URC is a hint: its index is read first, then its storage is swept. A storage is *dirty* when something may be in
    it. A message that a sweep finds although nothing was said since the last one, and nothing was left by that, means
    that the modem has gone deaf: it is set up anew, and swept every half minute until a hint comes again. So is a modem
    that takes no setting of +CNMI.

    Directly delivered ones wait in a queue, which outlasts the session, until the host has committed them; each with
    what was known of the modem and the SIM that they came to.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from appliance.at import answers, envelope
from appliance.errors import AnswerTimeout, CommandFailed, ModemhubError
from appliance.modem import commands
from appliance.modem.host import ArrivedPdu
from appliance.modem.poison import Poison
from appliance.modem.profile import Quirk
from appliance.modem.stores import SIM_BUSY, Stores
from appliance.types import Iccid

if TYPE_CHECKING:
    from appliance.at.answers import Stored
    from appliance.modem.host import ModemStatus
    from appliance.modem.talk import Talk

__all__ = ["Arriving"]

_HINTS: Final = 8
"""Indications waiting at which a sweep is cheaper than reading each index."""

_DIRECT: Final = 4096
"""Direct deliveries that wait for their commit at most; +CNMA is owed for one at a time, so more are repetitions."""

_NEARLY_FULL: Final = 0.9
"""Share of a storage at which what cannot be deleted is told: below the point where the network begins to wait."""


class Arriving:
    """What arrives at one modem, over any number of sessions."""

    def __init__(self, talk: Talk) -> None:
        """Nothing is known to have arrived."""
        self._talk = talk
        self._stores: Stores | None = None
        self._service = 0
        self._cnmi: tuple[int, ...] = ()
        self._hints: dict[tuple[str | None, int | None], None] = {}
        self._dirty: set[str] = set()
        self._all_dirty = False
        self._excused = True  # what a sweep finds may be there without the modem's being deaf
        self._direct: deque[tuple[str, int | None, ModemStatus]] = deque(maxlen=_DIRECT)
        self.poison = Poison()
        self.wanted = False
        """A look everywhere is wanted, as soon as there is time."""
        self.deaf = False
        """A message was found of which nothing had been said."""

    # ------------------------------------------------------------------------------------------ notes

    def hint(self, line: str) -> None:
        """+CMTI or +CDSI."""
        self._hints[answers.indication(line)] = None
        if len(self._hints) > _HINTS:
            self._hints.clear()
            self._all_dirty = True
        self._excused = True
        self.deaf = False

    def delivered(self, line: str, payload: str) -> None:
        """+CMT or +CDS; that reports come says nothing about messages."""
        self._direct.append((payload, answers.direct_length(line), self._talk.status))
        if line.startswith("+CMT"):
            self._excused = True
            self.deaf = False

    def look_everywhere(self) -> None:
        """Something may be in any storage."""
        self._all_dirty = True
        self.wanted = False

    def look_soon(self) -> None:
        """The modem says that its storages are ready, full or changed; some say so without end."""
        self.wanted = True

    def restarted(self) -> None:
        """The modem has started anew, or is gone."""
        found = self.poison.restarted()
        if found is not None:
            self._talk.tell(last_error=found, unreadable=self.poison.proven)

    def forget(self) -> None:
        """Another SIM, or another modem: what is stored is not what it was."""
        self.poison.forget()
        self._talk.tell(unreadable=())

    # ------------------------------------------------------------------------------------------ set-up

    async def set_up(self) -> None:
        """Find the storages and have what arrives announced."""
        talk, sms = self._talk, self._talk.profile.sms
        stores = self._stores = Stores(talk.ask, sms.stores, self.poison)
        self._excused = True
        await stores.discover()
        talk.tell(storage=stores.gauge)
        self._service = await self._set_service(sms.service if stores.names else 1)
        await self._indicate(sms.cnmi if stores.names else sms.cnmi_direct)

    async def _set_service(self, wanted: int) -> int:
        """Set AT+CSMS; the service that is on afterwards."""
        if await self._talk.attempt(commands.set_service(wanted)) is not None:
            return wanted
        return await self._talk.read(commands.SERVICE, answers.csms_service) or 0

    async def _indicate(self, ladder: tuple[tuple[int, ...], ...]) -> None:
        """Set AT+CNMI to the first setting that reads back."""
        self._cnmi = ()
        for setting in ladder:
            if await self._talk.attempt(commands.indicate(setting)) is None:
                continue
            shown = await self._talk.read(commands.INDICATIONS, answers.cnmi)
            if shown is None or _holds(setting, shown):
                self._cnmi = setting
                return
        self.deaf = True
        self._talk.tell(last_error="no setting of +CNMI holds: messages are found by sweeps only")

    async def read_back(self) -> None:
        """See whether what was set up is still so; a modem forgets it when it resets in silence."""
        talk = self._talk
        shown = await talk.read(commands.INDICATIONS, answers.cnmi)
        if self._cnmi and shown is not None and not _holds(self._cnmi, shown):
            talk.anew = f"the modem has forgotten its settings: +CNMI is {','.join(map(str, shown))}"
            return
        receiving = self._stores.receiving if self._stores is not None else None
        places = await talk.read(commands.STORES_USED, answers.cpms_gauge)
        now = places[-1][0] if places else None
        if None not in {receiving, now} and now != receiving:
            talk.anew = f"the modem has forgotten its settings: what arrives goes to {now}, not to {receiving}"

    # ------------------------------------------------------------------------------------------ stored

    async def follow_hints(self) -> bool:
        """Read what was announced, index by index, then leave its storage to the sweep; whether all could be kept."""
        stores, talk = self._stores, self._talk
        kept = True
        while self._hints and stores is not None and talk.steady:
            store, index = next(iter(self._hints))
            del self._hints[store, index]
            if store is None:
                self._all_dirty = True
                continue
            self._dirty.add(store)
            if index is None:
                continue
            try:
                entry = await stores.read(store, index)
            except CommandFailed as error:
                talk.tell(last_error=str(error))
                self._all_dirty = True
                continue
            if entry is not None and not entry.outgoing:
                kept = await self._take(store, index, entry) and kept
        return kept

    async def sweep(self, *, unannounced: bool = False) -> bool:
        """Read and empty the storages that may hold something; whether all could be read (but for the SIM) and kept.

        ``unannounced``: whatever is found was to be announced, so that finding something means that the modem is deaf.
        """
        stores, talk = self._stores, self._talk
        if stores is None:
            return True
        if self._all_dirty:
            self._all_dirty = False
            self._dirty.update(stores.names)
        kept = finished = True
        everything = self._dirty.issuperset(stores.names)
        order = [*stores.names, *sorted(self._dirty.difference(stores.names))]
        for store in [store for store in order if store in self._dirty]:
            self._dirty.discard(store)
            try:
                for index, entry in await stores.listing(store):
                    taken = await self._take(store, index, entry)
                    kept = taken and kept
                    if unannounced and taken and entry.raw and not self._excused:
                        self._found_deaf()
                    if not talk.steady:
                        return kept
            except CommandFailed as error:
                talk.tell(last_error=str(error))
                finished = False
                kept = kept and error.reason.code not in SIM_BUSY
            except AnswerTimeout:
                self._dirty.add(store)
                raise
        self._weigh(stores)
        if everything:
            self._excused = not (kept and finished) or bool(self._hints)
        if stores.receiving is not None:
            try:
                await stores.select(stores.receiving)
            except CommandFailed as error:
                talk.tell(last_error=str(error))
        return kept

    def _found_deaf(self) -> None:
        if not self.deaf:
            self.deaf = True
            self._talk.anew = "a message had arrived without its indication"

    def _weigh(self, stores: Stores) -> None:
        """Tell how full the storages are after a sweep."""
        gauge = stores.gauge
        full = tuple(sorted(name for name, (used, total) in gauge.items() if total and used >= total * _NEARLY_FULL))
        self._talk.tell(storage=gauge, full=full)

    async def _take(self, store: str, index: int, entry: Stored) -> bool:
        """Hand a stored message over and delete it; False where it has to stay."""
        talk = self._talk
        if entry.text_mode:
            talk.anew = "the modem has forgotten its settings: it lists in text mode"
            return False
        if not entry.raw:
            return True
        pdu = _arrived(talk.status, entry.raw, entry.length, store, index)
        if not await self._commit(pdu):
            return False
        stores = self._stores
        if stores is not None:
            try:
                await stores.delete(store, index)
            except CommandFailed as error:
                talk.tell(last_error=str(error))
                return False
            await talk.host.removed(pdu)
        return True

    async def _commit(self, pdu: ArrivedPdu) -> bool:
        try:
            await self._talk.host.arrived(pdu)
        except ModemhubError as error:
            self._talk.tell(last_error=f"an arrived message could not be kept yet: {error}")
            return False
        return True

    # ------------------------------------------------------------------------------------------ direct

    async def deliver(self) -> bool:
        """Hand over what came directly, and acknowledge it; whether all could be kept."""
        while self._direct:
            raw, length, known = self._direct[0]
            whose = known if known.state.heard and known.imsi is not None else self._talk.status
            if not await self._commit(_arrived(whose, raw, length, None, None)):
                return False
            self._direct.popleft()
            if self._service == 1 and Quirk.NEVER_CNMA not in self._talk.profile.quirks:
                await self._talk.attempt(commands.ACKNOWLEDGE)
        return True


def _arrived(status: ModemStatus, raw: str, length: int | None, store: str | None, index: int | None) -> ArrivedPdu:
    """What was read from the modem with this status."""
    try:
        tpdu = envelope.unwrap(raw, length)
    except envelope.EnvelopeError:
        tpdu = None
    assert status.imei is not None, "arrivals are served behind the bring-up"
    assert status.imsi is not None, "arrivals are served behind the bring-up"
    return ArrivedPdu(
        status.imei, status.imsi, status.iccid or Iccid(""), tpdu, raw, store, index, direct=store is None
    )


def _holds(setting: tuple[int, ...], shown: tuple[int, ...]) -> bool:
    """Whether +CNMI? shows what was set; <mode> and <bfr> are told differently by some modems."""
    return shown[1 : min(len(setting), 4)] == setting[1:4]
