"""Receivers that fail: what is tried when, what is owed meanwhile, in which order it comes, and when it is given up."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

import pytest

from appliance.store import retention
from appliance.webhooks.schedule import EVENT, GIVE_UP_AFTER, RECEIVER, back_off
from tests.mqtt.house import House, house
from tests.webhooks.receiver import CUT, Answer, Receiver, at_rest, door_to, happen, pass_by, running, webhook

if TYPE_CHECKING:
    from pathlib import Path

    from tests.webhooks.receiver import Got

HOUR = 3600.0
DAY = 86_400.0


@pytest.mark.asyncio
async def test_what_happened_while_it_was_down_comes_in_order_when_it_is_back(home: House, receiver: Receiver) -> None:
    await receiver.stop()
    async with running(door_to(home, door=webhook(receiver))) as door:
        await happen(home, *range(300))
        await at_rest(home)
        (state,) = door.states
        assert state["pending"] == 300
        assert state["last_error"].startswith("no connection: ")
        await pass_by(home, HOUR)
        await receiver.start()
        await pass_by(home, 900)
        assert receiver.numbers() == list(range(300))
        assert door.states == [{"name": "door", "pending": 0, "last_error": None}]
        await happen(home, 300)
        await receiver.until(301)


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("status", [CUT, 429, 500])
@pytest.mark.parametrize("length", [1, 20, 100, 5000])
async def test_after_any_outage_the_oldest_come_first_whatever_the_jitter(
    home: House, receiver: Receiver, seed: int, status: int, length: int
) -> None:
    receiver.answer = lambda _: status
    taken: list[int] = []

    def take(got: Got) -> int:
        taken.append(got.number)
        return 204

    async with running(door_to(home, rng=random.Random(seed), door=webhook(receiver))) as door:
        for n in range(8):
            await happen(home, n)
            await pass_by(home, length / 8)
        receiver.answer = take
        await pass_by(home, 900)
        assert taken == list(range(8))
        assert door.states[0]["pending"] == 0


@pytest.mark.parametrize(("status", "each"), [(429, 1), (500, 2), (CUT, 2)])
@pytest.mark.asyncio
async def test_while_it_is_down_it_is_probed_and_not_hammered(
    home: House, receiver: Receiver, status: int, each: int
) -> None:
    receiver.answer = lambda _: status
    async with running(door_to(home, door=webhook(receiver))):
        begun = home.time.now
        for n in range(240):  # one event every 15 s
            await happen(home, n)
            await pass_by(home, 15)
        assert 30 < len(receiver.got) <= 3 + each * (len(RECEIVER) + HOUR / 60)
        before = len(receiver.got)
        await pass_by(home, HOUR)
        assert each * 3 <= len(receiver.got) - before <= each * 7
        receiver.answer = lambda _: 200
        receiver.got.clear()
        await pass_by(home, 900)
        assert receiver.numbers() == list(range(240))
        assert home.time.now - begun < 3 * HOUR


@pytest.mark.asyncio
async def test_a_new_event_makes_a_quiet_receiver_be_asked_soon(home: House, receiver: Receiver) -> None:
    receiver.answer = lambda _: CUT
    async with running(door_to(home, door=webhook(receiver))):
        await happen(home, *range(4))
        await pass_by(home, 2 * HOUR)
        receiver.answer = lambda _: 200
        receiver.got.clear()
        await pass_by(home, 61)
        await happen(home, 4)
        await at_rest(home)
        assert receiver.numbers() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("status", [500, 400, 502, CUT])
@pytest.mark.asyncio
async def test_an_event_that_it_stumbles_over_holds_up_no_other(home: House, receiver: Receiver, status: int) -> None:
    receiver.answer = lambda got: status if got.number == 0 else 200
    async with running(door_to(home, door=webhook(receiver))) as door:
        await happen(home, *range(100))
        await at_rest(home)
        assert receiver.numbers() == list(range(100))
        assert door.states[0]["pending"] == 1
        for n in range(100, 400):
            await happen(home, n)
            await at_rest(home)
            assert receiver.got[-1].number == n or receiver.got[-2].number == n
            await pass_by(home, 900)
        tried = receiver.numbers().count(0)
        assert len(EVENT) < tried < 25
        await pass_by(home, DAY)
        (state,) = door.states
        assert state["pending"] == 0
        assert state["last_error"] == "events given up after three days: 1"


@pytest.mark.asyncio
async def test_many_that_it_stumbles_over_delay_others_by_a_minute_at_most(home: House, receiver: Receiver) -> None:
    receiver.answer = lambda got: 500 if got.number < 20 else 200
    async with running(door_to(home, door=webhook(receiver))) as door:
        await happen(home, *range(20))
        await pass_by(home, 6 * HOUR)
        for n in range(20, 60):
            await happen(home, n)
            await pass_by(home, 61)
            assert n in receiver.numbers()
            await pass_by(home, HOUR)
        await pass_by(home, 2 * DAY)
        assert door.states[0]["pending"] == 0
        assert "given up after three days: 20" in str(door.states[0]["last_error"])
        assert max(receiver.numbers().count(n) for n in range(20)) <= GIVE_UP_AFTER / RECEIVER[-1] + 40 * 4


@pytest.mark.asyncio
async def test_three_days_of_failure_end_in_giving_up_and_not_earlier(
    home: House, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answer = lambda _: 500
    async with running(door_to(home, door=webhook(receiver))) as door:
        await happen(home, *range(1000))
        await pass_by(home, GIVE_UP_AFTER - 1)
        assert door.states[0]["pending"] == 1000
        await happen(home, 1000)
        await pass_by(home, 1000)
        assert door.states[0]["pending"] == 1
        assert "given up after three days: 1000" in str(door.states[0]["last_error"])
        assert sum("given up" in record.getMessage() for record in caplog.records) <= 3
        receiver.answer = lambda _: 200
        await pass_by(home, 1000)
        assert receiver.got[-1].number == 1000
        assert door.states[0] == {
            "name": "door",
            "pending": 0,
            "last_error": "events given up after three days: 1000",
        }


@pytest.mark.asyncio
async def test_nothing_is_given_up_unasked_after_days_without_the_hub(tmp_path: Path, receiver: Receiver) -> None:
    await receiver.stop()
    async with house(tmp_path) as home, running(door_to(home, door=webhook(receiver))):
        await happen(home, *range(5))
        await at_rest(home)
    await receiver.start()
    async with house(tmp_path) as home:
        home.time.pass_by(5 * DAY)
        async with running(door_to(home, door=webhook(receiver))) as door:
            await receiver.until(5)
            await at_rest(home)
            assert door.states == [{"name": "door", "pending": 0, "last_error": None}]
    assert receiver.numbers() == list(range(5))


@pytest.mark.asyncio
async def test_one_that_is_down_delays_no_other(home: House, receiver: Receiver) -> None:
    slow = Receiver()
    await slow.start()
    slow.release.clear()
    async with running(door_to(home, slow=webhook(slow), quick=webhook(receiver))):
        await happen(home, *range(20))
        await receiver.until(20)
        assert len(slow.got) <= 1
        slow.release.set()
        await slow.until(20)
    assert receiver.numbers() == slow.numbers() == list(range(20))
    await slow.stop()


@pytest.mark.asyncio
async def test_what_is_owed_outlives_a_short_retention(home: House, receiver: Receiver) -> None:
    receiver.answer = lambda _: 503
    async with running(door_to(home, door=webhook(receiver))):
        await happen(home, *range(10))
        await pass_by(home, 2 * DAY)
        while await home.journal.write(retention.retain, keep_ms=1000, limit=3):
            pass
        receiver.answer = lambda _: 200
        receiver.got.clear()
        await pass_by(home, 900)
        assert receiver.numbers() == list(range(10))
        while await home.journal.write(retention.retain, keep_ms=1000, limit=3):
            pass
        assert len(await home.hub.events(0)) <= 1


def fate(number: int, moment: float, chance: int) -> int | Answer:
    """How a receiver of this temper behaves at this moment towards this event: any pattern, but always the same."""
    draw = random.Random(f"{chance} {int(moment // 1800)}")
    weather = draw.choice(["well", "well", "down", "busy", "ill", "moody"])
    poison = random.Random(f"{chance} {number}").random() < 0.1
    match weather:
        case "down":
            return CUT
        case "busy":
            return Answer(503, {"Retry-After": str(draw.randrange(3000))})
        case "ill":
            return draw.choice([500, 502, 404, 301, 401])
        case "moody" if random.Random(f"{chance} {number} {moment}").random() < 0.5:
            return 500
        case _:
            return 500 if poison and draw.random() < 0.9 else 200


@pytest.mark.parametrize("chance", range(12))
@pytest.mark.asyncio
async def test_whatever_fails_each_event_arrives_or_is_given_up_visibly(
    home: House, receiver: Receiver, chance: int
) -> None:
    taken: list[int] = []

    def answer(got: Got) -> int | Answer:
        answered = fate(got.number, home.time.now, chance)
        if answered == 200:
            taken.append(got.number)
        return answered

    receiver.answer = answer
    rng = random.Random(chance)
    begun: dict[int, float] = {}
    async with running(door_to(home, door=webhook(receiver))) as door:
        for n in range(60):
            begun[n] = home.time.now
            await happen(home, n)
            await pass_by(home, rng.expovariate(1 / 1200))
        await pass_by(home, GIVE_UP_AFTER + DAY)
        (state,) = door.states
        assert state["pending"] == 0
        missing = set(begun) - set(taken)
        if missing:
            assert f"given up after three days: {len(missing)}" in state["last_error"]
            assert missing <= {n for n in begun if random.Random(f"{chance} {n}").random() < 0.1}
        assert len(taken) == len(set(taken))  # what was answered with 2xx is not told again
        assert len({(got.id, got.number) for got in receiver.got}) == len(begun)


CRASHES = [
    (verb, moment, count)
    for verb in ("advance", "owe", "told", "failed")
    for moment in ("before", "after")
    for count in (1, 2)
]


@pytest.mark.parametrize(("verb", "moment", "count"), CRASHES)
@pytest.mark.asyncio
async def test_no_step_can_be_cut_so_that_an_event_is_lost(
    tmp_path: Path, receiver: Receiver, verb: str, moment: str, count: int
) -> None:
    """The file as kill -9 would leave it around a commit is opened by another hub, which tells the rest."""
    left = count
    image = tmp_path / "image"
    before: list[list[int]] = []
    home_dir = tmp_path / "home"

    def probe(at: str, name: str) -> None:
        nonlocal left
        if (name, at) == (verb, moment) and armed:
            left -= 1
            if left == 0:
                image.mkdir()
                for file in ("hub.db", "hub.db-wal"):
                    shutil.copy(home_dir / file, image / file)
                before.append([got.number for got in answered])

    answered: list[Got] = []
    armed: list[bool] = []

    def answer(got: Got) -> int:
        # 0 fails for a while; 1 for ever; the receiver is down while 4 to 6 come.
        status = 200
        if (got.number == 0 and home.time.now < calm) or got.number == 1 or calm - 50 < home.time.now < calm:
            status = 500 if got.number < 4 else 503
        if status == 200:
            answered.append(got)
        return status

    receiver.answer = answer
    async with house(home_dir, probe=probe) as home:
        calm = home.time.now + 100
        async with running(door_to(home, door=webhook(receiver))):
            armed.append(True)
            for n in range(10):
                await happen(home, n)
                await pass_by(home, 12)
            await pass_by(home, HOUR)
        assert left <= 0
    (had,) = before
    answered.clear()
    happened = 0
    async with house(image) as home:
        calm = home.time.now
        happened = home.hub.newest
        async with running(door_to(home, door=webhook(receiver))) as door:
            await pass_by(home, GIVE_UP_AFTER + DAY)
            assert door.states[0]["pending"] == 0
            assert "given up after three days: 1" in str(door.states[0]["last_error"]) or 1 not in range(happened)
    told = had + [got.number for got in answered]
    assert set(told) >= set(range(happened)) - {1}
    repeated = [n for n in told if told.count(n) > 1]
    assert len(repeated) <= 2  # the one whose answer was not committed


def test_delays_grow_and_are_spread() -> None:
    rng = random.Random(1)
    for delays in (EVENT, RECEIVER):
        spans = [[back_off(delays, attempt, rng) for _ in range(200)] for attempt in range(1, len(delays) + 3)]
        for span, longest in zip(spans, [*delays, delays[-1], delays[-1]], strict=True):
            assert longest * 0.75 <= min(span) < longest * 0.8
            assert longest * 0.95 < max(span) <= longest
    assert sum(EVENT) > 10 * HOUR
