"""How the hub is: in plain words, in numbers, over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.http.metrics import short_names
from appliance.hub import SendCommand
from appliance.store import troubles
from appliance.types import Imei
from tests.http.test_events import stream
from tests.http.visitors import TO
from tests.modem.desk import IMEI, Desk
from tests.mqtt.house import plug_in

if TYPE_CHECKING:
    from tests.http.visitors import Visitors

pytestmark = pytest.mark.asyncio


async def status(visitors: Visitors, token: str) -> Any:
    return (await visitors.call("GET", "/api/v1/status", token=token)).json


async def test_the_status_tells_what_is_wrong_and_what_to_do(visitors: Visitors) -> None:
    token = await visitors.home.token("seer", "status")
    told = await status(visitors, token)
    assert told["status"] == "degraded"
    (problem,) = told["problems"]
    assert (problem["code"], problem["subject"]) == ("no_modem", "")
    assert told["modems"] == {"ready": 0, "known": 0}
    assert (told["mqtt"], told["webhooks"], told["tls"]) == (None, [], None)
    assert told["store"]["bytes"] > 0
    assert told["store"]["free_bytes"] > 0


async def test_a_hub_that_can_send_is_well(visitors: Visitors) -> None:
    token = await visitors.home.token("seer", "status")
    await plug_in(visitors.home, Desk())
    told = await status(visitors, token)
    assert (told["status"], told["problems"]) == ("ok", [])
    assert told["modems"] == {"ready": 1, "known": 1}


async def test_the_doors_tell_how_they_are(visitors: Visitors) -> None:
    token = await visitors.home.token("seer", "status")
    await plug_in(visitors.home, Desk())
    mqtt = {"connected": False, "url": "mqtt://broker", "last_error": "refused", "base_topic": "modemhub"}
    hook = {"name": "log", "pending": 2, "last_error": "500"}
    visitors.home.hub.mqtt = lambda: mqtt
    visitors.home.hub.webhooks = lambda: [hook]
    told = await status(visitors, token)
    assert (told["mqtt"], told["webhooks"]) == (mqtt, [hook])
    assert [problem["code"] for problem in told["problems"]] == ["mqtt_disconnected", "webhook_failing"]


async def test_what_has_happened_is_counted_once(visitors: Visitors) -> None:
    home = visitors.home
    seer, sender = await home.token("seer", "status"), await home.token("sender", "send")
    assert (await status(visitors, seer))["counters"]["accepted"] == 0
    sent = await visitors.call("POST", "/api/v1/messages", token=sender, body={"to": TO, "text": "x"})
    await visitors.call("POST", "/api/v1/messages", token=sender, body={"to": TO, "text": "x" * 161})
    await visitors.call("DELETE", f"/api/v1/messages/{sent.json['id']}", token=sender)
    for _ in range(2):
        told = await status(visitors, seer)
        assert (told["counters"]["accepted"], told["counters"]["cancelled"], told["queue"]) == (2, 1, 2)


async def test_a_modems_signal_is_told_as_it_was_sampled(visitors: Visitors) -> None:
    token = await visitors.home.token("seer", "status")
    await plug_in(visitors.home, Desk())
    hub = visitors.home.hub
    url = f"/api/v1/modems/{IMEI}/signal"
    assert (await visitors.call("GET", url, token=token)).json["every"] == 60
    hub._signals.sample("2026-01-01T00:00:00.000Z", hub._roster.statuses)
    samples = (await visitors.call("GET", url, token=token)).json["samples"]
    assert samples[-1]["state"] == "ready"


async def test_what_was_done_against_a_trouble_is_listed_newest_first(visitors: Visitors) -> None:
    home = visitors.home
    token = await home.token("seer", "status")
    await plug_in(home, Desk())
    for rung in range(1, 6):
        step = {"modem": IMEI, "place": "x", "rung": rung, "name": f"step {rung}", "reason": "it does not answer"}
        step |= {"seconds": 1.5, "outcome": "no_effect", "detail": None}
        await home.journal.write(troubles.remember, place="x", imei=Imei(IMEI), memory={}, told=step)
    seen, query = [], "?limit=2"
    while True:
        page = (await visitors.call("GET", f"/api/v1/modems/{IMEI}/recoveries{query}", token=token)).json
        seen += [step["rung"] for step in page["recoveries"]]
        if page["next"] is None:
            break
        query = f"?limit=2&before={page['next']}"
    assert seen == [5, 4, 3, 2, 1]


async def test_a_stream_tells_each_modem_and_again_when_it_is_another(visitors: Visitors) -> None:
    home = visitors.home
    seer, sender = await home.token("seer", "status"), await home.token("sender", "send")
    desk = Desk()
    await plug_in(home, desk)
    async with stream(visitors, seer) as events, stream(visitors, sender) as quiet:
        first = await events.block()
        assert first is not None
        assert "id" not in first
        assert first["event"] == "modem"
        assert IMEI in first["data"]
        home.hub._fleet.left(desk)  # type: ignore[arg-type] # a place of the tests'
        while '"available":true' in (block := await events.block() or {})["data"]:
            pass
        assert block["event"] == "modem"
        await home.hub.send(SendCommand(to=TO, text="x"), client="sender")
        told = await quiet.block()
        assert told is not None
        assert told["event"] == "message"  # who may not see modems was told of none


async def test_metrics_are_what_prometheus_reads(visitors: Visitors) -> None:
    home = visitors.home
    seer, sender = await home.token("seer", "status"), await home.token("sender", "send")
    await plug_in(home, Desk())
    await visitors.call("POST", "/api/v1/messages", token=sender, body={"to": TO, "text": "secret"})
    await visitors.call("GET", "/nothing/at/all", token=sender)
    answer = await visitors.call("GET", "/metrics", token=seer)
    text = answer.json.decode()
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["modemhub_messages_accepted_total",] == 1
    assert (
        samples["modemhub_http_requests_total", ("method", "POST"), ("route", "/api/v1/messages"), ("status", "202")]
        == 1
    )
    assert samples["modemhub_http_requests_total", ("method", "GET"), ("route", "none"), ("status", "404")] == 1
    assert samples["modemhub_modem_state", ("modem", IMEI[-4:]), ("state", "ready")] == 1
    assert samples["modemhub_modem_state", ("modem", IMEI[-4:]), ("state", "gone")] == 0
    assert samples["modemhub_modem_registered", ("modem", IMEI[-4:])] == 1
    assert ("modemhub_store_bytes",) in samples
    view = home.hub.modems()[IMEI]
    for private in (TO[1:], IMEI, view["sim"], view["iccid"], "secret", "/nothing"):
        assert private not in text


async def test_modems_are_told_apart_by_as_few_digits_as_will_do() -> None:
    assert short_names([]) == {}
    assert short_names(["490154203237518"]) == {"490154203237518": "7518"}
    assert set(short_names(["490154203237518", "356938035647518"]).values()) == {"37518", "47518"}
