"""A user's own file of suites; docs/suites.md describes it."""

from __future__ import annotations

from gpubench.benchmarks.suites import Suite, parse_suites
from gpubench.errors import InvalidParameters
from gpubench.text import as_utf8
from gpubench_client.cli.files import read_bytes

MAX_BYTES = 1 << 20
"""A suite is a page of text; what is larger is another file."""


def read_suites(name: str) -> dict[str, Suite]:
    """The suites by name, in the file's order; raises ``InvalidParameters``, which names file and place."""
    try:
        data = read_bytes(name, MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InvalidParameters("not a suite file: it is larger than 1 MiB")
        return parse_suites(as_utf8(data).decode())
    except OSError as error:
        raise InvalidParameters(f"--suite-file: {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidParameters(f"{name}: not {error.encoding.upper()} at byte {error.start}") from None
    except InvalidParameters as error:
        raise InvalidParameters(f"{name}: {error.message}", **error.details) from None
