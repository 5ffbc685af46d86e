"""However a session ends and whoever asks for what meanwhile: nobody waits for ever, no line stays open, nothing is
done to a modem whose submit is in doubt."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from appliance.errors import ModemError, PortFailed, PortGone, PowerFailed, StoreFull, SubmitInDoubt
from appliance.modem.ladder import Memory, Rung
from appliance.modem.modem import Modem
from appliance.modem.place import Remedy
from appliance.modem.profile import generic, shipped
from appliance.types import ModemState
from tests.modem.desk import IMEI, PDU, SUBMIT, Desk, Journal, bench, line, nothing, run
from tests.modem.test_recovery import CURES, broken, remedy, taken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from appliance.modem.ladder import Memory as Kept
    from appliance.types import Imei

STORED = f"0,,30\r\n{PDU}"
OTHER = "356938035643015"


async def soon(waiting: asyncio.Future[Any], within: float = 60.0) -> BaseException | None:
    """How it ended; it has to."""
    await asyncio.wait({waiting}, timeout=within)
    assert waiting.done(), "somebody waits for ever"
    return waiting.exception()


# ------------------------------------------------------------------------------------------------ by hand


def test_a_power_cycle_between_two_sessions_is_all_that_is_done() -> None:
    async def scenario() -> None:
        desk = Desk(boots=5)
        desk.remedies = [remedy(desk, Rung.USB, "USB")]
        async with bench(desk, pause=10) as it:
            desk.hang_up()
            await asyncio.sleep(1)
            asking = asyncio.ensure_future(it.modem.power_cycle())
            assert await soon(asking) is None
            await it.ready(2)
            await asyncio.sleep(30)
            assert desk.commands.count("USB") == 1
            assert "AT+CFUN=1,1" not in desk.commands
            assert it.host.count(f"attached {IMEI}") == 2

    run(scenario())


def test_a_restart_and_a_power_cycle_at_once_are_both_answered() -> None:
    async def scenario() -> None:
        for first in ("restart", "power_cycle"):
            desk = Desk(boots=5)
            desk.remedies = [remedy(desk, Rung.USB, "USB")]
            async with bench(desk) as it:
                verbs: dict[str, Callable[[], Awaitable[object]]] = {
                    "restart": it.modem.restart,
                    "power_cycle": it.modem.power_cycle,
                }
                both = [asyncio.ensure_future(verbs.pop(first)())]
                both += [asyncio.ensure_future(verb()) for verb in verbs.values()]
                ends = [await soon(each) for each in both]
                if first == "restart":  # the power cycle goes before it, and it is told so
                    assert isinstance(ends[0], PortGone)
                    assert both[1].result() == "USB"
                else:
                    assert [each.result() for each in both] == ["USB", None]
                assert desk.commands.count("USB") == 1
                await it.ready(2)

    run(scenario())


@pytest.mark.parametrize("verb", ["restart", "power_cycle"])
def test_asked_twice_it_is_done_once(verb: str) -> None:
    async def scenario() -> None:
        desk = Desk(boots=5)
        desk.remedies = [remedy(desk, Rung.USB, "USB")]
        async with bench(desk) as it:
            both = [asyncio.ensure_future(getattr(it.modem, verb)()) for _ in range(2)]
            assert [await soon(each) for each in both] == [None, None]
            await it.ready(2)
            await asyncio.sleep(60)
            assert desk.commands.count("AT+CFUN=1,1") + desk.commands.count("USB") == 1

    run(scenario())


def test_a_remedy_that_is_not_there_any_more_is_told() -> None:
    async def scenario() -> None:
        desk = Desk(boots=5)
        desk.remedies = [remedy(desk, Rung.USB, "USB")]
        async with bench(desk) as it:
            asking = asyncio.ensure_future(it.modem.power_cycle())
            await asyncio.sleep(0)
            desk.remedies = []
            assert isinstance(await soon(asking), PowerFailed)
            await it.ready(2)

    run(scenario())


def test_a_power_cycle_asked_for_just_before_a_pdu_leaves_waits_for_no_doubt_and_makes_none() -> None:
    async def scenario() -> None:
        desk = Desk(results=[None])
        desk.remedies = [remedy(desk, Rung.USB, "USB")]
        async with bench(desk) as it:
            gate = asyncio.Event()
            sending = asyncio.ensure_future(it.modem.submit(SUBMIT, payload_next=gate.wait))  # type: ignore[arg-type]
            await asyncio.sleep(1)
            asking = asyncio.ensure_future(it.modem.power_cycle())
            gate.set()
            error = await soon(asking)
            assert isinstance(error, PowerFailed)
            assert "not known yet" in str(error)
            assert isinstance(await soon(sending, 400), SubmitInDoubt)
            assert "USB" not in desk.commands
            await it.ready(2)

    run(scenario())


@pytest.mark.parametrize("verb", ["restart", "power_cycle"])
def test_what_was_lost_in_doubt_with_its_port_is_not_reset_away(verb: str) -> None:
    async def scenario() -> None:
        desk = Desk(results=[None], boots=5)
        desk.remedies = [remedy(desk, Rung.USB, "USB")]
        async with bench(desk) as it:
            begin = it.now
            asyncio.get_running_loop().call_later(3, desk.hang_up)
            with pytest.raises(SubmitInDoubt):
                await it.submit()
            await it.ready(2)
            with pytest.raises(PowerFailed, match="not known yet"):
                await getattr(it.modem, verb)()
            assert not {"AT+CFUN=1,1", "USB"} & set(desk.commands)
            await asyncio.sleep(begin + 301 - it.now)
            await getattr(it.modem, verb)()
            await it.ready(3)

    run(scenario())


def test_a_restart_waits_for_the_result_of_a_submit() -> None:
    async def scenario() -> None:
        async with bench(Desk(results=[None], boots=5)) as it:
            sending = asyncio.ensure_future(it.submit())
            await asyncio.sleep(1)
            asking = asyncio.ensure_future(it.modem.restart())
            await asyncio.sleep(20)
            assert "AT+CFUN=1,1" not in it.desk.commands
            it.desk.tell("+CMGS: 7", "OK")
            assert await soon(asking) is None
            assert await sending == 7
            assert "AT+CFUN=1,1" in it.desk.commands

    run(scenario())


def test_a_family_without_a_command_for_it_says_so() -> None:
    async def scenario() -> None:
        profile = replace(generic(), power=replace(generic().power, resets=()))
        async with bench(profile=profile) as it:
            with pytest.raises(ModemError, match="no command"):
                await it.modem.restart()
            await asyncio.sleep(60)
            assert it.host.count(f"attached {IMEI}") == 1

    run(scenario())


def test_asked_for_while_a_session_ends_it_is_answered() -> None:
    async def scenario() -> None:
        desk = Desk(results=[None])
        async with bench(desk) as it:
            sending = asyncio.ensure_future(it.submit())
            await asyncio.sleep(1)
            desk.answers["AT+CGSN"] = None
            it.modem._talk.anew = "for the test"  # an end with the submit still on its way
            it.modem._talk.wake.set()
            asking = [asyncio.ensure_future(it.modem.restart())]
            while it.now < 1400 and not sending.done():
                await asyncio.sleep(2)
                asking.append(asyncio.ensure_future(it.modem.restart()))
            desk.unplug()
            for each in asking:
                assert isinstance(await soon(each, 30), ModemError | None)
            await soon(sending)

    run(scenario())


# ------------------------------------------------------------------------------------------------ cancellation


MOMENTS = sorted({*(0.05 * at for at in range(40)), 2.7, 5.0, 10.3, 61.2, 301.4})


async def served(modem: Modem, seconds: float, *, then: float = 0.0) -> None:
    """Run one session, stopped after so long, and once more ``then`` seconds later, as a supervisor may."""
    task = asyncio.ensure_future(modem.run())
    await asyncio.wait({task}, timeout=seconds)
    task.cancel()
    if then:
        await asyncio.wait({task}, timeout=then)
        task.cancel()
    await asyncio.wait({task})


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("mute", [False, True])
def test_stopped_at_any_moment_it_leaves_no_line_open_and_can_be_run_again(mute: bool, twice: bool) -> None:
    async def scenario(moment: float) -> None:
        desk = Desk(stores={"ME": {1: STORED}, "SM": {}}, mute=mute)
        desk.remedies = [remedy(desk, Rung.USB, "USB")]
        host = Journal()
        modem = Modem(desk, profiles=shipped(), host=host)
        await served(modem, moment, then=0.01 if twice else 0.0)
        assert desk.wire is None or desk.wire.gone.done()
        assert modem._talk.channel is None
        assert modem._talk.restart is None
        assert modem.status.state in {ModemState.GONE, ModemState.RECOVERING, ModemState.NEEDS_HANDS}
        desk.mute = False
        again = asyncio.ensure_future(modem.run())
        attached = host.count(f"attached {IMEI}")
        await host.until(lambda: host.count(f"attached {IMEI}") > attached)
        again.cancel()
        await asyncio.wait({again})
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others

    for moment in MOMENTS:
        run(scenario(moment))


@pytest.mark.parametrize("then", [0.0, 1.0])
def test_stopped_while_a_submit_has_no_result_it_leaves_no_line_open(then: float) -> None:
    async def scenario() -> None:
        desk = Desk(results=[None])
        host = Journal()
        modem = Modem(desk, profiles=shipped(), host=host)
        serving = asyncio.ensure_future(served(modem, 20, then=then))
        await host.until(lambda: host.count(f"attached {IMEI}"))
        await asyncio.sleep(1)
        sending = asyncio.ensure_future(modem.submit(SUBMIT, payload_next=nothing))
        await serving
        assert desk.wire is not None
        assert desk.wire.gone.done()
        assert modem._talk.channel is None
        assert isinstance(await soon(sending, 5), SubmitInDoubt)

    run(scenario())


@pytest.mark.parametrize("verb", ["restart", "power_cycle", "ussd"])
def test_stopped_for_good_whoever_waits_is_told(verb: str) -> None:
    async def scenario() -> None:
        desk = Desk(answers={"AT+CSQ": None, 'AT+CUSD=1,"*100#",15': line("OK")}, vanishes=True)
        desk.remedies = [remedy(desk, Rung.USB, "USB")]
        for moment in (0.5, 3.0, 62.0):
            desk.plug()
            modem = Modem(desk, profiles=shipped(), host=Journal())
            task = asyncio.ensure_future(modem.run())
            await asyncio.sleep(moment)
            if verb == "power_cycle":
                desk.unplug()  # so that the cycle waits for the next session, which never comes
                await asyncio.wait({task})
                task = asyncio.ensure_future(modem.run())
                await asyncio.sleep(0.1)
            given = ("*100#",) if verb == "ussd" else ()
            asking = asyncio.ensure_future(getattr(modem, verb)(*given))
            await asyncio.sleep(0)
            task.cancel()
            assert isinstance(await soon(asking), ModemError | None)
            await asyncio.wait({task})

    run(scenario())


# ------------------------------------------------------------------------------------------------ memory


def test_a_full_disk_keeps_nobody_from_reviving_a_modem() -> None:
    class Full(Journal):
        async def recovering(self, place: str, imei: Imei | None, memory: Kept, taken: Any) -> None:
            await super().recovering(place, imei, memory, taken)
            raise StoreFull("no room")

    async def scenario() -> None:
        desk = Desk()
        desk.remedies = [remedy(desk, rung, name, cures=rung is Rung.SUPPLY) for rung, name in CURES]
        async with bench(desk, host=Full()) as it:
            desk.mute = True
            await it.host.until(lambda: it.modem.status.last_error is not None)
            begin = it.now
            await it.ready(2)
            assert it.now - begin <= 90
            for _, name in CURES:
                assert desk.commands.count(name) == 1
            assert taken(it)[-1] == ("port power", "helped")

    run(scenario())


def test_a_modem_whose_port_ends_at_each_opening_after_a_reset_goes_on_up_the_ladder() -> None:
    class Fickle(Desk):
        """After its reset its tty is there, and ends as soon as it is used."""

        fickle = False

        async def open(self, turn: int = 0) -> Any:
            wire = await super().open(turn)
            if self.fickle:
                asyncio.get_running_loop().call_soon(wire.hang_up)
            return wire

        def _take(self, data: bytes) -> None:
            super()._take(data)
            if b"AT+CFUN=1,1" in data:
                self.fickle = True
                asyncio.get_running_loop().call_later(2, self.hang_up)

    async def scenario() -> None:
        desk = Fickle(vanishes=True)

        async def apply() -> None:
            desk.fickle = desk.mute = False
            desk.written.append((asyncio.get_running_loop().time(), b"USB\r"))

        desk.remedies = [Remedy(Rung.USB, "USB", 20.0, apply)]
        async with bench(desk, pause=0.5) as it:
            desk.mute = True
            await it.host.until(lambda: it.modem.status.last_error is not None)
            begin = it.now
            await it.host.until(lambda: "USB" in desk.commands)
            assert it.now - begin <= 90
            await it.ready(2)

    run(scenario())


class Stuck(Desk):
    """Its tty is there, and the kernel cannot open it."""

    stuck = False
    hopeless = True

    async def open(self, turn: int = 0) -> Any:
        if self.stuck:
            self.turns.append(turn)
            raise (PortFailed if self.hopeless else PortGone)("desk: Input/output error")
        return await super().open(turn)


@pytest.mark.parametrize("hopeless", [True, False])
def test_a_modem_whose_port_the_kernel_cannot_open_is_revived_and_one_that_another_has_is_not(hopeless: bool) -> None:
    async def scenario() -> None:
        desk = Stuck(vanishes=True)
        desk.hopeless = hopeless

        async def apply() -> None:
            desk.stuck = False
            desk.written.append((asyncio.get_running_loop().time(), b"USB\r"))

        desk.remedies = [Remedy(Rung.USB, "USB", 20.0, apply)]
        async with bench(desk, pause=0.5) as it:
            desk.stuck = True
            desk.hang_up()
            begin = it.now
            if hopeless:
                await it.ready(2)
                assert it.now - begin <= 90
                assert taken(it)[-1] == ("USB", "helped")
            else:
                await asyncio.sleep(3600)
                assert "USB" not in desk.commands
                assert it.host.taken == []

    run(scenario())


def test_a_port_that_fails_while_its_modem_is_pulled_out_is_no_trouble() -> None:
    async def scenario() -> None:
        desk = Stuck(vanishes=True)
        desk.remedies = [remedy(desk, Rung.USB, "USB")]
        async with bench(desk, pause=0.5) as it:
            desk.stuck = True
            desk.hang_up()
            asyncio.get_running_loop().call_later(1.0, desk.unplug)
            await asyncio.sleep(3600)
            assert it.host.taken == []
            assert it.modem.status.state is ModemState.GONE
            desk.stuck = False
            desk.plug()
            await it.ready(2)

    run(scenario())


def test_another_modem_in_the_place_of_one_that_hangs_is_not_taken_for_it() -> None:
    async def scenario() -> None:
        desk = Desk(vanishes=True)
        desk.remedies = [remedy(desk, Rung.LINES, "reset line"), remedy(desk, Rung.USB, "USB")]
        async with bench(desk) as it:
            it.host.memories[OTHER] = Memory(cure="reset line")
            desk.mute = True
            await it.host.until(lambda: "USB" in desk.commands)
            desk.plain["AT+CGSN"] = line(OTHER, "OK")
            desk.mute = False
            await it.host.until(lambda: it.host.count(f"attached {OTHER}"))
            assert ("USB", "helped") not in taken(it)
            assert it.host.memories[OTHER] == Memory(cure="reset line")
            before = len(desk.commands)
            desk.mute = True
            await it.host.until(lambda: "reset line" in desk.commands[before:])
            assert "AT+CFUN=1,1" not in desk.commands[before:]

    run(scenario())


def test_a_modem_that_says_its_name_for_the_first_time_after_a_remedy_owes_it_to_that() -> None:
    async def scenario() -> None:
        desk = Desk(mute=True)
        desk.remedies = [remedy(desk, Rung.LINES, "reset line", cures=True)]
        async with bench(desk, wait=False) as it:
            await it.ready()
            assert taken(it)[-1] == ("reset line", "helped")
            assert it.host.memories[IMEI].cure == "reset line"

    run(scenario())


def test_radio_and_reset_against_a_lost_network_wait_for_a_doubt_too() -> None:
    async def scenario() -> None:
        slow = replace(generic(), sms=replace(generic().sms, submit_deadline=600.0))
        desk = Desk(results=[None], boots=5)
        desk.plain |= {"AT+CFUN=4": line("OK"), "AT+CFUN=1": line("OK")}
        async with bench(desk, profile=slow) as it:
            begin = it.now
            asyncio.get_running_loop().call_later(3, desk.hang_up)
            desk.plain["AT+CREG?"] = line("+CREG: 0,2", "OK")
            with pytest.raises(SubmitInDoubt):
                await it.submit()
            await asyncio.sleep(begin + 599 - it.now)
            assert not {"AT+CFUN=4", "AT+CFUN=1,1"} & set(desk.commands)
            await it.host.until(lambda: "AT+CFUN=1" in desk.commands)

    run(scenario())


def test_a_remedy_that_cannot_be_applied_by_hand_is_told_to_whoever_asked() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.remedies = [broken(Rung.USB, "USB")]
        async with bench(desk) as it:
            assert isinstance(await soon(asyncio.ensure_future(it.modem.power_cycle())), PowerFailed)
            assert isinstance(it.ends[-1], PortGone)
            await it.ready(2)

    run(scenario())
