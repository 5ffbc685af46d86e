"""The console's files: others' modules are as they were published, and nothing needs what its policy forbids."""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import pytest

CONSOLE = Path(str(resources.files("appliance.http"))) / "console"
VENDOR = CONSOLE / "vendor"
PATCHED = ("hooks.js", b'from"./preact.js"', b'from"preact"')
"""The one word that was changed, and what stood there."""

MODULES = sorted(path for path in CONSOLE.rglob("*.js"))
OWN = [path for path in MODULES if VENDOR not in path.parents]

ROW = re.compile(
    r"^\| (\S+\.(?:js|css)) \| (\S+) \| ([\d.]+) \| \S+ \| \[(\S+)\]\((\S+)\) \| ([0-9a-f]{64}) \|$", re.MULTILINE
)
IMPORT = re.compile(r"""(?:\bfrom|\bimport)\s*\(?["']([^"'\s]+)["']""")


def rows() -> dict[str, tuple[str, str]]:
    """File → its licence and sum, as the table says."""
    found = ROW.findall((VENDOR / "README.md").read_text("utf-8"))
    return {file: (licence, digest) for file, _, _, _, licence, digest in found}


def test_each_vendored_file_has_its_row_and_each_row_its_file() -> None:
    assert sorted(rows()) == sorted(path.name for path in VENDOR.iterdir() if path.suffix in {".js", ".css"})


@pytest.mark.parametrize("file", sorted(rows()))
def test_a_vendored_file_is_as_it_was_published(file: str) -> None:
    licence, digest = rows()[file]
    content = (VENDOR / file).read_bytes()
    patched, ours, theirs = PATCHED
    if file == patched:
        assert content.count(ours) == 1
        content = content.replace(ours, theirs)
    assert hashlib.sha256(content).hexdigest() == digest
    assert "Permission is hereby granted" in (text := (VENDOR / licence).read_text("utf-8")) or "Apache License" in text


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(CONSOLE).as_posix())
def test_a_module_imports_files_that_are_there(module: Path) -> None:
    """By relative paths: a bare name would need an import map, which is an inline script."""
    code = re.sub(r"/\*.*?\*/|^\s*//.*$", "", module.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for name in IMPORT.findall(code):
        assert name.startswith("."), name
        assert (module.parent / name).is_file(), name


@pytest.mark.parametrize("module", OWN, ids=lambda path: path.relative_to(CONSOLE).as_posix())
def test_a_module_of_ours_writes_no_style_and_no_markup(module: Path) -> None:
    """A style attribute is forbidden by the policy, and markup from a text is how a page is taken over."""
    code = module.read_text("utf-8")
    assert not re.search(
        r"\bstyle=|innerHTML|outerHTML|insertAdjacentHTML|\beval\(|new Function\b|document\.write", code
    )


class Page(HTMLParser):
    """What a page refers to, and what it holds inline."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[str] = []
        self.inline: list[str] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.files += [value for name in ("src", "href") if (value := given.get(name)) is not None]
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        self._script = tag in {"script", "style"}

    def handle_endtag(self, tag: str) -> None:
        self._script = self._script and tag not in {"script", "style"}

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.inline.append(data)


def test_the_page_has_nothing_inline_and_refers_to_files_of_the_console() -> None:
    page = Page()
    page.feed((CONSOLE / "index.html").read_text("utf-8"))
    assert page.inline == []
    assert page.files
    for file in page.files:
        assert file.startswith("/console/"), file
        assert (CONSOLE / file.removeprefix("/console/")).is_file(), file
