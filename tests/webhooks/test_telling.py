"""What a receiver gets, and what its answers mean."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from appliance.hub import SendCommand
from appliance.modem import ArrivedPdu
from appliance.types import Iccid, Imei, Imsi
from appliance.webhooks import sender
from tests.webhooks.receiver import CUT, Answer, at_rest, door_to, happen, pass_by, running, webhook

if TYPE_CHECKING:
    from tests.mqtt.house import House
    from tests.webhooks.receiver import Got, Receiver

pytestmark = pytest.mark.asyncio

DELIVER = "07911326040000F0" + "040B911346610089F60000208062917314080CC8F71D14969741F977FD07"
"""SCA and SMS-DELIVER: "How are you?" from +31641600986."""

ALL = ["received", "message", "call", "recovery"]


async def receive(home: House) -> None:
    await home.hub.arrived(
        ArrivedPdu(
            imei=Imei("490154203237518"),
            imsi=Imsi("234100000000001"),
            iccid=Iccid("8944100000000000001"),
            raw=DELIVER,
            tpdu=bytes.fromhex(DELIVER[16:]),
            storage="SM",
            index=1,
            direct=False,
        )
    )


async def test_a_received_text_is_told_as_it_stands_in_the_inbox(home: House, receiver: Receiver) -> None:
    async with running(door_to(home, door=webhook(receiver, events=["received"]))) as door:
        await receive(home)
        (got,) = await receiver.until(1)
        (inbox,) = (await home.hub.inbox()).items
        assert got.json == {"type": "sms.received", "timestamp": got.json["timestamp"], "data": inbox}
        assert inbox["text"] == "How are you?"
        assert got.id == f"{home.hub.hub_id}_{home.hub.newest}"
        assert got.timestamp == int(1_800_000_000 + home.time.now)
        assert got.headers["content-type"] == "application/json"
        assert got.path == "/hook?x=secret"
        assert got.json["timestamp"].endswith("Z")
        await at_rest(home)
        assert door.states == [{"name": "door", "pending": 0, "last_error": None}]


async def test_each_kind_has_its_type(home: House, receiver: Receiver) -> None:
    async with running(door_to(home, door=webhook(receiver, events=ALL))):
        (one,) = (await home.hub.send(SendCommand(to="+447700900123", text="x"), client="test")).ids
        await home.hub.cancel(one, client=None)
        home.hub.called(Imei("490154203237518"), Imsi("234100000000001"), "+447700900124")
        await receiver.until(3)
        await happen(home, 1, kind="recovery")
        await happen(home, 2, kind="store")  # of no kind that is told
        await receive(home)
        got = await receiver.until(5)
        assert [each.json["type"] for each in got] == [
            "message.queued",
            "message.cancelled",
            "call.incoming",
            "modem.recovery",
            "sms.received",
        ]
        assert got[0].json["data"]["id"] == one
        assert "text" not in got[0].json["data"]
        assert len({each.id for each in got}) == 5
        assert all("." not in each.id for each in got)


async def test_only_the_wanted_kinds_are_told_and_the_cursor_follows_the_others(
    home: House, receiver: Receiver
) -> None:
    async with running(door_to(home, door=webhook(receiver))):
        await happen(home, *range(600), kind="message", state="queued")
        await happen(home, 1000)
        await receiver.until(1)
        await at_rest(home)
        assert receiver.numbers() == [1000]
        await happen(home, *range(600), kind="message", state="queued")
        await at_rest(home)
        assert await home.hub.cursor("webhook:door") >= 1101


async def test_a_new_webhook_begins_at_the_newest_event_and_goes_on_after_a_stop(
    home: House, receiver: Receiver
) -> None:
    await happen(home, 1)
    async with running(door_to(home, door=webhook(receiver))):
        await happen(home, 2)
        await receiver.until(1)
        await at_rest(home)
    await happen(home, 3)
    async with running(door_to(home, door=webhook(receiver))):
        await receiver.until(2)
    assert receiver.numbers() == [2, 3]


async def test_a_healthy_receiver_is_told_in_order_one_at_a_time(home: House, receiver: Receiver) -> None:
    receiver.release.clear()
    async with running(door_to(home, door=webhook(receiver))):
        await happen(home, *range(50))
        await receiver.until(1)
        await at_most_one(receiver)
        receiver.release.set()
        await receiver.until(50)
        assert receiver.numbers() == list(range(50))


async def at_most_one(receiver: Receiver) -> None:
    """While an answer is awaited there is no second request."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await receiver.until(2)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_2xx_is_success(home: House, receiver: Receiver, status: int) -> None:
    receiver.answer = lambda _: status
    async with running(door_to(home, door=webhook(receiver))) as door:
        await happen(home, 1)
        await receiver.until(1)
        await pass_by(home, 3600)
        assert receiver.numbers() == [1]
        assert door.states[0] == {"name": "door", "pending": 0, "last_error": None}


@pytest.mark.parametrize("status", [CUT, 301, 302, 307, 308, 400, 401, 404, 413, 429, 500, 502, 503])
async def test_anything_else_is_tried_again_with_the_same_id(home: House, receiver: Receiver, status: int) -> None:
    receiver.answer = lambda _: status if len(receiver.got) == 1 else 200
    async with running(door_to(home, door=webhook(receiver))) as door:
        await happen(home, 1)
        await receiver.until(1)
        await at_rest(home)
        (state,) = door.states
        assert state["pending"] == 1
        assert state["last_error"]
        await pass_by(home, 4.9)
        assert len(receiver.got) == 1
        await pass_by(home, 0.2)
        await at_rest(home)
        first, second = receiver.got
        assert (first.id, first.json) == (second.id, second.json)
        assert second.timestamp >= first.timestamp + 4
        assert door.states[0] == {"name": "door", "pending": 0, "last_error": None}


async def test_a_redirect_leads_nowhere(home: House, receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(307, {"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"})
    async with running(door_to(home, door=webhook(receiver))) as door:
        await happen(home, 1)
        await receiver.until(1)
        await at_rest(home)
        assert "redirect" in door.states[0]["last_error"]
        await pass_by(home, 60)
        assert {got.path for got in receiver.got} == {"/hook?x=secret"}


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "1800"}, 1800),
        ({"Retry-After": "Wed, 21 Oct 2015 07:58:00 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 1800),
        ({"Retry-After": "999999999"}, 86_400),
    ],
)
async def test_retry_after_is_honoured(
    home: House, receiver: Receiver, status: int, headers: dict[str, str], seconds: int
) -> None:
    receiver.answer = lambda _: Answer(status, headers) if len(receiver.got) == 1 else 200
    async with running(door_to(home, door=webhook(receiver))):
        await happen(home, 1)
        await receiver.until(1)
        await at_rest(home)
        await happen(home, 2)  # news do not shorten it
        await pass_by(home, seconds - 0.1)
        assert receiver.numbers() == [1]
        await pass_by(home, 0.2)
        await at_rest(home)
        assert receiver.numbers() == [1, 1, 2]


@pytest.mark.parametrize("value", ["soon", "-5", "0", "", "99999999999999999999", "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_a_retry_after_that_says_nothing_is_none(home: House, receiver: Receiver, value: str) -> None:
    receiver.answer = lambda _: Answer(429, {"Retry-After": value}) if len(receiver.got) == 1 else 200
    async with running(door_to(home, door=webhook(receiver))):
        await happen(home, 1)
        await receiver.until(1)
        await pass_by(home, 4.9)
        assert receiver.numbers() == [1]
        await pass_by(home, 0.2)
        await at_rest(home)
        assert receiver.numbers() == [1, 1]


async def test_gone_ends_it_until_the_next_start(home: House, receiver: Receiver) -> None:
    receiver.answer = lambda got: 500 if got.number == 1 else 410
    async with running(door_to(home, door=webhook(receiver))) as door:
        await happen(home, 1, 2)
        await receiver.until(2)
        while "410" not in str(door.states[0]["last_error"]):
            await table(home)
        assert (await table(home), door.states[0]["pending"]) == ([], 0)
        await happen(home, 3)
        assert await table(home) == []
    receiver.answer = lambda _: 200
    async with running(door_to(home, door=webhook(receiver))) as door:
        assert door.states[0]["last_error"] is None
        await happen(home, 4)
        await receiver.until(3)
    assert receiver.numbers() == [1, 2, 4]


async def table(home: House) -> list[tuple[str, int]]:
    return await home.journal.read(
        lambda db: [(row["hook"], row["event"]) for row in db.execute("SELECT hook, event FROM webhook_retry")]
    )


async def test_a_webhook_that_is_no_more_is_forgotten(home: House, receiver: Receiver) -> None:
    receiver.answer = lambda _: 500
    async with running(door_to(home, door=webhook(receiver), alarm=webhook(receiver))):
        await happen(home, 1)
        await receiver.until(2)
        while len(await table(home)) < 2:
            pass
    await home.hub.cursor("mqtt")
    door = door_to(home, alarm=webhook(receiver))
    await door.settle()
    assert await table(home) == [("alarm", 1)]
    cursors = await home.journal.read(lambda db: [row["door"] for row in db.execute("SELECT door FROM cursor")])
    assert sorted(cursors) == ["mqtt", "webhook:alarm"]


async def test_a_large_or_slow_answer_is_not_waited_for(
    home: House, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answer = lambda _: Answer(200, {}, b"x" * 5_000_000)
    async with running(door_to(home, door=webhook(receiver))) as door:
        await happen(home, 1, 2)
        await receiver.until(2)
        await at_rest(home)
        assert door.states[0]["pending"] == 0
        monkeypatch.setattr(sender, "ATTEMPT_TIME", 0.1)
    receiver.release.clear()
    async with running(door_to(home, door=webhook(receiver))) as door:
        await happen(home, 3)
        await at_rest(home)
        assert "no answer within" in door.states[0]["last_error"]
        receiver.release.set()


async def test_nothing_secret_is_logged(home: House, receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def answer(got: Got) -> int | Answer:
        assert got.json["data"]["from"] == "+31641600986"
        return Answer(500, {}, b"the answer's text")

    receiver.answer = answer
    async with running(door_to(home, door=webhook(receiver, events=["received"]))) as door:
        await receive(home)
        await receiver.until(1)
        await pass_by(home, 3600)
        await receiver.stop()
        await pass_by(home, 4 * 86_400)
        assert len(receiver.got) > 3
        said = "\n".join(record.getMessage() for record in caplog.records if "webhook" in record.name)
        assert "given up" in said
        said += str(door.states)
        for secret in ("31641600986", "How are you", "whsec_", "x=secret", "/hook", "the answer's text"):
            assert secret not in said
