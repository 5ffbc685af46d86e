"""What ``modemhub send``, ``inbox``, ``events``, ``cancel`` and ``status`` do and print.

Promises: a line is written as soon as it is known, in UTF-8 whatever the locale. Ctrl-C, SIGTERM and a reader who has
gone (``| head -1``) end a command without a word, the latter at once, not with the next line.

Exit codes: 0 fine, 2 the command is wrong (also in the hub's eyes: see WRONG), 1 anything else.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import stat
import sys
import threading
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.errors import RefusedByHub, SettingsError
from appliance.shell.client import HubClient
from appliance.shell.words import has_failed, plain, preview_lines, received_lines, sent_line, status_lines

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from appliance.shell.client import Received

    Lend = Callable[[argparse.Namespace, Sequence[str]], AbstractContextManager[HubClient]]
    """The hub that the options mean, with these scopes, for as long as the command lasts."""

__all__ = ["named_hub", "run"]

FINE, FAILED, WRONG_USAGE = 0, 1, 2

WRONG = frozenset({400, 401, 403, 413, 415, 422})
"""Statuses that say: not like this. Whoever asks again must ask for something else, or bring another token."""

SHOWN = 20
"""Texts of the inbox that are shown when nobody says how many."""

COMPLETED_LATER = timedelta(days=4)
"""A long text keeps the time of its first part and is numbered anew when its last one has come, at most 3 days later:
so much further back than asked for is looked."""


def run(options: argparse.Namespace, lend: Lend) -> int:
    """Do the command ``options.verb``; returns the exit code.

    Raises:
        ModemhubError: no hub answers, or the settings are wrong.
    """
    _speak_utf8()
    try:
        return _VERBS[options.verb](options, lend)
    except RefusedByHub as refused:
        later = f" (again in {refused.retry_after:.0f} s)" if refused.retry_after is not None else ""
        _complain(refused.detail + later)
        return WRONG_USAGE if refused.status in WRONG else FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes at its end
        return FINE


def named_hub(options: argparse.Namespace, environment: Mapping[str, str]) -> HubClient | None:
    """The hub of ``--url``, else of ``$MODEMHUB_URL``; None: the one on this machine is meant.

    Raises:
        SettingsError: it is named, and what belongs to it is missing or wrong.
    """
    url: str | None = options.url
    if url is None and options.config is None:
        url = environment.get("MODEMHUB_URL") or None
    if url is None:
        given = next((name for name in ("token_file", "ca", "fingerprint") if getattr(options, name) is not None), None)
        if given is not None:
            raise SettingsError(f"--{given.replace('_', '-')}: belongs to a hub that --url or MODEMHUB_URL names")
        return None
    if options.token_file is not None:
        token = _read(options.token_file).strip()
    else:
        token = environment.get("MODEMHUB_TOKEN", "").strip()
    if not token:
        raise SettingsError(f"{url}: needs a token: --token-file FILE, or MODEMHUB_TOKEN in the environment")
    ca, fingerprint = options.ca, options.fingerprint
    if ca is None and fingerprint is None:
        fingerprint = environment.get("MODEMHUB_FINGERPRINT") or None
        ca = Path(environment["MODEMHUB_CA"]) if environment.get("MODEMHUB_CA") and fingerprint is None else None
    return HubClient(url, token, ca=ca, fingerprint=fingerprint)


# ---------------------------------------------------------------------- send and cancel


def _send(options: argparse.Namespace, lend: Lend) -> int:
    to, text = _addressed(options)
    wishes = {
        name: getattr(options, name)
        for name in ("modem", "sim", "priority", "ttl", "flash", "encoding", "report", "on_in_doubt")
    }
    key = options.id or secrets.token_hex(16)
    with lend(options, ["send", "status"]) as hub:
        if options.preview:
            preview = hub.preview(to, text, **wishes)
            _print([_json(preview)] if options.json else preview_lines(preview))
            return FINE
        try:
            messages = hub.send(to, text, id=key, wait=options.wait, **wishes)
        except KeyboardInterrupt:
            _complain(f"not waited to the end: the same command with --id {key} does not send twice, and tells")
            return FAILED
    _print(_json(message) if options.json else sent_line(message) for message in messages)
    return FAILED if any(map(has_failed, messages)) else FINE


def _addressed(options: argparse.Namespace) -> tuple[str | list[str], str]:
    """To whom, and what."""
    words = list(options.words)
    given = options.to or ([words.pop(0)] if words else [])
    recipients = [one for many in given for name in many.split(",") if (one := name.strip())]
    if not recipients:
        options.usage_error("say whom to text: modemhub send NUMBER TEXT")
    if len(words) > 1:
        options.usage_error(f"put the text in quotes: {' '.join(words)}")
    if words and words != ["-"]:
        if options.file is not None:
            options.usage_error("give the text or --file, not both")
        text = words[0]
    else:
        if not words and options.file is None and sys.stdin.isatty():
            options.usage_error("say what to text: TEXT, --file FILE, or - to type it and end it with Ctrl-D")
        text = _read(options.file or Path("-")).removesuffix("\n").removesuffix("\r")
        if not text:
            options.usage_error("the text is empty")
    if any("\ud800" <= character <= "\udfff" for character in text):
        options.usage_error("the text is not UTF-8")
    return recipients[0] if len(recipients) == 1 else recipients, text


def _cancel(options: argparse.Namespace, lend: Lend) -> int:
    code = FINE
    with lend(options, ["admin"]) as hub:
        for one in options.ids:
            try:
                message = hub.cancel(one)
            except RefusedByHub as refused:
                if refused.code not in {"not_found", "not_cancellable"}:
                    raise
                _complain(f"{one}: {refused.detail}")
                code = FAILED
            else:
                _print([_json(message) if options.json else sent_line(message)])
    return code


# ---------------------------------------------------------------------- inbox


def _inbox(options: argparse.Namespace, lend: Lend) -> int:
    with lend(options, ["inbox"]) as hub:
        names, senders = _names(hub, options.sender)

        def show(messages: Iterable[Received]) -> None:
            for message in messages:
                _print([_json(message)] if options.json else received_lines(message, names))

        if not options.follow:
            show(_received(hub, options, senders))
            return FINE
        with hub.events(kinds={"received"}, on_break=_complain) as events, _ending_with_the_reader():
            known = _received(hub, options, senders)  # after the stream has begun: nothing falls between
            show(known)
            last = known[-1]["seq"] if known else 0
            for event in events:
                message: Received = event.body  # type: ignore[assignment] # the API's word
                if message["seq"] > last and (senders is None or message["from"] in senders):
                    last = message["seq"]
                    show([message])
    return FINE


def _received(hub: HubClient, options: argparse.Namespace, senders: frozenset[str] | None) -> list[Received]:
    """What is asked for, oldest first."""
    since: int | datetime | None = options.since
    limit: int | None = SHOWN if options.limit is None and since is None else options.limit
    only = next(iter(senders)) if senders is not None and len(senders) == 1 else None
    found = (one for one in hub.newest(sender=only) if senders is None or one["from"] in senders)
    return list(islice(_newer(found, since), limit))[::-1]


def _newer(messages: Iterator[Received], since: int | datetime | None) -> Iterator[Received]:
    """Of these, newest first, those that are newer."""
    for message in messages:
        if since is None:
            yield message
        elif isinstance(since, int):
            if message["seq"] <= since:
                return
            yield message
        else:
            at = since.__class__.fromisoformat(message["received_at"])
            if at >= since:
                yield message
            elif at < since - COMPLETED_LATER:
                return


def _names(hub: HubClient, wanted: str | None) -> tuple[dict[str, str], frozenset[str] | None]:
    """Number → name, and the numbers of the one sender or group that is asked for."""
    try:
        contacts = hub.contacts()
    except RefusedByHub:  # a token that may not read them, or a hub that has none
        contacts = []
    names = {number: one["name"] for one in contacts if not one["group"] for number in one["numbers"]}
    if wanted is None:
        return names, None
    named = next((one["numbers"] for one in contacts if one["name"] == wanted), [wanted.replace(" ", "")])
    return names, frozenset(named)


# ---------------------------------------------------------------------- events and status


def _events(options: argparse.Namespace, lend: Lend) -> int:
    with (
        lend(options, ["inbox", "status"]) as hub,
        hub.events(after=options.after, kinds=options.kind or (), on_break=_complain) as events,
        _ending_with_the_reader(),
    ):
        # What has no number is no event but how something is now: told to who asks for it.
        told = (event for event in events if options.kind or event.seq is not None)
        for event in islice(told, options.count):
            envelope = {"seq": event.seq, "kind": event.kind, "body": event.body}
            _print([_json(envelope if options.envelope else event.body)])
    return FINE


def _status(options: argparse.Namespace, lend: Lend) -> int:
    with lend(options, ["status"]) as hub:
        status = hub.status()
        _print([_json(status)] if options.json else status_lines(status, hub.modems()))
    return FINE if status["status"] == "ok" else FAILED


_VERBS: Mapping[str, Callable[[argparse.Namespace, Lend], int]] = {
    "send": _send,
    "inbox": _inbox,
    "events": _events,
    "cancel": _cancel,
    "status": _status,
}


# ---------------------------------------------------------------------- the terminal


@contextlib.contextmanager
def _ending_with_the_reader() -> Iterator[None]:
    """What is followed is left quietly: by Ctrl-C, and when nobody can read standard output any more.

    The latter is not noticed by a process that has nothing to write; so a thread asks the kernel (poll(2): POLLERR on
    the writing end of a pipe without readers), and ends the wait by the signal that is made for it, as Ctrl-C would.
    """
    try:
        output = sys.stdout.fileno()
    except OSError:  # it is no file
        output = -1
    if output < 0 or not stat.S_ISFIFO(os.fstat(output).st_mode):
        with contextlib.suppress(KeyboardInterrupt):
            yield
        return
    done = os.eventfd(0)
    both = select.poll()
    both.register(output, 0)
    both.register(done, select.POLLIN)

    def watch() -> None:
        if any(number == output for number, _ in both.poll()):
            os.kill(os.getpid(), signal.SIGPIPE)

    before = signal.signal(signal.SIGPIPE, signal.default_int_handler)
    watcher = threading.Thread(target=watch, name="reader of the output", daemon=True)
    watcher.start()
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        os.eventfd_write(done, 1)
        watcher.join()
        os.close(done)
        signal.signal(signal.SIGPIPE, before)


def _speak_utf8() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr] # text streams of ours


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


def _complain(words: str) -> None:
    print(f"modemhub: {plain(words)}", file=sys.stderr, flush=True)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _read(file: Path) -> str:
    """The text of a file, or of standard input for ``-``.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        octets = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return octets.decode("utf-8-sig")
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file}: is not UTF-8 at octet {error.start}") from error
