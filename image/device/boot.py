"""The verb ``boot``: once at each start, before network, firewall, SSH, broker and hub.

Promise: it always ends well, soon, and with a plan written. A part that fails is told (``tell``) and left out, and the
rest goes on with what is there: a broker without keys keeps nobody from reading the console.

Order: directories, the file on the card, SSH's keys, the broker's, the plan, the hostname. ``refresh`` is the part of
it that follows the claim, for ``claim``.

Without the data partition. A damaged one is repaired before it is mounted (``mend``, a shell script of the image). One
that cannot be is not mounted, and never erased unless somebody asks for it (``reset``). Then

* systemd starts no hub, no tokens, no update: they require their directories on it. No broker and no SSH either, whose
  keys are there;
* the file on the card is not taken, as nothing could be kept, and stays as it is; the network is that of a device
  without settings, so that it can be pinged;
* ``modemhub-error.txt`` says so, and what to do; it goes when the partition can be mounted again;
* the slot gets its attempts back, unless it is on trial: ``prove`` tells the rest. The jumper works.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import broker
from .fat import Fat
from .intake import take
from .kept import Kept
from .plan import Facts, File, broker_runs, merged, plan
from .rim import Command, Failed, ids, link, read, run, sync_directory, write
from .shape import Device
from .tell import Board
from .window import timer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .place import Place

__all__ = ["DIRECTORIES", "boot", "facts", "prepare_data", "refresh"]

log = logging.getLogger(__name__)

DIRECTORIES: Final = {
    "modemhub": ("modemhub", 0o700),
    "systemd": ("root", 0o755),
    "mosquitto": ("mosquitto", 0o700),
    # Mosquitto's user goes through it to its keys; what is in it is closed by itself.
    "device": ("root", 0o711),
    "updates": ("root", 0o700),
    "rauc": ("root", 0o700),
}
"""Of /data: owner and mode."""

AUTHORITY: Final = "modemhub-ca.crt"
"""On the card: what clients verify the broker by."""

CLAIM: Final = "CLAIM.txt"
"""On the card: how to become the owner."""


UNREADABLE: Final = (
    "1. Switch the device off, and on again after a minute.",
    "2. If this file is still here then: write the image to another card. This one may be worn out.",
    "3. Or go on with this card: put an empty file with the name factory-reset on this drive, and start the device.",
    "   It then forgets all that was kept, and begins as a new one. Write your passwords into modemhub.toml again.",
)
"""What can be done where the data partition cannot be mounted."""
WINDOW: Final = "/run/systemd/system/modemhub-update.timer.d/window.conf"


def prepare_data(data: Path, *, real: bool) -> None:
    """Have the directories of /data; ``real``: with the users of the device."""
    for name, (owner, mode) in DIRECTORIES.items():
        path = data / name
        path.mkdir(exist_ok=True)
        path.chmod(mode)
        if real:
            with contextlib.suppress(KeyError):  # a root without Mosquitto
                os.chown(path, *ids(owner))


def boot(place: Place, *, command: Command = run, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> int:
    """Derive everything; exit code 0."""
    fat = Fat(place, command=command)
    board = Board(place, fat=fat)
    troubles: list[str] = []

    @contextlib.contextmanager
    def part(what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            log.exception("%s", what)
            troubles.append(f"{what}: {type(error).__name__}: {error}")

    if not place.keeps:
        log.error("the data partition is not mounted: nothing is started but the network")
        with part("what is derived from no settings"):
            refresh(place)
        board.tell("data", UNREADABLE)
        board.tell("device", troubles)
        return 0

    with contextlib.ExitStack() as written:
        with part("the directories of the data partition"):
            prepare_data(place.data, real=place.real)
        complaints: tuple[str, ...] = ()
        lost: tuple[str, ...] = ()
        with part("the settings file"):
            taken = take(place, fat)
            complaints = taken.complaints
            troubles += taken.warnings
            for line in complaints:
                log.error("modemhub.toml: %s", line)
        kept = Kept.read(place)
        device = Device.of(merged(kept.settings, kept.secrets))
        with part("SSH's keys"):
            if device.system.ssh_keys:
                _host_keys(place, command)
        with part("what is derived from the settings"):  # first of all without the broker, whose keys take their time
            refresh(place)
        made = False
        with part("the broker"):
            if broker_runs(kept.settings, device):
                made = broker.prepare(place, kept.settings, device, year=now().year, command=command)
        with part("what is derived from the settings and the broker's keys"):
            if made:
                refresh(place)
        with part("the time for updates"):
            _window(place, device, command)
        with part("the hostname"):
            place.at("/proc/sys/kernel/hostname").write_text(device.system.hostname, encoding="ascii")
        with part("the card"):
            lost = _lost(place)
            written.enter_context(_once(fat, board, (*complaints, *troubles, *lost)))
            _authority(place, fat, kept, device)
            if not place.hub_claim.exists() and fat.find(CLAIM) is not None:  # the power was cut as it went
                fat.remove(CLAIM)
        board.tell("lost", lost)
        board.tell("stick", ())
        board.tell("settings", complaints)
        board.tell("device", troubles)
    return 0


@contextlib.contextmanager
def _once(fat: Fat, board: Board, told: Sequence[str]) -> Iterator[None]:
    """One time of writing for all that is told, where there is anything to tell."""
    quiet = not told and not board.problems()
    with contextlib.nullcontext() if quiet else fat.writable():
        yield


def _lost(place: Place) -> tuple[str, ...]:
    """What a repair of the data partition found without a name: a sound one has nothing there."""
    with contextlib.suppress(FileNotFoundError):
        if found := len(list((place.data / "lost+found").iterdir())):
            return (
                f"Files without a name, which are not used: {found}. Messages, settings or keys may be missing.",
                "A card that damages what is on it will do so again: use another one.",
                "This goes with a factory reset, or when /data/lost+found is emptied (SSH).",
            )
    return ()


def _authority(place: Place, fat: Fat, kept: Kept, device: Device) -> None:
    pem = broker.authority(place) if broker_runs(kept.settings, device) else None
    if pem is not None:
        fat.write(AUTHORITY, pem)
    elif fat.find(AUTHORITY) is not None:
        fat.remove(AUTHORITY)


def _window(place: Place, device: Device, command: Command) -> None:
    """When updates may be installed, for systemd's timer."""
    if device.update.window == Device().update.window:  # as the unit itself has it
        return
    drop = timer(device.update.window)
    if drop and write(place.at(WINDOW), drop.encode(), 0o644, durable=False):
        command(["systemctl", "daemon-reload"])


def _host_keys(place: Place, command: Command) -> None:
    """The SSH server's key, made when it is needed first."""
    key = place.host_keys / "ssh_host_ed25519_key"
    if key.exists() and key.with_suffix(".pub").exists() and key.stat().st_size:
        return
    place.host_keys.mkdir(parents=True, exist_ok=True)
    place.host_keys.chmod(0o700)
    fresh = place.host_keys / "new"
    for path in (fresh, fresh.with_suffix(".pub")):
        path.unlink(missing_ok=True)
    command(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "modemhub", "-f", fresh])
    os.sync()
    fresh.with_suffix(".pub").replace(key.with_suffix(".pub"))
    fresh.replace(key)
    sync_directory(place.host_keys)


def facts(place: Place) -> Facts:
    """What the machine says now."""
    kept = Kept.read(place)
    tokens = kept.settings.get("tokens")
    return Facts(
        claimed=bool(tokens) or (place.hub_store.exists() and not place.hub_claim.exists()),
        host_keys=(place.host_keys / "ssh_host_ed25519_key").exists(),
        broker_password=broker.password(place),
        adopted=_adopted(place),
    )


def _adopted(place: Place) -> dict[str, Any]:
    """The tokens that this very store got, or something that is like no tokens at all."""
    octets = read(place.hub_store.with_name("adopted.json"))
    if octets is None:
        return {}
    try:
        found = json.loads(octets)
        if found["store"] == place.hub_store.stat().st_ino and isinstance(found["tokens"], dict):
            return dict(found["tokens"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.info("the hub's tokens are looked at again: %s", error)
    return {"": None}


def refresh(place: Place) -> set[Path]:
    """Write what follows from settings and facts now, and take away what no longer does; returns what was changed.

    A failure is logged and goes no further than its file; the last one is raised when all others are written.

    Raises:
        Failed: a file could not be written.
    """
    kept = Kept.read(place)
    files = plan(kept.settings, kept.secrets, facts(place))
    place.run.mkdir(parents=True, exist_ok=True)
    place.at("/run/credstore").mkdir(mode=0o700, exist_ok=True)
    changed, failed = set[Path](), ""
    for file in files:
        path = place.at(file.path.as_posix())
        try:
            if _put(file, path, real=place.real):
                changed.add(Path(file.path))
        except (OSError, KeyError) as error:
            log.exception("%s", path)
            failed = f"{file.path} could not be written: {error}"
    note = place.run / "written.json"
    now = [file.path.as_posix() for file in files]
    for old in json.loads(read(note) or b"[]"):
        if old not in now:
            place.at(old).unlink(missing_ok=True)
            changed.add(Path(old))
    write(note, json.dumps(now).encode(), durable=False)
    if failed:
        raise Failed(failed)
    return changed


def _put(file: File, path: Path, *, real: bool) -> bool:
    if file.link is not None:
        return link(path, file.link)
    return write(path, file.content, file.mode, owner=file.owner if real else None, durable=False)
