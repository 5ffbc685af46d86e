"""kill -9 at every commit that the promises lean on, with traffic both ways (S1, S2, S3, S5, R1, R2).

The hub kills itself just before or just after one COMMIT of a named store verb (``MODEMHUB_CRASH_AT``); it is started
again at once, to crash again, and at last to finish. Clients behave as clients do: what was not confirmed they ask for
again with the same id. Then the witnesses are compared: the states that the doors tell, the inbox, and the network's
ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from hil.rig import PATIENCE, Rig, rig
from hil.rig.clients import settle
from hil.rig.laws import ENDS, in_order, once_each, sent_once_or_told

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio

POINTS = (
    "accept",
    "claim",
    "payload_next",
    "submitted_and_claim",
    "commit_pdu",
    "deliver",
    "removed",
    "report",
    "advance",
)
"""Where a message changes hands: accepted (C1), claimed (C2), about to leave, gone; arrived, told, forgotten by the
modem; reported; told to the broker."""

CASES = [*((verb, "resend") for verb in POINTS), ("payload_next", "hold"), ("submitted_and_claim", "hold")]
"""Each with the policy for what is in doubt; it makes a difference only while a PDU is on its way."""

ONCE_A_BURST = frozenset({"claim", "advance"})
"""Commits that a round of traffic may see only once: later segments are claimed with the result of the one before, and
a while of events moves the cursor once."""

FRIENDS = ("+447700900801", "+447700900802")

PER_ROUND = 4


async def feed(whole: Rig, crashes: int, *, reports: bool) -> list[str]:
    """One round of traffic, out by both doors and in; returns the texts that the network was given to deliver.

    With ``reports`` the network sends the status reports of the round once it has all its texts.
    """
    if reports:
        await whole.observer.until_heard("status", b"online")  # the first time ever: before, nobody is subscribed
    before = len(whole.modems.sent())
    api, observer = whole.api, whole.observer
    delivered = []
    for n in range(PER_ROUND):
        text = f"in {crashes}.{n}"
        delivered.append(text)
        await whole.modems.deliver(whole.modems.all[0], text, sender=f"+44770090070{n}")
        http, mqtt = commands(crashes, n)
        observer.publish("send", mqtt)
        with contextlib.suppress(aiohttp.ClientError):  # the hub is gone: this client asks again later
            await api.call("POST", "/api/v1/messages", http)
    if reports:
        sent = asyncio.create_task(whole.modems.submits(before + 2 * PER_ROUND, within=PATIENCE))
        dead = asyncio.create_task(whole.hub.child.ended())  # by a report of the round before
        await asyncio.wait((sent, dead), return_when=asyncio.FIRST_COMPLETED)
        sent.cancel()
        dead.cancel()
        await whole.modems.do("release_reports")
    return delivered


def commands(crashes: int, n: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the client by HTTP and the one by MQTT want sent in one step of a round."""
    step = f"{crashes}.{n}"
    return (
        {"to": FRIENDS[0], "text": f"http {step}", "id": f"http-{step}"},
        {"to": FRIENDS[1], "text": f"mqtt {step}", "id": f"mqtt-{step}", "transaction": f"mqtt-{step}"},
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("verb", "policy"), CASES)
async def test_nothing_is_lost_and_no_duplicate_is_hidden(
    place: Path, verb: str, moment: str, policy: str, *, long: bool
) -> None:
    rounds = 50 if long else 2
    policies = {"allowed_destinations": ["+44"], "on_in_doubt": policy, "in_doubt_wait": 0.2}
    async with rig(place, settings={"policy": policies}, start=False) as whole:
        # A modem hands a status report on once; with nobody there it is lost, and its message stays "submitted". That
        # is no fault of the hub's, so the reports wait until it is there for good, but where they are what is tested.
        await whole.modems.do("set", report="hold")
        ends = ENDS | {"submitted"} if verb == "report" else ENDS
        delivered: list[str] = []
        for crashes in range(rounds):
            count = 1 if verb in ONCE_A_BURST else 1 + crashes % PER_ROUND
            await whole.hub.start(crash_at=f"{verb}:{moment}:{count}")
            delivered += await feed(whole, crashes, reports=verb == "report")
            assert await whole.hub.child.ended() == -signal.SIGKILL
        await whole.restart_hub()
        await whole.modems.do("set", report="auto")
        await whole.modems.do("release_reports")
        wanted = [commands(crashes, n) for crashes in range(rounds) for n in range(PER_ROUND)]
        messages = await settle(
            whole, by_http=[http for http, _ in wanted], by_mqtt=[mqtt for _, mqtt in wanted], ends=ends
        )
        received = await all_received(whole, delivered)

        breaches = [
            *sent_once_or_told(whole.modems, messages, ends=ends),
            *once_each(delivered, received),
            *once_each(delivered, whole.observer.received()),
            *(str(refused) for refused in whole.modems.refused()),
        ]
        if policy == "hold":
            breaches += [
                f"{key}: sent twice under hold" for key, sent in whole.modems.times_sent().items() if len(sent) > 1
            ]
        assert breaches == []
        assert in_order(whole.modems, accepted_order(messages)) == []
        assert await whole.hub.stop() == 0


async def all_received(whole: Rig, delivered: list[str]) -> list[dict[str, Any]]:
    """The inbox, once the broker was told of as many different messages as the network delivered."""
    await whole.observer.heard.until(
        lambda _: len({message["id"] for message in whole.observer.received()}) >= len(set(delivered)),
        f"{len(delivered)} received messages",
    )
    return await whole.api.all_of("/api/v1/inbox", cursor="since_seq")


def accepted_order(messages: dict[tuple[str, str], dict[str, Any]]) -> list[tuple[str, str]]:
    """Recipients and texts in the order of acceptance."""
    return sorted(messages, key=lambda key: messages[key]["accepted_at"])
