"""Pictures of rows of pseudo-pieces by t-SNE: colours are the pieces of the target, shapes those of the rest.

Clusters of one colour and many shapes say that a space describes the target instrument; clusters of one shape and many
colours, that it describes the others; clusters of one colour and one shape, that it describes the mix as a whole.

References: van der Maaten and Hinton, Visualizing Data Using t-SNE, JMLR 9, 2008; figure 7 of Imamura et al., Music
Similarity Representation Learning Focusing on Individual Instruments with Source Separation and Human Preference, 2025.
The paper prints no settings: here they are those of scikit-learn, with a perplexity of 30.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray
from soundalike.evaluate.reports import check_plot

__all__ = ["Panel", "check_tsne", "draw_tsne", "tsne"]

_PERPLEXITY = 30.0
_SHAPES = "os^vDPX*<>"
_COLOURS = "tab10"
_ACROSS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One panel of a picture.

    Attributes:
        title: Such as the name of the instrument.
        rows: (n, d), one row per segment.
        targets: n names of the pieces of the target: the colours.
        rests: n names of the pieces of the other instruments: the shapes.
    """

    title: str
    rows: FloatArray
    targets: Sequence[str]
    rests: Sequence[str]


def check_tsne(path: Path) -> None:
    """Check that a picture can be drawn, before any work is done. Raises UsageError."""
    check_plot(path, option="--tsne")
    try:
        import_module("sklearn.manifold")
    except ImportError as error:
        raise UsageError("--tsne needs scikit-learn; install it with: pip install 'soundalike[map]'") from error


def tsne(rows: FloatArray, seed: int = 0) -> FloatArray:
    """Return rows as points in a plane in which neighbours stay neighbours, by t-SNE.

    The same rows and seed give the same points on one machine: it runs on one thread.

    Args:
        rows: (n, d), n >= 4.
        seed: Seed of the start.

    Returns:
        (n, 2) float32.

    Raises:
        UsageError: scikit-learn is missing.
        ValueError: There are fewer than four rows.

    Example:
        >>> tsne(np.random.default_rng(0).normal(size=(100, 16))).shape
        (100, 2)
    """
    if len(rows) < 4:
        raise ValueError(f"{len(rows)} rows; expected four at least")
    try:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise UsageError("t-SNE needs scikit-learn; install it with: pip install 'soundalike[map]'") from error
    # A sum over threads would depend on their number, and so would the points.
    with threadpool_limits(limits=1):
        model = TSNE(perplexity=min(_PERPLEXITY, (len(rows) - 1) / 3), init="pca", random_state=seed, n_jobs=1)
        found: FloatArray = model.fit_transform(np.asarray(rows, dtype=np.float64))
    return found.astype(np.float32)


def draw_tsne(panels: Sequence[Panel], path: Path, title: str = "", seed: int = 0) -> None:
    """Draw panels of points that `tsne` finds.

    Args:
        panels: The panels; all may have other pieces.
        path: The picture; its suffix, .png, .svg or .pdf, selects the format.
        title: What is above all panels.
        seed: Seed of `tsne`.

    Raises:
        UsageError: matplotlib or scikit-learn is missing, or the file cannot be written.

    Example:
        >>> draw_tsne([Panel("drums", rows, targets, rests)], Path("figure7.png"), "Direct")
    """
    check_tsne(path)
    across = min(_ACROSS, len(panels))
    down = math.ceil(len(panels) / across)
    figure = import_module("matplotlib.figure").Figure(figsize=(4.4 * across, 4.6 * down), layout="constrained")
    colours = import_module("matplotlib").colormaps[_COLOURS].colors
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for axis, panel in zip(axes, panels, strict=False):
        points = tsne(panel.rows, seed)
        pieces = sorted(set(panel.targets) | set(panel.rests))
        number = {name: n for n, name in enumerate(pieces)}
        target, rest = (np.array([number[name] for name in names]) for names in (panel.targets, panel.rests))
        for n in sorted(set(rest.tolist())):
            own = rest == n
            axis.scatter(
                *points[own].T, c=[colours[t % len(colours)] for t in target[own]], marker=_SHAPES[n % len(_SHAPES)],
                s=14, linewidths=0, alpha=0.85,
            )  # fmt: skip
        axis.set_title(panel.title, fontsize="medium")
        axis.set_xticks([])
        axis.set_yticks([])
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    note = "colour: piece of the target instrument\nshape: piece of the other instruments"
    figure.suptitle(f"{title}\n{note}" if title else note, fontsize="small")
    try:
        # Without the date, so that the same points are the same file.
        figure.savefig(path, dpi=130, metadata=_UNDATED.get(path.suffix.lower()))
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


_UNDATED = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
