"""PURE: which devices and entities Home Assistant is told of, as the JSON of its device-based discovery.

One device is the hub, one is each modem (``via_device`` the hub). The rules, as Home Assistant Core reads them:

* ``<prefix>/device/<object id>/config``, retained; ``device``, ``origin`` and ``components`` are required; each
  component has its ``platform`` and a ``unique_id``.
* What is left out of a component later on is not removed by that; see ``retained``.
* ``options`` only with ``device_class: enum``, and every state that is not among them is warned of: they are made of
  our own enumerations here. A template that renders ``None`` means "unknown" everywhere.
* A sensor's state has at most 255 characters: texts stand in attributes, never in states.
* The default QoS is 0 for what it publishes and subscribes to: every component says 1.

Privacy: a modem's identity in ids is a digest of its IMEI. The IMEI stands in the payload only where a topic or a
command needs it; no number, IMSI, ICCID or text does.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.types import ModemState, Registration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from appliance.hub import Contact
    from appliance.mqtt.topics import Topics

__all__ = ["CALL_TYPES", "SMS_TYPES", "TECHNOLOGIES", "Devices"]

SMS_TYPES = (
    "received",
    "undecodable",
    "sent",
    "delivered",
    "undelivered",
    "failed",
    "expired",
    "cancelled",
    "in_doubt",
)
"""``event_type`` of the entity "SMS"."""

CALL_TYPES = ("incoming",)
"""``event_type`` of the entity "Call"."""

TECHNOLOGIES = ("GSM", "UMTS", "EDGE", "HSDPA", "HSUPA", "HSPA", "LTE", "EC-GSM-IoT", "NB-IoT", "NR")
"""Access technologies as the modems' state names them (27.007 §7.3)."""

NEEDS_CARE = (
    ModemState.SIM_MISSING,
    ModemState.PIN_REQUIRED,
    ModemState.PUK_REQUIRED,
    ModemState.RECOVERING,
    ModemState.NEEDS_HANDS,
    ModemState.GONE,
)
"""States that are a problem, as opposed to those that pass by themselves."""


_ASKED = frozenset(state.value for state in ModemState if state.heard and state is not ModemState.BRINGING_UP)


QUEUE = {
    "platform": "sensor",
    "name": "Queue",
    "icon": "mdi:tray-full",
    "state_class": "measurement",
    "unit_of_measurement": "segments",
    "entity_category": "diagnostic",
    "value_template": "{{ value_json.queue }}",
}
"""What waits: the hub has such a sensor, and each modem."""


@dataclass(frozen=True, slots=True)
class Devices:
    """What one hub announces."""

    hub_id: str
    version: str
    topics: Topics
    prefix: str
    name: str = "Modem hub"
    configuration_url: str | None = None
    """Where the console is."""
    can_rescan: bool = True

    # ------------------ names

    @property
    def hub(self) -> str:
        """The hub's identifier, and the stem of all others."""
        return f"modemhub_{self.hub_id}"

    def modem(self, imei: str) -> str:
        """A modem's identifier."""
        return f"{self.hub}_{hashlib.sha256(imei.encode()).hexdigest()[:12]}"

    @property
    def filter(self) -> str:
        """Where all devices of everybody are retained."""
        return f"{self.prefix}/device/+/config"

    def is_device(self, topic: str) -> bool:
        """Whether somebody's device is announced there."""
        return topic.startswith(f"{self.prefix}/device/") and topic.endswith("/config")

    def is_ours(self, topic: str) -> bool:
        """Whether a device of this hub is announced there."""
        name = topic.removeprefix(f"{self.prefix}/device/").removesuffix("/config")
        return self.is_device(topic) and (name == self.hub or name.startswith(f"{self.hub}_"))

    def topic(self, identifier: str) -> str:
        """Where this device is announced."""
        return f"{self.prefix}/device/{identifier}/config"

    # ------------------ payloads

    def announced(
        self, modems: Mapping[str, Mapping[str, Any]], contacts: Iterable[Contact]
    ) -> dict[str, dict[str, Any]]:
        """Topic → payload of the hub and of these modems, as far as it is known what they are.

        Home Assistant passes over most of an announcement that comes while it takes in the one before: one that would
        be completed in a moment is not made.
        """
        found = {self.topic(self.hub): self._hub(contacts)}
        for imei, state in modems.items():
            if _is_known(state):
                found[self.topic(self.modem(imei))] = self._modem(imei, state)
        return found

    def _payload(
        self, identifier: str, device: dict[str, Any], components: dict[str, dict[str, Any]]
    ) -> dict[str, Any]:
        if self.configuration_url is not None:
            device["configuration_url"] = self.configuration_url
        return {
            "device": {"identifiers": [identifier], **device},
            "origin": {"name": "modemhub", "sw_version": self.version},
            "components": {
                name: {**component, "unique_id": f"{identifier}_{name}", "qos": 1}
                for name, component in components.items()
            },
        }

    def _hub(self, contacts: Iterable[Contact]) -> dict[str, Any]:
        topics = self.topics
        here = [{"topic": topics.status}]
        health = {"state_topic": topics.health, "availability": here}
        components: dict[str, dict[str, Any]] = {
            "problem": {
                "platform": "binary_sensor",
                "name": "Problem",
                "device_class": "problem",
                "entity_category": "diagnostic",
                "value_template": "{{ 'OFF' if value_json.status == 'ok' else 'ON' }}",
                "json_attributes_topic": topics.health,
                "json_attributes_template": "{{ {'problems': value_json.problems} | tojson }}",
                **health,
            },
            "disk_full": {
                "platform": "binary_sensor",
                "name": "Disk full",
                "device_class": "problem",
                "entity_category": "diagnostic",
                "value_template": "{{ 'ON' if value_json.disk_full else 'OFF' }}",
                **health,
            },
            "modems_ready": {
                "platform": "sensor",
                "name": "Modems ready",
                "icon": "mdi:sim",
                "state_class": "measurement",
                "entity_category": "diagnostic",
                "value_template": "{{ value_json.modems.ready }}",
                **health,
            },
            "queue": {
                **QUEUE,
                **health,
            },
        }
        for word, icon in (("sent", "mdi:send"), ("received", "mdi:message-text"), ("failed", "mdi:message-alert")):
            components[f"{word}_today"] = {
                "platform": "sensor",
                "name": f"{word.capitalize()} today",
                "icon": icon,
                "state_class": "total_increasing",  # it begins anew at midnight
                "unit_of_measurement": "messages",
                "value_template": f"{{{{ value_json.today.{word} }}}}",
                **health,
            }
        for contact in contacts:
            components[f"notify_{contact.name}"] = {
                "platform": "notify",
                "name": f"SMS {contact.name}",
                "icon": "mdi:account-group" if contact.group else "mdi:account",
                "command_topic": topics.send,
                "command_template": '{"to": ' + json.dumps(contact.name) + ', "text": {{ value | tojson }}}',
                "availability": here,
            }
        if self.can_rescan:
            components["rescan"] = {
                "platform": "button",
                "name": "Look for modems",
                "icon": "mdi:magnify",
                "entity_category": "config",
                "command_topic": topics.request("modem/rescan"),
                "payload_press": "{}",
                "availability": here,
            }
        device = {"name": self.name, "manufacturer": "modemhub", "model": "SMS hub", "sw_version": self.version}
        return self._payload(self.hub, device, components)

    def _modem(self, imei: str, state: Mapping[str, Any]) -> dict[str, Any]:
        topics = self.topics
        hub_here = {"topic": topics.status}
        always = {"availability": [hub_here]}
        ready = {
            "availability": [hub_here, {"topic": topics.modem_availability(imei)}],
            "availability_mode": "all",
        }
        told = {"state_topic": topics.modem_state(imei)}
        press = json.dumps({"modem": imei})
        care = [each.value for each in NEEDS_CARE]
        components: dict[str, dict[str, Any]] = {
            "sms": {
                "platform": "event",
                "name": "SMS",
                "icon": "mdi:message-text",
                "state_topic": topics.modem_event(imei),
                "event_types": list(SMS_TYPES),
                **always,
            },
            "call": {
                "platform": "event",
                "name": "Call",
                "icon": "mdi:phone-incoming",
                "state_topic": topics.modem_call(imei),
                "event_types": list(CALL_TYPES),
                **always,
            },
            "last_received": {
                "platform": "sensor",
                "name": "Last SMS",
                "icon": "mdi:message-text-clock",
                "device_class": "timestamp",
                "state_topic": topics.modem_last_received(imei),
                "value_template": "{{ value_json.received_at }}",
                "json_attributes_topic": topics.modem_last_received(imei),
                **always,
            },
            "state": {
                "platform": "sensor",
                "name": "State",
                "icon": "mdi:state-machine",
                "device_class": "enum",
                "options": [each.value for each in ModemState],
                "entity_category": "diagnostic",
                "value_template": "{{ value_json.state }}",
                "json_attributes_topic": topics.modem_state(imei),
                "json_attributes_template": "{{ {'recovery': value_json.recovery} | tojson }}",
                **told,
                **always,
            },
            "connected": {
                "platform": "binary_sensor",
                "name": "Connected",
                "device_class": "connectivity",
                "entity_category": "diagnostic",
                "value_template": "{{ 'OFF' if value_json.state == 'gone' else 'ON' }}",
                **told,
                **always,
            },
            "problem": {
                "platform": "binary_sensor",
                "name": "Problem",
                "device_class": "problem",
                "entity_category": "diagnostic",
                "value_template": f"{{{{ 'ON' if value_json.state in {care} else 'OFF' }}}}",
                **told,
                **always,
            },
            "last_error": {
                "platform": "sensor",
                "name": "Last error",
                "icon": "mdi:alert-circle-outline",
                "entity_category": "diagnostic",
                "value_template": "{{ value_json.last_error[:250] if value_json.last_error else None }}",
                **told,
                **always,
            },
            "registered": {
                "platform": "binary_sensor",
                "name": "Registered",
                "icon": "mdi:radio-tower",
                "entity_category": "diagnostic",
                "value_template": "{{ None if value_json.registration is none else 'ON' if value_json.registration in "
                f"{[each.name.lower() for each in Registration if each.can_send]} else 'OFF' }}}}",
                **told,
                **ready,
            },
            "registration": {
                "platform": "sensor",
                "name": "Registration",
                "icon": "mdi:radio-tower",
                "device_class": "enum",
                "options": [each.name.lower() for each in Registration],
                "entity_category": "diagnostic",
                "value_template": "{{ value_json.registration }}",
                **told,
                **ready,
            },
            "operator": {
                "platform": "sensor",
                "name": "Operator",
                "icon": "mdi:radio-tower",
                "entity_category": "diagnostic",
                "value_template": "{{ value_json.operator }}",
                **told,
                **ready,
            },
            "technology": {
                "platform": "sensor",
                "name": "Technology",
                "icon": "mdi:signal-4g",
                "device_class": "enum",
                "options": list(TECHNOLOGIES),
                "entity_category": "diagnostic",
                "value_template": "{{ value_json.technology }}",
                **told,
                **ready,
            },
            "signal": {
                "platform": "sensor",
                "name": "Signal",
                "device_class": "signal_strength",
                "state_class": "measurement",
                "unit_of_measurement": "dBm",
                "entity_category": "diagnostic",
                "value_template": "{{ value_json.signal_dbm }}",
                **told,
                **ready,
            },
            "number": {
                "platform": "sensor",
                "name": "Number",
                "icon": "mdi:card-account-phone",
                "entity_category": "diagnostic",
                "enabled_by_default": False,
                "value_template": "{{ value_json.number }}",
                **told,
                **ready,
            },
            "storage": {
                "platform": "sensor",
                "name": "Storage used",
                "icon": "mdi:sim",
                "state_class": "measurement",
                "unit_of_measurement": "%",
                "entity_category": "diagnostic",
                "value_template": "{% set ns = namespace(most=None) %}{% for each in value_json.storage.values() %}"
                "{% if each.total %}{% set share = (100 * each.used / each.total) | round | int %}"
                "{% if ns.most is none or share > ns.most %}{% set ns.most = share %}{% endif %}{% endif %}"
                "{% endfor %}{{ ns.most }}",
                **told,
                **ready,
            },
            "storage_full": {
                "platform": "binary_sensor",
                "name": "Storage full",
                "device_class": "problem",
                "entity_category": "diagnostic",
                "value_template": "{{ 'ON' if value_json.storage_full else 'OFF' }}",
                **told,
                **ready,
            },
            "queue": {
                **QUEUE,
                **told,
                **always,
            },
            "restart": {
                "platform": "button",
                "name": "Restart",
                "device_class": "restart",
                "entity_category": "config",
                "command_topic": topics.request("modem/restart"),
                "payload_press": press,
                **always,
            },
            "power_cycle": {
                "platform": "button",
                "name": "Power cycle",
                "device_class": "restart",
                "entity_category": "config",
                "command_topic": topics.request("modem/power_cycle"),
                "payload_press": press,
                **always,
            },
        }
        named = state.get("model") or state.get("manufacturer") or "Modem"
        device: dict[str, Any] = {"name": f"{named} ({imei[-4:]})", "via_device": self.hub}
        for key, field in (("manufacturer", "manufacturer"), ("model", "model"), ("sw_version", "revision")):
            if state.get(field):
                device[key] = state[field]
        return self._payload(self.modem(imei), device, components)


def _is_known(state: Mapping[str, Any]) -> bool:
    """Whether the modem has said what it is, or has been asked and does not say."""
    named = any(state.get(field) for field in ("manufacturer", "model", "revision"))
    return named or state.get("state") in _ASKED
