"""A Containerfile as its stages and instructions, and the files of its context: as much as ours needs."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

_INSTRUCTION = re.compile(r"(?P<word>[A-Z]+)\s+(?P<text>.*)", re.S)


@dataclass(frozen=True)
class Instruction:
    """``text`` is what follows its word, in one line."""

    word: str
    text: str
    line: int

    @property
    def words(self) -> list[str]:
        """Its arguments, written as JSON or as in a shell."""
        if self.text.startswith("["):
            found: list[str] = json.loads(self.text)
            return found
        return shlex.split(self.text)

    @property
    def command(self) -> list[str]:
        """What it starts, written as JSON behind its options."""
        found: list[str] = json.loads(self.text[self.text.index("[") :])
        return found

    @property
    def option(self) -> dict[str, str]:
        """Its ``--name=value`` options."""
        return dict(word[2:].split("=", 1) for word in self.words if re.match(r"--[a-z-]+=", word))

    @property
    def arguments(self) -> list[str]:
        return [word for word in self.words if not word.startswith("--")]


@dataclass
class Stage:
    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[Instruction]:
        return [each for each in self.instructions if each.word == word]

    def last(self, word: str) -> Instruction:
        return self.all(word)[-1]

    @property
    def environment(self) -> dict[str, str]:
        return {
            name: value
            for each in self.all("ENV")
            for name, value in (word.split("=", 1) for word in each.words)
        }


def instructions(text: str) -> Iterator[Instruction]:
    """Each of them; comments are left out, also between continued lines."""
    begun, number = "", 0
    for line_number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        number = number if begun else line_number
        begun += line.rstrip().removesuffix("\\") if line.rstrip().endswith("\\") else line
        if line.rstrip().endswith("\\"):
            continue
        found = _INSTRUCTION.fullmatch(begun.strip())
        if found is None:
            raise ValueError(f"line {number}: not an instruction: {begun}")
        yield Instruction(found["word"], found["text"], number)
        begun = ""


def stages(text: str, arguments: dict[str, str]) -> list[Stage]:
    """The stages, with these values of build arguments."""
    given: dict[str, str] = {}
    found: list[Stage] = []
    for each in instructions(text):
        if each.word == "ARG" and not found:
            name, _, default = each.text.partition("=")
            given[name] = arguments.get(name, default)
        elif each.word == "FROM":
            base, *name = [word for word in each.words if word.lower() != "as"]
            found.append(Stage(name[0] if name else str(len(found)), Template(base).substitute(given)))
        else:
            found[-1].instructions.append(each)
    return found


class Ignored:
    """The rules of a .containerignore: the last one that matches decides."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        self._rules = [(line.startswith("!"), line.removeprefix("!")) for line in lines]

    def __call__(self, path: str) -> bool:
        """Whether a file of the context, by its relative path, is left out."""
        ignored = False
        parents = ["/".join(path.split("/")[:end]) for end in range(1, path.count("/") + 2)]
        for wanted, pattern in self._rules:
            if any(_pattern(pattern).fullmatch(each) for each in parents):
                ignored = not wanted
        return ignored


def _pattern(pattern: str) -> re.Pattern[str]:
    parts = (re.escape(part).replace(r"\*", "[^/]*") for part in pattern.split("**/"))
    return re.compile("(.*/)?".join(parts))


def files(context: Path, ignored: Ignored, source: str) -> list[str]:
    """The files at or below ``source`` in the context, by relative path; raises if there is none."""
    top = context / source
    found = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
    kept = [str(path.relative_to(context)) for path in found]
    kept = [path for path in kept if not ignored(path)]
    if not kept:
        raise FileNotFoundError(f"COPY {source}: no such file in the context")
    return kept
