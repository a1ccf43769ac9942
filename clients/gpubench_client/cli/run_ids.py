"""Runs of a server by their ids: an unmistakable beginning is enough, and a wrong one gets a hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from gpubench.errors import InvalidParameters, NoSuchRun
from gpubench.suggestions import did_you_mean
from gpubench_client.cli.arguments import MAX_LISTED

if TYPE_CHECKING:
    from gpubench_client.client import Client

_MOST_SHOWN = 5

T = TypeVar("T")


def of_run(client: Client, run_id: str, ask: Callable[[str], T]) -> T:
    """What ``ask`` answers for the run whose id is, or begins with, ``run_id``.

    Raises ``NoSuchRun`` if there is none, and ``InvalidParameters`` if there are several.
    """
    try:
        return ask(run_id)
    except NoSuchRun as error:
        no_such_run = error
    known = [run.run_id for run in client.results(MAX_LISTED).runs]
    found = [each for each in known if each.startswith(run_id)]
    if len(found) > 1:
        shown = [*found[:_MOST_SHOWN], *(["..."] if len(found) > _MOST_SHOWN else [])]
        raise InvalidParameters(f"RUN_ID: {len(found)} runs begin with {run_id!r}: {', '.join(shown)}")
    if not found:
        hint = did_you_mean(run_id, known)
        raise NoSuchRun(
            f"RUN_ID: the server has no run {run_id!r};{hint} `gpubench runs` lists its runs",
            **no_such_run.details,
        )
    return ask(found[0])
