"""Oracle: smspdudecoder reads the TPDU; national alphabets are read with a handset's tables (handset_tables.json)."""

from __future__ import annotations

import json
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

from tests.oracles import lines

fields = import_module("smspdudecoder.fields")
TABLES = json.loads((Path(__file__).parent / "handset_tables.json").read_text())


def read(tpdu: bytes) -> dict[str, Any]:
    deliver = lines.message_type(tpdu) == lines.DELIVER
    stream = StringIO("00" + tpdu.hex())
    message = (fields.SMSDeliver if deliver else fields.SMSSubmit).decode(stream)
    address = message["sender" if deliver else "recipient"]
    answer: dict[str, Any] = {
        "number": ("+" if address["toa"]["ton"] == "international" else "") + address["number"],
    }
    header = message["user_data"]["header"]
    language = {0x24: 0, 0x25: 0}
    for element in header["elements"] if header else ():
        if element["iei"] in language:
            language[element["iei"]] = int(element["data"], 16)
        elif element["iei"] in {0, 8}:
            place = element["data"]
            answer |= {"reference": place["reference"], "total": place["parts_count"], "sequence": place["part_number"]}
    content = message["user_data"]["data"]
    if isinstance(content, bytes):
        answer["data"] = content.hex()
    elif any(language.values()):
        # The raw user data: behind TP-MTI, for SUBMIT TP-MR, the address, TP-PID, TP-DCS, and TP-SCTS or TP-VP.
        times = 7 if deliver else {0: 0, 2: 1}.get(message["header"]["vpf"], 7)
        start = (1 if deliver else 2) + 2 + (address["length"] + 1) // 2 + 2 + times + 1
        septets = lines.unpack(tpdu[start:], tpdu[start - 1], header["length"] + 1)
        answer["text"] = handset_text(septets, language[0x25], language[0x24])
    else:
        answer["text"] = content
    return answer


def handset_text(septets: bytes, locking: int, single: int) -> str:
    main, shift = TABLES["locking"][str(locking)], TABLES["single"][str(single)]
    text: list[str] = []
    shifted = False
    for code in (f"{septet:02X}" for septet in septets):
        if code == "1B" and not shifted:
            shifted = True
            continue
        text.append((shifted and shift.get(code)) or main[code])
        shifted = False
    return "".join(text)


if __name__ == "__main__":
    lines.answer_each(read)
