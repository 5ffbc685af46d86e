"""The modem families by name: ``PERSONAS``. What a family is stands in ``family``, the families in ``families``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hil.emulator.families import FAMILIES
from hil.emulator.family import QUIRKS, Persona

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PERSONAS", "QUIRKS", "Persona"]

PERSONAS: Final[Mapping[str, Persona]] = {persona.name: persona for persona in FAMILIES}
assert all(persona.quirks <= QUIRKS.keys() for persona in FAMILIES)
