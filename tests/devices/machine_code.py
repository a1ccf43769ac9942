"""What NVIDIA's disassembler says of a cubin, as far as tests ask: how kernels load and store."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

_OPCODE = re.compile(r"^\s*(?:/\*[0-9a-f]+\*/)?\s*(?:@!?U?P\d+\s+)?([A-Z][A-Z0-9_.]*)\s*(.*?);")
_REGISTER = re.compile(r"\bR(\d+)\b")
_WIDTH = re.compile(r"\.(64|128|256)\b")


@dataclass(frozen=True)
class Kernel:
    """``widths`` are in bits, of each load and store of global memory; ``loads_before_use`` is how
    many loads stand before the first instruction that needs what one of them brings; ``registers`` are
    those of a thread, up to the highest that is named."""

    load_widths: tuple[int, ...]
    store_widths: tuple[int, ...]
    loads_before_use: int
    local_accesses: int
    registers: int = field(compare=False)  # two versions of a compiler may take others


def disassemble(cubin: bytes) -> dict[str, Kernel]:
    """Every kernel of a cubin, by its name."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        said = subprocess.run([_nvdisasm(), "-c", file.name], capture_output=True, text=True, check=True)
    parts = re.split(r"^\s*\.section\s+\.text\.(\w+)[^\n]*$", said.stdout, flags=re.M)
    return {name: _kernel(code) for name, code in zip(parts[1::2], parts[2::2], strict=True)}


def _kernel(code: str) -> Kernel:
    instructions = [(found[1], found[2]) for line in code.splitlines() if (found := _OPCODE.match(line))]
    return Kernel(
        load_widths=tuple(_bits(name) for name, _ in instructions if name.startswith("LDG")),
        store_widths=tuple(_bits(name) for name, _ in instructions if name.startswith("STG")),
        loads_before_use=_loads_before_use(instructions),
        local_accesses=sum(name.startswith(("LDL", "STL")) for name, _ in instructions),
        registers=1
        + max(int(number) for _, operands in instructions for number in _REGISTER.findall(operands)),
    )


def _loads_before_use(instructions: list[tuple[str, str]]) -> int:
    loaded: set[int] = set()
    loads = 0
    for name, operands in instructions:
        if name.startswith("LDG"):
            # What is loaded stands before the address; 256 bits come in two parts of 128.
            targets, _, address = operands.partition("[")
            if loaded & _named(address):
                return loads
            loads += 1
            registers = min(_bits(name), 128) // 32
            loaded |= {first + k for first in _named(targets) for k in range(registers)}
        else:
            sources = operands if name.startswith(("ST", "RED", "ATOM")) else operands.partition(",")[2]
            if loaded & _named(sources):
                return loads
    return loads


def _named(operands: str) -> set[int]:
    return {int(number) for number in re.findall(r"\bR(\d+)", operands)}


def _bits(name: str) -> int:
    found = _WIDTH.search(name)
    return int(found[1]) if found else 32


def _nvdisasm() -> str:
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for program in Path(folder).glob("*/bin/nvdisasm"):
            return str(program)
    raise FileNotFoundError("nvdisasm is not here: pip install nvidia-cuda-nvdisasm")
