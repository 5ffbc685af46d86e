"""What a process did to one directory, and what it said, read from the output of strace.

Promise
    Every system call that can change what a disk holds below the directory is in the list of steps, or ``Blind`` is
    raised: a replay never goes on past something that it does not understand.

What it does not do
    Writes through a shared mapping cannot be traced. SQLite maps only the index of its WAL (``-shm``), which it builds
    anew after a crash; a writable mapping of any other file is ``Blind``.

Theory of operation
    With ``-xx`` every string is hex, so that a comma or a quote never stands inside of one; with ``-y`` a descriptor
    bears the path that it had when the call was entered. A call of one thread that was interrupted by another's line
    (``<unfinished ...>``) is put together again: ``begun`` is its place when it was entered, ``ended`` when it
    returned. A call that failed, or never returned, changed nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "Allocated",
    "Blind",
    "DirectorySynced",
    "Mapped",
    "Moved",
    "Opened",
    "Removed",
    "Resized",
    "Said",
    "Step",
    "Synced",
    "Written",
    "obstacle",
    "read",
    "record",
]

WRITER = Path(__file__).with_name("writer.py")

LIMIT = 1 << 20
"""Bytes of one string that strace shows; the longest write of SQLite is a page."""

_CALLS = (
    *("open", "openat", "openat2", "creat", "write", "writev", "pwrite64", "pwritev", "pwritev2", "truncate"),
    *("ftruncate", "fallocate", "fsync", "fdatasync", "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir"),
    *("mkdirat", "rmdir", "link", "linkat", "symlink", "symlinkat", "sendfile", "copy_file_range", "splice", "mmap"),
    "io_uring_setup",
)


class Blind(Exception):
    """The trace shows something that the replay does not understand."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A file was opened so that it may have been created, or emptied."""

    name: str
    creates: bool
    truncates: bool


@dataclass(frozen=True, slots=True)
class Written:
    name: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resized:
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Allocated:
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Synced:
    name: str


@dataclass(frozen=True, slots=True)
class DirectorySynced:
    pass


@dataclass(frozen=True, slots=True)
class Moved:
    name: str
    to: str


@dataclass(frozen=True, slots=True)
class Removed:
    name: str


@dataclass(frozen=True, slots=True)
class Mapped:
    """From here anything may stand in it."""

    name: str


@dataclass(frozen=True, slots=True)
class Said:
    """A line of the writer: ASK, ACK, TOLD, FROM."""

    word: str
    facts: dict[str, Any]


Act = Opened | Written | Resized | Allocated | Synced | DirectorySynced | Moved | Removed | Mapped | Said


@dataclass(frozen=True, slots=True)
class Step:
    """One call that returned; ``begun`` and ``ended`` are places in the trace."""

    begun: int
    ended: int
    act: Act


def obstacle() -> str | None:
    """Why no process can be traced here, or None."""
    if shutil.which("strace") is None:
        return "there is no strace here (Debian package strace)"
    tried = subprocess.run(
        ["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False, timeout=20
    )
    return None if tried.returncode == 0 else f"ptrace is not permitted here: {tried.stderr.strip()}"


def record(directory: Path, output: Path, *, transactions: int, packages: Path) -> None:
    """Run the writer in ``directory``, with the ``appliance`` below ``packages``; raises CalledProcessError."""
    command = ["strace", "-f", "-y", "-xx", "-s", str(LIMIT), "--seccomp-bpf", "-e", "signal=none"]
    command += ["-e", "trace=" + ",".join(f"?{call}" for call in _CALLS), "-o", str(output)]
    environment = {**os.environ, "PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(
        [*command, sys.executable, str(WRITER), str(directory), str(transactions)],
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=600,
    )


_LINE = re.compile(r"(\d+) +(.*)", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+|\?)(.*)", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_FD = re.compile(r"(AT_FDCWD|-?\d+)(?:<([^>]*)>)?(\(deleted\))?")


def read(lines: Iterable[str], directory: Path) -> Iterator[Step]:
    """The steps in the order of their return; raises Blind."""
    pending: dict[str, tuple[int, str]] = {}
    for place, line in enumerate(lines):
        match = _LINE.fullmatch(line.rstrip("\n"))
        if match is None:
            raise Blind(f"line {place + 1} is none of strace: {line[:80]}")
        process, rest = match.groups()
        if rest.startswith(("+++", "---")):
            continue
        begun = place
        if resumed := _RESUMED.fullmatch(rest):
            begun, first = pending.pop(process)
            rest = first + resumed[2]
        elif rest.endswith(_UNFINISHED):
            pending[process] = (place, rest.removesuffix(_UNFINISHED))
            continue
        call = _CALL.fullmatch(rest)
        if call is None:
            raise Blind(f"line {place + 1} is no call: {rest[:80]}")
        name, arguments, result, _ = call.groups()
        if result == "?" or result.startswith("-"):
            continue
        for act in _acts(name, arguments.split(", "), int(result, 0), directory):
            yield Step(begun, place, act)


def _text(hexed: str) -> str:
    return os.fsdecode(_octets(f'"{hexed}"'))


def _octets(argument: str) -> bytes:
    if not (argument.startswith('"') and argument.endswith('"')):
        raise Blind(f"a string that strace cut, or none: {argument[:40]}…")
    return bytes.fromhex(argument[1:-1].replace("\\x", ""))


def _of_descriptor(argument: str) -> Path | None:
    """The path of a descriptor; None when it has none any more."""
    match = _FD.fullmatch(argument)
    if match is None:
        raise Blind(f"no descriptor: {argument[:80]}")
    if match[2] is None:
        raise Blind(f"a descriptor without its path: {argument}")
    return None if match[3] else Path(_text(match[2]))


def _of_path(argument: str, at: str | None = None) -> Path:
    path = Path(os.path.normpath(_text(argument[1:-1])))
    if path.is_absolute():
        return path
    base = None if at is None else _of_descriptor(at)
    if base is None:
        raise Blind(f"a relative path: {path}")
    return base / path


def _acts(call: str, arguments: list[str], result: int, directory: Path) -> Iterator[Act]:
    """What one call that succeeded did to ``directory``, or said."""

    def ours(path: Path | None) -> str | None:
        if path is None or path == directory or not path.is_relative_to(directory):
            return None
        if path.parent != directory:
            raise Blind(f"{call} below a directory of its own: {path}")
        return path.name

    match call, arguments:
        case "openat", [at, path, flags, *_]:
            if (name := ours(_of_path(path, at))) is not None:
                if "O_TMPFILE" in flags:
                    raise Blind(f"openat {flags}")
                yield Opened(name, creates="O_CREAT" in flags, truncates="O_TRUNC" in flags)
        case "write", [fd, data, *_]:
            path_ = _of_descriptor(fd)
            if ours(path_) is not None:
                raise Blind(f"write at a position that is not told: {path_}")
            if fd.startswith("1<"):
                word, _, facts = _octets(data)[:result].decode("ascii").partition(" ")
                yield Said(word, json.loads(facts))
        case "pwrite64", [fd, data, _, offset]:
            if (name := ours(_of_descriptor(fd))) is not None:
                yield Written(name, int(offset), _octets(data)[:result])
        case "ftruncate", [fd, size]:
            if (name := ours(_of_descriptor(fd))) is not None:
                yield Resized(name, int(size))
        case "fallocate", [fd, mode, offset, size]:
            if (name := ours(_of_descriptor(fd))) is not None:
                if mode != "0":
                    raise Blind(f"fallocate {mode}")
                yield Allocated(name, int(offset) + int(size))
        case "fsync" | "fdatasync", [fd]:
            target = _of_descriptor(fd)
            if target == directory:
                yield DirectorySynced()
            elif (name := ours(target)) is not None:
                yield Synced(name)
        case "rename", [old, new]:
            yield from _moved(ours(_of_path(old)), ours(_of_path(new)))
        case "renameat" | "renameat2", [old_at, old, new_at, new, *flags]:
            if flags not in ([], ["0"]):
                raise Blind(f"{call} {flags}")
            yield from _moved(ours(_of_path(old, old_at)), ours(_of_path(new, new_at)))
        case "unlink", [path]:
            if (name := ours(_of_path(path))) is not None:
                yield Removed(name)
        case "unlinkat", [at, path, *_]:
            if (name := ours(_of_path(path, at))) is not None:
                yield Removed(name)
        case "mmap", [_, _, protection, flags, fd, _]:
            if "MAP_SHARED" in flags and "PROT_WRITE" in protection and not fd.startswith("-1"):
                name = ours(_of_descriptor(fd))
                if name is not None and not name.endswith("-shm"):
                    raise Blind(f"{name} is written through memory")
                if name is not None:
                    yield Mapped(name)
        case "mmap", _:
            pass
        case (("io_uring_setup" | "sendfile" | "splice" | "copy_file_range"), _):
            raise Blind(f"{call} may write where nobody sees it")
        case _, _:
            told = "".join(arguments).replace("\\x", "")
            if os.fsencode(directory).hex() in told:
                raise Blind(f"{call} on {directory}")


def _moved(old: str | None, new: str | None) -> Iterator[Act]:
    if (old is None) != (new is None):
        raise Blind(f"a file comes or goes by a rename: {old} → {new}")
    if old is not None and new is not None:
        yield Moved(old, new)
