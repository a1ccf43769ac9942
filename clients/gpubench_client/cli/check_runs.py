"""Where the runs of a check come from: given documents, this machine's stored runs, or new measurements."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from gpubench.benchmarks.plan import plan
from gpubench.comparison.acceptance import CheckReport, Rules, judge
from gpubench.comparison.acceptance.figures import is_together
from gpubench.comparison.acceptance.judge import report_of, without_device
from gpubench.comparison.acceptance.verdict import DeviceVerdict, fault
from gpubench.devices.onlooker import Onlooker
from gpubench.errors import InvalidParameters, NoSuchDevice, StoreError
from gpubench.executor.supervisor import StopRequest
from gpubench.measure.idle import describe_usage, is_busy
from gpubench.results.document import RunDocument
from gpubench.results.machine import DeviceInfo
from gpubench.text import encodable
from gpubench.units import format_seconds
from gpubench_client.checking import Checker, CheckRequest, is_undecided
from gpubench_client.cli.backend import is_local, local_runs, open_backend
from gpubench_client.cli.check_rules import rules_of
from gpubench_client.cli.files import read_documents
from gpubench_client.cli.output import Output
from gpubench_client.cli.progress import progress_display
from gpubench_client.cli.request import RunRequest, run_request
from gpubench_client.cli.run_signals import Ended, RunSignals
from gpubench_client.local_runs import age_seconds

LOOK_SECONDS = 1.0
"""Of one look at a device that is waited for; NVML's readings cover as much."""


def answer(args: argparse.Namespace, output: Output) -> CheckReport:
    """Raises ``InvalidParameters`` for options that do not go together, and the error of a run that has no
    document."""
    _check_options(args)
    if args.documents:
        return judge(read_documents(args.documents), rules_of(args, measuring=False))
    return _Check(args, output).answer()


def _check_options(args: argparse.Namespace) -> None:
    if args.documents and (args.max_age is not None or args.wait_idle is not None or args.all_devices):
        raise InvalidParameters(
            "--max-age, --wait-idle and --all-devices are for checks that measure; give no RUN with them"
        )
    if args.max_wait is not None and args.wait_idle is None:
        raise InvalidParameters("--max-wait needs --wait-idle, such as --wait-idle 30m --max-wait 7d")
    if not args.run and args.max_age is None:
        raise InvalidParameters("--no-run needs --max-age TIME, such as 24h: how old may the answer be?")
    if not args.documents and not is_local(args) and (args.max_age is not None or args.wait_idle is not None):
        raise InvalidParameters(
            "--max-age and --wait-idle are for this machine, not for a server: run the check on the machine "
            "itself, without --server"
        )


class _Check:
    """A check without given documents."""

    def __init__(self, args: argparse.Namespace, output: Output) -> None:
        self._args, self._output = args, output
        self._rules: Rules = rules_of(args, measuring=True)
        args.benchmarks, args.suite_file, args.key, args.labels = [args.suite], None, None, []
        self._request: RunRequest = run_request(args)
        try:
            self._planned = plan(self._request.benchmarks)
        except InvalidParameters as error:
            raise self._request.explain(error) from None
        self._runs = local_runs(args)

    def answer(self) -> CheckReport:
        if self._args.max_age is not None:
            try:
                report = self._stored(self._args.max_age)
            except StoreError as error:
                if not self._args.run:
                    raise
                self._output.error(f"warning: stored runs are not used: {error.message}")
                report = None
            if report is not None and not (self._args.run and is_undecided(report)):
                return report
            if not self._args.run:
                return report_of([self._overdue(self._args.max_age)])
        return self._measured()

    def _stored(self, seconds: float) -> CheckReport | None:
        """From the newest stored runs of the devices that are asked for; null if there are none so young."""
        found = self._asked_for(self._runs.younger_than(seconds, self._planned))
        return replace(judge(found, self._rules), source="store") if found else None

    def _asked_for(self, newest_first: Sequence[RunDocument]) -> list[RunDocument]:
        """Of each device as many runs as there are attempts."""
        wanted, taken, found = self._args.device, Counter[str](), []
        total = self._rules.attempts.total if self._rules.attempts else 1
        for document in newest_first:
            info = document.device
            if info is None:
                continue
            if wanted is None and not self._args.all_devices:
                wanted = info.id
            if wanted is not None and wanted not in (info.id, info.alias):
                continue
            kind = f"{info.id} together" if is_together(document) else info.id
            if taken[kind] < total:
                taken[kind] += 1
                found.append(document)
        return found

    def _overdue(self, seconds: float, device: DeviceInfo | None = None) -> DeviceVerdict:
        newest = self._runs.newest(self._planned)
        age = age_seconds(newest) if newest else None
        text = f"no run of {self._args.suite} is stored in {encodable(str(self._runs.directory))}"
        if age is not None:
            text = f"the last run ended {format_age(age)} ago; {format_age(seconds)} are allowed"
        verdict = without_device([fault("age", "GB-OVERDUE", text)])
        info = device or (newest.device if newest else None)
        return _of(verdict, info)

    def _measured(self) -> CheckReport:
        stop, local = StopRequest(), is_local(self._args)
        request = CheckRequest(
            self._request.benchmarks,
            self._args.device,
            self._args.all_devices,
            self._request.options.get("memory"),
            self._args.deadline,
        )

        def keep(document: RunDocument) -> None:
            if local and not self._args.no_store:
                self._runs.keep(document, self._output.note)

        with RunSignals(stop) as signals, progress_display(self._output) as display:
            checker = Checker(
                lambda: open_backend(self._args, self._output),
                request,
                self._rules,
                keep=keep,
                may_run=lambda info: self._may_run(info, stop),
                on_accepted=display.accepted,
                on_progress=display.progress,
                stop=stop,
            )
            try:
                with signals.during(display, checker.stopped):
                    documents = checker.measure()
            except NoSuchDevice as error:
                return self._no_device(error)
        if signals.received is not None:
            raise Ended(signals.received)
        verdicts = [*judge(documents, self._rules).devices] if documents or not checker.refused else []
        verdicts += [each for info in checker.refused for each in self._busy(info)]
        verdicts += [_of(_cannot_be_opened(info), info) for info in checker.unavailable]
        return replace(report_of(verdicts), source="run" if documents else "store")

    def _no_device(self, error: NoSuchDevice) -> CheckReport:
        """Nothing to check is UNKNOWN; a wrong or a missing --device is a usage error."""
        if self._args.device is not None and error.details.get("devices"):
            raise self._request.explain(error)
        if error.details.get("devices") and not self._args.all_devices and "several" in error.message:
            raise InvalidParameters(f"{error.message}; or check all of them with --all-devices")
        return report_of([without_device([fault("devices", "GB-NO-DEVICE", error.message)])])

    def _may_run(self, info: DeviceInfo, stop: StopRequest) -> bool:
        """Wait until nothing else uses the device; false if it stays in use for all of ``--wait-idle``."""
        if self._args.wait_idle is None:
            return True
        onlooker, until = Onlooker(info), time.monotonic() + self._args.wait_idle
        told = False
        while is_busy(usage := onlooker.usage(LOOK_SECONDS)):
            if stop.reason is not None or time.monotonic() >= until:
                return False
            if not told:
                self._output.note(f"{info.id}: waiting until it is idle: {describe_usage(usage)}")
                told = True
        return True

    def _busy(self, info: DeviceInfo) -> list[DeviceVerdict]:
        """A device that was not measured: by stored runs within ``--max-wait``, else not known."""
        longest = self._args.max_wait
        if longest is None:
            text = f"{info.id} was in use for all of {format_age(self._args.wait_idle)}"
            return [_of(without_device([fault("idle", "GB-BUSY", text)]), info)]
        try:
            stored = [
                document
                for document in self._runs.younger_than(longest, self._planned)
                if document.device is not None and document.device.id == info.id
            ]
            if stored:
                return judge(self._asked_for(stored), self._rules).devices
            return [self._overdue(longest, info)]
        except StoreError as error:
            return [_of(without_device([fault("age", "GB-OVERDUE", encodable(error.message))]), info)]


def _cannot_be_opened(info: DeviceInfo) -> DeviceVerdict:
    return without_device(
        [fault("device", "GB-NOT-MEASURED", f"{info.id} cannot be opened: {info.unavailable}")]
    )


def _of(verdict: DeviceVerdict, info: DeviceInfo | None) -> DeviceVerdict:
    if info is None:
        return verdict
    return replace(verdict, id=info.id, name=info.name, hardware_id=info.hardware_id, runtime=info.runtime)


def format_age(seconds: float) -> str:
    """``31 h``, ``5 min``, ``2 d``."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (unit != "d" and seconds >= size):
            return f"{seconds / size:.3g} {unit}"
    return format_seconds(seconds)
