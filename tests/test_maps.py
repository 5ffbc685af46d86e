"""A map at the head of a package names every room that is there, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("package", ["image/device", "hil/card", "hil/guest"])
def test_every_room_is_on_the_map(package: str) -> None:
    place = ROOT / package
    text = ast.get_docstring(ast.parse((place / "__init__.py").read_text(encoding="utf-8"))) or ""
    named = re.findall(r"^    (\w+)  ", text, re.MULTILINE)
    assert sorted(named) == sorted(file.stem for file in place.glob("*.py") if file.stem != "__init__")
