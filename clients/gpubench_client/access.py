"""What a client shows a server, and what it asks the server to show: tokens and certificates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpubench.errors import InvalidParameters
from gpubench_client.steps import Tls
from gpubench_client.urls import ServerAddress

TOKEN_VARIABLE = "GPUBENCH_TOKEN"  # noqa: S105


@dataclass(frozen=True)
class Access:
    """``ca_file`` holds the authorities that a server's certificate must come from, instead of the system's.

    ``cert_file`` and ``key_file`` are this client's own certificate, for servers that ask for one;
    ``token`` is one that `gpubench-server token add` printed.
    """

    token: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def tls_for(self, address: ServerAddress) -> Tls | None:
        """Raises ``InvalidParameters`` for files that an address without TLS has no use for."""
        if self.key_file is not None and self.cert_file is None:
            raise InvalidParameters("key_file is the key of a certificate; give cert_file too")
        if address.scheme == "tls":
            return Tls(self.ca_file, self.cert_file, self.key_file)
        if self.ca_file is not None or self.cert_file is not None:
            raise InvalidParameters(
                f"certificates are for tls:// addresses, and this is {address}; use tls://, or leave "
                "ca_file, cert_file and key_file out"
            )
        return None

    def token_for(self, address: ServerAddress) -> str | None:
        """Raises ``InvalidParameters`` rather than show the token to everybody on the way."""
        if self.token is not None and not address.confidential:
            raise InvalidParameters(
                f"a token is not sent to {address}, because others could read it on the way; use tls://, or "
                f"unset {TOKEN_VARIABLE} and leave the token out"
            )
        return self.token


NO_ACCESS = Access()


def token_from(file: str | None, environment: Mapping[str, str]) -> str | None:
    """The token in a file that holds nothing else, or of ``$GPUBENCH_TOKEN``.

    Raises ``InvalidParameters``.
    """
    if file is None:
        return environment.get(TOKEN_VARIABLE, "").strip() or None
    try:
        words = Path(file).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InvalidParameters(f"the token file {file} cannot be read: {reason}") from None
    if len(words) != 1:
        raise InvalidParameters(
            f"the token file {file} has {len(words)} words; it must hold one token, and nothing else"
        )
    return words[0]
