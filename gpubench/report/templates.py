"""How the templates of pages are filled in, for the report and for the server. Needs jinja2."""

from __future__ import annotations

import jinja2

from gpubench.report.text_table import clean


def environment(loader: jinja2.BaseLoader) -> jinja2.Environment:
    """Escapes every value; a template that uses a name it was not given raises an error."""
    return jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        # All text: no name of a device turns the rest of the page from right to left.
        finalize=lambda value: clean(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
