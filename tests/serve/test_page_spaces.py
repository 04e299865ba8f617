"""Spaces of a second model in the page: they are added, moved, remembered in the address, and removed."""

from __future__ import annotations

import shutil

import pytest
from served_pages import assert_accessible, query, serving, until

import soundalike


@pytest.fixture(scope="module")
def address(stocked, music, tmp_path_factory):
    """The address of a server of `music`, of which two folders are encoded by dsp too."""
    where = tmp_path_factory.mktemp("spaces") / "library"
    shutil.copytree(stocked, where)
    with soundalike.open(where) as library:
        library.index(music / "up", music / "down", model="dsp", jobs=1)
    with serving(where) as found:
        yield found


@pytest.mark.slow
def test_add_a_space_of_another_model_and_remove_it(open_page):
    page = open_page("/?track=1")
    page.locator(".result").first.wait_for()
    adder = page.get_by_role("combobox", name="Add a space of another model")
    assert adder.locator("optgroup").evaluate_all("all => all.map((one) => one.label)") == ["dsp"]
    adder.select_option("dsp/rhythm")
    slider = page.get_by_role("slider", name="dsp/rhythm")
    slider.wait_for()
    until(page, lambda: "dsp/rhythm:0.5" in query(page).get("w", [""])[0])
    note = page.locator(".results-notes")
    note.filter(has_text="6 tracks left out: not encoded by dsp.").wait_for()
    assert "dsp/rhythm" in page.locator(".results-legend").inner_text()
    assert page.locator(".result").count() == 5
    slider.press("Home")
    until(page, lambda: "dsp/rhythm:-1" in query(page)["w"][0])
    page.locator(".result .chip-name").filter(has_text="dsp/rhythm").first.wait_for()
    page.reload()
    slider.wait_for()
    assert slider.input_value() == "-1"
    assert "dsp/rhythm" not in adder.inner_text() and "dsp/melody" in adder.inner_text()
    page.get_by_role("button", name="Remove dsp/rhythm").click()
    slider.wait_for(state="detached")
    until(page, lambda: "dsp" not in query(page)["w"][0])
    note.filter(has_text="not encoded").wait_for(state="detached")


@pytest.mark.slow
def test_a_comparison_shows_the_spaces_that_are_named(open_page):
    page = open_page("/compare?a=1&b=2&w=melody:1,dsp/rhythm:1", strict=False)
    page.locator(".space-row[data-space='dsp/rhythm'] .space-words").filter(has_text="random").wait_for()
    assert page.locator(".space-row").count() == 5
    page.goto(f"{page.url.partition('/compare')[0]}/?track=1&w=melody:1,dsp/rhythm:1")
    page.locator(".result").first.wait_for()
    assert_accessible(page)
