"""The profile for the Phoronix Test Suite: in the form of its schema, and run as the suite runs it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from gpubench.benchmarks.registry import BENCHMARKS
from tests.cli.command import QUICK
from tests.contrib.conftest import CONTRIB, Node

PROFILE = CONTRIB / "phoronix/gpubench-1.0.0"

# The elements of the suite's test-profile.xsd that a profile must or may have, in their order.
ORDER = {
    "PhoronixTestSuite": "TestInformation TestProfile TestSettings?",
    "TestInformation": "Title Description ResultScale ResultQuantifier? AppVersion? SubTitle? DisplayFormat? "
    "Proportion? Executable? TimesToRun? IgnoreRuns? InstallationAgreement?",
    "TestProfile": "Version TestType SoftwareType Maintainer License Status SupportedArchitectures? "
    "SupportedPlatforms? ExternalDependencies? Extends? RequiresRoot? EnvironmentSize? "
    "EnvironmentTestingSize? EstimatedLength? ProjectURL? RequiresCoreVersion?",
    "TestSettings": "Default? Option*",
    "Option": "DisplayName Identifier? ArgumentPrefix? ArgumentPostfix? DefaultEntry? Menu?",
    "Menu": "Entry*",
    "Entry": "Name? Message? Value?",
}
VALUES = {
    "DisplayFormat": "NO_RESULT|BAR_GRAPH|PIE_CHART|LINE_GRAPH|PASS_FAIL|MULTI_PASS_FAIL|IMAGE_COMPARISON",
    "Proportion": "LIB|HIB",
    "Version": r"[0-9]\.[0-9]+\.[0-9]+",
    "TestType": "System|Processor|Disk|Graphics|Memory|Network|Other",
    "SoftwareType": "Utility|Simulator|Benchmark|Application|Game",
    "License": "Free|Non-Free|Retail|Restricted",
    "Status": "Private|Broken|Experimental|Unverified",
    "TimesToRun": "[1-9][0-9]*",
    "EnvironmentSize": r"[0-9.]+",
    "EstimatedLength": r"[0-9.]+",
}


def test_the_definition_has_the_form_of_the_suite() -> None:
    root = ElementTree.parse(PROFILE / "test-definition.xml").getroot()
    for element in root.iter():
        children = "".join(f"<{child.tag}>" for child in element)
        allowed = "".join(re.sub(r"(\w+)", r"(?:<\1>)", name) for name in ORDER.get(element.tag, "").split())
        assert re.fullmatch(allowed, children), element.tag
        if element.tag in VALUES:
            assert re.fullmatch(VALUES[element.tag], element.text or ""), element.tag
    asked = [each.text for each in root.iter("Value")]
    assert asked
    assert set(asked) <= BENCHMARKS.keys()


def test_the_suite_finds_the_figure_that_was_measured(node: Node) -> None:
    home = node.folder / "installed"
    home.mkdir()
    installed = node.run("sh", "-c", f"cd {home} && HOME={home} sh {PROFILE}/install.sh")
    assert installed.returncode == 0, installed.stderr
    assert (home / "install-exit-status").read_text() == "0\n"
    log = home / "log"
    ran = node.run(str(home / "gpubench"), "triad", *QUICK, HOME=str(home), LOG_FILE=str(log))
    assert ran.returncode == 0, ran.stderr
    parser = ElementTree.parse(PROFILE / "results-definition.xml").getroot()
    template, hint = parser.findtext(".//OutputTemplate"), parser.findtext(".//LineHint")
    assert template and hint
    [line] = [each for each in log.read_text().splitlines() if hint in each]
    match = re.fullmatch(re.escape(template).replace(re.escape("#_RESULT_#"), "([0-9.]+)"), line)
    assert match
    assert 0.1 < float(match[1]) < 10_000
    wrong = node.run(str(home / "gpubench"), "no-such-benchmark", HOME=str(home), LOG_FILE=str(log))
    assert wrong.returncode == 1
    assert "no-such-benchmark" in wrong.stderr
    assert len(log.read_text().splitlines()) == 1


def test_without_the_program_the_installation_says_how_to_get_it(node: Node) -> None:
    (node.bin / "gpubench").unlink()
    ran = node.run("env", "PATH=/usr/bin:/bin", f"HOME={node.folder}", "/bin/sh", str(PROFILE / "install.sh"))
    assert ran.returncode == 2
    assert "pipx install '.[opencl]'" in ran.stderr
