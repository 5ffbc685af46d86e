"""What a user may set about the broker (``[mqtt]``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

__all__ = ["HomeAssistantSettings", "MqttSettings", "ShareSettings"]

_PORTS = {"mqtt": 1883, "mqtts": 8883}


def _is_topic(topic: str) -> str:
    if any(c in topic for c in "+#\0") or topic.startswith(("/", "$")) or topic.endswith("/"):
        raise ValueError("no + # or NUL in it, no / or $ at its beginning, no / at its end")
    return topic


_Topic = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_is_topic)]


class ShareSettings(BaseModel):
    """Texts that several hubs send together (``[mqtt.share]``): the broker hands each command to one of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: Annotated[str, Field(pattern="^[A-Za-z0-9_.-]{1,100}$")] = "modemhub"
    """The same for all hubs that share."""
    topic: _Topic = "texts"
    """Commands come on ``<topic>/send`` and ``<topic>/send/<number>``, answers go to ``<topic>/response``."""


class HomeAssistantSettings(BaseModel):
    """What Home Assistant is told (``[homeassistant]``); it goes by the broker of ``[mqtt]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    discovery: bool = True
    """Announce hub and modems. Switched off, what was announced is taken back."""
    prefix: _Topic = "homeassistant"
    """Home Assistant's own discovery prefix; its birth and will are looked for on ``<prefix>/status``."""
    name: Annotated[str, Field(min_length=1, max_length=60)] = "Modem hub"
    """The hub's device; with two hubs, give each its own."""
    configuration_url: Annotated[str, Field(pattern="^https?://[^/]")] | None = None
    """Where the console can be reached from, as ``http://modemhub.local:8080``; shown as a link on the devices."""


class MqttSettings(BaseModel):
    """One broker, and how to speak to it. Without ``url`` there is no MQTT door."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    url: str | None = None
    """``mqtt://host[:1883]``, or ``mqtts://host[:8883]`` for TLS with verification."""
    base_topic: _Topic = "modemhub"
    share: ShareSettings | None = None
    sms2mqtt: _Topic | None = None
    """Prefix of the topics of Domochip's sms2mqtt, spoken beside our own; absent: they are not."""
    client_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Absent: made of the hub's id. It names the session that keeps commands while the hub is away: keep it."""
    username: str | None = None
    password: SecretStr | None = None
    ca: Path | None = None
    """PEM file of the authority that signed the broker's certificate; absent: the system's authorities."""
    cert: Path | None = None
    """PEM file of the hub's own certificate."""
    key: Path | None = None
    """PEM file of the hub's own key; absent: it stands in ``cert``."""
    server_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """The name that the broker's certificate is made out to (and SNI); absent: the host of ``url``."""
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """``auto``: MQTT 5, and 3.1.1 with a broker that refuses it."""
    keepalive: Annotated[int, Field(ge=5, le=3600)] = 30
    """Seconds; a broker that is silent for 1.5 times as long is left and looked for again."""
    session_expiry_days: Annotated[float, Field(gt=0, le=365)] = 7
    """How long the broker keeps commands for a hub that is away (MQTT 5; 3.1.1 leaves it to the broker)."""
    will_delay: Annotated[int, Field(ge=0, le=3600)] = 5
    """Seconds after which a broken link is told as ``offline`` (MQTT 5): a blip is not told."""
    receive_maximum: Annotated[int, Field(ge=1, le=65535)] = 16
    """Commands that the broker hands over before the first is committed: the back-pressure (MQTT 5)."""
    inflight: Annotated[int, Field(ge=2, le=65535)] = 64
    """Publications on their way at once; the broker's own receive maximum bounds it too."""
    max_payload: Annotated[int, Field(ge=1024, le=1 << 20)] = 64 * 1024
    """Octets; a longer command is refused."""
    daily_cap: Annotated[int, Field(ge=0)] | None = None
    """Segments that all MQTT clients together may send in any 24 hours."""

    @field_validator("url")
    @classmethod
    def _is_broker(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in _PORTS:
            raise ValueError(f"begin it with mqtt:// or mqtts://, not with {parts.scheme or 'nothing'}://")
        if parts.username is not None or parts.password is not None:
            raise ValueError("put user name and password into mqtt.username and mqtt.password")
        if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("give a host and at most a port, as in mqtt://192.0.2.1:1883")
        _ = parts.port  # raises ValueError when it is no port
        return url

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.password is not None and self.username is None:
            raise ValueError("mqtt.password needs mqtt.username")
        if self.key is not None and self.cert is None:
            raise ValueError("mqtt.key needs mqtt.cert")
        of_tls = (self.ca, self.cert, self.server_name)
        if any(each is not None for each in of_tls) and self.url is not None and not self.tls:
            raise ValueError("mqtt.ca, mqtt.cert and mqtt.server_name need an mqtts:// url")
        alias = "" if self.sms2mqtt is None else f"{self.sms2mqtt}/"
        others = [self.base_topic, *([] if self.share is None else [self.share.topic])]
        if alias and any(alias.startswith(f"{other}/") or f"{other}/".startswith(alias) for other in others):
            raise ValueError("mqtt.sms2mqtt is a prefix of its own: not one of our other topics, below or above it")
        if self.share is not None and f"{self.share.topic}/".startswith(f"{self.base_topic}/"):
            raise ValueError("mqtt.share.topic belongs to many hubs: it cannot be mqtt.base_topic or below it")
        if self.share is not None and f"{self.base_topic}/".startswith(f"{self.share.topic}/"):
            raise ValueError("mqtt.base_topic belongs to this hub alone: it cannot be below mqtt.share.topic")
        return self

    @property
    def tls(self) -> bool:
        """Whether the url asks for TLS."""
        return urlsplit(self.url or "").scheme == "mqtts"

    @property
    def host(self) -> str:
        """The broker's name or address."""
        return urlsplit(self.url or "").hostname or ""

    @property
    def port(self) -> int:
        """The broker's port, the scheme's own when none is given."""
        parts = urlsplit(self.url or "")
        return parts.port or _PORTS.get(parts.scheme, 0)
