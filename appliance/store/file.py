"""Opening the database file: lock, settings, schema, check, quarantine.

Promise
    What ``prepare`` returns is a database of ours, of a schema that this program can write, in WAL mode with
    ``synchronous=FULL`` (both read back, not only asked for), and held by this process alone. A corrupt file never
    keeps the hub from starting: it is moved to ``corrupt/`` beside it, untouched, and a fresh one is begun.

What it does not do
    It does not repair. It does not touch a file that is another program's database: that is a wrong setting, an error.

Theory of operation
    The numbered files ``schema/NNNN_name.sql`` are applied forwards, each in one transaction with its ``user_version``.
    A file of a newer program is opened when its ``meta`` says, under ``readable_by``, that this program's version is
    enough (an additive change: new tables, new columns with defaults); every statement of ours names its columns.
"""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
import threading
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import quote

from appliance.errors import StoreCorrupt, StoreError, StoreFull
from appliance.store.ballast import sync_directory

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Lock", "Opened", "connect", "connect_reader", "make_directory", "prepare", "translate"]

APPLICATION_ID = 0x4D485542
"""``MHUB``, in the database header (sqlite.org/fileformat2.html §1.3.15)."""

JOURNAL_SIZE_LIMIT = 4 * 1024 * 1024
WAL_AUTOCHECKPOINT = 1000
BUSY_TIMEOUT_MS = 5000
CACHED_STATEMENTS = 512

_PRAGMAS: tuple[tuple[str, str, object], ...] = (
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),  # NORMAL loses acknowledged rows on a power cut: measured, up to 899
    ("foreign_keys", "ON", 1),
    ("busy_timeout", str(BUSY_TIMEOUT_MS), BUSY_TIMEOUT_MS),
    ("journal_size_limit", str(JOURNAL_SIZE_LIMIT), JOURNAL_SIZE_LIMIT),
    ("wal_autocheckpoint", str(WAL_AUTOCHECKPOINT), WAL_AUTOCHECKPOINT),
    ("temp_store", "MEMORY", 2),
    ("secure_delete", "FAST", 2),  # ON, Debian's default, writes every page that retention frees
)

_SCHEMA_NAME = re.compile(r"(\d{4})_\w+\.sql")


def translate(error: sqlite3.Error) -> StoreError:
    """The error of ours that says what SQLite said."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE:
        return StoreFull(f"the disk is full: {error}")
    if code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return StoreCorrupt(f"the database is damaged: {error}")
    return StoreError(f"the database failed: {error} ({getattr(error, 'sqlite_errorname', 'no code')})")


class Lock:
    """The exclusive hold of one process on a database: an flock, which ends with the process, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def acquire(self) -> bool:
        """Take the lock; False when another process (or another Journal of this one) has it."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        os.ftruncate(fd, 0)
        with suppress(OSError):  # the holder's number is a courtesy, and the disk may be full
            os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
        self._fd = fd
        return True

    def holder(self) -> str:
        """The process that holds it, for a message to a person."""
        try:
            pid = self._path.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            pid = ""
        return f"process {pid}" if pid else "another process"

    def release(self) -> None:
        """Let go; harmless when not held."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@dataclass(frozen=True, slots=True)
class Opened:
    """A writer's connection, and where the corrupt file went that stood in its place (or None)."""

    db: sqlite3.Connection
    quarantined: Path | None


def connect(path: Path) -> sqlite3.Connection:
    """A writer's connection to a database of ours, all settings asserted; raises StoreError or sqlite3.Error."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=CACHED_STATEMENTS)
    try:
        db.row_factory = sqlite3.Row
        for name, value, told in _PRAGMAS:
            _set(db, path, name, value, told)
    except BaseException:
        db.close()
        raise
    return db


def _set(db: sqlite3.Connection, path: Path, name: str, value: str, told: object) -> None:
    db.execute(f"PRAGMA {name} = {value}").fetchall()
    found = db.execute(f"PRAGMA {name}").fetchone()[0]
    if found != told:
        raise StoreError(f"{path}: SQLite does not take {name} = {value}, it stays {found}")


def connect_reader(path: Path) -> sqlite3.Connection:
    """A read-only connection; raises sqlite3.Error."""
    uri = f"file:{quote(str(path))}?mode=ro"
    db = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=CACHED_STATEMENTS
    )
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA query_only = ON")
    db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    db.execute("PRAGMA temp_store = MEMORY")
    return db


def prepare(path: Path, *, check_seconds: float, stamp: str) -> Opened:
    """Open, check and bring forward the database at ``path``; the caller holds its Lock.

    Args:
        path: the database file; it and its directory are created where missing.
        check_seconds: quick_check runs no longer; what it did not reach is not checked.
        stamp: names the place under ``corrupt/`` of a file that is moved aside.

    Raises:
        StoreError: of a newer program that does not allow it, or the disk does not work.
        StoreCorrupt: another program's database; or a fresh file is corrupt again.
        StoreFull: no room even for the schema.
    """
    try:
        try:
            return Opened(db=_open(path, check_seconds=check_seconds), quarantined=None)
        except sqlite3.DatabaseError as error:
            if not isinstance(translate(error), StoreCorrupt):
                raise
        except _Damaged:
            pass
        aside = _quarantine(path, stamp)
        return Opened(db=_open(path, check_seconds=check_seconds), quarantined=aside)
    except sqlite3.Error as error:
        raise translate(error) from error
    except _Damaged as error:
        raise StoreCorrupt(f"{path}: a fresh database is damaged at once: {error}") from error
    except OSError as error:
        raise StoreError(f"{path}: {error}") from error


def make_directory(directory: Path) -> None:
    """Make ``directory`` and what is missing above it, durably: a file's own fsync does not keep the way to it.

    Raises:
        OSError: it cannot be made.
    """
    if not directory.exists():
        make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        sync_directory(directory.parent)


class _Damaged(Exception):
    """quick_check found something."""


def _open(path: Path, *, check_seconds: float) -> sqlite3.Connection:
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # texts and numbers stand in it
        sync_directory(path.parent)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        application = db.execute("PRAGMA application_id").fetchone()[0]
        empty = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
        if application != APPLICATION_ID and not empty:
            raise StoreCorrupt(f"{path} is a database of another program (application_id {application:#010x})")
        if empty:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only possible before the first table
    db = connect(path)
    try:
        if not empty:
            _quick_check(db, check_seconds)
        _migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _quick_check(db: sqlite3.Connection, seconds: float) -> None:
    timer = threading.Timer(seconds, db.interrupt)
    timer.daemon = True
    timer.start()
    try:
        found = [row[0] for row in db.execute("PRAGMA quick_check(1)")]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return
    finally:
        timer.cancel()
        timer.join()
    if found != ["ok"] and "interrupted" not in found[0]:
        raise _Damaged(found[0])


def _quarantine(path: Path, stamp: str) -> Path:
    """Move the file and what SQLite put beside it to ``corrupt/<stamp>…/``; returns that directory."""
    shelf = path.parent / "corrupt"
    shelf.mkdir(exist_ok=True)
    aside = shelf / stamp
    for count in range(1, 1000):
        try:
            aside.mkdir()
            break
        except FileExistsError:
            aside = shelf / f"{stamp}-{count}"
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        with suppress(FileNotFoundError):
            path.with_name(name).rename(aside / name)
    for directory in (aside, shelf, path.parent):
        sync_directory(directory)
    return aside


def _schema_files() -> list[tuple[int, str]]:
    files = resources.files("appliance.store").joinpath("schema").iterdir()
    return sorted(
        (int(match[1]), file.read_text("utf-8")) for file in files if (match := _SCHEMA_NAME.fullmatch(file.name))
    )


def _statements(script: str) -> list[str]:
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    files = _schema_files()
    newest = files[-1][0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > newest:
        row = db.execute("SELECT value FROM meta WHERE key = 'readable_by'").fetchone()
        if row is None or int(row[0]) > newest:
            raise StoreError(
                f"{path} was written by a newer modemhub (schema {version}; this program knows {newest}). "
                "Install that version again, or give this one another store.path."
            )
        return
    for number, script in files:
        if number <= version:
            continue
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in _statements(script):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {number}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
