"""The Search view in a real browser: what it finds, that it plays, and that the address keeps its state."""

from __future__ import annotations

import json
import re
import urllib.request

import pytest
from served_pages import assert_accessible, query, until

from soundalike.demo import load_clips


def search(address, **body):
    """The ids that POST /search answers."""
    request = urllib.request.Request(
        f"{address}/api/v1/search", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return [str(match["id"]) for match in json.load(answer)["matches"]]


def shown(page):
    """The ids of the results in the order in which they are shown."""
    return page.locator(".result").evaluate_all("rows => rows.map((row) => row.dataset.track)")


# The audio elements of the player are not in the document.
_WATCH = """
window.players = [];
window.Audio = class extends window.Audio { constructor() { super(); window.players.push(this); } };
"""


def positions(page):
    """The positions of the query and of the match, which of them play, and the time now; all in seconds."""
    a, b, now = page.evaluate(
        "[...players.slice(0, 2).map((one) => [one.currentTime, !one.paused]), performance.now() / 1000]"
    )
    return a, b, now


def test_search_move_a_slider_and_go_back(open_page, address):
    page = open_page()
    picker = page.get_by_role("combobox")
    picker.fill("canon rock")
    page.get_by_role("option").first.wait_for()
    picker.press("ArrowDown")
    picker.press("Enter")
    page.locator(".result").first.wait_for()
    track = int(query(page)["track"][0])
    everything = search(address, query={"track": track}, k=20)
    assert shown(page) == everything

    slider = page.get_by_role("slider", name="melody")
    for _ in range(5):
        slider.press("ArrowLeft")
    slider.press("Delete")
    page.get_by_role("slider", name="timbre").press("Home")
    weights = {"rhythm": 0.5, "timbre": -1.0, "harmony": 0.5}
    other = search(address, query={"track": track}, weights=weights, k=20)
    until(page, lambda: shown(page) == other)
    assert other != everything
    assert query(page)["w"] == ["melody:0,rhythm:0.5,timbre:-1,harmony:0.5"]

    page.go_back()
    without_melody = dict.fromkeys(("rhythm", "timbre", "harmony"), 0.5)
    until(page, lambda: shown(page) == search(address, query={"track": track}, weights=without_melody, k=20))
    page.go_back()
    until(page, lambda: shown(page) == everything)
    assert slider.input_value() == "0.5"
    page.reload()
    page.locator(".result").first.wait_for()
    assert shown(page) == everything


def test_play_and_switch_between_query_and_match_at_the_same_beat(open_page):
    page = open_page("/?track=1", script=_WATCH)
    result = page.locator(".result").first
    plays = page.locator(".row-play")
    plays.nth(1).focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    until(page, lambda: positions(page)[0][0] > 0.2)
    title = result.locator(".title").inner_text()
    assert page.locator(".player-title").inner_text() == title

    with page.expect_response(re.compile("/compare$")) as asked:
        result.get_by_role("button", name=re.compile("^Switch between")).click()
    alignment = asked.value.json()["matches"][0]["alignment"]
    until(page, lambda: page.locator(".player-title").inner_text() == page.locator(".query-title").inner_text())
    match = page.get_by_role("button", name="B match")
    page.get_by_label("Position").press("Home")
    until(page, lambda: positions(page)[0][1] and 0.2 < positions(page)[0][0] < 4)
    (a, _), _, then = positions(page)
    match.click()
    # The query goes on until the match has started, so that there is no gap.
    until(page, lambda: [plays for _, plays in positions(page)[:2]] == [False, True])
    _, (b, _), now = positions(page)
    assert page.locator(".player-title").inner_text() == title
    # Both clips are one passage, from 0 on. The beat of the query now, if it had gone on:
    assert b == pytest.approx(alignment["offset"] + (a + now - then) / alignment["tempo_ratio"], abs=0.25)
    page.get_by_label("Player").get_by_role("button", name="Pause").click()
    assert not positions(page)[1][1]


@pytest.mark.slow
def test_drag_a_region_and_rate_results(open_page, address):
    page = open_page("/?track=1")
    page.locator(".result").first.wait_for()
    page.locator(".query-wave canvas").first.wait_for(state="attached")
    box = page.locator(".query-wave").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.25 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], y, steps=8)
    page.mouse.up()
    until(page, lambda: "start" in query(page))
    start, end = (float(query(page)[name][0]) for name in ("start", "end"))
    assert 1 < start < end < 6
    region = {"track": 1, "start": start, "end": end}
    until(page, lambda: shown(page) == search(address, query=region, k=20))

    liked = page.locator(".result").nth(2)
    track = liked.get_attribute("data-track")
    liked.get_by_role("button", name=re.compile("^More like")).click()
    until(page, lambda: query(page).get("like") == [track])
    until(page, lambda: shown(page) == search(address, query=region, like=[{"track": int(track)}], k=20))
    page.get_by_role("button", name=re.compile("^Take back")).click()
    page.get_by_role("button", name="Use all of it").click()
    until(page, lambda: shown(page) == search(address, query={"track": 1}, k=20))


@pytest.mark.slow
def test_search_with_a_file(open_page, address):
    page = open_page()
    clip = next(one.path for one in load_clips() if one.path.name == "god-rest-ye-merry-gentlemen.rock.synth-band.ogg")
    page.get_by_label("Choose a recording").set_input_files(clip)
    page.locator(".result").first.wait_for(timeout=30_000)
    assert shown(page) == search(address, query={"upload": query(page)["upload"][0]}, k=20)


@pytest.mark.slow
def test_filters_say_what_is_wrong_and_the_playlist_is_kept(open_page, problems):
    page = open_page("/?track=1")
    page.locator(".result").first.wait_for()
    page.get_by_label("Only tracks with").fill("bmp > 3")
    page.get_by_label("Only tracks with").press("Enter")
    page.locator(".filters .bad", has_text="unknown field 'bmp'").wait_for()
    problems.clear()  # the browser reports the status 400
    page.get_by_label("Only tracks with").fill("title ~ canon")
    page.get_by_label("Only tracks with").press("Enter")
    until(page, lambda: page.locator(".result").count() == 4)
    page.locator(".result").first.get_by_role("button", name=re.compile("^Add ")).click()
    page.reload()
    page.get_by_role("button", name="Playlist, 1 track").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as M3U").click()
    assert "canon-in-d" in saved.value.path().read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_nothing_is_cut_off_and_axe_finds_nothing(open_page, width, scheme):
    page = open_page("/?track=1&w=melody:1,timbre:-0.5&like=5", width=width, strict=False, color_scheme=scheme)
    page.locator(".result").first.wait_for()
    page.locator(".row-more").first.click()
    page.get_by_role("button", name=re.compile("^Playlist")).click()
    page.wait_for_timeout(400)  # rows that glide are half transparent
    assert_accessible(page)
