"""Threads that serve every client: if one of them ends, so does the server.

A server that still accepts connections but executes no run, or watches no deadline, would look healthy and
serve nobody. A process that has ended is restarted by whoever supervises it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from gpubench.errors import InternalError

log = logging.getLogger(__name__)


class VitalThreads:
    """Starts threads; ``failed`` is called with the reason if an exception ends one of them.

    One that returns was asked to, or has done its work: nothing that serves clients returns by itself.
    """

    def __init__(self, failed: Callable[[InternalError], object]) -> None:
        self._failed = failed

    def start(self, name: str, run: Callable[[], object]) -> threading.Thread:
        """Raises ``RuntimeError`` if the system has no more threads."""
        thread = threading.Thread(target=self._watched, args=(name, run), daemon=True, name=name)
        thread.start()
        return thread

    def _watched(self, name: str, run: Callable[[], object]) -> None:
        try:
            run()
        except BaseException as error:
            log.critical("the thread %r failed", name, exc_info=True)
            reason = f"{type(error).__name__}: {error}"
            self._failed(InternalError(f"the thread {name!r}, which serves every client, failed: {reason}"))
