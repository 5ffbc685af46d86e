"""mqtts: the broker is who it says, or it is not spoken to."""

from __future__ import annotations

import asyncio
import json
import shutil
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.mqtt.house import MOSQUITTO, House, Mosquitto, Time, mqtt_door, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio


async def make_certificate(directory: Path, *, name: str) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed: apt install openssl")
    wish = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name}"
    files = [
        "-addext",
        f"subjectAltName=DNS:{name}",
        "-keyout",
        f"{directory}/key.pem",
        "-out",
        f"{directory}/cert.pem",
    ]
    process = await asyncio.create_subprocess_exec(openssl, *wish.split(), *files, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode == 0, said


@pytest_asyncio.fixture(params=["localhost"])
async def secure(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Mosquitto]:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    directory = tmp_path / "broker"
    directory.mkdir()
    await make_certificate(directory, name=request.param)
    listener = f"certfile {directory}/cert.pem\nkeyfile {directory}/key.pem"
    broker = Mosquitto(directory, listener=listener, scheme="mqtts")
    await broker.start()
    yield broker
    await broker.stop()


async def test_commands_and_events_flow_over_tls(home: House, secure: Mosquitto) -> None:
    """Several octets of TLS hold many packets: none is left lying in the decrypted buffer."""
    ca = secure.directory / "cert.pem"
    async with opened(mqtt_door(home.hub, secure.url, ca=ca)) as door:
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


@pytest.mark.parametrize("secure", ["somebody.else"], indirect=True)
async def test_a_broker_with_another_name_in_its_certificate_is_not_spoken_to(home: House, secure: Mosquitto) -> None:
    time = Time()
    async with opened(mqtt_door(home.hub, secure.url, time=time, ca=secure.directory / "cert.pem")) as door:
        await time.sleep_of(1)
        assert "not valid for 'localhost'" in (door.last_error or "")


async def test_a_broker_whose_authority_is_unknown_is_not_spoken_to(home: House, secure: Mosquitto) -> None:
    time = Time()
    async with opened(mqtt_door(home.hub, secure.url, time=time)) as door:
        await time.sleep_of(1)
        assert "self-signed certificate" in (door.last_error or "").replace("self signed", "self-signed")
