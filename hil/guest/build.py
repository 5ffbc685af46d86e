"""The guest's disk, kernel and initramfs, made from ``recipe/`` and kept below ``.cache/guest``.

Promise: the same recipe is built once; its place is named by a hash of all that goes in. Nothing is downloaded but
Debian packages, from the mirror that this machine's apt is set to use, and the wheels that ``uv.lock`` names with
their hashes.

Theory of operation. Two stages, each in a directory of its own that appears whole or not at all:

* ``base-…``: mmdebstrap with the packages of ``recipe/packages`` and one initramfs with ``recipe/initramfs-modules``.
* ``image-…``: the base with the hub's wheels for arm64 below ``SITE`` and ``recipe/overlay`` on top, as ext4 (written
  from the directory: no mount, no loop device), with the kernel and the initramfs beside it.

A change of the overlay or of the lock file thus costs seconds, one of the packages minutes. It needs root, a kernel
that has binfmt_misc (unless this machine is arm64 itself), a Debian host, and the commands of ``NEEDED``.

``python -m hil.guest.build`` builds what is missing and prints the place; ``--key`` prints the place alone.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from image.building import Impossible, appears, digest, mirrors, requirements, run, say, tree_digest, wheels
from image.debian import RELEASE, arm64_runs, listed, require_root

__all__ = ["Image", "Impossible", "build", "image"]

ROOT: Final = Path(__file__).resolve().parents[2]
RECIPE: Final = Path(__file__).resolve().parent / "recipe"
CACHE: Final = ROOT / ".cache" / "guest"
FORMAT: Final = "1"
"""Counts the changes of this file that change what it builds."""
ARCHITECTURE: Final = "arm64"
PYTHON: Final = "3.13"
"""Python of the release."""
PLATFORM: Final = "aarch64-manylinux_2_40"
"""uv's name of the guest; the release has glibc 2.41."""
SITE: Final = "/opt/modemhub/lib"
"""Where the wheels of the hub's dependencies are in the guest."""
SIZE: Final = "1536M"
"""Of the file system; the file is sparse, 500 MB are used."""
KEPT: Final = 3
"""Images that stay: checkouts of several branches may share a cache, and an image has 500 MB."""
NEEDED: Final = {"mmdebstrap": "mmdebstrap", "arch-test": "arch-test", "mke2fs": "e2fsprogs"}
LEFT_OUT: Final = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/lib/linux-image-*",  # device trees: -M virt brings its own
    "force-unsafe-io",
)


@dataclass(frozen=True, slots=True)
class Image:
    """What QEMU boots."""

    place: Path

    @property
    def root(self) -> Path:
        """The root file system, ext4, never written to: each run has an overlay."""
        return self.place / "root.ext4"

    @property
    def kernel(self) -> Path:
        return self.place / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.place / "initrd.img"

    @property
    def there(self) -> bool:
        return self.place.is_dir()


# ------------------------------------------------------------------------------------------------------------- keys


def _base_key() -> str:
    words = "".join((RELEASE, ARCHITECTURE, *LEFT_OUT)).encode()
    return digest(
        FORMAT.encode(), words, (RECIPE / "packages").read_bytes(), (RECIPE / "initramfs-modules").read_bytes()
    )


def image() -> Image:
    """Where the image of this tree is, or will be."""
    key = digest(
        FORMAT.encode(),
        _base_key().encode(),
        requirements(),
        tree_digest(RECIPE / "overlay"),
        SITE.encode(),
        SIZE.encode(),
    )
    return Image(CACHE / f"image-{key}")


# ----------------------------------------------------------------------------------------------------------- stages


def _sources() -> list[str]:
    addresses = mirrors()
    lines = [f"deb {addresses['Debian']} {RELEASE} main"]
    if "Debian-Security" in addresses:
        lines.append(f"deb {addresses['Debian-Security']} {RELEASE}-security main")
    return lines


def _base() -> Path:
    place = CACHE / f"base-{_base_key()}"
    if place.exists():
        return place
    packages = CACHE / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    with appears(place) as fresh:
        say("building the guest's root file system: several minutes, once")
        options = [f"--dpkgopt={option}" for option in LEFT_OUT]
        archives = "$1/var/cache/apt/archives"
        fetched = f'mkdir -p "{archives}"; cp "{packages}"/*.deb "{archives}/" || true'
        kept = f'cp -n "{archives}"/*.deb "{packages}/"; rm -f "{archives}"/*.deb; rm -rf "$1"/var/lib/apt/lists/*'
        initramfs = 'kernel=$(ls "$1/lib/modules"); chroot "$1" mkinitramfs -o /boot/initrd.img "$kernel"'
        argv: list[str | Path] = [
            "mmdebstrap", "--mode=root", "--variant=minbase", f"--architectures={ARCHITECTURE}", *options,
            f"--include={','.join(listed(RECIPE / 'packages'))}",
            '--aptopt=APT::Install-Recommends "false"',
            "--skip=essential/unlink,download/empty,cleanup/apt",
            f"--setup-hook={fetched}",
            f'--customize-hook=cp "{RECIPE}/initramfs-modules" "$1/etc/initramfs-tools/modules"',
            '--customize-hook=sed -i s/^MODULES=.*/MODULES=list/ "$1/etc/initramfs-tools/initramfs.conf"',
            f"--customize-hook={initramfs}",
            f"--customize-hook={kept}",
            RELEASE, fresh / "root", *_sources(),
        ]  # fmt: skip
        # no initramfs at the kernel's installation: one is made when everything is there
        run(argv, log=CACHE / "base.log", INITRD="No")
    return place


def build() -> Image:
    """The image of this tree, built if it is not there.

    Raises:
        Impossible: this machine cannot.
    """
    wanted = image()
    if wanted.there:
        return wanted
    require_root("building the guest", needed=NEEDED)
    CACHE.mkdir(parents=True, exist_ok=True)
    with arm64_runs():
        base = _base()
        with appears(wanted.place) as fresh:
            log = CACHE / "image.log"
            root = fresh / "root"
            run(["cp", "--archive", base / "root", root], log=log)
            wheels(requirements(), root / SITE.lstrip("/"), platform=PLATFORM, python=PYTHON, log=log)
            run(["chroot", root, "python3", "-m", "compileall", "-q", SITE], log=log)
            run(["cp", "--recursive", "--no-dereference", f"{RECIPE}/overlay/.", root], log=log)
            shutil.copy(next((root / "boot").glob("vmlinuz-*")), fresh / "vmlinuz")
            (root / "boot/initrd.img").rename(fresh / "initrd.img")
            run(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", root, fresh / "root.ext4", SIZE], log=log)
            shutil.rmtree(root)
    _forget_old()
    return wanted


def _forget_old() -> None:
    """Remove all images but the newest ``KEPT``."""
    images = sorted(CACHE.glob("image-*/"), key=lambda place: place.stat().st_mtime, reverse=True)
    for place in images[KEPT:]:
        shutil.rmtree(place)


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 built or there, 1 impossible here."""
    parser = argparse.ArgumentParser(prog="python -m hil.guest.build", description=__doc__)
    parser.add_argument("--key", action="store_true", help="only print the place")
    arguments = parser.parse_args(argv)
    try:
        print((image() if arguments.key else build()).place)
    except Impossible as error:
        print(f"hil.guest.build: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
