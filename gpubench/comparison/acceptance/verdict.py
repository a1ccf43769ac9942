"""The answer of a check. Its JSON is public: docs/check.schema.json is made from these structs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gpubench.comparison.acceptance.faults import FAULTS, Status
from gpubench.flags import Flag

SCHEMA = 1

Link = Literal["given", "baseline", "twins", "board", "class", "alone", "beginning"]
"""Where an expectation comes from: stated with an option; the site's baseline; the median of other boards of
the same model; published figures of the board, or of its class of memory; the device working alone; or the
beginning of the same run."""

ITSELF: tuple[Link, ...] = ("alone", "beginning")
"""Links that hold a device against itself, which does not show what it should do."""


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """Answers of a newer program may hold more fields; they are read and ignored."""


class Expected(_Part, frozen=True, kw_only=True):
    """What a figure is held against, in the claim's unit.

    A bandwidth or a ratio has a ``floor`` = ``value`` x (1 - ``margin_ratio``), a latency a ``ceiling`` =
    ``value`` x (1 + ``margin_ratio``); the other one is null. ``why`` names the source of ``value``, and
    ``margin_why`` that of the margin.
    """

    link: Link
    value: float
    floor: float | None = None
    ceiling: float | None = None
    margin_ratio: float
    why: str
    margin_why: str

    @property
    def limit(self) -> float:
        """The floor, or the ceiling."""
        limit = self.floor if self.ceiling is None else self.ceiling
        return self.value if limit is None else limit

    def allows(self, figure: float) -> bool:
        """Whether a figure is not worse than the limit."""
        return figure <= self.limit if self.ceiling is not None else figure >= self.limit


class Attempt(_Part, frozen=True, kw_only=True):
    """One run's part in a claim; ``figure`` is null if the run gave none, for ``reason``.

    ``result``: whether the figure is within the limit; ``unknown`` if it does not count.
    """

    run_id: str
    result: Literal["pass", "fail", "unknown"]
    figure: float | None = None
    low: float | None = None
    high: float | None = None
    flags: list[Flag] = msgspec.field(default_factory=list)
    code: str | None = None
    reason: str | None = None


class Claim(_Part, frozen=True, kw_only=True):
    """One thing that should be so. ``code`` is null exactly if ``status`` is OK.

    ``figure`` is the median of the attempts that count, in ``unit``. ``not_used`` says why links of the
    chain of expectations before the one in ``expected`` were not used.
    """

    name: str
    status: Status
    text: str
    code: str | None = None
    figure: float | None = None
    unit: str | None = None
    theory_ratio: float | None = None
    expected: Expected | None = None
    attempts: list[Attempt] = msgspec.field(default_factory=list)
    not_used: list[str] = msgspec.field(default_factory=list)
    warnings: list[str] = msgspec.field(default_factory=list)
    action: str | None = None


class DeviceVerdict(_Part, frozen=True, kw_only=True):
    """``codes`` are those of the claims that are not OK and count, worst first. ``checked_at`` is when the
    newest run ended, ``run_seconds`` how long all its runs took together."""

    status: Status
    text: str
    codes: list[str]
    claims: list[Claim]
    id: str | None = None
    name: str | None = None
    hardware_id: str | None = None
    host: str | None = None
    runtime: str | None = None
    board: str | None = None
    run_ids: list[str] = msgspec.field(default_factory=list)
    checked_at: str | None = None
    run_seconds: float | None = None


class CheckReport(_Part, frozen=True, kw_only=True):
    """A verdict for each device; ``status`` is the worst of them, and UNKNOWN without any device.

    ``source``: the runs are given ``documents``, were measured for this check (``run``), or were stored by an
    earlier command (``store``).
    """

    schema: Annotated[int, Meta(extra_json_schema={"const": SCHEMA})] = SCHEMA
    program_version: str
    status: Status
    codes: list[str]
    made_at: str
    devices: list[DeviceVerdict]
    source: Literal["documents", "run", "store"] = "documents"
    check_seconds: float | None = None


def fault(name: str, code: str, text: str, **fields: Any) -> Claim:
    """A claim that is not OK."""
    row = FAULTS[code]
    return Claim(name=name, status=row.status, code=code, text=text, action=row.action, **fields)
