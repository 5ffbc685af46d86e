"""A real Home Assistant Core on the hub's discovery (#4, Shows 1): what it makes of it, and what it says of it.

What the hub announces is read at the broker. The names and ids of devices and entities are the hub's affair; they are
found here by what they are: the hub's device is the one that the others go by, a modem's is announced with its topics.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from hil.emulator.__main__ import identity
from hil.homeassistant.build import Impossible, tree
from hil.homeassistant.core import HomeAssistant
from hil.homeassistant.schema_check import check
from hil.rig import Hub, Modems, Observer, rig
from hil.rig.process import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hil.homeassistant.core import Event, State
    from hil.rig import Modem, Rig


def why_not() -> str | None:
    """Why there is no Home Assistant here."""
    try:
        return None if tree().there else "Home Assistant was not fetched: make homeassistant"
    except Impossible as error:
        return str(error)


@pytest.fixture
def only_long(*, long: bool) -> None:
    """Leave a test to the long form: each takes ten seconds of a core."""
    if not long:
        pytest.skip("in the long form: make homeassistant")


NEEDS_CORE = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(300), NEEDS_CORE]

ANNA, BEN = "+447700900841", "+447700900842"
CONTACTS: Final = {"anna": ANNA, "family": ["anna", BEN]}
STICK: Final[dict[str, Any]] = {"persona": "quectel-ec2x", "boot_delay": 0.1}
SENDER: Final = "+447700900845"
PREFIX: Final = "homeassistant"
BLUEPRINTS: Final = ROOT / "appliance" / "mqtt" / "examples" / "homeassistant"
AWKWARD: Final = 'Say "hi" \\ {{ 1 + 1 }}\n{%% [x] \N{EURO SIGN} \N{THUMBS UP SIGN}'
LONG_TEXT: Final = ('600 characters, "quoted" and\nbroken, of which none may be lost; ' * 10)[:600]


@dataclass(frozen=True, slots=True)
class House:
    """A rig, and a Home Assistant on its broker."""

    rig: Rig
    ha: HomeAssistant

    # What is announced, as a newcomer would find it at the broker.

    @property
    def announced(self) -> dict[str, dict[str, Any]]:
        """Topic → payload of every device that is announced now."""
        return announced(self.rig.observer)

    def unique_ids(self) -> set[str]:
        """Of every component that is announced now."""
        return {
            component["unique_id"]
            for payload in self.announced.values()
            for component in payload["components"].values()
        }

    def identifier(self, modem: Modem) -> str:
        """The identifier of a modem's device, found by its topics."""
        (payload,) = [
            each
            for each in self.announced.values()
            if "via_device" in each["device"] and f"/modem/{modem.imei}/" in json.dumps(each["components"])
        ]
        return str(payload["device"]["identifiers"][0])

    # What Home Assistant made of it.

    async def known(self, *, within: float = 60) -> dict[str, dict[str, Any]]:
        """Unique id → entry of the entity registry, once it holds just what is announced."""
        async with asyncio.timeout(within):
            while True:
                seen = len(self.ha.events.items)
                entities = {entity["unique_id"]: entity for entity in await self.ha.entities()}
                loaded = {unique_id for unique_id, entity in entities.items() if self.there(entity)}
                if entities.keys() == loaded == self.unique_ids():
                    return entities
                await self.ha.events.until(lambda events: len(events) > seen, "registry", within=within)  # noqa: B023

    def there(self, entity: dict[str, Any]) -> bool:
        """Whether an entity of the registry has a state, or is one that people switch on first."""
        return entity["disabled_by"] is not None or entity["entity_id"] in self.ha.states

    async def entity(self, kind: str, name: str, *, device: str | None = None) -> str:
        """The id of the entity of this domain whose name as announced contains this word, any case."""
        devices = {entry["id"]: {value for _, value in entry["identifiers"]} for entry in await self.ha.devices()}
        found = [
            entity["entity_id"]
            for entity in (await self.known()).values()
            if entity["entity_id"].startswith(f"{kind}.")
            and name in entity["original_name"].lower()
            and (device is None or device in devices[entity["device_id"]])
        ]
        assert len(found) == 1, (kind, name, device, found)
        return str(found[0])

    async def complaints(self) -> list[str]:
        """What its log and its page of repairs say that it should not."""
        return [*self.ha.complaints(), *(str(issue) for issue in await self.ha.issues())]


@contextlib.asynccontextmanager
async def house(place: Path, *, blueprints: bool = False, **words: Any) -> AsyncIterator[House]:
    """Everything running; what is announced is known to Home Assistant. ``words`` are the rig's."""
    settings = {"contacts": CONTACTS, **words.pop("settings", {})}
    async with rig(place, settings=settings, **words) as whole:
        ha = HomeAssistant(place / "ha", whole.broker.port)
        async with ha:
            it = House(whole, ha)
            if blueprints:
                await install_blueprints(ha)
            await born(it)
            entities = await it.known()
            await ha.until(lambda _: unavailable(it, entities) == [], "every entity available")
            yield it


async def born(it: House, *, start: int = 0) -> None:
    """Wait for its birth message: it comes seconds after its subscriptions, and only then is it there for the hub."""
    await it.rig.observer.heard.until(
        lambda heard: any(each.topic == f"{PREFIX}/status" and each.payload == b"online" for each in heard[start:]),
        "birth of Home Assistant",
    )


def announced(observer: Observer) -> dict[str, dict[str, Any]]:
    newest = {
        heard.topic: heard.payload for heard in observer.heard.items if heard.topic.startswith(f"{PREFIX}/device/")
    }
    return {topic: json.loads(payload) for topic, payload in newest.items() if payload}


async def until_announced(observer: Observer, devices: int) -> dict[str, dict[str, Any]]:
    """All that is announced, once it is so many devices."""
    await observer.heard.until(lambda _: len(announced(observer)) == devices, f"{devices} announced devices")
    return announced(observer)


def again(it: House, **sections: Any) -> Hub:
    """The same hub with other settings; it is to be started."""
    return changed(it.rig.hub, it.rig.broker.url, [{"port": port} for port in it.rig.modems.uarts], sections)


def changed(hub: Hub, mqtt: str, modems: list[dict[str, Any]], sections: dict[str, Any]) -> Hub:
    port = int(hub.address.rpartition(":")[2])
    other = Hub(hub.directory, modems=modems, mqtt=mqtt, settings={"contacts": CONTACTS, **sections}, port=port)
    other.token = hub.token
    return other


# ---------------------------------------------------------------------------------------- the schemas, and their check


async def test_cores_schemas_take_every_discovery_payload(place: Path) -> None:
    async with rig(place, modems=2, settings={"contacts": CONTACTS}) as whole:
        devices = await until_announced(whole.observer, 3)
    assert check([{"topic": topic, "payload": payload} for topic, payload in devices.items()]) == []
    hubs = [payload for payload in devices.values() if "via_device" not in payload["device"]]
    modems = [payload for payload in devices.values() if "via_device" in payload["device"]]
    assert (len(hubs), len(modems)) == (1, 2)
    assert {payload["device"]["via_device"] for payload in modems} == {hubs[0]["device"]["identifiers"][0]}
    components = [component for payload in devices.values() for component in payload["components"].values()]
    assert {component["platform"] for component in components} >= {
        "notify",
        "event",
        "sensor",
        "binary_sensor",
        "button",
    }
    assert all(component["unique_id"].startswith("modemhub_") for component in components)
    assert not [component for component in components if {"object_id", "default_entity_id"} & component.keys()]


GOOD: Final[dict[str, Any]] = {"platform": "sensor", "unique_id": "a", "state_topic": "hub/a"}

FAULTS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "a required key is missing": ({"platform": "sensor"}, "'state_topic'"),
    "no unique id": ({"platform": "sensor", "state_topic": "hub/x", "unique_id": None}, "unique_id"),
    "a mistyped key": ({**GOOD, "unit_of_mesurement": "dBm"}, "no key of sensor"),
    "a key of another meaning": ({**GOOD, "opt": ["a", "b"]}, "no key of sensor"),
    "no such platform": ({**GOOD, "platform": "pager"}, "platform"),
    "an impossible template": ({**GOOD, "value_template": "{{ value"}, "template"),
    "an impossible topic": ({**GOOD, "state_topic": "hub/#/x"}, "state_topic"),
    "options of what is no enum": ({**GOOD, "options": ["a"], "state_class": "total"}, "options"),
    "a category that sensors cannot have": ({**GOOD, "entity_category": "config"}, "config"),
}
"""A component with one fault each, and a word of what is said of it."""


async def test_the_check_sees_faults() -> None:
    payloads = [
        {
            "topic": f"{PREFIX}/device/fault{number}/config",
            "payload": {
                "device": {"identifiers": [f"fault{number}"], "name": name},
                "origin": {"name": "test"},
                "components": {
                    "good": {**GOOD, "unique_id": f"good{number}"},
                    "bad": {
                        "unique_id": f"bad{number}",
                        **{k: v for k, v in component.items() if k != "unique_id" or v is None},
                    },
                },
            },
        }
        for number, (name, (component, _)) in enumerate(FAULTS.items())
    ]
    errors = check(payloads)
    for number, (name, (_, word)) in enumerate(FAULTS.items()):
        said = [error for error in errors if error.startswith(f"{PREFIX}/device/fault{number}/")]
        assert len(said) == 1, (name, said)
        assert word in said[0], name
    assert len(errors) == len(FAULTS)


async def test_the_check_sees_what_no_single_payload_shows() -> None:
    modem = {
        "device": {"identifiers": ["modem"], "via_device": "hub"},
        "origin": {"name": "test"},
        "components": {"one": GOOD, "two": GOOD},
    }
    topics = [f"{PREFIX}/device/{name}/config" for name in ("modem", "a+b")]
    illegal, twice, lonely = check([{"topic": topic, "payload": modem} for topic in topics])
    assert "not a discovery topic" in illegal
    assert "unique_id 'a' is used 2 times" in twice
    assert "via_device 'hub'" in lonely


# ------------------------------------------------------------------------------------------------------- a real Core


async def test_devices_and_entities_appear_without_a_word_in_the_log(place: Path) -> None:
    async with house(place, modems=2) as it:
        entities = await it.known()
        devices = await it.ha.devices()
        (hub,) = [device for device in devices if device["via_device_id"] is None]
        assert [device["via_device_id"] for device in devices if device is not hub] == [hub["id"]] * 2
        assert all(device["name"] for device in devices)
        assert {entity["device_id"] for entity in entities.values()} == {device["id"] for device in devices}
        there = [it.ha.states[entity["entity_id"]] for entity in entities.values() if not entity["disabled_by"]]
        assert {state.entity_id.split(".")[0] for state in there} >= {"notify", "event", "sensor", "button"}
        assert await it.complaints() == []


def unavailable(it: House, entities: dict[str, dict[str, Any]]) -> list[str]:
    """The enabled ones of these whose state is ``unavailable``."""
    return [
        entity["entity_id"]
        for entity in entities.values()
        if not entity["disabled_by"] and it.ha.states[entity["entity_id"]].state == "unavailable"
    ]


async def test_notify_sends_texts_to_a_contact_and_to_a_group(place: Path) -> None:
    async with house(place) as it:
        await it.ha.call("notify.send_message", on=await it.entity("notify", "anna"), message=AWKWARD)
        await it.rig.modems.submits(1, within=30)
        await it.ha.call("notify.send_message", on=await it.entity("notify", "family"), message="to both")
        await it.rig.observer.heard.until(
            lambda _: len(it.rig.observer.ended()) == 3 and set(it.rig.observer.ended().values()) == {"delivered"},
            "three delivered texts",
        )
        assert sorted(it.rig.modems.texts()) == sorted([(ANNA, AWKWARD), (ANNA, "to both"), (BEN, "to both")])
        await it.ha.until_state(await it.entity("sensor", "sent today"), "3", within=90)
        assert await it.complaints() == []


async def test_a_received_text_fires_its_event_entity_with_all_of_it(place: Path) -> None:
    async with house(place) as it:
        event = await it.entity("event", "sms")
        heard = len(it.ha.events.items)
        await it.rig.modems.deliver(it.rig.modems.all[0], LONG_TEXT, sender=SENDER)
        told = await until_told(it, event, LONG_TEXT, start=heard)
        assert len(told.attributes["text"]) == 600
        assert (told.attributes["event_type"], told.attributes["from"]) == ("received", SENDER)
        assert not told.attributes["replayed"]
        last = it.ha.states[await it.entity("sensor", "last sms")]
        assert (last.state[:10], last.attributes["text"]) == (told.attributes["received_at"][:10], LONG_TEXT)
        assert await it.complaints() == []


async def until_told(it: House, event: str, text: str, *, start: int = 0) -> State:
    """The state of the event entity that tells of this received text."""
    changed = await it.ha.until_event(
        lambda event_: told_by(event_, event).get("text") == text, f"{event} telling of {text[:20]!r}", start=start
    )
    new = changed.data["new_state"]
    return type(it.ha.states[event]).of(new)


def told_by(event: Event, entity_id: str) -> dict[str, Any]:
    """The attributes of an event entity's new state, if this is about it."""
    if event.kind != "state_changed" or event.data["entity_id"] != entity_id or event.data["new_state"] is None:
        return {}
    attributes: dict[str, Any] = event.data["new_state"]["attributes"]
    return attributes


@pytest.mark.parametrize("end", ["stopped", "killed"])
async def test_texts_that_came_while_it_was_down_are_told_when_it_is_back(place: Path, end: str, *, long: bool) -> None:
    if end == "killed" and not long:
        pytest.skip("in the long form: make homeassistant")
    count = 50 if long else 3
    async with house(place, blueprints=True) as it:
        modem = it.rig.modems.all[0]
        event = await it.entity("event", "sms")
        await deliver(it, "before")
        await until_told(it, event, "before")
        await (it.ha.stop() if end == "stopped" else it.ha.kill())
        heard = len(it.ha.events.items)
        missed = [f"while it was down {n}" for n in range(count)]
        for text in missed:
            await deliver(it, text)
        await it.ha.start()
        await until_heard_of(it, missed[-1], start=heard)
        await it.rig.modems.deliver(modem, "after", sender=SENDER)
        await until_heard_of(it, "after", start=heard)
        assert heard_of(it, start=heard) == [*((text, True) for text in missed), ("after", False)]
        assert it.ha.states[event].attributes["text"] == "after"
        last = await it.entity("sensor", "last sms")
        await it.ha.until(lambda states: states[last].attributes.get("text") == "after", "last SMS")
        assert await it.complaints() == []


async def deliver(it: House, text: str) -> None:
    """Let the network deliver a text, and wait until the hub has told of it."""
    start = len(it.rig.observer.heard.items)
    await it.rig.modems.deliver(it.rig.modems.all[0], text, sender=SENDER)
    await it.rig.observer.until_heard("received", start=start)


GOES: Final = {"_signal", "_operator", "_registration", "_registered", "_technology", "_storage_used"}
"""Parts of the ids of a modem's entities: what it measures."""

STAYS: Final = {
    "_sms",
    "_call",
    "_state",
    "_connected",
    "_problem",
    "_last_error",
    "_queue",
    "_restart",
    "_power_cycle",
}
"""What says that it is gone, tells of what happened and what waits, and what may bring it back."""


@pytest.mark.usefixtures("only_long")
async def test_a_modem_that_is_unplugged_takes_its_entities_along(place: Path) -> None:
    async with house(place, modems=[STICK, STICK], usb=True) as it:
        entities = await it.known()
        first, second = it.rig.modems.all
        mine, others = await of_device(it, it.identifier(first)), await of_device(it, it.identifier(second))
        await it.rig.modems.do("fault", imei=first.imei, kind="unplug")
        signal = await it.entity("sensor", "signal", device=it.identifier(first))
        await it.ha.until_state(signal, "unavailable")
        assert unavailable(it, others) == []
        gone = set(unavailable(it, mine))
        stays = {entity["entity_id"] for entity in mine.values() if not entity["disabled_by"]} - gone
        assert {word for word in GOES if any(word in entity for entity in gone)} == GOES
        assert not [entity for entity in stays if not any(word in entity for word in STAYS)]
        start = len(it.rig.observer.heard.items)
        await it.rig.modems.do("fault", imei=first.imei, kind="replug")
        await it.rig.observer.until_heard(f"modem/{first.imei}/availability", b"online", start=start)
        await it.ha.until(lambda _: unavailable(it, entities) == [], "every entity available again")
        assert (await it.known()).keys() == entities.keys()
        assert await it.complaints() == []


async def of_device(it: House, identifier: str) -> dict[str, dict[str, Any]]:
    """The entries of the entity registry that belong to the device."""
    (device,) = [entry["id"] for entry in await it.ha.devices() if ["mqtt", identifier] in entry["identifiers"]]
    return {key: entity for key, entity in (await it.known()).items() if entity["device_id"] == device}


@pytest.mark.usefixtures("only_long")
async def test_a_hub_that_dies_makes_everything_unavailable_until_it_is_back(place: Path) -> None:
    async with house(place) as it:
        entities = await it.known()
        enabled = sorted(entity["entity_id"] for entity in entities.values() if not entity["disabled_by"])
        await it.rig.hub.kill()
        await it.ha.until(lambda _: sorted(unavailable(it, entities)) == enabled, "everything unavailable")
        await it.rig.restart_hub()
        await it.ha.until(lambda _: unavailable(it, entities) == [], "everything available again")
        assert (await it.known()).keys() == entities.keys()
        assert await it.complaints() == []


@pytest.mark.usefixtures("only_long")
async def test_what_people_rename_stays_renamed(place: Path) -> None:
    async with house(place) as it:
        before = await it.known()
        event = await it.entity("event", "sms")
        notify = await it.entity("notify", "anna")
        await it.ha.command(
            "config/entity_registry/update", entity_id=event, new_entity_id="event.letters", name="Letters"
        )
        await it.ha.command("config/entity_registry/update", entity_id=notify, new_entity_id="notify.my_anna")
        for device in await it.ha.devices():
            await it.ha.command("config/device_registry/update", device_id=device["id"], name_by_user="Mine")
        await it.rig.hub.stop()
        await it.rig.restart_hub()
        await it.ha.stop()
        await it.ha.start()
        after = await it.known()
        assert {key: entity["id"] for key, entity in after.items()} == {key: e["id"] for key, e in before.items()}
        assert {device["name_by_user"] for device in await it.ha.devices()} == {"Mine"}
        await it.ha.until(lambda _: unavailable(it, after) == [], "everything available")
        await it.ha.call("notify.send_message", on="notify.my_anna", message="by another name")
        await it.rig.modems.submits(1, within=30)
        assert it.rig.modems.texts() == [(ANNA, "by another name")]
        start = len(it.ha.events.items)
        await it.rig.modems.deliver(it.rig.modems.all[0], "to another name", sender=SENDER)
        await until_told(it, "event.letters", "to another name", start=start)
        assert await it.complaints() == []


@pytest.mark.usefixtures("only_long")
async def test_a_hub_that_comes_later_is_shown_as_it_is_announced(place: Path) -> None:
    """Core drops most of an announcement that comes while it still takes in the one before."""
    words: dict[str, Any] = {"modems": [STICK, STICK], "usb": True, "settings": {"contacts": CONTACTS}}
    async with rig(place, start=False, **words) as whole, HomeAssistant(place / "ha", whole.broker.port) as ha:
        it = House(whole, ha)
        await born(it)
        await whole.hub.start()
        await whole.ready()
        entities = await it.known()
        await ha.until(lambda _: unavailable(it, entities) == [], "every entity available")
        shown = {device["identifiers"][0][1]: device["name"] for device in await ha.devices()}
        told = [payload["device"] for payload in it.announced.values()]
        assert shown == {device["identifiers"][0]: device["name"] for device in told}
        assert await it.complaints() == []


async def test_a_start_of_the_hub_announces_nothing_else_than_before(place: Path) -> None:
    async with rig(place, modems=[STICK], usb=True, settings={"contacts": CONTACTS}) as whole:
        before = await until_announced(whole.observer, 2)
        await whole.hub.stop()
        start = len(whole.observer.heard.items)
        await whole.restart_hub()
        told = [heard for heard in whole.observer.heard.items[start:] if heard.topic in before]
        assert [heard.json["device"] for heard in told if heard.json != before[heard.topic]] == []


@pytest.mark.usefixtures("only_long")
async def test_a_second_hub_on_the_broker_clashes_with_nothing(place: Path) -> None:
    async with house(place) as it:
        before = await it.known()
        async with Modems(place / "m2", configuration={"modems": [identity(5)]}) as modems:
            settings: dict[str, dict[str, Any]] = {"mqtt": {"base_topic": "second/hub"}, "contacts": CONTACTS}
            second = Hub(place / "hub2", modems=[{"port": modems.ports[0]}], mqtt=it.rig.broker.url, settings=settings)
            async with second, Observer(it.rig.broker.port, name="second", base="second/hub") as observer:
                await observer.until_heard(f"modem/{modems.all[0].imei}/availability", b"online")
                await until_announced(it.rig.observer, 4)
                both = await it.known()
                assert before.keys() < both.keys()
                assert {key: both[key]["entity_id"] for key in before} == {k: e["entity_id"] for k, e in before.items()}
                assert len(await it.ha.devices()) == 4
                mine = {heard.topic for heard in observer.below("")}
                (notify,) = [
                    both[key]["entity_id"]
                    for key in both.keys() - before.keys()
                    if both[key]["entity_id"].startswith("notify.") and "anna" in both[key]["original_name"].lower()
                ]
                assert mine
                await it.ha.until(lambda _: unavailable(it, both) == [], "everything available")
                await it.ha.call("notify.send_message", on=notify, message="by the second")
                await modems.submits(1, within=30)
                assert (modems.texts(), it.rig.modems.texts()) == ([(ANNA, "by the second")], [])
            await it.ha.until(
                lambda _: len(unavailable(it, both)) >= len(both) - len(before) - disabled(both), "second unavailable"
            )
            assert unavailable(it, before) == []
        assert await it.complaints() == []


def disabled(entities: dict[str, dict[str, Any]]) -> int:
    return sum(entity["disabled_by"] is not None for entity in entities.values())


@pytest.mark.usefixtures("only_long")
async def test_nothing_is_left_when_discovery_is_switched_off(place: Path) -> None:
    async with house(place) as it:
        await it.rig.hub.stop()
        async with again(it, homeassistant={"discovery": False}):
            await until_announced(it.rig.observer, 0)
            assert await it.known() == {}
            assert await until_devices(it, 0) == []
        async with again(it):
            await until_announced(it.rig.observer, 2)
            assert len(await it.known()) > 0
            assert len(await it.ha.devices()) == 2
        assert await it.complaints() == []


@pytest.mark.usefixtures("only_long")
async def test_a_modem_that_was_forgotten_leaves_nothing(place: Path) -> None:
    async with house(place, modems=[STICK, STICK], usb=True) as it:
        first, second = it.rig.modems.all
        others = await of_device(it, it.identifier(second))
        await it.rig.modems.do("fault", imei=first.imei, kind="unplug")
        await it.rig.observer.until_heard(f"modem/{first.imei}/availability", b"offline")
        await it.rig.observer.publish("request/modem/forget", {"modem": first.imei, "transaction": "forget"})
        answer = await it.rig.observer.until_heard("response")
        assert answer.json["status"] == "ok", answer
        await it.rig.observer.heard.until(lambda _: len(it.announced) == 2, "one device less")
        await until_devices(it, 2)
        assert (await of_device(it, it.identifier(second))).keys() == others.keys()
        await it.rig.hub.stop()
        await it.rig.hub.start()
        await it.rig.observer.until_heard(f"modem/{second.imei}/availability", b"online")
        assert len(await it.known()) < len(others) * 2
        await it.rig.modems.do("fault", imei=first.imei, kind="replug")
        await it.rig.observer.heard.until(lambda _: len(it.announced) == 3, "it is back")
        assert await of_device(it, it.identifier(first))
        assert await it.complaints() == []


async def until_devices(it: House, count: int) -> list[dict[str, Any]]:
    """The device registry's entries, once there are so many."""
    async with asyncio.timeout(30):
        while True:
            seen = len(it.ha.events.items)
            devices = await it.ha.devices()
            if len(devices) == count:
                return devices
            await it.ha.events.until(lambda events: len(events) > seen, "device registry")  # noqa: B023


@pytest.mark.usefixtures("only_long")
async def test_a_contact_that_is_removed_takes_its_entity_along(place: Path) -> None:
    async with house(place) as it:
        before = await it.known()
        anna = await it.entity("notify", "anna")
        await it.rig.hub.stop()
        async with again(it, contacts={"ben": BEN}):
            await it.ha.until(lambda states: anna not in states, "no entity of Anna")
            await it.ha.until(lambda states: [one for one in states if one.startswith("notify.")], "entity of Ben")
            after = await it.known()
            assert await it.entity("notify", "ben")
            assert len(after) == len(before) - 1  # two went, one came
        assert await it.complaints() == []


@pytest.mark.usefixtures("only_long")
async def test_a_broker_that_forgot_everything_is_told_again(place: Path) -> None:
    async with house(place, blueprints=True) as it:
        before = await it.known()
        await deliver(it, "before")
        await until_heard_of(it, "before")
        await it.rig.broker.kill()
        for file in it.rig.broker.directory.glob("*.db"):
            file.unlink()
        it.rig.observer.forget_connection()
        await it.rig.modems.deliver(it.rig.modems.all[0], "meanwhile", sender=SENDER)
        await it.rig.broker.start()
        await it.rig.observer.subscribed()
        async with Observer(it.rig.broker.port, name="newcomer") as newcomer:
            await until_announced(newcomer, 2)
        assert (await it.known()).keys() == before.keys()
        await it.ha.until(lambda _: unavailable(it, before) == [], "everything available again")
        await until_heard_of(it, "meanwhile")
        await deliver(it, "after")
        await until_heard_of(it, "after")
        # What a broker had in its hands when it died may not have arrived: it is told again, and says so.
        heard = heard_of(it)
        assert list(dict(heard)) == ["before", "meanwhile", "after"]
        assert [text for n, (text, replayed) in enumerate(heard) if text in dict(heard[:n]) and not replayed] == []


@pytest.mark.usefixtures("only_long")
async def test_a_hub_that_starts_anew_tells_nothing_twice(place: Path) -> None:
    async with house(place, blueprints=True) as it:
        await deliver(it, "before")
        await until_heard_of(it, "before")
        await it.rig.hub.stop()
        await it.rig.modems.deliver(it.rig.modems.all[0], "meanwhile", sender=SENDER)
        await it.rig.restart_hub()
        await until_heard_of(it, "meanwhile")
        await deliver(it, "after")
        await until_heard_of(it, "after")
        assert heard_of(it) == [("before", False), ("meanwhile", False), ("after", False)]
        assert await it.complaints() == []


@pytest.mark.usefixtures("only_long")
async def test_its_button_restarts_a_modem(place: Path) -> None:
    async with house(place, modems=[STICK], usb=True) as it:
        start = len(it.rig.observer.heard.items)
        await it.ha.call("button.press", on=await it.entity("button", "restart"))
        (modem,) = it.rig.modems.all
        await it.rig.observer.until_heard(f"modem/{modem.imei}/availability", b"offline", start=start)
        start = len(it.rig.observer.heard.items)
        await it.rig.observer.until_heard(f"modem/{modem.imei}/availability", b"online", start=start, within=60)
        (status,) = (await it.rig.modems.do("status"))["modems"]
        assert status["boots"] == 1
        assert await it.complaints() == []


@pytest.mark.usefixtures("only_long")
async def test_what_it_dislikes_is_heard(place: Path) -> None:
    """Else every test above might be green for want of ears."""
    async with house(place) as it:
        base, it.rig.observer.base = it.rig.observer.base, PREFIX
        await it.rig.observer.publish("device/fault/config", {"device": {"identifiers": "fault"}, "components": {}})
        it.rig.observer.base = base
        await it.rig.observer.publish(f"modem/{it.rig.modems.all[0].imei}/event", {"event_type": "unheard of"})
        log = it.ha.child
        await log.line(lambda line: "Invalid event type" in line, "complaint of the event")
        await log.line(lambda line: "Invalid MQTT device discovery payload" in line, "complaint of the device")
        assert len(await it.complaints()) == 2


# ------------------------------------------------------------------------------------------------------- blueprints

SEND, ON_TEXT = "send_text.yaml", "on_text.yaml"

SCRIPTS: Final = f"""
text_somebody:
  use_blueprint:
    path: modemhub/{SEND}
"""

AUTOMATIONS: Final = f"""
- id: hear
  alias: Hear
  use_blueprint:
    path: modemhub/{ON_TEXT}
    input:
      actions:
        - event: text_heard
          event_data:
            sms: "{{{{ sms }}}}"
- id: answer
  alias: Answer
  use_blueprint:
    path: modemhub/{ON_TEXT}
    input:
      senders: ["{BEN}", anna]
      replayed: false
      actions:
        - action: script.text_somebody
          data:
            number: "{{{{ sms['from'] }}}}"
            text: "Heard: {{{{ sms.text }}}}"
"""


async def install_blueprints(ha: HomeAssistant) -> None:
    """Put the blueprints where Home Assistant's import puts them, and use each as its page would."""
    for domain, file in (("script", SEND), ("automation", ON_TEXT)):
        place = ha.directory / "blueprints" / domain / "modemhub"
        place.mkdir(parents=True)
        shutil.copy(BLUEPRINTS / file, place)
    (ha.directory / "scripts.yaml").write_text(SCRIPTS, encoding="utf-8")
    (ha.directory / "automations.yaml").write_text(AUTOMATIONS, encoding="utf-8")
    await ha.call("script.reload")
    await ha.call("automation.reload")


def heard_of(it: House, *, start: int = 0) -> list[tuple[str, bool]]:
    """(text, replayed) of what the automation of the blueprint told, in order."""
    told = [event.data["sms"] for event in it.ha.events.items[start:] if event.kind == "text_heard"]
    return [(sms["text"], bool(sms["replayed"])) for sms in told]


async def until_heard_of(it: House, text: str, *, start: int = 0) -> dict[str, Any]:
    """What the automation of the blueprint told of this text."""
    event = await it.ha.until_event(
        lambda event: event.kind == "text_heard" and event.data["sms"]["text"] == text, f"{text!r} heard", start=start
    )
    sms: dict[str, Any] = event.data["sms"]
    return sms


TEXTS: Final = [
    "plain",
    AWKWARD,
    "007",
    "1",
    "+447700900123",
    "true",
    "[1, 2]",
    '{"a": 1}',
    " spaces ",
    "None",
    "1_000",
]
"""Texts that a template could take for something else."""


@pytest.mark.usefixtures("only_long")
async def test_the_script_blueprint_sends_any_text_to_any_number(place: Path) -> None:
    async with house(place, blueprints=True) as it:
        known = await it.ha.command("blueprint/list", domain="script")
        assert known[f"modemhub/{SEND}"]["metadata"]["name"] == "Send a text"
        for text in TEXTS:
            await it.ha.call("script.text_somebody", number=ANNA, text=text)
        await it.ha.call("script.text_somebody", number="family", text="all")
        await it.ha.call("script.text_somebody", number=int(ANNA), text=7)
        wanted = [*((ANNA, text) for text in TEXTS), (ANNA, "all"), (BEN, "all"), (ANNA, "7")]
        await it.rig.observer.heard.until(
            lambda _: list(it.rig.observer.ended().values()) == ["delivered"] * len(wanted), "every text delivered"
        )
        assert sorted(it.rig.modems.texts()) == sorted(wanted)
        assert await it.complaints() == []


@pytest.mark.usefixtures("only_long")
async def test_the_automation_blueprint_runs_for_every_text(place: Path) -> None:
    async with house(place, blueprints=True) as it:
        modem = it.rig.modems.all[0]
        for text in TEXTS:
            await it.rig.modems.deliver(modem, text, sender=SENDER)
        await it.ha.events.until(lambda _: len(heard_of(it)) >= len(TEXTS), "every text heard")
        sms = await until_heard_of(it, TEXTS[-1])
        assert (sms["from"], sms["contact"], sms["replayed"]) == (SENDER, None, False)
        inbox = (await it.rig.api.get("/api/v1/inbox"))["messages"]
        assert heard_of(it) == [(message["text"], False) for message in inbox]
        assert sorted(text for text, _ in heard_of(it)) == sorted(TEXTS)
        for sender in (BEN, ANNA):
            await it.rig.modems.deliver(modem, "007", sender=sender)
        await it.rig.observer.heard.until(
            lambda _: list(it.rig.observer.ended().values()) == ["delivered"] * 2, "both answers delivered"
        )
        assert it.rig.modems.texts() == [(BEN, "Heard: 007"), (ANNA, "Heard: 007")]
        assert await it.complaints() == []
