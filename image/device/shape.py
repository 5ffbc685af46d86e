"""PURE. The device's own settings as the rest of the tool reads them, and their defaults.

What is kept on /data was right when it was taken, maybe by the version in the other slot: so reading forgives. A key
that is not known here, or a value of another kind, is passed over. What may stand in the file is told by ``settings``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

__all__ = ["SECTIONS", "Account", "Broker", "Device", "Network", "System", "Token", "Update", "Wifi", "table"]


def table(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The section of this name; empty, where there is none or it is something else."""
    found = content.get(name)
    return found if isinstance(found, Mapping) else {}


class _Section:
    """Reads itself off a table."""

    @classmethod
    def of(cls, section: Any) -> Self:
        """What is known of ``section``; a default wherever it says nothing that can be used."""
        if not isinstance(section, Mapping):
            return cls()
        known: dict[str, Any] = {}
        for each in fields(cls):  # type: ignore[arg-type] # every section is a dataclass
            value = section.get(each.name)
            if each.type == "tuple[str, ...]":
                if isinstance(value, str):
                    known[each.name] = (value,)
                elif isinstance(value, list | tuple):
                    known[each.name] = tuple(str(one) for one in value)
            elif isinstance(value, bool if each.type == "bool" else str):
                known[each.name] = value
        return cls(**known)


@dataclass(frozen=True, slots=True)
class System(_Section):
    """``[system]``."""

    hostname: str = "modemhub"
    timezone: str = "UTC"
    ssh_keys: tuple[str, ...] = ()
    ntp: tuple[str, ...] = ()
    reset_jumper: bool = True


@dataclass(frozen=True, slots=True)
class Wifi(_Section):
    """``[wifi]``; no ssid: no Wi-Fi."""

    ssid: str = ""
    password: str = ""
    country: str = ""
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Network(_Section):
    """``[network]``; no address: DHCP."""

    address: str = ""
    gateway: str = ""
    dns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Account(_Section):
    """``[broker.accounts.NAME]``."""

    password: str = ""
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Broker:
    """``[broker]``; ``enabled`` None: nothing was said."""

    enabled: bool | None = None
    accounts: Mapping[str, Account] = field(default_factory=dict)

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> Self:
        """As ``_Section.of``."""
        enabled = section.get("enabled")
        accounts = sorted(table(section, "accounts").items())
        return cls(enabled if isinstance(enabled, bool) else None, {name: Account.of(each) for name, each in accounts})


@dataclass(frozen=True, slots=True)
class Token(_Section):
    """``[tokens.NAME]``; the token as its digest, ``sha256:`` and 64 hexadecimal digits."""

    token: str = ""
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Update(_Section):
    """``[update]``; no url: nobody is asked."""

    url: str = ""
    automatic: bool = True
    window: str = "03:00-05:00"


@dataclass(frozen=True, slots=True)
class Device:
    """All of them."""

    system: System = field(default_factory=System)
    wifi: Wifi = field(default_factory=Wifi)
    network: Network = field(default_factory=Network)
    broker: Broker = field(default_factory=Broker)
    tokens: Mapping[str, Token] = field(default_factory=dict)
    update: Update = field(default_factory=Update)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """The device's part of the whole file."""
        return cls(
            System.of(table(content, "system")),
            Wifi.of(table(content, "wifi")),
            Network.of(table(content, "network")),
            Broker.of(table(content, "broker")),
            {name: Token.of(each) for name, each in sorted(table(content, "tokens").items())},
            Update.of(table(content, "update")),
        )


SECTIONS = tuple(each.name for each in fields(Device))
"""The sections that are the device's; all others are the hub's."""
