"""Writes SMS-DELIVER and SMS-SUBMIT TPDUs with Gammu: one record of ``lines`` for each wish."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from tests.oracles import lines

gammu = import_module("gammu")

_CODING = {"gsm7": "Default_No_Compression", "ucs2": "Unicode_No_Compression", "data": "8bit"}
_SENT = datetime(*lines.SENT, tzinfo=UTC).replace(tzinfo=None)
# The binding asks for every key of its structure.
_MESSAGE = {
    "SMSC": {"Number": ""},
    "DateTime": _SENT,
    "SMSCDateTime": _SENT,
    "Class": -1,
    "Folder": 1,
    "InboxFolder": 0,
    "State": "UnRead",
    "Type": "Deliver",
    "Name": "",
    "Memory": "",
} | dict.fromkeys(
    (
        "Length",
        "MessageReference",
        "Location",
        "DeliveryStatus",
        "ReplyViaSameSMSC",
        "ReplaceMessage",
        "RejectDuplicates",
    ),
    0,
)
_HEADER = {"Type": "NoUDH", "Text": b"", "ID8bit": 0, "ID16bit": 0, "PartNumber": -1, "AllParts": 0}


def write(wish: dict[str, Any]) -> dict[str, Any]:
    header = _HEADER
    if "total" in wish:
        place = bytes((5, 0, 3, wish["reference"], wish["total"], wish["sequence"]))
        header = _HEADER | {"Type": "UserUDH", "Text": place}
    content = wish["text"] if "text" in wish else bytes.fromhex(wish["data"])
    layout = "Submit" if "submit" in wish else "Deliver"
    message = _MESSAGE | {
        "Type": layout,
        "Number": wish["number"],
        "Coding": _CODING[wish["coding"]],
        "Text": content,
        "UDH": header,
    }
    with_centre = gammu.EncodePDU(message, layout)
    return {**wish, "tpdu": with_centre[1 + with_centre[0] :].hex()}


if __name__ == "__main__":
    lines.write_each(write)
