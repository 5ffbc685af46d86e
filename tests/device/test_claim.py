"""Who has the card in hand reads the claim; once there is an owner it goes, and the broker's port is opened."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING

import pytest

from image.device.boot import CLAIM, boot, refresh
from image.device.claim import addresses, claim

if TYPE_CHECKING:
    from image.device.place import Place
    from tests.device.conftest import Machine

TOKEN = "mhc_" + "a" * 32
PRINT = ":".join(["AB"] * 32)
HUB = f"This modemhub has no owner yet.\n\n{TOKEN}\n\nConsole: https://modemhub:8080/\n\n{PRINT}\n"


def link(address: str, family: str = "inet", **more: object) -> dict[str, object]:
    return {"family": family, "local": address, "scope": "global", **more}


LINKS = json.dumps(
    [
        {"ifname": "lo", "link_type": "loopback", "addr_info": [link("127.0.0.1")]},
        {
            "ifname": "eth0",
            "link_type": "ether",
            "addr_info": [
                link("2001:db8::7", "inet6"),
                link("2001:db8::8", "inet6", temporary=True),
                link("192.0.2.7"),
                {"family": "inet6", "local": "fe80::1", "scope": "link"},
            ],
        },
    ]
)


@pytest.fixture
def ready(place: Place, machine: Machine) -> Place:
    (place.broker / "modemhub/accounts").mkdir(parents=True)
    (place.broker / "modemhub/accounts/modemhub").write_text("x" * 32 + "\n", encoding="utf-8")
    machine.answers["ip"] = LINKS
    refresh(place)
    return place


def run(place: Place, machine: Machine) -> int:
    ticks = count()
    return claim(place, command=machine, clock=lambda: float(next(ticks)), sleep=lambda _: None)


def test_the_claim_stands_on_the_card_with_every_address(ready: Place, machine: Machine) -> None:
    ready.hub_store.write_bytes(b"")
    ready.hub_claim.write_text(HUB, encoding="utf-8")
    assert run(ready, machine) == 0
    told = (ready.fat / CLAIM).read_bytes().decode("utf-8-sig")
    assert TOKEN in told
    assert PRINT in told
    for url in ("https://modemhub.local:8080/", "https://192.0.2.7:8080/", "https://[2001:db8::7]:8080/"):
        assert url in told
    assert "db8::8" not in told
    assert told.count("\n") == told.count("\r\n")
    assert "8883" not in ready.at("/run/nftables.conf").read_text(encoding="utf-8")


def test_a_screen_shows_it(ready: Place, machine: Machine) -> None:
    ready.at("/dev/tty1").touch()
    ready.hub_claim.write_text(HUB, encoding="utf-8")
    run(ready, machine)
    assert TOKEN in ready.at("/dev/tty1").read_text(encoding="utf-8")


def test_with_an_owner_it_goes_and_the_broker_is_opened(ready: Place, machine: Machine) -> None:
    ready.hub_store.write_bytes(b"")
    ready.hub_claim.write_text(HUB, encoding="utf-8")
    run(ready, machine)
    machine.said.clear()
    ready.hub_claim.unlink()
    run(ready, machine)
    assert not (ready.fat / CLAIM).exists()
    assert "tcp dport { 8080, 8883 } accept" in ready.at("/run/nftables.conf").read_text(encoding="utf-8")
    assert ready.at("/run/systemd/dnssd/mqtt.dnssd").exists()
    assert ["nft", "-f", "/run/nftables.conf"] in machine.said
    assert ["systemctl", "try-reload-or-restart", "systemd-resolved.service"] in machine.said


def test_a_new_claim_closes_it_again(ready: Place, machine: Machine) -> None:
    ready.hub_store.write_bytes(b"")
    run(ready, machine)
    assert "8883" in ready.at("/run/nftables.conf").read_text(encoding="utf-8")
    ready.hub_claim.write_text(HUB, encoding="utf-8")
    run(ready, machine)
    assert "8883" not in ready.at("/run/nftables.conf").read_text(encoding="utf-8")
    assert not ready.at("/run/systemd/dnssd/mqtt.dnssd").exists()


def test_without_network_the_name_alone_is_told(ready: Place, machine: Machine) -> None:
    machine.answers["ip"] = "[]"
    ready.hub_claim.write_text(HUB, encoding="utf-8")
    assert run(ready, machine) == 0
    assert b"https://modemhub.local:8080/" in (ready.fat / CLAIM).read_bytes()
    assert addresses(machine) == []


def test_nothing_is_written_where_nothing_changed(ready: Place, machine: Machine) -> None:
    ready.hub_claim.write_text(HUB, encoding="utf-8")
    run(ready, machine)
    machine.said.clear()
    run(ready, machine)
    assert [words[0] for words in machine.said] == ["ip"]


def test_a_claim_that_a_power_cut_left_on_the_card_goes_at_the_next_start(ready: Place, machine: Machine) -> None:
    ready.hub_claim.write_text(HUB, encoding="utf-8")
    run(ready, machine)
    boot(ready, command=machine)
    assert (ready.fat / CLAIM).exists()
    ready.hub_claim.unlink()
    boot(ready, command=machine)
    assert not (ready.fat / CLAIM).exists()
