"""The scripts and configurations of contrib/, run with a stored verdict and others' commands stood in for."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from gpubench_client.cli.parser import parse
from gpubench_server.addresses import parse_endpoint
from gpubench_server.configuration import configure
from gpubench_server.gateway import GATEWAY
from gpubench_server.limits import Limits

from gpubench.devices import cache_folder
from tests.cli.test_check import both, stored
from tests.contrib.conftest import CONTRIB, Node
from tests.running import PATIENCE_SECONDS

SCRIPTS = sorted({*CONTRIB.rglob("*.sh"), *CONTRIB.rglob("*.sbatch")})


def given(node: Node, state: str) -> None:
    """A stored verdict on this node."""
    figures = {"ok": (1600.0, 0), "slow": (1300.0, 0), "wrong": (1600.0, 1)}
    if state != "none":
        gb_per_second, errors = figures[state]
        stored(node.data, *both(gb_per_second, errors))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(path: Path) -> None:
    shellcheck = Path(sys.executable).parent / "shellcheck"
    ran = subprocess.run([shellcheck, path], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "")
    assert path.stat().st_mode & 0o111


@pytest.mark.parametrize(
    ("state", "code", "drained"),
    [("ok", 0, ""), ("slow", 1, "GB-BW-LOW"), ("wrong", 1, "GB-MEM-ERROR"), ("none", 0, "")],
)
def test_slurm_health_check(node: Node, state: str, code: int, drained: str) -> None:
    given(node, state)
    ran = node.run(str(CONTRIB / "slurm/healthcheck.sh"))
    assert ran.returncode == code, ran.stderr
    calls = node.called("scontrol")
    assert len(calls) == bool(drained)
    if drained:
        assert calls[0].startswith(
            f"scontrol <update> <NodeName=node7> <State=DRAIN> <Reason=gpubench: {drained} cuda:1"
        )


def test_slurm_health_check_may_drain_what_is_not_known(node: Node) -> None:
    ran = node.run(str(CONTRIB / "slurm/healthcheck.sh"), GPUBENCH_DRAIN_UNKNOWN="1", SLURMD_NODENAME="n1")
    assert ran.returncode == 1
    assert "<NodeName=n1>" in node.called("scontrol")[0]
    assert "GB-OVERDUE" in node.called("scontrol")[0]


def test_slurm_health_check_says_so_if_there_is_no_answer(node: Node) -> None:
    node.command("gpubench", "exit 127")
    node.run(str(CONTRIB / "slurm/healthcheck.sh"), GPUBENCH_DRAIN_UNKNOWN="1")
    assert "no answer, exit code 127" in node.called("scontrol")[0]


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("slow", 1), ("wrong", 1), ("none", 0)])
def test_slurm_epilog_calls_no_scontrol(node: Node, state: str, code: int) -> None:
    given(node, state)
    ran = node.run(str(CONTRIB / "slurm/epilog.sh"))
    assert ran.returncode == code, ran.stderr
    assert ("gpubench: GB-" in ran.stderr) == bool(code)
    assert node.called("scontrol") == []


@pytest.mark.parametrize(
    ("answer", "code", "drained"), [("all right", 0, 0), ("GB-BW-LOW cuda:0", 1, 1), ("busy", 2, 0)]
)
def test_slurm_job_drains_with_a_reason(node: Node, answer: str, code: int, drained: int) -> None:
    """What it asks of gpubench is understood; its answer is stood in for, since it would measure."""
    node.command("gpubench", f'printf "%s\\n" "$@" >{node.folder}/asked; echo "{answer}"; exit {code}')
    ran = node.run(str(CONTRIB / "slurm/check.sbatch"), GPUBENCH_DEVICES="8")
    assert (ran.returncode, ran.stdout.strip()) == (code, answer)
    command, args = parse((node.folder / "asked").read_text().splitlines())
    assert (command.name, args.expect_devices, args.all_devices, args.dialect) == ("check", 8, True, "npd")
    assert len(node.called("scontrol")) == drained
    if drained:
        assert node.called("scontrol") == [
            f"scontrol <update> <NodeName=node7> <State=DRAIN> <Reason=gpubench: {answer}>"
        ]


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("slow", 1), ("none", 1)])
def test_nhc_line(node: Node, state: str, code: int) -> None:
    given(node, state)
    (line,) = [
        line for line in (CONTRIB / "nhc/gpubench.conf").read_text().splitlines() if not line.startswith("#")
    ]
    match = re.fullmatch(r"\* \|\| check_cmd_status -t (\d+) -r 0 (.+)", line)
    assert match is not None
    assert int(match[1]) < 30  # NHC's own watchdog
    ran = node.run(*shlex.split(match[2].replace("/var/lib/gpubench-check", str(node.data))))
    assert ran.returncode == code
    assert len(ran.stdout.splitlines()) == code


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("slow", 1), ("none", 2)])
def test_node_problem_detector(node: Node, state: str, code: int) -> None:
    given(node, state)
    config = json.loads((CONTRIB / "node-problem-detector/gpubench.json").read_text())
    assert config["plugin"] == "custom"
    (rule,) = config["rules"]
    assert rule["condition"] in {each["type"] for each in config["conditions"]}
    assert seconds(rule["timeout"]) <= seconds(config["pluginConfig"]["timeout"])
    arguments = [each.replace("/var/lib/gpubench-check", str(node.data)) for each in rule["args"]]
    ran = node.run(Path(rule["path"]).name, *arguments)
    assert ran.returncode == code
    assert len(ran.stdout.rstrip("\n")) <= config["pluginConfig"]["max_output_length"]


def seconds(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60}[text[-1]]


@pytest.mark.parametrize(
    ("state", "healthy", "action"),
    [
        ("ok", True, None),
        ("slow", False, "HARDWARE_INSPECTION"),
        ("wrong", False, "HARDWARE_INSPECTION"),
        ("none", False, None),
    ],
)
def test_gpud_plugin(node: Node, state: str, healthy: bool, action: str | None) -> None:
    """Its parser reads the last line of JSON on stdout and holds each path's text against a pattern."""
    given(node, state)
    (plugin,) = yaml.safe_load((CONTRIB / "gpud/gpubench.yaml").read_text())
    assert plugin["plugin_type"] == "component"
    assert seconds(plugin["interval"]) >= 60
    (step,) = plugin["health_state_plugin"]["steps"]
    script = step["run_bash_script"]["script"].replace("/var/lib/gpubench-check", str(node.data))
    ran = node.run("bash", "-c", script)
    answer = json.loads(ran.stdout)
    status, codes = plugin["health_state_plugin"]["parser"]["json_paths"]
    value = answer[status["query"].removeprefix("$.")]
    assert bool(re.search(status["expect"]["regex"], value)) == healthy == (ran.returncode == 0)
    text = json.dumps(answer[codes["query"].removeprefix("$.")])
    suggested = [name for name, each in codes["suggested_actions"].items() if re.search(each["regex"], text)]
    assert suggested == ([action] if action else [])


def unit(path: Path) -> configparser.ConfigParser:
    """A unit of systemd; of a setting that is repeated, it has the last."""
    found = configparser.ConfigParser(strict=False, interpolation=None)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read(path)
    return found


def test_systemd_units_ask_for_what_there_is() -> None:
    service, timer = (unit(CONTRIB / f"systemd/gpubench-check.{kind}") for kind in ("service", "timer"))
    words = shlex.split(service["Service"]["ExecStart"])
    command, args = parse(words[1:])
    assert (command.name, args.wait_idle, args.max_wait) == ("check", 1800.0, 7 * 86_400.0)
    assert service["Service"]["SuccessExitStatus"] == "3"
    assert "RandomizedDelaySec" in timer["Timer"]


SERVER_UNIT = CONTRIB / "systemd/gpubench-server.service"


def test_the_servers_unit_starts_it_with_options_that_there_are() -> None:
    service = unit(SERVER_UNIT)["Service"]
    words = shlex.split(service["ExecStart"])[1:]
    assert words == ["--config", "/etc/gpubench/server.toml"]
    options = configure(["--config", str(SERVER_UNIT.with_suffix(".toml"))], {}).options
    assert [str(parse_endpoint(url)) for url in options.listen] == options.listen
    assert f"/run/{service['RuntimeDirectory']}/" in options.listen[1]
    assert str(options.data_dir) == f"/var/lib/{service['StateDirectory']}"
    assert service["Environment"] == f"{cache_folder.VARIABLE}=/var/cache/{service['CacheDirectory']}"
    assert int(service["TimeoutStopSec"]) > Limits().drain_seconds + 30
    for hides_devices in ("PrivateDevices", "DevicePolicy", "DeviceAllow", "ProtectClock"):
        assert hides_devices not in service
    assert "MemoryDenyWriteExecute" not in service


GATEWAY_UNIT = CONTRIB / "systemd/gpubench-gateway.service"


def test_the_gateways_unit_fits_the_gateway_and_the_server() -> None:
    service = unit(GATEWAY_UNIT)["Service"]
    command, config, file, *files = shlex.split(service["ExecStart"])[1:]
    assert (command, config, file) == ("gateway", "--config", "/etc/gpubench/gateway.toml")
    assert all(word.startswith("${CREDENTIALS_DIRECTORY}/") for word in files[1::2])
    options = configure(["--config", str(GATEWAY_UNIT.with_suffix(".toml")), *files], {}, GATEWAY).options
    assert options.listen[0].startswith("tls://0.0.0.0:")
    assert int(service["TimeoutStopSec"]) > Limits().drain_seconds + 10
    assert int(service["TasksMax"]) > 2 * Limits().max_connections
    loaded = re.findall(r"^LoadCredential=([^:]+):", GATEWAY_UNIT.read_text(), re.M)
    assert [path.name for path in (options.tls_cert, options.tls_key, options.tokens)] == loaded
    # And the drop-in that its comment gives the server.
    (drop_in,) = re.findall(r"^# +ExecStart=(\S+ --.*)$", GATEWAY_UNIT.read_text(), re.M)
    words = [word if word != service["User"] else str(os.geteuid()) for word in shlex.split(drop_in)[1:]]
    server = configure(words, {}).options
    assert server.listen == [options.core]
    assert server.gateway_user == [os.geteuid()] and server.unix_mode == 0o666


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize(
    ("path", "threshold"), [(SERVER_UNIT, 25), (GATEWAY_UNIT, 20)], ids=("server", "gateway")
)
def test_systemd_finds_no_fault_with_our_units(tmp_path: Path, path: Path, threshold: int) -> None:
    installed = tmp_path / path.name
    installed.write_text(path.read_text().replace("/usr/local/bin/gpubench-server", sys.executable))
    verified = analyze("verify", "--man=no", str(installed))
    assert (verified.returncode, verified.stderr) == (0, "")
    # In tenths, from 0 to 100; a unit without hardening has 92 to 96.
    secure = analyze("security", "--offline=yes", f"--threshold={threshold}", str(installed))
    assert secure.returncode == 0, secure.stdout[-200:]


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


@pytest.mark.parametrize("name", ["cronjob.yaml", "job.yaml"])
def test_kubernetes_resources_are_valid(name: str) -> None:
    text = (CONTRIB / "kubernetes" / name).read_text().replace("NODE", "gpu-1").replace("GPUS", "8")
    resources = list(yaml.safe_load_all(text))
    assert resources
    for resource in resources:
        kubernetes_validate.validate(resource, "1.34", strict=True)


def test_the_kustomization_names_files_that_are_there() -> None:
    kustomization = yaml.safe_load((CONTRIB / "kubernetes/kustomization.yaml").read_text())
    (generator,) = kustomization["configMapGenerator"]
    for name in (*kustomization["resources"], *generator["files"]):
        assert (CONTRIB / "kubernetes" / name).is_file()
    cronjob = list(yaml.safe_load_all((CONTRIB / "kubernetes/cronjob.yaml").read_text()))[-1]
    (volume,) = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"]
    assert volume["configMap"]["name"] == generator["name"]


def test_the_kubernetes_job_asks_for_what_there_is() -> None:
    job = yaml.safe_load((CONTRIB / "kubernetes/job.yaml").read_text().replace("GPUS", "8"))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    command, args = parse(container["command"][1:])
    assert (command.name, args.dialect, args.expect_devices) == ("check", "termination", 8)


KUBECTL = r"""
case "$*" in
  "get pods --all-namespaces"*) printf 'busy\t8\nfree\t\n' ;;
  "get nodes"*) printf 'busy\t8\t\nfree\t8\t1000\nnever\t4\t\nfresh\t8\t%s\nnone\t0\t\n' "$(date +%s)" ;;
  create*) cat >>"$CREATED" ;;
  "get job"*) echo 1 ;;
  "get pods"*job-name=gpubench-check-free*) printf '0 \n' ;;
  "get pods"*) printf '1 FAILED: GB-MEM-ERROR cuda:3\nmore\n' ;;
esac
"""


def test_kubernetes_nodes_are_measured_and_labelled(node: Node) -> None:
    """Of five nodes one is in use, one was checked just now, and one has no GPU."""
    node.command("kubectl", KUBECTL)
    script = str(CONTRIB / "kubernetes/check-nodes.sh")
    ran = node.run(script, CREATED=str(node.folder / "created"), POLL_SECONDS="0", MAX_NODES="5")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["never bad FAILED: GB-MEM-ERROR cuda:3", "free ok no result"]
    jobs = [
        yaml.safe_load(text)
        for text in re.split(r"(?m)^(?=# One check)", (node.folder / "created").read_text())
        if text
    ]
    assert [job["metadata"]["name"] for job in jobs] == ["gpubench-check-never", "gpubench-check-free"]
    pod = jobs[0]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"kubernetes.io/hostname": "never"}
    assert pod["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "4"}
    labels = [call for call in node.called("kubectl") if call.startswith("kubectl <label>")]
    assert [re.findall(r"<(?!-)([^>]+)>", call)[2:4] for call in labels] == [
        ["never", "gpubench.io/check=bad"],
        ["free", "gpubench.io/check=ok"],
    ]
    few = node.run(script, CREATED=str(node.folder / "few"), POLL_SECONDS="0", MAX_NODES="1")
    assert len(few.stdout.splitlines()) == 1
