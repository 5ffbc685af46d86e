"""What modems and networks do wrong, and what is told of it (S3, S5, D1, M1, M2, M3, R1, R3)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hil.rig import Modem, Rig, rig
from hil.rig.laws import once_each

if TYPE_CHECKING:
    from pathlib import Path

    from hil.rig import Heard

pytestmark = pytest.mark.asyncio

FRIEND, OTHER = "+447700900821", "+447700900822"

REVIVED = 90.0
"""Seconds of promise M1."""


async def send(whole: Rig, text: str, *states: str, to: str = FRIEND, within: float = REVIVED, **more: Any) -> Any:
    """Send one text, wait for one of the states (delivered, if none is named); the message as HTTP tells it."""
    message = await whole.api.send(to=to, text=text, **more)
    await whole.observer.until_state(message["id"], *(states or ("delivered",)), within=within)
    return await whole.api.get(f"/api/v1/messages/{message['id']}")


async def until_received(whole: Rig, *texts: str, within: float = REVIVED) -> None:
    """Wait until these texts were told at the broker, each once, and no other."""

    def all_told(_: list[Heard]) -> bool:
        return {message.get("text") for message in whole.observer.received()} >= set(texts)

    await whole.observer.heard.until(all_told, f"received {texts}", within=within)
    assert once_each(texts, whole.observer.received()) == []


def times_sent(whole: Rig, text: str) -> list[bool]:
    """TP-RD of each submit of this text that the network accepted."""
    return [sent.rd for sent in whole.modems.sent() if sent.text == text]


# What the network answers to a submit.


async def test_a_passing_error_is_tried_again(place: Path) -> None:
    async with rig(place) as whole:
        await whole.modems.do("set", submit_errors=[41])
        message = await send(whole, "again")
        assert times_sent(whole, "again") == [False]
        assert (message["maybe_duplicate"], message["attempts"]) == (False, 2)


async def test_an_error_of_the_recipient_ends_the_message_and_not_the_next_one(place: Path) -> None:
    async with rig(place) as whole:
        await whole.modems.do("set", submit_errors=[1])
        message = await send(whole, "to nobody", "failed")
        assert message["reason"]["code"] == "cms_1"
        await send(whole, "to somebody")
        assert times_sent(whole, "to nobody") == []


async def test_a_message_that_must_wait_holds_up_no_other_recipient(place: Path) -> None:
    async with rig(place) as whole:
        await whole.modems.do("set", submit_errors=[38])
        waiting = await whole.api.send(to=FRIEND, text="network out of order")
        await whole.observer.until_state(waiting["id"], "submitting")
        await whole.observer.until_state(waiting["id"], "queued")
        behind = await whole.api.send(to=FRIEND, text="behind it")
        await send(whole, "beside it", to=OTHER)
        assert (await whole.api.get(f"/api/v1/messages/{behind['id']}"))["state"] == "queued"
        waits = await whole.api.get(f"/api/v1/messages/{waiting['id']}")
        assert (waits["state"], waits["segments"][0]["reason"]["code"]) == ("queued", "cms_38")


@pytest.mark.parametrize("error", [500, "ERROR"])
async def test_a_doubtful_result_is_sent_again_once_with_tp_rd(place: Path, error: int | str) -> None:
    async with rig(place, settings={"policy": {"in_doubt_wait": 0.2}}) as whole:
        await whole.modems.do("set", submit_errors=[error])
        message = await send(whole, "perhaps")
        assert message["maybe_duplicate"] is True
        assert times_sent(whole, "perhaps") == [True]


async def test_a_doubtful_result_that_the_network_had_accepted_is_a_told_duplicate(place: Path) -> None:
    async with rig(place, settings={"policy": {"in_doubt_wait": 0.2}}) as whole:
        await whole.modems.do("set", submit_errors=[{"code": 500, "sent": True}], report="none")
        message = await send(whole, "twice", "submitted")
        assert message["maybe_duplicate"] is True
        assert times_sent(whole, "twice") == [False, True]


async def test_a_status_report_settles_a_doubt_without_a_second_submit(place: Path) -> None:
    async with rig(place, settings={"policy": {"in_doubt_wait": 20}}) as whole:
        await whole.modems.do("set", submit_errors=[{"code": 500, "sent": True}])
        message = await send(whole, "witnessed")
        assert times_sent(whole, "witnessed") == [False]
        assert message["maybe_duplicate"] is False


async def test_under_hold_a_doubt_stays_one_and_the_next_message_goes(place: Path) -> None:
    async with rig(place, settings={"policy": {"on_in_doubt": "hold", "in_doubt_wait": 0.2}}) as whole:
        await whole.modems.do("set", submit_errors=["ERROR"])
        message = await send(whole, "who knows", "in_doubt")
        assert message["maybe_duplicate"] is False
        await send(whole, "the next")
        assert times_sent(whole, "who knows") == []


@pytest.mark.timeout(700)
@pytest.mark.parametrize("fault", ["silent-sent", "silent-lost"])
async def test_silence_after_the_pdu_is_a_doubt_after_the_networks_time(place: Path, fault: str, *, long: bool) -> None:
    if not long:
        pytest.skip("takes the five minutes that a network may take: make hil")
    async with rig(place, settings={"policy": {"in_doubt_wait": 1}}) as whole:
        await whole.modems.do("set", submit_errors=[fault], report="none")
        message = await send(whole, "silence", "submitted", within=600)
        assert message["maybe_duplicate"] is True
        assert times_sent(whole, "silence") == ([False, True] if fault == "silent-sent" else [True])


# Status reports.


async def test_a_report_before_the_result_counts(place: Path) -> None:
    async with rig(place) as whole:
        await whole.modems.do("set", report_before_result=True, submit_delay=0.1)
        await send(whole, "early report")


async def test_a_report_of_failure_is_undelivered_with_its_reason(place: Path) -> None:
    async with rig(place) as whole:
        await whole.modems.do("set", report_status=0x46, report_twice=True)
        message = await send(whole, "unwanted", "undelivered")
        assert message["reason"]["code"] == "tp_status_70"
        assert times_sent(whole, "unwanted") == [False]


async def test_reports_of_all_segments_count_and_survive_a_restart(place: Path) -> None:
    async with rig(place) as whole:
        await whole.modems.do("set", report="hold")
        message = await whole.api.send(to=FRIEND, text="long " * 60)
        await whole.observer.until_state(message["id"], "submitted")
        await whole.hub.kill()
        await whole.restart_hub()
        await whole.modems.do("release_reports")
        await whole.observer.until_state(message["id"], "delivered")


# The modem.


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("stuck_prompt", {}),
        ("no_prompt", {}),
        ("echo_on", {}),
        ("garbage", {"bytes": 4096}),
        ("flood", {"count": 2000}),
        ("reboot", {}),
        ("mute_until_reopen", {}),
        ("mute_until_reset", {}),
    ],
)
async def test_a_modem_at_fault_sends_and_receives_again_in_time(
    place: Path, fault: str, words: dict[str, Any]
) -> None:
    async with rig(place) as whole:
        await whole.modems.do("fault", kind=fault, **words)
        await send(whole, f"after {fault}")
        assert times_sent(whole, f"after {fault}") in ([False], [True], [False, True])
        await whole.modems.deliver(whole.modems.all[0], f"in after {fault}")
        await until_received(whole, f"in after {fault}")


@pytest.mark.timeout(700)
async def test_a_modem_that_forgot_to_announce_is_heard_by_the_sweep(place: Path, *, long: bool) -> None:
    if not long:
        pytest.skip("takes the minutes between two sweeps: make hil")
    async with rig(place) as whole:
        await whole.modems.do("fault", kind="forget_cnmi")
        await whole.modems.deliver(whole.modems.all[0], "unannounced")
        await until_received(whole, "unannounced", within=600)


@pytest.mark.timeout(240)
async def test_a_dead_modem_delays_no_other(place: Path) -> None:
    async with rig(place, modems=2) as whole:
        dead, alive = whole.modems.all
        await whole.modems.do("fault", imei=dead.imei, kind="mute")
        stuck = await whole.api.send(to=FRIEND, text="by the dead one", sim=dead.imsi)
        for n in range(20):
            message = await whole.api.send(to=OTHER, text=f"by the other {n}", sim=alive.imsi)
            await whole.observer.until_state(message["id"], "delivered", within=10)
        await whole.modems.do("fault", imei=dead.imei, kind="clear")
        await whole.observer.until_state(stuck["id"], "delivered", within=REVIVED)


@pytest.mark.timeout(240)
async def test_an_unplugged_modem_is_told_gone_and_its_texts_wait_for_it(place: Path) -> None:
    async with rig(place) as whole:
        (modem,) = whole.modems.all
        start = len(whole.observer.heard.items)
        await whole.modems.do("fault", kind="unplug")
        await whole.observer.until_heard(f"modem/{modem.imei}/availability", b"offline", start=start)
        message = await whole.api.send(to=FRIEND, text="patient")
        await whole.modems.deliver(modem, "kept by the network")
        await whole.modems.do("fault", kind="replug")
        await whole.observer.until_state(message["id"], "delivered", within=REVIVED)
        await until_received(whole, "kept by the network")
        assert times_sent(whole, "patient") == [False]


@pytest.mark.timeout(240)
async def test_a_modem_unplugged_in_the_middle_of_a_submit_loses_nothing(place: Path) -> None:
    async with rig(place, settings={"policy": {"in_doubt_wait": 0.2}}, emulator=["--submit-delay", "30"]) as whole:
        await whole.modems.do("set", report="none")
        message = await whole.api.send(to=FRIEND, text="cut off")
        await whole.modems.submits(1, within=30)  # the network has it, the modem has not said so
        await whole.modems.do("fault", kind="unplug")
        await whole.modems.do("set", submit_delay=0)
        await whole.modems.do("fault", kind="replug")
        await whole.observer.until_state(message["id"], "submitted", within=REVIVED)
        assert (await whole.api.get(f"/api/v1/messages/{message['id']}"))["maybe_duplicate"] is True
        assert times_sent(whole, "cut off") == [False, True]


async def test_a_storage_that_is_full_at_the_start_is_emptied_and_what_waited_in_the_network_comes(place: Path) -> None:
    limits = {"storage_limits": {"SM": 3, "ME": 3}}
    async with rig(place, emulator=["--config", configuration(place, **limits)]) as whole:
        await whole.hub.kill()
        texts = [f"waiting {n}" for n in range(12)]
        for text in texts:
            await whole.modems.deliver(whole.modems.all[0], text)
        await whole.restart_hub()
        await until_received(whole, *texts)
        (status,) = (await whole.modems.do("status"))["modems"]
        assert status["held"] == []


async def test_two_indications_of_one_text_and_a_redelivery_are_one_message(place: Path) -> None:
    async with rig(place) as whole:
        await whole.modems.deliver(whole.modems.all[0], "only once", duplicate=[1])
        await whole.modems.deliver(whole.modems.all[0], "the last")
        await until_received(whole, "only once", "the last")


# The SIM's PIN.


async def test_the_pin_unlocks_the_sim(place: Path) -> None:
    settings = {'sims."*"': {"pin": "1234"}}
    async with rig(place, settings=settings, emulator=["--config", configuration(place, sim="pin")]) as whole:
        await send(whole, "unlocked")


async def test_a_wrong_pin_is_tried_once_and_a_restart_does_not_forget_that(place: Path) -> None:
    settings = {'sims."*"': {"pin": "9999"}}
    config = configuration(place, sim="pin")
    async with rig(place, settings=settings, emulator=["--config", config], await_modems=False) as whole:
        modem = whole.modems.all[0]
        for _ in range(3):
            await until_pin_is_settled(whole, modem)
            assert await whole.hub.stop() == 0
            await whole.hub.start()
        (status,) = (await whole.modems.do("status"))["modems"]
        assert status["sim"]["pin_left"] == 2


async def until_pin_is_settled(whole: Rig, modem: Modem) -> None:
    """Wait until the hub says of the modem that its PIN was refused, or was tried before."""
    seen = len(whole.observer.heard.items)
    while True:
        told = (await whole.api.call("GET", "/api/v1/modems")).json["modems"]
        if any(one["imei"] == modem.imei and "PIN" in (one["last_error"] or "") for one in told):
            return
        await whole.observer.heard.until(lambda items, seen=seen: len(items) > seen, "news of the modem")  # type: ignore[misc]
        seen = len(whole.observer.heard.items)


async def until_modem(whole: Rig, modem: Modem, state: str, *, start: int) -> None:
    """Wait until the modem is told in this state."""

    def told(_: list[Heard]) -> list[Heard]:
        states = whole.observer.on(f"modem/{modem.imei}/state", start=start)
        return [heard for heard in states if heard.json["state"] == state]

    await whole.observer.heard.until(told, f"modem state {state}")


def configuration(place: Path, **modem: Any) -> str:
    """A configuration file of the emulator for its one modem."""
    path = place / "emulator.json"
    path.write_text(json.dumps({"modems": [modem]}))
    return str(path)


# The process.


async def test_it_ends_in_good_order_and_starts_as_if_nothing_had_been(place: Path) -> None:
    async with rig(place) as whole:
        await send(whole, "before")
        await whole.modems.deliver(whole.modems.all[0], "in before")
        await until_received(whole, "in before")
        start = len(whole.observer.heard.items)
        assert await whole.hub.stop() == 0
        await whole.observer.until_heard("status", b"offline", start=start)
        await whole.restart_hub()
        await send(whole, "after")
        assert times_sent(whole, "before") == [False]
        assert once_each(["in before"], whole.observer.received()) == []
        assert len(whole.observer.received()) == 1


async def test_a_second_hub_on_the_same_store_ends_with_plain_words(place: Path) -> None:
    async with rig(place) as whole:
        code, output = await whole.hub.command("run")
        assert code == 1
        assert "modemhub.db" in output
        assert "Traceback" not in output
        await send(whole, "the first one still works")


async def test_wrong_settings_are_all_named_at_once(place: Path) -> None:
    async with rig(place) as whole:
        text = whole.hub.config.read_text()
        whole.hub.config.write_text(
            text.replace("udev = ", "udef = ").replace("sim_daily_cap = ", 'sim_daily_cap = "x" #')
        )
        for command in (("run",), ("config", "check")):
            code, output = await whole.hub.command(*command)
            assert code == 2
            assert "detect.udef" in output
            assert "udev" in output
            assert "policy.sim_daily_cap" in output


async def test_no_text_number_or_token_is_in_the_log(place: Path) -> None:
    async with rig(place) as whole:
        await send(whole, "a secret thing")
        await whole.modems.do("set", submit_errors=[1])
        await send(whole, "another secret", "failed")
        await whole.modems.deliver(whole.modems.all[0], "a private answer", sender=OTHER)
        await until_received(whole, "a private answer")
        assert await whole.hub.stop() == 0
        said = whole.hub.said()
        assert "ready" in said
        secrets = ("secret", "private", FRIEND[1:], OTHER[1:], whole.hub.token)
        assert [secret for secret in secrets if secret in said] == []
