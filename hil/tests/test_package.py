"""The Debian package in a plain Debian 13: it installs, runs, is upgraded, goes, and leaves nothing.

The tree is made once by mmdebstrap and kept below ``.cache/package``; each test has a copy and enters it by chroot.
Nothing is mounted and no systemd runs in it, so that the unit is judged by systemd's own tools and the command is
started as the unit would: its user, no capability, no memory both writable and executable, READY=1 heard. The modem is
emulated, and behind TCP, as one on a serial server.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tty
from typing import TYPE_CHECKING, Final

import pytest

from hil.rig import Api, Child, Modems
from hil.rig.broker import free_port
from hil.rig.hub import Notified, toml
from image.building import appears, mirrors
from image.building import run as build_step
from image.package.build import CACHE, HERE, build, version

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NEEDED: Final = ("mmdebstrap", "dpkg-deb", "lintian", "systemd-analyze")
_missing = [command for command in NEEDED if not shutil.which(command)]

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(os.geteuid() != 0, reason="a tree of another system is made and entered by root only"),
    pytest.mark.skipif(bool(_missing), reason=f"not installed: apt install mmdebstrap lintian ({', '.join(_missing)})"),
]

RELEASE: Final = "trixie"
EXPOSURE: Final = 2.0
"""The highest that ``systemd-analyze security`` may say."""
CONFIG: Final = "etc/modemhub/modemhub.toml"
STATE: Final = "var/lib/modemhub"
PASSING: Final = ("run/", "tmp/", "var/cache/", "var/lib/apt/", "var/lib/dpkg/", "var/log/")
"""What apt and dpkg write about themselves, and what no boot leaves."""
BACKUPS: Final = frozenset(f"etc/{name}-" for name in ("passwd", "group", "shadow", "gshadow"))
"""Of the user that stays."""

AS_THE_UNIT: Final = (
    "setpriv", "--reuid=modemhub", "--regid=modemhub", "--init-groups", "--no-new-privs", "--bounding-set=-all",
    "--inh-caps=-all", "python3", "-c",
    # PR_SET_MDWE with PR_MDWE_REFUSE_EXEC_GAIN, since Linux 6.3
    "import ctypes, os, sys; assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0; os.execv(sys.argv[1], sys.argv[1:])",
)  # fmt: skip
IMPORT_ALL: Final = (
    "import importlib, pkgutil, appliance\n"
    "names = [module.name for module in pkgutil.walk_packages(appliance.__path__, 'appliance.')]\n"
    "print(len([importlib.import_module(name) for name in names if not name.endswith('__main__')]))\n"
    "import cryptography, gpiod, gpiozero, pyudev; pyudev.Context()\n"
    "assert all(m.__file__.startswith('/usr/lib/modemhub/') for m in (appliance, cryptography, gpiod, pyudev))"
)


def architecture() -> str:
    return subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()


def depends() -> list[str]:
    (line,) = re.findall(r"^Depends: (.*)$", (HERE / "debian/control").read_text(), re.MULTILINE)
    return [entry.split()[0] for entry in line.split(", ")]


def plain() -> Path:
    """A Debian with nothing beyond what apt needs; the packages that ours asks for are fetched, not installed."""
    names = " ".join(depends())
    key = hashlib.sha256(f"1 {RELEASE} {architecture()} {names}".encode()).hexdigest()[:16]
    place = CACHE / f"plain-{key}"
    if not place.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with appears(place) as fresh:
            argv: list[str | Path] = [
                "mmdebstrap", "--mode=root", "--variant=minbase", "--skip=cleanup/apt",
                '--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io",
                f'--customize-hook=chroot "$1" apt-get install --yes --download-only {names}',
                RELEASE, fresh / "tree", f"deb {mirrors()['Debian']} {RELEASE} main",
            ]  # fmt: skip
            build_step(argv, log=CACHE / "plain.log")
    return place / "tree"


class Debian:
    """A copy of the plain tree."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        subprocess.run(["cp", "--archive", "--reflink=auto", plain(), tree], check=True)
        policy = tree / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        # /proc is not mounted; this much of it the hub cannot do without
        boot_id = "proc/sys/kernel/random/boot_id"
        (tree / boot_id).parent.mkdir(parents=True)
        shutil.copyfile(f"/{boot_id}", tree / boot_id)

    def run(self, *argv: str, **environment: str) -> str:
        """Run a command in it; its output."""
        done = subprocess.run(
            ["chroot", self.tree, *argv],
            env={"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(argv)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def install(self, package: Path) -> str:
        shutil.copy(package, self.tree / "tmp")
        return self.run("apt-get", "install", "--yes", f"/tmp/{package.name}")

    def files(self) -> set[str]:
        """Every path that lasts, but for what apt and dpkg write about themselves."""
        paths = (str(path.relative_to(self.tree)) for path in self.tree.rglob("*"))
        return {path for path in paths if not path.startswith(PASSING)} - BACKUPS

    def ids(self, user: str) -> tuple[int, int]:
        return int(self.run("id", "-u", user)), int(self.run("id", "-g", user))


def raised(package: Path, into: Path) -> Path:
    """The same package with a higher version."""
    tree = into / "raised"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {version()}\n", f"Version: {version()}+next\n"))
    target = into / package.name.replace(version(), f"{version()}+next")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, target], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    return target


@contextlib.asynccontextmanager
async def over_tcp(terminal: str) -> AsyncIterator[str]:
    """The address at which a serial server would offer this terminal, to one at a time."""
    port = os.open(terminal, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(port)
    loop = asyncio.get_running_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def forward() -> None:
            with contextlib.suppress(BlockingIOError):
                writer.write(os.read(port, 4096))

        loop.add_reader(port, forward)
        try:
            while data := await reader.read(256):
                os.write(port, data)
        finally:
            loop.remove_reader(port)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"socket://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        os.close(port)


async def a_text_goes_out(debian: Debian, modems: Modems, address: str, token: str, *, to: str, log: Path) -> None:
    """Start the hub as its unit does, send by HTTP, see it at the network, end it by SIGTERM."""
    notified = Notified()
    argv = ["chroot", str(debian.tree), *AS_THE_UNIT, "/usr/bin/modemhub", "run"]
    try:
        async with await Child.start("hub", argv, log=log, environment={"NOTIFY_SOCKET": "@" + notified.name}) as hub:
            async with asyncio.timeout(60):
                await notified.ready()
            async with Api(address, token) as api:
                answer = await api.call("POST", "/api/v1/messages?wait=60", {"to": to, "text": "from a package"})
                assert answer.json.get("state") in {"submitted", "delivered"}, answer
            assert (to, "from a package") in modems.texts()
            assert await hub.stop() == 0
    finally:
        notified.close()


@pytest.mark.asyncio
async def test_its_whole_life_on_a_plain_debian(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    package = build(architecture(), into=tmp_path)
    debian = Debian(tmp_path_factory.mktemp("debian") / "tree")  # its own logs are no evidence

    # what it asks for can be had; with that alone the tree is what it is to be again in the end
    shutil.copy(package, debian.tree / "tmp")
    planned = debian.run("apt-get", "install", "--simulate", f"/tmp/{package.name}")
    wanted = set(re.findall(r"^Inst (\S+)", planned, re.MULTILINE))
    assert {"modemhub", "python3", "systemd", "udev"} <= wanted
    debian.run("apt-get", "install", "--yes", *sorted(wanted - {"modemhub"}))
    before = debian.files()

    debian.install(package)
    assert debian.run("modemhub", "--version").strip() == f"modemhub {version()}"
    assert debian.run("modemhub", "config", "check").strip() == "The settings are right."
    assert int(debian.run("/usr/lib/modemhub/bin/python3", "-I", "-c", IMPORT_ALL)) > 50
    user, group = debian.ids("modemhub")
    assert "dialout" in debian.run("id", "-nG", "modemhub").split()
    config, state = (debian.tree / CONFIG).stat(), (debian.tree / STATE).stat()
    assert (config.st_uid, config.st_gid, config.st_mode & 0o7777) == (0, group, 0o640)
    assert (state.st_uid, state.st_gid, state.st_mode & 0o7777) == (user, group, 0o700)
    assert (debian.tree / "etc/systemd/system/multi-user.target.wants/modemhub.service").is_symlink()
    debian.run("udevadm", "verify", "--no-summary", "/usr/lib/udev/rules.d/70-modemhub.rules",
               "/usr/lib/udev/rules.d/49-modemhub-gpio.rules")  # fmt: skip
    assert not debian.run("systemd-analyze", "verify", "/usr/lib/systemd/system/modemhub.service").strip()
    said = debian.run("systemd-analyze", "security", "--offline=true", "/usr/lib/systemd/system/modemhub.service")
    (exposure,) = re.findall(r"exposure level for modemhub\.service: ([0-9.]+)", said)
    assert float(exposure) <= EXPOSURE

    # a credential, as systemd hands it over
    secrets = debian.tree / "run/credentials/modemhub.service"
    secrets.mkdir(parents=True)
    (secrets / "mqtt__password").write_text("sesame")
    environment = {"CREDENTIALS_DIRECTORY": "/run/credentials/modemhub.service", "MODEMHUB_MQTT__USERNAME": "hub"}
    shown = json.loads(debian.run("modemhub", "config", "show", **environment))
    assert shown["mqtt"]["password"] == "**********"
    shutil.rmtree(secrets.parent)

    address = f"127.0.0.1:{free_port()}"
    async with Modems(tmp_path / "modems") as modems, over_tcp(modems.ports[0]) as port:
        sections = {"http": {"listen": address}, "detect": {"udev": False}, "policy": {"allowed_destinations": ["*"]}}
        settings = "# mine\n" + toml(sections, modems=[{"port": port}])
        (debian.tree / CONFIG).write_text(settings)
        create = ("setpriv", "--reuid=modemhub", "--regid=modemhub", "--init-groups", "modemhub", "token", "create")
        token = debian.run(*create, "--name", "me", "--scope", "admin").split()[-1]
        hub, log = f"http://{address}", tmp_path / "hub.log"
        await a_text_goes_out(debian, modems, hub, token, to="+447700900101", log=log)

        debian.install(raised(package, tmp_path))
        assert debian.run("dpkg-query", "-W", "-f=${Version}", "modemhub") == f"{version()}+next"
        assert (debian.tree / CONFIG).read_text() == settings
        assert (debian.tree / CONFIG).stat().st_gid == group
        await a_text_goes_out(debian, modems, hub, token, to="+447700900102", log=log)  # by the same token

    debian.run("apt-get", "remove", "--yes", "modemhub")
    assert not (debian.tree / "usr/lib/modemhub").exists()
    assert (debian.tree / CONFIG).read_text() == settings
    assert (debian.tree / STATE / "modemhub.db").exists()

    told = debian.run("apt-get", "purge", "--yes", "modemhub")
    for place in ("/var/lib/modemhub", "/etc/modemhub"):
        assert f"removed {place}" in told
    assert debian.files() == before


def test_the_same_bytes_from_another_checkout_and_no_complaint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, long: bool
) -> None:
    """The copy has other paths, another umask and other dates, and no history: so the date is told to both."""
    if not long:
        pytest.skip("in the long form: it builds twice")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    first = build(architecture(), into=tmp_path / "first")
    copy = tmp_path / "a copy"
    copy.mkdir(0o700)
    root = HERE.parents[1]
    for name in ("appliance", "hil", "image", "udev"):
        shutil.copytree(root / name, copy / name, symlinks=True, copy_function=shutil.copyfile)
    for name in ("pyproject.toml", "uv.lock", "README.md", "LICENSE"):
        shutil.copyfile(root / name, copy / name)
    (copy / ".cache").mkdir()
    for tool in (root / ".cache").glob("uv*"):
        (copy / ".cache" / tool.name).symlink_to(tool.resolve())
    subprocess.run(
        [sys.executable, "-m", "image.package.build", "--architecture", architecture(), "--into", tmp_path / "second"],
        cwd=copy, umask=0o077, check=True, capture_output=True,
    )  # fmt: skip
    assert (tmp_path / "second" / first.name).read_bytes() == first.read_bytes()

    done = subprocess.run(["lintian", "--allow-root", "--fail-on=error,warning", first], capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
