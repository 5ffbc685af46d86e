"""The udev rules: they are the profiles' ids, they are well-formed, and udev does with them what is promised.

The last is an experiment: umockdev shows udevadm a made-up /sys, and a mount namespace of our own gives it a /run with
our rules in it, which nobody else sees. ``udevadm test`` changes nothing and runs no program.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from appliance.modem.profile import for_usb, role_of, shipped
from appliance.modem.udev import GROUP, rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILE: Final = Path(__file__).resolve().parent.parent / "udev" / "70-modemhub.rules"
TEXT: Final = FILE.read_text(encoding="utf-8")


def test_the_file_is_what_the_profiles_make_of_it() -> None:
    assert rules(shipped()) == TEXT, "python -m appliance.modem.udev > udev/70-modemhub.rules"


# ------------------------------------------------------------------------------------------------ form

KEYS: Final = {"ACTION", "SUBSYSTEM", "SUBSYSTEMS", "TEST", "TAG", "GROUP", "MODE", "SYMLINK", "GOTO", "LABEL", "RUN"}
KEYS_WITH_NAME: Final = {"ENV", "IMPORT", "ATTR"}
TOKEN: Final = re.compile(r'([A-Z]+)(?:\{([A-Za-z_]+)\})?(==|!=|\+=|=)"([^"]*)"')


def parsed(text: str) -> Iterator[list[tuple[str, str, str, str]]]:
    """Every rule as its (key, name, operator, value); a line that is none fails."""
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        tokens = []
        for token in re.split(r",\s+(?=[A-Z])", line.strip()):
            found = TOKEN.fullmatch(token)
            assert found is not None, f"no token: {token!r}"
            tokens.append((found[1], found[2] or "", found[3], found[4]))
        yield tokens


def test_every_line_is_a_rule() -> None:
    labels, gotos = [], []
    for tokens in parsed(TEXT):
        for key, name, operator, value in tokens:
            assert key in (KEYS_WITH_NAME if name else KEYS), key
            compares = key in {"ACTION", "SUBSYSTEM", "SUBSYSTEMS", "TEST", "ATTR"}
            assert not compares or operator in {"==", "!="}
            assert operator != "+=" or key in {"TAG", "RUN", "SYMLINK"}
            labels += [value] if key == "LABEL" else []
            gotos += [value] if key == "GOTO" else []
            if key == "RUN":
                assert re.match(r"/bin/ch(grp|mod) ", value)
    assert len(labels) == len(set(labels))
    assert set(gotos) <= set(labels)
    assert max(map(len, TEXT.splitlines())) < 16384  # udev's limit


def test_every_id_of_a_profile_is_in_the_rules_and_every_id_there_in_a_profile() -> None:
    told: dict[str, tuple[str, str]] = {}
    for tokens in parsed(TEXT):
        values = {(key, name): value for key, name, _, value in tokens}
        if ("ENV", "ID_MODEL_ID") in values:
            for product in values["ENV", "ID_MODEL_ID"].split("|"):
                usb_id = f"{values['ENV', 'ID_VENDOR_ID']}:{product}"
                assert usb_id not in told
                told[usb_id] = values["ENV", "ID_MODEMHUB"], values["ENV", "ID_MODEMHUB_FAMILY"]
    profiles = shipped()
    for profile in profiles:
        ports = profile.ports
        for usb_id in (*(usb.id for usb in ports.usb), *ports.storage, *ports.router):
            assert usb_id in told
    for usb_id, (value, families) in told.items():
        role = role_of(profiles, usb_id)
        assert value == ("1" if role == "modem" else role)
        assert role != "modem" or families.split() == [profile.name for profile in for_usb(profiles, usb_id)]
        assert set(families.split()) <= {profile.name for profile in profiles}


def test_udevadm_finds_no_fault() -> None:
    udevadm = shutil.which("udevadm")
    if udevadm is None:
        pytest.skip("there is no udevadm")
    version = subprocess.run([udevadm, "--version"], capture_output=True, text=True, check=True).stdout.split()[0]
    if int(re.match(r"\d+", version)[0]) < 254:  # type: ignore[index]
        pytest.skip(f"udevadm {version} has no verify")
    ran = subprocess.run(
        [udevadm, "verify", "--resolve-names=never", str(FILE)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


# ------------------------------------------------------------------------------------------------ behaviour

_PCI: Final = "/devices/pci0000:00/0000:00:14.0"
_ROOT: Final = f"""\
P: {_PCI}
E: SUBSYSTEM=pci

P: {_PCI}/usb1
N: bus/usb/001/001
E: DEVTYPE=usb_device
E: SUBSYSTEM=usb
E: DEVNAME=bus/usb/001/001
A: idVendor=1d6b\\n
A: idProduct=0002\\n

"""

MODEMS: Final = {
    "1e2d:0061": "cinterion",
    "12d1:1506": "huawei-hspa huawei-lte",
    "12d1:1442": "huawei-lte",
    "12d1:140c": "huawei-hspa",
    "2001:7d0e": "mtk-sticks",
    "2c7c:0296": "quectel-bg9x",
    "2c7c:6026": "quectel-cat1",
    "2c7c:0125": "quectel-ec2x",
    "2c7c:0306": "quectel-x06",
    "1199:9071": "sierra-mc74xx",
    "1e0e:9001": "simcom-5g simcom-sim7000 simcom-sim7600",
    "1e0e:9011": "simcom-a76xx simcom-sim7600",
    "1e0e:9205": "simcom-sim7070",
    "1bc7:1201": "telit-le910",
    "1546:1102": "ublox-3g",
    "05c6:908b": "ublox-lte",
    "19d2:0117": "zte-usb",
}
OTHERS: Final = {"12d1:1446": "storage", "12d1:14dc": "router"}
FOREIGN: Final = {"0403:6001": "FTDI's serial adapter", "2341:0043": "an Arduino"}
ALL: Final = [*MODEMS, *OTHERS, *FOREIGN]


def device(usb_id: str) -> str:
    return f"{_PCI}/usb1/1-{ALL.index(usb_id) + 1}"


def tty(usb_id: str) -> str:
    number = ALL.index(usb_id)
    return f"{device(usb_id)}/1-{number + 1}:1.2/ttyUSB{number}/tty/ttyUSB{number}"


def described(usb_id: str) -> str:
    """A USB device with a serial interface number 2, in umockdev's form."""
    vendor, _, product = usb_id.partition(":")
    number = ALL.index(usb_id)
    interface = f"{device(usb_id)}/1-{number + 1}:1.2"
    return f"""\
P: {device(usb_id)}
N: bus/usb/001/{number + 2:03}
E: DEVTYPE=usb_device
E: SUBSYSTEM=usb
E: DEVNAME=bus/usb/001/{number + 2:03}
A: idVendor={vendor}\\n
A: idProduct={product}\\n
A: authorized=1\\n
A: port/disable=0\\n
A: driver/bind=\\n
A: driver/unbind=\\n

P: {interface}
E: DEVTYPE=usb_interface
E: SUBSYSTEM=usb
A: bInterfaceNumber=02\\n
A: bInterfaceClass=ff\\n

P: {interface}/ttyUSB{number}
E: SUBSYSTEM=usb-serial

P: {interface}/ttyUSB{number}/tty/ttyUSB{number}
N: ttyUSB{number}
E: SUBSYSTEM=tty
E: DEVNAME=ttyUSB{number}
E: MAJOR=188
E: MINOR={number}
A: dev=188:{number}\\n

"""


SCRIPT: Final = """\
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/udev/rules.d
cp "$1" /run/udev/rules.d/
devices="$2"
shift 2
exec umockdev-run -d "$devices" -- sh -c '
    for path; do echo "@@ $path"; udevadm test --action=add "/sys$path"; done
' sh "$@"
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What ``udevadm test`` says of each path."""
    for tool, package in (("udevadm", "udev"), ("umockdev-run", "umockdev"), ("unshare", "util-linux")):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool} (Debian package {package})")
    allowed = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True, text=True, check=False
    )
    if allowed.returncode:
        pytest.skip(f"no mount namespace of our own: {allowed.stderr.strip()}")
    devices = tmp_path_factory.mktemp("udev") / "devices.umockdev"
    devices.write_text(_ROOT + "".join(map(described, ALL)), encoding="utf-8")
    paths = [path for usb_id in ALL for path in (device(usb_id), tty(usb_id))]
    ran = subprocess.run(
        ["unshare", "-rm", "sh", "-c", SCRIPT, "sh", str(FILE), str(devices), *paths],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=50,
    )
    assert ran.returncode == 0, ran.stdout[-2000:]
    parts = re.split(r"^@@ (\S+)$", ran.stdout, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def properties(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\s*([A-Z_]+)=(.*)$", text, re.MULTILINE))


def test_the_rules_were_read(said: Mapping[str, str]) -> None:
    assert len(said) == 2 * len(ALL)
    assert any(FILE.name in text for text in said.values())


@pytest.mark.parametrize("usb_id", MODEMS)
def test_a_modem_is_tagged_and_its_device_handed_to_the_group(said: Mapping[str, str], usb_id: str) -> None:
    text = said[device(usb_id)]
    found = properties(text)
    assert (found["ID_MODEMHUB"], found["ID_MODEMHUB_FAMILY"]) == ("1", MODEMS[usb_id])
    assert found["ID_MM_DEVICE_IGNORE"] == "1"
    assert ":modemhub:" in found["TAGS"]
    sysfs = f"/sys{device(usb_id)}"
    for program in (f"/bin/chgrp {GROUP}", "/bin/chmod g+w"):
        for attributes in ("authorized", "port/disable", f"driver/bind {sysfs}/driver/unbind"):
            assert f"{program} {sysfs}/{attributes}" in text


@pytest.mark.parametrize("usb_id", MODEMS)
def test_its_ports_are_tagged_and_linked_and_not_modemmanagers(said: Mapping[str, str], usb_id: str) -> None:
    text = said[tty(usb_id)]
    found = properties(text)
    assert (found["ID_MODEMHUB"], found["ID_MODEMHUB_FAMILY"]) == ("1", MODEMS[usb_id])
    assert found["ID_MM_PORT_IGNORE"] == "1"
    assert ":modemhub:" in found["TAGS"]
    assert f"/dev/modemhub/{found['ID_PATH']}-if02" in found["DEVLINKS"].split()
    assert re.search(r"\bMODE\W+0?660\b", text, re.IGNORECASE)
    assert "ID_MM_DEVICE_IGNORE" not in found


@pytest.mark.parametrize(("usb_id", "role"), OTHERS.items())
def test_storage_and_router_modes_are_told_and_left_alone(said: Mapping[str, str], usb_id: str, role: str) -> None:
    for path in (device(usb_id), tty(usb_id)):
        found = properties(said[path])
        assert found["ID_MODEMHUB"] == role
        assert "ID_MM_DEVICE_IGNORE" not in found
        assert "ID_MM_PORT_IGNORE" not in found
        assert "modemhub/" not in found.get("DEVLINKS", "")
        assert "authorized" not in said[path]


@pytest.mark.parametrize("usb_id", FOREIGN)
def test_a_foreign_device_is_not_claimed(said: Mapping[str, str], usb_id: str) -> None:
    for path in (device(usb_id), tty(usb_id)):
        found = properties(said[path])
        assert found["ID_VENDOR_ID"] == usb_id[:4]
        assert not [key for key in found if key.startswith(("ID_MODEMHUB", "ID_MM_"))]
        assert "modemhub" not in found.get("TAGS", "") + found.get("DEVLINKS", "")
