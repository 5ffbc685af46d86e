"""The command line as scripts use it: processes of ``modemhub send``, ``inbox``, ``events``… beside a running hub."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import pytest
import pytest_asyncio

from hil.rig import PATIENCE, Rig, mosquitto_path, rig
from hil.rig.process import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(mosquitto_path() is None, reason="mosquitto is not installed: apt install mosquitto"),
]

ANNA, BOB = "+447700900801", "+447700900802"

FAILED, WRONG_USAGE = 1, 2

CLEAN: Final[Mapping[str, str]] = {}
"""No variable beside those of the test run, of which none is the hub's."""

_numbers = itertools.count(700900600)


@pytest.fixture
def number() -> str:
    """A number of Ofcom's range for drama that no other test uses."""
    return f"+447{next(_numbers)}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """One hub with one modem for all tests of this file; each uses a number of its own."""
    contacts = {"contacts": {"anna": ANNA, "bob": BOB, "family": ["anna", "bob"]}}
    async with rig(tmp_path_factory.mktemp("line"), settings=contacts) as whole:
        yield whole


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left: exit code, standard output by lines, standard error."""

    code: int
    lines: list[str]
    errors: str

    @property
    def jsons(self) -> list[Any]:
        """The lines, each as JSON."""
        return [json.loads(line) for line in self.lines]

    @property
    def fields(self) -> list[list[str]]:
        """The lines, each cut at its tabs."""
        return [line.split("\t") for line in self.lines]


class Command:
    """A running command; both outputs are pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(
        cls, hub: Rig, *words: str, stdin: int = asyncio.subprocess.DEVNULL, environment: Mapping[str, str] = CLEAN
    ) -> Self:
        """Start ``modemhub WORDS…``, with the hub's settings file where nothing else says which hub."""
        named = "MODEMHUB_URL" in environment or "--url" in words or "--config" in words
        config = [] if named else ["--config", str(hub.hub.config)]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "appliance", *words, *config),
            cwd=ROOT,
            env={**clean(os.environ), **environment},
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return cls(process)

    async def line(self) -> str:
        """The next line of its output."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            octets = await self.process.stdout.readline()
        if not octets:
            ended = await self.ended()
            raise AssertionError(f"ended with {ended.code}: {ended.errors}")
        return octets.decode().rstrip("\n")

    async def complaint(self) -> str:
        """The next line of its standard error."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            return (await self.process.stderr.readline()).decode().rstrip("\n")

    async def ended(self, given: bytes | None = None) -> Ended:
        """Wait for its end."""
        async with asyncio.timeout(PATIENCE):
            output, errors = await self.process.communicate(given)
        assert self.process.returncode is not None
        return Ended(self.process.returncode, output.decode().splitlines(), errors.decode())


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith("MODEMHUB_")}


async def run(hub: Rig, *words: str, given: bytes | None = None, **environment: str) -> Ended:
    """Run a command to its end, with ``given`` on its standard input."""
    stdin = asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE
    return await (await Command.start(hub, *words, stdin=stdin, environment=environment)).ended(given)


@contextlib.asynccontextmanager
async def following(hub: Rig, *words: str) -> AsyncIterator[Command]:
    """A command that does not end by itself."""
    command = await Command.start(hub, *words)
    try:
        yield command
    finally:
        if command.process.returncode is None:
            command.process.kill()
            await command.ended()


def at_network(hub: Rig, number: str) -> list[str | None]:
    return [text for to, text in hub.modems.texts() if to == number]


async def lent(hub: Rig) -> list[str]:
    """The names of the tokens that commands hold now."""
    ended = await run(hub, "token", "list")
    assert ended.code == 0, ended.errors
    return [name for name, _ in ended.fields if name.startswith("command-line-")]


# ---------------------------------------------------------------------- send


async def test_send_waits_for_the_delivery_and_says_it_in_one_line(hub: Rig, number: str) -> None:
    ended = await run(hub, "send", number, "Hello from a shell")
    ((id_, to, state, words),) = ended.fields
    assert (ended.code, to, state, words, ended.errors) == (0, number, "delivered", "is on the phone", "")
    assert id_.startswith("out_")
    assert at_network(hub, number) == ["Hello from a shell"]
    assert await lent(hub) == []


async def test_send_to_several_and_to_contacts(hub: Rig, number: str) -> None:
    ended = await run(hub, "send", "--to", f"family,{number}", "--to", "anna", "--json", "to all")
    assert {one["to"]: one["state"] for one in ended.jsons} == dict.fromkeys((ANNA, BOB, number), "delivered")
    for one in (ANNA, BOB, number):
        assert at_network(hub, one) == ["to all"]
    ended = await run(hub, "send", "anna", "--no-report", "to one")
    ((_, to, state, words),) = ended.fields
    assert (to, state, words) == (f"{ANNA} (anna)", "submitted", "the network has it")


@pytest.mark.parametrize("way", ["absent", "-", "file"])
async def test_the_text_comes_from_standard_input_or_a_file(hub: Rig, number: str, way: str, tmp_path: Path) -> None:
    octets = "Grüße\naus der Pipe \N{GRINNING FACE}\n".encode()
    (tmp_path / "text").write_bytes(octets)
    words = {"absent": [], "-": ["-"], "file": ["--file", str(tmp_path / "text")]}[way]
    ended = await run(hub, "send", number, *words, given=octets, LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert ended.code == 0, ended.errors
    assert at_network(hub, number) == ["Grüße\naus der Pipe \N{GRINNING FACE}"]


async def test_the_same_id_sends_once_whatever_process_asks(hub: Rig, number: str) -> None:
    first, second = [await run(hub, "send", number, "once", "--id", f"cli-{number}") for _ in range(2)]
    assert (first.code, second.code) == (0, 0)
    assert first.lines == second.lines
    assert at_network(hub, number) == ["once"]


async def test_preview_sends_nothing(hub: Rig, number: str) -> None:
    ended = await run(hub, "send", number, "--preview", "Smørrebrød “quoted”")
    assert ended.code == 0
    assert ended.lines[0] == "encoding    UCS-2, because of: '“' '”'"
    assert ended.lines[-1] == "cost        1 segment"
    ended = await run(hub, "send", f"family,{number}", "--preview", "--json", "x" * 161)
    assert ended.jsons[0]["cost_segments"] == 6
    assert at_network(hub, number) == []


async def test_what_failed_and_what_is_wrong_differ_in_the_exit_code(hub: Rig, number: str) -> None:
    refused = await run(hub, "send", "+33612345678", "abroad")
    assert (refused.code, refused.lines) == (WRONG_USAGE, [])
    assert "+33612345678" in refused.errors or "destination" in refused.errors
    nobody = await run(hub, "send", "nobody", "x")
    assert (nobody.code, nobody.lines) == (WRONG_USAGE, [])
    unencodable = await run(hub, "send", number, "“", "--encoding", "gsm7")
    assert (unencodable.code, unencodable.lines) == (WRONG_USAGE, [])
    unquoted = await run(hub, "send", number, "two", "words")
    assert (unquoted.code, unquoted.lines) == (WRONG_USAGE, [])
    assert "quotes" in unquoted.errors
    empty = await run(hub, "send", number, given=b"\n")
    assert (empty.code, empty.lines) == (WRONG_USAGE, [])

    await hub.modems.do("set", submit_errors=[1])
    ended = await run(hub, "send", number, "never", "--wait", "30")
    ((_, _, state, words),) = ended.fields
    assert (ended.code, state) == (FAILED, "failed")
    assert words.startswith("was not sent: ")
    assert words.endswith("(cms_1)")
    assert at_network(hub, number) == []
    assert await lent(hub) == []


async def test_nobody_at_the_door_is_said_plainly(hub: Rig, tmp_path: Path) -> None:
    config = tmp_path / "other.toml"
    store = tmp_path / "never" / "modemhub.db"
    config.write_text(f'[http]\nlisten = "127.0.0.1:1"\n[store]\npath = "{store}"\n', encoding="utf-8")
    ended = await run(hub, "send", "--config", str(config), ANNA, "x")
    assert (ended.code, ended.lines) == (FAILED, [])
    assert "is modemhub running?" in ended.errors
    assert "Traceback" not in ended.errors
    assert not store.parent.exists()


async def test_cancel_takes_back_what_waits_and_nothing_else(hub: Rig, number: str) -> None:
    sent = await run(hub, "send", number, "done")
    await hub.modems.do("set", submit_errors=[38])  # network out of order: it is tried again after minutes
    waits = await run(hub, "send", number, "waits", "--wait", "1")
    ((waiting, _, state, words),) = waits.fields
    assert (waits.code, state) == (0, "queued")
    assert words.endswith("(cms_38)")
    ended = await run(hub, "cancel", sent.fields[0][0], waiting, "out_none")
    ((id_, _, state, _),) = ended.fields
    assert (ended.code, id_, state) == (FAILED, waiting, "cancelled")
    assert ended.errors.count("modemhub: ") == 2
    assert at_network(hub, number) == ["done"]


# ---------------------------------------------------------------------- another hub, by a token


async def test_another_hub_by_url_and_token(hub: Rig, number: str, tmp_path: Path) -> None:
    token = await hub.hub.make_token("remote", "send")
    (tmp_path / "token").write_text(token + "\n", encoding="utf-8")
    by_environment = await run(hub, "send", number, "remote", MODEMHUB_URL=hub.hub.address, MODEMHUB_TOKEN=token)
    assert by_environment.code == 0, by_environment.errors
    by_file = await run(
        hub, "send", "--url", hub.hub.address, "--token-file", str(tmp_path / "token"), number, "remote again"
    )
    assert by_file.code == 0, by_file.errors
    assert at_network(hub, number) == ["remote", "remote again"]
    message = await hub.api.get(f"/api/v1/messages/{by_file.fields[0][0]}")
    assert message["client"] == "remote"

    wrong = await run(hub, "send", number, "x", MODEMHUB_URL=hub.hub.address, MODEMHUB_TOKEN="mh_wrong")
    assert (wrong.code, wrong.lines) == (WRONG_USAGE, [])
    missing = await run(hub, "send", number, "x", MODEMHUB_URL=hub.hub.address)
    assert (missing.code, "MODEMHUB_TOKEN" in missing.errors) == (WRONG_USAGE, True)
    may_not = await run(hub, "events", MODEMHUB_URL=hub.hub.address + "/x", MODEMHUB_TOKEN=token)
    assert may_not.code == FAILED


async def test_a_hub_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    """Here the certificate beside the store is trusted; from elsewhere, the fingerprint that the hub tells."""
    async with rig(tmp_path, settings={"http": {"tls": True}}, start=False) as whole:
        await whole.hub.start()
        ended = await run(whole, "status", "--json")
        assert ended.lines, ended.errors
        fingerprint = ended.jsons[0]["tls"]["fingerprint"]
        token = await whole.hub.make_token("remote", "status")
        url = whole.hub.address.replace("http:", "https:")
        remote: dict[str, Any] = {"MODEMHUB_URL": url, "MODEMHUB_TOKEN": token}
        trusted = await run(whole, "status", "--fingerprint", fingerprint, "--json", **remote)
        assert trusted.jsons[0]["tls"]["fingerprint"] == fingerprint
        unknown = await run(whole, "status", **remote)
        assert (unknown.code, unknown.lines) == (FAILED, [])
        assert "--fingerprint" in unknown.errors
        another = await run(whole, "status", MODEMHUB_FINGERPRINT="00" * 32, **remote)
        assert (another.code, another.lines) == (FAILED, [])


# ---------------------------------------------------------------------- events


async def test_events_end_at_once_when_nobody_reads_any_more(hub: Rig) -> None:
    start = (await latest(hub)) - 1
    script = f"{sys.executable} -m appliance events --after {start} --config {hub.hub.config} | head -1"
    shell = await asyncio.create_subprocess_shell(
        f"trap '' INT; set -o pipefail; {script}",  # as in the background of a script
        executable="/bin/bash",
        cwd=ROOT,
        env=clean(os.environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    ended = await Command(shell).ended()
    assert (ended.code, len(ended.jsons), ended.errors) == (0, 1, "")
    assert await lent(hub) == []


@pytest.mark.parametrize("number_", [signal.SIGINT, signal.SIGTERM])
async def test_events_are_left_by_a_signal_without_a_word(hub: Rig, number_: signal.Signals) -> None:
    start = str(await latest(hub) - 1)
    async with following(hub, "events", "--after", start) as command:
        await command.line()
        assert len(await lent(hub)) == 1
        command.process.send_signal(number_)
        ended = await command.ended()
        assert (ended.code, ended.errors) == (0, "")
    assert await lent(hub) == []


async def test_a_killed_command_leaves_no_token_behind_for_long(hub: Rig, number: str) -> None:
    words = ("events", "--after", str(await latest(hub) - 1))
    async with following(hub, *words) as other, following(hub, *words) as command:
        await command.line()
        await other.line()
        before = await lent(hub)
        command.process.kill()
        await command.ended()
        assert await lent(hub) == before  # nothing noticed it
        assert (await run(hub, "send", number, "x", "--wait", "0")).code == 0
        (left,) = await lent(hub)
        assert left.startswith(f"command-line-{other.process.pid}-")


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_events_go_on_through_a_restart_of_the_hub(hub: Rig, number: str, end: str) -> None:
    """Nothing is missing and nothing comes twice, by the numbers of all events that the hub itself tells afterwards."""
    newest = await latest(hub)
    async with following(hub, "events", "--after", str(newest), "--envelope", "--kind", "message") as command:
        await run(hub, "send", number, "before")
        told = [json.loads(await command.line())]  # it follows
        await (hub.hub.kill() if end == "kill" else hub.hub.stop())
        assert "asked again" in await command.complaint()
        await hub.restart_hub()
        await run(hub, "send", number, "after")
        while not (told[-1]["body"]["state"] == "delivered" and len({t["body"]["id"] for t in told}) == 2):
            told.append(json.loads(await command.line()))
    numbers = [one["seq"] for one in told]
    assert numbers == sorted(set(numbers))
    known = await run(hub, "events", "--after", str(newest), "--kind", "message", "--count", str(len(told)))
    assert known.jsons == [one["body"] for one in told]


async def test_a_break_before_the_first_event_leaves_no_gap_either(hub: Rig, number: str) -> None:
    async with following(hub, "events", "--kind", "modem", "--kind", "message") as command:
        assert "imei" in json.loads(await command.line())  # it follows; nothing has happened yet
        command.process.send_signal(signal.SIGSTOP)
        await hub.hub.kill()
        await hub.restart_hub()
        await run(hub, "send", number, "while nobody looked")
        command.process.send_signal(signal.SIGCONT)
        told: list[str] = []
        while "delivered" not in told:
            body = json.loads(await command.line())
            told += [body["state"]] if body.get("to") == number else []
    assert told == ["queued", "submitting", "submitted", "delivered"]


async def latest(hub: Rig) -> int:
    """The number of the newest event of a message that is sent now, and so of all, as nobody else sends."""
    sent = await run(hub, "send", f"+447{next(_numbers)}", "mark", "--json")
    (message,) = sent.jsons
    async with contextlib.aclosing(hub.api.events(after=0)) as events:
        async for event in events:
            if event.json.get("id") == message["id"] and event.json["final"]:
                return event.seq
    raise AssertionError("the stream ended")


# ---------------------------------------------------------------------- inbox and status


async def arrive(hub: Rig, sender: str, *texts: str) -> None:
    """Let texts arrive, one after the other, until the hub has told each."""
    for text in texts:
        start = len(hub.observer.heard.items)
        await hub.modems.deliver(hub.modems.all[0], text, sender=sender)
        await hub.observer.until_heard("received", start=start)


async def test_the_inbox_is_a_list_for_people_with_names_and_the_newest_last(hub: Rig, number: str) -> None:
    await arrive(hub, number, "first")
    await arrive(hub, ANNA, "Grüße\nand \x1b[31ma second line")
    ended = await run(hub, "inbox", "--limit", "2", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0", TZ="UTC")
    assert ended.code == 0, ended.errors
    one, two, three = ended.lines
    begin = r"\s*\d+  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  "
    assert re.fullmatch(rf"{begin}{re.escape(number)}\s+first", one)
    assert re.fullmatch(rf"{begin}anna\s+Grüße", two)
    assert three == " " * two.index("Grüße") + r"and \x1b[31ma second line"


async def test_the_inbox_by_sender_number_and_time(hub: Rig, number: str) -> None:
    other = f"+447{next(_numbers)}"
    await arrive(hub, number, "one", "two", "three")
    await arrive(hub, other, "not mine")
    mine = (await run(hub, "inbox", "--from", number, "--json")).jsons
    assert [one["text"] for one in mine] == ["one", "two", "three"]
    assert [one["seq"] for one in mine] == sorted(one["seq"] for one in mine)
    later = await run(hub, "inbox", "--since", str(mine[0]["seq"]), "--json")
    assert [one["text"] for one in later.jsons] == ["two", "three", "not mine"]
    assert (await run(hub, "inbox", "--since", "2100-01-01")).lines == []
    hour = await run(hub, "inbox", "--since", "1h", "--from", number, "--limit", "1", "--json")
    assert [one["text"] for one in hour.jsons] == ["three"]
    assert (await run(hub, "inbox", "--since", "yesterday")).code == WRONG_USAGE


async def test_the_inbox_is_followed_through_a_restart(hub: Rig, number: str) -> None:
    await arrive(hub, number, "before")
    async with following(hub, "inbox", "--follow", "--from", number, "--json") as command:
        assert json.loads(await command.line())["text"] == "before"
        await arrive(hub, f"+447{next(_numbers)}", "of somebody else")
        await arrive(hub, number, "while it looks")
        assert json.loads(await command.line())["text"] == "while it looks"
        await hub.hub.kill()
        await command.complaint()
        await hub.restart_hub()
        await arrive(hub, number, "after")
        assert json.loads(await command.line())["text"] == "after"


async def test_status_says_how_the_hub_and_its_modems_are(hub: Rig) -> None:
    ended = await run(hub, "status")
    (modem,) = hub.modems.all
    assert ended.code == 0, (ended.lines, ended.errors)
    assert ended.lines[0].startswith("ok: 1 of 1 modem ready, 0 texts waiting; modemhub ")
    assert modem.imei in ended.lines[-1]
    assert "state: ready" in ended.lines[-1]
    ended = await run(hub, "status", "--json")
    assert ended.jsons[0]["status"] == "ok"
