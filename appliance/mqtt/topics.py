"""PURE: which topic means what, below one base topic (SPEC §5).

In: ``send``, ``send/<digits or contact>``, ``request/<verb>``. Out: ``status``, ``info``, ``health``, ``message/<id>``,
``received``, ``call``, ``response``, and of each modem ``modem/<imei>/state``, ``…/availability``, ``…/recovery``; for
Home Assistant ``modem/<imei>/event``, ``…/call``, ``…/last_received``. Nothing else is read or written below the base
topic.

Below the topic that hubs share, in: ``send``, ``send/<digits or contact>``; out: ``response``; both: ``hubs/<hub id>``.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Request", "Send", "SendText", "SharedTopics", "Topics"]

_E164_DIGITS = range(7, 16)
"""Digits of an international number that is taken as such without its ``+`` (E.164 §6: at most 15; shorter ones are
short codes)."""


@dataclass(frozen=True, slots=True)
class Send:
    """``send``: the payload is a JSON command."""


@dataclass(frozen=True, slots=True)
class SendText:
    """``send/<digits or contact>``: the payload is the text."""

    to: str


@dataclass(frozen=True, slots=True)
class Request:
    """``request/<verb>``: the payload is the verb's JSON."""

    verb: str


class Topics:
    """The topics below ``base``."""

    __slots__ = ("_base", "_below", "call", "health", "info", "received", "response", "send", "status")

    def __init__(self, base: str) -> None:
        self._base = base
        self._below = base + "/"
        self.status = f"{base}/status"
        self.info = f"{base}/info"
        self.health = f"{base}/health"
        self.send = f"{base}/send"
        self.received = f"{base}/received"
        self.response = f"{base}/response"
        self.call = f"{base}/call"

    @property
    def commands(self) -> tuple[str, ...]:
        """The filters to subscribe to."""
        return (self.send, f"{self.send}/+", self.request("#"))

    def request(self, verb: str) -> str:
        """Where a verb is asked for."""
        return f"{self._base}/request/{verb}"

    def message(self, id: str) -> str:  # noqa: A002 - the public word
        """Where transitions of one outbound message are told."""
        return f"{self._base}/message/{id}"

    def modem_state(self, imei: str) -> str:
        """Where a modem's state is told."""
        return f"{self._base}/modem/{imei}/state"

    def modem_recovery(self, imei: str) -> str:
        """Where each step of a modem's recovery is told."""
        return f"{self._base}/modem/{imei}/recovery"

    def modem_availability(self, imei: str) -> str:
        """Where it is told whether a modem is there."""
        return f"{self._base}/modem/{imei}/availability"

    def modem_event(self, imei: str) -> str:
        """Where Home Assistant is told of a modem's texts."""
        return f"{self._base}/modem/{imei}/event"

    def modem_call(self, imei: str) -> str:
        """Where Home Assistant is told of a modem's calls."""
        return f"{self._base}/modem/{imei}/call"

    def modem_last_received(self, imei: str) -> str:
        """Where Home Assistant is told the text that came last."""
        return f"{self._base}/modem/{imei}/last_received"

    @property
    def availabilities(self) -> str:
        """The filter of all modems' availability."""
        return self.modem_availability("+")

    def holds(self, topic: str) -> bool:
        """Whether this is the base topic or one below it."""
        return f"{topic}/".startswith(self._below)

    def modem_of_availability(self, topic: str) -> str | None:
        """The IMEI whose availability this topic tells; None when it is another topic."""
        match topic.removeprefix(self._below).split("/") if topic.startswith(self._below) else []:
            case ["modem", imei, "availability"]:
                return imei
            case _:
                return None

    def meaning(self, topic: str) -> Send | SendText | Request | None:
        """What a command's topic asks for; None when it is none of ours."""
        match _path(topic, self._below):
            case ["send", *rest]:
                return _send(rest)
            case ["request", verb]:
                return Request(verb)
            case _:
                return None

    def may_answer_on(self, topic: str) -> bool:
        """Whether an answer may go to this Response Topic.

        Never to a topic of ours other than ``response`` and below: a requester must not make the hub text somebody or
        tell a false state with the hub's own rights.
        """
        return _may_answer_on(topic, self._below, self.response)


class SharedTopics:
    """The topics below ``topic``, which the hubs of one group drain together (MQTT 5.0 §4.8.2)."""

    __slots__ = ("_below", "commands", "hubs", "response")

    def __init__(self, group: str, topic: str) -> None:
        self._below = topic + "/"
        self.response = f"{topic}/response"
        self.hubs = f"{topic}/hubs/+"
        """The filter of what the hubs of the group say of themselves."""
        self.commands = (f"$share/{group}/{topic}/send", f"$share/{group}/{topic}/send/+")
        """The filters to subscribe to."""

    def meaning(self, topic: str) -> Send | SendText | None:
        """What a command's topic asks for; None when it is none of these."""
        match _path(topic, self._below):
            case ["send", *rest]:
                return _send(rest)
            case _:
                return None

    def hub(self, hub_id: str) -> str:
        """Where a hub of the group says whether it is able to send."""
        return f"{self._below}hubs/{hub_id}"

    def hub_of(self, topic: str) -> str | None:
        """The hub that says how it is on this topic; None when it is another topic."""
        match _path(topic, self._below):
            case ["hubs", hub_id] if hub_id and "/" not in hub_id:
                return hub_id
            case _:
                return None

    def may_answer_on(self, topic: str) -> bool:
        """Whether an answer may go to this Response Topic: never to where another hub would take it for a command."""
        return _may_answer_on(topic, self._below, self.response)


def _path(topic: str, below: str) -> list[str]:
    return topic.removeprefix(below).split("/", 1) if topic.startswith(below) else []


def _send(rest: list[str]) -> Send | SendText | None:
    match rest:
        case []:
            return Send()
        case [to] if to and "/" not in to:
            return SendText(_recipient(to))
        case _:
            return None


def _may_answer_on(topic: str, below: str, response: str) -> bool:
    if not topic or any(c in topic for c in "+#\0") or topic.startswith("$"):
        return False
    return not f"{topic}/".startswith(below) or f"{topic}/".startswith(f"{response}/")


def _recipient(number: str) -> str:
    """``+`` is illegal in topics: digits that can only be an international number get it back."""
    international = number.isascii() and number.isdigit() and len(number) in _E164_DIGITS and not number.startswith("0")
    return f"+{number}" if international else number
