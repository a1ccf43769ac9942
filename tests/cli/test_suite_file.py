"""``gpubench run --suite-file``: a user's own suites, also on a server that does not have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from gpubench_client.cli.main import main

from gpubench.results.document import decode_document
from tests.cli.command import PIN, gpubench
from tests.running import MIB

SUITES = f"""
[[suite]]
name = "mine"
[[suite.benchmarks]]
name = "triad"
parameters = {{ dtype = "float", footprint_bytes = {16 * MIB} }}
[[suite.benchmarks]]
name = "read"
parameters = {{ footprint_bytes = {8 * MIB} }}
[[suite]]
name = "other"
[[suite.benchmarks]]
name = "write"
"""


@pytest.fixture
def suites(tmp_path: Path) -> str:
    path = tmp_path / "my.toml"
    path.write_text(SUITES)
    return str(path)


def test_a_suite_of_the_file_by_name(suites: str, url: str) -> None:
    ran = gpubench(
        "run", "mine", "copy", "--suite-file", suites, *PIN, "--time-limit=0.05", "--server", url, "--json"
    )
    document = decode_document(ran.stdout)
    assert ran.returncode == 0, ran.stderr
    assert [m.benchmark for m in document.measurements] == ["triad", "read", "copy"]
    triad, read, copy = document.measurements
    assert (triad.parameters["dtype"], triad.parameters["footprint_bytes"]) == ("float", 16 * MIB)
    assert (read.parameters["dtype"], read.parameters["footprint_bytes"]) == ("double", 8 * MIB)
    assert copy.parameters["footprint_bytes"] is None
    assert {m.parameters["time_limit_seconds"] for m in document.measurements} == {0.05}


def test_without_names_the_whole_file_runs(suites: str) -> None:
    ran = gpubench("run", "--suite-file", suites, *PIN, "--footprint=4MiB", "--time-limit=0.05", "--json")
    document = decode_document(ran.stdout)
    assert [m.benchmark for m in document.measurements] == ["triad", "read", "write"]
    assert {m.parameters["footprint_bytes"] for m in document.measurements} == {4 * MIB}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            SUITES.replace("float", "half"),
            "suite[0].benchmarks[0].parameters.dtype: triad: 'half' is not allowed; allowed: float",
        ),
        (
            SUITES.replace("dtype", "type"),
            "suite[0].benchmarks[0].parameters.type: triad has no parameter 'type'; did you mean dtype?",
        ),
        (
            SUITES.replace('"write"', '"wriet"'),
            "suite[1].benchmarks[0].name: no benchmark or suite 'wriet'; did you mean write?",
        ),
        (SUITES.replace('"other"', "other"), "line 11"),
        ("", "no suite in it"),
        ("\xff", "not UTF-8 at byte 0"),
    ],
)
def test_an_error_names_the_file_and_the_place_in_it(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GPUBENCH_SERVER", raising=False)
    path = tmp_path / "my.toml"
    path.write_text(text, encoding="latin-1")
    assert main(["run", "--suite-file", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{path}: " in line
    assert said in line
    assert "$.params" not in line


def test_an_error_of_a_server_names_the_place_too(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my.toml"
    path.write_text(SUITES.replace("float", "half"))
    for detach in ([], ["--detach"]):
        assert main(["run", "--suite-file", str(path), "--server", url, *detach]) == 2
        assert "my.toml: suite[0].benchmarks[0].parameters.dtype: " in capsys.readouterr().err


def test_a_file_that_cannot_be_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name, said in (("nowhere.toml", "No such file"), (".", "Is a directory"), ("/dev/zero", "1 MiB")):
        assert main(["run", "--suite-file", str(tmp_path / name)]) == 2
        assert said in capsys.readouterr().err


def test_an_error_in_an_option_names_the_option(suites: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also if the benchmark comes from the file, whose own value it replaces."""
    assert main(["run", "--suite-file", suites, "--set=dtype=half"]) == 2
    assert "gpubench: --set dtype=half: triad: 'half' is not allowed" in capsys.readouterr().err
