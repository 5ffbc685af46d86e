"""A device with two slots, as far as an update sees it: boot choice, RAUC, systemd, hub. Power can be cut at any step.

The boot choice follows RAUC 1.13's ``src/bootloaders/uboot.c`` (the order in which it writes the variables is theirs)
and ``image/card/boot.cmd``: the first slot of the order with attempts left, one fewer before it starts.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from image.device.download import Web
from image.device.fat import Fat
from image.device.place import Place
from image.device.prove import prove
from image.device.system import COMPATIBLE, System
from image.device.tell import Board
from image.device.updater import Refused, Updater

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BUNDLE = "modemhub-bundle.raucb"


class PowerCut(Exception):
    """Everything stops here."""


class Rebooting(Exception):
    """systemd was asked for it."""


@dataclass(frozen=True)
class Release:
    """What a slot or a bundle holds."""

    version: str
    build: str = "b"
    compatible: str = COMPATIBLE
    signed: bool = True
    boots: bool = True
    """Its kernel starts."""
    mounts: bool = True
    """It can mount the data partition, if anything can."""
    starts: bool = True
    """Its hub gets active."""
    refuses: bool = False
    """Its hub ends for good: settings."""
    answers: bool = True
    ready: int = 1
    readable_by: int = 0

    @property
    def digest(self) -> str:
        return f"hash of {self.version} {self.build}"


HALF = Release("half-written", boots=False)


@dataclass
class World:
    root: Path
    slots: dict[str, Release] = field(default_factory=dict)
    bundle: Release | None = None
    cut_at: int = -1
    """At which step from now power is cut; -1: never."""
    io_errors: int = 0
    """So many installations end with a slot that is written by half."""

    def __post_init__(self) -> None:
        self.order = ["A", "B"]
        self.left = {"A": 3, "B": 3}
        self.steps = 0
        self.done: Counter[str] = Counter()
        self.boots: list[str] = []
        self.clock = 0.0
        self.hub_since = 0.0
        self.said: list[str] = []
        self.calls: list[tuple[str, ...]] = []
        self.place = Place(self.root)
        self.system = System(self.place, self.run, lambda: self.clock, self._sleep, lambda: dt.datetime.now(dt.UTC))
        self.place.fat.mkdir(parents=True)
        self.readable = True
        """What is on the data partition can be mounted."""
        self._mount_data(mounted=True)
        self.updater = Updater(self.system, Web(self._sleep, self.said.append), self._mount)
        self.stick = self.root / "stick"

    # ------------------------------------------------------------------ time and power

    def _sleep(self, seconds: float) -> None:
        self.step("sleep")
        self.clock += seconds

    def step(self, name: str = "") -> None:
        """Power may be cut here; what is done again and again in one boot counts twice only."""
        self.done[name] += 1
        if name and self.done[name] > 2:
            return
        if self.steps == self.cut_at:
            self.cut_at = -1
            raise PowerCut
        self.steps += 1

    # ------------------------------------------------------------------ booting

    @property
    def booted(self) -> str:
        return self.boots[-1]

    @property
    def release(self) -> Release:
        return self.slots[self.booted]

    def boot(self) -> None:
        """Power on, until a system runs."""
        for _ in range(40):
            chosen = next((slot for slot in self.order if self.left[slot] > 0), None)
            if chosen is None:
                self.order, self.left = ["A", "B"], {"A": 3, "B": 3}
                continue
            self.left[chosen] -= 1
            if chosen not in self.slots or not self.slots[chosen].boots:
                continue  # the watchdog, or panic=
            self.boots.append(chosen)
            self.done.clear()
            self.clock += 30.0
            self.hub_since = self.clock + 20.0
            self._files()
            return
        raise AssertionError("nothing boots any more: bricked")

    def _files(self) -> None:
        for path, text in {
            "/proc/cmdline": f"root=PARTUUID=4d485542-02 ro rauc.slot={self.booted} quiet\n",
            "/proc/sys/kernel/random/boot_id": f"boot-{len(self.boots)}\n",
            "/etc/modemhub-image": f"VERSION={self.release.version}\nBUILD={self.release.build}\nBOARD=rpi-arm64\n",
        }.items():
            file = self.place.at(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        self._mount_data(mounted=self.readable and self.release.mounts)
        proved = self.place.run / "proved"
        proved.unlink(missing_ok=True)

    def _mount_data(self, *, mounted: bool) -> None:
        """Have the partition at /data, or the root's empty directory, in which nobody wrote."""
        data, partition = self.place.data, self.root / "partition"
        if data.is_symlink():
            data.unlink()
        elif data.exists():
            data.rmdir()
        partition.mkdir(exist_ok=True)
        if mounted:
            data.symlink_to(partition)
        else:
            data.mkdir()
        mounts = self.place.at("/proc/self/mounts")
        mounts.parent.mkdir(parents=True, exist_ok=True)
        mounts.write_text("/dev/mmcblk0p4 /data ext4 rw 0 0\n" * mounted)
        self.board = Board(self.place, fat=Fat(self.place, command=self._fat_command))

    def live(self, *, boots: int = 12) -> None:
        """Boot, prove, and again as often as it is asked for, or power is cut."""
        for _ in range(boots):
            self.boot()
            with contextlib.suppress(PowerCut, Rebooting):
                assert prove(self.system, self.board) == 0
                return
        raise AssertionError(f"it reboots for ever: {self.boots}")

    # ------------------------------------------------------------------ commands

    def run(self, argv: Sequence[str], seconds: float | None) -> subprocess.CompletedProcess[str]:
        assert seconds is not None
        self.step(" ".join(argv[:2]) if argv[0] != "rauc" else "")
        self.calls.append(tuple(argv))
        code, out, error = 0, "", ""
        match list(argv):
            case ["systemctl", "show", *_]:
                out = self._hub()
            case ["systemctl", "--no-block", "reboot"]:
                raise Rebooting
            case ["runuser", "-u", "modemhub", "--", "modemhub", "status", "--json"]:
                if self._active() and self.release.answers:
                    code, out = (
                        1,
                        json.dumps({"status": "degraded", "modems": {"ready": self.release.ready, "known": 2}}),
                    )
                else:
                    code, error = 1, "no hub"
            case ["fw_printenv", "-n", "BOOT_ORDER"]:
                out = " ".join(self.order) + "\n"
            case ["fw_printenv", "-n", variable]:
                out = f"{self.left[variable[5]]:x}\n"
            case ["fw_setenv", variable, value]:
                self.left[variable[5]] = int(value, 16)
            case ["rauc", "info", _, file]:
                code, out, error = self._info(self._bundle(file))
            case ["rauc", "install", file]:
                code, error = self._install(self._bundle(file))
            case ["rauc", "status", mark, which]:
                self._mark(mark, which)
            case _:
                code, error = 127, f"no such command: {argv}"
        return subprocess.CompletedProcess(list(argv), code, out, error)

    def _bundle(self, file: str) -> Release:
        """Bundles are files that say which of the test's releases they are."""
        assert Path(file).is_file()
        if self.bundle is not None:
            return self.bundle
        return Release(**json.loads(Path(file).read_text()))

    def _active(self) -> bool:
        return self.release.starts and not self.release.refuses and self.clock >= self.hub_since

    def _hub(self) -> str:
        state = "failed" if self.release.refuses else "active" if self._active() else "activating"
        entered = int(self.hub_since * 1e6) if state == "active" else 0
        return f"ActiveState={state}\nActiveEnterTimestampMonotonic={entered}\n"

    def _info(self, bundle: Release) -> tuple[int, str, str]:
        if not bundle.signed:
            return 1, "", "rauc-Message: Reading bundle\nsignature verification failed: self-signed certificate\n"
        words = {
            "update": {"version": bundle.version, "compatible": bundle.compatible, "build": bundle.build},
            "images": [{"checksum": bundle.digest}],
            "meta": {"modemhub": {"readable-by": str(bundle.readable_by)}},
        }
        return 0, json.dumps(words), ""

    def _install(self, bundle: Release) -> tuple[int, str]:
        """RAUC's steps, one after the other."""
        if not bundle.signed:
            return 1, "LastError: signature verification failed"
        target = "B" if self.booted == "A" else "A"
        words = {
            "RAUC_META_MODEMHUB_COMPATIBLE": bundle.compatible, "RAUC_META_MODEMHUB_VERSION": bundle.version,
            "RAUC_META_MODEMHUB_BUILD": bundle.build, "RAUC_IMAGE_DIGEST_2": bundle.digest,
            "RAUC_META_MODEMHUB_READABLE_BY": str(bundle.readable_by),
            "RAUC_TARGET_SLOTS": "2", "RAUC_SLOT_BOOTNAME_1": self.booted, "RAUC_SLOT_BOOTNAME_2": target,
        }  # fmt: skip
        try:
            self.updater.admit(words)
        except Refused as refused:
            return 1, f"LastError: Handler error: {refused}"
        self._set_bad(target)
        self.slots[target] = HALF
        self.step()
        if self.io_errors:
            self.io_errors -= 1
            return 1, "50% copying\nLastError: Installation error: I/O error\n\n"
        self.slots[target] = bundle
        self.step()
        self.left[target] = 3
        self.step()
        self.order = [target, *(slot for slot in self.order if slot != target)]
        self.step()
        self.updater.installed()
        self.step()
        return 0, ""

    def _set_bad(self, slot: str) -> None:
        self.step()
        self.order = [each for each in self.order if each != slot]
        self.step()
        self.left[slot] = 0
        self.step()

    def _mark(self, mark: str, which: str) -> None:
        slot = {"booted": self.booted, "other": "B" if self.booted == "A" else "A"}[which]
        if mark == "mark-bad":
            self._set_bad(slot)
        else:
            assert mark == "mark-good"
            self.left[slot] = 12
            self.step()

    def _fat_command(self, argv: Sequence[str | Path], *, given: str | None = None) -> str:
        assert (argv[0], given) in {("mount", None), ("sync", None)}
        self.step()
        return ""

    @contextlib.contextmanager
    def _mount(self, partition: Path) -> Iterator[Path]:
        assert partition.name == "sda1"
        yield self.stick

    # ------------------------------------------------------------------ what a test asks

    def plug(self, **bundles: Release) -> None:
        self.stick.mkdir(exist_ok=True)
        for name, release in bundles.items():
            (self.stick / f"modemhub-{name}.raucb").write_text(json.dumps(release.__dict__))

    def file(self, release: Release) -> Path:
        path = self.root / BUNDLE
        path.write_text(json.dumps(release.__dict__))
        return path

    @property
    def told(self) -> str:
        file = self.place.fat / "modemhub-error.txt"
        return file.read_text("utf-8-sig") if file.exists() else ""

    def until(self, act: Callable[[], object]) -> type[Exception] | None:
        """Do it; how it ended, where it was the machine's end."""
        try:
            act()
        except (PowerCut, Rebooting) as end:
            return type(end)
        return None
