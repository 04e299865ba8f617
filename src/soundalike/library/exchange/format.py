"""The export format: a library as a folder of Parquet files, for other tools and for `library import`.

`library.json` describes the content. `tracks.parquet` has one line per track, `passages.parquet` one line per passage,
and `failures.parquet` the unreadable files. The `number` of a track is its line, from 0. Tracks are sorted by their row
positions, and copies of a file are adjacent: the first one holds what they share (rows, fingerprint), and `rows_of` of
the others refers to it. Vectors are columns named `model/space`, null where the model has not encoded the track.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soundalike.audio import HOP, WINDOW
from soundalike.core.errors import UsageError
from soundalike.core.files import read_json, write_json
from soundalike.core.names import check_name, check_unique
from soundalike.core.types import FloatArray
from soundalike.library.exchange.parquet import load_pyarrow

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "FILES",
    "MANIFEST",
    "TRACK_COLUMNS",
    "ExportedModel",
    "Manifest",
    "first_bad_row",
    "read_manifest",
    "reading",
    "schema",
    "upgrade_track",
]

MAGIC = "soundalike-library"
FORMAT = 3
MANIFEST = "library.json"
FILES = (MANIFEST, "tracks.parquet", "passages.parquet", "failures.parquet")
"""All files of an export."""
_TOLERANCE = 1e-3
"""The largest accepted difference of the length of an audible row from 1."""

TRACK_COLUMNS: Mapping[str, tuple[str, bool]] = {
    "size": ("int64", False),
    "mtime_ns": ("int64", False),
    "content_hash": ("string", False),
    "audio_hash": ("string", False),
    "duration": ("double", False),
    "rate": ("int64", False),
    "channels": ("int64", False),
    "codec": ("string", False),
    "title": ("string", True),
    "artists": ("strings", False),
    "album": ("string", True),
    "album_artist": ("string", True),
    "genres": ("strings", False),
    "year": ("int64", True),
    "bpm_tag": ("double", True),
    "key_tag": ("string", True),
    "tempo": ("double", True),
    "tempo_confidence": ("double", True),
    "key": ("string", True),
    "key_confidence": ("double", True),
    "meter": ("string", True),
    "meter_confidence": ("double", True),
    "described_by": ("string", True),
    "loudness": ("double", True),
    "silent": ("bool", False),
    "missing": ("bool", False),
    "unreadable": ("bool", False),
    "warning": ("string", True),
    "tags_version": ("int64", False),
    "bit_rate": ("int64", True),
}
"""The fields of a `Track` other than its path: their type, and whether they may be null."""
_SINCE_FORMAT_2 = frozenset({
    "artists", "genres", "album_artist", "tempo_confidence", "meter_confidence", "described_by", "warning",
    "tags_version",
})  # fmt: skip
_SINCE_FORMAT_3 = frozenset({"bit_rate"})
_ONLY_FORMAT_1: Mapping[str, tuple[str, bool]] = {"artist": ("string", True), "genre": ("string", True)}


def track_columns(version: int) -> Mapping[str, tuple[str, bool]]:
    """The columns of tracks in a format, as `TRACK_COLUMNS` lists those of the current one."""
    newer = (_SINCE_FORMAT_2 if version < 2 else frozenset()) | (_SINCE_FORMAT_3 if version < 3 else frozenset())
    columns = {name: kind for name, kind in TRACK_COLUMNS.items() if name not in newer}
    return {**columns, **_ONLY_FORMAT_1} if version == 1 else columns


def upgrade_track(row: Mapping[str, Any], version: int) -> dict[str, Any]:
    """The values of a line of tracks, of any format, under the names of `TRACK_COLUMNS`."""
    values = {name: row.get(name) for name in TRACK_COLUMNS}
    if version == 1:
        values["tags_version"] = 0
        for name in ("artist", "genre"):
            values[f"{name}s"] = [] if row[name] is None else [row[name]]
    return values


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """A model in an export: the digest of its recipe, its source, and the dims d of its spaces by short name."""

    name: str
    digest: str
    source: str
    spaces: Mapping[str, int]

    def columns(self) -> dict[str, int]:
        """The dims d by full name, `model/space`."""
        return {f"{self.name}/{space}": dim for space, dim in self.spaces.items()}


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of `library.json`: the number of lines of each file, the models, and the format."""

    tracks: int
    passages: int
    failures: int
    models: tuple[ExportedModel, ...]
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Write `library.json`. Raises UsageError."""
        models = [
            {
                "name": model.name,
                "digest": model.digest,
                "source": model.source,
                "spaces": [
                    {"name": name, "dim": dim, "levels": ["track", "passage"]} for name, dim in model.spaces.items()
                ],
            }
            for model in self.models
        ]
        counts = {"tracks": self.tracks, "passages": self.passages, "failures": self.failures}
        grid = {"passage_seconds": WINDOW, "hop_seconds": HOP}
        write_json(folder / MANIFEST, {"magic": MAGIC, "format": FORMAT, **counts, **grid, "models": models})


def read_manifest(folder: Path) -> Manifest:
    """Read `library.json`. Raises UsageError if it is missing, invalid, of a newer format, or of another grid."""
    path = folder / MANIFEST
    if not path.is_file():
        raise UsageError(
            f"{folder} holds no exported library (no {MANIFEST}); make one with: soundalike library export"
        )
    body = read_json(path)
    if not isinstance(body, dict) or body.get("magic") != MAGIC:
        raise UsageError(f"{path} does not describe an exported library (no magic {MAGIC!r})")
    version = body.get("format")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= FORMAT:
        raise UsageError(f"{path}: format {version!r}, this version reads up to {FORMAT}; upgrade soundalike")
    if (grid := (body.get("passage_seconds"), body.get("hop_seconds"))) != (WINDOW, HOP):
        raise UsageError(f"{path}: passages of {grid[0]} s every {grid[1]} s, expected {WINDOW:g} s every {HOP:g} s")
    with reading(path):
        models = tuple(_model(entry) for entry in _of(list, body["models"]))
        check_unique("model", (model.name for model in models))
        return Manifest(_count(body["tracks"]), _count(body["passages"]), _count(body["failures"]), models, version)


def _model(entry: Mapping[str, Any]) -> ExportedModel:
    spaces: dict[str, int] = {}
    for space in _of(list, entry["spaces"]):
        if sorted(space["levels"]) != ["passage", "track"]:
            raise ValueError(f"levels {space['levels']!r}, expected track and passage")
        if spaces.setdefault(check_name("space", space["name"]), _count(space["dim"])) < 1 or space["dim"] > 1 << 16:
            raise ValueError(f"a space of {space['dim']} dims")
    if len(spaces) != len(entry["spaces"]) or not spaces:
        raise ValueError(f"the spaces of {entry['name']!r} are empty or not unique")
    check_unique("space", spaces)
    return ExportedModel(
        check_name("model", entry["name"]), _of(str, entry["digest"]), _of(str, entry["source"]), spaces
    )


def _of(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"found {value!r}, expected a {kind.__name__}")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"found {value!r}, expected a whole number of at least 0")
    return value


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors in a file that others may have written into a UsageError of one line."""
    pa = load_pyarrow()
    try:
        yield
    except KeyError as error:
        raise UsageError(f"{path} is invalid: {error.args[0]} is missing; export the library again") from error
    except OSError as error:
        # pyarrow raises OSError too for data that it cannot decompress.
        why = error.strerror or str(error).partition("\n")[0]
        raise UsageError(f"{path} cannot be read: {why}; export the library again") from error
    except (ValueError, TypeError, pa.ArrowException) as error:  # UnicodeDecodeError is a ValueError
        why = str(error).partition("\n")[0]
        raise UsageError(f"{path} is invalid: {why}; export the library again") from error


def schema(name: str, models: Sequence[ExportedModel], version: int = FORMAT) -> pa.Schema:
    """The columns of the file `name` (tracks, passages or failures) in a format."""
    pa = load_pyarrow()

    def column(name: str, kind: Any, nullable: bool = False) -> Any:
        return pa.field(name, kind, nullable=nullable)

    def kind_of(kind: str) -> Any:
        return pa.list_(pa.string()) if kind == "strings" else pa.type_for_alias(kind)

    vectors = [column(full, pa.list_(pa.float32()), True) for model in models for full in model.columns()]
    if name == "passages":
        return pa.schema([column("track", pa.int64()), column("index", pa.int64()), *vectors])
    if name == "failures":
        numbers = [column(name, pa.int64()) for name in ("size", "mtime_ns")]
        return pa.schema([column("path", pa.binary()), *numbers, column("message", pa.string())])
    return pa.schema(
        [
            column("number", pa.int64()),
            column("root", pa.binary()),
            column("path", pa.binary()),
            column("shown_path", pa.string()),
            *(column(name, kind_of(kind), nullable) for name, (kind, nullable) in track_columns(version).items()),
            column("encoded_by", pa.list_(pa.string())),
            column("rows_of", pa.int64(), True),
            column("passages", pa.int64()),
            column("fingerprint", pa.list_(pa.uint32()), True),
            *([column("fingerprint_version", pa.int64())] if version > 1 else []),
            *vectors,
        ]
    )


def first_bad_row(rows: FloatArray) -> tuple[int, str] | None:
    """The first of the rows (n, d) that is neither a unit vector nor zero, and what is wrong; None if there is none."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    bad = ~(np.abs(lengths - 1) <= _TOLERANCE) & rows.any(axis=1)
    if not bad.any():
        return None
    at = int(bad.argmax())
    return at, f"of length {lengths[at]:.4g}" if np.isfinite(rows[at]).all() else "not finite"
