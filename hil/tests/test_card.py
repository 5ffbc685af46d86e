"""The very SD image, flashed and started: what is open, what is kept, and texts through a modem plugged in outside.

One card serves the file: it is flashed with a settings file as a person writes one, and started once. A second one,
with other settings, shows that two cards of one image have no secret in common. ``make card`` builds the image and runs
this.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio

from hil.card import machine, tiny
from hil.card.house import modem_in
from hil.card.machine import SSH_KEY, CardMachine
from hil.card.slots import plugged
from hil.rig import Api, Modems, Observer, mosquitto_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hil.conftest import NewRow

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1200)]

TOKEN: Final = "a-token-of-the-owners-own-choice"
ACCOUNT: Final = ("house", "a-password-of-the-house")
SETTINGS: Final = f"""
[system]
hostname = "texts"
ssh_keys = ["{SSH_KEY}"]

[tokens.house]
token = "{TOKEN}"
scopes = ["admin"]

[broker.accounts.{ACCOUNT[0]}]
password = "{ACCOUNT[1]}"
roles = ["homeassistant"]
""".replace("\n", "\r\n")
"""As an editor of Windows saves it."""
OTHER: Final = f"[system]\nssh_keys = ['{SSH_KEY}']\n"
"""Of a second card, which has no owner."""
HTTPS, SSH, MQTTS, MQTT = 8080, 22, 8883, 1883
OPEN: Final = {("tcp", HTTPS), ("tcp", SSH), ("tcp", MQTTS)}
"""What is documented as open on a device that is claimed and has an SSH key."""
FRIEND: Final = "+447700900821"
GOOD: Final = "until fw_printenv | grep -x BOOT_A_LEFT=c >/dev/null; do sleep 2; done; fw_printenv"
"""Waits on the device: nothing outside tells when its slot was marked good."""
REVIVED: Final = 300.0
"""Seconds for what takes a quarter of that where nobody else has the processors."""
MEMORY: Final = 420
"""Megabytes of RAM in use when idle: a Zero 2 W has 512, of which the firmware takes 76."""


@pytest.fixture(scope="module", autouse=True)
def _able(card: Path) -> None:
    if reason := machine.needed():
        pytest.skip(reason)
    assert card.exists()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def device(card: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CardMachine]:
    """A card with the settings, in a machine, ready."""
    forward = (HTTPS, SSH, MQTTS, MQTT)
    async with CardMachine(card, tmp_path_factory.mktemp("card"), settings=SETTINGS, forward=forward) as running:
        yield running


async def trust(device: CardMachine) -> ssl.SSLContext:
    """The hub's certificate, as one who has looked at its fingerprint keeps it."""
    found = ssl.create_default_context(cadata=ssl.DER_cert_to_PEM_cert(await device.certificate(HTTPS)))
    found.check_hostname = False
    return found


async def broker_trust(device: CardMachine) -> ssl.SSLContext:
    """The authority of the device's broker, which lies on its FAT partition."""
    found = ssl.create_default_context(cadata=await device.shell("cat /boot/firmware/modemhub-ca.crt"))
    found.check_hostname = False
    return found


async def properties(device: CardMachine, unit: str, *names: str) -> dict[str, str]:
    told = await device.ssh(["systemctl", "show", unit, "--property", ",".join(names)])
    return dict(line.split("=", 1) for line in told.out.splitlines())


async def test_it_is_up_in_time_with_no_failed_unit(device: CardMachine, row: NewRow) -> None:
    state = (await device.shell("systemctl is-system-running --wait", check=False, within=REVIVED)).strip()
    failed = (await device.shell("systemctl list-units --failed --no-legend --plain")).strip()
    assert (state, failed) == ("running", "")
    hub = await properties(device, "modemhub.service", "ActiveEnterTimestampMonotonic", "NRestarts")
    free = await device.shell("free --mega")
    used = int(re.findall(r"Mem:\s+\d+\s+(\d+)", free)[0])
    row(
        "card",
        figure="hub ready, seconds of the guest after its kernel's start",
        value=int(hub["ActiveEnterTimestampMonotonic"]) / 1e6,
    )
    row("card", figure="memory in use when idle, MB", value=used)
    assert hub["NRestarts"] == "0"
    assert used < MEMORY


async def test_the_root_is_read_only_and_the_data_partition_has_the_rest_of_the_card(device: CardMachine) -> None:
    options = (await device.shell("findmnt --noheadings --output OPTIONS /")).strip().split(",")
    assert "ro" in options
    assert (await device.ssh(["touch", "/here"], check=False)).code != 0
    assert "ro" in (await device.shell("findmnt --noheadings --output OPTIONS /boot/firmware")).strip().split(",")
    size = int(await device.shell("lsblk --noheadings --bytes --output SIZE /dev/modemhub/data"))
    assert device.size is not None
    assert size > device.size - (1 << 30) * 7 // 4
    blocks = int(await device.shell("stat --file-system --format=%b /data"))
    assert blocks * 4096 > size * 9 // 10


async def test_the_names_of_the_card_do_not_depend_on_the_board(device: CardMachine) -> None:
    found = set((await device.shell("cd /dev/modemhub; ls disk boot rootA rootB data")).split())
    assert found == {"disk", "boot", "rootA", "rootB", "data"}
    words = (await device.shell("cat /proc/cmdline")).split()
    assert {"root=PARTUUID=4d485542-02", "ro", "rauc.slot=A", "panic=10"} <= set(words)


async def test_another_card_in_a_usb_reader_is_not_taken_for_its_own(device: CardMachine, tmp_path: Path) -> None:
    if reason := tiny.needed():
        pytest.skip(reason)
    other = tiny.card(tmp_path / "other", a=None, b=None)
    async with plugged(device, other):
        await device.ssh(["udevadm", "wait", "--timeout=120", "--settle", "/dev/sda3"])
        links = (await device.shell("cd /dev/modemhub; readlink disk boot rootA rootB data")).split()
        assert links == ["../vda", "../vda1", "../vda2", "../vda3", "../vda4"]


async def test_the_slot_is_marked_good_once_the_hub_runs(device: CardMachine) -> None:
    told = await device.shell(GOOD, within=REVIVED)
    assert {"BOOT_A_LEFT=c", "BOOT_ORDER=A"} <= set(told.split("\n"))


async def test_nobody_has_a_password(device: CardMachine) -> None:
    shadow = await device.shell("cut --delimiter=: --fields=1,2 /etc/shadow")
    assert [line for line in shadow.splitlines() if not re.fullmatch(r"[^:]+:[!*]+", line)] == []
    config = await device.shell("sshd -T")
    for line in ("passwordauthentication no", "kbdinteractiveauthentication no", "permitemptypasswords no"):
        assert line in config.splitlines()


async def test_open_are_the_documented_ports_and_no_other(device: CardMachine) -> None:
    listening = set()
    for line in (await device.shell("ss --no-header --listening --numeric --tcp --udp")).splitlines():
        kind, _state, _received, _sent, local, *_ = line.split()
        address, _, number = local.rpartition(":")
        if not re.match(r"127\.|\[::1\]", address.partition("%")[0]):
            listening.add((kind, int(number)))
    assert {each for each in listening if each[0] == "tcp"} <= OPEN
    assert {number for kind, number in listening if kind == "udp"} <= {68, 546, 5353}
    for port, greeting in ((SSH, b""), (MQTT, b"\x10\x0d\0\4MQTT\4\2\0\x3c\0\1x")):
        assert bool(await first_octets(device.ports[port], greeting)) == (port == SSH)
    assert await device.certificate(MQTTS)
    rules = await device.shell("nft list ruleset")
    assert "policy drop" in rules


async def first_octets(port: int, greeting: bytes) -> bytes:
    """What a service answers to that, or nothing when there is none."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(greeting)
                return await reader.read(64)
            finally:
                writer.close()
    return b""


async def test_the_hub_is_as_confined_as_its_package_says(device: CardMachine, row: NewRow) -> None:
    told = await device.shell("systemd-analyze security modemhub.service --no-pager | tail -1")
    exposure = float(re.findall(r"(\d+\.\d)", told)[0])
    row("card", figure="exposure of modemhub.service (systemd-analyze security)", value=exposure)
    assert exposure <= 2.0


async def test_a_modem_is_plugged_in_and_texts_go_both_ways(device: CardMachine, tmp_path: Path) -> None:
    if mosquitto_path() is None:
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    address = f"https://127.0.0.1:{device.ports[HTTPS]}"
    async with (
        Observer(
            device.ports[MQTTS], name="house", login=ACCOUNT, everything="modemhub/#", trust=await broker_trust(device)
        ) as house,
        Api(address, TOKEN, verify=await trust(device)) as api,
        Modems(tmp_path / "m", configuration=modem_in(device)) as modems,
    ):
        (modem,) = modems.all
        await house.until_heard(f"modem/{modem.imei}/availability", b"online", within=REVIVED)

        await house.publish(f"send/{FRIEND.removeprefix('+')}", "out by MQTT")
        await modems.submits(1, within=REVIVED)
        message = await api.send(to=FRIEND, text="out by HTTP")
        await house.until_state(message["id"], "delivered", within=REVIVED)
        assert [(sent.to, sent.text) for sent in modems.sent()] == [(FRIEND, "out by MQTT"), (FRIEND, "out by HTTP")]

        await modems.deliver(modem, "in")
        heard = await house.until_heard("received", within=REVIVED)
        assert (heard.json["text"], heard.json["modem"]) == ("in", modem.imei)
        assert [told["text"] for told in (await api.get("/api/v1/inbox"))["messages"]] == ["in"]

        start = len(house.heard.items)
        await modems.do("fault", kind="unplug")
        await house.until_heard(f"modem/{modem.imei}/availability", b"offline", start=start, within=REVIVED)
        start = len(house.heard.items)
        await modems.do("fault", kind="replug")
        await house.until_heard(f"modem/{modem.imei}/availability", b"online", start=start, within=REVIVED)
        message = await api.send(to=FRIEND, text="after it was away")
        await house.until_state(message["id"], "delivered", within=REVIVED)


SECRETS: Final = "find device modemhub mosquitto systemd -type f -size -64k -size +0 -exec sha256sum {} +"
SAME: Final = re.compile(r"settings\.toml|intake\.json|.*\.conf|.*/timesync/.*|.*/rfkill/.*|CLAIM\.txt|.*version.*")
"""Files that hold no secret."""


async def secrets(device: CardMachine) -> dict[str, str]:
    """Hashes of the small files that are kept: keys, certificates, passwords."""
    lines = (await device.shell(f"cd /data && {SECRETS}", within=REVIVED)).splitlines()
    found = {name: digest for digest, name in (line.split(None, 1) for line in lines)}
    return {name: digest for name, digest in found.items() if not SAME.fullmatch(name)}


async def host_keys(device: CardMachine) -> set[str]:
    """What it shows to who comes by ssh."""
    found = set(re.findall(r"AAAA\S+", await device.shell("cat /data/device/ssh/*.pub")))
    assert found
    return found


async def test_secrets_have_left_the_fat_partition_and_two_cards_share_none(
    device: CardMachine, card: Path, tmp_path: Path
) -> None:
    """Ends the first card's run: one machine at a time."""
    first = await secrets(device)
    keys = await host_keys(device)
    seen = {HTTPS: await device.fingerprint(HTTPS), MQTTS: await device.fingerprint(MQTTS)}
    await device.shut_down(within=REVIVED)
    text = device.fat("modemhub.toml").decode()
    assert 'hostname = "texts"' in text
    assert TOKEN not in text
    assert ACCOUNT[1] not in text
    with pytest.raises(FileNotFoundError):
        device.fat("CLAIM.txt")
    with pytest.raises(FileNotFoundError):
        device.fat("modemhub-error.txt")

    async with CardMachine(card, tmp_path, settings=OTHER, forward=(HTTPS, SSH, MQTTS)) as other:
        second = await secrets(other)
        assert await other.fingerprint(HTTPS) != seen[HTTPS]
        with pytest.raises(OSError):  # noqa: PT011 - refused, reset or unanswered: it has no owner
            async with asyncio.timeout(20):
                await other.certificate(MQTTS)
        assert not keys & await host_keys(other)
        fingerprint = await other.fingerprint(HTTPS)
        await other.shut_down(within=REVIVED)
        claim = other.fat("CLAIM.txt").decode()
    both = first.keys() & second.keys()
    assert any(name.endswith("/tls.pem") for name in both)
    assert [name for name in both if first[name] == second[name]] == []
    assert re.search(r"^\s*mhc_\S+\s*$", claim, re.MULTILINE)
    assert fingerprint in claim.lower().replace(":", "").replace(" ", "")
