"""Attempts, several devices, and devices that are in use: what a check measures, and when it stops."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Self, Unpack

import msgspec
import pytest
from gpubench_client.backend import BenchmarkNames, RunOptions
from gpubench_client.checking import Checker, CheckRequest

from gpubench.benchmarks.description import Benchmarks, describe
from gpubench.comparison.acceptance import AttemptRule, Rules, judge
from gpubench.comparison.acceptance.figures import is_together
from gpubench.errors import DeviceLost, NoSuchDevice, Unreachable
from gpubench.library import RunDocument
from gpubench.protocol.messages import Devices
from gpubench.requests import BenchmarkRequest
from gpubench.results.document import ErrorInfo
from gpubench.results.machine import DeviceInfo, RuntimeStatus
from tests.comparison.acceptance.fleet import board, run
from tests.running import PATIENCE_SECONDS

TWO_OF_THREE = Rules(attempts=AttemptRule(2, 3))


class Boards:
    """A backend whose boards reach the given figures, in GB/s, one after the other; it measures nothing."""

    def __init__(self, *figures: list[float], others: tuple[DeviceInfo, ...] = ()) -> None:
        self.infos = [board(number) for number in range(1, len(figures) + 1)]
        self.figures = {info.id: list(own) for info, own in zip(self.infos, figures, strict=True)}
        self.others = others
        self.asked: list[tuple[str, str | None]] = []
        self.beside = threading.Barrier(max(len(figures), 1))
        self.opened = 0

    def __call__(self) -> Boards:
        self.opened += 1
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def stopped(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def devices(self) -> Devices:
        return Devices(
            devices=[*self.infos, *self.others], runtimes=[RuntimeStatus(name="cuda", available=True)]
        )

    def benchmarks(self) -> Benchmarks:
        return describe()

    def run(self, benchmarks: BenchmarkNames, **options: Unpack[RunOptions]) -> RunDocument:
        device, key = options["device"], options["key"]
        assert device is not None
        self.asked.append((device, key))
        if key is not None:
            self.beside.wait(PATIENCE_SECONDS)  # only passed if all boards are measured at the same time
        number = self.infos.index(next(info for info in self.infos if info.id == device)) + 1
        fields: dict[str, Any] = {"key": key, "attempt": len(self.asked)}
        figure = self.figures[device].pop(0)
        if figure == 0:
            lost = ErrorInfo("device_lost", -32021, "it fell off the bus", True)
            ended = run(1, number, outcome="device_lost", error=lost, **fields)
            raise DeviceLost("it fell off the bus", document=RunDocument.of(ended))
        return RunDocument.of(run(figure, number, **fields))


def check(boards: Boards, rules: Rules = TWO_OF_THREE, **fields: Any) -> list[str]:
    """The ids of the devices that were measured, in order."""
    request = CheckRequest([BenchmarkRequest("triad")], **fields)
    Checker(boards, request, rules).measure()
    return [device for device, _ in boards.asked]


@pytest.mark.parametrize(
    ("figures", "runs"),
    [
        ([1600, 1600, 1], 2),
        ([1600, 1000, 1600], 3),
        ([1000, 1600, 1000], 3),
        ([1000, 1000, 1], 2),
        ([0, 1], 1),
    ],
)
def test_it_stops_when_it_is_decided(figures: list[float], runs: int) -> None:
    assert len(check(Boards(figures))) == runs


def test_all_attempts_are_kept_also_of_a_lost_device() -> None:
    kept: list[str] = []
    checker = Checker(
        Boards([1600, 0]),
        CheckRequest([BenchmarkRequest("triad")]),
        TWO_OF_THREE,
        keep=lambda document: kept.append(document.outcome),
    )
    documents = checker.measure()
    assert kept == ["ok", "device_lost"]
    assert judge(documents, TWO_OF_THREE).codes[0] == "GB-DEVICE-LOST"


def test_every_device_alone_and_then_all_together() -> None:
    boards = Boards([1600, 1600, 1300], [1600, 1600, 1600])
    checker = Checker(boards, CheckRequest([BenchmarkRequest("triad")], all_devices=True), TWO_OF_THREE)
    documents = checker.measure()
    assert [device for device, key in boards.asked if key is None] == ["cuda:1", "cuda:2"] * 2
    assert sorted(device for device, key in boards.asked if key is not None) == ["cuda:1", "cuda:2"]
    assert sum(map(is_together, documents)) == 2
    assert boards.opened == 3  # a connection for each that works at the same time
    report = judge(documents, TWO_OF_THREE)
    assert [device.codes for device in report.devices] == [["GB-BW-TOGETHER"], []]


def test_only_undecided_devices_are_measured_again() -> None:
    asked = check(Boards([1640, 1640, 1640], [1640, 1000, 1640, 1640]), all_devices=True)
    assert asked[:5] == ["cuda:1", "cuda:2", "cuda:1", "cuda:2", "cuda:2"]


def test_one_of_several_devices_must_be_named() -> None:
    with pytest.raises(NoSuchDevice, match="several devices"):
        check(Boards([1600], [1600]))
    assert set(check(Boards([1] * 3, [1600] * 3), device="cuda:2")) == {"cuda:2"}


def test_a_processor_is_not_checked_beside_gpus() -> None:
    cpu = msgspec.structs.replace(board(9), id="opencl:0", kind="cpu", hardware_id="host")
    twice = msgspec.structs.replace(board(1), id="opencl:1", runtime="opencl")
    assert set(check(Boards([1600] * 3, others=(cpu, twice)), all_devices=True)) == {"cuda:1"}


def test_a_device_in_use_is_not_measured() -> None:
    boards = Boards([1600] * 3, [1600] * 3)
    request = CheckRequest([BenchmarkRequest("triad")], all_devices=True)
    checker = Checker(boards, request, TWO_OF_THREE, may_run=lambda info: info.id != "cuda:1")
    documents = checker.measure()
    assert [info.id for info in checker.refused] == ["cuda:1"]
    assert {document.device.id for document in documents if document.device} == {"cuda:2"}
    assert not any(map(is_together, documents))


def test_a_device_that_cannot_be_opened_is_not_passed_over() -> None:
    broken = board(8, unavailable="its memory cannot be mapped")
    request = CheckRequest([BenchmarkRequest("triad")], all_devices=True)
    checker = Checker(Boards([1600] * 3, others=(broken,)), request, TWO_OF_THREE)
    checker.measure()
    assert checker.unavailable == [broken]


def test_an_error_without_a_document_is_raised() -> None:
    class Gone(Boards):
        def run(self, benchmarks: BenchmarkNames, **options: Unpack[RunOptions]) -> RunDocument:
            raise Unreachable("nobody answers")

    with pytest.raises(Unreachable):
        check(Gone([1600]))
