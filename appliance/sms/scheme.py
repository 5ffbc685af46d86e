"""TP-DCS: how the user data is coded and what it is for (3GPP 23.038 §4).

Promise: each of the 256 values has one meaning, and reserved ones mean what the standard tells a receiver to take them
for: the GSM 7-bit default alphabet.

The coding groups, by the upper bits::

    0 0 x x  general              bit 5 compressed, bit 4 class in bits 1-0, bits 3-2 alphabet
    0 1 x x  automatic deletion   as above
    1 0 x x  reserved
    1 1 0 0  message waiting      7-bit, the text may be discarded; bit 3 active, bits 1-0 kind
    1 1 0 1  message waiting      7-bit, store
    1 1 1 0  message waiting      UCS-2, store
    1 1 1 1  class                bit 2 alphabet (7- or 8-bit), class in bits 1-0
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

__all__ = ["DEFAULT_SCHEME", "DataCodingScheme", "Encoding", "MessageWaiting", "WaitingKind"]


class Encoding(StrEnum):
    """How text is put into user data. The first three can be results too; ``DATA`` is only ever one."""

    GSM7 = "gsm7"
    """Septets of the GSM 7-bit default alphabet or a national one."""
    UCS2 = "ucs2"
    """UTF-16, big-endian: what every phone makes of the standard's UCS-2."""
    DATA = "data"
    """8-bit data: no text."""
    AUTO = "auto"
    """A wish: the coding that needs the fewest segments and loses nothing."""
    TRANSLIT = "translit"
    """A wish: into the GSM 7-bit default alphabet whatever it takes, stating each loss."""


class WaitingKind(IntEnum):
    """What is waiting (23.038 §4, 23.040 §9.2.3.24.2)."""

    VOICE = 0
    FAX = 1
    EMAIL = 2
    OTHER = 3


@dataclass(frozen=True, slots=True)
class MessageWaiting:
    """An indication that messages wait elsewhere, as in a voice mailbox.

    Attributes:
        kind: what is waiting.
        active: whether something is waiting; False switches the indicator off.
        count: how many, where the sender said so.
        store: whether the message is to be kept, or is only the indication.
    """

    kind: WaitingKind
    active: bool
    count: int | None
    store: bool


@dataclass(frozen=True, slots=True)
class DataCodingScheme:
    """One TP-DCS octet, 0 to 255."""

    value: int

    @classmethod
    def of(cls, encoding: Encoding, message_class: int | None = None) -> DataCodingScheme:
        """The general group's value for this coding and class (0 to 3, or None)."""
        alphabet = {Encoding.GSM7: 0x00, Encoding.DATA: 0x04, Encoding.UCS2: 0x08}[encoding]
        return cls(alphabet if message_class is None else alphabet | 0x10 | message_class)

    @property
    def compressed(self) -> bool:
        """Whether the user data is compressed (3GPP 23.042): nobody sends that, and nobody here reads it."""
        return self.value < 0x80 and bool(self.value & 0x20)

    @property
    def reserved(self) -> bool:
        """Whether the standard gives this value no meaning of its own."""
        group = self.value >> 4
        return group in {0x8, 0x9, 0xA, 0xB} or (group < 0x8 and self.value & 0x0C == 0x0C)

    @property
    def encoding(self) -> Encoding:
        """GSM7, UCS2 or DATA; compressed user data is DATA."""
        if self.compressed:
            return Encoding.DATA
        match self.value >> 4:
            case 0xE:
                return Encoding.UCS2
            case 0xF:
                return Encoding.DATA if self.value & 0x04 else Encoding.GSM7
            case group if group < 0x8:
                return (Encoding.GSM7, Encoding.DATA, Encoding.UCS2, Encoding.GSM7)[self.value >> 2 & 3]
            case _:
                return Encoding.GSM7

    @property
    def message_class(self) -> int | None:
        """0 flash, 1 to the phone, 2 to the SIM, 3 to the terminal; None: no class."""
        has_class = self.value >> 4 == 0xF or (self.value < 0x80 and self.value & 0x10)
        return self.value & 3 if has_class else None

    @property
    def message_waiting(self) -> MessageWaiting | None:
        """The indication that this value carries, without a count, or None."""
        group = self.value >> 4
        if group not in {0xC, 0xD, 0xE}:
            return None
        return MessageWaiting(WaitingKind(self.value & 3), bool(self.value & 0x08), None, group != 0xC)

    @property
    def automatic_deletion(self) -> bool:
        """Whether the sender asks that the message be deleted once it was read."""
        return 0x40 <= self.value < 0x80


DEFAULT_SCHEME = DataCodingScheme(0x00)
"""The GSM 7-bit default alphabet, no class."""
