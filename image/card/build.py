"""The SD image ``modemhub-<version>-rpi-arm64.img.xz``, its update bundle and what is told of both, below ``dist/``.

Promise: the same commit, lock files and update authority give the same bytes, on whatever amd64 Debian. Nothing gets in
but files of this tree, the Debian packages of ``packages.lock`` and ``firmware.lock``, and the wheels of ``uv.lock``,
each checked against its hash. No mount, no loop device, no privileged container: file systems are written from
directories. What was built is kept below ``.cache/image`` by a digest of its inputs; a build that was interrupted goes
on at its stage.

What it does not do: it tests nothing (``hil/card`` boots the very file), and it signs no image, only the update bundle.

Theory of operation. Stages, each in a directory of its own that appears whole or not at all::

    base-…   the Debian packages, and one initramfs              (minutes: their scripts run under qemu-user)
    root-…   base, the hub's package for arm64, the device tool, ``overlay/``; every date clamped to the commit's
    card-…   root as ext4, the FAT and data partitions, and genimage's sum of them

A change of the hub costs the last two, a minute. The layout of the disk is that of the constants here;
``boot.cmd`` and ``overlay/`` know the same numbers.

``python -m image.card`` builds all; see ``--help``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from image import debian
from image.building import appears, digest, requirements, run, say, source_date, tree_digest, wheels
from image.card import sbom
from image.package import build as package

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BOARD", "Card", "build"]

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).resolve().parent
CACHE: Final = (ROOT / ".cache").resolve() / "image"
DIST: Final = ROOT / "dist"
FORMAT: Final = "1"
"""Counts the changes of this file that change the base; the quicker stages depend on all of it."""
BOARD: Final = "rpi-arm64"
ARCHITECTURE: Final = "arm64"
KEPT: Final = 3
"""Roots and cards that stay: each has a gigabyte."""
DEVICE: Final = "usr/lib/modemhub-device"

MEBI: Final = 1024 * 1024
SIGNATURE: Final = 0x4D485542
"""Of the disk; the partitions' PARTUUIDs are made of it, and so found on whatever the firmware booted from."""
CHOICE_AT: Final = 2 * MEBI
CHOICE_SIZE: Final = 512
"""One sector: written whole or not at all."""
FRESH: Final = "BOOT_ORDER=A\nBOOT_A_LEFT=3\nBOOT_B_LEFT=0\n"
"""The boot choice of a fresh card: slot B is empty."""
BOOT_SIZE: Final = 128 * MEBI
SLOT_SIZE: Final = 704 * MEBI
DATA_SIZE: Final = 128 * MEBI
"""As written; the first boot grows it to the card's end."""
UUIDS: Final = {"root": "6d6f6465-6d68-7562-0000-000000000001", "data": "6d6f6465-6d68-7562-0000-000000000004"}
DATA: Final = {
    # directory: mode, owner (names of the root's own)
    "device": (0o711, "root"),
    "updates": (0o700, "root"),
    "systemd": (0o755, "root"),
    "modemhub": (0o700, "modemhub"),
    "mosquitto": (0o700, "mosquitto"),
}
FIRMWARE: Final = ("bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat")
TREES: Final = (
    "bcm2837-rpi-3-a-plus.dtb",
    "bcm2837-rpi-3-b.dtb",
    "bcm2837-rpi-3-b-plus.dtb",
    "bcm2837-rpi-cm3-io3.dtb",
    "bcm2837-rpi-zero-2-w.dtb",
    "bcm2711-rpi-4-b.dtb",
    "bcm2711-rpi-400.dtb",
    "bcm2711-rpi-cm4-io.dtb",
)
"""Device trees of the boards that this kernel carries."""


@dataclass(frozen=True, slots=True)
class Card:
    """One built image."""

    place: Path
    tree: Path
    """The slot's files."""
    beside: Path
    """Packages that were unpacked for the FAT partition."""
    packages: tuple[debian.Package, ...]
    """Of the tree, and of what is beside it."""
    version: str
    epoch: int
    """The date of all of it."""

    @property
    def img(self) -> Path:
        """The raw image, sparse."""
        return self.place / "card.img"

    @property
    def root(self) -> Path:
        """The slot's file system, ext4."""
        return self.place / "root.ext4"


# ------------------------------------------------------------------------------------------------------------- locks


def _lock_date(lock: Path) -> int:
    """The day of the lock, which is the date of what packages' scripts make."""
    first = lock.read_text(encoding="utf-8").splitlines()[0]
    return int(first.split()[-1])


def _resolved(name: str) -> list[debian.Package]:
    """What the mirror has today for this list; firmware is unpacked alone, without what it depends on."""
    wanted = debian.listed(HERE / name)
    packages = debian.resolve(wanted, ARCHITECTURE)
    return packages if name != "firmware" else [package for package in packages if package.name in wanted]


def write_locks() -> None:
    """Lock what the mirror has today."""
    locks = {
        HERE.parent / "tools.lock": debian.resolve(debian.listed(HERE.parent / "tools"), debian.TOOLS_ARCHITECTURE),
        HERE / "packages.lock": _resolved("packages"),
        HERE / "firmware.lock": _resolved("firmware"),
    }
    date = int(time.time())
    for lock, packages in locks.items():
        lock.write_text(
            "".join((f"# written by `make image ARGS=--lock` at {date}\n", *(f"{each}\n" for each in packages))),
            encoding="utf-8",
        )
        say(f"{lock.name}: {len(packages)} packages")


# ------------------------------------------------------------------------------------------------------------ stages


def _clamp(tree: Path, epoch: int) -> None:
    """No file of the tree is younger than the build's date."""
    for directory, names, files in os.walk(tree):
        for name in (*names, *files, "."):
            path = os.path.join(directory, name)  # noqa: PTH118 - a hundred thousand of them
            if os.lstat(path).st_mtime > epoch:
                os.utime(path, (epoch, epoch), follow_symlinks=False)


def _base(packages: list[debian.Package], epoch: int) -> Path:
    modules = HERE / "initramfs-modules"
    words = (FORMAT, epoch, *debian.SLIM, *packages)
    key = digest(modules.read_bytes(), *(str(word).encode() for word in words))
    place = CACHE / f"base-{key}"
    if place.exists():
        return place
    with appears(place) as fresh:
        say("installing the image's Debian packages under emulation: ten minutes, once")
        options = [
            "--dpkgopt=path-exclude=/usr/lib/linux-image-*",  # device trees are the firmware's to load
            f'--customize-hook=cp "{modules}" "$1/etc/initramfs-tools/modules"',
            '--customize-hook=kernel=$(ls "$1/lib/modules"); chroot "$1" mkinitramfs -o /boot/initrd.img "$kernel"',
        ]
        log = CACHE / "base.log"
        debian.tree(packages, fresh / "root", architecture=ARCHITECTURE, options=options, log=log, epoch=epoch)
        _clamp(fresh / "root", epoch)
    return place


def _device(root: Path, log: Path) -> None:
    """The device tool, its one wheel that the hub does not have, and the broker's."""
    home = root / DEVICE
    wheels(
        requirements(group="device"), home, platform=package.ARCHITECTURES[ARCHITECTURE], python=package.PYTHON, log=log
    )
    ignore = shutil.ignore_patterns("__pycache__", "*.md")
    shutil.copytree(ROOT / "image/device", home / "device", ignore=ignore)
    shutil.copytree(ROOT / "image/mosquitto", home / "mosquitto", ignore=ignore)
    shutil.copy(HERE / "modemhub.toml", home / "modemhub.toml")
    environment = ["env", "PYTHONHASHSEED=0"]
    argv = ["python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", f"/{DEVICE}"]
    run(["chroot", root, *environment, *argv], log=log)


def _wifi(root: Path, beside: Path) -> None:
    """The boards' Wi-Fi settings, which Debian keeps in the package of the boot firmware."""
    target = root / "usr/lib/firmware/brcm"
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted((beside / "raspi-firmware/usr/lib/firmware/brcm").iterdir()):
        shutil.copy(file, target / file.name)


def _no_state(root: Path) -> None:
    """Take out what belongs to one machine, or to the hour of the build."""
    for file in (
        "var/lib/dbus/machine-id", "var/cache/ldconfig/aux-cache", "etc/.pwd.lock",
        "var/lib/systemd/random-seed", "var/lib/systemd/catalog/database",
    ):  # fmt: skip
        (root / file).unlink(missing_ok=True)
    for pattern in (
        "etc/ssh/ssh_host_*",
        "etc/*-",
        "var/log/*",
        "var/cache/debconf/*-old",
        "var/lib/dpkg/*-old",
        "tmp/*",
    ):
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    # there, so that no boot is the first one; empty, so that each makes its own
    (root / "etc/machine-id").write_bytes(b"")
    (root / "var/lib/dbus").mkdir(exist_ok=True)
    (root / "var/lib/dbus/machine-id").symlink_to("/etc/machine-id")


def _units(root: Path, log: Path) -> None:
    """Enable what ``overlay`` presets and nothing else."""
    run(["chroot", root, "systemctl", "preset-all"], log=log)


def _root(base: Path, beside: Path, certificate: bytes, *, version: str, epoch: int) -> tuple[Path, str]:
    """The root's tree, and the name of the build."""
    places = ("appliance", "udev", "image/package", "image/device", "image/mosquitto", "image/card/overlay")
    words = (base.name, beside.name, version, epoch)
    inputs = (
        (HERE / "build.py").read_bytes(),
        (HERE / "modemhub.toml").read_bytes(),
        certificate,
        requirements(),
        requirements(group="device"),
        *(str(word).encode() for word in words),
        *(tree_digest(ROOT / place) for place in places),
    )
    key = digest(*inputs)
    place = CACHE / f"root-{key}"
    if place.exists():
        return place / "root", key
    with appears(place) as fresh:
        say("the image's root: the hub, the device's own tools and files")
        log = CACHE / "root.log"
        root = fresh / "root"
        run(["cp", "--archive", base / "root", root], log=log)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            deb = package.build(ARCHITECTURE, into=Path(scratch), number=version)
            shutil.copy(deb, root / "hub.deb")
        run(["chroot", root, "dpkg", "--force-unsafe-io", "--install", "/hub.deb"], log=log)
        (root / "hub.deb").unlink()
        _device(root, log)
        _wifi(root, beside)
        run(["cp", "--recursive", "--no-dereference", "--remove-destination", f"{HERE}/overlay/.", root], log=log)
        (root / "etc/modemhub-image").write_text(f"VERSION={version}\nBUILD={key}\nBOARD={BOARD}\n", encoding="utf-8")
        (root / "etc/rauc").mkdir(exist_ok=True)
        (root / "etc/rauc/keyring.pem").write_bytes(certificate)
        (root / "etc/modemhub/modemhub.toml").unlink()
        (root / "etc/modemhub/modemhub.toml").symlink_to("/run/modemhub-device/modemhub.toml")
        for directory in ("data", "boot/firmware"):
            (root / directory).mkdir(exist_ok=True)
        kernel = next((root / "boot").glob("vmlinuz-*"))
        kernel.rename(root / "boot/vmlinuz")  # U-Boot asks for these names
        for left in (*(root / "boot").glob("System.map-*"), *(root / "boot").glob("config-*")):
            left.unlink()
        _units(root, log)
        run(["chroot", root, "ldconfig"], log=log)
        _no_state(root)
        _clamp(root, epoch)
    return place / "root", key


def _beside(packages: Sequence[debian.Package]) -> Path:
    """Packages that are unpacked and not installed, each in a directory of its name."""
    place = CACHE / f"beside-{digest(*(str(package).encode() for package in packages))}"
    if not place.exists():
        with appears(place) as fresh:
            for package in packages:
                run(["dpkg-deb", "--extract", package.file, fresh / package.name], log=CACHE / "card.log")
    return place


def _ext4(tree: Path, file: Path, *, label: str, size: int, options: Sequence[str], epoch: int, log: Path) -> None:
    """A file system from a directory; same tree, same bytes."""
    uuid = UUIDS[label]
    archive = file.with_suffix(".tar")
    run(
        [
            "tar", "--create", f"--file={archive}", f"--directory={tree}", "--sort=name", "--numeric-owner",
            "--format=posix", "--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f", ".",
        ],
        log=log,
    )  # fmt: skip
    debian.in_tools(
        [
            "mke2fs", "-q", "-t", "ext4", "-m", "0", "-b", "4096", "-L", label, "-U", uuid, *options, "-E",
            f"hash_seed={uuid},lazy_itable_init=0,root_owner=0:0", "-d", archive, file, f"{size // 1024}K",
        ],
        binds=[file.parent], log=log, SOURCE_DATE_EPOCH=str(epoch), E2FSPROGS_FAKE_TIME=str(epoch),
    )  # fmt: skip
    archive.unlink()


def _data(fresh: Path, root: Path, *, epoch: int, log: Path) -> None:
    users = {
        fields[0]: (int(fields[2]), int(fields[3]))
        for fields in (line.split(":") for line in (root / "etc/passwd").read_text(encoding="utf-8").splitlines())
    }
    tree = fresh / "data"
    tree.mkdir(mode=0o755)
    for name, (mode, owner) in DATA.items():
        (tree / name).mkdir()
        (tree / name).chmod(mode)
        os.chown(tree / name, *users[owner])
    _touch(tree, epoch)
    options = ["-i", "131072", "-J", "size=16"]  # as for the size that it will have, and few large files
    _ext4(tree, fresh / "data.ext4", label="data", size=DATA_SIZE, options=options, epoch=epoch, log=log)
    shutil.rmtree(tree)


def _touch(tree: Path, epoch: int) -> None:
    for path in (tree, *tree.rglob("*")):
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def _boot(fresh: Path, beside: Path, notice: str, *, epoch: int, log: Path) -> None:
    """The FAT partition: what the firmware loads, the settings file for its owner, and what is owed to others."""
    tree = fresh / "boot"
    (tree / "overlays").mkdir(parents=True)
    firmware = beside / "raspi-firmware"
    for name in FIRMWARE:
        shutil.copy(firmware / "usr/lib/raspi-firmware" / name, tree / name)
    (trees,) = beside.glob("linux-image-*/usr/lib/linux-image-*/broadcom")
    for name in TREES:
        shutil.copy(trees / name, tree / name)
    # should the firmware know no upstream name for this one
    shutil.copy(tree / "bcm2837-rpi-zero-2-w.dtb", tree / "bcm2710-rpi-zero-2-w.dtb")
    shutil.copy(beside / "u-boot-rpi/usr/lib/u-boot/rpi_arm64/u-boot.bin", tree / "u-boot.bin")
    firmware_licence = (firmware / "usr/share/doc/raspi-firmware/copyright").read_text(encoding="utf-8")
    (tree / "LICENCES.txt").write_text(f"{notice}\n\n{firmware_licence}", encoding="utf-8", newline="\r\n")
    shutil.copy(HERE / "config.txt", tree / "config.txt")
    for source in sorted((HERE / "devicetree").glob("*.dts")):
        target = tree / "overlays" / f"{source.stem}.dtbo"
        argv: list[str | Path] = ["dtc", "-@", "-q", "-I", "dts", "-O", "dtb", "-o", target, source]
        debian.in_tools(argv, binds=[fresh, HERE], log=log)
    script: list[str | Path] = [
        "mkimage",
        "-A",
        "arm64",
        "-T",
        "script",
        "-C",
        "none",
        "-n",
        "modemhub",
        "-d",
        HERE / "boot.cmd",
    ]
    debian.in_tools([*script, tree / "boot.scr"], binds=[fresh, HERE], log=log, SOURCE_DATE_EPOCH=str(epoch))
    environment: list[str | Path] = ["mkenvimage", "-s", "0x4000", "-o", tree / "uboot.env", HERE / "uboot-env.txt"]
    debian.in_tools(environment, binds=[fresh, HERE], log=log)
    text = (HERE / "modemhub.toml").read_text(encoding="utf-8")
    (tree / "modemhub.toml").write_text(text, encoding="utf-8", newline="\r\n")  # read in Windows' editor
    _touch(tree, epoch)
    fat = fresh / "boot.vfat"
    with fat.open("wb") as file:
        file.truncate(BOOT_SIZE)
    mkfs: list[str | Path] = ["mkfs.vfat", "--invariant", "-F", "32", "-n", "MODEMHUB", "-i", f"{SIGNATURE:08x}", fat]
    debian.in_tools(mkfs, binds=[fresh], log=log, SOURCE_DATE_EPOCH=str(epoch))
    files = sorted(tree.iterdir())
    debian.in_tools(
        ["mcopy", "-s", "-m", "-i", fat, *files, "::/"], binds=[fresh], log=log,
        SOURCE_DATE_EPOCH=str(epoch), TZ="UTC", MTOOLS_SKIP_CHECK="1",
    )  # fmt: skip
    shutil.rmtree(tree)


def _genimage() -> str:
    """The disk as genimage wants it told."""
    return f"""image card.img {{
    hdimage {{
        partition-table-type = "mbr"
        disk-signature = {SIGNATURE:#x}
        align = 1M
    }}
    partition choice {{ in-partition-table = false offset = {CHOICE_AT} image = "choice.bin" }}
    partition boot {{ partition-type = 0x0C bootable = true offset = 4M image = "boot.vfat" }}
    partition rootA {{ partition-type = 0x83 image = "root.ext4" size = {SLOT_SIZE} }}
    partition rootB {{ partition-type = 0x83 size = {SLOT_SIZE} }}
    partition data {{ partition-type = 0x83 image = "data.ext4" }}
}}
"""


def _card(root: Path, key: str, beside: Path, packages: Sequence[debian.Package], *, version: str, epoch: int) -> Card:
    files = ("boot.cmd", "config.txt", "modemhub.toml", "sbom.py", "uboot-env.txt")
    inputs = [(HERE / file).read_bytes() for file in files]
    name = digest(key.encode(), *inputs, tree_digest(HERE / "devicetree"), _genimage().encode())
    card = Card(CACHE / f"card-{name}", root, beside, tuple(packages), version, epoch)
    if card.place.exists():
        return card
    with appears(card.place) as fresh:
        say("writing the file systems and the disk")
        log = CACHE / "card.log"
        slot = ["-O", "^has_journal"]  # it is never written to
        _ext4(root, fresh / "root.ext4", label="root", size=SLOT_SIZE, options=slot, epoch=epoch, log=log)
        _data(fresh, root, epoch=epoch, log=log)
        places = {place.name: place for place in sorted(beside.iterdir())}
        _boot(fresh, beside, sbom.notice(root, packages, version=version, beside=places), epoch=epoch, log=log)
        (fresh / "choice.txt").write_text(FRESH, encoding="ascii")
        choice: list[str | Path] = ["-o", fresh / "choice.bin", fresh / "choice.txt"]
        debian.in_tools(["mkenvimage", "-s", str(CHOICE_SIZE), *choice], binds=[fresh], log=log)
        (fresh / "genimage.cfg").write_text(_genimage(), encoding="utf-8")
        (fresh / "nothing").mkdir()
        debian.in_tools(
            [
                "genimage", "--config", fresh / "genimage.cfg", "--rootpath", fresh / "nothing",
                "--tmppath", fresh / "tmp", "--inputpath", fresh, "--outputpath", fresh,
            ],
            binds=[fresh], log=log,
        )  # fmt: skip
        for left in ("tmp", "nothing"):
            shutil.rmtree(fresh / left, ignore_errors=True)
        for left in ("choice.txt", "choice.bin", "boot.vfat", "data.ext4", "genimage.cfg"):
            (fresh / left).unlink()
    return card


def _packages(*, moved: bool) -> tuple[list[debian.Package], list[debian.Package]]:
    """What is installed, and what is only unpacked; all of it fetched."""
    found = []
    for name in ("packages", "firmware"):
        packages = debian.locked(HERE / f"{name}.lock")
        try:
            debian.fetch(packages)
        except debian.Moved as gone:
            if not moved:
                raise
            say(f"NOT the locked image: {gone}")
            packages = _resolved(name)
            debian.fetch(packages)
        found.append(packages)
    return found[0], found[1]


def build(*, certificate: bytes, moved: bool = False, version: str | None = None) -> Card:
    """The card of this tree, built if it is not there.

    Args:
        certificate: PEM, of the authority that update bundles must be signed under.
        moved: where the mirror dropped what is locked, take what it has.
        version: another one than the tree's.

    Raises:
        Impossible: this machine cannot, or the mirror has moved.
    """
    debian.require_root("building the image")
    CACHE.mkdir(parents=True, exist_ok=True)
    version = version or package.version()
    epoch = source_date("appliance", "image", "udev", "uv.lock")
    packages, firmware = _packages(moved=moved)
    # the kernel's device trees are left out of the root, and on the FAT partition
    beside = _beside([*firmware, *(each for each in packages if each.name.startswith("linux-image-6"))])
    with debian.arm64_runs():
        base = _base(packages, _lock_date(HERE / "packages.lock"))
        root, key = _root(base, beside, certificate, version=version, epoch=epoch)
        card = _card(root, key, beside, [*packages, *firmware], version=version, epoch=epoch)
    _forget_old()
    return card


def _forget_old() -> None:
    """Remove all but the newest ``KEPT`` of what is large."""
    for kind in ("root", "card"):
        places = sorted(CACHE.glob(f"{kind}-*/"), key=lambda place: place.stat().st_mtime, reverse=True)
        for place in places[KEPT:]:
            shutil.rmtree(place)
