"""Arguments, names and paths of bytes that are not UTF-8."""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

import pytest
from gpubench_client.cli.command import Command
from gpubench_client.cli.commands import COMMANDS
from gpubench_client.cli.parser import parse

from gpubench.command_line import file_name
from gpubench.errors import InvalidParameters
from gpubench.results.document import decode_document, encode_document
from tests.cli.command import GPUBENCH, QUICK, environment, gpubench
from tests.documents import document, measurement
from tests.running import PATIENCE_SECONDS

BYTE = os.fsdecode(b"\xff")


def actions(command: Command) -> list[argparse.Action]:
    """The arguments of a command that have a value."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return [each for each in parser._actions if each.nargs != 0]


def filler(action: argparse.Action) -> str:
    """A word that the argument allows: the first of its choices, which its metavar lists in lower case."""
    metavar = str(action.metavar)
    return metavar.strip("{}").split(",")[0] if metavar.islower() else "x"


def words(command: Command, action: argparse.Action) -> list[str]:
    """A command line with the byte as this argument, and all else that must be there."""
    others = [each for each in actions(command) if not each.option_strings and each.dest != action.dest]
    needed = [filler(each) for each in others if each.nargs != "*"]
    if action.option_strings:
        return [command.name, *needed, action.option_strings[-1], BYTE]
    first = next(each.dest for each in actions(command) if not each.option_strings) == action.dest
    return [command.name, BYTE, *needed] if first else [command.name, *needed, BYTE]


ARGUMENTS = [(command, action) for command in COMMANDS for action in actions(command)]


@pytest.mark.parametrize(
    ("command", "action"), ARGUMENTS, ids=[f"{command.name}-{action.dest}" for command, action in ARGUMENTS]
)
@pytest.mark.parametrize("before", ["", "key="])
def test_every_argument_is_checked_or_the_name_of_a_file(
    command: Command, action: argparse.Action, before: str
) -> None:
    line = [word.replace(BYTE, before + BYTE) for word in words(command, action)]
    if action.type is file_name:
        found = getattr(parse(line)[1], action.dest)
        assert before + BYTE in found
        return
    with pytest.raises(InvalidParameters) as raised:
        parse(line)
    name = "/".join(action.option_strings) or action.metavar
    assert raised.value.message.startswith(f"{name}: ")
    raised.value.message.encode()


def test_files_are_any_bytes(tmp_path: Path, url: str) -> None:
    run, report = tmp_path / os.fsdecode(b"caf\xe9.json"), tmp_path / os.fsdecode(b"\xff.md")
    ran = gpubench("run", "triad", *QUICK, "--out", str(run), "--server", url)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.endswith("caf\\xe9.json\n")
    assert decode_document(run.read_bytes()).outcome == "ok"
    assert gpubench("report", str(run), "-o", str(report)).returncode == 0
    assert report.read_text().startswith("# ")


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_sides_are_folders_of_any_bytes(more: list[str], tmp_path: Path) -> None:
    sides = [tmp_path / os.fsdecode(name) for name in (b"before\xff", b"after\xff")]
    for side in sides:
        side.mkdir()
        (side / "1.json").write_bytes(encode_document(document(measurement(1500.0))))
        (side / os.fsdecode(b"\xff.json")).write_text("damaged")
    ran = gpubench("compare", *map(str, sides), "--baseline", str(sides[1]), *more)
    assert ran.returncode == 0, ran.stderr
    assert "after\\xff" in ran.stdout + ran.stderr


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    for command in (["report"], ["compare", str(tmp_path)], ["run", "--suite-file"]):
        ran = gpubench(*command, str(tmp_path / os.fsdecode(b"caf\xe9")))
        assert ran.returncode == 2
        assert "Traceback" not in ran.stderr


def test_a_home_of_any_bytes(tmp_path: Path) -> None:
    home = tmp_path / os.fsdecode(b"caf\xe9")
    home.mkdir()
    ran = gpubench("run", "triad", *QUICK, "--json", HOME=str(home))
    assert ran.returncode == 0, ran.stderr
    assert decode_document(ran.stdout).outcome == "ok"


def test_a_server_in_the_environment_is_named() -> None:
    ran = gpubench("devices", GPUBENCH_SERVER=f"tcp://{BYTE}")
    assert ran.returncode == 2
    assert ran.stderr.startswith("gpubench: GPUBENCH_SERVER: ")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_documents_and_suite_files_as_windows_writes_them(encoding: str, tmp_path: Path) -> None:
    run, suites = tmp_path / "run.json", tmp_path / "suites.toml"
    run.write_bytes(encode_document(document(measurement(1500.0))).decode().encode(encoding))
    ran = gpubench("report", str(run))
    assert ran.returncode == 0, ran.stderr
    piped = subprocess.run(
        [*GPUBENCH, "report", "-"],
        input=run.read_bytes(),
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        env=environment(),
        check=False,
    )
    assert piped.stdout.decode() == ran.stdout
    text = '[[suite]]\nname = "mine"\nsummary = "Größe"\nbenchmarks = [{ name = "traid" }]\n'
    suites.write_bytes(text.encode(encoding))
    refused = gpubench("run", "--suite-file", str(suites))
    assert refused.returncode == 2
    assert "triad" in refused.stderr
