"""USSD: one request at a time, its answer before or after the OK, and no wait for what can never come."""

from __future__ import annotations

import asyncio

import pytest

from appliance.errors import AnswerTimeout, CommandFailed, ModemError, PortGone
from appliance.modem.host import UssdAnswer
from appliance.modem.profile import shipped
from tests.modem.desk import Bench, Desk, Reply, bench, line, run

ASKED = 'AT+CUSD=1,"*100#",15'
ANSWER = '+CUSD: 0,"Balance: 5.00",15'
FOUND = UssdAnswer(0, "Balance: 5.00", 15, packed=False)


TAKEN = line("OK")


def desk(reply: Reply = TAKEN) -> Desk:
    return Desk(answers={ASKED: reply, "AT+CUSD=2": line("OK"), 'AT+CUSD=1,"1",15': line("OK")}, boots=5)


async def asking(it: Bench) -> asyncio.Task[UssdAnswer]:
    """A request that has been given and waits for its answer."""
    task = asyncio.create_task(it.modem.ussd("*100#"))
    await asyncio.sleep(1)
    assert ASKED in it.desk.commands
    assert not task.done()
    return task


@pytest.mark.parametrize("before", [True, False])
def test_the_answer_may_come_before_or_after_the_ok(before: bool) -> None:
    async def scenario() -> None:
        async with bench(desk(line(ANSWER, "OK") if before else line("OK", ANSWER))) as it:
            assert await it.modem.ussd("*100#") == FOUND
            assert await it.modem.ussd("*100#") == FOUND

    run(scenario())


@pytest.mark.parametrize(
    ("told", "answer"),
    [
        ("+CUSD: 2", UssdAnswer(2, None, None, packed=False)),
        ("+CUSD: 4", UssdAnswer(4, None, None, packed=False)),
        ('+CUSD: 0,"a\r\nb",15', UssdAnswer(0, "a\nb", 15, packed=False)),
        ('+CUSD: 0,"00480069",72', UssdAnswer(0, "00480069", 72, packed=False)),
    ],
)
def test_whatever_the_network_says_is_told(told: str, answer: UssdAnswer) -> None:
    async def scenario() -> None:
        async with bench(desk()) as it:
            task = await asking(it)
            it.desk.tell(told)
            assert await task == answer

    run(scenario())


def test_a_second_request_is_refused_while_one_waits() -> None:
    async def scenario() -> None:
        async with bench(desk()) as it:
            task = await asking(it)
            with pytest.raises(ModemError, match="on its way already"):
                await it.modem.ussd("1")
            it.desk.tell(ANSWER)
            assert await task == FOUND
            assert it.desk.commands.count('AT+CUSD=1,"1",15') == 0

    run(scenario())


def test_what_the_network_asks_is_answered_by_the_next_request() -> None:
    async def scenario() -> None:
        async with bench(desk()) as it:
            task = await asking(it)
            it.desk.tell('+CUSD: 1,"1 Balance, 2 Help",15')
            assert (await task).status == 1
            answering = asyncio.create_task(it.modem.ussd("1"))
            await asyncio.sleep(1)
            it.desk.tell(ANSWER)
            assert await answering == FOUND

    run(scenario())


def test_a_session_is_ended() -> None:
    async def scenario() -> None:
        async with bench(desk()) as it:
            await it.modem.end_ussd()
            assert it.desk.commands[-1] == "AT+CUSD=2"
            task = await asking(it)
            await it.modem.end_ussd()
            it.desk.tell("+CUSD: 2")
            assert (await task).status == 2

    run(scenario())


def test_without_an_answer_it_ends_after_a_minute_and_a_late_one_is_not_the_next_requests() -> None:
    async def scenario() -> None:
        async with bench(desk()) as it:
            begin = it.now
            with pytest.raises(AnswerTimeout, match="did not answer"):
                await it.modem.ussd("*100#")
            assert it.now - begin == pytest.approx(60, abs=1)
            assert "AT+CUSD=2" in it.desk.commands
            it.desk.tell('+CUSD: 0,"late",15', '+CUSD: 0,"later",15')
            task = await asking(it)
            it.desk.tell(ANSWER)
            assert await task == FOUND
            assert it.ends == []

    run(scenario())


def test_what_the_modem_refuses_is_told() -> None:
    async def scenario() -> None:
        async with bench(desk(line("+CME ERROR: 100"))) as it:
            with pytest.raises(CommandFailed):
                await it.modem.ussd("*100#")
            it.desk.answers[ASKED] = line("OK", ANSWER)
            assert await it.modem.ussd("*100#") == FOUND

    run(scenario())


@pytest.mark.parametrize("reply", [line("OK"), None])
def test_a_port_that_ends_ends_the_request_at_once(reply: Reply) -> None:
    async def scenario() -> None:
        async with bench(desk(reply)) as it:
            task = await asking(it)
            begin = it.now
            it.desk.hang_up()
            with pytest.raises(PortGone):
                await task
            assert it.now - begin < 1
            await it.ready(2)
            it.desk.answers[ASKED] = line("OK", ANSWER)
            assert await it.modem.ussd("*100#") == FOUND

    run(scenario())


@pytest.mark.parametrize("how", ["boot", "restart"])
def test_a_modem_that_starts_anew_ends_the_request_at_once(how: str) -> None:
    async def scenario() -> None:
        async with bench(desk()) as it:
            task = await asking(it)
            begin = it.now
            if how == "boot":
                it.desk.tell("RDY")
            else:
                await it.modem.restart()
            with pytest.raises(ModemError):
                await task
            assert it.now - begin < 2
            await it.ready(2)

    run(scenario())


def test_without_a_session_it_says_so() -> None:
    async def scenario() -> None:
        async with bench(desk(), pause=60) as it:
            it.desk.hang_up()
            await asyncio.sleep(1)
            for doing in (it.modem.ussd("*100#"), it.modem.end_ussd()):
                with pytest.raises(PortGone):
                    await doing

    run(scenario())


def test_a_modem_that_falls_silent_at_a_request_is_revived_from_then_on() -> None:
    async def scenario() -> None:
        async with bench(desk()) as it:
            it.desk.mute = True
            begin = it.now
            with pytest.raises(AnswerTimeout):
                await it.modem.ussd("*100#")
            assert it.now - begin == pytest.approx(10, abs=1)
            await it.ready(2)
            assert it.now - begin < 10 + 30

    run(scenario())


def test_the_caller_may_leave() -> None:
    async def scenario() -> None:
        async with bench(desk()) as it:
            task = await asking(it)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            it.desk.answers[ASKED] = line("OK", ANSWER)
            assert await it.modem.ussd("*100#") == FOUND

    run(scenario())


def test_other_business_goes_on_while_the_network_is_waited_for() -> None:
    async def scenario() -> None:
        async with bench(desk()) as it:
            task = await asking(it)
            assert await it.submit() == 0
            it.desk.tell(ANSWER)
            assert await task == FOUND

    run(scenario())


def test_neither_request_nor_answer_is_in_any_status() -> None:
    async def scenario() -> None:
        async with bench(desk(None)) as it:
            with pytest.raises(AnswerTimeout) as caught:
                await it.modem.ussd("*100#")
            it.desk.tell(ANSWER)
            await asyncio.sleep(100)
            assert not [status for status in it.host.statuses if "*100#" in repr(status) or "5.00" in repr(status)]
            assert "*100#" not in str(caught.value)

    run(scenario())


@pytest.mark.parametrize("profile", shipped(), ids=lambda profile: profile.name)
def test_a_family_whose_strings_are_packed_says_so(profile: object) -> None:
    async def scenario() -> None:
        found = next(each for each in shipped() if each == profile)
        asked = f'AT+CUSD=1,"AA180C3602",{found.ussd.dcs}'
        it_desk = Desk(answers={asked: line("OK", '+CUSD: 0,"C2303BEC9E83",15')})
        async with bench(it_desk, profile=found) as it:
            assert it.modem.writes_ussd_packed is found.ussd.packed
            answer = await it.modem.ussd("AA180C3602")
            assert answer.packed is found.ussd.packed

    run(scenario())
