"""The network: a service centre with its own strict codec, its queue for each SIM, its reports, and the ledger.

Promise: what stands in the ledger with ``accepted: true`` is what a real service centre would have taken, bit for bit;
everything else that reached the network is there too, with the reason why it was refused. Rows are written and flushed
before the modem hears the result.

Mobile terminated: one message at a time for each SIM, as the relay layer has it (24.011). The modem answers each with
an acknowledgement or a cause. Memory exceeded (TP-FCS 0xD3) keeps the message until the modem tells that memory is free
(RP-SMMA); another cause brings it again after ``redeliver_delay``; an unreachable modem gets it when it registers.

Reports (23.040 §9.2.2.3) are mobile terminated like messages. Nothing here polls: everything is an event or a timer.
"""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

from hil.emulator import alphabet, tpdu

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

    from hil.emulator.settings import Settings

SERVICE_CENTRE: Final = "+447700900500"
MEMORY_EXCEEDED: Final = 0xD3
"""TP-FCS "memory capacity exceeded"."""
DUPLICATE: Final = 0xC5
"""TP-FCS "SM rejected, duplicate SM"."""
MAX_MESSAGES_PER_CALL: Final = 100_000


class Terminal(Protocol):
    """What the network sees of a modem."""

    @property
    def reachable(self) -> bool:
        """Registered and switched on."""

    def deliver(self, delivery: Delivery) -> None:
        """Take a TPDU; the answer comes through ``Subscriber.answered``."""


@dataclass(slots=True, eq=False)
class Delivery:
    """A TPDU on its way to a SIM."""

    number: int
    kind: str
    """deliver or report."""
    tpdu: bytes
    sca: str = SERVICE_CENTRE
    attempts: int = 0
    note: dict[str, Any] = field(default_factory=dict)


class Ledger:
    """JSON lines, appended and flushed one by one; also kept in memory for the control socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] = path.open("a", encoding="utf-8")
        self.rows: list[dict[str, Any]] = []

    def write(self, row: dict[str, Any]) -> int:
        """Append a row; returns its line number (from 1)."""
        line = len(self.rows) + 1
        full = {"line": line, "time": time.time(), **row}
        self.rows.append(full)
        self._file.write(json.dumps(full, ensure_ascii=False, separators=(",", ":")) + "\n")
        self._file.flush()
        return line

    def close(self) -> None:
        self._file.close()


class Subscriber:
    """One SIM in the network: its number, its queue of mobile terminated messages, its messages in parts."""

    def __init__(self, network: Network, *, imsi: str, number: str, settings: Settings) -> None:
        self.network = network
        self.imsi = imsi
        self.number = number
        self.settings = settings
        self.terminal: Terminal | None = None
        self.queue: deque[Delivery] = deque()
        self.memory_full = False
        self.held_reports: list[Delivery] = []
        self._under_way: Delivery | None = None
        self._pumping = False
        self._retry: asyncio.TimerHandle | None = None
        self._reference = 0
        self._parts: dict[tuple[Any, ...], dict[int, _Part]] = {}
        self._complete: dict[tuple[Any, ...], dict[int, _Part]] = {}
        self.accepted: dict[tuple[str, int], tuple[int, bytes]] = {}

    # ---- towards the modem

    def enqueue(self, delivery: Delivery) -> None:
        self.queue.append(delivery)
        self.pump()

    def alert(self) -> None:
        """The modem is back or has memory again: send what is held."""
        self.memory_full = False
        self._cancel_retry()
        self.pump()

    def pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        try:
            while (
                self.queue
                and self._under_way is None
                and not self.memory_full
                and self._retry is None
                and self.terminal is not None
                and self.terminal.reachable
            ):
                delivery = self.queue[0]
                self._under_way = delivery
                delivery.attempts += 1
                self.terminal.deliver(delivery)
        finally:
            self._pumping = False

    def answered(self, delivery: Delivery, cause: int | None) -> None:
        """The modem's answer: None is the acknowledgement, a number the cause of its refusal."""
        if self._under_way is not delivery:
            return
        self._under_way = None
        self.network.ledger.write({
            "kind": "mt", "imsi": self.imsi, "delivery": delivery.number, "what": delivery.kind,
            "attempt": delivery.attempts, "acknowledged": cause is None, "cause": cause, **delivery.note,
        })  # fmt: skip
        if cause is None:
            self.queue.popleft()
            self.network.count["acknowledged"] += 1
        elif cause == MEMORY_EXCEEDED:
            self.memory_full = True
        else:
            self._retry = self.network.loop.call_later(self.settings.redeliver_delay, self.alert)
        self.network.changed()
        self.pump()

    def vanished(self) -> None:
        """The modem went away with a message under way: it stays at the head of the queue."""
        self._under_way = None
        self._cancel_retry()

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def next_reference(self, *, wide: bool) -> int:
        self._reference = (self._reference + 1) % (0x10000 if wide else 0x100)
        return self._reference

    # ---- messages in parts

    def collect(self, submit: tpdu.Submit, mr: int, line: int) -> tuple[bool, dict[str, Any] | None]:
        """Add an accepted submit; returns (is it the repeat of a complete part, the message row when complete)."""
        part = _Part(mr, line, submit)
        concat = submit.ud.concat
        if concat is None:
            return False, self._message(submit, [part])
        key = (submit.da.number, concat.wide, concat.ref, concat.total)
        done = self._complete.get(key, {}).get(concat.n)
        if done and done.submit.tpdu[2:] == submit.tpdu[2:] and (submit.rd or done.mr == mr):
            return True, None
        parts = self._parts.setdefault(key, {})
        parts[concat.n] = part
        if len(parts) < concat.total:
            return False, None
        self._complete[key] = self._parts.pop(key)
        return False, self._message(submit, [parts[n] for n in range(1, concat.total + 1)])

    def _message(self, submit: tpdu.Submit, parts: list[_Part]) -> dict[str, Any]:
        row: dict[str, Any] = {"kind": "message", "imsi": self.imsi, "da": submit.da.number}
        if any(part.submit.ud.text is None for part in parts):
            row["data"] = b"".join(part.submit.ud.data or b"" for part in parts).hex()
        else:
            row["text"] = "".join(part.submit.ud.text or "" for part in parts)
        if submit.ud.ports:
            row["ports"] = list(submit.ud.ports)
        return row | {"segments": [part.line for part in parts], "mrs": [part.mr for part in parts]}

    def open_parts(self) -> list[dict[str, Any]]:
        return [
            {"da": key[0], "wide": key[1], "ref": key[2], "total": key[3], "have": sorted(parts)}
            for key, parts in self._parts.items()
        ]


@dataclass(frozen=True, slots=True)
class _Part:
    mr: int
    line: int
    submit: tpdu.Submit


class Network:
    """The service centre and its subscribers."""

    def __init__(self, ledger: Ledger, loop: asyncio.AbstractEventLoop) -> None:
        self.ledger = ledger
        self.loop = loop
        self.subscribers: dict[str, Subscriber] = {}
        self.count = {"submits": 0, "refused": 0, "messages": 0, "acknowledged": 0, "reports": 0, "deliveries": 0}
        self._watchers: list[Callable[[], None]] = []

    # ---- bookkeeping

    def subscribe(self, *, imsi: str, number: str, settings: Settings) -> Subscriber:
        subscriber = Subscriber(self, imsi=imsi, number=number, settings=settings)
        self.subscribers[imsi] = subscriber
        return subscriber

    def subscriber(self, *, imsi: str, number: str, settings: Settings) -> Subscriber:
        """The subscriber of this SIM, new or known, with the settings of the modem that it is in now."""
        known = self.subscribers.get(imsi)
        if known is None:
            return self.subscribe(imsi=imsi, number=number, settings=settings)
        known.number, known.settings = number, settings
        return known

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call ``watcher`` after every change; returns the function that ends it."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def changed(self) -> None:
        for watcher in tuple(self._watchers):
            watcher()

    # ---- mobile originated

    def refuse(self, subscriber: Subscriber, imei: str, octets: bytes, error: dict[str, Any]) -> None:
        """Write down what the modem or the network refused."""
        self.count["refused"] += 1
        row = self._row(subscriber, imei, octets) | tpdu.peek(octets)
        self.ledger.write({**row, "accepted": False, "error": error})
        self.changed()

    @staticmethod
    def _row(subscriber: Subscriber, imei: str, octets: bytes) -> dict[str, Any]:
        nothing = dict.fromkeys(("mr", "da", "toa", "pid", "dcs", "srr", "rd", "vp", "udh", "concat", "text", "data"))
        return {"kind": "submit", "imei": imei, "imsi": subscriber.imsi, **nothing, "tpdu": octets.hex()}

    def submit(self, subscriber: Subscriber, imei: str, octets: bytes, *, result_after: float = 0.0) -> int | None:
        """Take a TPDU from a modem; returns None when accepted, else the cause.

        ``result_after`` is when the modem will hear of it, in seconds: ``report_delay`` counts from there.
        """
        try:
            submit = tpdu.read_submit(octets)
        except tpdu.Refusal as refusal:
            self.refuse(subscriber, imei, octets, refusal.as_json())
            return refusal.cause
        key = (submit.da.number, submit.mr)
        earlier = subscriber.accepted.get(key)
        duplicate = earlier is not None and earlier[1][2:] == octets[2:]
        row = self._row(subscriber, imei, octets) | {
            "mr": submit.mr, "da": submit.da.number, "toa": submit.da.toa, "pid": submit.pid, "dcs": submit.dcs,
            "srr": submit.srr, "rd": submit.rd, "vp": submit.vp, "udh": submit.ud.header.hex(),
            "concat": submit.ud.concat.as_json() if submit.ud.concat else None,
            "text": submit.ud.text, "data": None if submit.ud.data is None else submit.ud.data.hex(),
            "ports": list(submit.ud.ports) if submit.ud.ports else None,
            "tables": [submit.ud.locking, submit.ud.single], "duplicate": duplicate,
        }  # fmt: skip
        if submit.rd and earlier is not None and subscriber.settings.reject_duplicates:
            error = {"field": "tp-rd", "offset": 0, "detail": f"held since line {earlier[0]}", "cause": DUPLICATE}
            self.count["refused"] += 1
            self.ledger.write({**row, "accepted": False, "error": error})
            self.changed()
            return DUPLICATE
        line = self.ledger.write({**row, "accepted": True, "error": None})
        subscriber.accepted[key] = (line, octets)
        self.count["submits"] += 1
        _, message = subscriber.collect(submit, submit.mr, line)
        if message is not None:
            self.ledger.write(message)
            self.count["messages"] += 1
        self._forward(subscriber, submit)
        if submit.srr:
            self._report(subscriber, submit, result_after)
        self.changed()
        return None

    def _forward(self, subscriber: Subscriber, submit: tpdu.Submit) -> None:
        if not subscriber.settings.forward:
            return
        for other in self.subscribers.values():
            if other.number == submit.da.number:
                body = submit.tpdu[len(submit.tpdu) - _ud_length(submit) - 1 :]
                octets = tpdu.write_deliver(
                    subscriber.number, tpdu.now(), body, dcs=submit.dcs, pid=submit.pid, udhi=submit.udhi
                )
                self._send(other, "deliver", octets, {"from": subscriber.number})

    # ---- reports

    def _report(self, subscriber: Subscriber, submit: tpdu.Submit, result_after: float) -> None:
        settings = subscriber.settings
        statuses = settings.report_plan(submit.da.number)
        if settings.report == "none":
            return
        if settings.report_twice:
            statuses = [*statuses, statuses[-1]]
        accepted = tpdu.now()
        deliveries = [
            self._delivery("report", tpdu.write_report(submit.mr, submit.da, accepted, tpdu.now(), status),
                           {"mr": submit.mr, "da": submit.da.number, "status": status})
            for status in statuses
        ]  # fmt: skip
        if settings.report == "hold":
            subscriber.held_reports += deliveries
        elif settings.report_before_result:
            self._dispatch_reports(subscriber, deliveries)
        else:
            self.loop.call_later(result_after + settings.report_delay, self._dispatch_reports, subscriber, deliveries)

    def _dispatch_reports(self, subscriber: Subscriber, deliveries: list[Delivery]) -> None:
        self.count["reports"] += len(deliveries)
        for delivery in deliveries:
            subscriber.enqueue(delivery)

    def release_reports(self, order: str = "fifo") -> int:
        """Send the held reports, first first or last first; returns how many."""
        released = 0
        for subscriber in self.subscribers.values():
            held, subscriber.held_reports = subscriber.held_reports, []
            released += len(held)
            self._dispatch_reports(subscriber, held[::-1] if order == "reversed" else held)
        return released

    # ---- mobile terminated

    def _delivery(self, kind: str, octets: bytes, note: dict[str, Any], sca: str = SERVICE_CENTRE) -> Delivery:
        self.count["deliveries"] += 1
        return Delivery(self.count["deliveries"], kind, octets, sca, note=note)

    def _send(
        self, subscriber: Subscriber, kind: str, octets: bytes, note: dict[str, Any], sca: str = SERVICE_CENTRE
    ) -> Delivery:
        delivery = self._delivery(kind, octets, note, sca)
        subscriber.enqueue(delivery)
        return delivery

    def deliver(self, subscriber: Subscriber, words: dict[str, Any]) -> list[Delivery]:
        """Send what the control verb ``deliver`` describes; returns the parts in the order of sending."""
        sca = str(words.get("sca", SERVICE_CENTRE))
        sent: list[Delivery] = []
        count = int(words.get("count", 1))
        if not 1 <= count <= MAX_MESSAGES_PER_CALL:
            raise ValueError(f"count {count}")
        for n in range(1, count + 1):
            one = words
            if "text" in words and "{n}" in str(words["text"]):
                one = {**words, "text": str(words["text"]).replace("{n}", str(n))}
            made = build_deliver(one, subscriber.next_reference)
            sent += [self._delivery("deliver", octets, {"from": words.get("from")}, sca) for octets in made]
        subscriber.queue.extend(sent)
        subscriber.pump()
        self.changed()
        return sent


def _ud_length(submit: tpdu.Submit) -> int:
    if tpdu.read_dcs(submit.dcs).alphabet == "gsm7":
        return (submit.udl * 7 + 7) // 8
    return submit.udl


def build_deliver(words: dict[str, Any], next_reference: Callable[..., int]) -> list[bytes]:
    """The TPDUs of one ``deliver`` verb: coded, cut, then omitted, repeated and ordered as told."""
    if "tpdu" in words:
        return [bytes.fromhex(str(words["tpdu"]))]
    locking, single = int(words.get("locking", 0)), int(words.get("single", 0))
    kind, dcs = _choose(words, locking, single)
    if "dcs" in words:
        dcs = int(words["dcs"])
    ports = _port_pair(words.get("port"))
    extra = bytes.fromhex(str(words.get("ie", "")))
    concat = words.get("concat")
    plain = tpdu.write_header(None, ports, locking, single, extra=extra)
    parts = _cut(words, kind, len(plain), locking, single)
    references: list[tpdu.Concat | None] = [None]
    if len(parts) > 1 or concat is not None:
        wide = bool((concat or {}).get("wide", False))
        known = tpdu.write_header(tpdu.Concat(0, 1, 1, wide), ports, locking, single, extra=extra)
        parts = _cut(words, kind, len(known), locking, single)
        ref = int((concat or {}).get("ref", -1))
        ref = next_reference(wide=wide) if ref < 0 else ref
        total = int((concat or {}).get("total", len(parts)))
        references = [tpdu.Concat(ref, total, n, wide) for n in range(1, len(parts) + 1)]
    scts = datetime.fromisoformat(str(words["scts"])) if "scts" in words else tpdu.now()
    made: dict[int, bytes] = {}
    for n, (content, reference) in enumerate(zip(parts, references, strict=True), start=1):
        header = tpdu.write_header(reference, ports, locking, single, extra=extra)
        made[n] = tpdu.write_deliver(
            str(words["from"]),
            scts,
            tpdu.write_user_data(content, header, kind),
            dcs=dcs,
            pid=int(words.get("pid", 0)),
            udhi=bool(header),
        )
    return [made[n] for n in _order(words, len(parts))]


def _order(words: dict[str, Any], total: int) -> list[int]:
    order = [int(n) for n in words.get("order", range(1, total + 1))]
    twice = [int(n) for n in words.get("duplicate", ())]
    omitted = [int(n) for n in words.get("omit", ())]
    if not all(1 <= n <= total for n in (*order, *twice, *omitted)):
        raise ValueError(f"the message has {total} parts")
    return [again for n in order if n not in omitted for again in ([n, n] if n in twice else [n])]


def _port_pair(port: Any) -> tuple[int, int] | None:
    if port is None:
        return None
    if isinstance(port, list):
        return int(port[0]), int(port[1])
    return int(port), 0


def _cut(words: dict[str, Any], kind: str, reserved: int, locking: int, single: int) -> list[bytes]:
    if "data" in words:
        return tpdu.split_data(bytes.fromhex(str(words["data"])), reserved=reserved)
    text = str(words.get("text", ""))
    if kind == "8bit":
        return tpdu.split_data(text.encode("latin-1"), reserved=reserved)
    return tpdu.split_text(text, kind, reserved=reserved, locking=locking, single=single)


_MWI = {"voice": 0, "fax": 1, "email": 2, "other": 3}


def _choose(words: dict[str, Any], locking: int, single: int) -> tuple[str, int]:
    """The alphabet and TP-DCS for a deliver verb."""
    kind = str(words.get("alphabet", "8bit" if "data" in words else "auto"))
    if kind == "auto":
        try:
            alphabet.encode(str(words.get("text", "")), locking, single)
            kind = "gsm7"
        except alphabet.CodeError:
            kind = "ucs2"
    if kind not in ("gsm7", "8bit", "ucs2"):
        raise ValueError(f"no such alphabet: {kind}")
    if mwi := words.get("mwi"):
        group = {"gsm7": 0xD0, "ucs2": 0xE0}[kind] if mwi.get("store", True) else 0xC0
        return kind, group | (0x08 if mwi.get("active", True) else 0) | _MWI[mwi.get("type", "voice")]
    dcs = {"gsm7": 0x00, "8bit": 0x04, "ucs2": 0x08}[kind]
    if (message_class := words.get("class")) is not None:
        if not 0 <= int(message_class) <= 3:
            raise ValueError(f"class {message_class}")
        dcs |= 0x10 | int(message_class)
    return kind, dcs
