"""The codes of a run document and of a verdict as Markdown tables, for the documentation."""

from __future__ import annotations

from gpubench.comparison.acceptance.faults import FAULTS, STATUS_MEANING
from gpubench.comparison.reasons import REASON_CODES
from gpubench.measure.stop_decision import STOP_REASONS, UNMET_CONDITIONS
from gpubench.report.benchmarks import markdown_rows
from gpubench.report.markdown import escape_prose


def code_tables() -> str:
    """Every code with its sentence; names in braces are those of its values."""
    stops = [
        (_code(code), "yes" if row.reached else "no", escape_prose(row.sentence))
        for code, row in STOP_REASONS.items()
    ]
    unmet = [(_code(code), escape_prose(sentence)) for code, sentence in UNMET_CONDITIONS.items()]
    reasons = [(_code(code), escape_prose(sentence)) for code, sentence in REASON_CODES.items()]
    return "\n\n".join(
        (
            markdown_rows(("`stop_code`", "goal reached", "sentence"), stops),
            markdown_rows(("`stop_unmet_code`", "sentence"), unmet),
            markdown_rows(("`reason_code` of a verdict", "sentence"), reasons),
        )
    )


def fault_table() -> str:
    """The fault codes of a check, with their status, meaning and action."""
    rows = [
        (_code(code), row.status, escape_prose(row.meaning), escape_prose(row.action))
        for code, row in FAULTS.items()
    ]
    statuses = [(status, escape_prose(meaning)) for status, meaning in STATUS_MEANING.items()]
    return "\n\n".join(
        (
            markdown_rows(("status", "meaning"), statuses),
            markdown_rows(("code", "status", "meaning", "what to do"), rows),
        )
    )


def _code(name: str) -> str:
    return f"`{name}`"
