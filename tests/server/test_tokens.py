"""The token file and its commands, and who gets in with what it holds."""

from __future__ import annotations

import json
import os
import re
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from gpubench_server.authentication import Authenticator, Origin
from gpubench_server.cli import main
from gpubench_server.limits import Limits
from gpubench_server.metrics_state import MetricsState
from gpubench_server.tokens import read_tokens

from gpubench.errors import InvalidParameters, NotAuthenticated
from tests.running import PATIENCE_SECONDS, within

HERE = Origin("127.0.0.1", confidential=True)
QUICK = Limits(authentication_delay_seconds=0.01)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


class Command:
    """``gpubench-server token``."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._path = path
        self._capsys = capsys

    def __call__(self, action: str, *words: str) -> str:
        """What a command that must succeed prints on stdout."""
        assert main(["token", action, "--tokens", str(self._path), *words]) == 0
        return self._capsys.readouterr().out.strip()

    def refused(self, action: str, *words: str) -> str:
        assert main(["token", action, "--tokens", str(self._path), *words]) == 2
        out, err = self._capsys.readouterr()
        (line,) = err.splitlines()
        assert out == ""
        assert isinstance(line, str)
        return line


@pytest.fixture
def token(path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(path, capsys)


# The file.


def test_a_token_is_printed_once_and_is_not_in_the_file(path: Path, token: Command) -> None:
    made = token("add", "alice", "--role", "admin", "--max-runs", "3")
    assert re.fullmatch(r"gpb_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", made)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.rpartition("_")[2] not in path.read_text()
    (row,) = json.loads(token("list", "--json"))
    assert (row["name"], row["role"], row["quota"]) == ("alice", "admin", {"max_runs": 3})
    assert not {"hash", "salt"} & row.keys()
    assert "alice" in token("list")
    token("revoke", "alice")
    assert json.loads(token("list", "--json")) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_umask_does_not_open_the_file(path: Path, token: Command) -> None:
    before = os.umask(0)
    try:
        token("add", "alice")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_tokens_that_are_added_at_the_same_time_are_all_kept(path: Path) -> None:
    names = [f"name{index}" for index in range(6)]
    threads = [
        threading.Thread(target=main, args=(["token", "add", "--tokens", str(path), name],)) for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.name for each in read_tokens(path)) == names


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("add", "alice"), "has a token 'alice' already"),
        (("add", "a b"), "'a b' is not a name for a token; allowed: 1 to 64 letters"),
        (("add", "bob", "--role", "root"), "--role: 'root' is not allowed; allowed: read, run, admin"),
        (("add", "bob", "--expires", "soon"), "--expires: 'soon' is not"),
        (
            ("add", "bob", "--max-memory-share-ratio", "2"),
            "--max-memory-share-ratio: Expected `float` <= 0.9",
        ),
        (("add", "bob", "--max-runs", "0"), "--max-runs: Expected `int` >= 1"),
        (("revoke", "bob"), "has no token 'bob'; it has: alice"),
    ],
)
def test_what_the_commands_refuse(token: Command, words: tuple[str, ...], reason: str) -> None:
    token("add", "alice")
    assert reason in token.refused(*words)
    assert [row["name"] for row in json.loads(token("list", "--json"))] == ["alice"]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.chmod(0o640), "has the mode 640, which lets other users in; allowed: 600"),
        (lambda path: path.write_text("{}"), "is damaged"),
        (lambda path: path.write_text('{"version": 9, "tokens": []}'), "has version 9; this program knows 1"),
        (lambda path: path.unlink(), "cannot be read: No such file"),
    ],
)
def test_a_server_does_not_start_with_a_file_that_is_not_right(
    path: Path, token: Command, damage: Any, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    token("add", "alice")
    damage(path)
    options = ["--tokens", str(path), "--data-dir", str(path.parent / "data"), "--http", "127.0.0.1:0"]
    assert main([*options, "--listen", "tcp://127.0.0.1:0"]) == 2
    assert reason in capsys.readouterr().err


def test_a_credential_of_systemd_has_the_mode_that_it_gives(
    path: Path, token: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    token("add", "alice")
    path.chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(path.parent / "other"))
    with pytest.raises(InvalidParameters, match="has the mode 440"):
        read_tokens(path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(path.parent))
    assert [each.name for each in read_tokens(path)] == ["alice"]
    path.chmod(0o444)
    with pytest.raises(InvalidParameters, match="has the mode 444"):
        read_tokens(path)


# Who gets in.


def changed(token: str, index: int) -> str:
    """With another character there."""
    letters = list(token)
    letters[index] = "1" if letters[index] == "0" else "0"
    return "".join(letters)


def authenticator(path: Path, limits: Limits = QUICK) -> tuple[Authenticator, MetricsState]:
    metrics = MetricsState()
    return Authenticator(path, None, limits, metrics), metrics


@pytest.mark.parametrize(
    "change", [lambda token: changed(token, -1), lambda token: changed(token, 4), str.upper]
)
def test_a_token_that_is_not_right(path: Path, token: Command, change: Any) -> None:
    made = token("add", "alice")
    checked, metrics = authenticator(path)
    assert checked.by_token(made, HERE) is not None
    with pytest.raises(NotAuthenticated) as caught:
        checked.by_token(change(made), HERE)
    # Not which part was wrong: that would say which tokens there are.
    assert caught.value.details == {}
    assert "does not know the token" in caught.value.message
    assert sum(metrics.snapshot().authentication_failures.values()) == 1


def test_a_token_is_not_accepted_where_others_can_read_it(path: Path, token: Command) -> None:
    made = token("add", "alice")
    checked, _ = authenticator(path)
    with pytest.raises(NotAuthenticated, match="have it revoked, and use tls://"):
        checked.by_token(made, Origin("192.0.2.1", confidential=False))
    assert Origin.internet("192.0.2.1", encrypted=True).confidential
    assert not Origin.internet("192.0.2.1", encrypted=False).confidential
    for host in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
        assert Origin.internet(host, encrypted=False).confidential


def test_a_new_token_is_known_at_once(path: Path, token: Command) -> None:
    """Also in the second in which the file was looked at."""
    first = token("add", "alice")
    checked, metrics = authenticator(path)
    assert checked.by_token(first, HERE)
    assert checked.by_token(token("add", "bob"), HERE)
    assert not metrics.snapshot().authentication_failures


def test_guessing_is_refused_early_and_locks_out_nobody(
    path: Path, token: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guessing is refused before anything is computed and locks out nobody who was here."""
    made, late = token("add", "alice"), token("add", "late")
    limits = Limits(authentication_delay_seconds=0.01, max_tokens_per_minute=4)
    checked, metrics = authenticator(path, limits)
    assert checked.by_token(made, HERE)
    for _ in range(3):
        with pytest.raises(NotAuthenticated, match="does not know the token"):
            checked.by_token(changed(made, -1), HERE)
    with monkeypatch.context() as patched:
        patched.setattr("gpubench_server.tokens._scrypt", lambda *_: pytest.fail("it was computed"))
        for unknown in (changed(made, -1), late):
            with pytest.raises(NotAuthenticated, match="too many tokens were tried") as caught:
                checked.by_token(unknown, HERE)
            assert caught.value.retryable
            assert 0 < caught.value.details["retry_after_seconds"] <= 60 / 4
        assert checked.by_token(made, HERE)
    assert checked.by_token(late, Origin("::1", confidential=True))
    assert metrics.snapshot().authentication_failures == {"wrong": 3, "too_many": 2}


@pytest.mark.timing
def test_a_wrong_answer_takes_its_time_whatever_is_wrong(path: Path, token: Command) -> None:
    made = token("add", "alice")
    checked, _ = authenticator(path, Limits(authentication_delay_seconds=0.4))
    for wrong in ("", "gpb", changed(made, -1), f"gpb_{'0' * 12}_{'x' * 43}"):
        begun = time.monotonic()
        with pytest.raises(NotAuthenticated):
            checked.by_token(wrong, HERE)
        assert 0.4 <= time.monotonic() - begun < 0.7


def test_a_token_ends_when_it_expires_and_when_it_is_revoked(
    path: Path, token: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpubench_server.authentication._LOOK_SECONDS", 0.0)
    short, made = token("add", "short", "--expires", "3s"), token("add", "alice")
    checked, _ = authenticator(path)
    first, second = checked.by_token(short, HERE), checked.by_token(made, HERE)
    assert first is not None
    assert second is not None
    assert within(PATIENCE_SECONDS, lambda: first.expired)
    with pytest.raises(NotAuthenticated, match="the token 'short' expired at"):
        checked.current(first)
    with pytest.raises(NotAuthenticated, match="the token 'short' expired at"):
        checked.by_token(short, HERE)
    assert checked.current(second) == second
    token("revoke", "alice")
    with pytest.raises(NotAuthenticated, match="was revoked"):
        checked.current(second)
    with pytest.raises(NotAuthenticated, match="does not know"):
        checked.by_token(made, HERE)


def test_a_damaged_token_file_changes_nothing(path: Path, token: Command) -> None:
    """A damaged file changes nothing and a missing one lets nobody in."""
    made = token("add", "alice")
    checked, _ = authenticator(path)
    path.write_text("{")
    checked.reload()
    assert checked.by_token(made, HERE)
    path.unlink()
    checked.reload()
    with pytest.raises(NotAuthenticated):
        checked.by_token(made, HERE)
