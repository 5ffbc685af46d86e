"""Writes SMS-DELIVER and SMS-SUBMIT TPDUs with pycrate: one record of ``lines`` for each wish."""

from __future__ import annotations

from importlib import import_module
from time import struct_time
from typing import Any

from tests.oracles import lines

sms = import_module("pycrate_mobile.TS23040_SMS")

_CHARSET = {"gsm7": 0, "data": 1, "ucs2": 2}


def write(wish: dict[str, Any]) -> dict[str, Any]:
    number = wish["number"]
    address = {"Type": int(number.startswith("+")), "NumberingPlan": 1, "Num": number.removeprefix("+")}
    values = {
        "TP_UDHI": int("total" in wish),
        "TP_DCS": {"Group": 0, "Charset": _CHARSET[wish["coding"]], "Class": 0},
    }
    if "submit" in wish:
        message = sms.SMS_SUBMIT(val={**values, "TP_DA": address})
    else:
        message = sms.SMS_DELIVER(val={**values, "TP_MMS": 1, "TP_OA": address})
        message["TP_SCTS"].encode(struct_time((*lines.SENT, 0, 0, 0)), 0.0)
    user_data = message["TP_UD"]
    if "total" in wish:
        place = {"MsgRef": wish["reference"], "MsgParts": wish["total"], "MsgNum": wish["sequence"]}
        user_data["UDH"].set_val({"UDH": [{"T": 0, "V": place}]})
    user_data["UD"].set_val(wish["text"] if "text" in wish else bytes.fromhex(wish["data"]))
    return {**wish, "tpdu": message.to_bytes().hex()}


if __name__ == "__main__":
    lines.write_each(write)
