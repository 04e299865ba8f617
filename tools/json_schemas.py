"""Write a JSON Schema for what every command prints with --json: python tools/json_schemas.py [docs/schemas].

The schemas follow from the records of the commands, so they cannot differ from what is printed.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import json
import sys
import types
import typing
from importlib import import_module
from pathlib import Path
from typing import Any

RECORDS = {
    "index": "api.records.index:IndexRecord",
    "search": "api.records.search:SearchRecord",
    "compare": "api.records.comparison:ComparisonRecord",
    "path": "api.records.journeys:PathRecord",
    "playlist": "api.records.journeys:PlaylistRecord",
    "duplicates": "api.records.duplicates:DuplicatesRecord",
    "versions": "api.records.versions:VersionsRecord",
    "embed": "cli.embed:EmbedRecord",
    "presets": "cli.presets:PresetsRecord",
    "demo": "cli.demo:DemoRecord",
    "render": "cli.render:RenderRecord",
    "train-weights": "cli.train.weights:LearnedPresetRecord",
    "render-songs": "cli.render_songs:RenderSongsRecord",
    "library-info": "cli.library.info:InfoRecord",
    "library-ls": "cli.library.ls:TracksRecord",
    "library-show": "api.records.tracks:TrackDetailsRecord",
    "library-tags": "cli.library.tags:TagsRecord",
    "library-remove": "api.records.remove:RemoveRecord",
    "library-move": "cli.library.move:MoveRecord",
    "library-failures": "cli.library.failures:FailuresRecord",
    "library-check": "cli.library.check:CheckRecord",
    "library-vacuum": "cli.library.vacuum:VacuumRecord",
    "library-export": "cli.library.export:VectorsRecord cli.library.export:FolderRecord",
    "library-import": "cli.library.import_:ImportRecord",
    "library-push": "cli.library.push:PushRecord",
    "library-pull": "cli.library.pull:PullRecord",
    "list": "cli.list:ListRecord",
    "models-install": "cli.models.install:InstallRecord",
    "models-remove": "cli.models.remove:RemovedRecord",
    "separate": "cli.separate:SeparateRecord",
    "separators-install": "cli.separators.install:SeparatorInstallRecord",
    "separators-remove": "cli.separators.remove:SeparatorRemovedRecord",
    "reproduce-merit": "cli.reproduce:ReproductionRecord",
    "reproduce-instrument-weights": "cli.reproduce:ReproductionRecord",
    "reproduce-concepts": "cli.reproduce:ReproductionRecord",
    "reproduce-instrument-similarity": "cli.reproduce:ReproductionRecord",
    "train-compact": "cli.train.compact:CompactRecord",
    "train-dsp": "cli.train.dsp:DspRecord",
    "train-descriptors": "cli.train.descriptors:DescriptorsRecord",
    "train-instruments": "cli.train.instruments:InstrumentsRecord",
    "train-heads": "cli.train.heads:HeadsRecord",
    "train-concepts": "cli.train.concepts_library:LibraryConceptsRecord "
    "cli.train.concepts_network:ConceptNetworkRecord",
    "train-embed": "cli.train.embed:EmbedRecord",
    "train-merge": "cli.train.merge:MergeRecord",
    "error": "cli.records:ErrorRecord",
}
"""The record of each command, or the records one of which it prints, by the name of its schema."""

_NAMES = (
    "soundalike.core.types",
    "soundalike.library",
    "soundalike.api.records.failures",
    "soundalike.api.records.matches",
)
"""Modules whose names annotations use without importing them at run time."""
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def schema_of(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what a command prints.

    Args:
        name: A key of `RECORDS`.
    """
    from soundalike.cli.output import SCHEMA_VERSION

    definitions: dict[str, Any] = {}
    version = {"const": f"{name}/{SCHEMA_VERSION}", "description": "The schema of this document."}
    bodies = []
    for place in RECORDS[name].split():
        module, _, record = place.partition(":")
        body = _object(getattr(import_module(f"soundalike.{module}"), record), definitions)
        body["properties"] = {"schema": version, **body["properties"]}
        body["required"] = ["schema", *body["required"]]
        bodies.append(body)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        **(bodies[0] if len(bodies) == 1 else {"oneOf": bodies}),
        **({"$defs": dict(sorted(definitions.items()))} if definitions else {}),
    }


def _object(record: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(record, globalns={**_namespace(), **_names_of_classes(record)})
    is_record = dataclasses.is_dataclass(record)
    names = [field.name for field in dataclasses.fields(record)] if is_record else list(hints)
    return {
        "type": "object",
        "description": inspect.cleandoc(record.__doc__ or ""),
        "properties": {name: _type(hints[name], definitions) for name in names},
        "required": names if is_record else sorted(record.__required_keys__),
        "additionalProperties": False,
    }


def _type(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return {}
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if hint is Path:
        return {"type": "string"}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_type(one, definitions) for one in arguments]}
    if origin is tuple and arguments[-1] is not Ellipsis:
        items = [_type(one, definitions) for one in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if origin in (collections.abc.Sequence, list, tuple):
        return {"type": "array", "items": _type(arguments[0], definitions)}
    if origin in (collections.abc.Mapping, dict):
        return {"type": "object", "additionalProperties": _type(arguments[1], definitions)}
    if dataclasses.is_dataclass(hint):
        name = hint.__name__
        if name not in definitions:
            definitions[name] = {}  # a record may contain itself
            definitions[name] = _object(hint, definitions)
        return {"$ref": f"#/$defs/{name}"}
    raise TypeError(f"no JSON Schema for {hint!r}; add it to tools/json_schemas.py")


def _names_of_classes(record: Any) -> dict[str, Any]:
    """The names of the modules that define a class and those above it, which take precedence."""
    names: dict[str, Any] = {}
    for one in reversed(getattr(record, "__mro__", [record])):
        names |= vars(sys.modules[one.__module__])
    return names


def _namespace() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for module in _NAMES:
        face = import_module(module)
        names |= {name: getattr(face, name) for name in getattr(face, "__all__", ())}
    return names


def main() -> int:
    """Write the schemas, one file per command."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/schemas")
    folder.mkdir(parents=True, exist_ok=True)
    for name in RECORDS:
        (folder / f"{name}.json").write_text(json.dumps(schema_of(name), indent=2) + "\n", encoding="utf-8")
    print(f"{len(RECORDS)} schemas: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
