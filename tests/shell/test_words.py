"""What a person reads, and what a person writes for a moment."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from appliance.shell.holder import is_alive, this_process
from appliance.shell.words import has_failed, moment, plain, preview_lines, received_lines, sent_line, status_lines

if TYPE_CHECKING:
    from appliance.shell import Message, Preview, Received

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("0", 0),
        ("41", 41),
        ("90s", NOW - timedelta(seconds=90)),
        ("15m", NOW - timedelta(minutes=15)),
        ("2h", NOW - timedelta(hours=2)),
        ("7d", NOW - timedelta(days=7)),
        ("2w", NOW - timedelta(days=14)),
        ("2026-11-26", NOW.replace(hour=0)),
        ("2026-11-26T08:30", NOW.replace(hour=8, minute=30)),
        ("2026-11-26T08:30:00+00:00", datetime(2026, 11, 26, 8, 30, tzinfo=UTC)),
        ("2026-11-26T08:30:00Z", datetime(2026, 11, 26, 8, 30, tzinfo=UTC)),
    ],
)
def test_moments(given: str, meant: int | datetime) -> None:
    assert moment(given, now=NOW) == meant


@pytest.mark.parametrize("given", ["", "yesterday", "-5", "5 m", "5x", "1.5h", "٣", "2026-13-01", "9" * 20, "999999w"])
def test_what_is_no_moment(given: str) -> None:
    with pytest.raises(ValueError, match="is no moment"):
        moment(given, now=NOW)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße 😀\tx\ny", "Grüße 😀\tx\ny"),
        ("a\r\nb", "a\nb"),
        ("a\rb", r"a\x0db"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("evil\u202etxt", r"evil\x202etxt"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
    ],
)
def test_no_sender_steers_the_terminal(text: str, shown: str) -> None:
    assert plain(text) == shown


def sent(**more: Any) -> Message:
    message: dict[str, Any] = {
        "id": "out_1",
        "to": "+447700900123",
        "state": "delivered",
        "final": True,
        "reason": None,
        "maybe_duplicate": False,
        **more,
    }
    return message  # type: ignore[return-value] # as the API says it


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({}, "out_1\t+447700900123\tdelivered\tis on the phone"),
        ({"to_given": "anna"}, "out_1\t+447700900123 (anna)\tdelivered\tis on the phone"),
        ({"to_given": "07700 900123"}, "out_1\t+447700900123\tdelivered\tis on the phone"),
        ({"state": "submitted"}, "out_1\t+447700900123\tsubmitted\tthe network has it"),
        (
            {"state": "submitted", "final": False},
            "out_1\t+447700900123\tsubmitted\tthe network has it; its report is waited for",
        ),
        (
            {"state": "failed", "reason": {"code": "cms_1", "class": "permanent", "text": "no such number"}},
            "out_1\t+447700900123\tfailed\twas not sent: no such number (cms_1)",
        ),
        ({"maybe_duplicate": True}, "out_1\t+447700900123\tdelivered\tis on the phone; it may arrive twice"),
        ({"state": "new"}, "out_1\t+447700900123\tnew\t"),
    ],
)
def test_a_sent_message_is_one_line(more: dict[str, Any], line: str) -> None:
    assert sent_line(sent(**more)) == line


@pytest.mark.parametrize(
    ("state", "final", "failed"),
    [
        ("queued", False, False),
        ("submitted", False, False),
        ("submitted", True, False),
        ("delivered", True, False),
        ("undelivered", True, True),
        ("failed", True, True),
        ("expired", True, True),
        ("cancelled", True, True),
        ("in_doubt", False, False),
        ("in_doubt", True, True),
    ],
)
def test_what_counts_as_failed(state: str, final: bool, failed: bool) -> None:
    assert has_failed(sent(state=state, final=final)) == failed


def received(**more: Any) -> Received:
    message: dict[str, Any] = {
        "seq": 7,
        "from": "+447700900123",
        "received_at": NOW.astimezone().isoformat(),
        "segments": 1,
        "complete": True,
        **more,
    }
    return message  # type: ignore[return-value] # as the API says it


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({"text": "one"}, ["+447700900123     one"]),
        ({"text": "one\n\ntwo"}, ["+447700900123     one", "", "{}two"]),
        ({"text": ""}, ["+447700900123"]),
        ({"text": "x", "from": "+447700900456"}, ["anna              x"]),
        ({"text": "x", "from": "A\nfake line"}, [r"A\x0afake line" + "    x"]),
        ({"text": "x", "from": None}, ["?                 x"]),
        (
            {"text": "a…", "complete": False, "segments": 3, "missing": [2, 3]},
            ["+447700900123     a… [missing of 3 parts: 2, 3]"],
        ),
        ({"data": "AP8="}, ["+447700900123     [data] AP8="]),
        ({"undecodable": {"detail": "no"}, "from": None}, ["?                 [cannot be decoded: no]"]),
    ],
)
def test_a_received_message_is_a_row_with_its_further_lines_below(more: dict[str, Any], shown: list[str]) -> None:
    head = f"    7  {NOW.astimezone():%Y-%m-%d %H:%M:%S}  "
    first, *below = shown
    indent = " " * (len(head) + 18)
    told = list(received_lines(received(**more), {"+447700900456": "anna"}))
    assert told == [head + first, *(line.format(indent) for line in below)]


def test_a_preview() -> None:
    preview: Preview = {
        "encoding": "ucs2",
        "segments": 2,
        "units": [67, 3],
        "capacity": 67,
        "forcing": ["“"],
        "substitutions": [{"character": "ż", "replacement": "z", "position": 4}],
        "recipients": 3,
        "cost_segments": 6,
    }
    assert list(preview_lines(preview)) == [
        "encoding    UCS-2, because of: '“'",
        "segments    2, 67 + 3 of 67 places used",
        "replaced    'ż' by 'z' at 4",
        "recipients  3",
        "cost        6 segments",
    ]


def test_a_status_says_what_is_wrong_and_what_is_done() -> None:
    problem = {"code": "modem_searching", "subject": "modem 1", "text": "finds no network", "doing": "it is searching"}
    status = {
        "status": "degraded",
        "modems": {"ready": 0, "known": 1},
        "queue": 1,
        "version": "1",
        "hub_id": "h",
        "uptime_seconds": 90061,
        "problems": [problem, {"code": "x", "subject": None, "text": "no more", "doing": None}],
    }
    assert list(status_lines(status, [])) == [
        "degraded: 0 of 1 modem ready, 1 text waiting; modemhub 1, hub h, up for 1 d 1 h",
        "! modem 1: finds no network",
        "  it is searching",
        "! no more",
    ]


def test_a_holder_is_alive_as_long_as_its_process() -> None:
    assert is_alive(this_process())
    pid = os.getpid()
    assert not any(map(is_alive, ("", "1", f"{pid}-", f"{pid}-0", f"-{pid}", "a1b2c3d4", "99999999-5")))
    script = "from appliance.shell.holder import this_process; print(this_process(), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        holder = other.stdout.readline().decode().strip()
        assert is_alive(holder)
        other.kill()
        other.wait()
    assert not is_alive(holder)
