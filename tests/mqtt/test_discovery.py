"""What Home Assistant is told exists, and what is taken back."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from appliance.at import answers
from appliance.hub import Contacts, Event
from appliance.mqtt.homeassistant.discovery import CALL_TYPES, SMS_TYPES, TECHNOLOGIES, Devices
from appliance.mqtt.homeassistant.presence import Presence, Whereabouts
from appliance.mqtt.homeassistant.retained import Retained
from appliance.mqtt.homeassistant.telling import LONGEST, last_received, telling
from appliance.mqtt.topics import Request, Send, Topics
from appliance.types import ModemState, Registration, SegmentState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

IMEI = "356938035643809"
CONTACTS = Contacts({"anna": "+447700900123", "family": ["anna", "+447700900456"]})
STATE: Mapping[str, Any] = {
    "imei": IMEI,
    "state": "ready",
    "manufacturer": "SIMCom",
    "model": "SIM7600G-H",
    "revision": "LE20B04",
    "sim": "234100000000001",
    "iccid": "8944100000000000018",
    "number": "+447700900999",
}
HUB_TOPIC = "homeassistant/device/modemhub_8f3a2b1c/config"


def devices(hub_id: str = "8f3a2b1c", base: str = "modemhub", **more: Any) -> Devices:
    return Devices(hub_id, "1.0", Topics(base), "homeassistant", **more)


def announced(of: Devices | None = None, contacts: Contacts = CONTACTS) -> dict[str, dict[str, Any]]:
    return (of or devices()).announced({IMEI: STATE, "490154203237518": STATE}, contacts)


def components(payloads: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for payload in payloads.values():
        yield from payload["components"].values()


def topics(value: object) -> Iterator[tuple[str, str]]:
    """(key, topic) of every topic in a payload."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str) and (key == "topic" or key.endswith("_topic")):
                yield key, inner
            else:
                yield from topics(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from topics(inner)


def test_ids_are_unique_and_the_same_for_ever() -> None:
    ids = [component["unique_id"] for component in components(announced())]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"modemhub_8f3a2b1c(_[0-9a-f]{12})?_[a-z0-9_-]+", each) for each in ids)
    of_a_modem = announced()[devices().topic(devices().modem(IMEI))]
    assert of_a_modem["components"]["signal"]["unique_id"] == "modemhub_8f3a2b1c_a1b575e0d3da_signal"  # never change it
    assert not set(ids) & {each["unique_id"] for each in components(announced(devices("00000000")))}


def test_topics_of_devices_are_such_that_home_assistant_reads_them() -> None:
    assert all(re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", topic) for topic in announced())


def test_each_component_has_what_is_required_and_forces_no_entity_id() -> None:
    for payload in announced().values():
        assert payload["origin"]["name"] == "modemhub"
        assert payload["device"]["identifiers"]
        for component in payload["components"].values():
            assert {"platform", "unique_id", "name", "qos"} <= component.keys()
            assert component["qos"] == 1
            assert not {"object_id", "default_entity_id"} & component.keys()
            if component["platform"] in {"sensor", "binary_sensor"}:
                assert component.get("entity_category") != "config"
            assert ("options" in component) == (component.get("device_class") == "enum")
            if "options" in component:
                assert not {"state_class", "unit_of_measurement"} & component.keys()
            if component["platform"] == "event":
                assert component["event_types"]


def test_modems_belong_to_the_hub() -> None:
    payloads = announced()
    hub = payloads.pop(HUB_TOPIC)["device"]
    assert [each["device"]["via_device"] for each in payloads.values()] == hub["identifiers"] * 2


def test_every_state_of_ours_is_among_the_options() -> None:
    modem = announced()[devices().topic(devices().modem(IMEI))]["components"]
    assert set(modem["state"]["options"]) == {each.value for each in ModemState}
    assert set(modem["registration"]["options"]) == {each.name.lower() for each in Registration}
    assert set(modem["technology"]["options"]) == set(answers._TECHNOLOGIES.values()) == set(TECHNOLOGIES)
    assert modem["sms"]["event_types"] == list(SMS_TYPES)
    assert modem["call"]["event_types"] == list(CALL_TYPES)


def test_every_topic_that_is_named_is_one_of_the_doors() -> None:
    of = Topics("modemhub")
    published = {of.status, of.health}
    for imei in (IMEI, "490154203237518"):
        published |= {
            of.modem_state(imei),
            of.modem_availability(imei),
            of.modem_event(imei),
            of.modem_call(imei),
            of.modem_last_received(imei),
        }
    for key, topic in topics(announced()):
        if key == "command_topic":
            assert isinstance(of.meaning(topic), Send | Request), topic
        else:
            assert topic in published


def test_a_contact_is_a_notify_entity_whose_template_makes_a_command() -> None:
    hub = announced()[HUB_TOPIC]["components"]
    notify = {name: each for name, each in hub.items() if each["platform"] == "notify"}
    assert set(notify) == {"notify_anna", "notify_family"}
    rendered = notify["notify_anna"]["command_template"].replace("{{ value | tojson }}", json.dumps('"a"\n'))
    assert json.loads(rendered) == {"to": "anna", "text": '"a"\n'}
    assert notify["notify_anna"]["command_topic"] == "modemhub/send"


def test_a_button_asks_for_its_modem() -> None:
    modem = announced()[devices().topic(devices().modem(IMEI))]["components"]
    for name, topic in (("restart", "modem/restart"), ("power_cycle", "modem/power_cycle")):
        assert modem[name]["command_topic"] == f"modemhub/request/{topic}"
        assert json.loads(modem[name]["payload_press"]) == {"modem": IMEI}


def test_numbers_and_sims_are_in_no_payload_and_an_imei_only_where_it_is_needed() -> None:
    text = json.dumps(announced())
    for secret in ("234100000000001", "8944100000000000018", "+447700900"):
        assert secret not in text
    for payload in announced().values():
        for place in (payload["device"], payload["origin"], [each["unique_id"] for each in components({"": payload})]):
            assert IMEI not in json.dumps(place)


def test_texts_stand_in_no_state() -> None:
    modem = announced()[devices().topic(devices().modem(IMEI))]["components"]
    assert "text" not in modem["last_received"]["value_template"]
    assert modem["last_received"]["device_class"] == "timestamp"


def test_what_comes_and_goes_with_the_modem_and_what_does_not() -> None:
    """An event entity that is unavailable swallows what it is told: texts are told of modems that are away too."""
    modem = announced()[devices().topic(devices().modem(IMEI))]["components"]
    needs_modem = {name for name, each in modem.items() if len(each["availability"]) == 2}
    assert {"signal", "operator", "technology", "registration", "registered", "storage"} <= needs_modem
    assert not {"sms", "call", "last_received", "state", "connected", "problem", "restart"} & needs_modem
    assert all(modem[name]["availability_mode"] == "all" for name in needs_modem)


@pytest.mark.parametrize("state", list(ModemState))
def test_a_modem_is_announced_when_it_is_known_what_it_is(state: ModemState) -> None:
    """Home Assistant takes in the first announcement; one that is completed in a moment leaves it half."""
    nameless = {"imei": IMEI, "state": state.value}
    unasked = {"opening", "bringing_up", "recovering", "needs_hands", "gone"}
    assert (len(devices().announced({IMEI: nameless}, CONTACTS)) == 1) == (state.value in unasked)
    assert len(devices().announced({IMEI: {**STATE, "state": state.value}}, CONTACTS)) == 2


def test_a_console_that_can_be_reached_is_linked_to() -> None:
    payloads = announced(devices(configuration_url="http://modemhub.local:8080"))
    assert {each["device"]["configuration_url"] for each in payloads.values()} == {"http://modemhub.local:8080"}


# ---------------------------------------------------------------------- retained


def publications(made: Iterator[tuple[str, str]]) -> list[tuple[str, Any]]:
    return [(topic, json.loads(payload) if payload else "") for topic, payload in made]


def test_devices_are_told_once_and_when_they_change() -> None:
    retained = Retained(devices())
    assert [topic for topic, _ in retained.announce(announced())] == list(announced())
    assert list(retained.announce(announced())) == []
    changed = devices().announced({IMEI: {**STATE, "model": "SIM7600E"}}, CONTACTS)
    assert [topic for topic, _ in retained.announce(changed)] == [devices().topic(devices().modem(IMEI))]


@pytest.mark.parametrize("late", [True, False])
def test_a_contact_that_is_gone_is_taken_back_and_then_left_out(late: bool) -> None:
    before = json.dumps(announced()[HUB_TOPIC]).encode()
    now = announced(contacts=Contacts({"anna": "+447700900123"}))
    retained = Retained(devices())
    made = [] if late else publications(retained.read_back(HUB_TOPIC, before))
    assert made == []
    made = publications(retained.announce(now))
    if late:
        made = publications(retained.read_back(HUB_TOPIC, before))
    (_, without), (_, clean) = [each for each in made if each[0] == HUB_TOPIC]
    assert without["components"]["notify_family"] == {"platform": "notify"}
    assert len(without["components"]) == len(clean["components"]) + 1
    assert clean == now[HUB_TOPIC]
    assert list(retained.read_back(HUB_TOPIC, json.dumps(clean).encode())) == []


def test_a_component_of_another_platform_is_taken_back_first() -> None:
    before = announced()[HUB_TOPIC]
    before["components"]["queue"] = {"platform": "number", "unique_id": "x"}
    retained = Retained(devices())
    list(retained.announce(announced()))
    (_, without), (_, clean) = publications(retained.read_back(HUB_TOPIC, json.dumps(before).encode()))
    assert without["components"]["queue"] == {"platform": "number"}
    assert clean == announced()[HUB_TOPIC]


def test_an_unplugged_modem_stays_and_one_of_another_base_topic_goes() -> None:
    retained = Retained(devices())
    list(retained.announce({HUB_TOPIC: announced()[HUB_TOPIC]}))
    topic = devices().topic(devices().modem(IMEI))
    assert list(retained.read_back(topic, json.dumps(announced()[topic]).encode())) == []
    assert list(Retained(devices(base="sms")).read_back(topic, json.dumps(announced()[topic]).encode())) == [
        (topic, "")
    ]
    assert list(retained.read_back(topic, b"what is this?")) == [(topic, "")]


def test_a_modem_that_is_forgotten_goes() -> None:
    retained = Retained(devices())
    topic = devices().topic(devices().modem(IMEI))
    list(retained.announce(announced()))
    assert list(retained.forget(topic)) == [(topic, "")]
    assert list(retained.forget(topic)) == []
    list(retained.read_back(topic, json.dumps(announced()[topic]).encode()))
    assert list(retained.forget(topic)) == [(topic, "")]


def test_switched_off_everything_of_ours_goes_and_nothing_of_others() -> None:
    retained = Retained(devices(), wanted=False)
    mine, others = announced(), announced(devices("00000000"))
    for topic, payload in others.items():
        assert list(retained.read_back(topic, json.dumps(payload).encode())) == []
    for topic, payload in mine.items():
        assert list(retained.read_back(topic, json.dumps(payload).encode())) == [(topic, "")]


def test_a_hub_whose_id_begins_like_ours_is_another() -> None:
    retained = Retained(devices("8f3a"), wanted=False)
    for topic in (HUB_TOPIC, "homeassistant/device/modemhub/config", "homeassistant/device/8f3a/config"):
        assert list(retained.read_back(topic, b"{}")) == []


# ---------------------------------------------------------------------- telling


def received(**body: Any) -> Event:
    return Event(7, "received", "in_1", "2026-11-26T10:00:00Z", {"id": "in_1", "seq": 3, "modem": IMEI, **body})


def tell(event: Event, *, replayed: bool = False) -> dict[str, Any] | None:
    told = telling(
        event,
        modem_of={"234100000000001": IMEI}.get,  # type: ignore[arg-type] # None is no key, and found by nobody
        contact_of={"+447700900123": "anna"}.get,  # type: ignore[arg-type]
        replayed=replayed,
    )
    if told is None:
        return None
    assert told.imei == IMEI
    return {"call": told.call, **json.loads(told.payload)}


def test_a_received_text_is_told_whole_with_its_senders_name() -> None:
    told = tell(received(**{"from": "+447700900123", "text": "x" * 600, "sent_at": "2026-11-26T09:59:58+00:00"}))
    assert told is not None
    assert (told["event_type"], told["from"], told["contact"], told["text"], told["replayed"]) == (
        "received",
        "+447700900123",
        "anna",
        "x" * 600,
        False,
    )
    assert told["sent_at"] == "2026-11-26T09:59:58+00:00"


def test_what_cannot_be_decoded_is_told_as_such() -> None:
    told = tell(received(undecodable={"field": "TP-UDL", "offset": 3, "detail": "x"}), replayed=True)
    assert told is not None
    assert (told["event_type"], told["replayed"]) == ("undecodable", True)


@pytest.mark.parametrize("character", ["a", "é", "☃", "😀", '"', "\0"])
def test_no_payload_is_longer_than_what_a_recorder_keeps(character: str) -> None:
    for body in ({"text": character * 39_015}, {"data": "A" * 60_000}):
        told = telling(received(**body), modem_of=lambda _: None, contact_of=lambda _: None, replayed=False)
        assert told is not None
        assert LONGEST - 1000 < len(told.payload.encode()) <= LONGEST
        assert json.loads(told.payload)["truncated"] is True
        last = last_received(received(**body).body, contact_of=lambda _: None)
        assert len(last.encode()) <= LONGEST


@pytest.mark.parametrize("state", list(SegmentState))
def test_each_end_of_a_message_has_a_type_that_was_announced(state: SegmentState) -> None:
    body = {"id": "out_1", "state": state.value, "sim": "234100000000001", "to": "+447700900123"}
    told = tell(Event(7, "message", "out_1", "2026-11-26T10:00:00Z", body))
    if state in {SegmentState.QUEUED, SegmentState.SUBMITTING}:
        assert told is None
    else:
        assert told is not None
        assert told["event_type"] in SMS_TYPES
        assert told["contact"] == "anna"
        assert not told["call"]


def test_that_no_report_came_is_not_told_as_sent_again() -> None:
    body = {"id": "out_1", "state": "submitted", "sim": "234100000000001", "reason": {"code": "no_report"}}
    assert tell(Event(7, "message", "out_1", "2026-11-26T10:00:00Z", body)) is None


def test_a_call_is_told_on_its_own_topic() -> None:
    told = tell(Event(7, "call", IMEI, "2026-11-26T10:00:00Z", {"modem": IMEI, "from": "+447700900123"}))
    assert told is not None
    assert (told["call"], told["event_type"], told["contact"]) == (True, "incoming", "anna")
    assert told["event_type"] in CALL_TYPES


@pytest.mark.parametrize("kind", ["recovery", "store", "message", "received", "call"])
def test_what_belongs_to_no_modem_is_not_told(kind: str) -> None:
    assert tell(Event(7, kind, "x", "2026-11-26T10:00:00Z", {"state": "failed", "sim": None, "modem": None})) is None


# ---------------------------------------------------------------------- presence


def test_what_is_told_while_nobody_knows_counts_only_when_a_will_shows_that_it_was_heard() -> None:
    presence = Presence(sure=10, told=10)
    presence.passed(15)
    assert presence.sure == 10
    assert presence.heard(b"offline", newest=15)
    assert (presence.where, presence.sure) == (Whereabouts.AWAY, 15)


def test_a_birth_out_of_nowhere_shows_that_nobody_heard() -> None:
    presence = Presence(sure=10, told=12)
    presence.passed(15)
    assert presence.heard(b"online", newest=16)
    assert (presence.where, presence.told, presence.replay_until) == (Whereabouts.ONLINE, 10, 16)


def test_online_what_is_told_counts() -> None:
    presence = Presence(sure=10, told=10)
    presence.heard(b"online", newest=10)
    presence.passed(12)
    assert presence.sure == 12
    presence.heard(b"online", newest=12)  # it came again without having been away: nothing is told twice
    assert presence.told == 12
    presence.linked()
    assert presence.where is Whereabouts.UNKNOWN


def test_proof_counts_like_a_birth_without_a_repetition() -> None:
    presence = Presence(sure=10, told=14)
    presence.proven()
    assert (presence.sure, presence.replay_until) == (14, 0)


def test_away_twice_or_in_other_words_is_nothing_new() -> None:
    presence = Presence(sure=10, told=10)
    presence.heard(b"offline", newest=10)
    assert not presence.heard(b"offline", newest=10)
    assert not presence.heard(b"good morning", newest=10)
