"""PURE: the topics and payloads of Domochip's sms2mqtt, for who has built on them (``[mqtt] sms2mqtt = "sms2mqtt"``).

===================  =======================================================================================
``<prefix>/send``    in: ``{"number": "+447700900123;+447700900456", "text": "…"}``, names in any case
``…/sent``           one for each number, when it has left or never will: ``{"result": "success", "datetime",
                     "number", "text"}``; ``"result": "error : …"`` says why not, with the ``payload`` where that is
                     what is wrong. Every text that this hub sends is told there, whoever asked for it
``…/received``       ``{"datetime", "number", "text"}``
``…/connected``      retained: ``1``, and ``0`` when the hub stops
``…/signal``         ``{"SignalStrength", "SignalPercent", "BitErrorRate"}``, of the modem that hears best
``…/network``        ``{"NetworkName", "State"}``, of the same one
===================  =======================================================================================

Other than there: a text that arrives in parts is told when it is whole, or given up; a command is acknowledged when it
is committed; retained commands are refused; a hub that dies leaves ``connected`` at ``1``, as an MQTT client has one
last will, and ours is on ``<base>/status``. There is no ``battery``: modems on a wire have none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from appliance.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Sms2Mqtt", "Wish"]

_LEFT = frozenset({"submitted"})
_NEVER = frozenset({"failed", "expired", "cancelled", "in_doubt"})

_STATES = {
    "home": "HomeNetwork",
    "sms_only_home": "HomeNetwork",
    "home_no_csfb": "HomeNetwork",
    "roaming": "RoamingNetwork",
    "sms_only_roaming": "RoamingNetwork",
    "roaming_no_csfb": "RoamingNetwork",
    "searching": "RequestingNetwork",
    "denied": "RegistrationDenied",
    "not_registered": "NoNetwork",
}
"""Gammu's words for a registration."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a command asks for."""

    numbers: tuple[str, ...]
    text: str


class Sms2Mqtt:
    """The layout below one prefix."""

    __slots__ = ("connected", "network", "received", "send", "sent", "signal")

    def __init__(self, prefix: str) -> None:
        self.send = f"{prefix}/send"
        self.sent = f"{prefix}/sent"
        self.received = f"{prefix}/received"
        self.connected = f"{prefix}/connected"
        self.signal = f"{prefix}/signal"
        self.network = f"{prefix}/network"

    def may_answer_on(self, topic: str) -> bool:
        """Whether an answer may go to this Response Topic: not where it would be a command."""
        return topic != self.send

    @staticmethod
    def wish(payload: bytes, *, retained: bool) -> Wish:
        """Read a command.

        Raises:
            Rejected: ``invalid``, ``retained``.
        """
        if retained:
            raise Rejected("retained", "a retained command is refused: each reconnect would carry it out again")
        try:
            given = json.loads(payload, strict=False)
        except ValueError as error:
            raise Rejected("invalid", f"failed to decode JSON ({error})") from error
        named = {key.lower(): value for key, value in given.items()} if isinstance(given, dict) else {}
        number, text = named.get("number"), named.get("text")
        numbers = [each.replace(" ", "") for each in number.split(";")] if isinstance(number, str) else []
        numbers = list(dict.fromkeys(each for each in numbers if each))
        if not numbers:
            raise Rejected("invalid", "no number to send to")
        if not isinstance(text, str):
            raise Rejected("invalid", "no text body to send")
        return Wish(tuple(numbers), text)

    @staticmethod
    def wrong(payload: bytes, detail: str) -> dict[str, Any]:
        """What is told of a command that cannot be read."""
        return {"result": f"error : {detail}", "payload": payload.decode(errors="replace")}

    @staticmethod
    def refused(number: str, text: str, detail: str, *, at: str) -> dict[str, Any]:
        """What is told of a number that is not texted."""
        return {"result": f"error : {detail}", "datetime": _naive(at), "number": number, "text": text}

    @staticmethod
    def outcome(message: Mapping[str, Any]) -> dict[str, Any] | None:
        """What is told of an outbound message (with its text) in the state it is in; None: nothing."""
        reason = message.get("reason") or {}
        if message["state"] in _LEFT and reason.get("code") != "no_report":
            result = "success"
        elif message["state"] in _NEVER:
            result = f"error : {message['state']}" + (f" ({reason['text']})" if reason.get("text") else "")
        else:
            return None
        return {
            "result": result,
            "datetime": _naive(message["updated_at"]),
            "number": message["to"],
            "text": message.get("text") or "",
        }

    @staticmethod
    def arrived(body: Mapping[str, Any]) -> dict[str, Any] | None:
        """What is told of a received message; None: it is no text."""
        if "text" not in body:
            return None
        at = body.get("sent_at") or body["received_at"]
        return {"datetime": _naive(at), "number": body["from"], "text": body["text"]}

    @staticmethod
    def best(modems: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """The modem that hears best, of those that can send."""
        able = [modem for modem in modems if modem.get("available")]
        return max(able, key=lambda modem: modem["signal_dbm"] or -1000, default=None)

    @staticmethod
    def signal_of(modem: Mapping[str, Any]) -> dict[str, Any] | None:
        """What is told of a modem's signal; None: it is not known."""
        dbm = modem["signal_dbm"]
        if dbm is None:
            return None
        percent = min(100, max(0, round((dbm + 113) / 2 * 100 / 31)))  # of the steps of +CSQ (27.007 §8.5)
        return {"SignalStrength": dbm, "SignalPercent": percent, "BitErrorRate": -1}

    @staticmethod
    def network_of(modem: Mapping[str, Any]) -> dict[str, Any]:
        """What is told of a modem's network."""
        return {
            "NetworkName": modem["operator"] or "",
            "State": _STATES.get(modem["registration"] or "", "Unknown"),
        }


def _naive(at: str) -> str:
    """A time as there: without a zone; a text's is the service centre's own."""
    return datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M:%S")
