"""A server on a library of demo clips, and a browser that opens its page."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import soundalike
from soundalike.demo import load_clips

_TUNES = ("auld-lang-syne", "canon-in-d", "drunken-sailor")
_STYLES = ("rock.synth-band", "swing.flute-trio", "bossa-nova.synth-band", "rock.flute-trio")


def chromium() -> str:
    """Where Chromium is; skips the test where there is none."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("Chromium is not installed: apt install chromium")
    return found


@pytest.fixture(scope="session")
def clip_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of 12 clips: three tunes, four ways each."""
    where = tmp_path_factory.mktemp("clips") / "library"
    wanted = {f"{tune}.{style}.ogg" for tune in _TUNES for style in _STYLES}
    clips = sorted(clip.path for clip in load_clips() if clip.path.name in wanted)
    with soundalike.open(where, create=True) as library:
        library.index(*clips, jobs=1)
    return where


@contextmanager
def serving(library: Path) -> Iterator[str]:
    """The address of a server in a process of its own, without the last slash."""
    command = [sys.executable, "-m", "soundalike", "serve", "--library", str(library), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert server.stdout
    try:
        lines = []
        for line in server.stdout:
            lines.append(line)
            if found := re.search(r"http://[\d.]+:\d+", line):
                yield found[0]
                break
        else:
            pytest.fail("the server did not start: " + "".join(lines))
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stdout.close()


@pytest.fixture(scope="session")
def address(clip_library: Path) -> Iterator[str]:
    """The address of a server of the clips. A module may have another one in its place."""
    with serving(clip_library) as found:
        yield found


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, which may play sound without a click."""
    path = chromium()
    sync_api = pytest.importorskip("playwright.sync_api", reason="Chromium is not installed: no playwright")
    # A program draws WebGL, so that the map looks the same on machines without a graphics card.
    options = [
        "--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--mute-audio", "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
    ]  # fmt: skip
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=options)
        yield opened
        opened.close()


@pytest.fixture
def problems() -> list[str]:
    """What pages complained about."""
    return []


@pytest.fixture
def open_page(browser: Any, address: str, problems: list[str]) -> Iterator[Callable[..., Any]]:
    """Opens an address in a window of its own; the test fails if the page then reports any error.

    What breaks the Content Security Policy is such an error too. `strict=False` lets axe in, which needs to be
    evaluated. `script` runs before those of the page.
    """
    contexts = []

    def opening(
        path: str = "/", *, width: int = 1280, height: int = 900, strict: bool = True, script: str = "", **more: Any
    ) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, bypass_csp=not strict, **more)
        context.add_init_script(script)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda told: problems.append(told.text) if _is_problem(told) else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address + path)
        return page

    yield opening
    for context in contexts:
        context.close()
    assert not problems


def _is_problem(told: Any) -> bool:
    """Whether a message on the console is one. Drivers of WebGL also tell that reading pixels for a picture is slow."""
    return told.type in ("error", "warning") and "GL Driver Message" not in told.text


def until(page: Any, condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Wait for a condition; the policy of the page forbids those that are evaluated in it."""
    for _ in range(int(seconds * 20)):
        if condition():
            return
        page.wait_for_timeout(50)
    assert condition()


def query(page: Any) -> dict[str, list[str]]:
    """What the address of a page says."""
    return parse_qs(urlsplit(page.url).query)


def assert_accessible(page: Any) -> None:
    """Nothing is cut off at the sides, and axe finds nothing serious. The page was opened with `strict=False`."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="Chromium is not installed: no axe")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
    found = axe.Axe().run(page, options=rules).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []
