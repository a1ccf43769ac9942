"""Raise an exception at a line of a function, to see what is left behind."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

Function = Callable[..., Any]


def lines_of(function: Function) -> list[int]:
    """The lines at which statements begin that can raise, without those that only run after an exception."""
    function = inspect.unwrap(function)
    source, first = inspect.getsourcelines(function)
    (definition,) = ast.parse(textwrap.dedent("".join(source))).body
    assert isinstance(definition, ast.FunctionDef)
    return sorted({first + statement.lineno - 1 for statement in _statements(definition.body)})


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a docstring
        returns_a_name = isinstance(statement, ast.Return) and isinstance(statement.value, ast.Name)
        if not returns_a_name and not isinstance(statement, ast.Try):  # the word `try` does nothing
            yield statement
        for name in ("body", "orelse"):  # not `handlers` and `finalbody`
            if not isinstance(statement, ast.FunctionDef):
                yield from _statements(getattr(statement, name, []))


class Fault:
    """Raises ``error`` once, when any traced thread comes to the armed line."""

    def __init__(self) -> None:
        self.hit = threading.Event()
        self._code: CodeType | None = None
        self._line = 0
        self._error: type[Exception] = MemoryError

    def arm(self, function: Function, line: int, error: type[Exception]) -> None:
        self.hit.clear()
        self._line, self._error = line, error
        self._code = inspect.unwrap(function).__code__

    def disarm(self) -> None:
        self._code = None

    def trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._trace_lines if frame.f_code is self._code else None

    def _trace_lines(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line" and frame.f_lineno == self._line and frame.f_code is self._code:
            self._code = None
            self.hit.set()
            raise self._error("a fault made by the test")
        return self._trace_lines

    def follow(self) -> None:
        """Trace the calling thread (again): an exception from a trace function ends the tracing."""
        sys.settrace(self.trace)

    @contextmanager
    def in_new_threads(self) -> Iterator[None]:
        threading.settrace(self.trace)
        try:
            yield
        finally:
            threading.settrace(None)  # type: ignore[arg-type]

    @contextmanager
    def here(self) -> Iterator[None]:
        before = sys.gettrace()
        self.follow()
        try:
            yield
        finally:
            sys.settrace(before)
