"""Script time per frame of the map of the page, while it is dragged, zoomed and pointed at.

    python benchmarks/page_map.py [--points 100000] [--frames 120] [--browser /usr/bin/chromium] [--save DIR]

It needs Chromium and playwright. The points are clusters; the page comes from a real server with an empty library, and
the map is the module that the Map view uses. Every frame moves the map or zooms it by an event of the wheel, and points
at another place, which looks up the nearest track. The script time of a frame is that of the handlers of these events
and of all callbacks of requestAnimationFrame, so without what the browser and the graphics card do. Frames per second
depend on the renderer, whose name is printed; without a graphics card that is a program.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

import soundalike
from common import report_of, show_and_save
from serve import server

_SOFTWARE = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
_SCRIPT = """
async ({ count, frames, seed }) => {
  const { mapStage } = await import("/assets/views/map/stage.js");
  const { ALL, panned } = await import("/assets/views/map/camera.js");
  const real = window.requestAnimationFrame.bind(window);
  const spent = [];
  const timed = (work) => {
    const start = performance.now();
    work();
    spent[spent.length - 1] += performance.now() - start;
  };
  window.requestAnimationFrame = (work) => real((time) => timed(() => work(time)));

  let state = seed;
  const random = () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648;
  const xy = Float32Array.from({ length: 2 * count }, (_, at) => {
    const centre = Math.sin((Math.floor(at / 2) % 40) * (at % 2 ? 12.9898 : 78.233)) * 0.8;
    return Math.max(-1, Math.min(1, centre + (random() + random() + random() - 1.5) * 0.2));
  });
  const names = ["pointed", "pressed", "picked", "lassoed", "rested", "lassoing"];
  const stage = mapStage(Object.fromEntries(names.map((name) => [name, () => {}])));
  stage.element.style.cssText = "width: 1200px; height: 700px";
  document.getElementById("main").replaceChildren(stage.element);
  spent.push(0);
  const start = performance.now();
  stage.setPlaces(xy);
  const loading = performance.now() - start;
  stage.points.setGroups(Uint8Array.from({ length: count }, (_, at) => Math.floor(at / 2) % 9));
  const groups = Array.from({ length: 9 }, (_, at) => ({ colour: [at / 9, 0.5, 1 - at / 9], hidden: false }));
  stage.points.setPalette(groups, [0, 0, 0]);
  stage.redraw();
  for (let at = 0; at < 10; at += 1) await new Promise(real);

  const size = { width: 1200, height: 700 };
  const box = stage.canvas.getBoundingClientRect();
  spent.length = 0;
  const begin = performance.now();
  for (let frame = 0; frame < frames; frame += 1) {
    spent.push(0);
    const [clientX, clientY] = [box.left + 300 + 5 * (frame % 120), box.top + 350 + 200 * Math.sin(frame / 9)];
    const place = { clientX, clientY, bubbles: true, cancelable: true };
    timed(() => {
      stage.canvas.dispatchEvent(new PointerEvent("pointermove", { ...place, pointerType: "mouse" }));
      if (frame % 2) stage.setCamera(panned({ ...ALL, zoom: 1 + frame / 20 }, size, 4 * frame, frame));
      else stage.canvas.dispatchEvent(new WheelEvent("wheel", { ...place, deltaY: frame < frames / 2 ? -60 : 60 }));
    });
    await new Promise(real);
  }
  return { spent, loading, seconds: (performance.now() - begin) / 1000, renderer: stage.points.renderer };
}
"""


def measure(browser: str, points: int, frames: int) -> dict[str, Any]:
    """Open the page and move a map of random points."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "library"
        soundalike.open(folder, create=True).close()
        with server(folder) as (_, port), sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", *_SOFTWARE])
            page = chromium.new_page(viewport={"width": 1280, "height": 900})
            page.goto(f"http://127.0.0.1:{port}/library")
            page.get_by_role("heading", name="Library").wait_for()
            found: dict[str, Any] = page.evaluate(_SCRIPT, {"count": points, "frames": frames, "seed": 7})
            chromium.close()
            return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--browser", default="/usr/bin/chromium")
    parser.add_argument("--save", type=Path)
    args = parser.parse_args()
    found = measure(args.browser, args.points, args.frames)
    median, high = np.quantile(found["spent"], (0.5, 0.95))
    report = report_of(
        "page-map",
        f"The map of the page with {args.points:,} points",
        f"python benchmarks/page_map.py --points {args.points} --frames {args.frames}",
        rows=["the map"],
        columns=["script per frame, ms, p50", "p95", "frames per second", "loading the points, ms"],
        values=[[median, high, args.frames / found["seconds"], found["loading"]]],
        n=[[args.frames, args.frames, args.frames, 1]],
        notes=[f"The renderer is {found['renderer']}."],
    )
    show_and_save(report, args.save)


if __name__ == "__main__":
    main()
