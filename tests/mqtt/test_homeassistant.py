"""Home Assistant at the door: told what exists and what happens, and told again what it missed."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from appliance.hub import Contacts
from appliance.modem import ArrivedPdu
from appliance.mqtt import HomeAssistantSettings, MqttDoor, MqttSettings
from appliance.mqtt.door import HEALTH_EVERY
from appliance.types import Iccid, Imei, Imsi
from tests.modem.desk import ICCID, IMEI, IMSI, Desk
from tests.mqtt.house import House, Longest, Mosquitto, Time, house, mqtt_door, opened, plug_in
from tests.mqtt.wire import Publish, RawBroker, User

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.mqtt.wire import Peer

pytestmark = pytest.mark.asyncio

EVENT = f"modemhub/modem/{IMEI}/event"
STATUS = "homeassistant/status"
SETTLE = 2.0
NOBODY = 0x10


async def arrive(home: House, number: int) -> None:
    """A text arrives whose text is the number, in letters of an alphabet that needs no packing."""
    digits = f"{number:04d}"
    stamp = "62115190000000"
    tpdu = "040B911346610089F60004" + stamp + f"{len(digits):02X}" + digits.encode().hex()
    raw = "07911326040000F0" + tpdu
    pdu = ArrivedPdu(
        imei=Imei(IMEI),
        imsi=Imsi(IMSI),
        iccid=Iccid(ICCID),
        raw=raw,
        tpdu=bytes.fromhex(tpdu),
        storage="SM",
        index=number,
        direct=False,
    )
    before = home.hub.newest
    await home.hub.arrived(pdu)
    await home.hub.wait_event(before)


def ha_door(home: House, url: str, *, time: Time | None = None, ha: dict[str, Any] | None = None, **wishes: Any) -> Any:
    settings = MqttSettings(url=url, **wishes)
    seam: dict[str, Any] = {} if time is None else {"now": time, "sleep": time.sleep, "rng": Longest()}
    return MqttDoor(home.hub, settings, HomeAssistantSettings(**(ha or {})), **seam)


@contextlib.asynccontextmanager
async def linked(home: House, raw: RawBroker, time: Time, **wishes: Any) -> AsyncIterator[Peer]:
    async with opened(ha_door(home, raw.url, time=time, **wishes)):
        peer = await raw.peer()
        await peer.welcome()
        await peer.published("modemhub/status")
        yield peer
        raw.vanish()


def heard(peer: Peer, payload: bytes, *, retain: bool = False) -> None:
    peer.send_publish(Publish(STATUS, payload, qos=0, retain=retain))


async def told(peer: Peer, *, reason: int = 0) -> tuple[str, bool]:
    """Which text the next event tells (by its number), and whether it is marked as replayed."""
    publish = await peer.published(EVENT, acknowledge=False)
    assert (publish.qos, publish.retain) == (1, False)
    peer.send_puback(publish.packet_id, reason=reason)
    body = json.loads(publish.payload)
    assert body["event_type"] == "received"
    return _digits(body), body["replayed"]


def _digits(body: dict[str, Any]) -> str:
    return base64.b64decode(body["data"]).decode().lstrip("0")


async def test_devices_are_announced_retained_after_the_hub_is_online(home: House, raw: RawBroker) -> None:
    await plug_in(home, Desk())
    async with linked(home, raw, Time()) as peer:
        for identifier in (f"modemhub_{home.hub.hub_id}", f"modemhub_{home.hub.hub_id}_a1b575e0d3da"):
            announced = await peer.published("homeassistant/device")
            assert (announced.retain, announced.qos) == (True, 1)
            assert announced.topic == f"homeassistant/device/{identifier}/config"
            assert announced.properties == {"payload_format": 1, "content_type": "application/json"}
            assert json.loads(announced.payload)["device"]["identifiers"] == [identifier]


async def test_a_text_is_told_at_once_and_by_its_sensor(home: House, raw: RawBroker) -> None:
    async with linked(home, raw, Time()) as peer:
        await arrive(home, 1)
        last = await peer.published(f"modemhub/modem/{IMEI}/last_received")
        assert not last.retain, "a retained text is there for everybody to read"
        assert await told(peer) == ("1", False)


async def test_what_comes_while_it_is_away_is_told_on_its_return_in_order(home: House, raw: RawBroker) -> None:
    time = Time()
    async with linked(home, raw, time) as peer:
        heard(peer, b"online")
        await time.sleep_of(SETTLE)
        await arrive(home, 1)
        assert await told(peer) == ("1", False)
        heard(peer, b"offline")
        await settled(peer)
        for number in (2, 3, 4):
            await arrive(home, number)
        heard(peer, b"online")
        await time.sleep_of(SETTLE)
        assert [await told(peer) for _ in range(3)] == [("2", True), ("3", True), ("4", True)]
        await arrive(home, 5)
        assert await told(peer) == ("5", False)


async def settled(peer: Peer) -> None:
    """Return when the door has read what was sent before."""
    peer.send_publish(Publish("modemhub/send", b"", retain=True, packet_id=999))
    while await peer.puback() != 999:
        pass


async def test_away_outlasts_a_restart_of_the_hub(tmp_path: Path, raw: RawBroker) -> None:
    async with house(tmp_path) as home:
        time = Time()
        async with linked(home, raw, time) as peer:
            heard(peer, b"online")
            await time.sleep_of(SETTLE)
            heard(peer, b"offline")
            await settled(peer)
            await arrive(home, 1)
    async with house(tmp_path) as home:
        time = Time()
        async with linked(home, raw, time) as peer:  # nobody knows: it is told, and told again when that was in vain
            assert await told(peer) == ("1", False)
            heard(peer, b"online")
            await time.sleep_of(SETTLE)
            assert await told(peer) == ("1", True)
            heard(peer, b"offline")
            heard(peer, b"online")
            await time.sleep_of(SETTLE)
            await arrive(home, 2)
            assert await told(peer) == ("2", False)


async def test_a_will_shows_that_it_had_been_there_and_nothing_is_repeated(home: House, raw: RawBroker) -> None:
    time = Time()
    async with linked(home, raw, time) as peer:
        await arrive(home, 1)
        assert await told(peer) == ("1", False)
        await arrive(home, 2)
        assert await told(peer) == ("2", False)
        await settled(peer)
        heard(peer, b"offline")
        await settled(peer)
        await arrive(home, 3)
        heard(peer, b"online")
        await time.sleep_of(SETTLE)
        assert await told(peer) == ("3", True)


async def test_a_new_link_repeats_nothing_of_what_was_told_without_a_birth(tmp_path: Path, raw: RawBroker) -> None:
    for begin, number in ((True, 1), (False, 2)):
        async with house(tmp_path) as home, linked(home, raw, Time()) as peer:
            await arrive(home, number)
            assert await told(peer) == (f"{number}", False), begin


async def test_what_is_retained_on_its_status_topic_proves_nothing(home: House, raw: RawBroker) -> None:
    async with linked(home, raw, Time()) as peer:
        heard(peer, b"offline", retain=True)
        await settled(peer)
        await arrive(home, 1)
        assert await told(peer) == ("1", False)


async def test_a_broker_that_says_that_nobody_listens_is_believed(home: House, raw: RawBroker) -> None:
    time = Time()
    async with linked(home, raw, time) as peer:
        await arrive(home, 1)
        assert await told(peer, reason=NOBODY) == ("1", False)
        probe = await peer.published("modemhub/status", acknowledge=False)
        peer.send_puback(probe.packet_id, reason=NOBODY)
        await time.sleeping(60)
        heard(peer, b"online")
        await time.sleep_of(SETTLE)
        assert await told(peer) == ("1", True)


async def test_one_that_is_there_and_wants_no_events_holds_nothing_up(home: House, raw: RawBroker) -> None:
    time = Time()
    async with linked(home, raw, time) as peer:
        heard(peer, b"online")
        await time.sleep_of(SETTLE)
        await arrive(home, 1)
        for _ in range(5):
            assert (await told(peer, reason=NOBODY))[0] == "1"
            await time.sleep_of(4)
        assert (await told(peer, reason=NOBODY))[0] == "1"
        await arrive(home, 2)
        assert (await told(peer))[0] == "2"


async def test_a_listener_that_wants_just_this_is_proof(home: House, raw: RawBroker) -> None:
    time = Time()
    async with linked(home, raw, time) as peer:
        await arrive(home, 1)
        assert await told(peer) == ("1", False)
        probe = await peer.published("modemhub/modem/nobody/event", acknowledge=False)
        peer.send_puback(probe.packet_id, reason=NOBODY)
        await arrive(home, 2)
        assert await told(peer) == ("2", False)
        await settled(peer)
        heard(peer, b"online")  # without a will before
        await time.sleep_of(SETTLE)
        await arrive(home, 3)
        assert await told(peer) == ("3", False)


async def test_what_the_broker_refuses_is_told_again(home: House, raw: RawBroker) -> None:
    time = Time()
    async with linked(home, raw, time) as peer:
        await arrive(home, 1)
        assert await told(peer, reason=0x87) == ("1", False)
        await time.sleep_of(1)
        assert await told(peer) == ("1", False)


async def test_what_was_retained_by_an_earlier_life_is_taken_back(home: House, raw: RawBroker) -> None:
    async with linked(home, raw, Time(), ha={"discovery": False}) as peer:
        mine = f"homeassistant/device/modemhub_{home.hub.hub_id}/config"
        for topic in ("homeassistant/device/modemhub_00000000/config", "homeassistant/device/other/config", mine):
            peer.send_publish(Publish(topic, b'{"components": {}}', qos=0, retain=True))
        gone = await peer.published("homeassistant/device")
        assert (gone.topic, gone.payload, gone.retain) == (mine, b"", True)
        await arrive(home, 1)
        assert json.loads((await peer.published("modemhub/received", EVENT)).payload)["from"] == "+31641600986"


async def test_a_modem_is_forgotten_when_it_is_asked_for_and_not_here(home: House, raw: RawBroker) -> None:
    desk = Desk()
    await plug_in(home, desk)
    async with linked(home, raw, Time()) as peer:
        await home.hub.modems_changed(-1)

        async def forget(packet_id: int) -> Any:
            payload = json.dumps({"modem": IMEI}).encode()
            peer.send_publish(Publish("modemhub/request/modem/forget", payload, packet_id=packet_id))

        await forget(1)
        assert json.loads((await peer.published("modemhub/response")).payload)["error"]["code"] == "not_possible"
        home.hub._fleet.left(desk)  # type: ignore[arg-type] # a place of the tests'
        version = -1
        while home.hub.modems()[IMEI]["state"] != "gone":
            version = await home.hub.modems_changed(version)
        await forget(2)
        device = f"homeassistant/device/modemhub_{home.hub.hub_id}_a1b575e0d3da/config"
        wiped = {device, f"modemhub/modem/{IMEI}/state", f"modemhub/modem/{IMEI}/availability"}
        while wiped:
            publish = await peer.published(*wiped)
            if not publish.payload:
                assert publish.retain
                wiped.remove(publish.topic)
        assert IMEI not in home.hub.modems()


async def test_health_says_how_the_hub_is_and_what_today_was(home: House, raw: RawBroker) -> None:
    time = Time()
    async with linked(home, raw, time) as peer:
        health = json.loads((await peer.published("modemhub/health")).payload)
        assert health["today"] == {"sent": 0, "received": 0, "failed": 0}
        assert health["disk_full"] is False
        await arrive(home, 1)
        for _ in range(3):
            await time.sleep_of(HEALTH_EVERY)
        health = json.loads((await peer.published("modemhub/health")).payload)
        assert health["today"] == {"sent": 0, "received": 1, "failed": 0}


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_with_a_real_broker(tmp_path: Path, mosquitto: Mosquitto, protocol: str) -> None:
    """A Home Assistant as a client: it dies, misses three texts, and comes back."""
    async with house(tmp_path) as home:
        time = Time()
        async with opened(ha_door(home, mosquitto.url, time=time, protocol=protocol)) as door:
            await door.ready.wait()
            user = await User.connect(mosquitto.port, EVENT)
            await user.publish(STATUS, "online")
            await time.sleep_of(SETTLE)
            await arrive(home, 1)
            await user.wait(EVENT)
            await user.bye()
            other = await User.connect(mosquitto.port, name="the broker, for its will")
            await other.publish(STATUS, "offline")
            for number in (2, 3, 4):
                await arrive(home, number)
            user = await User.connect(mosquitto.port, EVENT)
            await other.publish(STATUS, "online")
            await time.sleep_of(SETTLE)
            bodies = [json.loads(one.payload) for one in await user.wait(EVENT, count=3)]
            assert [(_digits(body), body["replayed"]) for body in bodies] == [("2", True), ("3", True), ("4", True)]
            await user.bye()
            await other.bye()


async def test_a_contact_that_was_removed_between_two_lives_leaves_no_orphan(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    contacts = [Contacts({"anna": "+447700900123", "ben": "+447700900124"}), Contacts({"anna": "+447700900123"})]
    user = await User.connect(mosquitto.port, "homeassistant/device/#")
    for each in contacts:
        async with house(tmp_path) as home:
            home.hub.contacts = each
            async with opened(ha_door(home, mosquitto.url)) as door:
                await door.ready.wait()
                topic = f"homeassistant/device/modemhub_{home.hub.hub_id}/config"
                if each is contacts[1]:
                    while not any(b'"notify_ben":{"platform":"notify"}' in one.payload for one in user.seen):
                        await user.wait(topic, count=len(user.seen) + 1)
    retained = await User.connect(mosquitto.port, topic, name="later")
    found = json.loads((await retained.wait(topic))[0].payload)["components"]
    assert "notify_anna" in found
    assert "notify_ben" not in found
    await user.bye()
    await retained.bye()


async def test_two_hubs_on_one_broker_leave_each_other_alone(tmp_path: Path, mosquitto: Mosquitto) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ids = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            home = await stack.enter_async_context(house(tmp_path / name))
            door = await stack.enter_async_context(opened(ha_door(home, mosquitto.url, base_topic=name)))
            await door.ready.wait()
            ids.append(home.hub.hub_id)
        user = await User.connect(mosquitto.port, "homeassistant/device/#")
        topics = {one.topic for one in await user.wait("homeassistant/device", count=2)}
        assert topics == {f"homeassistant/device/modemhub_{each}/config" for each in ids}
        await user.bye()


async def test_without_home_assistant_nothing_of_it_is_asked_for(home: House, raw: RawBroker) -> None:
    async with opened(mqtt_door(home.hub, raw.url)):
        peer = await raw.peer()
        await peer.welcome()
        while (publish := await peer.published()).topic != "modemhub/status":
            assert not publish.topic.startswith("homeassistant")
        raw.vanish()
