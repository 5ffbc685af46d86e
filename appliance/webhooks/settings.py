"""What a user may set about webhooks (``[webhooks.<name>]``)."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_serializer, field_validator, model_validator

from appliance.webhooks.addresses import literal, refusal
from appliance.webhooks.signature import key_of

__all__ = ["WebhookName", "WebhookSettings"]

WebhookName = Annotated[str, Field(pattern=r"^[a-z0-9]+([_-][a-z0-9]+)*$", max_length=32)]
"""Small letters, digits, and single - or _ between them: a name must survive the environment's spelling."""


class WebhookSettings(BaseModel):
    """One receiver of events."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str
    """``https://host[:port]/path``; http only with ``allow_private``. Shown without path and query: they may be secret.
    """
    secret: SecretStr
    """What it is signed with: ``whsec_<base64>``, or a text of 24 characters or more."""
    events: Annotated[tuple[Literal["received", "message", "call", "recovery"], ...], Field(min_length=1)] = (
        "received",
    )
    """``received`` texts, every step of a sent ``message``, a ``call``, what was done in ``recovery`` of a modem."""
    allow_private: bool = False
    """May it go to this machine and its network; and by http."""

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"https", "http"}:
            raise ValueError("begin it with https://")
        if "@" in parts.netloc:
            raise ValueError("no user name or password in it: the signature tells who it is")
        if not parts.hostname or parts.fragment or not url.isprintable() or " " in url:
            raise ValueError("give a host, at most a port, and a path, as in https://example.com/texts")
        try:
            parts.hostname.encode("idna")
        except UnicodeError:
            raise ValueError("its host is no name of the DNS") from None
        _ = parts.port  # raises ValueError when it is no port
        return url

    @field_validator("secret")
    @classmethod
    def _is_secret(cls, secret: SecretStr) -> SecretStr:
        key_of(secret.get_secret_value())
        return secret

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if urlsplit(self.url).scheme == "http" and not self.allow_private:
            raise ValueError("http:// lets everybody on the way read the texts: use https://, or set allow_private")
        address = literal(self.host)
        if address is not None and (word := refusal(address, allow_private=self.allow_private)) is not None:
            raise ValueError(
                f"its address is {word}" + ("" if self.allow_private else ": set allow_private if it is yours")
            )
        return self

    @field_serializer("url")
    def _shown(self, url: str) -> str:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc}/…"

    @property
    def host(self) -> str:
        """The receiver's name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def key(self) -> bytes:
        """What is signed with."""
        return key_of(self.secret.get_secret_value())
