"""A server that faults are made in, and what must hold then: nothing is lost, wrong, stuck or leaked."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.running import (
    MIB,
    PATIENCE_SECONDS,
    Lines,
    RunningServer,
    children_of,
    leads_session,
    quick,
    within,
)

SMALL = quick(footprint_bytes=MIB, time_limit_seconds=0.02)
"""As short a run as there is."""

_LOOK_SECONDS = 0.02

SETTLE_SECONDS = 30.0
"""For processes that a fault left behind to end, on a machine that is busy."""

_MARK = "GPUBENCH_SOAKED"

STUCK_SECONDS = 120.0
"""A run that has not ended by then never would: none takes more than a second of a machine for itself."""


class Held(NamedTuple):
    """What the server and all of its workers have: a leak is more of it than before."""

    processes: int
    threads: int
    descriptors: int


@dataclass
class Counts:
    """What was done to a server and what it answered; from ``lost`` on, what was wrong, and must be none."""

    faults: int = 0
    requests: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    """Of runs: ``ok``, or the kind of the error."""
    acknowledged: int = 0
    """Results that clients got."""
    longest_seconds: float = 0.0
    """From a fault until a run succeeds again."""
    lost: int = 0
    wrong: int = 0
    leaked_processes: int = 0
    leaked_threads: int = 0
    leaked_descriptors: int = 0
    problems: list[str] = field(default_factory=list)
    """Everything that did not hold, these counts included."""


class Subject:
    """Starts a server in ``folder``; all of its processes are known by a variable that they inherit."""

    def __init__(self, folder: Path, counts: Counts, *, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.counts = counts
        self._mark = secrets.token_hex(8)
        kernels = {"GPUBENCH_CACHE_DIR": str(folder / "cache")}
        self._environment = {_MARK: self._mark, **kernels, **(environment or {})}
        self._kept: dict[str, str] = {}
        self._lines_read = 0
        self.said = ""
        """The message of the last answer to a run, if that was an error."""
        self.server = self._start()
        self.run()
        self.run()  # what only the first one opens is no leak
        self.server.get("/readyz")
        self._usual = self.held()

    def __enter__(self) -> Subject:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__()

    def _start(self) -> RunningServer:
        self._lines_read = 0
        # In a session of its own: ^C at a terminal ends the soak, and not the servers in it.
        return RunningServer(self.folder / "data", environment=self._environment, prepare=leads_session(None))

    def restart(self) -> None:
        """A new process for the same data, after the old one has ended in whatever way."""
        self.server.__exit__()
        self.server = self._start()

    # Requests.

    @contextlib.contextmanager
    def connect(self) -> Iterator[Lines]:
        with self.server.connect() as client:
            try:
                yield client
            finally:
                self.count(client)

    def count(self, client: Lines) -> None:
        """Add what a client sent and received, once it is done."""
        self.counts.requests += client.requests
        self.counts.sent_bytes += client.sent_bytes
        self.counts.received_bytes += client.received_bytes

    def ask(self, method: str, params: Any = None) -> Any:
        with self.connect() as client:
            return client.ask(method, params)

    def request_run(self, client: Lines, benchmark: dict[str, Any] = SMALL, request_id: Any = 1) -> str:
        """Ask for a run; returns its key, which is also its label."""
        key = secrets.token_hex(8)
        work = {"benchmarks": [benchmark], "key": key, "labels": {"soak": key}}
        client.request("run", {**work, "deadline_seconds": STUCK_SECONDS}, request_id)
        return key

    def take(self, answer: dict[str, Any], key: str) -> str:
        """Check the answer to a run and keep what it says; returns the outcome."""
        error = answer.get("error", {"data": {}})
        document = answer.get("result") or error["data"].get("document")
        outcome = str(error["data"].get("kind", "ok"))
        self.said = str(error.get("message", ""))
        self.counts.outcomes[outcome] += 1
        if document is not None:
            self.counts.acknowledged += 1
            self._kept[document["run_id"]] = _digest(document)
            if not _is_right(document, outcome, key):
                self.counts.wrong += 1
                self.problem(f"a wrong result: {outcome} of key {key}: {json.dumps(document)[:2000]}")
        return outcome

    def run(self, benchmark: dict[str, Any] = SMALL) -> str:
        with self.connect() as client:
            key = self.request_run(client, benchmark)
            return self.take(client.response(), key)

    # The server's processes.

    def processes(self) -> list[int]:
        """The server, its workers and what they started, orphans included."""
        marker, found = f"\0{_MARK}={self._mark}\0".encode(), []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):  # another user's, or one that has ended
                if marker in b"\0" + environ.read_bytes():
                    found.append(int(environ.parent.name))
        return found

    def workers(self) -> list[int]:
        """Without one that is being forked: the thread that forks waits for it, even while it is stopped."""
        return [each for each in children_of(self.server.process.pid) if _executes_runs(each)]

    def held(self) -> Held:
        threads = descriptors = 0
        processes = self.processes()
        for process in processes:
            with contextlib.suppress(OSError):
                threads += len(list(Path(f"/proc/{process}/task").iterdir()))
                descriptors += len(list(Path(f"/proc/{process}/fd").iterdir()))
        return Held(len(processes), threads, descriptors)

    # What must hold.

    def problem(self, text: str) -> None:
        self.counts.problems.append(text)

    def check(self, began_at: float) -> None:
        """After a fault: a run succeeds at the first try, all results are there, and nothing is left over."""
        outcome = self.run()
        self.counts.longest_seconds = max(self.counts.longest_seconds, time.monotonic() - began_at)
        if outcome != "ok":
            self.problem(f"the run after the fault ended as {outcome}: {self.said}")
        self.check_kept(newest=2)
        self._check_leaks()
        self._check_log()

    def check_kept(self, newest: int | None = None) -> None:
        """Whether the results that clients got are still what the server has, word for word."""
        for run_id in list(self._kept)[-newest if newest else None :]:
            answer = self._result(run_id)
            if "result" not in answer or _digest(answer["result"]) != self._kept[run_id]:
                self.counts.lost += 1
                self.problem(f"the result of run {run_id} is lost: {json.dumps(answer)[:500]}")

    def check_accepted(self, run_ids: list[str]) -> None:
        """Whether the server knows every run that it accepted."""
        for run_id in run_ids:
            if "result" not in self._result(run_id):
                self.counts.lost += 1
                self.problem(f"run {run_id} was accepted, and is unknown")

    def _result(self, run_id: str) -> dict[str, Any]:
        """The answer to a request for it, which may be an error."""
        with self.connect() as client:
            client.request("result", {"run_id": run_id})
            return client.response()

    def _check_leaks(self) -> None:
        with contextlib.suppress(AssertionError):
            wait_for(lambda: _none_more(self.held(), self._usual), "nothing left over", SETTLE_SECONDS)
            return
        held = self.held()
        self.counts.leaked_processes += max(0, held.processes - self._usual.processes)
        self.counts.leaked_threads += max(0, held.threads - self._usual.threads)
        self.counts.leaked_descriptors += max(0, held.descriptors - self._usual.descriptors)
        self.problem(f"left over: {held}, usual are {self._usual}")
        self._usual = held  # each leak counts once

    def _check_log(self) -> None:
        lines, self._lines_read = self.server.log[self._lines_read :], len(self.server.log)
        if any("Traceback" in line or " CRITICAL " in line for line in lines):
            self.problem("\n".join(["the server logged an error of its own:", *lines[-40:]]))


def _none_more(held: Held, usual: Held) -> bool:
    return all(now <= before for now, before in zip(held, usual, strict=True))


def _executes_runs(process: int) -> bool:
    with contextlib.suppress(OSError):
        return b"gpubench.executor" in Path(f"/proc/{process}/cmdline").read_bytes()
    return False


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _is_right(document: dict[str, Any], outcome: str, key: str) -> bool:
    """Whether it answers this request, and has no figure that was not verified."""
    measured = [each for each in document["measurements"] if each["status"] == "ok"]
    return (
        document["key"] == key
        and document["labels"] == {"soak": key}
        and (outcome == "ok") == (document["outcome"] == "ok")
        and (outcome != "ok" or len(measured) == len(document["requested"]))
        and all(each["verified"] and each["samples_seconds"] for each in measured)
    )


def wait_for(condition: Any, what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Raises ``AssertionError`` if it does not come true; looks often, and leaves time for others."""
    pause = threading.Event()
    found = within(seconds, lambda: bool(condition()) or pause.wait(_LOOK_SECONDS))
    assert found, f"not within {seconds:g} s: {what}"
