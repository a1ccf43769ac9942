"""The OpenCL drivers that are installed: which files name them, and how some of them alone are loaded.

Nothing here loads a driver unless it says so, and PyOpenCL is not imported: the processes that supervise
workers use this module too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

SYSTEM_FOLDER = Path("/etc/OpenCL/vendors")

_FOLDER_VARIABLES = ("OCL_ICD_VENDORS", "OPENCL_VENDOR_PATH")
_FILES_VARIABLE = "OCL_ICD_FILENAMES"

_NO_PLATFORM = -1001


@dataclass(frozen=True)
class Driver:
    """``source`` is the file or variable that names the ``library``, or a reason why it names none.

    ``in_environment``: it belongs to the Python environment and not to the system.
    """

    source: str
    library: str = ""
    in_environment: bool = False
    reason: str | None = None

    @property
    def stem(self) -> str:
        """For ids: of the file's name, without what all such names have."""
        name = Path(self.source).name.lower()
        name = name.removesuffix(".icd") if name.endswith(".icd") else re.sub(r"^lib|\.so.*$", "", name)
        return re.sub(r"[^a-z0-9]+", "-", name).strip("-") or "driver"


def installed(variables: Mapping[str, str] = os.environ) -> list[Driver]:
    """As OpenCL's loaders find them: the system's or what variables name instead, then the environment's."""
    named = next((value for name in _FOLDER_VARIABLES if (value := variables.get(name))), None)
    files = [_named(file, file) for file in variables.get(_FILES_VARIABLE, "").split(os.pathsep) if file]
    if named is not None and not Path(named).is_dir():  # a single driver, in place of all
        only = _of_file(Path(named)) if named.endswith(".icd") else _named(named, named)
        return _once([only, *files])
    system = _of_folder(Path(named) if named is not None else SYSTEM_FOLDER)
    return _once([*system, *files, *_of_environment()])


@contextlib.contextmanager
def loading(drivers: Sequence[Driver]) -> Iterator[None]:
    """For a block in which the loader is used for the first time: it loads these drivers and no others."""
    with tempfile.TemporaryDirectory(prefix="gpubench-opencl-") as folder:
        for number, driver in enumerate(drivers):
            if driver.library:
                Path(folder, f"{number:03}.icd").write_text(f"{driver.library}\n")
        Path(folder, ".libs").mkdir()
        meanwhile = {
            **dict.fromkeys((*_FOLDER_VARIABLES, _FILES_VARIABLE)),
            "OCL_ICD_VENDORS": f"{folder}/",
            "PYOPENCL_HOME": folder,  # where PyOpenCL's own loader looks for PoCL
            # Sorting asks for the platforms' devices, before PoCL is told what to compile for.
            "OCL_ICD_PLATFORM_SORT": "none",
        }
        before = {name: os.environ.get(name) for name in meanwhile}
        try:
            _set(meanwhile)
            yield
        finally:
            _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def platforms_of(driver: Driver) -> list[int] | str:
    """The addresses of its platforms, as the loader has them; or why it has none. Loads it."""
    if driver.reason:
        return driver.reason
    try:
        library = ctypes.CDLL(driver.library)
        find = library.clGetExtensionFunctionAddress
    except OSError as error:
        return f"it cannot be loaded: {error}"
    except AttributeError:
        return "it is no OpenCL driver: it has no clGetExtensionFunctionAddress"
    find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    address = find(b"clIcdGetPlatformIDsKHR")
    if not address:
        return "it cannot be used through OpenCL's loader: it has no clIcdGetPlatformIDsKHR"
    ask = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p)(address)
    count = ctypes.c_uint32(0)
    code = ask(0, None, ctypes.addressof(count))
    found = (ctypes.c_void_p * count.value)()
    if not code and count.value:
        code = ask(count.value, ctypes.addressof(found), None)
    if code and code != _NO_PLATFORM:
        return f"it answers with error {code} when it is asked for platforms"
    return [each for each in found if each]


def _of_environment() -> list[Driver]:
    spec = find_spec("pyopencl")
    folders = [Path(sys.prefix, "etc", "OpenCL", "vendors")]
    if spec is not None and spec.origin is not None:
        folders.append(Path(spec.origin).parent / ".libs")
    drivers = [_in_environment(driver) for folder in folders for driver in _of_folder(folder)]
    # Intel's wheel names the FPGA emulator as well, and does not have it.
    return [driver for driver in drivers if driver.reason or Path(driver.library).is_file()]


def _in_environment(driver: Driver) -> Driver:
    """Wheels name a library beside the file, or by the path that it had where the wheel was made."""
    if driver.reason:
        return replace(driver, in_environment=True)
    folder, name = Path(driver.source).parent, Path(driver.library).name
    places = (Path(driver.library), folder / name, Path(sys.prefix, "lib", name))
    library = next((str(place) for place in places if place.is_absolute() and place.is_file()), "")
    return replace(driver, library=library, in_environment=True)


def _of_folder(folder: Path) -> list[Driver]:
    try:
        return [_of_file(file) for file in sorted(folder.iterdir()) if file.suffix == ".icd"]
    except OSError:
        return []


def _of_file(file: Path) -> Driver:
    try:
        lines = file.read_bytes().decode(errors="surrogateescape").splitlines()
    except OSError as error:
        return replace(_named(str(file), ""), reason=f"the file cannot be read: {error.strerror}")
    return _named(str(file), lines[0].strip() if lines else "")


def _named(source: str, library: str) -> Driver:
    """What is no text is no name: the system would take one with a zero byte for the program itself."""
    shown = source.encode(errors="replace").decode(errors="replace")
    if not library or not library.isprintable():
        return Driver(shown, reason="it names no library")
    return Driver(shown, library)


def _once(drivers: Sequence[Driver]) -> list[Driver]:
    """Each library once, under the first of its names."""
    first: dict[str, Driver] = {}
    for driver in drivers:
        first.setdefault(driver.library or driver.source, driver)
    return list(first.values())
