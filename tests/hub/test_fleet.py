"""The modems of a hub: who is where, whatever comes in which order; and what is remembered of them over a restart."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from appliance.errors import AnswerTimeout, ModemError, Rejected
from appliance.hub.fleet import Fleet
from appliance.hub.roster import Roster
from appliance.hub.settings import DetectSettings
from appliance.modem.host import ModemStatus
from appliance.modem.ladder import Memory, Rung
from appliance.modem.modem import Modem
from appliance.modem.place import Remedy
from appliance.modem.profile import shipped
from appliance.store import troubles
from appliance.supervisor import Supervisor
from appliance.types import Imei, ModemState
from tests.modem.desk import IMEI, SUBMIT, Desk, Journal, Wire, line, nothing, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.hub.conftest import Open

A, B = Imei("356938035643015"), Imei("356938035643023")
LEFT, RIGHT = "usb 1-1.1", "usb 1-1.2"


class Stick(Desk):
    """A modem with its own IMEI and SIM."""

    def __init__(self, imei: Imei, sim: str) -> None:
        super().__init__(vanishes=True)
        self.plain |= {
            "AT+CGSN": line(imei, "OK"),
            "AT+CIMI": line(f"2341000000000{sim}", "OK"),
            "AT+CCID": line(f"+CCID: 89441000000000000{sim}", "OK"),
        }


class Socket:
    """A USB socket that a stick can be plugged into: a ``Place``."""

    vanishes = True

    def __init__(self, name: str, remedies: Sequence[Remedy] = ()) -> None:
        self.name = name
        self.path = name.removeprefix("usb ")
        self.remedies = remedies
        self.stick: Stick | None = None
        self._there = asyncio.Event()

    @property
    def port(self) -> str:
        return self.name

    def plug(self, stick: Stick) -> None:
        self.stick = stick
        self._there.set()

    def unplug(self) -> Stick:
        stick, self.stick = self.stick, None
        self._there.clear()
        assert stick is not None
        if stick.wire is not None:
            stick.wire.hang_up()
        return stick

    async def present(self) -> None:
        await self._there.wait()

    async def open(self, turn: int) -> Wire:
        assert self.stick is not None
        return await self.stick.open(turn)

    def worked(self) -> None:
        return


class Owner(Journal):
    """A host that keeps a roster, as the hub does; any modem is welcome."""

    def __init__(self) -> None:
        super().__init__()
        self.roster = Roster()

    def changed(self, status: ModemStatus) -> None:
        super().changed(status)
        self.roster.tell(status)

    async def troubles(self, place: str, imei: Imei | None) -> Memory | None:  # noqa: ARG002
        return self.memories.get(imei)

    async def recovering(self, place: str, imei: Imei | None, memory: Memory, taken: Any) -> None:  # noqa: ARG002
        self.memories[imei] = memory

    def where(self) -> dict[str, tuple[str, str]]:
        views = self.roster.views()
        return {imei: (view["place"], view["state"]) for imei, view in views.items()}


def fleet_of(owner: Owner, supervisor: Supervisor) -> Fleet:
    return Fleet(
        owner,
        supervisor,
        modems=(),
        detect=DetectSettings(udev=False),
        pin=lambda _: None,
        idle=lambda _: True,
    )


async def done(owner: Owner, expected: Mapping[Imei, tuple[str, str]]) -> None:
    await owner.until(lambda: owner.where() == expected)


# ------------------------------------------------------------------------------------------------ roster


def told(imei: Imei, place: str, state: ModemState) -> ModemStatus:
    return ModemStatus(place=place, port=place, profile="generic", state=state, imei=imei)


UNHEARD = [state for state in ModemState if not state.heard]


@pytest.mark.parametrize("late", list(permutations([told(A, LEFT, state) for state in UNHEARD], 2)))
@pytest.mark.parametrize("order", list(permutations((2, 1, 0))))
def test_what_a_place_says_of_a_modem_that_has_moved_is_no_news_of_it(
    late: tuple[ModemStatus, ...], order: tuple[int, ...]
) -> None:
    roster = Roster()
    roster.tell(told(A, LEFT, ModemState.READY))
    news = [*late, told(A, RIGHT, ModemState.READY)]
    moved = False
    for at in order:
        roster.tell(news[at])
        moved = moved or at == 2
        if moved:
            status = roster.status(A)
            assert status is not None
            assert (status.place, status.state) == (RIGHT, ModemState.READY)


def test_in_any_order_two_that_were_swapped_are_told_by_the_place_where_they_are() -> None:
    """Each place says what it has to say in its own order; how the two mix is chance."""
    by_left = (told(A, LEFT, ModemState.GONE), told(A, LEFT, ModemState.OPENING), told(B, LEFT, ModemState.READY))
    by_right = (
        told(B, RIGHT, ModemState.GONE),
        told(B, RIGHT, ModemState.RECOVERING),
        told(A, RIGHT, ModemState.READY),
    )
    for order in set(permutations("lllrrr")):
        roster = Roster()
        roster.tell(told(A, LEFT, ModemState.READY))
        roster.tell(told(B, RIGHT, ModemState.READY))
        left, right = iter(by_left), iter(by_right)
        for side in order:
            roster.tell(next(left if side == "l" else right))
        places = {imei: (view["place"], view["state"]) for imei, view in roster.views().items()}
        assert places == {A: (RIGHT, "ready"), B: (LEFT, "ready")}, order


# ------------------------------------------------------------------------------------------------ real modems


STEPS = ("out a", "out b", "in a", "in b")
ORDERS = [order for order in permutations(STEPS) if order.index("in a") > order.index("out a")]
ORDERS = [o for o in ORDERS if o.index("in b") > o.index("out b")]
SWAPS = [o for o in ORDERS if max(o.index("out a"), o.index("out b")) < min(o.index("in a"), o.index("in b"))]


@pytest.mark.parametrize("pause", [0.0, 0.3, 3.0, 45.0])
@pytest.mark.parametrize("order", SWAPS)
@pytest.mark.parametrize("remedies", [False, True])
def test_two_identical_modems_that_are_swapped_are_each_told_where_they_are(
    order: tuple[str, ...], pause: float, remedies: bool
) -> None:
    async def scenario() -> None:
        owner, supervisor = Owner(), Supervisor()
        fleet = fleet_of(owner, supervisor)

        async def apply() -> None:
            return

        cures = [Remedy(Rung.SUPPLY, "port power", 10.0, apply)] if remedies else []
        left, right = Socket(LEFT, cures), Socket(RIGHT, cures)
        left.plug(Stick(A, "18"))
        right.plug(Stick(B, "26"))
        for place in (left, right):
            fleet.appeared(place)  # type: ignore[arg-type] # a socket of the test's
        await done(owner, {A: (LEFT, "ready"), B: (RIGHT, "ready")})
        sticks: dict[str, Stick] = {}
        for step in order:
            match step:
                case "out a":
                    sticks["a"] = left.unplug()
                case "out b":
                    sticks["b"] = right.unplug()
                case "in a":
                    right.plug(sticks["a"])
                case _:
                    left.plug(sticks["b"])
            await asyncio.sleep(pause)
        swapped = {A: (RIGHT, "ready"), B: (LEFT, "ready")}
        await done(owner, swapped)
        for _ in range(60):
            await asyncio.sleep(1)
            assert owner.where() == swapped
        for imei, where in ((A, RIGHT), (B, LEFT)):
            modem = fleet.find(imei)
            assert (modem.status.place, modem.status.state) == (where, ModemState.READY)
        assert {view["sim"][-2:] for view in owner.roster.views().values()} == {"18", "26"}
        supervisor.stop()
        await supervisor.run()

    run(scenario())


def test_a_modem_that_moved_is_found_where_it_lives_while_its_old_place_is_waited_for() -> None:
    async def scenario() -> None:
        owner, supervisor = Owner(), Supervisor()
        fleet = fleet_of(owner, supervisor)

        async def apply() -> None:
            return

        left, right = Socket(LEFT, [Remedy(Rung.SUPPLY, "port power", 10.0, apply)]), Socket(RIGHT)
        left.plug(Stick(A, "18"))
        fleet.appeared(left)  # type: ignore[arg-type]
        await done(owner, {A: (LEFT, "ready")})
        right.plug(left.unplug())
        fleet.appeared(right)  # type: ignore[arg-type]
        await done(owner, {A: (RIGHT, "ready")})
        for _ in range(250):
            await asyncio.sleep(1)
            assert fleet.find(A).status.place == RIGHT
        assert owner.where() == {A: (RIGHT, "ready")}
        assert fleet.expected == 2
        fleet.left(left)  # type: ignore[arg-type]
        assert fleet.expected == 1
        assert fleet.find(A).status.place == RIGHT
        supervisor.stop()
        await supervisor.run()

    run(scenario())


def test_a_place_that_left_and_came_back_is_tended_anew() -> None:
    async def scenario() -> None:
        owner, supervisor = Owner(), Supervisor()
        fleet = fleet_of(owner, supervisor)
        for _ in range(3):
            place = Socket(LEFT)
            stick = Stick(A, "18")
            place.plug(stick)
            fleet.appeared(place)  # type: ignore[arg-type]
            await done(owner, {A: (LEFT, "ready")})
            task = supervisor.tended[f"modem {LEFT}"].task
            assert task is not None
            fleet.left(place)  # type: ignore[arg-type] # with the modem still in it, even
            assert f"modem {LEFT}" not in supervisor.tended
            await asyncio.wait({task})
            assert stick.wire is not None
            assert stick.wire.gone.done()
            assert owner.where()[A][1] == "gone"
            with pytest.raises(Rejected, match="no_such_modem"):
                fleet.find(A)
            await asyncio.sleep(1)
        assert len(supervisor._order) == 0
        supervisor.stop()
        await supervisor.run()

    run(scenario())


def test_a_place_that_comes_back_at_once_finds_its_name_free() -> None:
    async def scenario() -> None:
        owner, supervisor = Owner(), Supervisor()
        fleet = fleet_of(owner, supervisor)
        old, new = Socket(LEFT), Socket(LEFT)
        old.plug(Stick(A, "18"))
        fleet.appeared(old)  # type: ignore[arg-type]
        await done(owner, {A: (LEFT, "ready")})
        fleet.left(old)  # type: ignore[arg-type]
        new.plug(Stick(A, "18"))
        fleet.appeared(new)  # type: ignore[arg-type]
        await asyncio.sleep(30)
        assert owner.where() == {A: (LEFT, "ready")}
        supervisor.stop()
        await supervisor.run()

    run(scenario())


def test_a_supply_is_not_cut_where_a_neighbours_submit_is_in_doubt() -> None:
    async def scenario() -> None:
        owner, supervisor = Owner(), Supervisor()
        fleet = fleet_of(owner, supervisor)
        left, right = Socket(LEFT), Socket(RIGHT)
        stick = Stick(B, "26")
        stick.results = [None]
        left.plug(Stick(A, "18"))
        right.plug(stick)
        for place in (left, right):
            fleet.appeared(place)  # type: ignore[arg-type]
        await done(owner, {A: (LEFT, "ready"), B: (RIGHT, "ready")})
        assert fleet._may_cut([right.path])
        assert not fleet._may_cut([right.path, "1-1.3"])
        sending = asyncio.ensure_future(fleet.find(B).submit(SUBMIT, payload_next=nothing))
        await asyncio.sleep(1)
        assert not fleet._may_cut([right.path])
        assert fleet._may_cut([left.path])
        stick.tell("+CMGS: 1", "OK")
        assert await sending == 1
        assert fleet._may_cut([right.path])
        supervisor.stop()
        await supervisor.run()

    run(scenario())


# ------------------------------------------------------------------------------------------------ remarks and doors


@pytest.mark.asyncio
async def test_what_cannot_be_used_is_told_in_info_and_health_and_untold(open_hub: Open) -> None:
    house = await open_hub()
    fleet: Fleet = house.hub._fleet
    version = await house.hub.modems_changed(-1)
    fleet.remark("1-1.4", "a stick shows its CD.")
    assert house.hub.info()["plugged_in"] == ["USB 1-1.4: a stick shows its CD."]
    assert house.hub.health()["status"] == "degraded"
    assert "USB 1-1.4: a stick shows its CD." in house.hub.health()["problems"]
    async with asyncio.timeout(5):
        version = await house.hub.modems_changed(version)  # the doors tell it at once
    fleet.remark("1-1.4", "a stick shows its CD.")
    fleet.remark_gone("1-1.4")
    fleet.remark_gone("1-1.9")
    async with asyncio.timeout(5):
        await house.hub.modems_changed(version)
    assert house.hub.info()["plugged_in"] == []
    assert house.hub.health()["status"] == "ok"


@pytest.mark.asyncio
async def test_nothing_is_looked_for_where_that_is_off(open_hub: Open) -> None:
    house = await open_hub()
    with pytest.raises(Rejected, match=r"detect\.udev") as refused:
        house.hub.rescan()
    assert refused.value.code == "not_possible"


# ------------------------------------------------------------------------------------------------ over a restart


class Dead:
    """A place where nothing answers until ``cure`` was done; each thing that is done to it is noted."""

    name = port = LEFT
    path = "1-1.1"
    vanishes = True

    def __init__(self, noted: list[str], *, cure: str, killed_at: str = "") -> None:
        self.killed = asyncio.Event()
        self._desk: Desk | None = None
        self._openings = asyncio.Semaphore(0)

        def remedy(rung: int, name: str) -> Remedy:
            async def apply() -> None:
                noted.append(name)
                if name == killed_at:
                    self.killed.set()
                    await asyncio.Event().wait()
                if name == cure:
                    self._desk = Desk()

            return Remedy(rung, name, 0.01, apply)

        self.remedies = [remedy(Rung.LINES, "reset line"), remedy(Rung.USB, "USB"), remedy(Rung.SUPPLY, "port power")]

    async def present(self) -> None:
        return

    async def open(self, turn: int) -> Wire:
        self._openings.release()
        if self._desk is None:
            raise AnswerTimeout(f"{self.name}: none of its ports answers AT")
        return await self._desk.open(turn)

    def worked(self) -> None:
        return

    async def opened(self, times: int) -> None:
        """Return when it was opened so often."""
        for _ in range(times):
            await self._openings.acquire()


async def tended(place: Dead, house: Any) -> asyncio.Task[None]:
    """Run the modem of this place for ever, without the rests between."""
    profile = next(each for each in shipped() if not each.power.resets)
    modem = Modem(place, profiles=shipped(), profile=profile, host=house.hub)

    async def always() -> None:
        while True:
            with contextlib.suppress(ModemError):
                await modem.run()
            await asyncio.sleep(0.01)

    return asyncio.ensure_future(always())


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


@pytest.mark.asyncio
async def test_after_a_restart_of_the_hub_the_climb_goes_on_where_it_was(open_hub: Open) -> None:
    noted: list[str] = []
    for killed_at in ("reset line", "USB"):
        place = Dead(noted, cure="port power", killed_at=killed_at)
        house = await open_hub()
        task = await tended(place, house)
        async with asyncio.timeout(10):
            await place.killed.wait()
        await stopped(task)
    house = await open_hub()
    task = await tended(Dead(noted, cure="port power"), house)
    async with asyncio.timeout(10):
        while not (events := await house.hub.events(0, kinds=["recovery"])) or events[-1].body["outcome"] != "helped":
            await house.hub.wait_event(events[-1].seq if events else 0)
    await stopped(task)
    assert noted == ["reset line", "USB", "port power"]
    assert [(event.body["name"], event.body["outcome"]) for event in events] == [
        ("re-opening the port", "no_effect"),
        ("port power", "helped"),
    ]
    assert [event.subject for event in events] == [LEFT, IMEI]
    assert events[-1].body["modem"] == IMEI
    house = await open_hub()
    kept = await house.hub.troubles("anywhere else", Imei(IMEI))
    assert kept is not None
    assert (kept.cure, kept.tried, kept.relapses) == ("port power", (), 1)


@pytest.mark.asyncio
async def test_when_nothing_helped_a_restart_of_the_hub_begins_no_new_climb_at_once(open_hub: Open) -> None:
    noted: list[str] = []
    for _ in range(3):
        house = await open_hub()
        place = Dead(noted, cure="nothing")
        task = await tended(place, house)
        async with asyncio.timeout(10):
            await place.opened(30)
        await stopped(task)
    assert noted == ["reset line", "USB", "port power"]


@pytest.mark.asyncio
async def test_a_memory_of_a_later_version_is_read_as_far_as_it_is_known(open_hub: Open) -> None:
    house = await open_hub()
    memory = {"cure": "USB", "tried": ["a"], "rounds": 1, "relapses": 2, "invented_later": True}
    await house.journal.write(troubles.remember, place=LEFT, imei=A, memory=memory, told=None)
    assert await house.hub.troubles(LEFT, A) == Memory(cure="USB", tried=("a",), rounds=1, relapses=2)
    await house.journal.write(troubles.remember, place=LEFT, imei=A, memory={}, told=None)
    assert await house.hub.troubles(LEFT, A) == Memory()
