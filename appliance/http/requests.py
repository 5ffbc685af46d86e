"""What clients may ask with: the models of queries and bodies, beside the hub's own :class:`SendCommand`."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from appliance.types import SegmentState

__all__ = [
    "SCOPES",
    "ClaimRequest",
    "EventsQuery",
    "InboxQuery",
    "MessagesQuery",
    "NoQuery",
    "RecoveriesQuery",
    "Scope",
    "State",
    "TokenRequest",
    "UssdRequest",
    "WaitQuery",
]

State = Literal[
    "queued", "submitting", "submitted", "delivered", "undelivered", "failed", "expired", "cancelled", "in_doubt"
]
assert set(get_args(State)) == set(SegmentState)

Scope = Literal["send", "inbox", "status", "control", "admin"]

SCOPES: tuple[str, ...] = get_args(Scope)

LARGEST = (1 << 63) - 1
"""The largest seq that the store can be asked for."""

RESERVED = ("mqtt", "command-line")
"""What no client's name may be, and how none may begin: the hub's words for whoever speaks through the broker, and by
the command line."""


def _is_name(name: str) -> str:
    if not name.isprintable() or name.strip() != name or name == RESERVED[0] or name.startswith(RESERVED[1]):
        raise ValueError(f"printable characters, no space at an end, not {RESERVED[0]} and not {RESERVED[1]}…")
    return name


_Cursor = Annotated[int, Field(ge=0, le=LARGEST)]

_Limit = Annotated[int, Field(ge=1, le=200)]

_Number = Annotated[str, Field(min_length=1, max_length=40)]

_TokenName = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_is_name)]


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


class NoQuery(_Query):
    """No query parameter is known."""


class WaitQuery(_Query):
    """``?wait=``."""

    wait: Annotated[float, Field(ge=0, le=60)] = 0
    """Seconds to wait for the message's end before the answer."""


class MessagesQuery(_Query):
    """Filters and page of ``GET /messages``."""

    state: State | None = None
    """Only messages in this state."""
    to: _Number | None = None
    """Only messages to this number, in any spelling, or to this contact."""
    before: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    """``next`` of the page before; absent: from the newest."""
    limit: _Limit = 50
    """Messages on the page at most."""


class InboxQuery(_Query):
    """Filters and page of ``GET /inbox``."""

    since_seq: _Cursor | None = None
    """Only what came after it, oldest first; ``next`` of the page before. This is the order when nothing is given."""
    before: _Cursor | None = None
    """Only what came before it, newest first; ``next`` of the page before, ``0``: from the newest."""
    sender: _Number | None = None
    """Only what came from this number (in any spelling) or name."""
    limit: _Limit = 50
    """Messages on the page at most."""

    @model_validator(mode="after")
    def _one_order(self) -> Self:
        if self.since_seq is not None and self.before is not None:
            raise ValueError("give either since_seq or before")
        return self


class RecoveriesQuery(_Query):
    """Page of ``GET /modems/{imei}/recoveries``."""

    before: _Cursor = 0
    """``next`` of the page before; ``0``: from the newest."""
    limit: _Limit = 50
    """Steps on the page at most."""


class EventsQuery(_Query):
    """``?after=``."""

    after: _Cursor | None = None
    """Replay what came after this event; ``Last-Event-ID`` wins. Absent: from now on."""


class UssdRequest(_Body):
    """A request to the network."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "*100#"}]})

    text: Annotated[str, Field(min_length=1, max_length=182)] | None
    """``*100#``, or the answer to what the network asked; null ends the session."""  # 182: 23.038 §5


class ClaimRequest(_Body):
    """How a hub that nobody owns gets its owner."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "mhc_…", "name": "me"}]})

    token: Annotated[str, Field(min_length=1, max_length=200)]
    """The claim token, from the file ``CLAIM.txt`` beside the store."""
    name: _TokenName
    """What the owner's own token is to be called."""


class TokenRequest(_Body):
    """A token to be made."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "heating", "scopes": ["send"], "per_minute": 10, "daily_cap": 50}]}
    )

    name: _TokenName
    """The client's name: messages, idempotency keys and caps are its own."""
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(SCOPES))]
    """What it may do; ``admin`` may do everything."""
    per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Messages that it may send in a minute; null: no bound of its own."""
    daily_cap: Annotated[int, Field(ge=0, le=LARGEST)] | None = None
    """Segments that it may send in any 24 hours; null: the settings' own cap."""
