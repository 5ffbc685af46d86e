"""The broker is stopped, killed or frozen while texts flow both ways: nothing is lost, order holds, retained is right.

A broker that is killed forgets what it had not saved, and a client whose publication it forgot asks again with the same
id; so everything is judged by the states over HTTP, the inbox and the network's ledger, and where the broker kept its
sessions also by what the observer heard.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from hil.rig import Observer, Rig, rig
from hil.rig.clients import settle
from hil.rig.laws import in_order, once_each, sent_once_or_told

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio

WAY = ["queued", "submitting", "submitted", "delivered"]
"""What is told of a message to which nothing happened."""

FRIENDS = ("+447700900811", "+447700900812", "+447700900813")


async def break_broker(whole: Rig, fault: str) -> None:
    match fault:
        case "stopped":
            await whole.broker.stop()
        case "killed":
            await whole.broker.kill()
        case "frozen":
            whole.broker.freeze()


async def mend_broker(whole: Rig, fault: str) -> None:
    whole.observer.forget_connection()
    if fault == "frozen":
        whole.broker.thaw()
    else:
        await whole.broker.start()
        await whole.observer.subscribed()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", ["stopped", "killed", "frozen"])
async def test_texts_flow_through_a_broker_that_goes_and_comes(place: Path, fault: str, *, long: bool) -> None:
    count, faults = (200, 5) if long else (20, 2)
    settings = {"mqtt": {"keepalive": 5}}
    async with rig(place, settings=settings, emulator=["--submit-delay", "0.02"]) as whole:
        wanted = [
            {"to": FRIENDS[n % len(FRIENDS)], "text": f"out {n}", "id": f"id-{n}", "transaction": n}
            for n in range(count)
        ]
        delivered: list[str] = []
        per_fault = count // faults
        for n in range(faults):
            batch = wanted[n * per_fault : (n + 1) * per_fault]
            for command in batch[: per_fault // 2]:
                whole.observer.publish("send", command)
            await break_broker(whole, fault)
            for command in batch[per_fault // 2 :]:
                whole.observer.publish("send", command)
            for m in range(per_fault):
                text = f"in {n}.{m}"
                delivered.append(text)
                await whole.modems.deliver(whole.modems.all[0], text, sender="+447700900710")
            # While the broker is away the hub goes on: what arrives is in the inbox.
            await until_inbox(whole, len(delivered))
            await mend_broker(whole, fault)
            await retained_is_right(whole, f"newcomer-{n}")

        messages = await settle(whole, by_mqtt=wanted)
        assert sent_once_or_told(whole.modems, messages) == []
        assert {message["state"] for message in messages.values()} == {"delivered"}
        inbox = await whole.api.all_of("/api/v1/inbox", cursor="since_seq")
        assert once_each(delivered, inbox) == []
        if fault != "killed":
            assert in_order(whole.modems, [(str(c["to"]), str(c["text"])) for c in wanted]) == []
            await whole.observer.heard.until(
                lambda _: len({item["id"] for item in whole.observer.received()}) >= len(delivered),
                "every received text",
            )
            assert once_each(delivered, whole.observer.received()) == []
            assert first_told(whole.observer) == [item["text"] for item in inbox]
            ids = {message["id"] for message in messages.values()}
            await whole.observer.heard.until(
                lambda _: {told for told, state in whole.observer.ended().items() if state == "delivered"} >= ids,
                "every message told delivered",
            )
            # Told at least once: after a new connection, again from the cursor on.
            assert [told for message in ids if (told := [*dict.fromkeys(whole.observer.states(message))]) != WAY] == []


async def until_inbox(whole: Rig, count: int) -> None:
    """Wait until so many messages were received, as the hub's own event stream tells it."""
    async with aclosing(whole.api.events()) as events, asyncio.timeout(60):
        async for event in events:
            if event.kind == "received":
                count -= 1
                if count == 0:
                    return


async def retained_is_right(whole: Rig, name: str) -> None:
    """A client that subscribes now is told the truth at once."""
    modem = whole.modems.all[0]
    async with Observer(whole.broker.port, name=name) as newcomer:
        await newcomer.until_heard("status", b"online")
        await newcomer.until_heard(f"modem/{modem.imei}/availability", b"online")
        state = await newcomer.until_heard(f"modem/{modem.imei}/state")
        assert state.json["state"] == "ready"
        await newcomer.until_heard("info")


def first_told(observer: Observer) -> list[str]:
    """The texts received in the order in which each was told first."""
    return list({item["id"]: item["text"] for item in observer.received()}.values())
