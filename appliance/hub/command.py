"""What a client asks for: one model for every door, so that MQTT and HTTP speak the same JSON."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from appliance.errors import Rejected
from appliance.types import OnInDoubt

__all__ = ["MAX_RECIPIENTS", "SendCommand"]

MAX_RECIPIENTS = 100
"""Recipients of one command: it is one transaction, and one mistake should not text a whole town."""

MAX_TEXT = 39_015
"""Characters: 255 segments of 153 septets (23.040 §9.2.3.24.1); no longer text can be sent in one message."""

_Recipient = Annotated[str, Field(min_length=1, max_length=40)]


class SendCommand(BaseModel):
    """One text (or 8-bit data) for one recipient or several."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {"to": "+447700900123", "text": "The pump has stopped"},
                {"to": ["anna", "+447700900456"], "text": "Tank below 10 %", "ttl": 3600, "priority": 5},
            ]
        },
    )

    to: _Recipient | Annotated[list[_Recipient], Field(min_length=1, max_length=MAX_RECIPIENTS)]
    """A number, a contact's name, a group's name, or a list of these."""
    text: Annotated[str, Field(max_length=MAX_TEXT)] | None = None
    """What to send; or else ``data``."""
    data: Annotated[str, Field(max_length=2 * MAX_TEXT)] | None = None
    """Base64; sent as 8-bit data instead of ``text``."""
    port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Destination application port (23.040 §9.2.3.24.4)."""
    id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The client's own id: the idempotency key."""
    modem: str | None = None
    """IMEI: only by the SIM that is in this modem now."""
    sim: str | None = None
    """ICCID or IMSI: only by this SIM."""
    priority: Annotated[int, Field(ge=-10, le=10)] = 0
    """Higher goes first."""
    ttl: Annotated[float, Field(gt=0, le=30 * 86400)] | None = None
    """Seconds: not submitted in time → expired."""
    validity: Annotated[float, Field(gt=0, le=441 * 86400)] | None = None
    """Seconds that the service centre keeps trying (TP-VP)."""
    report: bool | None = None
    """Ask the network for a status report; absent: as the settings say."""
    encoding: Literal["auto", "gsm7", "ucs2", "translit"] = "auto"
    """``auto`` takes whatever needs the fewest segments, ``translit`` replaces what does not fit into GSM 7-bit."""
    flash: bool = False
    """Shown at once and not kept by the telephone."""
    on_in_doubt: Annotated[OnInDoubt, Field(strict=False)] | None = None
    """``resend``: at most once more, where nobody can know whether it was sent; ``hold``: never."""
    transaction: str | int | None = None
    """Echoed in the answer."""

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if (self.text is None) == (self.data is None):
            raise ValueError("give either text or data")
        return self

    @property
    def recipients(self) -> list[str]:
        """The recipients as given, always a list."""
        return [self.to] if isinstance(self.to, str) else list(self.to)

    def content(self) -> str | bytes:
        """The text, or the decoded data.

        Raises:
            Rejected: ``invalid``, when ``data`` is not base64.
        """
        if self.text is not None:
            return self.text
        try:
            return base64.b64decode(self.data or "", validate=True)
        except ValueError as error:  # binascii.Error, and what is not ASCII
            raise Rejected("invalid", f"data is not base64: {error}", pointer="/data") from error

    def fingerprint(self) -> bytes:
        """What must be equal for the same idempotency key (promise S4): everything but the id and the transaction."""
        body = self.model_dump(mode="json", exclude={"id", "transaction"}, exclude_defaults=True)
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()
