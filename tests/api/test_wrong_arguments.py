"""Every argument of the Python interface refuses values of a wrong type with one clear error."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import soundalike
from soundalike import Example, Library, Query, UsageError

VALUES = {
    "none": None,
    "true": True,
    "int": 3,
    "decimal": 1.5,
    "text": "x",
    "bytes": b"x",
    "list": [1],
    "triple": (1, 2, 3),
    "mapping": {"melody": object()},
    "array": np.zeros(2000),
    "object": object(),
}
# What an argument accepts of these, or refuses with another error, such as text that could be the path of a file; and
# what the message calls the argument.
FLAG = ({"true"}, None)
CALLBACK = ({"none"}, None)
MODEL = ({"none", "text"}, None)
RECORDING = ({"text"}, "recording")
WEIGHTS = ({"none"}, "weight|space")
REGION = ({"none"}, "region")
PATH = ({"text"}, None)
EXAMPLES = ({"none", "text"}, "like|recording")
ARGUMENTS: dict[str, tuple[set[str], str | None]] = {
    **dict.fromkeys(
        ("create", "incomplete", "align", "exclude_same_artist", "include_self", "collapse", "all_copies"), FLAG
    ),
    **dict.fromkeys(("half_double", "store", "retry", "prune", "keep_features", "missing", "repair", "harmonic"), FLAG),
    **dict.fromkeys(("progress", "waiting", "comparing", "separating"), CALLBACK),
    **dict.fromkeys(("path", "old", "new", "Example.path", "Query.path"), PATH),
    **dict.fromkeys(("a", "b", "query", "seed", "recordings"), RECORDING),
    **dict.fromkeys(("at_least", "at_most"), ({"none"}, "bound|percentile")),
    **dict.fromkeys(("threads", "k", "steps", "length", "shortlist"), ({"int"}, None)),
    **dict.fromkeys(("spread", "false_discovery_rate"), (set(), "spread|false.discovery")),
    **dict.fromkeys(("start", "end"), ({"none", "int", "decimal"}, None)),
    "exclude": ({"text"}, "exclude|pattern"),
    "jobs": ({"none", "int"}, None),
    "name": ({"text"}, "model"),
    "compare.model": ({"text"}, None),
    "model": MODEL,
    "weights": WEIGHTS,
    **dict.fromkeys(
        ("Query.weights", "Example.weights", "Library.search_stems.weights", "Library.search_loops.weights"),
        ({"none", "text"}, "weight|space"),
    ),  # of any model
    "where": ({"none"}, "where|condition"),
    "by": ({"none"}, None),
    "Library.embed.by": (set(), None),
    "region": REGION,
    "region_b": REGION,
    "like": EXAMPLES,
    "unlike": EXAMPLES,
    "Example.like": FLAG,
    "examples": (set(), None),
    "hubness": (set(), None),
    "tempo": ({"none"}, None),
    "tempo_step": ({"none", "int", "decimal"}, None),
    "stems": ({"text"}, None),
    "stem": (set(), None),
    "separator": ({"none"}, None),
    "sources": ({"text"}, "source"),
    "paths": ({"text"}, "path"),
    "text": ({"text"}, None),
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "open": soundalike.open,
    "load_model": soundalike.load_model,
    "compare": soundalike.compare,
    "Query": Query,
    "Example": Example,
    "Library": Library,
}
METHODS = [name for name, method in inspect.getmembers(Library, inspect.isfunction) if not name.startswith("_")]


def _cases() -> list[tuple[str, str]]:
    methods = {f"Library.{name}": getattr(Library, name) for name in METHODS}
    return [
        (name, parameter)
        for name, function in (FUNCTIONS | methods).items()
        for parameter in inspect.signature(function).parameters
        if parameter != "self"
    ]


@pytest.fixture(scope="module")
def library(stocked: Path) -> Any:
    """The library of `music`."""
    with soundalike.open(stocked) as opened:
        yield opened


@pytest.mark.parametrize(("function", "parameter"), _cases(), ids=lambda value: str(value))
def test_a_wrong_type_is_one_clear_usage_error(
    library: Library, music: Path, tmp_path: Path, function: str, parameter: str
) -> None:
    accepted, called = ARGUMENTS.get(f"{function}.{parameter}", ARGUMENTS[parameter])
    call = FUNCTIONS.get(function) or getattr(library, function.removeprefix("Library."))
    given: dict[str, Any] = {}
    for one in inspect.signature(call).parameters.values():
        if one.default is inspect.Parameter.empty and one.kind is not inspect.Parameter.VAR_POSITIONAL:
            given[one.name] = tmp_path / "new" if function in ("open", "Library") else music / "up" / "0.wav"
    if "stem" in given:
        given["stem"] = "drums"
    for kind, value in VALUES.items():
        if kind in accepted:
            continue
        if parameter in ("sources", "paths"):
            use = partial(call, value)
        else:
            use = partial(call, *[music] * (function == "Library.index"), **{**given, parameter: value})
        with pytest.raises(UsageError, match=called or parameter) as caught:
            use()
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300, kind
    assert not (tmp_path / "new").exists()


def test_a_flag_and_a_count_may_come_from_numpy(library: Library, music: Path) -> None:
    found = library.search(music / "up" / "0.wav", k=np.int64(2), include_self=np.bool_(True))
    assert len(found) == 2 and found[0].path == str(music / "up" / "0.wav")
    weights = {"melody": np.float32(1)}
    assert library.search(music / "up" / "0.wav", weights=weights, k=1)[0].score is not None
