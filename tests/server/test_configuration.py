"""Options from flags, environment variables and a file: which one counts, and what is said of a wrong one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from gpubench_server.cli import main
from gpubench_server.configuration import Configuration, configure
from gpubench_server.limits import ranges
from gpubench_server.option_table import Option
from gpubench_server.options import SERVER

from gpubench.errors import InvalidParameters
from tests.running import RunningServer

TEXTS = {
    "listen": ["tcp://127.0.0.1:1", "unix:///tmp/a.sock"],
    "unix_mode": "660",
    "unix_user": ["root", "12"],
    "gateway_user": ["12", "root"],
    "http": "127.0.0.1:2",
    "data_dir": "/srv/data",
    "address_file": "/srv/addresses.json",
    "runtime": "opencl",
    "tls_cert": "/srv/cert.pem",
    "tls_key": "/srv/key.pem",
    "tls_client_ca": "/srv/ca.pem",
    "tls_client_role": "admin",
    "tokens": "/srv/tokens.json",
    "insecure": "true",
    "http_host": ["gpu7.example.org", "gpu7"],
    "metrics_access": "token",
    "log_level": "warning",
    "log_format": "json",
    **{f"limits.{name}": f"{allowed.high:.12g}" for name, (_, allowed) in ranges().items()},
}
"""A value of each option that is not its default."""

NO_FILE = ["--config", os.devnull]


def texts(key: str) -> list[str]:
    text = TEXTS[key]
    return text if isinstance(text, list) else [text]


def flags(option: Option) -> list[str]:
    return [option.flag] if option.is_switch else [option.word(text) for text in texts(option.key)]


def toml(key: str) -> str:
    """A file with one key; numbers of limits are numbers."""
    table, _, name = key.rpartition(".")
    value = TEXTS[key] if table or key == "insecure" else json.dumps(TEXTS[key])
    return f"[{table}]\n{name} = {value}\n" if table else f"{name} = {value}\n"


def written(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "server.toml"
    path.write_text(text)
    return ["--config", str(path)]


def value(found: Configuration, key: str) -> Any:
    return found.settings[key].value


def test_every_option_is_the_same_in_all_three_places(tmp_path: Path) -> None:
    assert TEXTS.keys() == SERVER.options.keys()
    for key, option in SERVER.options.items():
        config = written(tmp_path, toml(key))
        variables = {option.variable: " ".join(texts(key))}
        found = {
            "flag": configure([*NO_FILE, *flags(option)], {}),
            "environment": configure(NO_FILE, variables),
            "file": configure(config, {}),
        }
        values = [value(each, key) for each in found.values()]
        assert values[0] == values[1] == values[2] != option.default
        assert [vars(each.options) for each in found.values()] == [vars(found["flag"].options)] * 3
        for kind, each in found.items():
            kinds = {name: setting.origin.kind for name, setting in each.settings.items()}
            assert kinds == dict.fromkeys(SERVER.options, "default") | {key: kind}


@pytest.mark.parametrize(
    ("key", "line", "variable", "flag", "values"),
    [
        ("data_dir", 'data_dir = "/file"', "/variable", "--data-dir=/flag", "file variable flag"),
        ("log_level", 'log_level = "debug"', "warning", "--log-level=error", "debug warning error"),
        ("limits.max_run_seconds", "limits.max_run_seconds = 1", "2", "--limit=max_run_seconds=3", "1 2 3"),
        ("unix_user", "unix_user = [1, 2]", "3 4", "--unix-user=5", "[1,2] [3,4] [5]"),
    ],
)
def test_flag_before_variable_before_file_before_default(
    tmp_path: Path, key: str, line: str, variable: str, flag: str, values: str
) -> None:
    config = written(tmp_path, line)
    variables = {SERVER.options[key].variable: variable}
    found = [configure(config, {}), configure(config, variables), configure([*config, flag], variables)]
    shown = [str(value(each, key)).lstrip("/").replace(" ", "").removesuffix(".0") for each in found]
    assert shown == values.split()
    assert value(configure(NO_FILE, {}), key) == SERVER.options[key].default


def test_a_switch_of_the_file_is_turned_off_by_its_variable(tmp_path: Path) -> None:
    config = written(tmp_path, "insecure = true")
    assert value(configure(config, {}), "insecure") is True
    assert value(configure(config, {"GPUBENCH_SERVER_INSECURE": "False"}), "insecure") is False
    assert value(configure(config, {"GPUBENCH_SERVER_INSECURE": ""}), "insecure") is True


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("runtime", "cud"),
        ("listen", "tcp:/127.0.0.1"),
        ("listen", "http://127.0.0.1:1"),
        ("unix_mode", "u=rw"),
        ("unix_user", "nobody-of-that-name"),
        ("http", "127.0.0.1"),
        ("log_format", "xml"),
        ("limits.max_run_seconds", "15m"),
        ("limits.max_run_seconds", "0"),
        ("limits.max_connections", "1.5"),
        ("limits.max_outbox_bytes", "1MiB"),
    ],
)
def test_a_wrong_value_gives_the_error_of_the_flag(tmp_path: Path, key: str, wrong: str) -> None:
    option = SERVER.options[key]
    table, _, name = key.rpartition(".")
    lines = ["# a comment", f"[{table}]" if table else "", f'{name} = "{wrong}"']
    config = written(tmp_path, "\n".join(lines))
    attempts: list[tuple[list[str], dict[str, str]]] = [
        ([*NO_FILE, option.word(wrong)], {}),
        (NO_FILE, {option.variable: wrong}),
        (config, {}),
    ]
    messages = []
    for words, environment in attempts:
        with pytest.raises(InvalidParameters) as raised:
            configure(words, environment)
        messages.append(raised.value.message)
    of_flag = messages[0].removeprefix(f"{option.flag}: ")
    assert wrong in of_flag
    assert messages[1:] == [f"{option.variable}: {of_flag}", f"{config[1]}, line 3: {key}: {of_flag}"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lisen = []", "line 1: unknown key lisen; did you mean listen? docs/configuration.md"),
        ("\ndata-dir = 'x'", "line 2: unknown key data-dir; did you mean data_dir?"),
        ("max_run_seconds = 1", "line 1: unknown key max_run_seconds; did you mean limits.max_run_seconds?"),
        (
            "[limits]\nmax_run_second = 1",
            "line 2: unknown key limits.max_run_second; did you mean limits.max_",
        ),
        ("[limit]\nidle_seconds = 1", "line 2: unknown key limit.idle_seconds; did you mean limits.idle_"),
        ("[limits]\nruntime = 'cuda'", "line 2: unknown key limits.runtime; did you mean runtime?"),
        ("config = 'x'", "line 1: unknown key config;"),
        ("runtime = ['cuda']", "line 1: runtime must be one value, not ['cuda']"),
        ("listen = [['x']]", "line 1: listen must be one value, not ['x']"),
        ("insecure = 'yes'", "line 1: insecure must be true or false, not 'yes'"),
        ("unix_mode = 0o660", 'line 1: unix_mode must be in quotes, such as "660"'),
        (
            "[limits]\nmax_connections = true",
            "line 2: limits.max_connections: limit max_connections must be a",
        ),
        ("limits.idle_seconds = nan", "line 1: limits.idle_seconds: limit idle_seconds must be from 0.01"),
        ("runtime = ", "is not TOML: "),
        ("a = " + "[" * 5000, "is not TOML: "),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    config = written(tmp_path, text)
    with pytest.raises(InvalidParameters) as raised:
        configure(config, {})
    assert config[1] in raised.value.message
    assert said in raised.value.message


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b'data_dir = "\xe9"')
    for name, said in (("none", "No such file"), (".", "Is a directory"), ("latin", "is not UTF-8 text")):
        path = str(tmp_path / name)
        for words, environment in ((["--config", path], {}), ([], {"GPUBENCH_SERVER_CONFIG": path})):
            with pytest.raises(InvalidParameters, match=said) as raised:
                configure(words, environment)
            assert path in raised.value.message


def test_a_wrong_variable_names_the_nearest_one() -> None:
    with pytest.raises(InvalidParameters, match="GPUBENCH_SERVER_LISEN; did you mean GPUBENCH_SERVER_LISTEN"):
        configure(NO_FILE, {"GPUBENCH_SERVER_LISEN": "x"})


def test_variables_that_kubernetes_sets_are_ignored() -> None:
    """For a Service called gpubench-server every pod gets these; GPUBENCH_SERVER is the client's."""
    names = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_7707_TCP_ADDR"]
    names += [f"METRICS_{name}" for name in names]
    environment = {f"{SERVER.variable_prefix}{name}": "10.0.0.1" for name in names} | {"GPUBENCH_SERVER": "x"}
    assert {each.origin.kind for each in configure(NO_FILE, environment).settings.values()} == {"default"}


def test_the_user_s_file_comes_before_the_system_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", f"{tmp_path / 'system'}:/elsewhere")
    assert configure([], {}).file is None
    for name, level in (("system", "error"), ("user", "debug")):
        path = tmp_path / name / "gpubench/server.toml"
        path.parent.mkdir(parents=True)
        path.write_text(f'log_level = "{level}"')
        found = configure([], {})
        assert (found.file, value(found, "log_level")) == (path, level)
    assert configure(NO_FILE, {}).settings["log_level"].origin.kind == "default"


def test_a_wrong_file_ends_the_command_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = written(tmp_path, "lisen = 1")
    for command in ([], ["check-config"]):
        assert main([*command, *config]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"gpubench-server: {config[1]}, line 1: unknown key lisen;")
        assert err.count("\n") == 1


def test_a_server_does_what_file_and_environment_say(tmp_path: Path) -> None:
    socket = tmp_path / "a.sock"
    config = written(
        tmp_path, f'listen = ["tcp://127.0.0.1:0", "unix://{socket}"]\nlimits.max_queue_length = 3'
    )
    environment = {"GPUBENCH_SERVER_LIMIT_MAX_CONNECTIONS": "7", "GPUBENCH_SERVER_CONFIG": config[1]}
    with RunningServer(tmp_path / "data", environment=environment) as server:
        assert not socket.exists()  # the flag --listen replaces the file's list
        limits = server.ask("hello")["limits"]
        assert (limits["max_queue_length"], limits["max_connections"]) == (3, 7)
