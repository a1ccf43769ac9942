"""Write the parts of the documentation that are made from the program."""

from __future__ import annotations

from pathlib import Path

from gpubench.benchmarks.description import describe
from gpubench.report.benchmarks import between_markers, page, readme_table
from gpubench.report.flag_page import flag_page

ROOT = Path(__file__).parent.parent


def made() -> dict[Path, str]:
    """Each file with the text that it should have."""
    readme = ROOT / "README.md"
    found = describe()
    return {
        readme: between_markers(readme.read_text(encoding="utf-8"), readme_table(found)),
        ROOT / "docs" / "benchmarks.md": page(found),
        ROOT / "docs" / "flags.md": flag_page(),
    }


def main() -> None:
    for path, text in made().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
