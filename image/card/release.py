"""What is published of a card, below ``dist/``.

::

    modemhub-<version>-rpi-arm64.img.xz             the image; .sha256 beside it
    modemhub-<version>-rpi-arm64.raucb              the update bundle, and modemhub.json, its index
    modemhub-<version>-rpi-arm64-imager.json        for Raspberry Pi Imager
    modemhub-<version>-rpi-arm64-sbom.cdx.json      the bill of materials
    modemhub-<version>-rpi-arm64-licences.tar.xz    all licences, and where the sources are
    modemhub-<version>-rpi-arm64-packages.lock      the Debian packages that are in it
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

from image import debian
from image.building import say, sha256
from image.card import imager, sbom
from image.card.build import BOARD, CACHE
from image.update import bundle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from image.card.build import Card

__all__ = ["publish"]

BLOCK: Final = "--block-size=16MiB"
"""xz: where blocks end must not depend on the number of cores."""


def _packed(card: Card, target: Path) -> None:
    """The image, packed once for each card; what is in ``.cache`` stays for the next time."""
    packed = card.place / "card.img.xz"
    if not packed.exists():
        say("packing the image: three minutes")
        part = card.place / f"part-{os.getpid()}.xz"
        argv = ["xz", "-6", "--threads=0", BLOCK, "--stdout", "--", card.img]
        script = ["sh", "-c", 'out="$1"; shift; exec "$@" > "$out"', "sh", part, *argv]
        debian.in_tools(script, binds=[card.place], log=CACHE / "card.log")
        part.rename(packed)
    shutil.copyfile(packed, target)


def publish(card: Card, authority: bundle.Authority, into: Path, *, base: str | None = None) -> Iterator[Path]:
    """Write all of it; each file when it is there.

    Args:
        card: the built card.
        authority: signs the bundle.
        into: the directory.
        base: the address where the files will be published.
    """
    into.mkdir(parents=True, exist_ok=True)
    name = f"modemhub-{card.version}-{BOARD}"
    lock = into / f"{name}-packages.lock"
    lock.write_text("".join(f"{package}\n" for package in card.packages), encoding="utf-8")
    yield lock
    beside = {place.name: place for place in sorted(card.beside.iterdir())}
    bill = into / f"{name}-sbom.cdx.json"
    bill.write_text(
        sbom.sbom(card.tree, card.packages, version=card.version, epoch=card.epoch, beside=beside), encoding="utf-8"
    )
    yield bill
    texts = into / f"{name}-licences.tar.xz"
    sbom.licences(card.tree, texts, lock=card.packages, version=card.version, epoch=card.epoch, beside=beside)
    yield texts
    update = bundle.build(card.root, authority, into / f"{name}.raucb", version=card.version)
    yield update
    yield bundle.announce(update, version=card.version)
    image = into / f"{name}.img.xz"
    _packed(card, image)
    yield image
    sums = image.with_name(f"{image.name}.sha256")
    sums.write_text(f"{sha256(image)}  {image.name}\n", encoding="ascii")
    yield sums
    yield imager.publish(image, version=card.version, epoch=card.epoch, base=base)
