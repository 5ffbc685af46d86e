"""Commands over a port, octet by octet."""

from __future__ import annotations

import asyncio

import pytest

from appliance.at.dialogue import Bare, Command, Urc
from appliance.errors import AnswerTimeout, CommandFailed, PortGone
from appliance.modem.channel import Channel, Silent
from appliance.types import RetryClass
from tests.modem.desk import IMEI, Script, Wire, line, run

CSQ = Command("AT+CSQ", ("+CSQ:",))
CMGD = Command("AT+CMGD=3")
CPIN = Command("AT+CPIN?", ("+CPIN:",), final_may_be_missing=True)

WAKE = ((b"\x1bAT\r", line("OK")), (b"\x1bAT+CGSN\r", line(IMEI, "OK")))
PROBE = b"\x1bAT+CGSN\r"


async def awake(script: Script, urcs: list[Urc] | None = None) -> Channel:
    channel = Channel(script.wire, urc=(urcs if urcs is not None else []).append)
    assert await channel.wake((1.0,)) == IMEI
    return channel


def test_a_command_is_answered() -> None:
    async def scenario() -> None:
        urcs: list[Urc] = []
        script = Script(*WAKE, (b"AT+CSQ\r", line('+CMTI: "SM",3', "+CSQ: 20,99", "OK")))
        channel = await awake(script, urcs)
        assert await channel.command(CSQ, within=5) == ["+CSQ: 20,99"]
        assert urcs == [Urc('+CMTI: "SM",3')]
        assert script.done()

    run(scenario())


def test_an_error_is_raised_with_its_meaning_and_without_a_secret() -> None:
    async def scenario() -> None:
        pin = Command('AT+CPIN="1234"', secret=True)
        channel = await awake(Script(*WAKE, (b'AT+CPIN="1234"\r', line("+CME ERROR: 16"))))
        with pytest.raises(CommandFailed) as caught:
            await channel.command(pin, within=5)
        assert caught.value.reason.code == "cme_16"
        assert caught.value.reason.retry is RetryClass.MODEM
        assert "1234" not in str(caught.value)

    run(scenario())


def test_after_a_time_out_the_modem_is_asked_who_it_is_before_the_next_command() -> None:
    async def scenario() -> None:
        script = Script(
            *WAKE,
            (b"AT+CMGD=3\r", b""),
            (PROBE, line("OK", "OK")),  # the late result, and one more
            (PROBE, line(IMEI, "OK")),
            (b"AT+CSQ\r", line("+CSQ: 20,99", "OK")),
        )
        channel = await awake(script)
        with pytest.raises(AnswerTimeout):
            await channel.command(CMGD, within=5)
        assert await channel.command(CSQ, within=5) == ["+CSQ: 20,99"]
        assert script.done()

    run(scenario())


def test_a_modem_that_answers_no_question_is_silent_within_its_bound() -> None:
    async def scenario() -> None:
        channel = await awake(Script(*WAKE, (b"AT+CMGD=3\r", b""), *[(PROBE, b"")] * 5))
        with pytest.raises(AnswerTimeout):
            await channel.command(CMGD, within=5)
        begin = asyncio.get_running_loop().time()
        with pytest.raises(Silent):
            await channel.command(CSQ, within=5)
        assert asyncio.get_running_loop().time() - begin == pytest.approx(5)

    run(scenario())


def test_a_missing_ok_costs_a_moment_and_no_error() -> None:
    async def scenario() -> None:
        script = Script(
            *WAKE,
            (b"AT+CPIN?\r", line("+CPIN: READY")),
            (PROBE, line(IMEI, "OK")),
            (b"AT+CMGD=3\r", line("OK")),
        )
        channel = await awake(script)
        begin = asyncio.get_running_loop().time()
        assert await channel.command(CPIN, within=5) == ["+CPIN: READY"]
        assert asyncio.get_running_loop().time() - begin == pytest.approx(0.5)
        await channel.command(CMGD, within=5)

    run(scenario())


def test_a_cancelled_command_leaves_no_result_to_the_next() -> None:
    async def scenario() -> None:
        script = Script(
            *WAKE,
            (b"AT+CMGD=3\r", b""),
            (PROBE, line("ERROR", IMEI, "OK")),
            (b"AT+CSQ\r", line("+CSQ: 20,99", "OK")),
        )
        channel = await awake(script)
        task = asyncio.create_task(channel.command(CMGD, within=5))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await channel.command(CSQ, within=5) == ["+CSQ: 20,99"]

    run(scenario())


def test_commands_take_their_turn() -> None:
    async def scenario() -> None:
        commands = [Command(f"AT+CMGR={n}", ("+CMGR:",)) for n in range(5)]
        steps = [(f"AT+CMGR={n}\r".encode(), line(f"+CMGR: {n}", "OK")) for n in range(5)]
        channel = await awake(Script(*WAKE, *steps))
        answers = await asyncio.gather(*(channel.command(command, within=5) for command in commands))
        assert answers == [[f"+CMGR: {n}"] for n in range(5)]

    run(scenario())


def test_whoever_waits_learns_at_once_that_the_port_has_ended() -> None:
    async def scenario() -> None:
        script = Script(*WAKE, (b"AT+CMGD=3\r", b""))
        channel = await awake(script)
        asyncio.get_running_loop().call_later(1, script.wire.hang_up)
        begin = asyncio.get_running_loop().time()
        outcomes = await asyncio.gather(*(channel.command(CMGD, within=5) for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [PortGone] * 3
        assert asyncio.get_running_loop().time() - begin == pytest.approx(1)

    run(scenario())


def test_nothing_that_answers_is_silent() -> None:
    async def scenario() -> None:
        wire = Wire(lambda _: None)
        channel = Channel(wire, urc=lambda _: None)
        with pytest.raises(Silent):
            await channel.wake((0.5, 1.0, 1.0), ("AT", "ATE0"))

    run(scenario())


def test_an_imsi_on_the_line_is_not_taken_for_the_modem() -> None:
    async def scenario() -> None:
        script = Script(
            *WAKE,
            (b"AT+CIMI\r", line("234100000000001", "OK")),
        )
        channel = await awake(script)
        assert await channel.command(Command("AT+CIMI", bare=Bare.DIGITS), within=5) == ["234100000000001"]

    run(scenario())
