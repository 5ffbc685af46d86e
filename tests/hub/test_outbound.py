"""One SIM's queue: what each verdict of a modem does to a segment, and to its neighbours."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from appliance.errors import PortGone, SubmitInDoubt, SubmitRefused
from appliance.hub.outbound import FULL_DISK_RETRY, RETRY_LATER, RETRY_NOW, Dispatcher
from appliance.sms import Address, SmsSubmit, segment
from appliance.store import HubClock, Journal, Transaction, events, outbound
from appliance.types import Imsi, MessageId, OnInDoubt, Reason, RetryClass

SIM = Imsi("234100000000001")

pytestmark = pytest.mark.asyncio


class Time:
    """Hub time that passes only while everybody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)

    def clock(self) -> HubClock:
        return HubClock(boottime=lambda: self.now, wall=lambda: 1.7e9 + self.now, boot_id="boot")


class Line:
    """A modem as a list of verdicts; what it was given, with the hub time."""

    def __init__(self, time: Time, *verdicts: int | Exception) -> None:
        self._time = time
        self._verdicts = list(verdicts)
        self.given: list[tuple[float, bytes]] = []

    async def submit(self, tpdu: bytes, *, payload_next: Callable[[], Awaitable[None]]) -> int:
        verdict = self._verdicts.pop(0) if self._verdicts else len(self.given)
        if isinstance(verdict, PortGone):
            raise verdict
        await payload_next()
        self.given.append((self._time.now, tpdu))
        if isinstance(verdict, Exception):
            raise verdict
        return verdict


class House:
    """A journal, a dispatcher and a way to look at what became of things."""

    def __init__(self, journal: Journal, time: Time) -> None:
        self.journal = journal
        self.time = time
        self.dispatcher = Dispatcher(SIM, journal, journal.clock, in_doubt_wait=30.0, sleep=time.sleep)

    async def accept(self, name: str, *, to: str = "+447700900123", text: str = "x", **options: Any) -> None:
        parts = segment(text, reference=7).parts
        tpdus = tuple(SmsSubmit(Address.parse(to), part).encode() for part in parts)
        await self.journal.write(
            outbound.accept,
            [
                outbound.NewMessage(
                    id=MessageId(name),
                    client="test",
                    recipient=to,
                    segments=tpdus,
                    ttl_ms=86_400_000,
                    imsi=SIM,
                    **options,
                )
            ],
            client_cap=None,
            sim_cap=10_000,
        )
        self.dispatcher.wake()

    async def until(self, name: str, state: str) -> dict[str, Any]:
        seq = 0
        while True:
            view = await self.journal.read(outbound.message_view, MessageId(name))
            assert view is not None
            if view["state"] == state:
                return view
            seq = await self.journal.committed(seq)

    async def told(self, name: str) -> list[str]:
        rows = await self.journal.read(events.after, 0, kinds=["message"], limit=1000)
        return [row.body["state"] for row in rows if row.subject == name]


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    time = Time()
    journal = await Journal.open(tmp_path / "hub.db", clock=time.clock(), ballast_bytes=4096)
    made = House(journal, time)
    running = asyncio.create_task(made.dispatcher.run())
    yield made
    running.cancel()
    await asyncio.wait({running})
    await journal.close()


def refused(retry: RetryClass, code: str = "cms_38") -> SubmitRefused:
    return SubmitRefused(Reason(code, retry, "refused"))


def doubt() -> SubmitInDoubt:
    return SubmitInDoubt(Reason("timeout", RetryClass.IN_DOUBT, "no result"))


async def test_a_text_goes_out_and_every_step_is_told(house: House) -> None:
    house.dispatcher.use(Line(house.time))
    await house.accept("a", report=False)
    view = await house.until("a", "submitted")
    assert await house.told("a") == ["queued", "submitting", "submitted"]
    assert view["segments"][0]["mr"] == 0


async def test_the_intent_is_committed_before_the_modem_is_asked_and_the_doubt_before_the_pdu(house: House) -> None:
    rows: list[tuple[str, int]] = []

    class Watched:
        async def submit(self, tpdu: bytes, *, payload_next: Callable[[], Awaitable[None]]) -> int:  # noqa: ARG002
            await self.look()
            await payload_next()
            await self.look()
            return 1

        async def look(self) -> None:
            rows.append(await house.journal.read(lambda db: tuple(db.execute(query).fetchone())))

    query = "SELECT state, payload_next FROM segment"
    house.dispatcher.use(Watched())
    await house.accept("a")
    await house.until("a", "submitted")
    assert rows == [("submitting", 0), ("submitting", 1)]


async def test_a_segment_that_is_sent_again_is_the_same_but_for_tp_rd(house: House) -> None:
    line = Line(house.time, 1, refused(RetryClass.RETRY_NOW), doubt(), 2, 3)
    house.dispatcher.use(line)
    await house.accept("a", text="x" * 400)
    await house.until("a", "submitted")
    first, *second, third = [tpdu for _, tpdu in line.given]
    assert second == [second[0], second[0], bytes((second[0][0] | 0x04, *second[0][1:]))]
    places = [SmsSubmit.decode(tpdu).user_data.concatenation for tpdu in (first, *second, third)]
    assert [(place.reference, place.sequence) for place in places if place] == [(7, n) for n in (1, 2, 2, 2, 3)]


async def test_a_permanent_refusal_fails_the_message_and_nothing_else(house: House) -> None:
    line = Line(house.time, refused(RetryClass.PERMANENT, "cms_1"))
    house.dispatcher.use(line)
    await house.accept("bad", text="x" * 400)
    await house.accept("good")
    view = await house.until("bad", "failed")
    await house.until("good", "submitted")
    assert view["reason"]["code"] == "cms_1"
    assert len(line.given) == 2, "the siblings of a failed segment are not sent"


@pytest.mark.parametrize(
    ("retry", "steps"),
    [(RetryClass.RETRY_NOW, (*RETRY_NOW, RETRY_LATER[3])), (RetryClass.RETRY_LATER, RETRY_LATER[:4])],
)
async def test_passing_errors_are_tried_again_with_growing_distance(
    house: House, retry: RetryClass, steps: tuple[float, ...]
) -> None:
    line = Line(house.time, *[refused(retry)] * 4, 9)
    house.dispatcher.use(line)
    await house.accept("a")
    view = await house.until("a", "submitted")
    times = [at for at, _ in line.given]
    assert [round(later - earlier) for earlier, later in pairwise(times)] == [round(step) for step in steps]
    assert view["attempts"] == 5


async def test_a_message_that_waits_for_its_retry_delays_only_its_own_lane(house: House) -> None:
    line = Line(house.time, refused(RetryClass.RETRY_LATER))
    house.dispatcher.use(line)
    await house.accept("waits", to="+447700900001")
    await house.accept("behind it", to="+447700900001")
    await house.accept("other", to="+447700900002")
    await house.until("behind it", "submitted")
    sent = [SmsSubmit.decode(tpdu) for _, tpdu in line.given]
    assert [str(submit.destination)[-1] for submit in sent] == ["1", "2", "1", "1"]
    assert line.given[1][0] < line.given[2][0], "the other recipient did not wait"


async def test_a_fault_of_the_modem_is_not_counted_against_the_message(house: House) -> None:
    house.dispatcher.use(Line(house.time, *[refused(RetryClass.MODEM, "cms_310")] * 6))
    await house.accept("a")
    view = await house.until("a", "submitted")
    assert view["attempts"] == 1


async def test_in_doubt_resend_is_once_marked_and_after_the_wait(house: House) -> None:
    line = Line(house.time, doubt(), 5)
    house.dispatcher.use(line)
    await house.accept("a", on_in_doubt=OnInDoubt.RESEND)
    view = await house.until("a", "submitted")
    (first, tpdu), (second, again) = line.given
    assert view["maybe_duplicate"] is True
    assert second - first >= 30
    assert SmsSubmit.decode(again).reject_duplicates
    assert not SmsSubmit.decode(tpdu).reject_duplicates


async def test_in_doubt_twice_is_in_doubt_for_good(house: House) -> None:
    line = Line(house.time, doubt(), doubt())
    house.dispatcher.use(line)
    await house.accept("a", on_in_doubt=OnInDoubt.RESEND)
    await house.accept("next")
    await house.until("a", "in_doubt")
    await house.until("next", "submitted")
    assert len(line.given) == 3


async def test_in_doubt_hold_is_never_sent_twice(house: House) -> None:
    line = Line(house.time, doubt())
    house.dispatcher.use(line)
    await house.accept("a", on_in_doubt=OnInDoubt.HOLD)
    await house.accept("next")
    await house.until("a", "in_doubt")
    await house.until("next", "submitted")
    assert len(line.given) == 2


async def test_a_port_that_went_before_the_payload_costs_no_attempt(house: House) -> None:
    line = Line(house.time, PortGone("unplugged"), 3)
    house.dispatcher.use(line)
    await house.accept("a")
    view = await house.until("a", "submitted")
    assert (view["attempts"], view["maybe_duplicate"], len(line.given)) == (1, False, 1)


async def test_a_duplicate_that_the_service_centre_rejects_was_sent(house: House) -> None:
    house.dispatcher.use(Line(house.time, doubt(), refused(RetryClass.ACCEPTED, "cms_197")))
    await house.accept("a", report=False)
    await house.until("a", "submitted")


async def test_without_a_modem_nothing_is_claimed(house: House) -> None:
    await house.accept("a")
    await house.until("a", "queued")
    line = Line(house.time)
    house.dispatcher.use(line)
    await house.until("a", "submitted")


async def test_stopping_waits_for_the_result_of_what_was_handed_over(house: House) -> None:
    handed, answer = asyncio.Event(), asyncio.Event()

    class Slow:
        async def submit(self, tpdu: bytes, *, payload_next: Callable[[], Awaitable[None]]) -> int:  # noqa: ARG002
            await payload_next()
            handed.set()
            await answer.wait()
            return 77

    second = Dispatcher(SIM, house.journal, house.journal.clock, in_doubt_wait=30.0, sleep=house.time.sleep)
    second.use(Slow())
    running = asyncio.create_task(second.run())
    await house.accept("a", report=False)
    second.wake()
    await handed.wait()
    running.cancel()
    await asyncio.sleep(0)
    assert not running.done()
    answer.set()
    await asyncio.wait({running})
    view = await house.journal.read(outbound.message_view, MessageId("a"))
    assert view is not None
    assert (view["state"], view["segments"][0]["mr"]) == ("submitted", 77)


async def test_a_bug_in_the_driver_still_leaves_the_truth_in_the_journal(house: House) -> None:
    class Buggy:
        async def submit(self, tpdu: bytes, *, payload_next: Callable[[], Awaitable[None]]) -> int:  # noqa: ARG002
            await payload_next()
            raise ZeroDivisionError

    second = Dispatcher(SIM, house.journal, house.journal.clock, in_doubt_wait=30.0, sleep=house.time.sleep)
    second.use(Buggy())
    await house.accept("a", on_in_doubt=OnInDoubt.HOLD)
    with pytest.raises(ZeroDivisionError):
        await second.run()
    await house.until("a", "in_doubt")


async def test_whoever_shows_the_queue_is_told_when_it_is_drained(house: House) -> None:
    drained = asyncio.Event()
    second = Dispatcher(SIM, house.journal, house.journal.clock, in_doubt_wait=30.0, drained=drained.set)
    second.use(Line(house.time))
    await house.accept("a", report=False)
    running = asyncio.create_task(second.run())
    await drained.wait()
    await house.until("a", "submitted")
    running.cancel()
    await asyncio.wait({running})


async def test_a_result_that_finds_the_disk_full_is_written_when_there_is_room(house: House) -> None:
    slept: list[float] = []

    def room(tx: Transaction, *, pages: int) -> None:
        tx.db.execute(f"PRAGMA max_page_count = {pages}")

    class Filling:
        async def submit(self, tpdu: bytes, *, payload_next: Callable[[], Awaitable[None]]) -> int:  # noqa: ARG002
            await payload_next()
            await house.journal.write(room, pages=1)  # as many as there are: the next new one is SQLITE_FULL
            return 77

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            await house.journal.write(room, pages=2**30)

    second = Dispatcher(SIM, house.journal, house.journal.clock, in_doubt_wait=30.0, sleep=sleep)
    second.use(Filling())
    running = asyncio.create_task(second.run())
    await house.accept("a", report=False, extra={"note": "x" * 5000})  # an event that needs new pages
    second.wake()
    view = await house.until("a", "submitted")
    running.cancel()
    await asyncio.wait({running})
    assert slept == [FULL_DISK_RETRY] * 3
    assert (view["segments"][0]["mr"], view["attempts"]) == (77, 1)
