"""``modemhub-device update``: how updates are asked for, and what is told of them. ``updater`` does what is asked.

::

    install [FILE|URL]    to the data partition (with resume), rauc install, reboot; no source: what the index names
    check                 is there a newer version? ``--automatic`` (the timer): install it, where the settings let it
    status                for people, or --json
    stick DEVICE          udev: a partition of a USB stick; the newest bundle in its root is copied and installed
    admit, installed      RAUC's pre-install and post-install handlers (``system.conf``): refusal, and the record

Where nobody is at a terminal, one that finds another at work waits for it: a stick with two partitions asks twice. What
comes of a stick is told on the card, until the next start.

The timer starts ``check --automatic`` at a random moment of the window, so that devices do not all come at once
(``window`` makes the drop-in for another window than the default).
"""

from __future__ import annotations

import functools
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .download import NotFetched, Web
from .place import Place
from .rim import Failed
from .system import COMPATIBLE, System, say
from .trial import Standing, State
from .updater import Pulled, Refused, Updater, mounted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

__all__ = ["add_verb", "report", "words_of"]


def report(system: System) -> dict[str, Any]:
    """How it stands, as ``status --json`` prints it."""
    image, trial = system.image, system.ledger.trial
    return {
        "version": image.get("VERSION"),
        "build": image.get("BUILD"),
        "slot": system.slot,
        "standing": str(system.standing),
        "last": None if trial is None else asdict(trial),
    }


def words_of(said: Mapping[str, Any]) -> str:
    """The same for people."""
    lines = [f"version {said['version']} (build {said['build']}) in slot {said['slot']}"]
    last = said["last"]
    if last is None:
        lines.append("never updated")
    else:
        told = {
            State.INSTALLING: "is being installed, or did not come to its end",
            State.INSTALLED: "is on trial" if said["standing"] == Standing.TRIAL else "waits for the reboot",
            State.FAILING: "is being taken back",
            State.COMMITTED: "was committed",
            State.ROLLED_BACK: "was taken back",
            State.INTERRUPTED: "was not installed to its end",
        }[State(last["state"])]
        why = f": {last['reason']}" if last["reason"] else ""
        lines.append(f"last update: version {last['version']} {told}, {last['at']}{why}")
    return "\n".join(lines)


# --------------------------------------------------------------------------------------------------------- verbs


def _updater(given: argparse.Namespace) -> Updater:
    system = System(Place(given.root))
    mark = f"modemhub/{system.image.get('VERSION', '0')} ({COMPATIBLE})"
    return Updater(system, Web(system.sleep, say, mark=mark), functools.partial(mounted, system))


def _told(given: argparse.Namespace) -> int:
    """Run it, tell what came of it, on the card too where nobody is at a terminal."""
    from .tell import Board  # noqa: PLC0415 - most verbs need none

    updater = _updater(given)
    try:
        with updater.alone(wait=given.unattended):
            print(given.action(updater, given))  # noqa: T201 - its answer
    except (Refused, NotFetched, Failed, OSError, ValueError) as error:
        say(f"update: {error}")
        if given.card:
            Board(updater.system.place).tell("stick", [f"The update on the USB stick was not installed: {error}"])
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
    return updater.check(automatic=given.unattended)


def _stick(updater: Updater, given: argparse.Namespace) -> str:
    try:
        return updater.stick(given.device)
    except Pulled:
        return f"{given.device} is not there any more"


def _status(given: argparse.Namespace) -> int:
    said = report(System(Place(given.root)))
    print(json.dumps(said) if given.json else words_of(said))  # noqa: T201 - its answer
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
    install.set_defaults(do=_told, action=_install, unattended=False, card=False)
    check = actions.add_parser("check", help="Ask whether there is a newer version.")
    check.add_argument(
        "--automatic", dest="unattended", action="store_true", help="install it, where the settings let it"
    )
    check.set_defaults(do=_told, action=_check, card=False)
    status = actions.add_parser("status", help="Say what runs, and what became of the last update.")
    status.add_argument("--json", action="store_true")
    status.set_defaults(do=_status)
    stick = actions.add_parser("stick", help="Install the newest bundle of a USB stick (udev does that).")
    stick.add_argument("device", type=Path)
    stick.set_defaults(do=_told, action=_stick, unattended=True, card=True)
    for name, function in (("admit", _admit), ("installed", _installed)):
        actions.add_parser(name, help="RAUC's handler.").set_defaults(do=function)
