"""What the independent encoders are asked to make SMS-DELIVER and SMS-SUBMIT of, and another writer in our place."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from tests.oracles import lines
from tests.oracles.texts import samples

if TYPE_CHECKING:
    from collections.abc import Iterator

_NUMBERS = ("+447700900123", "+4915112345678", "12345", "07700900123")
_SENT = "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}+00:00".format(*lines.SENT)
_KINDS = {"default": "gsm7", "extension": "gsm7", "ucs2": "ucs2", "astral": "ucs2", "joined": "ucs2", "data": "data"}
_ROOM = {"gsm7": 70, "ucs2": 30, "data": 130}


def texts(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """So many samples whole, of nought to ten segments; who writes them cuts them."""
    for number, sample in enumerate(samples(count, seed)):
        content = {"text": sample.content} if isinstance(sample.content, str) else {"data": sample.content.hex()}
        yield {"id": number, "kind": sample.kind, "coding": sample.coding, **content}


def wishes(count: int, seed: int, *, first: int = 0, submit: bool = False) -> Iterator[dict[str, Any]]:
    """So many wishes, numbered from ``first``: each fits one segment, every third says that it is one of several."""
    random = Random(seed)
    number = first
    for sample in samples(100 * count, seed):
        if number == first + count:
            return
        if sample.kind not in _KINDS:
            continue
        coding = _KINDS[sample.kind]
        content = sample.content[: random.randint(1, _ROOM[coding])]
        if not content:
            continue
        wish: dict[str, Any] = {"id": number, "coding": coding, "number": random.choice(_NUMBERS), "sent": _SENT}
        if submit:
            wish["submit"] = True
            del wish["sent"]
        wish |= {"text": content} if isinstance(content, str) else {"data": content.hex()}
        if number % 3 == 2:
            total = random.randint(2, 255)
            wish |= {"reference": random.randrange(256), "total": total, "sequence": random.randint(1, total)}
        yield wish
        number += 1
