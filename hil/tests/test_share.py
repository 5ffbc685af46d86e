"""Three hubs drain one topic of one Mosquitto, and one of them is killed in mid-flow.

Law: each text that a hub accepted is at the network once, or its hub says visibly why not; none that was accepted is
missing. What Mosquitto (2.0.11 and 2.0.21) does with a member of a shared subscription that is gone is part of what is
judged here: it goes on giving it its turn, as long as its session lasts, and hands to nobody else what it has given it.
So nothing is lost when the hub comes back (also with another machine under its client id), and a client that cannot
wait for that asks again, when its first command has expired.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from hil.rig import Api, Broker, Hub, Modem, Modems, Observer
from hil.rig.laws import ENDS as REPORTED
from hil.rig.laws import sent_once_or_told
from hil.rig.mqtt import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from hil.conftest import NewRow
    from hil.rig import Heard
    from hil.rig.hub import Settings

pytestmark = pytest.mark.asyncio

FRIENDS = tuple(f"+4477009008{n:02}" for n in range(20, 40))
ENDS = REPORTED | {"submitted"}
"""A report that a modem hands over while its hub is dead is lost; its text stays ``submitted``."""
SENT = {"submitted", "delivered"}
LAST = "+447700900899"
"""Gets what is only sent to see that all before it was answered."""
HUBS = 3
DELAY = "0.02"
"""Seconds that the network takes for a text, so that queues grow at the hubs."""
AGAIN = 12
"""Seconds after which a command has expired and is asked again: more than a short form's texts take at one hub."""
WITHIN = 300.0
"""Seconds for everything to end: 3000 texts by three modems take 70."""

Command = dict[str, Any]


class Fleet:
    """Three hubs with one modem each, on one broker; one network's ledger; and what the hubs told, read once."""

    def __init__(self, modems: Modems, broker: Broker, observer: Observer, hubs: Sequence[Hub]) -> None:
        self.modems = modems
        self.broker = broker
        self.observer = observer
        self.hubs = hubs
        self._read = 0
        self._answers: dict[Any, list[dict[str, Any]]] = {}
        self._messages: dict[str, dict[str, Any]] = {}

    def _read_on(self) -> None:
        for heard in self.observer.heard.items[self._read :]:
            match heard.topic.split("/"):
                case ["texts", "response"]:
                    self._answers.setdefault(heard.json.get("transaction"), []).append(heard.json)
                case [_, "message", message]:
                    self._messages[message] = heard.json
        self._read = len(self.observer.heard.items)

    def base(self, hub: Hub) -> str:
        return f"hub{self.hubs.index(hub) + 1}"

    async def start(self, hub: Hub) -> None:
        """Start it, and wait until it says online: then it has joined the group."""
        start = len(self.observer.heard.items)
        await hub.start()
        await self.until_status(hub, b"online", start=start)

    async def until_status(self, hub: Hub, payload: bytes, *, start: int) -> None:
        topic = f"{self.base(hub)}/status"
        await self.observer.heard.until(
            lambda heard: [each for each in heard[start:] if each.topic == topic and each.payload == payload],
            f"{topic} {payload.decode()}",
        )

    # ---- what the hubs told

    def answers(self) -> dict[Any, dict[str, Any]]:
        """By transaction; who is asked twice answers twice, and the first one counts."""
        self._read_on()
        return {transaction: told[0] for transaction, told in self._answers.items() if transaction != LAST}

    def accepted(self, hub: Hub | None = None) -> dict[Any, dict[str, Any]]:
        """The answers that say that a text is accepted, by this hub if one is given."""
        return {
            transaction: answer
            for transaction, answer in self.answers().items()
            if answer["status"] == "ok" and (hub is None or answer["base_topic"] == self.base(hub))
        }

    def messages(self) -> dict[str, dict[str, Any]]:
        """Every message as it was told last, whichever hub has it."""
        self._read_on()
        return self._messages

    def state(self, answer: dict[str, Any]) -> str | None:
        """The newest state of the message that was answered so."""
        return self.messages().get(answer.get("id", ""), {}).get("state")

    def told_sent(self, wanted: Sequence[Command]) -> set[Any]:
        """The transactions of which some hub told that the network has the text."""
        self._read_on()
        return {
            command["transaction"]
            for command in wanted
            if any(self.state(answer) in SENT for answer in self._answers.get(command["transaction"], ()))
        }

    async def until_answered(self, transactions: set[Any]) -> None:
        def answered(_: list[Heard]) -> bool:
            self._read_on()
            return len(self._answers) >= len(transactions) and transactions <= self._answers.keys()

        await self.observer.heard.until(answered, "answer to every command", within=WITHIN)

    async def until_ended(self, answers: dict[Any, dict[str, Any]]) -> None:
        """Wait until everything accepted has ended."""
        await self.observer.heard.until(
            lambda _: all(self.state(answer) in ENDS for answer in answers.values()), "end of every text", within=WITHIN
        )

    async def until_drained(self, clients: Sequence[Client], hubs: Sequence[Hub]) -> None:
        """Wait until these hubs have answered all that the broker had for them before: each answers its last ones.

        Those are texts too: a hub commits in the order of arrival, but refuses at once.
        """
        self._read_on()
        before = len(self._answers.get(LAST, []))
        for n in range(2 * HUBS):
            command = {"to": LAST, "text": f"last {self._read} {n}", "transaction": LAST}
            await clients[n % len(clients)].publish("texts/send", command)

        def drained(_: list[Heard]) -> bool:
            self._read_on()
            bases = [answer["base_topic"] for answer in self._answers.get(LAST, [])[before:]]
            return all(bases.count(self.base(hub)) >= 2 for hub in hubs)

        await self.observer.heard.until(drained, "answer to the last commands", within=WITHIN)

    # ---- judgement

    async def breaches(self, commands: Sequence[Command], answers: dict[Any, dict[str, Any]]) -> list[str]:
        """What the law has against the texts that were answered so."""
        messages: dict[tuple[str, str], dict[str, Any]] = {}
        async with AsyncExitStack() as stack:
            apis = {
                self.base(hub): await stack.enter_async_context(Api(hub.address, hub.token))
                for hub in self.hubs
                if hub.child.running
            }
            for command in commands:
                answer = answers.get(command["transaction"])
                if answer is not None:
                    path = f"/api/v1/messages/{answer['id']}"
                    messages[command["to"], command["text"]] = await apis[answer["base_topic"]].get(path)
        others = {(command["to"], command["text"]) for command in commands} - messages.keys()
        others |= {key for key in self.modems.times_sent() if key[0] == LAST}
        told = sent_once_or_told(self.modems, messages, ends=ENDS)
        return [breach for breach in told if not any(str(other) in breach for other in others)]

    def sent(self, commands: Sequence[Command]) -> int:
        """How many of these the network has, each counted once."""
        times = self.modems.times_sent()
        return sum((command["to"], command["text"]) in times for command in commands)

    def often(self) -> list[tuple[str, str]]:
        """What the network has more than once."""
        return [key for key, times in self.modems.times_sent().items() if len(times) > 1]


def member(directory: Path, modem: Modem, broker: Broker, number: int) -> Hub:
    """The hub that has this number in the group, in this directory."""
    name = f"hub{number}"
    settings: Settings = {
        "mqtt": {"base_topic": name, "client_id": name, "share": {"group": "hubs", "topic": "texts"}},
        # Not "home": a hub that has never seen a SIM does not know what that is, and refuses its share.
        "policy": {"allowed_destinations": ["+44"]},
    }
    return Hub(directory, modems=[{"port": modem.port}], mqtt=broker.url, settings=settings)


@contextlib.asynccontextmanager
async def fleet(place: Path) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        modems = await enter(Modems(place / "m", HUBS, options=["--submit-delay", DELAY]))
        broker = await enter(Broker(place / "broker"))
        observer = await enter(Observer(broker.port, base="texts"))
        hubs = [member(place / f"hub{n}", modem, broker, n) for n, modem in enumerate(modems.all, start=1)]
        whole = Fleet(modems, broker, observer, hubs)
        for hub in hubs:
            stack.push_async_exit(hub.__aexit__)
        await asyncio.gather(*map(whole.start, hubs))
        ready = {f"hub{n}/modem/{modem.imei}/availability" for n, modem in enumerate(modems.all, start=1)}
        await observer.heard.until(
            lambda heard: ready <= {each.topic for each in heard if each.payload == b"online"}, "three modems"
        )
        yield whole


@contextlib.asynccontextmanager
async def publishers(whole: Fleet) -> AsyncIterator[list[Client]]:
    """One client of each version of MQTT."""
    async with (
        Client(whole.broker.port, "five", protocol="5") as five,
        Client(whole.broker.port, "three", protocol="3.1.1") as three,
    ):
        yield [five, three]


def commands(count: int) -> list[Command]:
    return [
        {"to": FRIENDS[n % len(FRIENDS)], "text": f"text {n}", "id": f"id-{n}", "transaction": n} for n in range(count)
    ]


async def publish(clients: Sequence[Client], wanted: Sequence[Command], **more: Any) -> None:
    """Each to one of the clients in turn, at QoS 1, as fast as the broker takes them."""
    await asyncio.gather(
        *(clients[n % len(clients)].publish("texts/send", command, **more) for n, command in enumerate(wanted))
    )


async def kill_in_mid_flow(whole: Fleet, victim: Hub, clients: Sequence[Client], wanted: Sequence[Command]) -> None:
    """Publish all; kill the hub when it has accepted a third of its share, and much is still to come."""
    half = len(wanted) // 2
    await publish(clients, wanted[:half])
    await whole.observer.heard.until(
        lambda _: len(whole.accepted(victim)) >= len(wanted) // (3 * HUBS), "a third of its share", within=WITHIN
    )
    publishing = asyncio.create_task(publish(clients, wanted[half:]))
    await victim.kill()
    await publishing


@pytest.mark.timeout(900)
async def test_a_hub_is_killed_and_comes_back(place: Path, row: NewRow, *, long: bool) -> None:
    wanted = commands(3000 if long else 150)
    measured = row("share", case="killed, comes back", texts=len(wanted))
    async with fleet(place) as whole, publishers(whole) as clients:
        begun = time.monotonic()
        victim = whole.hubs[0]
        await kill_in_mid_flow(whole, victim, clients, wanted)
        await whole.start(victim)
        await whole.until_answered({command["transaction"] for command in wanted})
        await whole.until_ended(whole.accepted())
        by_hub = [len(whole.accepted(hub)) for hub in whole.hubs]
        measured |= {"accepted by each": by_hub, "at the network": whole.sent(wanted)}
        measured |= {"twice, told so": len(whole.often()), "seconds": time.monotonic() - begun}
        assert len(whole.accepted()) == len(wanted)
        assert await whole.breaches(wanted, whole.accepted()) == []
        assert min(by_hub) > 0


@pytest.mark.timeout(900)
async def test_a_hub_is_killed_and_is_long_away(place: Path, row: NewRow, *, long: bool) -> None:
    """The others go on. What the broker has given the dead one waits for it, and so does what stands in its store."""
    wanted = commands(3000 if long else 150)
    measured = row("share", case="killed, long away", texts=len(wanted))
    async with fleet(place) as whole, publishers(whole) as clients:
        begun = time.monotonic()
        victim, *others = whole.hubs
        await kill_in_mid_flow(whole, victim, clients, wanted)
        killed = len(whole.observer.heard.items)
        await whole.until_drained(clients, others)
        ours = {key: answer for hub in others for key, answer in whole.accepted(hub).items()}
        await whole.until_ended(ours)
        assert await whole.breaches(wanted, ours) == []
        # It is told that the hub is gone, and of each text that it accepted, that it has not ended.
        await whole.until_status(victim, b"offline", start=killed)
        held = [answer for answer in whole.accepted(victim).values() if whole.state(answer) not in ENDS]
        unanswered = [command for command in wanted if command["transaction"] not in whole.answers()]
        by_hub = [len(whole.accepted(hub)) for hub in whole.hubs]
        measured |= {"accepted by each": by_hub, "at the network": whole.sent(wanted)}
        measured |= {"in the dead one's store": len(held), "at the broker for it": len(unanswered)}
        measured["seconds"] = time.monotonic() - begun
        # Mosquitto has gone on to give the dead one its turn.
        assert len(unanswered) > len(wanted) // (2 * 2 * HUBS)

        await whole.start(victim)
        await whole.until_answered({command["transaction"] for command in wanted})
        await whole.until_ended(whole.accepted())
        measured |= {"at the network once it is back": whole.sent(wanted), "twice, told so": len(whole.often())}
        assert len(whole.accepted()) == len(wanted)
        assert await whole.breaches(wanted, whole.accepted()) == []


@pytest.mark.timeout(300)
async def test_a_spare_machine_takes_the_place_of_a_dead_one(place: Path) -> None:
    """With its client id, its base topic and its SIM, and an empty store: it gets what waits at the broker."""
    wanted = commands(15)
    async with fleet(place) as whole, publishers(whole) as clients:
        victim, *others = whole.hubs
        await victim.kill()
        await publish(clients, wanted)
        await whole.until_drained(clients, others)
        assert len(whole.accepted()) == 10  # Mosquitto has given each its turn
        spare = member(place / "spare", whole.modems.all[0], whole.broker, 1)
        async with spare:
            await whole.until_answered({command["transaction"] for command in wanted})
            await whole.until_ended(whole.accepted())
            assert len(whole.accepted(victim)) == 5
            assert whole.sent(wanted) == len(wanted)
            assert whole.often() == []


@pytest.mark.timeout(900)
async def test_clients_that_ask_again_need_no_hub_that_is_gone(place: Path, row: NewRow, *, long: bool) -> None:
    """Each command expires; a client whose text has not been sent until then asks again.

    So every text reaches the network by the hubs that live. What the dead one has in its store, and what the broker has
    for it, has the same deadline: when it comes back it sends nothing of it. Only the one text that it was submitting
    when it was killed can be there twice, and then it tells so.
    """
    count, patience = (300, 40) if long else (30, 6)
    wanted = commands(count)
    measured = row("share", case="killed for good, clients ask again", texts=len(wanted))
    async with fleet(place) as whole, Client(whole.broker.port, "five") as client:
        begun = time.monotonic()
        victim, *others = whole.hubs
        half = len(wanted) // 2
        await publish([client], wanted[:half], expiry=patience)
        await whole.observer.heard.until(lambda _: len(whole.accepted(victim)) > 2, "some of its share")
        await victim.kill()
        at_the_dead_one = whole.accepted(victim)
        await publish([client], wanted[half:], expiry=patience)
        asked = 1
        while True:
            await whole.until_drained([client], others)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience + 1):  # the client's own patience; it ends early when all is sent
                    async for _ in whole.observer.heard.each():
                        if len(whole.told_sent(wanted)) == count:
                            break
            sent = whole.told_sent(wanted)
            if len(sent) == count:
                break
            assert asked < 20, f"{count - len(sent)} are not sent"
            await publish([client], [each for each in wanted if each["transaction"] not in sent], expiry=patience)
            asked += 1
        measured |= {"accepted by each": [len(whole.accepted(hub)) for hub in whole.hubs]}
        measured |= {"asked at most": asked, "at the network": whole.sent(wanted), "seconds": time.monotonic() - begun}
        assert whole.sent(wanted) == count

        await whole.start(victim)
        await whole.until_ended(at_the_dead_one)
        await whole.until_drained([client], whole.hubs)
        measured["twice, told so"] = len(whole.often())
        told = whole.messages()
        by_the_dead_one = {wanted[key]["text"]: told[answer["id"]] for key, answer in at_the_dead_one.items()}
        twice = [by_the_dead_one.get(text) for _, text in whole.often()]
        assert [each for each in twice if each is None or each["state"] == "expired"] == []
        assert len(twice) <= 1
        assert "expired" in {each["state"] for each in by_the_dead_one.values()}
