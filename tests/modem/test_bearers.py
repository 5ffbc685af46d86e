"""Which way short messages go: another one is tried where sending fails and the network is there, and told."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from appliance.errors import SubmitInDoubt, SubmitRefused
from appliance.modem.profile import parse
from tests.modem.desk import Bench, Desk, bench, line, run

ONE, TWO, LAST = "AT+CGSMS=2", "AT+CGSMS=3", "AT+CGSMS=1"
PROFILE = parse(
    f'name = "three-ways"\n[match]\nmanufacturer = "ACME"\nmodel = "M1"\n[sms]\nbearers = ["{ONE}", "{TWO}", "{LAST}"]',
    "test",
)
WEATHER = line("+CMS ERROR: 38")  # network out of order
SEARCHING = line("+CREG: 0,2", "OK")


def desk(*results: bytes) -> Desk:
    made = Desk(results=[*results], boots=5)
    made.plain |= dict.fromkeys((ONE, TWO, LAST), line("OK"))
    return made


def given(it: Bench) -> list[str]:
    return [command for command in it.desk.commands if command.startswith("AT+CGSMS")]


async def send(it: Bench, times: int = 1) -> None:
    for _ in range(times):
        with contextlib.suppress(SubmitRefused, SubmitInDoubt):
            await it.submit()
        await asyncio.sleep(1)


def said(it: Bench) -> list[str]:
    return [status.last_error for status in it.host.statuses if status.last_error]


@pytest.mark.parametrize("failure", ["+CMS ERROR: 38", "+CMS ERROR: 41", "+CMS ERROR: 331", "+CMS ERROR: 500", "ERROR"])
def test_two_failures_in_a_row_have_the_next_one_tried_and_told(failure: str) -> None:
    async def scenario() -> None:
        async with bench(desk(line(failure), line(failure)), profile=PROFILE) as it:
            await send(it)
            assert given(it) == []
            await send(it)
            assert given(it) == [ONE]
            assert it.modem.status.bearer == ONE
            assert f"sending failed; now tried with {ONE}" in said(it)

    run(scenario())


def test_success_keeps_it() -> None:
    async def scenario() -> None:
        async with bench(desk(WEATHER, WEATHER), profile=PROFILE) as it:
            await send(it, 10)
            await asyncio.sleep(7200)
            await send(it, 10)
            assert given(it) == [ONE]
            assert it.modem.status.bearer == ONE

    run(scenario())


@pytest.mark.parametrize("between", [line("+CMGS: 1", "OK"), line("+CMS ERROR: 1"), line("+CMS ERROR: 21")])
def test_failures_that_are_not_in_a_row_change_nothing(between: bytes) -> None:
    async def scenario() -> None:
        async with bench(desk(*[WEATHER, between] * 5), profile=PROFILE) as it:
            await send(it, 10)
            assert given(it) == []

    run(scenario())


@pytest.mark.parametrize(
    "failure", ["+CMS ERROR: 1", "+CMS ERROR: 21", "+CMS ERROR: 28", "+CMS ERROR: 310", "+CMS ERROR: 322"]
)
def test_what_no_bearer_can_be_blamed_for_changes_none(failure: str) -> None:
    async def scenario() -> None:
        async with bench(desk(*[line(failure)] * 6), profile=PROFILE) as it:
            await send(it, 6)
            await asyncio.sleep(120)
            assert given(it) == []

    run(scenario())


def test_what_fails_before_the_pdu_changes_none() -> None:
    async def scenario() -> None:
        it_desk = desk()
        it_desk.prompt = WEATHER
        async with bench(it_desk, profile=PROFILE) as it:
            await send(it, 6)
            assert given(it) == []

    run(scenario())


def test_a_family_without_another_one_is_left_alone() -> None:
    async def scenario() -> None:
        async with bench(desk(*[WEATHER] * 6)) as it:
            await send(it, 6)
            assert given(it) == []
            assert it.modem.status.bearer is None

    run(scenario())


def test_when_all_fail_it_is_told_and_they_are_tried_again_after_an_hour() -> None:
    async def scenario() -> None:
        async with bench(desk(*[WEATHER] * 1000), profile=PROFILE) as it:
            begin = it.now
            await send(it, 8)
            assert given(it) == [ONE, TWO, LAST]
            assert said(it)[-1] == "short messages fail over every bearer that this modem can choose"
            while it.now < begin + 3500:
                await send(it)
                await asyncio.sleep(30)
            assert given(it) == [ONE, TWO, LAST]
            while len(given(it)) < 6:
                await send(it)
                await asyncio.sleep(30)
            assert given(it) == [ONE, TWO, LAST] * 2
            assert it.now < begin + 2 * 3600

    run(scenario())


def test_a_bearer_that_costs_the_network_is_given_up_after_two_minutes() -> None:
    async def scenario() -> None:
        async with bench(desk(WEATHER, WEATHER), profile=PROFILE) as it:
            await send(it, 2)
            it.desk.answers["AT+CREG?"] = SEARCHING
            await it.host.until(lambda: it.host.entries[-1].startswith("detached"))
            begin = it.now
            await it.host.until(lambda: it.modem.status.bearer == LAST)
            assert 110 <= it.now - begin <= 140
            assert given(it) == [ONE, LAST]
            assert f"no network with {ONE}: that is given up" in said(it)
            del it.desk.answers["AT+CREG?"]
            await it.ready(2)
            it.desk.results = [WEATHER, WEATHER]
            await send(it, 2)
            assert given(it) == [ONE, LAST, TWO]

    run(scenario())


def test_a_bearer_that_has_sent_comes_first_after_an_outage() -> None:
    async def scenario() -> None:
        async with bench(desk(WEATHER, WEATHER), profile=PROFILE) as it:
            await send(it, 5)
            it.desk.answers["AT+CREG?"] = SEARCHING
            await it.host.until(lambda: it.modem.status.bearer == LAST)
            del it.desk.answers["AT+CREG?"]
            await it.ready(2)
            it.desk.results = [WEATHER, WEATHER]
            await send(it, 5)
            assert given(it) == [ONE, LAST, ONE]

    run(scenario())


def test_without_a_change_an_outage_gives_up_nothing() -> None:
    async def scenario() -> None:
        async with bench(desk(), profile=PROFILE) as it:
            it.desk.answers["AT+CREG?"] = SEARCHING
            await asyncio.sleep(250)
            assert given(it) == []

    run(scenario())


@pytest.mark.parametrize("how", ["restart", "vanish", "boot"])
def test_after_a_restart_of_the_modem_it_is_given_again(how: str) -> None:
    async def scenario() -> None:
        async with bench(desk(WEATHER, WEATHER), profile=PROFILE) as it:
            await send(it, 2)
            match how:
                case "restart":
                    await it.modem.restart()
                case "vanish":
                    it.desk.hang_up()
                case _:
                    it.desk.tell("RDY")
            await it.ready(2)
            assert given(it) == [ONE, ONE]
            await asyncio.sleep(600)
            assert given(it) == [ONE, ONE]

    run(scenario())


def test_another_modem_in_its_place_begins_with_its_own() -> None:
    async def scenario() -> None:
        async with bench(desk(*[WEATHER] * 5), profile=PROFILE) as it:
            await send(it, 5)
            assert given(it) == [ONE, TWO]
            it.desk.plain["AT+CGSN"] = line("356938035643015", "OK")
            it.desk.results = [WEATHER] * 2
            it.desk.hang_up()
            await it.host.until(lambda: it.host.count("attached 356938035643015"))
            assert it.modem.status.bearer is None
            await send(it, 2)
            assert given(it) == [ONE, TWO, ONE]

    run(scenario())
