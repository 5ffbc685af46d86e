"""``python -m hil.browser.screenshots DIR``: the console as it looks, to be looked at.

A hub with three modems is started and something happens on it: texts out and in, one that failed, one that waits, one
modem that is unplugged. Then every page is taken, on a desktop and on a phone, light and dark, as
``DIR/<page>-<form>-<scheme>.png``. One thing is not real: a day of signal, because no picture waits for one.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import random
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from hil.browser import DESKTOP, PHONE, Console, chromium
from hil.rig import Hub, rig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from playwright.async_api import Browser, Route

    from hil.rig import Rig

FORMS: Final = {"desktop": DESKTOP, "phone": PHONE}
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")

ANNA: Final = "+447700900123"
BEN: Final = "+447700900456"
SHUT: Final = "+447700900777"

REVIVED: Final = 180.0
"""Seconds in which a silent modem is missed and brought back."""

MODEMS: Final[list[dict[str, Any]]] = [
    {"persona": "quectel-ec2x", "csq": 22},
    {"persona": "simcom-sim7600", "csq": 14},
    {"persona": "huawei-hspa", "csq": 9},
]

SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "contacts": {"anna": ANNA, "ben": BEN, "family": ["anna", "ben"]},
    "policy": {"region": "GB"},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Take all pictures; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m hil.browser.screenshots", description="Pictures of every page.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", default="", metavar="WORD", help="only files with this in their name")
    options = parser.parse_args(arguments)
    options.directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="modemhub-screenshots-") as place:
        asyncio.run(pictures(Path(place), options.directory, options.only))
    return 0


async def pictures(place: Path, directory: Path, only: str) -> None:
    """Start everything, let something happen, take the pictures."""
    emulator = ["--submit-delay", "0.1", "--report-delay", "0.1"]
    async with (
        rig(place / "rig", modems=MODEMS, emulator=emulator, settings=SETTINGS) as whole,
        chromium() as browser,
    ):
        await happenings(whole)
        for (form, size), scheme in itertools.product(FORMS.items(), SCHEMES):
            shots = Shots(browser, directory, only=only, name=f"{form}-{scheme}", size=size, scheme=scheme)
            await shots.of_a_hub(whole)
            await shots.of_a_new_hub(place / f"new-{form}-{scheme}")


async def happenings(whole: Rig) -> None:
    """What there is to be seen."""
    first, second, last = whole.modems.all
    start = len(whole.observer.heard.items)
    await whole.modems.do("fault", imei=second.imei, kind="mute_until_reset")
    await whole.api.call("POST", "/api/v1/tokens", {"name": "home-assistant", "scopes": ["send", "inbox", "status"]})
    gate = {"name": "gate", "scopes": ["send"], "per_minute": 5, "daily_cap": 50}
    await whole.api.call("POST", "/api/v1/tokens", gate)
    await whole.api.send(to=BEN, text="Is the gate closed? It looks like rain.", wait=20)
    await whole.modems.deliver(first, "Closed an hour ago.", sender=BEN)
    await whole.modems.do("set", imei=first.imei, submit_errors=[1])
    await whole.api.send(to=SHUT, text="The pump in the cellar has stopped.", sim=first.imsi, wait=20)
    await whole.modems.do("set", imei=first.imei, submit_errors=[])
    await whole.modems.deliver(first, "Your code is 482913. Tell nobody.", sender="BANK")
    await whole.api.send(to=ANNA, text="Running ten minutes late – the train waits at Reading …", wait=20)
    await whole.modems.deliver(first, "No problem, I wait in the café.", sender=ANNA)
    await whole.modems.do("ussd", imei=first.imei, script={"*100#": "Your balance is 7.40 GBP"})
    await whole.modems.do("fault", imei=last.imei, kind="unplug")
    await whole.observer.until_heard(f"modem/{last.imei}/availability", b"offline")
    await whole.api.send(to="+447700900888", text="This one waits for its SIM.", sim=last.imsi)
    await whole.observer.until_heard(f"modem/{second.imei}/availability", b"offline", start=start, within=REVIVED)
    await whole.observer.until_heard(f"modem/{second.imei}/availability", b"online", start=start, within=REVIVED)


class Shots:
    """The pictures of one form and scheme."""

    def __init__(
        self,
        browser: Browser,
        directory: Path,
        *,
        only: str,
        name: str,
        size: tuple[int, int],
        scheme: Literal["light", "dark"],
    ) -> None:
        self._browser = browser
        self._directory = directory
        self._only = only
        self._name = name
        self._size = size
        self._scheme = scheme

    def _console(self, hub: Hub) -> Console:
        return Console(self._browser, hub.address, size=self._size, scheme=self._scheme)

    async def of_a_new_hub(self, place: Path) -> None:
        """The claim, and what is seen where nothing is yet."""
        if not self._wanted("claim") and not self._wanted("empty"):
            return
        hub = Hub(place, modems=[], mqtt=None)
        hub.token = "there is none yet"
        async with hub, self._console(hub) as console:
            await console.page.goto(hub.address)
            await self._take(console, "claim")
            claim = next(
                word for word in (place / "CLAIM.txt").read_text(encoding="utf-8").split() if word.startswith("mhc_")
            )
            await console.page.get_by_label("Claim token").fill(claim)
            await console.button("Claim this hub").click()
            await console.page.locator("#new-token").wait_for()
            await self._take(console, "claimed")
            await console.button("Go on to the console").click()
            for page in ("overview", "messages", "events"):
                await console.open(page)
                await self._take(console, f"empty-{page}")

    async def of_a_hub(self, whole: Rig) -> None:
        """Every page."""
        first, second, last = whole.modems.all
        async with self._console(whole.hub) as console:
            page = console.page
            modems = (await whole.api.get("/api/v1/modems"))["modems"]
            await page.route("**/signal", a_day_of_signal(modems))
            await page.goto(whole.hub.address)
            await self._take(console, "sign-in")
            await console.sign_in(whole.hub.token)
            await page.locator(".cards figcaption").first.wait_for()
            await self._take(console, "overview")
            for name, path in {
                "messages": "messages",
                "thread": "messages/%2B447700900456",
                "failed": "messages/%2B447700900777",
                "waits": "messages/%2B447700900888",
                "modem": f"modems/{second.imei}",
                "modem-gone": f"modems/{last.imei}",
                "tokens": "tokens",
                "settings": "settings",
                "setup": "setup",
            }.items():
                await console.open(path)
                await self._take(console, name)
            await console.open("messages/new")
            await page.get_by_label("Text", exact=True).fill("Don’t forget the “keys” …")
            await page.get_by_text("UCS-2 because of").wait_for()
            await self._take(console, "new")
            await console.open(f"modems/{first.imei}")
            await page.get_by_label("Code").fill("*100#")
            await console.button("Ask").click()
            await page.get_by_text("7.40 GBP").wait_for()
            await page.get_by_text("The same as a table").click()
            await self._take(console, "ussd")
            await console.button("Power cycle").click()
            await self._take(console, "confirm")
            await page.keyboard.press("Escape")
            await console.open("events")
            await whole.api.send(to=ANNA, text="Watch this", wait=20)
            await whole.modems.deliver(first, "Seen", sender=ANNA)
            await page.get_by_text("anna Seen").wait_for()
            await self._take(console, "events")
            if await console.button("More").is_visible():
                await console.button("More").click()
                await self._take(console, "more")
            for fault in console.faults():
                print(fault, file=sys.stderr)

    def _wanted(self, page: str) -> bool:
        return self._only in f"{page}-{self._name}"

    async def _take(self, console: Console, page: str) -> None:
        if not self._wanted(page):
            return
        await console.page.get_by_text("Reading").first.wait_for(state="detached")
        await console.page.wait_for_load_state("networkidle") if page in {"claim", "sign-in"} else None
        width, height = self._size
        needed: int = await console.page.evaluate("document.documentElement.scrollHeight")
        await console.page.set_viewport_size({"width": width, "height": max(height, needed)})
        await console.page.screenshot(path=self._directory / f"{page}-{self._name}.png")
        await console.page.set_viewport_size({"width": width, "height": height})
        if wider := await console.overflow():
            print(f"{page}-{self._name}: {wider} pixels too wide", file=sys.stderr)


def a_day_of_signal(modems: list[dict[str, Any]]) -> Callable[[Route], Awaitable[None]]:
    """Answers with a day's samples that end where each modem is now."""
    now = datetime.now(UTC)
    signals = {modem["imei"]: modem["signal_dbm"] for modem in modems}

    def sample(imei: str, minute: int, noise: random.Random) -> dict[str, Any]:
        here = signals[imei] is not None
        away = 400 < minute < 450 or (minute < 20 and not here)
        dbm = None if away else round((signals[imei] or -87) + 5 * math.sin(minute / 130) + noise.gauss(0, 1.2))
        at = (now - timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"at": at, "dbm": dbm, "state": "gone" if away else "ready"}

    async def answer(route: Route) -> None:
        imei = route.request.url.split("/")[-2]
        noise = random.Random(imei)
        samples = [sample(imei, minute, noise) for minute in range(20 * 60, 0, -1)]
        await route.fulfill(json={"every": 60, "samples": samples})

    return answer


if __name__ == "__main__":
    sys.exit(main())
