"""A real Node-RED without a window, on a flow: fetched once from npm, started and heard like every process of the rig.

``package-lock.json`` pins it and all that it needs by hash; it names no registry, so that npm takes the one that this
machine is set to use (``npm install --package-lock-only --omit-lockfile-registry-resolved`` writes it). It is
Node-RED 4, the newest that runs on Debian's own Node.js 18 and 20. What is fetched lives in ``.cache/node-red``;
nothing of it is run while it is installed, and its optional parts (a faster bcrypt) are left out.

``python -m hil.nodered`` fetches it; ``make test`` does that first.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp

from hil.rig.broker import free_port
from hil.rig.process import ROOT, Child

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["FLOW", "NodeRed", "fetch", "missing"]

HERE: Final = Path(__file__).resolve().parent
CACHE: Final = ROOT / ".cache" / "node-red"
PROGRAM: Final = CACHE / "node_modules" / "node-red" / "red.js"
LOCK: Final = "package-lock.json"
FETCHED: Final = CACHE / "fetched.json"
"""A copy of the lock file that was last fetched whole."""
FLOW: Final = ROOT / "appliance" / "mqtt" / "examples" / "node-red" / "modemhub-flow.json"
"""The one that is shipped."""

SETTINGS: Final = {
    "uiHost": "127.0.0.1",
    "flowFile": "flows.json",
    "credentialSecret": False,
    "disableEditor": True,
    "telemetry": {"enabled": False, "updateNotification": False},
    "externalModules": {"palette": {"allowInstall": False}, "modules": {"allowInstall": False}},
}


def missing() -> str | None:
    """Why Node-RED cannot be started here, or None."""
    if shutil.which("node") is None:
        return "Node.js is not installed: apt install nodejs npm"
    if not FETCHED.exists() or FETCHED.read_bytes() != (HERE / LOCK).read_bytes():
        return "Node-RED is not fetched: python -m hil.nodered"
    return None


def fetch() -> None:
    """Have npm bring exactly what the lock file names.

    Raises:
        RuntimeError: there is no npm, or it failed; says why.
    """
    if missing() is None:
        return
    if shutil.which("npm") is None:
        raise RuntimeError("npm is not installed: apt install npm")
    CACHE.mkdir(parents=True, exist_ok=True)
    FETCHED.unlink(missing_ok=True)
    for name in ("package.json", LOCK):
        shutil.copy(HERE / name, CACHE)
    options = ("--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", str(CACHE / "npm"))
    done = subprocess.run(
        ("npm", "ci", *options), cwd=CACHE, capture_output=True, text=True, check=False, env={**os.environ, "CI": "1"}
    )
    if done.returncode:
        raise RuntimeError(f"npm could not fetch Node-RED:\n{done.stderr[-2000:]}")
    shutil.rmtree(CACHE / "npm", ignore_errors=True)
    shutil.copy(HERE / LOCK, FETCHED)


class NodeRed:
    """Node-RED in a directory of its own, on a flow.

    Args:
        directory: its user directory; what it keeps stays there through restarts.
        flow: the nodes, as in an exported file.
        credentials: what a user types into their fields for secrets, by the node's id.
    """

    def __init__(
        self, directory: Path, flow: list[dict[str, Any]], *, credentials: dict[str, dict[str, str]] | None = None
    ) -> None:
        self.address = f"http://127.0.0.1:{free_port()}"
        self._directory = directory
        self._child: Child | None = None
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "settings.js").write_text(f"module.exports = {json.dumps(SETTINGS)};\n", encoding="utf-8")
        (directory / "flows.json").write_text(json.dumps(flow), encoding="utf-8")
        (directory / "flows_cred.json").write_text(json.dumps(credentials or {}), encoding="utf-8")

    @property
    def child(self) -> Child:
        """Its process; its log has what the debug nodes show."""
        assert self._child is not None, "Node-RED was never started"
        return self._child

    async def start(self) -> None:
        """Start it; return when its flow is on the broker."""
        argv: list[str | Path] = ["node", PROGRAM, "--userDir", self._directory]
        argv += ["--settings", self._directory / "settings.js", "--port", self.address.rpartition(":")[2]]
        self._child = child = await Child.start("Node-RED", argv, log=self._directory / "node-red.log")
        await child.line(lambda line: "Connected to broker" in line, "connection to the broker")

    async def press(self, node: str) -> None:
        """Press the button of an inject node, as the editor does."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.address}/inject/{node}", json={}) as response,
        ):
            if response.status != 200:
                raise AssertionError(f"pressing {node}: {response.status} {await response.text()}")

    async def stop(self) -> None:
        """SIGTERM."""
        await self.child.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child:
            await self._child.stop()
