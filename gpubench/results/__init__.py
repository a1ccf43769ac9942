"""What is kept of a run: the run document. The server's store of documents is ``store``; it needs SQLite."""

from gpubench.results.document import (
    ErrorInfo,
    Finding,
    Measurement,
    Mismatch,
    RunDocument,
    Shape,
    Summary,
    Trial,
    Tuning,
    decode_document,
    encode_document,
)
from gpubench.results.machine import DeviceInfo, Environment, Telemetry, Theory
from gpubench.results.progress import Progress
from gpubench.results.records import records
from gpubench.results.run_state import RunState

__all__ = [
    "DeviceInfo",
    "Environment",
    "ErrorInfo",
    "Finding",
    "Measurement",
    "Mismatch",
    "Progress",
    "RunDocument",
    "RunState",
    "Shape",
    "Summary",
    "Telemetry",
    "Theory",
    "Trial",
    "Tuning",
    "decode_document",
    "encode_document",
    "records",
]
