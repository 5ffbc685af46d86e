"""What is derived, judged by laws: who may read what, which ports are open, and the real tools' own opinion."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import subprocess
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.settings import Settings
from image.device.plan import Facts, File, merged, plan, ports
from image.device.settings import check, split
from image.device.shape import Device
from tests.device.judges import nft_takes, tool

if TYPE_CHECKING:
    from pathlib import Path

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtvH8Xq0zQmGg3kPZ5x9q9yN4a8p0V9y1xqT0t7hQ7J me"
MARK = "S3cret+"
SECRET = st.text("abcdefghijkXYZ0123456789-", min_size=24, max_size=40).map(lambda text: MARK + text)
NAME = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


CONTENT = maybe(
    system=maybe(
        hostname=NAME.filter(lambda name: name != "localhost"),
        timezone=st.sampled_from(["Europe/Vienna", "UTC"]),
        ssh_keys=st.lists(st.just(KEY), max_size=2) | st.just(KEY),
        ntp=st.just(["192.0.2.1", "pool.example"]),
    ),
    wifi=st.fixed_dictionaries(
        {"ssid": st.text(min_size=1, max_size=8)}, optional={"password": SECRET, "hidden": st.booleans()}
    ),
    network=st.just({"address": "192.0.2.5/24", "gateway": "192.0.2.1", "dns": ["192.0.2.1"]}),
    broker=st.just({"enabled": False})
    | maybe(
        enabled=st.just(True),
        accounts=st.dictionaries(
            NAME.filter(lambda name: name not in {"admin", "modemhub"}),
            st.fixed_dictionaries({"password": SECRET, "roles": st.just(["send"])}),
            max_size=2,
        ),
    ),
    tokens=st.dictionaries(
        NAME.filter(lambda name: name != "mqtt"),
        st.fixed_dictionaries({"token": SECRET.map("T".__add__), "scopes": st.just(["send", "inbox"])}),
        max_size=1,
    ),
    mqtt=st.fixed_dictionaries({"url": st.just("mqtt://192.0.2.9"), "username": st.just("u"), "password": SECRET})
    | st.just({"base_topic": "texts"}),
    http=maybe(
        listen=st.sampled_from(["0.0.0.0:8080", "127.0.0.1:8081", "[::]:9000", "off", "[::1]:8080", "localhost:8080"])
    ),
    sims=st.just({"*": {"pin": "8642"}, "8943010000000000001": {}}),
    webhooks=st.dictionaries(
        NAME, st.fixed_dictionaries({"url": st.just("https://example.com/"), "secret": SECRET}), max_size=2
    ),
    contacts=st.just({"anna": "+447700900123"}),
    modems=st.just([{"port": "/dev/serial0", "board": "waveshare-sim7600x"}]),
)
FACTS = st.builds(
    Facts,
    claimed=st.booleans(),
    host_keys=st.booleans(),
    broker_password=st.none() | SECRET,
    adopted=st.sampled_from([{}, {"": None}, {"old": {"digest": "00" * 32, "scopes": ["send"]}}]),
)

some = settings(max_examples=25, deadline=None)

READ_BY_OTHERS = 0o044
"""Of a mode: group, all."""


def planned(content: dict[str, Any], facts: Facts) -> dict[str, File]:
    check(content)
    return {each.path.as_posix(): each for each in plan(*split(content), facts)}


@some
@given(CONTENT, FACTS)
def test_a_secret_stands_only_where_root_alone_reads_it(content: dict[str, Any], facts: Facts) -> None:
    for path, file in planned(content, facts).items():
        if file.mode & READ_BY_OTHERS:
            assert MARK.encode() not in file.content, path
            assert b"8642" not in file.content, path
        assert not file.mode & 0o133, path
        assert file.owner.startswith("root:"), path


@some
@given(CONTENT, FACTS)
def test_everything_is_below_run_and_once(content: dict[str, Any], facts: Facts) -> None:
    files = plan(*split(content), facts)
    assert all(file.path.parts[:2] == ("/", "run") and ".." not in file.path.parts for file in files)
    assert len({file.path for file in files}) == len(files)
    assert files == plan(*split(content), facts)


def reached(listen: str) -> int | None:
    """The port of a ``listen`` that is reached from outside, told another way than the plan does."""
    host, _, port = listen.rpartition(":")
    if listen == "off" or host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback:
        return None
    return int(port)


@some
@given(CONTENT, FACTS)
def test_the_open_ports_are_those_of_the_settings(content: dict[str, Any], facts: Facts) -> None:
    wanted = set()
    if (port := reached(content.get("http", {}).get("listen", "[::]:8080"))) is not None:
        wanted.add(port)
    if content.get("system", {}).get("ssh_keys") and facts.host_keys:
        wanted.add(22)
    broker = content.get("broker", {}).get("enabled", "url" not in content.get("mqtt", {}))
    if broker and facts.claimed and facts.broker_password is not None:
        wanted.add(8883)
    files = planned(content, facts)
    (*_, opened) = re.findall(r"tcp dport \{ (.*) \} accept", files["/run/nftables.conf"].content.decode()) or [""]
    assert {int(each) for each in opened.split(", ") if each} == wanted
    settings, secrets = split(content)
    assert set(ports(settings, Device.of(merged(settings, secrets)), facts)) == wanted
    assert ("/run/systemd/dnssd/mqtt.dnssd" in files) == (8883 in wanted)
    assert ("/run/ssh/authorized_keys" in files) == (22 in wanted)


@some
@given(CONTENT, FACTS)
def test_the_hub_takes_its_settings_and_gets_its_secrets_back(content: dict[str, Any], facts: Facts) -> None:
    files = planned(content, facts)
    hub = tomllib.loads(files["/run/modemhub-device/modemhub.toml"].content.decode())
    for path, file in files.items():
        if path.startswith("/run/credstore/"):
            *above, last = path.removeprefix("/run/credstore/").split("__")
            level = hub
            for step in above:
                level = level[step]
            assert last not in level
            level[last] = file.content.decode()
    read = Settings(**hub)
    assert read.http.encrypted
    for name, hook in content.get("webhooks", {}).items():
        assert read.webhooks[name].secret.get_secret_value() == hook["secret"]
    if "sims" in content:
        pin = read.sims["*"].pin
        assert pin is not None
        assert pin.get_secret_value() == "8642"
    own = content.get("mqtt", {})
    if "url" in own:
        assert read.mqtt is not None
        assert read.mqtt.password is not None
        assert (read.mqtt.url, read.mqtt.password.get_secret_value()) == (own["url"], own["password"])
    elif content.get("broker", {}).get("enabled", True) and facts.broker_password is not None:
        assert read.mqtt is not None
        assert read.mqtt.password is not None
        assert read.mqtt.url == "mqtt://127.0.0.1:1883"
        assert read.mqtt.password.get_secret_value() == facts.broker_password


@some
@given(CONTENT, FACTS)
def test_tokens_go_to_the_hub_as_digests(content: dict[str, Any], facts: Facts) -> None:
    files = planned(content, facts)
    tokens = content.get("tokens") or {}
    assert ("/run/modemhub-device/tokens.json" in files) == bool(tokens or facts.adopted)
    for token in tokens.values():
        assert not any(token["token"].encode() in file.content for file in files.values())


@some
@given(CONTENT)
def test_modems_networks_are_left_alone_before_any_other_rule(content: dict[str, Any]) -> None:
    files = planned(content, Facts())
    first, *_ = sorted(path for path in files if path.startswith("/run/systemd/network/"))
    assert b"Unmanaged=yes" in files[first].content
    fixed = [path for path, file in files.items() if b"Address=192.0.2.5/24" in file.content]
    assert len(fixed) == (1 if "network" in content else 0)


WHOLE: dict[str, Any] = {
    "system": {"ssh_keys": KEY, "ntp": "192.0.2.1", "hostname": "texts"},
    "wifi": {"ssid": "home", "password": "correct horse", "country": "AT", "hidden": True},
    "network": {"address": "192.0.2.5/24", "gateway": "192.0.2.1", "dns": ["192.0.2.1"]},
}


def write(files: dict[str, File], directory: Path) -> None:
    for path, file in files.items():
        if file.link is None:
            target = directory / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.content)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write(planned(WHOLE, Facts(claimed=True, broker_password="x" * 24)), tmp_path)
    return tmp_path


@pytest.mark.parametrize("claimed", [False, True])
def test_nft_takes_the_ruleset(tmp_path: Path, *, claimed: bool) -> None:
    write(planned(WHOLE, Facts(claimed=claimed, broker_password="x" * 24)), tmp_path)
    nft_takes(tmp_path / "run/nftables.conf")


@pytest.mark.parametrize(
    "password", ["correct horse", "a # b; c = 'd'", 'qu"ote # and so', "back\\slash", "$(x) `y`", "f" * 64]
)
def test_wpa_supplicant_comes_to_the_key_of_the_network(tmp_path: Path, password: str) -> None:
    ssid = 'a"b\\ü'
    write(planned({"wifi": {"ssid": ssid, "password": password}}, Facts()), tmp_path)
    file = tmp_path / "run/wpa_supplicant/wpa_supplicant-wlan0.conf"
    argv: list[str | Path] = [tool("wpa_supplicant"), "-c", file, "-i", "none0", "-D", "none", "-dd", "-K"]
    try:
        said = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=5).stdout
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode()
    assert not [line for line in said.splitlines() if re.search("Invalid|[Ff]ailed to parse", line)]
    assert re.search(rf"ssid - hexdump.*\n? *{ssid.encode().hex(' ')}", said)
    key = (
        bytes.fromhex(password)
        if len(password) == 64
        else hashlib.pbkdf2_hmac("sha1", password.encode(), ssid.encode(), 4096, 32)
    )
    assert key.hex(" ") in said


def test_the_hub_is_found_by_its_name(written: Path) -> None:
    service = (written / "run/systemd/dnssd/modemhub.dnssd").read_text(encoding="utf-8")
    assert "Type=_modemhub._tcp\nPort=8080\n" in service
    hub = tomllib.loads((written / "run/modemhub-device/modemhub.toml").read_text(encoding="utf-8"))
    assert hub["homeassistant"]["configuration_url"] == "https://texts.local:8080"


def test_tokens_that_the_hub_has_are_not_given_again() -> None:
    token = {"me": {"token": "0123456789abcdefghijklmnop", "scopes": ["send", "inbox"]}}
    file = planned({"tokens": token}, Facts())["/run/modemhub-device/tokens.json"]
    assert "/run/modemhub-device/tokens.json" not in planned({"tokens": token}, Facts(adopted=json.loads(file.content)))
