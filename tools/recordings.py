"""The newest recording of each kind in results/, for the tables that are made from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Kept = dict[str, Any]
"""A recording, as ``bench/record.py`` wrote it."""


def newest(folder: Path, kind: str) -> tuple[str, Kept]:
    """A link to it and its content; the name of a recording ends with its date."""
    path = max(folder.glob(f"{kind}-*.json"), key=lambda each: (each.stem[-10:], each.name))
    return f"[{path.name}](../results/{path.name})", json.loads(path.read_text(encoding="utf-8"))


def sections(
    folder: Path, tables: Mapping[str, tuple[str, Callable[[Kept], str]]], source: Callable[[Kept], str]
) -> str:
    """For each kind its heading, its table, and a link to the recording behind ``source``."""
    parts = []
    for kind, (heading, table) in tables.items():
        link, kept = newest(folder, kind)
        parts.append(f"## {heading}\n\n{table(kept)}\n\n{source(kept)}: {link}.")
    return "\n\n".join(parts)
