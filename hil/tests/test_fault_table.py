"""Every fault by name, what is expected of the hub, and how long it takes (F-17 to F-43): the table "faults".

``CASES`` is the table. Each case has modems and a SIM of its own with texts on their way in both directions: before the
fault, while it lasts, and after it. It is judged by the laws alone: every accepted text is at the network once, or has
ended visibly; every delivered one is at the door once; the modem sends again within the case's bound.

The bound counts from the end of the fault, where the test ends it, and else from its begin. In the short form the cases
of a batch run side by side on one hub, in the long form each has a rig of its own, more texts, and the network's and
the modems' own times.
"""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from hil.rig import rig
from hil.rig.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from hil.conftest import NewRow
    from hil.rig import Heard, Modem, Rig
    from hil.tables import Row

pytestmark = pytest.mark.asyncio

REVIVED: Final = 90.0
"""Seconds of promise M1: from the first time-out to answering."""

NOTICED: Final = 15.0
"""Seconds until a prompt that does not come is noticed (10), and rung 0 has failed (5): they come before M1's."""

PATIENT: Final = 150.0
"""Seconds until a wait for something that the hub has to tell is given up."""

POLICY: Final[dict[str, Any]] = {"in_doubt_wait": 2.0, "failover_after": 3600.0}
"""A doubt is given two seconds to be settled; no text changes its SIM."""


class Scene:
    """One case on a rig: its modems, their traffic, and what a case does to them."""

    def __init__(self, whole: Rig, case: Case, modems: list[Modem], row: Row, *, bus: asyncio.Lock, long: bool) -> None:
        self.whole = whole
        self.case = case
        self.modems = modems
        self.row = row
        self.long = long
        self.texts = 5 if long else 2
        self.traffics = [
            Traffic(whole, f"{case.name} {n}", modem, reported=case.reported) for n, modem in enumerate(modems)
        ]
        self.start = 0
        self.over_at: float | None = None
        self._bus = bus

    @property
    def modem(self) -> Modem:
        """The modem that the fault is in."""
        return self.modems[0]

    @property
    def traffic(self) -> Traffic:
        """Of its SIM."""
        return self.traffics[0]

    # ---- what a case does

    async def fault(self, kind: str, modem: Modem | None = None, **words: Any) -> None:
        """Break something; one after the other where it happens on the bus, whose events a busy hub takes slowly."""
        async with self._bus:
            await self.whole.modems.do("fault", imei=(modem or self.modem).imei, kind=kind, **words)

    async def do(self, verb: str, modem: Modem | None = None, **words: Any) -> dict[str, Any]:
        async with self._bus:
            return await self.whole.modems.do(verb, imei=(modem or self.modem).imei, **words)

    async def both(self) -> None:
        """Texts in both directions, by each SIM."""
        for traffic in self.traffics:
            await traffic.both(self.texts)

    def over(self) -> None:
        """The fault has ended: what the bound counts from."""
        self.over_at = asyncio.get_running_loop().time()

    async def told(self, state: str, modem: Modem | None = None) -> dict[str, Any]:
        """Wait until the modem is told in this state since the fault; its JSON."""
        topic = f"modem/{(modem or self.modem).imei}/state"

        def answer(_: list[Heard]) -> Heard | None:
            heard = self.whole.observer.on(topic, start=self.start)
            return next((each for each in heard if each.json["state"] == state), None)

        found: dict[str, Any] = (
            await self.whole.observer.heard.until(answer, f"{state} of {self.case.name}", within=PATIENT)
        ).json
        return found

    async def offline(self) -> None:
        """Wait until the modem is told offline since the fault."""
        topic = f"modem/{self.modem.imei}/availability"
        await self.whole.observer.until_heard(topic, b"offline", start=self.start, within=PATIENT)

    async def status(self, modem: Modem | None = None) -> dict[str, Any]:
        """The emulator's view of a modem."""
        (found,) = (await self.whole.modems.do("status", imei=(modem or self.modem).imei))["modems"]
        status: dict[str, Any] = found
        return status

    def steps(self) -> list[dict[str, Any]]:
        """The steps of the ladder that were told since the fault."""
        topic = f"modem/{self.modem.imei}/recovery"
        return [heard.json for heard in self.whole.observer.on(topic, start=self.start)]

    # ---- from its begin to its judgement

    async def play(self) -> None:
        for traffic in self.traffics:
            await traffic.both()
        await self._settled(60)
        for modem in self.modems:
            await self.whole.modems.idle(modem)
        self.start = len(self.whole.observer.heard.items)
        begun = asyncio.get_running_loop().time()
        await self.case.act(self)
        await self._settled(max(0, (self.over_at or begun) + self.case.within - asyncio.get_running_loop().time()))
        await self._ready()
        self.row["seconds"] = asyncio.get_running_loop().time() - (self.over_at or begun)
        self.row["by"] = ", ".join(f"{step['rung']} {step['name']}" for step in self.steps() if _helped(step)) or None
        for traffic in self.traffics:
            await (traffic.both() if self.case.announces else traffic.out())
        await self._settled(60)
        breaches = [breach for traffic in self.traffics for breach in await traffic.breaches()]
        assert breaches == []
        assert self.row["seconds"] <= self.case.within
        await self.case.also(self)

    async def _settled(self, within: float) -> None:
        await asyncio.gather(*(traffic.settled(within=within) for traffic in self.traffics))

    async def _ready(self) -> None:
        """Wait until the modems that are there are told online, by the newest that was told."""

        def answer(_: list[Heard]) -> bool:
            newest = [
                self.whole.observer.on(f"modem/{modem.imei}/availability")[-1].payload
                for modem in self.modems[: self.case.ready]
            ]
            return set(newest) <= {b"online"}

        await self.whole.observer.heard.until(answer, f"modems of {self.case.name} online", within=REVIVED)


def _helped(step: dict[str, Any]) -> bool:
    return bool(step["outcome"] == "helped")


async def _nothing(_: Scene) -> None:
    """There is nothing more to be judged."""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table.

    Attributes:
        name: the fault.
        expected: the end, in words.
        within: seconds from the end of the fault until all texts have come to their end and the modem is ready.
        act: makes the fault, has texts accepted and delivered meanwhile, and ends it where it does not end by itself.
        modems: the emulator's words for each modem; ``hub`` has what the hub's settings say.
        ready: how many of them are to be ready at the end.
        also: judges what is special about it.
        reported: whether each text must end with its report: one that comes while +CNMI is the factory's (the modem has
            just started, or has forgotten it), or to a dead port, is lost, and its text stays submitted.
        announces: whether the modem tells of arriving texts again afterwards; else only the sweep finds them.
        long_only: why it has no short form.
    """

    name: str
    expected: str
    within: float
    act: Callable[[Scene], Awaitable[None]]
    modems: tuple[dict[str, Any], ...] = ({},)
    ready: int = 99
    also: Callable[[Scene], Awaitable[None]] = _nothing
    reported: bool = True
    announces: bool = True
    long_only: str | None = None


def during(kind: str, **words: Any) -> Callable[[Scene], Awaitable[None]]:
    """A fault that ends by itself, or by what the hub does; texts meanwhile."""

    async def act(scene: Scene) -> None:
        await scene.fault(kind, **words)
        await scene.both()

    return act


# ---- the dialogue


async def mute(scene: Scene) -> None:
    await scene.fault("mute")
    await scene.both()
    await scene.offline()
    await scene.fault("clear")
    scene.over()


async def storage_full(scene: Scene) -> None:
    await scene.fault("storage_full")
    await scene.traffic.into(scene.texts)


async def poison(scene: Scene) -> None:
    await scene.fault("poison", text="poison")
    await scene.whole.modems.deliver(scene.modem, "poison")
    await scene.both()


async def poison_is_told(scene: Scene) -> None:
    status = await scene.status()
    kept = [memory["used"] for memory in status["storages"].values()]
    assert sum(kept) == 1, "the message is left on the modem, not deleted unread"
    assert "poison" not in {message.get("text") for message in scene.whole.observer.received()}
    scene.row["by"] = f"{status['boots']} restarts"


async def bearer(scene: Scene) -> None:
    """Two recipients: one failure alone is the network's weather, and each recipient's texts wait for its first."""
    await scene.fault("bearer", only=["+CNMP=14"] if scene.long else ["2"], code=38)
    scene.traffics.append(Traffic(scene.whole, f"{scene.case.name} too", scene.modem))
    await scene.both()


async def bearer_is_told(scene: Scene) -> None:
    scene.row["by"] = (await scene.whole.api.get(f"/api/v1/modems/{scene.modem.imei}"))["bearer"]
    assert scene.row["by"] == ("AT+CNMP=14" if scene.long else "AT+CGSMS=2")


# ---- indications

SWEEP: Final = 330.0
"""Seconds from one sweep of all storages to the end of the next."""


async def deaf(scene: Scene) -> None:
    """The first sweep excuses what it finds: the texts before the fault were announced since the one before it."""
    await scene.fault("deaf")
    await scene.both()
    await scene.traffic.settled(within=SWEEP)
    await scene.traffic.into()
    await scene.traffic.settled(within=SWEEP)
    scene.over()
    await scene.traffic.into()


# ---- in the middle of a submit


def reboot_mid_send(at: str) -> Callable[[Scene], Awaitable[None]]:
    return during("reboot_mid_send", at=at)


async def slow_result(scene: Scene) -> None:
    await scene.fault("slow_result", seconds=170 if scene.long else 8)
    await scene.both()


async def sent_once(scene: Scene) -> None:
    """A result that is late is waited for: nothing was sent twice, or said to be in doubt."""
    assert [len(sent) for (to, _), sent in scene.whole.modems.times_sent().items() if to == scene.traffic.to] == (
        [1] * len(scene.traffic.accepted)
    )
    assert not any(message["maybe_duplicate"] for message in (await scene.traffic.messages()).values())


async def unplugged_mid_send(scene: Scene) -> None:
    await scene.do("set", submit_delay=30)
    sent = len(scene.whole.modems.sent())
    await scene.traffic.out(scene.texts)
    await scene.whole.modems.submits(sent + 1, within=PATIENT)
    await scene.fault("unplug")
    await scene.do("set", submit_delay=0)
    await scene.fault("replug")
    scene.over()


# ---- the SIM


async def sim_out_and_in(scene: Scene) -> None:
    await scene.fault("sim_out")
    await scene.told("sim_missing")
    await scene.both()
    await scene.fault("sim_in")
    scene.over()


async def sim_out_untold(scene: Scene) -> None:
    await scene.fault("sim_out", urc=False)
    await scene.traffic.out(scene.texts)
    await scene.told("sim_missing")
    await scene.fault("sim_in", urc=False)
    scene.over()


OTHER_SIM: Final[dict[str, Any]] = {"imsi": "234109999999901", "iccid": "894410999999999901", "number": "+447700900991"}


SPARE_SIM: Final[dict[str, Any]] = {"imsi": "234109999999902", "iccid": "894410999999999902", "number": "+447700900992"}


async def another_sim(scene: Scene) -> None:
    """What was accepted for the first SIM waits for it; what is for the other one goes by that."""
    first = scene.traffic
    await scene.fault("sim_out")
    await first.out(scene.texts)
    await scene.fault("sim_change", **OTHER_SIM)
    other = Traffic(scene.whole, f"{scene.case.name} other", dataclasses.replace(scene.modem, **OTHER_SIM))
    await scene.told("ready")
    await other.both(scene.texts)
    await other.settled(within=PATIENT)
    assert await other.breaches() == []
    assert await first.count("queued") == scene.texts
    await scene.fault("sim_change", iccid=first.modem.iccid)
    scene.over()


async def each_by_its_own(scene: Scene) -> None:
    """Every text went out by the SIM that it was pinned to."""
    for traffic in scene.traffics:
        by = {sent.imsi for sent in scene.whole.modems.sent() if sent.to == traffic.to}
        assert by == {traffic.modem.imsi}


async def sim_moves(scene: Scene) -> None:
    """Out of the first modem, which gets another one, and into the second: its queue goes by that one."""
    first, second = scene.modems
    scene.traffics = [scene.traffic]
    await scene.fault("sim_out")
    await scene.told("sim_missing")
    await scene.traffic.out(scene.texts)
    await scene.fault("sim_change", **SPARE_SIM)
    await scene.fault("sim_change", second, imsi=first.imsi, iccid=first.iccid, number=first.number)
    scene.over()


async def by_the_second(scene: Scene) -> None:
    sent = [sent.entry["imei"] for sent in scene.whole.modems.sent() if sent.to == scene.traffic.to]
    assert sent[-1 - scene.texts :] == [scene.modems[1].imei] * (scene.texts + 1)


async def one_pin_try(scene: Scene) -> None:
    assert (await scene.status())["sim"]["pin_attempts"] == 1


async def puk(scene: Scene) -> None:
    await scene.fault("puk")
    await scene.told("puk_required")
    await scene.traffic.out(scene.texts)
    sim = (await scene.status())["sim"]
    assert (sim["puk_left"], sim["pin_attempts"]) == (10, 0), "nothing was guessed"
    await scene.do("set", sim="ready")  # a person has entered it
    scene.over()


async def denied(scene: Scene) -> None:
    """The hub looks every minute; in the short form at once, because the modem has started anew."""
    await scene.fault("registration", stat=3)
    if not scene.long:
        await scene.fault("reboot")
    await scene.traffic.out(scene.texts)
    await scene.told("searching")
    asked = (await scene.status())["commands"]
    await scene.whole.modems.do(
        "wait", imei=scene.modem.imei, commands=asked + (300 if scene.long else 12), timeout=1300
    )
    await scene.fault("registration", stat=1)
    scene.over()


async def nothing_was_reset(scene: Scene) -> None:
    status = await scene.status()
    counts = status["command_counts"]
    assert (status["boots"], counts.get("+CFUN", 0), scene.steps()) == (0 if scene.long else 1, 0, [])


# ---- the bus


async def swap(scene: Scene) -> None:
    await scene.both()
    other: dict[str, Any] = {"with": scene.modems[1].name}
    await scene.do("fault", kind="swap", **other)
    await scene.both()
    scene.over()


async def mode_switch(scene: Scene) -> None:
    """It comes back as a CD drive, is told so, and as itself after that."""
    await scene.do("usb_mode", id="12d1:1446")
    await scene.offline()
    await scene.traffic.out(scene.texts)
    await scene.do("usb_mode", id="")
    scene.over()


async def other_id(scene: Scene) -> None:
    await scene.do("usb_mode", id="2c7c:0191")
    await scene.both()


# ---- power

KEY: Final = {"pwrkey_on_ms": 100, "pwrkey_off_ms": 200, "reset_ms": 50}
PULSES: Final = {"on": 0.2, "off": 0.4, "reset": 0.1, "boot": 2.0, "down": 2.0, "rest": 0.2}


def hat(first: int, *names: str) -> dict[str, Any]:
    """A modem on the UART of a HAT with these lines, from this number on: the emulator's words and the hub's."""
    words = {"pwrkey": "pressed", "reset": "active", "enable": "on", "status": "running"}
    numbers = {name: first + n for n, name in enumerate(names)}
    return {
        "persona": "simcom-2g",
        "boot_delay": 0.3,
        "lines": {**KEY, **{name: {"line": line, words[name]: 1} for name, line in numbers.items()}},
        "hub": {
            "power": {
                **{name: {"line": line, "active": "high"} for name, line in numbers.items()},
                "pulses": PULSES,
            }
        },
    }


def wedged(until: str) -> Callable[[Scene], Awaitable[None]]:
    return during("wedged", until=until)


def helped_by(rung: int, words: str) -> Callable[[Scene], Awaitable[None]]:
    async def judge(scene: Scene) -> None:
        helped = [step for step in scene.steps() if _helped(step)]
        assert [(step["rung"], words in step["name"]) for step in helped] == [(rung, True)]
        harm = (await scene.status())["harm"]
        assert harm == (["supply cut while running"] if rung == 6 else []), "a modem that hangs cannot be shut down"

    return judge


UART: Final = {"uart": True}
SMALL: Final = {"storage_limits": {"SM": 6, "ME": 6}}

CASES: Final[dict[str, tuple[Case, ...]]] = {
    "dialogue": (
        Case("mute", "offline, then serves again", REVIVED, mute),
        Case("mute until the port is re-opened", "rung 1", NOTICED + REVIVED, during("mute_until_reopen")),
        Case("mute until reset", "reset by command", NOTICED + REVIVED, during("mute_until_reset")),
        Case("echo on", "goes on", 30, during("echo_on")),
        Case("garbage", "goes on", 30, during("garbage", bytes=65536)),
        Case("flood", "goes on", 45, during("flood", count=5000)),
        Case("stuck prompt", "ESC; nothing is sent by it", 45, during("stuck_prompt")),
        Case("no prompt", "tried again", 60, during("no_prompt")),
        Case("reboot", "set up anew", 30, during("reboot"), reported=False),
        Case("SIM busy", "tried again", 60, during("busy_sim", times=4)),
        Case(
            "wrong speed", "found again", NOTICED + REVIVED, during("wrong_baud", rate=9600),
            ({"persona": "simcom-2g"},),
        ),
        Case(
            "storage full", "swept; what the network held comes", 30, storage_full,
            ({"persona": "quectel-ec2x", **UART, **SMALL},),
        ),
        Case("poisonous text", "left unread; the others come", REVIVED, poison, reported=False, also=poison_is_told),
        Case(
            "bearer gone", "another one is chosen", 240, bearer,
            ({"persona": "simcom-sim7600", **UART},), also=bearer_is_told,
        ),
    ),
    "submit": (
        Case("reboot at the prompt", "sent once", 30, reboot_mid_send("prompt"), reported=False),
        Case("reboot at the PDU", "sent once, or told", 60, reboot_mid_send("payload"), reported=False),
        Case("reboot after acceptance", "sent once, or told", 60, reboot_mid_send("accepted"), reported=False),
        Case("+CMGS after 170 s", "waited for, sent once", 200, slow_result, also=sent_once),
        Case(
            "final result lost", "in doubt after the deadline, told", 400, during("lost_result"),
            long_only="takes the five minutes that a network may take",
        ),
        Case("unplugged in mid-send", "sent once, or told", 60, unplugged_mid_send),
    ),
    "indications": (
        Case(
            "deaf (no +CMTI)", "found out by sweeps, then swept every 30 s", 45, deaf,
            long_only="takes the minutes between three sweeps",
        ),
        Case(
            "CNMI forgotten", "read back and set again", 345, during("forget_cnmi"), reported=False,
            long_only="takes the five minutes between two looks at it",
        ),
        Case(
            "all settings forgotten", "read back and set again", 345, during("forgotten_all"), reported=False,
            long_only="takes the five minutes between two looks at them",
        ),
    ),
    "SIM": (
        Case("SIM out and in", "told missing; the queue waits", 30, sim_out_and_in),
        Case("SIM out, untold", "found by a failing submit", 60, sim_out_untold),
        Case("another SIM", "the queue follows the SIM", 45, another_sim, also=each_by_its_own),
        Case("SIM in another modem", "its queue follows it", 60, sim_moves, ({}, {}), also=by_the_second),
        Case("PIN", "entered once", 30, during("pin"), also=one_pin_try),
        Case("PUK", "told, never guessed", 30, puk),
        Case("registration denied", "told, nothing is reset", 30, denied, reported=False, also=nothing_was_reset),
    ),
    "bus": (
        Case("ttys under other names", "found again", 30, during("renumber"), ({"persona": "quectel-ec2x"},)),
        Case(
            "swapped", "each text by its own SIM", 30, swap, ({"persona": "quectel-ec2x"},) * 2,
            reported=False, also=each_by_its_own,
        ),
        Case("mode switch", "told, then served again", 30, mode_switch, ({"persona": "huawei-hspa"},)),
        Case("back under another USB id", "served", 30, other_id, ({"persona": "quectel-ec2x"},)),
        Case(
            "primary port dead", "the second port is used", NOTICED + REVIVED, during("dead_port", until="supply"),
            ({"persona": "quectel-ec2x"},), reported=False, announces=False,
        ),
        Case(
            "wedged until USB", "rung 5", NOTICED + REVIVED, wedged("usb"), ({"persona": "quectel-ec2x"},),
            also=helped_by(5, "USB"),
        ),
    ),
    "power": (
        Case(
            "wedged until reset line", "rung 4", NOTICED + REVIVED, wedged("reset_line"),
            (hat(5, "reset", "pwrkey", "status"),), also=helped_by(4, "reset line"),
        ),
        Case(
            "wedged until power key, with STATUS", "rung 4", NOTICED + REVIVED, wedged("power_key"),
            (hat(8, "pwrkey", "status"),), also=helped_by(4, "power key"),
        ),
        Case(
            "wedged until power key, no STATUS", "rung 4", NOTICED + REVIVED, wedged("power_key"),
            (hat(10, "pwrkey"),), also=helped_by(4, "power key, off and on"),
        ),
        Case(
            "wedged until supply", "rung 6", NOTICED + REVIVED, wedged("supply"),
            (hat(11, "enable"),), also=helped_by(6, "supply"),
        ),
    ),
}  # fmt: skip
"""The table, by batch."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The short form has a test for each batch, the long one for each case."""
    if "cases" not in metafunc.fixturenames:
        return
    batches: Iterable[tuple[str, tuple[Case, ...]]] = CASES.items()
    if metafunc.config.getoption("--long"):
        batches = [(case.name, (case,)) for cases in CASES.values() for case in cases]
    metafunc.parametrize("cases", [pytest.param(cases, id=name) for name, cases in batches])


@pytest.mark.timeout(1500)
async def test_faults(place: Path, cases: tuple[Case, ...], row: NewRow, *, long: bool) -> None:
    rows = {
        case.name: row("faults", fault=case.name, expected=case.expected, **{"within s": case.within}) for case in cases
    }
    played = [case for case in cases if long or case.long_only is None]
    for case in cases:
        if case not in played:
            rows[case.name]["verdict"] = f"make hil: {case.long_only}"
    if not played:
        pytest.skip("; ".join(f"{case.name}: {case.long_only}" for case in cases) + ": make hil")
    words = [{"boot_delay": 0.3, **each} for case in played for each in case.modems]
    settings = {"policy": POLICY, 'sims."*"': {"pin": "1234"}}
    async with rig(place, modems=words, usb=True, gpio=True, settings=settings) as whole:
        modems = iter(whole.modems.all)
        bus = asyncio.Lock()
        scenes = [
            Scene(whole, case, [next(modems) for _ in case.modems], rows[case.name], bus=bus, long=long)
            for case in played
        ]
        ends = await asyncio.gather(*(scene.play() for scene in scenes), return_exceptions=True)
    wrong = {scene.case.name: repr(end) for scene, end in zip(scenes, ends, strict=True) if end is not None}
    for scene in scenes:
        scene.row["verdict"] = "failed" if scene.case.name in wrong else "passed"
    assert wrong == {}, "\n\n".join(f"{name}: {words}" for name, words in wrong.items())


@pytest.mark.timeout(240)
async def test_on_a_second_port_reports_are_heard(place: Path, *, long: bool) -> None:
    if not long:
        pytest.skip("takes a minute: make hil")
    words = [{"persona": "quectel-ec2x"}]
    async with rig(place, modems=words, usb=True, settings={"policy": POLICY}) as whole:
        (modem,) = whole.modems.all
        traffic = Traffic(whole, "second port", modem)
        start = len(whole.observer.heard.items)
        await whole.modems.do("fault", kind="dead_port", until="supply")
        await traffic.out()
        await whole.observer.until_heard(f"modem/{modem.imei}/availability", b"offline", start=start)
        await whole.ready(start=start)
        await traffic.settled(within=30)
