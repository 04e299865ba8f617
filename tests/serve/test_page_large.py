"""The page on a library of 100,000 tracks."""

from __future__ import annotations

import os
import re
import time

import numpy as np
import pytest
from served_pages import query, serving, until
from stocked import stock, track_of

from conftest import tune, write
from soundalike.models.heads import unit_rows
from soundalike.models.model import load_once

pytestmark = pytest.mark.slow
TRACKS = 100_000
PER_FOLDER = 1000
GENRES = ("jazz", "rock", "folk", "house")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The address of a server of 100,000 tracks whose files are links to a few short recordings."""
    where = tmp_path_factory.mktemp("large")
    music, model, random = where / "music", load_once("compact"), np.random.default_rng(0)
    centres = random.standard_normal((200, model.spaces[0].dim), np.float32)
    group = random.integers(len(centres), size=TRACKS)
    rows = {
        space.name: unit_rows(centres[np.roll(group, at)] + random.standard_normal((TRACKS, space.dim), np.float32))
        for at, space in enumerate(model.spaces)
    }

    def tracks():
        for number in range(TRACKS):
            path = music / str(number // PER_FOLDER) / f"{number}.wav"
            if number % PER_FOLDER == 0:
                first = write(path, tune([60, 64, 67], seconds=2, seed=number), subtype="PCM_16")
                status = first.stat()
            else:
                os.link(first, path)
            yield track_of(
                path, status, title=f"Song {number}", artists=(f"Band {number % 777}",), duration=60.0,
                genres=(GENRES[group[number] % len(GENRES)],), tempo=80.0 + number % 90, key="A minor",
            )  # fmt: skip

    with serving(stock(where / "library", rows, model, music, tracks())) as found:
        yield found


def watch(page):
    """The requests of a page that fail, as a list that grows."""
    failed = []
    page.on("response", lambda answer: failed.append((answer.status, answer.url)) if answer.status >= 400 else None)
    return failed


def seconds(page, action, condition, limit=30.0):
    """How long it takes from an action until a condition holds."""
    began = time.monotonic()
    action()
    until(page, condition, seconds=limit)
    return time.monotonic() - began


class TestLarge:
    @pytest.fixture
    def address(self, large):
        return large

    def test_search(self, open_page):
        page = open_page("/")
        failed = watch(page)
        picker, option = page.get_by_role("combobox"), page.get_by_role("option").first
        found = seconds(
            page, lambda: picker.fill("song 54321"), lambda: "54321" in (option.text_content(timeout=30_000) or "")
        )
        picker.press("Enter")
        page.locator(".result").nth(19).wait_for(timeout=60_000)

        def shown():
            return page.locator(".result").evaluate_all("rows => rows.map((row) => row.dataset.track)")

        slider, moves = page.get_by_role("slider", name="melody"), []
        for key in ("Home", "End", "Delete"):
            before = shown()
            moves.append(seconds(page, lambda key=key: slider.press(key), lambda before=before: shown() != before))
        assert found < 10 and min(moves) < 2
        page.get_by_role("button", name=re.compile("^Play ")).nth(1).click()
        until(page, lambda: int(page.get_by_label("Position").input_value()) > 0)
        assert not failed

    def test_map(self, open_page):
        page = open_page("/map?method=pca")
        failed = watch(page)
        drawn = seconds(page, lambda: None, lambda: page.locator(".map-group").count() > 1, limit=120)
        canvas = page.locator(".map-canvas")
        names = page.locator(".map-group").evaluate_all("all => all.map((one) => one.getAttribute('aria-label'))")
        assert sum(int(re.search(r"([\d,]+) track", one)[1].replace(",", "")) for one in names) == TRACKS
        selected = page.get_by_role("heading", name="100,000 tracks selected")
        chosen = seconds(page, page.get_by_role("button", name="Select in sight").click, lambda: selected.count() == 1)
        canvas.focus()
        label = page.locator(".map-label strong")
        pointed = seconds(page, lambda: canvas.press("ArrowRight"), lambda: label.text_content() != "")
        assert drawn < 90 and chosen < 10 and pointed < 5
        assert not failed

    def test_library(self, open_page):
        page = open_page("/library")
        failed = watch(page)
        rows = page.locator(".library-content .track-list li")
        opened = seconds(page, lambda: None, lambda: rows.count() > 10)
        page.get_by_text("100,000 tracks").first.wait_for()
        turned = seconds(
            page,
            page.get_by_role("button", name="Next").click,
            lambda: (query(page).get("page"), rows.count() > 10) == (["2"], True),
        )
        found = seconds(
            page,
            lambda: page.get_by_label("Find tracks").fill("band 776"),
            lambda: "Band 776" in rows.first.inner_text(),
        )
        assert opened < 10 and turned < 5 and found < 10
        assert not failed
