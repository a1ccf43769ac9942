"""A browser, and pages in it that may not complain, fail, or ask for anything from elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.web.conftest import Filled, filled  # noqa: F401 - a fixture

CHROMIUM = Path(__file__).parents[2] / "tools" / "chromium.py"
"""Finds one, or fetches one: `make test` has done that before."""

SKIPPED = 77
"""Its exit code where there can be none."""

OpenPage = Callable[..., Page]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    found = subprocess.run([sys.executable, CHROMIUM], capture_output=True, text=True)
    if found.returncode == SKIPPED:
        pytest.skip(found.stderr.strip())
    assert found.returncode == 0, found.stderr
    with sync_playwright() as playwright:
        # Its own sandbox does not work as root in a container; it opens no page but ours.
        launched = playwright.chromium.launch(executable_path=found.stdout.strip(), args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[OpenPage]:
    """Opens an address in a new window; ``options`` are those of Playwright's ``new_context``."""
    complaints: list[str] = []
    contexts = []

    def open_page(url: str, **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                complaints.append(request.url)
                if urlsplit(request.url).netloc not in ("", urlsplit(url).netloc)
                else None
            ),
        )
        response = page.goto(url, wait_until="load")
        assert response is not None and response.ok
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="package")
def root(filled: Filled) -> str:  # noqa: F811
    host, port = filled.server.http
    return f"http://{host}:{port}"
