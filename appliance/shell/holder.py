"""Which process a borrowed token belongs to, so that the next command can take back what a killed one left behind.

A holder is ``<pid>-<start>``: the process id, and the clock tick since boot at which that process began (proc(5), field
22 of ``/proc/<pid>/stat``). A process id is given again; the pair is not while the machine runs.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["is_alive", "this_process"]


def this_process() -> str:
    """The holder that this process is."""
    return f"{os.getpid()}-{_start(os.getpid())}"


def is_alive(holder: str) -> bool:
    """Whether the process of this holder still runs; one that is spelled otherwise does not."""
    pid, _, start = holder.partition("-")
    return pid.isascii() and pid.isdigit() and start != "" and _start(int(pid)) == start


def _start(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *rest = stat.rpartition(")")[2].split()  # the name before it may hold anything, also ")"
    return None if state == "Z" else rest[18]
