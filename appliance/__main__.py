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
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from appliance import __version__
from appliance.errors import ModemhubError, SettingsError
from appliance.shell.arguments import add_commands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from appliance.settings import Settings
    from appliance.shell import HubClient

__all__ = ["main", "parsed"]

log = logging.getLogger("appliance")

FINE, FAILED, WRONG_USAGE = 0, 1, 2

SCOPES = ("send", "inbox", "status", "control", "admin")

THREAD_SWITCH = 0.0005
"""Seconds after which the interpreter hands over to a waiting thread. With the default of 5 ms the journal's writer,
back from an fsync, waits that long for a busy event loop: measured, 2.6 times fewer durable accepts in a second."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of ``modemhub``; returns the exit code."""
    options = parsed(arguments)
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


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, read; ends the process where it is wrong."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    options.rest = rest
    if "words_anywhere" in options and _are_words(rest):
        options.words += [word for word in rest if word != "--"]
    elif rest and options.command is not _demo:  # the demonstration has options of its own
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return options


def _are_words(rest: Sequence[str]) -> bool:
    """Whether this is what argparse leaves of words that stand apart, with an option between them."""
    return rest[:1] == ["--"] or not any(word.startswith("-") and word != "-" for word in rest)


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
    create.add_argument("--scope", required=True, action="append", choices=SCOPES)
    create.add_argument(
        "--per-minute", type=_bound(1), metavar="N", help="messages that it may send in a minute (default: no bound)"
    )
    create.add_argument(
        "--daily-cap", type=_bound(0), metavar="N", help="segments in any 24 hours (default: policy.client_daily_cap)"
    )
    command("list", _token_list, "List the tokens' names and scopes.", into=token)
    revoke = command("revoke", _token_revoke, "Revoke a token.", into=token)
    revoke.add_argument("--name", required=True)

    adopt = command("adopt", _token_adopt, "Have exactly the tokens of a file, of those that came by it.", into=token)
    adopt.add_argument(
        "file", type=Path, metavar="FILE", help='JSON: {"NAME": {"digest": "SHA-256 in hex", "scopes": ["send"]}}'
    )

    command("doctor", _doctor, "Say what is plugged in, what each port answers, and what is wrong.")

    def spoken(name: str, text: str) -> argparse.ArgumentParser:
        return command(name, _talk, text)

    add_commands(spoken)
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
    from appliance.hub import Claim, Contacts, Hub, claim_file
    from appliance.settings import explained, public
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
            public_settings=public(settings),
            claim=Claim(
                journal,
                claim_file(settings.store.path),
                at=settings.http.claim_at,
                show=_to_terminal if sys.stderr.isatty() else None,
            ),
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

            mqtt = MqttDoor(hub, settings.mqtt, settings.homeassistant)
            hub.mqtt = lambda: mqtt.report
            supervisor.vital("mqtt", mqtt.run)
        else:
            for door in ("mqtt", "homeassistant", "homeassistant.told", "sms2mqtt"):
                await hub.forget_door(door)
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
        if not supervisor.stopping:
            supervisor.watchdog(hub.breathe)
            supervisor.ready()
            log.info("modemhub %s is ready: hub %s", __version__, hub.hub_id)
        await supervisor.run()
    finally:
        await journal.close()


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
    from appliance import owner
    from appliance.settings import load

    token = owner.create_token(
        load(options.config).store.path,
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


def _token_adopt(options: argparse.Namespace) -> int:
    from appliance import owner
    from appliance.settings import load

    try:
        told = json.loads(options.file.read_text(encoding="utf-8"))
        wanted = {
            _token_name(name): (bytes.fromhex(each["digest"]), [_scope(scope) for scope in each["scopes"]])
            for name, each in told.items()
        }
    except OSError as error:
        raise ModemhubError(f"{options.file}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, argparse.ArgumentTypeError) as error:
        raise ModemhubError(f"{options.file}: is no list of tokens: {error!r}") from error
    changed = owner.adopt_tokens(load(options.config).store.path, wanted)
    print("nothing changed" if changed == 0 else f"{changed} changed")
    return FINE


def _scope(given: str) -> str:
    if given not in SCOPES:
        raise ValueError(f"{given} is no scope")
    return given


def _token_name(given: str) -> str:
    """A token's name is its client's name; two are the hub's own: by the broker, by the command line."""
    if given == "mqtt" or given.startswith("command-line") or not given.isprintable() or not 1 <= len(given) <= 64:
        raise argparse.ArgumentTypeError('1 to 64 printable characters; "mqtt" and "command-line…" are the hub\'s own')
    return given


def _bound(least: int) -> Callable[[str], int]:
    """How a bound is read: a whole number, not less than ``least``."""

    def read(given: str) -> int:
        if not (given.isascii() and given.isdigit() and int(given) >= least):
            raise argparse.ArgumentTypeError(f"a whole number, {least} or more")
        return int(given)

    return read


# ---------------------------------------------------------------------- the running hub, by its own API


def _talk(options: argparse.Namespace) -> int:
    """A command that speaks to a running hub."""
    from appliance.shell.commands import run

    return run(options, _hub)


@contextlib.contextmanager
def _hub(options: argparse.Namespace, scopes: Sequence[str]) -> Iterator[HubClient]:
    """The hub that is named, else the one on this machine."""
    from appliance import owner
    from appliance.settings import load
    from appliance.shell.commands import named_hub

    named = named_hub(options, os.environ)
    if named is not None:
        yield named
        return
    with owner.local_hub(load(options.config), scopes) as local:
        yield local


def _doctor(options: argparse.Namespace) -> int:
    """Ask the running hub for its modems, and look at everything else: buses, and ports that nobody has open."""
    from appliance.modem import consult
    from appliance.settings import load
    from appliance.shell.words import modem_words

    settings = load(options.config)
    running = _running_modems(settings) if settings.http.listen is not None else None
    for modem in running or ():
        print(f"{modem['place']}: {modem_words(modem)}")
    served = {modem["port"] for modem in running or ()} | {modem["place"] for modem in running or ()}
    named = [modem.port for modem in settings.modems if modem.port not in served]
    findings = asyncio.run(consult(named, buses=settings.detect.udev, served=served))
    for finding in findings:
        print(f"{finding.port}: {finding.words}")
    able = all(modem["state"] == "ready" for modem in running or ())
    return FINE if able and all(finding.fine for finding in findings) else FAILED


def _running_modems(settings: Settings) -> list[dict[str, Any]] | None:
    """The modems of the hub that runs on this machine; None: none runs."""
    from appliance import owner

    try:
        with owner.local_hub(settings, ["status"]) as hub:
            return hub.modems()
    except ModemhubError:
        return None


if __name__ == "__main__":
    sys.exit(main())
