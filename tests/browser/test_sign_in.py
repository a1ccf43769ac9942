"""Signing in and out as people do it."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.web.test_sign_in import start


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_signing_in_and_out_by_keyboard(opened: OpenPage, tmp_path: Path, scheme: str) -> None:
    guarded = start(tmp_path)
    with guarded.server as server:
        root = f"http://{server.http[0]}:{server.http[1]}"
        token = guarded.tokens["reader"]
        page = opened(f"{root}/runs", color_scheme=scheme, viewport={"width": 375, "height": 700})
        expect(page.locator("h1")).to_have_text("Sign in")
        assert violations(page) == []
        tab_to(page, "#token")
        page.keyboard.type(token)
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("History")
        expect(page.locator("nav")).to_contain_text("reader, role read")
        assert page.evaluate("document.cookie") == ""  # no script can read it
        assert [each["httpOnly"] for each in page.context.cookies()] == [True]
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        page.goto(f"{root}/")  # with live events
        expect(page.locator("h1")).to_have_text("GPU memory benchmarks")
        tab_to(page, "form[action='/sign-out'] button")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("Sign in")
        page.go_back()  # nothing of the page before is kept
        expect(page.locator("h1")).to_have_text("Sign in")
        page.goto("about:blank")


def tab_to(page: Page, selector: str) -> None:
    """As somebody without a mouse reaches it."""
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached by keyboard")


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [each["id"] for each in found if each["impact"] in ("serious", "critical")]
