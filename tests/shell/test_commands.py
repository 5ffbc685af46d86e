"""The command line: which hub it speaks to, how words become a command, and how it ends."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from appliance.__main__ import main
from appliance.__main__ import parsed as parse
from appliance.errors import SettingsError
from appliance.shell import HubClient
from appliance.shell.commands import named_hub, run
from tests.shell.answering import Answering, answering, ok, refused, stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

TO = "+447700900123"

ENVIRONMENT = {"MODEMHUB_URL": "http://of-environment:1", "MODEMHUB_TOKEN": "of-environment"}


@pytest.mark.parametrize(
    ("words", "environment", "url"),
    [
        ([], {}, None),
        ([], ENVIRONMENT, "http://of-environment:1"),
        (["--url", "http://given:2"], ENVIRONMENT, "http://given:2"),
        (["--config", "/etc/one.toml"], ENVIRONMENT, None),
        ([], {"MODEMHUB_URL": "", "MODEMHUB_TOKEN": "x"}, None),
        (["--url", "http://given:2", "--token-file", "{file}"], {}, "http://given:2"),
    ],
)
def test_which_hub_is_meant(words: list[str], environment: dict[str, str], url: str | None, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("of-file\n")
    options = parse(["status", *(word.format(file=file) for word in words)])
    hub = named_hub(options, environment)
    assert (None if hub is None else hub.url) == url


@pytest.mark.parametrize(
    ("words", "environment", "named"),
    [
        (["--url", "http://given:2"], {}, "MODEMHUB_TOKEN"),
        (["--token-file", "/nowhere"], {}, "--token-file"),
        (["--fingerprint", "0" * 64], {}, "--fingerprint"),
        (["--url", "http://given:2", "--token-file", "/nowhere"], {}, "/nowhere"),
        ([], {**ENVIRONMENT, "MODEMHUB_FINGERPRINT": "0" * 64}, "https"),
    ],
)
def test_what_belongs_to_a_hub_is_not_guessed(words: list[str], environment: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        named_hub(parse(["status", *words]), environment)


def test_the_hub_of_the_environment_is_no_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "TOKEN", "CA", "FINGERPRINT"):
        monkeypatch.setenv(f"MODEMHUB_{name}", "x")
    file = tmp_path / "modemhub.toml"
    file.touch()
    assert main(["config", "check", "--config", str(file)]) == 0


@contextlib.contextmanager
def lent(server: Answering) -> Iterator[HubClient]:
    yield HubClient(server.url, "t", sleep=lambda _: None)


def do(server: Answering, *words: str) -> int:
    def lend(_: object, scopes: Sequence[str]) -> contextlib.AbstractContextManager[HubClient]:
        assert scopes
        return lent(server)

    return run(parse(list(words)), lend)


MESSAGE = {"id": "out_1", "to": TO, "state": "delivered", "final": True, "reason": None, "maybe_duplicate": False}


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["+44 7700 900123", "Hi"], {"to": "+44 7700 900123", "text": "Hi"}),
        (["anna, bob,", "Hi"], {"to": ["anna", "bob"], "text": "Hi"}),
        (["--to", "anna", "--to", "bob,carl", "Hi"], {"to": ["anna", "bob", "carl"], "text": "Hi"}),
        (["anna", "--flash", "Hi"], {"to": "anna", "text": "Hi", "flash": True}),
        (["anna", "--flash", "--", "-x"], {"to": "anna", "text": "-x", "flash": True}),
        (["anna", "--", "--preview"], {"to": "anna", "text": "--preview"}),
        (["anna", "-5 °C"], {"to": "anna", "text": "-5 °C"}),
        (["anna", ""], {"to": "anna", "text": ""}),
        (["anna"], {"to": "anna", "text": "of stdin\n"}),
        (["anna", "--no-report", "-"], {"to": "anna", "text": "of stdin\n", "report": False}),
        (
            [
                "anna",
                "x",
                *[
                    "--ttl",
                    "60",
                    "--sim",
                    "1",
                    "--modem",
                    "2",
                    "--priority",
                    "-1",
                    "--encoding",
                    "ucs2",
                    "--on-in-doubt",
                    "hold",
                ],
            ],
            {
                "to": "anna",
                "text": "x",
                "ttl": 60.0,
                "sim": "1",
                "modem": "2",
                "priority": -1,
                "encoding": "ucs2",
                "on_in_doubt": "hold",
            },
        ),
    ],
)
def test_words_become_a_command(words: list[str], body: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"of stdin\n\r\n")))
    with answering(ok(MESSAGE)) as server:
        assert do(server, "send", "--id", "k", *words) == 0
    assert server.asked[0].json == {"id": "k", **body}


@pytest.mark.parametrize(
    "words",
    [
        [],
        [","],
        ["--to", "anna", "two", "words"],
        ["anna", "x", "--file", "y"],
        ["anna", "bad \udcff octets"],
        ["anna", "x", "--wait", "-1"],
        ["anna", "x", "--wait", "nan"],
        ["anna", "x", "--priority", "high"],
        ["anna", "x", "--unknown"],
    ],
)
def test_what_is_no_command_asks_nothing(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with answering() as server, pytest.raises(SystemExit) as ended:
        do(server, "send", *words)
    assert ended.value.code == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "code"), [(400, 2), (401, 2), (403, 2), (422, 2), (409, 1), (429, 1), (500, 1), (503, 1), (507, 1)]
)
def test_a_refusal_is_told_in_the_hubs_words(status: int, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(refused(status, "some_code", retry_after=9)) as server:
        assert do(server, "send", TO, "x") == code
    assert capsys.readouterr().err == "modemhub: because of some_code (again in 9 s)\n"


@pytest.mark.parametrize(("state", "code"), [("delivered", 0), ("queued", 0), ("failed", 1), ("expired", 1)])
def test_the_worst_message_decides(state: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    both = {"messages": [MESSAGE, {**MESSAGE, "id": "out_2", "state": state}]}
    with answering(ok(both)) as server:
        assert do(server, "send", TO, "x", "--json", "--wait", "0") == code
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == both["messages"]


def test_events_are_written_as_they_were_told(capsys: pytest.CaptureFixture[str]) -> None:
    body = {"from": TO, "text": "Grüße"}
    told = stream((None, "modem", {"imei": "1"}), (4, "received", body), (5, "call", {"from": None}))
    with answering(told) as server:
        assert do(server, "events", "--after", "3", "--count", "2") == 0
    assert server.asked[0].headers["Last-Event-ID"] == "3"
    assert capsys.readouterr().out == f'{{"from":"{TO}","text":"Grüße"}}\n{{"from":null}}\n'
    with answering(told) as server:
        assert do(server, "events", "--count", "1", "--kind", "modem", "--envelope") == 0
    assert capsys.readouterr().out == '{"seq":null,"kind":"modem","body":{"imei":"1"}}\n'


def inbox(*seqs: int, more: int | None = None, day: int = 2) -> bytes:
    rows = [
        {"seq": seq, "from": TO, "text": f"t{seq}", "received_at": f"2026-11-{day:02}T00:00:00Z", "complete": True}
        for seq in seqs
    ]
    return ok({"messages": rows, "next": more})


NO_CONTACTS = refused(403, "forbidden")


@pytest.mark.parametrize(
    ("words", "pages", "shown"),
    [
        ([], [inbox(*range(30, 0, -1))], list(range(11, 31))),
        (["--limit", "2"], [inbox(5, 4, 3)], [4, 5]),
        (["--since", "3"], [inbox(6, 5, more=5), inbox(4, 3, 2, more=2)], [4, 5, 6]),
        (["--since", "3", "--limit", "2"], [inbox(6, 5, more=5)], [5, 6]),
        # What was completed later stands among the newest with an old time; what is far older ends the search.
        (
            ["--since", "2026-11-20T00:00Z"],
            [inbox(9, day=21, more=9), inbox(8, day=18, more=8), inbox(7, day=20, more=7), inbox(6, day=2, more=6)],
            [7, 9],
        ),
    ],
)
def test_the_newest_of_the_inbox(
    words: list[str], pages: list[bytes], shown: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(NO_CONTACTS, *pages) as server:
        assert do(server, "inbox", "--json", *words) == 0
    assert [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()] == shown


def test_the_inbox_of_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    contacts = [
        {"name": "anna", "numbers": [TO], "group": False},
        {"name": "family", "numbers": [TO, "+447700900456"], "group": True},
    ]
    with answering(ok({"contacts": contacts}), inbox(2, 1)) as server:
        assert do(server, "inbox", "--from", "family") == 0
    assert "sender=" not in server.asked[1].line
    assert [line.split()[-2:] for line in capsys.readouterr().out.splitlines()] == [["anna", "t1"], ["anna", "t2"]]
    with answering(ok({"contacts": contacts}), inbox(2, 1)) as server:
        assert do(server, "inbox", "--from", "anna") == 0
    assert "sender=%2B447700900123" in server.asked[1].line


def test_following_the_inbox_tells_what_came_between_the_list_and_the_stream_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, two, three = (
        json.loads(inbox(seq).partition(b"\r\n\r\n")[2])["messages"][0] | {"from": sender}
        for seq, sender in ((7, TO), (8, "+447700900456"), (9, TO))
    )
    told = stream((70, "received", one), (71, "received", two), (72, "received", three))
    with answering(ok({"contacts": []}), told, inbox(7), refused(401, "unauthorized")) as server:
        assert do(server, "inbox", "--follow", "--from", TO) == 2  # the token was revoked in the end
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["t7", "t9"]


def test_status_is_not_fine_when_the_hub_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    status = {
        "status": "degraded",
        "problems": [{"code": "c", "subject": "s", "text": "is wrong", "doing": "nothing"}],
        "modems": {"ready": 0, "known": 0},
        "queue": 0,
        "version": "1",
        "hub_id": "h",
        "uptime_seconds": 1.5,
    }
    with answering(ok(status), ok({"modems": []})) as server:
        assert do(server, "status") == 1
    assert capsys.readouterr().out.splitlines()[1:] == ["! s: is wrong", "  nothing"]
