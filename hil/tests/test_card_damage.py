"""The SD image when what it needs is not there: no network, a damaged file system, data that are lost.

The device of this file has lived: its first start was one without a network, in which its modem brought a text; then
its cable was plugged in, and it sent one. After that its card is damaged in one way and another. Nobody logs in and
mends anything.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio

from hil.card import damage, machine, reader
from hil.card.cuts import SECTOR
from hil.card.house import SETTINGS, api, modem_in
from hil.card.machine import CardMachine, Fat
from hil.card.reader import DATA, SLOT_A, SLOT_B, examine, partition, untouched
from hil.card.slots import plugged
from hil.card.tiny import CHOICE, chosen
from hil.rig import Modems
from hil.rig.waiting import asked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hil.conftest import NewRow
    from hil.rig import Api

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(2400)]

FRIEND: Final = "+447700900821"
OUT, IN = "sent before the damage", "came while there was no network"
ERROR: Final = "modemhub-error.txt"
UP: Final = 900.0
"""Seconds until the hub's first answer; other machines may have the processors."""
ONLINE: Final = 300.0
"""Seconds for what takes a quarter of that where nobody else has the processors."""
ROOTED: Final = "Welcome to "
"""On the console, when the root is mounted, and nothing else."""
LOST: Final = 4 << 20
"""Octets of the data partition that are gone, and with them all that it held: e2fsck would make an empty one of it."""
LOOKED_AT: Final = 256 << 20
"""Octets of the data partition that must be as they were; the image has half of them."""


@pytest.fixture(scope="module", autouse=True)
def _needed() -> None:
    if reason := machine.needed() or reader.needed():
        pytest.skip(reason)


@dataclass(frozen=True, slots=True)
class Home:
    """A device that has lived, switched off, and what is known of its first start."""

    device: CardMachine
    directory: Path
    message: str
    """Of the text that it sent."""
    taken: float
    """Seconds from the start until the text was off the modem; there was no network."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(card: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    directory = tmp_path_factory.mktemp("card")
    async with CardMachine(card, directory, settings=SETTINGS, on=False) as device:
        async with Modems(directory / "m", configuration=modem_in(device)) as modems:
            began = time.monotonic()
            await device.power_on()
            await device.cable(plugged=False)
            await modems.do("fault", kind="replug")
            await modems.deliver(modems.all[0], IN)
            await asked(lambda: is_taken(modems), bool, "text taken off the modem without a network", within=UP)
            taken = time.monotonic() - began
            await device.cable(plugged=True)
            await device.ready(within=ONLINE)
            async with api(device) as door:
                await asked(lambda: texts_in(door), bool, "text in the inbox", within=ONLINE)
                message = (await door.send(to=FRIEND, text=OUT))["id"]
                await asked(lambda: is_delivered(door, message), bool, "report", within=ONLINE)
            assert modems.refused() == []
            await asked(lambda: choices_written(device, 2), bool, "word that the slot is good", within=ONLINE)
        await device.shut_down(within=ONLINE)
        yield Home(device, directory, message, taken)


async def is_taken(modems: Modems) -> bool:
    """Whether the network has handed everything over, and the modem stores nothing any more."""
    (status,) = (await modems.do("status"))["modems"]
    there = any(storage["used"] for storage in status["storages"].values())
    return not there and not status["held"] and any(line["kind"] == "mt" for line in modems.ledger())


async def texts_in(door: Api) -> list[str]:
    return [message["text"] for message in (await door.get("/api/v1/inbox"))["messages"]]


async def is_delivered(door: Api, message: str) -> bool:
    return bool((await door.get(f"/api/v1/messages/{message}"))["state"] == "delivered")


def data_of(card: Path) -> str:
    """Names what is on the data partition."""
    with card.open("rb") as file:
        file.seek(partition(card, DATA).start)
        return hashlib.sha256(file.read(LOOKED_AT)).hexdigest()


def told(device: CardMachine) -> str:
    return device.fat(ERROR).decode("utf-8-sig")


async def test_the_hub_works_without_a_network_and_is_reached_when_there_is_one(home: Home, row: NewRow) -> None:
    row("card", figure="text off the modem without a network, seconds from the start", value=home.taken)
    with pytest.raises(FileNotFoundError):
        told(home.device)
    assert await asyncio.to_thread(examine, home.device.card, home.directory) == []


async def test_what_can_be_repaired_is_repaired_and_nothing_is_lost(home: Home, card: Path, row: NewRow) -> None:
    device = home.device
    damage.spoil_second_fat(device.card)
    damage.wrong_parent(device.card)
    assert await asyncio.to_thread(damage.preens, device.card, home.directory) == 4
    began = time.monotonic()
    await device.boot(within=UP)
    row(
        "card", figure="hub ready with a damaged data partition, seconds from the start", value=time.monotonic() - began
    )
    async with api(device) as door:
        assert await texts_in(door) == [IN]
        assert await is_delivered(door, home.message)
    journal = await device.shell("journalctl --boot --no-pager --unit modemhub-mend.service")
    assert "'..' in /modemhub" in journal
    assert (await device.shell("systemctl --failed --plain --no-legend")) == ""
    # the root is not looked at: what is read-only needs no check, and gets none that would write to it
    checks = await device.shell("systemctl --state=active,failed --plain --no-legend list-units 'systemd-fsck[@-]*'")
    assert [line.split()[0] for line in checks.splitlines()] == ["systemd-fsck@dev-modemhub-boot.service"]
    await device.shut_down(within=ONLINE)
    with pytest.raises(FileNotFoundError):
        told(device)
    assert await asyncio.to_thread(examine, device.card, home.directory) == []
    for slot in (SLOT_A, SLOT_B):
        assert untouched(device.card, card, slot)


async def test_lost_data_are_told_nothing_is_made_of_them_and_a_file_makes_a_new_device(home: Home, card: Path) -> None:
    device = home.device
    damage.zero_data(device.card, LOST)
    before = await asyncio.to_thread(data_of, device.card)
    await device.power_on()
    await device.console.until(
        lambda _: console_tells(device, "Finished", "modemhub-device.service"),
        "all that is told on the card",
        within=UP,
    )
    # the boot loader takes an attempt; they are given back although nobody knows whether the hub is good
    await asked(lambda: choices_written(device, 2), bool, "word that this slot is good", within=ONLINE)
    assert console_tells(device, "Dependency failed", "modemhub.s")  # the console shortens what is long
    with pytest.raises((OSError, TimeoutError)):
        async with asyncio.timeout(20):
            await device.certificate()
    assert [event for event in device.events.items if event["event"] == "RESET"] == []
    await device.cut()
    text = told(device)
    assert "cannot be read" in text
    assert "factory-reset" in text
    assert chosen(device.card)["BOOT_A_LEFT"] == "c"
    assert await asyncio.to_thread(data_of, device.card) == before

    Fat.of(device.card).write("factory-reset", b"")
    device.configure(SETTINGS)
    await device.power_on()
    await device.says(ROOTED, within=UP)  # of two cards, U-Boot and the kernel take the first
    async with plugged(device, card):
        await device.ready(within=UP)
        async with api(device) as door:
            assert await texts_in(door) == []
            assert (await door.call("GET", f"/api/v1/messages/{home.message}")).status == 404
        # the other card is there with all its partitions, and is not this device's
        await device.ssh(["udevadm", "wait", "--timeout=120", "--settle", "/dev/sda4"])
        sources = await device.shell(
            "for at in / /boot/firmware /data; do findmnt --noheadings --output SOURCE $at; done"
        )
        assert sources.split() == ["/dev/vda2", "/dev/vda1", "/dev/vda4"]
        assert (await device.shell("systemctl --failed --plain --no-legend")) == ""
    await device.shut_down(within=ONLINE)
    names = Fat.of(device.card).names()
    assert "factory-reset-done.txt" in names
    assert not {"factory-reset", ERROR} & set(names)
    assert await asyncio.to_thread(examine, device.card, home.directory) == []


def console_tells(device: CardMachine, *words: str) -> bool:
    """Whether a line of the console has all of these words since the start; there are colours between them."""
    return any(all(word in line for word in words) for line in device.booted())


async def choices_written(device: CardMachine, count: int) -> bool:
    """Whether the sector of the boot choice was written to so often in this start."""
    requests = await asyncio.to_thread(device.disk.requests)
    assert SECTOR == 512
    return sum(each.sector <= CHOICE < each.sector + each.count for each in requests) >= count
