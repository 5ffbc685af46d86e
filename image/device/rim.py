"""Where the device tool touches the machine: files written whole or not at all, and commands.

A write is durable when it returns: content, then name, then directory. A power cut leaves the old file or the new one,
and at worst a ``.name.new`` that the next write replaces.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Command", "Failed", "ids", "link", "read", "run", "sync_directory", "write"]

TIMEOUT = 120.0
"""Seconds for a command: nothing that is run here may hold up the boot for ever."""


class Failed(Exception):
    """A command did not do it; its words."""


class Command(Protocol):
    """Runs a command that must succeed, and returns what it wrote."""

    def __call__(self, argv: Sequence[str | Path], *, given: str | None = None) -> str:
        """Raises Failed where it does not succeed."""


def run(argv: Sequence[str | Path], *, given: str | None = None) -> str:
    """Run it, ``given`` on its standard input.

    Raises:
        Failed: it is not there, took too long, or ended with an error.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=TIMEOUT, input=given)
    except FileNotFoundError:
        raise Failed(f"{words[0]} is not there") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"{words[0]} did not end within {TIMEOUT:.0f} s") from None
    if done.returncode:
        raise Failed(f"{words[0]}: {(done.stderr or done.stdout).strip() or f'exit code {done.returncode}'}")
    return done.stdout


def read(path: Path) -> bytes | None:
    """What is in it; None: it is not there."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def ids(owner: str) -> tuple[int, int]:
    """The numbers of ``user:group``, the group being one that belongs to a user of this name."""
    user, _, group = owner.partition(":")
    mine = pwd.getpwnam(user)
    return mine.pw_uid, pwd.getpwnam(group).pw_gid if group else mine.pw_gid


def write(path: Path, content: bytes, mode: int = 0o600, *, owner: str | None = None, durable: bool = True) -> bool:
    """Have ``path`` hold this; whether it had to be written.

    Args:
        path: what is missing above it is made.
        content: the whole of it.
        mode: of the file.
        owner: ``user:group``; None: whoever runs this.
        durable: wait until it is on the card.
    """
    number = ids(owner) if owner is not None else None
    if read(path) == content and not path.is_symlink():
        has = path.stat()
        if has.st_mode & 0o7777 == mode and (number is None or (has.st_uid, has.st_gid) == number):
            return False
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        if number is not None:
            os.fchown(file.fileno(), *number)
        os.fchmod(file.fileno(), mode)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    fresh.replace(path)
    if durable:
        sync_directory(path.parent)
    return True


def link(path: Path, target: str) -> bool:
    """Have ``path`` point to ``target``; whether it had to be changed."""
    if path.is_symlink() and str(path.readlink()) == target:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(path)
    return True


def sync_directory(path: Path) -> None:
    """Have the names in it on the card."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
