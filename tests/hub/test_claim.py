"""The claim of a hub that nobody owns: one token in one file, until somebody has it."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import stat
from typing import TYPE_CHECKING

import pytest

from appliance.errors import Rejected
from appliance.hub import Claim
from appliance.store import tokens
from tests.mqtt.house import house

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mqtt.house import House

pytestmark = pytest.mark.asyncio

ADDRESS = "https://hub.local:8080/"


def written(path: Path) -> str:
    found = re.search(r"^mhc_\S+$", (path / "CLAIM.txt").read_text("ascii"), re.MULTILINE)
    assert found is not None
    return found[0]


async def opened(home: House, path: Path, shown: list[str] | None = None) -> Claim:
    claim = Claim(home.journal, path / "CLAIM.txt", show=None if shown is None else shown.append)
    await claim.prepare()
    await claim.publish(ADDRESS, fingerprint="AB:CD")
    return claim


async def test_a_fresh_hub_tells_its_claim_in_a_file_for_its_user_alone(tmp_path: Path) -> None:
    shown: list[str] = []
    async with house(tmp_path) as home:
        claim = await opened(home, tmp_path, shown)
        assert await claim.is_open()
        text = (tmp_path / "CLAIM.txt").read_text("ascii")
        assert stat.S_IMODE((tmp_path / "CLAIM.txt").stat().st_mode) == 0o600
        assert ADDRESS in text
        assert "AB:CD" in text
        assert shown == [text]
        stored = (tmp_path / "hub.db").read_bytes() + (tmp_path / "hub.db-wal").read_bytes()
        assert written(tmp_path).encode() not in stored


async def test_who_brings_it_is_the_owner_once(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        claim = await opened(home, tmp_path)
        token = written(tmp_path)
        for wrong in ("", token[:-1], token + "x"):
            with pytest.raises(Rejected, match="forbidden"):
                await claim.take(wrong, name="me")
        made = await claim.take(token, name="me")
        client = await home.hub.clients.authenticate(made)
        assert client is not None
        assert (client.name, client.scopes) == ("me", frozenset({"admin"}))
        assert not (tmp_path / "CLAIM.txt").exists()
        assert not await claim.is_open()
        with pytest.raises(Rejected, match="already_claimed"):
            await claim.take(token, name="other")


async def test_it_survives_a_restart_and_a_lost_file_is_a_new_claim(tmp_path: Path) -> None:
    seen: list[str] = []
    for lost in (False, False, True):
        async with house(tmp_path) as home:
            if lost:
                (tmp_path / "CLAIM.txt").unlink()
            await opened(home, tmp_path)
            seen.append(written(tmp_path))
    assert seen[0] == seen[1] != seen[2]
    async with house(tmp_path) as home:
        claim = await opened(home, tmp_path)
        with pytest.raises(Rejected, match="forbidden"):
            await claim.take(seen[0], name="me")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"mhc_short\n", b"mhc_" + b"x" * 32 + b"\n"])
async def test_a_file_that_is_not_the_claims_is_made_anew(tmp_path: Path, content: bytes) -> None:
    async with house(tmp_path) as home:
        await opened(home, tmp_path)
        (tmp_path / "CLAIM.txt").write_bytes(content)
        claim = await opened(home, tmp_path)
        assert await claim.take(written(tmp_path), name="me")


async def test_a_token_of_the_command_line_ends_it_at_once_and_for_ever(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        claim = await opened(home, tmp_path)
        await home.token("me", "admin")
        assert not await claim.is_open()
        assert not (tmp_path / "CLAIM.txt").exists()
        await home.journal.write(tokens.revoke, name="me")
        claim = await opened(home, tmp_path)
        assert not await claim.is_open()
        assert not (tmp_path / "CLAIM.txt").exists()


async def test_a_passing_token_of_a_command_does_not_end_it(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        claim = await opened(home, tmp_path)
        await home.token(f"{tokens.PASSING}1234", "send")
        assert await claim.is_open()
        assert await claim.take(written(tmp_path), name="me")


async def test_a_name_that_is_taken_by_a_passing_token_leaves_the_claim_open(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        claim = await opened(home, tmp_path)
        digest = hashlib.sha256(b"x").digest()
        await home.journal.write(tokens.create, name=f"{tokens.PASSING}1", scopes=["send"], digest=digest)
        with pytest.raises(Rejected, match="token_exists"):
            await claim.take(written(tmp_path), name=f"{tokens.PASSING}1")
        assert await claim.is_open()


async def test_a_file_that_cannot_be_written_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with house(tmp_path) as home:
        claim = Claim(home.journal, tmp_path / "absent" / "CLAIM.txt")
        await claim.prepare()
        await claim.publish(ADDRESS)
        assert await claim.is_open()
        assert "nobody can claim this hub" in caplog.text
        assert "mhc_" not in caplog.text


def full(moment: str, verb: str) -> None:
    if (moment, verb) == ("before", "begin"):
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error


async def test_a_full_disk_ends_nothing_either(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with house(tmp_path, probe=full) as home:
        claim = Claim(home.journal, tmp_path / "CLAIM.txt")
        await claim.prepare()
        await claim.publish(ADDRESS)
        assert claim._token is None
        assert await claim.is_open()
        assert "its disk is full" in caplog.text
        assert not (tmp_path / "CLAIM.txt").exists()
        assert not await home.hub.clients.tokens()


async def test_an_ordinary_start_writes_nothing(tmp_path: Path) -> None:
    verbs: list[str] = []
    for owned in (False, True):
        async with house(tmp_path, probe=lambda _, verb: verbs.append(verb)) as home:
            await opened(home, tmp_path)
            if owned:
                await home.token("me", "admin")
            verbs.clear()
            await opened(home, tmp_path)
            assert "begin" not in verbs
