"""mqtts: the broker is who it says, or it is not spoken to, and the reason is told in words."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from appliance.mqtt import MqttSettings
from appliance.mqtt.trouble import in_words
from tests.authority import DAY, NOW, Authority
from tests.mqtt.house import MOSQUITTO, House, Mosquitto, Time, free_port, mqtt_door, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def refusal(home: House, url: str, **wishes: Any) -> str:
    """What a door says that has tried once."""
    time = Time()
    async with opened(mqtt_door(home.hub, url, time=time, protocol="5", **wishes)) as door:
        await time.sleep_of(1)
        return door.last_error or ""


@pytest_asyncio.fixture
async def secure(tmp_path: Path, authority: Authority, request: pytest.FixtureRequest) -> AsyncIterator[Mosquitto]:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    wish: dict[str, Any] = {"host": "localhost", "more": ""} | getattr(request, "param", {})
    more = wish.pop("more")
    pem = authority.issue("broker", **wish)
    listener = f"certfile {pem}\nkeyfile {pem}\ncafile {authority.file}\n{more}"
    broker = Mosquitto(tmp_path / "broker", listener=listener, scheme="mqtts")
    await broker.start()
    yield broker
    await broker.stop()


@pytest.mark.asyncio
async def test_commands_and_events_flow_over_tls(home: House, secure: Mosquitto, authority: Authority) -> None:
    """Several octets of TLS hold many packets: none is left lying in the decrypted buffer."""
    async with opened(mqtt_door(home.hub, secure.url, ca=authority.file)) as door:
        await door.ready.wait()
        await home.hub.cursor("mqtt")
        link = door._link
        assert link is not None
        answers: list[str] = []
        everything = asyncio.Event()

        for number in range(100):  # to ourselves, by the broker
            payload = json.dumps({"to": "+447700900123", "text": f"{number}", "id": f"{number}"})
            link.publish("modemhub/send", payload, acked=lambda code: answers.append(f"{code}"))
        link.publish("modemhub/request/message/preview", "{}", acked=lambda _: everything.set())
        await everything.wait()
        told: list[str] = []
        seq = 0
        while len(told) < 100:
            await home.hub.wait_event(seq)
            for event in await home.hub.events(seq, limit=1000):
                seq = event.seq
                told.append(event.subject)
        assert answers == ["0"] * 100


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("secure", "says"),
    [
        ({"host": "somebody.else"}, "is not valid for 'localhost': if it is the right broker, set mqtt.server_name"),
        ({"end": NOW - DAY / 2}, "has expired"),
        ({"begin": NOW + DAY / 2}, "is not valid yet: is this machine's clock right?"),
    ],
    indirect=["secure"],
)
async def test_a_broker_with_a_wrong_certificate_is_not_spoken_to(
    home: House, secure: Mosquitto, authority: Authority, says: str
) -> None:
    assert says in await refusal(home, secure.url, ca=authority.file)


@pytest.mark.asyncio
@pytest.mark.parametrize("secure", [{"host": "somebody.else"}], indirect=True)
async def test_a_broker_goes_by_the_name_that_is_set(home: House, secure: Mosquitto, authority: Authority) -> None:
    async with opened(mqtt_door(home.hub, secure.url, ca=authority.file, server_name="somebody.else")) as door:
        await door.ready.wait()


@pytest.mark.asyncio
async def test_a_broker_whose_authority_is_unknown_is_not_spoken_to(
    home: House, secure: Mosquitto, tmp_path: Path
) -> None:
    assert "set mqtt.ca to the PEM file" in await refusal(home, secure.url)
    assert "set mqtt.ca to the PEM file" in await refusal(home, secure.url, ca=Authority(tmp_path, "another").file)


@pytest.mark.asyncio
@pytest.mark.parametrize("secure", [{"more": "require_certificate true"}], indirect=True)
async def test_a_certificate_of_our_own_is_shown_and_missed(
    home: House, secure: Mosquitto, authority: Authority, tmp_path: Path
) -> None:
    async with opened(mqtt_door(home.hub, secure.url, ca=authority.file, cert=authority.issue("hub"))) as door:
        await door.ready.wait()
    assert "set mqtt.cert and mqtt.key" in await refusal(home, secure.url, ca=authority.file)
    strange = Authority(tmp_path, "another").issue("stranger")
    assert "does not trust our own certificate" in await refusal(home, secure.url, ca=authority.file, cert=strange)
    late = authority.issue("late", end=NOW - DAY / 2)
    assert "our own certificate (mqtt.cert) has expired" in await refusal(
        home, secure.url, ca=authority.file, cert=late
    )


@pytest.mark.asyncio
async def test_files_that_cannot_be_used_are_named(home: House, authority: Authority, tmp_path: Path) -> None:
    url = f"mqtts://localhost:{free_port()}"
    missing, wrong = tmp_path / "missing.pem", tmp_path / "wrong.pem"
    wrong.write_text("what is this?")
    assert f"mqtt.ca: {missing}" in await refusal(home, url, ca=missing)
    assert f"mqtt.ca: {wrong}" in await refusal(home, url, ca=wrong)
    assert f"mqtt.cert: {missing}" in await refusal(home, url, cert=missing)
    assert "no certificate with its key" in await refusal(home, url, cert=authority.file)


@pytest.mark.asyncio
async def test_one_that_speaks_no_tls_and_one_that_is_not_there(home: House, mosquitto: Mosquitto) -> None:
    assert "is it mqtt:// there, or another port?" in await refusal(home, f"mqtts://localhost:{mosquitto.port}")
    port = free_port()
    assert await refusal(home, f"mqtt://127.0.0.1:{port}") == (
        f"nobody answers at 127.0.0.1:{port}: is the broker running, and listening there? (Connection refused)"
    )


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (socket.gaierror(-2, "Name or service not known"), '"broker.example" is not known'),
        (TimeoutError("timed out"), "no answer from broker.example:8883 in time"),
        (OSError(101, "Network is unreachable"), "Network is unreachable"),
        (ConnectionResetError(104, "Connection reset by peer"), "hangs up instead of speaking TLS"),
        (ssl.SSLError(1, "something new"), "TLS with broker.example:8883 failed"),
        (OSError(), "OSError"),
    ],
)
def test_what_no_test_can_bring_about_is_told_in_words_too(error: OSError, says: str) -> None:
    assert says in in_words(error, MqttSettings(url="mqtts://broker.example"))
