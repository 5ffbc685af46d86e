"""Oracle: Wireshark's gsm_sms dissector. It names national languages and does not read their tables.

The TPDUs go to tshark as exported PDUs (link type 252), each with the dissector's name and its direction.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from struct import pack
from typing import Any

from tests.oracles import lines

_DISSECTOR_NAME = 12
_P2P_DIRECTION = 35


def _tag(number: int, value: bytes) -> bytes:
    value += bytes(-len(value) % 4)
    return pack(">HH", number, len(value)) + value


def _packet(tpdu: bytes) -> bytes:
    direction = 1 if lines.message_type(tpdu) == lines.SUBMIT else 0
    return _tag(_DISSECTOR_NAME, b"gsm_sms") + _tag(_P2P_DIRECTION, pack(">I", direction)) + bytes(4) + tpdu


def capture(tpdus: list[bytes]) -> bytes:
    """A pcap file of these TPDUs."""
    packets = [_packet(tpdu) for tpdu in tpdus]
    records = [pack("<IIII", n, 0, len(packet), len(packet)) + packet for n, packet in enumerate(packets)]
    return pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0xFFFF, 252) + b"".join(records)


def find(layer: Any, name: str) -> Any:
    """The first field of this name, however deep."""
    if isinstance(layer, dict):
        if name in layer:
            return layer[name]
        layer = list(layer.values())
    if isinstance(layer, list):
        for inner in layer:
            if (found := find(inner, name)) is not None:
                return found
    return None


def read(layers: dict[str, Any]) -> dict[str, Any]:
    sms = layers["gsm_sms"]
    if isinstance(sms, list):
        raise lines.UnableError("dissected more than once")
    if find(sms, "gsm_sms.dis_iei_lang.single_shift") or find(sms, "gsm_sms.dis_iei_lang.locking_shift"):
        raise lines.UnableError("no national tables")
    answer: dict[str, Any] = {}
    digits = find(sms, "gsm_sms.tp-oa") or find(sms, "gsm_sms.tp-da")
    if digits is not None:
        answer["number"] = ("+" if "e164.msisdn" in json.dumps(sms) else "") + digits
    if (total := find(sms, "gsm_sms.udh.mm.msg_parts")) is not None:
        answer |= {
            "reference": int(find(sms, "gsm_sms.udh.mm.msg_id"), 0),
            "total": int(total),
            "sequence": int(find(sms, "gsm_sms.udh.mm.msg_part")),
        }
    if (text := find(sms, "gsm_sms.sms_text")) is not None:
        answer["text"] = text
    elif (body := find(sms, "gsm_sms.sms_body")) is not None:
        answer["data"] = body.replace(":", "")
    return answer


def main() -> None:
    records = [json.loads(line) for line in sys.stdin]
    tpdus = [bytes.fromhex(record["tpdu"]) for record in records]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tpdus.pcap"
        file.write_bytes(capture(tpdus))
        options = ["-o", "gsm_sms.reassemble:FALSE", "-T", "json", "--no-duplicate-keys"]
        done = subprocess.run(["tshark", "-r", file, *options], capture_output=True, check=True)
    packets = json.loads(done.stdout)
    layers = iter(packet["_source"]["layers"] for packet in packets)
    lines.write(lines.answer(lambda _: read(next(layers)), record) for record in records)


if __name__ == "__main__":
    main()
