"""The first start of a hub that nobody owns, over TLS: as its owner meets it."""

from __future__ import annotations

import hashlib
import re
import ssl
import stat
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from hil.rig import Hub

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio


async def ask(hub: Hub, method: str, path: str, body: Any = None, *, token: str | None = None) -> tuple[int, Any]:
    """One request by who has only the certificate that lies beside the store."""
    trust = ssl.create_default_context(cafile=str(hub.directory / "tls-certificate.pem"))
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    address = hub.address.replace("http://", "https://")
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, address + path, json=body, headers=headers, ssl=trust) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


def claim_of(hub: Hub) -> str:
    found = re.search(r"^mhc_\S+$", (hub.directory / "CLAIM.txt").read_text("ascii"), re.MULTILINE)
    assert found is not None
    return found[0]


async def test_a_hub_belongs_to_who_has_its_file(tmp_path: Path) -> None:
    hub = Hub(tmp_path / "hub", modems=[], mqtt=None, settings={"http": {"tls": True}})
    hub.token = "none yet"
    file = hub.directory / "CLAIM.txt"
    seen = []
    for _ in range(2):  # a restart leaves it as it is
        async with hub:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            seen.append((claim_of(hub), (hub.directory / "tls.pem").read_bytes()))
            assert (await ask(hub, "GET", "/api/v1/claim")) == (200, {"claimed": False})
            status, problem = await ask(hub, "GET", "/api/v1/status")
            assert (status, problem["code"]) == (403, "unclaimed")
            assert str(file) in problem["detail"]
    assert seen[0] == seen[1]
    async with hub:
        status, made = await ask(hub, "POST", "/api/v1/claim", {"token": claim_of(hub), "name": "me"})
        assert (status, made["scopes"]) == (201, ["admin"])
        assert not file.exists()
        status, told = await ask(hub, "GET", "/api/v1/status", token=made["token"])
        der = ssl.PEM_cert_to_DER_cert((hub.directory / "tls-certificate.pem").read_text("ascii"))
        assert told["tls"]["fingerprint"].replace(":", "").lower() == hashlib.sha256(der).hexdigest()
        assert told["tls"]["fingerprint"] in hub.said()
        status, listed = await ask(hub, "GET", "/api/v1/settings", token=made["token"])
        (tls,) = [each for each in listed["settings"] if each["key"] == "http.tls"]
        assert (tls["value"], tls["source"]) == (True, "file")
    async with hub:
        assert not file.exists()
        assert (await ask(hub, "GET", "/api/v1/me", token=made["token"]))[0] == 200
        assert (await ask(hub, "GET", "/api/v1/me"))[1]["code"] == "unauthorized"
    assert not [secret for secret in (seen[0][0], made["token"]) if secret in hub.said()]


async def test_a_token_of_the_command_line_makes_an_owner_too_also_while_it_runs(tmp_path: Path) -> None:
    hub = Hub(tmp_path / "hub", modems=[], mqtt=None, settings={"http": {"tls": True}})
    hub.token = "none yet"
    async with hub:
        claim = claim_of(hub)
        token = await hub.make_token("me", "admin")
        assert not (hub.directory / "CLAIM.txt").exists()
        assert (await ask(hub, "GET", "/api/v1/me", token=token))[0] == 200
        status, problem = await ask(hub, "POST", "/api/v1/claim", {"token": claim, "name": "other"})
        assert (status, problem["code"]) == (409, "already_claimed")
