"""A text goes out by every door and comes in, in every alphabet, and each is told as it happened: on a hub at peace."""

from __future__ import annotations

import base64
import itertools
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from hil.rig import Observer, Rig, mosquitto_path, rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hil.rig import Heard

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(mosquitto_path() is None, reason="mosquitto is not installed: apt install mosquitto"),
]

WAY = ["queued", "submitting", "submitted", "delivered"]

_numbers = itertools.count(700900300)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """One hub with one modem for all tests of this file; each uses a recipient or sender of its own."""
    async with rig(tmp_path_factory.mktemp("light")) as whole:
        yield whole


@pytest.fixture
def number() -> str:
    """A number of Ofcom's range for drama that no other test uses."""
    return f"+447{next(_numbers)}"


async def told(hub: Rig, number: str, *, count: int = 1) -> list[str]:
    """The ids of the messages to this number, once ``count`` of them have ended."""

    def ended(_: list[Heard]) -> list[str] | None:
        messages = {
            heard.json["id"]: heard.json["state"]
            for heard in hub.observer.below("message/")
            if heard.json["to"] == number
        }
        return list(messages) if len(messages) == count and set(messages.values()) <= {"delivered", "failed"} else None

    return await hub.observer.heard.until(ended, f"end of {count} messages to {number}")


def at_network(hub: Rig, number: str) -> list[str | None]:
    return [text for to, text in hub.modems.texts() if to == number]


async def test_a_json_command_by_mqtt(hub: Rig, number: str) -> None:
    await hub.observer.publish("send", {"to": number, "text": "by MQTT"})
    (message,) = await told(hub, number)
    assert hub.observer.states(message) == WAY
    assert at_network(hub, number) == ["by MQTT"]


async def test_a_plain_string_on_the_topic_of_a_number(hub: Rig, number: str) -> None:
    await hub.observer.publish(f"send/{number.removeprefix('+')}", "only a string")
    (message,) = await told(hub, number)
    assert hub.observer.states(message) == WAY
    assert at_network(hub, number) == ["only a string"]


async def test_a_post_by_http(hub: Rig, number: str) -> None:
    answer = await hub.api.call("POST", "/api/v1/messages", {"to": number, "text": "by HTTP"})
    assert answer.status == 202
    assert answer.json["state"] == "queued"
    assert answer.headers["Location"].endswith(answer.json["id"])
    assert await told(hub, number) == [answer.json["id"]]
    assert hub.observer.states(answer.json["id"]) == WAY
    assert at_network(hub, number) == ["by HTTP"]
    assert (await hub.api.get(answer.headers["Location"]))["state"] == "delivered"


async def test_a_post_can_wait_for_the_end(hub: Rig, number: str) -> None:
    message = await hub.api.send(to=number, text="waiting", wait=30)
    assert message["state"] == "delivered"


TEXTS = {
    "one segment": "x" * 160,
    "two segments": "y" * 161,
    "ten segments": "0123456789" * 153,
    "extension table": "{}[]~|\\^\N{EURO SIGN}",
    "an extension pair at the edge of a segment": "z" * 152 + "\N{EURO SIGN}" + "z" * 20,
    "line ends and an at sign": "@\r\n\n@",
    "turkish": "Şu an ığdır'da kırk iki ağaç göründü",
    "portuguese": "Não há razão; ações à mão: çãõê",
    "hindi": "नमस्ते, आप कैसे हैं?",
    "ucs-2 in two segments": "Żółć " * 20,
    "emoji": "\N{THUMBS UP SIGN}\U0001f3fd \N{WHITE HEAVY CHECK MARK}",
    "an emoji family at the edge of a segment": "ж" * 66 + "\U0001f468\u200d\U0001f469\u200d\U0001f467" + "ж" * 10,
    "quotes of an AT line": 'AT+CMGD=1,4\r"OK"\x1b',
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
async def test_every_text_arrives_as_it_was_written(hub: Rig, number: str, text: str) -> None:
    if "\x1b" in text:
        text = text.replace("\x1b", "")  # ESC is no character of SMS; in a dialogue it would abort a submit
    message = await hub.api.send(to=number, text=text)
    assert await hub.observer.until_state(message["id"], "delivered", "failed") == WAY
    assert at_network(hub, number) == [text]
    assert hub.modems.refused() == []


async def test_a_flash_message_is_of_class_0(hub: Rig, number: str) -> None:
    await hub.api.send(to=number, text="look up", flash=True)
    await told(hub, number)
    (sent,) = [sent for sent in hub.modems.sent() if sent.to == number]
    assert sent.entry["dcs"] & 0b1101_0011 == 0b0001_0000  # 23.038 §4: class meaning on, class 0


async def test_data_to_a_port(hub: Rig, number: str) -> None:
    data = bytes(range(40))
    await hub.api.send(to=number, data=base64.b64encode(data).decode(), port=5000)
    await told(hub, number)
    (sent,) = [sent for sent in hub.modems.sent() if sent.to == number]
    assert bytes.fromhex(sent.entry["data"]) == data
    assert sent.entry["udh"].lower() == "06050413880000"  # 23.040 §9.2.3.24.4: destination 5000, source 0


async def test_a_list_of_recipients_is_a_message_for_each(hub: Rig) -> None:
    numbers = [f"+447{next(_numbers)}" for _ in range(3)]
    await hub.observer.publish("send", {"to": numbers, "text": "to all"})
    for number in numbers:
        await told(hub, number)
        assert at_network(hub, number) == ["to all"]


async def test_the_same_id_is_the_same_message(hub: Rig, number: str) -> None:
    command = {"to": number, "text": "once", "id": f"key-{number}"}
    start = len(hub.observer.heard.items)
    for n in range(3):
        await hub.observer.publish("send", {**command, "transaction": n})
    await hub.observer.heard.until(lambda _: len(hub.observer.on("response", start=start)) >= 3, "three answers")
    answers = [heard.json for heard in hub.observer.on("response", start=start)]
    assert {answer["status"] for answer in answers} == {"ok"}
    assert len({answer["id"] for answer in answers}) == 1
    await told(hub, number)
    assert at_network(hub, number) == ["once"]

    conflict = await hub.api.call("POST", "/api/v1/messages", {"to": number, "text": "a"}, Idempotency_Key=number)
    assert conflict.status == 202
    conflict = await hub.api.call("POST", "/api/v1/messages", {"to": number, "text": "b"}, Idempotency_Key=number)
    assert (conflict.status, conflict.json["code"]) == (409, "idempotency_conflict")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({"to": "+49301234567", "text": "abroad"}, "destination_not_allowed"),
        ({"to": "+447700900299"}, "invalid"),
        ({"to": "+447700900299", "text": "x", "colour": "red"}, "invalid"),
        ({"to": "+447700900299", "text": "ż", "encoding": "gsm7"}, "not_encodable"),
    ],
)
async def test_a_command_that_cannot_be_is_refused_on_both_doors(hub: Rig, command: dict[str, Any], code: str) -> None:
    start = len(hub.observer.heard.items)
    await hub.observer.publish("send", {**command, "transaction": f"t-{code}"})
    answer = (await hub.observer.until_heard("response", start=start)).json
    assert (answer["status"], answer["error"]["code"]) == ("error", code)
    refused = await hub.api.call("POST", "/api/v1/messages", command)
    assert refused.status in {400, 403, 422}
    assert refused.headers["Content-Type"].startswith("application/problem+json")
    assert refused.json["code"] == code
    assert at_network(hub, command["to"]) == []


async def test_a_retained_command_is_refused_and_reported(hub: Rig, number: str) -> None:
    start = len(hub.observer.heard.items)
    topic = f"send/{number.removeprefix('+')}"
    await hub.observer.publish(topic, "retained", retain=True)
    await hub.observer.publish(topic, "", retain=True)
    # A live PUBLISH reaches existing subscribers with RETAIN cleared unless they ask for it as published.
    answer = (await hub.observer.until_heard("response", start=start)).json
    assert (answer["status"], answer["error"]["code"]) == ("error", "retained")
    assert at_network(hub, number) == []


async def test_the_answer_goes_to_the_response_topic_with_its_correlation(hub: Rig, number: str) -> None:
    topic, correlation = "elsewhere/answers", b"\x00\xff-7"
    command = {"to": number, "text": "asked"}
    await hub.observer.publish("send", command, response_topic=topic, correlation=correlation)
    (answer,) = await hub.observer.heard.until(lambda heard: [each for each in heard if each.topic == topic], "answer")
    assert (answer.json["status"], answer.correlation) == ("ok", correlation)
    await told(hub, number)


async def test_an_expired_command_is_answered_and_never_sent(hub: Rig, number: str) -> None:
    start = len(hub.observer.heard.items)
    await hub.observer.publish("send", {"to": number, "text": "too late", "ttl": 0})
    answer = (await hub.observer.until_heard("response", start=start)).json
    assert answer["status"] == "error"
    assert at_network(hub, number) == []


INCOMING = {
    "one segment": "hello hub",
    "three segments": "abcdefghij" * 40,
    "ucs-2": "Grüße aus Łódź",
    "emoji": "\N{THUMBS UP SIGN}\U0001f3fd",
    "turkish": "ığdır'da şu ağaç",
    "looks like an answer": '\r\nOK\r\n+CMTI: "SM",1\r\n> ',
}


@pytest.mark.parametrize("text", INCOMING.values(), ids=INCOMING.keys())
async def test_an_incoming_text_is_published_and_kept(hub: Rig, number: str, text: str) -> None:
    await hub.modems.deliver(hub.modems.all[0], text, sender=number)

    def heard(_: list[Heard]) -> list[dict[str, Any]]:
        return [message for message in hub.observer.received() if message["from"] == number]

    (message,) = await hub.observer.heard.until(heard, f"a text from {number}")
    assert message["text"] == text
    assert message["complete"] is True
    assert message["modem"] == hub.modems.all[0].imei
    assert message["sim"] == hub.modems.all[0].imsi
    (kept,) = [item for item in await hub.api.all_of("/api/v1/inbox", cursor="since_seq") if item["from"] == number]
    assert (kept["id"], kept["seq"], kept["text"]) == (message["id"], message["seq"], text)


async def test_parts_that_come_out_of_order_and_twice_are_one_text(hub: Rig, number: str) -> None:
    text = "".join(f"part {n:03} " for n in range(60))
    await hub.modems.deliver(hub.modems.all[0], text, sender=number, order=[3, 1, 2, 4], duplicate=[2])
    await hub.observer.heard.until(
        lambda _: [message for message in hub.observer.received() if message["from"] == number], f"a text from {number}"
    )
    (kept,) = [item for item in await hub.api.all_of("/api/v1/inbox", cursor="since_seq") if item["from"] == number]
    assert (kept["text"], kept["segments"], kept["complete"]) == (text, 4, True)


async def test_a_broken_pdu_is_shown_as_undecodable_and_the_next_text_is_read(hub: Rig, number: str) -> None:
    start = len(hub.observer.heard.items)
    await hub.modems.do("deliver", imsi=hub.modems.all[0].imsi, **{"from": number}, tpdu="04")
    await hub.modems.deliver(hub.modems.all[0], "after the broken one", sender=number)
    await hub.observer.heard.until(lambda _: len(hub.observer.received(start=start)) >= 2, "two received messages")
    broken, whole = hub.observer.received(start=start)
    assert set(broken["undecodable"]) >= {"field", "offset", "detail"}
    assert whole["text"] == "after the broken one"


async def test_a_newcomer_finds_everything_retained(hub: Rig) -> None:
    modem = hub.modems.all[0]
    topic = f"modem/{modem.imei}/state"
    # a modem that has just become ready learns its operator's name a moment later, and tells its state again
    await hub.observer.heard.until(
        lambda _: [heard for heard in hub.observer.on(topic) if heard.json["operator"] is not None], "the operator"
    )
    async with Observer(hub.broker.port, name="newcomer") as newcomer:
        status = await newcomer.until_heard("status")
        info = await newcomer.until_heard("info")
        availability = await newcomer.until_heard(f"modem/{modem.imei}/availability")
        state = await newcomer.until_heard(topic)
    assert all(heard.retain for heard in (status, info, availability, state))
    assert (status.payload, availability.payload) == (b"online", b"online")
    assert (state.json["state"], state.json["sim"], state.json["operator"]) == ("ready", modem.imsi, "Emu Mobile")
    assert "hub_id" in info.json
