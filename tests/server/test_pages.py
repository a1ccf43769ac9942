"""The HTTP port of a real server, and the metrics of devices that no test machine has."""

from __future__ import annotations

import contextlib
import http.client
from pathlib import Path

import msgspec
import pytest
from gpubench_server.metrics import ServiceSnapshot, SnapshotCollector
from gpubench_server.metrics_state import MetricsState
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gpubench.results.machine import DeviceInfo
from gpubench.results.store import Store
from tests.documents import document, measurement, processor, rtx_5090
from tests.running import PATIENCE_SECONDS, RunningServer, long, quick

Exposition = dict[tuple[str, tuple[str, ...]], float]


def exposed(metrics: MetricsState, *devices: DeviceInfo) -> Exposition:
    """Samples by name and label values, which are in the order of the label names."""
    registry = CollectorRegistry()
    snapshot = ServiceSnapshot(metrics.snapshot(), devices, (), 0, 64, 16)
    registry.register(SnapshotCollector(lambda: snapshot))
    return {
        (sample.name.removeprefix("gpubench_"), tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_references_are_for_the_bus_width_of_the_device() -> None:
    samples = exposed(MetricsState(), rtx_5090())
    assert samples["device_peak_bandwidth_bytes_per_second", ("cuda:0",)] == 28.002e9 * 512 / 8
    assert samples["reference_bandwidth_bytes_per_second", ("cuda:0", "gddr7-32")] == 2048e9
    assert samples["reference_bandwidth_bytes_per_second", ("cuda:0", "gddr6-16")] == 1024e9


def test_references_without_a_bus_width_are_per_module() -> None:
    samples = exposed(MetricsState(), processor())
    assert not [labels for name, labels in samples if name == "reference_bandwidth_bytes_per_second"]
    assert not [labels for name, labels in samples if name == "device_peak_bandwidth_bytes_per_second"]
    assert samples["reference_module_bandwidth_bytes_per_second", ("gddr7-28",)] == 112e9
    assert samples["reference_module_bandwidth_bytes_per_second", ("gddr7-32",)] == 128e9


def test_a_figure_is_exposed_while_its_device_is_present() -> None:
    metrics = MetricsState()
    run = document(measurement(1500), finished_at="2026-01-02T03:04:05.000Z")
    metrics.run_ended(run, ["triad"])
    series = ("triad", "cuda:0", "float64")
    samples = exposed(metrics, rtx_5090())
    assert samples["last_run_bandwidth_bytes_per_second", series] == 1500e9
    assert samples["last_run_stable", series] == 1
    assert (
        samples["last_run_timestamp_seconds", series] == samples["last_run_success_timestamp_seconds", series]
    )
    assert samples["runs_total", ("triad", "ok")] == 1
    gone = exposed(metrics)
    assert not [labels for name, labels in gone if name.startswith("last_run_")]


def test_names_follow_the_rules_of_prometheus() -> None:
    metrics = MetricsState()
    metrics.run_ended(document(measurement(1500), finished_at="2026-01-02T03:04:05.000Z"), ["triad"])
    registry = CollectorRegistry()
    registry.register(
        SnapshotCollector(lambda: ServiceSnapshot(metrics.snapshot(), (rtx_5090(),), (), 0, 64, 16))
    )
    for family in registry.collect():
        assert family.name.startswith("gpubench_")
        assert family.documentation.endswith(".")
        assert not family.name.endswith(("_ms", "_mb", "_percent", "_total", "_count"))


def test_a_run_with_other_parameters_changes_no_gauge(server: RunningServer) -> None:
    """Counters and times change."""
    before = server.metric('gpubench_runs_total{benchmark="scale",outcome="ok"}')
    document = server.run_ok(quick("scale"))
    device = document["device"]["id"]
    labels = f'{{benchmark="scale",device="{device}",precision="double"}}'
    assert server.metric('gpubench_runs_total{benchmark="scale",outcome="ok"}') == (before or 0) + 1
    assert server.metric(f"gpubench_last_run_timestamp_seconds{labels}") is not None
    assert server.metric(f"gpubench_last_run_bandwidth_bytes_per_second{labels}") is None
    assert (server.metric(f'gpubench_memory_bytes_moved_total{{device="{device}"}}') or 0) > 0
    assert (server.metric('gpubench_run_duration_seconds_count{benchmark="scale"}') or 0) >= 1


def test_requests_are_counted_by_method_and_code(server: RunningServer) -> None:
    series = 'gpubench_requests_total{code="-32601",method="other"}'
    before = server.metric(series) or 0
    with server.connect() as client:
        client.refused("no such method")
    assert server.metric(series) == before + 1


def test_a_scrape_during_a_run_shows_it(server: RunningServer) -> None:
    with server.connect() as client, server.connect() as other:
        client.begin_measuring(long())
        other.begin(long())
        device = server.ask("devices")["devices"][0]["id"]
        assert server.metric(f'gpubench_runs_in_progress{{device="{device}"}}') == 1
        assert server.metric(f'gpubench_queue_length{{device="{device}"}}') == 1
        assert (server.metric("gpubench_open_connections") or 0) >= 2


def test_figures_are_refilled_from_the_store(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        (device,) = server.ask("devices")["devices"]
        server.stop()
    run = document(
        measurement(40),
        device=DeviceInfo(device["id"], "host", "opencl", "cpu", "Some Processor", "host"),
        finished_at="2026-01-02T03:04:05.000Z",
    )
    with Store(tmp_path) as store:
        store.accept(run, "triad", device["id"], ["triad"])
        store.finish(run)
    with RunningServer(tmp_path) as server:
        server.ask("devices")
        labels = f'{{benchmark="triad",device="{device["id"]}",precision="float64"}}'
        assert server.metric(f"gpubench_last_run_bandwidth_bytes_per_second{labels}") == 40e9


def test_health_readiness_and_the_landing_page(server: RunningServer) -> None:
    server.ask("devices")
    assert server.get("/healthz") == (200, "alive\n")
    assert server.get("/readyz") == (200, "ready\n")
    status, page = server.get("/")
    assert status == 200
    assert f"tcp://127.0.0.1:{server.tcp[1]}" in page
    status, text = server.get("/nothing")
    assert status == 404
    assert "/metrics" in text


PAGES = ("/", "/healthz", "/readyz", "/metrics", "/metrics?name[]=gpubench_build_info", "/nothing")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("accept_encoding", ["identity", "gzip"])
def test_head_is_get_without_the_body(server: RunningServer, path: str, accept_encoding: str) -> None:
    answers = {}
    for method in ("GET", "HEAD"):
        connection = http.client.HTTPConnection(*server.http, timeout=PATIENCE_SECONDS)
        with contextlib.closing(connection):
            connection.request(method, path, headers={"Accept-Encoding": accept_encoding})
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            answers[method] = response.status, headers, response.read()
    assert answers["HEAD"][0] == answers["GET"][0]
    assert answers["HEAD"][1].keys() == answers["GET"][1].keys()
    assert answers["HEAD"][2] == b""
    if "gzip" not in answers["GET"][1].values():  # its length depends on the values of the moment
        assert answers["HEAD"][1]["content-length"] == answers["GET"][1]["content-length"]
        assert answers["GET"][1]["content-length"] == str(len(answers["GET"][2]))
    assert int(answers["HEAD"][1]["content-length"]) > 0


def test_metrics_can_be_asked_for_by_name(server: RunningServer) -> None:
    """By the name of every family, and of every sample."""
    page = server.get("/metrics")[1]
    for family in text_string_to_metric_families(page):
        for name in {family.name, *(sample.name for sample in family.samples)} if family.samples else ():
            text = server.get(f"/metrics?name[]={name}")[1]
            found = list(text_string_to_metric_families(text))
            assert [each.name for each in found] == [family.name]
            expected = [s for s in family.samples if name in (family.name, s.name)]
            assert len(found[0].samples) == len(expected)
    two = server.get("/metrics?name[]=gpubench_build_info&name[]=gpubench_queue_limit")[1]
    assert [each.name for each in text_string_to_metric_families(two)] == [
        "gpubench_build_info",
        "gpubench_queue_limit",
    ]


def test_one_bad_series_leaves_the_page(caplog: pytest.LogCaptureFixture) -> None:
    """A value that cannot be written, and a device that a group of metrics fails on."""
    metrics = MetricsState()
    absurd = msgspec.structs.replace(rtx_5090(), id="cuda:9", memory_bytes=10**400)
    samples = exposed(metrics, absurd, rtx_5090())
    assert ("device_memory_bytes", ("cuda:9",)) not in samples
    assert samples["device_memory_bytes", ("cuda:0",)] == 32 * 1024**3
    assert samples["collector_success", ("devices",)] == 0
    broken = msgspec.structs.replace(rtx_5090(), bus_width_bits="wide")  # as no program writes it
    samples = exposed(metrics, broken)
    assert samples["collector_success", ("references",)] == 0
    assert samples["collector_success", ("service",)] == 1
    assert ("build_info", next(labels for name, labels in samples if name == "build_info")) in samples
    assert "some metrics of the group 'references' are left out" in caplog.messages


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=abc", "*/*", "\x7f;;q=", ""])
def test_any_accept_header_gets_the_metrics(server: RunningServer, accept: str) -> None:
    connection = http.client.HTTPConnection(*server.http, timeout=PATIENCE_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics", headers={"Accept": accept})
        response = connection.getresponse()
        assert (response.status, b"gpubench_build_info" in response.read()) == (200, True)
