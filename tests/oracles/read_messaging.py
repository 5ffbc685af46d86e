"""Oracle: python-messaging. It reads what comes from a service centre only, and no national tables."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tests.oracles import lines

deliver = import_module("messaging.sms.deliver")


def read(tpdu: bytes) -> dict[str, Any]:
    if lines.message_type(tpdu) != lines.DELIVER:
        raise lines.UnableError("reads no SMS-SUBMIT")
    message = deliver.SmsDeliver("00" + tpdu.hex().upper())
    answer: dict[str, Any] = {"number": message.number}
    if message.udh is not None and message.udh.concat is not None:
        concat = message.udh.concat
        answer |= {"reference": concat.ref, "total": concat.cnt, "sequence": concat.seq}
    if message.udh is not None and {0x24, 0x25} & set(message.udh.headers):
        raise lines.UnableError("no national tables")
    if isinstance(message.text, bytes):
        answer["data"] = message.text.hex()
    else:
        answer["text"] = message.text
    return answer


if __name__ == "__main__":
    lines.answer_each(read)
