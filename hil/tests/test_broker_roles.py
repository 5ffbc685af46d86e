"""The bundled broker: nobody is anonymous, each role may do what its row says and no more, and the hub works on it.

The tables are the documentation's (``image/mosquitto/README.md``), tried cell by cell: what the broker answers, and
what arrives at an account that hears everything.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from hil.rig import Child, Hub, Rig, mosquitto_path
from hil.rig.bundled import Bundled, rig_on
from hil.rig.mqtt import REFUSED, Client, Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hil.rig.hub import Settings

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(mosquitto_path() is None, reason="mosquitto is not installed: apt install mosquitto"),
]

ROLES = ("send", "inbox", "status", "control", "homeassistant", "hub")
EVERYBODY = set(ROLES)
HOUSE = {"homeassistant", "hub"}

TOPICS = ("--base", "modemhub", "--base", "second", "--share", "texts", "--alias", "sms2mqtt")

PUBLISH = {
    "modemhub/send": {"send", *HOUSE},
    "modemhub/send/447700900123": {"send", *HOUSE},
    "modemhub/request/message/cancel": {"send", "control", *HOUSE},
    "modemhub/request/message/preview": {"send", "control", *HOUSE},
    "modemhub/request/inbox/replay": {"inbox", "control", *HOUSE},
    "modemhub/request/modem/restart": {"control", *HOUSE},
    "modemhub/request/modem/ussd": {"control", *HOUSE},
    "modemhub/status": {"hub"},
    "modemhub/info": {"hub"},
    "modemhub/message/1": {"hub"},
    "second/send": {"send", *HOUSE},
    "second/status": {"hub"},
    "modemhub/response": {"hub"},
    "modemhub/response/asker": {"hub"},
    "modemhub/received": {"hub"},
    "modemhub/call": {"hub"},
    "modemhub/modem/490154203237518/state": {"hub"},
    "homeassistant/status": HOUSE,
    "homeassistant/device/modemhub_1/config": HOUSE,
    "texts/send": {"send", "hub"},
    "texts/send/447700900123": {"send", "hub"},
    "texts/hubs/1": {"hub"},
    "texts/response": {"hub"},
    "sms2mqtt/send": {"send", "hub"},
    "sms2mqtt/received": {"hub"},
    "elsewhere": set(),
    "$CONTROL/dynamic-security/v1": set(),
}
"""Topic → who may publish there."""

SUBSCRIBE = {
    "modemhub/status": EVERYBODY,
    "modemhub/info": EVERYBODY,
    "modemhub/response": {"send", "inbox", "control", *HOUSE},
    "modemhub/response/#": {"send", "inbox", "control", *HOUSE},
    "modemhub/message/#": {"send", *HOUSE},
    "modemhub/message/+": {"send", *HOUSE},
    "modemhub/received": {"inbox", *HOUSE},
    "modemhub/call": {"inbox", *HOUSE},
    "modemhub/modem/+/event": {"inbox", *HOUSE},
    "modemhub/modem/490154203237518/event": {"inbox", *HOUSE},
    "modemhub/modem/+/call": {"inbox", *HOUSE},
    "modemhub/modem/+/last_received": {"inbox", *HOUSE},
    "modemhub/health": {"status", *HOUSE},
    "modemhub/modem/+/state": {"status", *HOUSE},
    "modemhub/modem/490154203237518/state": {"status", *HOUSE},
    "modemhub/modem/+/availability": {"status", *HOUSE},
    "modemhub/modem/+/recovery": {"status", *HOUSE},
    "modemhub/modem/+/+": HOUSE,
    "modemhub/modem/#": HOUSE,
    "modemhub/#": HOUSE,
    "modemhub/+": HOUSE,
    "modemhub/send": HOUSE,
    "modemhub/send/+": HOUSE,
    "modemhub/request/#": HOUSE,
    "second/received": {"inbox", *HOUSE},
    "second/#": HOUSE,
    "homeassistant/#": HOUSE,
    "homeassistant/status": HOUSE,
    "texts/response": {"send", "inbox", "control", "hub"},
    "$share/hubs/texts/send": {"hub"},
    "$share/hubs/texts/send/+": {"hub"},
    "texts/hubs/+": {"hub"},
    "texts/send": set(),
    "sms2mqtt/send": {"hub"},
    "sms2mqtt/received": {"inbox", "hub"},
    "sms2mqtt/connected": {"status", "hub"},
    "#": set(),
    "+/received": set(),
    "$SYS/#": set(),
    "$CONTROL/#": set(),
}
"""Filter → who may subscribe to it."""

_payloads = itertools.count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bundled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bundled]:
    """A broker with an account for each role, named by it; ``both`` may send and read the inbox."""
    bundled = Bundled(tmp_path_factory.mktemp("bundled"))
    bundled.directory.mkdir(exist_ok=True)
    await bundled.init(*TOPICS)
    for role in ROLES:
        await bundled.must("account", role, role)
    await bundled.must("account", "both", "send", "inbox")
    await bundled.must("account", "observer", "homeassistant")
    await bundled.must("certificate", "modemhub")
    await bundled.must("certificate", "sensor", "send")
    await bundled.must("certificate", "stranger")
    await bundled.broker.start()
    yield bundled
    await bundled.broker.stop()


def connected(bundled: Bundled, name: str) -> Client:
    return Client(bundled.local, name, login=bundled.login(name))


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_may_publish_what_its_row_says(bundled: Bundled, role: str) -> None:
    answered: dict[str, bool] = {}
    sent = {topic: f"by {role} {next(_payloads)}".encode() for topic in PUBLISH}
    async with connected(bundled, "admin") as everything, connected(bundled, role) as client:
        assert await everything.subscribe("#", "texts/#") == [1, 1]
        for topic, payload in sent.items():
            answered[topic] = await client.publish(topic, payload) < REFUSED
        async with connected(bundled, "hub") as last:  # what was published before it has arrived before it
            await last.publish("modemhub/status", f"after {role}")
        await everything.heard.until(
            lambda heard: [each for each in heard if each.payload == f"after {role}".encode()], "the last"
        )
    wanted = {topic: role in who for topic, who in PUBLISH.items()}
    assert answered == wanted
    arrived = {(each.topic, each.payload) for each in everything.heard.items}
    assert {topic: (topic, sent[topic]) in arrived for topic in PUBLISH} == wanted


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_may_subscribe_to_what_its_row_says(bundled: Bundled, role: str) -> None:
    async with connected(bundled, role) as client:
        reasons = await client.subscribe(*SUBSCRIBE)
    assert dict(zip(SUBSCRIBE, (reason < REFUSED for reason in reasons), strict=True)) == {
        topic: role in who for topic, who in SUBSCRIBE.items()
    }


async def test_who_may_send_hears_no_text_that_came_in(bundled: Bundled) -> None:
    async with connected(bundled, "send") as sender, connected(bundled, "both") as both:
        for client in (sender, both):
            await client.subscribe("#", "modemhub/#", "modemhub/received", "modemhub/message/#")
        async with connected(bundled, "hub") as hub:
            assert await hub.publish("modemhub/received", "a secret") < REFUSED
            assert await hub.publish("modemhub/message/1", "an end") < REFUSED
        for client in (sender, both):
            await client.until_heard("modemhub/message/1")
    assert [each.topic for each in both.heard.items] == ["modemhub/received", "modemhub/message/1"]
    assert [each.topic for each in sender.heard.items] == ["modemhub/message/1"]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("tls", [False, True])
async def test_nobody_comes_in_without_the_password(bundled: Bundled, protocol: str, *, tls: bool) -> None:
    port, ca = (bundled.tls, bundled.ca) if tls else (bundled.local, None)
    name, password = bundled.login("send")
    for login in (None, (name, password + "x"), (name, ""), ("nobody", password)):
        with pytest.raises(Refused):
            await Client(port, "intruder", protocol=protocol, login=login, ca=ca).__aenter__()  # type: ignore[arg-type] # parametrized
    async with Client(port, "guest", protocol=protocol, login=(name, password), ca=ca) as client:  # type: ignore[arg-type] # parametrized
        assert await client.subscribe("modemhub/message/#") == [1]


async def test_what_is_without_tls_is_for_this_machine_alone(bundled: Bundled) -> None:
    """127.0.0.2 stands for any other address of this machine."""
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.2", bundled.local)


async def test_a_certificate_of_ours_stands_for_an_account(bundled: Bundled, tmp_path: Path) -> None:
    async with Client(
        bundled.certificates, "sensor", ca=bundled.ca, certificate=bundled.certificate("sensor")
    ) as sensor:
        assert await sensor.publish("modemhub/send/447700900123", "hot") < REFUSED
        assert await sensor.publish("modemhub/request/modem/restart", "{}") >= REFUSED
    with pytest.raises(Refused):  # a password is not taken for it
        await Client(bundled.certificates, "send", ca=bundled.ca, login=bundled.login("send")).__aenter__()
    forged = tmp_path / "forged.crt", tmp_path / "forged.key"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    argv += ["-subj", "/CN=modemhub", "-days", "9", "-out", str(forged[0]), "-keyout", str(forged[1])]
    openssl = await Child.start("openssl", argv, log=tmp_path / "openssl.log")
    assert await openssl.ended() == 0
    with pytest.raises(Refused):
        await Client(bundled.certificates, "forger", ca=bundled.ca, certificate=forged).__aenter__()


async def test_a_certificate_whose_account_has_no_role_may_do_nothing(bundled: Bundled) -> None:
    certificate = bundled.certificate("stranger")
    async with Client(bundled.certificates, "stranger", ca=bundled.ca, certificate=certificate) as stranger:
        assert all([await stranger.publish(topic, "x") >= REFUSED for topic in PUBLISH])
        assert min(await stranger.subscribe(*SUBSCRIBE)) >= REFUSED


# ---------------------------------------------------------------- what a power cut leaves


@pytest.mark.timeout(120)
async def test_what_the_killed_broker_had_taken_for_an_absent_hub_is_sent(tmp_path: Path) -> None:
    """Mosquitto saves after its PUBACK, but in the same turn of its loop: before it reads the next packet."""
    count = 20
    async with AsyncExitStack() as stack:
        bundled = await stack.enter_async_context(Bundled(tmp_path / "bundled"))
        await bundled.must("account", "observer", "homeassistant")
        await bundled.broker.stop()
        await bundled.broker.start()
        name, password = bundled.login("modemhub")
        settings: Settings = {"mqtt": {"username": name, "password": password}}
        url = f"mqtt://127.0.0.1:{bundled.local}"
        whole = await stack.enter_async_context(rig_on(bundled, tmp_path, mqtt=url, settings=settings))
        await both_ways(whole, "before")
        await whole.hub.stop()
        async with Client(bundled.local, "sender", login=bundled.login("observer")) as sender:
            for n in range(count):
                command = {"to": "+447700900812", "text": f"kept {n}", "id": f"kept-{n}"}
                assert await sender.publish("modemhub/send", command) < REFUSED
            await sender.publish("modemhub/send", {"to": "+447700900813", "text": "perhaps"})
            await bundled.broker.kill()
        await bundled.broker.start()
        await whole.hub.start()
        await whole.modems.submits(1 + count, within=60)
        sent = whole.modems.times_sent()
        assert [len(sent.get(("+447700900812", f"kept {n}"), [])) for n in range(count)] == [1] * count


# ---------------------------------------------------------------- the script


async def test_the_script_changes_nothing_the_second_time(bundled: Bundled) -> None:
    def files() -> dict[Path, tuple[bytes, int]]:
        whole = (bundled.keys, bundled.directory / "etc" / "conf.d")
        found = [each for place in whole for each in place.rglob("*") if each.is_file()]
        found.append(bundled.directory / "broker" / "dynamic-security.json")
        return {each: (each.read_bytes(), each.stat().st_mode & 0o777) for each in found}

    before = files()
    output = await bundled.init(*TOPICS)
    output += await bundled.must("account", "both", "send", "inbox")
    output += await bundled.must("certificate", "sensor")
    assert "wrote" not in output
    assert files() == before
    modes = {each.name: mode for each, (_, mode) in before.items()}
    secrets = ["ca.key", "sensor.key", "admin", "mosquitto_ctrl", "modemhub", "dynamic-security.json"]
    assert {name: modes[name] for name in secrets} == dict.fromkeys(secrets, 0o600)
    assert modes["server.key"] == 0o640  # read by the broker, by its group


async def test_what_others_made_stays(tmp_path: Path) -> None:
    """Roles and accounts that were made over MQTT, the authority, and the key, through all that the script does."""
    async with Bundled(tmp_path) as bundled:
        admin = {"XDG_CONFIG_HOME": str(bundled.keys / "admin")}
        for words in (
            ["createRole", "lights"],
            ["addRoleACL", "lights", "publishClientSend", "lights/#", "allow"],
            ["createClient", "lamp", "-p", "a password"],
            ["addClientRole", "lamp", "lights"],
            ["addClientRole", "modemhub", "lights"],
        ):
            argv = ["mosquitto_ctrl", "dynsec", *words]
            child = await Child.start("mosquitto_ctrl", argv, log=tmp_path / "ctrl.log", environment=admin)
            assert await child.ended() == 0
            assert "Error" not in "".join(child.lines.items)
        kept = [bundled.keys / each for each in ("ca.crt", "ca.key", "server.key", "accounts/modemhub")]
        before = [each.read_bytes() for each in kept]
        certificate = (bundled.keys / "server.crt").read_bytes()
        (tmp_path / "password").write_text("of my own\n", encoding="utf-8")
        await bundled.must("account", "door", "send", "--password-file", str(tmp_path / "password"))
        assert "DNS:broker.example" in await bundled.init("--name", "broker.example")
        assert [each.read_bytes() for each in kept] == before
        assert (bundled.keys / "server.crt").read_bytes() != certificate
        await bundled.broker.stop()
        await bundled.broker.start()
        async with (
            Client(bundled.local, "lamp", login=("lamp", "a password")) as lamp,
            Client(bundled.tls, "door", login=("door", "of my own"), ca=bundled.ca) as door,
        ):
            assert await lamp.publish("lights/1", "on") < REFUSED
            assert await door.publish("modemhub/send/447700900123", "open") < REFUSED
            assert await door.publish("lights/1", "on") >= REFUSED


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("account", "x", "everything"), 2, "invalid choice"),
        (("account", "../x", "send"), 1, "letters, digits"),
        (("certificate", "server"), 1, "broker's own"),
        (("init", "--base", "modem/#"), 2, "no \\+ #"),
        (("init", "--plugin", "/nowhere/x.so"), 1, "/nowhere/x.so"),
    ],
)
async def test_the_script_refuses_in_words(bundled: Bundled, arguments: tuple[str, ...], code: int, said: str) -> None:
    before = (bundled.directory / "broker" / "dynamic-security.json").read_bytes()
    exit_code, output = await bundled.script(*arguments)
    assert (exit_code, bool(re.search(said, output))) == (code, True), output
    assert "Traceback" not in output
    assert (bundled.directory / "broker" / "dynamic-security.json").read_bytes() == before


async def test_the_script_lets_a_file_be_that_it_cannot_read(tmp_path: Path) -> None:
    bundled = Bundled(tmp_path)
    file = tmp_path / "broker" / "dynamic-security.json"
    file.parent.mkdir()
    file.write_text("{broken", encoding="utf-8")
    code, output = await bundled.script("init")
    assert (code, "is not JSON" in output) == (1, True), output
    assert file.read_text(encoding="utf-8") == "{broken"


# ---------------------------------------------------------------- the hub on it


async def both_ways(whole: Rig, text: str) -> None:
    """A text out as the observer asks for it, and one in."""
    start = len(whole.observer.heard.items)
    await whole.observer.publish("send", {"to": "+447700900811", "text": text})
    answer = (await whole.observer.until_heard("response", start=start)).json
    assert answer["status"] == "ok"
    await whole.observer.until_state(answer["id"], "delivered")
    assert ("+447700900811", text) in whole.modems.texts()
    await whole.modems.deliver(whole.modems.all[0], f"{text} answered")
    await whole.observer.heard.until(
        lambda _: [each for each in whole.observer.received() if each["text"] == f"{text} answered"], "the text"
    )


async def test_the_hub_with_a_password_over_verified_tls(bundled: Bundled, tmp_path: Path) -> None:
    name, password = bundled.login("modemhub")
    settings: Settings = {"mqtt": {"username": name, "password": password, "ca": str(bundled.ca)}}
    async with rig_on(bundled, tmp_path, mqtt=f"mqtts://localhost:{bundled.tls}", settings=settings) as whole:
        await both_ways(whole, "by password")


async def test_the_hub_with_a_certificate(bundled: Bundled, tmp_path: Path) -> None:
    certificate, key = map(str, bundled.certificate("modemhub"))
    settings: Settings = {"mqtt": {"ca": str(bundled.ca), "cert": certificate, "key": key}}
    async with rig_on(bundled, tmp_path, mqtt=f"mqtts://localhost:{bundled.certificates}", settings=settings) as whole:
        await both_ways(whole, "by certificate")


async def test_the_hub_goes_by_the_name_that_it_is_told(bundled: Bundled, tmp_path: Path) -> None:
    """An address that stands in no certificate, and the name that does."""
    name, password = bundled.login("modemhub")
    settings: Settings = {
        "mqtt": {"username": name, "password": password, "ca": str(bundled.ca), "server_name": "localhost"}
    }
    async with rig_on(bundled, tmp_path, mqtt=f"mqtts://127.1:{bundled.tls}", settings=settings) as whole:
        await both_ways(whole, "by name")


async def test_the_hub_shares_and_is_discovered_with_the_rights_of_its_role(bundled: Bundled, tmp_path: Path) -> None:
    name, password = bundled.login("modemhub")
    share = {"group": "hubs", "topic": "texts"}
    settings: Settings = {"mqtt": {"username": name, "password": password, "share": share, "sms2mqtt": "sms2mqtt"}}
    async with (
        connected(bundled, "homeassistant") as house,
        connected(bundled, "send") as sender,
        rig_on(bundled, tmp_path, mqtt=f"mqtt://127.0.0.1:{bundled.local}", settings=settings) as whole,
    ):
        assert await house.subscribe("homeassistant/#") == [1]
        await house.heard.until(lambda heard: [each for each in heard if each.topic.endswith("/config")], "discovery")
        assert await sender.subscribe("texts/response", "modemhub/message/#", "sms2mqtt/sent") == [1, 1, 1]
        await sender.publish("texts/send", {"to": "+447700900814", "text": "shared"})
        answer = (await sender.until_heard("texts/response")).json
        await sender.publish("sms2mqtt/send", '{"number": "+447700900815", "text": "by an alias"}')
        await sender.until_heard("sms2mqtt/sent")
        assert (answer["status"], answer["base_topic"]) == ("ok", "modemhub")
        await whole.observer.until_state(answer["id"], "delivered")
        await whole.modems.submits(2, within=30)
        assert sorted(whole.modems.texts()) == [("+447700900814", "shared"), ("+447700900815", "by an alias")]
    assert "does not let us" not in whole.hub.said()


@pytest.mark.parametrize("wrong", ["name", "authority", "password", "no password", "no certificate"])
async def test_the_hub_tells_what_keeps_it_from_the_broker(bundled: Bundled, tmp_path: Path, wrong: str) -> None:
    """It stays up, says why, and nothing of what it would say arrives."""
    name, password = bundled.login("modemhub")
    mqtt = {"username": name, "password": password, "ca": str(bundled.ca)}
    host, port = "localhost", bundled.tls
    match wrong:
        case "name":
            host, said = "127.1", "certificate"  # the same address, by a name that stands in no certificate
        case "authority":
            del mqtt["ca"]
            said = "certificate"
        case "password":
            mqtt["password"], said = "guessed", "authori[sz]ed|[Bb]ad user"
        case "no password":
            mqtt, said = {"ca": str(bundled.ca)}, "authori[sz]ed|[Bb]ad user"
        case _:
            mqtt, port, said = {"ca": str(bundled.ca)}, bundled.certificates, "certificate"
    hub = Hub(tmp_path / "hub", modems=[], mqtt=f"mqtts://{host}:{port}", settings={"mqtt": mqtt})
    async with connected(bundled, "observer") as observer, hub:
        await observer.subscribe("modemhub/info")
        line = await hub.child.line(lambda line: "no link to the broker" in line, "why there is no link")
        assert re.search(said, line), line
        assert password not in hub.said()
    assert [each for each in observer.heard.items if not each.retain] == []
