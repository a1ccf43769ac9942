"""A PATH with ``gpubench`` as installed, and stand-ins for others' commands, which note their arguments."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import environment
from tests.running import PATIENCE_SECONDS

CONTRIB = Path(__file__).parents[2] / "contrib"


class Node:
    """A machine on which the scripts of contrib/ run."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.data, self.calls = folder / "bin", folder / "data", folder / "calls"
        self.folder = folder
        self.bin.mkdir()
        self.command("gpubench", f'exec {shlex.quote(sys.executable)} -m gpubench_client.cli "$@"')
        self.command("hostname", "echo node7")
        self.command("scontrol", "")

    def command(self, name: str, script: str) -> None:
        """Put a command on the PATH; its arguments are written down, one line for each call."""
        path = self.bin / name
        note = f'printf "%s" {name} >>{self.calls}; printf " <%s>" "$@" >>{self.calls}; echo >>{self.calls}'
        note = "" if name in ("gpubench", "hostname") else note
        path.write_text(f"#!/bin/sh\n{note}\n{script}\n")
        path.chmod(0o755)

    def run(self, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
        own = environment(
            PATH=f"{self.bin}:{os.environ['PATH']}", GPUBENCH_DATA_DIR=str(self.data), **changes
        )
        return subprocess.run(
            words,
            env=own,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def called(self, name: str) -> list[str]:
        if not self.calls.exists():
            return []
        return [line for line in self.calls.read_text().splitlines() if line.startswith(f"{name} ")]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)
