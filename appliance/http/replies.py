"""What clients are answered with: a model of each JSON body.

They describe, they do not produce: the hub's own JSON is sent as it is, and no request pays for a model. That they say
what is so is the tests' business: every answer that a test sees is held against the model of its route.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from appliance.http.requests import Scope, State

__all__ = [
    "Accepted",
    "Claimable",
    "Claimed",
    "Contacts",
    "CreatedToken",
    "Description",
    "Health",
    "Inbox",
    "Liveness",
    "Me",
    "Message",
    "Messages",
    "Modem",
    "ModemDone",
    "Modems",
    "Preview",
    "Problem",
    "Received",
    "Recoveries",
    "RevokedToken",
    "Settings",
    "Signal",
    "Status",
    "Tokens",
    "UssdAnswer",
]

Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")]
"""RFC 3339."""

Imei = Annotated[str, Field(pattern=r"^\d{14,16}$")]


class _Reply(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, defer_build=True)


class Problem(_Reply):
    """A refusal (RFC 9457)."""

    type: str
    """A name for the kind of problem: ``urn:modemhub:problem:`` and the code."""
    title: str
    """The kind of problem, for a person."""
    status: Annotated[int, Field(ge=400, le=599)]
    """The HTTP status."""
    detail: str
    """What is wrong and what to do, for a person."""
    code: str
    """Stable and machine-readable."""
    instance: str | None = None
    """The path that was asked for."""
    pointer: str | None = None
    """Where in the body the fault is (RFC 6901)."""
    scopes: list[Scope] | None = None
    """Any of these would let in."""
    retry_after: float | None = None
    """Seconds until it is worth asking again; also in the header Retry-After."""


# ---------------------------------------------------------------------- messages


class Reason(_Reply):
    """Why something ended or waits."""

    code: str
    """Stable: ``cms_38``, ``timeout``, ``tp_status_70``, ``cancelled`` …"""
    class_: Annotated[str, Field(alias="class")]
    """What it means for trying again."""
    text: str
    """For a person."""


class Segment(_Reply):
    """One of the short messages that a message is sent as."""

    n: Annotated[int, Field(ge=1)]
    """Its number, from 1."""
    state: State
    attempts: Annotated[int, Field(ge=0)]
    """How often it was handed to a modem."""
    mr: Annotated[int, Field(ge=0, le=255)] | None
    """Its number at the service centre (TP-MR)."""
    report_status: Annotated[int, Field(ge=0, le=255)] | None = None
    """What the newest status report says (TP-ST, 23.040 §9.2.3.15)."""
    reason: Reason | None = None


class Message(_Reply):
    """A message to be sent."""

    seq: Annotated[int, Field(ge=1)]
    """Its place in the order of acceptance."""
    id: str
    """Opaque, stable for ever."""
    state: State
    """Out of the states of its segments."""
    final: bool
    """Nothing more is waited for."""
    to: str
    """The number, with its country code."""
    to_given: str | None = None
    """What the client gave for it, where that is another: a contact, or another spelling."""
    client: str
    """Whose token it was sent by."""
    encoding: Literal["gsm7", "ucs2", "data"]
    segments: list[Segment]
    attempts: Annotated[int, Field(ge=0)]
    """The most of any segment."""
    maybe_duplicate: bool
    """A part of it may have been sent twice."""
    reason: Reason | None
    sim: str | None
    """IMSI of the SIM that sends it; null: none can yet."""
    priority: int
    report: bool
    """A status report was asked for."""
    on_in_doubt: Literal["hold", "resend"]
    accepted_at: Time
    updated_at: Time
    expires_at: Time
    """If it could not be handed over by then, it is not sent any more."""
    port: int | None = None
    flash: bool | None = None
    text: str | None = None
    """The text; absent in events, and where it is data."""
    data: str | None = None
    """The data, base64."""


class Known(_Reply):
    """A message that was accepted under the same key before and is forgotten already."""

    seq: int
    id: str


class Sent(_Reply):
    """What was sent to a list or a group."""

    messages: list[Message | Known]
    """One for each number."""


class Accepted(RootModel[Message | Sent | Known]):
    """What was accepted: one message, or those to a list or a group."""


class Messages(_Reply):
    """A page of messages, the newest first."""

    messages: list[Message]
    next: int | None
    """``before`` of the next page; null: this is the last."""


class Substitution(_Reply):
    """One loss of a transliteration."""

    character: str
    """What stands there."""
    replacement: str
    """What would be sent instead."""
    position: Annotated[int, Field(ge=0)]
    """Where, in characters from 0."""


class Preview(_Reply):
    """How a text would be sent."""

    encoding: Literal["gsm7", "ucs2", "data"]
    segments: Annotated[int, Field(ge=1)]
    """Short messages that it takes for each number."""
    units: list[int]
    """What each segment holds: septets, UTF-16 units or octets."""
    capacity: int
    """How many units each could hold."""
    forcing: list[str]
    """The distinct characters that made it UCS-2, in the order of the text."""
    substitutions: list[Substitution]
    """What ``"encoding": "translit"`` would replace."""
    recipients: int
    """Numbers that it goes to."""
    cost_segments: int
    """Segments times numbers: what counts against the caps."""


# ---------------------------------------------------------------------- inbox


class Undecodable(_Reply):
    """Where reading a message stopped."""

    field: str
    """As the standard names it."""
    offset: int
    detail: str


class Received(_Reply):
    """A message that came."""

    id: str
    """Opaque, stable for ever."""
    seq: Annotated[int, Field(ge=1)]
    """Its place in the inbox; a late part gives it a new one."""
    from_: Annotated[str | None, Field(alias="from")]
    """A number or a name."""
    received_at: Time
    sent_at: Time | None
    """When the service centre got it, with its own offset."""
    modem: str
    """IMEI."""
    sim: str | None
    """IMSI."""
    encoding: str | None
    segments: Annotated[int, Field(ge=1)]
    complete: bool
    """No part of it is missing."""
    missing: list[int] | None = None
    """The numbers of the parts that are missing."""
    replayed: bool
    """It was told before."""
    text: str | None = None
    data: str | None = None
    """Base64, where it is no text."""
    undecodable: Undecodable | None = None
    """It could not be read; ``raw`` is what came."""
    raw: str | None = None
    """Hexadecimal."""
    port: int | None = None
    source_port: int | None = None
    flash: bool | None = None
    message_waiting: str | None = None
    replace_type: int | None = None
    truncated: bool | None = None


class Inbox(_Reply):
    """A page of received messages."""

    messages: list[Received]
    next: int | None
    """``since_seq`` or ``before`` of the next page; null: this is the last."""


# ---------------------------------------------------------------------- modems


class Storage(_Reply):
    """How full a storage of a modem is."""

    used: int
    total: int


class Modem(_Reply):
    """A modem."""

    imei: Imei
    state: Literal[
        "opening",
        "bringing_up",
        "sim_missing",
        "pin_required",
        "puk_required",
        "searching",
        "ready",
        "recovering",
        "needs_hands",
        "gone",
    ]
    available: bool
    """It can send."""
    registration: str | None
    operator: str | None
    technology: str | None
    signal_dbm: int | None
    """Null: not known."""
    sim: str | None
    """IMSI."""
    iccid: str | None
    number: str | None
    """Its own, where the SIM tells it."""
    storage: dict[str, Storage]
    storage_full: list[str]
    """Storages that are nearly full although they are emptied."""
    unreadable: list[str]
    """Messages that make the modem start anew when they are read: left where they are."""
    bearer: str | None
    network_time: str | None
    queue: int
    """Segments that wait for its SIM."""
    last_error: str | None
    recovery: str | None
    """What is being done against it."""
    manufacturer: str | None
    model: str | None
    revision: str | None
    place: str
    port: str
    profile: str


class Modems(_Reply):
    """All modems."""

    modems: list[Modem]


class ModemDone(_Reply):
    """What was done with a modem."""

    imei: Imei
    status: Literal["ok"]
    done: str | None = None
    """By what it was switched off and on."""


class UssdAnswer(_Reply):
    """What the network says."""

    imei: Imei
    status: Literal["done", "answer_expected", "ended", "busy", "not_supported", "timed_out"]
    text: str | None


class Sample(_Reply):
    """One look at a modem's signal."""

    at: Time
    dbm: int | None
    """Null: not known then."""
    state: str


class Signal(_Reply):
    """A modem's signal over the last day, as far back as the hub's start."""

    every: int
    """Seconds between two samples."""
    samples: list[Sample]
    """Oldest first."""


class Recovery(_Reply):
    """One step against a modem's trouble."""

    seq: int
    """The event's."""
    at: Time
    rung: int | None
    """Of the ladder: the higher, the harder."""
    name: str | None
    reason: str | None
    seconds: float | None
    """Until it was known whether it helped."""
    outcome: str | None
    """``helped``, ``no_effect`` or ``failed``."""
    detail: str | None


class Recoveries(_Reply):
    """What was done against a modem's troubles, the newest first."""

    recoveries: list[Recovery]
    next: int | None
    """``before`` of the next page; null: this is the last."""


# ---------------------------------------------------------------------- the hub


class Trouble(_Reply):
    """One thing that is wrong."""

    code: str
    """Stable."""
    subject: str
    """What it is about: an IMEI, a place, an address; empty: the hub."""
    text: str
    """What is wrong, in plain words."""
    doing: str
    """What the hub does about it, or what you should do."""


class ModemCounts(_Reply):
    """How many modems there are."""

    ready: int
    """Can send."""
    known: int


class Store(_Reply):
    """The store on its disk."""

    bytes: int
    free_bytes: int
    full: bool


class Counters(_Reply):
    """What has happened since the hub started."""

    since: Time
    accepted: int
    received: int
    calls: int
    submitted: int
    delivered: int
    undelivered: int
    failed: int
    expired: int
    cancelled: int
    in_doubt: int


class Mqtt(BaseModel):
    """The MQTT door."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True, defer_build=True)

    connected: bool
    url: str | None
    last_error: str | None


class Webhook(BaseModel):
    """One webhook."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True, defer_build=True)

    name: str
    pending: int
    """Events that it has yet to be told."""
    last_error: str | None


class Tls(_Reply):
    """The certificate of this door."""

    fingerprint: str
    """SHA-256, as browsers show it."""


class Status(_Reply):
    """How the hub is."""

    hub_id: str
    version: str
    started_at: Time
    uptime_seconds: Annotated[int, Field(ge=0)]
    status: Literal["ok", "degraded"]
    problems: list[Trouble]
    modems: ModemCounts
    queue: Annotated[int, Field(ge=0)]
    """Segments that wait to be sent."""
    store: Store
    counters: Counters
    mqtt: Mqtt | None
    """Null: it is switched off."""
    webhooks: list[Webhook]
    tls: Tls | None
    """Null: plain HTTP."""


class Health(_Reply):
    """Whether messages can be sent, and what is in the way."""

    status: Literal["ok", "degraded"]
    problems: list[str]
    version: str
    hub_id: str


class Liveness(_Reply):
    """The process is alive."""

    status: Literal["ok", "degraded"]


class Contact(_Reply):
    """A name for numbers."""

    name: str
    numbers: list[str]
    group: bool
    """It was given as a list: what is sent to it is answered as a list."""


class Contacts(_Reply):
    """All contacts of the settings."""

    contacts: list[Contact]


class Setting(_Reply):
    """One setting."""

    key: str
    """With dots, as ``mqtt.url``."""
    value: Any
    """Secrets are ``**********``."""
    source: Literal["default", "file", "environment", "secrets"]
    secret: bool
    description: str | None


class Settings(_Reply):
    """All settings, and where each comes from."""

    settings: list[Setting]


class Me(_Reply):
    """Whose token this is."""

    name: str
    scopes: list[Scope]
    per_minute: int | None
    daily_cap: int | None


class Token(_Reply):
    """A token, without what it is."""

    name: str
    scopes: list[Scope]
    created_at: Time
    per_minute: int | None
    daily_cap: int | None


class Tokens(_Reply):
    """All tokens that are valid."""

    tokens: list[Token]


class CreatedToken(Token):
    """A new token."""

    token: str
    """Shown this once."""


class Claimed(_Reply):
    """The owner's token."""

    name: str
    scopes: list[Scope]
    token: str
    """Shown this once."""


class RevokedToken(_Reply):
    """A token that lets nobody in any more."""

    name: str


class Description(BaseModel):
    """An OpenAPI document."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True, defer_build=True)

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]


class Claimable(_Reply):
    """Whether the hub has an owner."""

    claimed: bool
