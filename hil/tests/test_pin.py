"""A SIM's PIN costs at most one try, its PUK none (M2, F-29, F-30): the table "pins", by how a family counts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from hil.rig import rig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hil.conftest import NewRow
    from hil.rig import Heard, Rig

pytestmark = pytest.mark.asyncio

FAMILIES: Final = {
    "generic": "+CPINR",
    "simcom-sim7600": "+SPIC",
    "quectel-ec2x": "+QPINC",
    "huawei-hspa": "^CPIN",
    "ublox-3g": "+UPINCNT",
    "telit-le910": "#PCT",
    "cinterion": "^SPIC",
    "zte-usb": "+ZPINPUK",
}
"""The families, each with its command that tells the tries."""

RIGHT, WRONG = "1234", "9999"


@dataclass(frozen=True, slots=True)
class Lock:
    """One way in which a SIM is locked.

    Attributes:
        set_pin: what the settings say.
        before: the emulator's fault before the hub starts.
        attempts: how often a PIN is presented to it, over all restarts.
        left: tries left at the end.
        told: whether the hub tells what it should, by the modem's JSON.
    """

    set_pin: str
    before: dict[str, Any]
    attempts: int
    left: int
    told: Callable[[dict[str, Any]], bool]


def _needs(words: str) -> Callable[[dict[str, Any]], bool]:
    return lambda modem: modem["state"] == "pin_required" and words in (modem["last_error"] or "")


LOCKS: Final = {
    "wrong PIN": Lock(WRONG, {"kind": "pin"}, 1, 2, _needs("PIN")),
    "right PIN": Lock(RIGHT, {"kind": "pin"}, 1, 3, lambda modem: modem["state"] == "ready"),
    "two tries left": Lock(RIGHT, {"kind": "pin", "left": 2}, 0, 2, _needs("2 tries")),
    "PUK": Lock(RIGHT, {"kind": "puk"}, 0, 0, lambda modem: modem["state"] == "puk_required"),
}


@pytest.mark.timeout(900)
async def test_a_pin_is_tried_once_over_many_restarts(place: Path, row: NewRow, *, long: bool) -> None:
    """Every lock on a modem of every family, all on one hub; the short form has the first four families."""
    restarts, families = (20, list(FAMILIES)) if long else (4, list(FAMILIES)[:4])
    both = [(family, lock) for family in families for lock in LOCKS]
    words = [
        {"persona": family, "boot_delay": 0.1, "iccid": f"89441000000000{n:04d}"} for n, (family, _) in enumerate(both)
    ]
    settings: dict[str, Any] = {
        f'sims."{each["iccid"]}"': {"pin": LOCKS[lock].set_pin} for each, (_, lock) in zip(words, both, strict=True)
    }
    async with rig(place, modems=words, usb=True, settings=settings, start=False) as whole:
        told = {modem.imei: LOCKS[lock].told for modem, (_, lock) in zip(whole.modems.all, both, strict=True)}
        for modem, (_, lock) in zip(whole.modems.all, both, strict=True):
            await whole.modems.do("fault", imei=modem.imei, **LOCKS[lock].before)
        await whole.hub.start()
        await until_all(whole, told)
        for _ in range(restarts):
            assert await whole.hub.stop() == 0
            await whole.hub.start()
            await until_all(whole, told)
        statuses = (await whole.modems.do("status"))["modems"]
    wrong = []
    for (family, name), status in zip(both, statuses, strict=True):
        expected, sim, counter = LOCKS[name], status["sim"], FAMILIES[family]
        found = {"entered": sim["pin_attempts"], "left": sim["pin_left"], "PUK tries left": sim["puk_left"]}
        asked = status["command_counts"].get(counter, 0)
        right = found == {"entered": expected.attempts, "left": expected.left, "PUK tries left": 10}
        right = right and (asked > 0) == (name != "PUK")
        measured = row("pins", lock=name, family=family, **{"asked by": counter}, restarts=restarts, **found)
        measured["verdict"] = "passed" if right else "failed"
        if not right:
            wrong.append(measured)
    assert wrong == []


async def until_all(whole: Rig, told: Mapping[str, Callable[[dict[str, Any]], bool]]) -> None:
    """Wait until the hub that runs now tells of every modem, by its IMEI, what it should."""
    heard = whole.observer.heard
    while True:
        seen = len(heard.items)
        modems = (await whole.api.get("/api/v1/modems"))["modems"]
        if len(modems) == len(told) and all(told[modem["imei"]](modem) for modem in modems):
            return

        def more(items: list[Heard], seen: int = seen) -> bool:
            return len(items) > seen

        await heard.until(more, f"news of a modem; they are {[(m['state'], m['last_error']) for m in modems]}")


@pytest.mark.timeout(120)
async def test_a_right_pin_is_entered_again_when_the_card_has_lost_its_power(place: Path) -> None:
    words = [{"persona": "quectel-ec2x", "boot_delay": 0.1, "iccid": "894410000000009999"}]
    settings: dict[str, Any] = {'sims."894410000000009999"': {"pin": RIGHT}}
    async with rig(place, modems=words, usb=True, settings=settings, start=False) as whole:
        await whole.modems.do("fault", kind="pin")
        await whole.hub.start()
        await whole.ready()
        for attempts in (2, 3):
            start = len(whole.observer.heard.items)
            await whole.modems.do("fault", kind="reboot")
            await whole.ready(start=start)
            (modem,) = (await whole.modems.do("status"))["modems"]
            assert (modem["sim"]["pin_attempts"], modem["sim"]["pin_left"]) == (attempts, 3)
