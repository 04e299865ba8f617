"""Learn concepts from the features or rows that a library holds of its passages, in seconds.

Every concept has a slice of the embedding: a linear projection of the principal components of the passages, fitted in
closed form to pairs of labelled tracks (`discriminants.py`). docs/howto/concepts.md compares it with a network of two
layers that is trained with a triplet loss.

In shapes, p counts passages, t tracks, D dims of the input, C components and d dims of a concept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import BoolArray, FloatArray, IntArray
from soundalike.models import Head, unit_rows
from soundalike.train.concepts.discriminants import find_discriminants
from soundalike.train.concepts.labels import TAG_CONCEPTS, Alikeness, Concept, TrackLabels, alike_matrix
from soundalike.train.concepts.library_settings import LibrarySettings
from soundalike.train.concepts.library_tracks import LibraryTracks, fold_numbers, lacking_labels
from soundalike.train.concepts.suggestions import TagCalibration, Votes, fit_calibration, vote

__all__ = ["Components", "HeldOut", "LearnedConcept", "LearnedConcepts", "learn_concepts", "triplet_shares"]

_FLOOR = 0.1  # variance that is added to every component, in units of their mean variance
_MOST = 20_000  # passages from which components are computed


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """The principal components of passages, with variances near 1: (x - mean) @ projection.

    Attributes:
        mean: (D,) float32.
        projection: (D, C) float32.
    """

    mean: FloatArray
    projection: FloatArray

    @classmethod
    def of(cls, passages: FloatArray, most: int, seed: int) -> Components:
        """Compute the components of passages (p, D), `most` at most."""
        chosen = passages
        if len(passages) > _MOST:
            chosen = passages[np.sort(np.random.default_rng(seed).choice(len(passages), _MOST, replace=False))]
        mean, deviation = chosen.mean(axis=0, dtype=np.float64), chosen.std(axis=0, dtype=np.float64)
        scale = np.where(deviation > 1e-5, 1 / np.maximum(deviation, 1e-5), 0.0)
        standard = ((chosen - mean) * scale).astype(np.float32)
        rows, dims = standard.shape
        # The smaller of the two Gram matrices has the same eigenvalues.
        gram = (standard.T @ standard if dims <= rows else standard @ standard.T).astype(np.float64) / rows
        values, vectors = np.linalg.eigh(gram)
        kept = [n for n in np.argsort(values)[::-1][:most] if values[n] > 1e-9 * values[-1]]
        values, directions = values[kept], vectors[:, kept]
        if dims > rows:
            directions = standard.T @ directions / np.sqrt(values * rows)
        directions = directions / np.sqrt(values + _FLOOR * values.mean())
        return cls(mean.astype(np.float32), (directions * scale[:, None]).astype(np.float32))

    def apply(self, passages: FloatArray) -> FloatArray:
        """Return the components (p, C) float32 of passages (p, D)."""
        return np.asarray((passages - self.mean) @ self.projection, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What projections that had not seen a group said of its tracks, for n tracks that could be judged.

    Attributes:
        accuracy: The share of triplets that are right, (n,): the track is nearer to an alike one than to another, all
            three from held-out groups. Chance is 0.5.
        groups: The group of each of these tracks.
        tags_right: Whether the label with the most votes of the neighbours is one of a track, (m,). Empty for tempo
            and key.
        tags_chance: The share of the most frequent label.
    """

    accuracy: FloatArray
    groups: tuple[str, ...]
    tags_right: BoolArray
    tags_chance: float


@dataclass(frozen=True, slots=True, eq=False)
class LearnedConcept:
    """A learned concept.

    Attributes:
        head: Its projection of the input.
        held_out: How good projections like it are on groups that they have not seen.
        labelled: Labelled tracks.
        calibration: What turns votes of neighbours into probabilities; None for tempo and key.
    """

    head: Head
    held_out: HeldOut
    labelled: int
    calibration: TagCalibration | None


@dataclass(frozen=True, slots=True, eq=False)
class LearnedConcepts:
    """The concepts of a library: those that were learned, and for the others what is missing."""

    concepts: Mapping[Concept, LearnedConcept]
    lacking: Mapping[Concept, str]


def learn_concepts(
    tracks: LibraryTracks,
    concepts: tuple[Concept, ...],
    settings: LibrarySettings,
    progress: Callable[[int, int], None] | None = None,
    truth: Sequence[TrackLabels] | None = None,
) -> LearnedConcepts:
    """Learn concepts, and measure by cross-validation how good they are.

    The library is divided into parts by groups. Each part is judged by projections that were fitted to the others. The
    projections that are returned are then fitted to all tracks.

    Args:
        tracks: The tracks.
        concepts: The concepts to learn.
        settings: How to learn them.
        progress: Called with projections that were fitted, and all of them.
        truth: By which labels held-out tracks are judged, where those of the tracks are wrong or missing on purpose.
            None takes the labels of the tracks.

    Raises:
        UsageError: No concept has enough labels, or none can be told from what the passages hold.

    Example:
        >>> learned = learn_concepts(tracks, ("genre", "era"), LIBRARY)
        >>> learned.concepts["genre"].held_out.accuracy.mean()
        0.81
    """
    lacking = dict(lacking_labels(concepts, tracks, settings.fewest))
    wanted = [concept for concept in concepts if concept not in lacking]
    if not wanted:
        raise _nothing_learned(lacking)
    components = Components.of(tracks.passages, settings.components[0], settings.seed)
    inputs = components.apply(tracks.passages)
    learned: dict[Concept, LearnedConcept] = {}
    done, total = 0, len(wanted) * (settings.folds + 1)

    def advance() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    for concept in wanted:
        task = _Task.of(concept, tracks, inputs, settings)
        judged = task if truth is None else _Task.of(concept, replace(tracks, labels=tuple(truth)), inputs, settings)
        parts = []
        for fold in range(settings.folds):
            parts.append(task.judge(fold, judged))
            advance()
        held_out, calibration = _summary(parts, judged)
        if not len(held_out.accuracy) or held_out.accuracy.mean() < settings.worst:
            lacking[concept] = _hardly_learned(held_out, settings)
        else:
            head = task.head(components, tracks.passages)
            learned[concept] = LearnedConcept(head, held_out, len(task.known), calibration)
        advance()
    if not learned:
        raise _nothing_learned(lacking)
    return LearnedConcepts(learned, lacking)


def _nothing_learned(lacking: Mapping[Concept, str]) -> UsageError:
    reasons = "; ".join(f"{concept}: {reason}" for concept, reason in lacking.items())
    return UsageError(f"no concept can be learned from this library ({reasons}); tag more tracks")


def _hardly_learned(held_out: HeldOut, settings: LibrarySettings) -> str:
    if not len(held_out.accuracy):
        return f"no triplet of tracks is within one of {settings.folds} parts; tag more tracks"
    return (
        f"{100 * held_out.accuracy.mean():.1f} % of the triplets of {len(held_out.accuracy)} held-out tracks are "
        f"right, and {100 * settings.worst:.0f} % are needed (chance is 50 %): what the model describes does not tell"
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """What one held-out part says: the accuracy of its anchors, and the votes of neighbours in the other parts."""

    anchors: IntArray
    accuracy: FloatArray
    votes: Votes | None


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """One concept: its k labelled tracks, which of them are alike, their passages, and the folds.

    `inputs` (p, c) are the first components of all passages, as many as the tracks suffice for.
    """

    concept: Concept
    known: IntArray
    related: Alikeness
    groups: IntArray
    names: tuple[str, ...]
    tags: tuple[tuple[str, ...], ...]
    folds: IntArray
    inputs: FloatArray
    row_of: tuple[IntArray, ...]
    settings: LibrarySettings

    @classmethod
    def of(cls, concept: Concept, tracks: LibraryTracks, inputs: FloatArray, settings: LibrarySettings) -> _Task:
        known = tracks.known(concept)
        labels = [tracks.labels[number] for number in known]
        ends = np.searchsorted(tracks.track_of, known, "right")
        starts = np.searchsorted(tracks.track_of, known)
        most, least = settings.components
        used = min(max(len(known) // settings.tracks_per_component, least), most)
        tags = tuple(getattr(one, concept) for one in labels) if concept in TAG_CONCEPTS else ()
        return cls(
            concept,
            known,
            alike_matrix(concept, labels),
            tracks.group_of[known],
            tuple(tracks.groups[number] for number in known),
            tags,
            fold_numbers(tracks.group_of[known], settings.folds, settings.seed),
            np.ascontiguousarray(inputs[:, :used]),
            tuple(np.arange(low, high) for low, high in zip(starts, ends, strict=True)),
            settings,
        )

    def fit(self, chosen: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return the centre (c,) and the projection (d, c) that some of the labelled tracks give."""
        means = self._means(self.inputs, chosen)
        related = self.related[np.ix_(chosen, chosen)]
        return means.mean(axis=0), find_discriminants(means, related, self.settings.dim, self.settings.floor)

    def head(self, components: Components, passages: FloatArray) -> Head:
        """Return the projection that all labelled tracks give, of the passages (p, D) themselves."""
        every = np.arange(len(self.known))
        _, weight = self.fit(every)
        # The mean of tracks is the same before and after the components are taken.
        mean = self._means(passages, every).mean(axis=0)
        folded = weight @ components.projection[:, : weight.shape[1]].T
        return Head(np.ascontiguousarray(mean, np.float32), np.ascontiguousarray(folded, np.float32))

    def judge(self, fold: int, judged: _Task) -> _Judged:
        """Fit to all tracks but those of one fold of `judged`, and judge these by its labels."""
        inside = np.flatnonzero(judged.folds == fold)
        outside = np.flatnonzero(~np.isin(self.known, judged.known[inside]))
        centre, weight = self.fit(outside)
        embedded = unit_rows((self.inputs - centre) @ weight.T)
        rows = unit_rows(judged._means(embedded, inside))
        anchors, accuracy = triplet_shares(rows, judged.related[np.ix_(inside, inside)], judged.groups[inside])
        votes = None
        if self.tags and len(inside):
            known = [self.tags[n] for n in outside]
            votes = vote(rows, unit_rows(self._means(embedded, outside)), known, [judged.tags[n] for n in inside])
        return _Judged(inside[anchors], accuracy, votes)

    def _means(self, of_passages: FloatArray, chosen: IntArray) -> FloatArray:
        """Return the means of the passages (p, k) of some of the labelled tracks: (len(chosen), k) float32."""
        return np.stack([of_passages[self.row_of[track]].mean(axis=0) for track in chosen])


def triplet_shares(rows: FloatArray, related: Alikeness, groups: IntArray) -> tuple[IntArray, FloatArray]:
    """Return for each track the share of its triplets that are right: an alike track is nearer than another.

    All triplets count whose positive and negative are of other groups than the anchor; ties count half.

    Args:
        rows: Unit rows (t, d).
        related: Which tracks are alike, (t, t).
        groups: The group of every track, (t,).

    Returns:
        The numbers of the tracks that have such triplets, (n,), and their shares, (n,).

    Example:
        >>> triplet_shares(np.eye(3)[[0, 0, 1]], np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]]), np.arange(3))[1].tolist()
        [1.0, 1.0]
    """
    similarity = rows @ rows.T
    anchors, shares = [], []
    for anchor, values in enumerate(similarity):
        apart = groups != groups[anchor]
        positive, negative = values[apart & (related[anchor] == 1)], values[apart & (related[anchor] == 0)]
        if len(positive) and len(negative):
            negative = np.sort(negative)
            below = np.searchsorted(negative, positive) + np.searchsorted(negative, positive, "right")
            anchors.append(anchor)
            shares.append(float(below.mean()) / (2 * len(negative)))
    return np.array(anchors, np.int64), np.array(shares, np.float64)


def _summary(parts: Sequence[_Judged], task: _Task) -> tuple[HeldOut, TagCalibration | None]:
    anchors = np.concatenate([one.anchors for one in parts])
    accuracy = np.concatenate([one.accuracy for one in parts])
    votes = [one.votes for one in parts if one.votes is not None]
    right = np.concatenate([one.first_is_right for one in votes]) if votes else np.zeros(0, np.bool_)
    counts: Counter[str] = Counter()
    for one in votes:
        counts.update(dict(zip(one.labels, one.truth.sum(axis=0).tolist(), strict=True)))
    chance = max(counts.values(), default=0) / max(len(right), 1)
    held_out = HeldOut(accuracy, tuple(task.names[n] for n in anchors), right, chance)
    return held_out, fit_calibration(votes) if votes else None
