"""Take the pictures of the README: python tools/screenshots.py (Linux; the demo page needs Chromium and Pillow).

`docs/images/terminal.svg` is what a terminal of 80 columns shows for two searches among the bundled clips,
`docs/images/demo.png` the page that `soundalike demo` writes, and `docs/images/page-*.png` what `soundalike serve`
shows.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

from soundalike.demo import load_clips

IMAGES = Path(__file__).parents[1] / "docs" / "images"
COLUMNS, ROWS = 80, 40
SEARCHES = (
    "search canon-in-d.rock.synth-band.ogg -k 5",
    "search canon-in-d.rock.synth-band.ogg -w rhythm=1,timbre=-1 -k 5",
)
PAGE_SIZE = (1100, 1000)
VIEWS = {
    "search": ("/?track=4&start=0.5&end=6.5&w=melody:1,rhythm:0.4,timbre:-0.5", "light", (1280, 1010)),
    "compare": ("/compare?a=1&b=4", "light", (1280, 1280)),
    "map": ("/map?colour=key", "dark", (1280, 860)),
    "library": ("/library", "light", (1280, 860)),
    "phone": ("/?track=4", "dark", (390, 844)),
}
"""Addresses of the views of the page, with scheme and size."""


def main() -> None:
    """Take both pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(load_clips()[0].path.parent, folder / "music")
        run("index music --library library", folder)
        shown = [(search, run(f"{search} --library ../library", folder / "music")) for search in SEARCHES]
        write_terminal(shown, IMAGES / "terminal.svg")
        run("demo --no-serve --page demo.html", folder)
        write_page(folder / "demo.html", IMAGES / "demo.png")
        write_views(folder)


def run(arguments: str, folder: Path) -> str:
    """What a command prints on a terminal."""
    main_end, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("SOUNDALIKE_", "XDG_", "COLUMNS"))
    }
    environment = {**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    command = [sys.executable, "-m", "soundalike", *arguments.split()]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=end, stdout=end, stderr=subprocess.DEVNULL
    ) as child:
        os.close(end)
        printed = b""
        while True:
            try:
                block = os.read(main_end, 1 << 16)
            except OSError:  # Linux reports the end of a terminal as an error
                break
            if not block:
                break
            printed += block
    os.close(main_end)
    if child.returncode:
        raise SystemExit(f"soundalike {arguments}\nexit code {child.returncode}\n{printed.decode()}")
    return printed.decode().replace("\r\n", "\n")


def write_terminal(shown: list[tuple[str, str]], path: Path) -> None:
    """Draw commands and what they print."""
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115, PTH123
    for number, (command, printed) in enumerate(shown):
        if number:
            console.print()
        console.print(Text.assemble(("$ ", "bright_black"), (f"soundalike {command}", "bold")))
        console.print(Text.from_ansi(printed.rstrip("\n")), no_wrap=True, overflow="ignore", crop=False)
    console.print()
    svg = console.export_svg(title="soundalike", unique_id="terminal")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # no font from the web
    path.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")


def write_page(page: Path, path: Path) -> None:
    """Draw a page with Chromium, in few colours."""
    from PIL import Image

    browser = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if browser is None:
        raise SystemExit("no Chromium was found; install it to draw the demo page")
    large = page.with_suffix(".png")
    size = "--window-size={},{}".format(*PAGE_SIZE)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", size, f"--screenshot={large}"]
    subprocess.run([browser, *options, page.as_uri()], check=True, capture_output=True)
    with Image.open(large) as image:
        image.convert("RGB").quantize(256).save(path, optimize=True)


def write_views(folder: Path) -> None:
    """Draw the views of the page that a server shows of the library in a folder."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "soundalike", "serve", "--library", "library", "--port", "0"]
    options = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with (
        subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server,
        sync_playwright() as driver,
    ):
        address = re.search(r"http://[\d.:]+", server.stdout.readline())[0]  # type: ignore[union-attr, index]
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        for name, (path, scheme, (width, height)) in VIEWS.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(f"{address}{path}")
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(2500)  # waveforms are drawn, and results have moved to their places
            page.screenshot(path=folder / "view.png")
            page.close()
            with Image.open(folder / "view.png") as image:
                image.convert("RGB").quantize(256).save(IMAGES / f"page-{name}.png", optimize=True)
        browser.close()
        server.terminate()


if __name__ == "__main__":
    main()
