"""The file of bearer tokens: names, roles, expiry and quotas, and hashes in place of the tokens themselves.

A token is ``gpb_ID_SECRET``. The id finds its row; the secret, 256 random bits, is checked by scrypt, so that
whoever reads the file cannot use it. The file is only for its owner.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from gpubench import typed
from gpubench.atomic_files import write_file
from gpubench.errors import InvalidParameters
from gpubench_server.principals import Principal, Quota, Role

_VERSION = 1
_PREFIX = "gpb"
_TOKEN = re.compile(rf"{_PREFIX}_(?P<id>[0-9a-f]{{12}})_(?P<secret>[A-Za-z0-9_-]{{43}})", re.ASCII)
_COST = 1 << 14
"""Of scrypt: 16 MiB and some 40 ms, paid once for each token and server, not for each connection."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}", re.ASCII)


class StoredToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    id: str
    name: Annotated[str, Meta(pattern=f"^{_NAME.pattern}$")]
    role: Role
    salt: str
    hash: str
    created_at: datetime
    expires_at: datetime | None = None
    quota: Quota = msgspec.field(default_factory=Quota)
    cost: Annotated[int, Meta(ge=2, le=1 << 17)] = _COST

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and datetime.now(UTC) >= self.expires_at

    @property
    def principal(self) -> Principal:
        return Principal("token", self.name, self.role, self.quota)

    def matches(self, secret: str) -> bool:
        """Takes the time of one scrypt, and the same for every secret."""
        return hmac.compare_digest(_scrypt(secret, bytes.fromhex(self.salt), self.cost).hex(), self.hash)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    tokens: list[StoredToken]


def split_token(token: str) -> tuple[str, str] | None:
    """The id and the secret; None for what is no token."""
    found = _TOKEN.fullmatch(token)
    return (found["id"], found["secret"]) if found else None


def read_tokens(path: Path, gateway_uid: int | None = None) -> list[StoredToken]:
    """Raises ``InvalidParameters`` for a file that is missing, damaged, or open to other users.

    With ``gateway_uid`` it may belong to that user too, and its group may read it, as a file that root shares
    with a gateway. So may that of a credential of systemd, whose folder keeps everybody else out.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read()
    except OSError as error:
        raise InvalidParameters(
            f"the token file {path} cannot be read: {error.strerror}; `gpubench-server token add` makes one"
        ) from None
    of_systemd = str(path.parent) == os.environ.get("CREDENTIALS_DIRECTORY")
    allowed = 0o640 if of_systemd or gateway_uid is not None else 0o600
    if stat.S_IMODE(status.st_mode) & 0o077 & ~allowed:
        raise InvalidParameters(
            f"the token file {path} has the mode {stat.S_IMODE(status.st_mode):o}, which lets other users "
            f"in; allowed: {allowed:o}; run chmod {allowed:o} {path}, and replace its tokens if others may "
            "have read it"
        )
    if status.st_uid not in (0, os.geteuid(), gateway_uid):
        raise InvalidParameters(
            f"the token file {path} belongs to user {status.st_uid}; it must belong to the server's "
            "user or root"
        )
    try:
        found = typed.decode(data, _File)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParameters(f"the token file {path} is damaged: {error}") from None
    if found.version != _VERSION:
        raise InvalidParameters(
            f"the token file {path} has version {found.version}; this program knows {_VERSION}"
        )
    return found.tokens


def add_token(
    path: Path, name: str, role: Role, quota: Quota, lifetime: timedelta | None
) -> tuple[str, StoredToken]:
    """Add a token to the file, which is made if need be; returns the token, which nothing else keeps.

    Raises ``InvalidParameters``.
    """
    if not _NAME.fullmatch(name):
        raise InvalidParameters(
            f"{name!r} is not a name for a token; allowed: 1 to 64 letters, digits, _, ., @ and -, of which "
            "the first is a letter or digit"
        )
    secret, salt, now = secrets.token_urlsafe(32), secrets.token_bytes(16), datetime.now(UTC)
    made = StoredToken(
        id=secrets.token_hex(6),
        name=name,
        role=role,
        salt=salt.hex(),
        hash=_scrypt(secret, salt, _COST).hex(),
        created_at=now.replace(microsecond=0),
        expires_at=None if lifetime is None else (now + lifetime).replace(microsecond=0),
        quota=quota,
    )
    with _changing(path) as tokens:
        if any(each.name == name for each in tokens):
            raise InvalidParameters(
                f"{path} has a token {name!r} already; choose another name, or revoke that one first"
            )
        tokens.append(made)
    return f"{_PREFIX}_{made.id}_{secret}", made


def revoke_token(path: Path, name: str) -> StoredToken:
    """Remove a token by its name or its id; raises ``InvalidParameters``."""
    with _changing(path, make=False) as tokens:
        for each in tokens:
            if name in (each.name, each.id):
                tokens.remove(each)
                return each
        known = ", ".join(each.name for each in tokens) or "none"
        raise InvalidParameters(f"{path} has no token {name!r}; it has: {known}")


@contextlib.contextmanager
def _changing(path: Path, make: bool = True) -> Iterator[list[StoredToken]]:
    """The tokens, which are written back; changes of several programs come one after the other."""
    try:
        # The folder is locked, because the file is replaced.
        lock = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise InvalidParameters(f"the folder of {path} cannot be used: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tokens = [] if make and not path.exists() else read_tokens(path)
        yield tokens
        _write(path, _File(_VERSION, tokens))
    finally:
        os.close(lock)


def _write(path: Path, content: _File) -> None:
    data = msgspec.json.format(msgspec.json.encode(content)) + b"\n"
    try:
        if not path.exists():  # made with its mode, which is kept from then on
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            made = True
        else:
            made = False
        try:
            write_file(path, data)
        except BaseException:
            if made:
                path.unlink()
            raise
    except OSError as error:
        raise InvalidParameters(f"the token file {path} cannot be written: {error.strerror}") from None


def _scrypt(secret: str, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=cost, r=8, p=1, maxmem=1 << 28, dklen=32)
