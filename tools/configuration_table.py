"""The tables of options for docs/configuration.md, made from the parsers and the limits."""

from __future__ import annotations

import ast
import inspect
import re

from gpubench_server.gateway import GATEWAY
from gpubench_server.limits import Limits, ranges
from gpubench_server.option_table import Option, OptionTable
from gpubench_server.options import SERVER

from gpubench.report.benchmarks import markdown_rows
from gpubench.report.markdown import escape, escape_prose

_COLUMNS = ("key in the file", "flag", "variable", "default", "meaning")

_DEFAULT = re.compile(r" \(default: (.*)\)$")


def configuration_tables() -> str:
    """A section for each command that serves."""
    tables = {"The server": SERVER, "The gateway": GATEWAY}
    return "\n\n".join(f"### {title}\n\n{_table(table)}" for title, table in tables.items())


def _table(table: OptionTable) -> str:
    """A row for each option and each limit."""
    reasons = _reasons()
    rows = []
    for key, option in table.options.items():
        default, meaning = _of_limit(option, reasons) if option.limit else _of_flag(option)
        flag = f"{option.flag} {option.limit}=..." if option.limit else option.flag
        rows.append((f"`{key}`", f"`{flag}`", f"`{option.variable}`", default, meaning))
    return markdown_rows(_COLUMNS, rows)


def _of_flag(option: Option) -> tuple[str, str]:
    """Default and meaning, as the help has them."""
    text = (option.action.help or "") % {"default": option.default}
    found = _DEFAULT.search(text)
    default = found[1] if found else "false" if option.is_switch else "none"
    return escape(default), escape_prose(_DEFAULT.sub("", text))


def _of_limit(option: Option, reasons: dict[str, str]) -> tuple[str, str]:
    assert option.limit
    _, allowed = ranges()[option.limit]
    return f"{option.default:g}" if isinstance(option.default, float) else str(option.default), (
        f"{escape(str(allowed))}. {reasons[option.limit]}"
    )


def _reasons() -> dict[str, str]:
    """The docstring of each limit: what it is for."""
    (body,) = (node for node in ast.parse(inspect.getsource(Limits)).body if isinstance(node, ast.ClassDef))
    reasons = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(field.target, ast.Name)
            reasons[field.target.id] = " ".join(ast.literal_eval(text.value).split()).replace("``", "`")
    return reasons
