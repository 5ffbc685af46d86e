"""A hub's life in one process, to be killed at a commit: ``crash_writer.py PATH [before|after] [VERB]``.

After each verb that returned it writes one line, ``ACK <verb>``, to stdout (unbuffered): the oracle of what was
promised. At the commit point that it is told it kills itself with SIGKILL; told none, it runs to the end and then kills
itself too, so that the file is always left as a crash leaves it. A power-cut replay can trace it the same way.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from appliance.store import HubClock, Journal, events, inbound, outbound, reports, retention, sims, tokens
from appliance.types import Iccid, Imei, Imsi, MessageId, OnInDoubt, Reason, RetryClass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.store import Transaction

P = ParamSpec("P")
T = TypeVar("T")

SIM = Imsi("262011234567890")
IMEI = Imei("490154203237518")
LATER = Reason("cms_38", RetryClass.RETRY_LATER, "network out of order")
SILENCE = Reason("timeout", RetryClass.IN_DOUBT, "no answer")


def message(number: int, *, to: str, imsi: Imsi | None = SIM, hold: bool = False) -> outbound.NewMessage:
    return outbound.NewMessage(
        id=MessageId(f"out_{number}"),
        client="client",
        recipient=to,
        segments=(b"tpdu",),
        ttl_ms=3_600_000,
        idempotency_key=f"key {number}",
        imsi=imsi,
        on_in_doubt=OnInDoubt.HOLD if hold else OnInDoubt.RESEND,
    )


def assemble(raw: Sequence[str]) -> inbound.Assembled:
    return inbound.Assembled(text="".join(raw), data=None, missing=(), total=1)


async def live(path: Path, probe: Callable[[str, str], None]) -> None:
    journal = await Journal.open(path, clock=HubClock.of_this_machine(), probe=probe, ballast_bytes=65536)

    async def did(verb: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        result = await journal.write(verb, *args, **kwargs)
        os.write(1, f"ACK {verb.__name__}\n".encode())
        return result

    async def pdu(raw: str) -> int:
        stored = await did(inbound.commit_pdu, imsi=SIM, imei=IMEI, iccid=None, raw=raw, storage="SM", index=1)
        return stored.id

    await did(sims.seen, imsi=SIM, iccid=Iccid("8944"), imei=IMEI, number=None)
    await did(sims.may_try_pin, iccid=Iccid("8944"), pin_digest=b"pin")
    await did(tokens.create, name="door", scopes=["send"], digest=b"d" * 32)
    await did(outbound.accept, [message(1, to="+1001")], client_cap=None, sim_cap=1000)
    claim = await did(outbound.claim, SIM)
    assert claim is not None
    await did(outbound.payload_next, claim.seq, 1)
    await did(outbound.submitted, claim.seq, 1, imsi=SIM, mr=1)
    report = await pdu("AA")
    await did(inbound.removed, report)
    await did(
        reports.report,
        pdu_id=report,
        imsi=SIM,
        mr=1,
        recipient="+1001",
        outcome="delivered",
        status=0,
        text="",
        discharged_at=None,
    )
    arrived = await pdu("BB")
    part = inbound.ReceivedPart(sender="+1002", encoding="gsm7", sent_at=None)
    await did(inbound.deliver, arrived, part=part, assemble=assemble)
    await did(inbound.undecodable, await pdu("CC"), field="PDU", offset=0, detail="")
    await did(outbound.accept, [message(2, to="+1002", hold=True)], client_cap=None, sim_cap=1000)
    claim = await did(outbound.claim, SIM)
    assert claim is not None
    await did(outbound.put_back, claim.seq, 1, reason=LATER, delay_ms=0, counted=True)
    claim = await did(outbound.claim, SIM)
    assert claim is not None
    await did(outbound.payload_next, claim.seq, 1)
    await did(outbound.doubt, claim.seq, 1, reason=SILENCE, wait_ms=0)
    await did(outbound.accept, [message(3, to="+1003", imsi=None)], client_cap=None, sim_cap=1000)
    await did(outbound.assign, SIM, sim_cap=1000)
    await did(outbound.cancel, MessageId("out_3"), client=None)
    await did(outbound.accept, [message(4, to="+1004")], client_cap=None, sim_cap=1000)
    claim = await did(outbound.claim, SIM)
    assert claim is not None
    await did(outbound.fail, claim.seq, 1, reason=LATER)
    await did(events.advance, "door", 3)
    await did(tokens.revoke, name="door")
    await did(retention.retain, keep_ms=86_400_000, limit=100)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    when, verb = sys.argv[2:4] if len(sys.argv) > 2 else ("", "")

    def probe(at: str, name: str) -> None:
        if (at, name) == (when, verb):
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(live(Path(sys.argv[1]), probe))


if __name__ == "__main__":
    main()
