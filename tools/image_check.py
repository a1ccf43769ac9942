"""``make image-check``: the Containerfile's steps in a clean root, and its command as process 1 in there.

The root is read-only, without /dev/shm, without a network but its own loopback; the command runs as the
Containerfile's user. Needs root, debootstrap, unshare and nsenter. ``IMAGE_CHECK_DIR`` is where roots are
made; ``EXTRAS`` is the build argument of that name.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from containerfile import Stage, stages
from image_build import Build

ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 120.0

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_UP = 1  # IFF_UP
_SET_FLAGS = 0x8914  # SIOCSIFFLAGS


@dataclass(frozen=True)
class Container:
    """What is started: paths of this machine, and what the Containerfile says."""

    root: str
    volume: str
    volume_at: str
    workdir: str
    user: int
    group: int
    environment: dict[str, str]
    entrypoint: list[str]


def main() -> int:
    if sys.argv[1:2] == ["--process-one"]:
        become_process_one(Container(**json.loads(sys.argv[2])))
    needed = [name for name in ("debootstrap", "unshare", "nsenter") if shutil.which(name) is None]
    if os.geteuid() or needed:
        print(f"image-check needs root, and {', '.join(needed) or 'nothing else'}", file=sys.stderr)
        return 2
    top = Path(os.environ.get("IMAGE_CHECK_DIR", "/var/tmp/gpubench-image-check"))
    folder = top / f"build.{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        check(folder)
    finally:
        if str(folder) in Path("/proc/self/mounts").read_text():
            raise RuntimeError(f"something is still mounted below {folder}, so it is not removed")
        shutil.rmtree(folder)
    print("image-check: all right")
    return 0


def check(folder: Path) -> None:
    arguments = {"EXTRAS": os.environ["EXTRAS"]} if os.environ.get("EXTRAS") else {}
    found = stages((ROOT / "Containerfile").read_text(), arguments)
    build = Build(ROOT, folder, arguments)
    for stage in found:
        root = build.perform(stage)
    size = subprocess.run(["du", "-sm", root], capture_output=True, text=True, check=True).stdout.split()[0]
    print(f"  the image has {size} MB")
    container = container_of(found[-1], root)
    with running(container, folder / "log") as process:
        checks(Checked(process, container), found[-1])
    print(f"  {len((folder / 'log').read_text().splitlines())} lines of log, each of them JSON")


def container_of(stage: Stage, root: Path) -> Container:
    user, group = stage.last("USER").text.split(":")
    (volume_at,) = stage.last("VOLUME").words
    volume = root.parent / "volume"
    # As a runtime fills a new volume: with what the image has there.
    subprocess.run(["cp", "-a", root / volume_at.lstrip("/"), volume], check=True)
    workdir = stage.last("WORKDIR").text
    words = stage.last("ENTRYPOINT").words
    return Container(
        str(root), str(volume), volume_at, workdir, int(user), int(group), stage.environment, words
    )


# Inside.


def become_process_one(container: Container) -> None:
    """In new namespaces: make the root read-only, and become the image's command."""
    root = container.root
    _mount("--make-rprivate", "/")
    _mount("--bind", root, root)
    _mount("-t", "proc", "proc", f"{root}/proc")
    _mount("-t", "sysfs", "-o", "ro", "sysfs", f"{root}/sys")
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", f"{root}/dev")
    for name in _DEVICES:
        Path(f"{root}/dev/{name}").touch()
        _mount("--bind", f"/dev/{name}", f"{root}/dev/{name}")
    Path(f"{root}/dev/fd").symlink_to("/proc/self/fd")
    _mount("--bind", container.volume, f"{root}{container.volume_at}")
    _mount("-o", "remount,bind,ro", root)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH22x", b"lo", _UP))
    os.chroot(root)
    os.chdir(container.workdir)
    os.setgroups([])
    os.setgid(container.group)
    os.setuid(container.user)
    os.environ["PATH"] = container.environment["PATH"]
    os.execvpe(container.entrypoint[0], container.entrypoint, container.environment)


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


# Outside.


@dataclass(frozen=True)
class Checked:
    """A container that runs; ``process`` is its process 1, by this machine's number."""

    process: int
    container: Container

    def execute(self, *words: str) -> subprocess.CompletedProcess[str]:
        """As ``podman exec``: a process beside the others, whose parent is outside."""
        own = ("--mount", "--pid", "--net", "--ipc", "--uts", "--root", "--wd")
        ids = ("--setuid", str(self.container.user), "--setgid", str(self.container.group))
        environment = [f"{name}={value}" for name, value in self.container.environment.items()]
        return subprocess.run(
            ["nsenter", "--target", str(self.process), *own, *ids, "env", "-i", *environment, *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def states(self) -> dict[int, str]:
        """The state of each process in there, by this machine's number."""
        inside = Path(f"/proc/{self.process}/ns/pid").readlink()
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
                # The namespace of a zombie cannot be read any more, but its parent's can.
                of = path if state != "Z" else Path(f"/proc/{parent}")
                if (of / "ns/pid").readlink() == inside:
                    found[int(path.name)] = state
        return found


@contextlib.contextmanager
def running(container: Container, log: Path) -> Iterator[int]:
    """The container, from its start to the end that SIGTERM asks for; yields its process 1."""
    spaces = ("--pid", "--fork", "--kill-child", "--mount", "--ipc", "--net", "--uts")
    command = ["unshare", *spaces, sys.executable, __file__, "--process-one", json.dumps(asdict(container))]
    with log.open("wb") as errors, subprocess.Popen(command, stderr=errors) as unshare:
        try:
            _until(
                "the server listens", lambda: "listening on" in log.read_text() or unshare.poll() is not None
            )
            (process,) = children_of(unshare.pid)
            yield process
            os.kill(process, signal.SIGTERM)
            _require("SIGTERM ends it with exit code 0", unshare.wait(PATIENCE_SECONDS) == 0)
        except BaseException:
            print(log.read_text()[-3000:], file=sys.stderr)
            raise
        finally:
            # All others in there end with process 1; before that, their files cannot be removed.
            for process in children_of(unshare.pid):
                os.kill(process, signal.SIGKILL)
    for line in log.read_text().splitlines():
        json.loads(line)


def children_of(process: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:  # it has ended
        return []


def checks(checked: Checked, stage: Stage) -> None:
    container = checked.container
    socket_path = Path(container.volume) / "gpubench.sock"
    url = f"unix://{container.volume_at}/gpubench.sock"
    status = Path(f"/proc/{checked.process}/status").read_text()
    _require("process 1 is not root", f"\nUid:\t{container.user}\t" in status)
    _require("the root is read-only", checked.execute("touch", "/opt/x").returncode == 1)
    _require("there is no /dev/shm", checked.execute("test", "-e", "/dev/shm").returncode == 1)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(socket_path))
        client.sendall(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        _require("it answers ping", b'"pong":true' in client.recv(4096))
    health = stage.last("HEALTHCHECK").command
    healthy = checked.execute(*health)
    _require(f"the health check says: {healthy.stdout.strip().splitlines()[:1]}", healthy.returncode == 0)
    ran = checked.execute(
        *("gpubench", "run", "copy", "--footprint", "64MiB", "--time-limit", "1", "--json", "--server", url)
    )
    _require("a benchmark runs", ran.returncode == 0)
    verified = [each["verified"] for each in json.loads(ran.stdout)["measurements"]]
    _require("and its figures are verified", bool(verified) and all(verified))
    orphan = checked.execute("sh", "-c", "sleep 0.2 >/dev/null 2>&1 & echo $!").stdout.strip()
    gone = ("test", "!", "-e", f"/proc/{orphan}")
    _until("an orphan is reaped", lambda: checked.execute(*gone).returncode == 0)
    os.kill(checked.process, signal.SIGHUP)
    _require("it lives on after SIGHUP", checked.execute(*health).returncode == 0)
    _require("there is no zombie", "Z" not in checked.states().values() and len(checked.states()) >= 2)


def _until(what: str, true: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not true():
        if time.monotonic() > until:
            raise RuntimeError(f"not within {PATIENCE_SECONDS:g} s: {what}")
        time.sleep(0.05)
    print(f"  {what}", flush=True)


def _require(what: str, true: bool) -> None:
    if not true:
        raise RuntimeError(f"not so: {what}")
    print(f"  {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
