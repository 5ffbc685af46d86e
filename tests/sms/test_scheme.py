"""23.038 §4: every TP-DCS."""

from __future__ import annotations

import pytest

from appliance.sms import DataCodingScheme, Encoding, WaitingKind

GSM7, UCS2, DATA = Encoding.GSM7, Encoding.UCS2, Encoding.DATA

# The upper four bits → the coding for each value of the lower four.
GENERAL = [GSM7] * 4 + [DATA] * 4 + [UCS2] * 4 + [GSM7] * 4
CODING = {
    **dict.fromkeys((0x0, 0x1, 0x4, 0x5), GENERAL),
    **dict.fromkeys((0x2, 0x3, 0x6, 0x7), [DATA] * 16),  # compressed
    **dict.fromkeys((0x8, 0x9, 0xA, 0xB, 0xC, 0xD), [GSM7] * 16),
    0xE: [UCS2] * 16,
    0xF: ([GSM7] * 4 + [DATA] * 4) * 2,
}


@pytest.mark.parametrize("group", range(16))
def test_coding(group: int) -> None:
    assert [DataCodingScheme(group << 4 | low).encoding for low in range(16)] == CODING[group]


@pytest.mark.parametrize("value", range(256))
def test_class(value: int) -> None:
    has_class = value >> 4 in {0x1, 0x3, 0x5, 0x7, 0xF}
    assert DataCodingScheme(value).message_class == (value & 3 if has_class else None)


@pytest.mark.parametrize("value", range(256))
def test_message_waiting(value: int) -> None:
    waiting = DataCodingScheme(value).message_waiting
    assert (waiting is not None) == (value >> 4 in {0xC, 0xD, 0xE})
    if waiting is not None:
        assert waiting.kind is WaitingKind(value & 3)
        assert waiting.active == bool(value & 8)
        assert waiting.store == (value >> 4 != 0xC)
        assert waiting.count is None


def test_reserved_values() -> None:
    reserved = {value for value in range(256) if DataCodingScheme(value).reserved}
    assert set(range(0x80, 0xC0)) <= reserved
    assert {0x0C, 0x1F, 0x4D} <= reserved
    assert not {0x00, 0x08, 0x18, 0xC8, 0xF0, 0xF4} & reserved


def test_automatic_deletion() -> None:
    assert [value for value in range(256) if DataCodingScheme(value).automatic_deletion] == list(range(0x40, 0x80))


@pytest.mark.parametrize("encoding", [GSM7, UCS2, DATA])
@pytest.mark.parametrize("message_class", [None, 0, 1, 2, 3])
def test_what_is_written_is_what_is_read(encoding: Encoding, message_class: int | None) -> None:
    scheme = DataCodingScheme.of(encoding, message_class)
    assert scheme.encoding is encoding
    assert scheme.message_class == message_class
    assert not scheme.compressed
    assert not scheme.reserved
