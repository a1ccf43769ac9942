"""What is wrong with a command line is said in one line, with what is allowed, and exit code 2."""

from __future__ import annotations

import subprocess
import sys

import pytest
from gpubench_client.cli.commands import COMMANDS
from gpubench_client.cli.main import main

import gpubench as library
from tests.cli.command import environment, gpubench


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "name a benchmark or a suite"),
        (["run", "nope"], "allowed: benchmarks copy"),
        (["run", "triad", "--set=nope=1"], "allowed: footprint_bytes"),
        (["run", "triad", "--set=dtype=half"], "allowed: float, double"),
        (["run", "triad", "--set=dtype"], "NAME=VALUE"),
        (["run", "triad", "--set=unroll=3"], "parameters.unroll"),
        (["run", "triad", "--footprint=-1"], "write 256MiB or 2GB"),
        (["run", "triad", "--footprint=nan"], "write 256MiB or 2GB"),
        (["run", "triad", "--footprint=1"], "footprint_bytes"),
        (["run", "triad", "--time-limit=0"], "time_limit_seconds"),
        (["run", "triad", "--deadline=0"], "deadline_seconds"),
        (["run", "triad", "--memory=ddr5-4800"], "--memory and --bus-width go together"),
        (["run", "triad", "--bus-width=128"], "--memory and --bus-width go together"),
        (["run", "triad", "--memory=ddr9-1", "--bus-width=128"], "ddr9-1"),
        (["run", "triad", "--detach"], "--server"),
        (["result", "abc"], "GPUBENCH_SERVER"),
        (["devices", "--server=nonsense"], "did you mean tcp://nonsense"),
        (["devices", "--server=tcp://h", "--runtime=opencl"], "--runtime is for this machine"),
        (["theory", "no such board"], "no board"),
        (["theory", "gddr7-32"], "--bus-width"),
        (["theory", "gddr7-32", "--bus-width=-1"], "8 to 65536"),
        (["theory", "RTX 5090", "--bus-width=512"], "leave the bus width out"),
        (["report", "/nonexistent.json"], "cannot be read"),
        (["report", "/"], "cannot be read"),
        (["compare", "/nonexistent", "/"], "cannot be read"),
        (["compare", "/dev", "/"], "no *.json in it"),
    ],
)
def test_usage(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GPUBENCH_SERVER", raising=False)
    assert main(arguments) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    (line,) = streams.err.splitlines()
    assert line.startswith("gpubench: ")
    assert said in line


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nope"],
        ["run", "triad", "--deadline=soon"],
        ["run", "triad", "--bus-width=wide"],
        ["--nope"],
    ],
)
def test_what_the_parser_refuses(arguments: list[str]) -> None:
    ran = gpubench(*arguments)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert "usage: gpubench" in ran.stderr


@pytest.mark.parametrize(
    ("text", "said"), [("", "no run document"), ("{}", "run_id"), ("\x00", "no run document")]
)
def test_what_is_no_run_document(text: str, said: str) -> None:
    ran = gpubench("report", "-", stdin=text)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert said in line


def test_nobody_at_the_server_is_exit_code_4() -> None:
    for arguments in (["devices"], ["benchmarks"], ["run", "triad"], ["result", "x"]):
        ran = gpubench(*arguments, GPUBENCH_SERVER="tcp://127.0.0.1:1")
        assert ran.returncode == 4
        assert ran.stdout == ""
        (line,) = ran.stderr.splitlines()
        assert "no server answers at tcp://127.0.0.1:1" in line


def test_help_and_version() -> None:
    assert gpubench("--version").stdout == f"gpubench {library.__version__}\n"
    ran = gpubench("--help")
    assert ran.returncode == 0
    assert all(f"  {command.name} " in ran.stdout for command in COMMANDS)
    for command in COMMANDS:
        assert gpubench(command.name, "--help").returncode == 0


def modules(*arguments: str) -> set[str]:
    """What a Python with these arguments imports."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    return {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}


def test_help_loads_nothing_that_it_does_not_need() -> None:
    python = "import argparse; argparse.ArgumentParser().print_help()"
    loaded = modules("-m", "gpubench_client.cli", "--help")
    assert "argparse" in loaded
    # Of Python 3.14, argparse itself loads dataclasses.
    assert not (loaded - modules("-c", python)) & {
        "msgspec",
        "rich",
        "numpy",
        "socket",
        "subprocess",
        "dataclasses",
        "tomllib",
        "asyncio",
    }


def test_no_words_from_elsewhere_steer_the_terminal() -> None:
    ran = gpubench("report", "run\x1b[2J\n.json")
    assert ran.returncode == 2
    assert ran.stderr == "gpubench: run [2J .json cannot be read: No such file or directory\n"


def test_help_says_what_a_time_limit_limits() -> None:
    """Each point of a curve, not a whole benchmark."""
    text = " ".join(gpubench("run", "--help").stdout.split())
    assert "--time-limit SECONDS sampling time of each figure, so of each point of a curve, up to 600" in text
