"""What the laws of the store are tried on: a machine with two clocks, and a journal without its thread."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from appliance.store import HubClock, outbound, visit
from appliance.types import Imsi, MessageId, OnInDoubt, Reason, RetryClass

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from appliance.store import Transaction, Visit

P = ParamSpec("P")
T = TypeVar("T")

SIM = Imsi("262011234567890")
OTHER_SIM = Imsi("262019876543210")
ALICE = "+447700900123"
BOB = "+447700900456"
TTL = 86_400_000

LATER = Reason("cms_38", RetryClass.RETRY_LATER, "network out of order")
NEVER = Reason("cms_28", RetryClass.PERMANENT, "unidentified subscriber")
SILENCE = Reason("timeout", RetryClass.IN_DOUBT, "no answer")


class Machine:
    """CLOCK_BOOTTIME, the wall clock, and the boot id of a machine that can be switched off."""

    def __init__(self) -> None:
        self.boottime = 1000.0
        self.wall = 1_800_000_000.0
        self.boots = 1

    def clock(self) -> HubClock:
        return HubClock(boottime=lambda: self.boottime, wall=lambda: self.wall, boot_id=f"boot-{self.boots}")

    def forward(self, milliseconds: float) -> None:
        self.boottime += milliseconds / 1000
        self.wall += milliseconds / 1000

    def reboot(self, *, off: float = 0.0, uptime: float = 10.0) -> None:
        self.wall += off
        self.boottime = uptime
        self.boots += 1


class Store:
    """A journal on a file, verb by verb, on a machine of its own."""

    def __init__(self, path: Path, machine: Machine | None = None) -> None:
        self.path = path
        self.machine = machine or Machine()
        self._open = ExitStack()
        self._ids = 0
        self.restart()

    def restart(self) -> None:
        self.close()
        self._visit: Visit = self._open.enter_context(visit(self.path, clock=self.machine.clock()))
        # What the rows say does not depend on fsync; what does is tried on processes that are killed.
        self._visit._db.execute("PRAGMA synchronous = OFF")

    def close(self) -> None:
        self._open.close()

    def write(self, verb: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return self._visit.write(verb, *args, **kwargs)

    def read(self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return self._visit.read(query, *args, **kwargs)

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return self.read(lambda db: [tuple(row) for row in db.execute(sql, values)])

    def message(
        self,
        *,
        to: str = ALICE,
        imsi: Imsi | None = SIM,
        segments: int = 1,
        client: str = "client",
        key: str | None = None,
        fingerprint: bytes = b"",
        replaces_key: bool = False,
        priority: int = 0,
        pinned: bool = False,
        on_in_doubt: OnInDoubt = OnInDoubt.RESEND,
        ttl_ms: int = TTL,
        text: str | None = "a secret",
    ) -> outbound.NewMessage:
        self._ids += 1
        return outbound.NewMessage(
            id=MessageId(f"out_{self._ids}"),
            client=client,
            recipient=to,
            imsi=imsi,
            segments=tuple(bytes([n]) for n in range(1, segments + 1)),
            idempotency_key=key,
            fingerprint=fingerprint,
            replaces_key=replaces_key,
            priority=priority,
            pinned=pinned,
            on_in_doubt=on_in_doubt,
            ttl_ms=ttl_ms,
            text=text,
        )

    def accept(
        self, *messages: outbound.NewMessage, client_cap: int | None = None, sim_cap: int = 10**6
    ) -> tuple[outbound.Accepted, ...]:
        return self.write(outbound.accept, messages, client_cap=client_cap, sim_cap=sim_cap)

    def claim(self, imsi: Imsi = SIM) -> outbound.Claim:
        claim = self.write(outbound.claim, imsi)
        assert claim is not None
        return claim

    def hand_over(self, imsi: Imsi = SIM) -> outbound.Claim:
        """Claim, and say that the payload goes next."""
        claim = self.claim(imsi)
        self.write(outbound.payload_next, claim.seq, claim.n)
        return claim

    def send(self, mr: int, imsi: Imsi = SIM) -> outbound.Claim:
        """One segment from the claim to ``submitted``."""
        claim = self.hand_over(imsi)
        self.write(outbound.submitted, claim.seq, claim.n, imsi=imsi, mr=mr)
        return claim

    def view(self, message_id: str) -> dict[str, Any]:
        view = self.read(outbound.message_view, MessageId(message_id))
        assert view is not None
        return view

    def state(self, message_id: str) -> str:
        state: str = self.view(message_id)["state"]
        return state

    def states(self, message_id: str) -> list[str]:
        return [segment["state"] for segment in self.view(message_id)["segments"]]

    def told(self, subject: str) -> list[str]:
        """The states that were told of a message, in order."""
        rows = self.rows("SELECT body FROM event WHERE kind = 'message' AND subject = ? ORDER BY seq", subject)
        return [json.loads(row[0])["state"] for row in rows]
