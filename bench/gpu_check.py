"""``make gpu-check``: the suite on this machine's GPU beside what else moves memory here, and a result.

    python bench/gpu_check.py [--plan] [--budget SECONDS] [--fresh] [--output FOLDER] [--only STEP ...]
                              [--footprint BYTES] [--rounds N] [--pairs N] [--target RATIO]
                              [--deadline SECONDS]

``--plan`` prints the steps with their times, and does nothing. Each step is a process of its own, so that a
lost device costs one, and leaves its document in FOLDER: a run document, or what its script printed. A step
that has its document, of this GPU and these kernels, is not run again, so after an interruption, or once
``--budget`` is used up, call it again to go on; ``--fresh`` starts over. ``table.md`` has what was found.

Exits with 1 if something failed or a figure is not verified, above theory, different in the second process,
or below a peer's; with 2 if there is no GPU, and with 3 if all is well and the budget was too small for some
steps.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gpu_steps import Step, plan, steps
from gpu_table import Table, differences, mistakes, rows
from gpubench_client.local import LocalClient

from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.errors import GpubenchError
from gpubench.kernels.source import source_hash
from gpubench.requests import BenchmarkRequest
from gpubench.results.document import RunDocument, decode_document, encode_document
from gpubench.results.machine import DeviceInfo

CLEAN_UP_SECONDS = 15
"""For a script that is over its deadline, to end what it started."""

COMPLETE = ("ok", "unverified")
"""Outcomes of a run that was not cut short: another try would find the same."""

ROOT = Path(__file__).parents[1]
SCRIPTS = {"peers": "gpu_peers.py", "shapes": "shapes.py", "pairs": "socket_pairs.py"}


class Check:
    """The steps, on one GPU. No context is ours: to the runs we would be another program."""

    def __init__(self, gpu: DeviceInfo, options: argparse.Namespace) -> None:
        self._gpu = gpu
        self._options = options
        self._begin = time.monotonic()
        self._runs: dict[str, RunDocument] = {}
        self.left_out: list[str] = []
        self.table = Table(
            options.output / "table.md", f"# {gpu.name}, {gpu.runtime_version}, driver {gpu.driver}"
        )

    def take(self, step: Step) -> None:
        """Its document if there is one, else the step itself if there is time for it."""
        begin = time.monotonic()
        print(f"gpu-check: {step.name}", end="", file=sys.stderr, flush=True)
        left = self._left_seconds()
        if is_done(step, self._options.output, self._gpu.id):
            how = "done before"
            self._tell_kept(step)
        elif left < step.seconds:
            how = "left out"
            self.left_out.append(step.name)
            self.table.tell([
                f"- {step.name} is left out: it takes about {step.seconds:.0f} s, and {left:.0f} s are left"
            ])  # fmt: skip
        else:
            self._run(step) if step.kind == "run" else self._script(step)
            how = f"{time.monotonic() - begin:.1f} s"
        print(f", {how}", file=sys.stderr, flush=True)

    def _left_seconds(self) -> float:
        return float(self._options.budget) - (time.monotonic() - self._begin)

    def _tell_kept(self, step: Step) -> None:
        path = self._options.output / step.document
        if step.kind == "run":
            self._tell_run(step, decode_document(path.read_bytes()))
        else:
            self._tell_lines(path.read_text().splitlines()[1:])

    def _run(self, step: Step) -> None:
        """Keeps its document, also that of a run that failed."""
        name = step.name.partition("-")[0]
        target = {} if name in BENCHMARKS else {"target_ratio": self._options.target}
        request = BenchmarkRequest(name, {**target, "footprint_bytes": self._options.footprint})
        deadline = min(self._options.deadline, self._left_seconds())
        try:
            document = LocalClient("cuda").run([request], device=self._gpu.id, deadline_seconds=deadline)
        except GpubenchError as error:
            if error.document is None:
                self.table.tell([], [f"{name} did not run: {error.message}"])
                return
            document = error.document
        self._options.output.joinpath(step.document).write_bytes(encode_document(document))
        self._tell_run(step, document)

    def _tell_run(self, step: Step, document: RunDocument) -> None:
        self._runs[step.name] = document
        self.table.tell([], mistakes(document, step.name.partition("-")[0]))
        if step.name not in BENCHMARKS:
            self.table.tell([f"{step.name}:", "", *rows(document)])
            if len(self._runs.keys() & {"stream-1", "stream-2"}) == 2:
                self.table.tell([], differences(self._runs["stream-1"], self._runs["stream-2"]))
            return
        said = [f"- {each.benchmark}, {each.name}: {each.text}" for each in document.findings]
        skipped = [each for each in document.measurements if each.status == "skipped"]
        self.table.tell([*said, *(f"- {each.benchmark} is skipped: {each.reason}" for each in skipped)])

    def _script(self, step: Step) -> None:
        """What it prints, even if it does not come to its end in time; kept if it does."""
        seconds = min(max(step.at_most, self._options.deadline), self._left_seconds())
        wrong = []
        with subprocess.Popen(
            self._command(step), stdout=subprocess.PIPE, text=True, cwd=ROOT, env=_environment(step)
        ) as process:
            try:
                said, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                wrong = [f"{step.name} was not over within {seconds:.0f} s"]
                said = _interrupt(process)
        if process.returncode and not wrong:
            wrong = [f"{step.name} ended with {process.returncode}; the reason is on stderr"]
        if step.kind == "tests":
            print(said, file=sys.stderr)
            said = "- " + (said.splitlines() or ["the tests said nothing"])[-1].strip("= ")
        self._tell_lines([*said.splitlines(), *(f"WRONG: {each}" for each in wrong)])
        if not process.returncode:
            kept = self._options.output / step.document
            kept.write_text(f"{_made_by(self._gpu.id)}\n{said}\n")

    def _tell_lines(self, lines: Sequence[str]) -> None:
        wrong = [line.removeprefix("WRONG: ") for line in lines if line.startswith("WRONG: ")]
        self.table.tell([line for line in lines if not line.startswith("WRONG: ")], wrong)

    def _command(self, step: Step) -> list[str]:
        options = self._options
        if step.kind == "tests":
            # Plugins that happen to be on the machine, and warnings of theirs, are not ours to test.
            pytest = ["-m", "pytest", "-vv", "-p", "no:cacheprovider", "-o", "filterwarnings=default"]
            return [sys.executable, *pytest, "--tb=short", "tests/gpu"]
        footprint = ["--footprint", options.footprint] if options.footprint else []
        arguments: dict[str, list[object]] = {
            "peers": [self._gpu.id, "--rounds", options.rounds, *footprint],
            "shapes": [self._gpu.id, *footprint],
            "pairs": [options.pairs],
        }
        script = Path(__file__).with_name(SCRIPTS[step.name])
        return [
            sys.executable,
            str(script),
            *map(str, arguments[step.name]),
            "--output",
            str(options.output.resolve()),
        ]


def _environment(step: Step) -> dict[str, str]:
    return {**os.environ, **({"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} if step.kind == "tests" else {})}


def _made_by(gpu_id: str) -> str:
    return f"<!-- {gpu_id}, kernels {source_hash()} -->"


def is_done(step: Step, folder: Path, gpu_id: str | None) -> bool:
    """Whether its document is there, complete, of these kernels, and of this GPU if that is known."""
    with contextlib.suppress(OSError, GpubenchError, UnicodeDecodeError):
        path = folder / step.document
        if step.kind != "run":
            line = path.read_text().partition("\n")[0]
            return line == _made_by(gpu_id) if gpu_id else line.endswith(_made_by("").partition(",")[2])
        run = decode_document(path.read_bytes())
        same = run.environment is not None and run.environment.kernel_source_hash == source_hash()
        ours = gpu_id is None or (run.device is not None and run.device.id == gpu_id)
        return same and ours and run.outcome in COMPLETE
    return False


def _interrupt(process: subprocess.Popen[str]) -> str:
    """As ^C does, so that it ends what it started; returns what it printed."""
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=CLEAN_UP_SECONDS)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]


def main() -> int:
    options = _options()
    chosen = [step for step in steps(options.pairs) if options.only is None or step.name in options.only]
    if options.plan:
        done = {step.name for step in chosen if not options.fresh and is_done(step, options.output, None)}
        print("\n".join(plan(chosen, done, options.budget if options.budget < 1e9 else None)))
        return 0
    options.output.mkdir(parents=True, exist_ok=True)
    found = LocalClient("cuda").devices()
    gpus = [each for each in found.devices if not each.unavailable]
    if not gpus:
        reasons = [each.unavailable for each in found.devices] + [each.reason for each in found.runtimes]
        print("gpu-check: no GPU:", *filter(None, reasons), file=sys.stderr)
        return 2
    if options.fresh:
        for step in chosen:
            options.output.joinpath(step.document).unlink(missing_ok=True)
    check = Check(gpus[0], options)
    for step in chosen:
        check.take(step)
    print(check.table.text)
    if check.left_out:
        print(f"gpu-check: left out: {', '.join(check.left_out)}; call it again to go on", file=sys.stderr)
    return 1 if check.table.mistakes else 3 if check.left_out else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the suite on this machine's GPU, beside its peers")
    parser.add_argument(
        "--plan", action="store_true", help="print the steps with their times, and do nothing"
    )
    parser.add_argument(
        "--budget", type=float, default=1e9, help="seconds for all steps; no limit unless given"
    )
    parser.add_argument("--fresh", action="store_true", help="run steps again that have their document")
    parser.add_argument("--output", type=Path, default=Path("build/gpu-check"))
    names = [step.name for step in steps(1)]
    parser.add_argument("--only", nargs="+", choices=names, metavar="STEP", help="not all")
    parser.add_argument(
        "--footprint", type=int, help="bytes, of all but the pairs; each one's usual unless given"
    )
    parser.add_argument("--rounds", type=int, default=21, help="of kernels in turns with others'")
    parser.add_argument("--pairs", type=int, default=20, help="through the socket and in process")
    parser.add_argument("--target", type=float, default=0.0025, help="half interval of the suite's medians")
    parser.add_argument("--deadline", type=float, default=120.0, help="seconds that one run may last")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
