"""The process of the server: small, and without any runtime loaded."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import gpubench
from tests.running import PATIENCE_SECONDS, Lines, RunningServer, loaded, quick, within

HEAVY = ("numpy", "pyopencl", "pycuda", "libcuda", "libOpenCL", "libpocl", "libnvrtc", "libnvidia-ml")


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def test_no_runtime_is_loaded_after_runs(server: RunningServer) -> None:
    server.run_ok(quick())
    maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert [name for name in HEAVY if name in maps] == []


def test_no_runtime_is_imported_by_any_module_of_the_server() -> None:
    program = (
        "import pkgutil, importlib, gpubench_server\n"
        "for each in pkgutil.iter_modules(gpubench_server.__path__):\n"
        "    if each.name != '__main__': importlib.import_module('gpubench_server.' + each.name)\n"
    )
    assert loaded(program, "numpy", "pyopencl", "pycuda", "pynvml", "rich") == []


def test_a_log_line_has_time_level_and_logger(server: RunningServer) -> None:
    run_id = server.run_ok(quick())["run_id"]
    assert within(PATIENCE_SECONDS, lambda: any(f"{run_id}: ok" in line for line in server.log))
    lines = [line for line in server.log if f"run {run_id}:" in line]
    owner = r' \[principal="anonymous this machine"\]'
    ends = {"accepted from anonymous this machine": "", "ok": owner}  # not where the message has it
    for line, (end, fields) in zip(lines, ends.items(), strict=True):
        logger = f"gpubench_server.scheduler{fields}"
        assert re.fullmatch(rf"[\d-]+ [\d:,]+ INFO {logger}: run {run_id}: {end}", line)


def test_it_takes_less_than_80_mb(server: RunningServer) -> None:
    for _ in range(3):
        server.run_ok(quick())
        server.get("/metrics")
    assert resident_bytes(server.process.pid) < 80e6


def test_connections_leak_no_descriptors_and_no_threads(server: RunningServer) -> None:
    def held() -> tuple[int, int]:
        process = Path(f"/proc/{server.process.pid}")
        return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))

    def several() -> None:
        for _ in range(20):
            server.ask("ping")
            server.get("/healthz")

    several()
    before = held()
    several()
    several()
    after = held()
    # The last connections may still be closing.
    assert after[0] <= before[0] + 6
    assert after[1] <= before[1] + 3


def test_the_version_is_printed() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "gpubench_server", "--version"], capture_output=True, text=True, check=True
    )
    assert ended.stdout == f"gpubench {gpubench.__version__}\n"


def test_a_missing_prometheus_client_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "prometheus_client.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'prometheus_client'\", name='prometheus_client')"
    )
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from gpubench_server.cli import main\n"
        f"sys.exit(main(['--data-dir', {str(tmp_path / 'data')!r}]))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "pip install '.[server]'" in ended.stderr


def test_a_log_that_nobody_reads_blocks_nothing(tmp_path: Path) -> None:
    """For example because the log collector was stopped: the pipe stays full."""
    addresses = tmp_path / "addresses.json"
    unread, written = os.pipe()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gpubench_server", "--runtime", "opencl"),
            *("--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0"),
            *("--data-dir", str(tmp_path / "data"), "--address-file", str(addresses)),
        ],
        stderr=written,
    )
    try:
        assert within(PATIENCE_SECONDS, addresses.exists)
        host, port = json.loads(addresses.read_text())["tcp"].removeprefix("tcp://").rsplit(":", 1)
        os.set_blocking(written, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(written, b"x")
        os.set_blocking(written, True)
        with Lines((host, int(port))) as client:
            client.begin(quick())
            assert client.response()["result"]["outcome"] == "ok"
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        os.close(unread)
        os.close(written)
