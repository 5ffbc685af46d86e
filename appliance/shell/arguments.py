"""The options of the commands that speak to a running hub. Imports no client: reading a command line costs nothing."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.shell.words import moment

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KINDS", "add_commands"]

KINDS = ("message", "received", "call", "recovery", "store", "modem")

_SEND = """\
examples:
  modemhub send +447700900123 'The washing machine is done'
  df -h | modemhub send --to anna --to +447700900456 --wait 0

Without TEXT, or with "-" for it, the text is read from standard input (UTF-8; the last line break is left out).
Prints a line for each message: id, number, state, and what that means, with tabs between.
Exit codes: 0 delivered, or accepted and still on its way when the wait was over; 1 it failed, or no hub answers;
2 the command is wrong or refused: nothing was sent.
"""

_EVENTS = """\
examples:
  modemhub events --kind received | jq -r --unbuffered '.from + ": " + .text'
  modemhub events --after 0 --envelope > everything.jsonl

Goes on through restarts of the hub without a gap or a repetition; Ctrl-C ends it.
"""

_INBOX = """\
examples:
  modemhub inbox --since 2h --from anna
  modemhub inbox --limit 0 --follow --json | jq -r .text
"""


def add_commands(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """Add the commands; ``command`` makes one from its name and its text. Each sets ``verb``."""
    send = command("send", "Send a text through the running hub and say what becomes of it.")
    _prepare(send, "send", _SEND)
    send.usage = "%(prog)s NUMBER|CONTACT[,…] [TEXT] [OPTION…]"  # argparse would write all of them
    send.set_defaults(words_anywhere=True)
    send.add_argument(
        "words", nargs="*", metavar="NUMBER|CONTACT TEXT", help="whom to text, and what; with --to only what"
    )
    send.add_argument(
        "--to", action="append", metavar="NUMBER|CONTACT", help="whom to text; repeat it, or put commas between"
    )
    send.add_argument("--file", type=Path, metavar="FILE", help="read the text from this file (UTF-8)")
    send.add_argument(
        "--wait",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="how long to wait for what becomes of it, in seconds; 0: only until it is accepted (default: 60)",
    )
    send.add_argument(
        "--id", metavar="KEY", help="the same text under the same key within 7 days is sent once (default: a new key)"
    )
    send.add_argument("--modem", metavar="IMEI", help="only by the SIM in this modem (default: any)")
    send.add_argument("--sim", metavar="ICCID|IMSI", help="only by this SIM (default: any)")
    send.add_argument("--priority", type=int, metavar="N", help="-10 to 10; higher goes before what waits (default: 0)")
    send.add_argument(
        "--ttl",
        type=_seconds,
        metavar="SECONDS",
        help="do not send it later than this, in seconds (default: policy.ttl of the hub, 3 days)",
    )
    send.add_argument("--flash", action="store_true", default=None, help="show it at once, do not keep it (class 0)")
    send.add_argument(
        "--encoding",
        choices=["auto", "gsm7", "ucs2", "translit"],
        help="gsm7: refuse what is not in it; translit: write it as near as can be (default: auto)",
    )
    send.add_argument(
        "--no-report",
        dest="report",
        action="store_false",
        default=None,
        help="ask for no delivery report: submitted is the end then (default: policy.report of the hub)",
    )
    send.add_argument(
        "--on-in-doubt",
        choices=["hold", "resend"],
        help="when nobody can know whether it was sent: never twice, or once more (default: policy.on_in_doubt)",
    )
    send.add_argument("--preview", action="store_true", help="say encoding, segments and cost; send nothing")
    _json(send)

    inbox = command("inbox", "Show the texts that were received, the newest last.")
    _prepare(inbox, "inbox", _INBOX)
    inbox.add_argument(
        "--since",
        type=_moment,
        metavar="SEQ|DURATION|DATE",
        help="after this number of the inbox, or from 90s, 15m, 2h, 7d ago, or 2026-11-26[T08:30], on (default: all)",
    )
    inbox.add_argument(
        "--from", dest="sender", metavar="NUMBER|CONTACT", help="only of this sender, as the inbox shows it"
    )
    inbox.add_argument(
        "--limit",
        type=_count,
        metavar="N",
        help="at most so many texts, the newest (default: 20, with --since no limit)",
    )
    inbox.add_argument("--follow", action="store_true", help="go on, with each text as it comes; Ctrl-C ends it")
    _json(inbox)

    events = command("events", "Follow the running hub's events, one JSON a line.")
    _prepare(events, "events", _EVENTS)
    events.add_argument(
        "--after", type=_count, metavar="SEQ", help="replay what came after this event (default: only what is new)"
    )
    events.add_argument(
        "--kind",
        action="append",
        choices=KINDS,
        help="only these; may be repeated. modem: how each is, now and after each change (default: all but modem)",
    )
    events.add_argument("--count", type=_count, metavar="N", help="end after so many events (default: never)")
    events.add_argument(
        "--envelope",
        action="store_true",
        help='write {"seq", "kind", "body"}: with the number for --after (default: the body alone)',
    )

    cancel = command("cancel", "Take messages back that no modem has yet.")
    _prepare(cancel, "cancel", None)
    cancel.add_argument("ids", nargs="+", metavar="ID", help="as send has told it")
    _json(cancel)

    status = command("status", "Say how the running hub is, what is wrong, and what it does about it.")
    _prepare(status, "status", "Exit codes: 0 all is well, 1 something is wrong or no hub answers.")
    _json(status)


def _prepare(parser: argparse.ArgumentParser, verb: str, epilog: str | None) -> None:
    parser.epilog = epilog
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(verb=verb, usage_error=parser.error)
    where = parser.add_argument_group(
        "which hub (default: the one on this machine, as its settings say; no token is needed then)"
    )
    where.add_argument("--url", metavar="URL", help="another hub, as https://hub.example:8080 (default: $MODEMHUB_URL)")
    where.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file that holds the token for it, - for standard input (default: $MODEMHUB_TOKEN)",
    )
    trust = where.add_mutually_exclusive_group()
    trust.add_argument(
        "--ca", type=Path, metavar="FILE", help="trust the certificates in this PEM file (default: $MODEMHUB_CA)"
    )
    trust.add_argument(
        "--fingerprint",
        metavar="SHA256",
        help="trust the certificate with this SHA-256, in hex (default: $MODEMHUB_FINGERPRINT)",
    )


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="write the API's JSON, one a line")


def _seconds(given: str) -> float:
    seconds = float(given)
    if not 0 <= seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{given}: give seconds, 0 or more")
    return seconds


def _count(given: str) -> int:
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise argparse.ArgumentTypeError(f"{given}: give a whole number, 0 or more")
    return int(given)


def _moment(given: str) -> int | datetime:
    try:
        return moment(given, now=datetime.now().astimezone())
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{given}: give a number of the inbox, a duration as 90s, 15m, 2h, 7d, or a date as 2026-11-26 or"
            " 2026-11-26T08:30"
        ) from None
