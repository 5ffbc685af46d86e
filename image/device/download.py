"""Bundles and their index over HTTPS, onto the data partition.

Promise: what was fetched is gone on with after a broken connection or a power cut. The partition is never filled: a
download that leaves less than ``RESERVE`` is refused before it begins, or ended where the server does not say how much
it is. Where the index names a SHA-256, only that file is kept. Nothing is fetched but over TLS, also after a redirect.

What it does not do: it does not decide whether a bundle is to be trusted. Its signature does, and RAUC checks that.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from .release import Version

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["RESERVE", "Index", "NotFetched", "Web", "room"]

RESERVE: Final = 64 * 1024 * 1024
"""Octets of the data partition that stay free for the hub's journal."""
INDEX_OCTETS: Final = 64 * 1024
PIECE: Final = 256 * 1024
TIMEOUT: Final = 60.0
ATTEMPTS: Final = 5
PAUSE: Final = 10.0
"""Seconds before a broken download is gone on with; doubled each time."""


class NotFetched(Exception):
    """It is not here, and why, for people."""


@dataclass(frozen=True, slots=True)
class Index:
    """The newest release as its publisher tells it: the JSON that ``[update] url`` points to.

    ::

        {"version": "0.2.0", "url": "modemhub-0.2.0-rpi-arm64.raucb", "sha256": "…", "size": 217000000,
         "notes": "What is new.", "min_version": "0.1.0"}

    ``url`` may be relative to the index. ``min_version``: an older one must first be brought to something between.
    """

    version: str
    url: str
    sha256: str = ""
    size: int = 0
    notes: str = ""
    min_version: str = ""

    @classmethod
    def of(cls, content: bytes, *, base: str) -> Self:
        """Read it.

        Raises:
            NotFetched: it is none.
        """
        try:
            words: Any = json.loads(content)
            made = cls(
                str(words["version"]),
                urllib.parse.urljoin(base, str(words["url"])),
                str(words.get("sha256", "")).lower(),
                int(words.get("size", 0)),
                str(words.get("notes", "")),
                str(words.get("min_version", "")),
            )
            for version in (made.version, made.min_version or "0"):
                Version.of(version)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise NotFetched(f"{base} is no index of releases: {error}") from error
        if made.sha256 and not re.fullmatch("[0-9a-f]{64}", made.sha256):
            raise NotFetched(f"{base} is no index of releases: sha256 is not 64 hexadecimal digits")
        return made


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def room(directory: Path, octets: int) -> None:
    """See that so much fits.

    Raises:
        NotFetched: it does not.
    """
    free = shutil.disk_usage(directory).free
    if octets + RESERVE > free:
        raise NotFetched(
            f"the data partition has {_mb(free)} free: the bundle needs {_mb(octets)}, and {_mb(RESERVE)} stay free"
        )


def _mb(octets: int) -> str:
    return f"{octets / 1e6:.0f} MB"


class _OnlyTls(urllib.request.HTTPRedirectHandler):
    """A redirect does not lead out of TLS."""

    def redirect_request(self, req: Any, fp: Any, *rest: Any) -> Any:
        newurl = rest[-1]
        if not newurl.startswith("https://"):
            raise NotFetched(f"{req.full_url} sends us to {newurl}, which is not https")
        return super().redirect_request(req, fp, *rest)


@dataclass(frozen=True, slots=True)
class Web:
    """Fetches.

    Args:
        sleep: waits between attempts.
        context: TLS; None: the authorities that the system trusts.
        say: hears of each attempt that broke off.
        mark: names this device's version to the server.
    """

    sleep: Callable[[float], None]
    say: Callable[[str], None]
    context: ssl.SSLContext | None = None
    mark: str = "modemhub"
    _opener: list[urllib.request.OpenerDirector] = field(default_factory=list)

    def _open(self, url: str, **headers: str) -> http.client.HTTPResponse:
        if not url.startswith("https://"):
            raise NotFetched(f"{url}: updates are fetched by https only")
        if not self._opener:
            self._opener.append(
                urllib.request.build_opener(urllib.request.HTTPSHandler(context=self.context), _OnlyTls)
            )
        request = urllib.request.Request(url, headers={"User-Agent": self.mark, **headers})  # noqa: S310 - https, above
        answer: http.client.HTTPResponse = self._opener[0].open(request, timeout=TIMEOUT)
        return answer

    def index(self, url: str) -> Index:
        """Fetch the index.

        Raises:
            NotFetched: it cannot be had.
        """
        try:
            with self._open(url) as answer:
                content = answer.read(INDEX_OCTETS + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotFetched(f"{url}: {_words(error)}") from error
        if len(content) > INDEX_OCTETS:
            raise NotFetched(f"{url} is no index of releases: it has more than {INDEX_OCTETS} octets")
        return Index.of(content, base=url)

    def bundle(self, url: str, directory: Path, *, sha256: str = "", size: int = 0) -> Path:
        """Fetch a bundle into ``directory``, where nothing else stays.

        Args:
            url: where it is.
            directory: made if it is missing.
            sha256: what it must have; empty: not known.
            size: octets by the index; 0: not known.

        Raises:
            NotFetched: it cannot be had, does not fit, or is something else.
        """
        directory.mkdir(parents=True, exist_ok=True)
        part = directory / f"{hashlib.sha256(f'{url} {sha256}'.encode()).hexdigest()[:16]}.part"
        for left in directory.iterdir():
            if left != part:
                left.unlink()
        if size:
            room(directory, size - (part.stat().st_size if part.exists() else 0))
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._go_on(url, part, size)
                break
            except urllib.error.HTTPError as error:
                error.close()
                if error.code < 500 or attempt == ATTEMPTS:
                    raise NotFetched(f"{url}: {_words(error)}") from error
                self.say(f"{url}: {_words(error)}")
            except (OSError, http.client.HTTPException) as error:
                if attempt == ATTEMPTS:
                    raise NotFetched(f"{url}: {_words(error)}. It goes on there next time") from error
                self.say(f"{url}: {_words(error)}; going on")
            self.sleep(PAUSE * 2 ** (attempt - 1))
        if sha256 and (found := digest(part)) != sha256:
            part.unlink()
            raise NotFetched(f"{url} is not what its index says: SHA-256 {found} instead of {sha256}")
        bundle = part.with_suffix(".raucb")
        part.rename(bundle)
        return bundle

    def _go_on(self, url: str, part: Path, size: int) -> None:
        had = part.stat().st_size if part.exists() else 0
        if size and had == size:
            return
        if size and had > size:
            part.unlink()
            had = 0
        try:
            answer = self._open(url, **({"Range": f"bytes={had}-"} if had else {}))
        except urllib.error.HTTPError as error:
            if error.code != 416 or not had:
                raise
            error.close()
            if error.headers["Content-Range"] == f"bytes */{had}":
                return  # all of it was here
            part.unlink()  # it is shorter now than what is here
            raise http.client.HTTPException("the file has changed") from error
        with answer:
            going_on = answer.status == 206 and (answer.headers["Content-Range"] or "").startswith(f"bytes {had}-")
            had = had if going_on else 0
            named = answer.headers["Content-Length"]
            total = had + int(named) if named else 0
            if size and total and total != size:
                raise NotFetched(f"{url} has {total} octets, and its index says {size}")
            if total:
                room(part.parent, total - had)
            with part.open("ab" if going_on else "wb") as file:
                while piece := answer.read(PIECE):
                    if not total:
                        room(part.parent, len(piece))
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
                if total and file.tell() < total:
                    raise http.client.IncompleteRead(b"", total - file.tell())


def _words(error: Exception) -> str:
    match error:
        case urllib.error.HTTPError():
            return f"the server says {error.code} {error.reason}"
        case urllib.error.URLError():
            return str(error.reason)
        case _:
            return str(error) or type(error).__name__
