"""Install published models: link or copy their weights, convert their heads, and measure their calibration.

A model is made in a temporary folder beside the installed ones, and renamed when it is complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from soundalike.backbones import Backbone
from soundalike.core import plugins
from soundalike.core.errors import ModelError, UsageError
from soundalike.core.types import Calibration, FloatArray, Level
from soundalike.models import extract, installed_folder, is_installed, load_head, load_recipe
from soundalike.train.common.null_distributions import SEED, CalibrationClip, Progress, measure_null_distributions
from soundalike.train.common.recipe import space_entry, write_model
from soundalike.train.heads.merit_checkpoints import read_merit_head
from soundalike.train.published.catalogue import PUBLISHED, PublishedModel, PublishedSpace, PublishedWeights
from soundalike.train.published.licences import with_licence
from soundalike.train.published.model_folder import making, put_in_place
from soundalike.train.published.sources import Source, find_source, link_or_copy

__all__ = ["InstallJob", "install", "plan", "remove"]


@dataclass(frozen=True, slots=True)
class InstallJob:
    """What to install, and from where.

    Attributes:
        model: The model.
        backbone: Where the weights of the backbone are; None if it needs none.
        heads: Where the checkpoints of the heads are, if the model has any.
        folder: Where the model will be.
        force: Whether to replace it if it is installed.
    """

    model: PublishedModel
    backbone: Source | None
    heads: Source | None
    folder: Path
    force: bool

    @property
    def licence(self) -> str:
        """The licences of all weights, joined by AND."""
        return " AND ".join(dict.fromkeys(one.licence for one in self.sources)) or self.model.licence

    @property
    def terms(self) -> str:
        """What the licence means for the user."""
        if self.licence != self.model.licence:
            return "It is not that of the published weights; read it before you use them."
        if any(one.assumed for one in self.sources):
            return f"{self.model.terms} Your files state none, so they are taken for the published weights."
        return self.model.terms

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where the files come from."""
        return tuple(one for one in (self.backbone, self.heads) if one)


def plan(name: str, *, backbone: str | None = None, heads: str | None = None, force: bool = False) -> InstallJob:
    """Check what can be checked before weights are downloaded or anything is written.

    Of another repository on the hub than the published one, the model card is downloaded, for its licence.

    Args:
        name: The name of the model, a key of `PUBLISHED`.
        backbone: Path or hub id of the weights of the backbone; None is where they are published.
        heads: Path or hub id of the checkpoints of the heads; None is where they are published.
        force: Replace the model if it is installed.

    Raises:
        UsageError: The model is unknown or installed, a module is missing, a path does not exist, or `backbone` or
            `heads` is given for a model without.

    Example:
        >>> plan("merit").backbone.name
        'm-a-p/MERT-v1-330M'
    """
    if name not in PUBLISHED:
        raise UsageError(
            f"unknown model {name!r}; known: {', '.join(PUBLISHED)}, or MODEL-SEPARATOR, such as compact-spleeter"
        )
    model = PUBLISHED[name]
    folder = installed_folder(name)
    if is_installed(name) and not force:
        raise UsageError(f"{name} is installed at {folder}; give --force to install it again")
    missing = [module for module in model.modules if find_spec(module) is None]
    if missing:
        raise UsageError(
            f"{name} needs {', '.join(missing)}; install {'it' if len(missing) == 1 else 'them'} with: "
            f"pip install 'soundalike[{model.extra}]'"
        )
    if heads is not None and model.heads is None:
        raise UsageError(f"{name} has no heads; leave out --heads")
    if backbone is not None and model.weights is None:
        raise UsageError(f"{name} needs no weights; leave out --backbone")
    source = _weights_source(model, backbone)
    head_source = None
    if (place := model.heads if heads is None else heads) is not None:
        head_source = with_licence(
            find_source(place, "--heads"), model.heads, model.licence, f"https://huggingface.co/{model.heads}"
        )
    return InstallJob(model, source, head_source, folder, force)


def install(
    job: InstallJob,
    clips: Sequence[CalibrationClip],
    *,
    progress: Progress | None = None,
) -> Path:
    """Install a model. After an error or an interruption, nothing of it is left.

    Args:
        job: What to install, as `plan` returns it.
        clips: The clips to calibrate with.
        progress: Called with clips done, all clips, and seconds of audio.

    Returns:
        The folder of the model.

    Raises:
        UsageError: A source lacks a file, or the folder cannot be written to.
        ModelError: A file cannot be downloaded, is invalid, or does not fit the others.

    Example:
        >>> install(plan("merit"), clips).name
        'merit'
    """
    model = job.model
    with making(job.folder) as made:
        tensors = _read_heads(job)  # before the weights of the backbone, which take a hundred times as long to download
        weights = _take_weights(job, made)
        backbones = {}
        if weights and job.backbone:
            owner = {"licence": job.backbone.licence, "credit": job.backbone.credit}
            backbones[model.backbone] = {"weights": weights.name, **owner}
        with _naming_the_source(job, weights):
            backbone: Backbone = plugins.load(
                "backbones", model.backbone, **({} if weights is None else {"weights": weights})
            )
            _check_sizes(model, backbone, tensors)
            calibrations = _calibrate(model, backbone, tensors, clips, progress)
        spaces = [
            space_entry(
                space.name,
                backbone,
                space.feature,
                _kind(space),
                _dim(space, backbone, tensors),
                calibrations[space.name],
            )
            for space in model.spaces
        ]
        write_model(
            made,
            name=model.name,
            summary=model.summary,
            licence=job.licence,
            spaces=spaces,
            tensors=tensors,
            trained_on=[{"name": f"the weights of {source.name}", "licence": source.licence} for source in job.sources],
            seed=SEED,
            backbones=backbones,
        )
        load_recipe(str(made))  # what was written can be read
        put_in_place(made, job.folder)
    return job.folder


def remove(name: str) -> Path:
    """Remove an installed model. Rows in libraries stay.

    Returns:
        The folder where it was.

    Raises:
        UsageError: The model is bundled or not installed, or cannot be removed.

    Example:
        >>> remove("merit").name
        'merit'
    """
    try:
        folder = installed_folder(name)
    except ValueError:
        raise UsageError(f"{name} is not an installed model; those that are bundled cannot be removed") from None
    if not is_installed(name):
        raise UsageError(f"{name} is not installed; see: soundalike list models")
    with making(folder) as made:
        folder.rename(made.parent / "old")
    return folder


def _weights_source(model: PublishedModel, given: str | None) -> Source | None:
    """Return where the weights of the backbone are: as given, published, or in an installed package."""
    published = model.weights
    if published is None:
        return None
    place = published.origin if given is None else given
    if place is not None:
        found_source = find_source(place, "--backbone")
        return with_licence(found_source, published.origin, model.licence, published.credit)
    found = published.package() if published.package else None
    if found is None:
        raise UsageError(
            f"the weights of {model.name} are not on the hub; get them from {published.page}, then give "
            "their path with --backbone"
        )
    return Source(str(found), found, model.licence, published.credit)


def _take_weights(job: InstallJob, made: Path) -> Path | None:
    """Put the weights of the backbone into the folder of the model; return their path, a folder or file, if any."""
    name, published, source = job.model.backbone, job.model.weights, job.backbone
    if published is None or source is None:
        return None
    if published.files and (source.path is None or source.path.is_dir() or not published.convert):
        files = [_file(source, names, published) for names in published.files]
        for file in files:
            link_or_copy(file, made / name / file.name)
        return made / name
    if source.path is None:
        raise UsageError(f"--backbone: {source.name} does not exist; get the weights from {published.page}")
    if published.convert:
        target = made / (name if published.files else f"{name}.safetensors")
        published.convert(source.path, target)
        return target
    if not source.path.is_file():
        raise UsageError(f"--backbone: {source.name} is not a file; expected weights from {published.page}")
    target = made / f"{name}{source.path.suffix}"
    link_or_copy(source.path, target)
    return target


@contextmanager
def _naming_the_source(job: InstallJob, weights: Path | None) -> Iterator[None]:
    """Let messages about the weights of the backbone name the files of the user, not those in the temporary folder."""
    try:
        yield
    except ModelError as error:
        if weights is None or job.backbone is None:
            raise
        raise ModelError(str(error).replace(str(weights), job.backbone.name)) from error


def _file(source: Source, names: Sequence[str], published: PublishedWeights) -> Path:
    """Return one file of a folder of weights. Raises UsageError if it is missing."""
    file = source.file(names)
    if file is None:
        raise UsageError(
            f"--backbone: {source.name} has no {' or '.join(names)}; expected a folder such as {published.page}"
        )
    return file


def _read_heads(job: InstallJob) -> dict[str, FloatArray]:
    """Read the checkpoints of the heads, and return their tensors by their names in a recipe."""
    tensors: dict[str, FloatArray] = {}
    if job.heads is None:
        return tensors
    for space in job.model.spaces:
        file = job.heads.file(space.checkpoints)
        if file is None:
            raise UsageError(
                f"--heads: {job.heads.name} has no head for {space.name}; expected {' or '.join(space.checkpoints)}"
            )
        head = read_merit_head(file)
        tensors |= {f"{space.name}.{key}": tensor for key, tensor in head.tensors.items()}
    return tensors


def _kind(space: PublishedSpace) -> str:
    return "mlp" if space.checkpoints else "identity"


def _dim(space: PublishedSpace, backbone: Backbone, tensors: Mapping[str, FloatArray]) -> int:
    """The dims of the rows of a space."""
    return len(tensors[f"{space.name}.out.weight"]) if space.checkpoints else backbone.dims[space.feature]


def _check_sizes(model: PublishedModel, backbone: Backbone, tensors: Mapping[str, FloatArray]) -> None:
    """Raise ModelError if a head takes features of another size than the backbone has."""
    for space in model.spaces:
        size = backbone.dims[space.feature]
        if space.checkpoints and (taken := tensors[f"{space.name}.hidden.weight"].shape[1]) != size:
            raise ModelError(
                f"the head for {space.name} takes {taken} values, but the feature {space.feature} of these weights of "
                f"{model.backbone} has {size}; give --heads and --backbone that belong together"
            )


def _calibrate(
    model: PublishedModel,
    backbone: Backbone,
    tensors: Mapping[str, FloatArray],
    clips: Sequence[CalibrationClip],
    progress: Progress | None,
) -> dict[str, dict[Level, Calibration]]:
    """Encode the clips, and measure the null distribution of every space at both levels."""
    heads = {
        space.name: load_head(
            _kind(space),
            space.name,
            tensors,
            blocks=[(space.feature, backbone.dims[space.feature])],
            out_dim=_dim(space, backbone, tensors),
        )
        for space in model.spaces
    }

    def encode(path: Path) -> tuple[Mapping[str, FloatArray], float]:
        recording = extract({backbone.name: backbone}, path)
        features = recording.features[backbone.name]
        passages = {
            space.name: heads[space.name](features.rows[space.feature], features.audible[space.feature])
            for space in model.spaces
        }
        return passages, recording.info.duration

    return measure_null_distributions(encode, clips, progress, fewest=0)
