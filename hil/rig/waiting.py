"""Waiting on what happens, never on time: things in the order they came, and the one that a test needs.

A deadline is only there so that a lost event ends the run with its evidence instead of hanging it; it is generous,
because a slow machine is not a fault of the system under test.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

__all__ = ["PATIENCE", "Overdue", "Record", "asked", "came"]

T = TypeVar("T")
R = TypeVar("R")

PATIENCE = 30.0
"""Seconds until a wait is given up when its caller names no others: ten times what the slowest step here takes."""

EVIDENCE = 30
"""How many of the newest things an overdue wait shows."""


AGAIN = 2.0
"""Seconds between two questions about what nothing tells of, when their caller names no others."""


class Overdue(AssertionError):
    """What was waited for did not happen; shows what did."""


class Record(Generic[T]):
    """Things in the order they came."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.items: list[T] = []
        self._changed = asyncio.Event()

    def add(self, item: T) -> None:
        """Append one, and wake those who wait."""
        self.items.append(item)
        self.touch()

    def touch(self) -> None:
        """Wake those who wait although nothing was appended."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def each(self, *, start: int = 0) -> AsyncIterator[T]:
        """Every item from the ``start``-th on, each as soon as it has come, for ever."""
        seen = start
        while True:
            changed = self._changed
            while seen < len(self.items):
                yield self.items[seen]
                seen += 1
            await changed.wait()

    async def until(self, answer: Callable[[list[T]], R | None], what: str, *, within: float = PATIENCE) -> R:
        """The first truthy ``answer`` to all that has come; asked again whenever something comes.

        Raises:
            Overdue: there was none ``within`` so many seconds.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while True:
            changed = self._changed
            result = answer(self.items)
            if result:
                return result
            try:
                async with asyncio.timeout_at(deadline):
                    await changed.wait()
            except TimeoutError:
                shown = "\n".join(f"  {item}" for item in self.items[-EVIDENCE:])
                raise Overdue(f"{self.name}: no {what} within {within:g} s; the newest:\n{shown}") from None


async def came(wanted: Awaitable[object], *, unless: Awaitable[object]) -> bool:
    """Whether the one came to its end before the other, which is then waited for no more.

    Raises:
        Exception: what ``wanted`` ended with; what ``unless`` ends with is for who asks it.
    """
    one, other = asyncio.ensure_future(wanted), asyncio.ensure_future(unless)
    try:
        await asyncio.wait((one, other), return_when=asyncio.FIRST_COMPLETED)
        if other.done() and not other.cancelled():
            other.exception()  # else asyncio would tell of it, as nobody asked
        if one.done():
            one.result()
        return one.done()
    finally:
        one.cancel()
        other.cancel()


async def asked(
    question: Callable[[], Awaitable[T]],
    right: Callable[[T], object],
    what: str,
    *,
    within: float,
    every: float = AGAIN,
    unanswered: tuple[type[Exception], ...] = (),
) -> T:
    """The first right answer to a question that is asked again and again, where nothing tells of it.

    Args:
        question: asks once.
        right: whether that is the answer.
        what: it is that is waited for.
        within: seconds until it is given up.
        every: seconds between two questions.
        unanswered: what a question ends with that could not be answered yet.

    Raises:
        Overdue: there was none in time; shows what the last question came to.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        told: object
        try:
            told = answer = await question()
            if right(answer):
                return answer
        except unanswered as error:
            told = error
        if loop.time() > deadline:
            raise Overdue(f"no {what} within {within:g} s; the last answer:\n  {told}")
        await asyncio.sleep(every)
