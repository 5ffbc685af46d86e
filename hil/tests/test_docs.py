"""The documentation in a real browser, which asks its user for the token as a password."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.rig import Hub

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("playwright", reason="playwright is not installed: make setup")

from playwright.async_api import expect

from hil.browser import PHONE, Console, chromium, chromium_path

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(chromium_path() is None, reason="chromium is not installed: apt install chromium"),
    pytest.mark.timeout(120),
]


async def test_the_documentation_is_for_everybody_who_has_a_token(tmp_path: Path) -> None:
    hub = Hub(tmp_path / "hub", modems=[], mqtt=None)
    async with hub, chromium() as browser, Console(browser, hub.address, size=(320, PHONE[1])) as visitor:
        page = visitor.page
        answered = await page.goto(f"{hub.address.replace('://', f'://anybody:{hub.token}@')}/docs")
        assert answered is not None
        assert answered.status == 200
        await expect(page.get_by_role("heading", level=1)).to_contain_text("modemhub")
        wrong = await visitor.violations()
        await page.emulate_media(color_scheme="dark")
        wrong += await visitor.violations("color-contrast")
        assert wrong == []
        assert await visitor.overflow() == 0
        await page.get_by_role("link", name="GET /api/v1/inbox", exact=True).click()
        await expect(page.get_by_role("heading", name="GET /api/v1/inbox", exact=True)).to_be_in_viewport()
        assert [fault for fault in visitor.faults() if hub.token not in fault] == []
