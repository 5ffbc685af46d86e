"""What everything that is built from Debian's and Python's packages below ``.cache`` has in common."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "Impossible",
    "appears",
    "digest",
    "mirrors",
    "missing",
    "requirements",
    "run",
    "say",
    "sha256",
    "source_date",
    "tree_digest",
    "uv",
    "wheels",
]

ROOT: Final = Path(__file__).resolve().parents[1]


class Impossible(Exception):
    """This machine cannot build it; says why."""


def missing(packages: Mapping[str, str], *, path: str | None = None) -> str | None:
    """Which of these commands are not installed, and how to mend it; None: all are.

    Args:
        packages: the Debian package of each command.
        path: where to look; None: in ``$PATH``.
    """
    lost = {command: package for command, package in packages.items() if not shutil.which(command, path=path)}
    if not lost:
        return None
    return f"not installed: {', '.join(lost)} (apt install {' '.join(sorted(set(lost.values())))})"


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


def sha256(file: Path) -> str:
    """Of a file's content, hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def tree_digest(place: Path) -> bytes:
    """What makes this directory what it is: names, contents, links, and which files are programs."""
    entries = []
    for path in sorted(place.rglob("*")):
        if "__pycache__" in path.parts:
            continue
        if path.is_symlink():
            entries.append(f"{path.relative_to(place)} -> {path.readlink()}".encode())
        elif path.is_file():
            entries.append(f"{path.relative_to(place)} {path.stat().st_mode & 0o111:o} ".encode() + path.read_bytes())
    return digest(*entries).encode()


def requirements(*, group: str | None = None) -> bytes:
    """What the hub needs (or a group of ``pyproject.toml``), with versions and hashes, out of the lock file."""
    argv = ["export", "--quiet", "--frozen", "--no-default-groups", "--no-emit-project", "--no-header", "--no-annotate"]
    chosen = ["--only-group", group] if group else []
    command = [str(uv()), *argv, *chosen, "--format", "requirements.txt"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


def wheels(locked: bytes, site: Path, *, platform: str, python: str, log: Path) -> None:
    """Unpack these wheels into the new directory ``site``, for another machine; nothing of them is run.

    What names the place of the build, and commands that start with its Python, are taken out: same wheels, same bytes.

    Args:
        locked: what ``requirements`` gives.
        site: gets the packages.
        platform: uv's name, "aarch64-manylinux_2_40".
        python: the target's, "3.13".
        log: gets what uv says.

    Raises:
        Impossible: a registry was not reached, or a hash differs.
    """
    site.mkdir(parents=True)
    with tempfile.NamedTemporaryFile(suffix=".txt") as listed:
        listed.write(locked)
        listed.flush()
        run(
            [
                uv(), "pip", "install", "--quiet", "--target", site, "--python-platform", platform,
                "--python-version", python, "--python", sys.executable, "--only-binary", ":all:", "--no-deps",
                "--require-hashes", "--link-mode", "copy", "--requirements", listed.name,
            ],
            log=log, UV_CACHE_DIR=str(ROOT / ".cache" / "uv"),
        )  # fmt: skip
    shutil.rmtree(site / "bin", ignore_errors=True)
    (site / ".lock").unlink(missing_ok=True)
    for note in ("uv_cache.json", "REQUESTED"):
        for file in site.glob(f"*.dist-info/{note}"):
            file.unlink()
    for record in site.glob("*.dist-info/RECORD"):
        lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not re.match(r"(\.\./|bin/)|.*/(uv_cache\.json|REQUESTED),", line)]
        record.write_text("".join(kept), encoding="utf-8")


def source_date(*paths: str) -> int:
    """The date of what is built, in seconds of Unix time: ``SOURCE_DATE_EPOCH``, or the last commit's on these paths.

    Raises:
        Impossible: neither is known.
    """
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    # a checkout may belong to somebody else: make run as root
    argv = ["git", "-c", "safe.directory=*", "log", "-1", "--format=%ct", "--", *paths]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout:
        raise Impossible("this is no git checkout: set SOURCE_DATE_EPOCH to the date that the build shall have")
    return int(done.stdout)


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
