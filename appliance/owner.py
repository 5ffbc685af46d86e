"""What the owner of this machine may do: make tokens, and speak to its own hub. Who may write the store may do both.

Each visit to the store is short and may fall beside a running hub. The token that a command speaks by is lent to it:
it is named after the process, taken back at its end, and by the next command where that one was killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
from typing import TYPE_CHECKING, Any

from appliance.errors import SettingsError, StoreError
from appliance.http.certificate import PUBLIC
from appliance.hub import claim_file, new_token
from appliance.shell import HubClient
from appliance.shell.holder import is_alive, this_process
from appliance.shell.wire import fingerprint_of
from appliance.store import events, tokens, visit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from appliance.http import HttpSettings
    from appliance.settings import Settings

__all__ = ["adopt_tokens", "create_token", "local_hub"]


def create_token(
    store: Path,
    *,
    name: str,
    scopes: Sequence[str],
    per_minute: int | None = None,
    daily_cap: int | None = None,
) -> str:
    """Create a token in the store, also while a hub runs; only its digest is kept.

    Raises:
        Rejected: ``token_exists``.
        StoreError: the store cannot be written.
    """
    token = new_token()
    digest = hashlib.sha256(token.encode()).digest()
    with visit(store) as journal:
        journal.write(
            tokens.create, name=name, scopes=scopes, digest=digest, per_minute=per_minute, daily_cap=daily_cap
        )
    if not name.startswith(tokens.PASSING):  # the hub has an owner now
        claim_file(store).unlink(missing_ok=True)
    return token


ADOPTED = "adopted.json"
"""Beside the store: the tokens that were adopted, as digests and scopes by name."""


def adopt_tokens(store: Path, wanted: Mapping[str, tuple[bytes, Sequence[str]]]) -> int:
    """Have exactly these of the tokens that their owner chose himself; returns how many changed.

    What was adopted stands in a file beside the store, so that a token that is no longer wanted can be told from one
    that was made otherwise, and so that who starts the hub can see whether there is anything to do: it has the store's
    inode. On the way, it knows both, old and new, and no store: a power cut in between is made good by the next call.

    Args:
        store: the database file.
        wanted: SHA-256 digest and scopes by name.

    Raises:
        StoreError: the store cannot be written.
    """
    file = store.with_name(ADOPTED)
    fresh = {name: {"digest": digest.hex(), "scopes": sorted(scopes)} for name, (digest, scopes) in wanted.items()}
    with visit(store) as journal:
        known = _adopted(file)
        if known != fresh:
            _write(file, {"store": 0, "tokens": {**known, **fresh}})
        before = {name: bytes.fromhex(token["digest"]) for name, token in known.items()}
        changed = journal.write(tokens.adopt, wanted=wanted, known=before)
        _write(file, {"store": store.stat().st_ino, "tokens": fresh})
    if wanted:  # the hub has an owner now
        claim_file(store).unlink(missing_ok=True)
    return changed


def _adopted(file: Path) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["tokens"]
        return {name: token for name, token in found.items() if bytes.fromhex(token["digest"])}
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        return {}


def _write(file: Path, content: dict[str, Any]) -> None:
    fresh = file.with_name(file.name + ".new")
    with fresh.open("w", encoding="utf-8") as written:
        json.dump(content, written)
        written.flush()
        os.fsync(written.fileno())
    fresh.replace(file)


@contextlib.contextmanager
def local_hub(settings: Settings, scopes: Sequence[str]) -> Iterator[HubClient]:
    """The hub on this machine, by a token lent for as long as this lasts.

    Raises:
        SettingsError: the hub of these settings has no HTTP door.
        HubUnreachable: no hub runs.
        StoreError: the store cannot be written.
    """
    if settings.http.listen is None:
        raise SettingsError("http.listen: is off, and this command speaks to the running hub by HTTP")
    url, fingerprint = _local_url(settings.http), None
    if settings.http.encrypted:
        fingerprint = fingerprint_of(settings.http.cert or settings.store.path.with_name(PUBLIC))
    HubClient(url, "", fingerprint=fingerprint).check()  # before the store is touched: where no hub runs, none is made
    try:
        with visit(settings.store.path) as store:
            newest = store.read(events.last)
            for left in store.read(tokens.tokens):
                if left.name.startswith(tokens.PASSING) and not is_alive(left.name.removeprefix(tokens.PASSING)):
                    store.write(tokens.give_back, name=left.name)  # its command was killed
    except StoreError as error:
        raise StoreError(f"{error} (who may not write there names the hub by --url and brings a token)") from error
    name = tokens.PASSING + this_process()
    ends = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    for number in ends:
        signal.signal(number, signal.default_int_handler)
    try:
        token = create_token(settings.store.path, name=name, scopes=scopes)
        yield HubClient(url, token, fingerprint=fingerprint, newest=newest)
    finally:
        with contextlib.suppress(StoreError), visit(settings.store.path) as store:  # else the next command does it
            store.write(tokens.give_back, name=name)
        for number in ends:
            signal.signal(number, signal.SIG_DFL)


def _local_url(door: HttpSettings) -> str:
    """Where the door is reached from this machine: one that listens everywhere, on the loopback address."""
    host, port = door.address
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not listened on
    return f"http{'s' if door.encrypted else ''}://{f'[{reached}]' if ':' in reached else reached}:{port}"
