"""The spaces of a request, which may belong to several models, and how the request names them.

A request has one model, and all of its spaces. It may name spaces of other models too, in its weights and bounds:

1. by the short name, if the model of the request has such a space: `melody`,
2. by the short name, if only one other model has such a space: `vocals.melody`,
3. by the full name `MODEL/SPACE`: `dsp/melody`,
4. by `BASE/SPACE`, if only one model with such a space is called `BASE-...`: `muq/drums` for `muq-demucs/drums`.

All spaces have a scale of their own (`score.py`), so spaces of several models are scored as those of one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, Self

from soundalike.backbones import Backbone
from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray, Space, Vectors, Weights
from soundalike.models.extraction import RecordingFeatures, extract
from soundalike.models.installed import installed_models
from soundalike.models.model import Encoding, Model, load_once
from soundalike.models.recipes import load_recipe, resolve_weights

__all__ = [
    "SearchSpaces",
    "Spaces",
    "encode_with",
    "installed_spaces",
    "join_encodings",
    "name_in_answers",
    "select_rows",
]


class Spaces(Protocol):
    """What is compared: the spaces of a `Model`, or of several models (`SearchSpaces`)."""

    @property
    def name(self) -> str:
        """The names of the models, joined by "+", which no name of a model contains."""
        ...

    @property
    def models(self) -> tuple[Model, ...]:
        """The models; the first one is that of the request."""
        ...

    @property
    def spaces(self) -> tuple[Space, ...]:
        """The spaces, each with a unique name."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SearchSpaces:
    """The spaces of a request, and the models that they belong to.

    Attributes:
        models: The models: the first one is that of the request.
        spaces: All spaces of the first model, then those of others that the request names. Each has a unique name: the
            shortest one that names it in a request with this model.
        aliases: The names of spaces, by other names that the request uses for them.
        others: The full names of spaces of other models that could be named, if the request names any that the first
            model lacks.
    """

    models: tuple[Model, ...]
    spaces: tuple[Space, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: Model) -> Self:
        """Return the spaces of one model.

        Example:
            >>> [space.name for space in SearchSpaces.of(load_once("dsp")).spaces]
            ['melody', 'rhythm', 'timbre', 'harmony']
        """
        return cls((model,), model.spaces)

    @classmethod
    def find(
        cls,
        model: Model,
        names: Iterable[str],
        held: Callable[[], Mapping[str, Collection[str]]],
        load: Callable[[str], Model] = load_once,
    ) -> Self:
        """Return the spaces of a request.

        Args:
            model: The model of the request.
            names: The names of spaces in its weights and bounds. Unknown ones are ignored: `weights` reports them.
            held: Returns the short names of the spaces of every model that may be used. Not called if all names are of
                the first model.
            load: Loads a model by its name.

        Raises:
            UsageError: Several models have a space of a name. The message lists the full names.
            ModelError: A model cannot be loaded.

        Example:
            >>> found = SearchSpaces.find(load_once("compact"), ["dsp/rhythm"], installed_spaces)
            >>> [space.name for space in found.spaces]
            ['melody', 'rhythm', 'timbre', 'harmony', 'dsp/rhythm']
        """
        own = {name for space in model.spaces for name in (space.name, space.full_name)}
        foreign = [name for name in dict.fromkeys(names) if name not in own]
        if not foreign:
            return cls.of(model)
        # The model may be in a folder, and not among those that are held.
        table = {**held(), model.name: [space.name for space in model.spaces]}
        found = {name: places[0] for name in foreign if (places := _places(name, model.name, table))}
        used = set(found.values())
        models, spaces, labels = [model], list(model.spaces), {}
        for other in table:
            if other == model.name or not any(one == other for one, _ in used):
                continue
            models.append(load(other))
            for space in models[-1].spaces:
                if (other, space.name) in used:
                    labels[other, space.name] = _label(other, space.name, model.name, table)
                    spaces.append(replace(space, name=labels[other, space.name]))
        aliases = {name: labels.get(place, place[1]) for name, place in found.items()}
        others = tuple(f"{one}/{space}" for one, names in table.items() if one != model.name for space in names)
        return cls(tuple(models), tuple(spaces), aliases, others)

    @property
    def name(self) -> str:
        """The names of the models, joined by "+"."""
        return "+".join(model.name for model in self.models)

    @property
    def names(self) -> Mapping[str, str]:
        """The name of a space by every name that the request may use for it."""
        known = {alias: space.name for space in self.spaces for alias in (space.full_name, space.name)}
        return {**self.aliases, **known}

    @property
    def known(self) -> str:
        """The names that a request may use, for messages."""
        return ", ".join(dict.fromkeys([*(space.name for space in self.spaces), *self.others]))

    def weights(self, given: Mapping[str, float] | None) -> Weights:
        """Return the weight of every space; None weighs each space of the first model 1.

        Raises:
            UsageError: A space is unknown or named twice, a weight is out of range, or every weight is 0.

        Example:
            >>> dict(SearchSpaces.of(load_once("dsp")).weights({"melody": 2}))
            {'melody': 2.0, 'rhythm': 0.0, 'timbre': 0.0, 'harmony': 0.0}
        """
        return resolve_weights(given, self.spaces, self.aliases, self.others)


def select_rows(spaces: Spaces, rows: Sequence[Mapping[str, FloatArray]]) -> dict[str, FloatArray]:
    """Return the rows of spaces by name, given the rows of every model by short name.

    Example:
        >>> spaces = SearchSpaces.find(load_once("compact"), ["dsp/rhythm"], installed_spaces)
        >>> select_rows(spaces, [compact_rows, dsp_rows])["dsp/rhythm"] is dsp_rows["rhythm"]
        True
    """
    by_model = {model.name: own for model, own in zip(spaces.models, rows, strict=True)}
    return {space.name: by_model[space.model][space.short_name] for space in spaces.spaces}


def join_encodings(spaces: Spaces, encodings: Sequence[Encoding]) -> Encoding:
    """Return one encoding with the rows of all spaces, given the encoding of a recording by every model.

    Example:
        >>> spaces = SearchSpaces.find(load_once("compact"), ["dsp/rhythm"], installed_spaces)
        >>> list(join_encodings(spaces, encode_with(spaces.models, Path("song.wav"))).track.rows)
        ['melody', 'rhythm', 'timbre', 'harmony', 'dsp/rhythm']
    """
    first = encodings[0]
    if len(encodings) == 1:
        return first
    digest = "+".join(one.track.digest for one in encodings)
    track = Vectors(first.track.spans, select_rows(spaces, [one.track.rows for one in encodings]), digest)
    passages = Vectors(first.passages.spans, select_rows(spaces, [one.passages.rows for one in encodings]), digest)
    return replace(first, track=track, passages=passages)


def _places(name: str, model: str, held: Mapping[str, Collection[str]]) -> list[tuple[str, str]]:
    """The model and the short name of the space that a name is of; none if it is unknown. Raises UsageError."""
    found = _candidates(name, model, held)
    if len(found) > 1:
        full = [f"{one}/{space}" for one, space in found]
        raise UsageError(f"{len(found)} models have a space {name}; write {', '.join(full[:-1])} or {full[-1]}")
    return found


def _candidates(name: str, model: str, held: Mapping[str, Collection[str]]) -> list[tuple[str, str]]:
    """The spaces that a name may be of, by the first rule that finds any."""
    prefix, slash, short = name.rpartition("/")
    if not slash:
        if name in held.get(model, ()):
            return [(model, name)]
        return [(other, name) for other, spaces in held.items() if name in spaces]
    if short in held.get(prefix, ()):
        return [(prefix, short)]
    return [(other, short) for other, spaces in held.items() if other.startswith(f"{prefix}-") and short in spaces]


def encode_with(
    models: Sequence[Model], path: Path, *, start: float = 0.0, end: float | None = None, label: str | None = None
) -> list[Encoding]:
    """Encode a file, or a region of it in seconds, with several models. A backbone that they share runs once.

    Args:
        models: The models.
        path: The file.
        start: Start of the region.
        end: End of the region; None is the end of the file.
        label: Name of the track in the result; the default is the path.

    Raises:
        AudioError: The file cannot be read.

    Example:
        >>> [one.track.rows["melody"].shape for one in encode_with([compact, dsp], Path("song.wav"))]
        [(1, 256), (1, 128)]
    """
    # Models on other weights of a backbone, whose versions differ, cannot share its features.
    shared: list[tuple[dict[str, Backbone], list[int]]] = []
    for number, model in enumerate(models):
        for backbones, members in shared:
            if all(name not in backbones or backbones[name].version == one.version
                   for name, one in model.backbones.items()):  # fmt: skip
                backbones |= model.backbones
                members.append(number)
                break
        else:
            shared.append((dict(model.backbones), [number]))
    features: dict[int, RecordingFeatures] = {}
    for backbones, members in shared:
        found = extract(backbones, path, start=start, end=end, label=label)
        features |= dict.fromkeys(members, found)
    return [model.encode_features(features[number]) for number, model in enumerate(models)]


def _label(model: str, space: str, asked: str, held: Mapping[str, Collection[str]]) -> str:
    """The name that answers to a request with the model `asked` give to a space: the shortest one that is only its."""
    return space if _candidates(space, asked, held) == [(model, space)] else f"{model}/{space}"


def name_in_answers(name: str, model: str, held: Mapping[str, Collection[str]]) -> str | None:
    """Return what answers call the space that a request names.

    Args:
        name: A name of a space, as in weights.
        model: The name of the model of the request.
        held: The short names of the spaces of every model that may be used.

    Returns:
        The name; None if no model has such a space, or several have it.

    Example:
        >>> name_in_answers("dsp/melody", "compact", {"compact": ["melody"], "dsp": ["melody", "tempo"]})
        'dsp/melody'
        >>> name_in_answers("dsp/tempo", "compact", {"compact": ["melody"], "dsp": ["melody", "tempo"]})
        'tempo'
    """
    found = _candidates(name, model, held)
    return _label(*found[0], model, held) if len(found) == 1 else None


def installed_spaces() -> dict[str, list[str]]:
    """Return the short names of the spaces of every installed model.

    Raises:
        ModelError: A model cannot be read.

    Example:
        >>> installed_spaces()["dsp"]
        ['melody', 'rhythm', 'timbre', 'harmony']
    """
    return {name: [space.name for space in load_recipe(name).spaces] for name in installed_models()}
