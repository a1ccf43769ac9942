"""Every fault code of a check: its status, what it means, and what to do. The codes never change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["OK", "UNKNOWN", "DEGRADED", "FAILED"]

SEVERITY: tuple[Status, ...] = ("OK", "UNKNOWN", "DEGRADED", "FAILED")
"""From best to worst. A device has the worst status of its claims."""

STATUS_MEANING: dict[Status, str] = {
    "OK": "Everything that was checked is as expected.",
    "UNKNOWN": "It is not known: nothing, or nothing reliable, was measured, or nothing is expected.",
    "DEGRADED": "The results are right, but the device is slower than it should be.",
    "FAILED": "Data were wrong, or the device was lost: do not use it.",
}


@dataclass(frozen=True)
class Fault:
    status: Status
    meaning: str
    action: str


FAULTS: dict[str, Fault] = {
    "GB-MEM-ERROR": Fault(
        "FAILED",
        "Data read back from the memory were wrong.",
        "Take the device out of service. Repeat with `gpubench run health`; if it happens again, replace it.",
    ),
    "GB-ECC-ERROR": Fault(
        "FAILED",
        "The device counted uncorrected ECC errors since its driver was loaded.",
        "Take the device out of service, read the driver's log (Xid 48, 63, 64, 94, 95), and reset it.",
    ),
    "GB-DEVICE-LOST": Fault(
        "FAILED",
        "The device, or the process that used it, was lost during a run.",
        "Read the kernel's log (Xid 79, 119) and reboot the host; if it happens again, replace the device.",
    ),
    "GB-DEVICE-MISSING": Fault(
        "FAILED",
        "Fewer devices were found than expected.",
        "Look at `lspci` and the kernel's log, reseat the device, and reboot the host.",
    ),
    "GB-BW-LOW": Fault(
        "DEGRADED",
        "The bandwidth is below its floor, and no limit was seen that explains it.",
        "Compare clocks, ECC mode, power limit and driver with a twin; if all are equal, replace the board.",
    ),
    "GB-CLOCK-LOW": Fault(
        "DEGRADED",
        "The bandwidth is below its floor, and the memory ran well below its nominal clock.",
        "Remove any lock of the memory clock (`nvidia-smi --reset-memory-clocks`) and check again.",
    ),
    "GB-POWER-LIMITED": Fault(
        "DEGRADED",
        "The bandwidth is below its floor, and clocks were lowered to stay within the power limit.",
        "Compare the power limit with a twin's, and check the power supply and its cables.",
    ),
    "GB-HEAT-LIMITED": Fault(
        "DEGRADED",
        "The bandwidth is below its floor, and the driver lowered clocks because the device was hot.",
        "Check fans, dust, airflow and the temperature of the room, and check again.",
    ),
    "GB-LAT-HIGH": Fault(
        "DEGRADED",
        "The latency of the memory is above its ceiling.",
        "Compare clocks, ECC mode and driver with a twin (of a processor: huge pages and NUMA node); if all "
        "are equal, replace the board.",
    ),
    "GB-SUSTAINED-LOW": Fault(
        "DEGRADED",
        "The bandwidth fell while the memory worked without a pause.",
        "Check the limits that it names, fans, airflow, power limit and power supply, and repeat with "
        "`gpubench run sustained`.",
    ),
    "GB-MAP-SLOW": Fault(
        "DEGRADED",
        "Part of the memory is slower than the rest.",
        "Repeat with `gpubench run map`; if the same part is slow again, replace the device.",
    ),
    "GB-BW-TOGETHER": Fault(
        "DEGRADED",
        "The device is slower when all devices of the host work at the same time than when it works alone.",
        "Check the power supply, the power limits and the cooling of the whole host.",
    ),
    "GB-NO-DEVICE": Fault(
        "UNKNOWN",
        "There is no device to check.",
        "Run `gpubench devices`, which says why a runtime shows none.",
    ),
    "GB-NOT-MEASURED": Fault(
        "UNKNOWN",
        "Something that was asked for was not measured.",
        "Read the reason beside it, and check again.",
    ),
    "GB-UNVERIFIED": Fault(
        "UNKNOWN",
        "The data were not verified, so the figure does not count.",
        "Check again.",
    ),
    "GB-CONTENDED": Fault(
        "UNKNOWN",
        "Other programs used the device at the same time.",
        "Check again when the device is idle, for example with --wait-idle 30m.",
    ),
    "GB-NOT-OF-MEMORY": Fault(
        "UNKNOWN",
        "The figure may not be the memory's own: a cache is part of it, or it is above the theory.",
        "Check with a larger --footprint, and compare the device's theory with its data sheet.",
    ),
    "GB-NO-EXPECTATION": Fault(
        "UNKNOWN",
        "It is not known what this figure should be.",
        "Learn a baseline (`gpubench baseline learn`), or state one with --min-efficiency or --like.",
    ),
    "GB-UNDECIDED": Fault(
        "UNKNOWN",
        "There are not enough attempts for a verdict.",
        "Check again, with more attempts.",
    ),
    "GB-BUSY": Fault(
        "UNKNOWN",
        "The device was not idle within the time of --wait-idle, so it was not measured.",
        "Check again later, or with a longer --wait-idle.",
    ),
    "GB-OVERDUE": Fault(
        "UNKNOWN",
        "The last check is too old.",
        "Check the device now, with --run; drain the machine first if it is always busy.",
    ),
}
"""In the order in which they are listed everywhere."""


def worst(statuses: list[Status]) -> Status:
    """UNKNOWN if there is none: what was not checked is not all right."""
    return max(statuses, key=SEVERITY.index) if statuses else "UNKNOWN"
