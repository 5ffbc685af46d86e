"""The event stream: told once and in order through every break, whatever the octets' cuts."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from appliance.errors import HubUnreachable, RefusedByHub
from appliance.shell.client import HubClient
from appliance.shell.stream import FIRST_PAUSE, LONGEST_PAUSE, Block, blocks
from tests.shell.answering import answering, refused, stream


class Slept:
    """A sleep that takes no time and is remembered."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", []),
        (": still here\n\n", []),
        ("retry: 2000\n\n", []),
        ("id: 7\n\n", [Block("7", "message", None)]),
        ("data: {}\n\n", [Block(None, "message", "{}")]),
        ("id: 7\nevent: call\ndata: {}\n\n", [Block("7", "call", "{}")]),
        ("id: 7\r\nevent:call\r\ndata:{}\r\n\r\n", [Block("7", "call", "{}")]),
        ("data: a\ndata: b\n\n", [Block(None, "message", "a\nb")]),
        ("id: 7\nevent: call\ndata: a: b\n\ndata: c\n\n", [Block("7", "call", "a: b"), Block(None, "message", "c")]),
        ("event: call\ndata: {}\n", []),
        ("id: 7\ndata: {}\n\nid: 8\ndata: {", [Block("7", "message", "{}")]),
        ("future: x\ndata\n\n", [Block(None, "message", "")]),
        ("data: ü\n\n", [Block(None, "message", "ü")]),
    ],
)
def test_blocks(text: str, told: list[Block]) -> None:
    assert list(blocks(text.encode().splitlines(keepends=True))) == told


def test_a_broken_stream_goes_on_behind_the_last_event_and_tells_none_twice() -> None:
    one, two = (10, "message", {"n": 10}), (12, "call", {"n": 12})
    three, four = (13, "message", {"n": 13}), (14, "store", {"n": 14})
    slept, broken = Slept(), list[str]()
    torn = b'id: 13\nevent: message\ndata: {"n": 13}\n'
    with answering(stream(one, two, torn=torn), stream(two, three), stream(four)) as server:
        hub = HubClient(server.url, "t", sleep=slept)
        with hub.events(after=9, on_break=broken.append) as events:
            told = [next(events) for _ in range(4)]
    assert [(event.seq, event.kind, event.body) for event in told] == [one, two, three, four]
    assert [asked.headers.get("Last-Event-ID") for asked in server.asked] == ["9", "12", "13"]
    assert slept.pauses == [FIRST_PAUSE, FIRST_PAUSE]
    assert len(broken) == 2


def test_without_a_number_it_begins_with_what_is_new_and_takes_the_first_number_it_hears() -> None:
    with (
        answering(stream(torn=b"id: 41\n\n"), stream((42, "message", {}))) as server,
        HubClient(server.url, "t", sleep=Slept()).events() as events,
    ):
        assert next(events).seq == 42
    assert [asked.headers.get("Last-Event-ID") for asked in server.asked] == [None, "41"]


def test_only_the_kinds_that_are_wanted_and_what_has_no_number() -> None:
    with (
        answering(stream((1, "call", {}), (None, "modem", {"imei": "1"}), (2, "received", {"a": 1}))) as server,
        HubClient(server.url, "t").events(kinds={"modem", "received"}) as events,
    ):
        told = [next(events), next(events)]
    assert [(event.seq, event.kind) for event in told] == [(None, "modem"), (2, "received")]


@pytest.mark.parametrize(
    ("answers", "raised"),
    [([refused(401, "unauthorized")], RefusedByHub), ([refused(503, "unavailable")], RefusedByHub)],
)
def test_what_cannot_be_opened_at_all_is_said_at_once(answers: list[bytes], raised: type[Exception]) -> None:
    with answering(*answers) as server, pytest.raises(raised):
        HubClient(server.url, "t").events()


def test_nobody_there_is_said_at_once() -> None:
    with pytest.raises(HubUnreachable, match="is modemhub running"):
        HubClient(f"http://127.0.0.1:{unused()}", "t").events()


def test_later_it_is_tried_for_ever_until_the_token_is_refused() -> None:
    slept = Slept()
    away = refused(503, "unavailable", retry_after=10)
    answers: list[Any] = [stream((1, "message", {})), away, *([b""] * 8), refused(429, "too_many"), stream()]
    with (
        answering(*answers, refused(401, "unauthorized")) as server,
        HubClient(server.url, "t", sleep=slept).events() as events,
    ):
        assert next(events).seq == 1
        with pytest.raises(RefusedByHub) as gone:
            next(events)
    assert gone.value.code == "unauthorized"
    assert slept.pauses[:3] == [FIRST_PAUSE, 10, 20]
    assert slept.pauses[3:11] == [LONGEST_PAUSE] * 8


def unused() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
