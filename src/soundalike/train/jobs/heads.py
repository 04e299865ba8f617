"""`soundalike train heads`: a model from triplet folders, one space per factor, on the features of any backbone.

Clips are embedded once into a cache. Heads are trained on its rows (`heads/trainer.py`), calibrated on random pairs of
clips, evaluated on the test folders, and written as a model that every command can use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from soundalike.backbones import Backbone
from soundalike.core.errors import UsageError
from soundalike.core.files import content_hash, make_folder, read_json, write_json
from soundalike.core.names import check_name, check_unique
from soundalike.core.types import BoolArray, Calibration, FloatArray, IntArray, Level
from soundalike.models import (
    DEFAULT_MODEL,
    BackboneWeights,
    installed_weights,
    load_head,
    load_joint,
    load_named_backbone,
    load_recipe,
)
from soundalike.train.common.calibration import calibrate_random_pairs
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

__all__ = ["HeadKind", "HeadsJob", "HeadsReport", "default_backbone", "train_heads"]

HeadKind: TypeAlias = Literal["mlp", "linear", "joint"]

_KINDS: tuple[Negatives, ...] = ("neutral", "adversarial")


@dataclass(frozen=True, slots=True)
class HeadsJob:
    """What to train, and on what.

    Attributes:
        triplets: The triplet folders.
        out: The folder of the model.
        cache: The folder of cached embeddings; None takes one in `out`.
        backbone: The backbone of the features; None takes that of the default model.
        name: The name of the model.
        factors: The factors to train; empty takes all.
        folders: The number of training folders per factor; None takes all.
        kind: "mlp" or "linear" heads, one per factor, or one "joint" head. A linear head is fitted in closed form;
            for a feature of several parts it is one projection per part, side by side.
        features: The feature of each factor, such as {"melody": "melody+line"}; by default all of the backbone.
        summary: The summary of the recipe; None makes one.
        licence: The licence of the heads.
    """

    triplets: Path
    out: Path
    cache: Path | None = None
    backbone: str | None = None
    name: str = "heads"
    factors: tuple[str, ...] = ()
    folders: int | None = None
    kind: HeadKind = "mlp"
    features: Mapping[str, str] = field(default_factory=dict)
    summary: str | None = None
    licence: str = "as of what it was trained on"


@dataclass(frozen=True, slots=True)
class HeadsReport:
    """The result of a training.

    Attributes:
        curves: The learning curve of each head.
        best: The best epoch of each head.
        floors: The floor of each part of each linear head.
        accuracy: Accuracy on test triplets, {kind of negative: {space: {factor: 0..1}}}.
        failed: Clips that could not be read.
        counts: The number of training folders per factor.
    """

    curves: Mapping[str, Sequence[Epoch]]
    best: Mapping[str, int]
    floors: Mapping[str, Mapping[str, float]]
    accuracy: Mapping[str, Mapping[str, Mapping[str, float]]]
    failed: tuple[tuple[Path, str], ...]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Factor:
    """A factor: folders per part of the split, and its feature with blocks, rows (n, D) and audible (n,)."""

    name: str
    feature: str
    blocks: tuple[tuple[str, int], ...]
    folders: Mapping[str, Sequence[ClipFolder]]
    rows: FloatArray
    audible: BoolArray
    sets: Mapping[str, TripletSet]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of the blocks."""
        return tuple(size for _, size in self.blocks)


def train_heads(
    job: HeadsJob,
    settings: HeadSettings,
    *,
    jobs: int | None = None,
    embedding: Callable[[int, int, float], None] | None = None,
    progress: Callable[[str, Epoch], None] | None = None,
) -> HeadsReport:
    """Train, calibrate, evaluate and write a model. An interrupted run can be continued by the next one.

    Args:
        job: What to train, and on what.
        settings: How to train.
        jobs: The number of worker processes for embedding; None starts one per core.
        embedding: Called with clips done, all clips, and seconds of audio.
        progress: Called with the name of a head and its epoch.

    Raises:
        UsageError: The triplets or settings are invalid, or torch is missing.
        KeyboardInterrupt: The run was interrupted.

    Example:
        >>> job = HeadsJob(Path("triplets"), Path("mine"), kind="linear")
        >>> train_heads(job, HeadSettings()).accuracy["neutral"]["melody"]["melody"]
        0.97
    """
    job = replace(job, backbone=job.backbone or default_backbone())
    make_folder(job.out / "checkpoints", "--out")
    backbone = load_named_backbone(str(job.backbone))
    parts = _chosen(job, settings)
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
        calibration = _calibrate(factors, outputs[factor.name], settings.seed)
        dim = outputs[factor.name].shape[1]
        spaces.append(space_entry(factor.name, backbone, factor.feature, _kind(job, factor), dim, calibration))
    weights = installed_weights(backbone.name)
    write_model(
        job.out,
        name=job.name,
        summary=job.summary or _summary(job, settings, factors),
        licence=f"{weights.licence} (weights of {backbone.name}); heads: {job.licence}" if weights else job.licence,
        spaces=spaces,
        tensors=tensors,
        trained_on=_credits(job, len(paths)),
        seed=settings.seed,
        backbones={backbone.name: _entry(weights)} if weights else None,
    )
    _write_split(job.out, parts)
    for file in (job.out / "checkpoints").glob("*.safetensors"):
        file.unlink()  # its content is in the model now
    return HeadsReport(
        {name: () if isinstance(head, LinearHead) else head.curves for name, head in trained.items()},
        {name: head.best_epoch for name, head in trained.items() if not isinstance(head, LinearHead)},
        {name: head.floors for name, head in trained.items() if isinstance(head, LinearHead)},
        {kind: table for kind in _KINDS if any((table := _accuracy(kind, factors, outputs)).values())},
        done.failed,
        {factor.name: len(factor.folders["train"]) for factor in factors},
    )


def default_backbone() -> str:
    """Return the name of the backbone of the default model.

    Example:
        >>> default_backbone()
        'compact'
    """
    return load_recipe(DEFAULT_MODEL).spaces[0].backbone


def _chosen(job: HeadsJob, settings: HeadSettings) -> dict[str, dict[str, tuple[ClipFolder, ...]]]:
    parts = read_folders(job.triplets, settings.seed, published=settings.sampling == "merit")
    if unknown := [name for name in (*job.factors, *job.features) if name not in parts]:
        raise UsageError(f"{job.triplets} has no factor {unknown[0]!r}; it has {', '.join(parts)}")
    if job.kind == "joint" and len(set(job.features.values())) > 1:
        raise UsageError("a joint head uses the same features for all factors; give all the same, or none")
    if job.factors:
        parts = {name: parts[name] for name in job.factors}
    try:
        check_name("model", job.name)
        for name in parts:
            check_name("space", name)
        check_unique("space", parts)
    except ValueError as error:  # before hours of training that give a model which cannot be loaded
        raise UsageError(f"{error}; give another --name, or rename the folder of the factor") from error
    if job.folders:
        parts = {name: of | {"train": of["train"][: job.folders]} for name, of in parts.items()}
    if sum(len(of["train"]) for of in parts.values()) < 2:
        raise UsageError(f"{job.triplets} has one folder for training; give two or more, for random pairs")
    return parts


def _write_split(out: Path, parts: Mapping[str, Mapping[str, Sequence[ClipFolder]]]) -> None:
    """Write which folders the model was trained on, with hashes of their anchors: other sets use the same names."""
    factors = {
        factor: {part: [one.name for one in folders] for part, folders in of.items()} for factor, of in parts.items()
    }
    anchors = {
        part: sorted({content_hash(one.anchor) for of in parts.values() for one in of[part]})
        for part in ("train", "validation")
    }
    write_json(out / "split.json", {"factors": factors, "anchors": anchors})


def _load(
    cache: EmbeddingCache,
    done: EmbedReport,
    parts: Mapping[str, Mapping[str, Sequence[ClipFolder]]],
    job: HeadsJob,
    backbone: Backbone,
) -> list[_Factor]:
    """The factors with the features of their heads: those of the job, or all of the backbone, concatenated.

    A concatenated feature is audible where its first part is. For a head, the first part is that of its own factor, if
    the backbone has it. A joint head has one order for all factors. It starts with timbre, which all sound has.
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
    """The rows (n, d) of all clips in a space, as the model will compute them."""
    if job.kind == "joint":
        joint = load_joint(factor.name, tensors, blocks=factor.sizes, out_dim=settings.out)
        return joint(factor.rows, factor.audible)
    dim = linear_dim(factor.sizes, settings.out) if job.kind == "linear" else settings.out
    head = load_head(_kind(job, factor), factor.name, tensors, blocks=factor.blocks, out_dim=dim)
    return head(factor.rows, factor.audible)


def _kind(job: HeadsJob, factor: _Factor) -> str:
    """The name of the kind of head in a recipe."""
    return "parts" if job.kind == "linear" and len(factor.blocks) > 1 else job.kind


def _calibrate(factors: Sequence[_Factor], rows: FloatArray, seed: int) -> dict[Level, Calibration]:
    """The null distribution of a space: the similarity of random pairs of training clips.

    A clip serves as a passage and as a track.
    """
    rng = np.random.default_rng(seed)
    group = np.full(len(rows), -1)
    for number, table in enumerate(one for each in factors for one in each.sets["train"].folders):
        group[table[table >= 0]] = number
    calibration = calibrate_random_pairs(rows[group >= 0], group[group >= 0], rng)
    return {"track": calibration, "passage": calibration}


def _accuracy(
    kind: Negatives, factors: Sequence[_Factor], outputs: Mapping[str, FloatArray]
) -> dict[str, dict[str, float]]:
    """The share of correct triplets of the test folders in every space; ties count half.

    A factor is left out if none of its folders has this kind of negative.
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
            complete = triplets[(triplets >= 0).all(axis=1)]
            if len(complete):
                table[space][factor.name] = triplet_accuracy(rows, complete)
    return table


def _summary(job: HeadsJob, settings: HeadSettings, factors: Sequence[_Factor]) -> str:
    count = sum(len(factor.folders["train"]) for factor in factors)
    if job.kind == "linear":
        return f"Linear heads on {job.backbone}, {count} folders."
    how = "A joint head" if job.kind == "joint" else "Two-layer heads"
    return f"{how} on {job.backbone}: {settings.loss}, {settings.negatives} negatives, {count} folders."


def _entry(weights: BackboneWeights) -> dict[str, str]:
    """The entry of the weights of a backbone in a recipe. It names their model, because its folder is elsewhere."""
    entry = {"model": weights.model, "licence": weights.licence, "credit": weights.credit}
    return {key: value for key, value in entry.items() if value}


def _credits(job: HeadsJob, clips: int) -> list[dict[str, Any]]:
    """The sources of the clips with their licences, as the renderer recorded them."""
    record = job.triplets / "render.json"
    body = read_json(record) if record.is_file() else {}
    if not isinstance(body, dict) or body.get("made_by") != "soundalike render":
        return [{"name": "triplet folders of the user's own", "licence": "unknown", "n": clips}]
    sounds = [f"{name}: {licence}" for name, licence in body["sounds"].items()]
    return [{"name": "soundalike render", "licence": "; ".join([*body["sources"]["credits"], *sounds]), "n": clips}]
