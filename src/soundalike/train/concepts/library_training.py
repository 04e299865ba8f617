"""Learn concepts from the features or rows that a library holds of its passages.

Every concept has a slice of the embedding, and in it a network of two layers of its own. The networks share their
input: the principal components of the passages. A network starts as the linear projection of `discriminants.py`, whose
two signs are its hidden units, and is then trained with a triplet loss. An anchor has another alike track as its
positive, and all tracks of the batch that are not alike as negatives. The mean is over the triplets that violate the
margin, not over semi-hard ones only, because few labels leave few triplets.

In shapes, p counts passages, t tracks, D dims of the input, C components, h = 2 d hidden units and d dims of a concept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, normalize, relu

from soundalike.core.errors import UsageError
from soundalike.core.types import BoolArray, FloatArray, IntArray
from soundalike.models import MlpHead, unit_rows
from soundalike.train.common.checkpoints import seeded
from soundalike.train.concepts.discriminants import find_discriminants
from soundalike.train.concepts.labels import TAG_CONCEPTS, Alikeness, Concept, alike_matrix
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
    """What networks that had not seen a group said of its tracks, for n tracks that could be judged.

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
        head: Its network on the input of the passages.
        held_out: How good networks like it are on groups that they have not seen.
        labelled: Labelled tracks.
        calibration: What turns votes of neighbours into probabilities; None for tempo and key.
    """

    head: MlpHead
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
) -> LearnedConcepts:
    """Learn concepts, and measure by cross-validation how good they are.

    The library is divided into parts by groups. Each part is judged by networks that were trained on the others. The
    networks that are returned are then trained on all tracks.

    Args:
        tracks: The tracks.
        concepts: The concepts to learn.
        settings: How to learn them.
        progress: Called with networks that were trained, and all of them.

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
    components = Components.of(tracks.passages, settings.components, settings.seed)
    inputs = components.apply(tracks.passages)
    learned: dict[Concept, LearnedConcept] = {}
    done, total = 0, len(wanted) * (settings.folds + 1)

    def advance(networks: int) -> None:
        nonlocal done
        done += networks
        if progress:
            progress(done, total)

    for concept in wanted:
        task = _Task.of(concept, tracks, inputs, settings)
        parts = []
        for fold in range(settings.folds):
            parts.append(task.judge(fold))
            advance(1)
        held_out, calibration = _summary(parts, task)
        if not len(held_out.accuracy) or held_out.accuracy.mean() < settings.worst:
            lacking[concept] = _hardly_learned(held_out, settings)
        else:
            network = task.train(np.arange(len(task.known)), settings.folds)
            learned[concept] = LearnedConcept(_fold(network, components), held_out, len(task.known), calibration)
        advance(1)
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
class _Choices:
    """Lists of numbers, from which many are drawn at once."""

    numbers: IntArray
    starts: IntArray
    counts: IntArray

    @classmethod
    def of(cls, lists: Sequence[IntArray]) -> _Choices:
        counts = np.array([len(one) for one in lists], np.int64)
        return cls(np.concatenate(lists), np.cumsum(counts) - counts, counts)

    def draw(self, lists: IntArray, draw: np.random.Generator) -> IntArray:
        """Draw one number from each of the lists with these numbers, none of which is empty."""
        places = (draw.random(len(lists)) * self.counts[lists]).astype(np.int64)
        return np.asarray(self.numbers[self.starts[lists] + places])


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """One concept: its k labelled tracks, which of them are alike, their passages, and the folds."""

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
        tags = tuple(getattr(one, concept) for one in labels) if concept in TAG_CONCEPTS else ()
        return cls(
            concept,
            known,
            alike_matrix(concept, labels),
            tracks.group_of[known],
            tuple(tracks.groups[number] for number in known),
            tags,
            fold_numbers(tracks.group_of[known], settings.folds, settings.seed),
            inputs,
            tuple(np.arange(low, high) for low, high in zip(starts, ends, strict=True)),
            settings,
        )

    def train(self, chosen: IntArray, number: int) -> nn.Sequential:
        """Train a network on some of the labelled tracks, numbered `chosen`. `number` tells its random draws apart."""
        settings, related = self.settings, self.related[np.ix_(chosen, chosen)]
        others = related - 2 * np.eye(len(related), dtype=np.int8)  # an anchor is not its own positive
        anchors = np.flatnonzero((others == 1).any(axis=1) & (related == 0).any(axis=1))
        seed = settings.seed + crc32(f"{self.concept} {number}".encode())
        draw = np.random.default_rng(seed)
        with seeded("cpu", seed):
            network = self._start(chosen, related)
            if not len(anchors) or not settings.steps:
                return network.eval()
            positives = _Choices.of([np.flatnonzero(row == 1) for row in others])
            passages = _Choices.of([self.row_of[n] for n in chosen])
            inputs = torch.from_numpy(self.inputs)
            optimiser = torch.optim.Adam(network.parameters(), lr=settings.rate)
            schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 1e-3, total_iters=settings.steps)
            for _ in range(settings.steps):
                anchor = draw.choice(anchors, settings.batch // 2)
                batch = np.concatenate([anchor, positives.draw(anchor, draw)])
                rows = passages.draw(batch, draw)
                embedded = normalize(network(dropout(inputs[rows], settings.dropout)), dim=1)
                negative = torch.from_numpy(related[np.ix_(anchor, batch)] == 0)
                loss = _triplet_loss(embedded, negative, settings.margin)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
        return network.eval()

    def _start(self, chosen: IntArray, related: Alikeness) -> nn.Sequential:
        """Return the network that is the linear projection: W x = relu(W x) - relu(-W x)."""
        dim, inputs = self.settings.dim, self._means(self.inputs, chosen)
        weight = torch.from_numpy(find_discriminants(inputs, related, dim, self.settings.floor))
        bias = -(weight @ torch.from_numpy(inputs.mean(axis=0)))
        network = nn.Sequential(nn.Linear(inputs.shape[1], 2 * dim), nn.ReLU(), nn.Linear(2 * dim, dim, bias=False))
        one = torch.eye(dim)
        network.load_state_dict(
            {
                "0.weight": torch.cat([weight, -weight]),
                "0.bias": torch.cat([bias, -bias]),
                "2.weight": torch.cat([one, -one], dim=1),
            }
        )
        return network

    def judge(self, fold: int) -> _Judged:
        """Train on all folds but one, and judge this one."""
        inside, outside = np.flatnonzero(self.folds == fold), np.flatnonzero(self.folds != fold)
        network = self.train(outside, fold)
        rows = self._rows(network, inside)
        anchors, accuracy = triplet_shares(rows, self.related[np.ix_(inside, inside)], self.groups[inside])
        votes = None
        if self.tags and len(inside) and len(outside):
            known = [self.tags[n] for n in outside]
            votes = vote(rows, self._rows(network, outside), known, [self.tags[n] for n in inside])
        return _Judged(inside[anchors], accuracy, votes)

    def _rows(self, network: nn.Sequential, chosen: IntArray) -> FloatArray:
        """Return the rows of tracks, the means of those of their passages: (len(chosen), d)."""
        with torch.no_grad():
            embedded = normalize(network(torch.from_numpy(self.inputs)), dim=1).numpy()
        return unit_rows(self._means(embedded, chosen))

    def _means(self, of_passages: FloatArray, chosen: IntArray) -> FloatArray:
        """Return the means of the passages (p, k) of some of the labelled tracks: (len(chosen), k) float32."""
        return np.stack([of_passages[self.row_of[track]].mean(axis=0) for track in chosen])


def _triplet_loss(embedded: Tensor, negative: Tensor, margin: float) -> Tensor:
    """Return the triplet loss of a batch: unit rows (2 m, d), m anchors and then their positives.

    The mean of relu(cosine to the negative - cosine to the positive + margin) over the triplets where it is above 0.

    Args:
        embedded: The rows.
        negative: Which rows are negatives of each anchor, (m, 2 m) bool.
        margin: The margin.
    """
    pairs = len(negative)
    similarity = embedded[:pairs] @ embedded.T
    positive = torch.einsum("md,md->m", embedded[:pairs], embedded[pairs:])
    violation = relu(similarity - positive[:, None] + margin) * negative
    return violation.sum() / (violation > 0).sum().clamp(min=1)


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


def _fold(network: nn.Sequential, components: Components) -> MlpHead:
    """Return a network on components as a head on the input itself."""
    state = {name: tensor.detach().numpy() for name, tensor in network.state_dict().items()}
    weight = state["0.weight"] @ components.projection.T
    return MlpHead(
        hidden_weight=np.ascontiguousarray(weight, np.float32),
        hidden_bias=(state["0.bias"] - weight @ components.mean).astype(np.float32),
        out_weight=np.ascontiguousarray(state["2.weight"]),
    )
