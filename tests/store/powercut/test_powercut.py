"""A power cut loses no accepted message and no committed inbound PDU (S1, S2, R1); and an experiment that can fail.

Three parts: the reading of traces and the model of the disk, on traces that are made up; the judge, on a store of which
each state is known; and the experiment itself, on the product and on stores with one thing wrong.
"""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from appliance.store import Journal, events, identity, inbound, outbound, reports, sims
from appliance.types import Iccid, Imei, Imsi, MessageId, Reason, RetryClass
from tests.store.powercut import trace
from tests.store.powercut.disk import Disk
from tests.store.powercut.experiment import Life, Model, Store, cut, in_memory, live
from tests.store.powercut.judge import Event, Found, FoundPdu, Kind, judge, reopen
from tests.store.powercut.promises import VERBS, Ledger, Segment
from tests.store.powercut.trace import Blind, Moved, Opened, Removed, Said, Step, Synced, Written
from tests.store.powercut.writer import BALLAST, ticking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# ── traces ───────────────────────────────────────────────────────────────────────────────────────────────────────────

STATE = Path("/state")


def hexed(text: str | bytes) -> str:
    octets = text.encode() if isinstance(text, str) else text
    return "".join(f"\\x{octet:02x}" for octet in octets)


def fd(path: str, number: int = 3) -> str:
    return f"{number}<{hexed(path)}>"


def opened(name: str, flags: str = "O_RDWR|O_CREAT") -> str:
    return f'1 openat(AT_FDCWD<{hexed("/")}>, "{hexed(f"/state/{name}")}", {flags}, 0600) = {fd(f"/state/{name}")}'


def wrote(name: str, data: bytes, offset: int = 0) -> str:
    return f'1 pwrite64({fd(f"/state/{name}")}, "{hexed(data)}", {len(data)}, {offset}) = {len(data)}'


def synced(name: str) -> str:
    return f"1 fdatasync({fd(f'/state/{name}')}) = 0"


SYNCED_DIRECTORY = f"1 fsync({fd('/state')}) = 0"


def moved(old: str, new: str) -> str:
    return f'1 rename("{hexed(f"/state/{old}")}", "{hexed(f"/state/{new}")}") = 0'


def removed(name: str) -> str:
    return f'1 unlink("{hexed(f"/state/{name}")}") = 0'


def acts(*lines: str) -> list[trace.Act]:
    return [step.act for step in trace.read(lines, STATE)]


def disk(*lines: str) -> Disk:
    replayed = Disk()
    for step in trace.read(lines, STATE):
        replayed.apply(step)
    return replayed


def torn(replayed: Disk) -> set[tuple[tuple[str, bytes], ...]]:
    """What 300 cuts leave, as different directories."""
    return {tuple(sorted(replayed.torn(random.Random(seed)).items())) for seed in range(300)}


def test_what_the_writer_says_and_does_is_read_in_its_order() -> None:
    line = hexed('ACK {"i": 1}\n')
    said = f'1 write(1<{hexed("/dev/null")}>, "{line}", 13) = 13'
    elsewhere = f'1 pwrite64({fd("/other/a")}, "{hexed("x")}", 1, 0) = 1'
    gone = f'1 pwrite64({fd("/state/a")}(deleted), "{hexed("x")}", 1, 0) = 1'
    assert acts(opened("a"), elsewhere, wrote("a", b"xy", 7), gone, said, "1 +++ exited with 0 +++") == [
        Opened("a", creates=True, truncates=False),
        Written("a", 7, b"xy"),
        Said("ACK", {"i": 1}),
    ]


def test_a_call_that_another_thread_interrupted_is_one_call() -> None:
    head, tail = wrote("a", b"xy").split(", 2, ")
    lines = [f"{head}, 2 <unfinished ...>", synced("a").replace("1 ", "2 ", 1), f"1 <... pwrite64 resumed>, {tail}"]
    assert list(trace.read(lines, STATE)) == [Step(1, 1, Synced("a")), Step(0, 2, Written("a", 0, b"xy"))]


def test_a_call_that_failed_or_never_returned_did_nothing() -> None:
    failed = wrote("a", b"x").removesuffix("= 1") + "= -1 ENOSPC (No space left on device)"
    never = wrote("a", b"x").removesuffix(") = 1") + " <unfinished ...>"
    short = wrote("a", b"xyz").removesuffix("= 3") + "= 2"
    assert acts(failed, short, never) == [Written("a", 0, b"xy")]


@pytest.mark.parametrize(
    "line",
    [
        f'1 write({fd("/state/a")}, "\\x00", 1) = 1',
        f"1 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, {fd('/state/hub.db')}, 0) = 0x7f0000000000",
        f"1 fallocate({fd('/state/a')}, FALLOC_FL_PUNCH_HOLE, 0, 4096) = 0",
        f"1 copy_file_range({fd('/other/a')}, NULL, {fd('/state/a')}, NULL, 1, 0) = 1",
        f'1 rename("{hexed("/other/a")}", "{hexed("/state/a")}") = 0',
        f'1 mkdir("{hexed("/state/corrupt")}", 0777) = 0',
        f'1 link("{hexed("/state/a")}", "{hexed("/state/b")}") = 0',
        f'1 pwrite64({fd("/state/a")}, "\\x00"..., 4096, 0) = 4096',
        "strace: something else",
    ],
)
def test_what_is_not_understood_ends_the_replay(line: str) -> None:
    with pytest.raises(Blind):
        acts(line)


def test_a_file_that_nobody_made_ends_the_replay() -> None:
    with pytest.raises(Blind):
        disk(wrote("a", b"x"))


# ── disks ────────────────────────────────────────────────────────────────────────────────────────────────────────────

MADE = (opened("a"), wrote("a", b"old!"), synced("a"), SYNCED_DIRECTORY)


def test_what_was_synced_is_there_and_the_rest_is_not() -> None:
    assert disk(*MADE, wrote("a", b"new", 1)).strict() == {"a": b"old!"}
    assert disk(*MADE, wrote("a", b"new", 1), synced("a")).strict() == {"a": b"onew"}


def test_a_sync_covers_only_what_had_returned_when_it_began() -> None:
    begun, ended = synced("a").replace(")", " <unfinished ...>").split(" =")[0], "1 <... fdatasync resumed>) = 0"
    late = wrote("a", b"new", 1).replace("1 ", "2 ", 1)
    assert disk(*MADE, begun, late, ended).strict() == {"a": b"old!"}
    assert disk(*MADE, late, begun, ended).strict() == {"a": b"onew"}


def test_a_name_needs_a_sync_of_its_directory() -> None:
    assert disk(opened("a"), wrote("a", b"x"), synced("a")).strict() == {}
    assert disk(opened("a"), wrote("a", b"x"), SYNCED_DIRECTORY).strict() == {"a": b""}
    assert disk(*MADE, moved("a", "b")).strict() == {"a": b"old!"}
    assert disk(*MADE, moved("a", "b"), SYNCED_DIRECTORY).strict() == {"b": b"old!"}
    assert disk(*MADE, removed("a"), opened("a"), wrote("a", b"new"), synced("a")).strict() == {"a": b"old!"}
    assert disk(*MADE, removed("a"), SYNCED_DIRECTORY).strict() == {}


def test_emptied_cut_and_allocated_files() -> None:
    size = f"1 ftruncate({fd('/state/a')}, 2) = 0"
    room = f"1 fallocate({fd('/state/a')}, 0, 0, 6) = 0"
    assert disk(*MADE, size).strict() == {"a": b"old!"}
    assert disk(*MADE, size, synced("a")).strict() == {"a": b"ol"}
    assert disk(*MADE, room, synced("a")).strict() == {"a": b"old!\0\0"}
    assert disk(*MADE, opened("a", "O_RDWR|O_CREAT|O_TRUNC"), synced("a")).strict() == {"a": b""}
    assert disk(*MADE, opened("a", "O_RDWR|O_CREAT")).strict() == {"a": b"old!"}


def test_a_torn_disk_keeps_what_was_synced_and_any_part_of_the_rest() -> None:
    old, new = b"o" * 1536, b"n" * 1536
    replayed = disk(opened("a"), wrote("a", old), synced("a"), SYNCED_DIRECTORY, wrote("a", new))
    outcomes = {dict(found)["a"] for found in torn(replayed)}
    assert {re.sub(rb"(.)\1{511}", rb"\1", outcome) for outcome in outcomes} == {
        bytes(sectors) for sectors in (b"ooo", b"oon", b"ono", b"onn", b"noo", b"non", b"nno", b"nnn")
    }


def test_a_torn_disk_may_grow_before_its_data_and_change_its_names_in_any_order() -> None:
    replayed = disk(*MADE, wrote("a", b"x", 600))
    assert {len(dict(found)["a"]) for found in torn(replayed)} == {4, 601}
    assert (("a", b"old!".ljust(601, b"\0")),) in torn(replayed)
    replayed = disk(*MADE, opened("b"), removed("a"))
    assert {tuple(name for name, _ in found) for found in torn(replayed)} == {("a",), ("a", "b"), ("b",), ()}


def test_a_mapped_file_may_hold_anything() -> None:
    mapped = f"1 mmap(NULL, 32768, PROT_READ|PROT_WRITE, MAP_SHARED, {fd('/state/a-shm')}, 0) = 0x7f0000000000"
    replayed = disk(opened("a-shm"), SYNCED_DIRECTORY, mapped)
    assert len(torn(replayed)) > 10


# ── the judge ────────────────────────────────────────────────────────────────────────────────────────────────────────

SIM = Imsi("262011234567890")
SILENCE = Reason("timeout", RetryClass.IN_DOUBT, "no answer")


@dataclass(frozen=True, slots=True)
class Done:
    """One verb: what was said of it, and what a start on the store finds right after it."""

    verb: str
    ask: dict[str, Any]
    ack: dict[str, Any]
    found: Found


def said_of(message: outbound.NewMessage) -> dict[str, Any]:
    return {
        "id": message.id,
        "client": message.client,
        "key": message.idempotency_key,
        "ordinal": 0,
        "to": message.recipient,
        "sim": message.imsi,
        "hold": False,
        "text": message.text,
        "segments": [tpdu.hex() for tpdu in message.segments],
    }


async def lived(directory: Path) -> list[Done]:
    """Each kind of verb once, in a store of which a copy is opened after each."""
    done: list[Done] = []
    (directory / "state").mkdir()
    journal = await Journal.open(directory / "state/hub.db", clock=ticking(1), ballast_bytes=BALLAST)

    async def do(
        verb: Callable[..., Any],
        ask: dict[str, Any],
        answer: Callable[[Any], dict[str, Any]],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        value = await journal.write(verb, *args, **kwargs)
        shutil.copytree(directory / "state", directory / "copy")
        found = await reopen(directory / "copy")
        shutil.rmtree(directory / "copy")
        i = len(done)
        done.append(Done(verb.__name__, {"i": i, "verb": verb.__name__, **ask}, {"i": i, **answer(value)}, found))
        return value

    def nothing(_: object) -> dict[str, Any]:
        return {}

    def got(claim: outbound.Claim | None) -> dict[str, Any]:
        return {"got": None if claim is None else [claim.message_id, claim.n]}

    async def accept(name: str, segments: int) -> None:
        message = outbound.NewMessage(
            id=MessageId(f"out_{name}"),
            client="client",
            recipient=f"+1{name}",
            segments=tuple(f"{name} {n}".encode() for n in range(segments)),
            ttl_ms=10**9,
            idempotency_key=f"key {name}",
            imsi=SIM,
            text=f"text {name}",
        )
        said = {"messages": [said_of(message)]}
        await do(outbound.accept, said, lambda _: {"ids": [message.id]}, [message], client_cap=None, sim_cap=1000)

    async def claim() -> outbound.Claim:
        claimed: outbound.Claim | None = await do(outbound.claim, {"sim": SIM}, got, outbound_sim)
        assert claimed is not None
        return claimed

    async def keep(raw: str) -> int:
        stored: inbound.StoredPdu = await do(
            inbound.commit_pdu,
            {"raw": raw, "sim": SIM},
            lambda stored: {"pdu": stored.id},
            imsi=SIM,
            imei=Imei("490154203237518"),
            iccid=None,
            raw=raw,
            storage="SM",
            index=1,
        )
        await do(inbound.removed, {"raw": raw}, nothing, stored.id)
        return stored.id

    outbound_sim = SIM
    await do(identity.hub_id, {}, lambda hub: {"hub": hub})
    await do(sims.may_try_pin, {"iccid": "8944"}, lambda _: {}, iccid=Iccid("8944"), pin_digest=b"")
    await accept("1", 2)
    one = await claim()
    named: dict[str, Any] = {"id": one.message_id, "n": 1}
    later = Reason("cms_38", RetryClass.RETRY_LATER, "network out of order")
    await do(outbound.put_back, named, nothing, one.seq, 1, reason=later, delay_ms=0, counted=True)
    await claim()
    await do(outbound.payload_next, named, nothing, one.seq, 1)
    sent = {**named, "sim": SIM, "mr": 1}
    await do(outbound.submitted_and_claim, sent, got, one.seq, 1, imsi=SIM, mr=1)
    named = {**named, "n": 2}
    await do(outbound.payload_next, named, nothing, one.seq, 2)
    await do(outbound.doubt, named, nothing, one.seq, 2, reason=SILENCE, wait_ms=0)
    await claim()
    await do(outbound.payload_next, named, nothing, one.seq, 2)
    await do(outbound.submitted, {**named, "sim": SIM, "mr": 2}, nothing, one.seq, 2, imsi=SIM, mr=2)
    report = await keep("06")
    await do(
        reports.report,
        {"raw": "06", **named},
        nothing,
        pdu_id=report,
        imsi=SIM,
        mr=2,
        recipient="+11",
        outcome="delivered",
        status=0,
        text="",
        discharged_at=None,
    )
    part = inbound.ReceivedPart(sender="+12", encoding="gsm7", sent_at=None)
    pdu = await keep("04")
    received = {"raw": "04", "text": "04"}
    await do(
        inbound.deliver,
        received,
        lambda received: {"received": received},
        pdu,
        part=part,
        assemble=lambda raws: inbound.Assembled("+".join(raws), None, (), 1),
    )
    pdu = await keep("05")
    wrong = {"field": "TP-OA", "offset": 2, "detail": ""}
    await do(inbound.undecodable, {"raw": "05"}, lambda received: {"received": received}, pdu, **wrong)
    await do(
        events.record, {"kind": "call", "subject": "+13"}, lambda seq: {"seq": seq}, "call", "+13", {"state": None}
    )
    await do(events.advance, {"door": "door", "seq": 3}, nothing, "door", 3)
    await accept("2", 1)
    two = await claim()
    await do(outbound.payload_next, {"id": two.message_id, "n": 1}, nothing, two.seq, 1)
    await do(outbound.recover, {}, nothing, wait_ms=0)
    await journal.close()
    return done


@contextmanager
def place() -> Iterator[Path]:
    """A directory in memory where there is such a place: what an fsync means is in the trace, and needs no disk."""
    with tempfile.TemporaryDirectory(prefix="powercut-", dir=in_memory()) as name:
        yield Path(name)


@pytest.fixture
def scratch() -> Iterator[Path]:
    with place() as directory:
        yield directory


@pytest.fixture(scope="module")
def history() -> list[Done]:
    with place() as directory:
        return asyncio.run(lived(directory))


def heard(*done: Done, under_way: Done | None = None) -> Ledger:
    ledger = Ledger()
    for one in done:
        ledger.hear("ASK", one.ask)
        ledger.hear("ACK", one.ack)
    if under_way is not None:
        ledger.hear("ASK", under_way.ask)
    return ledger


def test_every_kind_of_promise_is_in_the_history(history: list[Done]) -> None:
    assert {one.verb for one in history} == VERBS


def test_a_store_that_kept_what_was_acknowledged_has_no_breach(history: list[Done]) -> None:
    for count in range(1, len(history) + 1):
        assert judge(heard(*history[:count]), history[count - 1].found) == []


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_store_that_forgot_the_last_acknowledgement_has_lost_it(history: list[Done], verb: str) -> None:
    places = [place for place, one in enumerate(history) if one.verb == verb]
    for place in places:
        before = history[place - 1].found if place else Found(now=0)
        breaches = judge(heard(*history[: place + 1]), before)
        assert Kind.LOST in {breach.kind for breach in breaches}, history[place]


def test_a_verb_under_way_may_be_there_or_not(history: list[Done]) -> None:
    for place in range(1, len(history)):
        ledger = heard(*history[:place], under_way=history[place])
        assert judge(ledger, history[place - 1].found) == []
        assert judge(ledger, history[place].found) == []


@pytest.mark.parametrize("verb", sorted(VERBS - {"hub_id", "may_try_pin", "record"}))
def test_what_nobody_asked_for_is_a_breach(history: list[Done], verb: str) -> None:
    for place, one in enumerate(history):
        if one.verb == verb:
            assert judge(heard(*history[:place]), one.found), one


def test_a_doubt_is_not_forgotten_by_the_next_start(history: list[Done]) -> None:
    (place,) = [place for place, one in enumerate(history) if one.verb == "recover"]
    ledger, found = heard(*history[:place]), history[place - 1].found
    assert found.recovered is not None
    forgotten = {**found.recovered, "out_2": (replace(found.recovered["out_2"][0], resent=False),)}
    breaches = judge(ledger, replace(found, recovered=forgotten))
    assert [breach.kind for breach in breaches] == [Kind.IMPOSSIBLE, Kind.LOST]


def test_two_claims_need_two_that_asked(history: list[Done]) -> None:
    accepts = [one for one in history if one.verb == "accept"]
    claim = next(one for one in history if one.verb == "claim")
    found = accepts[-1].found
    assert found.messages is not None
    claimed = {
        message_id: replace(message, form=(Segment("submitting"), *(Segment() for _ in message.tpdus[1:])))
        for message_id, message in found.messages.items()
    }
    ledger, complaint = heard(*accepts, under_way=claim), "were claimed that nobody asked for"
    assert any(complaint in breach.what for breach in judge(ledger, replace(found, messages=claimed)))
    ledger.hear("ASK", {**claim.ask, "i": 99})
    assert not any(complaint in breach.what for breach in judge(ledger, replace(found, messages=claimed)))


def spoilt(found: Found) -> dict[str, Found]:
    """What is found, with one thing wrong."""
    assert found.messages is not None
    assert found.received is not None
    one = found.messages["out_1"]
    last = found.events[-1]
    return {
        "moved aside": Found(broken="it was moved aside as corrupt"),
        "another text": replace(found, messages={**found.messages, "out_1": replace(one, text="another")}),
        "another TPDU": replace(found, messages={**found.messages, "out_1": replace(one, tpdus=("00", "01"))}),
        "a word that its segments do not say": replace(
            found, messages={**found.messages, "out_1": replace(one, told="queued")}
        ),
        "a key that is free": replace(found, keys={}),
        "a gap in the events": replace(found, events=(*found.events[:2], *found.events[3:])),
        "an event too late": replace(found, events=(*found.events[:-1], replace(last, hub=0))),
        "another event": replace(found, events=(Event(1, "message", "out_1", "failed", 0), *found.events[1:])),
        "an anchor before the last event": replace(found, now=last.hub - 1),
        "no anchor": replace(found, now=None),
        "a cursor beyond": replace(found, cursors={"door": 99}),
        "spent for nothing": replace(found, spent={**(found.spent or {}), f"sim:{SIM}": 99}),
        "a PDU of nobody": replace(
            found, pdus={**(found.pdus or {}), "00": FoundPdu(SIM, removed=False, outcome=None, set=False)}
        ),
        "another received text": replace(found, received=dict.fromkeys(found.received, "another")),
        "no reserve": replace(found, ballast=False),
    }


def test_a_store_that_contradicts_itself_is_caught(history: list[Done]) -> None:
    ledger = heard(*history)
    told = [[event.seq, event.kind, event.subject, event.state] for event in history[-1].found.events]
    ledger.hear("TOLD", {"events": told})
    assert judge(ledger, history[-1].found) == []
    for wrong, found in spoilt(history[-1].found).items():
        assert judge(ledger, found), wrong


def test_an_event_that_a_door_has_told_is_not_lost(history: list[Done]) -> None:
    accept = next(place for place, one in enumerate(history) if one.verb == "accept")
    ledger = heard(*history[:accept], under_way=history[accept])
    ledger.hear("TOLD", {"events": [[1, "message", "out_1", "queued"]]})
    assert judge(ledger, history[accept].found) == []
    assert {breach.kind for breach in judge(ledger, history[accept - 1].found)} == {Kind.LOST}


def test_half_a_request_is_impossible(history: list[Done]) -> None:
    (first, second) = [one for one in history if one.verb == "accept"]
    both = {**first.ask, "messages": first.ask["messages"] + second.ask["messages"]}
    breaches = judge(heard(under_way=replace(first, ask=both)), first.found)
    assert any("a part was taken" in breach.what for breach in breaches)


# ── the experiment ───────────────────────────────────────────────────────────────────────────────────────────────────


def need_a_tracer() -> None:
    if (why := trace.obstacle()) is not None:
        pytest.skip(why)


@pytest.fixture(scope="module")
def life() -> Iterator[Life]:
    """Of the product, long enough for checkpoints in its midst."""
    need_a_tracer()
    with place() as directory:
        yield live(Store.FULL, directory, transactions=300)


def overwritten(life: Life) -> int:
    """How often the WAL was begun anew over the frames that stood in it."""
    count = length = 0
    for step in life.steps:
        match step.act:
            case Removed("hub.db-wal"):
                length = 0
            case Written("hub.db-wal", offset, data):
                count += offset == 0 and length > 0
                length = max(length, offset + len(data))
    return count


def test_the_life_is_worth_the_experiment(life: Life) -> None:
    asked = [step.act.facts["verb"] for step in life.steps if isinstance(step.act, Said) and step.act.word == "ASK"]
    assert set(asked) == VERBS
    assert life.said("ACK") >= 300
    assert life.count(Synced, "hub.db-wal") < life.said("ACK"), "no commit was shared"
    assert overwritten(life) > 0, "no checkpoint in the midst of a life let the WAL begin anew"
    assert life.count(Written, "hub.db") > 100
    assert life.count(Moved, "hub.db.ballast.new") == 1
    assert (life.directory / "hub.db.lock").exists()


def test_a_replay_that_loses_nothing_is_the_directory_itself(life: Life) -> None:
    replayed = Disk()
    for step in life.steps:
        replayed.apply(step)
    on_disk = {path.name: path.read_bytes() for path in life.directory.iterdir() if not path.name.endswith("-shm")}
    everything = replayed.everything()
    assert {name: content for name, content in everything.items() if not name.endswith("-shm")} == on_disk


@pytest.mark.parametrize("model", Model)
def test_a_power_cut_loses_nothing_that_was_promised(life: Life, model: Model, scratch: Path) -> None:
    tally = asyncio.run(cut(life.steps, model, scratch, every=100))
    assert tally.shown == []
    assert tally.bad == 0
    assert tally.cuts > life.said("ACK")


@pytest.mark.parametrize("store", [Store.NORMAL, Store.OFF, Store.EARLY])
def test_a_store_that_is_wrong_is_found_out(store: Store, scratch: Path) -> None:
    need_a_tracer()
    wrong = live(store, scratch, transactions=60)
    for model in Model:
        tally = asyncio.run(cut(wrong.steps, model, scratch, every=10**6, enough=40))
        assert {"message", "PDU"} <= tally.lost, tally.shown


def test_a_card_that_only_says_that_it_flushed_is_found_out(life: Life, scratch: Path) -> None:
    lying = [step for step in life.steps if step.act != Synced("hub.db-wal")]
    tally = asyncio.run(cut(lying, Model.STRICT, scratch, every=10**6, enough=40))
    assert {"message", "PDU"} <= tally.lost
