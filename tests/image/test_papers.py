"""The papers say nothing of files that are not there, and leave no provision of EN 303 645 out."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from image.device.settings import Wrong, check
from image.device.text import parsed

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "image/security/EN-303-645.md"
PAPERS = [
    ROOT / "SECURITY.md",
    ROOT / "image/README.md",
    *sorted((ROOT / "image/security").glob("*.md")),
    ROOT / "image/card/README.md",
    ROOT / "image/package/README.md",
]

PROVISIONS = {
    "5.0": "1", "5.1": "1 2 2A 3 4 5", "5.2": "1 2 3", "5.3": "1 2 3 4A 4B 5 6A 6B 7 8 9 10 11 12 13 14 15A 15B 16",
    "5.4": "1 2 3 4", "5.5": "1 2 3 4 5 6 7 8", "5.6": "1 2 3 4A 4B 5 6 7 8 9", "5.7": "1 2", "5.8": "1 2 3",
    "5.9": "1 2 3", "5.10": "1", "5.11": "1 2 3 4", "5.12": "1 2 3", "5.13": "1A 1B", "6": "1 2 3A 3B 4 5 6 7 8",
}  # fmt: skip
"""Table B.1 of V3.1.3 (2024-09)."""

PICTURES = sorted((ROOT / "image/card/pictures").glob("*"))
LARGEST = 150_000
"""Octets of a picture: the guide is read over slow lines too."""


def rows() -> list[list[str]]:
    """The cells of every row that names a provision."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| [56][.-]", line)]


def test_every_provision_has_one_row() -> None:
    wanted = [f"{clause}-{number}" for clause, numbers in PROVISIONS.items() for number in numbers.split()]
    assert [row[0] for row in rows()] == wanted


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_provision_is_answered_with_evidence_that_exists(row: list[str]) -> None:
    number, status, asked, met, how, evidence = row
    assert re.fullmatch(r"[MR]C?F?", status), number
    assert asked, number
    assert met.strip("*") in {"yes", "partly", "no", "n/a"}, number
    assert how or met == "yes", f"{number}: what is not met, or does not apply, needs its reason"
    named = re.findall(r"`([^`]+)`", evidence)
    assert named, number
    assert re.sub(r"`[^`]+`|[, ]", "", evidence) == "", f"{number}: only paths stand there"
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: str(paper.relative_to(ROOT)))
def test_links_and_paths_lead_somewhere(paper: Path) -> None:
    text = paper.read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (paper.parent / link).exists()] == []
    paths = re.findall(r"`((?:appliance|image|tests|hil|udev)/[\w./-]+)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_guides_settings_are_what_the_device_takes() -> None:
    guide = (ROOT / "image/card/README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        check(parsed(block), block)
    with pytest.raises(Wrong):
        check(parsed(blocks[0].replace("ssid", "sid")), blocks[0])


@pytest.mark.skipif(not PICTURES, reason="no picture was taken yet")
def test_pictures_are_small_and_shown() -> None:
    guide = (ROOT / "image/card/README.md").read_text(encoding="utf-8")
    assert len(PICTURES) <= 8
    for picture in PICTURES:
        data = picture.read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n", picture.name
        width, _ = struct.unpack(">II", data[16:24])
        assert width <= 1600, picture.name
        assert len(data) <= LARGEST, picture.name
        assert f"pictures/{picture.name}" in guide, f"{picture.name} is shown nowhere"
