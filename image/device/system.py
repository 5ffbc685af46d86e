"""What updates and their proof ask of the running system, and the few things that they tell it.

Every answer that does not come counts as the worse one: a hub that cannot be asked is not active, a modem that is not
reported is not ready.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .place import Place
from .release import Running
from .rim import Failed
from .trial import Before, Ledger, standing

if TYPE_CHECKING:
    from pathlib import Path

    from .trial import Standing, State

__all__ = ["COMPATIBLE", "Hub", "Run", "System", "spawn"]

COMPATIBLE: Final = "modemhub-rpi-arm64"
"""RAUC's word for the boards of this image, in ``system.conf`` and in every bundle."""
HUB: Final = "modemhub.service"
ASK_SECONDS: Final = 60.0
"""For a question: on a Zero 2 W, the hub's command takes 5 s to start."""
ATTEMPTS: Final = 12
"""Of a committed slot, as in ``system.conf``."""
FEW: Final = 2
"""Attempts that are left in the first start of a trial: ``boot-attempts-primary`` of ``system.conf``, less that one."""
RAUC_SECONDS: Final = 120.0
"""For marking a slot; RAUC's service is started for it, and it asks for the state of both slots."""

Run = Callable[[Sequence[str], float | None], "subprocess.CompletedProcess[str]"]
"""Runs a command for at most so many seconds; no exception: what cannot be run has a return code of its own."""


def spawn(argv: Sequence[str], seconds: float | None) -> subprocess.CompletedProcess[str]:
    """Run it; 127: it is not there, 124: it took too long."""
    try:
        return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=seconds)
    except OSError as error:
        return subprocess.CompletedProcess(argv, 127, "", str(error))
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 124, "", f"it did not end within {seconds:.0f} s")


def say(text: str) -> None:
    """A line for the journal, and for who started this by hand."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the journal of a service


@dataclass(frozen=True, slots=True)
class Hub:
    """How the hub's service is."""

    active: bool = False
    failed: bool = False
    """It ended and is not started again: its settings are wrong."""
    stable: float = 0.0
    """Seconds since it became active; a restart begins anew."""


@dataclass(frozen=True, slots=True)
class System:
    """The system that runs. Tests have another root, clock and ``run``."""

    place: Place = field(default_factory=Place)
    run: Run = spawn
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)

    # -------------------------------------------------------------------------------------------- what it is

    @property
    def words(self) -> dict[str, str]:
        """The kernel line's ``key=value``."""
        line = self.place.at("/proc/cmdline").read_text(encoding="ascii", errors="replace")
        return {key: value for key, _, value in (word.partition("=") for word in line.split())}

    @property
    def slot(self) -> str:
        """The slot that runs: "A" or "B"."""
        return self.words.get("rauc.slot", "A")

    @property
    def boot_id(self) -> str:
        """Another one in each boot."""
        return self.place.at("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()

    @property
    def image(self) -> dict[str, str]:
        """``/etc/modemhub-image``."""
        try:
            text = self.place.image.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
        return {key.strip(): " ".join(shlex.split(value)) for key, _, value in pairs}

    @property
    def schema(self) -> int:
        """The newest schema of the journal that the hub of this slot knows; 0: not known."""
        files = self.place.at("/usr/lib/modemhub/lib").glob("python3*/site-packages/appliance/store/schema/*.sql")
        return max((int(file.name[:4]) for file in files if file.name[:4].isdigit()), default=0)

    @property
    def stamp(self) -> str:
        """The time, for people."""
        return self.now().isoformat(timespec="seconds")

    # -------------------------------------------------------------------------------------------- the record

    @property
    def record(self) -> Path:
        """The record of the last update."""
        return self.place.device / "update.json"

    @property
    def ledger(self) -> Ledger:
        """What it holds."""
        return Ledger.load(self.record)

    @property
    def standing(self) -> Standing:
        """What this boot is by it."""
        return standing(self.ledger.trial, booted=self.slot, boot_id=self.boot_id)

    def become(self, state: State, *, reason: str = "") -> None:
        """Record it."""
        self.ledger.become(state, at=self.stamp, reason=reason).save(self.record)

    def running(self, *, on_trial: bool) -> Running:
        """What runs, as ``release.refusal`` wants it."""
        image = self.image
        return Running(COMPATIBLE, image.get("VERSION", ""), image.get("BUILD", ""), self.schema, on_trial)

    # -------------------------------------------------------------------------------------------- the hub

    def hub(self) -> Hub:
        """Ask systemd."""
        argv = ["systemctl", "show", HUB, "--property=ActiveState,ActiveEnterTimestampMonotonic"]
        lines = self.run(argv, ASK_SECONDS).stdout.splitlines()
        said = {key: value for key, _, value in (line.partition("=") for line in lines)}
        if said.get("ActiveState") != "active":
            return Hub(failed=said.get("ActiveState") == "failed")
        entered = said.get("ActiveEnterTimestampMonotonic", "")
        since = int(entered) / 1e6 if entered.isdigit() else self.monotonic()
        return Hub(active=True, stable=max(0.0, self.monotonic() - since))

    def status(self) -> dict[str, Any] | None:
        """What the hub says by its command, which takes HTTP, TLS and a write to its journal; None: nothing."""
        argv = ["runuser", "-u", "modemhub", "--", "modemhub", "status", "--json"]
        try:
            said = json.loads(self.run(argv, ASK_SECONDS).stdout)
        except ValueError:
            return None
        return said if isinstance(said, dict) else None

    def before(self) -> Before:
        """How the hub is, to be compared with how it will be."""
        active = self.hub().active
        said = self.status() if active else None
        return Before(active=active, answers=said is not None, ready=ready(said))

    def writable(self) -> bool:
        """Whether the data partition takes and keeps something."""
        probe = self.place.device / ".probe"
        try:
            self.place.device.mkdir(mode=0o700, parents=True, exist_ok=True)
            with probe.open("wb") as file:
                file.write(b"\0" * 4096)
                file.flush()
                os.fsync(file.fileno())
            probe.unlink()
        except OSError:
            return False
        return True

    # -------------------------------------------------------------------------------------------- the slots

    def mark(self, word: str, which: str) -> None:
        """``rauc status mark-good booted`` and the like.

        Raises:
            Failed: RAUC could not.
        """
        done = self.run(["rauc", "status", f"mark-{word}", which], RAUC_SECONDS)
        if done.returncode:
            raise Failed(f"rauc could not mark the {which} slot {word}: {done.stderr.strip() or done.returncode}")

    @property
    def few_left(self) -> bool:
        """Whether the running slot has as few attempts left as one on trial, and there is another; as ``overdue``."""
        other = "B" if self.slot == "A" else "A"
        order = self._choice("BOOT_ORDER").split()
        with contextlib.suppress(ValueError):
            return (
                int(self._choice(f"BOOT_{self.slot}_LEFT"), 16) <= FEW
                and other in order
                and int(self._choice(f"BOOT_{other}_LEFT"), 16) > 0
            )
        return False

    def _choice(self, variable: str) -> str:
        """Of the boot choice; empty: it cannot be read."""
        return self.run(["fw_printenv", "-n", variable], ASK_SECONDS).stdout.strip()

    def refill(self) -> None:
        """Give the running slot its attempts back without RAUC, which does the same (``boot-attempts``).

        Raises:
            Failed: the boot choice cannot be written.
        """
        done = self.run(["fw_setenv", f"BOOT_{self.slot}_LEFT", f"{ATTEMPTS:x}"], ASK_SECONDS)
        if done.returncode:
            raise Failed(f"the boot choice cannot be written: {done.stderr.strip() or done.returncode}")

    def reboot(self) -> None:
        """Ask for it: every service ends as at a shutdown.

        Raises:
            Failed: systemd would not.
        """
        done = self.run(["systemctl", "--no-block", "reboot"], ASK_SECONDS)
        if done.returncode:
            raise Failed(f"systemd did not reboot: {done.stderr.strip() or done.returncode}")


def ready(status: dict[str, Any] | None) -> int:
    """How many modems are ready by the hub's own word."""
    with contextlib.suppress(TypeError, KeyError, ValueError):
        return int((status or {})["modems"]["ready"])
    return 0
