"""Debian packages by exact version and hash, and trees made of them: what the SD image and the guest are built with.

Promise: a tree is made of the packages of a lock file and of nothing else; each file is checked against its hash there
before dpkg sees it. Fetching goes on where it stopped. What was registered with the kernel for a build is taken out
again.

What it does not do: it keeps no old packages. A mirror without dated snapshots drops a package when a newer one is
there; then the build says which, and ``resolve`` makes a new lock file of what the mirror has.

Theory of operation.

* A **lock** has one line for each package: name, version, architecture, SHA-256, size, archive and path. ``resolve``
  makes it by asking apt (with a state of its own: nothing of this machine's packages counts) what it would install.
* ``fetch`` brings the files of a lock below ``.cache/debian``, named by their hash.
* ``tree`` hands exactly those files to mmdebstrap, as an archive that has nothing else.
* ``tools`` is a tree for this machine with the programs that write the image, of the release that the image has: the
  same versions on whatever Debian the build runs. ``in_tools`` runs one of them there.
* ``arm64_runs``: the kernel runs arm64 programs with qemu-user of the tools (four times as fast as that of Debian 12);
  binfmt_misc with flag F: one open file serves every tree.

It needs root, a Debian host with a mirror that apt knows, a kernel that has binfmt_misc, and ``NEEDED``.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import os
import platform
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from image.building import Impossible, appears, digest, mirrors, missing, run, say, sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "RELEASE",
    "Moved",
    "Package",
    "arm64_runs",
    "fetch",
    "in_tools",
    "listed",
    "locked",
    "require_root",
    "resolve",
    "tools",
    "tree",
]

ROOT: Final = Path(__file__).resolve().parents[1]
HERE: Final = Path(__file__).resolve().parent
CACHE: Final = (ROOT / ".cache").resolve() / "debian"
FORMAT: Final = "1"
"""Counts the changes of this file that change what it builds."""
RELEASE: Final = "trixie"
COMPONENTS: Final = "main non-free-firmware"
ARCHIVES: Final = {"debian": "Debian", "debian-security": "Debian-Security"}
"""The archive's name in a lock file, and apt's label for it."""
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TOOLS_ARCHITECTURE: Final = "amd64"
NEEDED: Final = {"mmdebstrap": "mmdebstrap", "arch-test": "arch-test", "dpkg-deb": "dpkg"}
BINFMT: Final = Path("/proc/sys/fs/binfmt_misc")
HANDLER: Final = "qemu-aarch64"
"""The name under which mmdebstrap looks for a handler."""
ELF_ARM64: Final = (
    r"\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
)
"""Magic and mask of an ELF64 little-endian executable (or PIE) for EM_AARCH64."""
SLIM: Final = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/lintian/*",
)
"""What dpkg leaves out: a device has no reader; the licences stay."""
ATTEMPTS: Final = 4
AT_ONCE: Final = 4
"""Downloads at a time."""


class Moved(Impossible):
    """The mirror does not have these packages of a lock any more."""

    def __init__(self, lost: Sequence[Package]) -> None:
        names = ", ".join(f"{package.name} {package.version}" for package in lost)
        super().__init__(
            f"the mirror has newer versions than the lock, and has dropped: {names}."
            " `make image ARGS=--lock` makes a new lock; `ARGS=--moved` builds with what there is and says so"
        )


@dataclass(frozen=True, slots=True)
class Package:
    """One binary package."""

    name: str
    version: str
    architecture: str
    sha256: str
    size: int
    archive: str
    path: str

    def __str__(self) -> str:
        fields = (self.name, self.version, self.architecture, self.sha256, self.size, self.archive, self.path)
        return " ".join(map(str, fields))

    @classmethod
    def of(cls, line: str) -> Self:
        """Read a line of a lock."""
        name, version, architecture, sha256, size, archive, path = line.split()
        return cls(name, version, architecture, sha256, int(size), archive, path)

    @property
    def file(self) -> Path:
        """Where it is kept."""
        return CACHE / "packages" / f"{self.name}_{self.sha256[:16]}.deb"


def require_root(what: str, *, needed: Mapping[str, str] = NEEDED) -> None:
    """Say early what is missing.

    Raises:
        Impossible: not root, or a command is missing.
    """
    if os.geteuid() != 0:
        raise Impossible(f"{what} needs root: it makes the files of another system's root")
    if lost := missing(needed):
        raise Impossible(lost)


# ------------------------------------------------------------------------------------------------------------- locks


def listed(file: Path) -> list[str]:
    """The lines of a list, without comments."""
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def locked(file: Path) -> list[Package]:
    """The packages of a lock file."""
    return [Package.of(line) for line in listed(file)]


def _addresses() -> dict[str, str]:
    known = mirrors()
    return {archive: known[label].rstrip("/") for archive, label in ARCHIVES.items() if label in known}


def resolve(wanted: Sequence[str], architecture: str) -> list[Package]:
    """What apt would install on an empty system of ``RELEASE`` for these packages, today.

    Raises:
        Impossible: apt cannot reach the mirror, or knows no such package.
    """
    addresses = _addresses()
    suites = {"debian": (RELEASE, f"{RELEASE}-updates"), "debian-security": (f"{RELEASE}-security",)}
    sources = [
        f"deb [signed-by={KEYRING}] {address} {suite} {COMPONENTS}"
        for archive, address in addresses.items()
        for suite in suites[archive]
    ]
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        place = Path(scratch)
        for directory in ("state/lists/partial", "cache/archives/partial"):
            (place / directory).mkdir(parents=True)
        (place / "status").touch()
        (place / "sources.list").write_text("\n".join(sources) + "\n", encoding="utf-8")
        settings = {
            "Dir::Etc::SourceList": f"{place}/sources.list", "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null", "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State": f"{place}/state", "Dir::State::status": f"{place}/status", "Dir::Cache": f"{place}/cache",
            "APT::Architecture": architecture, "APT::Install-Recommends": "false", "APT::Sandbox::User": "root",
            "Acquire::ForceHash": "SHA256", "Acquire::Languages": "none",
        }  # fmt: skip
        lines = [f'{key} "{value}";' for key, value in settings.items()]
        (place / "apt.conf").write_text(
            "\n".join((*lines, f'APT::Architectures {{ "{architecture}"; }};', "")), encoding="utf-8"
        )
        environment = {"APT_CONFIG": f"{place}/apt.conf"}
        run(["apt-get", "update", "--error-on=any"], log=CACHE / "apt.log", **environment)
        argv = ["apt-get", "-qq", "--print-uris", "install", "?essential", "apt", *wanted]
        done = subprocess.run(argv, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Impossible(f"apt: {done.stderr.strip()}")
    packages = []
    for line in done.stdout.splitlines():
        if not line.startswith("'"):
            continue
        uri, file, size, sha256 = line.split()
        uri = uri.strip("'")
        archive, address = max(
            ((name, address) for name, address in addresses.items() if uri.startswith(address + "/")),
            key=lambda each: len(each[1]),
        )
        name, version, rest = urllib.parse.unquote(file).split("_")
        path = uri.removeprefix(address + "/")
        packages.append(
            Package(name, version, rest.removesuffix(".deb"), sha256.removeprefix("SHA256:"), int(size), archive, path)
        )
    return sorted(packages, key=lambda package: package.name)


# ------------------------------------------------------------------------------------------------------------- files


def _download(package: Package, address: str) -> bool:
    """Whether it is there now; false: the mirror does not have it.

    Raises:
        Impossible: the mirror could not be reached, or what it gave is something else.
    """
    part = package.file.with_suffix(f".{os.getpid()}.part")
    problem: Exception | None = None
    for _ in range(ATTEMPTS):
        try:
            with urllib.request.urlopen(f"{address}/{package.path}", timeout=60) as answer, part.open("wb") as file:  # noqa: S310 - the mirror of apt
                shutil.copyfileobj(answer, file)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            problem = error
        except OSError as error:
            problem = error
        else:
            if sha256(part) == package.sha256:
                part.rename(package.file)
                return True
            problem = ValueError("it is not what the lock says")
        part.unlink(missing_ok=True)
    raise Impossible(f"{package.path} could not be fetched: {problem}")


def fetch(packages: Sequence[Package]) -> None:
    """Bring these packages here, those that are missing.

    Raises:
        Moved: the mirror dropped some of them; all others are here.
        Impossible: the mirror could not be reached.
    """
    (CACHE / "packages").mkdir(parents=True, exist_ok=True)
    missing = [package for package in packages if not package.file.exists()]
    if not missing:
        return
    addresses = _addresses()
    total = sum(package.size for package in missing)
    say(f"fetching {len(missing)} Debian packages, {total / 1e6:.0f} MB")
    had, told, lost = 0, 0, []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = {pool.submit(_download, package, addresses[package.archive]): package for package in missing}
        for done in concurrent.futures.as_completed(waiting):
            package = waiting[done]
            if not done.result():
                lost.append(package)
            had += package.size
            if had * 4 // total > told:
                told = had * 4 // total
                say(f"  {had / 1e6:.0f} of {total / 1e6:.0f} MB")
    if lost:
        raise Moved(sorted(lost, key=lambda package: package.name))


def _archive(packages: Sequence[Package], place: Path) -> None:
    """An archive for apt that has exactly these packages."""
    place.mkdir()
    entries = []
    for package in packages:
        name = f"{package.name}.deb"
        (place / name).hardlink_to(package.file)
        control = subprocess.run(
            ["dpkg-deb", "--field", package.file], check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()
        entries.append(f"{control}\nFilename: ./{name}\nSize: {package.size}\nSHA256: {package.sha256}\n")
    (place / "Packages").write_text("\n".join(entries), encoding="utf-8")


def tree(
    packages: Sequence[Package], place: Path, *, architecture: str, options: Sequence[str] = (), log: Path, epoch: int
) -> None:
    """Install exactly these packages into the new directory ``place``.

    Args:
        packages: all of them, dependencies included.
        place: the directory; its parent is on the file system of the cache.
        architecture: Debian's name.
        options: more for mmdebstrap.
        log: gets what it says.
        epoch: the date (``SOURCE_DATE_EPOCH``) of what the packages' scripts make.

    Raises:
        Impossible: a script of a package failed, or a package is missing.
    """
    fetch(packages)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        archive = Path(scratch) / "archive"
        _archive(packages, archive)
        Path(scratch).chmod(0o755)
        argv: list[str | Path] = [
            "mmdebstrap", "--mode=root", "--variant=custom", f"--architectures={architecture}", "--format=directory",
            f"--include={','.join(package.name for package in packages)}",
            *(f"--dpkgopt={option}" for option in (*SLIM, "force-unsafe-io")),
            '--aptopt=APT::Install-Recommends "false"', *options,
            RELEASE, place, f"deb [trusted=yes] copy://{archive} ./",
        ]  # fmt: skip
        # no initramfs at each package that asks for one: who wants one makes it when everything is there
        run(argv, log=log, INITRD="No", SOURCE_DATE_EPOCH=str(epoch), DEBIAN_FRONTEND="noninteractive")
    for left in ("var/cache/apt", "var/lib/apt/lists", "etc/apt/sources.list"):
        path = place / left
        if path.is_dir():
            shutil.rmtree(path)
            path.mkdir()
        else:
            path.unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------------------------- tools


def tools() -> Path:
    """The tree of tools, made if it is not there.

    Raises:
        Impossible: this machine cannot.
    """
    if platform.machine() != "x86_64":
        raise Impossible("the tools that write the image are locked for amd64; build there")
    packages = locked(HERE / "tools.lock")
    place = CACHE / f"tools-{digest(*(str(word).encode() for word in (FORMAT, *SLIM, *packages)))}"
    if not place.exists():
        require_root("making the tree of tools")
        CACHE.mkdir(parents=True, exist_ok=True)
        with appears(place) as fresh:
            say("making the tree of tools: a minute, once")
            try:
                fetch(packages)
            except Moved as moved:
                say(f"tools: {moved}; taking what there is")
                packages = resolve(listed(HERE / "tools"), TOOLS_ARCHITECTURE)
            tree(packages, fresh / "root", architecture=TOOLS_ARCHITECTURE, log=CACHE / "tools.log", epoch=0)
    return place / "root"


def in_tools(
    argv: Sequence[str | Path], *, binds: Sequence[Path] = (), cwd: Path = Path("/"), log: Path, **environment: str
) -> None:
    """Run a command in the tree of tools, which sees ``binds`` (and ``/dev``, ``/proc``) where they are here.

    Raises:
        Impossible: it failed.
    """
    root = tools()
    script = ["set -e"]
    # under the name by which it is called, too: a checkout's cache may be a link
    names = {
        name: place for place in (Path("/dev"), Path("/proc"), *binds) for name in (place.absolute(), place.resolve())
    }
    for name, place in names.items():
        target = root / str(name).lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        script.append(f"mount --rbind '{place.resolve()}' '{target}'")
    script.append(f"exec chroot '{root}' sh -c 'cd \"$0\" && exec \"$@\"' '{cwd}' \"$@\"")
    run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(script), "sh", *argv],
        log=log, **environment,
    )  # fmt: skip


@contextlib.contextmanager
def arm64_runs() -> Iterator[None]:
    """While it lasts, this machine runs arm64 programs.

    Raises:
        Impossible: its kernel lets nobody register them.
    """
    if platform.machine() == "aarch64":
        yield
        return
    emulator = tools() / "usr/bin" / HANDLER
    # what one build registers with the kernel, another one must not take away: one at a time, whatever its checkout
    with (Path(tempfile.gettempdir()) / "modemhub-arm64.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _registered(emulator):
            yield


@contextlib.contextmanager
def _registered(emulator: Path) -> Iterator[None]:
    mounted = not (BINFMT / "register").exists()
    if mounted:
        command = ["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Impossible(f"this kernel lets nobody register the format of arm64 programs: {done.stderr.strip()}")
    entry = BINFMT / HANDLER
    registered = not entry.exists()
    try:
        if registered:
            line = f":{HANDLER}:M::{ELF_ARM64}:{emulator}:OCF"
            try:
                (BINFMT / "register").write_text(line, encoding="ascii")
            except OSError as error:
                raise Impossible(f"the kernel does not take the handler of arm64 programs: {error}") from error
        yield
    finally:
        if registered and entry.exists():
            entry.write_text("-1", encoding="ascii")
        if mounted:
            subprocess.run(["umount", str(BINFMT)], check=False)
