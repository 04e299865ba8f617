"""Draw the pictures of docs/concepts.md from the bundled clips: python tools/docs_pictures.py (needs matplotlib)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from soundalike.api import compare
from soundalike.core.types import Match
from soundalike.demo import Clip, load_clips
from soundalike.models import Model

IMAGES = Path(__file__).parents[1] / "docs" / "images"
PALETTE = {"melody": "#d9602b", "rhythm": "#2f7fd6", "timbre": "#1f9d78", "harmony": "#b45bb6"}
GREY = "#9ca3af"


def main() -> None:
    """Compare the first clip with all others, and draw."""
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "soundalike", "font.size": 10})
    query, *others = load_clips()
    matches = [(clip, compare(query.path, clip.path).match) for clip in others]
    save("spaces", (5.6, 4.2), lambda axes: draw_spaces(axes, query, matches))
    by_name = {clip.path.stem: match for clip, match in matches}
    save("score", (6.4, 2.8), lambda axes: draw_score(axes, by_name["auld-lang-syne.rock.trumpet-and-organ"]))
    save("percentile", (6.4, 3.0), draw_percentile)
    save("passages", (6.4, 1.9), draw_passages)


def save(name: str, size: tuple[float, float], draw: Callable[[Axes], None]) -> None:
    """Draw one picture on white, so that it can be read on a dark page too."""
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    path = IMAGES / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None})
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def draw_spaces(axes: Axes, query: Clip, matches: list[tuple[Clip, Match]]) -> None:
    """Every clip by its z in melody and in timbre."""
    kinds = [
        ("same tune", PALETTE["melody"], "o", lambda clip: clip.tune == query.tune),
        ("same instruments", PALETTE["timbre"], "s", lambda clip: clip.instruments == query.instruments),
        ("neither", GREY, "x", lambda clip: True),
    ]
    rest = matches
    for label, colour, marker, belongs in kinds:
        chosen = [match for clip, match in rest if belongs(clip)]
        rest = [(clip, match) for clip, match in rest if not belongs(clip)]
        points = np.array([[match.spaces["timbre"].z, match.spaces["melody"].z] for match in chosen])
        axes.scatter(points[:, 0], points[:, 1], c=colour, marker=marker, label=f"{label} ({len(chosen)})")
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_xlabel("timbre (standard deviations above random pairs)")
    axes.set_ylabel("melody (standard deviations above random pairs)")
    axes.legend(frameon=False)


def draw_score(axes: Axes, match: Match) -> None:
    """The shares of the spaces side by side: their sum is the score."""
    left = 0.0
    for name, space in match.spaces.items():
        axes.barh(0, space.share, left=left, color=PALETTE[name], height=0.5)
        axes.text(left + space.share / 2, 0, f"{space.share:+.2f}", ha="center", va="center", color="white")
        axes.text(left + space.share / 2, -0.36, name, ha="center", va="top")
        left += space.share
    axes.annotate(f"score {match.score:+.2f}", (left, 0.28), (left, 0.62), ha="center", arrowprops={"arrowstyle": "->"})
    axes.set_ylim(-0.7, 0.9)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("share of the score")


def draw_percentile(axes: Axes) -> None:
    """The similarities of random pairs in melody, and where one match lies."""
    calibration = Model.load("compact").recipe.space("melody").calibration["track"]
    quantiles = np.array(calibration.quantiles)
    centres, widths = (quantiles[1:] + quantiles[:-1]) / 2, np.diff(quantiles)
    heights = 0.01 / widths
    smooth = np.convolve(heights, np.ones(5) / 5, mode="same")
    at = quantiles[95]
    axes.fill_between(centres, smooth, where=centres <= at, color=PALETTE["melody"], alpha=0.35, linewidth=0)
    axes.plot(centres, smooth, color=PALETTE["melody"])
    axes.axvline(at, color="black", linewidth=1)
    axes.text(at + 0.01, smooth.max() * 0.8, "95 % of random pairs\nare less similar")
    axes.axvline(calibration.mu, color=GREY, linewidth=1, linestyle="--")
    axes.text(calibration.mu - 0.01, smooth.max() * 0.25, "mean of random pairs:\nz = 0", ha="right")
    axes.set_xlim(quantiles[1], quantiles[99] + 0.1)
    axes.set_yticks([])
    axes.set_xlabel("similarity in melody")


def draw_passages(axes: Axes) -> None:
    """A track of 32 s and its passages."""
    axes.barh(0, 32, color=GREY, height=0.6)
    axes.text(16, 0, "a track of 32 s", ha="center", va="center")
    for number in range(6):
        start, end = 5 * number, min(5 * number + 10, 32)
        row = -1 - number % 2
        axes.barh(row, end - start - 0.3, left=start + 0.15, color=PALETTE["rhythm"], height=0.7)
        axes.text((start + end) / 2, row, f"{start} to {end} s", ha="center", va="center", color="white", fontsize=9)
    axes.set_xticks(range(0, 36, 5))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("seconds")


if __name__ == "__main__":
    main()
