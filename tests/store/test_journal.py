"""One writer, group commit, readers that never wait, and news without polling."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from appliance.errors import Rejected, StoreCorrupt, StoreError
from appliance.store import Journal, Transaction, events, identity, tokens, visit
from tests.store.bench import Machine

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio

SMALL = 64 * 1024


async def opened(path: Path, **how: object) -> Journal:
    return await Journal.open(path, clock=Machine().clock(), ballast_bytes=SMALL, **how)  # type: ignore[arg-type] # a pass-through


def note(tx: Transaction, text: str) -> int:
    return tx.emit("note", text, {})


def notes(db: sqlite3.Connection) -> list[str]:
    return [event.subject for event in events.after(db, 0, kinds={"note"}, limit=10_000)]


def note_and_refuse(tx: Transaction, text: str) -> None:
    tx.emit("note", text, {})
    raise Rejected("refused", "by this test")


def note_and_break_the_commit(tx: Transaction, text: str) -> None:
    """A violation that only COMMIT sees."""
    tx.emit("note", text, {})
    tx.db.execute("PRAGMA defer_foreign_keys = ON")
    tx.db.execute("INSERT INTO part (received, number, raw) VALUES (4711, 1, '')")


def misspell(tx: Transaction) -> None:
    tx.db.execute("SELEKT 1")


class Gate:
    """Holds the writer thread in a verb, so that what comes behind it becomes one batch."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.entered = threading.Event()

    def hold(self, tx: Transaction) -> None:
        tx.emit("gate", "held", {})
        self.entered.set()
        assert self._open.wait(30)

    def open(self) -> None:
        self._open.set()


async def behind(journal: Journal, gate: Gate) -> asyncio.Task[None]:
    task = asyncio.create_task(journal.write(gate.hold))
    await asyncio.to_thread(gate.entered.wait, 30)
    return task


async def test_what_write_returned_is_there_for_readers_and_after_a_restart(tmp_path: Path) -> None:
    journal = await opened(tmp_path / "hub.db")
    seq = await journal.write(note, "one")
    assert await journal.read(events.last) == journal.newest == seq
    await journal.close()
    journal = await opened(tmp_path / "hub.db")
    assert await journal.read(notes) == ["one"]
    assert journal.newest == seq
    await journal.close()


async def test_the_settings_are_those_that_make_a_commit_durable(tmp_path: Path) -> None:
    def settings(tx: Transaction) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "journal_size_limit", "temp_store")
        return {name: tx.db.execute(f"PRAGMA {name}").fetchone()[0] for name in names}

    def header(tx: Transaction) -> tuple[int, ...]:
        names = ("application_id", "user_version", "auto_vacuum")
        return tuple(tx.db.execute(f"PRAGMA {name}").fetchone()[0] for name in names)

    def loose_tables(tx: Transaction) -> list[str]:
        rows = tx.db.execute("SELECT name FROM pragma_table_list WHERE type = 'table' AND NOT strict")
        return [row[0] for row in rows if not row[0].startswith("sqlite_")]

    journal = await opened(tmp_path / "hub.db")
    assert await journal.write(settings) == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
        "journal_size_limit": 4 * 1024 * 1024,
        "temp_store": 2,
    }
    assert await journal.write(header) == (0x4D485542, 3, 2)
    assert await journal.write(loose_tables) == []
    await journal.close()


async def test_verbs_that_wait_share_one_commit_and_their_order_holds(tmp_path: Path) -> None:
    probed: list[tuple[str, str]] = []
    journal = await opened(tmp_path / "hub.db", probe=lambda when, verb: probed.append((when, verb)))
    gate = Gate()
    held = await behind(journal, gate)
    probed.clear()
    tasks = [asyncio.create_task(journal.write(note, str(n))) for n in range(20)]
    await asyncio.sleep(0)
    gate.open()
    seqs = await asyncio.gather(*tasks)
    await held
    assert probed == [("before", "hold"), ("after", "hold"), *[("before", "note")] * 20, *[("after", "note")] * 20]
    assert seqs == sorted(seqs)
    assert await journal.read(notes) == [str(n) for n in range(20)]
    await journal.close()


async def test_a_verb_that_raises_takes_back_its_own_rows_alone(tmp_path: Path) -> None:
    journal = await opened(tmp_path / "hub.db")
    gate = Gate()
    held = await behind(journal, gate)
    work = [
        journal.write(note, "a"),
        journal.write(note_and_refuse, "b"),
        journal.write(note, "c"),
        journal.write(misspell),
        journal.write(note, "d"),
    ]
    tasks = [asyncio.ensure_future(one) for one in work]
    await asyncio.sleep(0)
    gate.open()
    first, refused, second, misspelt, third = await asyncio.gather(*tasks, return_exceptions=True)
    await held
    assert isinstance(refused, Rejected)
    assert isinstance(misspelt, StoreError)
    assert await journal.read(notes) == ["a", "c", "d"]
    assert [first, second, third] == list(range(int(str(first)), int(str(first)) + 3))  # no gap either
    await journal.close()


async def test_alone_a_verb_that_raises_leaves_nothing(tmp_path: Path) -> None:
    journal = await opened(tmp_path / "hub.db")
    with pytest.raises(Rejected):
        await journal.write(note_and_refuse, "a")
    with pytest.raises(StoreError, match="SELEKT"):
        await journal.write(misspell)
    assert await journal.read(notes) == []
    await journal.write(note, "b")
    assert await journal.read(notes) == ["b"]
    await journal.close()


async def test_a_commit_that_fails_fails_every_verb_in_it_and_nothing_after_it(tmp_path: Path) -> None:
    journal = await opened(tmp_path / "hub.db")
    gate = Gate()
    held = await behind(journal, gate)
    work = [journal.write(note, "a"), journal.write(note_and_break_the_commit, "b"), journal.write(note, "c")]
    tasks = [asyncio.ensure_future(one) for one in work]
    await asyncio.sleep(0)
    gate.open()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await held
    assert all(isinstance(result, StoreError) for result in results)
    assert await journal.read(notes) == []
    await journal.write(note, "d")
    assert await journal.read(notes) == ["d"]
    await journal.close()


async def test_a_reader_does_not_wait_for_the_writer(tmp_path: Path) -> None:
    journal = await opened(tmp_path / "hub.db")
    await journal.write(note, "before")
    gate = Gate()
    held = await behind(journal, gate)
    assert await journal.read(notes) == ["before"]
    gate.open()
    await held
    await journal.close()


async def test_a_query_sees_one_snapshot_and_cannot_write(tmp_path: Path) -> None:
    journal = await opened(tmp_path / "hub.db")
    loop = asyncio.get_running_loop()

    def twice(db: sqlite3.Connection) -> tuple[list[str], list[str]]:
        first = notes(db)
        asyncio.run_coroutine_threadsafe(journal.write(note, "meanwhile"), loop).result(30)
        return first, notes(db)

    def delete(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM event")

    assert await journal.read(twice) == ([], [])
    assert await journal.read(notes) == ["meanwhile"]
    with pytest.raises(StoreError, match="readonly"):
        await journal.read(delete)
    await journal.close()


async def test_committed_wakes_for_what_can_be_read_and_for_nothing_else(tmp_path: Path) -> None:
    journal = await opened(tmp_path / "hub.db")
    seq = await journal.write(note, "a")
    assert await journal.committed(seq - 1) == seq
    waiting = asyncio.create_task(journal.committed(seq))
    further = asyncio.create_task(journal.committed(seq + 1))
    with pytest.raises(Rejected):
        await journal.write(note_and_refuse, "b")
    await journal.write(identity.breathe)
    assert not waiting.done()
    await journal.write(note, "c")
    assert await waiting == seq + 1
    assert not further.done()
    await journal.close()
    with pytest.raises(StoreError):
        await further
    with pytest.raises(StoreError):
        await journal.committed(seq + 1)


async def test_a_cancelled_waiter_is_forgotten_and_a_cancelled_writer_harms_nobody(tmp_path: Path) -> None:
    journal = await opened(tmp_path / "hub.db")
    waiting = asyncio.create_task(journal.committed(journal.newest))
    await asyncio.sleep(0)
    waiting.cancel()
    gate = Gate()
    held = await behind(journal, gate)
    writing = asyncio.create_task(journal.write(note, "cancelled"))
    other = asyncio.create_task(journal.write(note, "other"))
    await asyncio.sleep(0)
    writing.cancel()
    gate.open()
    await held
    await other
    assert await journal.read(notes) == ["cancelled", "other"]
    await journal.close()


async def test_close_finishes_what_was_asked_for_and_then_refuses(tmp_path: Path) -> None:
    journal = await opened(tmp_path / "hub.db")
    tasks = [asyncio.create_task(journal.write(note, str(n))) for n in range(1000)]
    await asyncio.sleep(0)
    await journal.close()
    await asyncio.gather(*tasks)
    await journal.close()
    with pytest.raises(StoreError, match="closed"):
        await journal.write(note, "late")
    with pytest.raises(StoreError, match="closed"):
        await journal.read(notes)
    journal = await opened(tmp_path / "hub.db")
    assert len(await journal.read(notes)) == 1000
    await journal.close()
    assert not (tmp_path / "hub.db-wal").exists()


async def test_a_refused_request_and_a_proof_of_life_cost_no_write(tmp_path: Path) -> None:
    machine = Machine()
    journal = await Journal.open(tmp_path / "hub.db", clock=machine.clock(), ballast_bytes=SMALL)
    wal = tmp_path / "hub.db-wal"
    machine.forward(1000)
    before = wal.stat().st_mtime_ns, wal.stat().st_size
    with pytest.raises(Rejected):
        await journal.write(note_and_refuse, "a")
    await journal.write(identity.breathe)
    assert (wal.stat().st_mtime_ns, wal.stat().st_size) == before
    await journal.close()


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_second_hub_is_told_who_holds_the_store(tmp_path: Path) -> None:
    journal = await opened(tmp_path / "hub.db")
    program = (
        "import asyncio, sys; from pathlib import Path; from appliance.store import HubClock, Journal;"
        "asyncio.run(Journal.open(Path(sys.argv[1]), clock=HubClock.of_this_machine()))"
    )
    second = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, str(tmp_path / "hub.db")],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert second.returncode == 1
    assert "StoreError" in second.stderr
    assert "Two hubs cannot share one store" in second.stderr
    with pytest.raises(StoreError, match=r"process \d+ holds it"):
        await opened(tmp_path / "hub.db")
    await journal.write(note, "still here")
    await journal.close()


async def test_only_the_owner_reads_the_files(tmp_path: Path) -> None:
    journal = await opened(tmp_path / "sub" / "hub.db")
    await journal.write(note, "a")
    assert {file.stat().st_mode & 0o077 for file in (tmp_path / "sub").iterdir()} == {0}
    await journal.close()


@pytest.mark.parametrize("damage", ["garbage", "torn page", "empty header"])
async def test_a_corrupt_file_is_kept_aside_and_the_hub_starts(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "hub.db"
    journal = await opened(path)
    await asyncio.gather(*[journal.write(note, f"{n}" * 50) for n in range(500)])
    await journal.close()
    octets = bytearray(path.read_bytes())
    match damage:
        case "garbage":
            octets = bytearray(b"not a database, but long enough to be taken for one" * 200)
        case "torn page":
            for page in range(3, len(octets) // 4096):
                octets[page * 4096 : page * 4096 + 200] = b"\xa5" * 200
        case _:
            octets[:100] = bytes(100)
    path.write_bytes(octets)
    journal = await opened(path)
    assert journal.quarantined is not None
    assert (journal.quarantined / "hub.db").read_bytes() == octets
    (told,) = await journal.read(events.after, 0)
    assert (told.kind, told.subject) == ("store", "corrupt")
    assert told.body["moved_to"] == f"corrupt/{journal.quarantined.name}"
    await journal.write(note, "on we go")
    await journal.close()
    journal = await opened(path)
    assert journal.quarantined is None
    assert await journal.read(notes) == ["on we go"]
    assert await journal.check() is None
    await journal.close()


async def test_two_corruptions_of_the_same_second_are_both_kept(tmp_path: Path) -> None:
    for _ in range(2):
        (tmp_path / "hub.db").write_bytes(b"garbage" * 1000)
        journal = await opened(tmp_path / "hub.db")
        await journal.close()
    assert len(list((tmp_path / "corrupt").iterdir())) == 2


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (a)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="another program"):
        await opened(path)
    assert path.read_bytes() == before
    assert not (tmp_path / "corrupt").exists()


@pytest.mark.parametrize(("readable_by", "opens"), [(None, False), ("4", False), ("3", True)])
async def test_a_newer_programs_file_opens_only_if_it_says_so(
    tmp_path: Path, readable_by: str | None, *, opens: bool
) -> None:
    path = tmp_path / "hub.db"
    journal = await opened(path)
    await journal.write(note, "kept")
    await journal.close()
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE event ADD COLUMN future TEXT NOT NULL DEFAULT 'f'")
        db.execute("PRAGMA user_version = 4")
        db.execute("DELETE FROM meta WHERE key = 'readable_by'")
        if readable_by is not None:
            db.execute("INSERT INTO meta (key, value) VALUES ('readable_by', ?)", (readable_by,))
    db.close()
    if not opens:
        with pytest.raises(StoreError, match="newer modemhub"):
            await opened(path)
        return
    journal = await opened(path)
    await journal.write(note, "written by the older one")
    assert await journal.read(notes) == ["kept", "written by the older one"]
    await journal.close()


async def test_a_crash_while_the_schema_was_written_is_an_ordinary_start(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    path.touch()
    journal = await opened(path)
    await journal.close()
    assert journal.quarantined is None


async def test_the_command_line_works_on_a_store_that_a_hub_holds(tmp_path: Path) -> None:
    machine = Machine()
    journal = await Journal.open(tmp_path / "hub.db", clock=machine.clock(), ballast_bytes=SMALL)

    def command_line() -> None:
        with visit(tmp_path / "hub.db", clock=machine.clock()) as store:
            store.write(tokens.create, name="door", scopes=["send"], digest=b"d" * 32)
            assert [token.name for token in store.read(tokens.tokens)] == ["door"]

    await asyncio.to_thread(command_line)
    token = await journal.read(tokens.authenticate, b"d" * 32)
    assert token is not None
    assert token.scopes == {"send"}
    await journal.write(note, "the hub writes on")
    await journal.close()


async def test_the_command_line_works_without_a_hub_and_before_the_first_one(tmp_path: Path) -> None:
    machine = Machine()
    with visit(tmp_path / "new" / "hub.db", clock=machine.clock()) as store:
        store.write(tokens.create, name="door", scopes=["send"], digest=b"d" * 32)
    journal = await Journal.open(tmp_path / "new" / "hub.db", clock=machine.clock(), ballast_bytes=SMALL)
    assert [token.name for token in await journal.read(tokens.tokens)] == ["door"]
    await journal.close()
