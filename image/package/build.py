"""The Debian package ``dist/modemhub_<version>_<architecture>.deb``, for amd64 and arm64, wherever dpkg-deb is.

Promise: same commit, same bytes, whoever builds it and wherever the checkout lies (with the same versions of dpkg-deb
and of the liblzma below it). Nothing gets in but files of this tree and the wheels that ``uv.lock`` names with their
hashes. No root, no emulation, no compiler: wheels for another architecture are unpacked, not run.

What it does not do: it builds for Debian 13 and its Python (``PYTHON``) alone, as wheels with machine code fit one
Python; it signs nothing; it does not compile to bytecode, as that takes the target's own Python (``debian/postinst``
does).

Theory of operation. The package's tree is made below ``.cache/package``::

    overlay/                                      as it stands: command, unit, settings, sysusers, tmpfiles, GPIO's rule
    udev/*.rules                                  → /usr/lib/udev/rules.d
    /usr/lib/modemhub/                            a virtual environment, made of three things:
        pyvenv.cfg                                that it is one, and whose; nothing of Debian's own Python packages
        bin/python3                               link to Debian's
        lib/python3.13/site-packages              the wheels and ``appliance``
    /usr/share/doc/modemhub                       README, licences, changelog

Then every date becomes that of the last commit to any of it (``SOURCE_DATE_EPOCH``, if set, instead), every mode is
decided here and not by the umask, and what uv notes about the place of the build is taken out. dpkg-deb sorts, and
makes root the owner.

``python -m image.package.build`` builds for both architectures and prints the files.
"""

from __future__ import annotations

import argparse
import email.parser
import gzip
import hashlib
import os
import re
import shutil
import sys
import tempfile
import tomllib
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from image.building import Impossible, missing, requirements, run, sha256, source_date, wheels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["ARCHITECTURES", "build", "version"]

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).resolve().parent
CACHE: Final = ROOT / ".cache" / "package"
DIST: Final = ROOT / "dist"
PYTHON: Final = "3.13"
"""Debian 13's."""
NEXT_PYTHON: Final = "3.14"
ARCHITECTURES: Final = {"amd64": "x86_64-manylinux_2_40", "arm64": "aarch64-manylinux_2_40"}
"""Debian's name, and uv's for the wheels; Debian 13 has glibc 2.41."""
HOME: Final = "usr/lib/modemhub"
SITE: Final = f"{HOME}/lib/python{PYTHON}/site-packages"
DOC: Final = "usr/share/doc/modemhub"
MAN: Final = "usr/share/man/man1"
PRIVATE: Final = {"etc/modemhub/modemhub.toml": 0o640}
"""Files that not everybody may read; ``debian/postinst`` gives them to the group."""


def version() -> str:
    """The version of this tree."""
    text: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return text


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


def _licences(site: Path) -> Iterator[tuple[str, str, str]]:
    """Name, version and licence of each package, as it says itself."""
    for file in sorted(site.glob("*.dist-info/METADATA")):
        said = email.parser.HeaderParser().parsestr(file.read_text(encoding="utf-8"))
        named = [line.split(" :: ")[-1] for line in said.get_all("Classifier", []) if line.startswith("License :: ")]
        short = said.get("License", "").strip()
        if "\n" in short or len(short) > 60:  # the whole text; it is in dist-info
            short = ""
        yield (
            said["Name"],
            said["Version"],
            said.get("License-Expression") or ", ".join(named) or short or "see its own",
        )


def _documents(tree: Path, number: str, date: datetime) -> None:
    doc = tree / DOC
    doc.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "README.md", doc / "README.md")
    lines = (f" {name} {number}: {licence}" for name, number, licence in _licences(tree / SITE))
    head = (HERE / "debian/copyright").read_text(encoding="utf-8")
    (doc / "copyright").write_text(head + "\n".join((*lines, "")), encoding="utf-8")
    entry = (
        f"modemhub ({number}) stable; urgency=medium\n\n  * What changed is told by the project's own history.\n\n"
        f" -- {_maintainer()}  {format_datetime(date)}\n"
    )
    (doc / "changelog.gz").write_bytes(gzip.compress(entry.encode(), 9, mtime=0))
    page = tree / MAN / "modemhub.1.gz"
    page.parent.mkdir(parents=True)
    page.write_bytes(gzip.compress((HERE / "modemhub.1").read_bytes(), 9, mtime=0))


def _maintainer() -> str:
    found = re.search(r"^Maintainer: (.*)$", (HERE / "debian/control").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return found[1]


def _settle(tree: Path, epoch: int) -> None:
    """Modes and dates: nothing of the umask, the checkout or the hour."""
    for path in (tree, *sorted(tree.rglob("*"))):
        if not path.is_symlink():
            relative = str(path.relative_to(tree))
            program = (
                path.is_dir() or relative.startswith("usr/bin/") or (path.parent.name == "DEBIAN" and _script(path))
            )
            path.chmod(PRIVATE.get(relative, 0o755 if program else 0o644))
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def _script(path: Path) -> bool:
    return path.read_bytes().startswith(b"#!")


def _control(tree: Path, architecture: str, number: str) -> None:
    target = tree / "DEBIAN"
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    sums = (
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(tree)}\n"
        for path in files
        if not path.is_relative_to(tree / "etc")
    )
    target.mkdir()
    (target / "md5sums").write_text("".join(sums), encoding="utf-8")
    # as dpkg-gencontrol counts: each file in whole KiB, one for each entry that is no file
    size = sum(-(-path.stat().st_size // 1024) for path in files) + sum(1 for path in tree.rglob("*")) - len(files)
    values = {
        "VERSION": number, "ARCHITECTURE": architecture, "SIZE": str(size),
        "PYTHON": PYTHON, "NEXT_PYTHON": NEXT_PYTHON,
    }  # fmt: skip
    for file in sorted((HERE / "debian").iterdir()):
        if file.name != "copyright":
            text = file.read_text(encoding="utf-8")
            (target / file.name).write_text(
                re.sub("@([A-Z_]+)@", lambda found: values[found[1]], text), encoding="utf-8"
            )


def build(architecture: str, *, into: Path = DIST, number: str | None = None) -> Path:
    """Build the package.

    Args:
        architecture: one of ``ARCHITECTURES``.
        into: the directory of the file.
        number: a version other than the tree's.

    Raises:
        Impossible: this machine cannot, or a registry was not reached.
    """
    if lost := missing({"dpkg-deb": "dpkg"}):
        raise Impossible(lost)
    number = number or version()
    epoch = source_date("appliance", "udev", "image", "uv.lock")
    for directory in (CACHE, into):
        directory.mkdir(parents=True, exist_ok=True)
    file = into / f"modemhub_{number}_{architecture}.deb"
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        tree = Path(scratch) / "tree"
        _copy(HERE / "overlay", tree)
        for rules in sorted((ROOT / "udev").glob("*.rules")):
            shutil.copy(rules, tree / "usr/lib/udev/rules.d" / rules.name)
        wheels(
            requirements(), tree / SITE, platform=ARCHITECTURES[architecture], python=PYTHON, log=CACHE / "build.log"
        )
        _copy(ROOT / "appliance", tree / SITE / "appliance")
        home = tree / HOME
        (home / "bin").mkdir()
        (home / "bin/python3").symlink_to(f"../../../bin/python{PYTHON}")  # relative, as Debian wants it
        (home / "pyvenv.cfg").write_text(
            f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {PYTHON}\n", encoding="utf-8"
        )
        _documents(tree, number, datetime.fromtimestamp(epoch, UTC))
        _control(tree, architecture, number)
        _settle(tree, epoch)
        # one thread: where xz cuts its blocks must not depend on the number of cores
        run(
            ["dpkg-deb", "--root-owner-group", "-Zxz", "--threads-max=1", "--build", tree, file],
            log=CACHE / "build.log", SOURCE_DATE_EPOCH=str(epoch),
        )  # fmt: skip
    return file


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 built, 1 impossible here."""
    parser = argparse.ArgumentParser(prog="python -m image.package.build", description="Build the Debian package.")
    parser.add_argument("--architecture", choices=ARCHITECTURES, help="only this one")
    parser.add_argument("--into", type=Path, default=DIST, metavar="DIR", help="where to (default: dist)")
    arguments = parser.parse_args(argv)
    try:
        for architecture in [arguments.architecture] if arguments.architecture else ARCHITECTURES:
            file = build(architecture, into=arguments.into)
            print(f"{sha256(file)}  {os.path.relpath(file)}  {file.stat().st_size / 1e6:.1f} MB")  # noqa: T201 - its answer
    except Impossible as error:
        print(f"image.package.build: {error}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
