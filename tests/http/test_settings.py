"""What a user may write about HTTP."""

import pytest
from pydantic import ValidationError

from appliance.http import HttpSettings


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::]:8080", ("::", 8080)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_where_to_listen(listen: str, address: tuple[str, int]) -> None:
    assert HttpSettings(listen=listen).address == address


@pytest.mark.parametrize(
    "listen", ["", "8080", "127.0.0.1", ":8080", "x:port", "x:99999", "http://x:80", "x:80/path", "a@b:1"]
)
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(ValidationError):
        HttpSettings(listen=listen)
