"""Exit codes, whatever became of the standard streams."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.command import environment
from tests.running import PATIENCE_SECONDS

CLIENT, SERVER, BUILD = "gpubench_client.cli", "gpubench_server", "gpubench.devices.cuda.build_pycuda"
ANSWERED = [
    (CLIENT, "--version"),
    (CLIENT, "--help"),
    (CLIENT, "theory", "RTX 5090"),
    (SERVER, "--version"),
    (SERVER, "--help"),
    (BUILD, "--help"),
]
WRONG = [
    (CLIENT, "traid"),
    (CLIENT, "theory", "no such board"),
    (CLIENT, "report", "/nowhere"),
    (SERVER, "--nonsense"),
    (BUILD,),
]


def exit_code(command: tuple[str, ...], redirection: str) -> int:
    """Of ``python -m command`` in a shell; without PYTHONUNBUFFERED, which hides unwritten output."""
    variables = {name: value for name, value in environment().items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=variables,
        timeout=PATIENCE_SECONDS,
        check=False,
    ).returncode


@pytest.mark.parametrize("redirection", ["2>/dev/full", ">&-", "2>&-", "<&- >&- 2>&-", "| true"])
@pytest.mark.parametrize("command", ANSWERED)
def test_an_answer_needs_no_other_stream(command: tuple[str, ...], redirection: str) -> None:
    assert exit_code(command, redirection) == 0


@pytest.mark.parametrize("redirection", [">/dev/full", ">/dev/full 2>&1", ">/dev/full 2>&-"])
@pytest.mark.parametrize("command", ANSWERED)
def test_an_answer_that_is_lost_is_a_failure(command: tuple[str, ...], redirection: str) -> None:
    assert exit_code(command, redirection) == 1


@pytest.mark.parametrize("redirection", ["2>/dev/full", ">/dev/full 2>&1", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", WRONG)
def test_a_mistake_is_one_whoever_reads_of_it(command: tuple[str, ...], redirection: str) -> None:
    assert exit_code(command, redirection) == 2
