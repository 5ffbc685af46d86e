"""What the rig waits with, on things that come, do not come, or come to nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from hil.rig.waiting import Overdue, asked, came

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.asyncio


async def never() -> None:
    await asyncio.Event().wait()


async def at_once() -> None:
    pass


async def broken() -> None:
    raise LookupError


async def test_what_came_first_is_told_and_nothing_waits_for_the_other() -> None:
    before = asyncio.all_tasks()
    assert await came(at_once(), unless=never())
    assert not await came(never(), unless=at_once())
    assert await came(at_once(), unless=at_once())
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_what_was_wanted_may_fail_and_the_other_fails_unheard() -> None:
    with pytest.raises(LookupError):
        await came(broken(), unless=never())
    assert not await came(never(), unless=broken())


async def test_who_waits_may_be_cancelled() -> None:
    before = asyncio.all_tasks()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await came(never(), unless=never())
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_it_is_asked_until_the_answer_is_right() -> None:
    answers: Iterator[int | Exception] = iter([LookupError("not yet"), 1, LookupError("not again"), 2, 3])

    async def question() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await asked(question, lambda told: told == 2, "two", within=30, every=0.001, unanswered=(LookupError,)) == 2
    assert next(answers) == 3


async def test_what_is_overdue_is_told_with_the_last_answer() -> None:
    async def question() -> int:
        return 7

    async def refuse() -> int:
        raise LookupError("not there")

    with pytest.raises(Overdue, match=r"no eight within 0\.01 s; the last answer:\n  7"):
        await asked(question, lambda told: told == 8, "eight", within=0.01, every=0.001)
    with pytest.raises(Overdue, match="not there"):
        await asked(refuse, bool, "answer", within=0.01, every=0.001, unanswered=(LookupError,))
    with pytest.raises(LookupError):
        await asked(refuse, bool, "answer", within=0.01, every=0.001)
