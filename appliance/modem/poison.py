"""Messages that make the modem start anew whenever they are read: found, and left alone, so that the next one is read.

Promise: whatever is being read when the modem starts anew or vanishes is suspected. A storage that was being listed is
read index by index from then on; an index that was being read at two restarts, and never without one between them, is
not read again. Nothing is deleted unread: a person may want it, and the status says where it is (``unreadable``).
"""

from __future__ import annotations

from collections import Counter
from typing import Final

__all__ = ["Poison"]

_PROVEN: Final = 2
"""Restarts at the same index: one may be chance."""


class Poison:
    """What one modem's storages hold that cannot be read."""

    def __init__(self) -> None:
        """Suspect nothing."""
        self._reading: tuple[str, int | None] | None = None
        self._restarts: Counter[tuple[str, int]] = Counter()
        self._unlisted: set[str] = set()

    def begin(self, store: str, index: int | None) -> None:
        """This message, or all of the storage (None), is being read."""
        self._reading = store, index

    def end(self) -> None:
        """It was read, or refused, and the modem lives: what restarted it before was chance."""
        reading, self._reading = self._reading, None
        if reading is not None and reading[1] is not None:
            self.harmless(reading[0], reading[1])

    def harmless(self, store: str, index: int) -> None:
        """This message was among those that were listed, and the modem lives."""
        self._restarts.pop((store, index), None)

    @property
    def proven(self) -> tuple[str, ...]:
        """What is not read again, as ``ME 7``."""
        return tuple(f"{store} {index}" for (store, index), count in sorted(self._restarts.items()) if count >= _PROVEN)

    def restarted(self) -> str | None:
        """The modem has started anew, or is gone; what that says about a message, in words, where it is proof."""
        reading, self._reading = self._reading, None
        if reading is None:
            return None
        store, index = reading
        if index is None:
            self._unlisted.add(store)
            return None
        self._restarts[store, index] += 1
        if self._restarts[store, index] != _PROVEN:
            return None
        return f"the modem starts anew whenever message {index} of {store} is read: it is left there unread"

    def lists(self, store: str) -> bool:
        """Whether the storage may be read as a whole."""
        return store not in self._unlisted

    def allows(self, store: str, index: int) -> bool:
        """Whether this message may be read."""
        return self._restarts[store, index] < _PROVEN

    def passed(self, store: str) -> None:
        """The storage was read index by index to its end: if nothing in it is proven, the restart was chance."""
        if all(count < _PROVEN for (where, _), count in self._restarts.items() if where == store):
            self._unlisted.discard(store)

    def forget(self) -> None:
        """Another SIM: what is stored is not what it was."""
        self._restarts.clear()
        self._unlisted.clear()
