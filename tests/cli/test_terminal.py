"""What a terminal shows."""

from __future__ import annotations

import os
import pty
import subprocess
import threading

from gpubench.results.document import decode_document
from tests.cli.command import COLOR, ESCAPE, GPUBENCH, QUICK, environment
from tests.running import PATIENCE_SECONDS


def on_a_terminal(*arguments: str, stdout: bool = False, **changes: str) -> tuple[int, str, str]:
    """Run with a terminal as stderr, or as both; the exit code, the terminal's text, and stdout's."""
    ours, theirs = pty.openpty()
    seen = bytearray()

    def watch() -> None:
        try:
            while data := os.read(ours, 65536):
                seen.extend(data)
        except OSError:  # on Linux, once the other side is closed
            pass

    watcher = threading.Thread(target=watch)
    process = subprocess.Popen(
        [*GPUBENCH, *arguments],
        stdin=theirs,
        stdout=theirs if stdout else subprocess.PIPE,
        stderr=theirs,
        env=environment(**{"TERM": "xterm-256color", "COLUMNS": "150", **changes}),
    )
    os.close(theirs)
    watcher.start()
    out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    watcher.join()
    os.close(ours)
    return process.returncode, seen.decode(), (out or b"").decode()


def test_a_terminal_gets_a_bar_with_the_live_figure(url: str) -> None:
    code, terminal, stdout = on_a_terminal(
        "run", "triad", *QUICK, "--time-limit=1", "--json", "--server", url
    )
    assert code == 0
    assert decode_document(stdout).outcome == "ok"
    assert "triad, measuring" in terminal
    assert "GB/s" in terminal
    assert "━" in terminal
    assert COLOR.search(terminal)
    assert "started" not in terminal
    assert terminal.rstrip().endswith(f"{ESCAPE}[2K")  # the bar is erased


def test_no_color_is_respected(url: str) -> None:
    code, terminal, _ = on_a_terminal("run", "triad", *QUICK, "--server", url, stdout=True, NO_COLOR="1")
    assert code == 0
    assert "triad, measuring" in terminal
    assert "GB/s" in terminal
    assert not COLOR.search(terminal)


def test_a_dumb_terminal_gets_lines(url: str) -> None:
    code, terminal, _ = on_a_terminal("run", "triad", *QUICK, "--json", "--server", url, TERM="dumb")
    assert code == 0
    assert "triad: started" in terminal
    assert ESCAPE not in terminal
