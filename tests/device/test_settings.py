"""What may stand in the file; and that everything wrong is told at once, by line, and without a secret."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from image.device import shape
from image.device.settings import KEPT, DeviceFile, Wrong, check, filled, secret_paths, split
from image.device.text import parsed

TEMPLATE = Path(__file__).resolve().parents[2] / "image" / "card" / "modemhub.toml"

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtvH8Xq0zQmGg3kPZ5x9q9yN4a8p0V9y1xqT0t7hQ7J me"


def wrong(text: str) -> list[str]:
    with pytest.raises(Wrong) as told:
        check(parsed(text), text)
    return told.value.complaints


def test_nothing_is_right() -> None:
    check({})


def test_the_template_says_nothing_and_every_line_of_it_is_right() -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    assert parsed(text) == {}
    spoken = re.sub(r"^#(?=\[|[a-z_]+ = )", "", text, flags=re.MULTILINE)
    spoken = spoken.replace('"..."', '"correct-horse-battery-staple"')
    spoken = re.sub(r"ssh-ed25519 AAAA\.\.\. me", KEY, spoken)
    content = parsed(spoken)
    assert {"system", "wifi", "network", "update", "tokens", "broker", "mqtt", "sims", "modems"} <= content.keys()
    check(content, spoken)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[sytem]", 'line 1: sytem: there is no such section: did you mean "system"?'),
        ("[htttp]", 'line 1: htttp: there is no such section: did you mean "http"?'),
        ("[system]\nhostnme = 'a'", 'line 2: system.hostnme: there is no such setting: did you mean "hostname"?'),
        ("[system]\nhostname = 'a.local'", "line 2: system.hostname: 1 to 63 letters"),
        (
            "[system]\ntimezone = 'Europe/Wien'",
            'line 2: system.timezone: there is no such time zone: did you mean "Eur',
        ),
        ("[system]\nssh_keys = ['x']", "line 2: system.ssh_keys: key 1 is no public SSH key"),
        ("[system]\nssh_keys = '-----BEGIN OPENSSH PRIVATE KEY-----'", "key 1 is a private key"),
        ("[wifi]\npassword = 'abcdefgh'", "line 1: wifi.ssid: this is missing"),
        ("[wifi]\nssid = 'a'\npassword = 'short'", "line 3: wifi.password: 8 to 63 characters"),
        ("[wifi]\nssid = 'a'\npassword = 12345678", "line 3: wifi.password: this has to be text in quotes"),
        ("wifi = 1", "line 1: wifi: this is a section of its own: write it as [wifi]"),
        ("[network]\naddress = '192.168.1.5'", "line 2: network.address: the length of the network is missing"),
        ("[network]\naddress = '192.168.1.0/24'", "line 2: network.address: this is the network's own address"),
        ("[network]\naddress = '10.0.0.2/24'\ngateway = '10.0.1.1'", "gateway is not in the network of address"),
        ("[broker.accounts.admin]\npassword = 'abcdefghijkl'\nroles = ['send']", 'cannot be named "admin"'),
        ("[broker.accounts.a]\npassword = 'abc'\nroles = ['send']", "line 2: broker.accounts.a.password: 12 char"),
        ("[broker]\nenabled = false\n[broker.accounts.a]\npassword='abcdefghijkl'\nroles=['send']", "one of the two"),
        ("[tokens.a]\ntoken = 'abc'\nscopes = ['send']", "line 2: tokens.a.token: 24 characters"),
        ("[tokens.mqtt]\ntoken = 'abcdefghijklmnopqrstuvwxyz'\nscopes = ['send']", 'a token cannot be named "mqtt"'),
        ("[update]\nurl = 'http://example.com/x'", "line 2: update.url"),
        ("[update]\nwindow = '3-5'", "line 2: update.window"),
        ("[mqtt]\nurl = 'mqtt://a'\nprot = 1", 'line 3: mqtt.prot: there is no such setting: did you mean "protocol"?'),
        ("[mqtt]\nusername = 'me'", "line 1: mqtt: username and password are for a broker of your own"),
        ("[http]\nlisten = '0.0.0.0:80'", "line 2: http.listen: take a port from 1024 on"),
        ("[http]\nlisten = '0.0.0.0:8883'", "line 2: http.listen: port 8883 is that of the broker"),
        ("[store]\npath = '/tmp/x.db'", "line 2: store.path: on this device"),
        ("[sims.'*']\npin = 1234", "line 2: sims.*.pin: this has to be text in quotes"),
        ("[[modems]]\nport = '/dev/a'\n[[modems]]\nport = '/dev/b'\nbord = 'x'", "line 5: modems.1.bord: there is no"),
    ],
)
def test_what_is_wrong_is_told_by_line(text: str, told: str) -> None:
    assert any(told in line for line in wrong(text)), wrong(text)


def test_all_is_told_at_once() -> None:
    assert len(wrong("[sytem]\n[wifi]\npasword = 'a'\n[update]\nurl = 1\n[mqtt]\nurl = 'x'\n[http]\nmax_body = 1")) == 6


SECRET = "Tr0ub4dor&3-is-not-a-good-one!!"


def test_no_complaint_repeats_a_secret() -> None:
    text = (
        f"[wifi]\nssid = 'a'\npassword = '{SECRET}ä'\n[sims.'*']\npin = '{SECRET}'\n[mqtt]\npassword = '{SECRET}'\n"
        f"[webhooks.a]\nurl = 'x'\nsecret = '{SECRET[:5]}'\n[tokens.a]\ntoken = '{SECRET} '\nscopes = ['{SECRET}']\n"
    )
    assert len(wrong(text)) >= 5
    assert SECRET[:5] not in "\n".join(wrong(text)).replace(f"'{SECRET}'", "")


WHOLE = f"""
[wifi]
ssid = "a"
password = "{SECRET}1"
[tokens.a]
token = "{SECRET}2"
scopes = ["send"]
[broker.accounts.b]
password = "{SECRET}3"
roles = ["send"]
[mqtt]
url = "mqtt://h"
username = "u"
password = "{SECRET}4"
[sims."*"]
pin = "1234"
[webhooks.c]
url = "https://example.com/"
secret = "{SECRET}5"
"""


def test_what_the_models_call_a_secret_is_one() -> None:
    content = parsed(WHOLE)
    assert [".".join(path) for path in secret_paths(content)] == [
        *("wifi.password", "broker.accounts.b.password", "tokens.a.token"),
        *("mqtt.password", "sims.*.pin", "webhooks.c.secret"),
    ]
    settings, secrets = split(content)
    assert SECRET not in repr(settings)
    assert "1234" not in repr(settings)
    assert f"{SECRET}2" not in repr(secrets)  # of a token the digest is enough


def test_a_kept_secret_is_put_back_and_the_whole_is_right() -> None:
    _, secrets = split(parsed(WHOLE))
    text = re.sub(rf'"({re.escape(SECRET)}\d|1234)"', f'"{KEPT}"', WHOLE)
    whole, missing = filled(parsed(text), secrets)
    assert missing == []
    check(whole, text)
    assert split(whole)[1] == secrets
    assert [path[0] for path in filled(parsed(text), {})[1]] == ["wifi", "tokens", "broker", "mqtt", "sims", "webhooks"]


def test_every_setting_of_the_device_is_read_by_the_rest() -> None:
    for name, model in DeviceFile.model_fields.items():
        assert name in shape.SECTIONS
        if name in {"system", "network", "update"}:
            section = type(getattr(shape.Device(), name))
            assert set(type(model.default).model_fields) == {each.name for each in fields(section)}


def test_what_is_kept_by_another_version_is_read() -> None:
    device = shape.Device.of(
        {
            "system": {"hostname": 5, "newer": True, "ssh_keys": KEY},
            "wifi": "x",
            "broker": {"accounts": {"a": 1}},
            "tokens": [],
            "network": {"dns": ["192.0.2.1"]},
        }
    )
    assert device.system == shape.System(ssh_keys=(KEY,))
    assert device.wifi == shape.Wifi()
    assert device.network.dns == ("192.0.2.1",)
