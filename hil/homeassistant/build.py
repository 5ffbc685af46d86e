"""A Python that Home Assistant Core runs on, and Core with the packages it needs, below ``.cache/homeassistant``.

Promise: the same recipe is built once; its place is named by a hash of all that goes in. Nothing is downloaded but
Debian packages, from the mirror that this machine's apt is set to use, and the wheels that ``requirements.txt`` names
with their hashes. No root, no chroot, no mount: nothing but files below that directory.

Theory of operation. Core asks for a newer Python than Debian's stable releases have, so two stages, each in a directory
of its own that appears whole or not at all (what was fetched before a failure stays in apt's and uv's own caches):

* ``python-…``: the Python of ``RELEASE`` with its libraries and its C library, unpacked and not installed
  (mmdebstrap's variant *extract*, whose chrootless mode needs no root). Its own dynamic linker starts it
  (ld.so(8), ``--library-path``), so nothing of it meets the libraries of this machine.
* ``core-…``: the wheels, unpacked beside each other, linked to uv's cache where that is on the same file system.

``requirements.txt`` holds all of them with versions and hashes. For a newer Core, change ``requirements.in`` and run
``python -m hil.homeassistant.build --lock``.

``python -m hil.homeassistant.build`` builds what is missing and prints the places.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from image.building import Impossible, appears, digest, mirrors, run, say, uv

__all__ = ["Impossible", "Tree", "build", "tree"]

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).resolve().parent
CACHE: Final = ROOT / ".cache" / "homeassistant"
REQUIREMENTS: Final = HERE / "requirements.txt"
FORMAT: Final = "1"
"""Counts the changes of this file that change what it builds."""
RELEASE: Final = "forky"
"""The first Debian release with the Python that Core asks for (2026.7 and newer: 3.14.2)."""
PYTHON: Final = "3.14"
RESOLVED_FOR: Final = "3.14.7"
"""What uv takes the Python for when it chooses wheels: it has to satisfy Core's own lower bound."""
GLIBC: Final = "manylinux_2_40"
"""The C library of the release is at least that."""
LEFT_OUT: Final = "path-exclude=/usr/share/*"
KEPT: Final = 2
"""Trees of each kind that stay: checkouts of several branches may share a cache, and a Core has 850 MB."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A Python, and Core for it."""

    interpreter: Path
    site: Path

    @property
    def there(self) -> bool:
        return self.interpreter.is_dir() and self.site.is_dir()

    @property
    def python(self) -> list[str]:
        """The beginning of a command line of that Python."""
        program = self.interpreter / f"usr/bin/python{PYTHON}"
        libraries = self.interpreter / f"usr/lib/{platform.machine()}-linux-gnu"
        linker = next(iter(sorted(libraries.glob("ld-linux-*.so.*"))))
        return [str(linker), "--argv0", str(program), "--library-path", str(libraries), str(program)]

    @property
    def environment(self) -> dict[str, str]:
        """What that Python must have in its environment to find Core."""
        return {"PYTHONPATH": str(self.site), "PYTHONNOUSERSITE": "1"}


def tree() -> Tree:
    """Where the tree of this checkout is, or will be."""
    kind = f"{RELEASE} {PYTHON} {platform.machine()}".encode()
    return Tree(
        CACHE / f"python-{digest(FORMAT.encode(), kind, LEFT_OUT.encode())}",
        CACHE / f"core-{digest(FORMAT.encode(), kind, GLIBC.encode(), REQUIREMENTS.read_bytes())}",
    )


def _interpreter(place: Path) -> None:
    if not shutil.which("mmdebstrap"):
        raise Impossible("mmdebstrap is not installed: apt install mmdebstrap")
    source = f"deb {mirrors()['Debian']} {RELEASE} main"
    with appears(place) as fresh:
        say(f"fetching the Python {PYTHON} of Debian {RELEASE}")
        argv: list[str | Path] = [
            "mmdebstrap", "--mode=chrootless", "--variant=extract", f"--include=python{PYTHON}",
            f"--dpkgopt={LEFT_OUT}",
            '--aptopt=APT::Install-Recommends "false"',
            # Debian's testing release is signed for a week at a time; a mirror that is further behind serves as well
            '--aptopt=Acquire::Check-Valid-Until "false"',
            RELEASE, fresh / "root", source,
        ]  # fmt: skip
        run(argv, log=CACHE / "python.log")
        for part in (fresh / "root").iterdir():
            if part.name in {"usr", "etc"}:
                part.rename(fresh / part.name)
        shutil.rmtree(fresh / "root")


def _chosen() -> list[str | Path]:
    """What tells uv for which machine it chooses."""
    platforms = f"{platform.machine()}-{GLIBC}"
    return ["--python-version", RESOLVED_FOR, "--python-platform", platforms, "--only-binary", ":all:"]


def _core(place: Path) -> None:
    with appears(place) as fresh:
        say("fetching Home Assistant Core and its packages")
        argv: list[str | Path] = [
            uv(), "pip", "install", "--target", fresh, "--python", sys.executable, *_chosen(),
            "--no-deps", "--require-hashes", "--link-mode", "hardlink", "--requirements", REQUIREMENTS,
        ]  # fmt: skip
        run(argv, log=CACHE / "core.log", UV_CACHE_DIR=str(ROOT / ".cache" / "uv"))


def build() -> Tree:
    """The tree of this checkout, built if it is not there.

    Raises:
        Impossible: this machine cannot, or a registry was not reached.
    """
    wanted = tree()
    CACHE.mkdir(parents=True, exist_ok=True)
    for place, make in ((wanted.interpreter, _interpreter), (wanted.site, _core)):
        if not place.is_dir():
            make(place)
            _forget_old(place.name.split("-")[0])
    return wanted


def _forget_old(kind: str) -> None:
    """Remove all trees of a kind but the newest ``KEPT``."""
    places = sorted(CACHE.glob(f"{kind}-*/"), key=lambda place: place.stat().st_mtime, reverse=True)
    for place in places[KEPT:]:
        shutil.rmtree(place)


def _lock() -> None:
    """Write ``requirements.txt`` anew."""
    argv: list[str | Path] = [
        uv(), "pip", "compile", "--quiet", "--upgrade", "--generate-hashes", "--no-header", "--no-annotate",
        *_chosen(), "--override", HERE / "excluded.txt", "--output-file", REQUIREMENTS, HERE / "requirements.in",
    ]  # fmt: skip
    subprocess.run(argv, check=True, env={**os.environ, "UV_CACHE_DIR": str(ROOT / ".cache" / "uv")})


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 built or there, 1 impossible here."""
    parser = argparse.ArgumentParser(prog="python -m hil.homeassistant.build", description=__doc__)
    parser.add_argument("--lock", action="store_true", help="write requirements.txt anew from requirements.in")
    arguments = parser.parse_args(argv)
    try:
        if arguments.lock:
            _lock()
        else:
            print(build().site)
    except Impossible as error:
        print(f"hil.homeassistant.build: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
