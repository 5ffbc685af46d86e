"""The families, one module per kind of maker; each entry is one ``Persona``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hil.emulator.families import modules, quectel, simcom, sticks

if TYPE_CHECKING:
    from hil.emulator.family import Persona

FAMILIES: Final[tuple[Persona, ...]] = (
    *modules.FAMILIES,
    *quectel.FAMILIES,
    *simcom.FAMILIES,
    *sticks.FAMILIES,
)
