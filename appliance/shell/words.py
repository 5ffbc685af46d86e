r"""PURE: what a person reads on the command line, and what a person writes for a moment. Times are the machine's.

A text comes from anybody: what would move a terminal's cursor, colour it or turn the direction of its writing is shown
as ``\x1b`` and the like, so that no sender can write lines of his own into a list.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from appliance.shell.client import Message, Preview, Received

__all__ = [
    "has_failed",
    "modem_words",
    "moment",
    "plain",
    "preview_lines",
    "received_lines",
    "sent_line",
    "status_lines",
]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""C0 but for tab and line feed, DEL, C1, and the controls of bidirectional writing (Unicode UAX #9 §2)."""

_STATES = {
    "queued": "waits for its turn",
    "submitting": "is being handed to the network",
    "submitted": "the network has it",
    "delivered": "is on the phone",
    "undelivered": "the network could not deliver it",
    "failed": "was not sent",
    "expired": "its time was over before it could be sent",
    "cancelled": "was taken back before it was sent",
    "in_doubt": "may have been sent: nobody can know",
}

_FAILED = frozenset({"failed", "undelivered", "expired", "cancelled"})

_ENCODINGS = {"gsm7": "GSM 7-bit", "ucs2": "UCS-2", "data": "8-bit data"}

_NAME_WIDTH = 16


def moment(given: str, *, now: datetime) -> int | datetime:
    """A number of the inbox (``41``), or a moment: a duration before now (``90s``, ``2h``, ``7d``), or a date.

    A date is ``2026-11-26``, ``2026-11-26T08:30`` or with its offset; without one it is the time of ``now``'s zone.

    Raises:
        ValueError: it is none of these.
    """
    if given.isascii() and given.isdigit() and len(given) < 19:
        return int(given)
    try:
        if found := re.fullmatch(r"([0-9]{1,6})([smhdw])", given):
            return now - timedelta(seconds=int(found[1]) * _UNITS[found[2]])
        date = datetime.fromisoformat(given)
    except (ValueError, OverflowError):
        raise ValueError(f'"{given}" is no moment') from None
    return date if date.tzinfo is not None else date.replace(tzinfo=now.tzinfo)


def plain(text: str) -> str:
    """The text with everything that steers a terminal made visible; line breaks are kept."""
    return _STEERING.sub(lambda found: f"\\x{ord(found[0]):02x}", text.replace("\r\n", "\n"))


def _line(text: str) -> str:
    """The text on one line: of a name, also a line break is made visible."""
    return plain(text).replace("\n", r"\x0a")


def has_failed(message: Message) -> bool:
    """Whether this message will not, or perhaps not, arrive."""
    return message["state"] in _FAILED or (message["state"] == "in_doubt" and message["final"])


def sent_line(message: Message) -> str:
    """Id, number, state and what that means, with tabs between."""
    given = message.get("to_given", "")
    to = f"{message['to']} ({given})" if given[:1].isalpha() else message["to"]
    reason = message["reason"]
    words = _STATES.get(message["state"], "")
    if message["state"] == "submitted" and not message["final"]:
        words += "; its report is waited for"
    if reason is not None:
        words = f"{words}: {reason['text']} ({reason['code']})"
    if message["maybe_duplicate"]:
        words += "; it may arrive twice"
    return "\t".join(map(_line, (message["id"], to, message["state"], words)))


def received_lines(message: Received, names: Mapping[str, str]) -> Iterator[str]:
    """Number in the inbox, time, sender or the sender's name, and the text, further lines of it below its first."""
    sender = message["from"] or "?"
    time = datetime.fromisoformat(message["received_at"]).astimezone()
    head = f"{message['seq']:>5}  {time:%Y-%m-%d %H:%M:%S}  {_line(names.get(sender, sender)):{_NAME_WIDTH}}  "
    first, *more = plain(_content(message)).split("\n")
    yield (head + first).rstrip()
    for line in more:
        yield (" " * len(head) + line).rstrip()


def _content(message: Received) -> str:
    if "undecodable" in message:
        return f"[cannot be decoded: {message['undecodable'].get('detail')}]"
    if "data" in message:
        return f"[data] {message['data']}"
    gap = "" if message["complete"] else f" [missing of {message['segments']} parts: {_listed(message['missing'])}]"
    return message["text"] + gap


def preview_lines(preview: Preview) -> Iterator[str]:
    """Encoding and what forces it, segments, and what it would cost."""
    because = ", because of: " + " ".join(map(repr, preview["forcing"])) if preview["forcing"] else ""
    yield f"encoding    {_ENCODINGS.get(preview['encoding'], preview['encoding'])}{because}"
    used = " + ".join(map(str, preview["units"]))
    yield f"segments    {preview['segments']}, {used} of {preview['capacity']} places used"
    for one in preview["substitutions"]:
        yield f"replaced    {one['character']!r} by {one['replacement']!r} at {one['position']}"
    yield f"recipients  {preview['recipients']}"
    yield f"cost        {_counted(preview['cost_segments'], 'segment')}"


def status_lines(status: Mapping[str, Any], modems: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How the hub is, what is wrong and what is done about it, and how each modem is."""
    known = status["modems"]
    yield (
        f"{status['status']}: {known['ready']} of {_counted(known['known'], 'modem')} ready,"
        f" {_counted(status['queue'], 'text')} waiting;"
        f" modemhub {status['version']}, hub {status['hub_id']}, up for {_duration(status['uptime_seconds'])}"
    )
    for problem in status["problems"]:
        subject = f"{problem['subject']}: " if problem.get("subject") else ""
        yield _line(f"! {subject}{problem['text']}")
        if problem.get("doing"):
            yield _line(f"  {problem['doing']}")
    for modem in modems:
        yield _line(f"- {modem['place']}: {modem_words(modem)}")


def modem_words(modem: Mapping[str, Any]) -> str:
    """How a modem of the running hub is."""
    said = [f"{modem['manufacturer'] or 'a modem'} {modem['model'] or ''}".strip() + f", IMEI {modem['imei']}"]
    said.append(f"profile {modem['profile']}, port {modem['port']}")
    said.append(f"state: {modem['state'].replace('_', ' ')}")
    if modem["registration"]:
        said.append(f"registration: {modem['registration'].replace('_', ' ')}")
    if modem["signal_dbm"] is not None:
        said.append(f"signal {modem['signal_dbm']} dBm")
    if modem["storage_full"]:
        said.append(f"nearly full: {', '.join(modem['storage_full'])}")
    if modem["unreadable"]:
        said.append(f"starts anew when these are read, so they are left there: {', '.join(modem['unreadable'])}")
    if modem["recovery"]:
        said.append(f"being done: {modem['recovery']}")
    if modem["last_error"] and modem["state"] != "ready":
        said.append(f"wrong: {modem['last_error']}")
    return "; ".join(said)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _duration(seconds: float) -> str:
    """As ``3 d 4 h``: the two greatest units."""
    left = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
