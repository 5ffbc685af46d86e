"""The reader under test: ``appliance.sms``."""

from __future__ import annotations

from typing import Any

from appliance.sms import SmsDeliver, SmsSubmit, decode_incoming
from tests.oracles import lines


def read(tpdu: bytes) -> dict[str, Any]:
    message = SmsSubmit.decode(tpdu) if lines.message_type(tpdu) == lines.SUBMIT else decode_incoming(tpdu)
    if not isinstance(message, SmsSubmit | SmsDeliver):
        raise lines.UnableError("a status report")
    address = message.destination if isinstance(message, SmsSubmit) else message.originator
    found: dict[str, Any] = {"number": str(address)}
    user_data = message.user_data
    if user_data.data is None:
        found["text"] = user_data.text
    else:
        found["data"] = user_data.data.hex()
    if (place := user_data.concatenation) is not None:
        found |= {"reference": place.reference, "total": place.total, "sequence": place.sequence}
    if isinstance(message, SmsDeliver) and message.service_centre_timestamp is not None:
        found["sent"] = message.service_centre_timestamp.isoformat()
    return found


if __name__ == "__main__":
    lines.answer_each(read)
