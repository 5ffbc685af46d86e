"""Texts to try a codec with: every alphabet, every length from nothing to ten segments, the same for the same seed.

The alphabets are those of the other people's tables (``handset_tables.json``), not of the codec under test.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TABLES = json.loads((Path(__file__).parent / "handset_tables.json").read_text())
_DEFAULT = "".join(_TABLES["locking"]["0"].values())
_EXTENSION = "".join(_TABLES["single"]["0"].values())
_LANGUAGES = range(1, 14)
_NO_LOCKING = 2

_SENTENCES = (
    "Alarm: pump 3 in the north field has stopped. Pressure 0.4 bar (limit 1.2). Reply STOP to silence for 1 h.",
    "Güneşli bir gün, İstanbul'da çığlık atan ağaçlar",
    "¿Dónde está el camión? Llegará mañana a las 8:30, según él.",
    "São João da Boa Vista: reunião amanhã às 10h, não esqueça o relatório.",
    "Привет! Насос №2 остановлен, давление 0,4 бар.",
    "Η αντλία 3 σταμάτησε στις 14:05.",
    "泵已停止，请检查压力传感器。",
    "ポンプが停止しました。確認してください。",
    "펌프가 멈췄습니다. 압력을 확인하세요.",
    "पंप बंद हो गया है, कृपया जाँच करें।",
    "Der Wasserstand beträgt 3,2 m – Tendenz steigend ↑",
    "👩‍🔧 fixed it 👍🏽 🇬🇧🇺🇳 ☕️ #️⃣ 👨‍👩‍👧‍👦",
    "e\u0301te\u0301 cafe\u0301 n\u0303 a\u0308o\u0308u\u0308",
    "line one\nline two\r\nline three\r",
    "ends with at@@@@@@@@",
    "\f{page} [two] ~ | \\ ^ €",
)
_WIDE = (
    (0x0020, 0x007E),
    (0x00A0, 0x017F),
    (0x0386, 0x03CE),
    (0x0400, 0x045F),
    (0x05D0, 0x05EA),
    (0x0620, 0x064A),
    (0x0E01, 0x0E3A),
    (0x3041, 0x3096),
    (0x4E00, 0x9FA5),
    (0xAC00, 0xD7A3),
    (0xE000, 0xE0FF),
)
_ASTRAL = ((0x1F300, 0x1F64F), (0x1F680, 0x1F6C5), (0x20000, 0x20FFF), (0x1D400, 0x1D450), (0x10000, 0x1005D))
_JOINED = ("👩\u200d👧", "👍🏽", "🇬🇧", "e\u0301", "क्षि", "각", "﷽", "1️⃣", "x")


class Sample(NamedTuple):
    """Something to send: a text with the wanted coding, or octets."""

    kind: str
    content: str | bytes
    coding: str


def _choose(random: Random, ranges: tuple[tuple[int, int], ...]) -> str:
    first, last = random.choice(ranges)
    return chr(random.randint(first, last))


def _mixed(random: Random, count: int, common: str, rare: str, share: float) -> str:
    return "".join(random.choice(rare if rare and random.random() < share else common) for _ in range(count))


def _national(random: Random, count: int, language: int, tables: str) -> str:
    locking = "".join(_TABLES["locking"].get(str(language), _TABLES["locking"]["0"]).values())
    single = "".join(_TABLES["single"][str(language)].values())
    match tables:
        case "locking":
            return _mixed(random, count, locking, _EXTENSION, 0.02)
        case "single":
            return _mixed(random, count, _DEFAULT, single, 0.2)
        case _:
            return _mixed(random, count, locking, single, 0.15)


def samples(count: int, seed: int) -> Iterator[Sample]:
    """So many samples, of all kinds in turn and of lengths for nought to ten segments."""
    random = Random(seed)
    kinds = _kinds()
    for number in range(count):
        kind, make, most, coding = kinds[number % len(kinds)]
        segments = random.randint(0, 10)
        length = random.randint(0, max(most * segments, 1)) if segments else random.randint(0, 3)
        if random.random() < 0.2:
            # At the brink: one below, at and above a segment's end.
            length = max(most * segments + random.randint(-2, 9), 0)
        yield Sample(kind, make(random, length), coding)


def _kinds() -> list[tuple[str, Callable[[Random, int], str | bytes], int, str]]:
    """(name, maker, characters that one segment takes at most, coding)."""
    plain: list[tuple[str, Callable[[Random, int], str | bytes], int, str]] = [
        ("default", lambda r, n: _mixed(r, n, _DEFAULT, "", 0), 153, "auto"),
        ("extension", lambda r, n: _mixed(r, n, _DEFAULT, _EXTENSION, 0.3), 110, "auto"),
        ("ucs2", lambda r, n: "".join(_choose(r, _WIDE) for _ in range(n)), 67, "ucs2"),
        (
            "astral",
            lambda r, n: "".join(_choose(r, _ASTRAL if r.random() < 0.4 else _WIDE) for _ in range(n)),
            45,
            "auto",
        ),
        ("joined", lambda r, n: "".join(r.choice(_JOINED) for _ in range(n)), 25, "auto"),
        ("sentence", lambda r, n: " ".join(r.choices(_SENTENCES, k=1 + n // 30)), 67, "auto"),
        ("data", lambda r, n: r.randbytes(n), 134, "data"),
    ]
    national: list[tuple[str, Callable[[Random, int], str | bytes], int, str]] = []
    for language in _LANGUAGES:
        for tables in ("locking", "single", "both"):
            if language == _NO_LOCKING and tables != "single":
                continue
            maker = lambda r, n, language=language, tables=tables: _national(r, n, language, tables)  # noqa: E731
            national.append((f"national {language} {tables}", maker, 120, "gsm7"))
    return plain * 3 + national
