"""The receivers of the README, run as they stand there: they take what the hub signs, once, and nothing else."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from pydantic import SecretStr

import appliance.webhooks
from appliance.hub import Event
from appliance.webhooks.sender import Failed, Sender, Told
from appliance.webhooks.settings import WebhookSettings
from tests.mqtt.house import free_port
from tests.webhooks.receiver import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

README = Path(appliance.webhooks.__file__).with_name("README.md")

EVENT = Event(7, "received", "in_1", "2026-01-31T12:00:00.000Z", {"id": "in_1", "text": "Żółć 👍"})


def snippet(language: str) -> str:
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", README.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return str(code)


def settings(port: int, secret: str = SECRET) -> WebhookSettings:
    return WebhookSettings(url=f"http://127.0.0.1:{port}/", secret=SecretStr(secret), allow_private=True)


async def tell(port: int, *, wall: Callable[[], float], secret: str = SECRET) -> object:
    async with Sender(settings(port, secret), hub_id="abcd", wall=wall) as sender:
        return await sender.tell(EVENT)


@pytest.mark.asyncio
@pytest.mark.parametrize(("language", "program"), [("python", sys.executable), ("js", shutil.which("node"))])
async def test_a_receiver_of_the_readme(tmp_path: Path, language: str, program: str | None) -> None:
    if program is None:
        pytest.skip("node is not installed: apt install nodejs")
    file = tmp_path / ("receiver.py" if language == "python" else "receiver.mjs")
    file.write_text(snippet(language), encoding="utf-8")
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        program,
        file,
        env={**os.environ, "SECRET": SECRET, "PORT": str(port), "PYTHONIOENCODING": "utf-8"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        while isinstance(outcome := await tell(port, wall=time.time), Failed) and "no connection" in outcome.text:
            assert process.returncode is None
        assert outcome == Told()
        assert process.stdout is not None
        assert (await process.stdout.readline()).decode() == "sms.received Żółć 👍\n"
        assert await tell(port, wall=time.time) == Told()  # known, and answered as well
        assert await tell(port, wall=lambda: time.time() - 400) == Failed("it answers 401", down=False)
        assert await tell(port, wall=time.time, secret="another secret of some length") == Failed(
            "it answers 401", down=False
        )
        async with aiohttp.ClientSession() as session, session.post(f"http://127.0.0.1:{port}/", data=b"{}") as bare:
            assert bare.status == 401
    finally:
        process.terminate()
        rest, _ = await process.communicate()
    assert rest == b""  # told once, and nothing that was not verified
