"""Raspberry Pi Imager's manifest, held against the files that it is about as a downloader would."""

from __future__ import annotations

import hashlib
import json
import lzma
import threading
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from image.card import imager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RAW = bytes(range(256)) * 4096
EPOCH = 1_764_000_000  # 2025-11-24
REQUIRED = {
    "name", "description", "icon", "url", "extract_size", "extract_sha256", "image_download_size", "release_date",
    "devices",
}  # fmt: skip
"""What Imager's own schema requires of an entry."""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    file = tmp_path / "modemhub-0.1.0-rpi-arm64.img.xz"
    file.write_bytes(lzma.compress(RAW))
    return file


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def fetched(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=10) as answer:
        body: bytes = answer.read()
    return body


def test_all_that_it_says_of_the_files_is_true_where_they_are_published(packed: Path, served: str) -> None:
    out = imager.publish(packed, version="0.1.0", epoch=EPOCH, base=served)
    (entry,) = json.loads(fetched(served + out.name))["os_list"]
    file = fetched(entry["url"])
    assert (len(file), hashlib.sha256(file).hexdigest()) == (
        entry["image_download_size"],
        entry["image_download_sha256"],
    )
    assert lzma.decompress(file) == RAW
    assert (len(RAW), hashlib.sha256(RAW).hexdigest()) == (entry["extract_size"], entry["extract_sha256"])
    assert fetched(entry["icon"]).startswith(b"<svg")


def test_the_entry_is_complete_and_is_shown_on_every_board_of_the_file(packed: Path) -> None:
    made = json.loads(imager.manifest(packed, base="https://example.com/files/", version="0.1.0", epoch=EPOCH))
    (entry,) = made["os_list"]
    assert entry.keys() >= REQUIRED
    assert entry["url"] == "https://example.com/files/modemhub-0.1.0-rpi-arm64.img.xz"
    assert entry["release_date"] == "2025-11-24"
    assert entry["init_format"] == "none"
    for board in made["imager"]["devices"]:
        assert set(board["tags"]) & set(entry["devices"]), board["name"]
    assert "pi5-64bit" not in entry["devices"]


def test_without_a_base_it_is_for_the_file_where_it_lies(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert imager.main([str(packed)]) == 0
    out = packed.with_name("modemhub-0.1.0-rpi-arm64-imager.json")
    assert capsys.readouterr().out.strip() == str(out)
    (entry,) = json.loads(out.read_text())["os_list"]
    assert entry["name"] == "modemhub 0.1.0"
    assert fetched(entry["url"]) == packed.read_bytes()
    assert (packed.parent / imager.ICON_NAME).read_bytes() == imager.ICON.read_bytes()


def test_what_is_no_image_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert imager.main([str(tmp_path / "modemhub-0.1.0-rpi-arm64.img.xz")]) == 1
    assert "is no modemhub-" in capsys.readouterr().err
