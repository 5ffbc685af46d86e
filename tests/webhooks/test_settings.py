"""``[webhooks.<name>]``: what is accepted, what is refused and with which words, what is shown."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from appliance.errors import SettingsError
from appliance.settings import load, shown
from tests.webhooks.receiver import KEY, SECRET

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MODEMHUB_") or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.delenv(name)


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "modemhub.toml"
    file.write_text(text, encoding="utf-8")
    return file


def complaint(tmp_path: Path, line: str, *, name: str = "door") -> str:
    base = {"url": '"https://example.com/hook"', "secret": f'"{SECRET}"'}
    key, _, value = line.partition(" = ")
    lines = "\n".join(f"{key} = {value}" for key, value in (base | {key: value}).items())
    with pytest.raises(SettingsError) as wrong:
        load(write(tmp_path, f"[webhooks.{name}]\n{lines}\n"))
    return str(wrong.value)


def test_the_defaults(tmp_path: Path) -> None:
    assert load(write(tmp_path, "")).webhooks == {}
    settings = load(write(tmp_path, f'[webhooks.door]\nurl = "https://example.com/hook"\nsecret = "{SECRET}"'))
    hook = settings.webhooks["door"]
    assert (hook.events, hook.allow_private, hook.key) == (("received",), False, KEY)


def test_secrets_come_from_the_environment_or_the_secrets_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, '[webhooks.door]\nurl = "https://example.com/hook"\n[webhooks.bell]\nurl = "https://a.b/"')
    secrets = tmp_path / "credentials"
    secrets.mkdir()
    (secrets / "webhooks__bell__secret").write_text("a plain secret of some length")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(secrets))
    monkeypatch.setenv("MODEMHUB_WEBHOOKS__DOOR__SECRET", SECRET)
    settings = load(file)
    assert settings.webhooks["door"].key == KEY
    assert settings.webhooks["bell"].key == b"a plain secret of some length"


def test_what_is_shown_tells_neither_secret_nor_path(tmp_path: Path) -> None:
    settings = load(
        write(tmp_path, f'[webhooks.door]\nurl = "https://example.com:8443/T0/B0/xyz?t=abc"\nsecret = "{SECRET}"')
    )
    told = json.dumps(shown(settings), ensure_ascii=False)
    assert "https://example.com:8443/…" in told
    for secret in (SECRET, "xyz", "abc", "T0"):
        assert secret not in told
        assert secret not in str(settings.webhooks["door"].secret)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('url = "ftp://example.com/"', "begin it with https://"),
        ('url = "example.com/hook"', "begin it with https://"),
        ('url = "https://user:word@example.com/"', "no user name or password"),
        ('url = "https://user@example.com/"', "no user name or password"),
        ('url = "https:///hook"', "give a host"),
        ('url = "https://example.com/a b"', "give a host"),
        ('url = "https://example.com/#top"', "give a host"),
        ('url = "https://example.com:99999/"', "ort"),
        (f'url = "https://{"a" * 64}.example/"', "no name of the DNS"),
        ('url = "http://example.com/"', "http:// lets everybody on the way read"),
        ('url = "https://192.168.1.10/"', "its address is private: set allow_private"),
        ('url = "https://[::1]:8443/"', "its address is loopback: set allow_private"),
        ('url = "https://[::ffff:10.0.0.1]/"', "its address is private: set allow_private"),
        ('secret = "short"', "24 characters or more"),
        ('secret = "whsec_AAAA"', "24 to 64 octets"),
        ("events = []", "at least 1"),
        ('events = ["sms"]', "'received', 'message', 'call' or 'recovery'"),
        ('colour = "red"', "no such setting"),
        ('urls = "https://example.com/"', 'did you mean "url"'),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, line: str, words: str) -> None:
    said = complaint(tmp_path, line)
    assert words in said
    assert said.startswith("webhooks.door")


def test_a_wrong_secret_is_not_in_the_complaint(tmp_path: Path) -> None:
    said = complaint(tmp_path, 'secret = "whsec_not/base64!but-secret"')
    assert "but-secret" not in said
    said = complaint(tmp_path, 'url = "https://user:word@example.com/"')
    assert "word@" not in said


@pytest.mark.parametrize("name", ["Door", "a__b", '"a b"', "-a", '"a.b"', "x" * 33])
def test_a_name_that_the_environment_cannot_spell_is_refused(tmp_path: Path, name: str) -> None:
    assert "webhooks" in complaint(tmp_path, "allow_private = false", name=name)


def test_http_and_this_house_are_for_who_allows_it(tmp_path: Path) -> None:
    settings = load(
        write(
            tmp_path,
            f'[webhooks.ha]\nurl = "http://192.168.1.10:8123/api/webhook/x"\nsecret = "{SECRET}"\nallow_private = true',
        )
    )
    assert settings.webhooks["ha"].host == "192.168.1.10"
    for line in ('url = "https://224.0.0.1/"\nallow_private = true', 'url = "https://0.0.0.0/"\nallow_private = true'):
        assert "its address is" in complaint(tmp_path, line)
