"""A detector as a process of its own, for ``test_detect_udev.py``: it prints what it is told, and what opens.

Runs under ``LD_PRELOAD`` with ``UMOCKDEV_DIR``, so that its udev is the test bed's.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from appliance.errors import PortGone
from appliance.modem.detect import Detector
from tests.modem.buses import knowledge

if TYPE_CHECKING:
    from appliance.modem.detect import UsbPlace


def say(*words: str) -> None:
    print(*words, flush=True)  # noqa: T201


class Teller:
    """A host that prints, and opens each modem that appears, again and again."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()

    def appeared(self, place: UsbPlace) -> None:
        say("appeared", place.path, place.device.title if place.device else "")
        self.tasks.add(asyncio.get_running_loop().create_task(self.use(place)))

    async def use(self, place: UsbPlace) -> None:
        while True:
            await place.present()
            try:
                port = await place.open(0)
            except PortGone as error:
                say("refused", place.path, str(error))
                await asyncio.sleep(0.2)
                continue
            say("open", place.path, port.name)
            port.listen(lambda _: None)
            say("ended", place.path, await port.gone)
            await port.close()
            await asyncio.sleep(0.2)

    def left(self, place: UsbPlace) -> None:
        say("left", place.path)

    def remark(self, path: str, words: str) -> None:
        say("remark", path, words)

    def remark_gone(self, path: str) -> None:
        say("remark_gone", path)


async def main() -> None:
    settle, linger, *named = sys.argv[1:]
    detector = Detector(
        Teller(), knowledge(), named=named, settle=float(settle), linger=float(linger), manager=lambda: None
    )
    say("ready")
    await detector.run()


if __name__ == "__main__":
    asyncio.run(main())
