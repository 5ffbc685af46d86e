"""What a user may write about the broker."""

from typing import Any

import pytest
from pydantic import ValidationError

from appliance.mqtt import MqttSettings


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("mqtt://192.0.2.1", "192.0.2.1", 1883, False),
        ("mqtts://broker.example", "broker.example", 8883, True),
        ("mqtt://[2001:db8::1]:1884/", "2001:db8::1", 1884, False),
    ],
)
def test_a_url_names_the_broker(url: str, host: str, port: int, tls: bool) -> None:
    settings = MqttSettings(url=url)
    assert (settings.host, settings.port, settings.tls) == (host, port, tls)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"url": "broker.example"}, "mqtt://"),
        ({"url": "http://broker.example"}, "mqtt://"),
        ({"url": "mqtt://"}, "give a host"),
        ({"url": "mqtt://x:port"}, "Port"),
        ({"url": "mqtt://x/topic"}, "give a host"),
        ({"url": "mqtt://me:secret@x"}, "mqtt.password"),
        ({"url": "mqtt://x", "base_topic": "a/#"}, "no +"),
        ({"url": "mqtt://x", "base_topic": "a/"}, "no +"),
        ({"url": "mqtt://x", "base_topic": "$SYS"}, "no +"),
        ({"url": "mqtt://x", "share": {"group": "a/b"}}, "should match"),
        ({"url": "mqtt://x", "share": {"topic": "modemhub"}}, "cannot be mqtt.base_topic"),
        ({"url": "mqtt://x", "share": {"topic": "modemhub/texts"}}, "cannot be mqtt.base_topic or below"),
        ({"url": "mqtt://x", "base_topic": "texts/one", "share": {}}, "cannot be below mqtt.share.topic"),
        ({"url": "mqtt://x", "sms2mqtt": "modemhub/old"}, "a prefix of its own"),
        ({"url": "mqtt://x", "share": {}, "sms2mqtt": "texts"}, "a prefix of its own"),
        ({"url": "mqtt://x", "server_name": "y"}, "mqtts://"),
        ({"url": "mqtt://x", "password": "p"}, "mqtt.username"),
        ({"url": "mqtts://x", "key": "k.pem"}, "mqtt.cert"),
        ({"url": "mqtt://x", "ca": "ca.pem"}, "mqtts://"),
        ({"url": "mqtt://x", "keepalive": 1}, "greater than or equal to 5"),
        ({"url": "mqtt://x", "broker": "y"}, "Extra inputs"),
    ],
)
def test_what_cannot_work_is_refused_in_words(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        MqttSettings.model_validate(wrong)
    assert says in str(refused.value)


def test_the_password_is_not_shown() -> None:
    settings = MqttSettings.model_validate({"url": "mqtt://x", "username": "u", "password": "secret"})
    assert "secret" not in repr(settings) + settings.model_dump_json()
