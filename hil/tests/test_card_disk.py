"""The SD image and its disk: what it writes when it has nothing to do, and what it does when there is no room left."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio

from hil.card import machine, reader
from hil.card.cuts import SECTOR, Flags
from hil.card.house import SETTINGS, Sender, api, modem_in, modem_ready
from hil.card.machine import CardMachine
from hil.card.reader import examine, writers
from hil.rig import Modems
from hil.rig.waiting import asked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hil.conftest import NewRow
    from hil.rig import Answer, Api
    from hil.rig.observer import Heard

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1800)]

FRIEND: Final = "+447700900821"
UP: Final = 900.0
"""Seconds until the hub's first answer; other machines may have the processors."""
ONLINE: Final = 300.0
"""Seconds until the modem is ready after the hub's first answer."""
SETTLE: Final = {False: 20.0, True: 120.0}
IDLE: Final = {False: 60.0, True: 600.0}
"""Seconds before and while it is measured, in the short form and in the long one."""
MOST_MB: Final = 12.0
"""Megabytes an hour that an idle device may write: a tenth of a terabyte in a year, where the smallest cards that are
sold for such use are good for ten."""
HOUR: Final = 3600.0
TRIES: Final = 400
"""Texts until one has to be refused on a full disk; what is left free holds some of them."""
ROOM: Final = 90.0
"""Seconds until the hub has noticed that there is room again; it looks every half minute."""


@pytest.fixture(scope="module", autouse=True)
def _needed() -> None:
    if reason := machine.needed() or reader.needed():
        pytest.skip(reason)


@dataclass(frozen=True, slots=True)
class Home:
    """A device with a modem, both of which are ready."""

    device: CardMachine
    modems: Modems
    directory: Path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(card: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    directory = tmp_path_factory.mktemp("card")
    async with CardMachine(card, directory, settings=SETTINGS, on=False) as device:
        async with Modems(directory / "m", configuration=modem_in(device)) as modems:
            await device.power_on()
            await modems.do("fault", kind="replug")
            await device.ready(within=UP)
            async with api(device) as door:
                await modem_ready(door, within=ONLINE)
                await sent_and_reported(door, "the first text")
            yield Home(device, modems, directory)
        await device.shut_down(within=ONLINE)
        assert examine(device.card, directory) == []


async def sent_and_reported(door: Api, text: str) -> None:
    message = await door.send(to=FRIEND, text=text)
    path = f"/api/v1/messages/{message['id']}"
    await asked(lambda: door.get(path), lambda told: told["state"] == "delivered", "report", within=ONLINE)


async def arrived(door: Api, modems: Modems, text: str) -> None:
    await modems.deliver(modems.all[0], text)
    await asked(
        lambda: door.get("/api/v1/inbox?before=0&limit=10"),
        lambda told: text in [message.get("text") for message in told["messages"]],
        f"{text!r} in the inbox",
        within=ONLINE,
    )


async def test_what_an_idle_device_writes(home: Home, row: NewRow, *, long: bool) -> None:
    device = home.device
    # else the guest would flush nothing, and no cut would lose anything
    assert (await device.shell("cat /sys/block/vda/queue/write_cache")).strip() == "write back"
    before = len(device.disk.requests())
    await device.shell("echo flushed > /data/flushed; sync /data/flushed; rm /data/flushed; sync")
    assert any(each.flags & Flags.FLUSH for each in device.disk.requests()[before:])

    # after the first start the kernel zeroes the inode tables of what was grown, once
    zeroing = "while grep -qs ext4lazyinit /proc/[0-9]*/comm; do sleep 1; done"
    await device.shell(zeroing, within=UP)
    await asyncio.sleep(SETTLE[long])
    await device.shell("sync")
    before = len(device.disk.requests())
    await asyncio.sleep(IDLE[long])
    written = device.disk.requests()[before:]
    await device.shell("sync")
    hours = IDLE[long] / HOUR
    size = sum(entry.count for entry in written) * SECTOR / 1e6 / hours
    who = writers(device.disk, written, home.directory / "now.img")
    row("idle", who="all", MB=size, writes=round(sum(bool(entry.count) for entry in written) / hours))
    for name, octets in who.most_common(8):
        row("idle", who=name, MB=octets / 1e6 / hours)
    assert size < MOST_MB, who.most_common(20)


async def test_a_full_data_partition_refuses_texts_keeps_what_arrives_and_recovers(home: Home) -> None:
    device, modems = home.device, home.modems
    async with api(device) as door, Sender(device) as sender:
        # nothing is left, not even what is reserved for root
        fill = "fallocate -l $(df --output=avail -B1 /data | tail -1) /data/filler; cat /dev/zero > /data/rest; sync"
        await device.shell(fill, check=False, within=ONLINE)

        refused = await first_refusal(door)
        assert (refused.status, refused.json["code"]) == (507, "store_full")
        assert refused.headers["Content-Type"].startswith("application/problem+json")
        assert int(refused.headers["Retry-After"]) > 0
        # by MQTT a command is held back, as a refusal would make the broker throw it away; that it is so is told
        held = asyncio.create_task(sender.ask({"to": FRIEND, "text": "by MQTT", "id": "full-mqtt"}, within=ONLINE))
        await sender.heard.until(disk_full, "word of the full disk", within=ROOM)
        for n in range(20):
            await arrived(door, modems, f"in {n} on a full disk")
        assert (await door.call("GET", "/healthz")).status == 200
        assert not held.done()

        await device.shell("rm /data/filler /data/rest; sync")
        await accepted_again(door)
        await sent_and_reported(door, "there is room again")
        assert (await held)["status"] == "ok"
        await arrived(door, modems, "in, with room")
    assert (await device.ssh(["systemctl", "--failed", "--plain", "--no-legend"])).out == ""
    assert modems.refused() == []


def disk_full(heard: list[Heard]) -> bool:
    """Whether the newest word on the hub's health is that its disk is full."""
    told = [each.json for each in heard if each.topic == "modemhub/health"]
    return bool(told) and told[-1]["disk_full"]


async def first_refusal(door: Api) -> Answer:
    """Send until the hub refuses; all before is accepted."""
    for n in range(TRIES):
        answer = await door.call("POST", "/api/v1/messages", {"to": FRIEND, "text": f"{n} on a full disk"})
        if answer.status != 202:
            return answer
    raise AssertionError(f"{TRIES} texts were accepted on a full disk")


async def accepted_again(door: Api) -> None:
    """Wait until the hub takes texts, which it refuses for want of room alone."""

    async def status() -> int:
        answer = await door.call("POST", "/api/v1/messages", {"to": FRIEND, "text": "is there room", "id": "room"})
        assert answer.status == 202 or (answer.status, answer.json["code"]) == (507, "store_full")
        return answer.status

    await asked(status, lambda told: told == 202, "room for texts", within=ROOM)
