"""What a run is asked for: names on the command line, and suites of a user's own file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpubench.benchmarks.suites import Suite, parse_suites
from gpubench.errors import GpubenchError, InvalidParameters
from gpubench.requests import BenchmarkRequest

_PATH = re.compile(r"\$\.params\.benchmarks\[(\d+)\]([\w.\[\]]*)")

MAX_FILE_BYTES = 1 << 20
"""A suite is a page of text; what is larger is another file."""


class RunRequest:
    """The requests of a run. Suites of the file are expanded here, so a server needs nothing of them."""

    def __init__(self, names: Sequence[str], suite_file: str | None, settings: Mapping[str, Any]) -> None:
        """``settings`` are for every benchmark, and win over the file's.

        Raises ``InvalidParameters`` where nothing is asked for, or the file is wrong.
        """
        if not names and suite_file is None:
            raise InvalidParameters(
                "nothing to run: name a benchmark or a suite; `gpubench benchmarks` lists them"
            )
        self._file = suite_file
        own = _read(suite_file) if suite_file is not None else {}
        self.requests: list[BenchmarkRequest] = []
        self._fields: list[str | None] = []
        for name in names or own:
            if name in own:
                self._expand(list(own).index(name), own[name], settings)
            else:
                self._add(BenchmarkRequest(name, dict(settings)), None)

    def located(self, error: GpubenchError) -> GpubenchError:
        """The same error; where it speaks of a request that came from the file, in the file's words."""
        found = _PATH.search(str(error.details.get("path", "")))
        field = self._fields[int(found[1])] if found and int(found[1]) < len(self._fields) else None
        if not found or field is None:
            return error
        where = f"{self._file}: {field}{found[2]}"
        message = error.message.replace(f" at {found[0]}", "")
        return type(error)(f"{where}: {message}", **error.details)

    def _expand(self, number: int, suite: Suite, settings: Mapping[str, Any]) -> None:
        for index, member in enumerate(suite.members):
            field = None if suite.all else f"suite[{number}].benchmarks[{index}]"
            self._add(BenchmarkRequest(member.name, {**member.parameters, **settings}), field)

    def _add(self, request: BenchmarkRequest, field: str | None) -> None:
        self.requests.append(request)
        self._fields.append(field)


def _read(name: str) -> dict[str, Suite]:
    try:
        with Path(name).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise InvalidParameters("more than 1 MiB is no suite file")
        return parse_suites(data.decode())
    except OSError as error:
        raise InvalidParameters(f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidParameters(f"{name}: not UTF-8 at byte {error.start}") from None
    except InvalidParameters as error:
        raise InvalidParameters(f"{name}: {error.message}", **error.details) from None
