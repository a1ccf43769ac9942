"""What people install: the wheel, with nothing but the client's dependencies, and the source distribution."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 300.0


def files(*folders: str) -> set[str]:
    """Also what is new and not ignored: packages are built from the working tree."""
    listed = run("git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", *folders).stdout.split()
    return {name for name in listed if (ROOT / name).exists()}


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        timeout=PATIENCE_SECONDS,
        check=False,
        cwd="/",
    )


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, each built from this checkout."""
    folder = tmp_path_factory.mktemp("packages")
    built = run(sys.executable, "-m", "build", "--installer=pip", "--outdir", folder, ROOT)
    assert built.returncode == 0, built.stderr + built.stdout
    return folder


@pytest.fixture(scope="module")
def commands(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an installation without any extra."""
    folder = tmp_path_factory.mktemp("installed")
    assert run(sys.executable, "-m", "venv", folder).returncode == 0
    [wheel] = packages.glob("*.whl")
    installed = run(folder / "bin/python", "-m", "pip", "install", "--quiet", wheel)
    assert installed.returncode == 0, installed.stderr
    return folder / "bin"


def test_the_wheel_holds_every_file_of_the_packages(packages: Path) -> None:
    [wheel] = packages.glob("gpubench_memory-*.whl")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        name.removeprefix("server/").removeprefix("clients/")
        for name in files("gpubench", "server", "clients")
    }
    pages = {
        f"{wheel.name.split('-py3')[0]}.data/data/share/man/man1/{Path(name).name}"
        for name in files("docs/man")
    }
    assert len(pages) == 2
    assert inside == expected | pages


def test_the_sdist_is_the_checkout(packages: Path) -> None:
    [sdist] = packages.glob("gpubench_memory-*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert inside == files() | {"PKG-INFO"}


def test_without_extras_the_client_works(commands: Path) -> None:
    assert "1792.0 GB/s" in run(commands / "gpubench", "theory", "RTX 5090").stdout
    assert "triad" in run(commands / "gpubench", "benchmarks").stdout
    unreachable = run(commands / "gpubench", "run", "triad", "--server", "tcp://127.0.0.1:1")
    assert (unreachable.returncode, unreachable.stderr.count("\n")) == (4, 1)


def test_without_extras_what_a_local_run_needs_is_said_in_a_line(commands: Path) -> None:
    devices = run(commands / "gpubench", "devices")
    *runtimes, last = devices.stderr.splitlines()
    assert (len(runtimes), last) == (2, "gpubench: no device can be measured")
    for line in runtimes:
        assert "runtime is not installed" in line
        assert "in the checkout: " in line
    ran = run(commands / "gpubench", "run", "triad")
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert "pip install '.[opencl]'" in ran.stderr


def test_without_the_server_extra_it_is_named(commands: Path, tmp_path: Path) -> None:
    ran = run(commands / "gpubench-server", "--data-dir", tmp_path / "data")
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert "pip install '.[server]'" in ran.stderr


def test_without_the_server_extra_a_gateway_names_it(commands: Path, tmp_path: Path) -> None:
    """It serves without; only the file of its metrics needs it."""
    tokens = tmp_path / "tokens.json"
    assert run(commands / "gpubench-server", "token", "add", "alice", "--tokens", tokens).returncode == 0
    words = ["--listen", "tcp://127.0.0.1:0", "--core", f"unix://{tmp_path}/core.sock", "--tokens", tokens]
    words += ["--user", "nobody"] if os.geteuid() == 0 else []
    ran = run(commands / "gpubench-server", "gateway", *words, "--metrics-file", tmp_path / "gateway.prom")
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert "--metrics-file needs prometheus-client, which is not installed" in ran.stderr


def test_the_readme_program_imports_beside_the_checkout(tmp_path: Path) -> None:
    """A folder named gpubench beside a script must not stand before the package: people clone into one."""
    (tmp_path / "gpubench").symlink_to(ROOT)
    readme = (ROOT / "README.md").read_text()
    program = readme.partition("```python\n")[2].partition("```")[0]
    assert "from gpubench_client import Client" in program
    (tmp_path / "program.py").write_text(program.replace("7707", "1"))
    ran = run(sys.executable, tmp_path / "program.py")
    assert "Unreachable" in ran.stderr, ran.stderr
