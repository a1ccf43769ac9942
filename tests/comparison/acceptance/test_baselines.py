"""Baselines: learned, written, read again, and what they warn about."""

from __future__ import annotations

import tomllib

import pytest

from gpubench.comparison.acceptance import Rules, Sources, learn, read_baseline, render_baseline
from gpubench.errors import InvalidParameters
from tests.comparison.acceptance.fleet import board, run, verdict
from tests.documents import document, measurement

EIGHT = [run(1650 + number, number, attempt=attempt) for number in range(1, 9) for attempt in (1, 2)]


def test_what_is_learned_is_used() -> None:
    learned = learn(EIGHT)
    assert learned.warnings == ()
    (row,) = learned.baseline.board
    (figure,) = row.figure
    assert (row.name, row.kernels) == ("NVIDIA GeForce RTX 5090", "a1b2c3")
    assert (figure.benchmark, figure.boards, figure.runs) == ("triad", 8, 16)
    assert figure.median_bytes_per_second == pytest.approx(1654.5e9)
    assert 0.02 <= figure.margin_ratio < 0.03
    rules = Rules(Sources(baseline=learned.baseline))
    assert verdict([run(1640)], rules).status == "OK"
    assert verdict([run(1590)], rules).codes == ["GB-BW-LOW"]


def test_it_is_read_as_it_was_written() -> None:
    baseline = learn(EIGHT).baseline
    text = render_baseline(baseline)
    assert read_baseline(text) == baseline
    assert tomllib.loads(text)["board"][0]["figure"][0]["benchmark"] == "triad"


@pytest.mark.parametrize("name", ['A "B" \\ C', "line\nbreak", "DEL\x7f and \x00", "RTX ü 日本"])
def test_hostile_names_are_kept(name: str) -> None:
    runs = [document(measurement(1600), device=board(name=name), run_id=f"r{n}") for n in range(3)]
    baseline = learn(runs).baseline
    assert baseline.board[0].name == name
    assert read_baseline(render_baseline(baseline)) == baseline


def test_a_slow_board_among_those_learned_from_is_named() -> None:
    warnings = learn([*EIGHT[2:], run(1100), run(1105, attempt=2)]).warnings
    assert len(warnings) == 1
    assert "0000:01:00.0" in warnings[0]
    assert "33." in warnings[0]


def test_a_fleet_far_below_what_is_published_is_named() -> None:
    (warning,) = learn([run(770, number) for number in range(1, 9)]).warnings
    assert "are all these boards healthy?" in warning


def test_a_margin_too_wide_to_judge_by_is_named() -> None:
    noisy = [run(gb, attempt=number) for number, gb in enumerate([1600, 1000, 1700, 800, 1650])]
    assert any("too wide" in warning for warning in learn(noisy).warnings)


def test_too_few_runs_or_only_contended_ones_teach_nothing() -> None:
    for runs in ([run(1600)], [run(1600, n, "contended") for n in range(9)], []):
        with pytest.raises(InvalidParameters, match="nothing can be learned"):
            learn(runs)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[board", "not TOML"),
        ("schema = 2", "a newer gpubench wrote it"),
        ("colour = 1", "colour"),
        ('[[board]]\nname = "x"', "baseline.board[0]"),
        (
            '[[board]]\nname="x"\nruntime="cuda"\nkernels="a"\n[[board.figure]]\nbenchmark="triad"\n'
            'parameters="{}"\nmedian_bytes_per_second=-1.0\nmargin_ratio=0.1',
            "median_bytes_per_second",
        ),
    ],
)
def test_a_wrong_baseline_names_its_field(text: str, words: str) -> None:
    with pytest.raises(InvalidParameters) as error:
        read_baseline(text)
    assert words in f"{error.value.message} {error.value.details.get('path', '')}"


def test_the_margin_may_be_edited() -> None:
    text = render_baseline(learn(EIGHT).baseline)
    edited = "\n".join(
        "margin_ratio = 0.2" if line.startswith("margin_ratio") else line for line in text.splitlines()
    )
    rules = Rules(Sources(baseline=read_baseline(edited)))
    assert verdict([run(1400)], rules).status == "OK"
