"""The page as people use it, in a real browser: the end of `make test`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.running import PATIENCE_SECONDS, quick
from tests.web.conftest import Filled
from tests.web.planted import GOOD, SLOW, plant, with_gpu

expect.set_options(timeout=PATIENCE_SECONDS * 1000)

PAGES = ("/", "/runs", f"/runs/{SLOW}", f"/compare?run={SLOW}&run={GOOD}")
PHONE: dict[str, Any] = {"viewport": {"width": 375, "height": 700}, "color_scheme": "dark"}


def test_from_the_overview_to_a_report_with_charts(opened: OpenPage, root: str) -> None:
    page = opened(f"{root}/runs")
    page.locator(f'a[href="/runs/{SLOW}"]').click()
    expect(page.locator("h1")).to_have_text(f"Run {SLOW}")
    page.get_by_text("Report with charts").click()
    expect(page.locator("#verdict")).to_contain_text("1400.0 GB/s")
    charts = page.locator(".chart.wide svg")
    assert charts.count() >= 1
    box = charts.first.bounding_box()
    assert box is not None and box["width"] > 300 and box["height"] > 50
    expect(page.locator(".chart.wide").first).to_have_attribute("aria-label", re.compile("1400"))


def test_a_run_is_watched_from_start_to_end(opened: OpenPage, root: str, filled: Filled) -> None:
    page = opened(f"{root}/")
    expect(page.locator(".queue")).to_contain_text("Idle.")
    with filled.server.connect() as client:
        run_id = client.begin(quick(time_limit_seconds=3))
        expect(page.locator(".queue")).to_contain_text(run_id)  # the page was not loaded again by us
        expect(page.locator(".queue .text")).to_contain_text("triad, measuring: ")
        bar = page.locator("progress")
        begun = float(bar.get_attribute("value") or 0)
        page.wait_for_function("begun => document.querySelector('progress').value > begun", arg=begun)
        client.response()
    expect(page.locator(".queue")).to_contain_text("Idle.")
    expect(page.locator(f'.runs a[href="/runs/{run_id}"]')).to_be_visible()


def test_the_page_of_a_run_becomes_its_result(opened: OpenPage, root: str, filled: Filled) -> None:
    with filled.server.connect() as client:
        run_id = client.begin(quick(time_limit_seconds=2))
        page = opened(f"{root}/runs/{run_id}")
        client.response()
        expect(page.get_by_text("Report with charts")).to_be_visible()


def test_a_choice_survives_the_runs_of_others(opened: OpenPage, root: str, filled: Filled) -> None:
    page = opened(f"{root}/")
    page.locator(".runs input").nth(1).check()
    filled.server.run_ok()
    expect(page.locator("#live")).to_contain_text("load this page again")
    assert page.locator(".runs input:checked").count() == 1


def test_without_a_script(opened: OpenPage, root: str) -> None:
    page = opened(f"{root}/", java_script_enabled=False)
    expect(page.locator(f'.runs a[href="/runs/{SLOW}"]')).to_be_visible()


def test_runs_are_compared_by_keyboard_alone(opened: OpenPage, root: str) -> None:
    page = opened(f"{root}/runs")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("To the content")
    for run_id in (GOOD, SLOW):  # in the order of the page
        for _ in range(100):
            page.keyboard.press("Tab")
            if page.locator(":focus").get_attribute("value") == run_id:
                break
        outline = page.locator(":focus").evaluate("element => getComputedStyle(element).outlineStyle")
        assert outline == "solid"
        page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Comparison")
    expect(page.locator("main")).to_contain_text("0.8642")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_a_phone_and_is_dark_where_that_is_wanted(opened: OpenPage, root: str, path: str) -> None:
    page = opened(f"{root}{path}", **PHONE)
    wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wider) == 0
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(21, 24, 29)"
    assert opened(f"{root}{path}").evaluate(ground) == "rgb(255, 255, 255)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious(opened: OpenPage, tmp_path: Path, path: str, scheme: str) -> None:
    plant(tmp_path)
    with with_gpu(tmp_path) as (host, port):
        page = opened(f"http://{host}:{port}{path}", color_scheme=scheme)
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
        page.goto("about:blank")


def test_bars_are_as_long_as_their_figures(opened: OpenPage, tmp_path: Path) -> None:
    plant(tmp_path)
    with with_gpu(tmp_path) as (host, port):
        page = opened(f"http://{host}:{port}/", **PHONE)
        width = "element => element.querySelector('rect').getBoundingClientRect().width"
        measured = page.locator("svg.measured").evaluate(width)
        longest = page.locator("svg.peak").last.evaluate(width)
        assert measured / longest == pytest.approx(1600 / 2048, abs=0.02)
        assert page.locator(".bars").first.evaluate("e => e.scrollWidth <= e.parentElement.clientWidth")
        page.goto("about:blank")
