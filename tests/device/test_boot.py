"""The verb ``boot``: everything is derived; a part that fails is told, and the rest goes on."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from image.device.boot import boot
from image.device.fat import Fat
from image.device.rim import Failed
from image.device.tell import FILE, Board
from tests.device.conftest import MOUNTS

if TYPE_CHECKING:
    from image.device.place import Place
    from tests.device.conftest import Machine

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtvH8Xq0zQmGg3kPZ5x9q9yN4a8p0V9y1xqT0t7hQ7J me"
ACCOUNTS = """
[broker.accounts.lamp]
password = "abcdefghijkl"
roles = ["send"]
[broker.accounts.phone]
password = "mnopqrstuvwx"
roles = ["inbox", "status"]
"""


def start(place: Place, machine: Machine, *, year: int = 2026) -> None:
    assert boot(place, command=machine, now=lambda: datetime(year, 5, 1, tzinfo=UTC)) == 0


def settings(place: Place, text: str) -> None:
    (place.fat / "modemhub.toml").write_text(text, encoding="utf-8")


def text(place: Place, path: str) -> str | None:
    file = place.at(path)
    return file.read_text(encoding="utf-8") if file.exists() else None


@pytest.fixture(autouse=True)
def _tools() -> None:
    for name in ("mosquitto_ctrl", "openssl", "ssh-keygen"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")


def test_a_fresh_device_is_closed_but_for_the_console(place: Place, machine: Machine) -> None:
    start(place, machine)
    assert "tcp dport { 8080 } accept" in (text(place, "/run/nftables.conf") or "")
    assert text(place, "/run/ssh/authorized_keys") is None
    assert text(place, "/proc/sys/kernel/hostname") == "modemhub"
    assert not (place.fat / FILE).exists()
    assert not place.host_keys.exists()  # made when SSH is wanted first
    assert (
        text(place, "/run/credstore/mqtt__password")
        == (place.broker / "modemhub" / "accounts" / "modemhub").read_text(encoding="utf-8").strip()
    )


def test_two_devices_have_no_secret_in_common(place: Place, machine: Machine) -> None:
    secrets = []
    for _ in range(2):
        settings(place, f"[system]\nssh_keys = '{KEY}'")
        start(place, machine)
        secrets.append(
            {
                (place.broker / "modemhub/ca.key").read_bytes(),
                (place.broker / "modemhub/server.key").read_bytes(),
                (place.broker / "modemhub/accounts/modemhub").read_bytes(),
                (place.broker / "modemhub/accounts/admin").read_bytes(),
                (place.host_keys / "ssh_host_ed25519_key").read_bytes(),
            }
        )
        shutil.rmtree(place.data)
        place.data.mkdir()
    assert len(secrets[0] | secrets[1]) == 10


def test_nothing_is_made_anew_at_the_next_start(place: Place, machine: Machine) -> None:
    settings(place, f"[system]\nssh_keys = '{KEY}'" + ACCOUNTS)
    start(place, machine)
    before = {path: path.read_bytes() for path in place.device.rglob("*") if path.is_file()}
    machine.said.clear()
    start(place, machine)
    assert {path: path.read_bytes() for path in place.device.rglob("*") if path.is_file()} == before
    assert machine.said == []  # no tool, and the card was not made writable


def test_accounts_follow_the_settings(place: Place, machine: Machine) -> None:
    settings(place, ACCOUNTS)
    start(place, machine)

    def accounts() -> dict[str, list[str]]:
        state = json.loads(place.at("/var/lib/mosquitto/dynamic-security.json").read_text(encoding="utf-8"))
        return {each["username"]: [role["rolename"] for role in each["roles"]] for each in state["clients"]}

    assert accounts()["lamp"] == ["modemhub-send"]
    assert accounts()["phone"] == ["modemhub-inbox", "modemhub-status"]
    hub = (place.broker / "modemhub/accounts/modemhub").read_bytes()
    settings(place, ACCOUNTS.split("[broker.accounts.phone]", maxsplit=1)[0].replace("send", "status"))
    start(place, machine)
    assert accounts()["lamp"] == ["modemhub-status"]
    assert "phone" not in accounts()
    assert not (place.broker / "modemhub/accounts/phone").exists()
    assert (place.broker / "modemhub/accounts/modemhub").read_bytes() == hub


def test_the_broker_is_looked_at_once_a_year(place: Place, machine: Machine) -> None:
    start(place, machine)
    machine.said.clear()
    start(place, machine, year=2027)
    assert any("init" in words for words in machine.said)


def test_what_is_wrong_is_told_on_the_card_and_taken_back(place: Place, machine: Machine) -> None:
    settings(place, "[system]\nhostname = 'a_b'\n[wifi]\nsid = 'x'")
    start(place, machine)
    told = (place.fat / FILE).read_bytes()
    assert b"line 2: system.hostname: " in told
    assert b'did you mean "ssid"?' in told
    assert told.count(b"\n") == told.count(b"\r\n")
    settings(place, "[system]\nhostname = 'ab'")
    start(place, machine)
    assert not (place.fat / FILE).exists()
    assert text(place, "/proc/sys/kernel/hostname") == "ab"


def test_what_others_say_stays_on_the_card(place: Place, machine: Machine) -> None:
    Board(place, fat=None).tell("update", [])
    (place.device / "problems").mkdir(parents=True, exist_ok=True)
    (place.device / "problems/update.txt").write_text("it was rolled back\n", encoding="utf-8")
    start(place, machine)
    assert b"it was rolled back" in (place.fat / FILE).read_bytes()


@pytest.mark.parametrize("broken", ["ssh-keygen", "broker", "card", "hostname", "settings"])
def test_one_broken_part_keeps_nobody_from_the_console(place: Place, machine: Machine, broken: str) -> None:
    settings(place, f"[system]\nssh_keys = '{KEY}'")
    match broken:
        case "ssh-keygen":
            machine.answers["ssh-keygen"] = Failed("ssh-keygen: no entropy")
        case "broker":
            place.broker.parent.mkdir(parents=True)
            place.broker.write_text("a file where a directory should be", encoding="utf-8")
        case "card":
            machine.answers["mount"] = Failed("mount: the card is broken")
        case "hostname":
            place.at("/proc/sys/kernel/hostname").mkdir()
        case "settings":
            place.device.mkdir(parents=True)
            (place.device / "intake.json").write_text("[", encoding="utf-8")
            (place.device / "settings.toml").write_bytes(b"\xff\0")
            (place.device / "secrets.json").write_bytes(b"\xff\0")
    start(place, machine)
    rules = text(place, "/run/nftables.conf") or ""
    assert "8080" in rules
    assert ("22" in rules) == (broken != "ssh-keygen")
    assert "[::]:8080" in (text(place, "/run/modemhub-device/modemhub.toml") or "")
    assert text(place, "/run/systemd/network/20-modemhub-wired.network") is not None
    if broken in {"ssh-keygen", "broker", "hostname"}:
        assert (place.fat / FILE).exists()
    assert bool(Board(place).problems()) == (broken != "settings")


def unmounted(place: Place) -> None:
    """As systemd leaves it: an empty directory of a root that cannot be written to."""
    place.data.rename(place.at("/partition"))
    place.data.mkdir()
    place.at("/proc/self/mounts").write_text("/dev/mmcblk0p2 / ext4 ro 0 0\n", encoding="ascii")


def mounted(place: Place) -> None:
    place.data.rmdir()
    place.at("/partition").rename(place.data)
    place.at("/proc/self/mounts").write_text(MOUNTS, encoding="ascii")


def test_data_that_cannot_be_mounted_is_told_in_plain_words_until_it_can(place: Place, machine: Machine) -> None:
    settings(place, f"[system]\nssh_keys = '{KEY}'" + ACCOUNTS)
    start(place, machine)
    fat = {path.name: path.read_bytes() for path in place.fat.iterdir()}
    shutil.rmtree(place.at("/run"))
    place.at("/run").mkdir()
    unmounted(place)
    start(place, machine)
    told = (place.fat / FILE).read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    assert "cannot be read" in told
    assert "has erased nothing" in told
    assert "factory-reset" in told
    assert "Error" not in told
    # nothing is made up, nothing is thrown away
    assert list(place.data.iterdir()) == []
    assert {path.name: path.read_bytes() for path in place.fat.iterdir() if path.name != FILE} == fat
    assert text(place, "/run/systemd/network/20-modemhub-wired.network") is not None
    assert text(place, "/run/ssh/authorized_keys") is None
    assert text(place, "/run/modemhub-device/mosquitto.conf") is None
    assert list(Board(place).problems()) == ["data"]
    mounted(place)
    start(place, machine)
    assert not (place.fat / FILE).exists()


def test_a_settings_file_keeps_its_secrets_while_nothing_can_be_kept(place: Place, machine: Machine) -> None:
    unmounted(place)
    settings(place, ACCOUNTS)
    start(place, machine)
    assert (place.fat / "modemhub.toml").read_text(encoding="utf-8") == ACCOUNTS
    mounted(place)
    start(place, machine)
    assert "abcdefghijkl" not in (place.fat / "modemhub.toml").read_text(encoding="utf-8")
    assert text(place, "/run/modemhub-device/mosquitto.conf") is not None


def test_neither_data_nor_card_can_be_read_and_it_ends_all_the_same(place: Place, machine: Machine) -> None:
    unmounted(place)
    machine.answers["mount"] = Failed("mount: the card is broken")
    start(place, machine)
    assert text(place, "/run/nftables.conf") is not None
    assert list(Board(place).problems()) == ["data"]


def test_what_became_of_a_stick_is_told_until_the_next_start(place: Place, machine: Machine) -> None:
    start(place, machine)
    Board(place, fat=Fat(place, command=machine)).tell("stick", ["it is older"])
    assert b"it is older" in (place.fat / FILE).read_bytes()
    start(place, machine)
    assert not (place.fat / FILE).exists()


def test_what_a_repair_could_not_put_back_is_told_as_long_as_it_lies_there(place: Place, machine: Machine) -> None:
    found = place.data / "lost+found"
    found.mkdir()
    start(place, machine)
    assert not (place.fat / FILE).exists()
    (found / "#12").write_bytes(b"?")
    for _ in range(2):
        start(place, machine)
        assert b"Files without a name, which are not used: 1." in (place.fat / FILE).read_bytes()
    (found / "#12").unlink()
    start(place, machine)
    assert not (place.fat / FILE).exists()


def test_ssh_needs_a_key_and_host_keys_last(place: Place, machine: Machine) -> None:
    settings(place, f"[system]\nssh_keys = ['{KEY}']")
    start(place, machine)
    key = (place.host_keys / "ssh_host_ed25519_key").read_bytes()
    assert text(place, "/run/ssh/authorized_keys") == KEY + "\n"
    settings(place, "[system]\nssh_keys = []")
    shutil.rmtree(place.at("/run"))
    place.at("/run").mkdir()
    start(place, machine)
    assert text(place, "/run/ssh/authorized_keys") is None
    settings(place, f"[system]\nssh_keys = ['{KEY}']")
    start(place, machine)
    assert (place.host_keys / "ssh_host_ed25519_key").read_bytes() == key


def test_updates_come_when_it_was_said(place: Place, machine: Machine) -> None:
    settings(place, "[update]\nwindow = '22:30-01:00'")
    start(place, machine)
    assert "OnCalendar=*-*-* 22:30:00" in (text(place, "/run/systemd/system/modemhub-update.timer.d/window.conf") or "")
    assert machine.said.count(["systemctl", "daemon-reload"]) == 1
    start(place, machine)
    assert machine.said.count(["systemctl", "daemon-reload"]) == 1


TOKEN = "[tokens.me]\ntoken = '0123456789abcdefghijklmnop'\nscopes = ['admin']"


def test_tokens_are_given_to_each_store_once(place: Place, machine: Machine) -> None:
    settings(place, TOKEN)
    start(place, machine)
    wanted = json.loads(text(place, "/run/modemhub-device/tokens.json") or "")
    place.hub_store.write_bytes(b"a store")

    def adopted(inode: int) -> None:
        told = {"store": inode, "tokens": wanted}
        place.hub_store.with_name("adopted.json").write_text(json.dumps(told), encoding="utf-8")
        start(place, machine)

    adopted(place.hub_store.stat().st_ino)
    assert text(place, "/run/modemhub-device/tokens.json") is None
    adopted(0)  # of a store that was lost, or of one that the power was cut on the way to
    assert text(place, "/run/modemhub-device/tokens.json") is not None
    settings(place, "# no token any more")
    adopted(place.hub_store.stat().st_ino)
    assert text(place, "/run/modemhub-device/tokens.json") == "{}\n"
