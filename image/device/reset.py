"""Back to the beginning: the verbs ``reset``, ``wipe`` and ``jumper``.

Promise: who asks for it gets a device that knows nothing of its owner: no settings, no keys, no messages. A power cut
at any moment leaves it asked for, and the next start does it. What is not asked for is never done.

What it does not do: it does not overwrite the whole card. Where the card takes a discard, what was there is gone for
everybody but a laboratory; where it does not, new data overwrites it as time goes by. The settings file stays on the
FAT partition as it is: it has no secrets, and who wants other settings writes others.

Theory of operation. The request is a file on the FAT partition, whoever makes it: a person with a computer
(``factory-reset``, or ``factory-reset.txt`` as Windows has it), the verb ``reset``, or the jumper (``gesture``). The
verb ``wipe`` runs before /data is mounted, and only where there is such a file: it discards, makes a new file system
with its directories, says so on the card, and takes the request away last of all.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from .boot import prepare_data
from .fat import Fat
from .gesture import Gesture, Pull, Verdict
from .kept import Kept
from .rim import Command, Failed, run
from .shape import Device

if TYPE_CHECKING:
    from collections.abc import Callable

    from .place import Place

__all__ = ["DONE", "REQUESTS", "Line", "ask", "asked", "find_line", "watch", "wipe"]

log = logging.getLogger(__name__)

REQUESTS: Final = ("factory-reset", "factory-reset.txt")
DONE: Final = "factory-reset-done.txt"
DATA_PARTITION: Final = "4"
LINE: Final = "GPIO21"
"""Pin 40, beside the ground of pin 39: the last two of the header."""
STEP: Final = 0.05


# ---------------------------------------------------------------- asking


def asked(fat: Fat) -> bool:
    """Whether there is a request on the card."""
    return any(fat.find(name) is not None for name in REQUESTS)


def ask(place: Place, *, command: Command = run) -> int:
    """Have it done at the next start."""
    try:
        Fat(place, command=command).write(REQUESTS[0], b"asked for on the device\r\n")
    except Failed as failed:
        log.error("it cannot be asked for: %s", failed)  # noqa: TRY400 - nothing to trace
        return 1
    log.warning(
        "at the next start this device forgets everything; to call it off, remove %s from the card", REQUESTS[0]
    )
    return 0


# ---------------------------------------------------------------- doing


def data_partition(place: Place, root: int) -> Path:
    """The data partition of the disk that the root (its device's number) is on: another card may be plugged in too.

    Raises:
        Failed: the root is on no disk with such a partition.
    """
    disk = place.at(f"/sys/dev/block/{os.major(root)}:{os.minor(root)}").resolve().parent
    for number in sorted(disk.glob("*/partition")):
        if number.read_text(encoding="ascii").strip() == DATA_PARTITION:
            return place.at("/dev") / number.parent.name
    raise Failed("the root is on no disk with a data partition")


def wipe(place: Place, *, root: int | None = None, command: Command = run) -> int:
    """Do it, where it was asked for; exit code.

    Args:
        place: the device.
        root: number of the device that the root is on; None: of this machine's.
        command: runs the tools.
    """
    fat = Fat(place, command=command)
    if not asked(fat):
        return 0
    disk = data_partition(place, Path("/").stat().st_dev if root is None else root)
    log.warning("a factory reset was asked for: %s is made anew", disk)
    try:
        command(["blkdiscard", "-f", disk])
    except Failed as failed:
        log.info("what was there cannot be discarded (%s); it is overwritten as time goes by", failed)
    with tempfile.TemporaryDirectory(dir=place.at("/run")) as skeleton:
        prepare_data(Path(skeleton), real=place.real)
        Path(skeleton).chmod(0o755)
        if place.real:
            os.chown(skeleton, 0, 0)
        command(["mke2fs", "-q", "-F", "-t", "ext4", "-L", "data", "-m", "1", "-d", skeleton, disk])
    command(["sync"])
    with fat.writable():
        fat.write(
            DONE, b"Everything on this device was forgotten, as it was asked for.\r\nThis file may be removed.\r\n"
        )
        for name in REQUESTS:
            fat.remove(name)
    return 0


# ---------------------------------------------------------------- the jumper


class Line(Protocol):
    """A line of the GPIO chip, as an input."""

    def is_low(self, pull: Pull) -> bool:
        """What it is with this pull."""

    def close(self) -> None:
        """Leave it as it was."""


def watch(
    place: Place,
    *,
    find: Callable[[], Line | None] | None = None,
    command: Command = run,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Look for the gesture, from the start of the machine on; where it was made, start anew into the reset."""
    kept = Kept.read(place)
    if not Device.of(kept.settings).system.reset_jumper or _is_used(kept.settings):
        return 0
    line = (find or find_line)()
    if line is None:
        return 0
    gesture, verdict = Gesture(), Verdict.LOOKING
    try:
        while verdict is Verdict.LOOKING:
            verdict = gesture.look(clock(), low=line.is_low(gesture.pull))
            if verdict is Verdict.LOOKING:
                sleep(STEP)
    finally:
        line.close()
    if verdict is Verdict.NOTHING:
        return 0
    log.warning("the jumper between pins 39 and 40 asks for a factory reset")
    code = ask(place, command=command)
    if code == 0:
        command(["systemctl", "reboot"])
    return code


def _is_used(settings: Any) -> bool:
    """Whether a modem's own GPIO line is this one."""
    number = int(LINE.removeprefix("GPIO"))

    def names(value: Any) -> bool:
        match value:
            case dict():
                return value.get("line") == number or any(names(each) for each in value.values())
            case list():
                return any(names(each) for each in value)
            case bool():
                return False
        return bool(value == number)

    modems = settings.get("modems")
    return (
        any(names(each.get("power")) for each in modems if isinstance(each, dict))
        if isinstance(modems, list)
        else False
    )


class _Gpio:
    """The line of the header, by libgpiod."""

    def __init__(self, chip: str, offset: int) -> None:
        import gpiod  # noqa: PLC0415 - only where there is such a line
        from gpiod.line import Bias, Direction, Value  # noqa: PLC0415

        self._offset = offset
        self._low = Value.INACTIVE
        self._settings = {
            Pull.UP: gpiod.LineSettings(direction=Direction.INPUT, bias=Bias.PULL_UP),
            Pull.DOWN: gpiod.LineSettings(direction=Direction.INPUT, bias=Bias.PULL_DOWN),
        }
        self._pull = Pull.UP
        self._request = gpiod.request_lines(chip, consumer="modemhub-reset", config={offset: self._settings[Pull.UP]})

    def is_low(self, pull: Pull) -> bool:
        if pull is not self._pull:
            self._request.reconfigure_lines({self._offset: self._settings[pull]})
            self._pull = pull
            time.sleep(0.01)  # 50 kΩ and some 100 pF: microseconds, with a long wire on it too
        return self._request.get_value(self._offset) is self._low

    def close(self) -> None:
        self._request.release()


def find_line() -> Line | None:
    """The line named GPIO21 of whatever chip has it; None: this board has none, or it is in use."""
    import gpiod  # noqa: PLC0415 - only here

    for path in sorted(Path("/dev").glob("gpiochip*")):
        try:
            with gpiod.Chip(str(path)) as chip:
                found = next((n for n in range(chip.get_info().num_lines) if chip.get_line_info(n).name == LINE), None)
            if found is not None:
                return _Gpio(str(path), found)
        except OSError as error:
            log.info("%s: %s", path, error)
    return None
