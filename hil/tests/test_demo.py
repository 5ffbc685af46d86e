"""The demo as a person starts it: the tour holds against the ledger with either broker, and Ctrl-C ends all of it."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import pytest

from hil.rig import Child, mosquitto_path

pytestmark = pytest.mark.asyncio

needs_mosquitto = pytest.mark.skipif(
    mosquitto_path() is None, reason="mosquitto is not installed: apt install mosquitto"
)


async def demo(tmp_path: Path, *options: str) -> Child:
    return await Child.start("demo", [sys.executable, "-m", "hil.demo", *options], log=tmp_path / "demo.log")


@pytest.mark.parametrize(
    ("options", "broker"),
    [
        pytest.param([], "mosquitto", marks=needs_mosquitto),
        (["--embedded"], "embedded"),
    ],
)
async def test_the_tour_is_as_the_networks_ledger_says(tmp_path: Path, options: list[str], broker: str) -> None:
    child = await demo(tmp_path, "--once", *options)
    assert await child.ended() == 0
    assert "All as the network's ledger says." in child.lines.items
    assert any(broker in line for line in child.lines.items)


async def test_a_text_can_be_let_arrive_and_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    child = await demo(tmp_path, "--embedded")
    command = await child.line(lambda line: "-m hil.demo deliver" in line, "line to let a text arrive")
    found = re.search(r"deliver (\S+) '", command)
    assert found is not None
    directory = found[1]
    await child.line(lambda line: line.startswith("Now you."), "end of the tour")

    delivering = await Child.start(
        "deliver",
        [sys.executable, "-m", "hil.demo", "deliver", directory, "let in"],
        log=tmp_path / "deliver.log",
    )
    assert await delivering.ended() == 0
    await child.line(lambda line: "received" in line and "'let in'" in line, "the text that was let in")

    assert len(left_of(directory)) == 3  # the directory, the emulator and the hub
    child.signal(signal.SIGINT)
    assert await child.ended() == 0
    assert child.lines.items[-1] == "Everything is stopped."
    assert left_of(directory) == []


def left_of(directory: str) -> list[str]:
    """The directory, if it is there, and the command lines of all running processes that name it."""
    lines = [directory] if Path(directory).exists() else []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(process.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it has just ended
            continue
    return [line for line in lines if directory in line]
