"""What a family of modems wants: data, read from a TOML file.

Promise: a file is either a profile, complete and of the right types, or ``SettingsError`` names the file and each key
that is wrong. A key that is not known is wrong.

A profile says *what* is set and in which order things are tried; *how* is the driver's. What cannot be said by values
is a ``Quirk``: a closed list of behaviours, each with one branch in the driver.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from appliance.at.answers import STORES, vendor_codes
from appliance.at.dialogue import Command
from appliance.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.types import RetryClass

__all__ = ["Bringup", "Match", "Profile", "Quirk", "Sms", "generic", "parse", "shipped"]


class Quirk(StrEnum):
    """A behaviour of a modem that the driver has a branch for."""

    NEVER_CNMA = "never-cnma"
    """A direct delivery needs no +CNMA although AT+CSMS=1 is set, and answers one with an error (SIMCom)."""


@dataclass(frozen=True, slots=True)
class Match:
    """Which modems it is for: regular expressions over AT+CGMI and AT+CGMM; the highest rank wins."""

    manufacturer: str
    model: str
    rank: int


@dataclass(frozen=True, slots=True)
class Bringup:
    """How it starts.

    Attributes:
        boot_urcs: beginnings of lines that say that the modem has started anew.
        ready_urcs: beginnings of lines after which all storages are looked at.
        plain_urcs: whole lines without a prefix that are URCs too.
        init: commands after the generic ones.
    """

    boot_urcs: tuple[str, ...]
    ready_urcs: tuple[str, ...]
    plain_urcs: tuple[str, ...]
    init: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class Sms:
    """How short messages are moved.

    Attributes:
        service: AT+CSMS, 0 or 1.
        stores: storages in the order of preference.
        cnmi: settings of AT+CNMI to try where messages can be stored.
        cnmi_direct: and where they cannot.
        prompt_timeout: seconds for ``>``.
        submit_deadline: seconds for the result of a submit.
        cms: the manufacturer's +CMS ERROR numbers.
    """

    service: int
    stores: tuple[str, ...]
    cnmi: tuple[tuple[int, ...], ...]
    cnmi_direct: tuple[tuple[int, ...], ...]
    prompt_timeout: float
    submit_deadline: float
    cms: Mapping[int, tuple[RetryClass, str]]


@dataclass(frozen=True, slots=True)
class Profile:
    """A family of modems; see the files below ``profiles/``."""

    name: str
    match: Match
    bringup: Bringup
    sms: Sms
    quirks: frozenset[Quirk]
    evidence: tuple[str, ...]


class _Table:
    """A TOML table that is read key by key; what was not asked for, or is of the wrong type, becomes an error."""

    def __init__(self, table: Mapping[str, object], path: str, errors: list[str]) -> None:
        self._table = dict(table)
        self._path = path
        self._errors = errors

    def _wrong(self, key: str, what: str) -> None:
        self._errors.append(f"{self._path}{key}: {what}")

    def text(self, key: str, default: str | None = None) -> str:
        match self._table.pop(key, default):
            case str(value):
                return value
            case None:
                self._wrong(key, "is missing")
            case _:
                self._wrong(key, "must be a string")
        return ""

    def number(self, key: str, default: float, *, least: float, most: float) -> float:
        match self._table.pop(key, default):
            case bool():
                self._wrong(key, "must be a number")
            case int(value) | float(value) if least <= value <= most:
                return value
            case _:
                self._wrong(key, f"must be a number from {least:g} to {most:g}")
        return default

    def texts(
        self, key: str, default: tuple[str, ...] = (), *, check: Callable[[str], object] = str
    ) -> tuple[str, ...]:
        value = self._table.pop(key, default)
        if not isinstance(value, list | tuple) or not all(isinstance(entry, str) for entry in value):
            self._wrong(key, "must be a list of strings")
            return default
        for entry in value:
            try:
                check(entry)
            except ValueError as error:
                self._wrong(key, f"{entry!r}: {error}")
                return default
        return tuple(value)

    def settings(self, key: str, default: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
        value = self._table.pop(key, default)
        good = isinstance(value, list | tuple) and all(
            isinstance(entry, list | tuple)
            and 1 <= len(entry) <= 5
            and all(type(number) is int and 0 <= number <= 3 for number in entry)
            for entry in value
        )
        if not good or not isinstance(value, list | tuple):
            self._wrong(key, "must be a list of lists of one to five numbers from 0 to 3")
            return default
        return tuple(tuple(entry) for entry in value)

    def codes(self, key: str) -> Mapping[int, tuple[RetryClass, str]]:
        value = self._table.pop(key, {})
        try:
            rows = dict(value) if isinstance(value, dict) else {"": ("", "")}
            return vendor_codes({number: (retry, text) for number, (retry, text) in rows.items()})
        except (TypeError, ValueError):
            self._wrong(key, 'must be lines as 513 = ["retry_later", "words"]')
            return {}

    def table(self, key: str) -> _Table:
        value = self._table.pop(key, {})
        if not isinstance(value, dict):
            self._wrong(key, "must be a table")
            value = {}
        return _Table(value, f"{self._path}{key}.", self._errors)

    def end(self) -> None:
        for key in self._table:
            self._wrong(key, "is not known")


def _known_store(name: str) -> None:
    if name not in STORES:
        raise ValueError(f"no storage; one of {', '.join(STORES)}")


def _not_empty(text: str) -> None:
    if not text.strip():
        raise ValueError("is empty: it would match every line")


def parse(text: str, source: str) -> Profile:
    """Read a profile from TOML; ``source`` names it in errors.

    Raises:
        SettingsError: every wrong key, one a line.
    """
    try:
        top = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{source}: {error}") from error
    errors: list[str] = []
    root = _Table(top, "", errors)
    match = root.table("match")
    bringup = root.table("bringup")
    sms = root.table("sms")
    profile = Profile(
        name=root.text("name"),
        match=Match(
            manufacturer=match.text("manufacturer"),
            model=match.text("model"),
            rank=int(match.number("rank", 1, least=0, most=100)),
        ),
        bringup=Bringup(
            boot_urcs=bringup.texts("boot_urcs", ("RDY",), check=_not_empty),
            ready_urcs=bringup.texts("ready_urcs", check=_not_empty),
            plain_urcs=bringup.texts("plain_urcs", check=_not_empty),
            init=tuple(Command(line) for line in bringup.texts("init", check=Command)),
        ),
        sms=Sms(
            service=int(sms.number("service", 0, least=0, most=1)),
            stores=sms.texts("stores", ("ME", "SM", "MT", "SR"), check=_known_store),
            cnmi=sms.settings("cnmi", ((2, 1, 0, 1, 0),)),
            cnmi_direct=sms.settings("cnmi_direct", ((2, 2, 0, 1, 0),)),
            prompt_timeout=sms.number("prompt_timeout", 10.0, least=1, most=60),
            submit_deadline=sms.number("submit_deadline", 300.0, least=10, most=600),
            cms=sms.codes("cms"),
        ),
        quirks=frozenset(Quirk(quirk) for quirk in root.texts("quirks", check=Quirk)),
        evidence=root.texts("evidence"),
    )
    for reserved in ("ports", "power"):
        root.table(reserved).end()
    for table in (match, bringup, sms, root):
        table.end()
    if errors:
        raise SettingsError("\n".join(f"{source}: {error}" for error in errors))
    return profile


_SUFFIX: Final = ".toml"


def shipped() -> tuple[Profile, ...]:
    """Every profile that comes with modemhub, by name.

    Raises:
        SettingsError: a file is wrong, or two have one name, or a name is not its file's.
    """
    profiles = []
    for file in sorted(files("appliance.modem").joinpath("profiles").iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(_SUFFIX):
            profile = parse(file.read_text(encoding="utf-8"), file.name)
            if profile.name + _SUFFIX != file.name:
                raise SettingsError(f"{file.name}: name: is {profile.name!r}")
            profiles.append(profile)
    return tuple(profiles)


def generic() -> Profile:
    """The profile for a modem of which nothing is known."""
    return next(profile for profile in shipped() if profile.name == "generic")
