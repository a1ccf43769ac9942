"""The wire protocol, without I/O. The client's side is ``session``, which imports the library."""

from gpubench.protocol.messages import (
    DEFAULT_HTTP_PORT,
    DEFAULT_PORT,
    MAX_REQUEST_BYTES,
    MAX_RESPONSE_BYTES,
    PROTOCOL,
    Accepted,
    Devices,
    Hello,
    Results,
    RunParams,
    Status,
)
from gpubench.protocol.validation import decode_params, decode_request

__all__ = [
    "DEFAULT_HTTP_PORT",
    "DEFAULT_PORT",
    "MAX_REQUEST_BYTES",
    "MAX_RESPONSE_BYTES",
    "PROTOCOL",
    "Accepted",
    "Devices",
    "Hello",
    "Results",
    "RunParams",
    "Status",
    "decode_params",
    "decode_request",
]
