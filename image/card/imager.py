"""The manifest with which Raspberry Pi Imager offers the image, checks it and writes it.

Promise: sizes and sums are those of the files, counted from the files themselves; same files, same epoch, same base:
same bytes. ``init_format`` is ``none``: what Imager would set up (a user, a password, Wi-Fi by its own scripts) this
image does not have; its settings file does that (``README.md``).

What it does not do: it uploads nothing. Where the files are put is the ``base`` that it is told.

Theory of operation. Imager reads a list of systems (``os_list``) and, from the same file, the boards that a person may
choose between (``imager.devices``); a system is shown when one of its ``devices`` is a tag of the board. So both are
given: with no boards in its file, Imager shows nothing of what names its devices. The tags are those of Raspberry Pi's
own list; Zero 2 W and 3 have one in common there. Names and meanings are those of Imager's ``doc/json-schema`` (2.0).

``python -m image.card.imager FILE.img.xz`` writes the manifest for this very file on this machine, to try it with
``rpi-imager --repo``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ICON", "ICON_NAME", "manifest", "publish"]

ROOT: Final = Path(__file__).resolve().parents[2]
ICON: Final = ROOT / "appliance/http/console/icon.svg"
ICON_NAME: Final = "modemhub.svg"
"""The icon's name beside the image."""
ENDING: Final = ".img.xz"
CHUNK: Final = 1 << 20
BOARDS: Final = (
    ("Raspberry Pi 4", "Raspberry Pi 4 Model B, 400, and Compute Module 4", "pi4-64bit"),
    ("Raspberry Pi 3", "Raspberry Pi 3 Model A+, B, B+, and Compute Module 3", "pi3-64bit"),
    ("Raspberry Pi Zero 2 W", "Raspberry Pi Zero 2 W", "pi3-64bit"),
)
"""Name, description and tag of Raspberry Pi's own list. Not Pi 5: see README.md."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A stream, read to its end."""

    size: int
    sha256: str

    @classmethod
    def of(cls, stream: IO[bytes]) -> Counted:
        """Read it all."""
        size, whole = 0, hashlib.sha256()
        while chunk := stream.read(CHUNK):
            size += len(chunk)
            whole.update(chunk)
        return cls(size, whole.hexdigest())


def manifest(packed: Path, *, base: str, version: str, epoch: int) -> str:
    """The manifest, JSON.

    Args:
        packed: the image, ``.img.xz``.
        base: the address of the directory where it and the icon are published.
        version: the image's.
        epoch: seconds since 1970 of the release's day.
    """
    with packed.open("rb") as stream:
        fetched = Counted.of(stream)
    with lzma.open(packed) as unpacked:
        written = Counted.of(unpacked)
    base = base.rstrip("/")
    document: dict[str, Any] = {
        "imager": {
            "devices": [
                {"name": name, "description": described, "tags": [tag], "matching_type": "exclusive"}
                for name, described, tag in BOARDS
            ]
        },
        "os_list": [
            {
                "name": f"modemhub {version}",
                "description": "SMS appliance: GSM and LTE modems to MQTT, HTTP and Home Assistant",
                "icon": f"{base}/{ICON_NAME}",
                "url": f"{base}/{packed.name}",
                "extract_size": written.size,
                "extract_sha256": written.sha256,
                "image_download_size": fetched.size,
                "image_download_sha256": fetched.sha256,
                "release_date": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d"),
                "init_format": "none",
                "architecture": "armv8",
                "devices": sorted({tag for _, _, tag in BOARDS}),
            }
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def publish(packed: Path, *, version: str, epoch: int, base: str | None = None) -> Path:
    """Write manifest and icon beside the image; without ``base`` they are for this machine alone."""
    directory = packed.resolve().parent
    out = directory / f"{packed.name.removesuffix(ENDING)}-imager.json"
    out.write_text(manifest(packed, base=base or directory.as_uri(), version=version, epoch=epoch), encoding="utf-8")
    shutil.copyfile(ICON, directory / ICON_NAME)
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 written, 1 not."""
    parser = argparse.ArgumentParser(prog="python -m image.card.imager", description="Raspberry Pi Imager's manifest.")
    parser.add_argument("image", type=Path, metavar=f"FILE{ENDING}")
    parser.add_argument("--base", metavar="URL", help="where the files are published (default: where they are now)")
    given = parser.parse_args(argv)
    name, _, rest = given.image.name.partition("-")
    if not (given.image.is_file() and name == "modemhub" and given.image.name.endswith(ENDING)):
        print(f"image.card.imager: {given.image} is no modemhub-<version>-…{ENDING}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    epoch = int(given.image.stat().st_mtime)
    print(publish(given.image, version=rest.partition("-")[0], epoch=epoch, base=given.base))  # noqa: T201 - its answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
