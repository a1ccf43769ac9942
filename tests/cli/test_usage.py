"""Usage errors: one line that names what was written, what is allowed and the remedy; exit code 2."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from gpubench_client.cli import arguments
from gpubench_client.cli.commands import COMMANDS
from gpubench_client.cli.main import main

import gpubench as library
from gpubench.benchmarks.parameters import Parameters
from gpubench.protocol.messages import ResultsParams, RunParams
from gpubench.requests import Labels
from gpubench.results.document import encode_document
from tests.cli.command import PIN, environment, gpubench
from tests.documents import document, measurement

WRONG_PARAMETERS = [
    (["run", "nope"], "no benchmark or suite 'nope'; allowed: benchmarks copy"),
    (["run", "traid"], "no benchmark or suite 'traid'; did you mean triad? `gpubench benchmarks` lists all"),
    (["run", "Helth"], "did you mean health?"),
    (["run", "triad,copyy"], "no benchmark or suite 'copyy'; did you mean copy?"),
    (["run", ""], "must have at least 1 character"),
    (["run", *["triad"] * 65], "BENCHMARK: must have at most 64 values"),
    (["run", *["full"] * 4], "BENCHMARK: 88 benchmarks in one run; allowed: 64"),
    (["run", "triad", "--set=nope=1"], "--set nope=1: triad has no parameter 'nope'; allowed: foot"),
    (["run", "triad", "--set=dtpye=float"], "triad has no parameter 'dtpye'; did you mean dtype?"),
    (["run", "triad", "--set=a b=1"], "--set a b=1: triad has no parameter 'a b'; allowed"),
    (["run", "full", "--set=dtype=float"], "--set dtype=float: mix has no parameter 'dtype'"),
    (["run", "triad", "--set=dtype=half"], "triad: 'half' is not allowed; allowed: float, double"),
    (["run", "triad", "--set=dtype=flaot"], "dtype=flaot: triad: 'flaot' is not allowed; did you mean float"),
    (["run", "triad", "--set=dtype=FLOAT"], "did you mean float?"),
    (["run", "triad", "--set=unroll=3"], "--set unroll=3: triad: 3 is not allowed; allowed: 1, 2, 4"),
    (["run", "triad", "--set=unroll=x"], "must be a whole number, not text; allowed: 1, 2, 4"),
    (["run", "triad", "--set=streaming_stores=yes"], "must be true or false, not text"),
    (["run", "triad", "--set=footprint_bytes=1"], "--set footprint_bytes=1: triad: must be at least 1 MiB"),
    (["run", "triad", "--set=footprint_bytes=1.5"], "must be a whole number of bytes, not a number"),
    (["run", "triad", "--set=time_limit_seconds=1h"], "triad: must be at most 600 s"),
    (["run", "triad", "--set=target_ratio=0.9"], "--set target_ratio=0.9: triad: must be at most 0.5"),
    (["run", "triad", "--set=seed=4294967296"], "must be at most 4294967295"),
    (["run", "triad", "--set=samples=5"], "--set samples=5: triad: samples is only for stop=count"),
    (["run", "integrity", "--set=patterns=random"], "must be a list such as '[\"x\"]', not text; allowed"),
    (["run", "integrity", '--set=patterns=["rnadom"]'], "'rnadom' is not allowed; did you mean random?"),
    (["run", "integrity", "--set=patterns=[]"], "must have at least 1 value; allowed: address"),
    (["run", "triad", "--key="], "--key: must have at least 1 character"),
    (["run", "triad", f"--key={'x' * 200}"], "--key: must have at most 128 characters"),
    (["run", "triad", "--device="], "--device: must have at least 1 character"),
    (["run", "triad", "--device=nope"], "--device: no device 'nope'; allowed: opencl:"),
]  # fmt: skip
"""Found by the library, or by a server: in the words of the wire, which the command line translates."""


def one_line(streams: tuple[str, str]) -> str:
    out, err = streams
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("gpubench: ")
    assert "$." not in line
    assert "parameters." not in line
    return line


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        *WRONG_PARAMETERS,
        (["run"], "name a benchmark or a suite"),
        (["run", "triad", "--set=dtype"], "--set dtype: write NAME=VALUE"),
        (["run", "triad", "dtype=float"], "'dtype=float' sets a parameter; write --set dtype=float"),
        (["run", "triad", "--dtype", "float"], "unknown option --dtype; write --set dtype=VALUE;"),
        (["run", "triad", "--target-ratio=1"], "--target-ratio; write --set target_ratio=VALUE;"),
        (["explain", "unstabel"], "verdict or code 'unstabel'; did you mean unstable?"),
        (["explain"], "required: WORD; `gpubench explain --help`"),
        (["completion", "bahs"], "SHELL: 'bahs' is not allowed; did you mean bash?"),
        (["help", "rnu"], "no command 'rnu'; did you mean run?"),
        (["run", "triad", "--set=footprint_bytes=64XB"], "'64XB' is not a valid size"),
        (["run", "triad", "--footprint=-1"], "--footprint: '-1' is not a valid size; allowed"),
        (["run", "triad", "--footprint=nan"], "write 256MiB or 2GB"),
        (["run", "triad", "--footprint=1"], "--footprint: '1' is 1 B; allowed: 1 MiB to 64 TiB"),
        (["run", "triad", "--time-limit=0"], "--time-limit: '0' is 0 s; allowed: more than 0 to 600 s"),
        (["run", "triad", "--time-limit=20m"], "'20m' is 1200 s; allowed: more than 0 to 600 s"),
        (["run", "triad", "--time-limit=soon"], "--time-limit: 'soon' is not a valid duration; allowed"),
        (["run", "triad", "--deadline=2d"], "--deadline: '2d' is 172800 s; allowed: more than 0 to 86400 s"),
        (["run", "triad", "--wait=1e9"], "--wait: '1e9' is 1e+09 s; allowed: 0 to 86400 s"),
        (["run", "triad", "--bus-width=wide"], "--bus-width: 'wide' is not a valid bus width; allowed: 8 to"),
        (["run", "triad", "--memory=ddr5-4800"], "--memory and --bus-width go together"),
        (["run", "triad", "--bus-width=128"], "--memory and --bus-width go together"),
        (["run", "triad", "--memory=ddr9-1", "--bus-width=128"], "--memory: no memory technology 'ddr9-1'"),
        (["run", "triad", "--memory=gddr7-99", "--bus-width=128"], "did you mean gddr7-"),
        (["run", "triad", "--runtime=openc"], "--runtime: 'openc' is not allowed; did you mean opencl?"),
        (["run", "triad", "--detach"], "--detach needs a server; add --server"),
        (["run", "triad", "--detach", "--out=x", "--server=tcp://h"], "--out: with --detach"),
        (["run", "triad", "--footprnt", "64M"], "unknown option --footprnt; did you mean --footprint?"),
        (["run", "triad", "--deadline"], "--deadline: expected one argument"),
        (["run", "triad", "--repeat=0"], "--repeat: '0' is not a valid count; allowed: 1 to 1000; write 5"),
        (["run", "triad", "--repeat=2", "--out=run.json"], "--out: run.json is one file for 2 runs; name a"),
        (["run", "triad", "--repeat=2", "--out=/dev/null"], "--out: /dev/null is one file for 2 runs"),
        (["run", "triad", "--repeat=2", "--key=k"], "--repeat: one --key gives one run, however often"),
        (["run", "triad", "--repeat=2", "--detach"], "--repeat: with --detach nothing is waited for"),
        (["run", "triad", "--label=node"], "--label: 'node' is not a label; write KEY=VALUE, such as node="),
        (["run", "triad", "--label=7=x"], "--label: '7=x' is not a label"),
        (["run", "triad", f"--label=a={'x' * 257}"], "the value of a has 257 characters; allowed: 256"),
        (["run", "triad", "--label=a=1", "--label=a=2"], "--label: a is given more than once; give each key"),
        (["run", "triad", *(f"--label=a{n}=1" for n in range(17))], "--label: 17 labels; allowed: 16"),
        (["result", "abc"], "`gpubench result` needs a server; add --server tcp://HOST"),
        (["result"], "required: RUN_ID; `gpubench result --help` describes them"),
        (["devices", "--server=nonsense"], "--server: 'nonsense' is not a server address; did you mean tcp:"),
        (["devices", "--server=tcp://h", "--runtime=opencl"], "--runtime is only for this machine"),
        (["devices", "all"], "unexpected argument 'all'"),
        (["theory", "no such board"], "no board 'no such board'"),
        (["theory", "RTX 5009"], "did you mean NVIDIA GeForce RTX 5090"),
        (["theory", "gddr7-32"], "--bus-width"),
        (["theory", "gddr7-32", "--bus-width=-1"], "'-1' is not a valid bus width; allowed: 8 to 65536 bits"),
        (["theory", "RTX 5090", "--bus-width=512"], "leave the bus width out"),
        (["report", "/nonexistent.json"], "cannot be read"),
        (["report", "/dev"], "/dev has no *.json in it"),
        (["compare", "/nonexistent", "/"], "cannot be read"),
        (["compare", "/dev", "/"], "no *.json in it"),
        ([], "no command; allowed: devices, benchmarks, run"),
        (["nope"], "no command 'nope'; allowed: devices, benchmarks, run"),
        (["rnu"], "no command 'rnu'; did you mean run?"),
        (["Benchmark"], "did you mean benchmarks?"),
        (["triad"], "triad is not a command but a benchmark; write `gpubench run triad`"),
        (["--nope"], "unknown option --nope"),
        (["--server=tcp://h", "devices"], "unknown option --server; a command's options stand after"),
    ],
)  # fmt: skip
def test_a_usage_error_is_one_line(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GPUBENCH_SERVER", raising=False)
    assert main(arguments) == 2
    assert text in one_line(capsys.readouterr())


@pytest.mark.parametrize(("arguments", "text"), WRONG_PARAMETERS)
def test_a_servers_errors_read_the_same(
    arguments: list[str], text: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--server", url]) == 2
    assert text in one_line(capsys.readouterr())


def test_a_key_in_use_names_the_option(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--server", url, "--key=in use", "--detach", "-q", *PIN, "--footprint=16M"]
    assert main(["run", "triad", *common]) == 0
    capsys.readouterr()
    assert main(["run", "copy", *common]) == 2
    assert "--key: the key 'in use' belongs to run" in one_line(capsys.readouterr())


def test_ranges_of_options_are_those_of_the_library() -> None:
    """The options check before anything is loaded, so they repeat the bounds."""

    def bounds(struct: type[msgspec.Struct], name: str) -> tuple[float, float]:
        schemas = msgspec.json.schema(struct)["$defs"]
        property_ = schemas[struct.__name__]["properties"][name]
        (schema,) = [each for each in property_.get("anyOf", [property_]) if "maximum" in each]
        return schema.get("minimum", schema.get("exclusiveMinimum")), schema["maximum"]

    footprint = (arguments.MIN_FOOTPRINT_BYTES, arguments.MAX_FOOTPRINT_BYTES)
    assert bounds(Parameters, "footprint_bytes") == footprint
    assert bounds(Parameters, "time_limit_seconds") == (0, arguments.MAX_TIME_LIMIT_SECONDS)
    assert bounds(RunParams, "deadline_seconds") == (0, arguments.MAX_DEADLINE_SECONDS)
    assert bounds(ResultsParams, "limit") == (1, arguments.MAX_LISTED)
    schema = msgspec.json.schema(RunParams)["$defs"]["StatedMemory"]["properties"]["bus_width_bits"]
    assert (schema["minimum"], schema["maximum"]) == (
        arguments.MIN_BUS_WIDTH_BITS,
        arguments.MAX_BUS_WIDTH_BITS,
    )


def test_labels_that_the_option_takes_are_those_of_the_library() -> None:
    """The option checks before anything is loaded, so it repeats the bounds."""
    for text in ("node=rack7-n12", "a.b-c_d=", "_=ä b=c", f"{'k' * 63}=x", f"k={'v' * 256}"):
        key, value = arguments.label(text)
        assert msgspec.convert({key: value}, Labels) == {key: value}
    for key in ("", "7", "-a", ".a", "a b", "ä", "k" * 64):
        with pytest.raises(argparse.ArgumentTypeError):
            arguments.label(f"{key}=x")
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({key: "x"}, Labels)
    many = {f"k{number}": "" for number in range(arguments.MAX_LABELS)}
    assert msgspec.convert(many, Labels) == many
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**many, "one_more": ""}, Labels)


def test_usual_spellings_are_understood(url: str) -> None:
    """Upper case, sizes as for dd, durations as for sleep, options between names, units in --set."""
    arguments = ["TRIAD", "--footprint=16M", "Read", "--time-limit", "50ms", "--runtime=OPENCL"]
    ran = gpubench("run", *arguments, "--set=window_seconds=1s", "--json")
    assert "triad has no parameter 'window_seconds'" in ran.stderr
    ran = gpubench(
        "run", *arguments[:-1], *PIN, "--set=samples=2", "--set=stop=count", "--json", "--server", url
    )
    assert ran.returncode == 0, ran.stderr
    measurements = json.loads(ran.stdout)["measurements"]
    assert [each["benchmark"] for each in measurements] == ["triad", "read"]
    assert {each["parameters"]["footprint_bytes"] for each in measurements} == {16 << 20}
    assert {each["parameters"]["time_limit_seconds"] for each in measurements} == {0.05}


@pytest.mark.parametrize(("before", "after"), [(["-q"], []), ([], ["-q"]), (["--quiet"], ["-q"]), ([], [])])
def test_quiet_before_and_after_the_command(before: list[str], after: list[str], tmp_path: Path) -> None:
    run, report = tmp_path / "run.json", tmp_path / "report.md"
    run.write_bytes(encode_document(document(measurement(1500.0))))
    ran = gpubench(*before, "report", str(run), *after, "--out", str(report))
    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr == ("" if before or after else f"wrote {report}\n")
    assert report.exists()


@pytest.mark.parametrize(
    ("stdin", "text"), [("", "not a run document"), ("{}", "run_id"), ("\x00", "not a run document")]
)
def test_what_is_not_a_run_document(stdin: str, text: str) -> None:
    ran = gpubench("report", "-", stdin=stdin)
    assert ran.returncode == 2
    assert text in one_line((ran.stdout, ran.stderr))


@pytest.mark.parametrize("command", ["report", "compare"])
def test_a_newer_document_is_named_by_its_file(command: str, tmp_path: Path) -> None:
    newer, mine = tmp_path / "newer.json", tmp_path / "mine.json"
    newer.write_text('{"schema": 99, "run_id": "r"}')
    mine.write_bytes(encode_document(document()))
    ran = gpubench(command, str(mine), str(newer))
    assert (ran.returncode, ran.stdout) == (2, "")
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"gpubench: {newer} has version 99")
    assert "this program reads only versions 1 to 2; upgrade gpubench" in line


def test_an_unreachable_server_is_exit_code_4() -> None:
    for words in (["devices"], ["benchmarks"], ["run", "triad"], ["result", "x"]):
        ran = gpubench(*words, GPUBENCH_SERVER="tcp://127.0.0.1:1")
        assert ran.returncode == 4
        assert "no server answers at tcp://127.0.0.1:1" in one_line((ran.stdout, ran.stderr))


def test_an_unknown_run_names_the_argument(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["result", "nope", "--server", url]) == 2
    assert "RUN_ID: the server has no run 'nope'" in one_line(capsys.readouterr())


def test_help_and_version() -> None:
    assert gpubench("--version").stdout == f"gpubench {library.__version__}\n"
    ran = gpubench("--help")
    assert ran.returncode == 0
    assert all(f"  {command.name} " in ran.stdout for command in COMMANDS)
    for command in COMMANDS:
        ran = gpubench(command.name, "--help")
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout.startswith(f"usage: gpubench {command.name} ")


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


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_help_imports_only_what_it_needs(arguments: list[str]) -> None:
    python = "import argparse; argparse.ArgumentParser().print_help()"
    loaded = modules("-m", "gpubench_client.cli", *arguments)
    assert "argparse" in loaded
    # In Python 3.14, argparse itself imports dataclasses.
    assert not (loaded - modules("-c", python)) & {
        "msgspec",
        "rich",
        "numpy",
        "socket",
        "subprocess",
        "dataclasses",
        "tomllib",
        "asyncio",
        "difflib",
    }


def test_control_characters_do_not_reach_the_terminal() -> None:
    ran = gpubench("report", "run\x1b[2J\n.json")
    assert ran.returncode == 2
    assert ran.stderr == "gpubench: run [2J .json cannot be read: No such file or directory\n"


def test_help_says_what_a_time_limit_limits() -> None:
    """Each point of a curve, not a whole benchmark."""
    text = " ".join(gpubench("run", "--help").stdout.split())
    assert "--time-limit TIME sampling time of each figure, so of each point of a curve" in text
