"""``make gpu-check``: the suite on this machine's GPU beside what else copies memory here, and a result.

    python bench/gpu_check.py [--output FOLDER] [--only STEP ...] [--footprint BYTES] [--rounds N] [--pairs N]
                              [--target RATIO] [--deadline SECONDS]

The steps, in this order: ``stream``, the suite twice, each time in a process of its own; ``copies`` in turns
with those of the driver, torch and cupy (gpu_copies.py); ``shapes``, a wide grid of access shapes beside the
tuner's (shapes.py); every other benchmark by its name, each in a run of its own, so that a lost device costs
one; ``pairs``, the figure through the socket beside the one in process (socket_pairs.py). What was measured
is in FOLDER after each step: ``stream-1.json``, ``stream-2.json``, ``copies.json``, ``shapes.json``,
``beside.jsonl`` with a run document in each line, ``socket_pairs.json``, ``table.md``.

Exits with 1 where something failed or a figure is not verified, above theory, different in the second
process, or below a peer's, and with 2 where there is no GPU.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gpubench_client.local import LocalClient

from gpubench.benchmarks.registry import BENCHMARKS, STREAM
from gpubench.errors import GpubenchError
from gpubench.requests import BenchmarkRequest
from gpubench.results.document import RunDocument, encode_document
from gpubench.results.machine import DeviceInfo

MAX_DIFFERENCE_RATIO = 0.005
"""Between two processes."""

MAX_SHAPES_SECONDS = 900
"""Six passes or more of 3000 shapes: 20 s at 4 TB/s, five minutes at 300 GB/s; and some 500 programs, each
0.1 s of one core where none is kept yet."""

MAX_PAIR_SECONDS = 10
"""Of a run through the socket and one in process, each with the wait for an idle GPU."""

CLEAN_UP_SECONDS = 15
"""For a script that is over its deadline, to end what it started."""


class Table:
    """``table.md``, whole after each step: whoever ends this program leaves what was told until then."""

    def __init__(self, path: Path, title: str) -> None:
        self._path = path
        self._title = title
        self._said: list[str] = []
        self.mistakes: list[str] = []
        self.tell([])

    @property
    def text(self) -> str:
        return "\n".join([self._title, *self._said, "", *(f"- WRONG: {each}" for each in self.mistakes), ""])

    def tell(self, lines: Sequence[str], mistakes: Sequence[str] = ()) -> None:
        if lines:
            self._said += ["", *lines]
        self.mistakes += mistakes
        part = self._path.with_suffix(".part")
        part.write_text(self.text)
        part.replace(self._path)


class Check:
    """The steps, on one GPU. No context is ours: to the runs we would be another program."""

    def __init__(self, gpu: DeviceInfo, options: argparse.Namespace) -> None:
        self._gpu = gpu
        self._options = options
        title = f"# {gpu.name}, {gpu.runtime_version}, driver {gpu.driver}"
        self.table = Table(options.output / "table.md", title)
        self._beside = options.output / "beside.jsonl"
        self._beside.unlink(missing_ok=True)

    def stream(self) -> None:
        runs = []
        for number in (1, 2):
            document = self._run("stream", target_ratio=self._options.target)
            if document is None:
                continue
            self._options.output.joinpath(f"stream-{number}.json").write_bytes(encode_document(document))
            runs.append(document)
            self.table.tell([f"Process {number}:", "", *rows(document)])
        if len(runs) == 2:
            self.table.tell([], differences(*runs))

    def copies(self) -> None:
        rounds = ["--rounds", self._options.rounds]
        self._script("gpu_copies.py", self._gpu.id, *rounds, *self._footprint)

    def shapes(self) -> None:
        self._script("shapes.py", self._gpu.id, *self._footprint, seconds=MAX_SHAPES_SECONDS)

    def beside(self, name: str) -> None:
        document = self._run(name)
        if document is None:
            return
        with self._beside.open("ab") as lines:
            lines.write(encode_document(document) + b"\n")
        said = [f"- {each.benchmark}, {each.name}: {each.text}" for each in document.findings]
        skipped = [each for each in document.measurements if each.status == "skipped"]
        self.table.tell([*said, *(f"- {each.benchmark} is skipped: {each.reason}" for each in skipped)])

    def pairs(self) -> None:
        pairs = self._options.pairs
        self._script("socket_pairs.py", pairs, seconds=MAX_PAIR_SECONDS * pairs)

    @property
    def _footprint(self) -> list[object]:
        return ["--footprint", self._options.footprint] if self._options.footprint else []

    def _run(self, name: str, **parameters: object) -> RunDocument | None:
        """Its document, also that of a run that failed; None where it did not come to one."""
        request = BenchmarkRequest(name, {**parameters, "footprint_bytes": self._options.footprint})
        try:
            document = LocalClient("cuda").run(
                [request], device=self._gpu.id, deadline_seconds=self._options.deadline
            )
        except GpubenchError as error:
            if error.document is None:
                self.table.tell([], [f"{name} did not run: {error.message}"])
                return None
            document = error.document
        self.table.tell([], mistakes(document, name))
        return document

    def _script(self, name: str, *arguments: object, seconds: float = 0) -> None:
        """What a script beside this one prints, even if it does not come to its end in time."""
        seconds = max(seconds, self._options.deadline)
        command = [Path(__file__).with_name(name), *arguments, "--output", self._options.output]
        wrong = []
        with subprocess.Popen(
            [sys.executable, *map(str, command)], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                said, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                wrong = [f"{name} was not over within {seconds:g} s"]
                said = _interrupt(process)
        if process.returncode and not wrong:
            wrong = [f"{name} ended with {process.returncode}; the reason is on stderr"]
        lines = said.splitlines()
        wrong += [line.removeprefix("WRONG: ") for line in lines if line.startswith("WRONG: ")]
        self.table.tell([line for line in lines if not line.startswith("WRONG: ")], wrong)


def _interrupt(process: subprocess.Popen[str]) -> str:
    """As ^C does, so that it ends what it started; returns what it printed."""
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=CLEAN_UP_SECONDS)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]


def mistakes(run: RunDocument, name: str) -> list[str]:
    """Each once, however many points of a curve have it."""
    found = [f"{name} ended as {run.outcome}: {run.error.message if run.error else None}"]
    found = [] if run.outcome == "ok" else found
    for each in run.measurements:
        if not each.verified and each.status != "skipped":
            found.append(f"{each.benchmark} is not verified: {each.reason}")
        if "over_theory" in each.flags:
            found.append(f"{each.benchmark} is above theory")
    return list(dict.fromkeys(found))


def differences(first: RunDocument, second: RunDocument) -> list[str]:
    """Of medians whose intervals do not meet."""
    again = {each.benchmark: each.bandwidth_bytes_per_second for each in second.measurements}
    pairs = [
        (each.benchmark, each.bandwidth_bytes_per_second, again.get(each.benchmark))
        for each in first.measurements
    ]
    return [
        f"{name} differs by {b.median / a.median - 1:+.2%} between two processes"
        for name, a, b in pairs
        if a and b and max(a.low, b.low) > min(a.high, b.high)
        if abs(b.median / a.median - 1) > MAX_DIFFERENCE_RATIO
    ]


def rows(run: RunDocument) -> list[str]:
    said = ["| benchmark | GB/s | of theory | interval | flags |", "|---|---|---|---|---|"]
    for each in run.measurements:
        summary, share = each.bandwidth_bytes_per_second, each.efficiency_ratio.nominal
        if summary is None:
            said.append(f"| {each.benchmark} | {each.status}: {each.reason} | | | |")
            continue
        half = (summary.high - summary.low) / 2 / summary.median
        said.append(
            f"| {each.benchmark} | {summary.median / 1e9:.1f} | {f'{share:.1%}' if share else 'unknown'} | "
            f"±{half:.2%} | {', '.join(each.flags)} |"
        )
    return said


BESIDE = [name for name in BENCHMARKS if name not in STREAM]
STEPS = ["stream", "copies", "shapes", *BESIDE, "pairs"]


def main() -> int:
    options = _options()
    options.output.mkdir(parents=True, exist_ok=True)
    found = LocalClient("cuda").devices()
    gpus = [each for each in found.devices if not each.unavailable]
    if not gpus:
        reasons = [each.unavailable for each in found.devices] + [each.reason for each in found.runtimes]
        print("gpu-check: no GPU:", *filter(None, reasons), file=sys.stderr)
        return 2
    check = Check(gpus[0], options)
    suite: dict[str, Callable[[], None]] = {
        "stream": check.stream,
        "copies": check.copies,
        "shapes": check.shapes,
        "pairs": check.pairs,
    }
    for step in STEPS:
        if step not in options.only or (step == "pairs" and not options.pairs):
            continue
        begin = time.monotonic()
        print(f"gpu-check: {step}", end="", file=sys.stderr, flush=True)
        suite[step]() if step in suite else check.beside(step)
        print(f", {time.monotonic() - begin:.1f} s", file=sys.stderr, flush=True)
    print(check.table.text)
    return 1 if check.table.mistakes else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the suite on this machine's GPU, beside its peers")
    parser.add_argument("--output", type=Path, default=Path("build/gpu-check"))
    parser.add_argument("--only", nargs="+", choices=STEPS, default=STEPS, metavar="STEP", help="not all")
    parser.add_argument(
        "--footprint", type=int, help="bytes, of all but the pairs; each one's usual unless given"
    )
    parser.add_argument("--rounds", type=int, default=21, help="of copies in turns with others'")
    parser.add_argument("--pairs", type=int, default=20, help="through the socket and in process")
    parser.add_argument("--target", type=float, default=0.0025, help="half interval of the suite's medians")
    parser.add_argument("--deadline", type=float, default=120.0, help="seconds that one run may last")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
