"""kill -9 at every commit that the promises lean on, with traffic both ways (S1, S2, S3, S5, R1, R2).

The hub kills itself just before or just after one COMMIT of a named store verb (``MODEMHUB_CRASH_AT``); it is started
again at once, to crash again, and at last to finish. Clients behave as clients do: what was not confirmed they ask for
again with the same id. Then the witnesses are compared: the states that the doors tell, the inbox, and the network's
ledger.
"""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from hil.rig import Rig, rig
from hil.rig.clients import settle
from hil.rig.laws import in_order, once_each, sent_once_or_told

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

FRIENDS = ("+447700900801", "+447700900802")

PER_ROUND = 4


async def feed(whole: Rig, crashes: int) -> list[str]:
    """One round of traffic, out by both doors and in; returns the texts that the network was given to deliver."""
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
    return delivered


def commands(crashes: int, n: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the client by HTTP and the one by MQTT want sent in one step of a round."""
    step = f"{crashes}.{n}"
    return (
        {"to": FRIENDS[0], "text": f"http {step}", "id": f"http-{step}"},
        {"to": FRIENDS[1], "text": f"mqtt {step}", "id": f"mqtt-{step}", "transaction": f"mqtt-{step}"},
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("policy", ["resend", "hold"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("verb", POINTS)
async def test_nothing_is_lost_and_no_duplicate_is_hidden(
    place: Path, verb: str, moment: str, policy: str, *, long: bool
) -> None:
    if policy == "hold" and verb not in {"payload_next", "submitted_and_claim", "report"}:
        pytest.skip("the policy makes a difference only while a PDU is on its way")
    rounds = 50 if long else 2
    settings: dict[str, Any] = {"policy": {"on_in_doubt": policy, "in_doubt_wait": 0.2}}
    async with rig(place, settings=settings, crash_at=f"{verb}:{moment}:1") as whole:
        delivered: list[str] = []
        for crashes in range(rounds):
            if crashes:
                await whole.hub.start(crash_at=f"{verb}:{moment}:{1 + crashes % 5}")
            delivered += await feed(whole, crashes)
            assert await whole.hub.child.ended() == -signal.SIGKILL
        await whole.restart_hub()
        wanted = [commands(crashes, n) for crashes in range(rounds) for n in range(PER_ROUND)]
        messages = await settle(whole, by_http=[http for http, _ in wanted], by_mqtt=[mqtt for _, mqtt in wanted])
        received = await all_received(whole, delivered)

        breaches = [
            *sent_once_or_told(whole.modems, messages),
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
