"""The import rule: from any line of code it is plain what it may touch.

The rooms of ``appliance`` and the arrows between them are the table ``MAY_IMPORT``; an arrow that is not in it does
not exist in the code. The imports are read from the syntax tree of every file, wherever they stand (in a function,
under ``TYPE_CHECKING``, relative, ``import_module("…")`` with a literal), so nothing is run and nothing is missed
because a branch was not taken. Beside the rooms:

* ``sms``, ``at`` and the modules of PURE_FILES are pure: no clock, no randomness, no I/O, no threads, no logging.
* ``hil`` judges the product from outside: neither imports the other. ``tests`` may import ``appliance``, never ``hil``.
* ``image/device`` imports of ``appliance`` only what checks settings; ``hil`` judges it from outside too.
* ``hil/emulator`` runs on the standard library alone, so that it can stand beside any other system too.

The checker is checked: every rule has a planted violation that it must name with file and line.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent

GROUND = {"errors", "types"}
"""Below every room: the exception tree and the shared words."""

MAY_IMPORT: dict[str, set[str]] = {
    "types": set(),
    "errors": {"types"},
    "sms": GROUND,
    "at": GROUND,
    "supervisor": GROUND,
    "store": GROUND,
    "modem": GROUND | {"at"},
    "hub": GROUND | {"modem", "store", "sms", "supervisor"},
    "mqtt": GROUND | {"hub"},
    "http": GROUND | {"hub"},
    "webhooks": GROUND | {"hub"},
    "owner": GROUND | {"http", "hub", "settings", "shell", "store"},
    "shell": GROUND,  # it speaks to a hub by HTTP, as anybody else
    "settings": GROUND,  # and the rooms' own models, see SETTINGS_OF
    "__main__": GROUND  # the only file that sees all
    | {"at", "hub", "http", "modem", "mqtt", "owner", "settings", "shell", "sms", "store", "supervisor", "webhooks"},
}
"""Who may import whom. A room may always import itself."""

SETTINGS_OF = {"modem", "store", "hub", "mqtt", "http", "webhooks"}
"""``settings`` is assembled from the models that these rooms declare: their module ``settings``, nothing else."""

PURE = {"sms", "at"}

PURE_FILES = frozenset(
    {
        "appliance/http/docs.py",
        "appliance/http/openapi.py",
        "appliance/http/replies.py",
        "appliance/http/requests.py",
        "appliance/hub/contacts.py",
        "appliance/hub/diagnosis.py",
        "appliance/hub/reading.py",
        "appliance/hub/signals.py",
    }
)
"""Modules of other rooms that say of themselves that they are pure."""

IMPURE = frozenset(
    {
        *("asyncio", "concurrent", "multiprocessing", "queue", "sched", "selectors", "select", "signal", "threading"),
        *("time", "random", "secrets", "uuid", "os", "shutil", "subprocess", "tempfile", "pathlib", "glob", "fcntl"),
        *("http", "logging", "pty", "socket", "sqlite3", "ssl", "sys", "syslog", "termios", "tty", "urllib"),
    }
)
"""What the pure rooms never import: clocks, chance, I/O, threads, logging."""


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, absolute, and the line that imports it."""

    line: int
    module: str


def imports(path: PurePosixPath, source: str) -> Iterator[Import]:
    """Every module that the file imports, wherever the import stands; ``from a import b`` counts as ``a.b``."""
    package = path.parent.parts
    for node in ast.walk(ast.parse(source, filename=str(path))):
        match node:
            case ast.Import(names=names):
                yield from (Import(node.lineno, name.name) for name in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = (*package[: len(package) - level + 1], *filter(None, [module])) if level else (module or "",)
                yield from (Import(node.lineno, ".".join((*base, name.name))) for name in names)
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                yield Import(node.lineno, module)


def room_of(path: PurePosixPath) -> str:
    """The room of a file of ``appliance``: its folder, or its own name at the top."""
    return path.parts[1].removesuffix(".py")


def complaint(path: PurePosixPath, module: str) -> str | None:
    """Why this file may not import this module, or None when it may."""
    target = module.split(".")
    match path.parts[0], target[0]:
        case "appliance", "appliance":
            return arrow_complaint(room_of(path), target[1:])
        case "appliance", "hil" | "tests":
            return f"appliance never imports {target[0]}"
        case "appliance", top if room_of(path) in PURE and top in IMPURE:
            return f"{room_of(path)} is pure"
        case "appliance", top if str(path) in PURE_FILES and top in IMPURE:
            return f"{path.name} is pure"
        case "image", "appliance" if path.parts[1] == "device":
            return None if target[1:2] in (["settings"], ["errors"]) else "the device checks settings, and no more"
        case "image", "hil" | "tests" | "image" if path.parts[1] == "device" and target[:2] != ["image", "device"]:
            return "the device has nothing of what builds and judges it"
        case "hil", "image" if target[1:2] == ["device"]:
            return "hil judges from outside: it never imports the device tool"
        case "hil", "appliance" | "tests":
            return f"hil judges from outside: it never imports {target[0]}"
        case "hil", top if path.parts[1] == "emulator":
            known = top in sys.stdlib_module_names or target[:2] == ["hil", "emulator"]
            return None if known else "hil/emulator runs on the standard library alone"
        case "tests", "hil":
            return "tests never imports hil"
    return None


def arrow_complaint(room: str, target: list[str]) -> str | None:
    """Why this room may not import ``appliance.<target>``, or None when it may."""
    wanted = target[0] if target else ""
    if room in {"__init__", ""}:
        return "the map imports nothing"
    if wanted == room or wanted.startswith("__version"):
        return None
    if room == "settings" and wanted in SETTINGS_OF:
        return None if target[1:2] == ["settings"] else f"settings imports only {wanted}.settings"
    if room not in MAY_IMPORT:
        return f"the room {room} is not in the table"
    return None if wanted in MAY_IMPORT[room] else f"there is no arrow {room} → {wanted or 'appliance'}"


def violations(path: PurePosixPath, source: str) -> list[str]:
    """One line for each import of the file that the rules forbid: ``file:line: module: reason``."""
    found = ((each, complaint(path, each.module)) for each in imports(path, source))
    return [f"{path}:{each.line}: {each.module}: {reason}" for each, reason in found if reason]


def tree() -> list[PurePosixPath]:
    """Every Python file of the project, relative to its root."""
    tops = ("appliance", "hil", "image", "tests")
    return [
        PurePosixPath(file.relative_to(ROOT).as_posix()) for top in tops for file in sorted((ROOT / top).rglob("*.py"))
    ]


def test_every_import_in_the_tree_is_an_arrow_of_the_table() -> None:
    files = tree()
    assert PurePosixPath("appliance/errors.py") in files
    assert [line for path in files for line in violations(path, (ROOT / path).read_text(encoding="utf-8"))] == []


def test_every_room_of_the_tree_is_in_the_table() -> None:
    rooms = {room_of(path) for path in tree() if path.parts[0] == "appliance"} - {"__init__"}
    assert rooms <= set(MAY_IMPORT)


def test_every_pure_module_is_there() -> None:
    assert {PurePosixPath(path) for path in PURE_FILES} <= set(tree())


def test_the_table_has_no_circle() -> None:
    def reachable(room: str) -> set[str]:
        return MAY_IMPORT[room].union(*(reachable(below) for below in MAY_IMPORT[room]))

    assert [room for room in MAY_IMPORT if room in reachable(room)] == []


@pytest.mark.parametrize(
    ("path", "source", "named"),
    [
        ("appliance/modem/modem.py", "import appliance.sms", "appliance/modem/modem.py:1: appliance.sms"),
        ("appliance/modem/modem.py", "from appliance import store", "appliance/modem/modem.py:1: appliance.store"),
        ("appliance/modem/modem.py", "from ..sms import segment", "appliance/modem/modem.py:1: appliance.sms.segment"),
        ("appliance/modem/modem.py", "from .. import hub", "appliance/modem/modem.py:1: appliance.hub"),
        ("appliance/store/journal.py", "\n\ndef f():\n    from ..modem import Modem", "appliance/store/journal.py:4: "),
        ("appliance/store/journal.py", "if TYPE_CHECKING:\n    import appliance.hub", "appliance/store/journal.py:2: "),
        ("appliance/store/journal.py", "importlib.import_module('appliance.at')", "appliance/store/journal.py:1: "),
        ("appliance/mqtt/door.py", "from appliance.store import Journal", "there is no arrow mqtt → store"),
        ("appliance/mqtt/door.py", "from appliance.http import problem", "there is no arrow mqtt → http"),
        ("appliance/webhooks/hook.py", "from appliance.http import problem", "there is no arrow webhooks → http"),
        ("appliance/hub/hub.py", "import appliance.mqtt", "there is no arrow hub → mqtt"),
        ("appliance/hub/hub.py", "import appliance.at", "there is no arrow hub → at"),
        ("appliance/hub/hub.py", "import appliance", "there is no arrow hub → appliance"),
        ("appliance/hub/hub.py", "import appliance.__main__", "there is no arrow hub → __main__"),
        ("appliance/shell/client.py", "import appliance.http", "there is no arrow shell → http"),
        ("appliance/types.py", "from appliance.errors import Rejected", "there is no arrow types → errors"),
        ("appliance/settings.py", "from appliance.hub import Hub", "settings imports only hub.settings"),
        ("appliance/settings.py", "from appliance.sms import segment", "there is no arrow settings → sms"),
        ("appliance/__init__.py", "from .hub import Hub", "the map imports nothing"),
        ("appliance/cellar/door.py", "from appliance.hub import Hub", "the room cellar is not in the table"),
        ("appliance/sms/alphabet.py", "import os.path", "sms is pure"),
        ("appliance/sms/alphabet.py", "from random import choice", "sms is pure"),
        ("appliance/at/dialogue.py", "def f():\n    import asyncio", "appliance/at/dialogue.py:2: asyncio: at is pure"),
        ("appliance/at/dialogue.py", "from time import monotonic", "at is pure"),
        ("appliance/hub/diagnosis.py", "import time", "diagnosis.py is pure"),
        ("appliance/http/openapi.py", "from asyncio import sleep", "openapi.py is pure"),
        ("appliance/hub/hub.py", "from hil.emulator import client", "appliance never imports hil"),
        ("hil/rig.py", "import appliance.types", "it never imports appliance"),
        ("hil/tests/test_demo.py", "from tests.sms import vectors", "it never imports tests"),
        ("hil/emulator/network.py", "import aiohttp", "standard library alone"),
        ("hil/emulator/network.py", "from hil.rig import Hub", "standard library alone"),
        ("hil/emulator/network.py", "from ..rig import Hub", "standard library alone"),
        ("tests/hub/test_hub.py", "from hil import emulator", "tests never imports hil"),
        ("image/device/boot.py", "from appliance.store import visit", "the device checks settings, and no more"),
        ("image/device/boot.py", "from image.building import run", "nothing of what builds and judges it"),
        ("hil/card/machine.py", "from image.device import plan", "it never imports the device tool"),
    ],
)
def test_a_planted_violation_is_named(path: str, source: str, named: str) -> None:
    (line,) = violations(PurePosixPath(path), source)
    assert named in line


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("appliance/modem/modem.py", "from appliance.at import Dialogue\nfrom . import port\nimport asyncio"),
        ("appliance/hub/hub.py", "from appliance import modem, sms, store\nfrom ..supervisor import Supervisor"),
        ("appliance/settings.py", "from appliance.mqtt.settings import MqttSettings\nfrom .hub import settings"),
        ("appliance/errors.py", "if TYPE_CHECKING:\n    from appliance.types import Reason"),
        ("appliance/__main__.py", "def run():\n    from appliance.http import HttpDoor"),
        ("hil/emulator/network.py", "import asyncio\nfrom . import codec\nfrom hil.emulator.codec import Submit"),
        ("hil/rig.py", "import aiohttp\nfrom hil.emulator.client import ControlClient"),
        ("image/device/settings.py", "from appliance.settings import Settings\nfrom .text import toml"),
        ("tests/hub/test_hub.py", "from appliance.hub import Hub"),
    ],
)
def test_an_arrow_of_the_table_is_let_through(path: str, source: str) -> None:
    assert violations(PurePosixPath(path), source) == []
