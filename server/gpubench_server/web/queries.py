"""What the query of an address may ask for."""

from __future__ import annotations

from starlette.requests import Request

from gpubench.errors import InvalidParameters
from gpubench_server.web.source import MAX_RUNS

MAX_COMPARED = 32
"""Runs in one comparison, each read from the store."""

DEFAULT_RUNS = 50


def run_query(request: Request) -> tuple[int, str | None]:
    """``limit`` and ``device``. Raises ``InvalidParameters``."""
    text = request.query_params.get("limit", str(DEFAULT_RUNS))
    # Not `isdigit` alone: digits of other scripts, and more of them than int() takes, are digits too.
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= limit <= MAX_RUNS:
        raise InvalidParameters(f"limit must be a whole number from 1 to {MAX_RUNS}, not {text[:40]!r}")
    return limit, device_query(request)


def device_query(request: Request) -> str | None:
    return request.query_params.get("device") or None


def chosen(request: Request) -> tuple[list[str], bool]:
    """The runs to compare, each once, and whether those of one device are one side.

    Raises ``InvalidParameters``.
    """
    run_ids = list(dict.fromkeys(request.query_params.getlist("run")))
    if len(run_ids) > MAX_COMPARED:
        raise InvalidParameters(f"at most {MAX_COMPARED} runs can be compared at once, not {len(run_ids)}")
    pool = request.query_params.get("pool", "0")
    if pool not in ("0", "1"):
        raise InvalidParameters(f"pool must be 0 or 1 (runs of one device are one side), not {pool[:40]!r}")
    return run_ids, pool == "1"
