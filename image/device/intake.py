"""The settings file on the card: read, checked as a whole, kept; then its secrets leave the card.

Promise
    What is in force is what was taken last. A file that is not right changes nothing, and all that is wrong with it is
    told. A power cut at any step leaves the old settings or the new ones, and the next boot goes on from there. When
    it was taken, no secret stands in the file any more: :data:`~.settings.KEPT` stands in its place, its owner's
    comments, order and line ends stay.

Theory of operation
    The file is the whole truth: what is no longer in it is no longer set, but a secret whose place holds ``KEPT`` stays
    as it is. Steps, each durable before the next: secrets and settings are kept (``kept``); ``card.toml``, the file as
    it shall be on the card, is kept; the card's file is replaced; its digest is noted. A file with that digest is
    known: nothing is imported to look at it again. Taking the same file twice is taking it once.

    No file on the card: the last settings stay, and where there are some, the card gets its file again, as nobody can
    change what is not there. The same for a file that a power cut left empty or full of NULs.

    Windows hides the ending that it adds: ``modemhub.toml.txt`` is taken where it is alone, or where ``modemhub.toml``
    is known or says nothing; it gets its right name then.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .kept import Kept, digest, save
from .rim import Failed, read, write
from .text import NotToml, decoded, parsed

if TYPE_CHECKING:
    from .fat import Fat
    from .place import Place

__all__ = ["Taken", "take"]

NAME = "modemhub.toml"
HIDDEN = "modemhub.toml.txt"
LARGEST = 1 << 20
"""Octets of a settings file; a larger one is another file."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of it.

    Attributes:
        complaints: what is wrong; the settings were not taken then.
        warnings: what went wrong with the card; the settings are in force.
    """

    complaints: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def take(place: Place, fat: Fat) -> Taken:
    """Take what is on the card, if it is new and right."""
    known = _known(place)
    found = _choose(place, fat, known)
    if isinstance(found, Taken):
        return found
    name, octets = found
    if digest(octets) == known:
        return Taken()
    if len(octets) > LARGEST:
        return Taken(complaints=(f"{name} is too large to be a settings file: put the right one in its place",))
    text = decoded(octets)
    kept = Kept.read(place)
    try:
        content = parsed(text)
    except NotToml as wrong:
        return Taken(complaints=tuple(wrong.complaints))
    if not content:  # as on a new card
        return _keep(place, fat, (name, octets), kept, settings={}, secrets={})
    from .settings import KEPT, Wrong, check, filled, secret_paths, split  # noqa: PLC0415 - seconds on a small Pi

    whole, missing = filled(content, kept.secrets)
    complaints = [
        f'{".".join(path)}: nothing is kept on the device for it: write the secret in the place of "{KEPT}"'
        for path in missing
    ]
    try:
        check(whole, text)
    except Wrong as wrong:
        complaints += wrong.complaints
    if complaints:
        return Taken(complaints=tuple(dict.fromkeys(complaints)))
    on_card = octets
    if any(_at(content, path) != KEPT for path in secret_paths(content)):
        on_card = _without_secrets(text, content, crlf=_is_crlf(octets))
    settings, secrets = split(whole)
    return _keep(place, fat, (name, on_card), kept, settings=settings, secrets=secrets)


def _keep(
    place: Place,
    fat: Fat,
    found: tuple[str, bytes],
    kept: Kept,
    *,
    settings: dict[str, Any],
    secrets: dict[str, Any],
) -> Taken:
    """Keep these from now on, and have the file on the card as it shall be."""
    name, on_card = found
    if (settings, secrets) != (kept.settings, kept.secrets) or read(place.device / "settings.toml") is None:
        save(place, settings, secrets)
    write(place.device / "card.toml", on_card)
    return Taken(warnings=_settle(place, fat, name, on_card))


def _known(place: Place) -> str | None:
    try:
        noted = json.loads(read(place.device / "intake.json") or b"{}")
    except ValueError:
        return None
    return noted.get("digest") if isinstance(noted, dict) else None


def _choose(place: Place, fat: Fat, known: str | None) -> tuple[str, bytes] | Taken:
    """The file that counts; or what came of there being none."""
    plain, hidden = _lasting(fat.read(NAME)), _lasting(fat.read(HIDDEN))
    if hidden is not None and (plain is None or digest(plain) == known or _says_nothing(plain)):
        return HIDDEN, hidden
    if hidden is not None:
        return Taken(complaints=(f"there are {NAME} and {HIDDEN}: remove the one that you do not mean",))
    if plain is not None:
        return NAME, plain
    mine = read(place.device / "card.toml")
    return Taken(warnings=() if mine is None else _settle(place, fat, NAME, mine))


def _lasting(octets: bytes | None) -> bytes | None:
    """Octets that are not what a power cut left of a file."""
    return octets if octets is not None and octets.strip(b"\0") else None


def _says_nothing(octets: bytes) -> bool:
    try:
        return not parsed(decoded(octets))
    except NotToml:
        return False


def _settle(place: Place, fat: Fat, name: str, on_card: bytes) -> tuple[str, ...]:
    """Have this file on the card, by its right name, and note that it is known."""
    try:
        with fat.writable():
            fat.write(NAME, on_card)
            if name != NAME:
                fat.remove(name)
    except Failed as failed:
        return (f"the settings were taken, but their secrets are still on the card: {failed}",)
    write(place.device / "intake.json", json.dumps({"digest": digest(on_card)}).encode())
    return ()


def _at(content: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        content = content[step]
    return content


def _is_crlf(octets: bytes) -> bool:
    return b"\r\n" in octets or b"\r\0\n\0" in octets or b"\0\r\0\n" in octets


def _without_secrets(text: str, content: dict[str, Any], *, crlf: bool) -> bytes:
    """The file with each secret replaced, all else as its owner wrote it."""
    import tomlkit  # noqa: PLC0415 - only where there is a secret in the file

    from .settings import KEPT, secret_paths  # noqa: PLC0415

    document: Any = tomlkit.parse(text)
    for *above, last in secret_paths(content):
        _at(document, tuple(above))[last] = KEPT
    made = tomlkit.dumps(document)
    return (made.replace("\n", "\r\n") if crlf else made).encode()
