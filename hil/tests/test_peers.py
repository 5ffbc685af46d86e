"""Programs that have sent messages for twenty years use the emulated modem unmodified: gammu-smsd and smstools.

That they send is a test of the strict service centre (their octets are taken to the last bit); that they receive is a
test of what the emulated network and modem write. Seen with gammu-smsd 1.42.0 and smstools 3.1.21 of Debian 12.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from hil.emulator.client import Emulator
from hil.emulator.testing import wait_for_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

FRIEND = "+447700900123"
PATIENCE = 120.0
GSM = "Prices: {bread} £1.20, [milk] 90¢? No: 0.90€ ~ cheap. "
TEXTS = {
    "one segment, GSM": "Hello world, @ £5 {really} €3",
    "three segments, GSM": GSM.replace("¢", "c") * 7,
    "one segment, UCS2": "Привет, мир",
    "three segments, UCS2": "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 3,
}
SEGMENTS = (1, 3, 1, 3)


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    with Emulator(tmp_path / "modems", "--report-delay", "0") as emulator:
        yield emulator


@contextlib.contextmanager
def running(*command: str) -> Iterator[None]:
    """The program, ended cleanly and reaped."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def need(program: str, package: str) -> None:
    if shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin") is None:
        pytest.skip(f"{program} is not installed: apt install {package}")


def sent(emulator: Emulator) -> list[str]:
    """What the network got, once all messages are there and nothing was refused."""
    emulator.control("wait", messages=len(TEXTS), timeout=PATIENCE)
    rows = emulator.control.ledger("submit")
    assert [row["error"] for row in rows if not row["accepted"]] == []
    assert len(rows) == sum(SEGMENTS)
    messages = emulator.control.ledger("message")
    assert {row["da"] for row in messages} == {FRIEND}
    return sorted(str(row["text"]) for row in messages)


def deliver_all(emulator: Emulator) -> None:
    """Send every text to the modem."""
    for text in TEXTS.values():
        emulator.control("deliver", **{"from": "+447700900999"}, text=text)


# ------------------------------------------------------------------------------------------------- gammu-smsd


def gammu_config(place: Path, port: str) -> Path:
    for name in ("inbox", "outbox", "sent", "error"):
        (place / name).mkdir()
    config = place / "smsdrc"
    config.write_text(
        f"[gammu]\nport = {port}\nconnection = at\n"
        f"[smsd]\nservice = files\nlogfile = {place}/log\ndebuglevel = 1\n"
        f"inboxpath = {place}/inbox/\noutboxpath = {place}/outbox/\n"
        f"sentsmspath = {place}/sent/\nerrorsmspath = {place}/error/\n"
        "commtimeout = 1\nloopsleep = 1\nreceivefrequency = 1\n"
    )
    return config


def test_gammu_smsd_sends(tmp_path: Path, emulator: Emulator) -> None:
    need("gammu-smsd", "gammu-smsd")
    config = gammu_config(tmp_path, emulator.modems[0]["port"])
    for text in TEXTS.values():
        unicode = ["-unicode"] if "П" in text or "С" in text else []
        command = ["gammu-smsd-inject", "-c", str(config), "TEXT", FRIEND, "-len", "600", *unicode, "-report", "-text"]
        subprocess.run([*command, text], check=True, capture_output=True, env={"LC_ALL": "C.UTF-8"})
    with running("gammu-smsd", "-c", str(config)):
        assert sent(emulator) == sorted(TEXTS.values())


def test_gammu_smsd_receives(tmp_path: Path, emulator: Emulator) -> None:
    need("gammu-smsd", "gammu-smsd")
    config = gammu_config(tmp_path, emulator.modems[0]["port"])
    deliver_all(emulator)

    def whole(files: list[bytes]) -> bool:
        everything = "".join(map(_gammu_text, files))
        return len(files) == sum(SEGMENTS) and all(text in everything for text in TEXTS.values())

    with running("gammu-smsd", "-c", str(config)):
        wait_for_files(tmp_path / "inbox", whole, patience=PATIENCE)


def _gammu_text(octets: bytes) -> str:
    return octets.decode("utf-16") if octets.startswith((b"\xff\xfe", b"\xfe\xff")) else octets.decode()


# --------------------------------------------------------------------------------------------------- smstools


def smstools_config(place: Path, port: str) -> Path:
    names = ("outgoing", "checked", "incoming", "failed", "sent", "report")
    for name in names:
        (place / name).mkdir()
    config = place / "smsd.conf"
    folders = "".join(f"{name} = {place}/{name}\n" for name in names)
    config.write_text(
        f"devices = GSM1\n{folders}logfile = {place}/log\ninfofile = {place}/info\npidfile = {place}/pid\n"
        "loglevel = 5\ndelaytime = 1\nautosplit = 3\nincoming_utf8 = yes\ndecode_unicode_text = yes\n"
        f"[GSM1]\ndevice = {port}\nincoming = yes\nreport = yes\nbaudrate = 115200\nrtscts = no\n"
        "init = AT+CNMI=2,1,0,2,0\n"
    )
    return config


def test_smstools_sends(tmp_path: Path, emulator: Emulator) -> None:
    need("smsd", "smstools")
    config = smstools_config(tmp_path, emulator.modems[0]["port"])
    for n, text in enumerate(TEXTS.values()):
        ucs2 = "П" in text or "С" in text
        head = f"To: {FRIEND[1:]}\nReport: yes\nAlphabet: {'UCS' if ucs2 else 'UTF-8'}\n\n"
        (tmp_path / f"text{n}").write_bytes(head.encode() + text.encode("utf-16-be" if ucs2 else "utf-8"))
        (tmp_path / f"text{n}").rename(tmp_path / "outgoing" / f"text{n}")
    with running("/usr/sbin/smsd", "-t", "-c", str(config)):
        assert sent(emulator) == sorted(TEXTS.values())
        wait_for_files(tmp_path / "sent", lambda files: len(files) == len(TEXTS), patience=PATIENCE)


def test_smstools_receives(tmp_path: Path, emulator: Emulator) -> None:
    need("smsd", "smstools")
    config = smstools_config(tmp_path, emulator.modems[0]["port"])
    deliver_all(emulator)

    def whole(files: list[bytes]) -> bool:
        received = [file.decode(errors="replace").partition("\n\n")[2] for file in files]
        return sorted(received) == sorted(TEXTS.values())

    with running("/usr/sbin/smsd", "-t", "-c", str(config)):
        wait_for_files(tmp_path / "incoming", whole, patience=PATIENCE)
