"""From run documents to the answer of a check: pure, whoever made or stored the documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gpubench import __version__
from gpubench.comparison.acceptance.attempts import AttemptRule
from gpubench.comparison.acceptance.claims import Claims, claims_of, unfinished
from gpubench.comparison.acceptance.expectation import Question, Sources
from gpubench.comparison.acceptance.faults import SEVERITY, worst
from gpubench.comparison.acceptance.figures import DeviceRuns, by_device, count_of
from gpubench.comparison.acceptance.run_figures import Setting
from gpubench.comparison.acceptance.verdict import CheckReport, Claim, DeviceVerdict, fault
from gpubench.results.document import RunDocument
from gpubench.results.timestamps import milliseconds, now


@dataclass(frozen=True)
class Rules:
    """How documents are judged. ``expected_devices``: how many the host must have, null if any number."""

    sources: Sources = field(default_factory=Sources)
    attempts: AttemptRule | None = None
    expected_devices: int | None = None


def judge(documents: Sequence[RunDocument], rules: Rules | None = None) -> CheckReport:
    """A verdict for each device of these runs. Never raises because of a document's contents."""
    rules = rules or Rules()
    devices = by_device(documents)
    verdicts = [_verdict(device, devices, rules) for device in devices]
    verdicts += [without_device([unfinished(run)]) for run in documents if run.device is None]
    count = count_of(devices)
    if rules.expected_devices is not None and count < rules.expected_devices:
        text = f"{count} of {rules.expected_devices} devices were measured"
        verdicts.append(without_device([fault("devices", "GB-DEVICE-MISSING", text)]))
    if not verdicts:
        verdicts.append(without_device([fault("devices", "GB-NO-DEVICE", "there is no run to judge")]))
    return report_of(verdicts)


def report_of(verdicts: Sequence[DeviceVerdict]) -> CheckReport:
    return CheckReport(
        program_version=__version__,
        status=worst([each.status for each in verdicts]),
        codes=list(dict.fromkeys(code for each in verdicts for code in each.codes)),
        made_at=now(),
        devices=list(verdicts),
    )


def without_device(claims: Sequence[Claim]) -> DeviceVerdict:
    """For what is known without any device, such as that there is none."""
    return DeviceVerdict(**_summary(Claims(list(claims), list(claims))))  # type: ignore[arg-type]


def _verdict(device: DeviceRuns, all_of_them: Sequence[DeviceRuns], rules: Rules) -> DeviceVerdict:
    twins = [each for each in all_of_them if each is not device and each.model == device.model]
    question = Question(device, Setting("", ""), twins, rules.sources)
    claims = claims_of(question, rules.attempts)
    theory = question.theory
    newest = device.newest
    return DeviceVerdict(
        **_summary(claims),  # type: ignore[arg-type]
        id=device.info.id,
        name=device.info.name,
        hardware_id=device.info.hardware_id,
        host=device.host,
        runtime=device.info.runtime,
        board=theory.board if theory else None,
        run_ids=[run.run_id for run in device.runs],
        checked_at=newest.finished_at or newest.created_at,
        run_seconds=_seconds(device.runs),
    )


def _summary(claims: Claims) -> dict[str, object]:
    counted = claims.counting
    status = worst([claim.status for claim in counted])
    bad = sorted(
        (claim for claim in counted if claim.status != "OK"), key=lambda claim: -SEVERITY.index(claim.status)
    )
    return {
        "status": status,
        "codes": list(dict.fromkeys(claim.code for claim in bad if claim.code)),
        "text": bad[0].text if bad else "; ".join(claim.text for claim in counted),
        "claims": claims.found,
    }


def _seconds(runs: Sequence[RunDocument]) -> float | None:
    total = 0
    for run in runs:
        begin, end = milliseconds(run.started_at or ""), milliseconds(run.finished_at or "")
        if begin is None or end is None:
            return None
        total += end - begin
    return total / 1000
