"""One command model for every door."""

import pytest
from pydantic import ValidationError

from appliance.errors import Rejected
from appliance.hub.command import MAX_RECIPIENTS, SendCommand


def test_one_recipient_and_many_read_alike() -> None:
    assert SendCommand(to="+447700900123", text="x").recipients == ["+447700900123"]
    assert SendCommand(to=["+447700900123", "88444"], text="x").recipients == ["+447700900123", "88444"]


@pytest.mark.parametrize(
    "body",
    [
        {"to": "+447700900123"},
        {"to": "+447700900123", "text": "x", "data": "eA=="},
        {"text": "x"},
        {"to": [], "text": "x"},
        {"to": ["+447700900123"] * (MAX_RECIPIENTS + 1), "text": "x"},
        {"to": "+447700900123", "text": "x", "ttl": 0},
        {"to": "+447700900123", "text": "x", "ttl": float("nan")},
        {"to": "+447700900123", "text": "x", "priority": 11},
        {"to": "+447700900123", "text": "x", "encoding": "utf-7"},
        {"to": "+447700900123", "text": "x", "txet": "x"},
        {"to": "+447700900123", "text": "x", "port": 65536},
    ],
)
def test_what_makes_no_sense_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SendCommand.model_validate(body)


def test_data_must_be_base64() -> None:
    assert SendCommand(to="88444", data="AQID").content() == b"\1\2\3"
    with pytest.raises(Rejected, match="not base64"):
        SendCommand(to="88444", data="not base64!").content()


def test_the_fingerprint_is_of_what_is_sent_and_not_of_who_asks() -> None:
    one = SendCommand(to="+447700900123", text="x", id="a", transaction=1)
    same = SendCommand(to="+447700900123", text="x", id="b", transaction="2")
    other = SendCommand(to="+447700900123", text="y", id="a")
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
