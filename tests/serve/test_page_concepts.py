"""Sliders of concepts that were learned from the tags of the library, in a real browser."""

from __future__ import annotations

import pytest
from served_pages import assert_accessible, query, serving, until

import soundalike
from tagged_library import make_library

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A server of a library with factors of `compact` and with learned concepts."""
    clips, library, _ = make_library(tmp_path_factory.mktemp("concepts"))
    with soundalike.open(library) as opened:
        opened.index(clips, model="compact", jobs=1)
    with serving(library) as found:
        yield found


def test_concepts_have_sliders_beside_the_factors(open_page):
    page = open_page("/?track=2")
    page.locator(".result").first.wait_for()
    factors = page.get_by_role("group", name="Factors")
    assert factors.get_by_role("slider").count() == 4
    concepts = page.get_by_role("group", name="Concepts")
    slider = concepts.get_by_role("slider", name="genre")
    assert slider.input_value() == "0"
    assert "genre" not in query(page).get("w", [""])[0]  # it counts only once it is moved
    slider.press("End")
    until(page, lambda: "genre:1" in query(page).get("w", [""])[0])
    page.locator(".result .chip-name").filter(has_text="genre").first.wait_for()
    assert "genre" in page.locator(".results-legend").inner_text()
    page.reload()
    slider.wait_for()
    assert slider.input_value() == "1"
    slider.press("Delete")
    until(page, lambda: "genre" not in query(page).get("w", [""])[0])
    assert slider.input_value() == "0" and slider.is_visible()


def test_the_page_with_concepts_is_accessible(open_page):
    page = open_page("/?track=2", strict=False)
    page.locator(".result").first.wait_for()
    assert_accessible(page)
