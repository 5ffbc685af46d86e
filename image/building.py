"""What everything that is built from Debian's and Python's packages below ``.cache`` has in common."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Impossible", "appears", "digest", "mirrors", "requirements", "run", "say", "uv"]

ROOT: Final = Path(__file__).resolve().parents[1]


class Impossible(Exception):
    """This machine cannot build it; says why."""


def uv() -> Path:
    """The uv that the Makefile fetched.

    Raises:
        Impossible: it was not fetched yet.
    """
    found = sorted((ROOT / ".cache").glob("uv-*/bin/uv"))
    if not found:
        raise Impossible("uv is missing: make setup fetches it")
    return found[-1]


def digest(*parts: bytes) -> str:
    """A name for what these parts make."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()[:16]


def requirements() -> bytes:
    """What the hub needs, with versions and hashes, out of the lock file."""
    argv = ["export", "--quiet", "--frozen", "--no-default-groups", "--no-emit-project", "--no-header", "--no-annotate"]
    command = [str(uv()), *argv, "--format", "requirements.txt"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


def say(text: str) -> None:
    """A line for who waits for the build."""
    print(f"- {text}", file=sys.stderr, flush=True)  # noqa: T201 - its answer goes to standard output


@contextlib.contextmanager
def appears(place: Path) -> Iterator[Path]:
    """A new directory that becomes ``place`` when all went well and vanishes when not."""
    fresh = place.with_name(f".{place.name}.{os.getpid()}")
    fresh.mkdir(parents=True)
    began = time.monotonic()
    try:
        yield fresh
        if not place.exists():  # else another checkout that shares the cache was faster
            fresh.rename(place)
            say(f"{place.name}: {time.monotonic() - began:.0f} s")
    finally:
        if fresh.exists():
            shutil.rmtree(fresh)


def run(argv: Sequence[str | Path], *, log: Path, **environment: str) -> None:
    """Run to the end, output into the log; a failure shows its last lines."""
    with log.open("ab") as file:
        done = subprocess.run(argv, stdout=file, stderr=file, env={**os.environ, **environment}, check=False)
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise Impossible(f"{argv[0]} failed ({done.returncode}); the end of {log.name}:\n{tail}")


def mirrors() -> dict[str, str]:
    """The addresses of Debian's archives by label, as apt of this machine has them: "Debian", "Debian-Security"."""
    if not shutil.which("apt-get"):
        raise Impossible("this is no Debian: there is no apt-get to tell the mirror")
    argv = ["apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)"]
    lines = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    found = dict(line.split("|", 1) for line in lines)
    if "Debian" not in found:
        raise Impossible("apt knows no Debian mirror; is this a Debian, and did apt-get update run?")
    return found
