"""``make fuzz``: the framing, the decoder, the service, its connections and the client under atheris.

    python bench/fuzz.py [--inputs 2000000] [--target NAME]... [--seconds 600]

Each target of ``tests/fuzz/targets.py`` runs in a process of its own, guided by the lines of gpubench that
its inputs reach. It ends at the first input that makes it fail, that takes 20 s, or with which the process
takes a gigabyte; that input is kept in ``build/fuzz``. So are the inputs that reached something new, with
which the next time begins. Needs ``atheris``, which ``make fuzz`` installs in an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "server"), str(ROOT / "clients"), str(ROOT / "tools")]
BUILD = ROOT / "build" / "fuzz"

SHARES = {"framing": 0.2, "decoder": 0.3, "service": 0.2, "datagram": 0.15, "client": 0.1, "connection": 0.05}
"""Of the inputs: a connection takes a thread and two sockets for each."""

MAX_INPUT_BYTES = 8192
TIMEOUT_SECONDS = 20
MAX_MEMORY_MIB = 1024


@dataclass(frozen=True)
class Report:
    """What one target did with its inputs."""

    inputs: int
    failed: bool
    seconds: float
    slowest_input_seconds: float
    peak_memory_mib: int
    longest_answer_bytes: int


def main() -> int:
    options = _options()
    if options.child:
        return fuzz(options.child, options.answer, options.arguments)
    load_at_start = os.getloadavg()
    reports = {name: drive(name, options) for name in options.target or SHARES}
    from load_tables import fuzz_table
    from record import write

    found = {name: asdict(report) for name, report in reports.items()}
    load = {"before": load_at_start, "after": os.getloadavg()}
    path = write("fuzz", "inputs", found, options.output, load_average=load)
    print(fuzz_table(json.loads(path.read_text())))
    return 1 if any(report.failed for report in reports.values()) else 0


def fuzz(name: str, answer: Path, arguments: list[str]) -> int:
    """In a process of its own, which libFuzzer ends; the longest answer so far stands in a file."""
    import atheris

    with atheris.instrument_imports(include=["gpubench", "gpubench_server"]):
        from tests.fuzz.targets import Targets

    with tempfile.TemporaryDirectory() as directory:
        targets = Targets(Path(directory))
        target, longest = targets.named[name], 0

        def one(data: bytes) -> None:
            nonlocal longest
            target(data)
            if targets.longest_answer_bytes > longest:
                longest = targets.longest_answer_bytes
                answer.write_text(str(longest))

        atheris.Setup([sys.argv[0], *arguments], one)
        atheris.Fuzz()
    return 0


def drive(name: str, options: argparse.Namespace) -> Report:
    """One target, watched; its output goes to ``build/fuzz/NAME.log``."""
    from tests.fuzz.targets import seeds, words

    corpus = BUILD / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (corpus / f"seed-{number}").write_bytes(seed[:MAX_INPUT_BYTES])
    dictionary = BUILD / "words"
    dictionary.write_text("".join(f"{json.dumps(word)}\n" for word in words()))
    answer = BUILD / f"{name}.longest"
    answer.write_text("0")
    begun = time.monotonic()
    with (BUILD / f"{name}.log").open("w") as log:
        code = subprocess.call(
            [
                *(sys.executable, __file__, "--child", name, "--answer", answer, "--"),
                *(f"-runs={round(options.inputs * SHARES[name])}", f"-max_total_time={options.seconds}"),
                *(f"-max_len={MAX_INPUT_BYTES}", f"-timeout={TIMEOUT_SECONDS}"),
                *(f"-rss_limit_mb={MAX_MEMORY_MIB}", "-print_final_stats=1", "-close_fd_mask=0"),
                *(f"-artifact_prefix={BUILD}/{name}-", f"-dict={dictionary}", corpus),
            ],
            stdout=log,
            stderr=log,
        )
    said = Path(log.name).read_text(errors="replace")
    if code:
        print(f"{name}: exit code {code}; {log.name} says why, and names the input", file=sys.stderr)
    return Report(
        inputs=_stat(said, "number_of_executed_units"),
        failed=code != 0,
        seconds=round(time.monotonic() - begun, 1),
        slowest_input_seconds=_stat(said, "slowest_unit_time_sec"),
        peak_memory_mib=_stat(said, "peak_rss_mb"),
        longest_answer_bytes=int(answer.read_text()),
    )


def _stat(said: str, name: str) -> int:
    """A line of libFuzzer's final statistics; 0 if it did not come to print them."""
    found = re.findall(rf"stat::{name}:\s+(\d+)", said)
    return int(found[-1]) if found else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the protocol under inputs that a fuzzer makes")
    parser.add_argument("--inputs", type=int, default=2_000_000, help="of all targets together")
    parser.add_argument("--seconds", type=int, default=1800, help="the most for each target")
    parser.add_argument("--target", action="append", choices=SHARES, help="only this one; may be repeated")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "build", help="folder of fuzz.json"
    )
    parser.add_argument("--child", choices=SHARES, help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
