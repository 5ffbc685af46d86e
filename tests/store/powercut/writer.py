"""A hub's lives on its real store, to be traced: ``writer.py DIRECTORY TRANSACTIONS [LIFE]``.

Around each verb it writes a line to stdout, each with one plain write, so that a tracer sees them in their place among
the system calls: ``ASK {…}`` before the verb is asked for, ``ACK {…}`` after its ``write`` returned. An ACK is what the
hub would have told a client, a broker or a modem. ``TOLD {…}`` names the events that a door has read, and so would have
published. Each line is JSON after its word; ``i`` ties an ACK to its ASK.

Several callers work at once, as in the hub, so that commits are shared: clients that send, one dispatcher for each SIM,
sweepers of inbound PDUs, and a door that tails the events. There are three lives in one directory, each of which leaves
segments in flight and begins with ``recover``. The first is closed as it should be. The second ends as by kill -9 (the
process becomes another one), so that the third begins by reading the WAL again. The third ends at once too.

It imports nothing but ``appliance``: a control experiment puts a changed copy of that first on ``PYTHONPATH``.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import appliance
from appliance.store import HubClock, Journal, events, identity, inbound, outbound, reports, sims
from appliance.types import Iccid, Imei, Imsi, MessageId, OnInDoubt, Reason, RetryClass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from appliance.store import Transaction

P = ParamSpec("P")
T = TypeVar("T")

BALLAST = 65536
CLOSED, KILLED = 1, 2
"""How the first life ends, and how the second does."""

SHARE = {1: 6, 2: 3 / 2, 3: 6}
"""Of all transactions each life has one part in so many: the second is long, to have checkpoints in its midst."""

SIMS = (Imsi("262011234567890"), Imsi("262019876543210"))
IMEI = Imei("490154203237518")
CLIENTS = 2
SWEEPERS = 2
RECIPIENTS = 5
"""For each SIM: lanes have several messages each."""

LATER = Reason("cms_38", RetryClass.RETRY_LATER, "network out of order")
SILENCE = Reason("timeout", RetryClass.IN_DOUBT, "no answer")


def say(word: str, **facts: object) -> None:
    os.write(1, f"{word} {json.dumps(facts)}\n".encode("ascii"))


def ticking(boots: int) -> HubClock:
    """Clocks that go on by a millisecond whenever they are looked at."""
    boottime, wall = count(1000), count(1_800_000_000_000 + boots * 60_000)
    return HubClock(
        boottime=lambda: next(boottime) / 1000, wall=lambda: next(wall) / 1000, boot_id=f"boot {boots} of the writer"
    )


def join(raws: Sequence[str]) -> inbound.Assembled:
    return inbound.Assembled(text="+".join(raws), data=None, missing=(), total=len(raws))


class Life:
    """One process life of a hub, up to ``quota`` acknowledgements from now."""

    def __init__(self, journal: Journal, *, number: int, quota: int) -> None:
        self._journal = journal
        self._number = number
        self._quota = quota
        self._asked = count(1 + number * 1_000_000)
        self._pdus = count(1)
        self._acknowledged = 0
        self._feeding = CLIENTS + SWEEPERS

    @property
    def _over(self) -> bool:
        return self._acknowledged >= self._quota

    async def _do(
        self,
        said: Mapping[str, object],
        result: Callable[[T], dict[str, Any]],
        verb: Callable[Concatenate[Transaction, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Say what is asked, have it done, say what came of it."""
        i = next(self._asked)
        say("ASK", i=i, verb=verb.__name__, **said)
        value = await self._journal.write(verb, *args, **kwargs)
        say("ACK", i=i, **result(value))
        self._acknowledged += 1
        return value

    async def run(self) -> None:
        await self._do({}, lambda value: {"hub": value}, identity.hub_id)
        await self._do({}, lambda _: {}, outbound.recover, wait_ms=0)
        await self._do(
            {"iccid": f"8944{self._number}"},
            lambda first: {"first": first},
            sims.may_try_pin,
            iccid=Iccid(f"8944{self._number}"),
            pin_digest=b"digest",
        )
        async with asyncio.TaskGroup() as callers:
            for client in range(CLIENTS):
                callers.create_task(self._client(f"client {client}"))
            for sweeper in range(SWEEPERS):
                callers.create_task(self._sweeper(SIMS[sweeper % len(SIMS)], f"{self._number}{sweeper}"))
            for stop_after_claim, imsi in enumerate(SIMS):
                callers.create_task(self._dispatcher(imsi, stop_after_claim=bool(stop_after_claim)))
            callers.create_task(self._door())

    async def _fed(self) -> None:
        """The last caller that brings work wakes those who wait for news, so that they see that it is over."""
        self._feeding -= 1
        if self._feeding == 0:
            said = {"kind": "call", "subject": "the end"}
            await self._do(said, lambda seq: {"seq": seq}, events.record, "call", "the end", {"state": None})

    async def _client(self, client: str) -> None:
        for request in count(1):
            if self._over:
                break
            messages = [
                self._message(client, f"{self._number}-{request}", ordinal=ordinal, request=request)
                for ordinal in range(2 if request % 4 == 0 else 1)
            ]
            said = [
                {
                    "id": message.id,
                    "client": message.client,
                    "key": message.idempotency_key,
                    "ordinal": ordinal,
                    "to": message.recipient,
                    "sim": message.imsi,
                    "hold": message.on_in_doubt == OnInDoubt.HOLD,
                    "text": message.text,
                    "segments": [tpdu.hex() for tpdu in message.segments],
                }
                for ordinal, message in enumerate(messages)
            ]
            await self._do(
                {"messages": said},
                lambda accepted: {"ids": [one.id for one in accepted]},
                outbound.accept,
                messages,
                client_cap=None,
                sim_cap=10**6,
            )
        await self._fed()

    def _message(self, client: str, key: str, *, ordinal: int, request: int) -> outbound.NewMessage:
        name = f"{client[-1]}-{key}-{ordinal}"
        sim = (request + ordinal) % len(SIMS)
        text = f"text {name} " + "äß€"[request % 3] * (20 + 37 * request % 150)
        segments = 1 + request % 3 % 2
        return outbound.NewMessage(
            id=MessageId(f"out_{name}"),
            client=client,
            recipient=f"+1{sim}0{(request + ordinal) % RECIPIENTS}",
            segments=tuple(f"tpdu {name} {n} ".encode().ljust(150, b".") for n in range(1, segments + 1)),
            ttl_ms=10**12,
            idempotency_key=key,
            imsi=SIMS[sim],
            on_in_doubt=OnInDoubt.HOLD if request % 5 == 0 else OnInDoubt.RESEND,
            text=text,
        )

    async def _dispatcher(self, imsi: Imsi, *, stop_after_claim: bool) -> None:
        claim: outbound.Claim | None = None
        for turn in count(1):
            if claim is None:
                seen = self._journal.newest
                claim = await self._do({"sim": imsi}, _got, outbound.claim, imsi)
            if claim is None:
                if self._over and self._feeding == 0:
                    return
                await self._journal.committed(seen)
                continue
            if self._over and stop_after_claim:
                return
            said: dict[str, object] = {"id": claim.message_id, "n": claim.n}
            if turn % 5 == 2:
                await self._do(
                    said, _nothing, outbound.put_back, claim.seq, claim.n, reason=LATER, delay_ms=0, counted=True
                )
                claim = None
                continue
            await self._do(said, _nothing, outbound.payload_next, claim.seq, claim.n)
            if self._over:
                return
            mr = turn % 256
            sent: dict[str, object] = {**said, "sim": imsi, "mr": mr}
            match turn % 5:
                case 4:
                    await self._do(said, _nothing, outbound.doubt, claim.seq, claim.n, reason=SILENCE, wait_ms=0)
                    claim = None
                case 3:
                    claim = await self._do(
                        sent, _got, outbound.submitted_and_claim, claim.seq, claim.n, imsi=imsi, mr=mr
                    )
                case one_with_report:
                    await self._do(sent, _nothing, outbound.submitted, claim.seq, claim.n, imsi=imsi, mr=mr)
                    if one_with_report:
                        await self._report(claim, imsi, mr)
                    claim = None

    async def _report(self, claim: outbound.Claim, imsi: Imsi, mr: int) -> None:
        raw = f"06{self._number:02X}{next(self._pdus):06X}"
        pdu = await self._read(imsi, raw, index=1)
        await self._do(
            {"raw": raw, "id": claim.message_id, "n": claim.n},
            lambda told: {"id": told},
            reports.report,
            pdu_id=pdu,
            imsi=imsi,
            mr=mr,
            recipient=claim.recipient,
            outcome="delivered",
            status=0,
            text="",
            discharged_at=None,
        )

    async def _read(self, imsi: Imsi, raw: str, *, index: int) -> int:
        """A PDU is found on a modem, kept, and then deleted there."""
        stored = await self._do(
            {"raw": raw, "sim": imsi},
            lambda stored: {"pdu": stored.id},
            inbound.commit_pdu,
            imsi=imsi,
            imei=IMEI,
            iccid=None,
            raw=raw,
            storage="SM",
            index=index,
        )
        await self._do({"raw": raw}, _nothing, inbound.removed, stored.id)
        return stored.id

    async def _sweeper(self, imsi: Imsi, prefix: str) -> None:
        for turn in count(1):
            if self._over:
                break
            total = 1 + turn % 2
            raws = [f"04{prefix}{turn:06X}{number:02X}" + "5A" * 100 for number in range(1, total + 1)]
            for number, raw in enumerate(raws, start=1):
                pdu = await self._read(imsi, raw, index=number)
                if turn % 5 == 3:
                    await self._do(
                        {"raw": raw}, _received, inbound.undecodable, pdu, field="TP-OA", offset=2, detail="too long"
                    )
                    continue
                part = inbound.ReceivedPart(
                    sender="+15550100",
                    encoding="gsm7",
                    sent_at=None,
                    set_key=f"{prefix} {turn}" if total > 1 else None,
                    number=number,
                    total=total,
                )
                said: dict[str, object] = {"raw": raw, "text": "+".join(raws) if number == total else None}
                await self._do(said, _received, inbound.deliver, pdu, part=part, assemble=join)
        await self._fed()

    async def _door(self) -> None:
        told = await self._journal.read(events.cursor, "door") or 0
        while True:
            news = await self._journal.read(events.after, told, limit=40)
            if news:
                say("TOLD", events=[[one.seq, one.kind, one.subject, one.body.get("state")] for one in news])
                told = news[-1].seq
                await self._do({"door": "door", "seq": told}, _nothing, events.advance, "door", told)
            elif self._over and self._feeding == 0:
                return
            else:
                await self._journal.committed(told)


def _nothing(_: object) -> dict[str, Any]:
    return {}


def _got(claim: outbound.Claim | None) -> dict[str, Any]:
    return {"got": None if claim is None else [claim.message_id, claim.n]}


def _received(received: MessageId | None) -> dict[str, Any]:
    return {"received": received}


async def live(path: Path, number: int, *, transactions: int) -> None:
    """Live up to the first end that is no close."""
    say("FROM", package=str(Path(appliance.__file__).parent))
    while True:
        journal = await Journal.open(path, clock=ticking(number), ballast_bytes=BALLAST)
        await Life(journal, number=number, quota=math.ceil(transactions / SHARE[number])).run()
        if number == CLOSED:
            await journal.close()
            number += 1
        elif number == KILLED:
            os.execv(sys.executable, [sys.executable, *sys.argv[:3], str(number + 1)])
        else:
            os._exit(0)


if __name__ == "__main__":
    asyncio.run(
        live(
            Path(sys.argv[1]) / "hub.db",
            int(sys.argv[3]) if len(sys.argv) > 3 else CLOSED,
            transactions=int(sys.argv[2]),
        )
    )
