"""PURE: what to publish so that the broker retains exactly the devices of ours that exist.

Nothing is remembered on disk: what this hub announced in an earlier life is read back from the broker at each link.

A component that is left out of a device's payload stays in Home Assistant, so one that is gone is first reduced to its
``platform``, which removes it, and then left out. A device is removed by an empty payload; that is only published where
something is retained, as Home Assistant warns of a removal of what it never knew.

A device of ours that is read back and not announced now is a modem that is unplugged: it stays. But one whose topics
are not below the base topic of now is an orphan of another setting, and goes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from appliance.mqtt.tail import compact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from appliance.mqtt.homeassistant.discovery import Devices

__all__ = ["Retained"]


class Retained:
    """The devices of one hub at one broker, for the time of one link."""

    def __init__(self, devices: Devices, *, wanted: bool = True) -> None:
        """Know nothing yet; not ``wanted``: everything of ours is to go."""
        self._devices = devices
        self._wanted = wanted
        self._announced: dict[str, dict[str, Any]] = {}
        self._known: dict[str, dict[str, str]] = {}
        """Topic → component → platform: what Home Assistant may have been told of."""
        self._told: dict[str, str] = {}

    def announce(self, announced: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
        """These devices exist; what to publish for that, retained, in order."""
        for topic, payload in announced.items():
            self._announced[topic] = dict(payload)
            yield from self._put(topic)

    def read_back(self, topic: str, payload: bytes) -> Iterator[tuple[str, str]]:
        """The broker retains this; what to publish because of it."""
        if not payload or not self._devices.is_ours(topic):
            return
        found = _object(payload)
        known = self._known.setdefault(topic, {})
        known.update(_components(found))
        if topic in self._announced:
            yield from self._put(topic)
        elif not self._wanted or not self._is_of_now(found):
            yield topic, ""
            del self._known[topic]

    def forget(self, topic: str) -> Iterator[tuple[str, str]]:
        """This device is gone for good."""
        self._announced.pop(topic, None)
        self._told.pop(topic, None)
        if self._known.pop(topic, None) is not None:
            yield topic, ""

    def _put(self, topic: str) -> Iterator[tuple[str, str]]:
        payload = self._announced[topic]
        now = _components(payload)
        gone = {name: was for name, was in self._known.get(topic, {}).items() if now.get(name) != was}
        if gone:
            stubs = {name: {"platform": platform} for name, platform in gone.items()}
            kept = {name: each for name, each in payload["components"].items() if name not in gone}
            yield topic, compact({**payload, "components": kept | stubs})
        text = compact(payload)
        if gone or self._told.get(topic) != text:
            yield topic, text
        self._told[topic] = text
        self._known[topic] = now

    def _is_of_now(self, payload: Mapping[str, Any]) -> bool:
        """Whether all its topics are below the base topic of now."""
        topics = list(_topics(payload))
        return bool(topics) and all(self._devices.topics.holds(topic) for topic in topics)


def _object(payload: bytes) -> dict[str, Any]:
    try:
        found = json.loads(payload)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _components(payload: Mapping[str, Any]) -> dict[str, str]:
    components = payload.get("components")
    if not isinstance(components, dict):
        return {}
    return {
        name: component["platform"]
        for name, component in components.items()
        if isinstance(component, dict) and isinstance(component.get("platform"), str) and len(component) > 1
    }


def _topics(value: object) -> Iterator[str]:
    """Every topic that stands anywhere in a payload."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str) and (key == "topic" or key.endswith("_topic")):
                yield inner
            else:
                yield from _topics(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _topics(inner)
