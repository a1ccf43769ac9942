"""What would keep the gateway from starting, for ``gpubench-server check-config gateway``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from gpubench_server.folders import check_folder
from gpubench_server.gateway import cli
from gpubench_server.gateway.metrics_file import MetricsFile
from gpubench_server.gateway.privileges import user_for
from gpubench_server.security import Security
from gpubench_server.tls import Tls
from gpubench_server.tokens import read_tokens


def _security(found: argparse.Namespace) -> Security:
    return cli.security_of(found, cli.endpoints_of(found.listen, found.passed))


def _check_core(found: argparse.Namespace) -> None:
    cli.core_of(found)


def _check_addresses(found: argparse.Namespace) -> None:
    _security(found)


def _check_certificate(found: argparse.Namespace) -> None:
    files = _security(found).tls
    if files is not None:
        Tls(files)


def _check_user(found: argparse.Namespace) -> None:
    user_for(found.user)


def _check_tokens(found: argparse.Namespace) -> None:
    tokens, user = cli.tokens_of(found), user_for(found.user)
    read_tokens(tokens, os.geteuid() if user is None else user.uid)


def _check_metrics_file(found: argparse.Namespace) -> None:
    if found.metrics_file is not None:
        file: Path = found.metrics_file
        MetricsFile(file)
        check_folder(f"the metrics file {file}", file.absolute().parent, writes=user_for(found.user) is None)


CHECKS: tuple[Callable[[argparse.Namespace], None], ...] = (
    _check_core,
    _check_addresses,
    _check_certificate,
    _check_user,
    _check_tokens,
    _check_metrics_file,
)
"""Each raises a ``GpubenchError``."""
