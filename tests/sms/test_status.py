"""23.040 §9.2.3.15: TP-ST."""

from __future__ import annotations

import pytest

from appliance.sms import ReportOutcome, report_outcome, report_text


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ([0x00, 0x02], ReportOutcome.DELIVERED),
        ([0x01, *range(0x03, 0x20)], ReportOutcome.UNCONFIRMED),
        (range(0x20, 0x40), ReportOutcome.PENDING),
        (range(0x40, 0x100), ReportOutcome.FAILED),
    ],
)
def test_outcomes(values: list[int], outcome: ReportOutcome) -> None:
    assert {report_outcome(value) for value in values} == {outcome}


def test_every_value_has_words_of_its_own() -> None:
    assert len({report_text(value) for value in range(256)}) == 256


def test_reserved_values_say_their_number() -> None:
    assert report_text(0x85) == "service rejected (reserved status 0x85)"
    assert "0x31" in report_text(0x31)
