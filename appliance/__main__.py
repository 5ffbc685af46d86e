"""The composition root: arguments → settings → build every room → supervise. The only file that sees all.

Exit codes: 0 fine, 2 wrong usage or settings, 1 anything else. What a command does not need is not imported.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from appliance import __version__
from appliance.errors import ModemhubError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from http.client import HTTPResponse

    from appliance.mqtt import MqttDoor, MqttSettings
    from appliance.settings import Settings

__all__ = ["main"]

log = logging.getLogger("appliance")

FINE, FAILED, WRONG_USAGE = 0, 1, 2

THREAD_SWITCH = 0.0005
"""Seconds after which the interpreter hands over to a waiting thread. With the default of 5 ms the journal's writer,
back from an fsync, waits that long for a busy event loop: measured, 2.6 times fewer durable accepts in a second."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of ``modemhub``; returns the exit code."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    options.rest = rest
    if rest and options.command is not _demo:  # the demonstration has options of its own
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        code: int = options.command(options)
    except SettingsError as error:
        print(f"The settings are wrong:\n{error}", file=sys.stderr)
        return WRONG_USAGE
    except ModemhubError as error:
        print(f"modemhub: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return FINE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modemhub", description="SMS between GSM/LTE modems and MQTT, HTTP and Home Assistant."
    )
    parser.add_argument("--version", action="version", version=f"modemhub {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, function: Callable[[argparse.Namespace], int], text: str, *, into: object = commands
    ) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = into.add_parser(name, help=text, description=text)  # type: ignore[attr-defined] # argparse's type of this is private
        made.add_argument(
            "--config", type=Path, metavar="FILE", help="settings file (default: /etc/modemhub/modemhub.toml)"
        )
        made.set_defaults(command=function)
        return made

    command("run", _run, "Run the hub.")
    demo = commands.add_parser(
        "demo", help="Run the hub on two emulated modems and a broker (in a source tree).", add_help=False
    )
    demo.set_defaults(command=_demo)

    config = commands.add_parser("config", help="Check, show or describe the settings.").add_subparsers(
        required=True, metavar="ACTION"
    )
    command("check", _config_check, "Say whether the settings are right; exit code 2 when not.", into=config)
    command("show", _config_show, "Show the settings in force, secrets masked.", into=config)
    command("schema", _config_schema, "Print the JSON Schema of the settings.", into=config)

    token = commands.add_parser("token", help="Create, list and revoke HTTP tokens.").add_subparsers(
        required=True, metavar="ACTION"
    )
    create = command("create", _token_create, "Create a token and print it: it is shown this once.", into=token)
    create.add_argument("--name", required=True, type=_token_name)
    create.add_argument(
        "--scope", required=True, action="append", choices=["send", "inbox", "status", "control", "admin"]
    )
    create.add_argument(
        "--per-minute", type=_bound(1), metavar="N", help="messages that it may send in a minute (default: no bound)"
    )
    create.add_argument(
        "--daily-cap", type=_bound(0), metavar="N", help="segments in any 24 hours (default: policy.client_daily_cap)"
    )
    command("list", _token_list, "List the tokens' names and scopes.", into=token)
    revoke = command("revoke", _token_revoke, "Revoke a token.", into=token)
    revoke.add_argument("--name", required=True)

    command("doctor", _doctor, "Say what is plugged in, what each port answers, and what is wrong.")
    send = command("send", _send, "Send a text through the running hub and wait for what becomes of it.")
    send.add_argument("number")
    send.add_argument("text")
    send.add_argument(
        "--wait", type=float, default=60.0, metavar="SECONDS", help="how long to wait for an end (default: 60)"
    )
    follow = command("events", _events, "Follow the running hub's events, one JSON a line.")
    follow.add_argument("--after", type=int, metavar="SEQ", help="replay from this event on (default: only new ones)")
    return parser


# ---------------------------------------------------------------------- run


def _run(options: argparse.Namespace) -> int:
    from appliance.settings import load

    settings = load(options.config)
    _log_to_stderr(settings.log.level)
    sys.setswitchinterval(THREAD_SWITCH)
    asyncio.run(_supervise(settings))
    return FINE


async def _supervise(settings: Settings) -> None:
    """Build every room and run until a signal or the end of a vital task."""
    from appliance.hub import Claim, Contacts, Hub
    from appliance.settings import explained, shown
    from appliance.store import HubClock, Journal
    from appliance.supervisor import Supervisor

    clock = HubClock.of_this_machine()
    journal = await Journal.open(
        settings.store.path, clock=clock, probe=_crash_point(os.environ.get("MODEMHUB_CRASH_AT"))
    )
    try:
        supervisor = Supervisor()
        hub = Hub(
            journal,
            clock,
            supervisor,
            policy=settings.policy,
            modems=settings.modems,
            detect=settings.detect,
            hang_up=settings.calls.hang_up,
            reboot=_reboot_machine if settings.recovery.reboot_machine else None,
            sim_settings=settings.sims,
            contacts=Contacts(settings.contacts),
            retention_days=settings.store.retention_days,
            public_settings=shown(settings),
            claim=Claim(journal, _claim_file(settings.store.path), show=_to_terminal if sys.stderr.isatty() else None),
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, supervisor.stop)
        await hub.start()
        if settings.webhooks:
            from appliance.webhooks import WebhookDoor

            webhooks = WebhookDoor(hub, settings.webhooks)
            await webhooks.settle()
            for name, hook in webhooks.hooks.items():
                supervisor.tend(f"webhook {name}", hook.run)
            hub.webhooks = lambda: webhooks.states
        else:
            await hub.debts.keep(())
        if settings.mqtt is not None and settings.mqtt.url is not None:
            from appliance.mqtt import MqttDoor

            mqtt = MqttDoor(hub, settings.mqtt)
            hub.mqtt = partial(_mqtt_report, mqtt, settings.mqtt)
            supervisor.vital("mqtt", mqtt.run)
        else:
            await hub.forget_door("mqtt")
        if settings.http.listen is not None:
            from appliance.http import HttpDoor

            http = HttpDoor(
                hub,
                settings.http,
                explain_settings=lambda: explained(settings),
                directory=settings.store.path.parent,
            )
            supervisor.vital("http", http.run)
            await supervisor.until(http.ready)
        supervisor.watchdog(hub.breathe)
        supervisor.ready()
        log.info("modemhub %s is ready: hub %s", __version__, hub.hub_id)
        await supervisor.run()
    finally:
        await journal.close()


def _mqtt_report(door: MqttDoor, settings: MqttSettings) -> dict[str, Any]:
    """How the MQTT door is, for the hub's status, which knows no door."""
    return {
        "connected": door.connected,
        "url": settings.url,
        "last_error": None if door.connected else door.last_error,
        "base_topic": settings.base_topic,
        "discovery_prefix": None,
    }


def _claim_file(store: Path) -> Path:
    """Where a hub that nobody owns tells how to become its owner: beside the store."""
    return store.with_name("CLAIM.txt")


def _to_terminal(text: str) -> None:
    """For whoever looks on; never a log (promise C1)."""
    print(f"\n{text}", file=sys.stderr, flush=True)


async def _reboot_machine() -> None:
    """Ask systemd for a restart of the machine; what it says goes to the log."""
    process = await asyncio.create_subprocess_exec("systemctl", "reboot")
    code = await process.wait()
    if code != 0:
        log.error("systemctl reboot ended with %d: may this service ask for it?", code)


def _crash_point(wish: str | None) -> Callable[[str, str], None] | None:
    """For crash tests: ``<verb>:<before|after>:<count>`` kills the process around that commit of that verb."""
    if wish is None:
        return None
    wanted_verb, wanted_moment, count = wish.split(":")
    left = int(count)

    def probe(moment: str, verb: str) -> None:
        nonlocal left
        if (verb, moment) == (wanted_verb, wanted_moment):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return probe


def _log_to_stderr(level: str) -> None:
    """Log lines for a person, or with syslog priorities for the journal that systemd reads (sd-daemon(3))."""

    class Priority(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            priority = (
                3
                if record.levelno >= logging.ERROR
                else 4
                if record.levelno >= logging.WARNING
                else 6
                if record.levelno >= logging.INFO
                else 7
            )
            return f"<{priority}>{super().format(record)}".replace("\n", f"\n<{priority}>")

    handler = logging.StreamHandler()
    handler.setFormatter(
        Priority("%(name)s: %(message)s")
        if "JOURNAL_STREAM" in os.environ
        else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _demo(options: argparse.Namespace) -> NoReturn:
    """Hand over to the demonstration of the source tree; it runs this very hub as a process."""
    tree = Path(__file__).parent.parent
    if not (tree / "hil" / "demo.py").exists():
        raise ModemhubError(
            "the demo needs the source tree, where its emulated modems are: git clone it, then make demo"
        )
    os.chdir(tree)
    os.execv(sys.executable, [sys.executable, "-m", "hil.demo", *options.rest])  # noqa: S606 - it ends as the demo does


# ---------------------------------------------------------------------- settings


def _config_check(options: argparse.Namespace) -> int:
    from appliance.settings import load

    load(options.config)
    print("The settings are right.")
    return FINE


def _config_show(options: argparse.Namespace) -> int:
    from appliance.settings import load, shown

    print(json.dumps(shown(load(options.config)), indent=2, ensure_ascii=False))
    return FINE


def _config_schema(_: argparse.Namespace) -> int:
    from appliance.settings import Settings

    print(json.dumps(Settings.model_json_schema(), indent=2))
    return FINE


# ---------------------------------------------------------------------- tokens


def _token_create(options: argparse.Namespace) -> int:
    token = _new_token(
        options,
        name=options.name,
        scopes=options.scope,
        per_minute=options.per_minute,
        daily_cap=options.daily_cap,
    )
    print(token)
    return FINE


def _token_list(options: argparse.Namespace) -> int:
    from appliance.settings import load
    from appliance.store import tokens, visit

    with visit(load(options.config).store.path) as store:
        for token in store.read(tokens.tokens):
            print(f"{token.name}\t{' '.join(sorted(token.scopes))}")
    return FINE


def _token_revoke(options: argparse.Namespace) -> int:
    from appliance.settings import load
    from appliance.store import tokens, visit

    with visit(load(options.config).store.path) as store:
        store.write(tokens.revoke, name=options.name)
    return FINE


def _token_name(given: str) -> str:
    """A token's name is its client's name; ``mqtt`` is what the hub calls whoever speaks through the broker."""
    if given == "mqtt" or not given.isprintable() or not 1 <= len(given) <= 64:
        raise argparse.ArgumentTypeError('1 to 64 printable characters, and not "mqtt", which is the MQTT door\'s own')
    if given.startswith("command-line-"):
        raise argparse.ArgumentTypeError("names that begin with command-line- are those of passing tokens")
    return given


def _bound(least: int) -> Callable[[str], int]:
    """How a bound is read: a whole number, not less than ``least``."""

    def read(given: str) -> int:
        if not (given.isascii() and given.isdigit() and int(given) >= least):
            raise argparse.ArgumentTypeError(f"a whole number, {least} or more")
        return int(given)

    return read


def _new_token(
    options: argparse.Namespace,
    *,
    name: str,
    scopes: Sequence[str],
    per_minute: int | None = None,
    daily_cap: int | None = None,
) -> str:
    """Create a token in the store, also while a hub runs; only its digest is kept."""
    import hashlib
    import secrets

    from appliance.settings import load
    from appliance.store import tokens, visit

    token = "mh_" + secrets.token_urlsafe(24)
    digest = hashlib.sha256(token.encode()).digest()
    path = load(options.config).store.path
    with visit(path) as store:
        store.write(tokens.create, name=name, scopes=scopes, digest=digest, per_minute=per_minute, daily_cap=daily_cap)
    if not name.startswith(tokens.PASSING):  # the hub has an owner now
        _claim_file(path).unlink(missing_ok=True)
    return token


# ---------------------------------------------------------------------- the running hub, by its own API


@contextlib.contextmanager
def _local_api(
    options: argparse.Namespace, *, scopes: Sequence[str]
) -> Iterator[Callable[[str, str, object], HTTPResponse]]:
    """Speak to the hub on this machine by a token that lives as long as the command: who may write the store may."""
    import http.client
    import secrets

    from appliance.settings import load
    from appliance.store import tokens, visit

    settings = load(options.config)
    if settings.http.listen is None:
        raise SettingsError("http.listen: is off, and this command speaks to the running hub by HTTP")
    host, port = settings.http.address
    name = f"{tokens.PASSING}{secrets.token_hex(4)}"
    token = _new_token(options, name=name, scopes=scopes)

    def request(method: str, path: str, body: object = None) -> HTTPResponse:
        connection = http.client.HTTPConnection(host, port)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
        except OSError as error:
            raise ModemhubError(f"no hub answers at {host}:{port} ({error.strerror}): is modemhub running?") from error
        return connection.getresponse()

    try:
        yield request
    finally:
        with visit(settings.store.path) as store:
            store.write(tokens.revoke, name=name)


def _send(options: argparse.Namespace) -> int:
    with _local_api(options, scopes=["send", "status"]) as request:
        response = request(
            "POST", f"/api/v1/messages?wait={min(options.wait, 60)}", {"to": options.number, "text": options.text}
        )
        answer = json.loads(response.read())
    if response.status >= 300:
        print(f"modemhub: {answer.get('detail') or answer.get('title')}", file=sys.stderr)
        return WRONG_USAGE if response.status == 400 else FAILED
    print(f"{answer['id']}\t{answer['state']}")
    return FAILED if answer["state"] in {"failed", "undelivered", "expired"} else FINE


def _events(options: argparse.Namespace) -> int:
    path = "/api/v1/events" if options.after is None else f"/api/v1/events?after={options.after}"
    with _local_api(options, scopes=["inbox", "status"]) as request:
        response = request("GET", path, None)
        for line in response:
            if line.startswith(b"data:"):
                print(line[5:].strip().decode(), flush=True)
    return FINE


def _doctor(options: argparse.Namespace) -> int:
    """Ask the running hub for its modems, and look at everything else: buses, and ports that nobody has open."""
    from appliance.modem import consult
    from appliance.settings import load

    settings = load(options.config)
    running = _running_modems(options) if settings.http.listen is not None else None
    for modem in running or ():
        print(f"{modem['place']}: {_in_words(modem)}")
    served = {modem["port"] for modem in running or ()} | {modem["place"] for modem in running or ()}
    named = [modem.port for modem in settings.modems if modem.port not in served]
    findings = asyncio.run(consult(named, buses=settings.detect.udev, served=served))
    for finding in findings:
        print(f"{finding.port}: {finding.words}")
    able = all(modem["state"] == "ready" for modem in running or ())
    return FINE if able and all(finding.fine for finding in findings) else FAILED


def _running_modems(options: argparse.Namespace) -> list[dict[str, Any]] | None:
    """The modems of the hub that runs on this machine; None: none runs."""
    try:
        with _local_api(options, scopes=["status"]) as request:
            response = request("GET", "/api/v1/modems", None)
            modems: list[dict[str, Any]] = json.loads(response.read())["modems"]
    except ModemhubError:
        return None
    return modems


def _in_words(modem: dict[str, Any]) -> str:
    """How a modem of the running hub is, for a person."""
    said = [f"{modem['manufacturer'] or 'a modem'} {modem['model'] or ''}".strip() + f", IMEI {modem['imei']}"]
    said.append(f"profile {modem['profile']}, port {modem['port']}")
    said.append(f"state: {modem['state'].replace('_', ' ')}")
    if modem["registration"]:
        said.append(f"registration: {modem['registration'].replace('_', ' ')}")
    if modem["signal_dbm"] is not None:
        said.append(f"signal {modem['signal_dbm']} dBm")
    if modem["storage_full"]:
        said.append(f"nearly full: {', '.join(modem['storage_full'])}")
    if modem["unreadable"]:
        said.append(f"starts anew when these are read, so they are left there: {', '.join(modem['unreadable'])}")
    if modem["recovery"]:
        said.append(f"being done: {modem['recovery']}")
    if modem["last_error"] and modem["state"] != "ready":
        said.append(f"wrong: {modem['last_error']}")
    return "; ".join(said)


if __name__ == "__main__":
    sys.exit(main())
