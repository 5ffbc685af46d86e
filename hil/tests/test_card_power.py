"""The SD image and power cuts: at any moment, with texts both ways, it boots, and nothing that was accepted is lost.

A cut leaves what it may leave of writes that were not flushed (``hil.card.cuts``). Each round is a start of the same
card, a moment, a cut, and a look at the card. Clients outside behave as clients do: by HTTP and by the device's own
broker they ask again, with the same id, for what was not answered. The emulated network stands outside and keeps its
ledger. ``--long`` has ``ROUNDS`` cuts (environment ``CARD_CUTS``) and takes about a minute for each; after
``CARD_MINUTES`` it begins no other. ``CARD_SEED`` is for another run than the last one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import time
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest

from hil.card import machine, reader
from hil.card.house import SETTINGS, Sender, api, modem_in
from hil.card.machine import CardMachine
from hil.card.reader import SLOT_A, SLOT_B, data_after, examine, examine_data, untouched
from hil.rig import Api, Hub, Modems
from hil.rig.laws import ENDS, once_each, sent_once_or_told
from hil.rig.mqtt import Refused
from hil.rig.waiting import PATIENCE, Overdue, asked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hil.conftest import NewRow

pytestmark = [
    pytest.mark.asyncio,
    # the power may go while paho shakes hands; it leaves that socket open
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MINUTES: Final = float(os.environ.get("CARD_MINUTES", "inf"))
ROUNDS: Final = int(os.environ.get("CARD_CUTS", "50"))
SEED: Final = int(os.environ.get("CARD_SEED", "1"))
FRIENDS: Final = {"http": "+447700900801", "mqtt": "+447700900802"}
PAUSE: Final = 0.5
"""Seconds between two texts of a client: some are on their way at each cut, and the queue does not grow without end."""
SETTLED: Final = 900.0
"""Seconds until all that was accepted has its end, after the last cut; one text takes half a second here."""
UP: Final = 600.0
"""Seconds until a start is given up: under emulation, beside other tests, and with a disk to be looked after."""
BOOT, TRAFFIC, START = (8.0, 75.0), (0.0, 20.0), (0.0, 4.0)
"""Seconds: the moment of a round of each kind; of the second and the third from the hub's first answer on. The kernel
starts at 10."""
LOOKS: Final = 5
"""How often the record of a round with texts is cut at other moments."""
NEWEST: Final = 40
"""How many texts are asked for after a cut; all of them are in the end."""
LAST: Final = ENDS | {"submitted"}
"""A status report that comes while nobody is there is lost, where the modem does not store it."""
FIRST: Final = {False: 1, True: 3}
"""Rounds that are cut while the device starts for the first time: it grows its data partition, takes its settings."""
MOMENTS: Final = ("traffic", "boot", "start", "boot")
"""What a later round waits for before its moment: texts on their way, nothing at all, the hub's first answer."""


class Books:
    """What clients want sent, what they were told is accepted, and what the network has for the device."""

    def __init__(self, device: CardMachine, modems: Modems) -> None:
        self.device = device
        self.modems = modems
        self.wanted: dict[str, dict[str, Any]] = {}
        """By id, the idempotency key; its door is the first word."""
        self.accepted: dict[str, str] = {}
        """By the same, the message's id: it was said to a client."""
        self.heard_at: dict[str, int] = {}
        """By the same, octets of this start's record of writes when the client was told."""
        self.delivered: list[str] = []
        self.up = asyncio.Event()
        """The hub has answered."""

    def _next(self, door: str) -> dict[str, Any]:
        key = f"{door}-{len(self.wanted)}"
        command = {"to": FRIENDS[door], "text": f"text {key}", "id": key}
        self.wanted[key] = command
        return command

    def _told(self, key: str, number: str) -> None:
        self.accepted[key] = number
        with contextlib.suppress(FileNotFoundError):  # its power went meanwhile
            self.heard_at[key] = self.device.disk.record.stat().st_size

    # Traffic, until it is cancelled; what fails was not answered, and is asked for again at the end.

    async def by_http(self) -> None:
        async with api(self.device) as door:
            while True:
                command = self._next("http")
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    answer = await door.call("POST", "/api/v1/messages", command)
                    assert answer.status == 202, str(answer)
                    self._told(command["id"], answer.json["id"])
                await asyncio.sleep(PAUSE)

    async def by_mqtt(self) -> None:
        await self.up.wait()
        while True:
            with contextlib.suppress(Refused, Overdue, OSError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self.device.certificate(8883)  # paho leaves the socket of a failed handshake open
                async with Sender(self.device) as client:
                    while True:
                        await self._ask(client, self._next("mqtt"))
                        await asyncio.sleep(PAUSE)
            await asyncio.sleep(PAUSE)

    async def _ask(self, client: Sender, command: dict[str, Any]) -> None:
        answer = await client.ask(command)
        assert answer["status"] == "ok", answer
        self._told(command["id"], answer["id"])

    async def inward(self) -> None:
        await self.up.wait()  # a start takes minutes here; hundreds of texts would wait in the network
        while True:
            text = f"in {len(self.delivered)}"
            self.delivered.append(text)
            await self.modems.deliver(self.modems.all[0], text)
            await asyncio.sleep(PAUSE)

    @contextlib.asynccontextmanager
    async def traffic(self) -> AsyncIterator[None]:
        """All of it while it lasts.

        A client that is refused what it must be given fails the test.
        """
        self.heard_at.clear()
        running = [asyncio.create_task(each()) for each in (self.by_http, self.by_mqtt, self.inward)]
        try:
            yield
        finally:
            failed = [task for task in running if task.done() and not task.cancelled()]
            for task in running:
                task.cancel()
            await asyncio.wait(running)
            for task in failed:
                task.result()

    # Afterwards.

    async def missing(self, door: Api) -> list[str]:
        """Which of the texts that a client was told are accepted are not there; the newest of them."""
        lost = []
        for key, number in list(self.accepted.items())[-NEWEST:]:
            answer = await door.call("GET", f"/api/v1/messages/{number}")
            if answer.status != 200 or answer.json["text"] != self.wanted[key]["text"]:
                lost.append(f"{key} was accepted as {number}, and is {answer}")
        return lost

    async def settle(self, door: Api) -> dict[tuple[str, str], dict[str, Any]]:
        """Ask again for what was not answered, as the same client; then wait for every end, and read what is told."""
        async with Sender(self.device) as client:
            for key, command in self.wanted.items():
                if key in self.accepted:
                    continue
                if key.startswith("http"):
                    self.accepted[key] = (await door.send(**command))["id"]
                else:
                    await self._ask(client, command)
        told: dict[tuple[str, str], dict[str, Any]] = {}

        async def unsettled() -> list[str]:
            found = {message["id"]: message for message in await door.all_of("/api/v1/messages", cursor="before")}
            for key, number in self.accepted.items():
                told[self.wanted[key]["to"], self.wanted[key]["text"]] = found[number]
            inbox = await door.all_of("/api/v1/inbox", cursor="since_seq")
            missing = set(self.delivered) - {message.get("text") for message in inbox}
            open_ = [f"{key}: {message['state']}" for key, message in told.items() if message["state"] not in LAST]
            return [*open_, *(f"in: {text}" for text in sorted(missing))]

        await asked(unsettled, lambda left: not left, "end of every text", within=SETTLED, every=5)
        assert len(set(self.accepted.values())) == len(self.accepted)
        return told


@pytest.fixture(scope="module", autouse=True)
def _needed() -> None:
    if reason := machine.needed() or reader.needed():
        pytest.skip(reason)


async def switch_on(device: CardMachine, modems: Modems) -> None:
    """Power for the device, and for the modem in it."""
    await device.power_on()
    await modems.do("fault", kind="replug")


async def drop_dead(device: CardMachine, modems: Modems) -> None:
    """Take the power of the device, and of the modem in it."""
    await device.drop()
    await modems.do("fault", kind="unplug")


@pytest.mark.timeout(600 + 600 * ROUNDS)
async def test_power_cuts_at_any_moment_lose_nothing(card: Path, tmp_path: Path, row: NewRow, *, long: bool) -> None:
    rng = random.Random(SEED)
    async with contextlib.AsyncExitStack() as stack:
        device = await stack.enter_async_context(CardMachine(card, tmp_path, settings=SETTINGS, on=False))
        modems = await stack.enter_async_context(Modems(tmp_path / "m", configuration=modem_in(device)))
        books = Books(device, modems)
        kept = tmp_path / "found.img"
        kept.hardlink_to(device.card)  # stays as evidence
        began = time.monotonic()
        for number in range(ROUNDS if long else 2):
            if time.monotonic() - began > 60 * MINUTES:
                break
            kind = "boot" if number < FIRST[long] else MOMENTS[(number - FIRST[long]) % len(MOMENTS)]
            columns = row("cuts", round=f"{number:02d}", moment=kind)
            columns["ready"], columns["cut after"] = await until_moment(device, books, kind, rng)
            await drop_dead(device, modems)
            if kind != "boot":
                columns["other cuts"] = await cut_elsewhere(books, tmp_path / "elsewhere", rng)
            columns["writes"] = str(await device.cut(f"{SEED}/{number}"))
            columns |= {"accepted": len(books.accepted), "delivered": len(books.delivered)}
            with (tmp_path / "rounds.log").open("a", encoding="utf-8") as log:
                print(json.dumps(columns), file=log)
            assert await asyncio.to_thread(examine, device.card, tmp_path) == []
        columns = row("cuts", round="all", moment="afterwards")
        began = time.monotonic()
        await switch_on(device, modems)
        await device.ready(within=UP)
        columns["ready"] = time.monotonic() - began
        async with api(device) as door:
            told = await books.settle(door)
            inbox = await door.all_of("/api/v1/inbox", cursor="since_seq")
        failed = (await device.ssh(["systemctl", "--failed", "--plain", "--no-legend"])).out
        await device.shut_down(within=UP)
        columns |= {"accepted": len(told), "delivered": len(books.delivered)}
        columns["duplicates"] = sum(len(sent) - 1 for sent in modems.times_sent().values())
        breaches = [
            *sent_once_or_told(modems, told, ends=LAST),
            *once_each(books.delivered, inbox),
            *(str(refused) for refused in modems.refused()),
            *examine(device.card, tmp_path),
            *failed.splitlines(),
            *(f"slot {n} was written to" for n in (SLOT_A, SLOT_B) if not untouched(device.card, card, n)),
        ]
        assert breaches == []
        assert told
        kept.unlink()


async def until_moment(device: CardMachine, books: Books, kind: str, rng: random.Random) -> tuple[float | None, float]:
    """Start the device and wait for the moment of a round: seconds to the hub's answer, and from then to the moment."""
    began = time.monotonic()
    await switch_on(device, books.modems)
    if kind == "boot":
        await asyncio.sleep(after := rng.uniform(*BOOT))
        return None, after
    books.up.clear()
    async with books.traffic():
        await device.ready(within=UP)
        books.up.set()
        ready = time.monotonic() - began
        if kind == "traffic":
            async with api(device) as door:
                assert await books.missing(door) == []
        await asyncio.sleep(after := rng.uniform(*(TRAFFIC if kind == "traffic" else START)))
    return ready, after


async def cut_elsewhere(books: Books, scratch: Path, rng: random.Random) -> str:
    """Cut the record of this run at other moments too, and look for the texts that had been accepted by then."""
    disk = books.device.disk
    requests = disk.requests()
    newest = 0
    for look in range(LOOKS):
        shutil.rmtree(scratch, ignore_errors=True)
        os.mkdir(scratch)  # noqa: PTH102 - nothing that blocks for long
        count = rng.randint(len(requests) // 4, len(requests))
        loss = data_after(disk, count, f"{SEED}/{count}/{look}", scratch / "data.img")
        breaches = examine_data(scratch / "data.img", scratch / "modemhub.db")
        end = requests[count - 1].data + requests[count - 1].size
        due = [key for key, at in books.heard_at.items() if at <= end][-NEWEST:]
        newest = max(newest, len(due))
        if due:
            breaches += await absent(scratch, {key: books.accepted[key] for key in due})
        assert breaches == [], f"seed {SEED}/{count}/{look}, after {count} of {len(requests)} requests: {loss}"
    shutil.rmtree(scratch, ignore_errors=True)
    return f"{LOOKS}, up to {newest} texts due"


async def absent(directory: Path, due: dict[str, str]) -> list[str]:
    """Which of these a hub of this tree, on this machine, does not find in a database that was taken off a card."""
    hub = Hub(directory, modems=[], mqtt=None)
    async with hub, Api(hub.address, hub.token) as door:
        answers = {key: await door.call("GET", f"/api/v1/messages/{number}") for key, number in due.items()}
        return [f"{key}: {answer}" for key, answer in answers.items() if answer.status != 200]
