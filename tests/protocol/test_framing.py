import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpubench.errors import LineTooLong
from gpubench.protocol.framing import LineBuffer


def drain(buffer: LineBuffer) -> list[bytes]:
    lines = []
    while (line := buffer.next_line()) is not None:
        lines.append(line)
    return lines


def fed_in_pieces(data: bytes, cuts: list[int], maximum_bytes: int) -> tuple[list[bytes], bool, bytes]:
    """The lines, whether one was too long, and the rest."""
    buffer = LineBuffer(maximum_bytes)
    lines: list[bytes] = []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for begin, end in itertools.pairwise(edges):
        buffer.feed(data[begin:end])
        try:
            while (line := buffer.next_line()) is not None:
                lines.append(line)
        except LineTooLong:
            return lines, True, b""
    return lines, False, buffer.rest


texts = st.text("ab\n", max_size=200).map(str.encode)


@given(data=texts, cuts=st.lists(st.integers(0, 200), max_size=20), maximum_bytes=st.integers(1, 40))
def test_any_split_of_the_bytes_gives_the_same_lines(
    data: bytes, cuts: list[int], maximum_bytes: int
) -> None:
    assert fed_in_pieces(data, cuts, maximum_bytes) == fed_in_pieces(data, [], maximum_bytes)


@given(data=texts)
def test_nothing_is_lost_and_nothing_added(data: bytes) -> None:
    lines, too_long, rest = fed_in_pieces(data, [], maximum_bytes=1000)
    assert not too_long
    assert b"".join(line + b"\n" for line in lines) + rest == data
    assert not any(b"\n" in part for part in (*lines, rest))


def test_the_maximum_counts_the_newline() -> None:
    buffer = LineBuffer(4)
    buffer.feed(b"abc\n")
    assert drain(buffer) == [b"abc"]
    buffer.feed(b"abcd\n")
    with pytest.raises(LineTooLong, match="longer than 4 bytes"):
        buffer.next_line()


def test_a_line_that_can_no_longer_fit_is_refused_before_its_end() -> None:
    buffer = LineBuffer(4)
    buffer.feed(b"abcd")
    with pytest.raises(LineTooLong):
        buffer.next_line()


def test_lines_before_one_that_is_too_long_are_handed_out() -> None:
    buffer = LineBuffer(4)
    buffer.feed(b"one\ntwo\nmany more")
    assert [buffer.next_line(), buffer.next_line()] == [b"one", b"two"]
    with pytest.raises(LineTooLong):
        buffer.next_line()


def test_begun_and_rest_tell_of_a_line_without_an_end() -> None:
    buffer = LineBuffer(100)
    assert not buffer.begun
    buffer.feed(b"whole\nha")
    assert drain(buffer) == [b"whole"]
    assert buffer.begun
    assert buffer.rest == b"ha"
    buffer.feed(b"lf\n")
    assert drain(buffer) == [b"half"]
    assert not buffer.begun
