"""What a user may set about HTTP (``[http]``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = ["HttpSettings"]


class HttpSettings(BaseModel):
    """Where the HTTP door listens, and its bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    listen: str | None = "127.0.0.1:8080"
    """``address:port``, ``[::]:8080`` for every address; port 0: any free one; ``off``: no HTTP door."""
    tls: bool = False
    """HTTPS, with a certificate that the hub makes itself at its first start, or with the one of ``cert``."""
    cert: Path | None = None
    """PEM file of your own certificate and its chain; it switches TLS on."""
    key: Path | None = None
    """PEM file of its key; absent: it stands in ``cert``."""
    claim_at: str | None = None
    """Where people find the claim token of a fresh hub; absent: the path of the file."""
    max_body: Annotated[int, Field(ge=1024, le=1 << 24)] = 128 * 1024
    """Octets of a request's body."""
    heartbeat: Annotated[float, Field(ge=1, le=300)] = 15.0
    """Seconds between comments on a silent event stream: proxies close what is silent for long."""
    max_streams: Annotated[int, Field(ge=1, le=1000)] = 32
    """Event streams at once."""

    @field_validator("listen")
    @classmethod
    def _is_address(cls, listen: str | None) -> str | None:
        if listen == "off":
            return None
        if listen is not None:
            parts = urlsplit(f"//{listen}")
            if not parts.hostname or parts.port is None or parts.path or parts.query or "@" in listen:
                raise ValueError("give address and port, as in 127.0.0.1:8080 or [::]:8080")
        return listen

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.key is not None and self.cert is None:
            raise ValueError("http.key needs http.cert")
        return self

    @property
    def encrypted(self) -> bool:
        """Whether it speaks TLS."""
        return self.tls or self.cert is not None

    @property
    def address(self) -> tuple[str, int]:
        """The address and the port of ``listen``."""
        parts = urlsplit(f"//{self.listen}")
        return parts.hostname or "", parts.port or 0
