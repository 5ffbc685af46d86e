"""The SD image and its updates: what is good is kept, what is not is left, and at any power cut something boots.

Every bundle is written by the device's own RAUC and chosen by its own U-Boot. The short form has a good update and
one that must be taken back, both by USB stick, and what is refused. ``--long`` has one that is fetched from whoever
publishes it, every sabotage of ``hil.card.slots``, and ``CUTS`` power cuts at moments of an installation (environment
``MODEMHUB_CUTS``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from hil.card import machine
from hil.card.cuts import drop
from hil.card.house import SETTINGS, api, modem_in
from hil.card.machine import CardMachine
from hil.card.publisher import Publisher
from hil.card.slots import SABOTAGE, Slot, kept, plugged, stick, tiny
from hil.rig import Modems
from hil.rig.waiting import Overdue
from image.update import bundle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from hil.card.cuts import Entry
    from hil.conftest import NewRow

pytestmark = pytest.mark.asyncio

CUTS: Final = int(os.environ.get("MODEMHUB_CUTS", "20"))
SEED: Final = int(os.environ.get("MODEMHUB_SEED", "1"))
WORDS: Final = "modemhub.prove=20 modemhub.overdue=240"
"""A short proof: 20 s, and 120 s of grace; and a short patience with a boot that hangs."""
UP: Final = 600.0
INSTALLED: Final = 900.0
"""Seconds for an installation under emulation, until the reboot."""
TAKEN_BACK: Final = 1500.0
"""Seconds for a trial that fails, three starts at the worst, until the old hub answers."""
AGAIN: Final = 3.0
CHOICE: Final = 0x1000
"""The sector of U-Boot's choice."""
FRIEND: Final = "+447700900831"


@pytest.fixture
def image(card: Path) -> Path:
    """What is flashed."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        pytest.skip("a machine takes both processors: make card")
    if reason := machine.needed():
        pytest.skip(reason)
    return card


@pytest.fixture(scope="session")
def bundles(card: Path) -> Callable[..., Path]:
    """Makes bundles of the card's slot; they stay beside the card, as each takes a minute."""

    def make(version: str, sabotage: str = "") -> Path:
        return kept(card.with_name("root.ext4"), Slot(version, SABOTAGE.get(sabotage, {})))

    return make


async def until(ask: Callable[[], Awaitable[Any]], right: Callable[[Any], object], what: str, *, within: float) -> Any:
    """Ask again and again; what cannot be answered yet is no answer."""
    deadline = time.monotonic() + within
    told: Any = None
    while time.monotonic() < deadline:
        with contextlib.suppress(machine.Failed, ValueError, OSError, Overdue):
            if right(told := await ask()):
                return told
        await asyncio.sleep(AGAIN)
    raise Overdue(f"no {what} within {within:g} s: {told}")


async def report(device: CardMachine) -> dict[str, Any]:
    """What the device says of its updates."""
    said: dict[str, Any] = json.loads(await device.shell("modemhub-device update status --json", within=60))
    return said


async def choice(device: CardMachine) -> dict[str, str]:
    """What U-Boot goes by."""
    lines = (await device.shell("fw_printenv")).split()
    text = (await device.shell("fw_printenv -n BOOT_ORDER")).strip()
    return {**dict(line.split("=", 1) for line in lines if "=" in line), "BOOT_ORDER": text}


async def proved(device: CardMachine) -> None:
    """Wait until the slot that runs is marked good."""
    over = "test -e /run/modemhub-device/proved && ! systemctl is-active --quiet modemhub-prove && echo yes"
    await until(lambda: device.shell(over), bool, "proof", within=UP)


async def with_modem(device: CardMachine) -> None:
    """Wait until its modem is ready."""
    async with api(device) as door:
        ready = lambda told: [modem["state"] for modem in told["modems"]] == ["ready"]  # noqa: E731
        await until(lambda: door.get("/api/v1/modems"), ready, "ready modem", within=UP)


async def taken(device: CardMachine, text: str) -> str:
    """A text that the device accepted; it must be there ever after."""
    async with api(device) as door:
        number: str = (await door.send(to=FRIEND, text=text))["id"]
        return number


async def still_there(device: CardMachine, texts: dict[str, str]) -> None:
    async with api(device) as door:
        for number, text in texts.items():
            assert (await door.get(f"/api/v1/messages/{number}"))["text"] == text


@contextlib.asynccontextmanager
async def at_home(image: Path, place: Path, *, settings: str = "") -> AsyncIterator[CardMachine]:
    """A device with a modem, committed and at rest."""
    device = CardMachine(image, place, settings=SETTINGS + settings, words=WORDS, on=False)
    async with device:
        await device.power_on()
        async with Modems(place / "m", configuration=modem_in(device)):
            await device.ready(within=UP)
            await with_modem(device)
            await proved(device)
            yield device


async def came_back(device: CardMachine, slot: str, *, within: float) -> None:
    """Wait until U-Boot starts this slot, and its hub answers."""
    await device.restarted(f"modemhub: slot {slot} (", within=within)
    await device.ready(within=UP)


@pytest.mark.timeout(3600)
async def test_a_good_update_is_kept_a_bad_one_is_taken_back_and_nothing_is_lost(
    image: Path, bundles: Callable[..., Path], tmp_path: Path, row: NewRow
) -> None:
    columns = row("updates", what="good, then a hub that refuses its settings")
    good, bad = bundles("90.0.1"), bundles("90.0.2", "the hub refuses its settings")
    columns["bundle MB"] = good.stat().st_size / 1e6
    async with at_home(image, tmp_path) as device:
        texts = {await taken(device, "before"): "before"}
        fingerprint = await device.fingerprint()
        assert (await choice(device))["BOOT_A_LEFT"] == "c"

        began = time.monotonic()
        async with plugged(device, stick(tmp_path / "good.img", good)):
            await device.restarted("modemhub: slot B (", within=INSTALLED)
            columns["installed after"] = time.monotonic() - began
            await device.ready(within=UP)
            told = await until(
                lambda: report(device), lambda said: said["last"]["state"] == "committed", "commit", within=UP
            )
            columns["committed after"] = time.monotonic() - began
            assert (told["version"], told["slot"]) == ("90.0.1", "B")
            assert len(told["last"]["bundle"]) == 64
            assert told["last"]["before"] == {"active": True, "answers": True, "ready": 1}
            # the stick is still there, and does nothing
            log = "journalctl -b -u 'modemhub-stick@*' -o cat"
            await until(lambda: device.shell(log), lambda said: "once" in said, "word on the stick", within=UP)
        chosen = await choice(device)
        assert (chosen["BOOT_ORDER"], chosen["BOOT_B_LEFT"]) == ("B A", "c")
        texts[await taken(device, "between")] = "between"
        await still_there(device, texts)

        began = time.monotonic()
        async with plugged(device, stick(tmp_path / "bad.img", bad)):
            await device.restarted("modemhub: slot A (", within=INSTALLED)
            await came_back(device, "B", within=TAKEN_BACK)
            columns["taken back after"] = time.monotonic() - began
            await proved(device)
        told = await report(device)
        assert (told["version"], told["slot"], told["last"]["state"]) == ("90.0.1", "B", "rolled_back")
        assert (await choice(device))["BOOT_ORDER"] == "B"
        error = await device.shell("cat /boot/firmware/modemhub-error.txt")
        assert "90.0.2" in error
        assert told["last"]["reason"] in error
        await still_there(device, texts)
        assert await device.fingerprint() == fingerprint
        await with_modem(device)
        assert not (await device.shell("systemctl --failed --plain --no-legend")).strip()
    columns["verdict"] = "passed"


@pytest.mark.timeout(3600)
async def test_what_is_published_is_found_fetched_over_a_line_that_breaks_and_kept(
    image: Path, bundles: Callable[..., Path], tmp_path: Path, row: NewRow, *, long: bool
) -> None:
    if not long:
        pytest.skip("tests/device has the fetching, and the test above the rest: --long")
    columns = row("updates", what="fetched from its publisher")
    published = tmp_path / "published"
    published.mkdir()
    new = published / "modemhub-90.0.1-rpi-arm64.raucb"
    new.symlink_to(bundles("90.0.1"))
    bundle.announce(new, version="90.0.1", notes="Everything is better.")
    async with Publisher(published, tmp_path) as publisher:
        settings = f'\n[update]\nurl = "{publisher.index}"\n'
        async with at_home(image, tmp_path, settings=settings) as device:
            trusted = "/run/publisher.pem"
            await device.ssh(["sh", "-c", f"cat > {trusted}"], stdin=publisher.certificate.read_bytes())
            unit = "/run/systemd/system/modemhub-update.service.d"
            trust = f"mkdir -p {unit} && printf '[Service]\nEnvironment=SSL_CERT_FILE={trusted}\n' > {unit}/trust.conf"
            await device.shell(f"{trust} && systemctl daemon-reload")
            texts = {await taken(device, "before"): "before"}
            stranger = await device.ssh(["modemhub-device", "update", "check"], check=False)
            assert stranger.code == 1
            assert "certificate verify failed" in stranger.err
            said = await device.shell(f"SSL_CERT_FILE={trusted} modemhub-device update check")
            assert "version 90.0.1 is there" in said
            assert "Everything is better." in said

            began = time.monotonic()
            publisher.breaks = [50_000_000]
            await device.shell("systemctl start --no-block modemhub-update")
            await device.restarted("modemhub: slot B (", within=INSTALLED)
            columns["installed after"] = time.monotonic() - began
            await device.ready(within=UP)
            told = await until(
                lambda: report(device), lambda said: said["last"]["state"] == "committed", "commit", within=UP
            )
            columns["committed after"] = time.monotonic() - began
            assert (told["version"], told["slot"]) == ("90.0.1", "B")
            _whole, rest = [ranges for path, ranges in publisher.asked if path.endswith(".raucb")]
            assert rest is not None
            assert 0 < int(rest.removeprefix("bytes=").removesuffix("-")) <= 50_000_000
            assert (await device.shell("ls /data/updates")).strip() == ""
            await still_there(device, texts)
    columns["verdict"] = "passed"


@pytest.mark.timeout(1800)
async def test_what_is_not_ours_is_refused_and_nothing_is_written(
    image: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = bundle.development(tmp_path_factory.mktemp("stranger"))
    wrong = {
        "stranger": (tiny(tmp_path / "stranger.raucb", "90.0.1", by=stranger), "signature verification failed"),
        "board": (
            tiny(tmp_path / "board.raucb", "90.0.1", compatible="modemhub-toaster"),
            "it is for another board: modemhub-toaster",
        ),
        "older": (tiny(tmp_path / "older.raucb", "0.0.1"), "it is older: version 0.0.1"),
        "unsigned": (tmp_path / "unsigned.raucb", "ignature"),
    }
    octets = bytearray(tiny(tmp_path / "changed.raucb", "90.0.1").read_bytes())
    (tmp_path / "unsigned.raucb").write_bytes(octets[:-2000] + bytes(2000))
    async with CardMachine(image, tmp_path, settings=SETTINGS, words=WORDS, usb=0) as device:
        await proved(device)
        before = await choice(device)
        for name, (file, why) in wrong.items():
            await device.ssh(["sh", "-c", f"cat > /data/updates/{name}.raucb"], stdin=file.read_bytes())
            ours = await device.ssh(
                ["modemhub-device", "update", "install", f"/data/updates/{name}.raucb"], check=False, within=120
            )
            options = "--ignore-compatible" if name == "board" else ""
            raucs = await device.ssh(
                ["sh", "-c", f"rauc install {options} /data/updates/{name}.raucb"], check=False, within=120
            )
            assert (ours.code, raucs.code) == (1, 1), f"{name}: {ours} {raucs}"
            assert why in ours.err, f"{name}: {ours}"
            # RAUC's own log says that it was for the same reason, and not for another
            log = await device.shell("journalctl -b -u rauc -o cat -n 12")
            assert why in log, f"{name}: {log}"
        assert await choice(device) == before
        assert (await report(device))["last"] is None
        # the other slot of a fresh card is empty, and still is
        empty = "head -c 4M /dev/modemhub/rootB | tr -d '\\0' | wc -c"
        assert (await device.shell(empty)).strip() == "0"


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("sabotage", SABOTAGE)
async def test_every_sabotage_is_taken_back(
    image: Path, bundles: Callable[..., Path], tmp_path: Path, row: NewRow, sabotage: str, *, long: bool
) -> None:
    if not long:
        pytest.skip("the short form has one of them, in the test above: --long")
    columns = row("updates", what=sabotage)
    bad = bundles(f"90.1.{list(SABOTAGE).index(sabotage)}", sabotage)
    async with at_home(image, tmp_path) as device:
        texts = {await taken(device, sabotage): sabotage}
        began = time.monotonic()
        await device.ssh(["sh", "-c", "cat > /data/updates/x.raucb"], stdin=bad.read_bytes(), within=INSTALLED)
        install = "systemd-run --no-block modemhub-device update install /data/updates/x.raucb"
        await device.shell(install)
        await device.restarted("modemhub: slot B (", within=INSTALLED)
        columns["installed after"] = time.monotonic() - began
        await came_back(device, "A", within=TAKEN_BACK)
        columns["taken back after"] = time.monotonic() - began
        await proved(device)
        told = await report(device)
        assert (told["slot"], told["last"]["state"]) == ("A", "rolled_back")
        columns["reason"] = told["last"]["reason"]
        await still_there(device, texts)
    columns["verdict"] = "passed"


def moments(requests: list[Entry], begin: int, rng: random.Random) -> list[int]:
    """After how many requests power is cut: around each write of the boot choice and of the record, and anywhere."""
    choices = [n for n in range(begin, len(requests)) if requests[n].sector == CHOICE]
    assert len(choices) >= 6, "RAUC takes the slot out and puts it in front, U-Boot takes an attempt, the commit"
    near = sorted({n + step for n in choices for step in (0, 1)} | {len(requests)})
    rest = rng.sample(range(begin, len(requests)), max(0, CUTS - len(near)))
    return sorted({*near[:CUTS], *rest})


@pytest.mark.timeout(600 * (CUTS + 4))
async def test_power_cut_until_it_is_committed_boots_old_or_new(
    image: Path, bundles: Callable[..., Path], tmp_path: Path, row: NewRow, *, long: bool
) -> None:
    """One update is recorded write by write, and cards as cuts may have left them are made of that."""
    if not long:
        pytest.skip(f"{CUTS} starts after power cuts take an hour: --long")
    new = bundles("90.0.1")
    rng = random.Random(SEED)
    async with CardMachine(image, tmp_path, settings=SETTINGS, words=WORDS, usb=0) as device:
        await proved(device)
        texts = {await taken(device, "kept"): "kept"}
        await device.ssh(["sh", "-c", "cat > /data/updates/x.raucb"], stdin=new.read_bytes(), within=INSTALLED)
        await device.ssh(["systemctl", "poweroff"], check=False)
        await device.ended(within=UP)
        await device.boot(within=UP)
        await proved(device)
        begin = len(device.disk.requests())
        await device.shell("systemd-run --no-block modemhub-device update install /data/updates/x.raucb")
        await device.restarted("modemhub: slot B (", within=INSTALLED)
        await device.ready(within=UP)
        await proved(device)
        assert (await report(device))["last"]["state"] == "committed"
        assert device.qemu.child is not None
        drop(device.qemu.child.pid)
        await device.qemu.stop()
        requests = device.disk.requests()
        whole = range(device.card.stat().st_size)
        for number, moment in enumerate(moments(requests, begin, rng)):
            columns = row("interrupted", round=f"{number:02d}", moment=f"{moment - begin} of {len(requests) - begin}")
            place = tmp_path / str(number)
            place.mkdir()
            for name in ("key", "key.pub"):
                shutil.copy(tmp_path / name, place / name)
            cut = place / "cut.img"
            columns["writes"] = str(
                await asyncio.to_thread(device.disk.after, moment, f"{SEED}/{number}", part=whole, copy=cut)
            )
            async with CardMachine(cut, place, size=None, usb=0, on=False) as again:
                cut.unlink()
                await again.boot(within=UP)
                await proved(again)
                told = await report(again)
                state = told["last"] and told["last"]["state"]
                columns |= {"runs": told["version"], "record": state}
                if told["version"] == "90.0.1":
                    assert (told["slot"], state) == ("B", "committed")
                else:
                    assert told["slot"] == "A"
                    assert state in {None, "interrupted"}
                await still_there(again, texts)
            columns["verdict"] = "passed"
            with (tmp_path / "cuts.log").open("a", encoding="utf-8") as log:
                log.write(json.dumps(columns) + "\n")
