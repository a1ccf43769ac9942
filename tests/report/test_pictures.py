"""Pictures for articles: their size, their words, and what identifies their figures."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ElementTree

import pytest

from gpubench.report.figures.draw import pdf, png
from gpubench.report.pictures import find_figure, picture, sheet
from gpubench.report.subject import Subject
from tests.report.reports import HOSTILE, hostile_run, recorded, subject_of, two_boards


def test_a_picture_says_what_it_shows_and_of_which_document() -> None:
    subject = subject_of(two_boards())
    drawn = picture(subject, find_figure(subject, "bandwidth"), 600)
    text = " ".join(" ".join(ElementTree.fromstring(drawn).itertext()).split())
    assert "Measured against theory" in text
    assert "NVIDIA GeForce RTX 5090: triad: 1700.0 GB/s" in text
    for each in subject.kept:
        assert f"SHA-256 {each.sha256}" in text
    assert drawn.count("<svg ") == 2


@pytest.mark.parametrize("width", [600, 1200])
def test_png_and_pdf_are_of_the_same_drawing(width: int) -> None:
    subject = subject_of(two_boards())
    drawn = picture(subject, find_figure(subject, "cache_sweep"), width)
    made = png(drawn)
    assert made.startswith(b"\x89PNG")
    assert struct.unpack(">I", made[16:20]) == (2 * width,)
    assert pdf(drawn).startswith(b"%PDF-")


def test_all_figures_fit_on_one_sheet() -> None:
    drawn = sheet(Subject(recorded()))
    text = " ".join(ElementTree.fromstring(drawn).itertext())
    for title in ("Measured against theory", "Latency under load", "Map of the memory", "Transfers"):
        assert title in text


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_are_text_of_a_picture(name: str) -> None:
    drawn = sheet(subject_of([hostile_run(name)]))
    tags = {element.tag for element in ElementTree.fromstring(drawn).iter()}
    assert not [tag for tag in tags if "script" in tag or "foreign" in tag]
    assert len(drawn) < 400_000
    assert png(drawn).startswith(b"\x89PNG")
