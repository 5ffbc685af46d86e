"""Incoming calls: told once, and ended where that is wished, by whichever command the modem knows."""

from __future__ import annotations

import asyncio

import pytest

from tests.modem.desk import PDU, Bench, Desk, bench, line, run

NUMBER = "+447700900123"
CLIP = f'+CLIP: "{NUMBER}",145'


def ended(it: Bench) -> list[str]:
    return [command for command in it.desk.commands if command in {"AT+CHUP", "ATH"}]


async def ring(it: Bench, seconds: float = 30.0, *, clip: str | None = CLIP) -> None:
    """As a telephone network does until somebody hangs up."""
    begin = it.now
    while it.now < begin + seconds and not ended(it):
        it.desk.tell("RING", *([clip] if clip else []))
        await asyncio.sleep(5)


@pytest.mark.parametrize(
    ("answers", "commands"),
    [
        ({"AT+CHUP": line("OK")}, ["AT+CHUP"]),
        ({"ATH": line("OK")}, ["AT+CHUP", "ATH"]),
        ({"AT+CHUP": None, "ATH": line("OK")}, ["AT+CHUP", "ATH"]),
        ({}, ["AT+CHUP", "ATH"]),
    ],
)
def test_a_call_is_told_once_and_ended(answers: dict[str, bytes | None], commands: list[str]) -> None:
    async def scenario() -> None:
        async with bench(Desk(answers={**answers})) as it:
            begin = it.now
            await ring(it)
            await asyncio.sleep(20)
            assert it.host.calls == [NUMBER]
            assert ended(it) == commands
            first = next(at for at, data in it.desk.written if data == b"AT+CHUP\r")
            assert first - begin < 1
            assert it.ends == []

    run(scenario())


def test_a_withheld_number_is_told_and_ended_too() -> None:
    async def scenario() -> None:
        async with bench(Desk(answers={"AT+CHUP": line("OK")})) as it:
            await ring(it, clip=None)
            assert it.host.calls == [None]
            assert ended(it) == ["AT+CHUP"]

    run(scenario())


def test_where_that_is_off_it_rings() -> None:
    async def scenario() -> None:
        async with bench(hang_up=False) as it:
            await ring(it, 60)
            assert it.host.calls == [NUMBER]
            assert ended(it) == []
            await asyncio.sleep(30)
            await ring(it)
            assert it.host.calls == [NUMBER, NUMBER]

    run(scenario())


def test_a_call_while_a_submit_waits_is_told_at_once_and_ended_after_it() -> None:
    async def scenario() -> None:
        async with bench(Desk(results=[None], answers={"AT+CHUP": line("OK")})) as it:
            sending = asyncio.create_task(it.submit())
            await asyncio.sleep(1)
            it.desk.tell("RING", CLIP)
            assert it.host.calls == [NUMBER]
            await asyncio.sleep(5)
            assert ended(it) == []
            it.desk.tell("+CMGS: 1", "OK")
            assert await sending == 1
            await asyncio.sleep(1)
            assert ended(it) == ["AT+CHUP"]

    run(scenario())


def test_a_call_that_the_session_did_not_outlive_is_not_ended_in_the_next_one() -> None:
    async def scenario() -> None:
        async with bench(Desk(results=[None])) as it:
            sending = asyncio.create_task(it.submit())
            await asyncio.sleep(1)
            it.desk.tell("RING", CLIP)
            it.desk.hang_up()
            await asyncio.gather(sending, return_exceptions=True)
            await it.ready(2)
            await asyncio.sleep(10)
            assert ended(it) == []

    run(scenario())


def test_a_call_before_the_sim_is_known_is_nobodys() -> None:
    async def scenario() -> None:
        async with bench(Desk(answers={"AT+CPIN?": line("+CME ERROR: 10")}), wait=False) as it:
            await asyncio.sleep(30)
            it.desk.tell("RING", CLIP)
            await asyncio.sleep(5)
            assert it.host.calls == []

    run(scenario())


def test_texts_arrive_while_it_rings() -> None:
    async def scenario() -> None:
        async with bench(hang_up=False) as it:
            ringing = asyncio.create_task(ring(it, 60))
            await asyncio.sleep(7)
            it.desk.stores["ME"][1] = f"0,,30\r\n{PDU}"
            begin = it.now
            it.desk.tell('+CMTI: "ME",1')
            await it.host.until(lambda: it.host.count("removed ME 1"))
            assert it.now - begin < 1
            await ringing

    run(scenario())
