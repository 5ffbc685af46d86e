"""The promises as judgements over what the witnesses saw: each returns the breaches in words, and none is the verdict.

The witnesses are the hub's doors (the states of messages, the inbox) and the network's ledger. Texts are made unique
by whoever sends them, so that a text stands for its message.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from hil.rig.modems import Modems, Sent

__all__ = ["ENDS", "in_order", "once_each", "sent_once_or_told"]

ENDS = frozenset({"delivered", "undelivered", "failed", "expired", "cancelled", "in_doubt"})
"""The ends of a message with a status report asked for; without one, ``submitted`` is one too."""

AT_THE_NETWORK = frozenset({"submitted", "delivered", "undelivered"})
"""States that say that the network has it."""


def sent_once_or_told(
    modems: Modems,
    accepted: Mapping[tuple[str, str], Mapping[str, Any]],
    *,
    ends: AbstractSet[str] = ENDS,
    recipient: str | None = None,
) -> list[str]:
    """S1, S2, S3: every accepted single-segment message is sent once, or ended visibly; twice only if told so.

    Args:
        modems: the network.
        accepted: (recipient, text) → the message's JSON at the end.
        ends: the states that are an end here.
        recipient: judge only what was sent to this one; None: all.
    """
    sent = {key: each for key, each in modems.times_sent().items() if recipient in {None, key[0]}}
    breaches = [f"the network got {key} that nobody was told was accepted" for key in sent.keys() - accepted.keys()]
    for key, message in accepted.items():
        breaches += _breaches(key, message, sent.get(key, []), ends)
    return breaches


def _breaches(
    key: tuple[str, str], message: Mapping[str, Any], sent: Sequence[Sent], ends: AbstractSet[str]
) -> list[str]:
    state, doubted = message["state"], message.get("maybe_duplicate", False)
    told = f"{key} is told {state}, maybe_duplicate={doubted}, and the network got it {len(sent)} times"
    if state not in ends:
        return [f"{told}: no end"]
    if not sent and state in AT_THE_NETWORK:
        return [f"{told}: lost"]
    if sent and state in {"expired", "cancelled"}:
        return [f"{told}: sent after its end"]
    if len(sent) > 2 or (len(sent) == 2 and not (doubted and sent[1].rd)):
        return [f"{told}, TP-RD of each: {[each.rd for each in sent]}: an untold duplicate"]
    return []


def in_order(modems: Modems, wanted: Iterable[tuple[str, str]]) -> list[str]:
    """S5: to each recipient, the first submit of each text comes in the order of acceptance."""
    place: dict[tuple[str, str | None], int] = {}
    for n, sent in enumerate(modems.sent()):
        place.setdefault((sent.to, sent.text), n)
    last: dict[str, tuple[int, str]] = {}
    breaches = []
    for recipient, text in wanted:
        at = place.get((recipient, text))
        if at is None:
            continue
        before = last.get(recipient, (-1, ""))
        if at < before[0]:
            breaches.append(f"to {recipient}: {text!r} was sent before {before[1]!r}, which was accepted earlier")
        last[recipient] = max(before, (at, text))
    return breaches


def once_each(delivered: Iterable[str], received: Iterable[Mapping[str, Any]]) -> list[str]:
    """R1, R2: every text that the network delivered is one received message, by its id, and nothing else is.

    ``received`` may name the same id again: the doors tell at least once.
    """
    by_id = {message["id"]: str(message.get("text")) for message in received}
    got, wanted = Counter(by_id.values()), Counter(delivered)
    return [
        *(f"lost: {text!r}, delivered {n} times more than received" for text, n in (wanted - got).items()),
        *(f"received {n} times too often: {text!r}" for text, n in (got - wanted).items()),
    ]
