"""Back to health: the ladder's steps are really taken, told, remembered, and none is while a submit is in doubt."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from appliance.errors import PortGone, PowerFailed, SubmitInDoubt
from appliance.modem.ladder import Memory, Rung
from appliance.modem.place import Remedy
from appliance.types import ModemState
from tests.modem.desk import IMEI, Bench, Desk, bench, line, run


def remedy(desk: Desk, rung: int, name: str, *, cures: bool = False, patience: float = 20.0) -> Remedy:
    """A remedy that is noted where the desk notes commands, and, where it cures, has the modem answer 5 s later."""

    async def apply() -> None:
        assert desk.wire is None or desk.wire.gone.done(), "nothing is switched under an open port"
        desk.written.append((asyncio.get_running_loop().time(), name.encode() + b"\r"))
        if cures:
            asyncio.get_running_loop().call_later(5, setattr, desk, "mute", False)

    return Remedy(rung, name, patience, apply)


def broken(rung: int, name: str) -> Remedy:
    async def apply() -> None:
        raise PowerFailed("the line is busy")

    return Remedy(rung, name, 20.0, apply)


def taken(it: Bench) -> list[tuple[str, str]]:
    return [(step.name, step.outcome) for step in it.host.taken]


CURES = [(Rung.LINES, "reset line"), (Rung.USB, "USB: authorized off and on"), (Rung.SUPPLY, "port power")]


@pytest.mark.parametrize("cure", range(len(CURES)))
def test_wherever_a_remedy_cures_the_modem_is_back_within_90_seconds_of_the_first_time_out(cure: int) -> None:
    async def scenario() -> None:
        desk = Desk(vanishes=True)
        desk.remedies = [remedy(desk, rung, name, cures=at == cure) for at, (rung, name) in enumerate(CURES)]
        async with bench(desk) as it:
            it.desk.mute = True
            await it.host.until(lambda: it.modem.status.last_error is not None)
            begin = it.now
            await it.ready(2)
            assert it.now - begin <= 90
            failed = [("re-opening the port", "no_effect"), ("reset by command", "no_effect")]
            failed += [(name, "no_effect") for _, name in CURES[:cure]]
            assert taken(it) == [*failed, (CURES[cure][1], "helped")]
            assert it.host.taken[-1].seconds >= 5
            assert it.host.taken[-1].reason == "it does not answer"
            assert (it.modem.status.recovery, it.modem.status.state) == (None, ModemState.READY)

    run(scenario())


def test_what_helped_is_remembered_and_comes_first_next_time() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.remedies = [remedy(desk, rung, name, cures=True) for rung, name in CURES]
        async with bench(desk, memory=Memory(cure="port power")) as it:
            it.desk.mute = True
            await it.ready(2)
            assert taken(it) == [("re-opening the port", "no_effect"), ("port power", "helped")]

    run(scenario())


def test_after_a_restart_of_the_hub_an_unfinished_climb_goes_on() -> None:
    async def scenario() -> None:
        desk = Desk(mute=True)
        desk.remedies = [remedy(desk, rung, name, cures=rung is Rung.USB) for rung, name in CURES]
        before = Memory(tried=("re-opening the port", "reset by command", "reset line"))
        async with bench(desk, wait=False, memory=before) as it:
            await it.ready()
            assert taken(it) == [("USB: authorized off and on", "helped")]
            assert it.host.memory is not None
            assert it.host.memory.cure == "USB: authorized off and on"

    run(scenario())


def test_a_remedy_that_cannot_be_applied_is_told_and_the_next_one_is_taken_at_once() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.remedies = [broken(Rung.LINES, "reset line"), remedy(desk, Rung.USB, "USB", cures=True)]
        async with bench(desk) as it:
            it.desk.mute = True
            await it.ready(2)
            assert taken(it)[2:] == [("reset line", "failed"), ("USB", "helped")]
            assert it.host.taken[2].detail == "the line is busy"

    run(scenario())


def test_when_nothing_helps_a_person_is_called_and_it_is_tried_again_by_itself() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.remedies = [remedy(desk, Rung.LINES, "reset line")]
        async with bench(desk) as it:
            it.desk.mute = True
            await it.host.until(lambda: it.modem.status.state is ModemState.NEEDS_HANDS)
            assert [name for name, _ in taken(it)] == ["re-opening the port", "reset by command", "reset line"]
            await asyncio.sleep(24 * 3600)
            resets = it.desk.commands.count("reset line")
            assert 20 <= resets <= 30  # once an hour in the end
            assert it.modem.status.state in {ModemState.NEEDS_HANDS, ModemState.RECOVERING}
            it.desk.mute = False
            begin = it.now
            await it.ready(2)
            assert it.now - begin < 30

    run(scenario())


def test_nothing_is_switched_while_a_submit_is_in_doubt() -> None:
    async def scenario() -> None:
        desk = Desk(results=[None], vanishes=True)
        desk.remedies = [remedy(desk, Rung.USB, "USB", cures=True)]
        async with bench(desk) as it:
            begin = it.now
            asyncio.get_running_loop().call_later(3, it.desk.hang_up)
            with pytest.raises(SubmitInDoubt):
                await it.submit()
            it.desk.mute = True
            await asyncio.sleep(begin + 299 - it.now)
            assert not {"USB", "AT+CFUN=1,1"} & set(it.desk.commands)
            await it.ready(2)
            assert "USB" in it.desk.commands

    run(scenario())


def test_a_modem_that_a_reset_makes_vanish_has_its_time_to_come_back() -> None:
    async def scenario() -> None:
        desk = Desk(vanishes=True)
        desk.remedies = [remedy(desk, Rung.USB, "USB")]
        async with bench(desk) as it:
            it.desk.mute = True
            await it.desk.given("AT+CFUN=1,1")
            it.desk.unplug()
            asyncio.get_running_loop().call_later(20, it.desk.plug)
            asyncio.get_running_loop().call_later(20, setattr, it.desk, "mute", False)
            await it.ready(2)
            assert taken(it) == [("re-opening the port", "no_effect"), ("reset by command", "helped")]
            assert it.host.taken[-1].seconds >= 20

    run(scenario())


def test_a_modem_that_is_not_there_but_can_be_switched_on_is() -> None:
    async def scenario() -> None:
        desk = Desk(plugged=False)

        async def press() -> None:
            desk.plug()

        desk.remedies = [Remedy(Rung.LINES, "power key", 20.0, press)]
        async with bench(desk, wait=False) as it:
            await it.ready()
            assert taken(it) == [("power key", "helped")]
            assert it.host.taken[0].reason == "it is not there"

    run(scenario())


def test_a_power_key_that_would_switch_off_what_hangs_is_pressed_only_for_a_modem_never_heard() -> None:
    async def scenario() -> None:
        for mute, pressed in ((False, False), (True, True)):
            desk = Desk(mute=mute)
            key = remedy(desk, Rung.LINES, "power key")
            desk.remedies = [replace(key, cold=True), remedy(desk, Rung.LINES, "power key, off and on", cures=True)]
            async with bench(desk, wait=not mute) as it:
                it.desk.mute = True
                await it.ready(1 if mute else 2)
                assert ("power key" in it.desk.commands) is pressed

    run(scenario())


def test_after_a_reset_the_modem_is_looked_for_where_it_was() -> None:
    async def scenario() -> None:
        desk = Desk(vanishes=True)
        desk.remedies = [remedy(desk, Rung.USB, "USB", cures=True)]
        async with bench(desk) as it:
            it.desk.mute = True
            await it.ready(2)
            assert it.desk.turns == [0, -1, 1, 0, 0, -1]

    run(scenario())


def test_a_modem_that_was_pulled_out_is_waited_for_without_a_word() -> None:
    async def scenario() -> None:
        desk = Desk(vanishes=True)
        desk.remedies = [remedy(desk, Rung.USB, "USB")]  # of no use against absence
        async with bench(desk) as it:
            it.desk.unplug()
            await asyncio.sleep(3600)
            assert len(it.ends) == 1
            assert it.modem.status.state is ModemState.GONE
            it.desk.plug()
            begin = it.now
            await it.ready(2)
            assert it.now - begin < 5
            assert taken(it) == []

    run(scenario())


def test_a_modem_that_was_plugged_in_again_has_the_time_to_start_on_its_best_port() -> None:
    async def scenario() -> None:
        async with bench(Desk(vanishes=True)) as it:
            it.desk.unplug()
            it.desk.mute = True
            it.desk.plug()
            asyncio.get_running_loop().call_later(22, setattr, it.desk, "mute", False)
            await it.ready(2)
            assert it.desk.turns == [0, -1, 0, -1]
            assert taken(it) == []

    run(scenario())


def test_a_modem_that_is_not_there_and_cannot_be_switched_on_is_gone_not_ill() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.remedies = [remedy(desk, Rung.SUPPLY, "port power")]
        async with bench(desk) as it:
            it.desk.unplug()
            await asyncio.sleep(600)
            assert it.modem.status.state is ModemState.GONE
            assert it.desk.commands.count("port power") in {1, 2, 3}
            it.desk.plug()
            await it.ready(2)

    run(scenario())


def test_each_opening_after_silence_is_another_turn_and_health_begins_anew() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.mute = True
            await it.host.until(lambda: 2 in it.desk.turns)
            it.desk.mute = False
            await it.ready(2)
            assert it.desk.turns[:6] == [0, -1, 1, 0, 1, 2]  # -1: it worked; the second 0: it was reset
            it.desk.hang_up()
            await it.ready(3)
            assert it.desk.turns[-2:] == [0, -1]

    run(scenario())


# ------------------------------------------------------------------------------------------------ by hand


def test_a_power_cycle_takes_the_strongest_remedy() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.remedies = [remedy(desk, rung, name) for rung, name in CURES]
        async with bench(desk) as it:
            assert await it.modem.power_cycle() == "port power"
            assert [name for _, name in CURES if name in it.desk.commands] == ["port power"]
            assert it.host.entries[-1].startswith("detached")
            await it.ready(2)

    run(scenario())


def test_a_power_cycle_takes_the_next_remedy_where_the_strongest_cannot_be_applied_and_says_which() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.remedies = [remedy(desk, Rung.LINES, "reset line"), broken(Rung.SUPPLY, "port power")]
        async with bench(desk) as it:
            assert await it.modem.power_cycle() == "reset line"
            await it.ready(2)

    run(scenario())


def test_a_power_cycle_reaches_a_modem_that_is_not_there() -> None:
    async def scenario() -> None:
        desk = Desk(plugged=False)

        async def switch_on() -> None:
            desk.plug()

        desk.remedies = [Remedy(Rung.USB, "USB", 20.0, switch_on)]
        async with bench(desk, wait=False) as it:
            await asyncio.sleep(100)
            await it.modem.power_cycle()
            await it.ready()

    run(scenario())


def test_a_power_cycle_is_refused_where_it_cannot_be_done_or_would_lose_a_result() -> None:
    async def scenario() -> None:
        async with bench() as it:
            with pytest.raises(PowerFailed, match="nothing here can switch it off"):
                await it.modem.power_cycle()
        desk = Desk(results=[None])
        desk.remedies = [broken(Rung.USB, "USB")]
        async with bench(desk) as it:
            sending = asyncio.create_task(it.submit())
            await asyncio.sleep(1)
            with pytest.raises(PowerFailed, match="not known yet"):
                await it.modem.power_cycle()
            with pytest.raises(SubmitInDoubt):
                await sending
            with pytest.raises(PowerFailed, match="busy"):
                await it.modem.power_cycle()
            await it.ready(2)

    run(scenario())


# ------------------------------------------------------------------------------------------------ network


def test_a_modem_without_network_has_its_radio_switched_and_is_then_reset_ever_less_often() -> None:
    async def scenario() -> None:
        desk = Desk(boots=10)
        desk.plain |= {"AT+CFUN=4": line("OK"), "AT+CFUN=1": line("OK")}
        async with bench(desk) as it:
            it.desk.plain["AT+CREG?"] = line("+CREG: 0,2", "OK")
            begin = it.now
            await asyncio.sleep(290)
            assert "AT+CFUN=4" not in it.desk.commands
            await it.host.until(lambda: "AT+CFUN=1" in it.desk.commands)
            await it.host.until(lambda: "AT+CFUN=1,1" in it.desk.commands, within=700)
            assert it.now - begin >= 600
            await asyncio.sleep(24 * 3600)
            assert it.desk.commands.count("AT+CFUN=1,1") <= 30
            it.desk.plain["AT+CREG?"] = line("+CREG: 0,1", "OK")
            await it.ready(2)

    run(scenario())


def test_a_network_that_refuses_is_not_stormed_with_resets() -> None:
    async def scenario() -> None:
        async with bench(Desk(answers={"AT+CREG?": line("+CREG: 0,3", "OK")}, boots=10), wait=False) as it:
            await asyncio.sleep(24 * 3600)
            assert not [command for command in it.desk.commands if command.startswith("AT+CFUN")]
            assert it.modem.status.state is ModemState.SEARCHING
            assert it.modem.status.last_error is not None
            assert "refuses this SIM" in it.modem.status.last_error

    run(scenario())


def test_a_session_that_ends_is_told_with_the_port_it_ended_on() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.hang_up()
            await it.ready(2)
            assert isinstance(it.ends[0], PortGone)
            assert it.modem.status.imei == IMEI

    run(scenario())
