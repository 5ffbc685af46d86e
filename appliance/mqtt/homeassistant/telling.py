"""PURE: an event of the hub as Home Assistant's event entities take it.

The payload is a JSON object with ``event_type``; everything else becomes attributes. Home Assistant's recorder drops
the attributes of a state that exceed 16 KiB, so a very long text is cut to fit, and says so (``truncated``): the whole
is in the inbox, and was told on ``received``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.mqtt.tail import compact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.hub import Event

__all__ = ["LONGEST", "Told", "last_received", "telling"]

LONGEST = 15_000
"""Octets of JSON: 16 KiB less what Home Assistant adds of its own."""

_SMS_TYPE = {
    "submitted": "sent",
    "delivered": "delivered",
    "undelivered": "undelivered",
    "failed": "failed",
    "expired": "expired",
    "cancelled": "cancelled",
    "in_doubt": "in_doubt",
}
"""State of a message → event_type; the states on the way are not told."""

_OF_RECEIVED = (
    "id",
    "seq",
    "from",
    "contact",
    "text",
    "data",
    "port",
    "received_at",
    "sent_at",
    "encoding",
    "segments",
    "complete",
    "missing",
    "undecodable",
)
_OF_MESSAGE = ("id", "to", "to_given", "contact", "client", "reason", "maybe_duplicate", "attempts", "updated_at")


@dataclass(frozen=True, slots=True)
class Told:
    """What is told, and of which modem."""

    imei: str
    payload: str
    call: bool = False
    """On the modem's call topic; else on its event topic."""


def telling(
    event: Event,
    *,
    modem_of: Callable[[str | None], str | None],
    contact_of: Callable[[str | None], str | None],
    replayed: bool,
) -> Told | None:
    """What Home Assistant is told of an event; None: nothing.

    Args:
        event: of the journal.
        modem_of: the IMEI of the modem that has this SIM.
        contact_of: the name of this number.
        replayed: it is told late, or again.
    """
    body = event.body
    match event.kind:
        case "received":
            kind = "undecodable" if "undecodable" in body else "received"
            named = body | {"contact": contact_of(body.get("from"))}
            return _sms(body.get("modem"), kind, named, _OF_RECEIVED, replayed=replayed)
        case "message":
            kind = _SMS_TYPE.get(body.get("state", ""), "")
            why = body.get("reason") or {}
            if not kind or (kind == "sent" and why.get("code") == "no_report"):  # told when it was sent
                return None
            named = body | {"contact": contact_of(body.get("to"))}
            return _sms(modem_of(body.get("sim")), kind, named, _OF_MESSAGE, replayed=replayed)
        case "call":
            imei = body.get("modem")
            number = body.get("from")
            told = {"event_type": "incoming", "from": number, "contact": contact_of(number), "at": event.at}
            return None if imei is None else Told(imei, _fit(told | {"replayed": replayed}), call=True)
        case _:
            return None


def _sms(
    imei: str | None, kind: str, body: Mapping[str, Any], names: tuple[str, ...], *, replayed: bool
) -> Told | None:
    if imei is None:
        return None
    told = {"event_type": kind, **{name: body[name] for name in names if name in body}, "replayed": replayed}
    return Told(imei, _fit(told))


def last_received(body: Mapping[str, Any], *, contact_of: Callable[[str | None], str | None]) -> str:
    """The payload of the sensor "Last SMS", from a received message."""
    named = {**body, "contact": contact_of(body.get("from"))}
    return _fit({name: named[name] for name in _OF_RECEIVED if name in named})


def _fit(told: dict[str, Any]) -> str:
    """As JSON, its text cut where it would be too long."""
    payload = compact(told)
    over = len(payload.encode()) - LONGEST
    if over <= 0:
        return payload
    name = "text" if told.get("text") else "data"
    whole = str(told.get(name, ""))
    kept = len(whole)
    while over > 0 and kept:
        kept = max(0, kept - max(over // 6, 1))  # a character is at most 6 octets, where JSON escapes it
        payload = compact({**told, name: whole[:kept], "truncated": True})
        over = len(payload.encode()) - LONGEST
    return payload
