"""The MQTT door: commands in, transitions and received messages out, each at QoS 1 and none of them lost.

::

    settings   what a user may set; imports no MQTT library, so that the settings can be read without it
    topics     PURE: topic ↔ meaning
    client     paho-mqtt on the asyncio loop: one link after another, for ever; knows no topic's meaning
    door       the meaning: commands to the hub, the hub's events to the broker

``MqttDoor`` is imported from :mod:`appliance.mqtt.door` by whoever opens the door, and only then.
"""

from appliance.mqtt.settings import MqttSettings

__all__ = ["MqttSettings"]
