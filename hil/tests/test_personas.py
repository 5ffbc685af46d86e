"""Every family of modems, from its cold start to its revival (F-17, F-24, M1): the table "personas".

Each family's modem is on the bus that it has in life: USB where the family has one, a UART else, there with the lines
of a HAT. The modems of one test run side by side on one hub. The long form takes the families' real times to start.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

from hil.rig import rig
from hil.rig.traffic import Traffic

if TYPE_CHECKING:
    from pathlib import Path

    from hil.conftest import NewRow
    from hil.rig import Heard, Modem, Rig
    from hil.tables import Row

pytestmark = pytest.mark.asyncio

REVIVED: Final = 90.0
"""Seconds of promise M1, from the first command that gets no answer."""

RUNG_0: Final = 5.0
"""Seconds of ESC and AT+CGSN between a command's time-out and "offline"."""

STARTED: Final = 60.0
"""Seconds from power to the first text: the slowest family needs 24 of its own."""


@dataclass(frozen=True, slots=True)
class Family:
    """What a family's modem is given, and what is expected of the hub.

    Attributes:
        persona: the emulator's name of it.
        until: it hangs until this remedy or a stronger one.
        by: the rung, and a word of the name, of the step that is to help.
        lines: its wiring in the emulator, by the words of a HAT.
        power: the same lines in the hub's settings.
    """

    persona: str
    until: str
    by: tuple[int, str]
    lines: dict[str, Any] = field(default_factory=dict)
    power: dict[str, Any] = field(default_factory=dict)

    @property
    def profile(self) -> str:
        """The profile that the hub has to choose: the families have the same names on both sides."""
        return self.persona

    def words(self, *, real: bool) -> dict[str, Any]:
        """The emulator's configuration of its modem."""
        times = {"boot_delay": "real", "shutdown_delay": "real"} if real else {"boot_delay": 0.5, "sim_delay": 0.2}
        wired = {"lines": self.lines, "power": "off", "hub": {"power": self.power}} if self.lines else {}
        return {"persona": self.persona, **times, **wired}


RESET: Final = (3, "reset by command")
BUS: Final = (5, "USB")

GROUPS: Final[dict[str, tuple[Family, ...]]] = {
    "modules": (
        Family("generic", "soft_reset", RESET),
        Family("ublox-3g", "usb", BUS),
        Family("ublox-lte", "soft_reset", RESET),
        Family("telit-le910", "soft_reset", RESET),
        Family("sierra-mc74xx", "usb", BUS),
        Family("cinterion", "soft_reset", RESET),
        Family(
            "wavecom",
            "supply",
            (6, "supply"),
            lines={"enable": {"line": 26, "on": 1}},
            power={"enable": {"line": 26, "active": "high"}},
        ),
    ),
    "cards and sticks": (
        Family("quectel-ec2x", "soft_reset", RESET),
        Family("quectel-bg9x", "usb", BUS),
        Family("quectel-cat1", "soft_reset", RESET),
        Family("quectel-x06", "usb", BUS),
        Family("huawei-hspa", "soft_reset", RESET),
        Family("huawei-lte", "usb", BUS),
        Family("zte-usb", "usb", BUS),
        Family("mtk-sticks", "soft_reset", RESET),
    ),
    "simcom": (
        Family("simcom-sim7600", "soft_reset", RESET),
        Family("simcom-a76xx", "usb", BUS),
        Family("simcom-sim7070", "soft_reset", RESET),
        Family("simcom-sim7000", "usb", BUS),
        Family(
            "simcom-2g",
            "power_key",
            (4, "power key"),
            lines={"pwrkey": {"line": 6, "pressed": 1}, "status": {"line": 23, "running": 1}},
            power={"pwrkey": {"line": 6, "active": "high"}, "status": {"line": 23, "active": "high"}},
        ),
    ),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("group", GROUPS)
async def test_every_family_starts_sends_receives_comes_back_and_is_revived(
    place: Path, group: str, row: NewRow, *, long: bool
) -> None:
    families = GROUPS[group]
    words = [family.words(real=long) for family in families]
    async with rig(place, modems=words, usb=True, gpio=True, start=False) as whole:
        for family, modem in zip(families, whole.modems.all, strict=True):
            if not family.lines:
                await whole.modems.do("fault", imei=modem.imei, kind="unplug")
        await whole.hub.start()
        bus = asyncio.Lock()
        lives = [
            _Life(whole, bus, family, modem, row("personas", persona=family.persona), texts=20 if long else 3)
            for family, modem in zip(families, whole.modems.all, strict=True)
        ]
        ends = await asyncio.gather(*(life.live() for life in lives), return_exceptions=True)
        refused = whole.modems.refused()
    wrong = {life.family.persona: repr(end) for life, end in zip(lives, ends, strict=True) if end is not None}
    for life in lives:
        life.row["verdict"] = "failed" if life.family.persona in wrong else "passed"
    assert wrong == {}, "\n\n".join(f"{persona}: {words}" for persona, words in wrong.items())
    assert refused == []


class _Life:
    """One modem's way through the test.

    ``bus`` is held while the modem is plugged in or pulled out: umockdev loses heart when a hub that is busy has more
    than ten events to take.
    """

    def __init__(self, whole: Rig, bus: asyncio.Lock, family: Family, modem: Modem, row: Row, *, texts: int) -> None:
        self.whole = whole
        self.bus = bus
        self.family = family
        self.modem = modem
        self.row = row
        self.texts = texts
        self.traffic = Traffic(whole, family.persona, modem)

    async def live(self) -> None:
        start, begun = self.now
        if not self.family.lines:  # else the hub starts it, by its lines
            begun = await self.plug_in()
        self.row["ready s"] = await self.until_online(start, within=STARTED) - begun
        view = await self.whole.api.get(f"/api/v1/modems/{self.modem.imei}")
        self.row |= {"profile": view["profile"], "place": view["place"].partition(" ")[0].rpartition("/")[2]}
        await self.send_and_receive()
        await self.replug()
        await self.revive()
        breaches = await self.traffic.breaches()
        assert breaches == []
        assert view["profile"] == self.family.profile

    @property
    def now(self) -> tuple[int, float]:
        """How much was heard, and the time."""
        return len(self.whole.observer.heard.items), asyncio.get_running_loop().time()

    async def fault(self, kind: str, **words: Any) -> None:
        await self.whole.modems.do("fault", imei=self.modem.imei, kind=kind, **words)

    async def plug_in(self) -> float:
        """When it got its supply."""
        async with self.bus:
            _, begun = self.now
            await self.fault("replug")
            await self.whole.modems.do("wait", imei=self.modem.imei, status={"plugged": True}, timeout=STARTED)
        return begun

    async def until_online(self, start: int, *, within: float) -> float:
        """When it is told online."""
        topic = f"modem/{self.modem.imei}/availability"
        return (await self.whole.observer.until_heard(topic, b"online", start=start, within=within)).time

    async def until_offline(self, start: int) -> float:
        """When it is told offline."""
        topic = f"modem/{self.modem.imei}/availability"
        return (await self.whole.observer.until_heard(topic, b"offline", start=start, within=REVIVED)).time

    async def send_and_receive(self) -> None:
        traffic = self.traffic
        await traffic.out(self.texts, long_one=True)
        await traffic.into(self.texts)
        await traffic.settled(within=90)
        self.row |= {
            "sent": sum(to == traffic.to for to, _ in self.whole.modems.texts()),
            "reported": await traffic.count("delivered"),
            "received": len({message["id"] for message in traffic.received()}),
        }
        assert (self.row["sent"], self.row["reported"], self.row["received"]) == (self.texts,) * 3

    async def replug(self) -> None:
        async with self.bus:
            start, _ = self.now
            await self.fault("unplug")
            await self.until_offline(start)
        await self.traffic.both()
        start, _ = self.now
        begun = await self.plug_in()
        self.row["replug s"] = await self.until_online(start, within=STARTED) - begun
        await self.traffic.settled(within=60)

    async def revive(self) -> None:
        """M1 counts from the first time-out. That is not told itself: rung 0 comes after it, and then "offline"."""
        observer = self.whole.observer
        await self.whole.modems.idle(self.modem)
        start, begun = self.now
        await self.fault("wedged", until=self.family.until)
        await self.traffic.both()
        offline = await self.until_offline(start)
        self.row["noticed s"] = offline - begun
        self.row["revival s"] = await self.until_online(start, within=2 * REVIVED) - offline + RUNG_0
        steps = f"modem/{self.modem.imei}/recovery"

        def helped(_: list[Heard]) -> list[tuple[int, str]]:
            told = [heard.json for heard in observer.on(steps, start=start)]
            return [(step["rung"], step["name"]) for step in told if step["outcome"] == "helped"]

        ((rung, name),) = await observer.heard.until(helped, "step that helped")
        self.row["revived by"] = f"{rung} {name}"
        await self.traffic.settled(within=60)
        assert self.row["revival s"] <= REVIVED
        assert rung == self.family.by[0]
        assert self.family.by[1] in name
