from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pytest

from gpubench.errors import InvalidParameters
from gpubench.report.formats import CSV, JSON, MARKDOWN, REPORT_FORMATS, RUN_FORMATS, format_of
from gpubench.report.subject import Subject
from gpubench.results.document import decode_document
from gpubench.results.records import records
from tests.documents import document, measurement

RUNS = [document(measurement(1500.0)), document(measurement(900.0, benchmark="copy", reason='a "b", c\n='))]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("report.md", MARKDOWN),
        ("a.json/report.MarkDown", MARKDOWN),
        ("report.csv", CSV),
        ("report", MARKDOWN),
        ("v1.2/report", MARKDOWN),
        ("/dev/fd/63", MARKDOWN),
        (".csv", MARKDOWN),
        (os.fsdecode(b"caf\xe9.csv"), CSV),
    ],
)
def test_formats_of_a_report(path: str, expected: object) -> None:
    assert format_of(path, REPORT_FORMATS) is expected


@pytest.mark.parametrize("path", ["run.jsn", "run.json.gz", "run.xlsx", "run."])
def test_an_unknown_ending_lists_the_known(path: str) -> None:
    assert format_of("run.json", RUN_FORMATS) is format_of("run", RUN_FORMATS) is JSON
    with pytest.raises(InvalidParameters, match=r"\.json \(JSON.*\.csv \(CSV"):
        format_of(path, RUN_FORMATS)


def test_csv_has_the_rows_of_records() -> None:
    read = list(csv.DictReader(io.StringIO(CSV.render(Subject.of(RUNS)).decode(), newline="")))
    rows = [row for run in RUNS for row in records(run)]
    assert [row["reason"] for row in read] == ["", 'a "b", c\n=']
    assert {*read[0]} == {"document_sha256", *(key for row in rows for key in row)}
    assert list(read[0])[:4] == ["run_id", "created_at", "device", "benchmark"]
    for got, row in zip(read, rows, strict=True):
        assert float(got["bandwidth_bytes_per_second.median"]) == row["bandwidth_bytes_per_second.median"]
        assert got["verified"] in ("true", "false")


def test_csv_without_any_figure_has_a_header() -> None:
    assert CSV.render(Subject.of([document()])) == b"run_id,created_at,device\n"


def test_saved_runs(tmp_path: Path) -> None:
    import gpubench

    run = gpubench.RunDocument.of(RUNS[0])
    run.save(tmp_path / "run.json")
    run.save(tmp_path / "run.csv")
    assert decode_document((tmp_path / "run.json").read_bytes()) == RUNS[0]
    assert (tmp_path / "run.csv").read_bytes() == CSV.render(Subject.of([run]))
    with pytest.raises(InvalidParameters, match="html"):
        run.save(tmp_path / "run.html")
