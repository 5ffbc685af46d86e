"""The public HTTP API as methods, for scripts: what goes in and out is the API's JSON, with the API's names.

Promise: :meth:`HubClient.send` never texts twice. Each call has an idempotency key (promise S4), its own unless one is
given; when the connection breaks off, the same call is made again under the same key until the hub answers or
``PATIENCE`` is over, and the exception then names the key.

What it does not do: keep connections, cache, or check what the hub checks.

Raises, everywhere: ``RefusedByHub`` (code, detail, pointer, retry_after, status), ``HubUnreachable``, ``HubBrokeOff``;
all of them are ``ModemhubError``.
"""

from __future__ import annotations

import base64
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict, cast
from urllib.parse import quote

from appliance.errors import HubBrokeOff, HubUnreachable, RefusedByHub, SettingsError
from appliance.shell.stream import EventStream
from appliance.shell.wire import API, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

__all__ = ["HubClient", "Message", "Preview", "Reason", "Received"]

TIMEOUT = 30.0
"""Seconds that the hub may be silent over one request, beside what it was asked to wait: it commits in milliseconds, on
a worn-out SD card in seconds."""

WAIT_AT_ONCE = 60.0
"""Seconds; the longest ``?wait=``."""

PATIENCE = 20.0
"""Seconds that a send is asked again after its connection broke off: a hub's restart takes about one."""

PAUSE = 1.0
"""Seconds between two askings."""

PAGE = 200
"""Messages of one page; the API's most."""


Reason = TypedDict("Reason", {"code": str, "class": str, "text": str})
"""Why a message ended or waits: a stable code, what it means for retrying, and words for a person."""


class Message(TypedDict, total=False):
    """A message on its way out. ``final``: nothing more will become of it."""

    id: str
    seq: int
    state: str
    final: bool
    to: str
    to_given: str
    client: str
    text: str
    data: str
    encoding: str
    segments: list[dict[str, Any]]
    attempts: int
    maybe_duplicate: bool
    reason: Reason | None
    sim: str | None
    accepted_at: str
    updated_at: str
    expires_at: str


Received = TypedDict(
    "Received",
    {
        "id": str,
        "seq": int,
        "from": str,
        "text": str,
        "data": str,
        "received_at": str,
        "sent_at": "str | None",
        "modem": str,
        "sim": "str | None",
        "encoding": str,
        "segments": int,
        "complete": bool,
        "missing": list[int],
        "undecodable": dict[str, Any],
        "replayed": bool,
    },
    total=False,
)
"""A message that has arrived. ``seq`` grows; one that is completed later is told again under a new one."""


class Preview(TypedDict):
    """How a text would be sent."""

    encoding: str
    segments: int
    units: list[int]
    capacity: int
    forcing: list[str]
    substitutions: list[dict[str, Any]]
    recipients: int
    cost_segments: int


class HubClient:
    """One hub, by its public API.

    Args:
        url: ``http://host:port`` or ``https://host:port``.
        token: a bearer token with the scopes of what is asked (``modemhub token create``).
        ca: file of PEM certificates that are trusted instead of the machine's.
        fingerprint: SHA-256 of the hub's own certificate in hex: that certificate alone is trusted.
        newest: number of the newest event, where it is known: streams of what is new begin behind it, so that a break
            before their first event leaves no gap either.
        timeout: seconds that the hub may be silent.
        now: seconds of any beginning.
        sleep: in seconds.

    Raises:
        SettingsError: the url, the file or the fingerprint cannot be.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        ca: Path | None = None,
        fingerprint: str | None = None,
        newest: int | None = None,
        timeout: float = TIMEOUT,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._wire = Wire(url, token, ca=ca, fingerprint=fingerprint, timeout=timeout)
        self._newest = newest
        self._now = now
        self._sleep = sleep

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """The hub of ``MODEMHUB_URL``, ``MODEMHUB_TOKEN`` and perhaps ``MODEMHUB_CA`` or ``MODEMHUB_FINGERPRINT``.

        Raises:
            SettingsError: one of the first two is missing, or one is wrong.
        """
        missing = [name for name in ("MODEMHUB_URL", "MODEMHUB_TOKEN") if not environment.get(name)]
        if missing:
            raise SettingsError(f"{' and '.join(missing)}: not set in the environment")
        ca = environment.get("MODEMHUB_CA")
        return cls(
            environment["MODEMHUB_URL"],
            environment["MODEMHUB_TOKEN"].strip(),
            ca=Path(ca) if ca else None,
            fingerprint=environment.get("MODEMHUB_FINGERPRINT") or None,
        )

    @property
    def url(self) -> str:
        """Where the hub is."""
        return self._wire.url

    # ------------------------------------------------------------------ out

    def send(
        self,
        to: str | Sequence[str],
        text: str | None = None,
        *,
        data: bytes | None = None,
        id: str | None = None,  # noqa: A002 - the API's name
        wait: float = 0,
        **options: Any,
    ) -> list[Message]:
        """Have a text, or 8-bit data, sent; the messages, one for each number, accepted for good.

        Args:
            to: a number, a contact, or several of them.
            text: what to say.
            data: octets instead of a text.
            id: idempotency key: whoever sends the same under the same key within 7 days gets the same messages.
            wait: seconds to wait until all of them have ended (``final``).
            options: ``modem``, ``sim``, ``priority``, ``ttl``, ``validity``, ``report``, ``encoding``, ``flash``,
                ``on_in_doubt``, ``port``, as in the API; None is left out.
        """
        deadline = self._now() + wait
        messages = self._accepted(_command(to, text, data, {**options, "id": id or secrets.token_hex(16)}), deadline)
        while not all(message["final"] for message in messages) and self._now() < deadline:
            self._sleep(PAUSE)
            try:
                messages = [one if one["final"] else self.message(one["id"]) for one in messages]
            except HubUnreachable:
                continue  # it took the messages, and starts anew perhaps
        return messages

    def _accepted(self, command: dict[str, Any], deadline: float) -> list[Message]:
        """The messages of this command, which the hub may have taken before the connection broke off."""
        broke: HubBrokeOff | None = None
        give_up = 0.0
        while True:
            wait = max(0.0, min(WAIT_AT_ONCE, deadline - self._now()))
            try:
                answer = self._wire.ask(
                    "POST",
                    f"{API}/messages",
                    query={"wait": f"{wait:g}"},
                    body=command,
                    timeout=self._wire.timeout + wait,
                )
            except HubUnreachable as error:
                if broke is None:
                    if not isinstance(error, HubBrokeOff):
                        raise
                    broke, give_up = error, self._now() + PATIENCE
                if self._now() >= give_up:
                    raise HubBrokeOff(
                        f"{broke}; whether it took the text is not known: it is not sent twice when the same is sent"
                        f" again under the same id, {command['id']}"
                    ) from error
                self._sleep(PAUSE)
            else:
                return cast("list[Message]", answer.get("messages", [answer]))

    def preview(
        self, to: str | Sequence[str], text: str | None = None, *, data: bytes | None = None, **options: Any
    ) -> Preview:
        """How it would be sent, and what it would cost; nothing is sent."""
        return cast(
            "Preview", self._wire.ask("POST", f"{API}/messages/preview", body=_command(to, text, data, options))
        )

    def message(self, id: str) -> Message:  # noqa: A002 - the API's name
        """What became of a message."""
        return cast("Message", self._wire.ask("GET", f"{API}/messages/{quote(id, safe='')}"))

    def messages(self, *, to: str | None = None, state: str | None = None) -> Iterator[Message]:
        """The messages on their way out, newest first: to this number, in this state."""
        for one in self._pages(f"{API}/messages", "before", {"to": to, "state": state}):
            yield cast("Message", one)

    def cancel(self, id: str) -> Message:  # noqa: A002 - the API's name
        """Cancel a message; refused with ``not_cancellable`` once a modem has it."""
        return cast("Message", self._wire.ask("DELETE", f"{API}/messages/{quote(id, safe='')}"))

    # ------------------------------------------------------------------ in

    def inbox(self, *, since_seq: int = 0, sender: str | None = None) -> Iterator[Received]:
        """What was received after ``since_seq``, oldest first."""
        for one in self._pages(f"{API}/inbox", "since_seq", {"since_seq": since_seq, "sender": sender}):
            yield cast("Received", one)

    def newest(self, *, sender: str | None = None) -> Iterator[Received]:
        """What was received, newest first."""
        for one in self._pages(f"{API}/inbox", "before", {"before": 0, "sender": sender}):
            yield cast("Received", one)

    def _pages(self, path: str, cursor: str, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
        while True:
            page = self._wire.ask("GET", path, query={**query, "limit": PAGE})
            yield from page["messages"]
            if page["next"] is None:
                return
            query = {**query, cursor: page["next"]}

    # ------------------------------------------------------------------ the hub

    def events(
        self,
        *,
        after: int | None = None,
        kinds: Collection[str] = (),
        on_break: Callable[[str], None] | None = None,
    ) -> EventStream:
        """What happens from now on, or from after the event ``after`` on, for ever and through restarts of the hub.

        Args:
            after: a number of an event (``Event.seq``).
            kinds: only these; empty: all.
            on_break: told in words when the connection is being made again.
        """
        begin = self._newest if after is None else after
        return EventStream(self._wire, after=begin, kinds=kinds, on_break=on_break, sleep=self._sleep)

    def modems(self) -> list[dict[str, Any]]:
        """All modems."""
        return cast("list[dict[str, Any]]", self._wire.ask("GET", f"{API}/modems")["modems"])

    def contacts(self) -> list[dict[str, Any]]:
        """The names of the hub's settings: ``name``, ``numbers``, ``group``."""
        return cast("list[dict[str, Any]]", self._wire.ask("GET", f"{API}/contacts")["contacts"])

    def status(self) -> dict[str, Any]:
        """How the hub is: ``status`` is ``ok`` or ``degraded``, ``problems`` says why."""
        return cast("dict[str, Any]", self._wire.ask("GET", f"{API}/status"))

    def check(self) -> None:
        """Return when a hub answers; needs no token.

        Raises:
            HubUnreachable: none does.
        """
        try:
            self._wire.ask("GET", "/healthz")
        except RefusedByHub as refused:
            raise HubUnreachable(f"what answers at {self.url} is no hub: {refused.detail}") from refused


def _command(
    to: str | Sequence[str], text: str | None, data: bytes | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The JSON of a command, without what was not given."""
    given = {
        **options,
        "to": to if isinstance(to, str) else list(to),
        "text": text,
        "data": None if data is None else base64.b64encode(data).decode("ascii"),
    }
    return {name: value for name, value in given.items() if value is not None}
