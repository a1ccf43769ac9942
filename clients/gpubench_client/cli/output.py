"""What the command line writes, and where: answers on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from gpubench.errors import GpubenchError
from gpubench.standard_streams import discard

if TYPE_CHECKING:
    from rich.console import RenderableType

PIPED_WIDTH = 120
"""Columns for tables where no terminal says how wide it is: enough for all of ours."""


class Output:
    """The two streams. A reader that has had enough (``| head``) is not an error.

    Raises ``GpubenchError`` where an answer cannot be written, as on a full disk.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        for stream in (sys.stdout, sys.stderr):
            _show_what_the_encoding_can(stream)

    def text(self, text: str) -> None:
        """An answer as it is, on stdout."""
        _write(sys.stdout, text if text.endswith("\n") else text + "\n")

    def data(self, value: Any) -> None:
        """An answer as one line of JSON."""
        import msgspec

        self.text(msgspec.json.encode(value).decode())

    def show(self, *renderables: RenderableType) -> None:
        """An answer for people: tables and text, coloured on a terminal."""
        from rich.console import Console

        console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else PIPED_WIDTH)
        # Rendered first and written by us: rich has its own opinion of a broken pipe.
        with _writing(sys.stdout), console.capture() as rendered:
            for renderable in renderables:
                console.print(renderable)
        _write(sys.stdout, rendered.get())

    def tell(self, line: str) -> None:
        """What happens meanwhile; left out when quiet."""
        if not self.quiet:
            self.complain(line)

    def complain(self, line: str) -> None:
        """What went wrong, in one line; a server's words cannot steer the terminal."""
        shown = "".join(c if c.isprintable() else " " for c in line)
        _write(sys.stderr, shown + "\n")


def _write(stream: TextIO, text: str) -> None:
    with _writing(stream):
        stream.write(text)
        stream.flush()


@contextlib.contextmanager
def _writing(stream: TextIO) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        discard(stream)
        if stream is sys.stdout and not isinstance(error, BrokenPipeError):
            raise GpubenchError(f"stdout cannot be written: {error.strerror}") from None


def _show_what_the_encoding_can(stream: Any) -> None:
    """A terminal without a sign for plus-minus gets a question mark and not an exception."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")
