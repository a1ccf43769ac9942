"""The pages of a server whose store holds planted runs, read as a browser without a script would."""

from __future__ import annotations

import http.client
import re
from contextlib import closing
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import pytest

from gpubench.results.kept import read_kept
from gpubench.results.store import Store
from tests.documents import rtx_5090
from tests.running import PATIENCE_SECONDS, RunningServer, long
from tests.web.conftest import Filled
from tests.web.planted import DAMAGED, GOOD, HOSTILE, ODD, SLOW, plant, planted_run, with_gpu


class Page(HTMLParser):
    """The links of a page, its texts, and what it would run or load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.links: list[str] = []
        self.loads: list[str] = []
        self.scripts: list[str | None] = []
        self.attributes: list[str] = []
        self.ids: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.attributes += named
        if "id" in named:
            self.ids.append(str(named["id"]))
        if tag == "script":
            self.scripts.append(named.get("src"))
        if tag == "a":
            self.links.append(str(named["href"]))
        elif "href" in named or "src" in named:
            self.loads.append(str(named.get("href") or named.get("src")))

    def handle_data(self, data: str) -> None:
        self.words += f"{data} "


def fetch(server_address: tuple[str, int], path: str) -> tuple[int, dict[str, str], str]:
    with closing(http.client.HTTPConnection(*server_address, timeout=PATIENCE_SECONDS)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, response.read().decode()


def page_of(filled: Filled, path: str, code: int = 200) -> Page:
    status, _, text = fetch(filled.server.http, path)
    assert status == code, text
    return Page(text)


def test_every_page_is_reached_and_none_can_run_what_is_in_a_run(filled: Filled) -> None:
    """Follows every link from the first page; a hostile name is on most of these pages."""
    seen: dict[str, int] = {}
    waiting = ["/", f"/runs/{quote(DAMAGED)}", f"/compare?run={SLOW}&run={quote(ODD, safe='')}"]
    hostile = 0
    while waiting:
        path = waiting.pop()
        status, headers, text = fetch(filled.server.http, path)
        seen[path] = status
        assert headers["x-content-type-options"] == "nosniff"
        if not headers["content-type"].startswith("text/html"):
            continue
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy.partition("script-src")[2].partition(";")[0]
        page = Page(text)
        assert set(page.scripts) <= {"/static/live.js"}, path
        assert not [name for name in page.attributes if name.startswith("on")], path
        assert all(urlsplit(each).netloc == "" for each in page.loads), path
        assert "\u202e" not in text
        assert "\x1b" not in text
        assert len(page.ids) == len(set(page.ids)), path
        hostile += "<script>alert('gpubench')" in page.words
        if "/report" in path:
            continue
        assert "style" not in page.attributes, path
        links = [urljoin(path, each) for each in (*page.links, *page.loads) if not each.startswith("#")]
        waiting += [each for each in links if each not in seen and each not in waiting]
    damaged = {f"/runs/{DAMAGED}", f"/runs/{DAMAGED}/report", f"/api/v1/runs/{DAMAGED}"}
    assert {path for path, status in seen.items() if status != 200} <= damaged
    assert {f"/runs/{quote(ODD, safe='')}/report", "/static/page.css"} <= set(seen)
    assert hostile >= 4


def test_the_runs_are_listed_with_figure_and_verdict(filled: Filled) -> None:
    words = page_of(filled, "/runs").words
    assert re.search(r"triad\s+1400\.0 GB/s, 78\.1 % of theory\s+DEGRADED", words)
    assert re.search(r"triad\s+1620\.0 GB/s, 90\.4 % of theory\s+OK", words)


def test_a_damaged_run_says_so_and_does_not_hide_the_others(filled: Filled) -> None:
    assert "damaged in the server's store" in page_of(filled, f"/runs/{DAMAGED}", 500).words
    assert f"/runs/{DAMAGED}" in page_of(filled, "/runs").links


def test_a_run_is_judged_with_its_fault_code_and_what_to_do(filled: Filled) -> None:
    page = page_of(filled, f"/runs/{SLOW}")
    assert "DEGRADED" in page.words
    assert "GB-BW-LOW" in page.words
    assert "below its floor" in page.words
    assert f"/runs/{SLOW}/report" in page.links


def test_the_report_carries_the_document(filled: Filled) -> None:
    status, _, text = fetch(filled.server.http, f"/runs/{quote(ODD, safe='')}/report")
    assert status == 200
    (kept,) = read_kept(text.encode(), "the report")
    assert kept.document == filled.planted[ODD]
    assert kept.printed == kept.sha256


def test_runs_are_compared_with_ratio_and_verdict(filled: Filled) -> None:
    words = page_of(filled, f"/compare?run={SLOW}&run={GOOD}").words
    assert "1.1571" in words
    assert "AMBIGUOUS" in words  # one run a side
    pooled = page_of(filled, f"/compare?run={SLOW}&run={GOOD}&pool=1").words
    assert "1510.0 GB/s" in pooled  # the median of both
    assert "1.1571" not in pooled


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/runs/none", 404, "there is no run 'none'"),
        ("/runs/none/report", 404, "there is no run 'none'"),
        ("/compare?run=none", 404, "there is no run 'none'"),
        ("/runs?limit=0", 400, "limit must be a whole number from 1 to 200"),
        ("/runs?limit=%D9%A3", 400, "limit must be a whole number"),
        ("/runs?limit=" + "9" * 5000, 400, "limit must be a whole number"),
        ("/compare?" + "&".join(f"run={number}" for number in range(33)), 400, "at most 32 runs"),
        ("/static/..%2f..%2fapp.py", 404, ""),
        ("/static/nothing", 404, "no such file"),
    ],
)
def test_a_wrong_address_is_explained(filled: Filled, path: str, code: int, words: str) -> None:
    assert words in page_of(filled, path, code).words


def test_the_history_of_one_device(filled: Filled) -> None:
    assert f"/runs/{GOOD}" in page_of(filled, "/runs?device=cuda:0").links
    assert f"/runs/{GOOD}" not in page_of(filled, "/runs?device=cuda:1").links
    assert len([each for each in page_of(filled, "/runs?limit=2").links if each.startswith("/runs/")]) == 2


def test_a_run_is_watched_without_a_script(filled: Filled) -> None:
    """A run is watched without a script and no report disturbs it."""
    fresh = filled.server.run_ok()["run_id"]  # whose report nobody has drawn yet
    with filled.server.connect() as client, filled.server.connect() as other:
        running = client.begin_measuring(long())
        waiting = other.begin(long())
        index, page = page_of(filled, "/"), page_of(filled, f"/runs/{running}")
        assert f"/runs/{running}" in index.links
        assert f"/runs/{waiting}" in index.links
        assert "triad, measuring" in index.words
        assert "Running" in page.words
        assert 'http-equiv="refresh"' in page.text
        assert "place 1" in page_of(filled, f"/runs/{waiting}").words
        status, headers, text = fetch(filled.server.http, f"/runs/{fresh}/report")
        assert (status, headers["retry-after"]) == (503, "10")
        assert "would disturb it" in Page(text).words
        assert "has not finished" in page_of(filled, f"/compare?run={running}", 400).words


def test_the_history_says_when_a_figure_shifted(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for number in range(60):
            rate = (1600 if number < 30 else 1500) + number % 5  # GB/s
            at = f"2026-01-02T03:{number:02}:00.000Z"
            run = planted_run(f"run-{number}", rate, rtx_5090().name, created_at=at, finished_at=at)
            store.accept(run, "", "cuda:0", ["triad", "copy"])
            store.finish(run)
    with RunningServer(tmp_path) as server:
        words = " ".join(Page(fetch(server.http, "/runs")[2]).words.split())
    assert re.search(r"cuda:0 triad: fell by 6\.\d %.*, slower, at 2026-01-02 03:30:00 \(run run-30;", words)


def test_no_template_begins_or_ends_a_text_with_a_space() -> None:
    """It would be lost: each text is made one clean line before it is written."""
    templates = files("gpubench_server.web") / "templates"
    for template in templates.iterdir():
        for expression in re.findall(r"\{\{(.*?)\}\}", template.read_text(encoding="utf-8")):
            assert not re.match(r"""\s*["']\s|\s*["'][^"']*\s["']\s+if\b""", expression), (
                template.name,
                expression,
            )


def test_a_device_is_shown_against_theory_and_generations(tmp_path: Path) -> None:
    plant(tmp_path)
    with with_gpu(tmp_path) as address:
        text = fetch(address, "/")[2]
    words = " ".join(Page(text).words.split())
    assert "GDDR generations at 512 bit" in words
    assert re.search(r"triad, measured here 1600\.0", words)  # the newest that can be read
    assert re.search(r"Theory of this device 1792\.1 89\.3 %", words)
    assert re.search(r"GDDR7 32 Gbit/s 2048\.0 78\.1 %", words)
    assert re.search(r"GDDR6 14 Gbit/s 896\.0 178\.6 %", words)
    widths = [float(width) for width in re.findall(r'<rect width="([\d.]+)"', text)]
    assert widths[0] == pytest.approx(100 * 1600 / 2048, abs=0.01)
    assert max(widths) == 100
    assert HOSTILE not in text
