"""The Containerfile, as far as it can be checked without a machine for it; `make image-check` performs it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest
from gpubench_client.cli.parser import parse
from gpubench_server.configuration import configure

import gpubench.devices.cache_folder as cache_folder
from gpubench.devices.opencl import pocl

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # as for the program that performs it

from containerfile import Ignored, Stage, files, instructions, stages  # noqa: E402

TEXT = (ROOT / "Containerfile").read_text()
IGNORED = Ignored((ROOT / ".containerignore").read_text())
SERVER = ROOT / "contrib/container/server.toml"


@pytest.fixture(scope="module")
def image() -> Stage:
    return stages(TEXT, {})[-1]


def options() -> argparse.Namespace:
    return configure(["--config", str(SERVER)], {}).options


def test_it_runs_as_a_numbered_user_that_is_not_root(image: Stage) -> None:
    user, group = image.last("USER").text.split(":")
    assert int(user) > 0 < int(group)
    assert image.instructions.index(image.last("USER")) > image.instructions.index(image.last("RUN"))
    (made,) = image.all("RUN")
    assert f"groupadd --gid {group} " in made.text
    assert f"useradd --uid {user} --gid {group} --home-dir {image.environment['HOME']} " in made.text


def test_its_bases_are_named_with_a_release() -> None:
    for stage in stages(TEXT, {}):
        name, _, tag = stage.base.partition(":")
        assert name.startswith("docker.io/library/")
        assert tag not in ("", "latest")
    assert {stage.base for stage in stages(TEXT, {"BASE": "other/debian:sid-slim"})} == {
        "other/debian:sid-slim"
    }


def test_what_it_copies_is_there() -> None:
    found = stages(TEXT, {})
    names = {stage.name for stage in found}
    for stage in found:
        for each in stage.all("COPY"):
            if "from" in each.option:
                assert each.option["from"] in names
                continue
            for source in each.arguments[:-1]:
                assert files(ROOT, IGNORED, source)


def test_the_context_has_the_package_and_no_more() -> None:
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=True)
    tracked = [name for name in listed.stdout.splitlines() if not IGNORED(name)]
    assert {name.partition("/")[0] for name in tracked} == {
        *("pyproject.toml", "README.md", "LICENSE", "gpubench", "server", "clients", "docs", "contrib")
    }
    for left_out in (".git/config", "tests/running.py", "gpubench/__pycache__/x.pyc", "docs/check.md"):
        assert IGNORED(left_out)
    sources = [source for each in stages(TEXT, {})[0].all("COPY") for source in each.arguments[:-1]]
    copied = {name for source in sources for name in files(ROOT, IGNORED, source)}
    package = ("gpubench/", "server/", "clients/", "docs/man/", "pyproject.toml")
    assert {name for name in tracked if name.startswith(package)} <= copied


def test_its_server_writes_into_the_volume_alone(image: Stage) -> None:
    (volume,) = image.last("VOLUME").words
    assert image.environment["GPUBENCH_SERVER_CONFIG"] == image.all("COPY")[-1].arguments[-1]
    assert str(options().data_dir) == volume == image.environment["HOME"] == image.last("WORKDIR").text
    assert Path(image.environment[cache_folder.VARIABLE]).parent == Path(volume)
    assert options().listen[1].startswith(f"unix://{volume}/")
    assert not options().insecure


def test_its_health_check_asks_its_server(image: Stage) -> None:
    program, *words = image.last("HEALTHCHECK").command
    assert program == "gpubench"
    command, args = parse(words)
    assert (command.name, args.server) == ("status", options().listen[1])


def test_nvidia_devices_and_capabilities_are_requested(image: Stage) -> None:
    assert image.environment["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert image.environment["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
    assert image.last("ENTRYPOINT").words == ["gpubench-server"]


def test_it_installs_what_pocl_needs(image: Stage) -> None:
    (installed,) = image.all("RUN")
    assert len(pocl._NEEDED) == 2
    for package in ("binutils", "libgcc-14-dev", "libc6-dev"):
        assert f" {package} " in installed.text


def test_continued_lines_and_comments_are_read() -> None:
    (each,) = instructions("# one\nRUN a \\\n# two\n\n  && b\n")
    assert (each.word, each.text.split(), each.line) == ("RUN", ["a", "&&", "b"], 2)
