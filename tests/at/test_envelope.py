"""The hex line around a TPDU."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.at.envelope import EnvelopeError, unwrap, wrap

TPDU = bytes.fromhex("040B911346610089F60000208062917314080CC8F71D14969741F977FD07")
SCA = "07911326040000F0"


@given(st.binary(min_size=1, max_size=164))
def test_wrap_and_unwrap_are_inverse(tpdu: bytes) -> None:
    length, line = wrap(tpdu)
    assert length == len(tpdu)
    assert line == line.upper()
    assert unwrap(line, length) == tpdu
    assert unwrap(line) == tpdu


@pytest.mark.parametrize("tpdu", [b"", bytes(256)])
def test_what_is_no_tpdu_is_not_wrapped(tpdu: bytes) -> None:
    with pytest.raises(ValueError, match="octets"):
        wrap(tpdu)


@pytest.mark.parametrize(
    ("line", "stated"),
    [
        pytest.param(SCA + TPDU.hex(), len(TPDU), id="as the standard has it"),
        pytest.param(SCA + TPDU.hex(), None, id="no length"),
        pytest.param(SCA + TPDU.hex(), 0, id="length nought"),
        pytest.param(SCA + TPDU.hex(), len(TPDU) + 8, id="length with the SCA"),
        pytest.param(SCA + TPDU.hex(), 5, id="length too short"),
        pytest.param(SCA + TPDU.hex(), 160, id="length too long"),
        pytest.param("00" + TPDU.hex(), len(TPDU), id="empty SCA"),
        pytest.param(TPDU.hex(), len(TPDU), id="no SCA"),
        pytest.param(SCA + TPDU.hex() + "FF" * 20, len(TPDU), id="filled up as on the SIM"),
        pytest.param("  " + SCA + TPDU.hex().upper() + "\t", len(TPDU), id="white space around"),
    ],
)
def test_the_tpdu_is_found(line: str, stated: int | None) -> None:
    assert unwrap(line, stated) == TPDU


@pytest.mark.parametrize("line", ["", "0", "07X1", "hello world!", "07911326040000F", SCA, "00", "٠٠"])
def test_what_is_no_line_of_octets_keeps_its_raw_form(line: str) -> None:
    with pytest.raises(EnvelopeError) as caught:
        unwrap(line, 26)
    assert caught.value.raw == line


@given(st.text(max_size=60), st.one_of(st.none(), st.integers(-5, 300)))
def test_it_is_total(line: str, stated: int | None) -> None:
    with contextlib.suppress(EnvelopeError):
        assert unwrap(line, stated)
