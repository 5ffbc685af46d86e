"""The console as a person sees it: Debian's Chromium, driven by Playwright, and a page that is watched all the time.

What a page must never do is noted from its first request on, and :meth:`Console.faults` tells it: an error in its
console, a violation of its content security policy, a request to any host but the hub's own. A refusal that a test
provokes (a wrong token) is an error in the browser's console, too: those are told apart by their status.

::

    chromium_path   where Debian's chromium is, or None
    chromium        one browser for any number of tests
    Console         one visitor: a context of its own (nothing is remembered from another), a page, its faults
    screenshots     ``python -m hil.browser.screenshots DIR``: every page, phone and desktop, light and dark
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import async_playwright, expect

from hil.rig.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Request

__all__ = ["DESKTOP", "PHONE", "Console", "chromium", "chromium_path"]

FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Nothing but what the page itself asks for; root, as in a container, has no sandbox."""

DESKTOP: Final = (1280, 860)
PHONE: Final = (360, 740)
"""Width and height of the window; the console promises to be usable from 320 on."""

REFUSED: Final = re.compile(r"the server responded with a status of (\d+)")
"""What Chromium writes into its console when an answer is a refusal."""

expect.set_options(timeout=PATIENCE * 1000)


def chromium_path() -> str | None:
    """Debian's chromium, or None where there is none."""
    return shutil.which("chromium")


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """One browser; it ends with the block.

    Raises:
        FileNotFoundError: there is no chromium.
    """
    path = chromium_path()
    if path is None:
        raise FileNotFoundError("chromium is not installed: apt install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


class Console:
    """One visitor of the console at ``address``.

    Args:
        browser: from :func:`chromium`.
        address: the hub's, without a slash at the end.
        size: of the window.
        scheme: what the system prefers.
    """

    def __init__(
        self,
        browser: Browser,
        address: str,
        *,
        size: tuple[int, int] = DESKTOP,
        scheme: Literal["light", "dark"] = "light",
    ) -> None:
        self.address = address
        self.page: Page
        self.refused: list[int] = []
        """Statuses of the refusals that the page met."""
        self._browser = browser
        self._size = size
        self._scheme = scheme
        self._faults: list[str] = []
        self._axe = Axe()

    async def __aenter__(self) -> Self:
        width, height = self._size
        self._context = await self._browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=self._scheme, locale="en-GB"
        )
        self._context.set_default_timeout(PATIENCE * 1000)
        self._context.on("request", self._requested)
        self.page = await self._context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self._faults.append(f"error: {error}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._context.close()

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((self.address + "/", "data:", "blob:")):
            self._faults.append(f"a request to another host: {request.url}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        refused = REFUSED.search(message.text)
        if refused is not None:
            self.refused.append(int(refused[1]))
        elif "net::ERR_" not in message.text:  # the hub was away: the page says so itself
            self._faults.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def faults(self) -> list[str]:
        """What the page did that it must not do."""
        return list(self._faults)

    # What a person does.

    async def open(self, path: str = "") -> None:
        """Go to ``#/path``, as by the address bar."""
        await self.page.goto(f"{self.address}/#/{path}")

    async def sign_in(self, token: str) -> None:
        """Open the console and give it the token, as somebody does who comes for the first time."""
        await self.page.goto(f"{self.address}/")
        await self.page.get_by_label("Token", exact=True).fill(token)
        await self.button("Sign in").click()
        await expect(self.page.get_by_role("navigation", name="Pages")).to_be_visible()

    def button(self, name: str) -> Locator:
        """The button with exactly this name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def heading(self, name: str) -> Locator:
        """The heading with this name."""
        return self.page.get_by_role("heading", name=name)

    async def violations(self, *rules: str) -> list[str]:
        """What axe finds wrong with the page as it is now, in words; by these rules only, when given."""
        options = {"runOnly": list(rules)} if rules else None
        found: dict[str, Any] = (await self._axe.run(self.page, options=options)).response
        return [
            f"{one['id']} ({one['impact']}): {one['help']}: {json.dumps([node['html'] for node in one['nodes']])}"
            for one in found["violations"]
        ]

    async def overflow(self) -> int:
        """By how many pixels the page is wider than its window: what would have to be scrolled sideways."""
        wider: int = await self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return max(wider, 0)
