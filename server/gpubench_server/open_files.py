"""The limit of open files, which is raised to what the limits of connections need."""

from __future__ import annotations

import logging
import resource

log = logging.getLogger(__name__)

_OTHER_FILES = 64
"""Streams, listeners, the store, certificates, tokens, workers; and what is open only for a moment."""


def make_room_for_files(of_clients: int) -> None:
    """Let this process have as many open files for clients; if it may not, as many as it may, with a warning.

    The usual limit, 1,024, is a soft one: a process may raise it by itself.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = of_clients + _OTHER_FILES
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if allowed < wanted:
        log.warning(
            "the clients may need %d open files, and this process may have %d: raise the hard limit "
            "(LimitNOFILE= in a unit, else ulimit -Hn), or set a lower --limit max_connections",
            wanted,
            allowed,
        )
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
