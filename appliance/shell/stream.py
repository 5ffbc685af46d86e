"""The hub's events, one after the other, through restarts of the hub and failures of the network.

Promise: an event with a number is told once and in order, whatever happens in between: after a break the stream goes on
behind the last number it has seen (``Last-Event-ID``, HTML Living Standard §9.2). Half an event is not told.

What it cannot do: go on without a gap before it knows a number, where neither ``after`` was given nor the hub has told
where the stream begins. What has no number (``modem``: how a modem is now) is told anew after a break.
"""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from appliance.errors import HubUnreachable, RefusedByHub
from appliance.shell.wire import API

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Iterator
    from types import TracebackType

    from appliance.shell.wire import Wire

__all__ = ["Block", "Event", "EventStream", "blocks"]

SILENCE = 320.0
"""Seconds after which a silent stream is taken for broken; a hub's signs of life come at least every 300 s
(``http.heartbeat``), by default every 15 s."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before the stream is opened again; doubles with each failure. A hub's restart takes about one second."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that the hub tells.

    Attributes:
        seq: its place in the order of all events; None for what is only how something is now.
        kind: ``message``, ``received``, ``call``, ``recovery``, ``store``, ``modem``; more may come.
        body: the JSON object, with the names of MQTT.
    """

    seq: int | None
    kind: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two empty lines of an event stream; ``data`` is None where it only tells an id."""

    id: str | None
    kind: str
    data: str | None


def blocks(lines: Iterable[bytes]) -> Iterator[Block]:
    """PURE: the blocks in the lines of an event stream; an unfinished one at the end is dropped (§9.2.6)."""
    id_: str | None = None
    kind = "message"
    data: list[str] = []
    for line in lines:
        if not line.endswith(b"\n"):
            return  # the stream ended within this line
        field, _, value = line.rstrip(b"\r\n").decode().partition(":")
        value = value.removeprefix(" ")
        match field:
            case "" if not value and not line.startswith(b":"):
                if data or id_ is not None:
                    yield Block(id_, kind, "\n".join(data) if data else None)
                id_, kind, data = None, "message", []
            case "id":
                id_ = value
            case "event":
                kind = value
            case "data":
                data.append(value)


class EventStream:
    """An iterator of :class:`Event` that never ends by itself; close it, or leave its ``with``.

    Args:
        wire: the way to the hub.
        after: replay what came after this event; None: from now on.
        kinds: only these; empty: all.
        on_break: told in words, once, when the stream has broken and is being opened again.
        sleep: in seconds.

    Raises:
        HubUnreachable: it cannot be opened in the first place; later that is tried for ever.
        RefusedByHub: the same; later only with a status below 500 other than 429, as when the token was revoked.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        after: int | None = None,
        kinds: Collection[str] = (),
        on_break: Callable[[str], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.last = after
        """The number of the newest event that the stream is past of; None: not known yet."""
        self._wire = wire
        self._kinds = frozenset(kinds)
        self._on_break = on_break
        self._sleep = sleep
        self._response = self._open()
        self._events = self._read()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        return next(self._events)

    def close(self) -> None:
        """End the stream."""
        self._events.close()
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> http.client.HTTPResponse:
        headers = {"Accept": "text/event-stream"}
        if self.last is not None:
            headers["Last-Event-ID"] = str(self.last)
        return self._wire.open("GET", f"{API}/events", headers=headers, timeout=SILENCE)

    def _read(self) -> Generator[Event, None, None]:
        while True:
            try:
                for block in blocks(self._response):
                    event = self._passed(block)
                    if event is not None:
                        yield event
            except (OSError, http.client.HTTPException):
                pass  # as good as an end
            self._response.close()
            self._again()

    def _passed(self, block: Block) -> Event | None:
        """Note how far the stream is; the event, if it is one that is wanted and new."""
        seq = int(block.id) if block.id is not None and block.id.isascii() and block.id.isdigit() else None
        if seq is not None:
            if self.last is not None and seq <= self.last:
                return None
            self.last = seq
        if block.data is None or (self._kinds and block.kind not in self._kinds):
            return None
        return Event(seq, block.kind, json.loads(block.data))

    def _again(self) -> None:
        """Open the stream again, as often as it takes."""
        if self._on_break is not None:
            self._on_break("the hub has ended the connection: it is asked again until it answers")
        pause = FIRST_PAUSE
        while True:
            self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            try:
                self._response = self._open()
            except RefusedByHub as refused:
                if refused.status < 500 and refused.status != 429:
                    raise
                pause = max(pause, min(refused.retry_after or 0.0, LONGEST_PAUSE))
            except HubUnreachable:
                continue
            else:
                return
