"""A real gateway in a process of its own, in front of a real server, both as they are meant to be run."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

from gpubench_server.principals import Quota, Role
from gpubench_server.tokens import add_token

from tests.certificates import Authority, Certificate
from tests.running import Lines, Running, RunningServer, address_of, children_of, default_signals, settings_of

ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody")
UID, GID = (NOBODY.pw_uid, NOBODY.pw_gid) if ROOT else (os.geteuid(), os.getegid())
"""Who the gateway is: under root, somebody else, as it must be."""
USER = NOBODY.pw_name if ROOT else str(UID)


class Place:
    """The files of both, in a folder that the gateway's user can reach."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        self.directory = directory
        self.socket = directory / "core.sock"
        self.tokens = directory / "tokens.json"
        self.authority = authority
        issued = authority.issue("gateway")
        self.certificate = Certificate(
            Path(shutil.copy(issued.certificate, directory)), Path(shutil.copy(issued.key, directory))
        )

    @property
    def core_url(self) -> str:
        return f"unix://{self.socket}"

    def token(self, name: str, role: Role = "run", lifetime: timedelta | None = None) -> str:
        return add_token(self.tokens, name, role, Quota(), lifetime)[0]

    def core(self, *options: str, **limits: float) -> RunningServer:
        """The server, which asks the gateway's user for a token."""
        return self.bare_core("--gateway-user", str(UID), "--tokens", str(self.tokens), *options, **limits)

    def bare_core(self, *options: str, **limits: float) -> RunningServer:
        """The server without the options for a gateway."""
        listen = ("--listen", self.core_url, "--unix-mode", "666")
        return RunningServer(self.directory / "data", *listen, *options, **limits)

    def gateway(self, *options: str, **settings: object) -> RunningGateway:
        return RunningGateway(self, *options, **settings)  # type: ignore[arg-type]

    @staticmethod
    def hand_over(*files: Path) -> None:
        """What the gateway is to read again must be its user's."""
        if ROOT:
            for file in files:
                os.chown(file, UID, GID)


@contextlib.contextmanager
def reachable() -> Iterator[Path]:
    """A folder that every user can reach: not one of pytest's, which are for one user, and closed again by
    every pytest that starts."""
    with tempfile.TemporaryDirectory(prefix="gpubench-gateway-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


class RunningGateway(Running):
    """The gateway on free ports with TLS, or where a ``--listen`` says; with ``--config`` everything is up to
    that file."""

    def __init__(
        self,
        place: Place,
        *options: str,
        prepare: Callable[[], None] = default_signals,
        environment: dict[str, str] | None = None,
        **limits: float,
    ) -> None:
        self.place = place
        words: list[str] = []
        if "--config" not in options:
            words = ["--core", place.core_url, "--tokens", str(place.tokens)]
            if "--listen" not in options:
                words += ["--listen", "tls://127.0.0.1:0", *place.certificate.server_options]
            if ROOT:
                words += ["--user", USER]
        words = ["gateway", *words, *settings_of(limits), *options]
        super().__init__(*words, environment=environment, prepare=prepare)
        self.address = address_of(self.urls[0])

    def open(self) -> Lines:
        """A client that has said nothing."""
        encrypted = self.urls[0].startswith("tls://")
        return Lines(self.address, self.place.authority.context if encrypted else None)

    def connect(self, token: str) -> Lines:
        """A client that has shown its token."""
        with contextlib.ExitStack() as undo:
            client = undo.enter_context(self.open())
            client.ask("hello", {"token": token})
            undo.pop_all()
            return client

    def child_of(self, connect: Callable[[], Lines]) -> tuple[Lines, int]:
        """A new connection, and the process that serves it."""
        before = set(self.children())
        client = connect()
        (pid,) = set(self.children()) - before
        return client, pid

    def zombies(self) -> int:
        """Children that have ended, and that nobody has waited for."""
        return len(children_of(self.process.pid, ended=True))


def certificate_name(gateway: RunningGateway) -> str:
    with gateway.open() as client:
        assert isinstance(client.socket, ssl.SSLSocket)
        subject = client.socket.getpeercert()["subject"]  # type: ignore[index]
        return str(subject[0][0][1])  # type: ignore[index]
