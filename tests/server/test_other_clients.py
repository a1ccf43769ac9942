"""What the documentation shows of clients that are not ours is run as it stands there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificates import OPENSSL, Authority
from tests.running import PATIENCE_SECONDS, Lines, RunningServer, quick

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/protocol.md")
TOOLS = ("nc", "socat", "openssl", "curl")


@dataclass(frozen=True)
class Shown:
    """A command of a page, what is typed into it, and what it prints; the last two as lines."""

    command: str
    typed: str
    printed: str

    @property
    def tool(self) -> str:
        return next(tool for tool in TOOLS if re.search(rf"(^|\| ){tool} ", self.command))

    @property
    def request(self) -> str:
        """The line of JSON that is sent; empty for HTTP."""
        found = re.search(r"'(\{.*\})'", self.command)
        return found[1] if found else self.typed


def shown() -> list[Shown]:
    found = []
    for page in PAGES:
        for block in re.findall(r"^```\n(.*?)^```$", (ROOT / page).read_text(), re.M | re.S):
            for command, rest in re.findall(r"^\$ (.*)\n((?:[^$\n].*\n)*)", block, re.M):
                if re.search(rf"(^|\| )({'|'.join(TOOLS)}) ", command):
                    typed = rest if rest.startswith('{"jsonrpc"') else ""
                    found.append(Shown(command, typed.strip(), "" if typed else rest))
    return found


SHOWN = shown()
SERVED = [each for each in SHOWN if '"drain"' not in each.command]
(DRAIN,) = (each for each in SHOWN if each not in SERVED)


@dataclass(frozen=True)
class Place:
    """A server on every transport, and how a command of the documentation reaches it."""

    server: RunningServer
    folder: Path
    authority: Authority | None

    def here(self, text: str) -> str:
        udp = next(url for url in self.server.urls if url.startswith("udp://"))
        for written, real in (
            ("gpu7.example.org:7707", f"localhost:{self.server.tls[1]}"),
            ("ca.pem", str(self.folder / "authority" / "ca.pem")),
            ("/run/gpubench/gpubench.sock", str(self.folder / "gpubench.sock")),
            ("nc -u -w 1 127.0.0.1 7707", f"nc -u -w 1 127.0.0.1 {udp.rpartition(':')[2]}"),
            ("9707", str(self.server.http[1])),
            ("7707", str(self.server.tcp[1])),
        ):
            text = text.replace(written, real)
        return text


@contextmanager
def serving(folder: Path) -> Iterator[Place]:
    authority = Authority(folder / "authority") if OPENSSL else None
    urls = ["tcp://127.0.0.1:0", f"unix://{folder}/gpubench.sock", "udp://127.0.0.1:0"]
    options: tuple[str, ...] = ()
    if authority is not None:
        urls.append("tls://127.0.0.1:0")
        options = authority.issue("server").server_options
    listen = [word for url in urls for word in ("--listen", url)]
    with RunningServer(folder / "data", *listen, *options) as server:
        yield Place(server, folder, authority)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with serving(tmp_path_factory.mktemp("other")) as made:
        yield made


def test_the_documentation_shows_every_tool() -> None:
    assert {each.tool for each in SHOWN} == set(TOOLS)


@pytest.mark.parametrize("each", SERVED, ids=lambda each: each.command[-50:])
def test_a_command_of_the_documentation(place: Place, each: Shown) -> None:
    """By the tool itself, where there is one."""
    skip_without(each.tool)
    if each.typed:
        assert json.loads(typed(place, each))["result"]["role"] == "run"
    else:
        assert printed(place, each) == each.printed


def test_the_command_that_drains(tmp_path: Path) -> None:
    skip_without(DRAIN.tool)
    with serving(tmp_path) as place:
        assert printed(place, DRAIN) == DRAIN.printed
        assert place.server.wait() == 0


@pytest.mark.parametrize(
    "each", [each for each in SERVED if each.request], ids=lambda each: each.command[-50:]
)
def test_the_same_request_without_the_tool(place: Place, each: Shown) -> None:
    """So that what the pages say is tested where a tool is not installed, too."""
    if each.tool == "openssl":
        if place.authority is None:
            pytest.skip("openssl is not installed, and makes the certificates")
        with Lines(place.server.tls, place.authority.context) as client:
            client.send(place.here(each.request).encode() + b"\n")
            assert client.response()["result"]["role"] == "run"
        return
    where = place.folder / "gpubench.sock" if "/run/gpubench" in each.command else place.server.tcp
    with Lines(where) as client:
        client.send(each.request.encode() + b"\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.reader.read().decode() == each.printed


def test_the_library_of_the_documentation(place: Place) -> None:
    """``jsonrpcclient``, as its example stands there, but for a benchmark that is quick."""
    (example,) = re.findall(
        r"^```python\n(.*?jsonrpcclient.*?)^```$", (ROOT / "docs/protocol.md").read_text(), re.M | re.S
    )
    for benchmark, said in (
        (repr(quick()), r"\Aok [\d.]+ GB/s\n\Z"),
        ('"nonsense"', "-32602 unknown_benchmark .*"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", place.here(example).replace('"triad"', benchmark)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        assert re.match(said, done.stdout), (done.stdout, done.stderr)


def skip_without(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed; the same request is sent without it in another test")
    told = subprocess.run([tool, "-h"], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    if tool == "nc" and "OpenBSD" not in told.stdout + told.stderr:
        pytest.skip("this nc is not OpenBSD's; the same request is sent without it in another test")


def printed(place: Place, each: Shown) -> str:
    done = subprocess.run(
        ["sh", "-c", place.here(each.command)], capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def typed(place: Place, each: Shown) -> str:
    """The first line that a command prints after a line was typed into it; it would go on then."""
    with subprocess.Popen(
        shlex.split(place.here(each.command)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(f"{place.here(each.typed)}\n")
        client.stdin.flush()
        line = client.stdout.readline()
        client.kill()
    return line
