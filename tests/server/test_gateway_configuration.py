"""The gateway's options from flags, environment variables and a file, by the rules of the server's."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from gpubench_server.cli import main
from gpubench_server.configuration import Configuration, configure
from gpubench_server.gateway import GATEWAY
from gpubench_server.gateway.options import LIMITS
from gpubench_server.option_table import Option
from gpubench_server.options import SERVER

from gpubench.errors import InvalidParameters
from tests.certificates import Authority
from tests.running import PATIENCE_SECONDS, within
from tests.server import test_configuration as of_the_server
from tests.server.gateway import ROOT, USER, Place, reachable
from tests.server.test_configuration import NO_FILE, written

TEXTS: dict[str, str | list[str]] = {
    **{key: text for key, text in of_the_server.TEXTS.items() if key in GATEWAY.options},
    "listen": ["tls://127.0.0.1:1", "tcp://127.0.0.1:2"],
    "core": "unix:///tmp/a.sock",
    "user": USER,
    "metrics_file": "/srv/gateway.prom",
}
"""A value of each option that is not its default."""

REFUSED = "tls_client_ca"


@pytest.fixture
def place(authority: Authority) -> Iterator[Place]:
    with reachable() as directory:
        found = Place(directory, authority)
        found.token("alice")
        yield found


def asked(option: Option, text: str | list[str], tmp_path: Path) -> dict[str, Configuration]:
    """What comes of an option that is set in each of the three places."""
    several = text if isinstance(text, list) else [text]
    table, _, name = option.key.rpartition(".")
    file = written(tmp_path, f"[{table}]\n{name} = {text}" if table else f"{name} = {json.dumps(text)}")
    places: dict[str, tuple[list[str], dict[str, str]]] = {
        "flag": ([*NO_FILE, *map(option.word, several)], {}),
        "environment": (NO_FILE, {option.variable: " ".join(several)}),
        "file": (file, {}),
    }
    return {kind: configure(words, environment, GATEWAY) for kind, (words, environment) in places.items()}


def test_every_option_is_the_same_in_all_three_places(tmp_path: Path) -> None:
    assert TEXTS.keys() == GATEWAY.options.keys()
    assert {key for key in TEXTS if "." in key} == {f"limits.{name}" for name in LIMITS}
    for key, option in GATEWAY.options.items():
        if key == REFUSED:
            continue
        found = asked(option, TEXTS[key], tmp_path)
        settings = [each.settings[key] for each in found.values()]
        assert settings[0].value == settings[1].value == settings[2].value != option.default
        assert [setting.origin.kind for setting in settings] == list(found)
        assert [vars(each.options) for each in found.values()] == [vars(found["flag"].options)] * 3


def test_the_names_of_the_gateway_are_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "gpubench").mkdir()
    for name, level in (("server", "error"), ("gateway", "debug")):
        (tmp_path / f"gpubench/{name}.toml").write_text(f'log_level = "{level}"')
    environment = {"GPUBENCH_SERVER_LOG_FORMAT": "json", "GPUBENCH_GATEWAY_LIMIT_LINGER_SECONDS": "3"}
    environment["GPUBENCH_GATEWAY_SERVICE_HOST"] = "10.0.0.1"  # of a Service in Kubernetes
    ours, theirs = (configure([], environment, table).settings for table in (GATEWAY, SERVER))
    assert [found["log_level"].value for found in (ours, theirs)] == ["debug", "error"]
    assert [found["log_format"].value for found in (ours, theirs)] == ["text", "json"]
    assert [found["limits.linger_seconds"].value for found in (ours, theirs)] == [3.0, 1.0]


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("listen", "udp://127.0.0.1:1"),
        ("listen", "tcp://0.0.0.0:1"),
        ("core", "tcp://127.0.0.1:1"),
        ("tls_client_ca", "ca.pem"),
        ("user", "nobody-of-that-name"),
        ("user", "root"),
        ("limits.linger_seconds", "1h"),
        ("log_format", "xml"),
    ],
)
def test_a_wrong_value_gives_the_error_of_the_flag(tmp_path: Path, key: str, wrong: str) -> None:
    option = GATEWAY.options[key]
    file = written(tmp_path, f'# a comment\n{key} = "{wrong}"')
    attempts: list[tuple[list[str], dict[str, str]]] = [
        ([*NO_FILE, option.word(wrong)], {}),
        (NO_FILE, {option.variable: wrong}),
        (file, {}),
    ]
    messages = []
    for words, environment in attempts:
        with pytest.raises(InvalidParameters) as raised:
            configure(words, environment, GATEWAY)
        messages.append(raised.value.message)
    of_flag = messages[0].removeprefix(f"{option.flag}: ")
    assert messages[1:] == [f"{option.variable}: {of_flag}", f"{file[1]}, line 2: {key}: {of_flag}"]


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("GPUBENCH_GATEWAY_CORES", "did you mean GPUBENCH_GATEWAY_CORE?"),
        ("GPUBENCH_GATEWAY_LIMIT_MAX_RUN_SECONDS", "max_run_seconds is a limit of the server only; docs/"),
        ("GPUBENCH_GATEWAY_LIMIT_DRAIN_SECOND", "did you mean GPUBENCH_GATEWAY_LIMIT_DRAIN_SECONDS?"),
    ],
)
def test_a_wrong_variable_is_named_with_what_is_right(variable: str, said: str) -> None:
    with pytest.raises(InvalidParameters, match="unknown environment variable") as raised:
        configure(NO_FILE, {variable: "1"}, GATEWAY)
    assert f"{variable}; {said}" in raised.value.message


def file_for(place: Place, *more: str) -> list[str]:
    """A file with all that a gateway needs."""
    values = {
        "listen": ["tls://127.0.0.1:0"],
        "core": place.core_url,
        "tls_cert": str(place.certificate.certificate),
        "tls_key": str(place.certificate.key),
        "tokens": str(place.tokens),
        **({"user": USER} if ROOT else {}),
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return written(place.directory, "\n".join((*lines, *more)))


def test_a_gateway_does_what_flag_variable_and_file_say(place: Place) -> None:
    """The file alone says where; its format of the log is replaced by a variable, and a limit by both."""
    file = file_for(place, 'log_format = "text"', "[limits]", "max_connections = 1")
    environment = {"GPUBENCH_GATEWAY_LOG_FORMAT": "json", "GPUBENCH_GATEWAY_LIMIT_MAX_CONNECTIONS": "3"}
    token = place.token("bob")
    with place.core(), place.gateway(*file, environment=environment, max_connections=2) as gateway:
        assert gateway.urls[0].startswith("tls://127.0.0.1:")
        with gateway.connect(token) as first, gateway.connect(token) as second:
            assert first.ask("ping") == second.ask("ping") == {"pong": True}
            with pytest.raises(ssl.SSLError):
                gateway.open()
        assert within(PATIENCE_SECONDS, lambda: gateway.said("maximum of 2 connections"))
        assert all(json.loads(line)["message"] for line in gateway.log)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("cores = 1", "unknown key cores; did you mean core? docs/configuration.md lists all keys"),
        ("limits.max_conections = 1", "unknown key limits.max_conections; did you mean limits.max_connectio"),
        (
            "limits.max_run_seconds = 1",
            "unknown key limits.max_run_seconds; max_run_seconds is a limit of",
        ),
        ("drain_seconds = 1", "unknown key drain_seconds; did you mean limits.drain_seconds?"),
    ],
)
def test_a_wrong_key_is_named_with_its_line(place: Place, line: str, said: str) -> None:
    file = file_for(place, line)
    with pytest.raises(RuntimeError) as raised:
        place.gateway(*file)
    number = len(Path(file[1]).read_text().splitlines())
    assert f"gpubench-server: {file[1]}, line {number}: {said}" in str(raised.value)


def checked(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, Any, list[str]]:
    """The exit code, the answer as JSON, and the lines on stderr."""
    code = main(["check-config", "gateway", "--json", *words])
    out, err = capsys.readouterr()
    return code, json.loads(out), [line.removeprefix("gpubench-server: ") for line in err.splitlines()]


def test_every_option_is_shown_with_its_source(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    file = file_for(place)
    code, answer, said = checked([*file, "--limit=linger_seconds=2"], capsys)
    assert (code, said, answer["problems"], answer["file"]) == (0, [], [], file[1])
    rows = {row.pop("key"): tuple(row.values()) for row in answer["settings"]}
    assert list(rows) == list(GATEWAY.options)
    assert rows["core"] == (place.core_url, "file", f"{file[1]}, line 2")
    assert rows["limits.linger_seconds"] == (2.0, "flag", "--limit")
    assert rows["limits.drain_seconds"] == (60.0, "default", None)


def test_all_that_would_stop_a_start_is_reported(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, answer, said = checked(NO_FILE, capsys)
    assert (code, answer["problems"]) == (2, said)
    assert [line.partition(",")[0] for line in said if "the gateway needs" in line] == [
        "the gateway needs --core URL",
        "the gateway needs --tokens FILE",
    ]
    assert any("needs a certificate" in line for line in said)
    place.tokens.chmod(0o644)
    other = place.authority.issue("other").key
    code, _, said = checked([*file_for(place), f"--tls-key={other}"], capsys)
    assert (code, len(said)) == (2, 2)
    assert str(other) in said[0]
    assert "has the mode 644, which lets other users in; allowed: 640" in said[1]
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place.directory))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(place.directory / "system"))
    assert main(["check-config", "gateway"]) == 2
    looked = f"{place.directory}/gpubench/gateway.toml and {place.directory}/system/gpubench/gateway.toml"
    assert f"configuration file: none; looked for {looked}" in capsys.readouterr().out


def test_sockets_of_systemd_are_judged_for_a_gateway(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*NO_FILE, f"--core={place.core_url}", f"--tokens={place.tokens}", f"--user={USER}"]
    _, _, said = checked([*words, "--socket=tcp://:7707"], capsys)
    assert "can be reached from other machines, and lacks encryption" in said[0]
    words += place.certificate.server_options
    code, answer, said = checked([*words, "--socket=tcp://0.0.0.0:7707"], capsys)
    assert (code, said) == (0, [])
    rows = {row.pop("key"): tuple(row.values()) for row in answer["settings"]}
    assert rows["listen"] == (["tls://0.0.0.0:7707"], "flag", "--socket")
    _, _, said = checked([*words, "--socket=unix:///made/by/systemd.sock"], capsys)
    assert "a gateway listens on tls://HOST:PORT" in said[0]


def test_an_unreadable_file_comes_with_a_remedy(tmp_path: Path) -> None:
    broken = written(tmp_path, "core = ")
    for words, said in (
        (["--config", str(tmp_path / "none")], f"or name another file with --config (--config {os.devnull}"),
        (broken, "; correct that (docs/configuration.md has an example)"),
    ):
        for table in (SERVER, GATEWAY):
            with pytest.raises(InvalidParameters) as raised:
                configure(words, {}, table)
            assert said in raised.value.message
