"""What can be asked of a modem by HTTP; who may is in ``test_access``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance.errors import PowerFailed
from appliance.modem.place import Remedy
from tests.modem.desk import IMEI, Desk, line
from tests.mqtt.house import plug_in

if TYPE_CHECKING:
    from tests.http.visitors import Visitors

pytestmark = pytest.mark.asyncio

BASE = f"/api/v1/modems/{IMEI}"


async def control(visitors: Visitors) -> str:
    return await visitors.home.token("keeper", "control")


async def test_ussd_is_asked_answered_and_ended(visitors: Visitors) -> None:
    answers: dict[str, Any] = {
        'AT+CUSD=1,"*100#",15': line("OK", '+CUSD: 0,"Balance",15'),
        "AT+CUSD=2": line("OK"),
    }
    await plug_in(visitors.home, Desk(answers=answers))
    token = await control(visitors)
    answer = await visitors.call("POST", f"{BASE}/ussd", token=token, body={"text": "*100#"})
    assert (answer.status, answer.json) == (200, {"imei": IMEI, "status": "done", "text": "Balance"})
    answer = await visitors.call("POST", f"{BASE}/ussd", token=token, body={"text": None})
    assert (answer.status, answer.json) == (200, {"imei": IMEI, "status": "ended", "text": None})


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"text": "☃"}, (422, "not_encodable")),
        ({"text": "é"}, (422, "not_encodable")),
        ({"text": "*100#"}, (422, "modem_failed")),
        ({"text": ""}, (400, "invalid")),
        ({"text": "1" * 183}, (400, "invalid")),
        ({"text": 7}, (400, "invalid")),
        ({}, (400, "invalid")),
        ({"text": "1", "dcs": 15}, (400, "invalid")),
    ],
)
async def test_what_of_ussd_cannot_be_is_a_problem(visitors: Visitors, body: object, problem: object) -> None:
    await plug_in(visitors.home, Desk())
    answer = await visitors.call("POST", f"{BASE}/ussd", token=await control(visitors), body=body)
    assert answer.problem() == problem


async def test_a_power_cycle_is_done_and_answered_then(visitors: Visitors) -> None:
    done: list[str] = []

    async def apply() -> None:
        done.append("port power")

    await plug_in(visitors.home, Desk(remedies=[Remedy(6, "port power", 0.1, apply)]))
    answer = await visitors.call("POST", f"{BASE}/power_cycle", token=await control(visitors))
    assert (answer.status, answer.json) == (202, {"imei": IMEI, "status": "ok", "done": "port power"})
    assert done == ["port power"]


async def test_what_cannot_be_switched_is_a_problem_in_words(visitors: Visitors) -> None:
    async def apply() -> None:
        raise PowerFailed("the line is busy")

    desk = Desk()
    await plug_in(visitors.home, desk)
    token = await control(visitors)
    answer = await visitors.call("POST", f"{BASE}/power_cycle", token=token)
    assert answer.problem() == (422, "modem_failed")
    assert "nothing here can switch it off and on" in answer.json["detail"]
    desk.remedies = [Remedy(4, "power key", 0.1, apply)]
    answer = await visitors.call("POST", f"{BASE}/power_cycle", token=token)
    assert answer.problem() == (422, "modem_failed")
    assert answer.json["detail"] == "the line is busy"


@pytest.mark.parametrize("verb", ["restart", "power_cycle", "ussd"])
async def test_a_modem_that_is_not_here_is_a_problem(visitors: Visitors, verb: str) -> None:
    body = {"text": "*100#"} if verb == "ussd" else None
    answer = await visitors.call(
        "POST", f"/api/v1/modems/490154203237518/{verb}", token=await control(visitors), body=body
    )
    assert answer.problem() == (404, "not_found")


@pytest.mark.parametrize("verb", ["restart", "power_cycle", "ussd"])
async def test_a_modem_that_has_left_is_a_problem(visitors: Visitors, verb: str) -> None:
    desk = Desk()
    await plug_in(visitors.home, desk)
    visitors.home.hub._fleet.left(desk)  # type: ignore[arg-type] # a place of the tests'
    body = {"text": "*100#"} if verb == "ussd" else None
    answer = await visitors.call("POST", f"{BASE}/{verb}", token=await control(visitors), body=body)
    assert answer.problem() == (422, "no_such_modem")


async def test_what_is_left_unread_is_in_the_modems_state(visitors: Visitors) -> None:
    await plug_in(visitors.home, Desk())
    answer = await visitors.call("GET", BASE, token=await visitors.home.token("seer", "status"))
    assert answer.json["unreadable"] == []
    assert answer.json["storage_full"] == []
