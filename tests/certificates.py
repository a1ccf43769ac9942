"""Real certificates, made by ``openssl`` when a test asks for them: they expire, and keys are no source."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

OPENSSL = shutil.which("openssl") or ""

HOSTS = "DNS:localhost,IP:127.0.0.1,IP:::1"


@dataclass(frozen=True)
class Certificate:
    """PEM files."""

    certificate: Path
    key: Path

    @property
    def server_options(self) -> tuple[str, ...]:
        return "--tls-cert", str(self.certificate), "--tls-key", str(self.key)


@dataclass
class Authority:
    """Signs certificates; its own is in ``certificate``."""

    directory: Path

    def __post_init__(self) -> None:
        if not OPENSSL:
            pytest.skip("openssl is not installed")
        self.directory.mkdir(parents=True, exist_ok=True)
        run(
            *("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", "/CN=tests"),
            *("-addext", "basicConstraints=critical,CA:true", "-addext", "keyUsage=keyCertSign"),
            *("-keyout", self.directory / "ca.key", "-out", self.certificate),
        )

    @property
    def certificate(self) -> Path:
        return self.directory / "ca.pem"

    def issue(self, name: str, hosts: str = HOSTS, days: int = 1) -> Certificate:
        """A certificate for ``hosts``; it has expired already if ``days`` are negative."""
        made = Certificate(self.directory / f"{name}.pem", self.directory / f"{name}.key")
        request, extensions = self.directory / f"{name}.csr", self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={hosts}\n")
        run("req", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", made.key, "-out", request)
        run(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.directory / "ca.key"),
            *("-CAcreateserial", *_validity(days), "-extfile", extensions, "-out", made.certificate),
        )
        return made

    @cached_property
    def context(self) -> ssl.SSLContext:
        """Of a client that trusts this authority."""
        return ssl.create_default_context(cafile=self.certificate)

    def context_with(self, own: Certificate) -> ssl.SSLContext:
        """Of a client with a certificate of its own."""
        context = ssl.create_default_context(cafile=self.certificate)
        context.load_cert_chain(own.certificate, own.key)
        return context


def _validity(days: int) -> tuple[str, ...]:
    """From OpenSSL 3.4 on, an end before the beginning is refused, and both can be stated."""
    if (
        days > 0
        or "-not_after"
        not in subprocess.run([OPENSSL, "x509", "-help"], capture_output=True, text=True).stderr
    ):
        return "-days", str(days)
    return "-not_before", "20200101000000Z", "-not_after", "20200102000000Z"


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def run(*words: str | Path) -> str:
    """What an ``openssl`` command prints."""
    done = subprocess.run([OPENSSL, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout
