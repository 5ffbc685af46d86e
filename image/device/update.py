"""``modemhub-device update``: installs signed bundles from a file, the network or a USB stick.

Promise: whichever way a bundle comes, RAUC verifies its signature and asks ``update admit`` before it touches the other
slot; the slot that runs is never written. A bundle that was installed once is not installed again by itself, so that
one that was taken back is not tried every night, and a stick that stays plugged in does nothing. Before the reboot
the hub ends as at any stop: no accepted text is lost.

What it does not do: it does not decide whether the new version is kept. ``prove`` does, after the reboot.

::

    install [FILE|URL]    to the data partition (with resume), rauc install, reboot; no source: what the index names
    check                 is there a newer version? ``--automatic`` (the timer): install it, where the settings let it
    status                for people, or --json
    stick DEVICE          udev: a partition of a USB stick; the newest bundle in its root is copied and installed
    admit, installed      RAUC's pre-install and post-install handlers (``system.conf``): refusal, and the record

The timer starts ``check --automatic`` at a random moment of the window, so that devices do not all come at once
(``timer`` makes the drop-in for another window than the default).
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .download import NotFetched, Web, room
from .kept import Kept
from .place import Place
from .prove import limits_of
from .release import Manifest, Version, refusal
from .rim import Failed
from .shape import Device
from .system import COMPATIBLE, RAUC_SECONDS, System, say
from .trial import Ledger, Standing, State, Trial, standing

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping

    from .shape import Update as Settings

__all__ = ["Refused", "Updater", "add_verb", "manifest_of", "timer"]

WINDOW: Final = "03:00-05:00"
BUNDLES: Final = "modemhub-*.raucb"
INSTALL_SECONDS: Final = 3600.0
"""704 MiB are written to the slowest card in 6 minutes; more than that is a card that is dying."""
AFTER_BOOT: Final = 300.0
"""A stick that is there at the start waits so long: the proof compares to how the hub was, and it needs its modems."""
_WINDOW: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


class Refused(Exception):
    """It is not installed, and why, for people."""


class Pulled(Exception):
    """The stick is not there any more."""


@dataclass(frozen=True, slots=True)
class Window:
    """When automatic updates begin, in minutes of the local day."""

    begin: int
    length: int

    @classmethod
    def of(cls, text: str) -> Window:
        """``03:00-05:00``; it may pass midnight. What cannot be read is the default."""
        found = _WINDOW.fullmatch(text.strip()) or _WINDOW.fullmatch(WINDOW)
        assert found
        begin, end = (int(found[n]) * 60 + int(found[n + 1]) for n in (1, 3))
        return cls(begin, (end - begin) % (24 * 60) or 24 * 60)


def timer(window: str) -> str:
    """The drop-in of ``modemhub-update.timer`` for this window; empty for the default, which the unit itself has."""
    asked = Window.of(window)
    if asked == Window.of(WINDOW):
        return ""
    at = f"{asked.begin // 60:02}:{asked.begin % 60:02}"
    return f"[Timer]\nOnCalendar=\nOnCalendar=*-*-* {at}:00\nRandomizedDelaySec={asked.length}min\n"


def manifest_of(words: Mapping[str, str], *, digest: str = "") -> Manifest:
    """The manifest as RAUC tells it to its handlers; 1.13 gives them what is below ``meta`` alone."""

    def told(name: str) -> str:
        return words.get(f"RAUC_META_MODEMHUB_{name}", "")

    readable = told("READABLE_BY")
    return Manifest(
        told("COMPATIBLE"), told("VERSION"), told("BUILD"), digest, int(readable) if readable.isdigit() else 0
    )


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

    def _standing(self, ledger: Ledger) -> Standing:
        return standing(ledger.trial, booted=self.system.slot, boot_id=self.system.boot_id)

    def refusal(self, bundle: Manifest) -> str | None:
        """Why this bundle is not installed now."""
        on_trial = self._standing(self.system.ledger) in {Standing.TRIAL, Standing.CONDEMNED}
        return refusal(bundle, self.system.running(on_trial=on_trial))

    def inspect(self, bundle: Path) -> Manifest:
        """The manifest of a bundle whose signature is verified.

        Raises:
            Refused: it is none, or its signature is not trusted here.
        """
        done = self.system.run(["rauc", "info", "--output-format=json-2", str(bundle)], RAUC_SECONDS)
        if done.returncode:
            raise Refused(f"{bundle.name} is not trusted: {_last_line(done.stderr)}")
        try:
            words: Any = json.loads(done.stdout)
            update, meta = words["update"], words.get("meta", {}).get("modemhub", {})
            readable = str(meta.get("readable-by", ""))
            return Manifest(
                str(update["compatible"]),
                str(update.get("version") or ""),
                str(update.get("build") or ""),
                str(words["images"][0]["checksum"]),
                int(readable) if readable.isdigit() else 0,
            )
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise Refused(f"{bundle.name}: RAUC's answer is not understood: {error}") from error

    # --------------------------------------------------------------------------------------------- RAUC's handlers

    def admit(self, words: Mapping[str, str]) -> None:
        """Before the other slot is touched: refuse, or begin the record.

        Raises:
            Refused: RAUC ends the installation.
        """
        numbers = words.get("RAUC_TARGET_SLOTS", "").split()
        bundle = manifest_of(words, digest=words.get(f"RAUC_IMAGE_DIGEST_{numbers[0]}", "") if numbers else "")
        if why := self.refusal(bundle):
            raise Refused(f"version {bundle.version} is refused: {why}")
        here = self.system.slot
        targets = {words.get(f"RAUC_SLOT_BOOTNAME_{number}", "") for number in numbers}
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
    def alone(self) -> Iterator[None]:
        """Only one process of ours at a time.

        Raises:
            Refused: another is at it.
        """
        self.system.place.run.mkdir(parents=True, exist_ok=True)
        with (self.system.place.run / "update.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
        if why := self.refusal(manifest):
            raise Refused(f"version {manifest.version} is refused: {why}")
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
        if trial is not None and self._standing(self.system.ledger) is Standing.SETTLED and trial.state.open:
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
            found: list[tuple[Version, Path, Manifest]] = []
            refused: list[str] = []
            for file in sorted(root.glob(BUNDLES)):
                try:
                    manifest = self.inspect(file)
                    found.append((Version.of(manifest.version), file, manifest))
                except (Refused, ValueError) as error:
                    refused.append(str(error))
            if not found:
                if refused:
                    raise Refused("; ".join(refused))
                return f"no {BUNDLES} in the root of {partition.name}"
            _, file, manifest = max(found, key=lambda each: (each[0], each[1].name))
            if manifest.digest in self.system.ledger.tried:
                return f"{file.name} was installed once, and is not again by itself"
            if why := self.refusal(manifest):
                return f"{file.name} is refused: {why}"
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

    # --------------------------------------------------------------------------------------------- status

    def report(self) -> dict[str, Any]:
        """How it stands, as ``update status --json`` prints it."""
        ledger = self.system.ledger
        image = self.system.image
        trial = ledger.trial
        return {
            "version": image.get("VERSION"),
            "build": image.get("BUILD"),
            "slot": self.system.slot,
            "standing": str(self._standing(ledger)),
            "last": None if trial is None else asdict(trial),
        }


def words_of(report: Mapping[str, Any]) -> str:
    """The same for people."""
    lines = [f"version {report['version']} (build {report['build']}) in slot {report['slot']}"]
    last = report["last"]
    if last is None:
        lines.append("never updated")
    else:
        told = {
            State.INSTALLING: "is being installed, or was when power was cut",
            State.INSTALLED: "is on trial" if report["standing"] == Standing.TRIAL else "waits for the reboot",
            State.FAILING: "is being taken back",
            State.COMMITTED: "was committed",
            State.ROLLED_BACK: "was taken back",
            State.INTERRUPTED: "was not installed to its end",
        }[State(last["state"])]
        why = f": {last['reason']}" if last["reason"] else ""
        lines.append(f"last update: version {last['version']} {told}, {last['at']}{why}")
    return "\n".join(lines)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("LastError: ")]
    return (errors or lines)[-1].removeprefix("LastError: ") if lines else "it does not say why"


# --------------------------------------------------------------------------------------------------------- verbs


@contextlib.contextmanager
def _mounted(system: System, partition: Path) -> Iterator[Path]:
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


def _updater(given: argparse.Namespace) -> Updater:
    system = System(Place(given.root))
    mark = f"modemhub/{system.image.get('VERSION', '0')} ({COMPATIBLE})"
    return Updater(system, Web(system.sleep, say, mark=mark), functools.partial(_mounted, system))


def _told(given: argparse.Namespace) -> int:
    """Run it, tell what came of it, on the card too where nobody is at a terminal."""
    from .tell import Board  # noqa: PLC0415 - most verbs need none

    updater = _updater(given)
    board = Board(updater.system.place) if given.card else None
    try:
        with updater.alone():
            print(given.action(updater, given))  # noqa: T201 - its answer
    except (Refused, NotFetched, Failed, OSError, ValueError) as error:
        say(f"update: {error}")
        if board is not None:
            board.tell("update", [f"The update was not installed: {error}"])
        return 1
    return 0


def _install(updater: Updater, given: argparse.Namespace) -> str:
    reboot = not given.no_reboot
    if given.source is None:
        return updater.newest(reboot=reboot)
    if "://" in given.source:
        manifest = updater.fetch_and_install(given.source, sha256=given.sha256, reboot=reboot)
    else:
        manifest = updater.install(Path(given.source).resolve(), reboot=reboot)
    return f"version {manifest.version} is installed"


def _check(updater: Updater, given: argparse.Namespace) -> str:
    return updater.check(automatic=given.automatic)


def _stick(updater: Updater, given: argparse.Namespace) -> str:
    try:
        return updater.stick(given.device)
    except Pulled:
        return f"{given.device} is not there any more"


def _status(given: argparse.Namespace) -> int:
    report = _updater(given).report()
    print(json.dumps(report) if given.json else words_of(report))  # noqa: T201 - its answer
    return 0


def _admit(given: argparse.Namespace) -> int:
    try:
        _updater(given).admit(os.environ)
    except (Refused, OSError) as error:
        # what a handler says on standard output is for RAUC's log; this line becomes the error of the installation
        print(f"<< error {error}", flush=True)  # noqa: T201 - RAUC reads it
        say(str(error))
        return 1
    return 0


def _installed(given: argparse.Namespace) -> int:
    _updater(given).installed()
    return 0


def add_verb(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """``update`` and what it can do."""
    text = "Install signed updates; they are committed only when they proved themselves."
    actions = subparsers.add_parser("update", help=text, description=text).add_subparsers(
        required=True, metavar="ACTION"
    )
    install = actions.add_parser("install", help="Install a bundle, and reboot into it.")
    install.add_argument("source", nargs="?", metavar="FILE|URL", help="default: what [update] url names")
    install.add_argument("--sha256", default="", metavar="HEX", help="what the file must have")
    install.add_argument("--no-reboot", action="store_true", help="leave the reboot to somebody else")
    install.set_defaults(do=_told, action=_install, card=False)
    check = actions.add_parser("check", help="Ask whether there is a newer version.")
    check.add_argument("--automatic", action="store_true", help="install it, where the settings let it")
    check.set_defaults(do=_told, action=_check, card=False)
    status = actions.add_parser("status", help="Say what runs, and what became of the last update.")
    status.add_argument("--json", action="store_true")
    status.set_defaults(do=_status)
    stick = actions.add_parser("stick", help="Install the newest bundle of a USB stick (udev does that).")
    stick.add_argument("device", type=Path)
    stick.set_defaults(do=_told, action=_stick, card=True)
    for name, function in (("admit", _admit), ("installed", _installed)):
        actions.add_parser(name, help="RAUC's handler.").set_defaults(do=function)
