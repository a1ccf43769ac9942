"""What the command line writes: answers on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from gpubench.errors import GpubenchError
from gpubench.standard_streams import discard
from gpubench.text import encodable

if TYPE_CHECKING:
    from rich.console import RenderableType

PIPED_WIDTH = 120
"""Columns for tables if there is no terminal: enough for all of ours."""


class Output:
    """The two streams. A reader that closes early (``| head``) is not an error.

    Raises ``GpubenchError`` if an answer cannot be written, as on a full disk.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        for stream in (sys.stdout, sys.stderr):
            _replace_unencodable(stream)

    def text(self, text: str) -> None:
        """An answer, unchanged."""
        _write(sys.stdout, text if text.endswith("\n") else text + "\n")

    def raw(self, data: bytes) -> None:
        """An answer in a format of its own, unchanged."""
        with _writing(sys.stdout):
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def data(self, value: Any) -> None:
        """An answer as one line of JSON."""
        import msgspec

        self.text(msgspec.json.encode(value).decode())

    def show(self, *renderables: RenderableType) -> None:
        """An answer for people: tables and text, coloured on a terminal."""
        from rich.console import Console

        terminal = sys.stdout.isatty()
        width = None if terminal else PIPED_WIDTH
        console = Console(file=sys.stdout, width=width, markup=False, highlight=False)
        # Rendered first and written here: rich has its own handling of a broken pipe.
        with _writing(sys.stdout), console.capture() as rendered:
            for renderable in renderables:
                console.print(renderable)
        text = rendered.get()
        # Blanks at the end of a line fill a terminal's table; in a file they are noise.
        _write(sys.stdout, text if terminal else re.sub(r" +$", "", text, flags=re.MULTILINE))

    def note(self, line: str) -> None:
        """A line about what is happening, on stderr; nothing if quiet."""
        if not self.quiet:
            self.error(line)

    def error(self, line: str) -> None:
        """A line on stderr; control characters, as in a server's message, are made harmless.

        So are bytes that are not UTF-8, as in the name of a file.
        """
        shown = "".join(c if c.isprintable() else " " for c in encodable(line))
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


def _replace_unencodable(stream: Any) -> None:
    """A terminal whose encoding has no plus-minus sign gets a question mark, not an exception."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")
