"""Files that commands write: the right format, whole, never in the place of what is read, never lost."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from gpubench_client.cli.out_file import OutFile, open_out

from gpubench.errors import GpubenchError, InvalidParameters
from gpubench.report.formats import REPORT_FORMATS, RUN_FORMATS
from gpubench.report.subject import Subject
from gpubench.results.document import decode_document, encode_document
from tests.cli.command import GPUBENCH, gpubench
from tests.documents import document, measurement
from tests.running import PATIENCE_SECONDS

RUN = document(measurement(1500.0))


@pytest.fixture
def run_json(tmp_path: Path) -> Path:
    path = tmp_path / "run.json"
    path.write_bytes(encode_document(RUN))
    return path


def write(path: Path, last_resort: Callable[[bytes], None] = lambda data: None) -> None:
    OutFile(str(path), RUN_FORMATS).write(Subject.of([RUN]), last_resort)


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("before")
    with path.open() as opened_before:
        write(path)
        assert opened_before.read() == "before"  # a reader sees the old or the new, never a part
    assert decode_document(path.read_bytes()) == RUN
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_gone_loses_no_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, temporary = tmp_path / "runs", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    out = OutFile(str(folder / "run.json"), RUN_FORMATS)
    folder.rename(tmp_path / "moved away")
    with pytest.raises(GpubenchError, match="cannot be written: No such file") as raised:
        out.write(Subject.of([RUN]), pytest.fail)
    (saved,) = temporary.iterdir()
    assert f"it is in {saved} instead" in raised.value.message
    assert decode_document(saved.read_bytes()) == RUN

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no folder"))
    lost: list[bytes] = []
    with pytest.raises(GpubenchError, match="it is on stdout instead"):
        out.write(Subject.of([RUN]), lost.append)
    assert decode_document(lost[0]) == RUN


def test_a_report_that_cannot_be_written_is_on_stdout(run_json: Path, tmp_path: Path) -> None:
    limited = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *GPUBENCH, "report", str(run_json), "-o"]
    ran = subprocess.run(
        [*limited, tmp_path / "report.md"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (1, gpubench("report", str(run_json)).stdout)
    assert "it is on stdout instead" in ran.stderr
    assert list(tmp_path.iterdir()) == [run_json]


def test_the_default_permissions(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write(path)
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()), daemon=True)
    reader.start()
    write(path)
    reader.join(PATIENCE_SECONDS)
    assert decode_document(read[0]) == RUN
    assert path.is_fifo()


def _same(run: Path, other: Path) -> Path:
    return run


def _by_another_path(run: Path, other: Path) -> Path:
    return run.parent / ".." / run.parent.name / run.name


def _symbolic_link(run: Path, other: Path) -> Path:
    other.symlink_to(run)
    return other


def _hard_link(run: Path, other: Path) -> Path:
    other.hardlink_to(run)
    return other


@pytest.mark.parametrize("way", [_same, _by_another_path, _symbolic_link, _hard_link])
def test_no_output_over_the_input(way: Callable[[Path, Path], Path], run_json: Path, tmp_path: Path) -> None:
    run = run_json.rename(tmp_path / "run.md")  # an ending that a report may have
    before = run.read_bytes()
    target = way(run, tmp_path / "other.md")
    ran = gpubench("report", str(run), "-o", str(target))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"--out: {target} cannot be written: it is the file that is read" in ran.stderr
    assert run.read_bytes() == before


def test_no_output_over_standard_input(run_json: Path) -> None:
    run = run_json.rename(run_json.with_suffix(".md"))
    before = run.read_bytes()
    with run.open() as stdin:
        command = [*GPUBENCH, "report", "-", "-o", str(run)]
        ran = subprocess.run(command, stdin=stdin, capture_output=True, text=True, check=False)
    assert (ran.returncode, run.read_bytes()) == (2, before)
    assert "it is the file that is read as -" in ran.stderr


def test_a_suite_file_is_not_replaced(tmp_path: Path) -> None:
    suites = tmp_path / "suites.json"
    suites.write_text("")
    ran = gpubench("run", "--suite-file", str(suites), "--out", str(suites))
    assert (ran.returncode, suites.read_text()) == (2, "")


def test_the_ending_is_the_format(run_json: Path, tmp_path: Path) -> None:
    table = tmp_path / "report.CSV"
    ran = gpubench("report", str(run_json), "-o", str(table))
    assert ran.returncode == 0, ran.stderr
    header, row = table.read_text().splitlines()
    assert dict(zip(header.split(","), row.split(","), strict=True))["benchmark"] == "triad"


@pytest.mark.parametrize("command", ["report", "run"])
def test_an_unknown_ending_is_refused(command: str, run_json: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.htlm"
    ran = gpubench(command, str(run_json) if command == "report" else "triad", "--out", str(target))
    assert (ran.returncode, ran.stdout) == (2, "")
    formats = REPORT_FORMATS if command == "report" else RUN_FORMATS
    for each in formats:
        assert f"{each.endings[0]} ({each.name})" in ran.stderr
    assert list(tmp_path.iterdir()) == [run_json]


def test_a_dash_is_stdout(run_json: Path) -> None:
    assert open_out("-", REPORT_FORMATS) is None
    usual, dash = (gpubench("report", str(run_json), *more) for more in ([], ["-o", "-"]))
    assert (dash.returncode, dash.stdout) == (0, usual.stdout)


def test_a_second_file_is_refused(run_json: Path, tmp_path: Path) -> None:
    """Only the second would be written."""
    ran = gpubench("report", str(run_json), "-o", str(tmp_path / "a.md"), "--out", str(tmp_path / "b.html"))
    assert ran.returncode == 2
    assert "a.md was given before; only one file can be written at a time" in ran.stderr


def test_an_open_files_own_name(run_json: Path, tmp_path: Path) -> None:
    """What is redirected to a file must be found in that file, though it is a regular one."""
    with (tmp_path / "redirected.md").open("w+") as stdout:
        command = [*GPUBENCH, "report", str(run_json), "-o", "/dev/stdout"]
        subprocess.run(command, stdout=stdout, stderr=subprocess.DEVNULL, check=True)
        stdout.seek(0)
        assert stdout.read() == gpubench("report", str(run_json)).stdout


def test_every_command_that_writes_goes_through_one_place() -> None:
    """Looks for others: in the command line only this module and `export`, which adds files, write any."""
    folder = Path(sys.modules[OutFile.__module__].__file__ or "").parent
    writers = ("write_file", "write_bytes", "write_text", '"wb"', '"w"', "'w'")
    found = [path.name for path in folder.glob("*.py") if any(word in path.read_text() for word in writers)]
    assert sorted(found) == ["export.py", "out_file.py"]


def test_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameters, match="there is no folder"):
        OutFile(str(tmp_path / "none" / "run.json"), RUN_FORMATS)
