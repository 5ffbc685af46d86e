"""PURE. From settings, secrets and facts to every file that is derived below /run.

Both slots derive their own at each boot; nothing of this is kept. What is secret stands in files of mode 0600, or in
the credential store, which only systemd reads: it gives each service its own. Who else must read a secret, and how, is
told by the file's owner here, and nowhere else.

The ports that the firewall opens (``ports``) follow from the settings alone, and from whether somebody owns the hub:
the broker is not reached from outside before that.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

from .shape import SECTIONS, Device, table
from .text import toml

__all__ = ["FIREWALL", "SERVICES", "Facts", "File", "broker_runs", "console_url", "merged", "plan", "ports"]

RUN: Final = "/run/modemhub-device"
CREDSTORE: Final = "/run/credstore"
BROKER: Final = "/data/device/broker"
FIREWALL: Final = "/run/nftables.conf"
SERVICES: Final = "/run/systemd/dnssd"
SSH_PORT: Final = 22
BROKER_PORT: Final = 8883
CLAIM_AT: Final = "the file CLAIM.txt on the card"
LISTEN: Final = "[::]:8080"  # and every IPv4 address; the firewall says who gets there
LOCAL_BROKER: Final = "mqtt://127.0.0.1:1883"
HUB_ACCOUNT: Final = "modemhub"
MODEM_DRIVERS: Final = "cdc_ether cdc_eem cdc_ncm cdc_mbim cdc_subset huawei_cdc_ncm qmi_wwan rndis_host sierra_net hso"
"""The network interfaces of modems are not this network: no address is asked for there, and nothing goes that way."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the settings do not say.

    Attributes:
        claimed: somebody owns the hub.
        host_keys: there are keys for the SSH server.
        broker_password: of the hub's account at the broker on the device; None: it has none, so it does not run.
        adopted: the tokens that the hub got already, as digests and scopes by name.
    """

    claimed: bool = False
    host_keys: bool = True
    broker_password: str | None = None
    adopted: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class File:
    """One file, or with ``link`` a symbolic link."""

    path: PurePosixPath
    content: bytes = b""
    mode: int = 0o644
    owner: str = "root:root"
    link: str | None = None


def merged(settings: Mapping[str, Any], secrets: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with their secrets in their places; a secret whose section is gone is passed over."""
    whole: dict[str, Any] = dict(settings)
    for key, value in secrets.items():
        if not isinstance(value, Mapping):
            whole[key] = value
        elif isinstance(settings.get(key), Mapping):
            whole[key] = merged(settings[key], value)
    return whole


def plan(settings: Mapping[str, Any], secrets: Mapping[str, Any], facts: Facts) -> tuple[File, ...]:
    """Every file, by path."""
    device = Device.of(merged(settings, secrets))
    files = [
        *_hub(settings, secrets, device, facts),
        *_network(device),
        *_firewall(settings, device, facts),
        *_names(settings, device, facts),
        *_time(device),
        *_ssh(device, facts),
        *_mosquitto(settings, device, facts),
        *_tokens(device, facts),
    ]
    return tuple(sorted(files, key=lambda each: each.path))


def _file(path: str, text: str, mode: int = 0o644, owner: str = "root:root") -> File:
    return File(PurePosixPath(path), text.encode(), mode, owner)


# ---------------------------------------------------------------- the hub


def broker_runs(settings: Mapping[str, Any], device: Device) -> bool:
    """Whether the broker on the device is wanted: as it is said, else where the hub has no other one."""
    enabled = device.broker.enabled
    return _own_url(settings) is None if enabled is None else enabled


def _own_url(settings: Mapping[str, Any]) -> str | None:
    url = table(settings, "mqtt").get("url")
    return url if isinstance(url, str) else None


def hub_settings(settings: Mapping[str, Any], device: Device, facts: Facts) -> dict[str, Any]:
    """The hub's part, without secrets, with the defaults of the device."""
    hub: dict[str, Any] = {name: value for name, value in settings.items() if name not in SECTIONS}
    http = {"listen": LISTEN, "claim_at": CLAIM_AT, **table(hub, "http")}
    if "cert" not in http:
        http.setdefault("tls", True)
    hub["http"] = http
    if _own_url(settings) is None and broker_runs(settings, device) and facts.broker_password is not None:
        hub["mqtt"] = {**table(hub, "mqtt"), "url": LOCAL_BROKER, "username": HUB_ACCOUNT}
    url = console_url(settings, device)
    if url is not None:
        hub["homeassistant"] = {"configuration_url": url, **table(hub, "homeassistant")}
    return hub


def console_url(settings: Mapping[str, Any], device: Device) -> str | None:
    """Where a browser in this network finds the hub; None: nowhere."""
    port = _http(settings)
    scheme = "https" if _is_https(settings) else "http"
    return None if port is None else f"{scheme}://{device.system.hostname}.local:{port}"


def _is_https(settings: Mapping[str, Any]) -> bool:
    http = table(settings, "http")
    return "cert" in http or bool(http.get("tls", True))


def _hub(settings: Mapping[str, Any], secrets: Mapping[str, Any], device: Device, facts: Facts) -> Iterator[File]:
    hub = hub_settings(settings, device, facts)
    yield _file(f"{RUN}/modemhub.toml", toml(hub), 0o640, "root:modemhub")
    whole = merged(hub, {name: value for name, value in secrets.items() if name not in SECTIONS})
    if _own_url(settings) is None and "url" in table(hub, "mqtt") and facts.broker_password is not None:
        whole = {**whole, "mqtt": {**hub["mqtt"], "password": facts.broker_password}}
    for path, value in _leaves(whole):
        if _at(hub, path) is None:
            yield _file(f"{CREDSTORE}/{'__'.join(path)}", value, 0o600)


def _leaves(content: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        elif isinstance(value, str):
            yield (*path, key), value


def _at(content: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        if not isinstance(content, Mapping) or step not in content:
            return None
        content = content[step]
    return content


def _tokens(device: Device, facts: Facts) -> Iterator[File]:
    wanted = {
        name: {"digest": each.token.removeprefix("sha256:"), "scopes": sorted(each.scopes)}
        for name, each in device.tokens.items()
        if each.token and each.scopes
    }
    if wanted != facts.adopted:  # as it takes a small Pi seconds, before the hub may start
        yield _file(f"{RUN}/tokens.json", json.dumps(wanted, indent=1) + "\n", 0o640, "root:modemhub")


# ---------------------------------------------------------------- network

_LINK = """\
[Network]
MulticastDNS=yes
LLMNR=no
LinkLocalAddressing=yes
IPv6AcceptRA=yes
{how}
[DHCPv4]
ClientIdentifier=mac
UseHostname=no
RouteMetric={metric}

[DHCPv6]
DUIDType=link-layer
UseHostname=no

[IPv6AcceptRA]
RouteMetric={metric}
"""


def _network(device: Device) -> Iterator[File]:
    fixed = device.network
    lines = [f"DNS={server}\n" for server in fixed.dns]
    dhcp = "".join(["DHCP=yes\n", *lines])
    static = dhcp
    if fixed.address:
        route = [f"Gateway={fixed.gateway}\n"] if fixed.gateway else []
        static = "".join([f"Address={fixed.address}\n", *route, *lines])
    wireless = bool(device.wifi.ssid)
    yield _file(
        "/run/systemd/network/10-modemhub-modems.network",
        f"# Modems' network interfaces are left alone.\n[Match]\nDriver={MODEM_DRIVERS}\n\n[Link]\nUnmanaged=yes\n",
    )
    wired = _LINK.format(how=dhcp if wireless else static, metric=100)
    yield _file("/run/systemd/network/20-modemhub-wired.network", f"[Match]\nType=ether\n\n{wired}")
    if wireless:
        how = _LINK.format(how=static, metric=600)
        yield _file("/run/systemd/network/30-modemhub-wireless.network", f"[Match]\nType=wlan\n\n{how}")
        yield _file("/run/wpa_supplicant/wpa_supplicant-wlan0.conf", _wpa(device), 0o600)


def _wpa(device: Device) -> str:
    wifi = device.wifi
    if not wifi.password:
        keys = ["key_mgmt=NONE"]
    elif '"' in wifi.password:
        # wpa_supplicant takes the rest of such a line for a comment, so it gets the key (IEEE 802.11 J.4.1).
        key = hashlib.pbkdf2_hmac("sha1", wifi.password.encode(), wifi.ssid.encode(), 4096, 32)
        keys = ["key_mgmt=WPA-PSK WPA-PSK-SHA256", f"psk={key.hex()}", "ieee80211w=1"]
    elif re.fullmatch("[0-9A-Fa-f]{64}", wifi.password):
        keys = ["key_mgmt=WPA-PSK WPA-PSK-SHA256", f"psk={wifi.password}", "ieee80211w=1"]
    else:
        keys = ["key_mgmt=WPA-PSK WPA-PSK-SHA256 SAE", f'psk="{wifi.password}"', "ieee80211w=1"]
    lines = [
        # hexadecimal: a name may hold any octet
        f"ssid={wifi.ssid.encode().hex()}",
        *(["scan_ssid=1"] if wifi.hidden else []),
        *keys,
    ]
    country = f"country={wifi.country}\n" if wifi.country else ""
    return (
        f"ctrl_interface=/run/wpa_supplicant\n{country}network={{\n" + "".join(f"\t{line}\n" for line in lines) + "}\n"
    )


# ---------------------------------------------------------------- the firewall


def _http(settings: Mapping[str, Any]) -> int | None:
    """The port on which the hub is reached over the network."""
    listen = table(settings, "http").get("listen", LISTEN)
    if not isinstance(listen, str) or listen == "off":
        return None
    try:
        parts = urlsplit(f"//{listen}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if host == "localhost":
        return None
    try:
        if ipaddress.ip_address(host).is_loopback:
            return None
    except ValueError:
        pass
    return port or None


def ports(settings: Mapping[str, Any], device: Device, facts: Facts) -> tuple[int, ...]:
    """The TCP ports that are open to the network."""
    http = _http(settings)
    ssh = bool(device.system.ssh_keys) and facts.host_keys
    broker = broker_runs(settings, device) and facts.broker_password is not None and facts.claimed
    wanted = {*([http] if http else []), *([SSH_PORT] if ssh else []), *([BROKER_PORT] if broker else [])}
    return tuple(sorted(wanted))


def _firewall(settings: Mapping[str, Any], device: Device, facts: Facts) -> Iterator[File]:
    opened = ", ".join(str(port) for port in ports(settings, device, facts))
    tcp = f"\t\ttcp dport {{ {opened} }} accept\n" if opened else ""
    yield _file(
        FIREWALL,
        f"""\
flush ruleset
table inet modemhub {{
	chain input {{
		type filter hook input priority filter; policy drop;
		iif "lo" accept
		ct state established,related accept
		meta l4proto {{ icmp, ipv6-icmp, igmp }} accept
		udp sport 67 udp dport 68 accept
		udp sport 547 udp dport 546 accept
		udp dport 5353 accept
{tcp}\t}}
	chain forward {{
		type filter hook forward priority filter; policy drop;
	}}
}}
""",
    )


# ---------------------------------------------------------------- names, time


def _names(settings: Mapping[str, Any], device: Device, facts: Facts) -> Iterator[File]:
    opened = ports(settings, device, facts)
    console = _http(settings)
    if console is not None:
        yield _service("modemhub", "_modemhub._tcp", console, f"path=/ tls={int(_is_https(settings))}")
    if BROKER_PORT in opened:
        yield _service("mqtt", "_mqtt._tcp", BROKER_PORT, "tls=1")
        yield _service("secure-mqtt", "_secure-mqtt._tcp", BROKER_PORT, "tls=1")


def _service(name: str, kind: str, port: int, words: str) -> File:
    return _file(f"{SERVICES}/{name}.dnssd", f"[Service]\nName=%H\nType={kind}\nPort={port}\nTxtText={words}\n")


def _time(device: Device) -> Iterator[File]:
    zone = PurePosixPath("/usr/share/zoneinfo") / device.system.timezone
    yield File(PurePosixPath("/run/localtime"), link=str(zone))
    if device.system.ntp:
        servers = " ".join(device.system.ntp)
        yield _file("/run/systemd/timesyncd.conf.d/modemhub.conf", f"[Time]\nNTP={servers}\n")


# ---------------------------------------------------------------- SSH, the broker


def _ssh(device: Device, facts: Facts) -> Iterator[File]:
    if device.system.ssh_keys and facts.host_keys:
        keys = "".join(f"{key}\n" for key in device.system.ssh_keys)
        yield _file("/run/ssh/authorized_keys", keys, 0o600)


def _mosquitto(settings: Mapping[str, Any], device: Device, facts: Facts) -> Iterator[File]:
    if broker_runs(settings, device) and facts.broker_password is not None:
        yield _file(
            f"{RUN}/mosquitto.conf",
            "persistence true\npersistence_location /var/lib/mosquitto/\nlog_dest stderr\n"
            f"include_dir {BROKER}/conf.d\n",
        )
