"""Performs the steps of a Containerfile without a container runtime: in roots that debootstrap makes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from containerfile import Ignored, Instruction, Stage, files

_NETWORK = re.compile(
    r"PIP_(DEFAULT_TIMEOUT|CERT|INDEX_URL|EXTRA_INDEX_URL)|SSL_CERT_(FILE|DIR)|\w*_proxy", re.I
)
"""Variables that say how package registries are reached from this machine."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_NOTED = {"ARG", "ENV", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "STOPSIGNAL", "USER", "VOLUME"}
"""Instructions that change no file."""


class Build:
    """The roots of one build, in a folder; ``arguments`` are build arguments."""

    def __init__(self, context: Path, folder: Path, arguments: dict[str, str]) -> None:
        self._context = context
        self._folder = folder
        self._arguments = arguments
        self._ignored = Ignored((context / ".containerignore").read_text())

    def root(self, stage: Stage) -> Path:
        return self._folder / stage.name

    def perform(self, stage: Stage) -> Path:
        """Make the root of a stage; those that it copies from must be made."""
        root = self.root(stage)
        subprocess.run(["cp", "-a", "--reflink=auto", self._base(stage.base), root], check=True)
        self._reach_registries(root)
        environment, workdir = {"PATH": _PATH, "HOME": "/root"}, "/"
        for each in stage.instructions:
            print(f"  {stage.name}: {each.word} {each.text[:90]}", flush=True)
            match each.word:
                case "RUN":
                    _run(root, workdir, environment, each.text)
                case "COPY":
                    self._copy(root, workdir, each)
                case "WORKDIR":
                    workdir = each.text
                    (root / workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)
                case "ENV":
                    environment |= dict(word.split("=", 1) for word in each.words)
                case "ARG":
                    name, _, default = each.text.partition("=")
                    environment[name] = self._arguments.get(name, default)
                case word if word not in _NOTED:
                    raise ValueError(f"line {each.line}: {word} is not known here")
        return root

    def _base(self, image: str) -> Path:
        """The substitute for a Debian image: the packages of debootstrap's smallest variant."""
        found = re.fullmatch(r".*/debian:(\w+)-slim", image)
        if found is None:
            raise ValueError(f"{image}: only debian:SUITE-slim can be made by debootstrap")
        base = self._folder.parent / f"{found[1]}.base"
        if not (base / ".made").exists():
            shutil.rmtree(base, ignore_errors=True)
            command = ["debootstrap", "--variant=minbase", "--include=ca-certificates", found[1]]
            subprocess.run([*command, base, _mirror()], check=True, stdout=subprocess.DEVNULL)
            (base / ".made").touch()
        return base

    def _reach_registries(self, root: Path) -> None:
        """As this machine does: how, is no part of an image."""
        copied = ("/etc/apt/apt.conf.d", "/etc/pip.conf", "/etc/xdg/pip", "/etc/resolv.conf", "/etc/hosts")
        for name in (*copied, "/etc/ssl/certs/ca-certificates.crt"):
            source, target = Path(name), root / name.lstrip("/")
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            elif source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
        own = Path.home() / ".config/pip"
        if own.is_dir():
            shutil.copytree(own, root / "root/.config/pip", dirs_exist_ok=True)

    def _copy(self, root: Path, workdir: str, instruction: Instruction) -> None:
        *sources, target = instruction.arguments
        into = root / str(Path(workdir, target)).lstrip("/")
        stage = instruction.option.get("from")
        for source in sources:
            if stage is not None:
                into.parent.mkdir(parents=True, exist_ok=True)
                subprocess.run(["cp", "-a", self._folder / stage / source.lstrip("/"), into], check=True)
                continue
            for name in files(self._context, self._ignored, source):
                inside = Path(name).relative_to(source)
                last = into / (inside if inside.parts else Path(name).name if target.endswith("/") else "")
                last.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self._context / name, last)


def _run(root: Path, workdir: str, environment: dict[str, str], command: str) -> None:
    mounts = " && ".join(f"mount --rbind /{name} {root}/{name}" for name in ("proc", "sys", "dev"))
    inside = f'{mounts} && exec chroot {root} /bin/sh -c \'cd "$0" && eval "$1"\' "$0" "$1"'
    network = {name: value for name, value in os.environ.items() if _NETWORK.fullmatch(name)}
    unattended = {"DEBIAN_FRONTEND": "noninteractive"}
    ran = subprocess.run(
        ["unshare", "--mount", "sh", "-c", inside, workdir, command],
        env={**network, **unattended, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(f"RUN {command}\n{ran.stdout[-3000:]}\nended with {ran.returncode}")


def _mirror() -> str:
    sources = [*Path("/etc/apt").glob("sources.list.d/*"), Path("/etc/apt/sources.list")]
    text = "\n".join(each.read_text() for each in sources if each.is_file())
    found = re.search(r"^(?:URIs:|deb)\s*(?:\[[^]]*\]\s*)?(\S+/debian)/?(?:\s|$)", text, re.M)
    return found[1] if found else "http://deb.debian.org/debian"
