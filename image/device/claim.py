"""The verb ``claim``: the hub's ``CLAIM.txt`` for whoever has the card, or looks at the screen.

Run whenever the hub's file comes, changes or goes. While the hub has no owner, the card has ``CLAIM.txt`` with token,
fingerprint and every address of the console; once it has one, that file goes, and the broker's port is opened. Who has
the card in hand is the owner: that is the rule of the device.
"""

from __future__ import annotations

import json
import logging
import re
import time
from typing import TYPE_CHECKING, Any, Final

from .boot import CLAIM, refresh
from .fat import Fat
from .kept import Kept
from .plan import FIREWALL, SERVICES, console_url, merged
from .rim import Command, Failed, read, run
from .shape import Device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .place import Place

__all__ = ["addresses", "claim"]

log = logging.getLogger(__name__)

PATIENCE: Final = 30.0
"""Seconds that the network is given to have an address, so that the card's file can name it."""
STEP: Final = 1.0

_TOKEN = re.compile(r"^mhc_[A-Za-z0-9_-]{32}$", re.MULTILINE)
_FINGERPRINT = re.compile(r"^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$", re.MULTILINE | re.IGNORECASE)


def claim(
    place: Place,
    *,
    command: Command = run,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Bring card and firewall to what the hub says now; exit code."""
    fat = Fat(place, command=command)
    try:
        apply(refresh(place), command)
    except Failed as failed:
        log.error("%s", failed)  # noqa: TRY400 - nothing to trace
    found = read(place.hub_claim)
    if found is None:
        fat.remove(CLAIM)
        return 0
    kept = Kept.read(place)
    device = Device.of(merged(kept.settings, kept.secrets))
    until = clock() + PATIENCE
    while not (hosts := addresses(command)) and clock() < until:
        sleep(STEP)
    url = console_url(kept.settings, device)
    text = told(found.decode("utf-8", "replace"), url, hosts)
    fat.write(CLAIM, text.replace("\n", "\r\n").encode("utf-8-sig"))
    _show(place.at("/dev/tty1"), text)
    return 0


def apply(changed: set[Path], command: Command) -> None:
    """Have the running services follow what was written."""
    names = {str(path) for path in changed}
    if FIREWALL in names:
        command(["nft", "-f", FIREWALL])
    if any(name.startswith(f"{SERVICES}/") for name in names):
        command(["systemctl", "try-reload-or-restart", "systemd-resolved.service"])


def addresses(command: Command) -> list[str]:
    """The addresses by which this device is reached: IPv4 first, none that only a link knows."""
    try:
        links: list[dict[str, Any]] = json.loads(command(["ip", "-json", "address", "show", "up"]))
    except (Failed, ValueError):
        return []
    found = [
        (each["family"] != "inet", each["local"])
        for link in links
        if link.get("link_type") == "ether"
        for each in link.get("addr_info", [])
        if each.get("scope") == "global" and not each.get("deprecated") and not each.get("temporary")
    ]
    return [address for _, address in sorted(found)]


def told(hub: str, url: str | None, hosts: Sequence[str]) -> str:
    """The file for the card, out of the hub's."""
    token, fingerprint = _TOKEN.search(hub), _FINGERPRINT.search(hub)
    if token is None or url is None:
        return hub
    scheme, _, rest = url.partition("://")
    port = rest.rpartition(":")[2].strip("/")
    named = [f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/" for host in hosts]
    certificate = (
        "The browser will ask about the certificate, which this device has made itself. Its SHA-256 fingerprint:\n"
        f"{fingerprint[0]}\n\n"
        if fingerprint
        else ""
    )
    others = "".join(f"  or {each}\n" for each in named)
    return (
        "This modemhub has no owner yet. Open its console in a browser and give it this claim token:\n\n"
        f"{token[0]}\n\nConsole: {url}/\n{others}\n{certificate}"
        "This file goes away when the device has an owner.\n"
    )


def _show(screen: Path, text: str) -> None:
    try:
        with screen.open("w", encoding="utf-8") as written:
            written.write(f"\r\n{text}\r\n".replace("\n", "\r\n").replace("\r\r", "\r"))
    except OSError as error:
        log.info("nobody looks at a screen: %s", error)
