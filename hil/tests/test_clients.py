"""Programs that know nothing of the hub get a text out: the network's ledger says which, and how often.

mosquitto-clients and Apprise run themselves. Tasmota and Grafana are imitated to the octets that matter: Tasmota's
client (PubSubClient) speaks MQTT 3.1.1 at QoS 0 and reads no answer; Grafana's contact point connects anew for each
notification, with MQTT 3.1.1, a clean session and a QoS of 0, 1 or 2, and publishes either what its message template
gives (text) or one JSON object of its own (json), in which only ``message`` comes from the template. The facts are from
Grafana's documentation of the contact point and from its notifier's source.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from hil.rig import Child, Rig, mosquitto_path, rig
from hil.rig.mqtt import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hil.rig import Heard

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(mosquitto_path() is None, reason="mosquitto is not installed: apt install mosquitto"),
]

ENDED = {"delivered", "failed", "undelivered", "expired", "in_doubt"}

ANNA, BEN = "+447700900291", "+447700900292"

_numbers = itertools.count(700900300)

clients = pytest.mark.skipif(
    shutil.which("mosquitto_pub") is None, reason="mosquitto_pub is not installed: apt install mosquitto-clients"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """One hub with one modem for all; each test has a recipient of its own."""
    contacts = {"anna": ANNA, "watch": ["anna", BEN]}
    async with rig(tmp_path_factory.mktemp("clients"), settings={"contacts": contacts}) as whole:
        yield whole


@pytest.fixture
def number() -> str:
    """A number of Ofcom's range for drama that no other test uses."""
    return f"+447{next(_numbers)}"


async def arrived(hub: Rig, number: str, *, count: int = 1) -> list[str | None]:
    """What the network has for this number, once so many messages to it have ended; all were delivered."""

    def ended(_: list[Heard]) -> dict[str, str] | None:
        told = [heard.json for heard in hub.observer.below("message/")]
        states = {message["id"]: message["state"] for message in told if message["to"] == number}
        return states if len(states) >= count and set(states.values()) <= ENDED else None

    states = await hub.observer.heard.until(ended, f"end of {count} messages to {number}")
    assert list(states.values()) == ["delivered"] * count
    return [text for to, text in hub.modems.texts() if to == number]


def topic(number: str) -> str:
    return f"modemhub/send/{number.removeprefix('+')}"


async def program(hub: Rig, *argv: str | Path) -> list[str]:
    """Run a program that must succeed; what it printed."""
    child = await Child.start(str(argv[0]), list(argv), log=hub.hub.directory / "programs.log")
    assert (await child.ended(), child.lines.items) == (0, child.lines.items)
    return child.lines.items


# ---------------------------------------------------------------- mosquitto-clients


@clients
@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
@pytest.mark.parametrize("qos", ["0", "1", "2"])
@pytest.mark.parametrize("form", ["json", "string"])
async def test_mosquitto_pub(hub: Rig, number: str, version: str, qos: str, form: str) -> None:
    text = f"{form} by {version} at {qos}, äöü €"
    to, payload = (
        ("modemhub/send", json.dumps({"to": number, "text": text})) if form == "json" else (topic(number), text)
    )
    port = str(hub.broker.port)
    await program(hub, "mosquitto_pub", "-p", port, "-V", version, "-q", qos, "-t", to, "-m", payload)
    assert await arrived(hub, number) == [text]


@clients
async def test_mosquitto_pub_of_a_file_line_by_line(hub: Rig, number: str, tmp_path: Path) -> None:
    lines = [json.dumps({"to": number, "text": f"line {n}", "id": f"{number}-{n}"}) for n in range(5)]
    script = tmp_path / "send"
    script.write_text(f"mosquitto_pub -p {hub.broker.port} -q 1 -t modemhub/send -l <<'EOF'\n" + "\n".join(lines))
    await program(hub, "sh", script)
    assert await arrived(hub, number, count=5) == [f"line {n}" for n in range(5)]


@clients
async def test_mosquitto_rr_gets_its_answer(hub: Rig, number: str) -> None:
    command = json.dumps({"to": number, "text": "asked", "transaction": "t-1"})
    arguments = ("-q", "1", "-t", "modemhub/send", "-e", "modemhub/response/rr", "-W", "20", "-m", command)
    (answer,) = await program(hub, "mosquitto_rr", "-p", str(hub.broker.port), *arguments)
    told = json.loads(answer)
    assert (told["status"], told["transaction"]) == ("ok", "t-1")
    assert await arrived(hub, number) == ["asked"]
    assert hub.observer.states(told["id"])[-1] == "delivered"


@clients
async def test_mosquitto_sub_prints_what_comes_in_and_how_it_ends(hub: Rig, number: str) -> None:
    session = ("-p", str(hub.broker.port), "-c", "-i", "watcher", "-q", "1", "-v")
    topics = ("-t", "modemhub/received", "-t", "modemhub/message/+")
    await program(hub, "mosquitto_sub", *session, *topics, "-E")  # subscribes and goes; the session stays
    await hub.modems.deliver(hub.modems.all[0], "knock ünd enter", sender=number)
    await hub.observer.publish("send", {"to": number, "text": "come in"})
    assert await arrived(hub, number) == ["come in"]
    printed = [
        line.split(" ", 1) for line in await program(hub, "mosquitto_sub", *session, *topics, "-C", "5", "-W", "20")
    ]
    told = [(topic, json.loads(body)) for topic, body in printed]
    assert [body["text"] for topic, body in told if topic == "modemhub/received"] == ["knock ünd enter"]
    states = [body["state"] for topic, body in told if topic.startswith("modemhub/message/") and body["to"] == number]
    assert states == ["queued", "submitting", "submitted", "delivered"]


# ---------------------------------------------------------------- devices that can only publish a string


async def test_a_switch_that_publishes_a_string(hub: Rig, number: str) -> None:
    """As a Tasmota rule does: ``ON Power1#State=1 DO Publish modemhub/send/447… the pump runs ENDON``."""
    async with Client(hub.broker.port, "DVES_1A2B3C", protocol="3.1.1") as tasmota:
        await tasmota.publish(topic(number), "the pump runs", qos=0)
    assert await arrived(hub, number) == ["the pump runs"]


@pytest.mark.parametrize("prefix", ["0", "0044"])
async def test_a_switch_with_a_number_as_people_write_it(hub: Rig, number: str, prefix: str) -> None:
    async with Client(hub.broker.port, "DVES_1A2B3C", protocol="3.1.1") as tasmota:
        await tasmota.publish(f"modemhub/send/{prefix}{number.removeprefix('+44')}", f"by {prefix}", qos=0)
    assert await arrived(hub, number) == [f"by {prefix}"]


async def test_a_switch_that_knows_only_a_name(hub: Rig) -> None:
    """A contact or a group: who that is stands in the hub's settings, not in twenty devices."""
    async with Client(hub.broker.port, "DVES_1A2B3C", protocol="3.1.1") as tasmota:
        await tasmota.publish("modemhub/send/anna", "leak in the cellar", qos=0)
        await tasmota.publish("modemhub/send/watch", "leak in the attic", qos=0)
    assert sorted(filter(None, await arrived(hub, ANNA, count=2))) == ["leak in the attic", "leak in the cellar"]
    assert await arrived(hub, BEN) == ["leak in the attic"]


async def test_a_device_that_is_off_once_it_has_published(hub: Rig, number: str) -> None:
    """The octets of MQTT 3.1.1 by hand: CONNECT, PUBLISH at QoS 0, and the supply is gone: no DISCONNECT."""

    def field(text: str) -> bytes:
        return len(text).to_bytes(2, "big") + text.encode()

    def packet(kind: int, body: bytes) -> bytes:
        assert len(body) < 128
        return bytes((kind, len(body))) + body

    reader, writer = await asyncio.open_connection("127.0.0.1", hub.broker.port)
    writer.write(packet(0x10, field("MQTT") + b"\x04\x02\x00\x0a" + field("doorbell")))
    assert await reader.readexactly(4) == b"\x20\x02\x00\x00"
    writer.write(packet(0x30, field(topic(number)) + b"someone is at the door"))
    await writer.drain()
    writer.transport.abort()
    assert await arrived(hub, number) == ["someone is at the door"]


# ---------------------------------------------------------------- Grafana's MQTT contact point


async def grafana(hub: Rig, to: str, payload: str, *, qos: int) -> None:
    """One notification: a connection of its own, and what its notifier publishes."""
    async with Client(hub.broker.port, "grafana_1234567890", protocol="3.1.1") as notifier:
        await notifier.publish(to, payload, qos=qos)


MESSAGE = """**Firing**

Value: B=44.2, C=1
Labels:
 - alertname = High memory usage
Annotations:
 - summary = zone us-1"""
"""As the contact point's default template words it."""


def grafana_json() -> str:
    """The message format ``json``, with the fields of the documentation."""
    alert = {
        "status": "firing",
        "labels": {"alertname": "High memory usage", "zone": "us-1"},
        "annotations": {"summary": "zone us-1"},
        "startsAt": "2026-11-26T09:51:03.157076+02:00",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "https://grafana.example/alerting/1afz29v7z/edit",
        "fingerprint": "c6eadffa33fcdf37",
        "silenceURL": "https://grafana.example/alerting/silence/new",
        "dashboardURL": "",
        "panelURL": "",
        "values": {"B": 44.2, "C": 1},
    }
    whole: dict[str, Any] = {"receiver": "texts", "status": "firing", "orgId": 1, "alerts": [alert], "groupLabels": {}}
    whole |= {"commonLabels": {}, "commonAnnotations": {}, "externalURL": "https://grafana.example/", "version": "1"}
    return json.dumps(whole | {"groupKey": "{}:{}", "message": MESSAGE}, separators=(",", ":"))


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_grafana_in_its_text_format(hub: Rig, number: str, qos: int) -> None:
    await grafana(hub, topic(number), MESSAGE, qos=qos)
    assert await arrived(hub, number) == [MESSAGE]


async def test_grafana_in_its_text_format_with_a_template_of_a_command(hub: Rig, number: str) -> None:
    """The text format is whatever the template gives, so also a command in JSON."""
    command = {"to": number, "text": "High memory usage in us-1", "priority": 1, "ttl": 3600}
    await grafana(hub, "modemhub/send", json.dumps(command), qos=1)
    assert await arrived(hub, number) == [command["text"]]


async def test_grafana_in_its_json_format_is_sent_as_it_is(hub: Rig, number: str) -> None:
    """On a number's topic the payload is the text, whatever it looks like: the text format is the one to choose."""
    await grafana(hub, topic(number), grafana_json(), qos=1)
    assert await arrived(hub, number) == [grafana_json()]


async def test_grafana_in_its_json_format_on_the_topic_of_commands_is_refused_in_words(hub: Rig) -> None:
    start = len(hub.observer.heard.items)
    await grafana(hub, "modemhub/send", grafana_json(), qos=1)
    answer = (await hub.observer.until_heard("response", start=start)).json
    assert (answer["status"], answer["error"]["code"], answer["error"]["pointer"]) == ("error", "invalid", "/to")


# ---------------------------------------------------------------- Apprise


@pytest.mark.parametrize("options", ["", "?qos=1", "?qos=2&version=v3.1"])
async def test_apprise_by_mqtt_3(hub: Rig, number: str, options: str) -> None:
    apprise = Path(sys.executable).with_name("apprise")
    if not apprise.exists():
        pytest.skip("apprise is not in this environment: make setup")
    url = f"mqtt://127.0.0.1:{hub.broker.port}/{topic(number)}{options}"
    await program(hub, apprise, "-b", f"Disk full {options}!", url)
    assert await arrived(hub, number) == [f"Disk full {options}!"]


async def test_apprise_to_two_numbers_with_a_title(hub: Rig, number: str) -> None:
    apprise = Path(sys.executable).with_name("apprise")
    if not apprise.exists():
        pytest.skip("apprise is not in this environment: make setup")
    other = f"+447{next(_numbers)}"
    url = f"mqtt://127.0.0.1:{hub.broker.port}/{topic(number)},{topic(other)}?qos=1"
    await program(hub, apprise, "-t", "Backup", "-b", "failed", url)
    for each in (number, other):
        (text,) = await arrived(hub, each)
        assert text is not None
        assert text.split() == ["Backup", "failed"]


# ---------------------------------------------------------------- programs


async def test_a_client_that_knows_only_mqtt_311(hub: Rig, number: str) -> None:
    """It has no Response Topic: it finds its answer by ``transaction``, and what follows by the id in it."""
    async with Client(hub.broker.port, "old", protocol="3.1.1") as old:
        assert await old.subscribe("modemhub/response", "modemhub/message/+", "modemhub/received") == [1, 1, 1]
        command = {"to": number, "text": "as in 2014", "id": f"old-{number}"}
        for n in range(2):  # not sure that it was taken, it asks again
            await old.publish("modemhub/send", {**command, "transaction": n})
        await old.heard.until(lambda heard: sum(one.topic == "modemhub/response" for one in heard) == 2, "two answers")
        answers = [one.json for one in old.heard.items if one.topic == "modemhub/response"]
        assert [(answer["status"], answer["transaction"]) for answer in answers] == [("ok", 0), ("ok", 1)]
        (message,) = {answer["id"] for answer in answers}
        await old.heard.until(
            lambda heard: any(
                one.topic == f"modemhub/message/{message}" and one.json["state"] == "delivered" for one in heard
            ),
            "delivered",
        )
        await hub.modems.deliver(hub.modems.all[0], "an answer", sender=number)
        assert (await old.until_heard("modemhub/received")).json["text"] == "an answer"
    assert await arrived(hub, number) == ["as in 2014"]


async def test_a_client_of_mqtt_5_has_answer_and_deadline(hub: Rig, number: str) -> None:
    answers = "modemhub/response/five"
    async with Client(hub.broker.port, "five") as five:
        await five.subscribe(answers)
        for n in range(3):
            command = {"to": number, "text": f"five {n}"}
            correlation = f"{number} {n}".encode()
            assert (
                await five.publish(
                    "modemhub/send", command, expiry=600, response_topic=answers, correlation=correlation
                )
                == 0
            )
        await five.heard.until(lambda heard: len(heard) == 3, "three answers")
    heard = five.heard.items
    assert [each.correlation for each in heard] == [f"{number} {n}".encode() for n in range(3)]
    assert await arrived(hub, number, count=3) == [f"five {n}" for n in range(3)]
    for each in heard:
        message = await hub.api.get(f"/api/v1/messages/{each.json['id']}")
        accepted, expires = (datetime.fromisoformat(message[key]) for key in ("accepted_at", "expires_at"))
        assert 590 < (expires - accepted).total_seconds() <= 600
    # The network is told too: it must not try for days what is of no use after ten minutes.
    assert [sent.entry["vp"]["seconds"] for sent in hub.modems.sent() if sent.to == number] == [600] * 3


async def test_a_command_whose_expiry_came_while_the_hub_was_away_is_not_sent(hub: Rig, number: str) -> None:
    await hub.hub.stop()
    async with Client(hub.broker.port, "late") as late:
        await late.publish("modemhub/send", {"to": number, "text": "of no use"}, expiry=1)
        await late.publish("modemhub/send", {"to": number, "text": "of use"}, expiry=3600)
        # The broker's own clock has to pass the second; nothing tells that it has.
        await asyncio.sleep(2.5)
        await late.publish("modemhub/send", {"to": number, "text": "last"})
        await hub.restart_hub()
    assert await arrived(hub, number, count=2) == ["of use", "last"]
