"""Debian's own programs, which judge the files that the device derives; a test says so where one is not installed."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def tool(name: str) -> str:
    """Where this program is."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/lib/systemd:/usr/lib/systemd")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def nft_takes(rules: Path) -> None:
    """The ruleset is right, by nft itself, in a network of its own."""
    argv = [tool("unshare"), "--net", "--user", "--map-root-user", tool("nft"), "-c", "-f", str(rules)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if "unshare failed" in done.stderr:
        pytest.skip(f"no namespaces here: {done.stderr.strip()}")
    assert (done.returncode, done.stderr) == (0, "")
