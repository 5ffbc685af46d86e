"""What a user may set about HTTP (``[http]``)."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["HttpSettings"]


class HttpSettings(BaseModel):
    """Where the HTTP door listens, and its bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    listen: str | None = "127.0.0.1:8080"
    """``address:port``, ``[::]:8080`` for every address; port 0: any free one; ``off``: no HTTP door."""
    max_body: Annotated[int, Field(ge=1024, le=1 << 24)] = 64 * 1024
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

    @property
    def address(self) -> tuple[str, int]:
        """The address and the port of ``listen``."""
        parts = urlsplit(f"//{self.listen}")
        return parts.hostname or "", parts.port or 0
