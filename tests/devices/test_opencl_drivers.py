"""Which files name drivers, under which variables."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gpubench.devices.opencl import drivers
from gpubench.devices.opencl.platforms import platform_of, version_of
from tests.devices.falsifier import pocl


@pytest.fixture
def vendors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of the system's folder."""
    monkeypatch.setattr(drivers, "SYSTEM_FOLDER", tmp_path)
    (tmp_path / "b.icd").write_text("libb.so\n")
    (tmp_path / "a.icd").write_text("liba.so\nmore\n")
    (tmp_path / "README").write_text("libnone.so\n")
    return tmp_path


def libraries(**variables: str) -> list[str]:
    return [driver.library for driver in drivers.installed(variables)]


def test_the_order_in_which_drivers_are_found(vendors: Path) -> None:
    """The systems come first then those that are named then the environments."""
    assert libraries() == ["liba.so", "libb.so", str(pocl())]
    assert libraries(OCL_ICD_FILENAMES="/c.so:libb.so") == ["liba.so", "libb.so", "/c.so", str(pocl())]


@pytest.mark.parametrize("name", ["OCL_ICD_VENDORS", "OPENCL_VENDOR_PATH"])
def test_a_folder_stands_in_place_of_the_systems(
    vendors: Path, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "c.icd").write_text("libc-driver.so")
    assert libraries(**{name: str(other)}) == ["libc-driver.so", str(pocl())]


def test_a_file_or_a_library_stands_in_place_of_all(vendors: Path) -> None:
    assert libraries(OCL_ICD_VENDORS=str(vendors / "a.icd")) == ["liba.so"]
    assert libraries(OCL_ICD_VENDORS="libx.so") == ["libx.so"]
    assert libraries(OCL_ICD_VENDORS="libx.so", OCL_ICD_FILENAMES="/y.so") == ["libx.so", "/y.so"]


def test_a_wheel_that_names_a_foreign_path_means_its_own_file(
    vendors: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Intel's wheel does, of whose two files one names a library that it does not have."""
    prefix = tmp_path_factory.mktemp("prefix")
    folder = prefix / "etc" / "OpenCL" / "vendors"
    folder.mkdir(parents=True)
    (folder / "intel-cpu.icd").write_text("/where/it/was/built/libintelocl.so\n")
    (folder / "intel-fpga_emu.icd").write_text("/where/it/was/built/libintelocl_emu.so\n")
    (prefix / "lib").mkdir()
    (prefix / "lib" / "libintelocl.so").touch()
    monkeypatch.setattr(sys, "prefix", str(prefix))
    [found] = [driver for driver in drivers.installed({}) if "intel" in driver.source]
    assert (found.library, found.in_environment) == (str(prefix / "lib" / "libintelocl.so"), True)
    assert found.stem == "intel-cpu"


@pytest.mark.parametrize(
    ("source", "stem"),
    [
        ("/etc/OpenCL/vendors/nvidia.icd", "nvidia"),
        ("/etc/OpenCL/vendors/amdocl64_60300.icd", "amdocl64-60300"),
        ("/opt/lib/libRusticlOpenCL.so.1.0.0", "rusticlopencl"),
        ("libintelocl.so", "intelocl"),
        ("/etc/OpenCL/vendors/\N{SNOWMAN}.icd", "driver"),
    ],
)
def test_ids_have_what_is_special_in_the_name(source: str, stem: str) -> None:
    assert drivers.Driver(source, "lib.so").stem == stem


def test_versions_are_numbers() -> None:
    assert version_of("3.0-rc2") < version_of("3.1") < version_of("7.1") < version_of("10.0")
    assert version_of(None) == version_of("none") == (0,)


def test_a_platform_is_known_by_the_beginning_of_its_name() -> None:
    assert platform_of("Intel(R) OpenCL Graphics").label == "Intel"
    assert platform_of("Intel(R) FPGA Emulation Platform for OpenCL(TM)").simulates
    assert platform_of("Somebody's").label == "Somebody's"
