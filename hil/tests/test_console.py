"""The console in a real browser, on the emulated hub: what a person does there and reads there.

Each test is one visit. Whatever it is about, the page must not have written an error into the browser's console, have
violated its policy or have asked another host; ``visit`` sees to that.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shlex
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest
import pytest_asyncio

from hil.rig import Hub, Modem, Rig, mosquitto_path, rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser

pytest.importorskip("playwright", reason="playwright is not installed: make setup")

from playwright.async_api import expect

from hil.browser import PHONE, Console, chromium, chromium_path

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(chromium_path() is None, reason="chromium is not installed: apt install chromium"),
    pytest.mark.skipif(mosquitto_path() is None, reason="mosquitto is not installed: apt install mosquitto"),
    pytest.mark.timeout(120),
]

ANNA: Final = "+447700900123"

SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "contacts": {"anna": ANNA, "family": ["anna", "+447700900456"]},
    "policy": {"region": "GB"},
    "http": {"heartbeat": 1.0},  # a silent stream ends as soon as its token is revoked
}

_numbers = itertools.count(700900500)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """One hub with two modems for all tests of this file."""
    delays = ["--submit-delay", "0.1", "--report-delay", "0.1"]
    async with rig(tmp_path_factory.mktemp("console"), modems=2, emulator=delays, settings=SETTINGS) as whole:
        yield whole


@pytest.fixture
def number() -> str:
    """A number of Ofcom's range for drama that no other test uses."""
    return f"+447{next(_numbers)}"


@contextlib.asynccontextmanager
async def visit(browser: Browser, hub: Rig | Hub, *, token: str | None = None, **how: Any) -> AsyncIterator[Console]:
    """A visitor, signed in unless ``token`` is empty; a page that did what it must not do fails the test."""
    address = hub.hub.address if isinstance(hub, Rig) else hub.address
    async with Console(browser, address, **how) as console:
        chosen = hub.hub.token if token is None and isinstance(hub, Rig) else token
        if chosen:
            await console.sign_in(chosen)
        yield console
        assert console.faults() == []


@contextlib.asynccontextmanager
async def unplugged(hub: Rig, *modems: Modem) -> AsyncIterator[None]:
    """These modems are not there meanwhile."""
    for modem in modems:
        await hub.modems.do("fault", imei=modem.imei, kind="unplug")
    try:
        yield
    finally:
        for modem in modems:
            await hub.modems.do("fault", imei=modem.imei, kind="replug")


async def test_what_a_page_must_not_do_is_noticed(browser: Browser, hub: Rig) -> None:
    """The watch that every other test stands on."""
    async with Console(browser, hub.hub.address) as console:
        await console.page.goto(hub.hub.address)
        await expect(console.heading("Sign in")).to_be_visible()
        assert console.faults() == []
        async with console.page.expect_event("pageerror"):
            await console.page.evaluate(
                """() => {
                    const script = document.createElement("script");
                    script.textContent = "document.title = 'taken over'";
                    document.body.append(script);
                    setTimeout(() => { throw new Error("a fault of its own"); });
                }"""
            )
        await console.page.goto(hub.hub.address.replace("127.0.0.1", "localhost"))
        told = " ".join(console.faults())
        assert "Content Security Policy" in told
        assert "a fault of its own" in told
        assert "a request to another host: http://localhost" in told


async def test_a_new_hub_is_claimed_and_its_token_is_shown_once(browser: Browser, tmp_path: Path) -> None:
    hub = Hub(tmp_path, modems=[], mqtt=None)
    hub.token = "there is none yet"
    async with hub, visit(browser, hub) as console:
        page = console.page
        await page.goto(hub.address)
        await expect(console.heading("Claim this hub")).to_be_visible()
        await expect(page.get_by_role("main")).to_contain_text("CLAIM.txt")
        assert await console.violations() == []

        await page.get_by_label("Claim token").fill("mhc_guessed")
        await page.get_by_label("Name of your token").fill("owner")
        await console.button("Claim this hub").click()
        await expect(page.get_by_role("alert")).to_be_visible()

        claim = re.search(r"mhc_\S+", (tmp_path / "CLAIM.txt").read_text(encoding="utf-8"))
        assert claim is not None
        await page.get_by_label("Claim token").fill(claim[0])
        await console.button("Claim this hub").click()
        token = await page.locator("#new-token").inner_text()
        assert token.startswith("mh_")
        await expect(console.button("Copy the token")).to_be_visible()
        assert await console.violations() == []

        await console.button("Go on to the console").click()
        await expect(console.heading("Overview")).to_be_visible()
        await expect(page.get_by_role("main")).to_contain_text("No modem has been seen yet.")
        assert await console.violations() == []

        await page.reload()  # it was remembered on this device, as was ticked
        await expect(page.get_by_text("Signed in as owner")).to_be_visible()
        assert await page.locator("#new-token").count() == 0
        assert console.refused == [403, 403]  # the wrong claim, and the question where the claim is


async def test_a_text_is_sent_and_watched_until_it_is_delivered(browser: Browser, hub: Rig, number: str) -> None:
    async with visit(browser, hub) as console:
        page = console.page
        await page.get_by_role("link", name="Messages").click()
        await page.get_by_role("link", name="New text").click()
        await expect(console.heading("New text")).to_be_focused()

        text = page.get_by_label("Text", exact=True)
        await text.fill("Gate “open”")
        cost = page.locator("#cost")
        await expect(cost).to_contain_text("1 segment, UCS-2; room for 59 more in it.")
        await expect(cost).to_contain_text("UCS-2 because of “ curly quotation mark and ” curly quotation mark")
        await text.fill("x" * 161)
        await expect(cost).to_contain_text("2 segments, GSM 7-bit; room for 145 more in the last one.")

        await page.get_by_label("To", exact=True).fill("nobody-known")
        await text.fill("Hello from the console")
        await console.button("Send").click()
        await expect(page.locator("#to-error")).to_be_visible()
        await page.get_by_label("To", exact=True).fill(number)
        await console.button("Send").click()

        await expect(console.heading(number)).to_be_focused()
        log = page.get_by_role("log", name="Texts")
        await expect(log).to_contain_text("Hello from the console")
        await expect(log.locator(".pill")).to_have_text("Delivered")
        assert (number, "Hello from the console") in hub.modems.texts()

        await page.get_by_role("link", name="Events").click()
        states = (
            page.get_by_role("list", name="Events").get_by_role("listitem").filter(has_text=number).locator(".pill")
        )
        await expect(states).to_have_text(["Delivered", "Sent", "Sending", "Queued"])


async def test_a_text_comes_in_while_one_looks_on_and_is_answered(browser: Browser, hub: Rig) -> None:
    async with visit(browser, hub) as console:
        page = console.page
        await page.get_by_role("link", name="Messages").click()
        await expect(page.get_by_role("link", name="New text")).to_be_visible()
        await hub.modems.deliver(hub.modems.all[0], "Are you there?", sender=ANNA)
        thread = page.get_by_role("listitem").filter(has_text="Are you there?")
        await expect(thread).to_contain_text("anna")
        await expect(page.locator("[aria-live=polite].unseen")).to_have_text("New text from anna.")

        await thread.get_by_role("link").click()
        log = page.get_by_role("log", name="Texts")
        await expect(log).to_contain_text("Are you there?")
        await page.get_by_label("Text", exact=True).fill("I am")
        await page.keyboard.press("Control+Enter")
        await expect(log.get_by_role("listitem").filter(has_text="I am").locator(".pill")).to_have_text("Delivered")

        await hub.modems.deliver(hub.modems.all[0], "Good", sender=ANNA)
        await expect(log).to_contain_text("Good")
        assert await console.violations() == []


async def test_a_long_thread_opens_at_its_end_on_a_phone_and_on_a_desk(browser: Browser, hub: Rig, number: str) -> None:
    async with visit(browser, hub) as console:
        page = console.page
        log = page.get_by_role("log", name="Texts")
        await hub.modems.deliver(hub.modems.all[0], "Text {n}", sender=number, count=20)
        await console.open("messages/" + number)
        texts = log.get_by_role("listitem")
        await expect(texts).to_have_count(20)
        await expect(texts.last).to_be_in_viewport()
        await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        await console.open("messages")
        await page.get_by_role("link", name=number).click()
        await expect(texts.last).to_be_in_viewport()
        await expect(page.get_by_label("Text", exact=True)).to_be_in_viewport()
        await hub.modems.deliver(hub.modems.all[0], "The newest", sender=number)
        await expect(log.get_by_text("The newest")).to_be_in_viewport()
        await texts.first.scroll_into_view_if_needed()
        await hub.modems.deliver(hub.modems.all[0], "While one reads", sender=number)
        await expect(log.get_by_text("While one reads")).to_be_attached()
        await expect(log.get_by_text("While one reads")).not_to_be_in_viewport()


async def test_a_queued_text_is_cancelled_and_sent_again(browser: Browser, hub: Rig, number: str) -> None:
    async with visit(browser, hub) as console:
        page = console.page
        async with unplugged(hub, *hub.modems.all):
            await expect(page.get_by_role("main")).to_contain_text("2 things are wrong.")
            await console.open("messages/" + number)
            await page.get_by_label("Text", exact=True).fill("Not now")
            await console.button("Send").click()
            log = page.get_by_role("log", name="Texts")
            await console.button("Cancel").click()
            await expect(log.locator(".pill")).to_have_text("Cancelled")
        await console.button("Send again").click()
        await expect(log.locator(".pill")).to_have_text(["Cancelled", "Delivered"])
        assert [text for to, text in hub.modems.texts() if to == number] == ["Not now"]


async def test_a_modem_is_unplugged_and_the_console_says_what_to_do(browser: Browser, hub: Rig) -> None:
    modem = hub.modems.all[1]
    async with visit(browser, hub) as console:
        page = console.page
        main = page.get_by_role("main")
        card = page.get_by_role("listitem").filter(has=page.get_by_role("link", name=modem.imei[-4:]))
        await expect(main).to_contain_text("All is well.")
        await expect(card.locator(".pill")).to_have_text("Ready")
        async with unplugged(hub, modem):
            await expect(card.locator(".pill")).to_have_text("Unplugged")
            await expect(main).to_contain_text("One thing is wrong.")
            problem = page.locator(".problems").get_by_role("listitem")
            await expect(problem).to_contain_text(modem.imei[-4:])
            await expect(problem).to_contain_text("Plug it in again.")
            assert await console.violations() == []
        await expect(main).to_contain_text("All is well.")
        await expect(card.locator(".pill")).to_have_text("Ready")


async def test_ussd_restart_and_what_a_modem_is(browser: Browser, hub: Rig) -> None:
    modem = hub.modems.all[0]
    script = {"*123#": {"text": "1 Balance\n2 Top up", "status": 1, "next": {"1": "You have 7.40"}}}
    await hub.modems.do("ussd", imei=modem.imei, script=script)
    async with visit(browser, hub) as console:
        page = console.page
        await page.get_by_role("link", name=modem.imei[-4:]).click()
        await expect(page.get_by_role("main")).to_contain_text(modem.iccid)
        await page.get_by_text("The same as a table").click()
        await expect(page.get_by_role("table", name="Signal by hour").get_by_role("row")).not_to_have_count(1)

        await page.get_by_label("Code").fill("*123#")
        await console.button("Ask").click()
        dialogue = page.get_by_role("log", name="USSD dialogue")
        await expect(dialogue).to_contain_text("2 Top up")
        await page.get_by_label("Your answer").fill("1")
        await console.button("Answer").click()
        await expect(dialogue).to_contain_text("You have 7.40")
        await expect(page.get_by_label("Code")).to_be_focused()

        await console.button("Restart").click()
        dialog = page.get_by_role("dialog", name="Restart this modem?")
        await expect(dialog).to_be_visible()
        assert await console.violations() == []
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await expect(console.button("Restart")).to_be_focused()
        await console.button("Restart").click()
        await dialog.get_by_role("button", name="Restart").click()
        await expect(page.get_by_role("main")).to_contain_text("The modem was told to restart.")
        await expect(page.locator(".modem-state .pill")).to_have_text("Ready")


async def test_the_lines_of_the_set_up_page_are_what_the_hub_takes(browser: Browser, hub: Rig) -> None:
    async with visit(browser, hub) as console:
        page = console.page
        await page.get_by_role("link", name="Set-up").click()
        await expect(page.get_by_role("img", name="QR code of this console's address")).to_be_visible()
        lines = page.locator(".paste code")
        curl = lines.filter(has_text="wait=30")
        await expect(curl).to_contain_text("Bearer TOKEN")
        await page.get_by_label("Put my own token into the lines").check()
        await expect(curl).to_contain_text(f"Bearer {hub.hub.token}")

        sending = shlex.split(await curl.inner_text())
        headers = dict(sending[n + 1].split(": ") for n, word in enumerate(sending) if word == "-H")
        body = sending[sending.index("-d") + 1]
        async with aiohttp.request("POST", sending[-1], headers=headers, data=body) as answer:
            assert (answer.status, (await answer.json())["state"]) == (202, "delivered")

        publishing = shlex.split(await lines.filter(has_text="mosquitto_pub").first.inner_text())
        told = dict(zip(publishing[1::2], publishing[2::2], strict=True))
        assert (told["-h"], told["-p"], told["-t"]) == ("127.0.0.1", str(hub.broker.port), "modemhub/send")
        before = hub.modems.texts()
        await hub.observer.publish("send", json.loads(told["-m"]))
        await hub.modems.do("wait", messages=len(before) + 1, timeout=30)
        assert hub.modems.texts() == [*before, (ANNA, "Hello")]


async def test_events_are_filtered_and_held(browser: Browser, hub: Rig, number: str) -> None:
    async with visit(browser, hub) as console:
        page = console.page
        await page.get_by_role("link", name="Events").click()
        mine = page.get_by_role("list", name="Events").get_by_role("listitem").filter(has_text=number)
        await hub.modems.deliver(hub.modems.all[0], "The first", sender=number)
        await expect(mine).to_have_count(1)
        await console.button("Pause").click()
        await hub.modems.deliver(hub.modems.all[0], "The second", sender=number)
        await expect(page.get_by_role("button", name="Go on (1 new)")).to_be_visible()
        await expect(mine).to_have_count(1)
        await page.get_by_role("button", name="Go on (1 new)").click()
        await expect(mine).to_have_count(2)
        await page.get_by_label("Filter").fill("the SECOND")
        await expect(mine).to_have_count(1)
        await page.get_by_label("Filter").fill("")
        await page.get_by_label("Received texts").uncheck()
        await expect(mine).to_have_count(0)


async def test_keyboard_and_colours(browser: Browser, hub: Rig) -> None:
    async with visit(browser, hub, scheme="light") as console:
        page = console.page
        await page.get_by_role("link", name="Settings").click()
        await expect(console.heading("Settings")).to_be_focused()
        await page.reload()
        await expect(console.heading("Settings")).to_be_visible()
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("main")).to_be_focused()

        ground = "getComputedStyle(document.documentElement).backgroundColor"
        light = await page.evaluate(ground)
        await page.get_by_label("Colours").select_option("dark")
        dark = await page.evaluate(ground)
        assert light != dark
        await page.reload()
        assert await page.evaluate(ground) == dark


async def test_tokens_are_made_used_and_revoked(browser: Browser, hub: Rig) -> None:
    async with visit(browser, hub) as console:
        page = console.page
        await page.get_by_role("link", name="Tokens", exact=True).click()
        await page.get_by_label("Name").fill("gate")
        await page.get_by_label("Texts a minute, at most").fill("5")
        await console.button("Create token").click()
        token = await page.locator("#new-token").inner_text()
        await expect(page.get_by_role("listitem").filter(has_text="gate")).to_contain_text("5 texts a minute")
        await page.get_by_label("Name").fill("gate")
        await console.button("Create token").click()
        await expect(page.get_by_role("alert")).to_be_visible()

        async with visit(browser, hub, token=token) as other:
            main = other.page.get_by_role("main")
            await expect(main).to_contain_text("needs the scope status")
            for path, scope in (("tokens", "admin"), ("settings", "admin")):
                await other.open(path)
                await expect(main).to_contain_text(f"needs the scope {scope}")
                assert await other.violations() == []
            await other.open("messages")
            await expect(main).to_contain_text("lacks the scope inbox")

            await console.button("Revoke gate").click()
            await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
            await expect(page.get_by_role("listitem").filter(has_text="gate")).to_have_count(0)
            await expect(other.heading("Sign in")).to_be_visible()
            await expect(other.page.get_by_role("alert")).to_contain_text("revoked")

            await other.page.get_by_label("Token", exact=True).fill(token)
            await other.button("Sign in").click()
            await expect(other.page.get_by_role("alert")).to_contain_text("The hub does not know this token")
            assert await other.violations() == []
            assert set(other.refused) == {401}
        assert console.refused == [409]


async def test_a_restart_of_the_hub_is_told_and_survived(browser: Browser, hub: Rig, number: str) -> None:
    async with visit(browser, hub) as console:
        page = console.page
        await console.open("messages/" + number)
        await expect(console.heading(number)).to_be_visible()
        await hub.hub.stop()
        try:
            await expect(page.get_by_role("status").filter(has_text="does not answer")).to_be_visible()
            await page.get_by_label("Text", exact=True).fill("After the restart")
            await console.button("Send").click()
            await expect(page.get_by_role("alert")).to_contain_text("does not answer")
        finally:
            await hub.restart_hub()
        await expect(page.get_by_role("status").filter(has_text="does not answer")).to_be_hidden()
        await console.button("Send").click()
        await expect(page.get_by_role("log", name="Texts").locator(".pill")).to_have_text("Delivered")
        assert [text for to, text in hub.modems.texts() if to == number] == ["After the restart"]


async def test_every_page_is_for_everybody(browser: Browser, hub: Rig) -> None:
    """No violation that axe knows, light or dark, and nothing to be scrolled sideways in the narrowest window."""
    modem = hub.modems.all[0]
    await hub.modems.deliver(modem, "For the list", sender=ANNA)
    pages = {
        "overview": "Overview",
        "messages": "Messages",
        "messages/%2B447700900123": "anna",
        "messages/new": "New text",
        f"modems/{modem.imei}": modem.imei[-4:],
        "modems/1": "Modem",
        "events": "Events",
        "setup": "Set-up",
        "tokens": "Tokens",
        "settings": "Settings",
        "more": "Overview",
    }
    async with visit(browser, hub, size=(320, PHONE[1])) as console:
        page = console.page
        found = {}
        for path, heading in pages.items():
            await console.open(path)
            if path == "more":
                await console.button("More").click()
            await expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
            await expect(page.get_by_text("Reading")).to_have_count(0)
            wrong = await console.violations()
            await page.emulate_media(color_scheme="dark")
            wrong += await console.violations("color-contrast")  # of all rules, the one that asks for colours
            await page.emulate_media(color_scheme="light")
            if overflow := await console.overflow():
                wrong.append(f"{overflow} pixels too wide")
            if wrong:
                found[path] = wrong
        assert found == {}
