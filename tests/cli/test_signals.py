"""Ends of ``gpubench run`` other than its own: what was measured is kept, and the terminal stays usable."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from signal import Signals

import pytest

from gpubench.executor.messages import Probe
from gpubench.executor.worker_process import WorkerProcess
from gpubench.results.document import RunDocument, decode_document
from gpubench.signals import HANDLED, SIGNALS, Reaction
from tests.cli.command import GPUBENCH, LONG, TWO, Running, environment
from tests.running import (
    PATIENCE_SECONDS,
    RunningServer,
    children_of,
    default_signals,
    dispositions,
    leads_session,
    state,
    within,
)


def finished(path: Path) -> RunDocument:
    """The cancelled document of a run of triad and copy that had finished triad."""
    document = decode_document(path.read_bytes())
    assert document.outcome == "cancelled"
    assert [m.benchmark for m in document.measurements if m.status == "ok"] == ["triad"]
    return document


@contextlib.contextmanager
def second_of_two(out: Path, *more: str, **changes: str) -> Iterator[Running]:
    with Running("run", "triad", "copy", *TWO, "--out", str(out), *more, **changes) as running:
        running.wait_for("copy: started")
        yield running


@pytest.mark.timing
@pytest.mark.parametrize("number", [Signals.SIGTERM, Signals.SIGHUP])
@pytest.mark.parametrize("remote", [False, True])
def test_a_signal_keeps_what_was_measured(number: Signals, remote: bool, url: str, tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    with second_of_two(out, *(["--server", url] if remote else [])) as running:
        running.process.send_signal(number)
        running.wait_for("cancelling")
        running.process.send_signal(number)  # `timeout` and shells send it twice
        code, stdout, stderr = running.end()
    assert code == 128 + number
    assert stderr.splitlines()[-1] == f"gpubench: ended by {number.name}"
    document = finished(out)
    assert " triad " in stdout
    assert document.error is not None
    assert document.error.kind == "cancelled"


@pytest.mark.timing
def test_a_signal_to_the_whole_job_keeps_what_was_measured(tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    with second_of_two(out) as running:
        for pid in (*running.children(), running.process.pid):
            os.kill(pid, signal.SIGTERM)
        assert running.end()[0] == 128 + signal.SIGTERM
    finished(out)


def test_a_signal_before_the_run_has_begun_gives_a_document(tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    with Running("run", "triad", *LONG, "--out", str(out)) as running:
        assert within(PATIENCE_SECONDS, lambda: bool(running.children()))  # it looks for devices
        running.process.send_signal(signal.SIGTERM)
        assert running.end()[0] == 128 + signal.SIGTERM
    assert decode_document(out.read_bytes()).outcome == "cancelled"


def test_a_signal_that_was_ignored_stays_ignored(url: str) -> None:
    """As by ``nohup``: the run goes on. Signals come in order, so the second is not before the first."""
    with Running("run", "triad", *LONG, "--server", url, prepare=_nohup) as running:
        running.wait_for("triad: started")
        running.process.send_signal(signal.SIGHUP)
        running.process.send_signal(signal.SIGTERM)
        assert running.end()[0] == 128 + signal.SIGTERM


def _nohup() -> None:
    default_signals()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


class Terminal:
    """A terminal that is read all the time."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        self.text = ""
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        with contextlib.suppress(OSError):  # on Linux, once the other side is closed
            while data := os.read(self._ours, 65536):
                self.text += data.decode()

    def shows(self, words: str, after: int = 0) -> bool:
        return within(PATIENCE_SECONDS, lambda: words in self.text[after:])

    def process(self, *arguments: str, **options: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            [*GPUBENCH, *arguments],
            **{"stdin": self.theirs, "stdout": self.theirs, "stderr": self.theirs, **options},
            env=environment(TERM="xterm-256color", COLUMNS="150"),
        )


_CLOSES = """
import os, pty, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
seen = b""
while b"copy, measuring" not in seen:
    seen += os.read(terminal, 65536)
os.close(terminal)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.timing
@pytest.mark.parametrize("remote", [False, True])
def test_a_closed_terminal_keeps_what_was_measured(remote: bool, url: str, tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    more = ["--server", url] if remote else []
    program = [*GPUBENCH, "run", "triad", "copy", *TWO, "--out", str(out), *more]
    ran = subprocess.run(
        [GPUBENCH[0], "-c", _CLOSES, "", *program],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env=environment(TERM="xterm-256color", COLUMNS="150"),
        preexec_fn=default_signals,
        check=False,
    )
    assert ran.stdout.strip() == str(128 + signal.SIGHUP), ran.stderr
    finished(out)


def test_a_stopped_terminal_stops_the_worker() -> None:
    """A stopped terminal stops the worker and shows the cursor."""
    terminal = Terminal()
    # A group of its own in this session, as a shell's job: another group's member can continue it.
    process = terminal.process("run", "triad", *LONG, process_group=0, preexec_fn=default_signals)
    try:
        assert terminal.shows("triad, measuring")
        (worker,) = children_of(process.pid)
        process.send_signal(signal.SIGTSTP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        assert within(PATIENCE_SECONDS, lambda: state(worker) == "T")
        assert terminal.shows("\x1b[?25h")
        stopped = len(terminal.text)
        process.send_signal(signal.SIGCONT)
        assert terminal.shows("\x1b[?25l", stopped)
        assert terminal.shows("triad, measuring", stopped)
        assert within(PATIENCE_SECONDS, lambda: state(worker) != "T")
        process.send_signal(signal.SIGTSTP)  # a second time too
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        assert within(PATIENCE_SECONDS, lambda: state(worker) == "T")
        process.send_signal(signal.SIGTERM)  # as a scheduler that gives up on a stopped job
        process.send_signal(signal.SIGCONT)
        assert process.wait(PATIENCE_SECONDS) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.wait()
        os.close(terminal.theirs)
    assert terminal.text.rfind("\x1b[?25h") > terminal.text.rfind("\x1b[?25l")


def caught_and_ignored(column: str) -> tuple[set[int], set[int]]:
    """By the table, in the client, the server, or a worker."""
    reactions = {number: getattr(row, column) for number, row in SIGNALS.items()}
    caught = {int(number) for number, reaction in reactions.items() if reaction in HANDLED}
    return caught, {int(n) for n, reaction in reactions.items() if reaction is Reaction.IGNORE}


def test_the_table_is_what_the_processes_do(tmp_path: Path) -> None:
    worker = WorkerProcess()
    with (
        RunningServer(tmp_path / "data", prepare=leads_session(None)) as server,
        Running("run", "triad", *LONG) as running,
    ):
        running.wait_for("triad: started")
        worker.send(Probe(runtimes=[]))  # no driver: LLVM's catch signals, and pass them on to what we set
        assert worker.receive(PATIENCE_SECONDS) is not None
        pids = {"client": running.process.pid, "server": server.process.pid, "worker": worker.pid}
        found = {column: dispositions(pid) for column, pid in pids.items()}
        running.interrupt()
        running.end()
    worker.end()
    for column, each in found.items():
        caught, ignored = caught_and_ignored(column)
        inherited = dispositions(os.getpid())["SigIgn"] if column == "worker" else set()
        each["SigIgn"] -= inherited - ignored  # such as SIGQUIT, if the tests run in the background
        assert each == {"SigCgt": caught, "SigIgn": ignored, "SigBlk": set()}, column
