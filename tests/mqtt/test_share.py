"""``[mqtt.share]``: several hubs drain one topic together."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from appliance.mqtt.door import SHARE_EVERY
from appliance.mqtt.share import LEAVE_AFTER
from tests.modem.desk import Desk
from tests.mqtt.house import House, Mosquitto, Time, house, mqtt_door, opened, plug_in
from tests.mqtt.wire import CONNECT, PUBLISH, Publish, RawBroker, User

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from appliance.mqtt import MqttDoor
    from tests.mqtt.wire import Peer

pytestmark = pytest.mark.asyncio

SHARE = {"group": "hubs", "topic": "texts"}
COMMAND = json.dumps({"to": "+447700900123", "text": "hello"}).encode()


@contextlib.asynccontextmanager
async def linked(home: House, raw: RawBroker, *, time: Time | None = None) -> AsyncIterator[Peer]:
    async with opened(mqtt_door(home.hub, raw.url, time=time, share=SHARE)):
        peer = await raw.peer()
        await peer.welcome()
        found = await peer.subscription()
        assert list(found) == ["$share/hubs/texts/send", "$share/hubs/texts/send/+"]
        assert not any(options & 0b100 for options in found.values()), "noLocal is an error here (§3.8.3.1)"
        yield peer
        raw.vanish()


async def test_a_shared_command_is_answered_with_the_hub_that_took_it(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        await home.hub.cursor("mqtt")
        peer.send_publish(Publish("texts/send", COMMAND, packet_id=7))
        answer = json.loads((await peer.published("texts/response")).payload)
        assert await peer.puback() == 7
        assert answer == {
            "status": "ok",
            "id": answer["id"],
            "hub": home.hub.hub_id,
            "base_topic": "modemhub",
        }
        assert json.loads((await peer.published("modemhub/message")).payload)["id"] == answer["id"]


async def test_the_text_topic_the_response_topic_and_the_deadline_hold_there_too(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        wish = {"response_topic": "to/me", "correlation": b"\1", "expiry": 60}
        peer.send_publish(Publish("texts/send/447700900123", b"hello", packet_id=1, properties=wish))
        told = await peer.published("to/me")
        assert told.properties["correlation"] == b"\1"
        [message] = (await home.hub.messages()).items
        assert (message["to"], message["text"]) == ("+447700900123", "hello")
        assert json.loads(told.payload)["id"] == message["id"]
        peer.send_publish(Publish("texts/send", COMMAND, packet_id=2, properties=wish | {"expiry": 0}))
        assert json.loads((await peer.published("to/me")).payload)["error"]["code"] == "expired"


async def test_an_answer_never_becomes_another_hubs_command(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        for number, topic in enumerate(("texts/send", "texts/send/447700900123", "texts"), 1):
            peer.send_publish(Publish("modemhub/send", COMMAND, packet_id=number, properties={"response_topic": topic}))
            await peer.published("modemhub/response")
            assert await peer.puback() == number


async def test_a_broker_without_shared_subscriptions_is_told_of_and_serves_the_rest(
    home: House, raw: RawBroker, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(mqtt_door(home.hub, raw.url, share=SHARE)):
        peer = await raw.peer()
        await peer.welcome(shared=0)
        peer.send_publish(Publish("modemhub/send", COMMAND, packet_id=1))
        assert json.loads((await peer.published("modemhub/response")).payload)["status"] == "ok"
        assert "no shared subscriptions" in caplog.text
        raw.vanish()


async def test_a_refusal_of_the_shared_topic_is_told_of(
    home: House, raw: RawBroker, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(mqtt_door(home.hub, raw.url, share=SHARE)):
        peer = await raw.peer()
        await peer.welcome()
        await peer.subscription(reason=0x9E)
        await peer.published("modemhub/status")
        assert "$share/hubs/texts/send (reason 0x9e)" in caplog.text
        raw.vanish()


async def test_it_is_tried_with_a_broker_of_version_3_too(home: House, raw: RawBroker) -> None:
    async with opened(mqtt_door(home.hub, raw.url, share=SHARE, protocol="3.1.1")):
        peer = await raw.peer()
        peer.read_connect(await peer.expect(CONNECT))
        peer.send_connack()
        await peer.subscription()
        assert list(await peer.subscription()) == ["$share/hubs/texts/send", "$share/hubs/texts/send/+"]
        raw.vanish()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_two_hubs_share_and_each_text_is_taken_once(tmp_path: Path, mosquitto: Mosquitto, protocol: str) -> None:
    doors: list[MqttDoor] = []
    homes: list[House] = []
    async with contextlib.AsyncExitStack() as stack:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            home = await stack.enter_async_context(house(tmp_path / name))
            wishes: dict[str, Any] = {"share": SHARE, "base_topic": name, "protocol": protocol}
            doors.append(await stack.enter_async_context(opened(mqtt_door(home.hub, mosquitto.url, **wishes))))
            homes.append(home)
        for door in doors:
            await door.ready.wait()
        user = await User.connect(mosquitto.port, "texts/response")
        for number in range(20):
            await user.publish("texts/send", json.dumps({"to": "+447700900123", "text": f"{number}"}))
        answers = [json.loads(one.payload) for one in await user.wait("texts/response", count=20)]
        assert {answer["base_topic"] for answer in answers} == {"one", "two"}
        taken = [message["text"] for home in homes for message in (await home.hub.messages(limit=100)).items]
        assert sorted(taken, key=int) == [f"{number}" for number in range(20)]
        await user.bye()


# ---------------------------------------------------------------------- who can send, and who cannot

FILTERS = ["$share/hubs/texts/send", "$share/hubs/texts/send/+"]


def hears(peer: Peer, *, able: bool) -> None:
    peer.send_publish(Publish("texts/hubs/other", json.dumps({"able": able}).encode(), qos=0))


async def unsubscribed(peer: Peer) -> list[str]:
    """The filters of the next UNSUBSCRIBE; publications on the way are passed over."""
    while (packet := await peer.peek()) is not None and packet.kind == PUBLISH:
        publish = peer.read_publish(await peer.expect(PUBLISH))
        if publish.qos:
            peer.send_puback(publish.packet_id)
    return await peer.unsubscription()


async def resubscribed(peer: Peer) -> list[str]:
    while (packet := await peer.peek()) is not None and packet.kind == PUBLISH:
        publish = peer.read_publish(await peer.expect(PUBLISH))
        if publish.qos:
            peer.send_puback(publish.packet_id)
    return list(await peer.subscription())


async def test_a_hub_that_cannot_send_leaves_the_texts_to_one_that_can(home: House, raw: RawBroker) -> None:
    time = Time()
    async with linked(home, raw, time=time) as peer:
        said = await peer.published(f"texts/hubs/{home.hub.hub_id}")
        assert json.loads(said.payload) == {"hub": home.hub.hub_id, "base_topic": "modemhub", "able": False}
        hears(peer, able=True)
        for _ in range(int(LEAVE_AFTER / SHARE_EVERY)):
            await time.sleep_of(SHARE_EVERY)
        assert await unsubscribed(peer) == FILTERS
        hears(peer, able=False)
        await time.sleep_of(SHARE_EVERY)
        assert await resubscribed(peer) == FILTERS
        hears(peer, able=True)
        await time.sleep_of(SHARE_EVERY)
        assert await unsubscribed(peer) == FILTERS
        await plug_in(home, Desk())
        assert await resubscribed(peer) == FILTERS


async def test_a_hub_alone_keeps_what_comes_for_when_it_can(home: House, raw: RawBroker) -> None:
    time = Time()
    async with linked(home, raw, time=time) as peer:
        for _ in range(2 * int(LEAVE_AFTER / SHARE_EVERY)):
            await time.sleep_of(SHARE_EVERY)
        peer.send_publish(Publish("texts/send", COMMAND, packet_id=7))
        assert json.loads((await peer.published("texts/response")).payload)["status"] == "ok"


async def test_what_only_this_hub_refuses_is_passed_on(tmp_path: Path, raw: RawBroker) -> None:
    async with house(tmp_path, client_daily_cap=0) as home, linked(home, raw) as peer:
        hears(peer, able=True)
        wish = {"response_topic": "to/me", "correlation": b"\1", "expiry": 60}
        peer.send_publish(Publish("texts/send", COMMAND, packet_id=7, properties=wish))
        again = await peer.published("texts/send", acknowledge=False)
        assert (again.payload, again.retain) == (COMMAND, False)
        assert again.properties == wish | {"user": ("modemhub-passed", home.hub.hub_id)}
        assert peer.acknowledged == [], "the broker has not got it yet"
        peer.send_puback(again.packet_id)
        assert await peer.puback() == 7


async def test_what_no_other_hub_takes_is_refused(tmp_path: Path, raw: RawBroker) -> None:
    async with house(tmp_path, client_daily_cap=0) as home, linked(home, raw) as peer:
        peer.send_publish(Publish("texts/send", COMMAND, packet_id=1))  # nobody else is known
        assert json.loads((await peer.published("texts/response")).payload)["error"]["code"] == "quota_exceeded"
        hears(peer, able=True)
        wish = {"user": ("modemhub-passed", "other")}
        peer.send_publish(Publish("texts/send", COMMAND, packet_id=2, properties=wish))  # it comes from there
        assert json.loads((await peer.published("texts/response")).payload)["error"]["code"] == "quota_exceeded"
        peer.send_publish(Publish("texts/send", COMMAND, packet_id=3))
        again = await peer.published("texts/send", acknowledge=False)
        peer.send_puback(again.packet_id, reason=0x10)  # it has left meanwhile
        assert json.loads((await peer.published("texts/response")).payload)["error"]["code"] == "quota_exceeded"
        peer.send_publish(Publish("texts/send", b"{}", packet_id=4))  # wrong for every hub
        assert json.loads((await peer.published("texts/response")).payload)["error"]["code"] == "invalid"
        assert [await peer.puback() for _ in range(4)] == [1, 2, 3, 4]
