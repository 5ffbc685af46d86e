"""The network's codec before other people's: ``python -m hil.emulator.lines --write | --read``.

JSON lines in, JSON lines out, as ``tests/oracles/lines.py`` describes them; ``python -m tests.oracles`` is the other
end.

``--write``: texts in (``{"id", "coding", "text" | "data"}``), SMS-DELIVER out, made by ``build_deliver`` as the control
socket's ``deliver`` has them made: cut, coded, with the tables that the text needs. Sender, width of the reference,
class and time zone differ from text to text, the same for the same id. What a record claims is the wished text: the
pieces of one text are put together and compared with it first.

``--read``: records in, answers out. SUBMIT is read as the service centre reads it, DELIVER as strictly. A refusal is
the answer ``error``; only a number that is longer than E.164 allows (which the service centre refuses, although
23.040 §9.1.2.5 has room for it) is ``unable``.

The service centre time stamps all stand for the same moment (``SENT``), in different zones.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import TYPE_CHECKING, Any, Final

from hil.emulator import alphabet, tpdu
from hil.emulator.network import build_deliver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Line = dict[str, Any]

SENT: Final = datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC)
"""When all the deliveries were sent."""

_SENDERS: Final = ("+447700900123", "+4915112345678", "+12", "12345", "07700900123", "2", "12345678901234567890",
                   "Pump 3", "MODEMHUB", "t@ £5[~]")  # fmt: skip
_ZONES: Final = (-48, -14, -1, 0, 0, 0, 1, 22, 56)
"""Quarters of an hour from Greenwich."""
_ALPHABETS: Final = {"gsm7": "gsm7", "ucs2": "ucs2", "data": "8bit", "auto": "auto"}
_PAIRS: Final = sorted(((locking, single) for locking in alphabet.LOCKING for single in alphabet.SINGLE), key=sum)
"""Both tables default first, then those of few and of one language before mixed ones of many."""


def tables_for(text: str) -> tuple[int, int]:
    """The locking and single shift tables that write this text in the fewest septets; raises CodeError without any."""
    best: tuple[int, tuple[int, int]] | None = None
    letters = "".join(dict.fromkeys(text))
    for pair in _PAIRS:
        try:
            alphabet.encode(letters, *pair)
        except alphabet.CodeError:
            continue
        header = 3 * sum(language != 0 for language in pair)
        length = len(alphabet.encode(text, *pair)) + header
        if best is None or length < best[0]:
            best = length, pair
    if best is None:
        raise alphabet.CodeError(0, f"no pair of tables has all of {letters!r}")
    return best[1]


def write(wish: Line) -> Iterator[Line]:
    """One record (without id) for each segment of the SMS-DELIVERs that this text takes."""
    random = Random(wish["id"])
    zone = timezone(timedelta(minutes=15 * random.choice(_ZONES)))
    words: Line = {key: wish[key] for key in ("text", "data") if key in wish}
    words |= {
        "from": random.choice(_SENDERS),
        "scts": SENT.astimezone(zone).isoformat(),
        "alphabet": _ALPHABETS[wish["coding"]],
        "class": random.choice((None, None, None, 0, 1)),
        "concat": None,
    }
    if wish["coding"] == "gsm7":
        words["locking"], words["single"] = tables_for(wish["text"])
    if random.random() < 0.4:
        wide = random.random() < 0.6
        words["concat"] = {"ref": random.randrange(0x10000 if wide else 0x100), "wide": wide}
    made = build_deliver(words, lambda *, wide: random.randrange(0x10000 if wide else 0x100))
    found = [read(octets) for octets in made]
    key = "data" if "data" in wish else "text"
    if "".join(piece[key] for piece in found) != wish[key]:
        raise AssertionError(f"the segments of {wish} put together are {found}")
    for octets, piece in zip(made, found, strict=True):
        yield {**piece, "tpdu": octets.hex(), "number": words["from"], "sent": words["scts"]}


def read(octets: bytes) -> Line:
    """What a strict reader finds in an SMS-SUBMIT or SMS-DELIVER; raises Refusal."""
    found: Line = {}
    if octets[0] & 3 == 1:
        submit = tpdu.read_submit(octets)
        address, user_data = submit.da, submit.ud
    else:
        deliver = tpdu.read_deliver(octets)
        address, user_data = deliver.oa, deliver.ud
        found["sent"] = deliver.scts.isoformat()
    found["number"] = address.number
    if user_data.data is not None:
        found["data"] = user_data.data.hex()
    else:
        found["text"] = user_data.text
    if (place := user_data.concat) is not None:
        found |= {"reference": place.ref, "total": place.total, "sequence": place.n}
    return found


def answer(record: Line) -> Line:
    """The answer to a record."""
    octets = bytes.fromhex(record["tpdu"])
    try:
        return {"id": record["id"], **read(octets)}
    except tpdu.Refusal as refusal:
        if refusal.field in ("tp-da", "tp-oa") and "E.164" in refusal.detail:
            return {"id": record["id"], "unable": "no E.164 number"}
        return {"id": record["id"], "error": str(refusal)}


def write_all(wishes: Iterable[Line]) -> Iterator[Line]:
    """The records of all these texts, numbered."""
    pieces = (piece for wish in wishes for piece in write(wish))
    for number, piece in enumerate(pieces):
        yield {"id": number, **piece}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m hil.emulator.lines", description=__doc__)
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--write", action="store_true", help="texts in, SMS-DELIVER out")
    way.add_argument("--read", action="store_true", help="SMS-SUBMIT and SMS-DELIVER in, what they say out")
    writing = parser.parse_args(arguments).write
    lines = (json.loads(line) for line in sys.stdin)
    work: Callable[[Iterable[Line]], Iterable[Line]] = write_all if writing else (lambda given: map(answer, given))
    for line in work(lines):
        sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
