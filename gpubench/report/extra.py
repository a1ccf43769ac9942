"""The extra ``report``, without which there are no pictures and no HTML."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gpubench.errors import MissingDependency

HOW_TO_GET = "pip install '.[report]' in the checkout"
"""Not the name of the distribution: it is on no registry, where somebody else could take it."""


@contextmanager
def needs_report_extra() -> Iterator[None]:
    """Around imports of what the extra installs; raises ``MissingDependency``, which names it."""
    try:
        yield
    except ImportError as error:
        raise MissingDependency(f"pictures and HTML need the extra report ({error}): {HOW_TO_GET}") from None
