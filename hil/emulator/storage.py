"""Message storages SM, ME and SR, and MT, the view over SM and ME (27.005 §3.2.2, §3.2.3).

An index is a slot: it stays as long as its message, and the lowest free one is used next. MT shows SM first and then
ME behind the capacity of SM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

UNREAD, READ, UNSENT, SENT, ALL = range(5)
WORDS: Final = ("REC UNREAD", "REC READ", "STO UNSENT", "STO SENT", "ALL")
"""<stat> in text mode, by its number in PDU mode."""


@dataclass(slots=True)
class Stored:
    """A message in a slot: <stat>, the SCA part and the TPDU."""

    stat: int
    sca: bytes
    tpdu: bytes
    poison: bool = False
    """Reading it makes the modem reboot."""

    @property
    def line(self) -> str:
        """The PDU line of 27.005."""
        return (self.sca + self.tpdu).hex().upper()


class Memory:
    """One storage: slots from ``base`` on."""

    def __init__(self, name: str, limit: int, base: int) -> None:
        self.name = name
        self.limit = limit
        self.base = base
        self.slots: dict[int, Stored] = {}

    @property
    def used(self) -> int:
        return len(self.slots)

    def add(self, stored: Stored) -> int | None:
        """The index of the new message, or None when full."""
        if self.used >= self.limit:
            return None
        index = next(n for n in range(self.base, self.base + self.limit + self.used) if n not in self.slots)
        self.slots[index] = stored
        return index

    def valid(self, index: int) -> bool:
        return self.base <= index < self.base + self.limit or index in self.slots

    def get(self, index: int) -> Stored | None:
        return self.slots.get(index)

    def remove(self, index: int) -> bool:
        return self.slots.pop(index, None) is not None

    def items(self) -> Iterator[tuple[int, Stored]]:
        yield from sorted(self.slots.items())


class Joined:
    """MT: SM and ME under one row of indexes."""

    name = "MT"

    def __init__(self, first: Memory, second: Memory) -> None:
        self._first = first
        self._second = second

    @property
    def limit(self) -> int:
        return self._first.limit + self._second.limit

    @property
    def used(self) -> int:
        return self._first.used + self._second.used

    def _at(self, index: int) -> tuple[Memory, int]:
        if index < self._first.base + self._first.limit:
            return self._first, index
        return self._second, index - self._first.limit

    def add(self, stored: Stored) -> int | None:
        index = self._first.add(stored)
        if index is not None:
            return index
        index = self._second.add(stored)
        return None if index is None else index + self._first.limit

    def valid(self, index: int) -> bool:
        memory, inner = self._at(index)
        return memory.valid(inner)

    def get(self, index: int) -> Stored | None:
        memory, inner = self._at(index)
        return memory.get(inner)

    def remove(self, index: int) -> bool:
        memory, inner = self._at(index)
        return memory.remove(inner)

    def items(self) -> Iterator[tuple[int, Stored]]:
        yield from self._first.items()
        for index, stored in self._second.items():
            yield index + self._first.limit, stored


Storage = Memory | Joined
