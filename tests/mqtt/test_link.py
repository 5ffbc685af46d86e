"""One link after another: who we say we are, which version, and what a broker that goes away or silent leads to."""

from __future__ import annotations

import asyncio
import json

import pytest

from appliance.mqtt.client import CONNECT_TIME
from tests.mqtt.house import House, Longest, Time, mqtt_door, opened
from tests.mqtt.wire import CONNACK, CONNECT, DISCONNECT, PUBLISH, Publish, RawBroker

pytestmark = pytest.mark.asyncio


async def test_the_session_is_ours_and_outlasts_us(home: House, raw: RawBroker) -> None:
    async with opened(mqtt_door(home.hub, raw.url, username="hub", password="secret")):
        peer = await raw.peer()
        connect = await peer.welcome()
        assert connect.version == 5
        assert not connect.clean
        assert connect.client_id == f"modemhub-{home.hub.hub_id}"
        assert connect.keepalive == 30
        assert connect.properties == {
            "session_expiry": 7 * 86400,
            "receive_maximum": 16,
            "maximum_packet_size": 1 << 20,
        }
        assert (connect.username, connect.password) == ("hub", b"secret")
        assert connect.will is not None
        assert (connect.will.topic, connect.will.payload) == ("modemhub/status", b"offline")
        assert (connect.will.qos, connect.will.retain, connect.will.properties) == (1, True, {"will_delay": 5})
        raw.vanish()


async def test_commands_are_subscribed_to_at_qos_1_and_never_with_what_was_retained(
    home: House, raw: RawBroker
) -> None:
    async with opened(mqtt_door(home.hub, raw.url, base_topic="a/b")):
        peer = await raw.peer()
        peer.read_connect(await peer.expect(CONNECT))
        peer.send_connack()
        options = 1 | 1 << 3 | 2 << 4  # QoS 1, retain as published, retained messages are not sent
        subscription = await peer.subscription()
        assert subscription.pop("a/b/modem/+/availability") == 0  # QoS 0, what is retained too
        assert subscription == {"a/b/send": options, "a/b/send/+": options, "a/b/request/#": options}
        raw.vanish()


async def test_a_modem_of_an_earlier_life_is_not_left_online(home: House, raw: RawBroker) -> None:
    async with opened(mqtt_door(home.hub, raw.url)):
        peer = await raw.peer()
        await peer.welcome()
        topic = "modemhub/modem/490154203237518/availability"
        for retained, payload in ((False, b"online"), (True, b"offline"), (True, b"")):
            peer.send_publish(Publish(topic, payload, qos=0, retain=retained))
        peer.send_publish(Publish(topic.replace("518", "519"), b"online", qos=0, retain=True))
        told = await peer.published("modemhub/modem")
        assert (told.topic, told.payload, told.retain) == (topic.replace("518", "519"), b"offline", True)
        raw.vanish()


async def test_the_door_knows_whether_there_is_a_link(home: House, raw: RawBroker) -> None:
    async with opened(mqtt_door(home.hub, raw.url, time=Time())) as door:
        assert not door.connected
        peer = await raw.peer()
        await peer.welcome()
        await peer.published("modemhub/status")
        assert door.connected
        link = door._link
        raw.vanish()
        await link.ended.wait()
        assert not door.connected


async def test_what_is_retained_is_told_on_every_link(home: House, raw: RawBroker) -> None:
    time = Time()
    async with opened(mqtt_door(home.hub, raw.url, time=time)) as door:
        for wait in (1, 2):
            peer = await raw.peer()
            await peer.welcome()
            info = await peer.published("modemhub/info")
            assert info.retain
            assert json.loads(info.payload)["hub_id"] == home.hub.hub_id
            status = await peer.published("modemhub/status")
            assert (status.payload, status.retain, status.qos) == (b"online", True, 1)
            await door.ready.wait()
            peer.cut()
            await time.sleep_of(wait)
        raw.vanish()


@pytest.mark.parametrize("refusal", [b"\x00\x84\x00", b"\x00\x01"], ids=["reason 0x84", "a 3.1.1 broker's code 1"])
async def test_a_broker_without_version_5_is_spoken_to_in_3_1_1_at_once_and_from_then_on(
    home: House, raw: RawBroker, refusal: bytes
) -> None:
    time = Time()
    async with opened(mqtt_door(home.hub, raw.url, time=time)):
        peer = await raw.peer()
        assert peer.read_connect(await peer.expect(CONNECT)).version == 5
        peer.send(CONNACK, 0, refusal)
        peer.close()
        for wait in (1, 2):
            peer = await raw.peer()
            connect = await peer.welcome()
            assert (connect.version, connect.clean) == (4, False)
            await peer.published("modemhub/status")
            peer.cut()
            await time.sleep_of(wait)
        raw.vanish()


async def test_a_broker_that_hangs_up_on_version_5_is_tried_with_3_1_1_and_with_5_again(
    home: House, raw: RawBroker
) -> None:
    time = Time()
    async with opened(mqtt_door(home.hub, raw.url, time=time)):
        versions = []
        for wait in (1, 2, 4, 8):
            peer = await raw.peer()
            versions.append(peer.read_connect(await peer.expect(CONNECT)).version)
            peer.close()
            await time.sleep_of(wait)
        assert versions == [5, 4, 5, 4]
        raw.vanish()


async def test_a_version_that_is_set_is_kept(home: House, raw: RawBroker) -> None:
    time = Time()
    async with opened(mqtt_door(home.hub, raw.url, time=time, protocol="5")) as door:
        for wait in (1, 2):
            peer = await raw.peer()
            assert peer.read_connect(await peer.expect(CONNECT)).version == 5
            peer.send_connack(0x84)
            peer.close()
            await time.sleep_of(wait)
        assert "Unsupported protocol version" in door.last_error
        raw.vanish()


async def test_a_broker_that_falls_silent_is_left_after_one_and_a_half_keepalives(home: House, raw: RawBroker) -> None:
    time = Time()
    async with opened(mqtt_door(home.hub, raw.url, time=time, keepalive=60)) as door:
        peer = await raw.peer()
        await peer.welcome()
        begun = time.now
        await peer.published("modemhub/status")
        peer.send_publish(Publish("modemhub/send", b"", retain=True, packet_id=1))
        assert await peer.puback() == 1  # the last that is heard of each other
        await time.sleep_of(CONNECT_TIME / 6)
        for _ in range(8):  # the watch looks six times per keep-alive
            await time.sleep_of(10)
        assert not door.last_error
        await time.sleep_until(begun + 90)
        while await peer.read() is not None:
            pass
        await time.sleep_of(1)
        assert door.last_error == "nothing heard from the broker for 90 s"
        await (await raw.peer()).welcome(session=True)
        raw.vanish()


async def test_a_broker_that_never_answers_a_connect_is_left_too(home: House, raw: RawBroker) -> None:
    time = Time()
    async with opened(mqtt_door(home.hub, raw.url, time=time)):
        begun = time.now
        peer = await raw.peer()
        await peer.expect(CONNECT)
        for _ in range(5):
            await time.sleep_of(CONNECT_TIME / 6)
        await time.sleep_until(begun + CONNECT_TIME)
        assert await peer.read() is None
        raw.vanish()


async def test_back_off_grows_to_five_minutes_with_jitter_and_never_ends(home: House, raw: RawBroker) -> None:
    time, rng = Time(), Longest()
    async with opened(mqtt_door(home.hub, raw.url, time=time, rng=rng, protocol="5")):
        delays = [min(300, 2**attempt) for attempt in range(14)]
        for delay in delays:
            (await raw.peer()).cut()
            await time.sleep_of(delay)
        assert rng.bounds == [(delay / 2, delay) for delay in delays]
        await raw.peer()
        raw.vanish()


async def test_a_link_that_lasted_starts_the_back_off_anew(home: House, raw: RawBroker) -> None:
    time = Time()
    async with opened(mqtt_door(home.hub, raw.url, time=time, protocol="5")):
        for delay in (1, 2, 4):
            (await raw.peer()).cut()
            await time.sleep_of(delay)
        peer = await raw.peer()
        await peer.welcome()
        await peer.published("modemhub/status")
        await time.sleep_of(CONNECT_TIME / 6)
        for number in range(1, 13):  # a minute in which the broker says something every now and then
            peer.send_publish(Publish("modemhub/send", b"", retain=True, packet_id=number))
            assert await peer.puback() == number
            await time.sleep_of(5)
        peer.cut()
        await time.sleep_of(1)
        await raw.peer()
        raw.vanish()


@pytest.mark.parametrize(
    "junk",
    [
        bytes([0xF0, 0]),  # AUTH, which we never began
        bytes([0x00, 0]),  # no such packet
        bytes([0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),  # a length of five octets
        bytes([0x32, 3, 0, 9, 65]),  # a topic longer than the packet
        bytes([0x32, 7, 0, 1, 65, 0, 1, 5, 0x99]),  # properties that do not exist
        bytes([0x36, 5, 0, 1, 65, 0, 1]),  # QoS 3
        bytes([0x40, 1, 0]),  # half a packet identifier
        bytes([0xE0, 1]) + b"\xfe",  # a reason that does not exist
    ],
)
async def test_what_is_not_mqtt_ends_the_link_and_not_the_door(home: House, raw: RawBroker, junk: bytes) -> None:
    time = Time()
    async with opened(mqtt_door(home.hub, raw.url, time=time)):
        peer = await raw.peer()
        await peer.welcome()
        await peer.published("modemhub/status")
        peer.writer.write(junk)
        while (packet := await peer.read()) is not None:
            assert packet.kind in {PUBLISH, DISCONNECT}
        await time.sleep_of(1)
        await (await raw.peer()).welcome()
        raw.vanish()


async def test_stopping_says_offline_and_goodbye(home: House, raw: RawBroker) -> None:
    door = mqtt_door(home.hub, raw.url)
    running = asyncio.create_task(door.run())
    peer = await raw.peer()
    await peer.welcome()
    assert (await peer.published("modemhub/status")).payload == b"online"
    running.cancel()
    last = await peer.published("modemhub/status")
    assert (last.payload, last.retain) == (b"offline", True)
    packet = await peer.read()
    while packet is not None and packet.kind != DISCONNECT:
        packet = await peer.read()
    assert packet is not None, "closed without DISCONNECT: the broker would tell the will"
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_the_door_reports_how_it_is(home: House, raw: RawBroker) -> None:
    time = Time()
    async with opened(mqtt_door(home.hub, raw.url, time=time, protocol="5")) as door:
        assert not door.connected
        peer = await raw.peer()
        await peer.welcome()
        await peer.published("modemhub/status")
        assert door.report == {
            "connected": True,
            "url": raw.url,
            "last_error": None,
            "base_topic": "modemhub",
            "discovery_prefix": None,
        }
        peer.cut()
        await time.sleeping(1)
        assert (door.report["connected"], door.report["last_error"]) == (False, door.last_error)
        assert door.last_error
        raw.vanish()
