"""A modem that does not say what arrives, or says too much: nothing is lost, and nothing is asked without end."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.modem.desk import IMEI, PDU, TPDU, Bench, Desk, bench, line, run

if TYPE_CHECKING:
    from appliance.modem.host import ModemStatus

STORED = f"0,,30\r\n{PDU}"
LISTINGS = b"AT+CMGL=4\r"


def sweeps(it: Bench, since: float) -> list[float]:
    """When all storages were listed; the desk has two."""
    listed = [at for at, data in it.desk.written if data == LISTINGS and at > since]
    return listed[::2]


async def unannounced(it: Bench, index: int = 3) -> float:
    """A message that nothing is said of; the seconds until it had been taken."""
    begin = it.now
    before = it.host.count(f"removed SM {index}")
    it.desk.stores["SM"][index] = STORED
    await it.host.until(lambda: it.host.count(f"removed SM {index}") > before)
    return it.now - begin


def test_found_deaf_it_is_set_up_anew_once_and_swept_every_half_minute() -> None:
    async def scenario() -> None:
        async with bench() as it:
            assert await unannounced(it) <= 301
            await it.ready(2)
            assert it.desk.commands.count("AT+CMGF=0") == 2
            assert [await unannounced(it, index) <= 31 for index in range(4, 9)] == [True] * 5
            begin = it.now
            await asyncio.sleep(3600)
            assert it.desk.commands.count("AT+CMGF=0") == 2
            assert {round(later - earlier) for earlier, later in pairwise(sweeps(it, begin))} == {30}
            assert it.host.count(f"attached {IMEI}") == 2

    run(scenario())


@pytest.mark.parametrize("hint", ['+CMTI: "SM",9', f"+CMT: ,30\r\n{PDU}"])
def test_once_it_says_something_it_is_swept_every_five_minutes_again(hint: str) -> None:
    async def scenario() -> None:
        async with bench() as it:
            await unannounced(it)
            await it.ready(2)
            if "CMTI" in hint:
                it.desk.stores["SM"][9] = STORED
            it.desk.tell(hint)
            await it.host.until(lambda: len(it.host.pdus) == 2)
            begin = it.now
            await asyncio.sleep(3600)
            assert len(sweeps(it, begin)) <= 14

    run(scenario())


def test_a_modem_that_tells_reports_and_no_messages_is_deaf() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.tell(f"+CDS: 30\r\n{PDU}")
            await it.host.until(lambda: it.host.pdus)
            assert await unannounced(it) <= 301
            await it.ready(2)
            for index in range(4, 7):
                it.desk.tell(f"+CDS: 30\r\n{PDU}")
                assert await unannounced(it, index) <= 31

    run(scenario())


def test_what_was_announced_while_it_was_swept_makes_nobody_deaf() -> None:
    class Slow(Desk):
        late: str | None = '+CMTI: "SM",3'

        def _reply(self, text: str) -> bytes | None:
            if text.startswith("AT+CMGD=") and self.late is not None:
                self.tell(self.late)  # the indication comes after the message was listed
                self.late = None
            return super()._reply(text)

    async def scenario() -> None:
        async with bench(Slow()) as it:
            await unannounced(it)
            await asyncio.sleep(3600)
            assert it.desk.commands.count("AT+CMGF=0") == 1
            assert it.host.count(f"attached {IMEI}") == 1

    run(scenario())


def test_very_many_indications_make_nobody_deaf() -> None:
    class Busy(Desk):
        """Whenever the sweep comes, very many have just arrived: more than are read one by one."""

        def _reply(self, text: str) -> bytes | None:
            if text == "AT+CPMS?":
                for index in range(1, 30):
                    self.stores["SM"][index] = STORED
                    self.tell(f'+CMTI: "SM",{index}')
            return super()._reply(text)

    async def scenario() -> None:
        async with bench(Busy()) as it:
            await asyncio.sleep(20 * 300 + 100)
            assert len(it.host.pdus) == 20 * 29
            assert it.desk.commands.count("AT+CMGF=0") == 1

    run(scenario())


def test_what_is_found_at_the_start_or_after_a_failure_makes_nobody_deaf() -> None:
    async def scenario() -> None:
        desk = Desk(
            stores={"ME": {1: STORED}, "SM": {2: STORED}}, answers={"AT+CMGD=2": [line("+CMS ERROR: 500")] * 40}
        )
        async with bench(desk) as it:
            await it.host.until(lambda: it.host.count("removed SM 2"))
            assert it.now > 1000 + 300
            await asyncio.sleep(3600)
            assert desk.commands.count("AT+CMGF=0") == 1

    run(scenario())


def test_where_no_setting_holds_it_is_told_and_swept_every_half_minute() -> None:
    async def scenario() -> None:
        async with bench(Desk(answers={"AT+CNMI?": line("+CNMI: 0,0,0,0,0", "OK")})) as it:
            told = [status.last_error for status in it.host.statuses if status.last_error]
            assert "no setting of +CNMI holds: messages are found by sweeps only" in told
            assert await unannounced(it) <= 31
            begin = it.now
            await asyncio.sleep(3600)
            assert 100 <= len(sweeps(it, begin)) <= 125
            assert it.desk.commands.count("AT+CMGF=0") == 1

    run(scenario())


def test_what_arrives_elsewhere_than_set_is_set_anew() -> None:
    async def scenario() -> None:
        desk = Desk(answers={"AT+CPMS?": [line('+CPMS: "ME",0,50,"ME",0,50,"SM",0,50', "OK")]})
        async with bench(desk) as it:
            await it.ready(2)
            assert it.now <= 1000 + 310
            errors = [status.last_error for status in it.host.statuses if status.last_error]
            assert any("what arrives goes to SM, not to ME" in error for error in errors)
            await asyncio.sleep(3600)
            assert it.host.count(f"attached {IMEI}") == 2

    run(scenario())


@pytest.mark.parametrize("gauge", ['+CPMS: "ME",0,50,"ME",0,50,"ME",0,50', "+CPMS: 0,50,0,50,0,50", "+CPMS: nonsense"])
def test_what_it_says_of_its_storages_in_order_or_in_no_form_disturbs_nobody(gauge: str) -> None:
    async def scenario() -> None:
        async with bench(Desk(answers={"AT+CPMS?": line(gauge, "OK")})) as it:
            await asyncio.sleep(3600)
            assert it.host.entries == [f"attached {IMEI}"]
            assert it.desk.commands.count("AT+CMGF=0") == 1

    run(scenario())


# ------------------------------------------------------------------------------------------------ storage


class Small(Desk):
    """Storages of ten places; what cannot be deleted stays."""

    def _reply(self, text: str) -> bytes | None:
        reply = super()._reply(text)
        return reply.replace(b",50", b",10") if text.startswith("AT+CPMS=") and reply is not None else reply


def test_nearly_full_is_told_and_untold() -> None:
    def told(it: Bench) -> list[tuple[str, ...]]:
        full: list[tuple[str, ...]] = []
        for status in it.host.statuses:
            if not full or full[-1] != status.full:
                full.append(status.full)
        return full

    async def scenario() -> None:
        desk = Small(stores={"ME": {}, "SM": dict.fromkeys(range(1, 10), STORED)})
        desk.answers = {f"AT+CMGD={index}": line("+CMS ERROR: 500") for index in range(1, 10)}
        async with bench(desk) as it:
            await it.host.until(lambda: it.modem.status.full)
            assert it.modem.status.full == ("SM",)
            assert it.modem.status.storage["SM"] == (9, 10)
            desk.answers.clear()
            await it.host.until(lambda: not it.modem.status.full)
            assert desk.stores["SM"] == {}
            assert it.modem.status.storage["SM"] == (0, 10)
            assert told(it) == [(), ("SM",), ()]

    run(scenario())


def test_a_storage_that_a_sweep_empties_is_not_told_to_be_full() -> None:
    def is_full(status: ModemStatus) -> bool:
        return bool(status.full)

    async def scenario() -> None:
        desk = Small(stores={"ME": dict.fromkeys(range(10), STORED), "SM": {}})
        async with bench(desk) as it:
            await it.host.until(lambda: len(it.host.pdus) == 10)
            await asyncio.sleep(10)
            assert not [status for status in it.host.statuses if is_full(status)]

    run(scenario())


def test_a_flood_of_ready_lines_neither_sweeps_without_pause_nor_starves_the_rest() -> None:
    async def scenario() -> None:
        async with bench() as it:
            begin = it.now
            flooding = True

            async def flood() -> None:
                while flooding:
                    it.desk.tell("+ZUSIMR: 2")
                    await asyncio.sleep(0.001)

            task = asyncio.create_task(flood())
            await asyncio.sleep(5)
            assert await it.submit() == 0
            it.desk.stores["ME"][1] = STORED
            arrived = it.now
            it.desk.tell('+CMTI: "ME",1')
            await it.host.until(lambda: it.host.count("removed ME 1"))
            assert it.now - arrived < 0.5
            it.desk.tell(f"+CDS: 30\r\n{PDU}")
            await it.host.until(lambda: len(it.host.pdus) == 2)
            assert it.host.pdus[1].tpdu == TPDU
            await asyncio.sleep(60)
            assert len(sweeps(it, begin)) <= (it.now - begin) / 10 + 3
            assert [data for at, data in it.desk.written if data == b"AT+CSQ\r" and at > begin]
            assert it.host.entries[0] == f"attached {IMEI}"
            assert it.ends == []
            flooding = False
            await task

    run(scenario())
