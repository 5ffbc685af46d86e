#!/usr/bin/env python3
"""Certificates, roles and accounts of the bundled Mosquitto: ``init``, ``account``, ``remove``, ``certificate``.

Promise: each command may be run again at any time and changes only what is not as it should be. The authority, keys,
passwords, and whatever else the user put into the dynamic security file stay; our roles are written anew, so that they
follow the topics of the installed version. No password is on a command line, or in a log: it stands in a file that only
root may read. Nothing is done to a broker that runs: restart it afterwards.

What it does not do: it starts no broker, and it installs nothing (Debian's ``mosquitto`` and ``openssl`` are needed).

Theory of operation. Everything is made with the broker's and OpenSSL's own tools where they can do it without a running
broker: ``openssl`` makes an authority of this machine's own, and a server's certificate for its names;
``mosquitto_ctrl dynsec init`` writes the first dynamic security file. Roles and accounts are put into that file here,
in the form in which the plugin keeps them (PBKDF2 with SHA-512). The plugin writes the file only when it is told of a
change over MQTT, so that between this and the restart only such a change could be lost.

::

    CONF/conf.d/modemhub.conf        from modemhub.conf, the template beside this file
    CONF/modemhub/ca.crt             for the clients: what they verify the broker by
    CONF/modemhub/ca.key             root only
    CONF/modemhub/server.crt, .key   the broker's own
    CONF/modemhub/NAME.crt, .key     of a client with a certificate instead of a password
    CONF/modemhub/accounts/NAME      a password, root only
    CONF/modemhub/admin/             with this as $XDG_CONFIG_HOME, mosquitto_ctrl and mosquitto_sub are the admin
    STATE/dynamic-security.json      the plugin's: roles and accounts

Roles: the words of the HTTP scopes, ``send``, ``inbox``, ``status``, ``control``; and ``homeassistant`` and ``hub``.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import json
import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TEMPLATE: Final = Path(__file__).resolve().with_name("modemhub.conf")
ADMIN: Final = "admin"
HUB: Final = "modemhub"
"""The account of the hub."""
PREFIX: Final = "modemhub-"
"""Roles of ours begin so in the file; others are left alone."""
AUTHORITY_DAYS: Final = 20 * 365
SERVER_DAYS: Final = 10 * 365
"""An appliance that nobody looks at must not fall silent because a certificate ended."""
RENEW_DAYS: Final = 365
"""A certificate that ends sooner is made anew by the next run."""
ITERATIONS: Final = 10_000
"""Of PBKDF2, as the plugin does it for each connection on the broker's only thread: some 10 ms on a Raspberry Pi.
Passwords that are made here have 192 bits and need none."""
SALT: Final = 12
"""Octets; the plugin of Mosquitto 2.0 takes no other length."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
PLUGIN: Final = "mosquitto_dynamic_security.so"


class Wrong(Exception):
    """What cannot be done, in words for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics that the roles speak of; each of the optional ones is empty where it is not used."""

    bases: Sequence[str]
    share: str
    alias: str
    discovery: str

    def below_each(self, *filters: str) -> list[str]:
        """These filters below each hub's base topic."""
        return [f"{base}/{each}" for base in self.bases for each in filters]


@dataclass(frozen=True, slots=True)
class Role:
    """Topic filters that one may publish to and subscribe to; there is nothing else that it may."""

    publish: Sequence[str]
    subscribe: Sequence[str]

    def acls(self) -> Iterator[dict[str, Any]]:
        """In the form of the plugin."""
        for acltype, filters in (("publishClientSend", self.publish), ("subscribePattern", self.subscribe)):
            for topic in dict.fromkeys(filters):
                yield {"acltype": acltype, "topic": topic, "priority": 0, "allow": True}


def roles(topics: Topics) -> dict[str, Role]:
    """Every role by the word that a user gives for it."""
    of, alias = topics.below_each, topics.alias
    about = of("status", "info")
    answers = [*of("response/#"), *([f"{topics.share}/response/#"] if topics.share else [])]
    sends = [
        *of("send/#"),
        *([f"{topics.share}/send/#"] if topics.share else []),
        *([f"{alias}/send"] if alias else []),
    ]
    shared = topics.share
    whole = [*of("#"), *(f"{below}/#" for below in (topics.discovery, alias) if below)]
    return {
        "send": Role(
            publish=[*sends, *of("request/message/#")],
            subscribe=[*about, *answers, *of("message/#"), *([f"{alias}/sent"] if alias else [])],
        ),
        "inbox": Role(
            publish=of("request/inbox/#"),
            subscribe=[
                *about,
                *answers,
                *of("received", "call", "modem/+/event", "modem/+/call", "modem/+/last_received"),
                *([f"{alias}/received"] if alias else []),
            ],
        ),
        "status": Role(
            publish=[],
            subscribe=[
                *about,
                *of("health", "modem/+/state", "modem/+/availability", "modem/+/recovery"),
                *(f"{alias}/{word}" for word in ("connected", "signal", "battery", "network") if alias),
            ],
        ),
        "control": Role(publish=of("request/#"), subscribe=[*about, *answers]),
        "homeassistant": Role(
            publish=[*of("send/#", "request/#"), f"{topics.discovery}/#"],
            subscribe=[*of("#"), f"{topics.discovery}/#"],
        ),
        "hub": Role(
            publish=[*whole, *(f"{shared}/{each}/#" for each in ("response", "send", "hubs") if shared)],
            subscribe=[
                *whole,
                # The plugin takes the filter of a shared subscription as it is written, its group included.
                *([f"$share/+/{shared}/send/#", f"{shared}/response/#", f"{shared}/hubs/#"] if shared else []),
            ],
        ),
    }


# ---------------------------------------------------------------- files


def say(line: str) -> None:
    """One line for the person at the terminal."""
    sys.stdout.write(line + "\n")


def run(*argv: str | Path) -> str:
    """The output of a tool that must succeed."""
    try:
        done = subprocess.run([str(word) for word in argv], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise Wrong(f"{argv[0]} is not installed: apt install mosquitto openssl") from None
    if done.returncode != 0:
        raise Wrong(f"{argv[0]} {argv[1]} failed:\n{done.stderr or done.stdout}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Place:
    """Where the broker's files are, and as whom it runs."""

    conf: Path
    state: Path
    user: str

    @property
    def keys(self) -> Path:
        """Certificates, keys and accounts."""
        return self.conf / "modemhub"

    @property
    def dynsec(self) -> Path:
        """The plugin's file."""
        return self.state / "dynamic-security.json"

    @property
    def accounts(self) -> Path:
        """A file with the password of each account that was made here."""
        return self.keys / "accounts"

    def give(self, path: Path, mode: int, *, own: bool = False) -> None:
        """Let the broker read ``path`` (by its group), or ``own`` it."""
        path.chmod(mode)
        if os.geteuid() == 0:
            who = pwd.getpwnam(self.user)
            os.chown(path, who.pw_uid if own else 0, who.pw_gid)

    def write(self, path: Path, text: str, mode: int, *, own: bool = False) -> bool:
        """Have ``path`` hold ``text``, whole or not at all; whether it was changed."""
        if path.exists() and path.read_text(encoding="utf-8") == text:
            self.give(path, mode, own=own)
            return False
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        new = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            self.give(new, mode, own=own)
            new.replace(path)
        except BaseException:
            new.unlink()
            raise
        say(f"wrote {path}")
        return True


# ---------------------------------------------------------------- certificates


def make_authority(place: Place, host: str) -> None:
    """The authority of this machine; once, as every client trusts it."""
    key, certificate = place.keys / "ca.key", place.keys / "ca.crt"
    if key.exists() and certificate.exists():
        return
    with _new(key, certificate) as (new_key, new_certificate):
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", new_key)
        run(
            *("openssl", "req", "-x509", "-new", "-key", new_key, "-out", new_certificate, "-sha256"),
            *("-days", str(AUTHORITY_DAYS), "-subj", f"/CN=modemhub of {host[:40]}"),
            *("-addext", "basicConstraints=critical,CA:TRUE,pathlen:0"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )
    key.chmod(0o600)
    certificate.chmod(0o644)
    say(f"wrote {certificate}: give it to the clients")


def make_certificate(place: Place, stem: str, name: str, names: Sequence[str], *, usage: str) -> None:
    """A key, and its certificate by our authority for exactly these names, unless there is one that lasts."""
    key, certificate = place.keys / f"{stem}.key", place.keys / f"{stem}.crt"
    wanted = ",".join(f"IP:{each}" if _is_address(each) else f"DNS:{each}" for each in names)
    if key.exists() and certificate.exists() and _lasts(place, certificate, wanted):
        return
    with _new(key, certificate) as (new_key, new_certificate), tempfile.TemporaryDirectory() as directory:
        request, extensions = Path(directory) / "request", Path(directory) / "extensions"
        lines = [
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature",
            f"extendedKeyUsage={usage}",
        ]
        extensions.write_text("\n".join([*lines, *([f"subjectAltName={wanted}"] if wanted else [])]), encoding="utf-8")
        if key.exists():
            shutil.copy(key, new_key)
        else:
            run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", new_key)
        run("openssl", "req", "-new", "-key", new_key, "-out", request, "-subj", f"/CN={name}")
        run(
            *("openssl", "x509", "-req", "-in", request, "-out", new_certificate, "-sha256", "-days", str(SERVER_DAYS)),
            *("-CA", place.keys / "ca.crt", "-CAkey", place.keys / "ca.key", "-extfile", extensions),
            *("-set_serial", f"0x{secrets.randbits(127):032x}"),
        )
    place.give(key, 0o640)
    certificate.chmod(0o644)
    say(f"wrote {certificate}{f' for {wanted}' if wanted else ''}")


@contextlib.contextmanager
def _new(key: Path, certificate: Path) -> Iterator[tuple[Path, Path]]:
    """Names to write to, secret from the first octet on; they become the real ones when all went well."""
    with tempfile.TemporaryDirectory(dir=key.parent) as directory:  # mode 0700
        made = Path(directory) / "key", Path(directory) / "certificate"
        yield made
        made[0].replace(key)
        made[1].replace(certificate)


def _lasts(place: Place, certificate: Path, wanted: str) -> bool:
    """Whether it is by our authority, for these names, and good for a year."""
    try:
        run("openssl", "verify", "-CAfile", place.keys / "ca.crt", certificate)
        run("openssl", "x509", "-in", certificate, "-noout", "-checkend", str(RENEW_DAYS * 86400))
        text = run("openssl", "x509", "-in", certificate, "-noout", "-ext", "subjectAltName") if wanted else ""
    except Wrong:
        return False
    has = {each.strip().replace("IP Address:", "IP:") for line in text.splitlines()[1:] for each in line.split(",")}
    return has == set(filter(None, wanted.split(",")))


def _is_address(name: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, name)
            return True
    return False


# ---------------------------------------------------------------- roles and accounts


def hashed(password: str) -> dict[str, Any]:
    """A password in the form of the plugin."""
    salt = secrets.token_bytes(SALT)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return {
        "password": base64.b64encode(digest).decode(),
        "salt": base64.b64encode(salt).decode(),
        "iterations": ITERATIONS,
    }


def _matches(client: dict[str, Any], password: str) -> bool:
    try:
        salt, wanted = (base64.b64decode(client[key]) for key in ("salt", "password"))
        digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, client["iterations"])
    except (KeyError, ValueError):  # no password, or in a form of a newer plugin
        return False
    return secrets.compare_digest(digest, wanted)


def read_dynsec(place: Place) -> dict[str, Any]:
    """What the plugin knows; with nothing there, what it begins with."""
    if not place.dynsec.exists():
        with tempfile.TemporaryDirectory() as directory:
            first = Path(directory) / "first.json"
            # This password is never used: it would have stood on a command line.
            run("mosquitto_ctrl", "dynsec", "init", first, ADMIN, secrets.token_urlsafe())
            content: dict[str, Any] = json.loads(first.read_text(encoding="utf-8"))
    else:
        try:
            content = json.loads(place.dynsec.read_text(encoding="utf-8"))
        except ValueError as error:
            raise Wrong(f"{place.dynsec} is not JSON ({error}); nothing was changed") from None
    for part in ("clients", "roles"):
        content.setdefault(part, [])
    return content


def write_dynsec(place: Place, content: dict[str, Any]) -> bool:
    """Whether anything was changed."""
    return place.write(place.dynsec, json.dumps(content, indent="\t") + "\n", 0o600, own=True)


def put_roles(content: dict[str, Any], topics: Topics) -> None:
    """Our roles, each in its old place or at the end."""
    for word, role in roles(topics).items():
        name = PREFIX + word
        new = {"rolename": name, "acls": list(role.acls())}
        for n, old in enumerate(content["roles"]):
            if old["rolename"] == name:
                content["roles"][n] = {**old, **new}
                break
        else:
            content["roles"].append(new)


def put_account(
    place: Place, content: dict[str, Any], name: str, words: Sequence[str] | None, *, password: str | None = None
) -> None:
    """The account with the password of its file, made if missing, and with exactly these roles; None: as they are."""
    if not NAME.fullmatch(name):
        raise Wrong(f"{name!r}: use letters, digits and . _ - in the name of an account")
    file = place.accounts / name
    known = next((client for client in content["clients"] if client["username"] == name), None)
    if password is None and file.exists():
        password = file.read_text(encoding="utf-8").strip()
    elif password is None and (known is None or name == ADMIN):
        password = secrets.token_urlsafe(24)
    if known is None:
        known = {"username": name}
        content["clients"].append(known)
    if password is not None:
        place.write(file, password + "\n", 0o600)
        if not _matches(known, password):
            known |= hashed(password)
    if words is not None:
        known["roles"] = [{"rolename": PREFIX + word} for word in words]


# ---------------------------------------------------------------- commands


def find_plugin() -> Path:
    """Debian keeps it below the architecture's own directory."""
    for pattern in ("/usr/lib/*/", "/usr/lib/", "/usr/local/lib/"):
        for found in sorted(Path("/").glob(pattern.lstrip("/") + PLUGIN)):
            return found
    raise Wrong(f"{PLUGIN} was not found; name it with --plugin (Debian has it in the package mosquitto)")


def prepare(place: Place) -> None:
    """The directories."""
    place.keys.mkdir(parents=True, exist_ok=True)
    place.give(place.keys, 0o750)
    for directory in (place.accounts, place.keys / "admin"):
        directory.mkdir(exist_ok=True)
        directory.chmod(0o700)
    (place.conf / "conf.d").mkdir(exist_ok=True)
    place.state.mkdir(parents=True, exist_ok=True)


def init(place: Place, given: argparse.Namespace) -> None:
    """Everything that the broker needs to start, with the accounts ``admin`` and ``modemhub``."""
    plugin = given.plugin or find_plugin()
    if not plugin.exists():
        raise Wrong(f"{plugin} is not there")
    prepare(place)
    host = given.host or socket.gethostname()
    make_authority(place, host)
    names = [host, *([] if "." in host else [f"{host}.local"]), "localhost", "127.0.0.1", *given.name]
    make_certificate(place, "server", host[:64], list(dict.fromkeys(names)), usage="serverAuth")
    content = read_dynsec(place)
    put_roles(content, Topics(given.base or ["modemhub"], given.share, given.alias, given.discovery))
    put_account(place, content, ADMIN, None)
    put_account(place, content, HUB, ["hub"])
    write_dynsec(place, content)
    admin = (place.accounts / ADMIN).read_text(encoding="utf-8").strip()
    lines = ("-h 127.0.0.1", f"-p {given.local_port}", f"-u {ADMIN}", f"-P {admin}")
    for program in ("mosquitto_ctrl", "mosquitto_sub"):  # mosquitto_ctrl 2.0.11 ignores its option -o
        place.write(place.keys / "admin" / program, "".join(f"{line}\n" for line in lines), 0o600)
    address = f" {given.address}" if given.address else ""
    certificates = (
        "\n# For clients that have a certificate of ours instead of a password: its common name is the account.\n"
        f"listener {given.certificates_port}{address}\n"
        f"cafile {place.keys}/ca.crt\ncertfile {place.keys}/server.crt\nkeyfile {place.keys}/server.key\n"
        "require_certificate true\nuse_identity_as_username true\n"
        if given.certificates_port
        else ""
    )
    conf = TEMPLATE.read_text(encoding="utf-8")
    for word, value in (
        ("PLUGIN", plugin),
        ("STATE", place.state),
        ("KEYS", place.keys),
        ("LOCAL_PORT", given.local_port),
        ("TLS_PORT", given.port),
        ("ADDRESS", address),
        ("CERTIFICATES", certificates),
    ):
        conf = conf.replace(f"@{word}@", str(value))
    place.write(place.conf / "conf.d" / "modemhub.conf", conf, 0o644)
    say("done; now: systemctl restart mosquitto")


def account(place: Place, given: argparse.Namespace) -> None:
    """One account, with the roles that are named."""
    content = _known(place)
    password = None
    if given.password_file:
        password = given.password_file.read_text(encoding="utf-8").strip()
        if not password:
            raise Wrong(f"{given.password_file} is empty")
    put_account(place, content, given.account, given.role, password=password)
    if write_dynsec(place, content):
        say("done; now: systemctl restart mosquitto")
    say(f"the password of {given.account} stands in {place.accounts / given.account}")


def remove(place: Place, given: argparse.Namespace) -> None:
    """No account of this name any more."""
    if given.account in {ADMIN, HUB} or not NAME.fullmatch(given.account):
        raise Wrong(f"{given.account} cannot be removed")
    content = _known(place)
    content["clients"] = [client for client in content["clients"] if client["username"] != given.account]
    (place.accounts / given.account).unlink(missing_ok=True)
    if write_dynsec(place, content):
        say("done; now: systemctl restart mosquitto")


def certificate(place: Place, given: argparse.Namespace) -> None:
    """A client's certificate, and its account."""
    content = _known(place)
    if given.account in {"ca", "server"}:
        raise Wrong(f"{given.account} is the name of a file of the broker's own; choose another")
    put_account(place, content, given.account, given.role or None)
    make_certificate(place, given.account, given.account, [], usage="clientAuth")
    (place.keys / f"{given.account}.key").chmod(0o600)
    if write_dynsec(place, content):
        say("done; now: systemctl restart mosquitto")


def _known(place: Place) -> dict[str, Any]:
    if not place.dynsec.exists():
        raise Wrong(f"{place.dynsec} is not there: run init first")
    return read_dynsec(place)


def topic(text: str) -> str:
    """A topic that filters may begin with."""
    if text and (any(c in text for c in "+#\0") or text.startswith(("/", "$")) or text.endswith("/")):
        raise argparse.ArgumentTypeError("no + # in it, no / or $ at its beginning, no / at its end")
    return text


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(prog="broker.py", description="Certificates, roles and accounts of the broker.")
    whole.add_argument("--conf", type=Path, default=Path("/etc/mosquitto"), help="default: %(default)s")
    whole.add_argument("--state", type=Path, default=Path("/var/lib/mosquitto"), help="default: %(default)s")
    whole.add_argument("--user", default="mosquitto", help="as whom the broker runs; default: %(default)s")
    commands = whole.add_subparsers(dest="command", required=True)
    make = commands.add_parser("init", help="everything that the broker needs to start; again after an upgrade")
    make.set_defaults(do=init)
    make.add_argument("--host", help="the name of this machine; default: what it says")
    make.add_argument("--name", action="append", default=[], help="one more name or address that clients use for it")
    make.add_argument("--port", type=int, default=8883, help="with TLS, for the network; default: %(default)s")
    make.add_argument("--local-port", type=int, default=1883, help="without, for this machine; default: %(default)s")
    make.add_argument("--certificates-port", type=int, help="with TLS and clients' certificates; default: none")
    make.add_argument("--address", help="of this machine, where the network is served; default: all")
    make.add_argument("--base", type=topic, action="append", help="mqtt.base_topic of each hub; default: modemhub")
    make.add_argument("--share", type=topic, default="", help="mqtt.share.topic, if it is used")
    make.add_argument("--alias", type=topic, default="", help="mqtt.sms2mqtt, if it is used")
    make.add_argument("--discovery", type=topic, default="homeassistant", help="default: %(default)s")
    make.add_argument("--plugin", type=Path, help=f"where {PLUGIN} is; default: where Debian has it")
    words = ("send", "inbox", "status", "control", "homeassistant", "hub")
    one = commands.add_parser("account", help="an account with a password")
    one.set_defaults(do=account)
    one.add_argument("account", metavar="NAME")
    one.add_argument("role", metavar="ROLE", nargs="+", choices=words, help=", ".join(words))
    one.add_argument("--password-file", type=Path, help="holds the password; default: one is made")
    gone = commands.add_parser("remove", help="no such account any more")
    gone.set_defaults(do=remove)
    gone.add_argument("account", metavar="NAME")
    tls = commands.add_parser("certificate", help="a client's certificate, with the account that it stands for")
    tls.set_defaults(do=certificate)
    tls.add_argument("account", metavar="NAME")
    tls.add_argument("role", metavar="ROLE", nargs="*", default=[], help="default: as they are")
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 fine, 1 not done, 2 wrong usage."""
    given = parser().parse_args(argv)
    os.umask(0o022)
    place = Place(given.conf.absolute(), given.state.absolute(), given.user)
    try:
        if os.geteuid() == 0:
            pwd.getpwnam(place.user)
        given.do(place, given)
    except KeyError:
        sys.stderr.write(f"broker.py: there is no user {place.user}: apt install mosquitto\n")
        return 1
    except (Wrong, OSError) as wrong:
        sys.stderr.write(f"broker.py: {wrong}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
