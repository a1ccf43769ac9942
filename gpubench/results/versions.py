"""Versions of the run document, and the migration of older documents to the current one.

A new field with a default needs no new version: older documents are read without it, and older programs
ignore it. A field that is renamed, removed or changes its meaning needs one, and so does a new value of a
field whose values are listed, such as a flag or a status, which older programs refuse: add a function to
``MIGRATIONS``, which raises ``SCHEMA``, and keep a recorded document of the old version as a test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gpubench.errors import InvalidDocument, UnsupportedDocument

Fields = dict[str, Any]
"""A run document as plain JSON data."""

FIRST = 1
"""The oldest version, and that of a document without ``schema``."""


def _only_new_values(fields: Fields) -> Fields:
    """Nothing to change: the next version lists more values, such as flags, and adds fields with defaults."""
    return fields


MIGRATIONS: Mapping[int, Callable[[Fields], Fields]] = {1: _only_new_values}
"""From a version to the next: ``MIGRATIONS[n]`` turns a document of version n into one of version n + 1.

A function returns new data and leaves its argument as it is; ``schema`` is set by the chain.
"""

SCHEMA = FIRST + len(MIGRATIONS)
"""The version that this program writes."""

DESCRIBED = (1, SCHEMA)
"""The versions that the JSON Schema describes: since the first of them, only values and fields were added."""


def migrate(fields: Fields, found: int, source: str) -> Fields:
    """A document of version ``found`` as one of version ``SCHEMA``; errors call it ``source``.

    Raises ``UnsupportedDocument`` if ``found`` is newer than ``SCHEMA``, and ``InvalidDocument`` if an older
    document lacks what its version must have.
    """
    if found > SCHEMA:
        raise UnsupportedDocument(
            f"{source} has version {found} of the run document, but this program reads only versions {FIRST} "
            f"to {SCHEMA}; upgrade gpubench",
            found=found,
            supported=list(range(FIRST, SCHEMA + 1)),
        )
    for version in range(found, SCHEMA):
        try:
            fields = {**MIGRATIONS[version](fields), "schema": version + 1}
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise InvalidDocument(
                f"{source} is not a run document of version {version}: {error!r}; it cannot be migrated"
            ) from error
    return fields
