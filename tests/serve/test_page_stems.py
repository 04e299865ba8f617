"""The matrix of stems in the page: it separates, shows every cell, and plays the stems of a cell."""

from __future__ import annotations

import os
import re
import shutil

import pytest
from served_pages import assert_accessible, query, serving, until

import soundalike
from conftest import TUNES, tune, write


@pytest.fixture
def address(dsp_halves, _distribution, tmp_path, monkeypatch):
    """The address of a server of two recordings, whose processes have the separator and the model on its stems."""
    shutil.copytree(tmp_path / "data" / "models", tmp_path / "user" / "data" / "soundalike" / "models")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(_distribution), os.environ.get("PYTHONPATH", "")]))
    for name in ("up", "leaps"):
        write(tmp_path / "music" / f"{name}.wav", tune(TUNES[name], seconds=4))
    with soundalike.open(tmp_path / "library", create=True) as library:
        library.index(tmp_path / "music", model="dsp", jobs=1)
    with serving(tmp_path / "library") as found:
        yield found


@pytest.mark.slow
def test_stems_are_separated_compared_and_played(open_page, halves, problems):
    page = open_page("/compare?a=1&b=2", strict=False)
    page.get_by_role("button", name="halves").click()
    page.locator(".stem-cell").first.wait_for(timeout=30_000)
    assert halves.read_text().split() == ["leaps.wav", "up.wav"]
    # Browsers report every such answer, the one that leads to the job too.
    assert problems == ["Failed to load resource: the server responded with a status of 409 (Conflict)"]
    problems.clear()
    until(page, lambda: query(page).get("stems") == ["halves"])
    table = page.get_by_role("table", name="How alike A and B are in the mix and the stems of halves")
    assert table.get_by_role("rowheader").all_inner_texts() == ["mix", "bass", "vocals"]
    assert table.get_by_role("columnheader").all_inner_texts() == ["melody", "rhythm", "timbre", "harmony"]
    assert table.get_by_role("cell").count() == 13
    with page.expect_response(lambda one: "/stems/halves/vocals" in one.url and one.status == 206):
        cell = page.get_by_role("button", name="Play vocals, timbre: z")
        cell.press("Enter")
    page.locator(".stem-cell.current").wait_for()
    assert page.locator(".stem-cell.current").get_attribute("data-cell") == "vocals timbre"
    assert "leaps · vocals" in page.locator(".player-title").inner_text()
    page.locator(".player-sides button").nth(1).click()
    until(page, lambda: "up · vocals" in page.locator(".player-title").inner_text())
    if shots := os.environ.get("SHOTS"):
        page.screenshot(path=f"{shots}/stems.png", full_page=True)
    assert_accessible(page)
    page.emulate_media(color_scheme="dark")
    assert_accessible(page)
    page.set_viewport_size({"width": 390, "height": 800})
    assert_accessible(page)
    if shots:
        page.screenshot(path=f"{shots}/narrow.png", full_page=True)
    # The address brings the table back, without separating again.
    page.reload()
    page.locator(".stem-cell").first.wait_for()
    assert len(halves.read_text().split()) == 2
    page.get_by_role("button", name="halves").click()
    page.locator(".stem-cell").first.wait_for(state="detached")


@pytest.mark.slow
def test_loops_like_a_stem_are_found_with_what_they_need(open_page, halves, problems):
    page = open_page("/?track=1&start=0.5&end=3.5", strict=False)
    page.locator(".result").first.wait_for()
    stem = page.get_by_role("combobox", name="Stem")
    until(page, lambda: "bass by halves" in stem.locator("option").all_inner_texts())
    stem.select_option("halves/bass")
    about = page.locator(".results-about")
    until(page, lambda: about.inner_text().endswith("with the bass by halves"), seconds=30)
    assert halves.read_text().split() == ["leaps.wav"]
    assert problems == ["Failed to load resource: the server responded with a status of 409 (Conflict)"]
    problems.clear()
    assert query(page)["stem"] == ["halves/bass"]
    needed = page.locator(".result .meta").last.inner_text().replace("\u00a0", " ")
    assert re.search(r"\d\.\d\d ×, .*\d semitones?$", needed), needed
    assert page.get_by_role("button", name="More like up").is_disabled()
    # The weights that suit the stem are shown: harmony does not count for basses.
    values = [page.locator(f'.weight-row[data-space="{name}"] input').input_value() for name in ("melody", "harmony")]
    assert values == ["1", "0"]
    if shots := os.environ.get("SHOTS"):
        page.screenshot(path=f"{shots}/loops.png", full_page=True)
    assert_accessible(page)
    page.emulate_media(color_scheme="dark")
    assert_accessible(page)
    page.set_viewport_size({"width": 390, "height": 800})
    assert_accessible(page)
    # The address brings the search back, without separating again; the mix is one choice away.
    page.reload()
    until(page, lambda: about.inner_text().endswith("with the bass by halves"))
    assert stem.input_value() == "halves/bass"
    stem.select_option("")
    until(page, lambda: "with the bass" not in about.inner_text() and "compared" in about.inner_text())
    assert "stem" not in query(page)
    assert len(halves.read_text().split()) == 1
