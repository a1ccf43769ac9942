"""Splits a stream of bytes into lines: no socket, no clock, no JSON."""

from __future__ import annotations

from gpubench.errors import LineTooLong


class LineBuffer:
    """Bytes go in as they arrive; complete lines come out, in order and without their newline.

    ``maximum_bytes`` is the longest line accepted, its newline included. A carriage return before the
    newline stays: JSON treats it as white space. Lines that arrived before one that is too long are still
    returned; after it the buffer cannot be used any more, because nobody knows where the next line begins.

    A caller that takes all lines before it feeds more holds at most one maximum and one read, and pays
    time linear in the bytes received, for many short lines and for one long line in small pieces alike:
    lines are cut out of the newest read, and only a line that spans several reads is collected aside.
    """

    def __init__(self, maximum_bytes: int) -> None:
        self.waiting = False
        """Whether any bytes are waiting; once ``next_line`` returned None they are an incomplete line."""
        self._maximum_bytes = maximum_bytes
        self._unread = b""
        self._at = 0  # in `_unread`
        self._partial = bytearray()

    def feed(self, data: bytes) -> None:
        self._unread = self._unread[self._at :] + data if self._unread else data
        self._at = 0
        self.waiting = bool(self._unread or self._partial)

    def end(self) -> None:
        """The peer sends no more: what it left without a newline counts as a line."""
        if self.waiting:
            self.feed(b"\n")

    def next_line(self) -> bytes | None:
        """The next complete line, or None until more bytes arrive; raises ``LineTooLong``."""
        end = self._unread.find(b"\n", self._at)
        if end < 0:
            self._partial += self._unread[self._at :]
            self._unread, self._at = b"", 0
            self.waiting = bool(self._partial)
            if len(self._partial) >= self._maximum_bytes:
                raise self._too_long()
            return None
        line = self._unread[self._at : end]
        self._at = end + 1
        if self._at == len(self._unread):
            self._unread, self._at = b"", 0
            self.waiting = False
        if self._partial:
            line = bytes(self._partial) + line
            self._partial = bytearray()
        if len(line) >= self._maximum_bytes:
            raise self._too_long()
        return line

    def peek(self, count: int) -> bytes:
        """The first ``count`` bytes that are waiting, or fewer; they stay."""
        return bytes(self._partial[:count] + self._unread[self._at : self._at + count])[:count]

    def _too_long(self) -> LineTooLong:
        return LineTooLong(
            f"a line is longer than {self._maximum_bytes} bytes; "
            "send one compact JSON object per line, ended by a newline",
            maximum_bytes=self._maximum_bytes,
        )
