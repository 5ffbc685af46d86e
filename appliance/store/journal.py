"""The journal: one writer thread with group commit, read-only readers, and waiting for news without polling.

Promise
    ``write`` returns only after the COMMIT of the verb's transaction with ``synchronous=FULL`` (S1). A verb that raises
    takes back its own rows and nobody else's. A COMMIT that fails fails every verb that was in it. No database error is
    swallowed: it comes out as StoreError, StoreFull or StoreCorrupt. Events are committed in the order of their seq,
    and ``committed`` tells of a seq only when it can be read.

What it does not do
    It knows no table but ``meta``, ``event``'s newest seq, and it retries nothing but for want of room. A write whose
    caller is cancelled may still be committed: who must know asks the rows.

Theory of operation
    The thread sleeps on its queue. When woken it takes all that waits (at most MAX_BATCH), runs each verb between
    SAVEPOINT and RELEASE inside one BEGIN IMMEDIATE … COMMIT, so that one fsync serves many, and hands all results to
    the loop with one call. A single verb waits for nobody: no batching delay, no savepoint. Because a batch may be run
    a second time (see ballast), **a verb does nothing but database work**.

    Disk full: verbs marked ``@needs_room`` (those that begin new work: accept) are refused with StoreFull. For the
    others the ballast is released and they are run again. From then ``on_ballast`` is true and ``@needs_room`` verbs
    are refused at once, until ``restore_ballast`` (called by a timer of the hub) finds room for the reserve again.
    ``full`` says that something was refused for want of room, also while the reserve still stands because only new
    work came: it is what people are told.

    ``probe`` is told "before" and "after" each COMMIT for every verb in it: the names of the verbs are the commit
    points at which crash tests kill the process.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import re
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from appliance.errors import StoreError, StoreFull
from appliance.store.ballast import Ballast
from appliance.store.clock import Anchor, HubClock, rfc3339
from appliance.store.file import (
    WAL_AUTOCHECKPOINT,
    Lock,
    connect,
    connect_reader,
    make_directory,
    prepare,
    translate,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from appliance.store.file import Opened

__all__ = ["Journal", "Room", "Transaction", "Visit", "needs_room", "visit"]

P = ParamSpec("P")
T = TypeVar("T")

MAX_BATCH = 256
"""Verbs for one COMMIT: more would only delay the first of them (0.1 ms of work each; an fsync is 0.1 to 20 ms)."""

READERS = 2
DEFAULT_BALLAST = 16 * 1024 * 1024
STRAIT_AUTOCHECKPOINT = 100
"""Pages of WAL before a checkpoint while the disk is full: at 1000 the WAL alone could take 4 MB of the reserve."""

VACUUM_BITE_PAGES = 256
VACUUM_BITES = 8

_NEEDS_ROOM: set[object] = set()

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def needs_room(verb: Callable[Concatenate[Transaction, P], T]) -> Callable[Concatenate[Transaction, P], T]:
    """Mark a verb as the beginning of new work: it is refused with StoreFull while the disk is full."""
    _NEEDS_ROOM.add(verb)
    return verb


@dataclass(slots=True)
class Transaction:
    """What a verb works with.

    Attributes:
        db: the writer's connection, inside of the transaction; rows are sqlite3.Row.
        now: hub time, ms, the same for the whole verb.
        wall: unix time, ms, for showing.
        newest: the seq of the last event that this verb emitted, 0 when none.
    """

    db: sqlite3.Connection
    now: int
    wall: int
    newest: int = 0

    def emit(self, kind: str, subject: str, body: Mapping[str, object]) -> int:
        """Append an event; returns its seq."""
        row = self.db.execute(
            "INSERT INTO event (kind, subject, hub, at, body) VALUES (?, ?, ?, ?, ?)",
            (kind, subject, self.now, self.wall, _encode(body)),
        )
        assert row.lastrowid is not None
        self.newest = row.lastrowid
        return self.newest


@dataclass(frozen=True, slots=True)
class Room:
    """What the journal takes on its disk, and what is left there for it; in octets.

    Attributes:
        taken: of the database and its log.
        free: on that file system, for a process without privileges.
    """

    taken: int
    free: int


@dataclass(slots=True, eq=False)
class _Job:
    """One call of ``write``."""

    name: str
    run: Callable[[Transaction], Any]
    needs_room: bool
    future: asyncio.Future[Any] | None = None
    result: Any = None
    error: BaseException | None = None
    newest: int = 0


@dataclass(slots=True, eq=False)
class _Errand:
    """Something for the writer thread to do between two batches."""

    run: Callable[[], Any]
    future: asyncio.Future[Any] | None = None
    result: Any = None
    error: BaseException | None = None
    newest: int = 0


@dataclass(slots=True)
class _Waiter:
    seq: int
    future: asyncio.Future[int]


def _read_anchor(db: sqlite3.Connection) -> Anchor | None:
    row = db.execute("SELECT value FROM meta WHERE key = 'anchor'").fetchone()
    return None if row is None else Anchor.from_json(row[0])


def _write_anchor(db: sqlite3.Connection, clock: HubClock, now: int) -> None:
    db.execute(
        "INSERT INTO meta (key, value) VALUES ('anchor', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (clock.anchor(now).to_json(),),
    )


def _opened(tx: Transaction, *, quarantined: str | None) -> None:
    """The first commit of every process: its place on the time line, and what it found."""
    tx.db.execute(
        "INSERT INTO meta (key, value) VALUES ('opened_at', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (rfc3339(tx.wall),),
    )
    if quarantined is not None:
        tx.emit("store", "corrupt", {"moved_to": quarantined})


class _Writer:
    """The writing side without its thread: runs batches on one connection."""

    def __init__(
        self, db: sqlite3.Connection, *, clock: HubClock, ballast: Ballast, probe: Callable[[str, str], None] | None
    ) -> None:
        self._db = db
        self._clock = clock
        self._ballast = ballast
        self._probe = probe
        self.on_ballast = False
        self.full = False

    def commit(self, batch: list[_Job]) -> None:
        """Run and commit; each job then has a result or an error."""
        admitted = []
        for job in batch:
            if self.on_ballast and job.needs_room:
                job.error = StoreFull("the disk is full: nothing new is accepted until there is room again")
            else:
                admitted.append(job)
        if not admitted:
            return
        try:
            self._attempt(admitted)
        except sqlite3.Error as error:
            failure = translate(error)
            self.full = self.full or isinstance(failure, StoreFull)
            needy = [job for job in admitted if not job.needs_room] if isinstance(failure, StoreFull) else []
            if needy and self._make_room():
                try:
                    self._attempt(needy)
                except sqlite3.Error as again:
                    failure = translate(again)
                else:
                    admitted = [job for job in admitted if job.needs_room]
            for job in admitted:
                job.result, job.newest = None, 0
                job.error = failure
        else:
            if any(job.needs_room and job.error is None for job in admitted):
                self.full = False

    def _attempt(self, batch: list[_Job]) -> None:
        """One transaction; raises sqlite3.Error when all of it is lost."""
        db = self._db
        alone = len(batch) == 1
        changed = False
        now = 0
        try:
            db.execute("BEGIN IMMEDIATE")
            for job in batch:
                job.result, job.error, job.newest = None, None, 0
                mark = db.total_changes
                tx = Transaction(db=db, now=self._clock.now(), wall=self._clock.wall_ms())
                if not alone:
                    db.execute("SAVEPOINT verb")
                try:
                    job.result = job.run(tx)
                except Exception as error:
                    if isinstance(error, sqlite3.Error):
                        if not db.in_transaction or isinstance(translate(error), StoreFull):
                            raise
                        job.error = translate(error)
                        job.error.__cause__ = error
                    else:
                        job.error = error
                    if alone:
                        db.execute("ROLLBACK")
                        return
                    db.execute("ROLLBACK TO verb")
                else:
                    job.newest = tx.newest
                    now = tx.now
                    changed = changed or db.total_changes != mark
                if not alone:
                    db.execute("RELEASE verb")
            if changed:
                _write_anchor(db, self._clock, now)
            if self._probe is not None:
                for job in batch:
                    self._probe("before", job.name)
            db.execute("COMMIT")
        except sqlite3.Error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        if self._probe is not None:
            for job in batch:
                self._probe("after", job.name)

    def _make_room(self) -> bool:
        """The disk is full: take the reserve, and keep the WAL from eating it; False when nothing more can be had."""
        if self._ballast.release():
            self._strait(on_ballast=True)
        elif not self.on_ballast:
            return False
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            return isinstance(translate(error), StoreFull)  # the retry may still fit into the WAL as it is
        return True

    def _strait(self, *, on_ballast: bool) -> None:
        self.on_ballast = on_ballast
        self.full = on_ballast
        pages = STRAIT_AUTOCHECKPOINT if on_ballast else WAL_AUTOCHECKPOINT
        self._db.execute(f"PRAGMA wal_autocheckpoint = {pages}").fetchall()

    def restore_ballast(self) -> bool:
        """Make room of what retention freed inside of the file, then allocate the reserve; True when it stands."""
        if self._ballast.stands:
            if self.on_ballast:
                self._strait(on_ballast=False)
            self.full = self.full and not self._ballast.has_margin
            return True
        try:
            for _ in range(VACUUM_BITES):
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                if self._db.execute("PRAGMA freelist_count").fetchone()[0] == 0:
                    break
                self._db.execute(f"PRAGMA incremental_vacuum({VACUUM_BITE_PAGES})").fetchall()
        except sqlite3.Error as error:
            if not isinstance(translate(error), StoreFull):
                raise
            # Full again: what was won so far stays won, and create() tells whether it is enough.
        self._strait(on_ballast=not self._ballast.create())
        return not self.on_ballast


class Journal:
    """The hub's memory; made by ``open``, used from one event loop.

    Attributes:
        path: the database file.
        clock: the hub's time line, resumed from the file.
        quarantined: where a corrupt file was moved at this start, or None.
    """

    def __init__(
        self, path: Path, *, clock: HubClock, lock: Lock, db: sqlite3.Connection, writer: _Writer, newest: int
    ) -> None:
        """Not for callers: use ``open``."""
        self.path = path
        self.clock = clock
        self.quarantined: Path | None = None
        self._lock = lock
        self._db = db
        self._writer = writer
        self._newest = newest
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Job | _Errand | None] = queue.SimpleQueue()
        self._waiters: list[_Waiter] = []
        self._closed = False
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="journal-reader")
        self._own = threading.local()
        self._reading: list[sqlite3.Connection] = []
        self._stopped: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._serve, name="journal-writer", daemon=True)

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        clock: HubClock,
        probe: Callable[[str, str], None] | None = None,
        ballast_bytes: int = DEFAULT_BALLAST,
        check_seconds: float = 0.5,
    ) -> Journal:
        """Open or create the journal at ``path`` and resume ``clock`` from it.

        Args:
            path: the database file; ``.lock``, ``.ballast`` and ``corrupt/`` stand beside it.
            clock: becomes this journal's time line.
            probe: told ("before" or "after", name of the verb) around each COMMIT.
            ballast_bytes: the reserve for a full disk.
            check_seconds: the longest that quick_check may take; what it does not reach stays unchecked.

        Raises:
            StoreError: another process holds it; a newer program wrote it; the disk does not work.
            StoreCorrupt: the file is another program's database.
        """
        lock, opened, ballast = await asyncio.to_thread(
            _take, path, ballast_bytes=ballast_bytes, check_seconds=check_seconds, wall=clock.wall_ms()
        )
        try:
            clock.resume(_read_anchor(opened.db))
            newest = _newest_event(opened.db)
        except sqlite3.Error as error:
            opened.db.close()
            lock.release()
            raise translate(error) from error
        writer = _Writer(opened.db, clock=clock, ballast=ballast, probe=probe)
        journal = cls(path, clock=clock, lock=lock, db=opened.db, writer=writer, newest=newest)
        journal.quarantined = opened.quarantined
        journal._thread.start()
        try:
            await journal.restore_ballast()
            quarantined = None if opened.quarantined is None else f"corrupt/{opened.quarantined.name}"
            await journal.write(_opened, quarantined=quarantined)
        except BaseException:
            await journal.close()
            raise
        return journal

    @property
    def on_ballast(self) -> bool:
        """Whether the disk was found full and the reserve is not back: accepts are refused."""
        return self._writer.on_ballast

    @property
    def full(self) -> bool:
        """Whether something was refused because the disk is full, and nothing says that there is room again."""
        return self._writer.full

    def room(self) -> Room:
        """What it takes on its disk and what is left there; zeros where the file system does not say."""
        taken = 0
        for suffix in ("", "-wal"):
            with suppress(OSError):
                taken += self.path.with_name(self.path.name + suffix).stat().st_size
        try:
            disk = os.statvfs(self.path.parent)
        except OSError:
            return Room(taken, 0)
        return Room(taken, disk.f_bavail * disk.f_frsize)

    @property
    def newest(self) -> int:
        """The seq of the newest committed event; 0 when there was never one."""
        return self._newest

    async def write(self, verb: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``verb`` in a transaction of its own; returns its result only after the COMMIT.

        Raises:
            StoreFull: the disk is full; nothing of the verb was kept.
            StoreError: the database failed, or the journal is closed.
            Exception: what the verb raised; its rows were taken back.
        """
        job = _job(verb, args, kwargs)
        result: T = await self._put(job)
        return result

    async def read(
        self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``query`` on a read-only snapshot, in a thread, never blocked by the writer; sees all that was committed.

        Raises:
            StoreError: the database failed, or the journal is closed.
            Exception: what the query raised.
        """
        if self._closed:
            raise StoreError("the journal is closed")
        return await self._loop.run_in_executor(self._readers, self._read, partial(_call, query, args, kwargs))

    async def committed(self, seq: int) -> int:
        """Wait until an event with a greater seq than ``seq`` is committed; returns the newest seq.

        Raises:
            StoreError: the journal is closed or gets closed.
        """
        if self._newest > seq:
            return self._newest
        if self._closed:
            raise StoreError("the journal is closed")
        waiter = _Waiter(seq, self._loop.create_future())
        self._waiters.append(waiter)
        try:
            return await waiter.future
        finally:
            with suppress(ValueError):
                self._waiters.remove(waiter)

    async def restore_ballast(self) -> bool:
        """Try to have the reserve again after the disk was full; True when it stands. Cheap when it does.

        Raises:
            StoreError: the database failed, or the journal is closed.
        """
        result: bool = await self._put(_Errand(run=self._writer.restore_ballast))
        return result

    async def check(self) -> str | None:
        """quick_check of the whole file, at leisure, on a reader; None when sound, else what was found.

        Raises:
            StoreError: the database failed, or the journal is closed.
        """
        return await self.read(_check)

    async def close(self) -> None:
        """Finish what was asked for, checkpoint, let go of the file. Harmless when closed."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            for waiter in self._waiters:
                if not waiter.future.done():
                    waiter.future.set_exception(StoreError("the journal is closed"))
        await asyncio.shield(self._stopped)
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        self._thread.join()
        self._readers.shutdown(wait=True)
        for db in self._reading:
            db.close()
        self._reading.clear()
        self._db.close()
        self._lock.release()

    def _put(self, item: _Job | _Errand) -> asyncio.Future[Any]:
        if self._closed:
            raise StoreError("the journal is closed")
        item.future = self._loop.create_future()
        self._queue.put(item)
        return item.future

    # ── the writer thread ────────────────────────────────────────────────────────────────────────────────────────────

    def _serve(self) -> None:
        done: list[_Job | _Errand] = []
        try:
            while (item := self._queue.get()) is not None:
                done = self._collect(item)
                self._to_loop(self._deliver, done)
        finally:
            # A writer that dies of what it did not foresee must leave nobody waiting.
            self._closed = True
            self._to_loop(self._end, done)

    def _collect(self, item: _Job | _Errand) -> list[_Job | _Errand]:
        """Take ``item`` and all that waits behind it, up to the next errand, and run it."""
        batch: list[_Job] = []
        following: _Errand | None = None
        stop = False
        while True:
            if isinstance(item, _Errand):
                following = item
                break
            batch.append(item)
            if len(batch) == MAX_BATCH:
                break
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                break
            if waiting is None:
                stop = True
                break
            item = waiting
        if batch:
            self._writer.commit(batch)
        if following is not None:
            try:
                following.result = following.run()
            except sqlite3.Error as error:
                following.error = translate(error)
            except OSError as error:
                following.error = StoreError(str(error))
        if stop:
            self._queue.put(None)
        return [*batch] if following is None else [*batch, following]

    def _to_loop(self, call: Callable[[list[_Job | _Errand]], None], done: list[_Job | _Errand]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left who could wait
            self._loop.call_soon_threadsafe(call, done)

    # ── in the loop ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _deliver(self, done: list[_Job | _Errand]) -> None:
        newest = self._newest
        for item in done:
            newest = max(newest, item.newest)
            if item.future is None or item.future.done():
                continue
            if item.error is None:
                item.future.set_result(item.result)
            else:
                item.future.set_exception(item.error)
        if newest > self._newest:
            self._newest = newest
            for waiter in self._waiters:
                if newest > waiter.seq and not waiter.future.done():
                    waiter.future.set_result(newest)

    def _end(self, done: list[_Job | _Errand]) -> None:
        lost: list[_Job | _Errand | None] = [*done]
        with suppress(queue.Empty):
            while True:
                lost.append(self._queue.get_nowait())
        futures: list[asyncio.Future[Any]] = [
            item.future for item in lost if item is not None and item.future is not None
        ]
        futures += [waiter.future for waiter in self._waiters]
        for future in futures:
            if not future.done():
                future.set_exception(StoreError("the journal has ended"))
        if not self._stopped.done():
            self._stopped.set_result(None)

    # ── a reader thread ──────────────────────────────────────────────────────────────────────────────────────────────

    def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        try:
            db: sqlite3.Connection | None = getattr(self._own, "db", None)
            if db is None:
                db = connect_reader(self.path)
                self._own.db = db
                self._reading.append(db)
            return _snapshot(db, query)
        except sqlite3.Error as error:
            raise translate(error) from error


@dataclass(slots=True)
class Visit:
    """A journal that this process uses for a moment, maybe while a hub holds it; made by ``visit``."""

    _writer: _Writer
    _db: sqlite3.Connection

    def write(self, verb: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As ``Journal.write``, at once. A running hub is not woken by the events of it: emit none."""
        job = _job(verb, args, kwargs)
        self._writer.commit([job])
        if job.error is not None:
            raise job.error
        result: T = job.result
        return result

    def read(self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As ``Journal.read``, at once."""
        try:
            return _snapshot(self._db, partial(_call, query, args, kwargs))
        except sqlite3.Error as error:
            raise translate(error) from error


@contextmanager
def visit(path: Path, *, clock: HubClock | None = None) -> Iterator[Visit]:
    """The journal at ``path`` for a short use without an event loop, also while a hub holds it (``modemhub token …``).

    Where no hub runs, this process holds the journal meanwhile, and creates it or brings its schema forward if need be.

    Args:
        path: the database file.
        clock: this machine's, unless given.

    Raises:
        StoreError: the file was written by a newer program, or the disk does not work.
        StoreCorrupt: it is damaged, or another program's database.
    """
    clock = clock or HubClock.of_this_machine()
    lock = Lock(path.with_name(path.name + ".lock"))
    try:
        make_directory(path.parent)
        held = lock.acquire()
        db = prepare(path, check_seconds=0.2, stamp=_stamp(clock.wall_ms())).db if held else connect(path)
    except sqlite3.Error as error:
        lock.release()
        raise translate(error) from error
    except OSError as error:
        lock.release()
        raise StoreError(f"{path}: {error}") from error
    except BaseException:
        lock.release()
        raise
    try:
        clock.resume(_read_anchor(db))
        ballast = Ballast(_ballast_path(path), size=0)
        yield Visit(_Writer(db, clock=clock, ballast=ballast, probe=None), db)
    except sqlite3.Error as error:
        raise translate(error) from error
    finally:
        db.close()
        lock.release()


def _take(path: Path, *, ballast_bytes: int, check_seconds: float, wall: int) -> tuple[Lock, Opened, Ballast]:
    """Everything of ``open`` that may block: lock, check, schema."""
    try:
        make_directory(path.parent)
        lock = Lock(path.with_name(path.name + ".lock"))
        if not lock.acquire():
            raise StoreError(f"{path} is in use: {lock.holder()} holds it. Two hubs cannot share one store.")
    except OSError as error:
        raise StoreError(f"{path}: {error}") from error
    ballast = Ballast(_ballast_path(path), size=ballast_bytes)
    try:
        try:
            opened = prepare(path, check_seconds=check_seconds, stamp=_stamp(wall))
        except StoreFull:
            if not ballast.release():
                raise
            opened = prepare(path, check_seconds=check_seconds, stamp=_stamp(wall))
    except BaseException:
        lock.release()
        raise
    return lock, opened, ballast


def _ballast_path(path: Path) -> Path:
    return path.with_name(path.name + ".ballast")


def _stamp(wall: int) -> str:
    return re.sub(r"[^0-9TZ]", "", rfc3339(wall).split(".")[0]) + "Z"


def _job(verb: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Job:
    def run(tx: Transaction) -> Any:
        return verb(tx, *args, **kwargs)

    return _Job(name=getattr(verb, "__name__", "verb"), run=run, needs_room=verb in _NEEDS_ROOM)


def _call(query: Callable[..., T], args: tuple[Any, ...], kwargs: Mapping[str, Any], db: sqlite3.Connection) -> T:
    return query(db, *args, **kwargs)


def _snapshot(db: sqlite3.Connection, query: Callable[[sqlite3.Connection], T]) -> T:
    db.execute("BEGIN")
    try:
        return query(db)
    finally:
        db.execute("ROLLBACK")


def _check(db: sqlite3.Connection) -> str | None:
    found = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    return None if found == "ok" else found


def _newest_event(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
    return 0 if row is None else int(row[0])
