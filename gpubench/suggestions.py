"""``did you mean``: the known name that is closest to a wrong one."""

from __future__ import annotations

from collections.abc import Iterable


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known name that ``word`` may be meant for, upper or lower case; None if none is close."""
    import difflib

    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower()[:60], names, n=1)
    return names[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` did you mean triad?``, to be put behind a sentence; empty if no name is close."""
    name = closest(word, known)
    return f" did you mean {name}?" if name else ""
