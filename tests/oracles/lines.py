"""What every oracle speaks: JSON lines in, JSON lines out. Standard library only, so that any interpreter can run it.

A *record* is what some codec claims about a TPDU that it wrote::

    {"id": 7, "tpdu": "2100…", "text": "…" | "data": "hex", "number": "+44…", "reference": 7, "total": 2, "sequence": 1,
     "sent": "2024-02-29T23:59:58+00:00"}

``id`` is any number, ``tpdu`` has no service centre address, the rest may be left out. TP-MTI tells the direction: 00
is DELIVER, 01 SUBMIT.

An *answer* is what a reader found, one for each record and in the same order, with the same keys; what it cannot know
it leaves out. ``unable`` says that it does not read this kind of TPDU at all, ``error`` that it should have and did
not.

A *wish* is what a writer shall make a DELIVER of (with ``submit``, a SUBMIT): a record without ``tpdu``, with
``coding``: ``gsm7``, ``ucs2`` or ``data``. A writer that stands in the place of ours is given whole texts in as many
wishes, with neither number nor place; it cuts them, and writes a record for each segment. There ``coding`` may also be
``auto``, and ``gsm7`` says that the national tables have the text.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DELIVER = 0
SUBMIT = 1

SENT = (2024, 2, 29, 23, 59, 58)
"""When all the deliveries were sent, UTC."""


class UnableError(Exception):
    """This oracle does not know this kind of TPDU; that says nothing about the TPDU."""


def message_type(tpdu: bytes) -> int:
    """TP-MTI."""
    return tpdu[0] & 3


def has_header(tpdu: bytes) -> bool:
    """TP-UDHI."""
    return bool(tpdu[0] & 0x40)


def unpack(octets: bytes, septets: int, header_octets: int) -> bytes:
    """The septets behind a header, where a decoder gives only raw octets; for the tables of another oracle."""
    number = int.from_bytes(octets, "little")
    first = -(-header_octets * 8 // 7)
    return bytes(number >> 7 * place & 0x7F for place in range(first, septets))


def answer_each(read: Callable[[bytes], dict[str, Any]]) -> None:
    """Answers the records on standard input."""
    write(answer(read, json.loads(line)) for line in sys.stdin)


def write_each(encode: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Makes a record of each wish on standard input."""
    write(encode(json.loads(line)) for line in sys.stdin)


def write(found: Iterable[dict[str, Any]]) -> None:
    """Writes these to standard output, one a line."""
    for each in found:
        sys.stdout.write(json.dumps(each) + "\n")


def answer(read: Callable[[bytes], dict[str, Any]], record: dict[str, Any]) -> dict[str, Any]:
    """What ``read`` makes of this record."""
    try:
        return {"id": record["id"], **read(bytes.fromhex(record["tpdu"]))}
    except UnableError as why:
        return {"id": record["id"], "unable": str(why)}
    except Exception as error:  # noqa: BLE001 - a decoder of others may raise anything; it is an answer, not a crash
        return {"id": record["id"], "error": f"{type(error).__name__}: {error}"}
