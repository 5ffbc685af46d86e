"""What a user may set about a modem's power: the GPIO lines of a HAT, and how long they are pulled.

A board that is known by name (``board = "waveshare-sim7600x"``) needs none of it; what stands here goes before what
the board says. A line is a number, or a number and which level makes it what its name says::

    [modems.power]
    pwrkey = { line = 6, active = "high" }   # high: the key is pressed
    status = { line = 23, active = "low" }   # low: the modem runs
    pulses = { on = 1.0, off = 3.0 }
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Level", "LineSettings", "PowerLines", "PowerSettings", "PulseSettings"]

Level = Literal["high", "low"]


class LineSettings(BaseModel):
    """One line of the GPIO chip."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    line: Annotated[int, Field(ge=0, le=511)] | None = None
    """Its offset on the chip; on a Raspberry Pi this is the BCM number (GPIO6 is 6), not the pin of the header."""
    active: Level | None = None
    """Which level means pressed (pwrkey), held (reset), supplied (enable), running (status), flight mode (flight)."""
    undriven: Level | None = None
    """Which level it has while no program drives it, where that is known; else it is driven for as long as we run."""

    @model_validator(mode="before")
    @classmethod
    def _may_be_a_number(cls, given: Any) -> Any:
        return {"line": given} if isinstance(given, int) and not isinstance(given, bool) else given


class PowerLines(BaseModel):
    """Which lines there are; those that are not, are left away."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    pwrkey: LineSettings | None = None
    """Presses the module's power key, which is a toggle."""
    reset: LineSettings | None = None
    """Holds the module in reset."""
    enable: LineSettings | None = None
    """Switches the module's supply."""
    status: LineSettings | None = None
    """Says whether the module runs; an input."""
    flight: LineSettings | None = None
    """Puts the module into flight mode; it is kept out of it."""


_Press = Annotated[float, Field(gt=0, le=15)]
_Wait = Annotated[float, Field(gt=0, le=180)]


class PulseSettings(BaseModel):
    """How long, in seconds; absent: the board's, else what suits most modules."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    on: _Press | None = None
    """The power key is pressed to switch on."""
    off: _Press | None = None
    """The power key is pressed to switch off."""
    reset: _Press | None = None
    """The reset line is held."""
    boot: _Wait | None = None
    """From switching on, or reset, to the first answer."""
    down: _Wait | None = None
    """From the key to the module's being off."""
    rest: _Wait | None = None
    """Between off and on."""


class PowerSettings(PowerLines):
    """The GPIO lines of one modem."""

    chip: Annotated[str, Field(min_length=1)] | None = None
    """``/dev/gpiochip0``, or a chip's label as ``pinctrl-rp1``; absent: that of the Raspberry Pi's header."""
    pulses: PulseSettings = PulseSettings()
