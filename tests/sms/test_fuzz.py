"""The fuzzer, for a moment; ``python -m tests.sms.fuzz`` is the long form."""

from __future__ import annotations

from tests.sms import laws
from tests.sms.fuzz import seeds, tpdus


def test_three_thousand_injured_tpdus() -> None:
    for octets in tpdus(3000, seed=0):
        laws.incoming(octets)
        laws.outgoing(octets)


def test_the_seeds_reach_all_three_types() -> None:
    found = {type(message).__name__ for octets in seeds() for message in (laws.incoming(octets), laws.outgoing(octets))}
    assert found == {"SmsDeliver", "SmsStatusReport", "SmsSubmit", "NoneType"}
