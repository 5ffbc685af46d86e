"""The network's codec as the other codecs' bench sees it: texts in, SMS-DELIVER out; TPDUs in, what they say out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from hil.emulator import alphabet, tpdu
from hil.emulator.lines import SENT, answer, read, tables_for, write, write_all

ROOT = Path(__file__).resolve().parents[2]
DELIVER = "0405812143f5000042209232958500"
SUBMIT = "010005812143f50000"


def wish(number: int = 0, *, coding: str = "auto", **content: str) -> dict[str, Any]:
    return {"id": number, "coding": coding, **content}


def joined(records: list[dict[str, Any]], key: str = "text") -> str:
    return "".join(record[key] for record in records)


@pytest.mark.parametrize("language", range(1, 14))
def test_every_letter_of_a_language_comes_back_from_its_tables(language: int) -> None:
    locking = alphabet.LOCKING.get(language, alphabet.LOCKING[0])
    letters = [char for char in locking if char not in (None, "\x1b")] + list(alphabet.SINGLE[language].values())
    text = "".join(map(str, letters))
    records = list(write(wish(language, coding="gsm7", text=text)))
    assert joined(records) == text
    for record in records:
        ud = tpdu.read_deliver(bytes.fromhex(record["tpdu"])).ud
        assert language in (ud.locking, ud.single)


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("", (0, 0)),
        ("plain ~ text", (0, 0)),
        ("ış", (1, 0)),
        ("í" + 40 * "Δ", (0, 2)),
        (40 * "ã" + "Δ", (3, 0)),
        (20 * "ı" + 20 * "ã", (1, 3)),
    ],
)
def test_a_text_gets_the_tables_that_write_it_shortest(text: str, tables: tuple[int, int]) -> None:
    found = tables_for(text)
    assert len(alphabet.encode(text, *found)) <= len(alphabet.encode(text, *tables))
    assert (found == (0, 0)) == (tables == (0, 0))


def test_a_text_without_tables_is_not_written_otherwise() -> None:
    with pytest.raises(alphabet.CodeError, match="泵"):
        tables_for("pump 泵")


@pytest.mark.parametrize("coding", ["auto", "ucs2", "gsm7"])
@pytest.mark.parametrize("length", [0, 1, 69, 70, 71, 153, 159, 160, 161, 306, 307, 1530])
def test_a_text_is_its_segments_in_order(coding: str, length: int) -> None:
    text = ("The quick brown fox [jumps] over it. " * 50)[:length]
    for number in range(12):
        records = list(write(wish(number, coding=coding, text=text)))
        assert joined(records) == text
        places = [(record.get("sequence", 1), record.get("total", 1)) for record in records]
        assert places == [(n, len(records)) for n in range(1, len(records) + 1)]
        assert len({record.get("reference") for record in records}) == 1


def test_data_are_octets_in_order() -> None:
    octets = bytes(range(256)) * 3
    records = list(write(wish(7, coding="data", data=octets.hex())))
    assert bytes.fromhex(joined(records, "data")) == octets
    assert len(records) == 6


def test_the_same_wish_gives_the_same_records_and_others_differ_in_all_that_may() -> None:
    seen: defaultdict[str, set[Any]] = defaultdict(set)
    for number in range(60):
        records = list(write(wish(number, text="x" * 200)))
        assert records == list(write(wish(number, text="x" * 200)))
        for key in ("number", "sent"):
            seen[key].add(records[0][key])
        octets = bytes.fromhex(records[0]["tpdu"])
        seen["dcs"].add(tpdu.read_deliver(octets).dcs)
        place = tpdu.read_deliver(octets).ud.concat
        assert place is not None
        seen["wide"].add(place.wide)
        assert tpdu.read_deliver(octets).scts == SENT
    assert {key: len(values) for key, values in seen.items()} == {"number": 10, "sent": 7, "dcs": 3, "wide": 2}


@pytest.mark.parametrize(
    ("octets", "found"),
    [
        (DELIVER + "0361f118", {"number": "12345", "text": "abc", "sent": "2024-02-29T23:59:58+00:00"}),
        (SUBMIT + "0361f118", {"number": "12345", "text": "abc"}),
        ("040bd0d07a1b0e9a01" + DELIVER[12:] + "00", {"number": "Pump 3", "text": ""}),
    ],
)
def test_a_reader_says_what_a_tpdu_says(octets: str, found: dict[str, str]) -> None:
    assert read(bytes.fromhex(octets)).items() >= found.items()


@pytest.mark.parametrize(
    ("octets", "field"),
    [
        ("02", "tp-mti"),
        ("04", "tp-oa"),
        (DELIVER.replace("2143f5", "21f3f5") + "0361f118", "tp-oa"),
        ("0402d01b" + DELIVER[12:] + "00", "tp-oa"),
        (DELIVER.replace("29", "2c") + "00", "tp-scts"),
        (DELIVER.replace("422092", "424392") + "00", "tp-scts"),
        (DELIVER + "0361f1", "tp-ud"),
        (DELIVER + "0361f1f8", "tp-ud"),
        (DELIVER + "0461f118", "tp-ud"),
        (SUBMIT + "0361f1f8", "tp-ud"),
    ],
)
def test_what_the_standard_forbids_is_an_error_that_names_the_field(octets: str, field: str) -> None:
    assert answer({"id": 3, "tpdu": octets})["error"].startswith(f"{field} at octet ")


def test_a_number_longer_than_a_telephone_number_is_not_read_and_no_error() -> None:
    octets = tpdu.write_address("+99999999999999999999")
    for head, tail in ((b"\x01\x00", b"\0\0\0"), (b"\x04", bytes.fromhex(DELIVER[12:]) + b"\0")):
        assert answer({"id": 4, "tpdu": (head + octets + tail).hex()}) == {"id": 4, "unable": "no E.164 number"}


def test_the_command_writes_and_reads_json_lines() -> None:
    def run(way: str, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        command = (sys.executable, "-m", "hil.emulator.lines", way)
        given = "".join(json.dumps(line) + "\n" for line in lines)
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=True, cwd=ROOT)
        return [json.loads(line) for line in done.stdout.splitlines()]

    wishes = [wish(0, text="a" * 400), wish(1, coding="gsm7", text="çığlık"), wish(2, coding="data", data="00ff")]
    records = run("--write", wishes)
    assert records == list(write_all(wishes))
    assert [record["id"] for record in records] == list(range(5))
    for record, found in zip(records, run("--read", records), strict=True):
        assert found == {key: value for key, value in record.items() if key != "tpdu"}
