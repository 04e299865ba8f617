"""The views Compare, Map and Library in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import urllib.request
import wave
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from served_pages import assert_accessible, query, serving, until

import soundalike
from soundalike.audio import load
from soundalike.demo import load_clips

pytestmark = pytest.mark.slow
TUNES = ("auld-lang-syne", "canon-in-d", "drunken-sailor")


def long_recording(folder, style):
    """Three tunes of one style, one after the other, so that there are several passages."""
    clips = {clip.path.name: clip.path for clip in load_clips()}
    loaded = [load(clips[f"{tune}.{style}.ogg"]) for tune in TUNES]
    path = folder / f"medley.{style}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(loaded[0].rate)
        samples = np.concatenate([one.samples.mean(axis=0) for one in loaded])
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Two long recordings, which are tracks 1 and 2, and nine clips."""
    folder = tmp_path_factory.mktemp("music")
    for style in ("rock.synth-band", "swing.flute-trio"):
        long_recording(folder, style)
    for clip in load_clips():
        if clip.path.name.startswith("canon-in-d"):
            shutil.copy(clip.path, folder / f"z-{clip.path.name}")
    return folder


@pytest.fixture(scope="module")
def address(music, tmp_path_factory):
    """A server whose library the tests here may change."""
    where = tmp_path_factory.mktemp("views") / "library"
    with soundalike.open(where, create=True) as library:
        library.index(music, jobs=1)
    with serving(where) as found:
        yield found


def ask(address, path, body=None):
    """What the server answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/api/v1{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def heard(page):
    """The positions that the Compare view shows, in seconds: {"A": 3.2}."""
    text = page.locator(".compare-now").inner_text()
    return {
        side: 60 * int(minutes) + float(seconds)
        for side, minutes, seconds in re.findall(r"([AB]) (\d+):([\d.]+)", text)
    }


def excerpts(page):
    """The excerpts that a page asks for, as a list that grows."""
    found = []
    page.on("request", lambda request: found.append(request.url) if "/audio?" in request.url else None)
    return found


def test_a_ribbon_plays_its_passages_which_meet(open_page, address):
    page = open_page("/compare?a=1&b=2")
    page.locator("path.ribbon").first.wait_for()
    asked = excerpts(page)
    ribbon = page.locator("path.ribbon").first
    ribbon.focus()
    ribbon.press("Enter")
    until(page, lambda: heard(page).get("A", 0) > 0, seconds=30)
    before = heard(page)["A"]
    until(page, lambda: heard(page).get("A", 0) > before + 0.5)
    assert "B" not in heard(page)

    # What is played is what the server says of these passages.
    name = ribbon.get_attribute("aria-label").partition(":")[0]
    pair = ask(address, "/compare", {"a": {"track": 1}, "b": {"track": 2}})["passages"][name]
    spans = {"a": {"track": 1, **pair["a"]}, "b": {"track": 2, **pair["b"]}}
    meeting = ask(address, "/compare", {**spans, "align": True})["matches"][0]["alignment"]
    sent = {
        urlsplit(one).path: {key: float(value[0]) for key, value in parse_qs(urlsplit(one).query).items()}
        for one in asked
    }
    a, b = sent["/api/v1/tracks/1/audio"], sent["/api/v1/tracks/2/audio"]
    assert b.get("semitones", 0) == -meeting["semitones"]
    assert b.get("tempo_ratio", 1) == pytest.approx(1 / meeting["tempo_ratio"], abs=1e-4)
    assert (b["end"] - b["start"]) * meeting["tempo_ratio"] == pytest.approx(a["end"] - a["start"], abs=0.01)

    page.get_by_role("button", name="Stop").first.click()
    assert heard(page) == {}
    page.get_by_role("radio", name="together").check()
    assert query(page)["together"] == ["1"]
    page.locator(f'.space-row[data-space="{name}"] .row-play').click()
    until(page, lambda: heard(page).keys() == {"A", "B"})
    page.get_by_text("stretch and transpose").click()
    assert query(page)["meet"] == ["0"]


def test_weights_of_a_comparison_and_the_way_back(open_page, address):
    page = open_page("/compare?a=1&b=2")
    overall = page.locator(".compare-overall")
    overall.filter(has_text="score").wait_for()
    first = overall.inner_text()
    slider = page.get_by_role("slider", name="melody")
    slider.press("Delete")
    until(page, lambda: overall.inner_text() != first)
    weights = {"rhythm": 0.5, "timbre": 0.5, "harmony": 0.5}
    score = ask(address, "/compare", {"a": {"track": 1}, "b": {"track": 2}, "weights": weights})["matches"][0]["score"]
    assert f"{abs(score):.2f}" in overall.inner_text()
    page.go_back()
    until(page, lambda: overall.inner_text() == first)
    page.get_by_role("button", name="Exchange A and B").click()
    assert (query(page)["a"], query(page)["b"]) == (["2"], ["1"])
    picker = page.get_by_role("combobox", name="Recording A")
    picker.fill("canon rock synth")
    page.get_by_role("option").first.wait_for()
    picker.press("Enter")
    until(page, lambda: query(page)["a"] != ["2"])


def test_the_matrix_plays_the_cell_that_is_pressed(open_page, address):
    page = open_page("/compare?a=1&b=2&matrix=harmony&meet=0")
    canvas = page.locator(".matrix-canvas")
    canvas.wait_for()
    asked = excerpts(page)
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] - 10, "y": 10})
    until(page, lambda: heard(page).get("A", -1) >= 0)
    times = ask(address, "/passages", {"a": {"track": 1}, "b": {"track": 2}, "spaces": ["harmony"]})
    assert len(times["a"]["start"]) > 2
    starts = {urlsplit(one).path: float(parse_qs(urlsplit(one).query)["start"][0]) for one in asked}
    assert starts["/api/v1/tracks/1/audio"] == pytest.approx(times["a"]["start"][0], abs=0.01)
    assert starts["/api/v1/tracks/2/audio"] == pytest.approx(times["b"]["start"][-1], abs=0.01)

    asked.clear()
    canvas.focus()
    canvas.press("ArrowDown")
    canvas.press("ArrowLeft")
    start = times["a"]["start"][1]
    assert f"A {int(start // 60)}:{int(start % 60):02}" in canvas.get_attribute("aria-label")
    canvas.press("Enter")
    until(page, lambda: len(asked) == 2)
    page.locator(".matrix summary").click()
    assert page.locator(".matrix-table tbody tr").count() > 1


def lasso(page, canvas):
    """Draw around all points."""
    box = canvas.bounding_box()
    left, top, right, low = box["x"] + 5, box["y"] + 5, box["x"] + box["width"] - 5, box["y"] + box["height"] - 5
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, low), (left, low)):
        page.mouse.move(x, y, steps=4)
    page.mouse.up()


def ready(page):
    """The canvas of a map that is made."""
    canvas = page.locator(".map-canvas")
    page.locator(".map-group").first.wait_for(timeout=60_000)
    return canvas


def test_the_lasso_makes_a_playlist(open_page, address):
    page = open_page("/map?method=pca")
    canvas = ready(page)
    everything = ask(address, "/library")["tracks"]
    page.get_by_role("button", name="Lasso").click()
    lasso(page, canvas)
    page.get_by_role("heading", name=f"{everything} tracks selected").wait_for()
    assert len(query(page)["picked"][0].split(",")) == everything
    assert page.get_by_role("button", name="Lasso").get_attribute("aria-pressed") == "false"
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as M3U").click()
    assert saved.value.path().read_text("utf-8").count("#EXTINF") == everything
    page.get_by_role("button", name="Add to the playlist", exact=True).click()
    page.get_by_role("button", name=f"Playlist, {everything} tracks").wait_for()

    page.reload()
    page.get_by_role("heading", name=f"{everything} tracks selected").wait_for(timeout=60_000)
    page.get_by_role("button", name="Clear", exact=True).last.click()
    assert "picked" not in query(page)
    page.go_back()
    page.get_by_role("heading", name=f"{everything} tracks selected").wait_for()


def test_the_map_by_keys_alone(open_page):
    page = open_page("/map?method=pca")
    canvas = ready(page)
    canvas.focus()
    canvas.press("ArrowRight")
    label = page.locator(".map-label strong")
    until(page, lambda: label.text_content() != "")
    first = label.text_content()
    moved = False
    for key in ("ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown"):
        canvas.press(key)
        page.wait_for_timeout(300)
        moved = moved or label.text_content() != first
    assert moved
    canvas.press("Enter")
    page.locator(".player").wait_for()
    title = page.locator(".player-title")
    until(page, lambda: title.inner_text() == label.text_content())
    until(page, lambda: int(page.get_by_label("Position").input_value()) > 0)
    canvas.press(" ")
    page.get_by_role("heading", name="1 track selected").wait_for()
    canvas.press("+")
    until(page, lambda: "at" in query(page))
    canvas.press("0")
    until(page, lambda: query(page)["at"] == ["0,0,1"])


def test_colours_of_the_map_and_hidden_groups(open_page, address):
    page = open_page("/map?method=pca&hits=1,2")
    ready(page)
    # No clip has a genre, so that keys colour the points.
    assert page.get_by_label("Colour", exact=True).input_value() == "key"
    shown = page.locator(".map-group").evaluate_all("all => all.map((one) => one.getAttribute('aria-label'))")
    assert sum(int(re.search(r"(\d+) track", one)[1]) for one in shown) == ask(address, "/library")["tracks"]
    group = page.locator(".map-group").first
    group.click()
    assert group.get_attribute("aria-pressed") == "false"
    page.get_by_role("button", name="Select in sight").click()
    hidden = int(re.search(r"(\d+) track", shown[0])[1])
    left = ask(address, "/library")["tracks"] - hidden
    page.get_by_role("heading", name=re.compile(f"^{left} tracks? selected")).wait_for()
    page.get_by_label("Colour", exact=True).select_option("space:melody")
    assert query(page)["colour"] == ["space:melody"]
    page.get_by_text("Press a track").wait_for()
    page.go_back()
    until(page, lambda: page.get_by_label("Colour", exact=True).input_value() == "key")


def test_the_map_survives_the_loss_of_its_card(open_page):
    page = open_page("/map?method=pca", strict=False)
    canvas = ready(page)
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)
    before = canvas.screenshot()
    canvas.evaluate("canvas => { window.card = canvas.getContext('webgl2').getExtension('WEBGL_lose_context'); }")
    page.evaluate("card.loseContext()")
    page.wait_for_timeout(300)
    assert canvas.screenshot() != before
    page.evaluate("card.restoreContext()")
    until(page, lambda: canvas.screenshot() == before)


def test_without_webgl_the_tracks_are_listed(open_page):
    script = """
    const own = HTMLCanvasElement.prototype.getContext;
    HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
      return kind === "webgl2" ? null : own.call(this, kind, ...more);
    };
    """
    page = open_page("/map", script=script)
    page.get_by_text("has no WebGL 2").wait_for()
    until(page, lambda: page.locator(".track-list li").count() >= 11)


def test_add_a_folder_reload_and_remove_it(open_page, address, music, tmp_path):
    for clip in load_clips()[20:32]:
        shutil.copy(clip.path, tmp_path / clip.path.name)
    shutil.copy(next(music.glob("z-*")), tmp_path / "copy.ogg")
    (tmp_path / "broken.mp3").write_bytes(bytes(range(256)) * 20)
    before = ask(address, "/library")["tracks"]
    page = open_page("/library")
    page.get_by_label("Add a folder").fill(str(tmp_path))
    page.get_by_role("button", name="Add", exact=True).click()
    job = page.locator(".job")
    job.get_by_role("progressbar").wait_for()
    page.reload()
    job.get_by_role("progressbar").wait_for()
    job.get_by_text("1 file could not be read").wait_for(timeout=120_000)
    job.locator("summary").click()
    assert "not audio" in job.locator(".file-list").inner_text()
    until(page, lambda: page.locator(".library-facts").inner_text().startswith(str(before + 13)))

    page.get_by_role("link", name=re.compile("^Failures")).click()
    page.locator(".library-content .file-list code", has_text="broken.mp3").wait_for()
    page.get_by_role("link", name="Duplicates").click()
    page.get_by_role("button", name="Find duplicates").click()
    page.locator(".mark.best").first.wait_for(timeout=60_000)
    page.reload()
    page.locator(".mark.best").first.wait_for()
    page.get_by_role("button", name=re.compile("^Play ")).first.click()
    until(page, lambda: int(page.get_by_label("Position").input_value()) > 0)
    page.get_by_role("button", name="Pause").last.click()

    page.get_by_role("button", name=f"Remove {tmp_path}").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert page.locator(".job").count() == 1
    page.get_by_role("button", name=f"Remove {tmp_path}").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.get_by_text("13 tracks removed").wait_for(timeout=60_000)
    assert ask(address, "/library")["tracks"] == before
    page.get_by_role("button", name=re.compile("^Forget")).first.click()
    until(page, lambda: page.locator(".job").count() == 1)


def test_find_tracks_in_the_library(open_page, address):
    page = open_page("/library")
    page.get_by_label("Find tracks").fill("canon")
    until(page, lambda: query(page).get("q") == ["canon"])
    expected = [str(one["id"]) for one in ask(address, "/tracks?q=canon")["tracks"]]
    rows = page.locator(".track-list li")
    until(page, lambda: rows.evaluate_all("all => all.map((one) => one.dataset.track)") == expected)
    page.get_by_role("link", name=re.compile("^Search with")).first.click()
    page.locator(".result").first.wait_for()
    assert query(page)["track"] == expected[:1]
    page.go_back()
    until(page, lambda: page.get_by_label("Find tracks").input_value() == "canon")


VIEWS = [
    ("/compare", "h1"),
    ("/compare?a=1&b=2&matrix=melody,harmony&w=melody:0.5,rhythm:0", ".matrix-canvas"),
    ("/map?method=pca&picked=1,2", ".map-selection li"),
    ("/library", ".track-list li"),
    ("/library?show=failures", ".library-part p:visible"),
    ("/library?show=versions", ".library-part p:visible"),
]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_nothing_is_cut_off_and_axe_finds_nothing(open_page, width, scheme):
    for path, shown in VIEWS:
        page = open_page(path, width=width, height=844, strict=False, color_scheme=scheme, reduced_motion="reduce")
        page.locator(shown).first.wait_for(timeout=60_000)
        page.wait_for_timeout(300)
        assert_accessible(page)
