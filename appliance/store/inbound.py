"""What arrives: PDUs as they came, received messages, and parts that wait for their siblings (promises R1, R2, R3).

Promise
    ``commit_pdu`` keeps the octets before the modem may forget them; the same octets from the same SIM are one PDU,
    however often they are read. Every kept PDU ends as exactly one of: (part of) a received message, a status report,
    or ``undecodable``; after a crash ``undecided`` names those that have not. A received message is told with a stable
    id and a growing ``seq``; a set of parts that stays incomplete is told as such, never dropped.

What it does not do
    It does not decode: the hub gives what it read, and a pure function that assembles raw PDUs.

Theory of operation
    A row of ``received`` without ``seq`` is a set that is still gathered; its text is kept as far as it goes, so that
    ``give_up`` needs nobody to assemble it. Telling gives the row the next seq. A late part tells the same id again,
    under a new seq: who reads the inbox by seq sees it.

    A part joins the newest set of the same SIM and set key that was begun within ``join_ms``, unless its number is
    taken there: then, with the same content it is the same part again (a redelivery with another time stamp, 23.040
    §9.2.3.11), with another content the reference was used anew (it has 8 or 16 bits, 23.040 §9.2.3.24.1) and a new set
    begins.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from appliance.errors import StoreError
from appliance.store.clock import DAY_MS, rfc3339
from appliance.types import MessageId

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from appliance.store.journal import Transaction
    from appliance.types import Iccid, Imei, Imsi

__all__ = [
    "JOIN_MS",
    "Assembled",
    "ReceivedPart",
    "StoredPdu",
    "commit_pdu",
    "deliver",
    "give_up",
    "inbox",
    "inbox_before",
    "latest",
    "received_view",
    "removed",
    "undecided",
    "undecodable",
]

JOIN_MS = 3 * DAY_MS
"""A part joins a set that is no older: service centres keep trying for 1 to 3 days."""


@dataclass(frozen=True, slots=True)
class StoredPdu:
    """A PDU that is kept.

    Attributes:
        id: its key for the other verbs.
        fresh: it was not kept before this call.
        outcome: None: not decoded yet; ``deliver``, ``report`` or ``undecodable``.
        imsi: the SIM, ``""`` when unknown.
        imei: the modem that read it first.
        iccid: the SIM card, where known.
        raw: hex, upper case.
        storage: where it was read last; None for a direct delivery.
        index: in that storage.
        received_at: unix time, ms, for showing.
        removed: the modem has forgotten it.
    """

    id: int
    fresh: bool
    outcome: str | None
    imsi: Imsi
    imei: Imei
    iccid: Iccid | None
    raw: str
    storage: str | None
    index: int | None
    received_at: int
    removed: bool


@dataclass(frozen=True, slots=True)
class ReceivedPart:
    """What the hub read in one PDU of a message.

    Attributes:
        sender: TP-OA as it shall be shown.
        encoding: as it shall be shown.
        sent_at: TP-SCTS, RFC 3339 with its own offset, or None where it is no time.
        set_key: the same for all parts of one message: sender, reference, total; None for a message of one part.
        number: of this part, from 1.
        total: parts of the message.
        extra: shown with the message under its own names; JSON.
    """

    sender: str
    encoding: str
    sent_at: str | None
    set_key: str | None = None
    number: int = 1
    total: int = 1
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assembled:
    """What raw PDUs say together: a text or data, and the numbers of the parts that are missing."""

    text: str | None
    data: bytes | None
    missing: tuple[int, ...]
    total: int


def commit_pdu(
    tx: Transaction,
    *,
    imsi: Imsi,
    imei: Imei,
    iccid: Iccid | None,
    raw: str,
    storage: str | None,
    index: int | None,
) -> StoredPdu:
    """Keep a PDU as it came; the same octets from the same SIM are one.

    Args:
        tx: the transaction.
        imsi: the SIM, ``""`` when unknown.
        imei: the modem.
        iccid: the SIM card, where known.
        raw: hex, as the modem gave it.
        storage: where it was read, as ``SM``; None for a direct delivery.
        index: in that storage.
    """
    raw = raw.upper()
    digest = hashlib.sha256(raw.encode("utf-8", "backslashreplace")).digest()
    row = tx.db.execute("SELECT id FROM inbound_pdu WHERE imsi = ? AND digest = ?", (imsi, digest)).fetchone()
    if row is not None:
        tx.db.execute(
            "UPDATE inbound_pdu SET reads = reads + 1, removed = 0, storage = ?, idx = ? WHERE id = ?",
            (storage, index, row["id"]),
        )
        return _stored(_pdu(tx, row["id"]), fresh=False)
    pdu_id = tx.db.execute(
        "INSERT INTO inbound_pdu (imsi, imei, iccid, raw, digest, storage, idx, received_hub, received_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (imsi, imei, iccid, raw, digest, storage, index, tx.now, tx.wall),
    ).lastrowid
    assert pdu_id is not None
    return _stored(_pdu(tx, pdu_id), fresh=True)


def _stored(row: sqlite3.Row, *, fresh: bool) -> StoredPdu:
    return StoredPdu(
        id=row["id"],
        fresh=fresh,
        outcome=row["outcome"],
        imsi=row["imsi"],
        imei=row["imei"],
        iccid=row["iccid"],
        raw=row["raw"],
        storage=row["storage"],
        index=row["idx"],
        received_at=row["received_at"],
        removed=bool(row["removed"]),
    )


def removed(tx: Transaction, pdu_id: int) -> None:
    """The modem has forgotten it (deleted, or acknowledged with +CNMA)."""
    tx.db.execute("UPDATE inbound_pdu SET removed = 1 WHERE id = ?", (pdu_id,))


def undecided(db: sqlite3.Connection) -> list[StoredPdu]:
    """The PDUs that are kept and not decoded yet, oldest first: what a crash left between commit and decoding."""
    rows = db.execute("SELECT * FROM inbound_pdu WHERE outcome IS NULL ORDER BY id")
    return [_stored(row, fresh=False) for row in rows]


def deliver(
    tx: Transaction,
    pdu_id: int,
    *,
    part: ReceivedPart,
    assemble: Callable[[Sequence[str]], Assembled],
    join_ms: int = JOIN_MS,
) -> MessageId | None:
    """A PDU is a received message, or a part of one; returns the message's id, or None while parts are missing.

    When the set is complete, or was told before, an event of kind "received" is emitted with the id in its body. The
    same PDU again has no effect and the same answer.

    Args:
        tx: the transaction.
        pdu_id: of ``commit_pdu``.
        part: what was read in it.
        assemble: pure; given raw PDUs (hex) of one set in the order of their numbers; also called for incomplete sets.
        join_ms: a set that is older is not joined.
    """
    pdu = _pdu(tx, pdu_id)
    if pdu["outcome"] is not None:
        told = tx.db.execute("SELECT id FROM received WHERE id = ? AND seq IS NOT NULL", (pdu["received"],)).fetchone()
        answer: MessageId | None = None if told is None else told["id"]
        return answer
    row = None
    if part.set_key is not None and part.total > 1:
        row = _joinable(tx, pdu, part, assemble, tx.now - join_ms)
    if row is None:
        number = _begin(tx, pdu, part)
        row = tx.db.execute("SELECT * FROM received WHERE row = ?", (number,)).fetchone()
    _decide(tx, pdu_id, "deliver", row["id"])
    same_part_again = (
        tx.db.execute(
            "INSERT INTO part (received, number, raw) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (row["row"], part.number, pdu["raw"]),
        ).rowcount
        == 0
    )
    received_id: MessageId = row["id"]
    if same_part_again:
        return received_id if row["seq"] is not None else None
    parts = [
        found["raw"]
        for found in tx.db.execute("SELECT raw FROM part WHERE received = ? ORDER BY number", (row["row"],))
    ]
    whole = assemble(parts)
    complete = len(parts) >= part.total
    missing = [] if complete else list(whole.missing)
    tx.db.execute(
        "UPDATE received SET text = ?, data = ?, complete = ?, missing = ? WHERE row = ?",
        (whole.text, whole.data, complete, json.dumps(missing), row["row"]),
    )
    if not complete and row["seq"] is None:
        return None
    _tell(tx, row["row"], received_id)
    return received_id


def undecodable(tx: Transaction, pdu_id: int, *, field: str, offset: int, detail: str) -> MessageId:
    """A PDU that is no message we can read is told as such, raw (promise R3); returns its id among the received."""
    pdu = _pdu(tx, pdu_id)
    if pdu["outcome"] is not None and pdu["received"] is not None:
        return MessageId(pdu["received"])
    received_id = _id(pdu)
    row = tx.db.execute(
        "INSERT INTO received (id, imsi, imei, received_hub, received_at, total, complete, missing, extra, field,"
        " offset, detail, raw) VALUES (?, ?, ?, ?, ?, 1, 1, '[]', '{}', ?, ?, ?, ?)",
        (
            received_id,
            pdu["imsi"],
            pdu["imei"],
            pdu["received_hub"],
            pdu["received_at"],
            field,
            offset,
            detail,
            pdu["raw"],
        ),
    ).lastrowid
    assert row is not None
    _decide(tx, pdu_id, "undecodable", received_id)
    _tell(tx, row, received_id)
    return received_id


def give_up(tx: Transaction, *, window_ms: int, limit: int = 100) -> int:
    """Tell the sets that were begun longer ago than ``window_ms`` and are incomplete, once each; returns how many."""
    rows = tx.db.execute(
        "SELECT row, id FROM received INDEXED BY received_open WHERE seq IS NULL AND received_hub <= ?"
        " ORDER BY received_hub, row LIMIT ?",
        (tx.now - window_ms, limit),
    ).fetchall()
    for row in rows:
        _tell(tx, row["row"], row["id"])
    return len(rows)


def _pdu(tx: Transaction, pdu_id: int) -> sqlite3.Row:
    row: sqlite3.Row | None = tx.db.execute("SELECT * FROM inbound_pdu WHERE id = ?", (pdu_id,)).fetchone()
    if row is None:
        raise StoreError(f"there is no PDU {pdu_id}")
    return row


def _decide(tx: Transaction, pdu_id: int, outcome: str, received_id: str) -> None:
    tx.db.execute("UPDATE inbound_pdu SET outcome = ?, received = ? WHERE id = ?", (outcome, received_id, pdu_id))


def _id(pdu: sqlite3.Row) -> MessageId:
    """The id of the message that this PDU begins: the same for the same PDU of the same SIM, also in a fresh store."""
    return MessageId("in_" + hashlib.sha256(pdu["imsi"].encode() + pdu["digest"]).hexdigest()[:24])


def _begin(tx: Transaction, pdu: sqlite3.Row, part: ReceivedPart) -> int:
    row = tx.db.execute(
        "INSERT INTO received (id, imsi, imei, sender, encoding, sent_at, received_hub, received_at, set_key, total,"
        " complete, missing, extra) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '[]', ?)",
        (
            _id(pdu),
            pdu["imsi"],
            pdu["imei"],
            part.sender,
            part.encoding,
            part.sent_at,
            pdu["received_hub"],
            pdu["received_at"],
            part.set_key if part.total > 1 else None,
            part.total,
            json.dumps(dict(part.extra), ensure_ascii=False),
        ),
    ).lastrowid
    assert row is not None
    return row


def _joinable(
    tx: Transaction,
    pdu: sqlite3.Row,
    part: ReceivedPart,
    assemble: Callable[[Sequence[str]], Assembled],
    begun_after: int,
) -> sqlite3.Row | None:
    row: sqlite3.Row | None = tx.db.execute(
        "SELECT * FROM received WHERE imsi = ? AND set_key = ? ORDER BY row DESC LIMIT 1", (pdu["imsi"], part.set_key)
    ).fetchone()
    if row is None or row["received_hub"] < begun_after or row["total"] != part.total:
        return None
    taken = tx.db.execute(
        "SELECT raw FROM part WHERE received = ? AND number = ?", (row["row"], part.number)
    ).fetchone()
    if taken is None:
        return row
    before, now = assemble([taken["raw"]]), assemble([pdu["raw"]])
    return row if (before.text, before.data) == (now.text, now.data) else None


def _tell(tx: Transaction, row: int, received_id: str) -> None:
    seq = tx.db.execute("UPDATE counter SET value = value + 1 WHERE name = 'received' RETURNING value").fetchone()
    tx.db.execute("UPDATE received SET seq = ?, told_hub = ? WHERE row = ?", (seq["value"], tx.now, row))
    tx.emit("received", received_id, {"id": received_id})


# ── queries ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def inbox(
    db: sqlite3.Connection, *, since_seq: int = 0, limit: int = 100, sender: str | None = None
) -> list[dict[str, Any]]:
    """What was received after ``since_seq``, oldest first, as ``received_view``; from this sender only, when given."""
    if sender is None:
        rows = db.execute("SELECT * FROM received WHERE seq > ? ORDER BY seq LIMIT ?", (since_seq, limit))
    else:
        rows = db.execute(
            "SELECT * FROM received WHERE sender = ? AND seq > ? ORDER BY seq LIMIT ?", (sender, since_seq, limit)
        )
    return [_view(row) for row in rows]


def inbox_before(
    db: sqlite3.Connection, *, before: int = 0, limit: int = 100, sender: str | None = None
) -> list[dict[str, Any]]:
    """What was received before the seq ``before`` (0: all of it), newest first, as ``received_view``."""
    ceiling = before or 1 << 62
    if sender is None:
        rows = db.execute("SELECT * FROM received WHERE seq < ? ORDER BY seq DESC LIMIT ?", (ceiling, limit))
    else:
        rows = db.execute(
            "SELECT * FROM received WHERE sender = ? AND seq < ? ORDER BY seq DESC LIMIT ?", (sender, ceiling, limit)
        )
    return [_view(row) for row in rows]


def received_view(db: sqlite3.Connection, received_id: MessageId) -> dict[str, Any] | None:
    """The public JSON of one received message, or None when there is none (any more), or it was not told yet.

    Keys: id, seq, from, text or data (base64), received_at (RFC 3339, UTC), sent_at, modem (IMEI), sim (IMSI),
    encoding, segments, complete, missing? (numbers), replayed, undecodable? {field, offset, detail}, raw? (hex), and
    the extras.
    """
    row = db.execute("SELECT * FROM received WHERE id = ? AND seq IS NOT NULL", (received_id,)).fetchone()
    return None if row is None else _view(row)


def latest(db: sqlite3.Connection, *, modem: str) -> dict[str, Any] | None:
    """The message that this modem (IMEI) received last, as ``received_view``; None when there is none (any more)."""
    row = db.execute("SELECT * FROM received WHERE imei = ? AND seq IS NOT NULL ORDER BY seq DESC LIMIT 1", (modem,))
    found = row.fetchone()
    return None if found is None else _view(found)


def _view(row: sqlite3.Row) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": row["id"],
        "seq": row["seq"],
        "from": row["sender"],
        "received_at": rfc3339(row["received_at"]),
        "sent_at": row["sent_at"],
        "modem": row["imei"],
        "sim": row["imsi"] or None,
        "encoding": row["encoding"],
        "segments": row["total"],
        "complete": bool(row["complete"]),
        "replayed": False,
    }
    if row["field"] is not None:
        view["undecodable"] = {"field": row["field"], "offset": row["offset"], "detail": row["detail"]}
        view["raw"] = row["raw"]
    elif row["data"] is not None:
        view["data"] = base64.b64encode(row["data"]).decode("ascii")
    else:
        view["text"] = row["text"] or ""
    if not row["complete"]:
        view["missing"] = json.loads(row["missing"])
    for name, value in json.loads(row["extra"]).items():
        view.setdefault(name, value)
    return view
