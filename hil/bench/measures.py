"""One small function for each figure or pair of figures; each starts a rig of its own in ``place``.

The clock is the machine's wall clock (``time.time``), because the network's ledger is written by another process; a
measurement during which it is set is void.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hil.bench.figures import Figure, percentiles
from hil.bench.load import Connection
from hil.rig import Rig, rig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.rig import Heard

__all__ = ["MEASURES", "Measure"]


class Measure(Protocol):
    """Measures in ``place``, an empty directory; ``scale`` 1 is the full count."""

    async def __call__(self, place: Path, *, scale: float) -> list[Figure]: ...


ANYWHERE: dict[str, dict[str, Any]] = {"policy": {"allowed_destinations": ["*"]}}

PATIENT = 600.0
"""Seconds until a measurement is given up."""


PAUSE = 0.1
"""Seconds between two texts of a hub that is to be idle: reports, deletions and cursors are done long before."""


def friend(n: int) -> str:
    """The n-th recipient; many, so that the order kept for each costs no throughput that a house would have."""
    return f"+447700{900200 + n % 700:06}"


async def unplugged(whole: Rig) -> None:
    """Take every modem away, so that what is accepted waits."""
    start = len(whole.observer.heard.items)
    for modem in whole.modems.all:
        await whole.modems.do("fault", imei=modem.imei, kind="unplug")
    for modem in whole.modems.all:
        await whole.observer.until_heard(f"modem/{modem.imei}/availability", b"offline", start=start)


async def accept(whole: Rig, commands: list[dict[str, Any]], *, clients: int) -> float:
    """Have all commands accepted by HTTP over so many connections at once; the seconds it took."""
    async with AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(await Connection.open(whole.hub.address, whole.hub.token))
            for _ in range(clients)
        ]
        waiting = iter(commands)

        async def client(connection: Connection) -> None:
            for command in waiting:
                await connection.send(command)

        start = time.perf_counter()
        await asyncio.gather(*map(client, connections))
        return time.perf_counter() - start


def backlog(modems: int, *, goal: str) -> Measure:
    """Texts per second out of a backlog through modems without network delay, from the first submit to the last."""

    async def measure(place: Path, *, scale: float) -> list[Figure]:
        count = int(1000 * modems * scale)
        async with rig(place, modems=modems) as whole:
            await unplugged(whole)
            sims = [modem.imsi for modem in whole.modems.all]
            commands = [
                {"to": friend(n // modems), "text": f"backlog {n}", "sim": sims[n % modems]} for n in range(count)
            ]
            await accept(whole, commands, clients=16)
            for modem in whole.modems.all:
                await whole.modems.do("fault", imei=modem.imei, kind="replug")
            await whole.modems.submits(count, within=PATIENT)
            rate = (count - 1) / span(whole)
        return [Figure(f"backlog, no network delay, {modems} modem{'s'[: modems - 1]}", rate, "texts/s", goal)]

    return measure


def slow_network(modems: int) -> Measure:
    """The share of the possible on a network that takes 2 s for each text."""
    delay = 2.0

    async def measure(place: Path, *, scale: float) -> list[Figure]:
        count = max(3, int(15 * scale))
        async with rig(place, modems=modems, emulator=["--submit-delay", str(delay)]) as whole:
            for n in range(count):
                for modem in whole.modems.all:
                    await whole.api.send(to=friend(n), text=f"slow {n}", sim=modem.imsi)
            await whole.modems.submits(count * modems, within=PATIENT)
            share = 100 * (count - 1) * delay / span(whole)
        return [Figure(f"2 s network, {modems} modem{'s'[: modems - 1]}", share, "% possible", ">= 99")]

    return measure


def span(whole: Rig) -> float:
    """Seconds between the first and the last accepted submit."""
    times = [sent.time for sent in whole.modems.sent()]
    return max(times) - min(times)


async def publish_to_pdu(place: Path, *, scale: float) -> list[Figure]:
    """MQTT publish until the PDU is at the network, on a hub that was idle."""
    took = []
    async with rig(place) as whole:
        for n in range(max(20, int(200 * scale))):
            start = time.time()
            whole.observer.publish("send", {"to": friend(n), "text": f"now {n}"})
            await whole.modems.submits(n + 1, within=PATIENT)
            await all_ended(whole, n + 1)
            await asyncio.sleep(PAUSE)
            took.append(whole.modems.sent()[-1].time - start)
    return percentiles("idle, MQTT publish to PDU at the network", took, goals=("< 7", "< 15"))


async def all_ended(whole: Rig, count: int) -> None:
    """Wait until so many messages are delivered: the hub is idle again."""
    await whole.observer.heard.until(
        lambda _: sum(state == "delivered" for state in whole.observer.ended().values()) >= count, f"{count} delivered"
    )


async def network_to_publish(place: Path, *, scale: float) -> list[Figure]:
    """The network hands a text to the modem until the observer at the broker has it, on a hub that was idle."""
    took = []
    async with rig(place) as whole:
        modem = whole.modems.all[0]
        loop = asyncio.get_running_loop()
        for n in range(max(20, int(200 * scale))):
            start = loop.time()
            await whole.modems.deliver(modem, f"in {n}")
            heard = await nth_received(whole, n)
            took.append(heard.time - start)
            await asyncio.sleep(PAUSE)
    return percentiles("idle, network to MQTT observer", took, goals=("< 15", "< 40"))


async def nth_received(whole: Rig, n: int) -> Heard:
    """The n-th message received, from 0."""

    def answer(_: list[Heard]) -> Heard | None:
        told = whole.observer.on("received")
        return told[n] if len(told) > n else None

    return await whole.observer.heard.until(answer, f"received message {n}")


def accepts_by_http(clients: int, *, goal: str) -> Measure:
    """Durable accepts per second by HTTP, with the modem away."""

    async def measure(place: Path, *, scale: float) -> list[Figure]:
        count = int((1000 if clients == 1 else 5000) * scale)
        async with rig(place, settings=ANYWHERE) as whole:
            await unplugged(whole)
            took = await accept(
                whole, [{"to": friend(n), "text": f"accept {n}"} for n in range(count)], clients=clients
            )
        name = "one client" if clients == 1 else f"{clients} clients"
        return [Figure(f"durable accepts, HTTP, {name}", count / took, "1/s", goal)]

    return measure


def accepts_by_mqtt(*, window: int, goal: str) -> Measure:
    """Durable accepts per second by MQTT, with the modem away: commands until their answers, so many on their way."""

    async def measure(place: Path, *, scale: float) -> list[Figure]:
        count = int((1000 if window == 1 else 5000) * scale)
        async with rig(place, settings=ANYWHERE) as whole:
            await unplugged(whole)
            free = asyncio.Semaphore(window)
            answered = 0
            done = asyncio.Event()

            async def answers() -> None:
                nonlocal answered
                async for heard in whole.observer.heard.each():
                    if heard.topic == "modemhub/response":
                        answered += 1
                        free.release()
                        if answered == count:
                            done.set()

            listening = asyncio.create_task(answers())
            start = time.perf_counter()
            for n in range(count):
                await free.acquire()
                whole.observer.publish("send", {"to": friend(n), "text": f"accept {n}"})
            await done.wait()
            took = time.perf_counter() - start
            listening.cancel()
        name = "one at a time" if window == 1 else f"{window} on their way"
        return [Figure(f"durable accepts, MQTT, {name}", count / took, "1/s", goal)]

    return measure


def idle(modems: int, *, goals: tuple[str, str]) -> Measure:
    """Memory, CPU and AT commands of a hub with nothing to do, over a minute."""

    async def measure(place: Path, *, scale: float) -> list[Figure]:
        window = max(10.0, 60 * scale)
        async with rig(place, modems=modems) as whole:
            pid = whole.hub.child.pid
            await asyncio.sleep(5)  # what starting left to do is done
            commands, cpu = await at_commands(whole), cpu_seconds(pid)
            await asyncio.sleep(window)
            commands, cpu = await at_commands(whole) - commands, cpu_seconds(pid) - cpu
            memory = memory_of(pid)
        name = f"idle, {modems} modem{'s'[: modems - 1]}"
        return [
            Figure(f"{name}: PSS", memory["Pss"] / 1024, "MB", goals[0]),
            Figure(f"{name}: RSS", memory["Rss"] / 1024, "MB"),
            Figure(f"{name}: CPU", 100 * cpu / window, "%", goals[1]),
            Figure(f"{name}: AT commands per modem", commands / modems * 60 / window, "1/min", "<= 6"),
        ]

    return measure


async def at_commands(whole: Rig) -> int:
    """AT command lines of all modems so far."""
    status = await whole.modems.do("status")
    return sum(modem["commands"] for modem in status["modems"])


def cpu_seconds(pid: int) -> float:
    """User and system time of a process (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> dict[str, int]:
    """Kilobytes by kind (proc(5), smaps_rollup)."""
    lines = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]]
    return {words[0].rstrip(":"): int(words[1]) for words in lines}


async def start_to_ready(place: Path, *, scale: float) -> list[Figure]:
    """From the start of the process to READY=1, with an empty store and with many messages queued in it."""
    count = int(100_000 * scale)
    async with rig(place, settings=ANYWHERE) as whole:
        await whole.hub.stop()
        start = len(whole.observer.heard.items)
        empty = await seconds_to_ready(whole)
        await whole.ready(start=start)
        await unplugged(whole)
        many = [
            {"to": [friend(n) for n in range(100)], "text": f"queued {block}"} for block in range(max(1, count // 100))
        ]
        await accept(whole, many, clients=4)
        await whole.hub.stop()
        full = await seconds_to_ready(whole)
    return [
        Figure("start to ready, empty store", empty, "s", "< 0.7"),
        Figure(f"start to ready, {len(many) * 100:,} messages", full, "s", "< 1.5"),
    ]


async def seconds_to_ready(whole: Rig) -> float:
    """Start the hub; the seconds until it says READY."""
    start = time.perf_counter()
    await whole.hub.start(within=PATIENT)
    return time.perf_counter() - start


async def beside_a_hung_one(place: Path, *, scale: float) -> list[Figure]:
    """Three modems with and without a fourth that hangs and has texts to send: both in one run, so that they compare.

    The network takes 50 ms for each text, as much as tells modems that wait for the network from a hub that computes.
    """
    texts = max(10, int(100 * scale))
    async with rig(place, modems=4, emulator=["--submit-delay", "0.05"]) as whole:
        hung, *healthy = whole.modems.all
        alone = await beside(whole, [modem.imsi for modem in healthy], texts, "alone")
        await whole.modems.do("fault", imei=hung.imei, kind="mute")
        for n in range(5):
            await whole.api.send(to=friend(600 + n), text=f"by the hung one {n}", sim=hung.imsi)
        hindered = await beside(whole, [modem.imsi for modem in healthy], texts, "beside")
    name = "a hung modem beside three"
    latency, rate = statistics.median(hindered[0]), hindered[1]
    return [
        Figure(f"{name}: latency of the others, p50", latency * 1000, "ms"),
        Figure(f"{name}: latency, p50", latency / statistics.median(alone[0]), "ratio", "< 1.1"),
        Figure(f"{name}: throughput of the others", rate, "texts/s"),
        Figure(f"{name}: throughput", rate / alone[1], "ratio", "> 0.95"),
    ]


async def beside(whole: Rig, sims: Sequence[str], texts: int, name: str) -> tuple[list[float], float]:
    """Seconds from the request to "submitted" of texts one after the other, and texts per second of all at once."""
    loop = asyncio.get_running_loop()
    took = []
    for n in range(texts):
        start = loop.time()
        message = await whole.api.send(to=friend(n), text=f"{name}, one by one {n}", sim=sims[n % len(sims)])
        await whole.observer.until_state(message["id"], "submitted", "delivered")
        took.append(loop.time() - start)
    before = len(whole.modems.sent())
    commands = [{"to": friend(n), "text": f"{name}, at once {n}", "sim": sims[n % len(sims)]} for n in range(3 * texts)]
    await accept(whole, commands, clients=8)
    await whole.modems.submits(before + len(commands), within=PATIENT)
    times = [sent.time for sent in whole.modems.sent()[before:]]
    return took, (len(commands) - 1) / (max(times) - min(times))


MEASURES: dict[str, Measure] = {
    "backlog-1": backlog(1, goal=">= 200"),
    "backlog-4": backlog(4, goal=">= 400"),
    "network-1": slow_network(1),
    "network-4": slow_network(4),
    "out": publish_to_pdu,
    "in": network_to_publish,
    "http-one": accepts_by_http(1, goal=">= 1000"),
    "http-many": accepts_by_http(32, goal=">= 5000"),
    "mqtt-one": accepts_by_mqtt(window=1, goal=""),
    "mqtt-many": accepts_by_mqtt(window=200, goal=">= 1000"),
    "beside": beside_a_hung_one,
    "idle-1": idle(1, goals=("< 45", "< 0.1")),
    "idle-4": idle(4, goals=("", "")),
    "start": start_to_ready,
}
"""Every measure by its name on the command line."""
