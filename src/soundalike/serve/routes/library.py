"""What the library holds: models, spaces, presets, failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.responses import Response

from soundalike.core.palette import space_colours
from soundalike.core.presets import PRESETS, read_presets
from soundalike.core.settings import config_file
from soundalike.library.catalog import Failure
from soundalike.models import DEFAULT_MODEL, name_in_answers, parse_weights
from soundalike.serve.answers import json_response
from soundalike.serve.problems import PROBLEMS
from soundalike.serve.state import Server, State

__all__ = ["router"]

router = APIRouter(tags=["library"], responses=PROBLEMS)
_FACTORS = ("melody", "rhythm", "timbre", "harmony")


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model of the library. `licence` is that of its weights.

    `separators` are those by whose stems recordings can be compared: the models on them are installed.
    """

    name: str
    summary: str
    licence: str
    default: bool
    tracks: int
    separators: Sequence[str]


@dataclass(frozen=True, slots=True)
class SeparatorRecord:
    """A separator that is installed, and the stems that it makes. `licence` is that of its weights."""

    name: str
    stems: Sequence[str]
    licence: str


@dataclass(frozen=True, slots=True)
class SpaceInfo:
    """A space of a model of the library: one slider.

    `group` is what it compares: a factor of the music, an instrument, or a concept such as genre.
    """

    name: str
    model: str
    source: str
    group: str
    colour: str
    dim: int


@dataclass(frozen=True, slots=True)
class PresetInfo:
    """Named weights."""

    name: str
    summary: str
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class FolderInfo:
    """A folder that was indexed, and the number of tracks below it. `absent`: it is gone or empty."""

    path: str
    tracks: int
    absent: bool


@dataclass(frozen=True, slots=True)
class LibraryRecord:
    """The library: its size, models and spaces, and what this server lets a client do.

    `editable` tells whether folders may be added and removed here. `absent_folders` are gone or empty, such as those of
    disks that are not mounted. `reference` is what percentiles are measured against.
    """

    path: str
    tracks: int
    failures: int
    missing: int
    bytes: int
    models: Sequence[ModelRecord]
    spaces: Sequence[SpaceInfo]
    presets: Sequence[PresetInfo]
    reference: str
    absent_folders: Sequence[str]
    folders: Sequence[FolderInfo]
    editable: bool
    upload_bytes: int
    upload_seconds: float


@router.get("/library", response_model=LibraryRecord)
def show_library(server: State) -> Response:
    """Show what the library holds, and what this server lets a client do."""
    folder, info = server.library.folder, server.library.info()
    counts = {one["name"]: one["tracks"] for one in info["models"]}
    with folder.snapshot():
        spaces = _spaces(server)
        default = folder.model(None) if counts else None
        record = LibraryRecord(
            path=str(server.library.location),
            tracks=info["tracks"],
            failures=info["failures"],
            missing=info["missing"],
            bytes=info["bytes"],
            models=_models(server, counts),
            spaces=spaces,
            presets=_presets(spaces, default.name) if default else [],
            reference=folder.reference(default, "track").source if default else "model",
            absent_folders=[str(one) for one in folder.absent_roots().values()],
            folders=_folders(server),
            editable=not server.settings.is_shared,
            upload_bytes=server.settings.upload_bytes,
            upload_seconds=server.settings.upload_seconds,
        )
    return json_response(record)


@router.get("/separators", response_model=list[SeparatorRecord])
def list_separators(server: State) -> Response:
    """List the separators that are installed, by whose stems tracks can be searched with."""
    return json_response([SeparatorRecord(one.name, one.stems, one.licence) for one in server.stems.installed()])


def _folders(server: Server) -> list[FolderInfo]:
    folder = server.library.folder
    paths, absent = folder.catalog.paths, folder.absent_roots()
    counts = Counter(paths.root_ids()[:, 1].tolist())
    found = [FolderInfo(str(path), counts[key], key in absent) for key, path in paths.roots().items()]
    return sorted(found, key=lambda one: one.path)


def _models(server: Server, counts: Mapping[str, int]) -> list[ModelRecord]:
    default = server.library.folder.model(None).name if counts else DEFAULT_MODEL
    recipes = [server.library.folder.model(name).recipe for name in counts]
    return [
        ModelRecord(
            one.name, one.summary, one.licence, one.name == default, counts[one.name],
            server.stems.separators(one.name),
        )
        for one in recipes
    ]  # fmt: skip


def _spaces(server: Server) -> list[SpaceInfo]:
    models = [server.library.folder.model(name) for name in server.library.models]
    colours = space_colours(space.name for model in models for space in model.spaces)
    return [
        SpaceInfo(one.name, model.name, one.source, _group(one.name, one.source), colours[one.name], one.dim)
        for model in models
        for one in model.spaces
    ]


def _group(name: str, source: str) -> str:
    if source != "mix":
        return "instrument"
    return "factor" if name in _FACTORS else "concept"


def _presets(spaces: Sequence[SpaceInfo], model: str) -> list[PresetInfo]:
    """The presets whose spaces are all there, under the names that they have in answers with a model."""
    held: dict[str, list[str]] = {}
    for space in spaces:
        held.setdefault(space.model, []).append(space.name)
    found = []
    for name, one in {**PRESETS, **read_presets(config_file())}.items():
        weights = parse_weights(one.weights)
        names = {given: name_in_answers(given, model, held) for given in weights}
        if all(names.values()):
            found.append(PresetInfo(name, one.summary, {str(names[given]): weights[given] for given in weights}))
    return found


@router.get("/models", response_model=list[ModelRecord])
def list_models(server: State) -> Response:
    """List the models that the library holds, with the licences of their weights."""
    counts = {one["name"]: one["tracks"] for one in server.library.info()["models"]}
    return json_response(_models(server, counts), list[ModelRecord])


@router.get("/spaces", response_model=list[SpaceInfo])
def list_spaces(server: State) -> Response:
    """List the spaces of all models of the library."""
    return json_response(_spaces(server), list[SpaceInfo])


@router.get("/failures", response_model=list[Failure])
def list_failures(server: State) -> Response:
    """List the files that could not be read, with the reason."""
    return json_response(list(server.library.failures()), list[Failure])
