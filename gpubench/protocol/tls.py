"""What both sides of TLS have in common: the lowest version, and PEM files with their errors."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

from gpubench.errors import InvalidParameters

LOWEST_VERSION = ssl.TLSVersion.TLSv1_2

_DECORATION = re.compile(r"^\[[^\]]*\] | \(_ssl\.c:\d+\)$")


def load_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Raises ``InvalidParameters`` for files that cannot be read, or that do not belong together."""
    check_readable(certificate, key)
    try:
        # A password that is asked for on the terminal would keep a program from starting.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise InvalidParameters(
            f"the certificate {certificate} with the key {key} cannot be used: {reason(error)}; both must be "
            "in PEM, the key the certificate's own and without a password"
        ) from None


def load_authorities(context: ssl.SSLContext, file: Path) -> None:
    """Raises ``InvalidParameters``."""
    check_readable(file)
    try:
        context.load_verify_locations(file)
    except (OSError, ValueError) as error:
        raise InvalidParameters(
            f"{file} cannot be used: {reason(error)}; it must hold certificates of authorities in PEM"
        ) from None


def check_readable(*files: Path) -> None:
    """Raises ``InvalidParameters``."""
    for file in files:
        try:
            with file.open("rb"):
                pass
        except OSError as error:
            raise InvalidParameters(f"{file} cannot be read: {error.strerror}") from None


def reason(error: Exception) -> str:
    """What went wrong, as words: OpenSSL's own are ``KEY_VALUES_MISMATCH`` and the like."""
    named = getattr(error, "reason", None)
    if named:
        return str(named).replace("_", " ").lower()
    said = _DECORATION.sub("", getattr(error, "strerror", None) or str(error))
    return "not PEM, or not complete" if said == "PEM lib" else said
