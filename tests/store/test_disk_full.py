"""A full disk refuses what is new, keeps what arrives by the ballast, and recovers by itself (promises S2, R1)."""

from __future__ import annotations

import os
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from appliance.errors import StoreFull
from appliance.store import Journal, inbound, outbound, retention
from appliance.types import Imei, MessageId
from tests.store.bench import ALICE, SIM, Machine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

BALLAST = 4 * 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(tmp_path)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def fill(disk: Path, *, leave: int = 512 * 1024) -> Path:
    filler = disk / "filler"
    free = os.statvfs(disk)
    fd = os.open(filler, os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(fd, 0, free.f_bavail * free.f_frsize - leave)
    os.close(fd)
    return filler


def message(number: int) -> outbound.NewMessage:
    return outbound.NewMessage(
        id=MessageId(f"out_{number}"), client="c", recipient=ALICE, imsi=SIM, segments=(b"x" * 150,), ttl_ms=10**9
    )


async def accept(journal: Journal, number: int) -> None:
    await journal.write(outbound.accept, [message(number)], client_cap=None, sim_cap=10**9)


async def arrive(journal: Journal, number: int, *, octets: int = 160) -> None:
    stored = await journal.write(
        inbound.commit_pdu,
        imsi=SIM,
        imei=Imei("490154203237518"),
        iccid=None,
        raw=f"{number:08X}" * (octets // 4),
        storage="SM",
        index=1,
    )
    await journal.write(
        inbound.deliver,
        stored.id,
        part=inbound.ReceivedPart(sender=ALICE, encoding="gsm7", sent_at=None),
        assemble=lambda raw: inbound.Assembled(text=raw[0], data=None, missing=(), total=1),
    )
    await journal.write(inbound.removed, stored.id)


async def until_full(journal: Journal, *, first: int = 0) -> int:
    """Accept until the disk refuses; returns how many were accepted."""
    for number in range(first, first + 100_000):
        try:
            await accept(journal, number)
        except StoreFull:
            return number - first
    raise AssertionError("the disk never filled")


def on_ballast(journal: Journal) -> bool:
    return journal.on_ballast


def full(journal: Journal) -> bool:
    return journal.full


@asynccontextmanager
async def running(disk: Path, machine: Machine, *, ballast_bytes: int = BALLAST) -> AsyncIterator[Journal]:
    journal = await Journal.open(disk / "hub.db", clock=machine.clock(), ballast_bytes=ballast_bytes)
    try:
        yield journal
    finally:
        await journal.close()


@pytest.mark.asyncio
async def test_full_disk(disk: Path) -> None:
    machine = Machine()
    reserve = disk / "hub.db.ballast"
    async with running(disk, machine) as journal:
        assert not on_ballast(journal)
        assert reserve.stat().st_blocks * 512 >= BALLAST
        filler = fill(disk)
        accepted = await until_full(journal)
        assert accepted > 0
        assert not on_ballast(journal)  # new work alone does not take the reserve
        assert full(journal)

        for number in range(300):
            await arrive(journal, number)
        assert on_ballast(journal)
        assert not reserve.exists()
        with pytest.raises(StoreFull):
            await accept(journal, 10**6)
        claim = await journal.write(outbound.claim, SIM)
        assert claim is not None  # what was accepted goes on
        await journal.write(outbound.payload_next, claim.seq, claim.n)
        await journal.write(outbound.submitted, claim.seq, claim.n, imsi=SIM, mr=1)
        assert not await journal.restore_ballast()

    async with running(disk, machine) as journal:
        assert on_ballast(journal)  # a restart does not forget that there is no reserve
        with pytest.raises(StoreFull):
            await accept(journal, 10**6)

        filler.unlink()
        assert full(journal)
        assert await journal.restore_ballast()
        assert not on_ballast(journal)
        assert not full(journal)
        await accept(journal, 10**6)
        assert len(await journal.read(outbound.messages, limit=10**6)) == accepted + 1
        assert len(await journal.read(inbound.inbox, limit=10**6)) == 300
        assert await journal.check() is None


@pytest.mark.asyncio
async def test_a_disk_that_refused_only_new_work_is_called_full_until_there_is_room(disk: Path) -> None:
    async with running(disk, Machine()) as journal:
        assert not full(journal)
        filler = fill(disk)
        await until_full(journal)
        assert full(journal)
        assert await journal.restore_ballast()  # it stands
        assert full(journal)
        filler.unlink()
        assert await journal.restore_ballast()
        assert not full(journal)  # though nothing new came

        filler = fill(disk)
        await until_full(journal, first=200_000)
        assert full(journal)
        filler.unlink()
        await accept(journal, 10**6)
        assert not full(journal)  # though nobody looked
        assert not on_ballast(journal)


@pytest.mark.asyncio
async def test_retention_frees_a_disk_that_the_journal_filled_itself(disk: Path) -> None:
    machine = Machine()
    async with running(disk, machine) as journal:
        number = 0
        while not on_ballast(journal):
            await arrive(journal, number, octets=8000)
            number += 1
        machine.forward(86_400_000)
        while await journal.write(retention.retain, keep_ms=1000, limit=500):
            pass
        for _ in range(100):
            if await journal.restore_ballast():
                break
        assert not on_ballast(journal)
        await accept(journal, 1)
        assert await journal.check() is None


@pytest.mark.asyncio
async def test_a_disk_that_is_too_small_for_the_ballast_is_told_at_the_start(disk: Path) -> None:
    async with running(disk, Machine(), ballast_bytes=64 * 1024 * 1024) as journal:
        assert on_ballast(journal)
        assert not (disk / "hub.db.ballast").exists()
        assert not (disk / "hub.db.ballast.new").exists()
        await arrive(journal, 1)
