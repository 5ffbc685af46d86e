"""The detector on real libudev calls: a bus of umockdev's, uevents, ttys that are ptys.

What it cannot show is the kernel's own timing and a netlink socket that overflows.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import subprocess
import sys
import threading
import tty
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any

import pytest

from tests.modem import usbtestbed

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
TITLE = "Quectel, Incorporated EC25-E (2c7c:0125)"
NAMES = {"ID_VENDOR_ENC": "Quectel\\x2c\\x20Incorporated", "ID_MODEL_ENC": "EC25-E", "ID_MM_DEVICE_IGNORE": "1"}

pytestmark = pytest.mark.skipif(
    usbtestbed.LIBRARY is None, reason="umockdev is not installed (Debian: libumockdev0, umockdev)"
)


class Modem:
    """Four ptys, of which some answer AT."""

    def __init__(self, *, speaking: frozenset[int] = frozenset({2, 3})) -> None:
        self._speaking = speaking
        self._ends = [pty.openpty() for _ in range(4)]
        for _, slave in self._ends:
            tty.setraw(slave)
        self.ptys = [os.ttyname(slave) for _, slave in self._ends]
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        masters = [self._ends[number][0] for number in self._speaking]
        while True:
            ready, _, _ = select.select([*masters, self._stop], [], [])
            if self._stop in ready:
                return
            for master in ready:
                data = os.read(master, 4096)
                os.write(master, data + b"\r\nOK\r\n" if data.endswith(b"\r") else data)

    def unplug(self) -> None:
        """All of its lines hang up."""
        os.write(self._stopped, b"!")
        self._thread.join()
        for end in (*(end for ends in self._ends for end in ends), self._stop, self._stopped):
            os.close(end)


class Child:
    """A process whose lines are waited for."""

    def __init__(self, module: str, *arguments: str, preload: bool = True, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=os.environ | ({"LD_PRELOAD": usbtestbed.PRELOAD} if preload else {}) | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            self.lines.put(text.strip())

    def next(self) -> str:
        return self.lines.get(timeout=20)

    def until(self, wanted: str) -> None:
        while self.next() != wanted:
            pass

    def tell(self, **command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        assert self.next() == "done"

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def bus() -> Iterator[tuple[Child, str]]:
    bed = Child("tests.modem.usbtestbed")
    yield bed, bed.next()
    bed.end()


@contextlib.contextmanager
def detector(root: str, *named: str, settle: float = 0.3, linger: float = 60) -> Iterator[Child]:
    child = Child("tests.modem.detecting", str(settle), str(linger), *named, UMOCKDEV_DIR=root)
    assert child.next() == "ready"
    try:
        yield child
    finally:
        child.end()


def test_a_modem_is_found_opened_lost_and_found_again_under_other_names(bus: tuple[Child, str]) -> None:
    bed, root = bus
    modem = Modem()
    with detector(root) as found:
        bed.tell(plug="1-1.2", usb_id="2c7c:0125", first=0, ptys=modem.ptys, properties=NAMES)
        assert found.next() == f"appeared 1-1.2 {TITLE}"
        assert found.next() == "open 1-1.2 /dev/ttyUSB2"
        bed.tell(unplug="1-1.2")
        modem.unplug()
        assert found.next().startswith("ended 1-1.2 ")
        again = Modem()
        bed.tell(plug="1-1.2", usb_id="2c7c:0125", first=4, ptys=again.ptys, properties=NAMES)
        found.until("open 1-1.2 /dev/ttyUSB6")


def test_a_modem_that_was_there_before_is_found(bus: tuple[Child, str]) -> None:
    bed, root = bus
    bed.tell(plug="1-1", usb_id="2c7c:0125", first=0, ptys=Modem().ptys, properties=NAMES)
    with detector(root) as found:
        assert found.next() == f"appeared 1-1 {TITLE}"
        assert found.next() == "open 1-1 /dev/ttyUSB2"


def test_of_an_unknown_modem_the_port_that_answers_is_found(bus: tuple[Child, str]) -> None:
    bed, root = bus
    with detector(root) as found:
        modem = Modem(speaking=frozenset({3}))
        bed.tell(plug="1-1", usb_id="abcd:0001", first=0, ptys=modem.ptys, properties={"ID_MODEL": "X_1"})
        assert found.next() == "appeared 1-1 X 1 (abcd:0001)"
        assert found.next() == "open 1-1 /dev/ttyUSB3"


def test_a_stick_in_router_mode_is_told_and_taken_back(bus: tuple[Child, str]) -> None:
    bed, root = bus
    with detector(root) as found:
        bed.tell(plug="1-1", usb_id="12d1:14db", first=0, ptys=[], properties={})
        assert found.next().startswith("remark 1-1 a USB device (12d1:14db) works as a network card")
        bed.tell(unplug="1-1")
        assert found.next() == "remark_gone 1-1"


def test_a_modem_with_a_port_in_the_settings_is_left_alone_and_one_that_stays_away_leaves(
    bus: tuple[Child, str],
) -> None:
    bed, root = bus
    with detector(root, "/dev/ttyUSB1", linger=0.5) as found:
        bed.tell(plug="1-1", usb_id="2c7c:0125", first=0, ptys=Modem().ptys, properties=NAMES)
        bed.tell(plug="1-2", usb_id="2c7c:0125", first=4, ptys=Modem().ptys, properties=NAMES)
        assert found.next() == f"appeared 1-2 {TITLE}"
        assert found.next() == "open 1-2 /dev/ttyUSB6"
        bed.tell(unplug="1-2")
        assert found.next() == "left 1-2"
