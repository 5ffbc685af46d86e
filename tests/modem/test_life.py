"""A modem's life: bring-up, SIM, registration, idling, and back to health."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from appliance.errors import AnswerTimeout, PortGone, SubmitInDoubt, SubmitRefused
from appliance.modem.modem import Intervals
from appliance.types import ModemState, Registration
from tests.modem.desk import ICCID, IMEI, IMSI, PDU, Bench, Desk, bench, line, run

STORED = f"0,,30\r\n{PDU}"


def states(it: Bench) -> list[ModemState]:
    told: list[ModemState] = []
    for status in it.host.statuses:
        if not told or told[-1] is not status.state:
            told.append(status.state)
    return told


def test_it_is_brought_up_and_told() -> None:
    async def scenario() -> None:
        async with bench() as it:
            status = it.modem.status
            assert (status.imei, status.imsi, status.iccid, status.number) == (IMEI, IMSI, ICCID, "+447700900001")
            assert (status.manufacturer, status.model, status.revision) == ("ACME", "M1", "1.0")
            assert (status.registration, status.signal_dbm) == (Registration.HOME, -73)
            assert (status.operator, status.technology) == ("Desk Mobile", "LTE")
            assert (status.last_error, status.recovery) == (None, None)
            assert it.host.statuses[-1] == status
            assert states(it) == [ModemState.OPENING, ModemState.BRINGING_UP, ModemState.READY]
            assert it.host.entries == [f"attached {IMEI}"]
            assert it.desk.written[0][1] == b"\x1bAT\r"
            for command in ("ATE0", "ATV1", "AT+CMEE=1", "AT+CMGF=0", "AT+CNMI=2,1,0,1,0"):
                assert it.desk.commands.count(command) == 1

    run(scenario())


def test_a_prefix_that_is_polled_is_never_enabled_as_a_urc() -> None:
    async def scenario() -> None:
        async with bench() as it:
            assert "AT+CREG=0" in it.desk.commands
            assert not [command for command in it.desk.commands if command.startswith(("AT+CREG=1", "AT+CREG=2"))]

    run(scenario())


def test_idle_it_gives_at_most_six_commands_a_minute() -> None:
    async def scenario() -> None:
        async with bench() as it:
            begin = it.now
            await asyncio.sleep(3600)
            assert len(it.desk.since(begin)) <= 6 * 60
            assert it.host.entries == [f"attached {IMEI}"]

    run(scenario())


def test_a_modem_that_starts_slowly_is_waited_for() -> None:
    async def scenario() -> None:
        async with bench(Desk(mute=True), wait=False) as it:
            asyncio.get_running_loop().call_later(15, setattr, it.desk, "mute", False)
            await it.ready()
            assert it.now <= 1000 + 30

    run(scenario())


def test_a_modem_that_echoes_and_answers_in_numbers_is_brought_to_answer_in_words() -> None:
    async def scenario() -> None:
        desk = Desk(answers={"AT": b"0\r", "AT+CGSN": [f"{IMEI}\r\n0\r".encode(), f"{IMEI}\r\n0\r".encode()]})
        async with bench(desk) as it:
            assert it.modem.status.imei == IMEI

    run(scenario())


@pytest.mark.parametrize(
    ("answers", "cnmi"),
    [
        ({"AT+CNMI=2,1,0,1,0": line("ERROR")}, "2,1,0,2,0"),
        ({"AT+CNMI=2,1,0,1,0": line("OK")}, "2,1,0,2,0"),  # says OK and does nothing
        ({f"AT+CNMI=2,1,0,{ds},0": line("+CMS ERROR: 303") for ds in (1, 2)}, "1,1,0,1,0"),
        ({"AT+CNMI?": line("ERROR")}, "2,1,0,1,0"),
    ],
)
def test_indications_are_tried_until_one_reads_back(answers: dict[str, bytes], cnmi: str) -> None:
    async def scenario() -> None:
        async with bench(Desk(answers={**answers})) as it:
            assert it.desk.cnmi == cnmi

    run(scenario())


def test_forgotten_indications_are_noticed_and_everything_is_set_up_anew() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.cnmi = "0,0,0,0,0"
            await it.ready(2)
            assert it.desk.cnmi == "2,1,0,1,0"
            assert it.desk.commands.count("AT+CMGF=0") == 2

    run(scenario())


def test_two_places_of_cpms_are_enough() -> None:
    async def scenario() -> None:
        desk = Desk(answers={'AT+CPMS="ME","ME","ME"': line("ERROR")}, stores={"ME": {1: STORED}, "SM": {}})
        async with bench(desk) as it:
            await it.host.until(lambda: it.host.count("removed ME 1"))
            assert 'AT+CPMS="ME","ME"' in desk.commands

    run(scenario())


@pytest.mark.parametrize(
    ("known", "swept"),
    [
        (line("ERROR"), {"ME", "SM"}),
        (line("OK"), {"ME", "SM"}),
        (line('+CPMS: "SM","SM","SM"', "OK"), {"SM"}),
        (line('+CPMS: (("SM","BM"),("SM"))', "OK"), {"SM"}),
        (line('+CPMS: ("MT"),("MT"),("MT")', "OK"), {"MT"}),
        (line('+CPMS: ("ME","MT","SM"),("ME","MT","SM"),("ME","MT","SM")', "OK"), {"ME", "SM"}),
    ],
)
def test_the_storages_that_there_are_are_swept(known: bytes, swept: set[str]) -> None:
    async def scenario() -> None:
        desk = Desk(answers={"AT+CPMS=?": known}, stores={"ME": {}, "SM": {}, "MT": {}})
        async with bench(desk) as it:
            assert set(it.modem.status.storage) == swept

    run(scenario())


# ------------------------------------------------------------------------------------------------ SIM


def test_a_sim_that_is_missing_is_waited_for_and_taken_when_it_comes() -> None:
    async def scenario() -> None:
        async with bench(Desk(answers={"AT+CPIN?": line("+CME ERROR: 10")}), wait=False) as it:
            await it.host.until(lambda: it.modem.status.state is ModemState.SIM_MISSING)
            await asyncio.sleep(100)
            begin = it.now
            del it.desk.answers["AT+CPIN?"]
            it.desk.tell("+CPIN: READY")
            await it.ready()
            assert it.now - begin < 1

    run(scenario())


def test_a_sim_that_is_busy_at_first_is_asked_again() -> None:
    async def scenario() -> None:
        busy = [line("+CME ERROR: 13"), line("+CME ERROR: 14"), line("ERROR")]
        async with bench(Desk(answers={"AT+CPIN?": [*busy], "AT+CIMI": [line("+CME ERROR: 14")]})) as it:
            assert ModemState.SIM_MISSING not in states(it)

    run(scenario())


def test_a_sim_that_is_pulled_out_detaches_and_its_return_attaches() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.answers["AT+CPIN?"] = line("+CME ERROR: 10")
            it.desk.tell("+CPIN: NOT READY")
            await it.host.until(lambda: it.modem.status.state is ModemState.SIM_MISSING)
            assert [entry.partition(":")[0] for entry in it.host.entries] == [f"attached {IMEI}", "detached"]
            del it.desk.answers["AT+CPIN?"]
            await it.ready(2)

    run(scenario())


def test_a_sim_that_is_taken_out_without_a_word_is_missed_by_the_next_submit_and_the_next_poll() -> None:
    async def scenario() -> None:
        gone = {
            "AT+CPIN?": line("+CME ERROR: 10"),
            "AT+CREG?": line("+CREG: 0,0", "OK"),
            "AT+CIMI": line("+CME ERROR: 10"),
        }
        async with bench() as it:
            it.desk.answers.update(gone)
            await it.host.until(lambda: it.modem.status.state is ModemState.SIM_MISSING, within=70)
            assert it.host.entries[-1].startswith("detached")
        async with bench(Desk(prompt=line("+CMS ERROR: 310"))) as it:
            it.desk.answers.update(gone)
            with pytest.raises(SubmitRefused):
                await it.submit()
            await it.host.until(lambda: it.modem.status.state is ModemState.SIM_MISSING, within=5)

    run(scenario())


def test_another_sim_is_another_subscription() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.answers["AT+CREG?"] = [line("+CREG: 0,0", "OK")] * 4
            it.desk.plain["AT+CIMI"] = line("234100000000002", "OK")
            it.desk.plain["AT+CCID"] = line("+CCID: 8944100000000000026", "OK")
            await it.ready(2)
            assert it.modem.status.imsi == "234100000000002"
            assert it.modem.status.iccid == "8944100000000000026"

    run(scenario())


LOCKED = line("+CPIN: SIM PIN", "OK")


class Locked(Desk):
    """A SIM with a PIN."""

    pin = "1234"
    entered = 0
    open_now = False

    def _reply(self, text: str) -> bytes | None:
        if text == "AT+CPIN?" and "AT+CPIN?" not in self.answers and not self.open_now:
            return LOCKED
        if text.startswith("AT+CPIN="):
            self.entered += 1
            self.open_now = text == f'AT+CPIN="{self.pin}"'
            return line("OK" if self.open_now else "+CME ERROR: 16")
        return super()._reply(text)


def test_a_pin_is_entered_after_the_host_has_committed_the_intent() -> None:
    async def scenario() -> None:
        desk = Locked()
        async with bench(desk, pin="1234") as it:
            assert desk.entered == 1
            assert it.host.entries[0] == "may try: True"
            assert all("1234" not in repr(status) for status in it.host.statuses)

    run(scenario())


def test_a_pin_that_was_right_is_entered_again_when_the_card_has_lost_its_power() -> None:
    async def scenario() -> None:
        desk = Locked()
        async with bench(desk, pin="1234") as it:
            desk.open_now = False
            desk.tell("RDY")
            await it.host.until(lambda: it.host.count(f"attached {IMEI}") == 2)
            assert desk.entered == 2
            assert it.host.entries.count("may try: True") == it.host.entries.count("PIN taken") == 2

    run(scenario())


def test_stopping_does_not_come_between_the_committed_intent_and_the_pin() -> None:
    async def scenario() -> None:
        desk = Locked()
        async with bench(desk, pin="1234", wait=False) as it:
            it.host.gate = asyncio.Event()
            await it.host.until(lambda: it.host.count("may try: True"))
            asyncio.get_running_loop().call_later(1, it.host.gate.set)
        assert desk.entered == 1

    run(scenario())


def test_a_wrong_pin_is_tried_once() -> None:
    async def scenario() -> None:
        desk = Locked()
        async with bench(desk, pin="9999", wait=False) as it:
            await asyncio.sleep(600)
            assert desk.entered == 1
            assert it.modem.status.state is ModemState.PIN_REQUIRED
            assert it.host.count("may try: False") > 0
            desk.hang_up()
            await asyncio.sleep(600)
            assert desk.entered == 1

    run(scenario())


@pytest.mark.parametrize("left", [0, 1, 2])
def test_no_pin_is_entered_where_a_try_was_spent_already(left: int) -> None:
    async def scenario() -> None:
        desk = Locked(answers={"AT+CPINR": line(f"+CPINR: SIM PIN,{left},3", "OK")})
        async with bench(desk, pin="1234", wait=False) as it:
            await asyncio.sleep(100)
            assert desk.entered == 0
            assert it.host.entries == []

    run(scenario())


def test_no_pin_is_entered_where_none_is_set_or_the_card_is_not_known() -> None:
    async def scenario() -> None:
        for desk, pin in ((Locked(), None), (Locked(answers={"AT+CCID": line("ERROR")}), "1234")):
            async with bench(desk, pin=pin, wait=False) as it:
                await asyncio.sleep(100)
                assert desk.entered == 0
                assert it.modem.status.state is ModemState.PIN_REQUIRED

    run(scenario())


def test_a_puk_is_never_entered() -> None:
    async def scenario() -> None:
        desk = Locked(answers={"AT+CPIN?": line("+CPIN: SIM PUK", "OK")})
        async with bench(desk, pin="1234", wait=False) as it:
            await asyncio.sleep(100)
            assert it.modem.status.state is ModemState.PUK_REQUIRED
            assert desk.entered == 0

    run(scenario())


def test_a_locked_sim_is_asked_at_most_six_times_a_minute() -> None:
    async def scenario() -> None:
        async with bench(Desk(answers={"AT+CPIN?": line("+CPIN: SIM PUK", "OK")}), wait=False) as it:
            await asyncio.sleep(60)
            begin = it.now
            await asyncio.sleep(600)
            assert len(it.desk.since(begin)) <= 61

    run(scenario())


# ------------------------------------------------------------------------------------------------ network


def test_what_arrives_is_swept_while_the_network_is_searched() -> None:
    async def scenario() -> None:
        desk = Desk(answers={"AT+CREG?": line("+CREG: 0,2", "OK")}, stores={"ME": {1: STORED}, "SM": {}})
        async with bench(desk, wait=False) as it:
            await it.host.until(lambda: it.host.count("removed ME 1"), within=5)
            assert it.modem.status.state is ModemState.SEARCHING
            desk.stores["ME"][2] = STORED
            desk.tell('+CMTI: "ME",2')
            await it.host.until(lambda: it.host.count("removed ME 2"), within=1)

    run(scenario())


@pytest.mark.parametrize(
    ("creg", "cereg", "best"),
    [
        (2, 1, Registration.HOME),
        (0, 6, Registration.SMS_ONLY_HOME),
        (3, 5, Registration.ROAMING),
        (1, 0, Registration.HOME),
    ],
)
def test_the_best_of_all_domains_counts(creg: int, cereg: int, best: Registration) -> None:
    async def scenario() -> None:
        answers = {"AT+CREG?": line(f"+CREG: 0,{creg}", "OK"), "AT+CEREG?": line(f"+CEREG: 0,{cereg}", "OK")}
        async with bench(Desk(answers={**answers})) as it:
            assert it.modem.status.registration is best

    run(scenario())


def test_registration_lost_detaches_and_regained_attaches() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.answers["AT+CREG?"] = line("+CREG: 0,2", "OK")
            await it.host.until(lambda: it.modem.status.state is ModemState.SEARCHING, within=70)
            assert it.host.entries[-1] == "detached: not registered"
            del it.desk.answers["AT+CREG?"]
            begin = it.now
            await it.ready(2)
            assert it.now - begin <= 10

    run(scenario())


def test_one_poll_without_registration_detaches_nobody() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.answers["AT+CREG?"] = [line("+CREG: 0,2", "OK")]
            await asyncio.sleep(200)
            assert it.host.entries == [f"attached {IMEI}"]

    run(scenario())


# ------------------------------------------------------------------------------------------------ recovery


def test_a_late_answer_is_not_the_next_commands() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.answers["AT+CSQ"] = [None]
            await it.host.until(lambda: it.modem.status.last_error == "no answer to AT+CSQ in 5 s")
            it.desk.tell("+CSQ: 1,99", "OK")
            await asyncio.sleep(200)
            assert it.modem.status.signal_dbm == -73
            assert it.host.entries == [f"attached {IMEI}"]
            assert it.ends == []

    run(scenario())


@pytest.mark.parametrize("urc", ["RDY", "^SYSSTART", "+CFUN: 1", "*ATREADY: 1"])
def test_a_modem_that_starts_anew_is_set_up_anew_and_swept(urc: str) -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.stores["SM"][1] = STORED
            it.desk.cnmi = "0,0,0,0,0"
            begin = it.now
            it.desk.tell(urc)
            await it.ready(2)
            await it.host.until(lambda: it.host.count("removed SM 1"))
            assert it.now - begin < 3
            assert it.desk.cnmi == "2,1,0,1,0"
            assert it.ends == []

    run(scenario())


def test_a_reset_that_swallows_an_answer_costs_no_time_out() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.answers["AT+CREG?"] = [None]
            await asyncio.sleep(61)
            begin = it.now
            it.desk.tell("RDY")
            await it.ready(2)
            assert it.now - begin < 3

    run(scenario())


def test_a_port_that_vanishes_is_told_and_opened_again() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.hang_up()
            await it.host.until(lambda: it.modem.status.state is ModemState.GONE)
            assert it.host.entries[-1].startswith("detached")
            await it.ready(2)
            assert isinstance(it.ends[0], PortGone)

    run(scenario())


def test_boot_lines_that_go_on_during_the_set_up_end_no_session() -> None:
    async def scenario() -> None:
        async with bench() as it:
            for seconds, text in enumerate(("RDY", "+CFUN: 1", "+CPIN: READY", "+CFUN: 1", "SMS DONE", "PB DONE")):
                asyncio.get_running_loop().call_later(seconds * 0.7, it.desk.tell, text)
            it.desk.answers["AT+CGMM"] = [None, None]
            it.desk.answers["AT+CGSN"] = [None]
            await asyncio.sleep(30)
            assert it.ends == []
            assert it.modem.status.state is ModemState.READY

    run(scenario())


def test_a_modem_that_answers_again_when_re_opened_is_back_within_30_seconds_of_the_first_time_out() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.mute = it.desk.deaf_until_reopened = True
            await it.host.until(lambda: it.modem.status.last_error is not None)
            begin = it.now
            await it.ready(2)
            assert it.now - begin < 30
            assert "AT+CFUN=1,1" not in it.desk.commands
            assert ModemState.RECOVERING in states(it)
            assert isinstance(it.ends[0], AnswerTimeout)

    run(scenario())


def test_a_modem_that_answers_again_after_a_reset_is_back_within_30_seconds_of_the_first_time_out() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.mute = True
            it.desk.boots = 5
            await it.host.until(lambda: it.modem.status.last_error is not None)
            begin = it.now
            await it.ready(2)
            assert it.now - begin < 30
            assert it.desk.commands.count("AT+CFUN=1,1") == 1
            assert any(status.recovery == "reset by command" for status in it.host.statuses)
            assert it.modem.status.recovery is None

    run(scenario())


def test_a_modem_that_never_answers_is_tried_for_ever_and_reset_ever_less_often() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.desk.mute = True
            await asyncio.sleep(7200)
            resets = it.desk.commands.count("AT+CFUN=1,1")
            assert it.desk.opened > 100
            assert 4 <= resets <= 20
            it.desk.mute = False
            await it.ready(2)

    run(scenario())


def test_a_modem_that_was_never_heard_of_is_not_reset_at_its_first_silence() -> None:
    async def scenario() -> None:
        async with bench(Desk(mute=True), wait=False) as it:
            await it.host.until(lambda: it.ends)
            assert "AT+CFUN=1,1" not in it.desk.commands

    run(scenario())


def test_no_reset_while_a_submit_is_in_doubt() -> None:
    async def scenario() -> None:
        async with bench(Desk(results=[None])) as it:
            begin = it.now
            asyncio.get_running_loop().call_later(3, it.desk.hang_up)
            it.desk.boots = 5
            with pytest.raises(SubmitInDoubt):
                await it.submit()
            it.desk.mute = True
            await asyncio.sleep(begin + 299 - it.now)
            assert "AT+CFUN=1,1" not in it.desk.commands
            assert it.desk.opened > 10
            await it.ready(2)
            assert it.desk.commands.count("AT+CFUN=1,1") == 1

    run(scenario())


def test_a_modem_whose_sim_commands_hang_is_re_opened_and_then_reset() -> None:
    async def scenario() -> None:
        async with bench(Desk(answers={"AT+CPIN?": None}, boots=5), wait=False) as it:
            await it.host.until(lambda: "AT+CFUN=1,1" in it.desk.commands)
            assert it.desk.opened == 3

    run(scenario())


def test_commands_that_are_no_use_may_hang() -> None:
    async def scenario() -> None:
        useless = dict.fromkeys(("AT+CGMI", "AT+CGMR", "AT+CNUM", "AT+CLIP=1", "AT+COPS?", "AT+CSQ"))
        async with bench(Desk(answers={**useless})) as it:
            await it.ready()
            assert it.ends == []

    run(scenario())


def test_a_modem_without_a_prompt_three_times_is_re_opened_and_then_reset() -> None:
    async def scenario() -> None:
        async with bench(Desk(prompt=None, boots=5)) as it:
            for _ in range(6):
                await it.host.until(lambda: it.modem.status.state is ModemState.READY)
                with pytest.raises(Exception, match=r"prompt|ready"):
                    await it.submit()
                await asyncio.sleep(8)
            assert len(it.ends) == 2
            await it.host.until(lambda: "AT+CFUN=1,1" in it.desk.commands)

    run(scenario())


def test_restart_resets_the_modem_and_sets_it_up_anew() -> None:
    async def scenario() -> None:
        async with bench(Desk(boots=20)) as it:
            await it.modem.restart()
            assert it.desk.commands[-1] == "AT+CFUN=1,1"
            assert it.host.entries[-1].startswith("detached")
            await it.ready(2)
            assert it.ends == []

    run(scenario())


def test_restart_without_a_session_says_so() -> None:
    async def scenario() -> None:
        async with bench(pause=60) as it:
            it.desk.hang_up()
            await asyncio.sleep(1)
            with pytest.raises(PortGone):
                await it.modem.restart()

    run(scenario())


def test_nothing_is_polled_more_often_than_once_a_second() -> None:
    intervals = Intervals()
    assert min(intervals.poll, intervals.sim, intervals.sweep, intervals.again, *intervals.searching) >= 1
    assert replace(intervals, poll=2).poll == 2
