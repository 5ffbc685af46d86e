"""What arrives from the network: committed raw first, decoded from the row afterwards.

Promises: R1 (:meth:`Inbound.arrived` returns after the commit, and only then may the modem forget the PDU), R2 (the
same octets from the same SIM are one), R3 (what cannot be decoded is kept raw and told, and the next one is read), D1
(status reports).

Theory of operation: ``arrived`` commits and hands the row to the decoder, a vital task that takes rows one after the
other, so that what is told keeps the order of arrival. At start it begins with the rows that a crash left undecided.
Long texts are put together from rows, never from
memory: the decoder gives the store one part and the pure function that joins parts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from appliance import sms
from appliance.errors import SmsDecodeError, StoreFull
from appliance.store import inbound, reports

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from appliance.modem import ArrivedPdu
    from appliance.store import Journal

__all__ = ["Inbound"]

log = logging.getLogger(__name__)

FULL_DISK_RETRY = 5.0
"""Seconds between attempts to decode a row on a full disk; the row itself is safe."""


class Inbound:
    """Keeps and understands what the modems read."""

    def __init__(self, journal: Journal, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._journal = journal
        self._sleep = sleep
        self._rows: asyncio.Queue[inbound.StoredPdu] = asyncio.Queue()
        self._removable: dict[ArrivedPdu, int] = {}

    async def arrived(self, pdu: ArrivedPdu) -> None:
        """Commit a PDU as it was read; when this returns it may be deleted or acknowledged on the modem.

        Raises:
            StoreFull: it could not be kept; it must stay where it is.
        """
        stored = await self._journal.write(
            inbound.commit_pdu,
            imsi=pdu.imsi,
            imei=pdu.imei,
            iccid=pdu.iccid,
            raw=pdu.raw if pdu.tpdu is None else pdu.tpdu.hex().upper(),
            storage=pdu.storage,
            index=pdu.index,
        )
        if stored.fresh:
            self._rows.put_nowait(stored)
        if not pdu.direct:
            self._removable[pdu] = stored.id

    async def removed(self, pdu: ArrivedPdu) -> None:
        """The modem has forgotten the PDU."""
        await self._journal.write(inbound.removed, self._removable.pop(pdu))

    async def run(self) -> None:
        """Decode rows in the order of their arrival, for ever. A vital task."""
        for stored in await self._journal.read(inbound.undecided):
            self._rows.put_nowait(stored)
        while True:
            stored = await self._rows.get()
            while True:
                try:
                    await self._decide(stored)
                    break
                except StoreFull:
                    await self._sleep(FULL_DISK_RETRY)

    async def _decide(self, stored: inbound.StoredPdu) -> None:
        try:
            tpdu = _octets(stored.raw)
            match sms.decode_incoming(tpdu):
                case sms.SmsStatusReport() as report:
                    await self._journal.write(
                        reports.report,
                        pdu_id=stored.id,
                        imsi=stored.imsi,
                        mr=report.message_reference,
                        recipient=str(report.recipient),
                        outcome=report.outcome.value,
                        status=report.status,
                        text=report.text,
                        discharged_at=report.discharge_time.isoformat() if report.discharge_time else None,
                    )
                case sms.SmsDeliver() as deliver:
                    await self._journal.write(inbound.deliver, stored.id, part=_part(deliver), assemble=_assemble)
        except SmsDecodeError as error:
            log.warning("an inbound PDU cannot be decoded: %s", error)
            await self._journal.write(
                inbound.undecodable, stored.id, field=error.field, offset=error.offset, detail=error.detail
            )


def _octets(raw: str) -> bytes:
    with contextlib.suppress(ValueError):
        return bytes.fromhex(raw)
    raise SmsDecodeError("PDU", 0, "the modem's line is not hexadecimal")


def _part(deliver: sms.SmsDeliver) -> inbound.ReceivedPart:
    concatenation = deliver.concatenation
    key = sms.concatenation_key(deliver)
    sent_at = deliver.service_centre_timestamp
    extra: dict[str, Any] = {}
    if deliver.ports is not None:
        extra["port"], extra["source_port"] = deliver.ports
    if deliver.message_class == 0:
        extra["flash"] = True
    if deliver.message_waiting is not None:
        extra["message_waiting"] = str(deliver.message_waiting)
    if deliver.replace_type is not None:
        extra["replace_type"] = deliver.replace_type
    if deliver.truncated:
        extra["truncated"] = True
    return inbound.ReceivedPart(
        sender=str(deliver.originator),
        encoding=str(deliver.encoding),
        sent_at=sent_at.isoformat() if sent_at else None,
        set_key=None if key is None else repr(key),
        number=concatenation.sequence if concatenation else 1,
        total=concatenation.total if concatenation else 1,
        extra=extra,
    )


def _assemble(raw_parts: Sequence[str]) -> inbound.Assembled:
    """Join the parts of one message; called by the store in its transaction, pure."""
    parts = [
        deliver for raw in raw_parts if isinstance(deliver := sms.decode_incoming(bytes.fromhex(raw)), sms.SmsDeliver)
    ]
    joined = sms.assemble(parts)
    return inbound.Assembled(text=joined.text, data=joined.data, missing=joined.missing, total=joined.total)
