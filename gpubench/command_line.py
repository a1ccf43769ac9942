"""The parser of both commands: a usage error is one line that names the option that was meant.

Only argparse is imported for every command line: help must be quick.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from gpubench.errors import InvalidParameters
from gpubench.text import encodable, not_text


class Parser(argparse.ArgumentParser):
    """Raises ``InvalidParameters`` instead of printing its whole usage; options are never abbreviated."""

    def __init__(
        self, prog: str, description: str, usage: str | None = None, epilog: str | None = None
    ) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(prog, usage, description, epilog, formatter_class=formatter, allow_abbrev=False)
        # Of every argument that has no other type; those of files and folders have `file_name`.
        self.register("type", None, text)

    def parse(
        self, words: Sequence[str] | None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Intermixed: options may stand between the names of benchmarks. None means ``sys.argv``.

        What ``namespace`` has already takes the place of defaults.
        """
        args, unknown = self.parse_known_intermixed_args(words, namespace)
        if unknown:
            word = next((word for word in unknown if word.startswith("-")), unknown[0])
            raise InvalidParameters(self.unknown(word))
        return args

    def error(self, message: str) -> NoReturn:
        if message.startswith("the following arguments are required"):
            message += f"; `{self.prog} --help` describes them"
        raise InvalidParameters(message.removeprefix("argument "))

    def unknown(self, word: str) -> str:
        """The error about a word that is neither an option nor an argument."""
        if not word.startswith("-"):
            return f"unexpected argument {word!r}; `{self.prog} --help` describes the arguments"
        option = word.partition("=")[0]
        return f"unknown option {option};{self.hint(option)} `{self.prog} --help` describes the options"

    def hint(self, option: str) -> str:
        """What may have been meant, as `` did you mean --out?``; empty if nothing is close."""
        from gpubench.suggestions import did_you_mean

        return did_you_mean(option, (each for each in self._option_string_actions if each.startswith("--")))


def file_name(word: str) -> str:
    """A type for the name of a file or folder, which may be any bytes."""
    return word


def text(word: str) -> str:
    """A type for words that are kept, sent or looked up."""
    problem = not_text(word)
    if problem:
        raise argparse.ArgumentTypeError(f"{encodable(word)} is not text: {problem}")
    return word


def one_of(*choices: str) -> Callable[[str], str]:
    """A type for one of a few names, in upper or lower case."""

    def parse(text: str) -> str:
        from gpubench.suggestions import did_you_mean

        if text.lower() in choices:
            return text.lower()
        hint = did_you_mean(text, choices)
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed;{hint} allowed: {', '.join(choices)}")

    return parse


def choice(names: Iterable[str]) -> dict[str, Any]:
    """``type`` and ``metavar`` of an option that takes one of a few names."""
    names = tuple(names)
    return {"type": one_of(*names), "metavar": f"{{{','.join(names)}}}"}
