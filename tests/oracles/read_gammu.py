"""Oracle: Gammu's libGammu by its Python binding. It knows the default alphabet and UCS-2, no national tables."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tests.oracles import lines

gammu = import_module("gammu")


def read(tpdu: bytes) -> dict[str, Any]:
    message = gammu.DecodePDU(tpdu, False)  # False: no service centre address
    header = message["UDH"]
    raw = header["Text"]
    if raw and {0x24, 0x25} & set(elements(raw)):
        raise lines.UnableError("no national tables")
    answer: dict[str, Any] = {"number": message["Number"]}
    if header["AllParts"] > 0:
        wide = header["ID16bit"] > 0
        reference = header["ID16bit"] if wide else header["ID8bit"]
        answer |= {"reference": reference, "total": header["AllParts"], "sequence": header["PartNumber"]}
    if message["Coding"] == "8bit":
        answer["data"] = message["Text"].hex()
    else:
        # The binding takes the number of septets for that of characters: a NUL and what lies there follow.
        answer["text"] = message["Text"].split("\0")[0]
    return answer


def elements(header: bytes) -> list[int]:
    found = []
    place = 1
    while place + 1 < len(header):
        found.append(header[place])
        place += 2 + header[place + 1]
    return found


if __name__ == "__main__":
    lines.answer_each(read)
