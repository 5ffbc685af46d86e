"""Submitting: the truth about every way in which it can end."""

from __future__ import annotations

import asyncio

import pytest

from appliance.errors import PortGone, StoreFull, SubmitInDoubt, SubmitRefused
from appliance.modem.modem import Intervals
from appliance.types import RetryClass
from tests.modem.desk import SUBMIT, Bench, Desk, bench, line, nothing, run

COMMAND = b"AT+CMGS=18\r"
PAYLOAD = b"00" + SUBMIT.hex().upper().encode() + b"\x1a"


def test_it_is_one_write_for_the_command_and_one_for_the_pdu() -> None:
    async def scenario() -> None:
        async with bench() as it:
            begin = len(it.desk.written)
            assert [await it.submit() for _ in range(3)] == [0, 1, 2]
            assert [data for _, data in it.desk.written[begin:]] == [COMMAND, PAYLOAD] * 3

    run(scenario())


def test_payload_next_is_awaited_between_the_prompt_and_the_pdu() -> None:
    async def scenario() -> None:
        async with bench() as it:
            seen: list[bytes] = []

            async def payload_next() -> None:
                await asyncio.sleep(2)
                seen.append(it.desk.written[-1][1])

            assert await it.modem.submit(SUBMIT, payload_next=payload_next) == 0
            assert seen == [COMMAND]
            assert it.desk.written[-1][1] == PAYLOAD

    run(scenario())


def test_when_payload_next_raises_the_prompt_is_left_by_esc_and_nothing_is_sent() -> None:
    async def scenario() -> None:
        async with bench() as it:

            async def payload_next() -> None:
                raise StoreFull("no room")

            with pytest.raises(StoreFull):
                await it.modem.submit(SUBMIT, payload_next=payload_next)
            assert it.desk.written[-1][1] == b"\x1b"
            assert it.desk.sent == []
            assert await it.submit() == 0
            assert len(it.desk.sent) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        ("+CMS ERROR: 38", RetryClass.RETRY_LATER),
        ("+CMS ERROR: 21", RetryClass.PERMANENT),
        ("+CMS ERROR: 500", RetryClass.RETRY_LATER),
        ("+CMS ERROR: 310", RetryClass.MODEM),
        ("ERROR", RetryClass.RETRY_LATER),
    ],
)
def test_an_error_instead_of_the_prompt_says_that_nothing_was_sent(error: str, retry: RetryClass) -> None:
    async def scenario() -> None:
        async with bench(Desk(prompt=line(error))) as it:
            with pytest.raises(SubmitRefused) as caught:
                await it.submit()
            assert caught.value.reason.retry is retry
            assert it.desk.sent == []
            it.desk.prompt = b"\r\n> "
            assert await it.submit() == 0

    run(scenario())


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        ("+CMS ERROR: 41", RetryClass.RETRY_NOW),
        ("+CMS ERROR: 38", RetryClass.RETRY_LATER),
        ("+CMS ERROR: 21", RetryClass.PERMANENT),
        ("+CMS ERROR: 322", RetryClass.MODEM),
        ("+CMS ERROR: 197", RetryClass.ACCEPTED),
    ],
)
def test_a_cause_of_the_network_is_definite(error: str, retry: RetryClass) -> None:
    async def scenario() -> None:
        async with bench(Desk(results=[line(error)])) as it:
            with pytest.raises(SubmitRefused) as caught:
                await it.submit()
            assert caught.value.reason.retry is retry
            assert await it.submit() == 0

    run(scenario())


@pytest.mark.parametrize("error", ["ERROR", "+CMS ERROR: 500", "+CMS ERROR: 332", "+CMS ERROR:", "+CMS ERROR: 600"])
def test_what_says_nothing_after_the_pdu_is_in_doubt(error: str) -> None:
    async def scenario() -> None:
        async with bench(Desk(results=[line(error)])) as it:
            with pytest.raises(SubmitInDoubt) as caught:
                await it.submit()
            assert caught.value.reason.retry is RetryClass.IN_DOUBT
            assert await it.submit() == 0

    run(scenario())


def test_without_a_prompt_nothing_was_sent_and_the_modem_is_asked_who_it_is() -> None:
    async def scenario() -> None:
        async with bench(Desk(prompt=None)) as it:
            begin = it.now
            with pytest.raises(SubmitRefused) as caught:
                await it.submit()
            assert caught.value.reason.code == "no_prompt"
            assert it.now - begin == pytest.approx(10)
            it.desk.prompt = b"\r\n> "
            assert await it.submit() == 0
            assert it.desk.since(begin)[0] == b"\x1bAT+CGSN\r"
            assert it.ends == []

    run(scenario())


def test_silence_after_the_pdu_is_in_doubt_after_the_deadline_and_until_then_nothing_is_written() -> None:
    async def scenario() -> None:
        async with bench(Desk(results=[None])) as it:
            begin = it.now
            it.desk.tell('+CMTI: "ME",1')
            await asyncio.sleep(0)
            with pytest.raises(SubmitInDoubt) as caught:
                await it.submit()
            assert caught.value.reason.code == "timeout"
            assert it.now - begin == pytest.approx(300)
            written = [data for at, data in it.desk.written if at < begin + 300]
            assert written[-1] == PAYLOAD
            assert await it.submit() == 0

    run(scenario())


def test_a_late_result_is_not_the_next_submits() -> None:
    async def scenario() -> None:
        async with bench(Desk(results=[None, line("+CMGS: 77", "OK", "+CMS ERROR: 38")])) as it:
            with pytest.raises(SubmitInDoubt):
                await it.submit()
            it.desk.tell("+CMGS: 55", "OK")
            assert await it.submit() == 77

    run(scenario())


def test_a_port_that_ends_before_the_pdu_means_that_nothing_was_sent() -> None:
    async def scenario() -> None:
        async with bench(Desk(prompt=None)) as it:
            asyncio.get_running_loop().call_later(3, it.desk.hang_up)
            with pytest.raises(PortGone):
                await it.submit()
            it.desk.prompt = b"\r\n> "
            await it.ready(2)
            assert await it.submit() == 0

    run(scenario())


def test_a_port_that_ends_at_the_prompt_means_that_nothing_was_sent() -> None:
    async def scenario() -> None:
        async with bench() as it:

            async def payload_next() -> None:
                it.desk.hang_up()
                await asyncio.sleep(0.1)

            with pytest.raises(PortGone):
                await it.modem.submit(SUBMIT, payload_next=payload_next)
            assert it.desk.sent == []

    run(scenario())


def test_a_port_that_ends_after_the_pdu_is_in_doubt() -> None:
    async def scenario() -> None:
        async with bench(Desk(results=[None])) as it:
            asyncio.get_running_loop().call_later(3, it.desk.hang_up)
            with pytest.raises(SubmitInDoubt) as caught:
                await it.submit()
            assert caught.value.reason.code == "port_gone"

    run(scenario())


def test_a_modem_that_starts_anew_after_the_pdu_is_in_doubt_at_once() -> None:
    async def scenario() -> None:
        async with bench(Desk(results=[None])) as it:
            begin = it.now
            asyncio.get_running_loop().call_later(3, it.desk.tell, "RDY")
            with pytest.raises(SubmitInDoubt) as caught:
                await it.submit()
            assert caught.value.reason.code == "restarted"
            assert it.now - begin == pytest.approx(3)
            await it.ready(2)
            assert await it.submit() == 0

    run(scenario())


def test_a_modem_that_starts_anew_at_the_prompt_is_given_no_pdu() -> None:
    async def scenario() -> None:
        async with bench() as it:

            async def payload_next() -> None:
                it.desk.tell("RDY")

            with pytest.raises(SubmitRefused) as caught:
                await it.modem.submit(SUBMIT, payload_next=payload_next)
            assert caught.value.reason.code == "restarted"
            assert it.desk.sent == []

    run(scenario())


def test_a_modem_that_is_not_ready_is_given_nothing() -> None:
    async def scenario() -> None:
        async with bench(Desk(answers={"AT+CREG?": line("+CREG: 0,2", "OK")}), wait=False) as it:
            await asyncio.sleep(5)
            with pytest.raises(SubmitRefused) as caught:
                await it.submit()
            assert caught.value.reason.code == "not_ready"
            assert caught.value.reason.retry is RetryClass.MODEM
            assert COMMAND not in [data for _, data in it.desk.written]

    run(scenario())


async def _cancelled(it: Bench, seconds: float, journal: list[int | str]) -> None:
    """A caller that is cancelled in its submit and puts what it learns into a journal."""

    async def caller() -> None:
        journal.append(await it.submit())
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            journal.append("cancelled")
            raise

    task = asyncio.create_task(caller())
    await asyncio.sleep(seconds)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_cancelled_before_the_pdu_nothing_is_sent() -> None:
    async def scenario() -> None:
        async with bench(Desk(prompt=None)) as it:
            journal: list[int | str] = []
            await _cancelled(it, 3, journal)
            assert journal == []
            assert it.desk.written[-1][1] == b"\x1b"
            it.desk.prompt = b"\r\n> "
            assert await it.submit() == 0

    run(scenario())


def test_cancelled_after_the_pdu_the_result_is_waited_for_and_told_before_the_cancellation() -> None:
    async def scenario() -> None:
        async with bench(Desk(results=[None])) as it:
            journal: list[int | str] = []
            asyncio.get_running_loop().call_later(5, it.desk.tell, "+CMGS: 9", "OK")
            begin = it.now
            await _cancelled(it, 3, journal)
            assert journal == [9, "cancelled"]
            assert it.now - begin == pytest.approx(5)

    run(scenario())


def test_cancelled_after_the_pdu_without_a_result_it_ends_within_its_bound() -> None:
    async def scenario() -> None:
        async with bench(Desk(results=[None]), intervals=Intervals(cancel=10)) as it:
            journal: list[int | str] = []
            begin = it.now
            await _cancelled(it, 3, journal)
            assert journal == []
            assert it.now - begin == pytest.approx(13)
            assert it.desk.since(begin) == []
            assert await it.submit() == 0

    run(scenario())


def test_ending_the_session_gives_a_submit_the_time_for_its_result() -> None:
    async def scenario() -> None:
        desk = Desk(results=[None])
        async with bench(desk) as it:
            task = asyncio.create_task(it.submit())
            await asyncio.sleep(1)
            asyncio.get_running_loop().call_later(5, desk.tell, "+CMGS: 9", "OK")
        assert await task == 9

    run(scenario())


def test_other_commands_wait_for_a_submit_and_urcs_do_not() -> None:
    async def scenario() -> None:
        async with bench(Desk(results=[None])) as it:
            task = asyncio.create_task(it.submit())
            await asyncio.sleep(1)
            begin = it.now
            it.desk.tell("RING", '+CLIP: "+447700900123",145')
            assert it.host.calls == ["+447700900123"]
            await asyncio.sleep(150)
            assert it.desk.since(begin) == []
            it.desk.tell("+CMGS: 4", "OK")
            assert await task == 4

    run(scenario())


def test_submits_take_their_turn() -> None:
    async def scenario() -> None:
        async with bench() as it:
            tpdus = [SUBMIT[:-1] + bytes([n]) for n in range(5)]
            references = await asyncio.gather(*(it.modem.submit(tpdu, payload_next=nothing) for tpdu in tpdus))
            assert references == [0, 1, 2, 3, 4]
            assert [payload[-2:] for payload in it.desk.sent] == [b"00", b"01", b"02", b"03", b"04"]

    run(scenario())
