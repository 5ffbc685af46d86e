"""Names for numbers (``[contacts]``): one person's, or a group's of numbers and of other names.

PURE. A name is lower-case letters, digits, ``-`` and ``_``, beginning with a letter: it cannot be mistaken for a
number, and it can stand in an MQTT topic and in an entity's id as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Contact", "Contacts", "is_contact_name"]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


def is_contact_name(name: str) -> bool:
    """Whether ``name`` is spelled as a contact's."""
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Contact:
    """One name and the numbers behind it, as they stand in the settings."""

    name: str
    numbers: tuple[str, ...]
    group: bool
    """Whether it was given as a list: what is sent to it is answered as a list."""


class Contacts:
    """The names of the settings, groups flattened.

    Raises:
        ValueError: a name that is misspelled, a group that holds itself, a member that is no number and no name. The
            text says which.
    """

    def __init__(self, named: Mapping[str, str | Sequence[str]]) -> None:
        self._named = named
        for name in named:
            if not is_contact_name(name):
                raise ValueError(f'"{name}": a name is a letter, then letters, digits, - and _, all in lower case')
        self._contacts = {
            name: Contact(name, tuple(dict.fromkeys(self._numbers(name, ()))), group=not isinstance(given, str))
            for name, given in named.items()
        }

    def __iter__(self) -> Iterator[Contact]:
        return iter(self._contacts.values())

    def __len__(self) -> int:
        return len(self._contacts)

    def get(self, name: str) -> Contact | None:
        """The contact of this name."""
        return self._contacts.get(name)

    def _numbers(self, name: str, above: tuple[str, ...]) -> Iterator[str]:
        if name in above:
            raise ValueError(f'"{name}" holds itself, by {" → ".join((*above, name))}')
        given = self._named[name]
        members = [given] if isinstance(given, str) else given
        if not members:
            raise ValueError(f'"{name}" is an empty group')
        for member in members:
            if member in self._named:
                yield from self._numbers(member, (*above, name))
            elif any(character.isdigit() for character in member) and not is_contact_name(member):
                yield member
            else:
                raise ValueError(f'"{name}": "{member}" is neither a phone number nor another name here')
