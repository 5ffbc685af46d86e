"""What can be asked of a modem by MQTT, and what is told of its recovery."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from appliance.errors import PowerFailed
from appliance.modem import Memory, RungTaken
from appliance.modem.place import Remedy
from tests.modem.desk import IMEI, Desk, line
from tests.mqtt.house import House, plug_in
from tests.mqtt.test_commands import answer, linked
from tests.mqtt.wire import Peer, Publish, RawBroker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.types import Imei

pytestmark = pytest.mark.asyncio


async def ask(peer: Peer, verb: str, packet_id: int = 1, **body: Any) -> dict[str, Any]:
    """Send a request; its answer, which names it."""
    payload = json.dumps({"transaction": verb, **body}).encode()
    peer.send_publish(Publish(f"modemhub/request/{verb}", payload, packet_id=packet_id))
    told = await answer(peer)
    assert told.pop("transaction") == verb
    assert await peer.puback() == packet_id
    return told


def refused(told: Mapping[str, Any]) -> tuple[str, str]:
    assert told["status"] == "error", told
    return told["error"]["code"], told["error"]["detail"]


async def test_ussd_is_asked_answered_and_ended(home: House, raw: RawBroker) -> None:
    answers: dict[str, Any] = {
        'AT+CUSD=1,"*100#",15': line('+CUSD: 1,"1 Balance",15', "OK"),
        'AT+CUSD=1,"1",15': line("OK", '+CUSD: 0,"0035002020AC",72'),
        "AT+CUSD=2": line("OK"),
    }
    imei = await plug_in(home, Desk(answers=answers))
    async with linked(home, raw) as peer:
        told = await ask(peer, "modem/ussd", modem=imei, text="*100#")
        assert told == {"status": "ok", "result": {"status": "answer_expected", "text": "1 Balance"}}
        told = await ask(peer, "modem/ussd", modem=imei, text="1")
        assert told["result"] == {"status": "done", "text": "5 €"}
        told = await ask(peer, "modem/ussd", modem=imei, text=None)
        assert told["result"] == {"status": "ended", "text": None}


async def test_what_of_ussd_cannot_be_is_refused_in_words(home: House, raw: RawBroker) -> None:
    desk = Desk(answers={'AT+CUSD=1,"*100#",15': line("+CME ERROR: 100")})
    imei = await plug_in(home, desk)
    async with linked(home, raw) as peer:
        assert refused(await ask(peer, "modem/ussd", modem=imei, text="*100#"))[0] == "modem_failed"
        for text in ("☃", 'a"b', "é", "1" * 183):
            assert refused(await ask(peer, "modem/ussd", modem=imei, text=text))[0] == "not_encodable"
        assert refused(await ask(peer, "modem/ussd", modem=imei))[0] == "invalid"
        assert refused(await ask(peer, "modem/ussd", modem=imei, text=""))[0] == "invalid"
        assert refused(await ask(peer, "modem/ussd", modem=imei, text=7))[0] == "invalid"
        assert refused(await ask(peer, "modem/ussd", text="*100#"))[0] == "invalid"
        assert refused(await ask(peer, "modem/ussd", modem="490154203237518", text="*100#"))[0] == "no_such_modem"


async def test_a_power_cycle_is_done_and_answered_then(home: House, raw: RawBroker) -> None:
    done: list[str] = []

    async def apply() -> None:
        done.append("port power")

    desk = Desk(remedies=[Remedy(6, "port power", 0.1, apply)])
    imei = await plug_in(home, desk)
    async with linked(home, raw) as peer:
        answer = await ask(peer, "modem/power_cycle", modem=imei)
        assert answer == {"status": "ok", "result": {"done": "port power"}}
        assert done == ["port power"]


async def test_what_cannot_be_switched_is_said(home: House, raw: RawBroker) -> None:
    imei = await plug_in(home, Desk())
    async with linked(home, raw) as peer:
        code, detail = refused(await ask(peer, "modem/power_cycle", modem=imei))
        assert code == "modem_failed"
        assert "nothing here can switch it off and on" in detail
        assert refused(await ask(peer, "modem/power_cycle", modem="1"))[0] == "no_such_modem"
        assert refused(await ask(peer, "modem/power_cycle"))[0] == "invalid"


async def test_what_fails_is_said(home: House, raw: RawBroker) -> None:
    async def apply() -> None:
        raise PowerFailed("the line is busy")

    imei = await plug_in(home, Desk(remedies=[Remedy(4, "power key", 0.1, apply)]))
    async with linked(home, raw) as peer:
        assert refused(await ask(peer, "modem/power_cycle", modem=imei)) == ("modem_failed", "the line is busy")


async def test_a_restart_is_answered_when_the_modem_was_told_to(home: House, raw: RawBroker) -> None:
    desk = Desk(boots=0.01)
    imei = await plug_in(home, desk)
    async with linked(home, raw) as peer:
        assert await ask(peer, "modem/restart", modem=imei) == {"status": "ok"}
        assert "AT+CFUN=1,1" in desk.commands


async def test_a_rescan_is_refused_where_nothing_is_looked_for(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        assert refused(await ask(peer, "modem/rescan"))[0] == "not_possible"


async def test_each_step_of_a_recovery_is_told_with_its_modem(home: House, raw: RawBroker) -> None:
    imei: Imei = await plug_in(home, Desk())  # type: ignore[assignment] # a str
    step = RungTaken(5, "USB: authorized off and on", "it does not answer", 12.5, "helped")
    async with linked(home, raw) as peer:
        await home.hub.recovering("usb 1-1", None, Memory(), RungTaken(4, "reset line", "it is not there", 1, "failed"))
        await home.hub.recovering("usb 1-1", imei, Memory(), None)
        await home.hub.recovering("usb 1-1", imei, Memory(cure=step.name), step)
        told = await peer.published(f"modemhub/modem/{imei}/recovery")
        assert not told.retain
        assert json.loads(told.payload) == {
            "modem": IMEI,
            "place": "usb 1-1",
            "rung": 5,
            "name": "USB: authorized off and on",
            "reason": "it does not answer",
            "seconds": 12.5,
            "outcome": "helped",
            "detail": None,
        }


async def test_what_is_plugged_in_and_cannot_be_used_is_in_info_at_once(home: House, raw: RawBroker) -> None:
    async with linked(home, raw) as peer:
        await peer.published("modemhub/info")
        home.hub._fleet.remark("1-1.4", "a stick shows its CD.")
        async with asyncio.timeout(5):
            told = await peer.published("modemhub/info")
        assert json.loads(told.payload)["plugged_in"] == ["USB 1-1.4: a stick shows its CD."]


async def test_neither_codes_nor_answers_nor_numbers_are_in_the_log(
    home: House, raw: RawBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answers: dict[str, Any] = {
        'AT+CUSD=1,"*100#",15': line('+CUSD: 0,"Balance 7.77",15', "OK"),
        'AT+CUSD=1,"*101#",15': line("+CME ERROR: 100"),
        "AT+CHUP": line("OK"),
    }
    desk = Desk(answers=answers)
    imei = await plug_in(home, desk)
    async with linked(home, raw) as peer:
        await ask(peer, "modem/ussd", modem=imei, text="*100#")
        await ask(peer, "modem/ussd", modem=imei, text="*101#")
        desk.tell("RING", '+CLIP: "+447700900123",145')
        call = json.loads((await peer.published("modemhub/call")).payload)
        assert call["from"] == "+447700900123"
        desk.hang_up()
        home.hub._fleet.left(desk)  # type: ignore[arg-type]
        await asyncio.sleep(0)
    for secret in ("*100#", "*101#", "7.77", "+447700900123", "447700900123", "234100000000001", "8944100000000000018"):
        assert secret not in caplog.text


@pytest.mark.parametrize("verb", ["modem/restart", "modem/power_cycle", "modem/ussd"])
async def test_what_may_have_been_done_is_not_done_again(home: House, raw: RawBroker, verb: str) -> None:
    desk = Desk(boots=0.01)
    imei = await plug_in(home, desk)
    async with linked(home, raw) as peer:
        payload = json.dumps({"modem": imei, "text": "*100#"}).encode()
        peer.send_publish(Publish(f"modemhub/request/{verb}", payload, packet_id=9, dup=True))
        assert refused(await answer(peer))[0] == "repeated"
        assert not {"AT+CFUN=1,1", 'AT+CUSD=1,"*100#",15'} & set(desk.commands)
