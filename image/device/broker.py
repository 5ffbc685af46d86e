"""Keys and accounts of the broker on the device, made by ``mosquitto/broker.py`` beside this package.

It is run only where something changed, as OpenSSL takes its time on a small Pi: the digest of all that goes into it
stands in ``made.json``, with the accounts that came from the settings file, so that one that is no longer in it goes.
The year is a part of it: certificates are renewed before they end.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .plan import HUB_ACCOUNT
from .rim import Command, read, run, write
from .shape import table

if TYPE_CHECKING:
    from .place import Place
    from .shape import Device

__all__ = ["SCRIPT", "authority", "password", "prepare"]

SCRIPT: Final = Path(__file__).resolve().parents[1] / "mosquitto" / "broker.py"


def password(place: Place) -> str | None:
    """Of the hub's account; None: the broker was never prepared."""
    found = read(place.broker / "modemhub" / "accounts" / HUB_ACCOUNT)
    return None if found is None else found.decode().strip()


def authority(place: Place) -> bytes | None:
    """What clients verify the broker by (PEM)."""
    return read(place.broker / "modemhub" / "ca.crt")


def prepare(
    place: Place,
    settings: Mapping[str, Any],
    device: Device,
    *,
    year: int,
    command: Command = run,
    script: Path = SCRIPT,
) -> bool:
    """Have the broker's keys and accounts as the settings say; whether anything was done.

    Raises:
        Failed: it could not be done; what was there is as it was, or nearer to it.
    """
    note = place.broker / "made.json"
    wanted = _digest(settings, device, year, script)
    try:
        made: dict[str, Any] = json.loads(read(note) or b"{}")
    except ValueError:
        made = {}
    if made.get("digest") == wanted and password(place) is not None and authority(place) is not None:
        return False
    state = place.at("/var/lib/mosquitto")
    place.broker.mkdir(parents=True, exist_ok=True)
    place.broker.chmod(0o755)
    base: list[str | Path] = [sys.executable, "-I", script, "--conf", place.broker, "--state", state]
    command([*base, "init", *_options(settings, device)])
    before = [name for name in made.get("accounts", []) if name not in device.broker.accounts]
    write(note, json.dumps({"accounts": sorted({*before, *device.broker.accounts})}).encode())  # whatever comes now
    accounts = {name: (each.password, each.roles) for name, each in device.broker.accounts.items()}
    if password(place) is None:  # the broker knows the hub, and its password was lost
        accounts[HUB_ACCOUNT] = (secrets.token_urlsafe(24), ("hub",))
    for name, (word, roles) in accounts.items():
        with tempfile.TemporaryDirectory(dir=place.at("/run")) as directory:
            file = Path(directory) / "password"
            write(file, word.encode(), durable=False)
            command([*base, "account", name, *roles, "--password-file", file])
    for name in before:
        command([*base, "remove", name])
    os.sync()
    write(note, json.dumps({"digest": wanted, "accounts": sorted(device.broker.accounts)}).encode())
    return True


def _options(settings: Mapping[str, Any], device: Device) -> list[str]:
    mqtt, assistant = table(settings, "mqtt"), table(settings, "homeassistant")
    options = ["--host", device.system.hostname]
    if device.network.address:
        options += ["--name", device.network.address.partition("/")[0]]
    if isinstance(mqtt.get("base_topic"), str):
        options += ["--base", mqtt["base_topic"]]
    if isinstance(mqtt.get("share"), Mapping):
        options += ["--share", str(mqtt["share"].get("topic", "texts"))]
    if isinstance(mqtt.get("sms2mqtt"), str):
        options += ["--alias", mqtt["sms2mqtt"]]
    if isinstance(assistant.get("prefix"), str):
        options += ["--discovery", assistant["prefix"]]
    return options


def _digest(settings: Mapping[str, Any], device: Device, year: int, script: Path) -> str:
    accounts = {name: [each.password, list(each.roles)] for name, each in device.broker.accounts.items()}
    told = json.dumps([_options(settings, device), accounts, year], sort_keys=True)
    parts = [told.encode(), script.read_bytes(), script.with_name("modemhub.conf").read_bytes()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
