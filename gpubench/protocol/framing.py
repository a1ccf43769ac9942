"""Bytes into lines, and nothing else: no socket, no clock, no JSON."""

from __future__ import annotations

from gpubench.errors import LineTooLong


class LineBuffer:
    """Bytes go in as they come, whole lines come out, and never more than one line's maximum waits.

    ``maximum_bytes`` counts the newline. A line is handed out without its newline; a carriage
    return before it stays, JSON takes it for a space. Lines that came before one that is too long
    are still handed out, and after it the stream is of no use: nobody knows where the next begins.

    For a server, ``begun`` says whether a line is waiting for its end (the absolute deadline of a
    line runs from its first byte), and ``rest`` is what a peer left when it closed in mid-line.
    """

    def __init__(self, maximum_bytes: int) -> None:
        self._maximum_bytes = maximum_bytes
        self._bytes = bytearray()
        self._searched = 0  # so that many small pieces of a long line cost linear time

    def feed(self, data: bytes) -> None:
        self._bytes += data

    def next_line(self) -> bytes | None:
        """The next whole line, or None until more bytes come; raises ``LineTooLong``."""
        end = self._bytes.find(b"\n", self._searched)
        if end >= self._maximum_bytes or (end < 0 and len(self._bytes) >= self._maximum_bytes):
            raise LineTooLong(
                f"a line is longer than {self._maximum_bytes} bytes; "
                "send one compact JSON object per line, ended by a newline",
                maximum_bytes=self._maximum_bytes,
            )
        if end < 0:
            self._searched = len(self._bytes)
            return None
        line = bytes(self._bytes[:end])
        del self._bytes[: end + 1]
        self._searched = 0
        return line

    @property
    def begun(self) -> bool:
        """Whether bytes of a line without its end are here (once ``next_line`` gave None)."""
        return bool(self._bytes)

    @property
    def rest(self) -> bytes:
        """The bytes of the line that has no end yet."""
        return bytes(self._bytes)
