"""A real server inside the test's process, so that a test can make a part of it fail."""

from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path
from typing import Self

from gpubench_server.addresses import Address, InternetEndpoint
from gpubench_server.app import Server, Settings
from gpubench_server.limits import Limits
from gpubench_server.signals import ServerSignals

from gpubench.errors import InternalError
from tests.running import PATIENCE_SECONDS, Lines

ANY_PORT = Address(socket.AF_INET, "127.0.0.1", 0, loopback=True)
ANY_TCP = [InternetEndpoint("tcp", ANY_PORT)]


class EmbeddedServer:
    """Serves from its construction to ``stop``; its workers are processes, as ever."""

    def __init__(self, data_directory: Path, limits: Limits | None = None) -> None:
        self._signals = ServerSignals()
        self.server = Server(
            Settings(ANY_TCP, ANY_PORT, data_directory, ["opencl"], limits or Limits()), self._signals
        )
        self.failure: InternalError | None = None
        self._ended = threading.Event()
        self._main = threading.Thread(target=self._run, daemon=True)
        self.server.start()
        self._main.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def tcp(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.server.urls[0].rpartition(":")[2])

    def connect(self) -> Lines:
        return Lines(self.tcp)

    def ended(self) -> bool:
        """Whether the server ended by itself, before anybody lost patience."""
        return self._ended.wait(PATIENCE_SECONDS)

    def stop(self) -> None:
        self._signals.take(signal.SIGTERM)
        assert self.ended()
        self._main.join()

    def _run(self) -> None:
        try:
            self.server.run_until(self._signals)
        except InternalError as failure:
            self.failure = failure
        finally:
            self.server.close()
            self._ended.set()
