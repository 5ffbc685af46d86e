"""What a power cut may leave: the laws, over records that QEMU's own block layer makes."""

from __future__ import annotations

import contextlib
import random
import shutil
import struct
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from hil.card.cuts import SECTOR, Disk, Entry, Flags, NoRecord, drop, entries, plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECTORS: Final = 64
"""Of the disk of these tests; few, so that writes overlap."""
OLD: Final = 0xEE
"""What every octet of the disk is before its first write."""
SEEDS: Final = 300


@dataclass(frozen=True, slots=True)
class Write:
    sector: int
    count: int
    pattern: int


FLUSH: Final = None
Script = list[Write | None]


def script(seed: int) -> Script:
    """Some writes and flushes, each write with a pattern of its own."""
    rng = random.Random(seed)
    steps: Script = []
    for pattern in range(1, 40):
        count = rng.randint(1, 8)
        steps.append(Write(rng.randrange(SECTORS - count), count, pattern))
        if rng.random() < 0.15:
            steps.append(FLUSH)
    return steps


def qemu_io(disk: Disk, *commands: str) -> list[str]:
    argv = ["qemu-io", "-t", "writeback", f"json:{disk.blockdev()}"]
    return [*argv, *(word for command in commands for word in ("-c", command))]


def perform(disk: Disk, steps: Script) -> None:
    """Let QEMU's block layer do these and die."""
    commands = [
        "flush" if step is None else f"write -P {step.pattern} {step.sector * SECTOR} {step.count * SECTOR}"
        for step in steps
    ]
    done = subprocess.run(qemu_io(disk, *commands, "sigraise 9"), capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stdout + done.stderr


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if not shutil.which("qemu-io"):
        pytest.skip("qemu-io is not installed: apt install qemu-utils")
    image = tmp_path / "card.img"
    image.write_bytes(bytes([OLD]) * SECTORS * SECTOR)
    yield Disk(image, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.img"]


def sectors(disk: Disk) -> list[int]:
    """The pattern of each sector.

    A sector of two patterns was torn within itself.
    """
    octets = disk.image.read_bytes()
    assert len(octets) == SECTORS * SECTOR
    pieces = [set(octets[at : at + SECTOR]) for at in range(0, len(octets), SECTOR)]
    assert all(len(piece) == 1 for piece in pieces)
    return [piece.pop() for piece in pieces]


@contextlib.contextmanager
def same_again(disk: Disk) -> Iterator[None]:
    """Afterwards the disk and its record are as before."""
    files = {path: path.read_bytes() for path in (disk.image, disk.record, disk.overlay)}
    yield
    for path, octets in files.items():
        path.write_bytes(octets)


def allowed(steps: Script, before: list[int]) -> list[set[int]]:
    """For each sector what it may be: as at the last flush, or as any later write made it."""
    flushed = max((n for n, step in enumerate(steps) if step is None), default=-1)
    may = [{old} for old in before]
    for n, step in enumerate(steps):
        if step is not None:
            for sector in range(step.sector, step.sector + step.count):
                may[sector] = {step.pattern} | (may[sector] if n > flushed else set())
    return may


@pytest.mark.parametrize("seed", range(5))
def test_what_was_flushed_is_there_and_of_the_rest_each_sector_is_old_or_new(disk: Disk, seed: int) -> None:
    steps = script(seed)
    may = allowed(steps, [OLD] * SECTORS)
    perform(disk, steps)
    seen: list[set[int]] = [set() for _ in range(SECTORS)]
    for cut in range(SEEDS):
        with same_again(disk):
            disk.cut(cut)
            for sector, pattern in enumerate(sectors(disk)):
                assert pattern in may[sector], f"sector {sector} with seed {cut}"
                seen[sector].add(pattern)
    # nor is it kind: whatever may be comes to be
    assert seen == may
    disk.keep()


def test_a_write_that_was_not_flushed_is_kept_lost_and_torn(disk: Disk) -> None:
    perform(disk, [Write(0, 8, 1), FLUSH, Write(8, 8, 2), Write(20, 8, 3)])
    fates: dict[str, int] = defaultdict(int)
    for cut in range(SEEDS):
        with same_again(disk):
            loss = disk.cut(cut)
            now = sectors(disk)
        assert now[:8] == [1] * 8
        assert (loss.flushed, loss.kept + loss.torn + loss.lost) == (1, 2)
        there = [[pattern == wanted for pattern in now[at : at + 8]] for at, wanted in ((8, 2), (20, 3))]
        assert loss.kept == sum(map(all, there))
        assert loss.lost == sum(not any(one) for one in there)
        for one, other in ((0, 1), (1, 0)):
            fates["kept"] += all(there[one])
            fates["lost"] += not any(there[one])
            fates["torn"] += any(there[one]) and not all(there[one])
            fates["torn in the middle"] += there[one] not in (sorted(there[one]), sorted(there[one], reverse=True))
            fates[f"{one} alone"] += all(there[one]) and not any(there[other])
    assert min(fates.values()) > SEEDS // 50, fates
    assert {"0 alone", "1 alone", "torn in the middle"} <= fates.keys()
    disk.keep()


def test_the_same_seed_makes_the_same_disk_and_another_one_another(disk: Disk) -> None:
    perform(disk, script(1))
    disks: dict[str, bytes] = {}
    for _ in range(2):
        for seed in ("round 1", "round 2", "round 3"):
            with same_again(disk):
                disk.cut(seed)
                disks.setdefault(seed, disk.image.read_bytes())
                assert disk.image.read_bytes() == disks[seed]
    assert len(set(disks.values())) > 1
    disk.keep()


def test_the_next_round_starts_from_what_the_cut_left(disk: Disk) -> None:
    now = [OLD] * SECTORS
    for number in range(6):
        steps = script(100 + number)
        perform(disk, steps)
        disk.cut(number)
        after = sectors(disk)
        assert all(new in may for new, may in zip(after, allowed(steps, now), strict=True))
        now = after


def test_of_one_record_each_moment_can_be_cut(tmp_path: Path, disk: Disk) -> None:
    steps = script(7)
    perform(disk, steps)
    # a flush of nothing is not recorded
    recorded = [step for n, step in enumerate(steps) if step or (n and steps[n - 1])]
    part, copy = range(8 * SECTOR, 40 * SECTOR), tmp_path / "copy"
    with same_again(disk):
        for count in range(len(recorded) + 1):
            for seed in range(5):
                disk.after(count, seed, part=part, copy=copy)
                octets = copy.read_bytes()
                may = allowed(recorded[:count], [OLD] * SECTORS)[8:40]
                assert len(octets) == len(may) * SECTOR
                found = [set(octets[n * SECTOR : (n + 1) * SECTOR]) for n in range(len(may))]
                assert all(len(one) == 1 and one <= each for one, each in zip(found, may, strict=True))
        assert set(disk.image.read_bytes()) == {OLD}
    copy.unlink()
    disk.keep()


def test_kept_is_all_that_was_written(disk: Disk) -> None:
    steps = [Write(0, 8, 1), Write(4, 8, 2), FLUSH, Write(10, 4, 3)]
    perform(disk, steps)
    disk.keep()
    assert sectors(disk) == [1] * 4 + [2] * 6 + [3] * 4 + [OLD] * (SECTORS - 14)


def test_nothing_written_is_nothing_lost(disk: Disk) -> None:
    perform(disk, [])
    assert str(disk.cut(1)) == "0 writes flushed; of those after: 0 kept, 0 torn, 0 lost"
    assert sectors(disk) == [OLD] * SECTORS


def test_a_large_image_stays_sparse(tmp_path: Path, disk: Disk) -> None:
    with disk.image.open("r+b") as image:
        image.truncate(0)
        image.truncate(4 << 30)
    commands = ["write -P 1 3G 1M", "write -z 1G 8M", "write -P 0 2G 8M", "flush", "sigraise 9"]
    subprocess.run(qemu_io(disk, *commands), capture_output=True, check=False)
    disk.cut(1)
    stat = disk.image.stat()
    assert (stat.st_size, stat.st_blocks * 512 < 2 << 20) == (4 << 30, True)
    with disk.image.open("rb") as image:
        image.seek(3 << 30)
        assert image.read(1 << 20) == b"\1" * (1 << 20)
    disk.image.rename(tmp_path / "large")
    (tmp_path / "large").unlink()
    disk.image.touch()


def test_a_run_that_was_not_settled_is_not_overwritten(disk: Disk) -> None:
    perform(disk, [Write(0, 1, 1), FLUSH])
    with pytest.raises(FileExistsError):
        disk.blockdev()
    disk.cut(0)
    assert sectors(disk)[0] == 1


def test_qemu_that_is_dropped_at_work_leaves_a_whole_record(disk: Disk) -> None:
    # large requests, many in flight: SIGKILL alone leaves a torn end
    size = 4 << 20
    disk.image.write_bytes(bytes(8 * size))
    rng = random.Random(1)
    for seed in range(12):
        commands = [f"aio_write -q -P {n + 1} {rng.randrange(8) * size} {size}" for n in range(16)]
        argv = qemu_io(disk, *commands, "sleep 60000")
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
            wanted = rng.randrange(1, 8) * size
            while disk.record.stat().st_size < wanted:
                assert process.poll() is None
            drop(process.pid)
            assert process.wait(10) == -9
        assert disk.requests()
        disk.cut(seed)
    disk.image.write_bytes(b"")


# The format, and what QEMU does not write by itself.


def record(*requests: tuple[int, int, int]) -> bytes:
    """A record of (sector, count, flags), each with data of its own."""
    octets = struct.pack("<QQQI", 0x6A736677736872, 1, len(requests), SECTOR).ljust(SECTOR, b"\0")
    for n, (sector, count, flags) in enumerate(requests):
        octets += struct.pack("<QQQQ", sector, count, flags, 0).ljust(SECTOR, b"\0")
        octets += bytes([n + 1]) * SECTOR * (0 if flags & Flags.DISCARD else count)
    return octets


def test_requests_are_read_with_the_place_of_their_data() -> None:
    found = list(entries(record((5, 2, 0), (0, 0, 1), (7, 9, 4), (1, 1, 2))))
    assert found == [
        Entry(5, 2, Flags(0), 1024),
        Entry(0, 0, Flags.FLUSH, 2560),
        Entry(7, 9, Flags.DISCARD, 3072),
        Entry(1, 1, Flags.FUA, 3584),
    ]


def test_a_record_without_a_flush_has_no_superblock_yet() -> None:
    whole = record((5, 2, 0))
    assert list(entries(bytes(SECTOR) + whole[SECTOR:])) == list(entries(whole))


def test_a_request_that_was_in_flight_is_a_gap() -> None:
    first, second = record((5, 2, 0)), record((6, 1, 0), (0, 0, 1))[SECTOR:]
    assert [entry.sector for entry in entries(first + bytes(3 * SECTOR) + second)] == [5, 6, 0]


@pytest.mark.parametrize(
    "spoilt",
    [
        record((5, 2, 0)) + b"\1" * SECTOR,
        record((5, 2, 0), (0, 0, 0), (1, 0, 0)),
        record((5, 2, 0), (0, 1, 32)),
        record((SECTORS - 1, 2, 0)),
        b"\1" * SECTOR,
        record((5, 2, 0))[:-SECTOR],
    ],
    ids=["no header", "nothing asked", "unknown flag", "beyond the disk", "no superblock", "short"],
)
def test_a_spoilt_record_is_told(spoilt: bytes) -> None:
    with pytest.raises(NoRecord):
        list(entries(spoilt, sectors=SECTORS))


def test_fua_is_on_the_disk_at_once_and_flushes_nothing_else() -> None:
    # two writes that wait in the cache, one past it, one behind
    requests = [Entry(0, 4, Flags(0), 0), Entry(8, 4, Flags.FUA, 0), Entry(16, 4, Flags(0), 0)]
    made = [{piece.sector: piece.count for piece in plan(requests, random.Random(n)).pieces} for n in range(SEEDS)]
    assert all(one.get(8) == 4 for one in made)
    assert any(0 not in one for one in made)
    assert any(0 in one for one in made)
    assert any(16 not in one for one in made)


def test_a_flush_with_data_comes_before_its_data() -> None:
    requests = [Entry(0, 4, Flags(0), 0), Entry(8, 4, Flags.FLUSH, 0)]
    made = [{piece.sector: piece.count for piece in plan(requests, random.Random(n)).pieces} for n in range(SEEDS)]
    assert all(one.get(0) == 4 for one in made)
    assert any(8 not in one for one in made)


def test_what_was_discarded_is_zeros() -> None:
    (piece,) = plan([Entry(3, 5, Flags.DISCARD, 0), Entry(0, 0, Flags.FLUSH, 0)], random.Random(1)).pieces
    assert (piece.sector, piece.count, piece.data) == (3, 5, None)
