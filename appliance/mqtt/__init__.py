"""The MQTT door: commands in, transitions and received messages out, each at QoS 1 and none of them lost.

::

    settings   what a user may set; imports no MQTT library, so that the settings can be read without it
    topics     PURE: topic ↔ meaning
    payload    PURE: a command's JSON, read strictly
    sms2mqtt   PURE: the topics of Domochip's sms2mqtt
    trouble    PURE: why there is no link, in plain words
    share      PURE: when to leave commands to the other hubs of a group
    client     paho-mqtt on the asyncio loop: one link after another, for ever; knows no topic's meaning
    tail       events told in order, and how far they are acknowledged
    homeassistant  devices for Home Assistant, and what it missed
    door       the meaning: commands to the hub, the hub's events to the broker

paho-mqtt is imported when :class:`MqttDoor` is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from appliance.mqtt.settings import HomeAssistantSettings, MqttSettings

if TYPE_CHECKING:
    from appliance.mqtt.door import MqttDoor

__all__ = ["HomeAssistantSettings", "MqttDoor", "MqttSettings"]


def __getattr__(name: str) -> Any:
    """Import the door on first use (PEP 562): reading the settings must not cost an MQTT client."""
    if name == "MqttDoor":
        return import_module("appliance.mqtt.door").MqttDoor
    raise AttributeError(name)
