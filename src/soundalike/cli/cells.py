"""How numbers, times, scores and tracks read in a line or in a cell of a table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.core.errors import UsageError, one_line

if TYPE_CHECKING:
    from soundalike.core.types import SpaceScore
    from soundalike.library import FeatureCost
    from soundalike.library.catalog import Track

__all__ = [
    "check_columns",
    "clock",
    "count",
    "feature_cost",
    "near",
    "rarity",
    "share",
    "share_bar",
    "short_key",
    "tempo_and_key",
    "track_name",
    "track_names",
    "weights_text",
]


def clock(seconds: float) -> str:
    """Return 1:02:03, 2:03 or, below one minute, 0:03.5."""
    if seconds < 59.95:
        return f"0:{seconds:04.1f}"
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def count(number: int, noun: str) -> str:
    """Return "1 file" or "1,234 files"."""
    plural = noun if number == 1 else noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {plural}"


def feature_cost(cost: FeatureCost) -> str:
    """Return what the stored features of a backbone take on disk."""
    each = f", {cost.bytes / cost.tracks / 1e3:,.0f} kB per track" if cost.tracks else ""
    return f"{cost.backbone}: {count(cost.tracks, 'track')}, {cost.bytes / 1e6:,.1f} MB{each}"


def share(score: SpaceScore) -> str:
    """Return the share of a space in the score and, if known, how rare its similarity is among random pairs."""
    if not score.audible:
        return "n/a"
    return f"{score.share:+.2f}" if score.percentile is None else f"{score.share:+.2f} {rarity(score.percentile):>10}"


def rarity(percentile: float | None) -> str:
    """Return a percentile: "72%" or "98.4%", and from 99 % on the share of random pairs that are as alike.

    Args:
        percentile: The percentage of random pairs that are less alike, 0 to 100; None if it is unknown.

    Example:
        >>> rarity(99.95)
        '1 in 2,000'
    """
    if percentile is None:
        return "n/a"
    if percentile >= 100:
        return "100%"
    if percentile < 99:
        return f"{percentile:.0f}%" if percentile < 90 else f"{percentile:.1f}%"
    pairs = 100 / (100 - percentile)
    if pairs > 1e6:
        return "1 in 1M+"
    digits = 10 ** max(0, len(f"{pairs:.0f}") - 2)
    rounded = round(pairs / digits) * digits
    if rounded >= 1e6:
        return "1 in 1M"
    return f"1 in {rounded:,}" if rounded < 10_000 else f"1 in {rounded / 1000:g}k"


_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"


def share_bar(share: float, largest: float, width: int, *, ascii_only: bool = False) -> str:
    """Return a bar for a share of the score, `width` cells wide.

    Args:
        share: The share. Bars of negative shares are shaded, so that they differ without colours.
        largest: The share that fills the bar.
        width: With 1, the height of the bar shows the share, else its length.
        ascii_only: Draw with # and -, for terminals that show nothing else.

    Example:
        >>> share_bar(1.0, 2.0, 6)
        '███   '
    """
    part = min(1.0, abs(share) / largest) if largest > 0 else 0.0
    if ascii_only:
        return (("-" if share < 0 else "#") * round(part * width)).ljust(width)
    if width == 1:
        return "-" if share < 0 else _LEVELS[round(part * (len(_LEVELS) - 1))]
    if share < 0:
        return ("░" * max(1, round(part * width))).ljust(width)
    whole, rest = divmod(round(part * width * 8), 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width)


def short_key(key: str | None) -> str:
    """Return a key in few letters: "Am" for A minor, "C" for C major; what is no such name stays as it is."""
    note, _, mode = (key or "").partition(" ")
    return one_line({"minor": f"{note}m", "major": note}.get(mode, key or ""))


def check_columns(columns: Sequence[str] | None, known: Sequence[str]) -> None:
    """Raise UsageError if a name of `--columns` is not among the known ones."""
    for name in columns or ():
        if name not in known:
            raise UsageError(f"--columns: unknown column {name!r}; known: {', '.join(known)}")


def tempo_and_key(track: Track | None) -> list[str]:
    """Return two cells: beats per minute and key; empty if unknown."""
    if track is None:
        return ["", ""]
    return [f"{track.bpm:.0f}" if track.bpm else "", short_key(track.known_key)]


def track_name(path: str, track: Track | None = None) -> str:
    """Return artist and title, if both are known, and the path."""
    credit = f"{track.artist} - {track.title}  " if track and track.artist and track.title else ""
    return one_line(f"{credit}{near(path)}")


def track_names(tracks: Sequence[tuple[str, Track | None]]) -> tuple[list[str], str]:
    """Return short names of tracks, which tell them apart, and the folder that all paths among them have in common.

    Args:
        tracks: The path of each track, and what the library knows of it.

    Returns:
        Artist and title where both are known and no other track has the same, else the path below the common folder.
        The common folder is empty if no name is a path, or if there is none.
    """
    credits = [
        one_line(f"{track.artist} - {track.title}") if track and track.artist and track.title else ""
        for _, track in tracks
    ]
    clear = [bool(credit) and credits.count(credit) == 1 for credit in credits]
    shown = [near(path) for path, _ in tracks]
    paths = [path for path, known in zip(shown, clear, strict=True) if not known]
    folder = _common_folder(paths)
    names = [
        credit if known else one_line(path[len(folder) :])
        for credit, path, known in zip(credits, shown, clear, strict=True)
    ]
    return names, folder if paths else ""


def _common_folder(paths: Sequence[str]) -> str:
    """The folder that contains all paths, with the separator at its end; empty if there is none."""
    try:
        folder = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""  # noqa: PTH120 - texts
    except ValueError:  # absolute and relative paths, or different drives
        return ""
    return os.path.join(folder, "") if folder else ""  # noqa: PTH118 - with the separator at the end


def near(path: str) -> str:
    """Return the path relative to the current folder if it is below it."""
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):  # the current folder was removed; the path is on another drive of Windows
        return path
    return path if Path(relative).parts[:1] == ("..",) else relative


def weights_text(weights: Mapping[str, float]) -> str:
    """Return the weights that are not zero."""
    return ", ".join(f"{name} {value:g}" for name, value in weights.items() if value != 0)
