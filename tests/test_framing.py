from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpubench.errors import LineTooLong
from gpubench.framing import LineBuffer


def drain(buffer: LineBuffer) -> list[bytes]:
    lines = []
    while (line := buffer.next_line()) is not None:
        lines.append(line)
    return lines


def fed_in_pieces(
    data: bytes, cuts: list[int], maximum_bytes: int, take_all: bool = True
) -> tuple[list[bytes], bool, bytes]:
    """The lines, whether one was too long, and the bytes left.

    Lines are taken after each piece if ``take_all``, else after the last one.
    """
    buffer = LineBuffer(maximum_bytes)
    lines: list[bytes] = []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    try:
        for begin, end in itertools.pairwise(edges):
            buffer.feed(data[begin:end])
            while take_all and (line := buffer.next_line()) is not None:
                lines.append(line)
        while (line := buffer.next_line()) is not None:
            lines.append(line)
    except LineTooLong:
        return lines, True, b""
    return lines, False, buffer.peek(maximum_bytes)


unhurried = settings(deadline=None)  # a busy machine is not a failure
texts = st.text("ab\n", max_size=200).map(str.encode)
cuts = st.lists(st.integers(0, 200), max_size=20)


@unhurried
@given(data=texts, cuts=cuts, maximum_bytes=st.integers(1, 40), take_all=st.booleans())
def test_every_split_gives_the_same_lines(
    data: bytes, cuts: list[int], maximum_bytes: int, take_all: bool
) -> None:
    assert fed_in_pieces(data, cuts, maximum_bytes, take_all) == fed_in_pieces(data, [], maximum_bytes)


@unhurried
@given(data=texts, cuts=cuts)
def test_nothing_is_lost_and_nothing_added(data: bytes, cuts: list[int]) -> None:
    lines, too_long, rest = fed_in_pieces(data, cuts, maximum_bytes=1000)
    assert not too_long
    assert b"".join(line + b"\n" for line in lines) + rest == data
    assert not any(b"\n" in part for part in (*lines, rest))


@unhurried
@given(data=texts, cuts=cuts, count=st.integers(0, 30))
def test_peek_shows_the_first_bytes_that_wait(data: bytes, cuts: list[int], count: int) -> None:
    buffer = LineBuffer(1000)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    waiting = b""
    for begin, end in itertools.pairwise(edges):
        buffer.feed(data[begin:end])
        waiting += data[begin:end]
        assert (buffer.peek(count), buffer.waiting) == (waiting[:count], bool(waiting))
        if (line := buffer.next_line()) is not None:
            waiting = waiting[len(line) + 1 :]
        assert (buffer.peek(count), buffer.waiting) == (waiting[:count], bool(waiting))


def test_the_maximum_includes_the_newline() -> None:
    buffer = LineBuffer(4)
    buffer.feed(b"abc\n")
    assert drain(buffer) == [b"abc"]
    buffer.feed(b"abcd\n")
    with pytest.raises(LineTooLong, match="longer than 4 bytes"):
        buffer.next_line()


@pytest.mark.parametrize("pieces", [[b"abcd"], [b"ab", b"cd"], [b"a", b"b", b"c", b"d"]])
def test_a_line_that_cannot_fit_is_refused_before_its_end(pieces: list[bytes]) -> None:
    buffer = LineBuffer(4)
    for piece in pieces[:-1]:
        buffer.feed(piece)
        assert buffer.next_line() is None
    buffer.feed(pieces[-1])
    with pytest.raises(LineTooLong):
        buffer.next_line()


def test_lines_before_one_that_is_too_long_are_returned() -> None:
    buffer = LineBuffer(4)
    buffer.feed(b"one\ntwo\nmany more")
    assert [buffer.next_line(), buffer.next_line()] == [b"one", b"two"]
    with pytest.raises(LineTooLong):
        buffer.next_line()


def test_the_end_completes_a_line_without_a_newline() -> None:
    buffer = LineBuffer(100)
    buffer.end()
    assert drain(buffer) == []
    buffer.feed(b"whole\nha")
    assert drain(buffer) == [b"whole"]
    buffer.feed(b"lf")
    buffer.end()
    assert drain(buffer) == [b"half"]
    assert not buffer.waiting


def test_an_incomplete_line_is_waiting() -> None:
    buffer = LineBuffer(100)
    assert not buffer.waiting
    buffer.feed(b"whole\nha")
    assert drain(buffer) == [b"whole"]
    assert buffer.waiting
    buffer.feed(b"lf\n")
    assert drain(buffer) == [b"half"]
    assert not buffer.waiting
