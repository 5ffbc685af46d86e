"""``modemhub-error.txt`` on the card: what is wrong, from everybody who has something to say.

Each source has one file below /data/device/problems, and the card's file is made of all of them; when the last one has
nothing to say any more, it goes. It is written for somebody with a Windows computer: CRLF, plain words. Where the data
partition is not mounted, the files are of this boot alone, below /run.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .fat import Fat
from .rim import Failed, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .place import Place

__all__ = ["FILE", "Board"]

log = logging.getLogger(__name__)

FILE = "modemhub-error.txt"

_HEAD = {
    "settings": "The settings in modemhub.toml were not taken. The device goes on with the last ones that were right.\n"
    "Mend these lines, put the card back, and start the device again:",
    "data": "The part of this card that keeps everything (settings, keys, messages) cannot be read. As long as that\n"
    "is so, the device does nothing: no texts, no console, no broker. It has erased nothing. What you can do:",
    "lost": "The part of this card that keeps everything was damaged, and has been repaired. Not all was saved:",
}


class Board:
    """Where problems are told."""

    def __init__(self, place: Place, *, fat: Fat | None = None) -> None:
        self._directory = (place.device if place.keeps else place.run) / "problems"
        self._fat = fat or Fat(place)

    def tell(self, source: str, lines: Sequence[str]) -> None:
        """Have ``source`` (a word) say these lines, or nothing any more. What cannot be told is logged."""
        file = self._directory / f"{source}.txt"
        try:
            if lines:
                write(file, "".join(f"{line}\n" for line in lines).encode())
            else:
                file.unlink(missing_ok=True)
        except OSError as error:
            log.error("%s cannot be written: %s", file, error)  # noqa: TRY400 - nothing to trace
        self.show()

    def problems(self) -> dict[str, list[str]]:
        """What each source says."""
        if not self._directory.is_dir():
            return {}
        files = sorted(self._directory.glob("*.txt"))
        return {file.stem: file.read_text(encoding="utf-8").splitlines() for file in files}

    def show(self) -> None:
        """Have it on the card."""
        problems = self.problems()
        parts = [
            "\n".join([_HEAD.get(source, f"{source}:"), "", *(f"  {line}" for line in lines)])
            for source, lines in problems.items()
        ]
        text = "modemhub\n\n" + "\n\n".join(parts) + "\n\nThis file goes away when all is well.\n"
        try:
            if problems:
                self._fat.write(FILE, text.replace("\n", "\r\n").encode("utf-8-sig"))
            else:
                self._fat.remove(FILE)
        except Failed as failed:
            log.error("%s", failed)  # noqa: TRY400 - nothing to trace
