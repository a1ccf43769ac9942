"""The table of flags as a page of the documentation: ``docs/flags.md``."""

from __future__ import annotations

from gpubench.flags import EFFECTS, FLAGS
from gpubench.report.markdown import markdown_table
from gpubench.report.text_table import Table

_INTRODUCTION = (
    "A flag says what is known against a figure. It stays with the figure in the run document and in every "
    "table. Flagged figures are kept; only unverified data have none. Below its tables a report explains "
    "each flag of the run with the run's own numbers. This page is made from the program by `make docs`."
)


def flag_page() -> str:
    """All flags with meaning, remedy and effects, in Markdown; ends with a newline."""
    meanings = tuple((flag, info.meaning, info.remedy) for flag, info in FLAGS.items())
    effects = tuple(
        (flag, *("yes" if effect in info.effects else "" for effect in EFFECTS))
        for flag, info in FLAGS.items()
    )
    names = tuple(effect.replace("_", " ") for effect in EFFECTS)
    parts = [
        "# Flags",
        _INTRODUCTION,
        markdown_table(Table("", ("flag", "what it means", "what to do"), meanings, 3)),
        "## What a flag does",
        "\n".join(f"- **{name}**: {text}" for name, text in zip(names, EFFECTS.values(), strict=True)),
        markdown_table(Table("", ("flag", *names), effects, len(names) + 1)),
    ]
    return "\n\n".join(parts) + "\n"
