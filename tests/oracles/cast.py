"""Who the oracles are and how each is started: a command that reads JSON lines and writes JSON lines.

They live outside the project's own environment, in ``.cache/oracles``: a Python environment with ``requirements.txt``,
a folder with ``package.json``'s node_modules, and Debian's python3-gammu and tshark. What is not there is left out,
with the reason.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

Line = dict[str, Any]

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".cache" / "oracles"
OTHERS_PYTHON = CACHE / "venv" / "bin" / "python"
DEBIAN_PYTHON = "/usr/bin/python3"


class Member(NamedTuple):
    """One codec of others, as a reader or a writer."""

    name: str
    command: tuple[str, ...]
    probe: tuple[str, ...]
    """Ends with 0 where the codec is there."""

    def missing(self) -> str | None:
        """Why this one cannot take part, or None."""
        if any(shutil.which(name) is None and not Path(name).exists() for name in (self.command[0], self.probe[0])):
            return "not installed"
        if subprocess.run(self.probe, capture_output=True, check=False, cwd=ROOT, env=environment()).returncode:
            return "not installed"
        return None

    def run(self, lines: Iterable[Line]) -> list[Line]:
        """Its answers to these records, or its records of these wishes."""
        return run(self.command, lines)


def environment() -> dict[str, str]:
    """Where node finds its package."""
    return {**os.environ, "NODE_PDU": str(CACHE / "node"), "PYTHONUTF8": "1"}


def run(command: Iterable[str], lines: Iterable[Line]) -> list[Line]:
    """What this command writes when it is given these lines."""
    given = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run(
        tuple(command), input=given, capture_output=True, text=True, check=False, cwd=ROOT, env=environment()
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def _python(name: str, interpreter: str, role: str, module: str) -> Member:
    command = (interpreter, "-m", f"tests.oracles.{role}_{name}")
    return Member(name, command, (interpreter, "-c", f"import {module}"))


def _node(role: str) -> Member:
    probe = ("node", "-e", "require(process.env.NODE_PDU + '/node_modules/node-pdu')")
    return Member("node_pdu", ("node", str(HERE / f"{role}_node_pdu.mjs")), probe)


_OTHERS = str(OTHERS_PYTHON)

READERS = (
    _python("pycrate", _OTHERS, "read", "pycrate_mobile.TS23040_SMS, gsmcodecs"),
    _python("smspdudecoder", _OTHERS, "read", "smspdudecoder"),
    _python("messaging", _OTHERS, "read", "messaging.sms"),
    _python("gammu", DEBIAN_PYTHON, "read", "gammu"),
    Member("tshark", (sys.executable, "-m", "tests.oracles.read_tshark"), ("tshark", "--version")),
    _node("read"),
)
WRITERS = (
    _python("pycrate", _OTHERS, "write", "pycrate_mobile.TS23040_SMS"),
    _python("gammu", DEBIAN_PYTHON, "write", "gammu"),
    _node("write"),
)


def fetch() -> None:
    """Installs the codecs of the Python and node registries, where they are not there yet."""
    stamp = CACHE / "requirements.txt"
    wanted = (HERE / "requirements.txt").read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run((sys.executable, "-m", "venv", "--clear", CACHE / "venv"), check=True)
        pip = (OTHERS_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        subprocess.run((*pip, "-r", HERE / "requirements.txt"), check=True)
        stamp.write_text(wanted)
    if shutil.which("npm") and not (CACHE / "node" / "node_modules").exists():
        (CACHE / "node").mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "package.json", CACHE / "node")
        quiet = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts")
        subprocess.run(("npm", "install", *quiet), cwd=CACHE / "node", check=True)
