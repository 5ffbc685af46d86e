"""Installs signed bundles from a file, the network or a USB stick.

Promise: whichever way a bundle comes, RAUC verifies its signature and asks ``update admit`` before it touches the other
slot; the slot that runs is never written. A bundle that was installed once is not installed again by itself, so that
one that was taken back is not tried every night, and a stick that stays plugged in does nothing. Before the reboot
the hub ends as at any stop: no accepted text is lost.

What it does not do: it does not decide whether the new version is kept. ``prove`` does, after the reboot. Nor which
bundle may be installed: that is ``release``, and how they come over the network is ``download``.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .download import room
from .kept import Kept
from .prove import limits_of
from .release import Manifest, Version, refusal
from .shape import Device
from .system import RAUC_SECONDS, System, say
from .trial import Ledger, Standing, State, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from .download import Web
    from .shape import Update as Settings

__all__ = ["Pulled", "Refused", "Updater", "mounted"]

BUNDLES: Final = "modemhub-*.raucb"
INSTALL_SECONDS: Final = 3600.0
"""704 MiB are written to the slowest card in 6 minutes; more than that is a card that is dying."""
AFTER_BOOT: Final = 300.0
"""A stick that is there at the start waits so long: the proof compares to how the hub was, and it needs its modems."""


class Refused(Exception):
    """It is not installed, and why, for people."""


class Pulled(Exception):
    """The stick is not there any more."""


@dataclass(frozen=True, slots=True)
class Updater:
    """Installs."""

    system: System
    web: Web
    mount: Callable[[Path], contextlib.AbstractContextManager[Path]]
    """Makes a partition readable for a while, at the path that it gives."""

    @property
    def downloads(self) -> Path:
        """Bundles on their way."""
        return self.system.place.data / "updates"

    @property
    def settings(self) -> Settings:
        """``[update]`` as it was taken last."""
        return Device.of(Kept.read(self.system.place).settings).update

    # --------------------------------------------------------------------------------------------- what may be

    def refusal(self, bundle: Manifest) -> str | None:
        """Why this bundle is not installed now."""
        on_trial = self.system.standing in {Standing.TRIAL, Standing.CONDEMNED}
        return refusal(bundle, self.system.running(on_trial=on_trial))

    def _must_be_admissible(self, bundle: Manifest) -> None:
        if why := self.refusal(bundle):
            raise Refused(f"version {bundle.version} is refused: {why}")

    def inspect(self, bundle: Path) -> Manifest:
        """The manifest of a bundle whose signature is verified.

        Raises:
            Refused: it is none, or its signature is not trusted here.
        """
        done = self.system.run(["rauc", "info", "--output-format=json-2", str(bundle)], RAUC_SECONDS)
        if done.returncode:
            raise Refused(f"{bundle.name} is not trusted: {_last_line(done.stderr)}")
        try:
            return Manifest.shown(done.stdout)
        except ValueError as error:
            raise Refused(f"{bundle.name}: {error}") from error

    # --------------------------------------------------------------------------------------------- RAUC's handlers

    def admit(self, words: Mapping[str, str]) -> None:
        """Before the other slot is touched: refuse, or begin the record.

        Raises:
            Refused: RAUC ends the installation.
        """
        bundle = Manifest.handed(words)
        self._must_be_admissible(bundle)
        here = self.system.slot
        slots = words.get("RAUC_TARGET_SLOTS", "").split()
        targets = {words.get(f"RAUC_SLOT_BOOTNAME_{slot}", "") for slot in slots}
        if len(targets) != 1 or here in targets or "" in targets:
            raise Refused(f"RAUC would write the slots {sorted(targets)}, and slot {here} runs")
        (target,) = targets
        image = self.system.image
        trial = Trial(
            State.INSTALLING,
            slot=target,
            from_slot=here,
            version=bundle.version,
            from_version=image.get("VERSION", ""),
            build=bundle.build,
            bundle=bundle.digest,
            boot_id=self.system.boot_id,
            at=self.system.stamp,
            before=self.system.before(),
        )
        Ledger(trial, self.system.ledger.tried).save(self.system.record)

    def installed(self) -> None:
        """After the other slot was written and put first."""
        if self.system.ledger.trial is not None:
            self.system.become(State.INSTALLED)

    # --------------------------------------------------------------------------------------------- installing

    @contextlib.contextmanager
    def alone(self, *, wait: bool = False) -> Iterator[None]:
        """Only one process of ours at a time; ``wait``: until the other one has ended.

        Raises:
            Refused: another is at it.
        """
        self.system.place.run.mkdir(parents=True, exist_ok=True)
        with (self.system.place.run / "update.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise Refused("another update is on its way") from None
            yield

    def install(self, bundle: Path, *, reboot: bool = True) -> Manifest:
        """Install a bundle that is on this machine, and ask for the reboot into it.

        Raises:
            Refused: it is not to be installed, or RAUC could not.
            Failed: systemd did not reboot.
        """
        manifest = self.inspect(bundle)
        self._must_be_admissible(manifest)
        say(f"installing version {manifest.version}")
        done = self.system.run(["rauc", "install", str(bundle)], INSTALL_SECONDS)
        if done.returncode:
            raise Refused(f"version {manifest.version} was not installed: {_last_line(done.stderr or done.stdout)}")
        say(f"version {manifest.version} is installed, and on trial after the reboot")
        if reboot:
            self.system.reboot()
        return manifest

    def fetch_and_install(self, url: str, *, sha256: str = "", size: int = 0, reboot: bool = True) -> Manifest:
        """Install a bundle from the network; what ``install`` raises, and NotFetched."""
        bundle = self.web.bundle(url, self.downloads, sha256=sha256, size=size)
        try:
            return self.install(bundle, reboot=reboot)
        finally:
            bundle.unlink(missing_ok=True)

    def check(self, *, automatic: bool = False) -> str:
        """Ask the index of the settings; with ``automatic``, install what is newer where the settings let it.

        Raises:
            Refused, NotFetched, Failed.
        """
        settings = self.settings
        if not settings.url:
            return "no [update] url is set: nobody is asked for newer versions"
        index = self.web.index(settings.url)
        here = self.system.image.get("VERSION", "0")
        if Version.of(index.version) <= Version.of(here):
            return f"version {here} is the newest"
        news = f"version {index.version} is there; {here} runs. {index.notes}".rstrip()
        if index.min_version and Version.of(here) < Version.of(index.min_version):
            raise Refused(f"{news}\nIt needs version {index.min_version} or newer first: install one between the two")
        if not automatic:
            return f"{news}\nmodemhub-device update install"
        if not settings.automatic:
            return f"{news}\n[update] automatic is off"
        trial = self.system.ledger.trial
        if trial is not None and trial.version == index.version and trial.state is State.ROLLED_BACK:
            return f"{news}\nIt was taken back ({trial.reason}), and is not installed again by itself"
        if trial is not None and trial.state is State.INSTALLED and self.system.standing is Standing.SETTLED:
            return f"version {trial.version} is installed and waits for the reboot"
        self.fetch_and_install(index.url, sha256=index.sha256, size=index.size)
        return f"version {index.version} is installed"

    def newest(self, *, reboot: bool = True) -> str:
        """Install what the index names, also what was taken back once."""
        settings = self.settings
        if not settings.url:
            raise Refused("no [update] url is set: name a file or an address")
        index = self.web.index(settings.url)
        self.fetch_and_install(index.url, sha256=index.sha256, size=index.size, reboot=reboot)
        return f"version {index.version} is installed"

    def stick(self, partition: Path) -> str:
        """Install the newest bundle in the root of a USB stick's partition, once.

        It is copied first: the stick may be pulled then, and RAUC reads nothing that somebody else could change.

        Raises:
            Refused, NotFetched (no room), Failed, OSError.
        """
        if (early := min(AFTER_BOOT, limits_of(self.system).proof) - self.system.monotonic()) > 0:
            self.system.sleep(early)
        with self.mount(partition) as root:
            newest = self._newest_on(root)
            if newest is None:
                return f"no {BUNDLES} in the root of {partition.name}"
            file, manifest = newest
            if manifest.digest in self.system.ledger.tried:
                return f"{file.name} was installed once, and is not again by itself"
            if (manifest.version, manifest.build) == (self.system.image.get("VERSION"), self.system.image.get("BUILD")):
                return f"{file.name} is what runs"
            self._must_be_admissible(manifest)
            self.downloads.mkdir(parents=True, exist_ok=True)
            for left in self.downloads.iterdir():
                left.unlink()
            room(self.downloads, file.stat().st_size)
            copy = self.downloads / "stick.raucb"
            shutil.copyfile(file, copy)
        try:
            self.install(copy)
        finally:
            copy.unlink(missing_ok=True)
        return f"version {manifest.version} is installed from the stick, which may be pulled"

    def _newest_on(self, root: Path) -> tuple[Path, Manifest] | None:
        """The bundle of the newest version in this directory; None: there is none.

        Raises:
            Refused: there are some, and none is trusted.
        """
        found: list[tuple[Version, Path, Manifest]] = []
        untrusted: list[str] = []
        for file in sorted(root.glob(BUNDLES)):
            try:
                manifest = self.inspect(file)
                found.append((Version.of(manifest.version), file, manifest))
            except (Refused, ValueError) as error:
                untrusted.append(str(error))
        if not found:
            if untrusted:
                raise Refused("; ".join(untrusted))
            return None
        _, file, manifest = max(found, key=lambda each: each[:2])
        return file, manifest


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("LastError: ")]
    return (errors or lines)[-1].removeprefix("LastError: ") if lines else "it does not say why"


@contextlib.contextmanager
def mounted(system: System, partition: Path) -> Iterator[Path]:
    """A partition, read-only, where nothing of it is run."""
    if not partition.exists():
        raise Pulled
    place = system.place.run / "stick" / partition.name
    place.mkdir(parents=True, exist_ok=True)
    done = system.run(["mount", "-o", "ro,nosuid,nodev,noexec", str(partition), str(place)], RAUC_SECONDS)
    if done.returncode:
        raise Refused(f"{partition} cannot be read: {_last_line(done.stderr)}")
    try:
        yield place
    finally:
        system.run(["umount", "--lazy", str(place)], RAUC_SECONDS)
