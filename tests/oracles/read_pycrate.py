"""Oracle: pycrate's TS 23.040 reads the TPDU; national alphabets are read with gsmcodecs' tables of TS 23.038."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tests.oracles import lines

sms = import_module("pycrate_mobile.TS23040_SMS")
import_module("gsmcodecs")


def read(tpdu: bytes) -> dict[str, Any]:
    message = sms.SMS_DELIVER() if lines.message_type(tpdu) == lines.DELIVER else sms.SMS_SUBMIT()
    message.from_bytes(tpdu)
    address = message["TP_OA" if lines.message_type(tpdu) == lines.DELIVER else "TP_DA"]
    answer: dict[str, Any] = {}
    if address["Type"].get_val() != 5:
        answer["number"] = ("+" if address["Type"].get_val() == 1 else "") + address["Num"].decode()
    user_data = message["TP_UD"]
    header_octets = 0
    language = {36: 0, 37: 0}
    if lines.has_header(tpdu):
        header_octets = user_data["UDH"][0].get_val() + 1
        for element in user_data["UDH"][1]:
            identifier, content = element[0].get_val(), element[2].to_bytes()
            if identifier in language:
                language[identifier] = content[0]
            elif identifier == 0:
                answer |= {"reference": content[0], "total": content[1], "sequence": content[2]}
            elif identifier == 8:
                reference = int.from_bytes(content[:2], "big")
                answer |= {"reference": reference, "total": content[2], "sequence": content[3]}
    content = user_data["UD"].decode()
    if isinstance(content, bytes):
        answer["data"] = content.hex()
    elif any(language.values()):
        octets = user_data["UDH"].to_bytes() + user_data["UD"].get_val()
        septets = lines.unpack(octets, user_data["UDL"].get_val(), header_octets)
        answer["text"] = septets.decode(f"gsm23.038-{language[37]}-{language[36]}")
    else:
        answer["text"] = content
    return answer


if __name__ == "__main__":
    lines.answer_each(read)
