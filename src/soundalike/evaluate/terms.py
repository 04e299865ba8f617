"""Similarities of clips per term: a space of a model, on the mix or on a true stem."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import Audio, FloatArray, Span
from soundalike.evaluate.base import EncodedClips, Progress, encode_clips
from soundalike.evaluate.judgements import MIX, Clip, Judgements, merge_stems
from soundalike.models import load_recipe

__all__ = [
    "SIX_STEMS",
    "Source",
    "Term",
    "TermSet",
    "encode_mixes",
    "encode_sums",
    "load_sources",
    "measure_terms",
    "true_stem_space",
]

SIX_STEMS = ("vocals", "drums", "bass", "guitar", "piano", "other")
_FOUR_STEMS = ("vocals", "drums", "bass", "other")


class Source(NamedTuple):
    """What a span stands for: the sum of files between two times; nothing audible without files."""

    files: tuple[Path, ...]
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Term:
    """One column of features.

    Attributes:
        model: The model that encodes.
        space: The name of the space; for a true stem, that of the same space of a stem model (`true_stem_space`).
        source: "mix", or the stem.
        sigma: Standard deviation of the similarity of random pairs, from the model; NaN for true stems.
        true: Whether true stems are encoded.
    """

    model: str
    space: str
    source: str
    sigma: float
    true: bool = False

    @property
    def full_name(self) -> str:
        """The name `model/space`."""
        return f"{self.model}/{self.space}"


@dataclass(frozen=True, slots=True, eq=False)
class TermSet:
    """The k terms of m triplets.

    Attributes:
        terms: k terms.
        names: k distinct names: the spaces, with the model where two models have a space of this name.
        features: cos(X, A) - cos(X, B), (m, k) float64.
        digests: The digests of the models.
    """

    terms: tuple[Term, ...]
    names: tuple[str, ...]
    features: FloatArray
    digests: Mapping[str, str]


def true_stem_space(stem: str, space: str, count: int) -> str:
    """Return the name of a space on a stem: STEM.SPACE, or STEM if `overall` is the only one of `count` spaces.

    Example:
        >>> true_stem_space("drums", "rhythm", 4)
        'drums.rhythm'
    """
    return stem if count == 1 and space == "overall" else f"{stem}.{space}"


def load_sources(sources: Sequence[Source]) -> Audio:
    """Return the sum of parts of files. Raises AudioError if one cannot be decoded or they do not fit together.

    Example:
        >>> load_sources([Source((drums,), 0.0, 10.0), Source((bass, piano), 30.0, 40.0)]).duration
        10.0
    """
    from soundalike.audio import load
    from soundalike.evaluate.recordings import mix

    return mix([load(file, start=one.start, end=_end(one)) for one in sources for file in one.files])


def _end(source: Source) -> float | None:
    return None if math.isinf(source.end) else source.end


def _encode(sources: Mapping[Span, Sequence[Source]], task: tuple[str, Span]) -> tuple[dict[str, FloatArray], float]:
    """Encode the sum of files in a worker process; without files, no row is audible."""
    from soundalike.models import load_once

    name, span = task
    parts = [one for one in sources[span] if one.files]
    if not parts:
        return {}, 0.0
    if len(parts) == len(parts[0].files) == 1:
        encoding = load_once(name).encode(parts[0].files[0], start=parts[0].start, end=_end(parts[0]))
    else:
        encoding = load_once(name).encode(load_sources(parts))
    return {space: rows[0] for space, rows in encoding.track.rows.items()}, encoding.info.duration


def measure_terms(
    judgements: Judgements,
    models: Sequence[str],
    *,
    true_stems: int | None = None,
    spaces: Sequence[str] = (),
    jobs: int | None = None,
    progress: Progress | None = None,
) -> TermSet:
    """Encode all clips, and return the differences of their similarities.

    Where a clip of a pair is inaudible in a space, or lacks the stem, the similarity of the pair is the mean of random
    pairs, as in a search.

    Args:
        judgements: The triplets.
        models: The models. All their spaces are terms; those of stem models separate the mix.
        true_stems: 4 or 6: the first model also encodes the stems that belong to the clips.
        spaces: Use only these spaces of the first model.
        jobs: The number of worker processes.
        progress: Called after every clip or stem.

    Returns:
        The terms. For the first model, the mix comes first.

    Raises:
        UsageError: The first model has no such space, or no clip has stems.
        AudioError: A clip cannot be decoded.
        ModelError: A model is unknown or invalid.

    Example:
        >>> terms = measure_terms(judgements, ["compact"], true_stems=6)
        >>> terms.names[:5]
        ('melody', 'rhythm', 'timbre', 'harmony', 'vocals.melody')
    """
    recipe = load_recipe(models[0])
    chosen = [recipe.space(name).name for name in spaces] or [space.name for space in recipe.spaces]
    wanted = (_FOUR_STEMS if true_stems == 4 else SIX_STEMS) if true_stems else ()
    stems = [stem for stem in wanted if any(stem in merge_stems(clip.files, len(wanted)) for clip in judgements.clips)]
    if wanted and not stems:
        raise UsageError("no clip has stems; give folders with one file per stem, or Slakh2100 with --slakh")
    terms: list[Term] = []
    columns: list[FloatArray] = []
    digests: dict[str, str] = {}
    for number, model in enumerate(dict.fromkeys(models)):
        used = [MIX, *(stems if number == 0 else [])]
        encoded, names = _encode_sources(judgements.clips, model, used, len(wanted), jobs, progress)
        digests[encoded.model] = encoded.digest
        for source in used:
            rows = [encoded.positions(names[source, n] for n in side) for side in judgements.triplets.T]
            for space in encoded.spaces:
                if number == 0 and space.name not in chosen:
                    continue
                near = encoded.similarity(space, rows[0], rows[1])
                columns.append(near - encoded.similarity(space, rows[0], rows[2]))
                if source == MIX:
                    terms.append(Term(encoded.model, space.name, space.source, space.calibration["track"].sigma))
                else:
                    name = true_stem_space(source, space.name, len(encoded.spaces))
                    terms.append(Term(encoded.model, name, source, math.nan, true=True))
    short = [term.space for term in terms]
    labels = [term.full_name if short.count(term.space) > 1 else term.space for term in terms]
    return TermSet(tuple(terms), tuple(labels), np.stack(columns, axis=1), digests)


def _encode_sources(
    clips: Sequence[Clip],
    model: str,
    used: Sequence[str],
    stems: int,
    jobs: int | None,
    progress: Progress | None,
) -> tuple[EncodedClips, dict[tuple[str, int], Span]]:
    """Encode the mix and stems of all clips; also the spans that stand for the source and number of a clip."""
    names: dict[tuple[str, int], Span] = {}
    sources: dict[Span, Source] = {}
    for number, clip in enumerate(clips):
        files = merge_stems(clip.files, stems)
        for source in used:
            span = Span(clip.name if source == MIX else f"{clip.name} ({source})", clip.start, clip.end)
            names[source, number] = span
            sources[span] = Source(files.get(source, ()), clip.start, clip.end)
    return encode_sums(sources, model, jobs=jobs, progress=progress), names


def encode_sums(
    sources: Mapping[Span, Source], model: str | None, *, jobs: int | None = None, progress: Progress | None = None
) -> EncodedClips:
    """Encode sums of files. See `encode_clips` for the other arguments and the errors.

    Example:
        >>> encode_sums({Span("song (drums)", 0.0, 5.0): Source((kick, snare), 0.0, 5.0)}, "compact")
    """
    return encode_mixes({span: (one,) for span, one in sources.items()}, model, jobs=jobs, progress=progress)


def encode_mixes(
    sources: Mapping[Span, Sequence[Source]],
    model: str | None,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> EncodedClips:
    """Encode sums of parts of several songs, such as the drums of one on the rest of another one.

    Nothing is written to disk for longer than the encoding takes. See `encode_clips` for the other arguments and the
    errors.

    Args:
        sources: What each span stands for.

    Example:
        >>> pseudo = (Source((drums_of_one,), 0.0, 10.0), Source((bass_of_other, piano_of_other), 20.0, 30.0))
        >>> encode_mixes({Span("drums of one on other", 0.0, 10.0): pseudo}, "compact")
    """
    return encode_clips(sources, model, jobs=jobs, progress=progress, encode=partial(_encode, sources))
