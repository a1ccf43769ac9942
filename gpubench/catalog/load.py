"""The catalogue's three files, as typed rows; read once, when first asked for."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from typing import Literal, TypeVar

import msgspec

from gpubench import typed
from gpubench.units import MIB


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A misspelt field in the data is an error, not a default."""


class Family(_Row, frozen=True):
    """A kind of memory. A module is one package (GDDR), stack (HBM) or channel (DDR, LPDDR)."""

    name: str
    signalling: str
    bits_per_symbol: float
    module_width_bits: int
    sources: tuple[str, ...]
    channels_per_module: int | None = None
    access_granularity_bytes: int | None = None
    module_densities_gbit: tuple[int, ...] = ()
    supply_volts: float | None = None
    standard: str | None = None
    note: str | None = None


class Technology(_Row, frozen=True):
    """A family at one speed grade; the data rate is that of one nominal data pin."""

    id: str
    family: str
    data_rate_gbit_per_second: float
    sources: tuple[str, ...] = ()

    @property
    def data_rate_bits_per_second(self) -> float:
        return self.data_rate_gbit_per_second * 1e9

    @property
    def label(self) -> str:
        return f"{self.family} {self.data_rate_gbit_per_second:g} Gbit/s"


class Board(_Row, frozen=True):
    """A board and its memory; the fields are explained at the head of ``boards.toml``."""

    id: str
    name: str
    vendor: Literal["NVIDIA", "AMD", "Intel"]
    family: str
    data_rate_gbit_per_second: float
    bus_width_bits: int
    capacity_gib: int
    published_gb_per_second: float
    sources: tuple[str, ...]
    name_confirmed: bool = True
    aliases: tuple[str, ...] = ()
    pci_device_ids: tuple[str, ...] = ()
    variant: str | None = None
    modules: int | None = None
    l2_cache_mib: float | None = None
    last_level_cache_mib: float | None = None
    memory_clock_mhz: int | None = None
    compute_memory_clock_mhz: int | None = None
    runtime_devices: int = 1
    tdp_watts: int | None = None
    released: str | None = None
    note: str | None = None

    @property
    def data_rate_bits_per_second(self) -> float:
        return self.data_rate_gbit_per_second * 1e9

    @property
    def cache_bytes(self) -> int | None:
        """The largest cache in front of the memory, in bytes; null if it is not known."""
        known = [size for size in (self.l2_cache_mib, self.last_level_cache_mib) if size]
        return round(max(known) * MIB) if known else None

    @property
    def label(self) -> str:
        return f"{self.name} ({self.variant})" if self.variant else self.name


class Figure(_Row, frozen=True):
    kernel: str
    gb_per_second: float


class PublishedSeries(_Row, frozen=True):
    """Published figures of one board by one tool; grades: ``published.toml``."""

    board: str
    tool: str
    grade: Literal["A", "B", "C", "X"]
    source: str
    figures: tuple[Figure, ...]
    counting: str | None = None
    precision: str | None = None
    size: str | None = None
    driver: str | None = None
    note: str | None = None


ClaimSubject = Literal["rate", "bandwidth", "energy", "heat", "voltage", "standby"]


class Claim(_Row, frozen=True):
    """A vendor's claim about its memory: dated, with its source, never mixed with measurements.

    ``about`` is what it claims something about, so that what was measured about it can stand beside it.
    """

    vendor: str
    date: str
    family: str
    about: tuple[ClaimSubject, ...]
    text: str
    baseline: str
    source: str


class _TechnologyFile(_Row, frozen=True):
    sources: dict[str, str]
    family: tuple[Family, ...]
    technology: tuple[Technology, ...]
    claim: tuple[Claim, ...]


class _BoardFile(_Row, frozen=True):
    sources: dict[str, str]
    board: tuple[Board, ...]


class _PublishedFile(_Row, frozen=True):
    series: tuple[PublishedSeries, ...]


_File = TypeVar("_File", _TechnologyFile, _BoardFile, _PublishedFile)
_Sourced = TypeVar("_Sourced", Technology, Board)


def families() -> dict[str, Family]:
    """Every family by its name."""
    return {row.name: row for row in _technology_file().family}


@functools.cache
def technologies() -> tuple[Technology, ...]:
    """Every speed grade, with its sources in full."""
    file = _technology_file()
    return tuple(_with_sources(row, file.sources) for row in file.technology)


def claims() -> tuple[Claim, ...]:
    return _technology_file().claim


@functools.cache
def boards() -> tuple[Board, ...]:
    """Every board, with its sources in full."""
    file = _read("boards.toml", _BoardFile)
    return tuple(_with_sources(row, file.sources) for row in file.board)


@functools.cache
def published() -> tuple[PublishedSeries, ...]:
    return _read("published.toml", _PublishedFile).series


@functools.cache
def _technology_file() -> _TechnologyFile:
    return _read("technologies.toml", _TechnologyFile)


def _read(name: str, model: type[_File]) -> _File:
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return typed.convert(tomllib.loads(text), model)


def _with_sources(row: _Sourced, table: dict[str, str]) -> _Sourced:
    """Rows refer to a shared source by its key: ``fluidx3d: line 1235``."""
    full = []
    for source in row.sources:
        key, colon, place = source.partition(": ")
        full.append(f"{table[key]}: {place}" if colon and key in table else source)
    return msgspec.structs.replace(row, sources=tuple(full))
