"""Help, explanations and shell completion."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from gpubench_client.cli.commands import COMMANDS
from gpubench_client.cli.completion import SHELLS
from gpubench_client.cli.main import main

from gpubench.flags import FLAGS
from gpubench.report.glossary import entries, look_up
from tests.running import PATIENCE_SECONDS


@pytest.mark.parametrize("name", ["", *(command.name for command in COMMANDS)])
def test_help_is_the_command_s_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for words in (["help", name], [name, "--help"]):
        assert main([word for word in words if word]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] != ""


def test_every_flag_is_explained_with_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    for flag, info in FLAGS.items():
        assert main(["explain", flag]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert f"{flag} (flag)" in said
        assert info.remedy in said


@pytest.mark.parametrize(
    "word", ["NOT COMPARABLE", "not-comparable", "Not_Comparable", "Loaded-Latency", "full"]
)
def test_a_word_is_understood_in_any_spelling(word: str) -> None:
    [entry] = look_up(word)
    assert entry.lines


def test_every_entry_is_found_by_its_name_and_says_something() -> None:
    for entry in entries():
        assert entry in look_up(entry.name)
        assert all(line.strip(" .") for line in entry.lines)


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_a_script_with_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for command in COMMANDS:
        assert command.name in script


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["gpubench", "ru"], {"run", "runs"}),
        (["gpubench", "run", "loaded"], {"loaded_latency"}),
        (["gpubench", "run", "--foot"], {"--footprint"}),
        (["gpubench", "run", "--runtime", "op"], {"opencl"}),
        (["gpubench", "completion", "z"], {"zsh"}),
        (["gpubench", "report", "./run.js"], {"./run.json"}),
    ],
)
def test_bash_completes(
    words: list[str], offered: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").touch()
    assert main(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    command = (
        'source ./script; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        'function=$(complete -p gpubench | sed "s/.*-F \\([^ ]*\\).*/\\1/"); '
        '$function gpubench "${@: -1}"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", command, "bash", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    assert {word.strip() for word in done.stdout.splitlines()} == offered, done.stderr
