"""Write the model of exported networks: a folder with a recipe, one space per instrument, and a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from soundalike.audio.separators import UnetNetwork, UnetSettings
from soundalike.backbones import Backbone
from soundalike.core import plugins
from soundalike.core.errors import AudioError, ModelError
from soundalike.core.files import make_folder, write_atomic
from soundalike.core.types import BoolArray, Calibration, FloatArray, Level
from soundalike.models import MIX, Head, SeparatorVersion, StemBackbone, extract, load_recipe
from soundalike.train.common.null_distributions import (
    CalibrationClip,
    Progress,
    measure_null_distributions,
)
from soundalike.train.common.recipe import space_entry, write_model

__all__ = ["CARD_FILE", "NETWORK_FILE", "About", "write_instruments"]

NETWORK_FILE = "unet.onnx"
"""The networks in the folder of a model."""
CARD_FILE = "card.md"
"""The description of a model in its folder."""
_FEWEST = 12  # clips in which an instrument must be audible for a calibration of its own
_Passages: TypeAlias = tuple[FloatArray, BoolArray]


@dataclass(frozen=True, slots=True)
class About:
    """What a model says about itself.

    Attributes:
        name: Its name.
        summary: One sentence.
        trained_on: The sources of the training data, each with its `name`, `licence` and number `n`.
        seed: The seed of the training.
        results: What was measured, as Markdown for the card; empty: nothing.
    """

    name: str
    summary: str
    trained_on: Sequence[Mapping[str, object]]
    seed: int
    results: str = ""


def write_instruments(
    network: Path,
    out: Path,
    about: About,
    clips: Sequence[CalibrationClip],
    *,
    separator: str | None = None,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Write a model on exported networks. The same arguments give the same bytes.

    The rows of a space are those of an instrument, less their mean over the clips, at unit length: angles between raw
    rows would all be small, because every row has what all music has in common.

    Args:
        network: A file of `export_rows`.
        out: The folder of the model.
        about: What the model says about itself.
        clips: The clips to calibrate with.
        separator: The name of the separator that makes the stems (Clean). None: the spaces are of the mix.
        progress: Called with clips done, all clips, and seconds of audio.

    Returns:
        The instruments that are audible in too few clips. They have the mean calibration of the others, until a library
        of 200 recordings calibrates them itself.

    Raises:
        UsageError: The folder cannot be written to, or there is no such separator.
        ModelError: The file is not one of `export_rows`, or no instrument is audible in enough clips.

    Example:
        >>> write_instruments(Path("unet.onnx"), Path("instruments"), about, clips)
        ()
    """
    settings = UnetNetwork(network, "rows", code=0).settings
    make_folder(out, "--out")
    content = network.read_bytes()
    write_atomic(out / NETWORK_FILE, lambda file: file.write(content))
    backbone: Backbone = plugins.load("backbones", "unet", weights=out / NETWORK_FILE)
    made_by = _separator(separator)
    recordings = _describe_clips(backbone, made_by, clips, progress)
    heads = {one: _centred([passages[one] for passages, _ in recordings.values()]) for one in settings.instruments}

    def encode(path: Path) -> tuple[Mapping[str, FloatArray], float]:
        passages, seconds = recordings[path]
        return {one: heads[one](*passages[one]) for one in heads}, seconds

    measured = measure_null_distributions(encode, clips, fewest=_FEWEST)
    if not measured:
        raise ModelError(f"no instrument is audible in {_FEWEST} of the {len(clips)} clips; train the model for longer")
    common = _mean_calibration(list(measured.values()))
    write_model(
        out,
        name=about.name,
        summary=about.summary,
        licence=settings.licence,
        spaces=[
            space_entry(
                one,
                backbone,
                one,
                "linear",
                backbone.dims[one],
                measured.get(one, common),
                source=MIX if made_by is None else one,
            )
            for one in settings.instruments
        ],
        tensors={f"{one}.mean": head.mean for one, head in heads.items() if head.mean is not None}
        | {f"{one}.weight": head.weight for one, head in heads.items() if head.weight is not None},
        trained_on=about.trained_on,
        seed=about.seed,
        backbones={"unet": {"weights": NETWORK_FILE, "licence": settings.licence, "credit": about.name}},
        separator=made_by,
    )
    load_recipe(str(out))  # what was written can be read
    card = _card(settings, about, separator, len(content))
    write_atomic(out / CARD_FILE, lambda file: file.write(card.encode()))
    return tuple(one for one in settings.instruments if one not in measured)


def _separator(name: str | None) -> SeparatorVersion | None:
    """Return the present version of a separator."""
    if name is None:
        return None
    found = plugins.load("separators", name)
    return SeparatorVersion(found.name, found.version)


def _describe_clips(
    backbone: Backbone,
    separator: SeparatorVersion | None,
    clips: Sequence[CalibrationClip],
    progress: Progress | None,
) -> dict[Path, tuple[dict[str, _Passages], float]]:
    """Return the rows (n, d) of every instrument in the passages of each clip, which are audible, and its length."""
    sources: dict[str, Backbone] = dict.fromkeys(backbone.dims, backbone)
    if separator:
        sources = {one: StemBackbone(backbone, one, separator) for one in sources}
    found: dict[Path, tuple[dict[str, _Passages], float]] = {}
    total = 0.0
    for done, clip in enumerate(clips, start=1):
        try:
            recording = extract({one.name: one for one in sources.values()}, clip.path)
        except AudioError:  # the separator finds no stems of the clip
            empty = {one: (np.zeros((1, dim), np.float32), np.zeros(1, np.bool_)) for one, dim in backbone.dims.items()}
            found[clip.path] = empty, 0.0
        else:
            features = {one: recording.features[source.name] for one, source in sources.items()}
            rows = {one: (part.rows[one], part.audible[one]) for one, part in features.items()}
            found[clip.path] = rows, recording.info.duration
        total += found[clip.path][1]
        if progress:
            progress(done, len(clips), total)
    return found


def _centred(passages: Sequence[_Passages]) -> Head:
    """Return the head that subtracts the mean of the audible rows."""
    rows = np.concatenate([part[audible] for part, audible in passages])
    dim = rows.shape[1]
    mean = rows.mean(axis=0, dtype=np.float64) if len(rows) else np.zeros(dim)
    return Head(mean.astype(np.float32), np.eye(dim, dtype=np.float32))


def _mean_calibration(measured: Sequence[Mapping[Level, Calibration]]) -> dict[Level, Calibration]:
    """Return the mean of the calibrations of several spaces."""
    common: dict[Level, Calibration] = {}
    for level in measured[0]:
        ones = [calibration[level] for calibration in measured]
        common[level] = Calibration(
            mu=float(np.mean([one.mu for one in ones])),
            sigma=float(np.mean([one.sigma for one in ones])),
            quantiles=tuple(np.mean([one.quantiles for one in ones], axis=0).tolist()),
        )
    return common


def _card(settings: UnetSettings, about: About, separator: str | None, size: int) -> str:
    """Return the card of a model as Markdown."""
    source = "the mix" if separator is None else f"the stem of the instrument, from the separator `{separator}`"
    if settings.gates is None:
        audible = "wherever there is sound"
    else:
        gates = zip(settings.instruments, settings.gates, strict=True)
        audible = "where the level of what was separated, relative to the mix, is at least " + ", ".join(
            f"{gate:.1f} dB ({one})" for one, gate in gates
        )
    spaces = ", ".join(f"`{one}`" for one in settings.instruments)
    lines = [
        f"# `{about.name}`",
        "",
        about.summary,
        "",
        "| | |",
        "|---|---|",
        f"| spaces | {spaces}; {settings.dim} dimensions each, unit rows |",
        f"| input | {source}, mono, {settings.rate:,} Hz; frames of {settings.size:,} samples every {settings.hop:,} |",
        f"| method | {settings.method} |",
        f"| an instrument is audible | {audible} |",
        f"| size of the networks | {size / 1e6:.1f} MB |",
        f"| licence of the weights | {settings.licence} |",
        f"| seed | {about.seed} |",
        "",
        "## Training data",
        "",
        "| data | licence | number |",
        "|---|---|---|",
        *(f"| {one.get('name', '')} | {one.get('licence', '')} | {one.get('n', '')} |" for one in about.trained_on),
    ]
    if about.results:
        lines += ["", "## Results", "", about.results.strip()]
    return "\n".join(lines) + "\n"
