"""The client of a gpubench server, for programs that can wait for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Self, Unpack

from gpubench.benchmarks.description import Benchmarks
from gpubench.errors import GpubenchError
from gpubench.library import RunDocument
from gpubench.protocol import messages
from gpubench.results.history import History
from gpubench.results.progress import Progress
from gpubench_client.access import Access
from gpubench_client.backend import (
    BenchmarkNames,
    RunCallbacks,
    RunOptions,
    SubmitOptions,
    ignore,
    run_params,
    split_options,
)
from gpubench_client.blocking import BlockingDriver
from gpubench_client.generators import ClientProtocol
from gpubench_client.urls import parse_url


class Client:
    """A server at ``tcp://host[:port]``, ``tls://host[:port]`` or ``unix:///path``.

    Connects for the first request, and again after a break. ``udp://`` and ``unixgram://`` answer only
    ``ping`` and ``status``.

    Use it from one thread. Every method raises ``gpubench.errors.GpubenchError``: what the server
    answered, or ``Unreachable``. A request to a busy server is repeated for ``patience_seconds`` in
    all; before each wait ``on_retry`` is called with the refusal and the seconds to wait. The same holds
    if the connection breaks while ``result``, or ``run`` with ``detach`` and a ``key``, waits: the run goes
    on, and the client joins it again; also if the server is restarted while the run waits. A run's progress
    comes every half second, so ``answer_timeout_seconds`` is also how long a run may be silent.

    ``token`` is sent over TLS and on this machine only. With tls:// the server's certificate must be for the
    host in the URL and from an authority in ``ca_file`` (default: the system's); ``cert_file`` and
    ``key_file`` are a certificate of the client's own. All files are PEM. Raises ``NotTrusted``.
    """

    def __init__(
        self,
        url: str,
        *,
        connect_timeout_seconds: float = 5.0,
        answer_timeout_seconds: float = 60.0,
        patience_seconds: float = 30.0,
        on_retry: Callable[[GpubenchError, float], None] = lambda error, seconds: None,
        token: str | None = None,
        ca_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
    ) -> None:
        self._driver = BlockingDriver()
        self._protocol = ClientProtocol(
            parse_url(url),
            connect_timeout_seconds=connect_timeout_seconds,
            answer_timeout_seconds=answer_timeout_seconds,
            patience_seconds=patience_seconds,
            on_retry=on_retry,
            access=Access(token, ca_file, cert_file, key_file),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def stopped(self) -> AbstractContextManager[None]:
        """Does nothing: the server goes on, and what it sends meanwhile waits."""
        return nullcontext()

    def close(self) -> None:
        """Close the connection, which cancels its runs that are not detached."""
        self._driver.run(self._protocol.close())

    def hello(self) -> messages.Hello:
        """The server's version, features, limits and devices."""
        return self._driver.run(self._protocol.hello())

    def ping(self) -> messages.Pong:
        return self._driver.run(self._protocol.ping())

    def devices(self) -> messages.Devices:
        return self._driver.run(self._protocol.devices())

    def benchmarks(self) -> Benchmarks:
        """All benchmarks and suites, with the JSON Schema of each one's parameters."""
        return self._driver.run(self._protocol.benchmarks())

    def run(
        self, benchmarks: BenchmarkNames, *, detach: bool = False, **options: Unpack[RunOptions]
    ) -> RunDocument:
        """Run benchmarks or suites and wait for the document.

        A run with ``detach`` goes on if this client does not; ``result`` fetches its document later. If it
        has a ``key`` too and the connection breaks, it is joined again, and ``on_accepted`` called again; a
        server that was restarted meanwhile begins it again.

        Raises one of ``gpubench.errors`` if the run did not end well, with what was finished in its
        ``document``.
        """
        return self._driver.run(self._protocol.run(*split_options(benchmarks, options, detach=detach)))

    def submit(self, benchmarks: BenchmarkNames, **options: Unpack[SubmitOptions]) -> messages.Accepted:
        """Leave a run to the server; ``result`` fetches its document by ``run_id``."""
        return self._driver.run(self._protocol.submit(run_params(benchmarks, options, detach=True)))

    def cancel(self, run_id: str) -> messages.Cancelling:
        return self._driver.run(self._protocol.cancel(run_id))

    def status(self) -> messages.Status:
        return self._driver.run(self._protocol.status())

    def result(self, run_id: str, on_progress: Callable[[Progress], None] = ignore) -> RunDocument:
        """The document of a run, however it ended; waits for its end if that is still to come.

        Raises ``NoSuchRun``.
        """
        return self._driver.run(self._protocol.result(run_id, RunCallbacks(on_progress=on_progress)))

    def results(self, limit: int = 20, device: str | None = None) -> messages.Results:
        """The latest runs, newest first."""
        return self._driver.run(self._protocol.results(limit, device))

    def history(
        self,
        device: str | None = None,
        benchmark: str | None = None,
        since: str | None = None,
        limit: int = 1000,
    ) -> History:
        """The newest figures (1 to 10,000) by series: of a device by its id, alias or name, of one benchmark.

        ``since`` is a time in ISO 8601.
        """
        params = messages.HistoryParams(device, benchmark, since, limit)
        return self._driver.run(self._protocol.history(params))

    def drain(self) -> messages.Draining:
        """Have the server accept no new runs and end after the current ones: only at ``unix://``, for root
        and the server's own user."""
        return self._driver.run(self._protocol.drain())
