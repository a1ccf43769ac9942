"""Write the parts of the documentation that are made from the program: tables, pages, and the JSON Schema."""

from __future__ import annotations

from pathlib import Path

from configuration_table import configuration_tables
from limit_tables import limit_tables
from load_tables import recorded_tables
from man_pages import man_pages
from soak_table import soak_table

from gpubench.benchmarks.description import describe
from gpubench.report.benchmarks import between_markers, page, readme_table
from gpubench.report.codes import code_tables, fault_table
from gpubench.report.dialects.files import check_schema
from gpubench.report.flag_page import flag_page
from gpubench.report.signal_table import signal_table
from gpubench.results.schema import document_schema, render_schema

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
RESULTS = ROOT / "results"


def made() -> dict[Path, str]:
    """Each file with the text that it should have."""
    found = describe()
    return {
        ROOT / "README.md": _with_tables(ROOT / "README.md", readme_table(found)),
        DOCS / "benchmarks.md": page(found),
        DOCS / "flags.md": flag_page(),
        DOCS / "run-document.md": _with_tables(DOCS / "run-document.md", code_tables()),
        DOCS / "run-document.schema.json": render_schema(document_schema()),
        DOCS / "check.schema.json": render_schema(check_schema()),
        DOCS / "check.md": _with_tables(DOCS / "check.md", fault_table()),
        DOCS / "faults.md": _with_tables(DOCS / "faults.md", soak_table(RESULTS)),
        DOCS / "configuration.md": _with_tables(DOCS / "configuration.md", configuration_tables()),
        DOCS / "limits.md": _with_tables(DOCS / "limits.md", limit_tables(RESULTS)),
        DOCS / "load.md": _with_tables(DOCS / "load.md", recorded_tables(RESULTS)),
        DOCS / "what-happens.md": _with_tables(DOCS / "what-happens.md", signal_table()),
        **{DOCS / "man" / name: text for name, text in man_pages().items()},
    }


def _with_tables(path: Path, tables: str) -> str:
    return between_markers(path.read_text(encoding="utf-8"), tables)


def main() -> None:
    for path, text in made().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
