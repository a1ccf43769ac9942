"""Systems that cannot measure: what works there, and one clear message where something does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

ELSEWHERE = """
import sys

for name in ("fcntl", "resource"):
    sys.modules[name] = None
import os
del os.sched_getaffinity
sys.platform = "{platform}"
{then}
"""


def elsewhere(platform: str, then: str) -> subprocess.CompletedProcess[str]:
    """Of a process that finds itself on another system, without what only Linux has."""
    text = ELSEWHERE.format(platform=platform, then=then)
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)


@pytest.mark.parametrize("module", ["gpubench.devices.host"])
def test_the_import_of_what_needs_linux_says_so(module: str) -> None:
    then = f"""
from gpubench.errors import MissingDependency
try:
    import {module}
except MissingDependency as error:
    print(error)
"""
    for platform, said in (("darwin", "macOS has no driver"), ("freebsd14", "not supported")):
        done = elsewhere(platform, then)
        assert done.stderr == ""
        assert f"under Linux only ({platform} here)" in done.stdout
        assert said in done.stdout


COMMAND = """
sys.argv = ["gpubench", {arguments}]
from gpubench_client.cli.main import main
sys.exit(main())
"""


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return elsewhere("darwin", COMMAND.format(arguments=", ".join(map(repr, arguments))))


def test_theory_and_the_client_work_on_any_system() -> None:
    assert "1792" in command("theory", "5090").stdout
    # Nobody listens there: it was tried.
    done = command("run", "copy", "--server", "tcp://127.0.0.1:1")
    assert done.returncode == 4, done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_on_another_system_is_refused_in_a_sentence() -> None:
    done = command("run", "copy")
    assert done.returncode != 0
    assert "under Linux only (darwin here)" in done.stderr
    assert "Traceback" not in done.stderr
