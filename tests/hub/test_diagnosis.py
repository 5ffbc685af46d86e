"""What is wrong, in plain words: each rule of the table, and silence when all is well."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.hub.diagnosis import _STATES, Circumstances, problems
from appliance.modem import ModemStatus
from appliance.types import Imei, ModemState, Registration

IMEI = Imei("490154203237518")

MQTT = {"connected": False, "url": "mqtt://broker", "last_error": "refused"}


def modem(**differs: Any) -> ModemStatus:
    known: dict[str, Any] = {
        "place": "usb 1-1",
        "port": "/dev/ttyUSB2",
        "profile": "generic",
        "state": ModemState.READY,
        "imei": IMEI,
        "manufacturer": "Quectel",
        "model": "EC25",
        "signal_dbm": -71,
    }
    return ModemStatus(**(known | differs))


WELL = Circumstances(modems=[modem()], mqtt=MQTT | {"connected": True}, free=1 << 30)


def test_nothing_is_wrong_when_all_is_well() -> None:
    assert problems(WELL) == []


def test_every_state_of_a_modem_has_its_words() -> None:
    assert set(_STATES) == set(ModemState)
    assert [state for state, words in _STATES.items() if words is None] == [ModemState.READY]


@pytest.mark.parametrize("state", [state for state in ModemState if state is not ModemState.READY])
def test_a_modem_that_cannot_send_is_a_problem_with_something_to_do(state: ModemState) -> None:
    status = modem(state=state, last_error="the reason", recovery="the step", signal_dbm=None)
    (problem,) = problems(Circumstances(modems=[status]))
    words = _STATES[state]
    assert words is not None
    assert (problem.code, problem.subject) == (words.code, IMEI)
    assert problem.text == f"Quectel EC25 …7518 {words.text} (the reason)."
    assert problem.doing == f"{words.doing} Being done now: the step."


def test_a_modem_that_never_said_who_it_is_is_known_by_its_place() -> None:
    (problem,) = problems(Circumstances(modems=[modem(imei=None, state=ModemState.OPENING)]))
    assert problem.subject == "usb 1-1"
    assert problem.text.startswith("The modem at usb 1-1 ")


@pytest.mark.parametrize(
    ("known", "code", "subject", "said"),
    [
        (Circumstances(), "no_modem", "", "Plug one in"),
        (Circumstances(detects=False), "no_modem", "", "detect.udev"),
        (
            Circumstances(modems=[modem(state=ModemState.SEARCHING, registration=Registration.DENIED)]),
            "network_refuses",
            IMEI,
            "provider",
        ),
        (Circumstances(modems=[modem(full=("SM",))]), "storage_full", IMEI, "(SM)"),
        (Circumstances(modems=[modem(unreadable=("ME 7",))]), "messages_unreadable", IMEI, "ME 7"),
        (Circumstances(modems=[modem(signal_dbm=-107)]), "weak_signal", IMEI, "-107 dBm"),
        (
            Circumstances(modems=[modem()], remarks=["USB 1-2: it is in storage mode"]),
            "device_unusable",
            "USB 1-2",
            "it is in storage mode",
        ),
        (Circumstances(modems=[modem()], full=True, free=0), "store_full", "", "half a minute"),
        (Circumstances(modems=[modem()], free=1 << 20), "store_low", "", "1 MB"),
        (Circumstances(modems=[modem()], quarantined="corrupt/x"), "store_damaged", "", "corrupt/x"),
        (Circumstances(modems=[modem()], mqtt=MQTT), "mqtt_disconnected", "mqtt://broker", "refused"),
        (
            Circumstances(modems=[modem()], webhooks=[{"name": "log", "pending": 3, "last_error": "500"}]),
            "webhook_failing",
            "log",
            "3 events",
        ),
        (
            Circumstances(
                modems=[modem()], webhooks=[{"name": "log", "pending": 0, "last_error": "it answered 410 Gone"}]
            ),
            "webhook_failing",
            "log",
            "The webhook log: it answered 410 Gone.",
        ),
        (Circumstances(modems=[modem()], failing={"upkeep": "it broke"}), "task_failing", "upkeep", "it broke"),
    ],
)
def test_each_rule_has_its_code_its_subject_and_its_words(
    known: Circumstances, code: str, subject: str, said: str
) -> None:
    (problem,) = problems(known)
    assert (problem.code, problem.subject) == (code, subject)
    assert said in problem.text + problem.doing
    assert problem.text.endswith(".")
    assert problem.doing.endswith((".", "itself."))


def test_what_cannot_be_sent_yet_is_told_while_no_sim_is_ready() -> None:
    waiting = Circumstances(modems=[modem(state=ModemState.SIM_MISSING)], unassigned=1)
    assert [problem.code for problem in problems(waiting)] == ["sim_missing", "waiting_for_sim"]
    assert problems(Circumstances(modems=[modem()], unassigned=1)) == []


def test_a_modems_own_task_is_told_in_the_modems_words_only() -> None:
    failing = Circumstances(modems=[modem(state=ModemState.GONE)], failing={"modem usb 1-1": "PortGone"})
    assert [problem.code for problem in problems(failing)] == ["modem_gone"]


def test_a_webhook_that_goes_well_and_a_signal_that_is_unknown_are_no_problems() -> None:
    assert (
        problems(
            Circumstances(modems=[modem(signal_dbm=None)], webhooks=[{"name": "a", "pending": 9, "last_error": None}])
        )
        == []
    )
