"""Settings and secrets on /data: what was taken last, old or new and never a mixture.

``settings.toml`` holds no secret. ``secrets.json`` holds one set of secrets for each ``settings.toml`` that it may
belong to, named by its SHA-256: a new set is added first, then the settings are replaced (from then on they are the new
ones), then the old set is taken out. Where only a secret changed, the one file's replacing is the change. Who edits
``settings.toml`` by hand keeps the secrets: a single set belongs to whatever stands there.

``card.toml`` is the file as it is to stand on the card, with no secret in it: a card whose power was cut while it was
rewritten gets it again. ``intake.json`` has the digest of the file that was taken last.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from .rim import read, write
from .text import toml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .place import Place

__all__ = ["Kept", "digest", "save"]


def digest(octets: bytes) -> str:
    """Names a file's content."""
    return hashlib.sha256(octets).hexdigest()


@dataclass(frozen=True, slots=True)
class Kept:
    """What is in force."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, place: Place) -> Self:
        """What was saved last; nothing, where nothing can be read."""
        octets = read(place.device / "settings.toml") or b""
        try:
            settings = tomllib.loads(octets.decode())
        except ValueError:
            settings = {}
        sets = _sets(place)
        own = sets.get(digest(octets))
        if own is None and len(sets) == 1:
            (own,) = sets.values()
        return cls(settings, own or {})


def _sets(place: Place) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(read(place.device / "secrets.json") or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def save(place: Place, settings: Mapping[str, Any], secrets: Mapping[str, Any]) -> None:
    """Keep these from now on; durable when it returns."""
    octets = toml(settings).encode()
    file = place.device / "secrets.json"
    fresh = {digest(octets): secrets}
    write(file, json.dumps({**_sets(place), **fresh}, indent=1).encode())
    write(place.device / "settings.toml", octets)
    write(file, json.dumps(fresh, indent=1).encode())
