"""The writer under test: ``appliance.sms``: texts cut into SMS-SUBMIT, each with other options, and SMS-DELIVER."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from appliance.sms import Address, DataCodingScheme, Encoding, SmsDeliver, SmsSubmit, segment
from appliance.sms.timestamp import encode_timestamp
from tests.oracles import lines
from tests.oracles.texts import samples

if TYPE_CHECKING:
    from collections.abc import Iterator

_NUMBERS = ("+447700900123", "+4915112345678", "+12", "12345", "07700900123", "2", "+99999999999999999999")

_SENT = datetime(*lines.SENT, tzinfo=UTC)


def records(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """The records of so many samples."""
    random = Random(seed)
    number = 0
    for sample in samples(count, seed):
        wide = random.random() < 0.3
        reference = random.randrange(0x10000 if wide else 0x100)
        plan = segment(sample.content, encoding=Encoding(sample.coding), reference=reference, wide_reference=wide)
        assert sum_of(plan.parts) == sample.content, "the segments put together are the sample"
        for sequence, part in enumerate(plan.parts, 1):
            address = random.choice(_NUMBERS)
            submit = SmsSubmit(
                Address.parse(address),
                part,
                message_class=random.choice((None, None, None, 0, 1)),
                status_report_request=random.random() < 0.5,
                validity=random.choice((None, timedelta(hours=1), timedelta(days=400))),
                reject_duplicates=random.random() < 0.2,
                message_reference=random.randrange(256),
            )
            record: dict[str, Any] = {
                "id": number,
                "kind": sample.kind,
                "number": address,
                "tpdu": submit.encode().hex(),
            }
            record |= {"text": part.text} if part.data is None else {"data": part.data.hex()}
            if len(plan.parts) > 1:
                record |= {"reference": reference, "total": len(plan.parts), "sequence": sequence}
            yield record
            number += 1
            if number % 4 == 0:
                deliver = SmsDeliver(
                    originator=Address.parse(address),
                    user_data=part,
                    service_centre_timestamp=_SENT,
                    service_centre_timestamp_octets=encode_timestamp(_SENT),
                    data_coding_scheme=DataCodingScheme.of(part.encoding),
                )
                yield record | {"id": number, "tpdu": deliver.encode().hex()}
                number += 1


def sum_of(parts: tuple[Any, ...]) -> str | bytes:
    """The segments joined."""
    if parts[0].data is not None:
        return b"".join(part.data for part in parts)
    return "".join(part.text for part in parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=2100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    lines.write(records(arguments.texts, arguments.seed))
