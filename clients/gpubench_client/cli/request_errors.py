"""Errors about a wrong parameter, as the wire has them, in the words of the command line.

The wire names a JSON path and msgspec's types; a person wrote an option, and wants to know its unit and
what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gpubench.errors import GpubenchError, InvalidParameters, NoSuchDevice, UnknownBenchmark
from gpubench.suggestions import did_you_mean
from gpubench.units import format_bytes

_PREFIX = re.compile(r"(?P<benchmark>[a-z0-9_]+): (?P<problem>.*)", re.DOTALL)
_COMPARISONS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "array": "a list such as '[\"x\"]'",
    "object": "an object",
    "null": "null",
}


def explain(error: GpubenchError, source: str) -> GpubenchError:
    """The same error behind ``source``, the option or the place in a file that it is about."""
    message = _message(error)
    if source:
        message = f"{source}: {message}"
    kind = type(error)
    if isinstance(error, NoSuchDevice) and error.details.get("devices") and "cannot be opened" not in message:
        kind = InvalidParameters  # a wrong name; without any device it would not be a usage error
    return kind(message, **error.details)


def _message(error: GpubenchError) -> str:
    path, allowed = str(error.details.get("path", "")), error.details.get("allowed", [])
    names = [str(each) for each in allowed] if isinstance(allowed, list) else []
    if isinstance(error, UnknownBenchmark):
        quoted = re.search(r"'(.*?)'", error.message)
        hint = did_you_mean(quoted[1], names) if quoted else ""
        head = error.message.partition(";")[0]
        return f"{head};{hint} `gpubench benchmarks` lists all" if hint else error.message
    head, at, _ = error.message.partition(f" at {path}")
    if not path or not at:
        return error.message
    found = _PREFIX.fullmatch(head)
    benchmark, problem = (found["benchmark"], found["problem"]) if found else ("", head)
    name = (re.findall(r"\.(\w+)", path) or [""])[-1]
    sentence, wrong = _sentence(problem, name)
    if benchmark:
        sentence = f"{benchmark}{' ' if sentence.startswith('has no') else ': '}{sentence}"
    hints = did_you_mean(wrong, names) + (f" allowed: {', '.join(names)}" if names else "")
    return f"{sentence};{hints}" if hints else sentence


def _sentence(problem: str, name: str) -> tuple[str, str]:
    """What is wrong with parameter ``name``, and the wrong word, if it may be one that is spelled wrong."""
    for pattern, words in _SENTENCES:
        match = re.fullmatch(pattern, problem, re.DOTALL)
        if match:
            return words(match, name)
    return problem, ""


def _unknown(match: re.Match[str], name: str) -> tuple[str, str]:
    return f"has no parameter {match[1]}", match[1].strip("'")


def _not_allowed(match: re.Match[str], name: str) -> tuple[str, str]:
    quoted = match[1].startswith("'")  # a number is not a spelling mistake
    return f"{match[1]} is not allowed", match[1].strip("'") if quoted else ""


def _out_of_range(match: re.Match[str], name: str) -> tuple[str, str]:
    return f"must be {_COMPARISONS[match[1]]} {_quantity(float(match[2]), name)}", ""


def _wrong_length(match: re.Match[str], name: str) -> tuple[str, str]:
    what = "characters" if match[1] == "str" else "values"
    return f"must have {_COMPARISONS[match[2]]} {match[3]} {what if match[3] != '1' else what[:-1]}", ""


def _wrong_type(match: re.Match[str], name: str) -> tuple[str, str]:
    expected = [_TYPES.get(each, each) for each in match[1].split(" | ") if each != "null"]
    unit = next((f" of {unit}" for unit in ("bytes", "seconds") if name.endswith(f"_{unit}")), "")
    return f"must be {' or '.join(expected)}{unit}, not {_TYPES.get(match[2], match[2])}", ""


_SENTENCES: tuple[tuple[str, Callable[[re.Match[str], str], tuple[str, str]]], ...] = (
    (r"unknown field (.+)", _unknown),
    (r"Invalid enum value (.+)", _not_allowed),
    (r"Expected `\w+` (>=|>|<=|<) (\S+)", _out_of_range),
    (r"Expected `(\w+)` of length (>=|<=) (\d+)", _wrong_length),
    (r"Expected `([^`]+)`, got `([^`]+)`", _wrong_type),
)


def _quantity(value: float, name: str) -> str:
    """A number with the unit that the parameter's name ends with."""
    if name.endswith("_bytes"):
        return format_bytes(value)
    number = f"{value:.0f}" if value == int(value) else f"{value:g}"
    unit = next((unit for end, unit in (("_seconds", " s"), ("_bits", " bits")) if name.endswith(end)), "")
    return number + unit
