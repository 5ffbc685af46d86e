"""What a family of modems wants: data, read from a TOML file.

Promise: a file is either a profile, complete and of the right types, or ``SettingsError`` names the file and each key
that is wrong. A key that is not known is wrong. What a file leaves away is as in ``generic.toml``: not known to be
otherwise.

A profile says *what* is set and in which order things are tried; *how* is the driver's. What cannot be said by values
is a ``Quirk``: a closed list of behaviours, each with one branch in the driver.

Which profile
    A USB id says where AT is spoken (``at_interfaces``), which mode a device is in (``role_of``), and narrows down what
    it may be (``for_usb``). It never says the family: 1e0e:9001 is a SIM7000, a SIM7600 and a SIM8200. That is said by
    the answers to AT+CGMI and AT+CGMM (``choose``): the highest rank that matches wins, ``generic`` (rank 0) matches
    always, and two of the same rank are an error in the files.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, Literal

from appliance.at.answers import PIN_COUNTERS, STORES, vendor_codes
from appliance.at.dialogue import Command
from appliance.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from importlib.resources.abc import Traversable

    from appliance.types import RetryClass

__all__ = [
    "Bringup",
    "Match",
    "Ports",
    "PowerCommands",
    "Profile",
    "Quirk",
    "Role",
    "SimFacts",
    "Sms",
    "UsbId",
    "Ussd",
    "at_interfaces",
    "choose",
    "for_usb",
    "generic",
    "parse",
    "role_of",
    "shipped",
]

Role = Literal["modem", "storage", "router"]
"""What a USB device is by its id: a modem with AT ports, a stick that still shows its CD, or a router without any."""


class Quirk(StrEnum):
    """A behaviour of a modem that the driver has a branch for."""

    NEVER_CNMA = "never-cnma"
    """A direct delivery needs no +CNMA although AT+CSMS=1 is set, and answers one with an error (SIMCom)."""


@dataclass(frozen=True, slots=True)
class Match:
    """Which modems it is for.

    Attributes:
        manufacturer: regular expression for the whole answer to AT+CGMI, without case.
        model: the same for AT+CGMM.
        rank: where several profiles match, the highest wins.
    """

    manufacturer: str
    model: str
    rank: int

    def fits(self, manufacturer: str, model: str) -> bool:
        """Whether both answers are those of this family."""
        return _fits(self.manufacturer, manufacturer) and _fits(self.model, model)


def _fits(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text.strip(), re.IGNORECASE | re.DOTALL) is not None


@dataclass(frozen=True, slots=True)
class UsbId:
    """A USB id in which a modem of the family has AT ports.

    Attributes:
        id: ``2c7c:0125``, lower case.
        at: numbers of the interfaces that speak AT, the preferred one first; empty: not known, each is to be asked.
        model: what is sold with it.
    """

    id: str
    at: tuple[int, ...]
    model: str


@dataclass(frozen=True, slots=True)
class Ports:
    """Where it speaks AT.

    Attributes:
        usb: its ids.
        at_class: ``ff/01/02``: class, subclass and protocol of interfaces that speak AT, the preferred one first.
        storage: ids of the same sticks while they show a CD; usb-modeswitch makes modems of them.
        router: ids of modes without an AT port: they cannot be used.
        baud: UART speeds to try, the usual one first.
    """

    usb: tuple[UsbId, ...]
    at_class: tuple[str, ...]
    storage: tuple[str, ...]
    router: tuple[str, ...]
    baud: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bringup:
    """How it starts.

    Attributes:
        boot_urcs: beginnings of lines that say that the modem has started anew.
        ready_urcs: beginnings of lines after which all storages are looked at.
        plain_urcs: whole lines without a prefix that are URCs too.
        init: commands after the generic ones.
        boot_time: seconds from a reset or from power to the first answer: the longest known and a margin.
    """

    boot_urcs: tuple[str, ...]
    ready_urcs: tuple[str, ...]
    plain_urcs: tuple[str, ...]
    init: tuple[Command, ...]
    boot_time: float


@dataclass(frozen=True, slots=True)
class SimFacts:
    """How the SIM is asked about.

    Attributes:
        tries: the command that counts the tries left for the PIN, a key of ``PIN_COUNTERS``.
        iccid: commands for the card's number that are tried before the generic ones.
    """

    tries: str
    iccid: tuple[str, ...]


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
        bearers: commands that choose another bearer, in this order, when sending fails over the present one; the last
            one leaves the modem as it is delivered, and is to be given when another one has cost the registration.
            Empty: nothing is known to help.
        cms: the manufacturer's +CMS ERROR numbers.
    """

    service: int
    stores: tuple[str, ...]
    cnmi: tuple[tuple[int, ...], ...]
    cnmi_direct: tuple[tuple[int, ...], ...]
    prompt_timeout: float
    submit_deadline: float
    bearers: tuple[Command, ...]
    cms: Mapping[int, tuple[RetryClass, str]]


@dataclass(frozen=True, slots=True)
class Ussd:
    """How USSD strings are written.

    Attributes:
        packed: the strings of +CUSD are the hexadecimal digits of packed GSM 7-bit septets (23.038 §6.1.2.3).
        dcs: the <dcs> that is given with AT+CUSD: 15, the default alphabet, language not told (23.038 §5).
    """

    packed: bool
    dcs: int


@dataclass(frozen=True, slots=True)
class PowerCommands:
    """What it does to itself when it is told to.

    Attributes:
        resets: commands that start it anew, the best first; empty where none is known to work.
        radio: the two that switch the radio off and on again.
        off: switches it off; None: not known.
        off_urcs: beginnings of lines that say that its supply may be cut.
    """

    resets: tuple[Command, ...]
    radio: tuple[Command, Command]
    off: Command | None
    off_urcs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """A family of modems; see the files below ``profiles/``."""

    name: str
    match: Match
    ports: Ports
    bringup: Bringup
    sim: SimFacts
    sms: Sms
    ussd: Ussd
    power: PowerCommands
    quirks: frozenset[Quirk]
    evidence: tuple[str, ...]


# ---------------------------------------------------------------------------------------------- reading


class _Table:
    """A TOML table that is read key by key; what was not asked for, or is of the wrong type, becomes an error."""

    def __init__(self, table: Mapping[str, object], path: str, errors: list[str]) -> None:
        self._table = dict(table)
        self._path = path
        self._errors = errors

    def wrong(self, key: str, what: str) -> None:
        self._errors.append(f"{self._path}{key}: {what}")

    def text(self, key: str, default: str | None = None, *, check: Callable[[str], object] = str) -> str:
        match self._table.pop(key, default):
            case str(value):
                try:
                    check(value)
                except ValueError as error:
                    self.wrong(key, f"{value!r}: {error}")
                else:
                    return value
            case None:
                self.wrong(key, "is missing")
            case _:
                self.wrong(key, "must be a string")
        return default or ""

    def number(self, key: str, default: float | None = None, *, least: float, most: float) -> float:
        match self._table.pop(key, default):
            case bool():
                self.wrong(key, "must be a number")
            case int(value) | float(value) if least <= value <= most:
                return value
            case _:
                self.wrong(key, f"must be a number from {least:g} to {most:g}")
        return least

    def flag(self, key: str) -> bool:
        match self._table.pop(key, None):
            case bool(value):
                return value
            case _:
                self.wrong(key, "must be true or false")
                return False

    def numbers(self, key: str, default: tuple[int, ...] = (), *, most: int) -> tuple[int, ...]:
        value = self._table.pop(key, default)
        if isinstance(value, list | tuple) and all(type(entry) is int and 0 <= entry <= most for entry in value):
            return tuple(value)
        self.wrong(key, f"must be a list of numbers from 0 to {most}")
        return default

    def texts(
        self, key: str, default: tuple[str, ...] = (), *, check: Callable[[str], object] = str
    ) -> tuple[str, ...]:
        value = self._table.pop(key, default)
        if not isinstance(value, list | tuple) or not all(isinstance(entry, str) for entry in value):
            self.wrong(key, "must be a list of strings")
            return default
        for entry in value:
            try:
                check(entry)
            except ValueError as error:
                self.wrong(key, f"{entry!r}: {error}")
                return default
        return tuple(value)

    def commands(self, key: str) -> tuple[Command, ...]:
        return tuple(Command(line) for line in self.texts(key, check=Command))

    def command(self, key: str) -> Command | None:
        return Command(line) if (line := self.text(key, "", check=_command)) else None

    def settings(self, key: str) -> tuple[tuple[int, ...], ...]:
        value = self._table.pop(key, None)
        good = isinstance(value, list | tuple) and all(
            isinstance(entry, list | tuple)
            and 1 <= len(entry) <= 5
            and all(type(number) is int and 0 <= number <= 3 for number in entry)
            for entry in value
        )
        if not good or not isinstance(value, list | tuple):
            self.wrong(key, "must be a list of lists of one to five numbers from 0 to 3")
            return ()
        return tuple(tuple(entry) for entry in value)

    def codes(self, key: str) -> Mapping[int, tuple[RetryClass, str]]:
        value = self._table.pop(key, {})
        try:
            rows = dict(value) if isinstance(value, dict) else {"": ("", "")}
            return vendor_codes({number: (retry, text) for number, (retry, text) in rows.items()})
        except (TypeError, ValueError):
            self.wrong(key, 'must be lines as 513 = ["retry_later", "words"]')
            return {}

    def table(self, key: str) -> _Table:
        value = self._table.pop(key, {})
        if not isinstance(value, dict):
            self.wrong(key, "must be a table")
            value = {}
        return _Table(value, f"{self._path}{key}.", self._errors)

    def tables(self, key: str) -> list[_Table]:
        value = self._table.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            self.wrong(key, "must be a list of tables")
            return []
        return [_Table(entry, f"{self._path}{key}[{at}].", self._errors) for at, entry in enumerate(value)]

    def end(self) -> None:
        for key in self._table:
            self.wrong(key, "is not known")


def _known_store(name: str) -> None:
    if name not in STORES:
        raise ValueError(f"no storage; one of {', '.join(STORES)}")


def _not_empty(text: str) -> None:
    if not text.strip():
        raise ValueError("is empty: it would match every line")


def _command(text: str) -> None:
    if text:
        Command(text)


def _regular_expression(text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from error


def _usb_id(text: str) -> None:
    if re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{4}", text) is None:
        raise ValueError("is no USB id as 2c7c:0125")


def _interface_class(text: str) -> None:
    if re.fullmatch(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{2}", text) is None:
        raise ValueError("is no class/subclass/protocol as ff/01/02")


def _counter(text: str) -> None:
    if text not in PIN_COUNTERS:
        raise ValueError(f"is no counter of tries; one of {', '.join(PIN_COUNTERS)}")


GENERIC: Final = "generic"
"""The profile of a modem of which nothing is known; what the others leave away is as there."""

_SUFFIX: Final = ".toml"
_INHERITED: Final = ("ports", "bringup", "sim", "sms", "ussd", "power")


def _folder() -> Traversable:
    return files("appliance.modem").joinpath("profiles")


@cache
def _generic_text() -> str:
    return _folder().joinpath(GENERIC + _SUFFIX).read_text(encoding="utf-8")


def parse(text: str, source: str) -> Profile:
    """Read a profile from TOML; ``source`` names it in errors.

    Raises:
        SettingsError: every wrong key, one a line.
    """
    try:
        top = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{source}: {error}") from error
    defaults = tomllib.loads(_generic_text())
    for name in _INHERITED:
        own = top.get(name, {})
        top[name] = {**defaults[name], **own} if isinstance(own, dict) else own
    errors: list[str] = []
    root = _Table(top, "", errors)
    profile = Profile(
        name=root.text("name"),
        match=_match(root.table("match")),
        ports=_ports(root.table("ports")),
        bringup=_bringup(root.table("bringup")),
        sim=_sim(root.table("sim")),
        sms=_sms(root.table("sms")),
        ussd=_ussd(root.table("ussd")),
        power=_power(root.table("power")),
        quirks=frozenset(Quirk(quirk) for quirk in root.texts("quirks", check=Quirk)),
        evidence=root.texts("evidence"),
    )
    root.end()
    if errors:
        raise SettingsError("\n".join(f"{source}: {error}" for error in errors))
    return profile


def _match(table: _Table) -> Match:
    match = Match(
        manufacturer=table.text("manufacturer", check=_regular_expression),
        model=table.text("model", check=_regular_expression),
        rank=int(table.number("rank", 1, least=0, most=100)),
    )
    table.end()
    return match


def _ports(table: _Table) -> Ports:
    ports = Ports(
        usb=tuple(_usb(entry) for entry in table.tables("usb")),
        at_class=table.texts("at_class", check=_interface_class),
        storage=table.texts("storage", check=_usb_id),
        router=table.texts("router", check=_usb_id),
        baud=table.numbers("baud", most=4_000_000),
    )
    ids = [*(usb.id for usb in ports.usb), *ports.storage, *ports.router]
    if not ports.baud:
        table.wrong("baud", "is empty")
    for twice in sorted({id_ for id_ in ids if ids.count(id_) > 1}):
        table.wrong("usb", f"{twice!r} is there twice")
    table.end()
    return ports


def _usb(table: _Table) -> UsbId:
    usb = UsbId(
        id=table.text("id", check=_usb_id), at=table.numbers("at", most=31), model=table.text("model", default="")
    )
    table.end()
    return usb


def _bringup(table: _Table) -> Bringup:
    bringup = Bringup(
        boot_urcs=table.texts("boot_urcs", check=_not_empty),
        ready_urcs=table.texts("ready_urcs", check=_not_empty),
        plain_urcs=table.texts("plain_urcs", check=_not_empty),
        init=table.commands("init"),
        boot_time=table.number("boot_time", least=1, most=180),
    )
    table.end()
    return bringup


def _sim(table: _Table) -> SimFacts:
    sim = SimFacts(tries=table.text("tries", check=_counter), iccid=table.texts("iccid", check=Command))
    table.end()
    return sim


def _sms(table: _Table) -> Sms:
    sms = Sms(
        service=int(table.number("service", least=0, most=1)),
        stores=table.texts("stores", check=_known_store),
        cnmi=table.settings("cnmi"),
        cnmi_direct=table.settings("cnmi_direct"),
        prompt_timeout=table.number("prompt_timeout", least=1, most=60),
        submit_deadline=table.number("submit_deadline", least=10, most=600),
        bearers=table.commands("bearers"),
        cms=table.codes("cms"),
    )
    table.end()
    return sms


def _ussd(table: _Table) -> Ussd:
    ussd = Ussd(packed=table.flag("packed"), dcs=int(table.number("dcs", least=0, most=255)))
    table.end()
    return ussd


def _power(table: _Table) -> PowerCommands:
    resets = table.commands("resets")
    radio = table.commands("radio")
    off = table.command("off")
    if len(radio) != 2:
        table.wrong("radio", "must be two commands: off and on")
        radio = (Command("AT+CFUN=4"), Command("AT+CFUN=1"))
    power = PowerCommands(
        resets=resets, radio=(radio[0], radio[1]), off=off, off_urcs=table.texts("off_urcs", check=_not_empty)
    )
    table.end()
    return power


@cache
def shipped() -> tuple[Profile, ...]:
    """Every profile that comes with modemhub, by name.

    Raises:
        SettingsError: a file is wrong, or two have one name, or a name is not its file's.
    """
    profiles = []
    for file in sorted(_folder().iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(_SUFFIX):
            profile = parse(file.read_text(encoding="utf-8"), file.name)
            if profile.name + _SUFFIX != file.name:
                raise SettingsError(f"{file.name}: name: is {profile.name!r}")
            profiles.append(profile)
    return tuple(profiles)


def generic() -> Profile:
    """The profile for a modem of which nothing is known."""
    return parse(_generic_text(), GENERIC + _SUFFIX)


# ---------------------------------------------------------------------------------------------- which profile


def choose(profiles: Iterable[Profile], manufacturer: str | None, model: str | None) -> Profile:
    """The profile of a modem that answers so to AT+CGMI and AT+CGMM; None: it does not answer.

    Raises:
        SettingsError: two profiles of the highest rank match, or none does.
    """
    fitting = [profile for profile in profiles if profile.match.fits(manufacturer or "", model or "")]
    highest = max((profile.match.rank for profile in fitting), default=0)
    best = [profile for profile in fitting if profile.match.rank == highest]
    if len(best) != 1:
        names = ", ".join(profile.name for profile in best) or "none"
        raise SettingsError(f"profiles for {manufacturer!r}, {model!r}: {names}; exactly one has to match")
    return best[0]


def for_usb(profiles: Iterable[Profile], usb_id: str) -> tuple[Profile, ...]:
    """Every family that has a modem with this USB id."""
    return tuple(profile for profile in profiles if any(usb.id == usb_id for usb in profile.ports.usb))


def at_interfaces(profiles: Iterable[Profile], usb_id: str, interfaces: Mapping[int, str]) -> tuple[int, ...]:
    """Which interfaces of a USB device speak AT, the preferred one first; empty: not known, each is to be asked.

    Args:
        profiles: all of them.
        usb_id: ``12d1:1506``.
        interfaces: number of each interface that is there, and its class as ``ff/01/02``.

    A family's class rule goes before its numbers, which are for devices where the rule finds nothing: Huawei's ids are
    many layouts, and what an interface says itself is nearer the truth than a table. What several families that share
    an id say is put one after the other.
    """
    found: list[int] = []
    for family in for_usb(profiles, usb_id):
        by_class = [
            number
            for wanted in family.ports.at_class
            for number, said in sorted(interfaces.items())
            if said.lower() == wanted
        ]
        by_number = [number for usb in family.ports.usb if usb.id == usb_id for number in usb.at]
        found += by_class or [number for number in by_number if number in interfaces]
    return tuple(dict.fromkeys(found))


def role_of(profiles: Iterable[Profile], usb_id: str) -> Role | None:
    """What a USB device is by its id; None: no profile knows it. A mode with AT ports goes before the others."""
    every = tuple(profiles)
    if for_usb(every, usb_id):
        return "modem"
    if any(usb_id in profile.ports.storage for profile in every):
        return "storage"
    if any(usb_id in profile.ports.router for profile in every):
        return "router"
    return None
