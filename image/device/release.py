"""Which bundle may be installed: PURE, by the words of its signed manifest and of the running system.

Promise: ``refusal`` says why a bundle is refused, or None. RAUC has verified the signature before it asks; what is
decided here holds for every way in (our command, a stick, ``rauc install`` by hand), as RAUC's pre-install handler asks
here (``system.conf``), and RAUC's own options to ignore the board or the version do not reach it.

::

    refused                                         because
    ------------------------------------------------------------------------------------------------------------
    of another board                                it would not start
    of no version that can be read                  it could not be compared
    older than what runs                            old holes would come back (EN 303 645, 5.3-2)
    the very build that runs                        nothing would be gained, and the old slot would be lost
    while the running slot is itself on trial       the only slot that is known to work would be overwritten
    its hub's journal is not for the one that runs  the way back would be closed: see ``appliance/store/file.py``
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Manifest", "Running", "Version", "refusal"]

_VERSION: Final = re.compile(
    r"v?(?P<release>\d+(?:\.\d+){0,4})(?:[-.~]?(?P<stage>dev|alpha|beta|a|b|rc)[-.]?(?P<number>\d*))?(?:\+[\w.]*)?",
    re.ASCII,
)
_STAGES: Final = {"dev": 0, "a": 1, "alpha": 1, "b": 2, "beta": 2, "rc": 3}
_FINAL: Final = 4


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A version as it is compared: ``1.2``, ``1.2.0rc1``, ``1.2.0-beta.2``; what follows ``+`` does not count."""

    release: tuple[int, ...]
    stage: int
    number: int

    @classmethod
    def of(cls, text: str) -> Self:
        """Read it.

        Raises:
            ValueError: it is none.
        """
        found = _VERSION.fullmatch(text.strip().lower())
        if found is None:
            raise ValueError(f"{text!r} is no version")
        release = [int(part) for part in found["release"].split(".")]
        while len(release) > 1 and release[-1] == 0:  # 1.2 is 1.2.0
            release.pop()
        stage = _FINAL if found["stage"] is None else _STAGES[found["stage"]]
        return cls(tuple(release), stage, int(found["number"] or 0))


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says of itself, under its signature."""

    compatible: str
    version: str
    build: str
    digest: str = ""
    """SHA-256 of the image in it: which one it is."""
    readable_by: int = 0
    """The oldest schema whose hub reads the journal that this one's hub writes; 0: it does not say."""

    @classmethod
    def handed(cls, words: Mapping[str, str]) -> Self:
        """As RAUC hands it to its handlers, in their environment; 1.13 gives them what is below ``meta`` alone."""

        def told(name: str) -> str:
            return words.get(f"RAUC_META_MODEMHUB_{name}", "")

        slots = words.get("RAUC_TARGET_SLOTS", "").split()
        digest = words.get(f"RAUC_IMAGE_DIGEST_{slots[0]}", "") if slots else ""
        return cls(told("COMPATIBLE"), told("VERSION"), told("BUILD"), digest, _number(told("READABLE_BY")))

    @classmethod
    def shown(cls, text: str) -> Self:
        """As ``rauc info --output-format=json-2`` shows it.

        Raises:
            ValueError: it does not.
        """
        try:
            words: Any = json.loads(text)
            update, meta = words["update"], words.get("meta", {}).get("modemhub", {})
            return cls(
                str(update["compatible"]),
                str(update.get("version") or ""),
                str(update.get("build") or ""),
                str(words["images"][0]["checksum"]),
                _number(str(meta.get("readable-by", ""))),
            )
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"RAUC's answer is not understood: {error}") from error


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


@dataclass(frozen=True, slots=True)
class Running:
    """The system that runs."""

    compatible: str
    version: str
    build: str
    schema: int = 0
    """The newest schema of the journal that its hub knows; 0: not known."""
    on_trial: bool = False


def refusal(bundle: Manifest, running: Running) -> str | None:
    """Why this bundle is not installed on this system, for people; None: it may be."""
    if bundle.compatible != running.compatible:
        return f"it is for another board: {bundle.compatible or 'none named'}; this is {running.compatible}"
    if running.on_trial:
        return (
            f"version {running.version}, which runs, is still on trial: until it has proved itself, the other slot"
            " is the way back, and is not overwritten"
        )
    try:
        there, here = Version.of(bundle.version), Version.of(running.version)
    except ValueError as error:
        return f"{error}, so nobody can say which is older"
    if there < here:
        return f"it is older: version {bundle.version}; {running.version} runs"
    if there == here and bundle.build == running.build:
        return f"it is what runs: version {bundle.version}, build {bundle.build}"
    if running.schema and bundle.readable_by > running.schema:
        return (
            f"there would be no way back: its journal cannot be read by version {running.version}"
            f" (schema {bundle.readable_by} is needed, {running.schema} is known). Install a version between the two"
        )
    return None
