"""What must not be left half done: one at a time, to its end, for a bounded time.

``Turn``
    Whoever comes while something is being done is refused (``PowerFailed``): two pulses on one modem do not add up.
``to_its_end``
    A cancellation from outside is held back until the act has ended by itself. What runs in it bounds itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from appliance.errors import PowerFailed

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from typing import Any

__all__ = ["Turn", "to_its_end"]


class Turn:
    """One thing at a time is done to what has this name."""

    def __init__(self, name: str) -> None:
        """Begin free."""
        self._name = name
        self._doing: str | None = None

    @contextlib.contextmanager
    def taken(self, what: str) -> Iterator[None]:
        """Do this now.

        Raises:
            PowerFailed: something else is being done.
        """
        if self._doing is not None:
            raise PowerFailed(f"{self._name}: busy: {self._doing} is in progress")
        self._doing = what
        try:
            yield
        finally:
            self._doing = None


async def to_its_end(act: Coroutine[Any, Any, None]) -> None:
    """Await it; when cancelled, let it end first. A second cancellation is not held back, yet the act goes on."""
    task = asyncio.ensure_future(act)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_heard)
        await asyncio.wait({task})
        raise


def _heard(task: asyncio.Task[None]) -> None:
    """Nobody is left to be told."""
    if not task.cancelled():
        task.exception()
