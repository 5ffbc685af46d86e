"""``modemhub-device VERB``: what a verb does not need is not imported.

Exit codes: 0 fine, 1 not done, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .place import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

ELSEWHERE = ("update", "prove")
"""Modules that add their verbs themselves: ``add_verb(subparsers)``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    parser = argparse.ArgumentParser(prog="modemhub-device", description="What the device does beside the hub.")
    parser.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, text, do in (
        ("boot", "Take the settings file off the card, and derive everything from the settings.", _boot),
        ("claim", "Bring CLAIM.txt on the card and the firewall to what the hub says.", _claim),
        ("reset", "Forget everything at the next start: settings, keys, messages.", _reset),
        ("wipe", "Do so now, where it was asked for (the data partition must not be mounted).", _wipe),
        ("jumper", "Watch the jumper that asks for it.", _jumper),
        ("status", "Say how the device is.", _status),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.set_defaults(do=do)
    first = next(iter(sys.argv[1:] if arguments is None else arguments), "")
    for name in ELSEWHERE:
        if first == name or first not in {*verbs.choices, *ELSEWHERE}:  # as they are not cheap
            importlib.import_module(f".{name}", __package__).add_verb(verbs)
    given = parser.parse_args(arguments)
    prefix = "" if "JOURNAL_STREAM" in os.environ else "%(levelname)s "
    logging.basicConfig(level=logging.INFO, format=f"{prefix}%(message)s")
    os.umask(0o022)
    code: int = given.do(given)
    return code


def _boot(given: argparse.Namespace) -> int:
    from .boot import boot

    return boot(Place(given.root))


def _claim(given: argparse.Namespace) -> int:
    from .claim import claim

    return claim(Place(given.root))


def _reset(given: argparse.Namespace) -> int:
    from .reset import ask

    return ask(Place(given.root))


def _wipe(given: argparse.Namespace) -> int:
    from .reset import wipe

    return wipe(Place(given.root))


def _jumper(given: argparse.Namespace) -> int:
    from .reset import watch

    return watch(Place(given.root))


def _status(given: argparse.Namespace) -> int:
    from .status import status

    return status(Place(given.root))


if __name__ == "__main__":
    sys.exit(main())
