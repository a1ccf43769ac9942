"""The dashboards ask only for what server and gateway expose: metrics and labels against real expositions."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from gpubench_server.gateway.metrics import exposition
from gpubench_server.gateway.metrics_file import Snapshot
from gpubench_server.metrics import ServiceSnapshot, SnapshotCollector
from gpubench_server.metrics_state import Counts
from prometheus_client.parser import text_string_to_metric_families

from gpubench.flags import flags_with
from tests.running import RunningServer

ROOT = Path(__file__).parents[2] / "dashboards"
DASHBOARDS = sorted(ROOT.glob("grafana/*.json"))
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h"}
SCRAPED = {"job", "instance"}
"""Labels that Prometheus adds."""


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Sample names of a gateway, and of a real server that has run a benchmark, with their labels."""
    with RunningServer(tmp_path_factory.mktemp("data")) as server:
        server.run_ok()
        text = server.get("/metrics")[1] + exposition(Snapshot(Counter(), 0, 1, True)).decode()
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        labels.setdefault(family.name, set())
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


def dashboard(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return loaded


def expressions(path: Path) -> Iterator[tuple[str, str]]:
    for panel in dashboard(path)["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in dashboard(path)["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert found
            yield variable["name"], f"count by ({found[2]}) ({found[1]})"


def parsed(expression: str) -> Any:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return promql_parser.parse(re.sub(r"\$\w+", ".*", expression))


def selectors(node: Any) -> Iterator[Any]:
    """Every vector selector of a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
        return
    for name in ("lhs", "rhs", "expr", "args", "vector_selector", "param"):
        inner = getattr(node, name, None)
        for each in inner if isinstance(inner, list) else [inner]:
            if each is not None and not isinstance(each, str | int | float):
                yield from selectors(each)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_every_expression_asks_for_metrics_and_labels_that_exist(
    path: Path, exposed: dict[str, set[str]]
) -> None:
    count = 0
    for title, expression in expressions(path):
        found = list(selectors(parsed(expression)))
        assert found, f"{title}: no metric in {expression}"
        for selector in found:
            count += 1
            assert selector.name in exposed, f"{title}: no metric {selector.name}"
            asked = {matcher.name for matcher in selector.matchers.matchers}
            known = exposed[selector.name] | SCRAPED
            # A family without samples on this machine (no theory on a processor) shows no labels.
            assert asked <= known or not exposed[selector.name], (
                f"{title}: {asked - known} of {selector.name}"
            )
    assert count > 10


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_two_jobs_may_scrape_one_target(path: Path) -> None:
    """Joins and groups tell the jobs apart; sums over all servers count each server once."""
    joins = 0
    variables = {variable["name"] for variable in dashboard(path)["templating"]["list"]}
    panels = [(title, text) for title, text in expressions(path) if title not in variables]
    for title, expression in panels:
        for labels in re.findall(r"\b(?:on|by) \(([^)]*)\)", expression):
            named = {label.strip() for label in labels.split(",")}
            joins += "instance" in named
            assert "instance" not in named or "job" in named, f"{title}: ({labels})"
        for labels, inner in re.findall(r"\bsum by \(([^)]*)\) \((\w+ ?\w+)", expression):
            assert "job" in labels or inner == "max without", f"{title}: counts a server once for each job"
    assert joins >= 5


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_a_legend_names_labels_that_the_expression_keeps(path: Path, exposed: dict[str, set[str]]) -> None:
    every = set().union(*exposed.values()) | SCRAPED | {"technology"}
    for panel in dashboard(path)["panels"]:
        for target in panel["targets"]:
            named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert named <= every, panel["title"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_a_dashboard_can_be_imported_unedited(path: Path) -> None:
    loaded = dashboard(path)
    panels = loaded["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"] and panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    assert loaded["uid"] and re.search(r"^[\w-]{1,40}$", loaded["uid"])


def test_stability_help_and_panel_name_every_flag_that_zeroes_it() -> None:
    snapshot = ServiceSnapshot(Counts(), (), (), open_connections=0, max_connections=1, max_queue_length=1)
    families = {family.name: family for family in SnapshotCollector(lambda: snapshot).collect()}
    panels = [
        panel["description"]
        for path in DASHBOARDS
        for panel in dashboard(path)["panels"]
        if any("gpubench_last_run_stable" in target["expr"] for target in panel["targets"])
    ]
    assert panels
    for text in (families["gpubench_last_run_stable"].documentation, *panels):
        assert all(flag in text for flag in flags_with("unsteady")), text


def test_no_two_dashboards_share_an_id() -> None:
    uids = [dashboard(path)["uid"] for path in DASHBOARDS]
    assert uids and len(set(uids)) == len(uids)
