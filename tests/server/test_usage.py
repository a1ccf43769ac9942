"""Usage errors of the server: one line, exit code 2, and nothing was started."""

from __future__ import annotations

import pytest
from gpubench_server.cli import main


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--lisen", "x"], "unknown option --lisen; did you mean --listen?"),
        (["--runtime", "cud"], "--runtime: 'cud' is not allowed; did you mean cuda? allowed: auto, cuda"),
        (["--log-level", "loud"], "--log-level: 'loud' is not allowed; allowed: debug, info"),
        (["--limit"], "--limit: expected one argument"),
        (["start"], "unexpected argument 'start'"),
        (["chek-config"], "unexpected argument 'chek-config'; did you mean check-config? commands: token, "),
        (["--limit", "idle_second=1"], "unknown limit 'idle_second'; did you mean idle_seconds? allowed: "),
        (["--log-format", "xml"], "--log-format: 'xml' is not allowed; allowed: text, json"),
    ],
)
def test_a_usage_error_is_one_line(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    [line] = err.splitlines()
    assert line.startswith("gpubench-server: ")
    assert text in line
