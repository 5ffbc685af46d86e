"""What a modem tells its owner, and what it needs of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from appliance.types import ModemState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.modem.ladder import Memory
    from appliance.modem.modem import Modem
    from appliance.types import Iccid, Imei, Imsi, Registration

__all__ = ["ArrivedPdu", "ModemHost", "ModemStatus", "RungTaken", "UssdAnswer"]


@dataclass(frozen=True, slots=True)
class ArrivedPdu:
    """One PDU as it was read.

    Attributes:
        imei: the modem.
        imsi: the subscription that was in it.
        iccid: the SIM card; empty where the modem tells none.
        tpdu: the octets behind the service centre address; None: the line is not hexadecimal.
        raw: the line as it was read.
        storage: where it is stored; None for a direct delivery.
        index: at which index.
        direct: it came with +CMT or +CDS and is kept nowhere.
    """

    imei: Imei
    imsi: Imsi
    iccid: Iccid
    tpdu: bytes | None
    raw: str
    storage: str | None
    index: int | None
    direct: bool


@dataclass(frozen=True, slots=True)
class ModemStatus:
    """What is known about a modem; None: not known (yet).

    Attributes:
        place: where it lives; the same for as long as it stays there.
        port: the tty or URL it is spoken to by.
        profile: the family it is taken for.
        signal_dbm: the signal in dBm.
        storage: (used, total) by storage.
        full: storages that are nearly full although they are swept: something in them cannot be read or deleted.
        unreadable: messages that make the modem start anew when they are read, as ``ME 7``: left where they are.
        bearer: the command that chose the bearer for short messages; None: the modem's own choice.
        network_time: the network's clock when it was last looked at, RFC 3339: a hint, nothing is decided by it.
        last_error: the last thing that went wrong, in words.
        recovery: what is being done against it, in words; None: nothing.
    """

    place: str
    port: str
    profile: str
    state: ModemState = ModemState.GONE
    imei: Imei | None = None
    manufacturer: str | None = None
    model: str | None = None
    revision: str | None = None
    imsi: Imsi | None = None
    iccid: Iccid | None = None
    number: str | None = None
    registration: Registration | None = None
    operator: str | None = None
    technology: str | None = None
    signal_dbm: int | None = None
    storage: Mapping[str, tuple[int, int]] = field(default_factory=lambda: MappingProxyType({}))
    full: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    bearer: str | None = None
    network_time: str | None = None
    last_error: str | None = None
    recovery: str | None = None


@dataclass(frozen=True, slots=True)
class RungTaken:
    """One step of the recovery ladder, as it is told.

    Attributes:
        rung: its number.
        name: what was done.
        reason: against what.
        seconds: from its begin until it was known whether it helped.
        outcome: ``helped``, ``no_effect``, or ``failed`` where it could not be done at all.
        detail: why it could not be done.
    """

    rung: int
    name: str
    reason: str
    seconds: float
    outcome: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class UssdAnswer:
    """What the network answers to an unstructured supplementary service request (27.007 §7.15).

    Attributes:
        status: <m>: 0 nothing more, 1 an answer is waited for, 2 ended by the network, 4 not supported, 5 time-out.
        text: <str> as it came, coded as ``dcs`` says; None: there was none.
        dcs: the coding scheme of 23.038 §5; None: not told.
        packed: ``text`` is the hexadecimal digits of packed septets, whatever ``dcs`` says.
    """

    status: int
    text: str | None
    dcs: int | None
    packed: bool


class ModemHost(Protocol):
    """What a modem needs from its owner. What a callback raises ends the session, where it does not say otherwise."""

    async def attached(self, modem: Modem) -> None:
        """Identity and SIM are known and the network is there: it can submit. Again after each recovery."""

    async def detached(self, modem: Modem, reason: str) -> None:
        """It can no longer submit."""

    def changed(self, status: ModemStatus) -> None:
        """Something of the status is another; called immediately."""

    async def arrived(self, pdu: ArrivedPdu) -> None:
        """Commit it; return only after that. A ``ModemhubError`` leaves it where it is, to be told again later."""

    async def removed(self, pdu: ArrivedPdu) -> None:
        """It was deleted on the modem."""

    def called(self, imei: Imei, imsi: Imsi, number: str | None) -> None:
        """Somebody calls; once a call. None: the number is withheld."""

    async def may_try_pin(self, iccid: Iccid, pin: str) -> bool:
        """Commit that this PIN is about to be tried on this SIM; False where it was tried before, and not taken."""

    async def pin_taken(self, iccid: Iccid, pin: str) -> None:
        """Commit that the SIM has taken this PIN: it may be tried again when the card has lost its power."""

    async def troubles(self, place: str, imei: Imei | None) -> Memory | None:
        """What is remembered of this modem's troubles: by its IMEI, else of the one that was last in this place."""

    async def recovering(self, place: str, imei: Imei | None, memory: Memory, taken: RungTaken | None) -> None:
        """Commit what is to be remembered, and tell the step that was taken, if one is settled.

        A ``ModemhubError`` leaves it unremembered: a full disk keeps nobody from being revived.
        """
