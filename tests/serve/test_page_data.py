"""The page on tags and names that are written to break it."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from itertools import pairwise

import pytest
from served_pages import serving, until

import soundalike
from soundalike.library.folder import LibraryFolder

pytestmark = pytest.mark.slow


# Every title ends so that what is beside it would turn around if it were not kept apart.
TITLES = (
    '<img src=x onerror="document.title = 1; alert(1)"><b id=pwned>bold</b>',
    "<script>alert(1)</script></textarea></title><svg onload=alert(1)>",
    "\u202eevil \u202eoverride",
    "\u2069\u2069\u202eout of its isolate",
    "\u05e9\u05dc\u05d5\u05dd song \u0645\u0631\u062d\u0628\u0627 12",
    "zero\u200b\u200d\ufeffwidth\u2060",
    "line\nbreak\r\n\ttab\u2028separator",
    "\"quotes\" 'single' `back` %s %n {0} ${1} 100%25 &amp; &#60; \\",
    "long " * 600_000,
    "w" * 3_000_000,
    "o" + "\u0302\u0320" * 499,
    " ",
)
NAMES = (
    '"><img src=x onerror=alert(1)>.ogg', "new\nline.ogg", "gnp.\u202eggo.ogg", b"caf\xe9 \xff.ogg",
    "100%25 'a' \"b\" &amp; ?#.ogg", "\u05e9" * 60 + ".ogg",
)  # fmt: skip
BROKEN = "<svg onload=alert(1)>\u202e.mp3"


@pytest.fixture(scope="module")
def hostile(clip_library, tmp_path_factory):
    """The address of a server whose tracks have hostile tags, or hostile names and no tags."""
    where = tmp_path_factory.mktemp("hostile")
    with LibraryFolder(clip_library) as held:
        clips = [track.path for track in held.catalog.tracks()]
    (where / "music").mkdir()
    for number in range(len(TITLES)):
        shutil.copy(clips[number % len(clips)], where / "music" / f"{number:02}.ogg")
    for name, clip in zip(NAMES, clips, strict=False):
        shutil.copy(clip, os.path.join(os.fsencode(where / "music"), os.fsencode(name)))
    (where / "music" / BROKEN).write_bytes(bytes(range(256)) * 20)
    with soundalike.open(where / "library", create=True) as library:
        assert library.index(where / "music", jobs=1).added == len(TITLES) + len(NAMES)
    with LibraryFolder(where / "library", writable=True) as held, held.catalog.transaction():
        for track in held.catalog.tracks():
            tags = {"title": None, "artists": (), "album": None}
            if track.path.stem.isdecimal():
                title = TITLES[int(track.path.stem)]
                tags = {"title": title, "artists": (title, "Plain"), "album": title, "genres": (title,)}
            held.catalog.put_track(where / "music", replace(track, **tags))
    with serving(where / "library") as found:
        yield found


# Text that is written from left to right must be drawn so, whatever stands beside it.
_TURNED = """(root) => {
  const turned = [], walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT), range = document.createRange();
  while (walker.nextNode()) {
    const node = walker.currentNode, text = node.data;
    if (!/^[\\x20-\\x7e\\u00a0\\u00b7]+$/.test(text) || text.length > 300) continue;
    let last = null;
    for (let at = 0; at < text.length; at += 1) {
      range.setStart(node, at);
      range.setEnd(node, at + 1);
      const box = range.getBoundingClientRect();
      if (!box.width) continue;
      if (last && Math.abs(box.top - last.top) < 2 && box.left < last.left) turned.push(text);
      last = box;
    }
  }
  return turned;
}"""


def assert_calm(page, *, rows=".result, .track-list li, .offer, .playlist-list li, .query, .side-head, [role=option]"):
    """Nothing came from tags but text, it fits, and what is beside it is in order."""
    body = page.locator("body")
    assert page.locator("#pwned, img, svg[onload], main script").count() == 0
    assert body.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    heights = page.locator(rows).evaluate_all("all => all.map((one) => one.getBoundingClientRect().height)")
    assert heights and max(heights) < 420, heights
    assert body.evaluate(_TURNED) == []


class TestHostile:
    @pytest.fixture
    def address(self, hostile):
        return hostile

    @pytest.fixture(params=[1280, 390])
    def opened(self, open_page, request):
        def opening(path):
            page = open_page(path, width=request.param)
            page.on("dialog", lambda dialog: pytest.fail(dialog.message))
            return page

        return opening

    def test_search(self, opened):
        page = opened("/")
        page.locator(".offer").first.wait_for()
        assert_calm(page)
        picker = page.get_by_role("combobox")
        picker.fill("o")
        page.get_by_role("option").nth(5).wait_for()
        assert_calm(page)
        picker.fill("evil")
        until(page, lambda: page.get_by_role("option").count() == 1)
        picker.press("Enter")
        page.locator(".result").nth(len(TITLES) - 2).wait_for(timeout=60_000)
        assert page.locator(".result .title", has_text="<img src=x onerror").is_visible()
        for button in page.locator(".row-more").all():
            button.click()
        add = page.get_by_role("button", name=re.compile("^Add .* to the playlist", re.S))
        while add.count():
            add.first.click()
        page.get_by_role("button", name=re.compile("^More like ")).first.click()
        page.get_by_role("button", name=re.compile("^Playlist, ")).click()
        page.locator(".held").wait_for()
        page.get_by_role("button", name=re.compile("^Play ")).nth(1).click()
        page.locator(".player").wait_for()
        assert_calm(page, rows=".playlist-list li, .query, .held, .player, .result .names")

    def test_compare(self, opened, hostile):
        for first, second in pairwise(range(1, len(TITLES) + 1, 3)):
            page = opened(f"/compare?a={first}&b={second}")
            page.locator("path.ribbon").first.wait_for(timeout=60_000)
            assert_calm(page)

    def test_map(self, opened):
        page = opened("/map?method=pca&colour=genre")
        page.locator(".map-group").first.wait_for(timeout=60_000)
        page.get_by_role("button", name="Select in sight").click()
        page.locator(".map-selection .track-list li").nth(5).wait_for()
        canvas = page.locator(".map-canvas")
        canvas.focus()
        for key in ("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown"):
            canvas.press(key)
            page.wait_for_timeout(200)
            assert_calm(page, rows=".map-label, .map-group, .track-list li")

    def test_library(self, opened):
        page = opened("/library")
        page.locator(".track-list li").nth(10).wait_for()
        assert_calm(page)
        page.get_by_role("button", name=re.compile("^Remove .* from the library")).nth(len(TITLES) + 1).click()
        assert_calm(page, rows="dialog")
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("link", name=re.compile("^Failures")).click()
        page.locator(".file-list code", has_text="<svg onload").wait_for()
        assert_calm(page, rows=".file-list li")
        page.get_by_role("link", name="Duplicates").click()
        page.get_by_role("button", name="Find duplicates").click()
        page.locator(".mark.best").first.wait_for(timeout=60_000)
        assert_calm(page)
