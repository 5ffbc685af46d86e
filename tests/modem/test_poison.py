"""A message whose reading makes the modem start anew: found, told, left alone, and in nobody's way."""

from __future__ import annotations

import asyncio

import pytest

from appliance.modem.poison import Poison
from tests.modem.desk import PDU, Bench, Desk, bench, line, run

STORED = f"0,,30\r\n{PDU}"
POISONED = ("ME", 7)


def poisoned(times: int | None = None, *, vanishes: bool = False, others: int = 29) -> Desk:
    """A desk with one message that is poison between others that are not; ``times``: how often."""
    stores = {"ME": dict.fromkeys(range(others + 1), STORED), "SM": {3: STORED}}
    return Desk(stores=stores, poison={POISONED: times}, vanishes_at_poison=vanishes, vanishes=vanishes)


def reads(desk: Desk) -> int:
    return desk.commands.count(f"AT+CMGR={POISONED[1]}")


def words(it: Bench) -> list[str]:
    """What was said of a message that cannot be read."""
    return [status.last_error for status in it.host.statuses if status.last_error and "is read" in status.last_error]


@pytest.mark.parametrize("vanishes", [False, True])
def test_all_others_arrive_and_it_is_left_alone_unread_and_undeleted(vanishes: bool) -> None:
    async def scenario() -> None:
        desk = poisoned(vanishes=vanishes)
        async with bench(desk) as it:
            begin = it.now
            await it.host.until(lambda: len(it.host.pdus) == 30)
            assert it.now - begin < 120
            await asyncio.sleep(10)
            assert desk.stores == {"ME": {7: STORED}, "SM": {}}
            assert f"AT+CMGD={POISONED[1]}" not in desk.commands
            assert reads(desk) == 2
            assert desk.commands.count("AT+CMGL=4") >= 1
            await asyncio.sleep(24 * 3600)
            assert reads(desk) == 2
            assert words(it)

    run(scenario())


@pytest.mark.parametrize("vanishes", [False, True])
def test_after_one_restart_the_storage_is_read_one_by_one(vanishes: bool) -> None:
    async def scenario() -> None:
        desk = poisoned(vanishes=vanishes)
        async with bench(desk) as it:
            await it.host.until(lambda: reads(desk) == 2)
            commands = desk.commands
            listed = [at for at, text in enumerate(commands) if text == "AT+CMGL=4"]
            selected = [next(c for c in reversed(commands[:at]) if c.startswith("AT+CPMS=")) for at in listed]
            assert [store for store in selected if "ME" in store] == ['AT+CPMS="ME","ME","ME"']

    run(scenario())


@pytest.mark.parametrize("vanishes", [False, True])
def test_what_comes_later_is_read_as_ever(vanishes: bool) -> None:
    async def scenario() -> None:
        desk = poisoned(vanishes=vanishes, others=0)
        desk.stores["ME"] = {POISONED[1]: STORED}
        async with bench(desk) as it:
            await it.host.until(lambda: words(it))
            await asyncio.sleep(30)
            begin = it.now
            desk.stores["ME"][9] = STORED
            desk.tell('+CMTI: "ME",9')
            await it.host.until(lambda: it.host.count("removed ME 9"))
            assert it.now - begin < 1
            desk.stores["ME"][10] = STORED  # not announced
            await it.host.until(lambda: it.host.count("removed ME 10"))
            assert it.now - begin < 302

    run(scenario())


def test_announced_it_is_found_out_too() -> None:
    async def scenario() -> None:
        desk = Desk(poison={POISONED: None})
        async with bench(desk) as it:
            desk.stores["ME"][7] = STORED
            desk.tell('+CMTI: "ME",7')
            await it.host.until(lambda: words(it))
            desk.stores["ME"][8] = STORED
            await asyncio.sleep(10)
            desk.tell('+CMTI: "ME",7', '+CMTI: "ME",8')
            await it.host.until(lambda: it.host.count("removed ME 8"))
            assert reads(desk) == 2
            assert desk.stores["ME"] == {7: STORED}

    run(scenario())


def test_where_it_is_stays_to_be_seen() -> None:
    async def scenario() -> None:
        async with bench(poisoned()) as it:
            await it.host.until(lambda: words(it))
            assert "message 7 of ME" in words(it)[0]
            await it.ready(4)
            await asyncio.sleep(3600)
            assert it.modem.status.unreadable == ("ME 7",)

    run(scenario())


@pytest.mark.parametrize("vanishes", [False, True])
@pytest.mark.parametrize("times", [1, 2])
def test_a_chance_restart_or_two_quarantine_nothing(vanishes: bool, times: int) -> None:
    async def scenario() -> None:
        desk = poisoned(times, vanishes=vanishes)
        async with bench(desk) as it:
            await it.host.until(lambda: len(it.host.pdus) == 31)
            await asyncio.sleep(5)
            assert desk.stores == {"ME": {}, "SM": {}}
            assert words(it) == []
            begin = len(desk.commands)
            await asyncio.sleep(3600)
            assert "AT+CMGL=4" in desk.commands[begin:]
            assert not [command for command in desk.commands[begin:] if command.startswith("AT+CMGR")]

    run(scenario())


def test_a_chance_restart_is_not_counted_against_the_next_message_in_its_place() -> None:
    async def scenario() -> None:
        desk = Desk(poison={POISONED: 1})
        async with bench(desk) as it:
            for _ in range(4):
                desk.poison[POISONED] = 1
                desk.stores["ME"][7] = STORED
                desk.tell('+CMTI: "ME",7')
                await it.host.until(lambda: not desk.stores["ME"])
                await asyncio.sleep(3600)
            assert len(it.host.pdus) == 4
            assert words(it) == []

    run(scenario())


def test_a_restart_while_nothing_is_read_makes_nothing_suspicious() -> None:
    async def scenario() -> None:
        desk = Desk(boots=5)
        async with bench(desk) as it:
            for restart in range(2, 5):
                await it.modem.restart()
                await it.ready(restart)
                await asyncio.sleep(5)
            desk.stores["ME"] = {7: STORED}
            desk.tell('+CMTI: "ME"')
            await it.host.until(lambda: it.host.pdus)
            assert reads(desk) == 0

    run(scenario())


def test_another_sim_forgets_it() -> None:
    async def scenario() -> None:
        desk = poisoned()
        async with bench(desk) as it:
            await it.host.until(lambda: words(it))
            await it.ready(4)
            desk.poison.clear()
            desk.plain["AT+CIMI"] = line("234100000000002", "OK")
            desk.tell("+CPIN: NOT READY")
            await it.host.until(lambda: it.host.count("removed ME 7"))
            assert it.modem.status.unreadable == ()

    run(scenario())


@pytest.mark.parametrize(
    ("history", "lists", "allows"),
    [
        ("", True, True),
        ("list!", False, True),
        ("7!", True, True),
        ("7! 7!", True, False),
        ("7! 8!", True, True),
        ("7 !", True, True),
        ("7! 7 7!", True, True),
        ("7! list 7!", True, True),
        ("list! through", True, True),
        ("list! 7! 7! through", False, False),
        ("list! 7! 7! forget", True, True),
    ],
)
def test_what_is_suspected(history: str, lists: bool, allows: bool) -> None:
    poison = Poison()
    for step in history.split():
        what = step.rstrip("!")
        if what == "through":
            poison.passed("ME")
        elif what == "forget":
            poison.forget()
        elif what == "list":
            poison.begin("ME", None)
            if step == what:
                poison.harmless("ME", 7)
        elif what:
            poison.begin("ME", int(what))
        if step.endswith("!"):
            poison.restarted()
        else:
            poison.end()
    assert (poison.lists("ME"), poison.allows("ME", 7)) == (lists, allows)
    assert (poison.lists("SM"), poison.allows("SM", 7)) == (True, True)
    assert poison.proven == (() if allows else ("ME 7",))
