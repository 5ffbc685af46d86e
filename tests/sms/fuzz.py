"""Random and mutated TPDUs against the laws: ``python -m tests.sms.fuzz --count 1000000 --seed 1``.

Every TPDU is read in both directions. Ends with 1 and the TPDU in hexadecimal at the first one that breaks a law.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

from appliance.sms import (
    Address,
    DataCodingScheme,
    SmsDeliver,
    SmsStatusReport,
    SmsSubmit,
    segment,
)
from appliance.sms.timestamp import encode_timestamp
from tests.oracles.texts import samples
from tests.sms import laws
from tests.sms.hostile import HOSTILE

if TYPE_CHECKING:
    from collections.abc import Iterator

_SENT = datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC)
_PROGRESS = 50_000
_TELLING = (0x00, 0x01, 0x03, 0x05, 0x07, 0x08, 0x1B, 0x24, 0x25, 0x3F, 0x40, 0x7F, 0x80, 0x8C, 0xA0, 0xD0, 0xFE, 0xFF)


def seeds() -> list[bytes]:
    """Well-formed TPDUs of all three types and all codings, and the hostile ones."""
    found = [bytes.fromhex(octets) for octets in HOSTILE.values()]
    addresses = (Address.parse("+447700900123"), Address.parse("12345"), Address.alphanumeric("Vodafone"))
    stamp = encode_timestamp(_SENT)
    for number, sample in enumerate(samples(200, 2)):
        plan = segment(sample.content[:300], reference=number)
        address = addresses[number % 3]
        for part in plan.parts:
            found.append(SmsSubmit(addresses[number % 2], part, validity=timedelta(hours=1)).encode())
            scheme = DataCodingScheme.of(part.encoding)
            deliver = SmsDeliver(
                originator=address,
                user_data=part,
                service_centre_timestamp=_SENT,
                service_centre_timestamp_octets=stamp,
                data_coding_scheme=scheme,
            )
            found.append(deliver.encode())
        report = SmsStatusReport(
            message_reference=number,
            recipient=address,
            service_centre_timestamp=_SENT,
            discharge_time=_SENT,
            status=number,
            service_centre_timestamp_octets=stamp,
            discharge_time_octets=stamp,
            protocol_identifier=0 if number % 2 else None,
            data_coding_scheme=DataCodingScheme.of(plan.encoding) if number % 3 else None,
            user_data=plan.parts[0] if number % 3 else None,
        )
        found.append(report.encode())
    return found


def mutate(random: Random, octets: bytes) -> bytes:
    """The octets with one to four small injuries."""
    body = bytearray(octets)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(body) + 1)
        match random.randrange(7):
            case 0 if place < len(body):
                body[place] ^= 1 << random.randrange(8)
            case 1 if place < len(body):
                body[place] = random.choice(_TELLING)
            case 2:
                del body[place:]
            case 3:
                body[place:place] = random.randbytes(random.randint(1, 3))
            case 4:
                del body[place : place + random.randint(1, 8)]
            case 5:
                body += random.randbytes(random.randint(1, 40))
            case _ if body:
                body[min(place, 16) % len(body)] = random.randrange(256)
    return bytes(body)


def tpdus(count: int, seed: int) -> Iterator[bytes]:
    """So many TPDUs: one in eight is noise, the others come from a well-formed or hostile one."""
    random = Random(seed)
    known = seeds()
    for _ in range(count):
        if random.randrange(8) == 0:
            yield random.randbytes(random.randint(0, 180))
        else:
            yield mutate(random, random.choice(known))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sms.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    outcomes: Counter[str] = Counter()
    begun = time.monotonic()
    for number, octets in enumerate(tpdus(arguments.count, arguments.seed), 1):
        try:
            received = laws.incoming(octets)
            submitted = laws.outgoing(octets)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the fuzzer is after
            say(f"TPDU {number} of seed {arguments.seed} breaks a law: {octets.hex()}\n{type(error).__name__}: {error}")
            return 1
        outcomes[type(received).__name__ if received else "refused as incoming"] += 1
        outcomes["SmsSubmit" if submitted else "refused as outgoing"] += 1
        if number % _PROGRESS == 0:
            say(f"{number} TPDUs, {number / (time.monotonic() - begun):.0f} a second")
    told = ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items()))
    say(f"{arguments.count} TPDUs with seed {arguments.seed}, none broke a law: {told}")
    return 0


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
