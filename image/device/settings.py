"""PURE. What may stand in the settings file: the device's sections here, all others as the hub has them.

``check`` tells everything that is wrong at once, each with its line and with the nearest key that there is, of both
sets. No value of the file is repeated: it may be a password.

A secret is whatever a model calls ``SecretStr``. When the file was taken, :data:`KEPT` stands in its place: it means
what is kept on the device. It is put back before the check, so that the whole is checked every time.
"""

from __future__ import annotations

import difflib
import hashlib
import ipaddress
import re
import zoneinfo
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Annotated, Any, Final, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from appliance.settings import Settings as Hub

from .shape import SECTIONS, table
from .text import line_of
from .window import WINDOW

__all__ = ["KEPT", "Wrong", "check", "filled", "secret_paths", "split"]

KEPT: Final = "(kept on the device)"
"""Stands in the file in the place of a secret that was moved to the device."""

STORE: Final = "/var/lib/modemhub/"
TAKEN_PORTS: Final = {22: "SSH", 1883: "the broker", 8883: "the broker"}
LEAST_PORT: Final = 1024
"""The hub has no rights, and so no lower port."""
TOKEN_LENGTH: Final = 24
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")

_HOST = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
_SSH_KEY = re.compile(
    r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com)"
    r" [A-Za-z0-9+/]{40,}={0,3}( [^\n]*)?"
)


class Wrong(Exception):
    """The file is not right; one line for each thing to mend."""

    def __init__(self, complaints: list[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = complaints


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)


class SystemSection(_Section):
    """The machine (``[system]``)."""

    hostname: str | None = None
    """The device's name in the network; it is found as ``<hostname>.local``."""
    timezone: str | None = None
    """As in ``Europe/Vienna``."""
    ssh_keys: list[str] | str | None = None
    """Public keys that may log in as root; none: no SSH."""
    ntp: list[str] | str | None = None
    """Time servers; none: Debian's."""
    reset_jumper: bool | None = None
    """Whether a jumper between pins 39 and 40 can ask for a factory reset."""

    @field_validator("hostname")
    @classmethod
    def _is_name(cls, name: str | None) -> str | None:
        if name is not None and not _HOST.fullmatch(name):
            raise ValueError("1 to 63 letters, digits and -, without .local")
        return name

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, zone: str | None) -> str | None:
        if zone is not None:
            try:
                zoneinfo.ZoneInfo(zone)
            except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
                near = difflib.get_close_matches(zone, zoneinfo.available_timezones(), n=1, cutoff=0.5)
                hint = f'did you mean "{near[0]}"?' if near else 'write it as in "Europe/Vienna"'
                raise ValueError(f"there is no such time zone: {hint}") from None
        return zone

    @field_validator("ssh_keys")
    @classmethod
    def _are_keys(cls, keys: list[str] | str | None) -> list[str] | None:
        listed = [keys] if isinstance(keys, str) else keys
        for number, key in enumerate(listed or [], 1):
            if "PRIVATE KEY" in key:
                raise ValueError(f"key {number} is a private key: give the public one, the line of the file .pub")
            if not _SSH_KEY.fullmatch(key.strip()):
                raise ValueError(f'key {number} is no public SSH key: it is one line, as in "ssh-ed25519 AAAA… me"')
        return None if listed is None else [key.strip() for key in listed]

    @field_validator("ntp")
    @classmethod
    def _are_hosts(cls, hosts: list[str] | str | None) -> list[str] | None:
        listed = [hosts] if isinstance(hosts, str) else hosts
        for host in listed or []:
            if not re.fullmatch(r"[A-Za-z0-9.:-]{1,253}", host):
                raise ValueError("names or addresses of time servers")
        return listed


class WifiSection(_Section):
    """The wireless network (``[wifi]``)."""

    ssid: str
    """Its name."""
    password: SecretStr | None = None
    """None: an open network."""
    country: str | None = None
    """Two letters: which channels may be used."""
    hidden: bool | None = None
    """Whether the network does not tell its name."""

    @field_validator("ssid")
    @classmethod
    def _is_ssid(cls, ssid: str) -> str:
        if not 1 <= len(ssid.encode()) <= 32:
            raise ValueError("1 to 32 octets")
        return ssid

    @field_validator("password")
    @classmethod
    def _is_password(cls, password: SecretStr | None) -> SecretStr | None:
        if password is not None:
            text = password.get_secret_value()
            if not re.fullmatch(r"[ -~]{8,63}|[0-9A-Fa-f]{64}", text):
                raise ValueError("8 to 63 characters of ASCII, or 64 hexadecimal digits")
        return password

    @field_validator("country")
    @classmethod
    def _is_country(cls, country: str | None) -> str | None:
        if country is not None and not re.fullmatch(r"[A-Za-z]{2}", country):
            raise ValueError('two letters, as in "AT"')
        return None if country is None else country.upper()


class NetworkSection(_Section):
    """A fixed address (``[network]``); without it the router gives one."""

    address: str | None = None
    """With the length of the network, as in ``192.168.1.5/24``."""
    gateway: str | None = None
    """The router."""
    dns: list[str] | str | None = None
    """Name servers."""

    @field_validator("address")
    @classmethod
    def _is_interface(cls, address: str | None) -> str | None:
        if address is not None:
            try:
                found = ipaddress.ip_interface(address)
            except ValueError:
                raise ValueError('write it as in "192.168.1.5/24"') from None
            if "/" not in address:
                raise ValueError(f'the length of the network is missing, as in "{address}/24"')
            if found.ip == found.network.network_address and found.network.prefixlen < found.max_prefixlen - 1:
                raise ValueError("this is the network's own address: the device needs one in it")
        return address

    @field_validator("gateway")
    @classmethod
    def _is_address(cls, address: str | None) -> str | None:
        if address is not None:
            try:
                ipaddress.ip_address(address)
            except ValueError:
                raise ValueError('write it as in "192.168.1.1"') from None
        return address

    @field_validator("dns")
    @classmethod
    def _are_addresses(cls, servers: list[str] | str | None) -> list[str] | None:
        listed = [servers] if isinstance(servers, str) else servers
        for server in listed or []:
            try:
                ipaddress.ip_address(server)
            except ValueError:
                raise ValueError('addresses, as in ["192.168.1.1"]') from None
        return listed

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.gateway is not None and self.address is None:
            raise ValueError("gateway needs address")
        if self.gateway is not None and self.address is not None:
            network = ipaddress.ip_interface(self.address).network
            gateway = ipaddress.ip_address(self.gateway)
            if gateway not in network and not gateway.is_link_local:
                raise ValueError(f"gateway is not in the network of address ({network})")
        return self


class AccountSection(_Section):
    """Somebody who may speak to the broker (``[broker.accounts.NAME]``)."""

    password: SecretStr
    """12 characters or more."""
    roles: Annotated[list[Literal["send", "inbox", "status", "control", "homeassistant"]], Field(min_length=1)]
    """What it may do."""

    @field_validator("password")
    @classmethod
    def _is_password(cls, password: SecretStr) -> SecretStr:
        text = password.get_secret_value()
        if len(text) < 12 or text != text.strip() or not text.isprintable():
            raise ValueError("12 characters or more, without space at its ends")
        return password


class BrokerSection(_Section):
    """The broker on the device (``[broker]``)."""

    enabled: bool | None = None
    """Not said: it runs unless ``mqtt.url`` names another one."""
    accounts: dict[str, AccountSection] = {}

    @field_validator("accounts")
    @classmethod
    def _have_names(cls, accounts: dict[str, AccountSection]) -> dict[str, AccountSection]:
        for name in accounts:
            if name in {"admin", "modemhub"} or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
                raise ValueError(
                    f'an account cannot be named "{name}": letters, digits and . _ - (admin and modemhub are taken)'
                )
        return accounts


class TokenSection(_Section):
    """A token of one's own choice (``[tokens.NAME]``)."""

    token: SecretStr
    """24 characters or more, as nobody guesses them; or its digest, ``sha256:<64 hexadecimal digits>``."""
    scopes: Annotated[list[Literal["send", "inbox", "status", "control", "admin"]], Field(min_length=1)]
    """What it may do."""

    @field_validator("token")
    @classmethod
    def _is_token(cls, token: SecretStr) -> SecretStr:
        text = token.get_secret_value()
        if len(text) < TOKEN_LENGTH or not re.fullmatch(r"[!-~]+", text) or len(set(text)) < 8:
            raise ValueError(f"{TOKEN_LENGTH} characters of ASCII or more without spaces, at random")
        if text.startswith("sha256:") and not DIGEST.fullmatch(text):
            raise ValueError("after sha256: there are 64 hexadecimal digits, in small letters")
        return token


class UpdateSection(_Section):
    """Newer versions of the whole (``[update]``)."""

    url: str | None = None
    """What is asked for newer versions; absent: nobody."""
    automatic: bool | None = None
    """Install them without being told to."""
    window: str | None = None
    """When, by the clock of ``system.timezone``, as in ``03:00-05:00``."""

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        if url is not None and not re.fullmatch(r"https://[^\s/]+/\S*", url):
            raise ValueError('write it as in "https://example.com/modemhub.json"')
        return url

    @field_validator("window")
    @classmethod
    def _is_window(cls, window: str | None) -> str | None:
        if window is not None and not WINDOW.fullmatch(window):
            raise ValueError('write it as in "03:00-05:00"')
        return window


class DeviceFile(_Section):
    """The device's sections."""

    system: SystemSection = SystemSection()
    wifi: WifiSection | None = None
    network: NetworkSection = NetworkSection()
    broker: BrokerSection = BrokerSection()
    tokens: dict[str, TokenSection] = {}
    update: UpdateSection = UpdateSection()

    @field_validator("tokens")
    @classmethod
    def _have_names(cls, tokens: dict[str, TokenSection]) -> dict[str, TokenSection]:
        for name in tokens:
            if name == "mqtt" or name.startswith("command-line") or not name.isprintable() or not 1 <= len(name) <= 64:
                raise ValueError(f'a token cannot be named "{name}": 1 to 64 printable characters, not the hub\'s own')
        digests = [token_digest(each.token.get_secret_value()) for each in tokens.values()]
        if len(set(digests)) < len(digests):
            raise ValueError("two of them are the same: each needs its own")
        return tokens


def token_digest(token: str) -> str:
    """What is kept of a token: who has it cannot use it."""
    return token if DIGEST.fullmatch(token) else "sha256:" + hashlib.sha256(token.encode()).hexdigest()


# ---------------------------------------------------------------- secrets


def secret_paths(content: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Where ``content`` holds something that a model calls a secret."""
    return [*_secrets(DeviceFile, content, ()), *_secrets(Hub, content, ())]


def _secrets(kind: Any, content: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if kind is SecretStr:
        if path:
            yield path
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        if isinstance(content, Mapping):
            for name, each in kind.model_fields.items():
                if name in content:
                    yield from _secrets(each.annotation, content[name], (*path, name))
    elif get_origin(kind) is dict:
        if isinstance(content, Mapping):
            for name, inner in content.items():
                yield from _secrets(get_args(kind)[1], inner, (*path, str(name)))
    elif get_origin(kind) is Annotated:
        yield from _secrets(get_args(kind)[0], content, path)
    else:
        for inner in get_args(kind):
            if inner is not NoneType and inner is not Ellipsis:
                yield from _secrets(inner, content, path)


def filled(content: Mapping[str, Any], kept: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, ...]]]:
    """``content`` with each :data:`KEPT` replaced by what is kept; and where nothing is."""
    missing: list[tuple[str, ...]] = []

    def fill(table: Mapping[str, Any], known: Any, path: tuple[str, ...]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in table.items():
            below = known.get(key) if isinstance(known, Mapping) else None
            if isinstance(value, Mapping):
                made[key] = fill(value, below, (*path, key))
            elif value == KEPT and isinstance(below, str):
                made[key] = below
            else:
                if value == KEPT:
                    missing.append((*path, key))
                made[key] = value
        return made

    return fill(content, kept, ()), missing


def split(content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of the whole (filled, right) file is no secret, and its secrets; tokens as their digests."""
    paths = set(secret_paths(content))
    secrets: dict[str, Any] = {}

    def strip(table: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in table.items():
            here = (*path, key)
            if here in paths:
                level = secrets
                for step in path:
                    level = level.setdefault(step, {})
                level[key] = token_digest(value) if here[0] == "tokens" else value
            else:
                made[key] = strip(value, here) if isinstance(value, Mapping) else value
        return made

    return strip(content, ()), secrets


# ---------------------------------------------------------------- checking


def check(content: Mapping[str, Any], text: str = "") -> None:
    """Whether the whole file is right.

    Args:
        content: with the secrets.
        text: the file, to tell lines by.

    Raises:
        Wrong: with everything that is not.
    """
    known = [*DeviceFile.model_fields, *Hub.model_fields]
    complaints = [
        _told(text, (name,), f"there is no such section{_nearest(name, known)}")
        for name in content
        if name not in known
    ]
    for model, names in ((DeviceFile, set(SECTIONS)), (Hub, set(Hub.model_fields))):
        part = {name: value for name, value in content.items() if name in names}
        try:
            model(**part)
        except ValidationError as error:
            complaints += [_problem(model, text, each) for each in error.errors()]
    complaints += [_told(text, path, words) for path, words in _on_this_device(content)]
    if complaints:
        raise Wrong(list(dict.fromkeys(complaints)))


def _on_this_device(content: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """What the hub would take elsewhere, and cannot be here."""
    path = table(content, "store").get("path")
    if isinstance(path, str) and not (path.startswith(STORE) and "/" not in path.removeprefix(STORE)):
        yield ("store", "path"), f"on this device it stands in {STORE}: leave this line away"
    listen = table(content, "http").get("listen")
    found = re.search(r":(\d+)$", listen) if isinstance(listen, str) else None
    if found and int(found[1]) in TAKEN_PORTS:
        yield ("http", "listen"), f"port {found[1]} is that of {TAKEN_PORTS[int(found[1])]}: take another one"
    elif found and int(found[1]) < LEAST_PORT:
        yield ("http", "listen"), f"take a port from {LEAST_PORT} on"
    mqtt, broker = table(content, "mqtt"), table(content, "broker")
    if broker.get("enabled") is not False and "url" not in mqtt and ("username" in mqtt or "password" in mqtt):
        yield ("mqtt",), "username and password are for a broker of your own, which mqtt.url names; it is missing"
    if broker.get("enabled") is False and broker.get("accounts"):
        yield ("broker", "accounts"), "there are accounts, and broker.enabled is false: one of the two has to go"


_TYPES = {
    "string_type": 'this has to be text in quotes, as in "…"',
    "missing": "this is missing",
    "bool_type": "this is true or false, without quotes",
    "bool_parsing": "this is true or false, without quotes",
    "model_type": "this is a section of its own: write it as [{place}] with lines below it",
    "model_attributes_type": "this is a section of its own: write it as [{place}] with lines below it",
    "dict_type": "this is a section of its own: write it as [{place}] with lines below it",
    "list_type": 'this is a list: put it into [ ], as in ["…"]',
}


def _problem(model: type[BaseModel], text: str, problem: Any) -> str:
    *above, last = place = _only_keys(model, problem["loc"])
    if problem["type"] == "extra_forbidden":
        return _told(text, tuple(place), f"there is no such setting{_nearest(str(last), _known(model, above))}")
    dotted = ".".join(str(step) for step in place)
    words = _TYPES.get(problem["type"], problem["msg"].removeprefix("Value error, ")).replace("{place}", dotted)
    return _told(text, tuple(place), words)


def _only_keys(model: type[BaseModel], location: tuple[Any, ...]) -> list[Any]:
    """Pydantic's place without the branches of a union that it tried."""
    steps = list(location)
    while len(steps) > 1 and isinstance(steps[-1], str) and re.fullmatch(r"str|list\[.*\]|function-.*", steps[-1]):
        if steps[-1] in _known(model, steps[:-1]):
            break
        steps.pop()
    if len(steps) > 3 and isinstance(steps[-1], int) and str(steps[-2]).startswith("list["):
        del steps[-2:]
    return steps


def _told(text: str, path: tuple[Any, ...], words: str) -> str:
    line = line_of(text, path)
    dotted = ".".join(f'"{step}"' if re.search(r"[.\s]", str(step)) else str(step) for step in path)
    return f"{f'line {line}: ' if line else ''}{dotted}: {words}"


def _nearest(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f': did you mean "{near[0]}"?' if near else f" (there are: {', '.join(sorted(known))})"


def _known(model: type[BaseModel], location: list[Any]) -> list[str]:
    """The keys of the section at ``location``."""
    kind: Any = model
    for step in location:
        kind = _below(kind, step)
    found = _model(kind)
    return [] if found is None else list(found.model_fields)


def _below(kind: Any, step: Any) -> Any:
    """What the annotation says of ``step`` below it."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.model_fields[step].annotation if step in kind.model_fields else None
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    if get_origin(kind) in {list, tuple}:
        return get_args(kind)[0]
    return next((found for inner in get_args(kind) if (found := _below(inner, step)) is not None), None)


def _model(kind: Any) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    if get_origin(kind) in {dict, list}:
        return None
    return next((found for inner in get_args(kind) if (found := _model(inner)) is not None), None)
