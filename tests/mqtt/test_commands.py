"""Commands: acknowledged iff committed or refused for good, answered before they are acknowledged, redelivered once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.mqtt.house import House, Time, house, mqtt_door, opened
from tests.mqtt.wire import Peer, Publish, RawBroker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from pathlib import Path

    from appliance.store import Transaction

pytestmark = pytest.mark.asyncio

TO = "+447700900123"


def command(
    packet_id: int, *, dup: bool = False, retain: bool = False, topic: str = "modemhub/send", **body: Any
) -> Publish:
    payload = json.dumps({"to": TO, "text": "hello"} | body).encode()
    return Publish(topic, payload, packet_id=packet_id, dup=dup, retain=retain)


async def answer(peer: Peer) -> dict[str, Any]:
    """The next answer; the acknowledgement of its command has not been read yet."""
    told: dict[str, Any] = json.loads((await peer.published("modemhub/response")).payload)
    return told


async def accepted(home: House) -> list[dict[str, Any]]:
    """All messages, in the order of acceptance."""
    return list(reversed((await home.hub.messages(limit=1000)).items))


@contextlib.asynccontextmanager
async def linked(home: House, raw: RawBroker, **wishes: Any) -> AsyncIterator[Peer]:
    """The door, linked to the raw broker; at the end the broker is gone."""
    async with opened(mqtt_door(home.hub, raw.url, **wishes)):
        peer = await raw.peer()
        await peer.welcome()
        yield peer
        raw.vanish()


class Hold:
    """Holds the writer just before or just after the COMMIT of one verb."""

    def __init__(self, verb: str = "accept", moment: str = "before") -> None:
        self.point = (moment, verb)
        self.reached = asyncio.Event()
        self.armed = True
        self._loop = asyncio.get_running_loop()
        self._go = threading.Event()

    def __call__(self, moment: str, verb: str) -> None:
        if self.armed and (moment, verb) == self.point:
            self._loop.call_soon_threadsafe(self.reached.set)
            self._go.wait()

    def release(self) -> None:
        self.armed = False
        self._go.set()


async def test_a_command_is_answered_and_then_acknowledged(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        peer.send_publish(command(7, transaction="t1"))
        told = await answer(peer)
        assert peer.acknowledged == []
        assert await peer.puback() == 7
        [message] = await accepted(home)
        assert told == {"status": "ok", "transaction": "t1", "id": message["id"]}
        assert (message["to"], message["state"], message["client"]) == (TO, "queued", "mqtt")


async def test_no_acknowledgement_before_the_commit(tmp_path: Path, raw: RawBroker) -> None:
    hold = Hold()
    async with house(tmp_path, probe=hold) as home, linked(home, raw) as peer:
        peer.send_publish(command(1))
        await hold.reached.wait()
        peer.send_publish(command(2, retain=True))
        assert await peer.puback() == 2  # the door lives, and has nothing to say about the first one
        hold.release()
        assert await peer.puback() == 1


async def test_a_kill_after_the_commit_and_before_the_acknowledgement_makes_no_second_text(
    tmp_path: Path, raw: RawBroker
) -> None:
    hold = Hold(moment="after")
    async with house(tmp_path, probe=hold) as home:
        async with linked(home, raw) as peer:
            peer.send_publish(command(9))
            await hold.reached.wait()
            peer.cut()
            hold.release()
        [first] = await accepted(home)
    async with house(tmp_path) as home, linked(home, raw) as peer:
        peer.send_publish(command(9, dup=True))
        assert await answer(peer) == {"status": "ok", "id": first["id"], "duplicate": True}
        assert await peer.puback() == 9
        assert [one["id"] for one in await accepted(home)] == [first["id"]]


async def test_a_command_that_was_never_committed_is_accepted_when_it_comes_again(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        peer.send_publish(command(9, dup=True))
        assert "duplicate" not in await answer(peer)
        assert len(await accepted(home)) == 1


async def test_a_packet_identifier_that_comes_round_again_is_a_new_command(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        for _ in range(3):
            peer.send_publish(command(1))
            assert "duplicate" not in await answer(peer)
            await peer.puback()
        assert len(await accepted(home)) == 3


async def test_a_redelivery_that_cannot_be_one_is_a_new_command(home: House, raw: RawBroker) -> None:
    """The broker has read our PUBACK; then an equal command's first transmission under the same identifier is lost."""
    time = Time()
    async with linked(home, raw, time=time) as peer:
        peer.send_publish(command(1))
        await answer(peer)
        await peer.puback()
        peer.send_publish(command(2, retain=True))
        await answer(peer)  # acknowledged by us: so the door knows that its PUBACK of 1 was read
        await peer.puback()
        peer.send_publish(command(3, retain=True))
        await answer(peer)
        peer.cut()
        await time.sleeping(1)
        time.pass_by(1)
        again = await raw.peer()
        await again.welcome(session=True)
        again.send_publish(command(1, dup=True))
        assert "duplicate" not in await answer(again)
        assert len(await accepted(home)) == 2


async def test_an_id_is_the_key_for_good(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        peer.send_publish(command(1, id="alarm-1"))
        first = await answer(peer)
        peer.send_publish(command(2, id="alarm-1"))
        assert await answer(peer) == first | {"duplicate": True}
        peer.send_publish(command(3, id="alarm-1", text="other"))
        assert (await answer(peer))["error"]["code"] == "idempotency_conflict"
        assert [await peer.puback() for _ in range(3)] == [1, 2, 3]


async def test_correlation_data_comes_back_and_is_no_key(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        for packet_id, responses in enumerate(["to/me", "to/me", "to/you"], 1):
            wish = {"response_topic": responses, "correlation": b"\1\2"}
            one = command(packet_id)
            peer.send_publish(Publish(one.topic, one.payload, packet_id=packet_id, properties=wish))
            told = await peer.published("to")
            assert told.topic == responses
            assert told.properties == {
                "correlation": b"\1\2",
                "payload_format": 1,
                "content_type": "application/json",
            }
            assert "duplicate" not in json.loads(told.payload)
        assert len(await accepted(home)) == 3


async def test_commands_are_accepted_in_the_order_of_arrival(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        for number in range(1, 201):
            peer.send_publish(command(number, text=f"{number}"))
        assert sorted([await peer.puback() for _ in range(200)]) == list(range(1, 201))
        texts = [(await home.hub.message(one["id"]) or {})["text"] for one in await accepted(home)]
        assert texts == [f"{number}" for number in range(1, 201)]


async def test_the_text_topic_is_for_those_who_can_only_publish_a_string(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        peer.send_publish(Publish("modemhub/send/447700900123", "Türe offen".encode(), packet_id=3))
        told = await answer(peer)
        message = await home.hub.message(told["id"])
        assert message is not None
        assert (message["to"], message["text"]) == (TO, "Türe offen")


async def test_several_recipients_are_one_command(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        peer.send_publish(command(3, to=[TO, "+447700900124"]))
        told = await answer(peer)
        assert told["ids"] == [one["id"] for one in await accepted(home)]
        assert len(told["ids"]) == 2


async def test_a_retained_command_is_refused_and_clearing_it_is_none(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        peer.send_publish(command(1, retain=True))
        assert (await answer(peer))["error"]["code"] == "retained"
        peer.send_publish(Publish("modemhub/send", b"", retain=True, packet_id=2))
        assert [await peer.puback(), await peer.puback()] == [1, 2]
        assert await accepted(home) == []


@pytest.mark.parametrize(
    ("topic", "payload", "code", "pointer"),
    [
        ("send", b"", "invalid", None),
        ("send", b"\xff\xfe\xfd", "invalid", None),
        ("send", b"{", "invalid", None),
        ("send", b'{"to": "+447700900123", "text": "x"} {}', "invalid", None),
        ("send", b'{"to": "+447700900123", "to": "+447700900124", "text": "x"}', "invalid", None),
        ("send", b'{"to": "+447700900123", "text": "x", "ttl": NaN}', "invalid", None),
        ("send", b'{"to": "+447700900123", "text": "x", "ttl": ' + b"9" * 5000 + b"}", "invalid", None),
        ("send", b"[" * 50_000, "invalid", None),
        ("send", b"[]", "invalid", ""),
        ("send", b'{"to": "+447700900123"}', "invalid", ""),
        ("send", b'{"to": 447700900123, "text": "x"}', "invalid", "/to"),
        ("send", b'{"to": ["+447700900123", 5], "text": "x"}', "invalid", "/to/1"),
        ("send", b'{"to": "+447700900123", "text": "x", "te~x/t": 1}', "invalid", "/te~0x~1t"),
        ("send", b'{"to": "Vodafone", "text": "x"}', "invalid", "/to"),
        ("send", b'{"to": "+447700900123", "data": "?"}', "invalid", "/data"),
        ("send", b" " * 70_000, "too_long", None),
        ("send/447700900123", b"\xff", "invalid", None),
        ("send/abc", b"x", "invalid", "/to"),
        ("request/modem/explode", b"", "not_implemented", None),
        ("request/modem/ussd", b'{"modem": "1", "code": "*100#"}', "invalid", "/text"),
        ("request/modem/ussd", b'{"modem": "1", "text": "*100#"}', "no_such_modem", "/imei"),
        ("request/modem/power_cycle", b'{"modem": "1"}', "no_such_modem", "/imei"),
        ("request/modem/rescan", b"{}", "not_possible", None),
        ("request/modem/restart", b"", "invalid", "/modem"),
        ("request/modem/restart", b'{"modem": "123456789012345"}', "no_such_modem", "/imei"),
        ("request/message/cancel", b"{}", "invalid", "/id"),
        ("request/message/cancel", b'{"id": "out_0"}', "not_found", None),
        ("request/inbox/replay", b'{"since_seq": -1}', "invalid", "/since_seq"),
        ("request/inbox/replay", b'{"since_seq": true}', "invalid", "/since_seq"),
    ],
)
async def test_what_is_wrong_is_answered_and_acknowledged_and_the_door_lives(
    home: House, raw: RawBroker, *, topic: str, payload: bytes, code: str, pointer: str | None
) -> None:
    async with linked(home, raw) as peer:
        peer.send_publish(Publish(f"modemhub/{topic}", payload, packet_id=1))
        told = await answer(peer)
        assert told["status"] == "error"
        assert (told["error"]["code"], told["error"].get("pointer")) == (code, pointer)
        assert await peer.puback() == 1
        peer.send_publish(command(2))
        assert (await answer(peer))["status"] == "ok"


async def test_a_refused_command_keeps_its_transaction(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        peer.send_publish(command(1, transaction=17, priority=99))
        told = await answer(peer)
        assert (told["transaction"], told["error"]["pointer"]) == (17, "/priority")


async def test_the_message_expiry_bounds_the_time_to_send(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        one = command(1)
        peer.send_publish(Publish(one.topic, one.payload, packet_id=1, properties={"expiry": 0}))
        assert (await answer(peer))["error"]["code"] == "expired"
        peer.send_publish(Publish(one.topic, one.payload, packet_id=2, properties={"expiry": 60}))
        told = await home.hub.message((await answer(peer))["id"])
        assert told is not None
        lifetime = datetime.fromisoformat(told["expires_at"]) - datetime.fromisoformat(told["accepted_at"])
        assert 50 < lifetime.total_seconds() <= 60


def _room(tx: Transaction, *, pages: int) -> None:
    tx.db.execute(f"PRAGMA max_page_count = {pages}")


async def _gathered(*steps: Awaitable[int]) -> list[int]:
    """The steps' results, one after the other."""
    return [await step for step in steps]


async def test_a_full_disk_holds_commands_back_and_loses_none(home: House, raw: RawBroker) -> None:
    time = Time()
    async with linked(home, raw, time=time) as peer:
        peer.send_publish(command(1, text="1"))
        await peer.published("modemhub/message")  # the tail is at work: nothing of the door's own needs new pages
        assert await peer.puback() == 1
        await home.journal.write(_room, pages=1)  # as many as there are: the next new page is SQLITE_FULL
        sent = 1
        while True:  # what still fits into the pages that are there is accepted
            sent += 1
            peer.send_publish(command(sent, text=f"{sent} " + "x" * 2000))
            reached = asyncio.create_task(time.sleeping(1))
            told = asyncio.create_task(peer.puback())
            await asyncio.wait([reached, told], return_when=asyncio.FIRST_COMPLETED)
            if told.done():
                reached.cancel()
                assert told.result() == sent
                continue
            break
        for more in (1, 2):
            peer.send_publish(command(sent + more, text=f"{sent + more}"))
        assert not told.done()
        await home.journal.write(_room, pages=1_000_000)
        await home.journal.restore_ballast()
        late = asyncio.create_task(_gathered(told, peer.puback(), peer.puback()))
        while not late.done():  # the tail's own retry may sleep too: whoever sleeps, time goes on
            sleeps = asyncio.create_task(time.sleeping(1))
            await asyncio.wait([late, sleeps], return_when=asyncio.FIRST_COMPLETED)
            sleeps.cancel()
            time.pass_by(1)
        assert sorted(late.result()) == [sent, sent + 1, sent + 2]
        texts = [(await home.hub.message(one["id"]) or {})["text"].split()[0] for one in await accepted(home)]
        assert texts == [f"{number}" for number in range(1, sent + 3)]


async def test_preview_cancel_and_replay(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        peer.send_publish(command(1, topic="modemhub/request/message/preview", text="hello €"))
        assert (await answer(peer))["result"]["encoding"] == "gsm7"
        assert await accepted(home) == []
        peer.send_publish(command(2))
        told = await answer(peer)
        cancel = {"id": told["id"], "transaction": 5}
        peer.send_publish(Publish("modemhub/request/message/cancel", json.dumps(cancel).encode(), packet_id=3))
        done = await answer(peer)
        assert (done["transaction"], done["result"]["state"]) == (5, "cancelled")
        peer.send_publish(Publish("modemhub/request/inbox/replay", b"", packet_id=4))
        assert (await answer(peer))["result"] == {"replayed": 0}


async def test_an_answer_is_not_sent_where_it_would_be_a_command(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        evil = {"response_topic": "modemhub/send/447700900123", "correlation": b"1"}
        peer.send_publish(Publish("modemhub/request/message/preview", b"{}", packet_id=1, properties=evil))
        await answer(peer)
        packet = await peer.read()
        while packet is not None and packet.kind == 3:
            assert not peer.read_publish(packet).topic.startswith("modemhub/send")
            packet = await peer.read()
        assert packet is not None
        assert packet.kind == 4


async def test_a_session_of_earlier_settings_is_told_of_once(
    home: House, raw: RawBroker, caplog: pytest.LogCaptureFixture
) -> None:
    async with linked(home, raw) as peer:
        for packet_id in (1, 2):
            peer.send_publish(command(packet_id, topic="texts/send"))
            assert (await answer(peer))["error"]["code"] == "not_implemented"
            assert await peer.puback() == packet_id
        assert caplog.text.count("the session of earlier settings") == 1
        assert (await home.hub.messages()).items == []
