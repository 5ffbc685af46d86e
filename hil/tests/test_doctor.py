"""``modemhub doctor`` on a bus with all sorts of things on it, in the words that a person reads: the table "doctor"."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from hil.rig import rig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.conftest import NewRow
    from hil.rig import Rig

pytestmark = pytest.mark.asyncio

MODEMS: Final[list[dict[str, Any]]] = [
    {"persona": "quectel-ec2x", "usb": "1-1.1"},
    {"persona": "simcom-sim7600", "usb": "1-1.2"},
    {"persona": "huawei-hspa", "usb": "1-1.3"},
    {"persona": "simcom-2g"},
    {"persona": "wavecom"},
]

STRANGERS: Final = {"storage": "1-2.1", "hilink": "1-2.2", "ftdi": "1-2.3", "keyboard": "1-2.4"}


async def asked(whole: Rig, *, fine: bool) -> dict[str, str]:
    """What doctor says, by what it says it of; the exit code tells whether all is well."""
    code, output = await whole.hub.command("doctor")
    assert code == (0 if fine else 1), output
    said: dict[str, str] = {}
    for line in output.splitlines():
        port, _, words = line.partition(": ")
        said[port] = f"{said[port]} {words}" if port in said else words
    assert "Traceback" not in output
    return said


async def test_doctor_says_in_plain_words_what_is_plugged_in_while_no_hub_runs(place: Path, row: NewRow) -> None:
    async with rig(place, modems=MODEMS, usb=True, start=False) as whole:
        for what, position in STRANGERS.items():
            await whole.modems.do("usb_plug", what=what, at=position)
        await whole.modems.do("fault", modem="modem3", kind="sim_out")
        with open_elsewhere(whole.modems.all[1].port), open_elsewhere(whole.modems.all[4].port):
            said = await asked(whole, fine=False)
    for port, words in said.items():
        row("doctor", at=port.rpartition("/")[2], says=words)
    healthy, busy, no_sim, uart, busy_uart = whole.modems.all
    assert "quectel-ec2x" in said["usb 1-1.1"]
    assert f"IMEI {healthy.imei}; SIM ready; registered (home)" in said[node(healthy.port)]
    for port in (node(busy.port), busy_uart.port):
        assert "cannot be opened" in said[port]
        assert "is in use by" in said[port]
    assert f"IMEI {no_sim.imei}; SIM: no SIM" in said[node(no_sim.port)]
    assert f"IMEI {uart.imei}; SIM ready" in said[uart.port]
    assert "usb-modeswitch" in said["usb 1-2.1"]
    assert "HiLink" in said["usb 1-2.2"]
    assert "serial adapter" in said["usb 1-2.3"]
    assert "[[modems]]" in said["usb 1-2.3"]
    assert "usb 1-2.4" not in said


@contextlib.contextmanager
def open_elsewhere(port: str) -> Iterator[None]:
    """Have a tty open for oneself, as another SMS program would."""
    file = os.open(port, os.O_RDWR | os.O_NOCTTY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def node(port: str) -> str:
    """How the hub's process sees a tty of the fake bus."""
    return f"/dev/{Path(port).name}"


async def test_doctor_asks_the_hub_for_the_modems_that_it_runs(place: Path, row: NewRow) -> None:
    async with rig(place, modems=MODEMS[:2], usb=True) as whole:
        said = await asked(whole, fine=True)
        for modem, position in zip(whole.modems.all, ("1-1.1", "1-1.2"), strict=True):
            assert f"IMEI {modem.imei}" in said[f"usb {position}"]
            assert "state: ready" in said[f"usb {position}"]
        row("doctor", at="usb 1-1.1 (hub runs)", says=said["usb 1-1.1"])
        start = len(whole.observer.heard.items)
        await whole.modems.do("fault", modem="modem2", kind="puk")
        topic = f"modem/{whole.modems.all[1].imei}/state"
        await whole.observer.heard.until(
            lambda _: [h for h in whole.observer.on(topic, start=start) if h.json["state"] == "puk_required"],
            "PUK told",
        )
        said = await asked(whole, fine=False)
        assert "PUK" in said["usb 1-1.2"]
        row("doctor", at="usb 1-1.2 (hub runs, PUK)", says=said["usb 1-1.2"])
