"""What a figure is, and the table of all."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Figure", "percentiles", "table"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value."""

    name: str
    value: float
    unit: str
    goal: str = ""
    """What is to be reached, in words."""


def percentiles(name: str, seconds: Sequence[float], *, goals: tuple[str, str] = ("", "")) -> list[Figure]:
    """The median and the 95th percentile of these times, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return [
        Figure(f"{name}, p50", cuts[49] * 1000, "ms", goals[0]),
        Figure(f"{name}, p95", cuts[94] * 1000, "ms", goals[1]),
    ]


def table(figures: Sequence[Figure]) -> str:
    """All figures, one a line."""
    width = max((len(figure.name) for figure in figures), default=0)
    return "\n".join(
        f"{figure.name:{width}}  {figure.value:10.2f} {figure.unit:10} {figure.goal}".rstrip() for figure in figures
    )
