"""`soundalike train heads`: from triplet folders to a model, a space a factor, on the features of any backbone.

Clips are embedded once into a cache; heads are trained on its rows (`trainer.py`), calibrated on random pairs of the
clips, judged on the test folders, and written as a model that every command can use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from soundalike.backbones import Backbone
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.files import make_folder, read_json
from soundalike.core.types import BoolArray, Calibration, FloatArray, IntArray, Level
from soundalike.models import calibrate, load_head, load_joint
from soundalike.train.common.projection import triplet_accuracy
from soundalike.train.common.recipe import space_entry, write_model
from soundalike.train.data.embeddings import EmbeddingCache, EmbedReport, embed
from soundalike.train.data.folders import ClipFolder, read_folders, triplet_set
from soundalike.train.data.sampling import Negatives, TripletSet
from soundalike.train.heads.linear import LinearHead, linear_dim, train_linear
from soundalike.train.heads.settings import HeadSettings

if TYPE_CHECKING:
    from soundalike.train.common.checkpoints import Epoch
    from soundalike.train.heads.trainer import TrainedHead

__all__ = ["HeadKind", "HeadsJob", "HeadsReport", "train_heads"]

HeadKind: TypeAlias = Literal["mlp", "linear", "joint"]

_PAIRS = 20_000
_KINDS: tuple[Negatives, ...] = ("neutral", "adversarial")


@dataclass(frozen=True, slots=True)
class HeadsJob:
    """What to train on what. `kind` is a head each, "mlp" or "linear" (closed form; of a
    feature of several parts one for each part, side by side), or one "joint" for all.

    `factors` chooses some of those that are there, `folders` limits the training folders of each; `features` are what
    the head of a factor hears, such as {"melody": "melody+line"} (default: all that the backbone has); `cache` defaults
    to a folder in `out`.
    """

    triplets: Path
    out: Path
    cache: Path | None = None
    backbone: str = "dsp"
    name: str = "heads"
    factors: tuple[str, ...] = ()
    folders: int | None = None
    kind: HeadKind = "mlp"
    features: Mapping[str, str] = field(default_factory=dict)
    summary: str | None = None
    licence: str = "as of what it was trained on"


@dataclass(frozen=True, slots=True)
class HeadsReport:
    """What came out: curves and best epoch by head (of linear ones, the floor of each part), accuracy on test triplets
    {kind: {space: {factor: 0..1}}}, clips that failed, and the number of training folders by factor.
    """

    curves: Mapping[str, Sequence[Epoch]]
    best: Mapping[str, int]
    floors: Mapping[str, Mapping[str, float]]
    accuracy: Mapping[str, Mapping[str, Mapping[str, float]]]
    failed: tuple[tuple[Path, str], ...]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Factor:
    """A factor's folders by part, and the feature its head listens to: its parts and their sizes, rows (n, D), what is
    audible (n,).
    """

    name: str
    feature: str
    blocks: tuple[tuple[str, int], ...]
    folders: Mapping[str, Sequence[ClipFolder]]
    rows: FloatArray
    audible: BoolArray
    sets: Mapping[str, TripletSet]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Those of the parts."""
        return tuple(size for _, size in self.blocks)


def train_heads(
    job: HeadsJob,
    settings: HeadSettings,
    *,
    jobs: int | None = None,
    embedding: Callable[[int, int, float], None] | None = None,
    progress: Callable[[str, Epoch], None] | None = None,
) -> HeadsReport:
    """Train, calibrate, judge, write. An interrupted run goes on where it was, embedding and training alike.

    `embedding` is told of clips, `progress` of every epoch and whose it is. Raises UsageError, and KeyboardInterrupt
    when interrupted.
    """
    make_folder(job.out / "checkpoints", "--out")
    backbone: Backbone = plugins.load("backbones", job.backbone)
    parts = _chosen(job, settings.seed)
    paths = sorted({c for of in parts.values() for folders in of.values() for one in folders for c in one.clips})
    with EmbeddingCache.open(job.cache or job.out / "cache", backbone) as cache:
        done = embed(cache, paths, jobs=jobs, progress=embedding)
        if done.interrupted:
            raise KeyboardInterrupt
        factors = _load(cache, done, parts, job, backbone)
    trained = _train(job, settings, factors, progress)
    tensors: dict[str, FloatArray] = {}
    spaces = []
    outputs: dict[str, FloatArray] = {}
    for name, head in trained.items():
        tensors |= head.tensors if name == "joint" else {f"{name}.{key}": one for key, one in head.tensors.items()}
        if name != "joint" and not isinstance(head, LinearHead):
            tensors[f"{name}.spread"] = head.spread
    for factor in factors:
        outputs[factor.name] = _project(job, settings, factor, tensors)
        chance = _chance(factor, factors, outputs[factor.name], settings.seed)
        dim = outputs[factor.name].shape[1]
        spaces.append(space_entry(factor.name, backbone, factor.feature, _kind(job, factor), dim, chance))
    write_model(
        job.out,
        name=job.name,
        summary=job.summary or _summary(job, settings, factors),
        licence=job.licence,
        spaces=spaces,
        tensors=tensors,
        trained_on=_credits(job, len(paths)),
        seed=settings.seed,
    )
    for file in (job.out / "checkpoints").glob("*.safetensors"):
        file.unlink()  # it is in the model now
    return HeadsReport(
        {name: () if isinstance(head, LinearHead) else head.curves for name, head in trained.items()},
        {name: head.best_epoch for name, head in trained.items() if not isinstance(head, LinearHead)},
        {name: head.floors for name, head in trained.items() if isinstance(head, LinearHead)},
        {kind: _accuracy(kind, factors, outputs) for kind in _KINDS},
        done.failed,
        {factor.name: len(factor.folders["train"]) for factor in factors},
    )


def _chosen(job: HeadsJob, seed: int) -> dict[str, dict[str, tuple[ClipFolder, ...]]]:
    parts = read_folders(job.triplets, seed)
    if unknown := [name for name in (*job.factors, *job.features) if name not in parts]:
        raise UsageError(f"{job.triplets} has no factor {unknown[0]!r}; it has {', '.join(parts)}")
    if job.kind == "joint" and len(set(job.features.values())) > 1:
        raise UsageError("a joint head hears the same features for all factors; give one of them to all, or none")
    if job.factors:
        parts = {name: parts[name] for name in job.factors}
    if job.folders:
        parts = {name: of | {"train": of["train"][: job.folders]} for name, of in parts.items()}
    return parts


def _load(
    cache: EmbeddingCache,
    done: EmbedReport,
    parts: Mapping[str, Mapping[str, Sequence[ClipFolder]]],
    job: HeadsJob,
    backbone: Backbone,
) -> list[_Factor]:
    """The factors with the features that their heads listen to, side by side: all of them, or those of the job.

    A joined feature is audible where its first part is. A head's first is its own factor's, where the backbone has one;
    a joint head has one order for all, and timbre, which is there wherever there is sound, comes first.
    """
    positions = np.arange(len(cache))
    known: dict[str, tuple[FloatArray, BoolArray]] = {}
    factors = []
    for name, folders in parts.items():
        first = "timbre" if job.kind == "joint" else name
        feature = job.features.get(name) or "+".join(sorted(backbone.dims, key=lambda one: one != first))
        if feature not in known:
            known[feature] = cache.joined(feature, positions)
        blocks = tuple((part, backbone.dims[part]) for part in feature.split("+"))
        rows, audible = known[feature]
        sets = {part: triplet_set(of, done.positions, audible) for part, of in folders.items()}
        factors.append(_Factor(name, feature, blocks, folders, rows, audible, sets))
    return factors


def _train(
    job: HeadsJob,
    settings: HeadSettings,
    factors: Sequence[_Factor],
    progress: Callable[[str, Epoch], None] | None,
) -> Mapping[str, TrainedHead | LinearHead]:
    if job.kind == "linear":
        every = [factor.sets["train"] for factor in factors]
        return {
            factor.name: train_linear(
                factor.rows, factor.blocks, every, factor.sets["train"], factor.sets["validation"], settings
            )
            for factor in factors
        }
    try:
        from soundalike.train.heads.trainer import train_head, train_joint
    except ImportError as error:
        raise UsageError("training heads needs torch; install it with: pip install 'soundalike[train]'") from error

    def tell(name: str) -> Callable[[Epoch], None]:
        return lambda epoch: progress(name, epoch) if progress else None

    places = {name: job.out / "checkpoints" / f"{name}.safetensors" for name in ("joint", *(f.name for f in factors))}
    if job.kind == "joint":
        first = factors[0]
        pairs = {factor.name: (factor.sets["train"], factor.sets["validation"]) for factor in factors}
        head = train_joint(first.rows, first.sizes, pairs, settings, checkpoint=places["joint"], progress=tell("joint"))
        return {"joint": head}
    return {
        factor.name: train_head(
            factor.rows,
            factor.sets["train"],
            factor.sets["validation"],
            settings,
            checkpoint=places[factor.name],
            progress=tell(factor.name),
        )
        for factor in factors
    }


def _project(job: HeadsJob, settings: HeadSettings, factor: _Factor, tensors: Mapping[str, FloatArray]) -> FloatArray:
    """Rows (n, d) of all clips in a space, as the model will give them."""
    if job.kind == "joint":
        joint = load_joint(factor.name, tensors, blocks=factor.sizes, out_dim=settings.out)
        return joint(factor.rows, factor.audible)
    dim = linear_dim(factor.sizes, settings.out) if job.kind == "linear" else settings.out
    head = load_head(_kind(job, factor), factor.name, tensors, blocks=factor.blocks, out_dim=dim)
    return head(factor.rows, factor.audible)


def _kind(job: HeadsJob, factor: _Factor) -> str:
    """The head's kind, as a recipe names it."""
    return "parts" if job.kind == "linear" and len(factor.blocks) > 1 else job.kind


def _chance(factor: _Factor, factors: Sequence[_Factor], rows: FloatArray, seed: int) -> dict[Level, Calibration]:
    """What random pairs of the training clips look like in a space.

    A clip is a passage and a track at once. A folder of the space's own factor stands in for a track when the best
    passage of a track is asked for: its clips are as alike as the passages of one.
    """
    rng = np.random.default_rng(seed)
    group = np.full(len(rows), -1)
    for number, table in enumerate(one for each in factors for one in each.sets["train"].folders):
        group[table[table >= 0]] = number
    heard = np.flatnonzero((group >= 0) & rows.any(axis=1))
    first, second = rng.choice(heard, (2, _PAIRS))
    apart = group[first] != group[second]
    pairs = np.einsum("nd,nd->n", rows[first[apart]], rows[second[apart]])
    own = [table[:-2][table[:-2] >= 0] for table in factor.sets["train"].folders]
    own = [members for members in own if len(members)]
    best = []
    for query in rng.choice(heard, _PAIRS // 10):
        members = own[rng.integers(len(own))]
        if query not in members:
            best.append(float((rows[members] @ rows[query]).max()))
    return {"track": calibrate(pairs, pairs), "passage": calibrate(pairs, np.array(best))}


def _accuracy(
    kind: Negatives, factors: Sequence[_Factor], outputs: Mapping[str, FloatArray]
) -> dict[str, dict[str, float]]:
    """Share of (anchor, positive, negative) of the test folders that are right, in every space; ties count half.

    NaN where no folder of a factor has this kind of negative.
    """
    table: dict[str, dict[str, float]] = {}
    column = -2 if kind == "neutral" else -1
    for space, rows in outputs.items():
        table[space] = {}
        for factor in factors:
            folders: IntArray = factor.sets["test"].folders
            k = folders.shape[1] - 3
            triplets = np.stack(
                [np.repeat(folders[:, 0], k), folders[:, 1:-2].ravel(), np.repeat(folders[:, column], k)], axis=1
            )
            table[space][factor.name] = triplet_accuracy(rows, triplets[(triplets >= 0).all(axis=1)])
    return table


def _summary(job: HeadsJob, settings: HeadSettings, factors: Sequence[_Factor]) -> str:
    count = sum(len(factor.folders["train"]) for factor in factors)
    if job.kind == "linear":
        return f"Linear heads on {job.backbone}, {count} folders."
    how = "A joint head" if job.kind == "joint" else "Two-layer heads"
    return f"{how} on {job.backbone}: {settings.loss}, {settings.negatives} negatives, {count} folders."


def _credits(job: HeadsJob, clips: int) -> list[dict[str, Any]]:
    """What the clips came from, as their renderer recorded it."""
    record = job.triplets / "render.json"
    body = read_json(record) if record.is_file() else {}
    if not isinstance(body, dict) or body.get("made_by") != "soundalike render":
        return [{"name": "triplet folders of the user's own", "licence": "unknown", "n": clips}]
    sounds = [f"{name}: {licence}" for name, licence in body["sounds"].items()]
    return [{"name": "soundalike render", "licence": "; ".join([*body["sources"]["credits"], *sounds]), "n": clips}]
