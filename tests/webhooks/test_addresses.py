"""Where a webhook may go: judged by the address that is connected to, however it was come by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from yarl import URL

from appliance.webhooks import addresses
from appliance.webhooks.addresses import literal, refusal
from appliance.webhooks.sender import Failed, Sender, Told, resolve
from appliance.webhooks.settings import WebhookSettings
from tests.mqtt.house import free_port
from tests.webhooks.receiver import SECRET, at_rest, door_to, happen, pass_by, running, webhook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.mqtt.house import House
    from tests.webhooks.receiver import Receiver

LOCAL = [
    *("127.0.0.1", "127.255.255.254", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.0.8", "192.0.0.170", "198.18.0.1", "198.19.255.255"),
    *("192.0.2.1", "198.51.100.1", "203.0.113.1", "192.88.99.1"),
    *("::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "fd00:ec2::254"),
    *("2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "3fff::1", "2001:10::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:7f00:1", "::127.0.0.1", "::10.1.2.3", "::169.254.169.254"),
    *("2002:7f00:1::1", "2002:a00:1::", "2002:c0a8:101::1", "2002:a9fe:a9fe::"),
    *("64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254"),
]
"""Refused, unless private addresses are allowed."""

NEVER = [
    *("0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "ff02::1", "ff0e::1", "::ffff:0.0.0.0", "::ffff:224.0.0.1", "2002:e000:1::", "64:ff9b::255.255.255.255"),
]
"""Refused always."""

STRANGE = ["64:ff9b:1::1", "100::1", "5f00::1", "4000::1", "::ffff:0:1.2.3.4", "200::1"]
"""In no block that anybody is given: nobody's that we know of."""

FINE = [
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"),
    *(
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "223.255.255.255",
    ),
    *("2606:4700::1111", "2a00:1450:4001::1", "2001:200::1", "2001:4860:4860::8888", "3ffe::1"),
    *("::ffff:8.8.8.8", "2002:808:808::1", "64:ff9b::8.8.8.8"),
]


@pytest.mark.parametrize("address", [*LOCAL, *NEVER, *STRANGE])
def test_is_refused(address: str) -> None:
    assert refusal(address, allow_private=False) is not None


@pytest.mark.parametrize("address", FINE)
def test_is_let_through(address: str) -> None:
    assert refusal(address, allow_private=False) is None
    assert refusal(address, allow_private=True) is None


@pytest.mark.parametrize("address", LOCAL)
def test_is_let_through_when_private_is_allowed(address: str) -> None:
    assert refusal(address, allow_private=True) is None


@pytest.mark.parametrize("address", NEVER)
def test_is_refused_whatever_is_allowed(address: str) -> None:
    assert refusal(address, allow_private=True) is not None


def test_the_standard_librarys_table_lets_no_more_through_than_ours() -> None:
    """An independent table of the same registry, on the edges of its networks as we know them."""
    blocks = [network for network, _ in (*addresses.NEVER, *addresses.LOCAL)]
    edges = [
        network[place] + step
        for network in blocks
        for place in (0, -1)
        for step in (-1, 0, 1)
        if inside(network[place], step)
    ]
    assert len(edges) > 100
    for address in edges:
        if refusal(str(address), allow_private=False) is None:
            kinds = (address.is_private, address.is_loopback, address.is_link_local, address.is_multicast)
            assert not any((*kinds, address.is_reserved, address.is_unspecified)), address


def inside(address: addresses.Address, step: int) -> bool:
    return 0 <= int(address) + step < 1 << address.max_prefixlen


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f.1", "example.com", "[::1]"])
def test_a_name_is_no_literal(host: str) -> None:
    assert literal(host) is None


async def attempt(url: str, home: House, *answers: Sequence[str], allow_private: bool = False) -> list[object]:
    """What attempts come to when the name has these addresses, one answer of the DNS after the other."""
    asked = iter(answers)

    async def answer(host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("rebound.example", URL(url).port)
        return next(asked)

    # Not checked by the settings: the gate must not lean on what they let through.
    settings = WebhookSettings.model_construct(
        url=url, secret=SecretStr(SECRET), events=("call",), allow_private=allow_private
    )
    await happen(home, 1)
    (event,) = await home.hub.events(home.hub.newest - 1)
    async with Sender(settings, hub_id="1234", wall=lambda: 1.0, resolve=answer if answers else resolve) as sender:
        return [await sender.tell(event) for _ in answers or [()]]


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f000001", "0"])
async def test_a_literal_is_not_connected_to(home: House, receiver: Receiver, host: str) -> None:
    (outcome,) = await attempt(f"http://{host}:{receiver.port}/", home)
    assert isinstance(outcome, Failed)
    assert receiver.connections == 0
    assert receiver.got == []


@pytest.mark.asyncio
async def test_a_name_that_leads_here_is_not_connected_to_whenever_it_does(home: House, receiver: Receiver) -> None:
    url = f"http://rebound.example:{receiver.port}/"
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0"):
        (outcome,) = await attempt(url, home, [address])
        assert isinstance(outcome, Failed)
        assert "address is" in outcome.text
        assert outcome.down
    assert receiver.connections == 0


@pytest.mark.asyncio
async def test_every_attempt_asks_the_dns_anew_and_is_judged_anew(home: House, receiver: Receiver) -> None:
    url = f"http://rebound.example:{receiver.port}/"
    outcomes = await attempt(url, home, ["127.0.0.1"], ["0.0.0.0"], ["127.0.0.1"], ["224.0.0.1"], allow_private=True)
    assert [type(outcome) for outcome in outcomes] == [Told, Failed, Told, Failed]
    assert receiver.connections == 2


@pytest.mark.asyncio
async def test_of_several_addresses_only_those_are_tried_that_may_be(home: House, receiver: Receiver) -> None:
    url = f"http://rebound.example:{receiver.port}/"
    (outcome,) = await attempt(url, home, ["0.0.0.0", "224.0.0.1", "127.0.0.1"], allow_private=True)
    assert outcome == Told()
    assert receiver.connections == 1


@pytest.mark.asyncio
async def test_a_proxy_of_the_environment_is_not_used(
    home: House, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{receiver.port}")
    nobody = f"http://rebound.example:{free_port()}/"
    (outcome,) = await attempt(nobody, home, ["127.0.0.1"], allow_private=True)
    assert outcome == Failed("no connection: Connection refused", down=True)
    assert receiver.connections == 0


@pytest.mark.asyncio
async def test_a_refused_receiver_is_owed_and_told_in_the_status(home: House, receiver: Receiver) -> None:
    door = door_to(home, door=webhook(receiver, url=f"https://localhost:{receiver.port}/", allow_private=False))
    async with running(door):
        await happen(home, 1)
        await at_rest(home)
        assert door.states == [
            {
                "name": "door",
                "pending": 1,
                "last_error": "its address is loopback, and allow_private is not set",
            }
        ]
        await pass_by(home, 100)
        assert receiver.connections == 0
