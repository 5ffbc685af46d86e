"""With a real broker: what the packets of the other tests mean in the field."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from appliance.hub import SendCommand
from tests.mqtt.house import House, Mosquitto, Time, house, mqtt_door, opened
from tests.mqtt.wire import User

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio

COMMAND = json.dumps({"to": "+447700900123", "text": "hello"})


@pytest.mark.parametrize(("protocol", "version"), [("5", 5), ("3.1.1", 4), ("auto", 5)])
async def test_a_device_sends_and_is_told(home: House, mosquitto: Mosquitto, protocol: str, version: int) -> None:
    async with opened(mqtt_door(home.hub, mosquitto.url, protocol=protocol)) as door:
        await door.ready.wait()
        await home.hub.cursor("mqtt")
        user = await User.connect(mosquitto.port, "modemhub/#", version=version)
        [status] = await user.wait("modemhub/status")
        assert (status.payload, status.retain) == (b"online", True)
        await user.publish("modemhub/send", COMMAND)
        told = json.loads((await user.wait("modemhub/response"))[0].payload)
        assert told["status"] == "ok"
        [queued] = await user.wait(f"modemhub/message/{told['id']}")
        assert json.loads(queued.payload)["state"] == "queued"
        await user.bye()


async def test_the_answer_comes_to_the_response_topic_with_the_correlation_data(
    home: House, mosquitto: Mosquitto
) -> None:
    async with opened(mqtt_door(home.hub, mosquitto.url)) as door:
        await door.ready.wait()
        user = await User.connect(mosquitto.port, "to/me")
        await user.publish("modemhub/send", COMMAND, response_topic="to/me", correlation=b"\0\xff", expiry=600)
        [answer] = await user.wait("to/me")
        assert answer.properties["correlation"] == b"\0\xff"
        assert json.loads(answer.payload)["status"] == "ok"
        await user.bye()


async def test_a_killed_hub_is_told_offline_by_its_will_and_online_again_when_it_is_back(
    home: House, mosquitto: Mosquitto
) -> None:
    user = await User.connect(mosquitto.port, "modemhub/status")
    time = Time()
    async with opened(mqtt_door(home.hub, mosquitto.url, time=time, will_delay=0)) as door:
        await user.wait("modemhub/status")
        assert door._link is not None
        door._link.abort("as a killed process: no DISCONNECT")
        await time.sleep_of(1)
        seen = [one.payload for one in await user.wait("modemhub/status", count=3)]
        assert seen == [b"online", b"offline", b"online"]
    last = (await user.wait("modemhub/status", count=4))[3]
    assert last.payload == b"offline"  # the graceful stop
    await user.bye()


async def test_what_is_retained_is_there_again_after_a_broker_that_forgot_everything(
    home: House, mosquitto: Mosquitto
) -> None:
    time = Time()
    async with opened(mqtt_door(home.hub, mosquitto.url, time=time)) as door:
        await door.ready.wait()
        await mosquitto.stop()
        for file in mosquitto.directory.glob("*.db"):
            file.unlink()
        await mosquitto.start()
        await time.sleep_of(1)
        user = await User.connect(mosquitto.port, "modemhub/#")
        assert (await user.wait("modemhub/status"))[0].payload == b"online"
        assert json.loads((await user.wait("modemhub/info"))[0].payload)["hub_id"] == home.hub.hub_id
        await user.bye()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_modem_that_is_gone_since_is_told_offline(home: House, mosquitto: Mosquitto, protocol: str) -> None:
    topic = "modemhub/modem/490154203237518/availability"
    user = await User.connect(mosquitto.port, topic)
    await user.publish(topic, "online", retain=True)
    async with opened(mqtt_door(home.hub, mosquitto.url, protocol=protocol)):
        assert [one.payload for one in await user.wait(topic, count=2)] == [b"online", b"offline"]
    await user.bye()


async def test_commands_wait_at_the_broker_for_a_hub_that_is_away(tmp_path: Path, mosquitto: Mosquitto) -> None:
    user = await User.connect(mosquitto.port, "modemhub/response")
    async with house(tmp_path) as home, opened(mqtt_door(home.hub, mosquitto.url)) as door:
        await door.ready.wait()
    for number in range(40):
        await user.publish("modemhub/send", json.dumps({"to": "+447700900123", "text": f"{number}"}))
    async with house(tmp_path) as home, opened(mqtt_door(home.hub, mosquitto.url)):
        answers = [json.loads(one.payload) for one in await user.wait("modemhub/response", count=40)]
        texts = [(await home.hub.message(answer["id"]) or {})["text"] for answer in answers]
        assert texts == [f"{number}" for number in range(40)]
    await user.bye()


async def test_events_wait_in_the_journal_for_a_broker_that_is_away(home: House, mosquitto: Mosquitto) -> None:
    time = Time()
    async with opened(mqtt_door(home.hub, mosquitto.url, time=time)) as door:
        await door.ready.wait()
        await home.hub.cursor("mqtt")
        await mosquitto.stop()
        command = SendCommand(to="+447700900123", text="x")
        ids = [(await home.hub.send(command, client="test")).ids[0] for _ in range(100)]
        await mosquitto.start()
        user = await User.connect(mosquitto.port, "modemhub/message/#")
        await time.sleep_of(1)
        told = [json.loads(one.payload)["id"] for one in await user.wait("modemhub/message", count=100)]
        assert told == ids
        await user.bye()


async def test_a_live_retained_command_is_refused_in_version_5(home: House, mosquitto: Mosquitto) -> None:
    async with opened(mqtt_door(home.hub, mosquitto.url)) as door:
        await door.ready.wait()
        user = await User.connect(mosquitto.port, "modemhub/response")
        await user.publish("modemhub/send", COMMAND, retain=True)
        told = json.loads((await user.wait("modemhub/response"))[0].payload)
        assert told["error"]["code"] == "retained"
        await user.bye()
        assert (await home.hub.messages()).items == []


async def test_a_retained_command_from_before_is_never_carried_out(home: House, mosquitto: Mosquitto) -> None:
    user = await User.connect(mosquitto.port, "modemhub/response")
    await user.publish("modemhub/send", COMMAND, retain=True)
    for protocol, answers in (("5", 1), ("3.1.1", 3)):  # 3.1.1 has no way to ask for no retained messages
        async with opened(mqtt_door(home.hub, mosquitto.url, protocol=protocol, client_id=protocol)) as door:
            await door.ready.wait()
            await user.publish("modemhub/send", "{}")
            await user.wait("modemhub/response", count=answers)
    codes = [json.loads(one.payload)["error"]["code"] for one in await user.wait("modemhub/response", count=3)]
    assert codes == ["invalid", "retained", "invalid"]
    await user.bye()
    assert (await home.hub.messages()).items == []
