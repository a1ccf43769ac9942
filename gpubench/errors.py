"""Everything that can go wrong, as one tree.

::

    GpubenchError
    +-- ProtocolError                 what came over the wire cannot be taken
    |   +-- ParseError                not JSON, or not UTF-8
    |   +-- InvalidRequest            JSON, but no JSON-RPC 2.0 request
    |   +-- UnknownMethod
    |   +-- InvalidParameters         a field is wrong, missing or unknown
    |   |   +-- UnknownBenchmark
    |   |   +-- NoSuchRun
    |   |   +-- KeyConflict           the key was used for another request
    |   +-- RequestTimeout            a line was begun and not ended
    |   +-- LineTooLong
    +-- ServiceError                  the service cannot take the request now
    |   +-- NotAuthenticated
    |   +-- Forbidden
    |   +-- Draining
    |   +-- QueueFull
    |   +-- TooManyConnections
    |   +-- LimitExceeded
    +-- RunError                      a run ended without all its figures
    |   +-- Cancelled
    |   +-- NoSuchDevice
    |   +-- DeviceLost
    |   +-- DeviceInUse               another program has it to itself
    |   +-- OutOfDeviceMemory
    |   +-- Unsupported               the device cannot do what a benchmark needs
    |   +-- VerificationFailed
    |   +-- DeadlineExceeded
    |   +-- BenchmarkFailed           some benchmark of the run failed
    |   +-- BuildFailed               kernels did not compile, and a damaged cache may be why
    |   +-- Interrupted               the server stopped in the middle
    +-- DocumentError                 a run document cannot be read
    |   +-- InvalidDocument           it is damaged, or is something else
    |   +-- UnsupportedDocument       a newer program wrote it
    +-- Unreachable                   no server answers (client side only)
    |   +-- NotTrusted                one does, but its certificate does not show that it is the right one
    +-- CheckFailed                   what was measured is not as was asked for
    +-- MissingDependency             an extra is not installed
    +-- CatalogError                  unknown board or technology
    +-- StoreError                    the data directory cannot be used
    +-- CannotListen                  an address cannot be listened on
    +-- LimitReached                  a limit on this process: open files, threads, memory, disk
    +-- InternalError                 a mistake of ours

Each class has a ``code`` (JSON-RPC), a ``kind`` (for programs) and says whether trying again can
help; an error whose cause is known may say otherwise than its class. The message is for people: what
was wrong, what is allowed, what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gpubench.text import encodable

if TYPE_CHECKING:
    from gpubench.results.document import RunDocument


class GpubenchError(Exception):
    """Base of all errors; ``details`` are further fields for the wire's ``error.data``."""

    code: ClassVar[int] = -32603
    kind: ClassVar[str] = "error"
    retryable: bool = False

    def __init__(self, message: str, /, *, retryable: bool | None = None, **details: Any) -> None:
        # It may name a path whose bytes are not UTF-8, and must be sent and stored all the same.
        self.message = encodable(message)
        super().__init__(self.message)
        self.details = details
        if retryable is not None:
            self.retryable = retryable

    @property
    def document(self) -> RunDocument | None:
        """What a run had finished when it ended with this error; None if the error is not a run's."""
        found: RunDocument | None = self.details.get("document")
        return found


class ProtocolError(GpubenchError):
    code, kind = -32600, "protocol_error"


class ParseError(ProtocolError):
    code, kind = -32700, "parse_error"


class InvalidRequest(ProtocolError):
    code, kind = -32600, "invalid_request"


class UnknownMethod(ProtocolError):
    code, kind = -32601, "unknown_method"


class InvalidParameters(ProtocolError):
    code, kind = -32602, "invalid_parameters"


class UnknownBenchmark(InvalidParameters):
    kind = "unknown_benchmark"


class NoSuchRun(InvalidParameters):
    kind = "no_such_run"


class KeyConflict(InvalidParameters):
    kind = "key_conflict"


class RequestTimeout(ProtocolError):
    code, kind, retryable = -32001, "request_timeout", True


class LineTooLong(ProtocolError):
    code, kind = -32002, "line_too_long"


class ServiceError(GpubenchError):
    code, kind = -32603, "service_error"


class NotAuthenticated(ServiceError):
    code, kind = -32003, "not_authenticated"


class Forbidden(ServiceError):
    code, kind = -32004, "forbidden"


class Draining(ServiceError):
    code, kind, retryable = -32010, "draining", True


class QueueFull(ServiceError):
    """``details`` hold ``retry_after_seconds`` and ``queue_length``."""

    code, kind, retryable = -32011, "queue_full", True


class TooManyConnections(ServiceError):
    code, kind, retryable = -32012, "too_many_connections", True


class LimitExceeded(ServiceError):
    code, kind = -32013, "limit_exceeded"


class RunError(GpubenchError):
    """A run ended without all its figures; ``document`` has those that were finished."""

    code, kind = -32603, "run_error"


class Cancelled(RunError):
    code, kind, retryable = -32800, "cancelled", True


class NoSuchDevice(RunError):
    code, kind = -32020, "no_such_device"


class DeviceLost(RunError):
    code, kind, retryable = -32021, "device_lost", True


class DeviceInUse(RunError):
    code, kind, retryable = -32025, "device_in_use", True


class OutOfDeviceMemory(RunError):
    code, kind = -32022, "out_of_device_memory"


class Unsupported(RunError):
    code, kind = -32603, "unsupported"


class VerificationFailed(RunError):
    code, kind = -32023, "verification_failed"


class DeadlineExceeded(RunError):
    code, kind, retryable = -32024, "deadline_exceeded", True


class BenchmarkFailed(RunError):
    code, kind = -32603, "benchmark_failed"


class BuildFailed(RunError):
    code, kind, retryable = -32603, "build_failed", True


class Interrupted(RunError):
    code, kind, retryable = -32603, "interrupted", True


class DocumentError(GpubenchError):
    kind = "document_error"


class InvalidDocument(DocumentError):
    kind = "invalid_document"


class UnsupportedDocument(DocumentError):
    """``details`` hold the version ``found`` and the versions ``supported``."""

    kind = "unsupported_document"


class Unreachable(GpubenchError):
    kind, retryable = "unreachable", True


class NotTrusted(Unreachable):
    kind, retryable = "not_trusted", False


class CheckFailed(GpubenchError):
    """Nothing went wrong, but the answer is the one that the caller wants to hear of by its exit code."""

    kind = "check_failed"


class MissingDependency(GpubenchError):
    kind = "missing_dependency"


class CatalogError(GpubenchError):
    code, kind = -32602, "not_in_catalog"


class StoreError(GpubenchError):
    kind = "store_error"


class CannotListen(GpubenchError):
    kind = "cannot_listen"


class LimitReached(GpubenchError):
    kind = "limit_reached"


class InternalError(GpubenchError):
    code, kind = -32603, "internal_error"


def _tree(root: type[GpubenchError]) -> list[type[GpubenchError]]:
    return [root, *(found for child in root.__subclasses__() for found in _tree(child))]


BY_KIND: dict[str, type[GpubenchError]] = {cls.kind: cls for cls in _tree(GpubenchError)}
"""The one table between the wire and the classes: ``kind`` to class, and by it to ``code``."""


def from_wire(code: int, message: str, data: dict[str, Any]) -> GpubenchError:
    """The exception that a peer meant; a kind that this version does not know keeps its words."""
    details = {name: value for name, value in data.items() if name not in ("kind", "retryable")}
    kind, said = str(data.get("kind", "")), data.get("retryable")
    retryable = said if isinstance(said, bool) else None
    if kind in BY_KIND:
        return BY_KIND[kind](message, retryable=retryable, **details)
    known = [cls for cls in BY_KIND.values() if cls.code == code]
    return (known[0] if known else GpubenchError)(message, retryable=retryable, **details)
