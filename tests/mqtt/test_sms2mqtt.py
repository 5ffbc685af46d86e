"""The topics of Domochip's sms2mqtt, beside our own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from appliance.mqtt.sms2mqtt import Sms2Mqtt
from tests.modem.desk import Desk
from tests.mqtt.house import House, house, mqtt_door, opened, plug_in
from tests.mqtt.test_homeassistant import arrive
from tests.mqtt.wire import Publish, RawBroker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.mqtt.wire import Peer


@contextlib.asynccontextmanager
async def linked(home: House, raw: RawBroker) -> AsyncIterator[Peer]:
    async with opened(mqtt_door(home.hub, raw.url, sms2mqtt="sms2mqtt")):
        peer = await raw.peer()
        await peer.welcome()
        yield peer
        raw.vanish()


async def told(peer: Peer, topic: str) -> Any:
    publish = await peer.published(f"sms2mqtt/{topic}")
    return json.loads(publish.payload)


def wish(packet_id: int, payload: str | bytes, **more: Any) -> Publish:
    data = payload.encode() if isinstance(payload, str) else payload
    return Publish("sms2mqtt/send", data, packet_id=packet_id, **more)


@pytest.mark.asyncio
async def test_each_number_of_a_list_is_texted_and_told_of_when_it_has_left(home: House, raw: RawBroker) -> None:
    await plug_in(home, Desk())
    async with linked(home, raw) as peer:
        assert (await peer.published("sms2mqtt/connected")).payload == b"1"
        peer.send_publish(wish(7, '{"Number": "+44 7700 900123;;+447700900124;", "TEXT": "two\nlines"}'))
        both = [await told(peer, "sent") for _ in range(2)]
        assert {each["number"] for each in both} == {"+447700900123", "+447700900124"}
        assert {(each["result"], each["text"]) for each in both} == {("success", "two\nlines")}
        assert all(len(each["datetime"]) == len("2021-01-23 13:00:00") for each in both)
        assert await peer.puback() == 7


@pytest.mark.asyncio
async def test_what_is_wrong_is_told_and_one_wrong_number_holds_no_other_up(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        for number, payload in enumerate(("{", "[]", '{"text": "x"}', '{"number": ";", "text": "x"}'), 1):
            peer.send_publish(wish(number, payload))
            answer = await told(peer, "sent")
            assert answer["result"].startswith("error : ")
            assert answer["payload"] == payload
            assert await peer.puback() == number
        peer.send_publish(wish(8, '{"number": "12 nonsense;+447700900123", "text": "x"}'))
        answer = await told(peer, "sent")
        assert (answer["number"], answer["text"]) == ("12nonsense", "x")
        assert answer["result"].startswith("error : ")
        assert await peer.puback() == 8
        assert [each["to"] for each in (await home.hub.messages()).items] == ["+447700900123"]


@pytest.mark.asyncio
async def test_a_retained_command_is_refused(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        peer.send_publish(wish(1, '{"number": "+447700900123", "text": "x"}', retain=True))
        assert "retained" in (await told(peer, "sent"))["result"]
        assert (await home.hub.messages()).items == []


@pytest.mark.asyncio
async def test_a_repetition_texts_nobody_twice(tmp_path: Path, raw: RawBroker) -> None:
    command = '{"number": "+447700900123;+447700900124", "text": "x"}'
    for dup in (False, True):
        async with house(tmp_path) as home, linked(home, raw) as peer:
            peer.send_publish(wish(9, command, dup=dup))
            assert await peer.puback() == 9
            assert len((await home.hub.messages()).items) == 2


@pytest.mark.asyncio
async def test_what_never_leaves_is_told_as_an_error(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        peer.send_publish(wish(1, '{"number": "+447700900123", "text": "x"}'))
        await peer.puback()
        [message] = (await home.hub.messages()).items
        await home.hub.cancel(message["id"], client=None)
        answer = await told(peer, "sent")
        assert answer["result"].startswith("error : cancelled")
        assert (answer["number"], answer["text"]) == ("+447700900123", "x")


@pytest.mark.asyncio
async def test_signal_and_network_are_told_of_the_best_modem(home: House, raw: RawBroker) -> None:
    await plug_in(home, Desk())
    async with linked(home, raw) as peer:
        state = next(iter(home.hub.modems().values()))
        signal = await told(peer, "signal")
        assert signal["SignalStrength"] == state["signal_dbm"]
        assert 0 <= signal["SignalPercent"] <= 100
        assert await told(peer, "network") == {"NetworkName": state["operator"] or "", "State": "HomeNetwork"}


@pytest.mark.asyncio
async def test_stopping_says_that_it_is_not_connected(home: House, raw: RawBroker) -> None:
    door = mqtt_door(home.hub, raw.url, sms2mqtt="sms2mqtt")
    running = asyncio.create_task(door.run())
    peer = await raw.peer()
    await peer.welcome()
    assert (await peer.published("sms2mqtt/connected")).payload == b"1"
    running.cancel()
    last = await peer.published("sms2mqtt/connected")
    assert (last.payload, last.retain) == (b"0", True)
    await peer.published("modemhub/status")
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.asyncio
async def test_an_answer_is_never_a_command_of_it(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        payload = json.dumps({"to": "+447700900123", "text": "x"}).encode()
        peer.send_publish(
            Publish("modemhub/send", payload, packet_id=1, properties={"response_topic": "sms2mqtt/send"})
        )
        await peer.published("modemhub/response")
        assert await peer.puback() == 1


@pytest.mark.asyncio
async def test_data_is_no_text_there(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        await peer.published("modemhub/status")
        await arrive(home, 1)  # 8-bit data
        await peer.published("modemhub/received")
        assert Sms2Mqtt.arrived({"data": "AA==", "from": "1", "received_at": "2026-11-26T10:00:00Z"}) is None


def test_a_received_text_has_the_service_centres_time() -> None:
    body = {"text": "Hi", "from": "+31415926535", "sent_at": "2021-01-23T13:30:00+02:00", "received_at": "2021-01-23"}
    assert Sms2Mqtt.arrived(body) == {"datetime": "2021-01-23 13:30:00", "number": "+31415926535", "text": "Hi"}


def test_that_no_report_came_is_not_told_as_sent_again() -> None:
    message = {"state": "submitted", "reason": {"code": "no_report"}, "updated_at": "2021-01-23", "to": "1"}
    assert Sms2Mqtt.outcome(message) is None
