"""The page: complete, readable without its drawings, and made of text whatever a document holds."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from gpubench.report.extra import HOW_TO_GET
from gpubench.report.figures import Figure, figures
from gpubench.report.html import page as page_module
from gpubench.report.html import render_html
from gpubench.report.subject import Subject
from gpubench.results.kept import read_kept
from tests.documents import document, measurement, processor
from tests.report.reports import HOSTILE, Page, hostile_run, recorded, subject_of, two_boards


@pytest.fixture(scope="module")
def recorded_page() -> str:
    return render_html(Subject(recorded()))


@pytest.fixture(scope="module")
def boards_page() -> str:
    return render_html(subject_of(two_boards(), "RTX 3060 12 GB"))


def test_the_verdict_in_words_comes_first(recorded_page: str, boards_page: str) -> None:
    text = Page(recorded_page).text
    assert text.index("AMD EPYC: triad: 44.78 GB/s") < text.index("Hardware") < text.index("Figures")
    assert "with remedies below" in text[: text.index("Hardware")]
    assert "94.9 % of the nominal peak" in Page(boards_page).text


def test_it_needs_nothing_else(recorded_page: str, boards_page: str) -> None:
    for html in (recorded_page, boards_page):
        page = Page(html)
        assert {"script", "link", "img", "iframe", "object", "embed"}.isdisjoint(
            name for name, _ in page.elements
        )
        addresses = [
            each.get(name) or "" for _, each in page.elements for name in ("src", "href", "xlink:href")
        ]
        assert all(each.startswith(("#", "data:application/gzip", "")) for each in addresses if each)
        assert not [each for each in addresses if each.startswith(("http", "//"))]
        assert not re.search(r"@import|url\((?!#)", html)
        assert "default-src 'none'" in html


def test_every_chart_has_words_and_a_table_and_ids_are_unique(recorded_page: str, boards_page: str) -> None:
    for html, count in ((recorded_page, 17), (boards_page, 6)):
        page = Page(html)
        drawings = [each for each in page.all("div") if each.get("role") == "img"]
        assert len(page.all("figure")) == len(page.all("summary")) == count
        assert len(drawings) == 2 * count  # one for a phone
        assert all(len(each["aria-label"] or "") > 20 for each in drawings)
        for figure in html.split("<figure ")[1:]:
            assert figure.partition("</figure>")[0].count("<table>") >= 1
        ids = Counter(each["id"] for _, each in page.elements if "id" in each)
        assert [name for name, number in ids.items() if number > 1] == []
        for reference in re.findall(r"url\(#([^)]+)\)", html):
            assert reference in ids


def test_a_report_reproduces_itself(recorded_page: str) -> None:
    """A report reproduces itself from the documents that it carries."""
    carried = read_kept(recorded_page.encode(), "page.html")
    assert [each.sha256 for each in carried] == [each.sha256 for each in recorded()]
    assert carried[0].printed == carried[0].sha256
    assert render_html(Subject(carried)) == recorded_page


def test_more_documents_than_fit_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MAX_EMBEDDED_BYTES", 1000)
    subject = subject_of([document(measurement(34.2), device=processor())])
    html = render_html(subject)
    assert "There are too many to carry" in html
    assert f"SHA-256 {subject.kept[0].sha256}" in html
    assert "data:application/gzip" not in html


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_stays_text(name: str) -> None:
    html = render_html(subject_of([hostile_run(name), hostile_run(name)]))
    page = Page(html)
    allowed = {"lang", "charset", "name", "content", "http-equiv", "class", "href", "id", "aria-labelledby"}
    assert "script" not in {tag for tag, _ in page.elements}
    assert not [
        key for tag, each in page.elements for key in each if key.startswith("on") and key not in allowed
    ]
    assert not set(html) & {"\x00", "\x1b", "\u202e", "\u2066", "\u200f"}
    assert "cannot be drawn" not in html
    assert "&amp;49" not in html  # {{7*7}}


def test_a_chart_that_cannot_be_drawn_leaves_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(subject: Subject) -> list[Figure]:
        [first, *_] = figures(subject)
        spec = {
            "mark": "no such mark",
            "data": {"values": []},
            "encoding": {"x": {"field": "a.[", "type": "nominal"}},
        }
        return [Figure(first.name, first.title, "", "", first.rows, first.tables, lambda width: spec)]

    monkeypatch.setattr(page_module, "figures", broken)
    html = render_html(subject_of(two_boards()))
    assert "the figure bandwidth cannot be drawn" in html
    assert "<caption>NVIDIA GeForce RTX 5090: Measured</caption>" in html


def test_a_run_without_figures_and_no_run_at_all_have_a_page() -> None:
    assert "This run gave no figure." in Page(render_html(subject_of([document()]))).text
    assert "There are no runs to report." in Page(render_html(subject_of([]))).text


def test_between_two_runs_there_is_a_verdict_with_its_reason(boards_page: str) -> None:
    text = Page(boards_page).text
    assert "B AMBIGUOUS (few_runs), copy, triad: " in text
    assert "a verdict needs at least 5 runs on each side" in text


def test_a_fleet_of_a_hundred_is_small_and_names_the_slowest() -> None:
    runs = [
        document(
            measurement(1700.0 - number, "triad", *(["contended"] if number % 9 == 0 else [])),
            run_id=f"{number:02x}{'0' * 30}",
        )
        for number in range(100)
    ]
    html = render_html(subject_of(runs))
    text = Page(html).text
    assert len(html) < 5_000_000
    assert "100 runs, of which 100 have a figure in triad." in text
    assert "Lowest: NVIDIA GeForce RTX 5090, run 63000000… with 1601.0 GB/s" in text
    assert "12 of these figures are flagged" in text
    assert len(read_kept(html.encode(), "fleet.html")) == 100
    assert html.count("<figure ") == 1


def test_the_extra_is_named_as_pip_wants_it() -> None:
    assert HOW_TO_GET == "pip install '.[report]' in the checkout"


def test_flags_in_a_row_have_spaces_between_them(recorded_page: str) -> None:
    assert "</code>,<code>" not in recorded_page
    assert re.search("</code> in [a-z_, ]+; <code>", recorded_page)
