"""PURE. When updates begin by themselves: ``[update] window``, and what systemd is told of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .shape import Update

__all__ = ["WINDOW", "Window", "timer"]

WINDOW: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
"""How it is written."""


@dataclass(frozen=True, slots=True)
class Window:
    """When automatic updates begin, in minutes of the local day."""

    begin: int
    length: int

    @classmethod
    def of(cls, text: str) -> Window:
        """``03:00-05:00``; it may pass midnight. What cannot be read is the default."""
        found = WINDOW.fullmatch(text.strip()) or WINDOW.fullmatch(Update().window)
        assert found
        begin, end = (int(found[n]) * 60 + int(found[n + 1]) for n in (1, 3))
        return cls(begin, (end - begin) % (24 * 60) or 24 * 60)


def timer(window: str) -> str:
    """The drop-in of ``modemhub-update.timer`` for this window; empty for the default, which the unit itself has."""
    asked = Window.of(window)
    if asked == Window.of(Update().window):
        return ""
    at = f"{asked.begin // 60:02}:{asked.begin % 60:02}"
    return f"[Timer]\nOnCalendar=\nOnCalendar=*-*-* {at}:00\nRandomizedDelaySec={asked.length}min\n"
