"""The tail: every event in order, until the broker has acknowledged it; the cursor says how far, and never too far."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from appliance.hub import SendCommand
from appliance.modem import ArrivedPdu
from appliance.types import Iccid, Imei, Imsi
from tests.mqtt.house import House, Time, mqtt_door, opened
from tests.mqtt.wire import Publish

if TYPE_CHECKING:
    from tests.mqtt.wire import Peer, RawBroker

pytestmark = pytest.mark.asyncio


async def send(home: House, count: int = 1) -> list[str]:
    return [
        (await home.hub.send(SendCommand(to="+447700900123", text="x"), client="test")).ids[0] for _ in range(count)
    ]


async def told(peer: Peer, *, acknowledge: bool = True) -> tuple[str, int]:
    """Message and event number of the next transition."""
    publish = await peer.published("modemhub/message", acknowledge=acknowledge)
    body = json.loads(publish.payload)
    assert publish.topic == f"modemhub/message/{body['id']}"
    assert (publish.qos, publish.retain) == (1, False)
    return body["id"], body["event"]


async def test_each_transition_is_told_in_order_and_without_the_text(home: House, raw: RawBroker) -> None:
    async with opened(mqtt_door(home.hub, raw.url)):
        peer = await raw.peer()
        await peer.welcome()
        await peer.published("modemhub/status")
        await home.hub.cursor("mqtt")  # a new door begins at the newest event
        [one] = await send(home)
        publish = await peer.published("modemhub/message")
        body = json.loads(publish.payload)
        assert (body["id"], body["state"], body["to"]) == (one, "queued", "+447700900123")
        assert "text" not in body
        await home.hub.cancel(one, client=None)
        assert json.loads((await peer.published("modemhub/message")).payload)["state"] == "cancelled"
        home.hub.called(Imei("490154203237518"), Imsi("234100000000001"), "+447700900124")
        call = json.loads((await peer.published("modemhub/call")).payload)
        assert (call["modem"], call["from"]) == ("490154203237518", "+447700900124")
        raw.vanish()


async def test_what_happened_while_the_broker_was_away_is_told(home: House, raw: RawBroker) -> None:
    await home.hub.cursor("mqtt")
    ids = await send(home, 300)
    async with opened(mqtt_door(home.hub, raw.url, inflight=8)):
        peer = await raw.peer()
        await peer.welcome()
        assert [(await told(peer))[0] for _ in ids] == ids
        raw.vanish()


async def test_the_cursor_passes_only_what_is_acknowledged_without_a_gap(home: House, raw: RawBroker) -> None:
    time = Time()
    begun = await home.hub.cursor("mqtt")
    ids = await send(home, 4)
    async with opened(mqtt_door(home.hub, raw.url, time=time)):
        peer = await raw.peer()
        await peer.welcome()
        sent: list[Publish] = [await peer.published("modemhub/message", acknowledge=False) for _ in ids]
        for number in (0, 1, 3):  # the third is not acknowledged
            peer.send_puback(sent[number].packet_id)
        peer.cut()
        await time.sleeping(1)
        assert await home.hub.cursor("mqtt") == begun + 2
        await time.sleep_of(1)
        peer = await raw.peer()
        await peer.welcome(session=True)
        assert [(await told(peer))[0] for _ in range(2)] == ids[2:]
        raw.vanish()


async def test_no_more_are_on_their_way_than_the_broker_takes_at_once(home: House, raw: RawBroker) -> None:
    await home.hub.cursor("mqtt")
    ids = await send(home, 10)
    async with opened(mqtt_door(home.hub, raw.url)):
        peer = await raw.peer()
        await peer.welcome(receive_maximum=4)
        await peer.published("modemhub/status")
        seen = [await peer.published("modemhub/message", acknowledge=False) for _ in range(2)]
        # Half of 4 is the share of events: nothing comes until one is acknowledged, and then one.
        for number in range(2, 10):
            peer.send_puback(seen[number - 2].packet_id)
            seen.append(await peer.published("modemhub/message", acknowledge=False))
        assert [json.loads(one.payload)["id"] for one in seen] == ids
        raw.vanish()


async def test_what_the_broker_refuses_is_told_again_and_not_passed_over(home: House, raw: RawBroker) -> None:
    time = Time()
    begun = await home.hub.cursor("mqtt")
    [one] = await send(home)
    async with opened(mqtt_door(home.hub, raw.url, time=time)):
        peer = await raw.peer()
        await peer.welcome()
        publish = await peer.published("modemhub/message", acknowledge=False)
        peer.send_puback(publish.packet_id, reason=0x87)
        await time.sleeping(1)
        assert await home.hub.cursor("mqtt") == begun
        await time.sleep_of(1)
        assert (await told(peer))[0] == one
        raw.vanish()


async def test_received_messages_are_told_with_their_text(home: House, raw: RawBroker) -> None:
    deliver = "07911326040000F0" + "040B911346610089F60000208062917314080CC8F71D14969741F977FD07"
    async with opened(mqtt_door(home.hub, raw.url)):
        peer = await raw.peer()
        await peer.welcome()
        await peer.published("modemhub/status")
        await home.hub.cursor("mqtt")
        pdu = ArrivedPdu(
            imei=Imei("490154203237518"),
            imsi=Imsi("234100000000001"),
            iccid=Iccid("8944100000000000001"),
            raw=deliver,
            tpdu=bytes.fromhex(deliver[16:]),
            storage="SM",
            index=1,
            direct=False,
        )
        await home.hub.arrived(pdu)
        body = json.loads((await peer.published("modemhub/received")).payload)
        assert (body["text"], body["from"], body["replayed"]) == ("How are you?", "+31641600986", False)
        replay = json.dumps({"since_seq": body["seq"] - 1}).encode()
        peer.send_publish(Publish("modemhub/request/inbox/replay", replay, packet_id=5))
        again = json.loads((await peer.published("modemhub/received")).payload)
        assert again == body | {"replayed": True}
        raw.vanish()


async def test_a_new_doors_place_is_taken_before_its_first_link(home: House, raw: RawBroker) -> None:
    async with opened(mqtt_door(home.hub, raw.url)):
        peer = await raw.peer()  # the door has begun to connect: what is accepted from here on, it has to tell
        (sent,) = await send(home)
        await peer.welcome()
        assert (await told(peer))[0] == sent
        raw.vanish()
