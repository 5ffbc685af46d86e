"""``python -m image.card``: builds the SD image and what is published with it (``make image``)."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from image.building import Impossible
from image.card import release
from image.card.build import DIST, build, write_locks
from image.update import bundle

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 built, 1 impossible here."""
    parser = argparse.ArgumentParser(
        prog="python -m image.card", description="Build the SD image and its update bundle."
    )
    option = parser.add_argument
    option("--into", type=Path, default=DIST, metavar="DIR", help="where to (default: dist)")
    option("--key", type=Path, help="signs the bundle; default: $MODEMHUB_UPDATE_KEY, or one for development")
    option("--certificate", type=Path, help="the key's; default: $MODEMHUB_UPDATE_CERT")
    option("--base", metavar="URL", help="where the files will be published: told to Raspberry Pi Imager")
    option("--moved", action="store_true", help="where the mirror dropped what is locked, take what it has")
    option("--only", action="store_true", help="only the raw image in the cache; print where it is")
    option("--lock", action="store_true", help="only lock what the mirror has today")
    given = parser.parse_args(argv)
    try:
        if given.lock:
            write_locks()
            return 0
        authority = bundle.authority(given.key, given.certificate)
        card = build(certificate=authority.keyring, moved=given.moved)
        if given.only:
            print(card.img)  # noqa: T201 - its answer
            return 0
        for file in release.publish(card, authority, given.into, base=given.base):
            print(f"{file.stat().st_size / 1e6:8.1f} MB  {os.path.relpath(file)}")  # noqa: T201 - its answer
    except Impossible as error:
        print(f"image.card: {error}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
