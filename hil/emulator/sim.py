"""The SIM: who it is, its PIN and PUK with their counters. It outlives every reset of the modem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PIN_TRIES: Final = 3
PUK_TRIES: Final = 10


def luhn_digit(digits: str) -> str:
    """The check digit that makes digits + itself pass the Luhn test (IMEI, ICCID)."""
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


@dataclass(slots=True)
class Sim:
    """One card."""

    imsi: str
    iccid: str
    number: str
    pin: str = "1234"
    puk: str = "12345678"
    pin_enabled: bool = False
    unlocked: bool = True
    present: bool = True
    pin_left: int = PIN_TRIES
    puk_left: int = PUK_TRIES
    pin_attempts: int = 0
    """How often a PIN was presented, right or wrong."""

    @property
    def state(self) -> str:
        """ready, pin, puk, out, or dead (no PUK try left)."""
        if not self.present:
            return "out"
        if self.puk_left == 0:
            return "dead"
        if self.pin_left == 0:
            return "puk"
        if self.pin_enabled and not self.unlocked:
            return "pin"
        return "ready"

    def verify(self, pin: str) -> bool:
        """Present a PIN; a wrong one costs a try."""
        self.pin_attempts += 1
        if pin == self.pin:
            self.pin_left = PIN_TRIES
            self.unlocked = True
            return True
        self.pin_left = max(0, self.pin_left - 1)
        return False

    def unblock(self, puk: str, new_pin: str) -> bool:
        """Present the PUK with a new PIN; a wrong one costs one of ten."""
        if puk != self.puk:
            self.puk_left = max(0, self.puk_left - 1)
            return False
        self.pin, self.pin_left, self.puk_left, self.unlocked = new_pin, PIN_TRIES, PUK_TRIES, True
        return True

    def power_cycle(self) -> None:
        """The card lost power: the PIN must be presented again."""
        self.unlocked = not self.pin_enabled
