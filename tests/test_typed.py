"""Types are used for the first time by several threads at once, and the process survives it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

_THREADS = """
import sys, threading, types
from gpubench import typed

SOURCE = '''
from __future__ import annotations
import msgspec

class Inner(msgspec.Struct):
    number: int
    lists: dict[str, list[int]]
    text: str | None = None

class Middle(msgspec.Struct):
    some: list[Inner]
    named: dict[str, Inner]

class Outer(msgspec.Struct):
    middle: Middle
    inner: Inner | None = None
'''
PLAIN = {"middle": {"some": [{"number": 1, "lists": {}}], "named": {}}}
JSON = b'{"middle":{"some":[{"number":1,"lists":{}}],"named":{}}}'

sys.setswitchinterval(1e-6)
for index in range(300):
    module = types.ModuleType(f"types_{index}")
    sys.modules[module.__name__] = module
    exec(SOURCE, module.__dict__)
    together = threading.Barrier(4)

    def use(number):
        together.wait()
        found = typed.convert(PLAIN, module.Outer) if number % 2 else typed.decode(JSON, module.Outer)
        right.append(found.middle.some[0].number == 1)

    right = []
    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 4
"""


def test_four_threads_may_use_a_new_type_at_once() -> None:
    ended = subprocess.run([sys.executable, "-c", _THREADS], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]


def _looks(path: Path) -> list[str]:
    """Where a module has msgspec look at a type."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            with_type = len(node.args) > 1 or any(each.arg == "type" for each in node.keywords)
            if called.startswith("msgspec.") and (
                called == "msgspec.convert"
                or (called.endswith(".decode") and with_type)
                or (called.endswith(".Decoder") and (node.args or node.keywords))
            ):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


@pytest.mark.parametrize("folder", ["gpubench", "server", "clients"])
def test_only_one_module_has_msgspec_look_at_types(folder: str) -> None:
    own = ROOT / "gpubench" / "typed.py"
    assert _looks(own)
    assert [line for path in (ROOT / folder).rglob("*.py") if path != own for line in _looks(path)] == []
