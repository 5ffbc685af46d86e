"""Settings: where they come from, which wins, and errors that say what, where and what to write instead."""

import json
import os
from pathlib import Path

import pytest

from appliance.__main__ import main
from appliance.errors import SettingsError
from appliance.settings import Settings, explained, load, public, shown
from appliance.store import claim, tokens, visit


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MODEMHUB_") or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.delenv(name)


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "modemhub.toml"
    file.write_text(text)
    return file


def errors(file: Path) -> list[str]:
    with pytest.raises(SettingsError) as wrong:
        load(file)
    return str(wrong.value).splitlines()


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    settings = load(write(tmp_path, ""))
    assert settings.mqtt is None
    assert settings.http.listen == "127.0.0.1:8080"
    assert settings.policy.allowed_destinations == ["home"]
    assert settings.policy.sim_daily_cap == 200


def test_the_keys_of_the_contract(tmp_path: Path) -> None:
    settings = load(
        write(
            tmp_path,
            """
            [mqtt]
            url = "mqtt://127.0.0.1:1883"
            base_topic = "modemhub"
            [http]
            listen = "127.0.0.1:8080"
            [store]
            path = "/var/lib/modemhub/modemhub.db"
            [policy]
            allowed_destinations = ["home", "+43", "88444"]
            sim_daily_cap = 10
            [detect]
            udev = true
            [[modems]]
            port = "/dev/serial0"
            profile = "generic"
            [sims."8944100000000000018"]
            pin = "1234"
            """,
        )
    )
    assert settings.modems[0].profile == "generic"
    assert settings.sims["8944100000000000018"].pin is not None


def test_the_environment_wins_over_the_file_and_secrets_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(
        tmp_path, '[mqtt]\nurl = "mqtt://file:1"\nusername = "file"\npassword = "file"\n[policy]\nsim_daily_cap = 1'
    )
    monkeypatch.setenv("MODEMHUB_MQTT__USERNAME", "environment")
    monkeypatch.setenv("MODEMHUB_MQTT__PASSWORD", "environment")
    monkeypatch.setenv("MODEMHUB_POLICY__SIM_DAILY_CAP", "2")
    secrets = tmp_path / "credentials"
    secrets.mkdir()
    (secrets / "mqtt__password").write_text("secret\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(secrets))
    settings = load(file)
    assert settings.mqtt is not None
    assert (settings.mqtt.url, settings.mqtt.username) == ("mqtt://file:1", "environment")
    assert settings.mqtt.password is not None
    assert settings.mqtt.password.get_secret_value() == "secret"
    assert settings.policy.sim_daily_cap == 2


def test_a_pin_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEMHUB_SIMS__8944100000000000018__PIN", "0000")
    pin = load(write(tmp_path, "")).sims["8944100000000000018"].pin
    assert pin is not None
    assert pin.get_secret_value() == "0000"


def test_unknown_keys_are_named_with_the_nearest_known_one_all_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, '[mqtt]\nurll = "x"\n[polcy]\n[[modems]]\nprot = "/dev/ttyUSB2"\n')
    monkeypatch.setenv("MODEMHUB_STOR__PATH", "/x")
    told = errors(file)
    assert any(line.startswith("mqtt.urll: no such setting") and '"url"' in line for line in told)
    assert any(line.startswith("polcy: no such setting") and '"policy"' in line for line in told)
    assert any(line.startswith("modems.0.prot: no such setting") and '"port"' in line for line in told)
    assert any(line.startswith("MODEMHUB_STOR__PATH: no such setting") and '"store"' in line for line in told)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[policy]\nallowed_destinations = ["44"]', "a prefix as"),
        ('[sims."123"]\npin = "1234"', "sims.123"),
        ('[sims."*"]\npin = "12"', "4 to 8 digits"),
        ('[http]\nlisten = "8080"', "address and port"),
        ('[mqtt]\nurl = "http://x"', "mqtt"),
        ("[policy]\nsim_daily_cap = -1", "policy.sim_daily_cap"),
        ("[policy\n", "is not TOML"),
    ],
)
def test_wrong_values_are_explained(tmp_path: Path, text: str, says: str) -> None:
    assert any(says in line for line in errors(write(tmp_path, text)))


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path / "missing.toml")


def test_windows_line_ends_and_a_byte_order_mark_are_forgiven(tmp_path: Path) -> None:
    file = tmp_path / "modemhub.toml"
    file.write_bytes(b'\xef\xbb\xbf[mqtt]\r\nurl = "mqtt://x:1"\r\n')
    settings = load(file)
    assert settings.mqtt is not None


def test_no_secret_is_shown(tmp_path: Path) -> None:
    file = write(tmp_path, '[mqtt]\nurl = "mqtt://x:1"\nusername = "u"\npassword = "s3cret"\n[sims."*"]\npin = "1234"')
    told = json.dumps(shown(load(file)))
    assert "s3cret" not in told
    assert "1234" not in told


def test_the_broker_is_told_names_and_no_number(tmp_path: Path) -> None:
    told = public(load(write(tmp_path, '[contacts]\nben = "+447700900456"\nall = ["ben", "+447700900123"]')))
    assert told["contacts"] == ["all", "ben"]
    assert "+4477" not in json.dumps(told)


def test_no_secret_is_shown_in_an_error(tmp_path: Path) -> None:
    assert "12x4" not in "\n".join(errors(write(tmp_path, '[sims."*"]\npin = "12x4"')))


@pytest.mark.parametrize(("text", "code"), [("", 0), ("[nope]", 2)])
def test_config_check_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, code: int) -> None:
    assert main(["config", "check", "--config", str(write(tmp_path, text))]) == code
    told = capsys.readouterr()
    assert ("nope" in told.err) == (code == 2)


def test_config_show_and_schema_are_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--config", str(write(tmp_path, ""))]) == 0
    assert json.loads(capsys.readouterr().out)["policy"]["sim_daily_cap"] == 200
    assert main(["config", "schema"]) == 0
    assert "mqtt" in json.loads(capsys.readouterr().out)["properties"]


def test_each_setting_is_explained_by_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "mqtt__password").write_text("secret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(secrets))
    monkeypatch.setenv("MODEMHUB_POLICY__SIM_DAILY_CAP", "7")
    settings = load(
        write(
            tmp_path,
            """
            [mqtt]
            url = "mqtt://127.0.0.1"
            username = "hub"
            [sims."8944100000000000018"]
            pin = "1234"
            [contacts]
            anna = "+447700900123"
            [[modems]]
            port = "/dev/serial0"
            """,
        )
    )
    (tmp_path / "modemhub.toml").unlink()  # what is told is what is in force
    told = {each["key"]: each for each in explained(settings)}
    assert {key: (each["value"], each["source"], each["secret"]) for key, each in told.items()}.items() >= {
        "mqtt.url": ("mqtt://127.0.0.1", "file", False),
        "mqtt.password": ("**********", "secrets", True),
        "mqtt.base_topic": ("modemhub", "default", False),
        "mqtt.ca": (None, "default", False),
        "policy.sim_daily_cap": (7, "environment", False),
        "sims.8944100000000000018.pin": ("**********", "file", True),
        "contacts.anna": ("+447700900123", "file", False),
        "log.level": ("info", "default", False),
    }.items()
    assert told["modems"]["source"] == "file"
    assert told["modems"]["value"][0]["port"] == "/dev/serial0"
    assert "no token can raise it" in told["policy.sim_daily_cap"]["description"]
    assert told["mqtt.password"]["description"] is None
    assert "secret" not in json.dumps([each["value"] for each in told.values()])
    assert "1234" not in json.dumps([each["value"] for each in told.values()])


def test_a_section_that_is_absent_is_a_setting_without_a_value(tmp_path: Path) -> None:
    told = {each["key"]: each for each in explained(load(write(tmp_path, "")))}
    assert (told["mqtt"]["value"], told["mqtt"]["source"]) == (None, "default")
    assert all(each["source"] == "default" for each in told.values())
    assert (told["sims"]["value"], told["contacts"]["value"], told["modems"]["value"]) == ({}, {}, [])


def test_every_setting_but_secrets_and_names_says_what_it_is_or_is_plain() -> None:
    described = [each for each in explained(Settings()) if each["description"]]
    assert len(described) > 20


@pytest.mark.parametrize("name", ["mqtt", "command-line-1", "", "a\nb", "x" * 65])
def test_a_token_cannot_be_named_as_what_is_none(name: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["token", "create", "--name", name, "--scope", "send"])
    assert ended.value.code == 2


def test_tokens_are_made_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ["--config", str(write(tmp_path, f'[store]\npath = "{tmp_path}/hub.db"'))]
    assert main(["token", "create", "--name", "door", "--scope", "send", *config]) == 0
    assert capsys.readouterr().out.startswith("mh_")
    assert main(["token", "list", *config]) == 0
    assert capsys.readouterr().out == "door\tsend\n"
    assert main(["token", "revoke", "--name", "door", *config]) == 0
    assert main(["token", "list", *config]) == 0
    assert capsys.readouterr().out == ""


def test_a_token_has_bounds_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ["--config", str(write(tmp_path, f'[store]\npath = "{tmp_path}/hub.db"'))]
    create = ["token", "create", "--name", "door", "--scope", "send"]
    assert main([*create, "--per-minute", "5", "--daily-cap", "0", *config]) == 0
    capsys.readouterr()
    with visit(tmp_path / "hub.db") as store:
        (token,) = store.read(tokens.tokens)
    assert (token.per_minute, token.daily_cap) == (5, 0)
    for wrong in (["--per-minute", "0"], ["--daily-cap", "-1"], ["--per-minute", "1.5"], ["--per-minute", "x"]):
        with pytest.raises(SystemExit) as ended:
            main([*create, *wrong, *config])
        assert ended.value.code == 2


def test_making_a_token_removes_the_claim_and_a_passing_one_does_not(tmp_path: Path) -> None:
    config = ["--config", str(write(tmp_path, f'[store]\npath = "{tmp_path}/hub.db"'))]
    (tmp_path / "CLAIM.txt").write_text("mhc_x")
    with visit(tmp_path / "hub.db") as store:
        assert store.write(claim.begin, b"c" * 32)
        store.write(tokens.create, name=f"{tokens.PASSING}1", scopes=["send"], digest=b"d" * 32)
        assert store.read(claim.digest) == b"c" * 32
    assert main(["token", "create", "--name", "me", "--scope", "admin", *config]) == 0
    assert not (tmp_path / "CLAIM.txt").exists()
    with visit(tmp_path / "hub.db") as store:
        assert store.read(claim.digest) is None
        assert not store.write(claim.begin, b"e" * 32)


@pytest.mark.parametrize(
    ("modem", "told"),
    [
        (
            'board = "waveshare-sim7600"',
            'modems.0: modems.board: there is no "waveshare-sim7600"; there are: adafruit-fona',
        ),
        ('profile = "simcom"', 'modems.0: profile: there is no "simcom"; there are: cinterion'),
        ("power = { pwrkey = 6 }", "modems.0: modems.power: pwrkey: which level?"),
        ('power = { status = { line = 6, active = "low" } }', "names no line that could do anything"),
    ],
)
def test_a_modem_that_cannot_be_is_named_before_the_hub_runs(tmp_path: Path, modem: str, told: str) -> None:
    (error,) = errors(write(tmp_path, f'[[modems]]\nport = "/dev/serial0"\n{modem}\n'))
    assert told in error
