"""How a library lies in Milvus: three collections, and what their entities hold.

`NAME_track` and `NAME_passage` have one entity per row position. Its `vector` is the rows of all spaces of all models,
one after the other, each followed by a presence coordinate (1 where it is audible), so that one inner product is the
score (`models/score.py`). `silent` has one bit per space, as hexadecimal digits, and is empty where all are audible;
`checksum` is the CRC-32 of the vector.

`NAME_catalog` holds texts by number, in parts that fit into a field. Number 0 is the manifest: the models, and how many
texts and rows are committed. What lies beyond was written by a push that was interrupted, and does not count.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from soundalike.core.errors import LibraryError
from soundalike.core.types import LEVELS, BoolArray, FloatArray, Level
from soundalike.library.stores.milvus_server import INDEXES, MOST, Field, MilvusServer
from soundalike.library.stores.row_checksums import row_checksums
from soundalike.models import presence

__all__ = [
    "CATALOG",
    "Layout",
    "Manifest",
    "StoredModel",
    "create_collections",
    "delete_ranges",
    "open_collections",
    "open_levels",
    "read_texts",
    "write_rows",
    "write_texts",
]

CATALOG = "catalog"
MAGIC, FORMAT = "soundalike-milvus", 1
_TEXT = 60_000
"""Characters per part; Milvus allows texts of 65,535 bytes."""
_PARTS = 256
_WIDEST = 32_768
"""The most dims of a vector in Milvus."""
_BYTES = 1 << 23
"""The approximate size of a request."""
_NUMBERS = 512
_RANGES = 64
_CATALOG_FIELDS = (Field("parts", "INT64"), Field("text", "VARCHAR", 65_535), Field("vector", "FLOAT_VECTOR", 2))


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model whose rows are stored: the digest of its recipe, its source, and the dims of its spaces by short name."""

    name: str
    digest: str
    source: str
    spaces: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the rows of each space lie in a vector: `start` by full name, and `dims`; presence follows each row."""

    start: Mapping[str, int]
    dims: Mapping[str, int]
    width: int

    @classmethod
    def of(cls, models: Sequence[StoredModel]) -> Self:
        """The layout for some models. Raises LibraryError if their spaces have too many dims for Milvus."""
        dims = {f"{model.name}/{space}": dim for model in models for space, dim in model.spaces.items()}
        ends = np.cumsum([dim + 1 for dim in dims.values()]).tolist()
        width = ends[-1] if ends else 0
        if not 2 <= width <= _WIDEST:
            raise LibraryError(f"the spaces have {width:,} dims together, and Milvus stores 2 to {_WIDEST:,}")
        return cls({full: end - dim - 1 for (full, dim), end in zip(dims.items(), ends, strict=True)}, dims, width)

    def fields(self) -> tuple[Field, ...]:
        """The fields of a collection of rows."""
        return (
            Field("silent", "VARCHAR", 1024),
            Field("checksum", "INT64"),
            Field("vector", "FLOAT_VECTOR", self.width),
        )

    def join(self, count: int, rows: Mapping[str, FloatArray]) -> tuple[FloatArray, BoolArray]:
        """Put rows (n, d) by full name together, as vectors (n, width), and say which are silent, (n, spaces).

        Spaces that are not given are silent.
        """
        vectors, silent = np.zeros((count, self.width), np.float32), np.ones((count, len(self.dims)), np.bool_)
        for number, (full, dim) in enumerate(self.dims.items()):
            if full in rows:
                start, on = self.start[full], presence(rows[full])
                vectors[:, start : start + dim] = rows[full]
                vectors[:, start + dim] = on
                silent[:, number] = ~on
        return vectors, silent

    def take(self, full: str, vectors: FloatArray) -> FloatArray:
        """The rows (n, d) of a space in vectors (n, width)."""
        return vectors[:, self.start[full] : self.start[full] + self.dims[full]]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is committed: the models, the index, the texts below `texts` without those `dropped`, and the rows below
    `rows` of each level.
    """

    models: tuple[StoredModel, ...]
    index: str = "FLAT"
    texts: int = 1
    rows: Mapping[Level, int] = field(default_factory=lambda: dict.fromkeys(LEVELS, 0))
    dropped: frozenset[int] = frozenset()
    generation: int = 0

    def write(self, server: MilvusServer) -> None:
        """Commit it. Raises LibraryError."""
        models = [
            {"name": one.name, "digest": one.digest, "source": one.source, "spaces": list(one.spaces.items())}
            for one in self.models
        ]
        text = json.dumps({
            "magic": MAGIC, "format": FORMAT, "models": models, "index": self.index, "texts": self.texts,
            "rows": self.rows, "dropped": sorted(self.dropped), "generation": self.generation,
        })  # fmt: skip
        write_texts(server, {0: text})

    @classmethod
    def read(cls, server: MilvusServer) -> Self | None:
        """The manifest of a library; None if there is no such library.

        Raises:
            LibraryError: It cannot be read, or is of another kind or a newer format.
        """
        if not server.has(CATALOG):
            return None
        server.open(CATALOG, _CATALOG_FIELDS)
        found = dict(read_texts(server, 0, 1))
        if not found:
            return None
        where = f"{server.address} holds no library of soundalike"
        try:
            body = json.loads(found[0])
            if body["magic"] != MAGIC:
                raise LibraryError(f"{where}; use another name")
            if body["format"] > FORMAT:
                raise LibraryError(
                    f"{server.address} has format {body['format']}, this version reads {FORMAT}; upgrade"
                )
            models = tuple(
                StoredModel(one["name"], one["digest"], one["source"], {name: int(dim) for name, dim in one["spaces"]})
                for one in body["models"]
            )
            rows: dict[Level, int] = {level: int(body["rows"][level]) for level in LEVELS}
            if body["index"] not in INDEXES:
                raise ValueError(body["index"])
            dropped = frozenset(int(number) for number in body["dropped"])
            return cls(models, body["index"], int(body["texts"]), rows, dropped, int(body["generation"]))
        except (ValueError, TypeError, KeyError) as error:
            raise LibraryError(f"{where} that can be read ({error}); push it again under another name") from error


def create_collections(server: MilvusServer, models: Sequence[StoredModel], index: str) -> Manifest:
    """Make the collections of a library that has none, or finish making them. Raises LibraryError."""
    fields = Layout.of(models).fields()
    for level in LEVELS:
        if server.has(level):
            server.open(level, fields)
        else:
            server.create(level, fields, index)
    if not server.has(CATALOG):
        server.create(CATALOG, _CATALOG_FIELDS, "FLAT")
    manifest = Manifest(tuple(models), index)
    manifest.write(server)
    return manifest


def open_collections(server: MilvusServer) -> Manifest:
    """Open a library for reading. Raises LibraryError if there is none, or a collection is not as expected."""
    manifest = Manifest.read(server)
    if manifest is None:
        raise LibraryError(f"there is no library at {server.address}; make one with: soundalike library push")
    open_levels(server, manifest)
    return manifest


def open_levels(server: MilvusServer, manifest: Manifest) -> None:
    """Open the rows of a library whose manifest was read. Raises LibraryError if a collection is not as expected."""
    fields = Layout.of(manifest.models).fields()
    for level in LEVELS:
        server.open(level, fields)


def write_texts(server: MilvusServer, texts: Mapping[int, str]) -> None:
    """Write texts of ASCII by number. Raises LibraryError if one is longer than fits, or cannot be written."""
    batch: list[dict[str, Any]] = []
    size = 0
    for number, text in texts.items():
        parts = [text[low : low + _TEXT] for low in range(0, len(text), _TEXT)]
        if len(parts) > _PARTS:
            raise LibraryError(f"an entry of the catalogue has {len(text):,} characters, too many for Milvus")
        if batch and size + len(text) > _BYTES:
            server.upsert(CATALOG, batch)
            batch, size = [], 0
        size += len(text)
        batch += [
            {"id": number * _PARTS + at, "parts": len(parts), "text": part, "vector": [0.0, 0.0]}
            for at, part in enumerate(parts)
        ]
    server.upsert(CATALOG, batch)


def read_texts(server: MilvusServer, first: int, end: int) -> Iterator[tuple[int, str]]:
    """The complete texts with the numbers `first` to `end` - 1, in order. Raises LibraryError."""
    for low in range(first, end, _NUMBERS):
        high = min(low + _NUMBERS, end)
        found = _parts(server, low, high)
        for number in range(low, high):
            count = found.get((number, 0), (0, ""))[0]
            texts = [found[number, at][1] for at in range(count) if (number, at) in found]
            if texts and len(texts) == count:
                yield number, "".join(texts)


def _parts(server: MilvusServer, low: int, high: int) -> dict[tuple[int, int], tuple[int, str]]:
    """The parts of texts by number and place: the number of parts, and the text."""
    condition = f"id >= {low * _PARTS} and id < {high * _PARTS}"
    found = server.query(CATALOG, condition, ["parts", "text"])
    if len(found) >= MOST and high - low > 1:  # long texts: more parts than one answer holds
        middle = (low + high) // 2
        return _parts(server, low, middle) | _parts(server, middle, high)
    return {divmod(int(one["id"]), _PARTS): (int(one["parts"]), str(one["text"])) for one in found}


def delete_ranges(server: MilvusServer, part: str, ranges: Sequence[tuple[int, int]]) -> None:
    """Delete rows by positions, or texts by numbers, each given as first and end. Raises LibraryError."""
    per = _PARTS if part == CATALOG else 1
    for low in range(0, len(ranges), _RANGES):
        conditions = [f"(id >= {first * per} and id < {end * per})" for first, end in ranges[low : low + _RANGES]]
        server.delete(part, " or ".join(conditions))


def write_rows(server: MilvusServer, level: Level, first: int, vectors: FloatArray, silent: BoolArray) -> None:
    """Write vectors (n, width) at positions `first`..., with which of their spaces are silent. Raises LibraryError."""
    step = max(1, _BYTES // (4 * vectors.shape[1]))
    for low in range(0, len(vectors), step):
        part = vectors[low : low + step]
        texts = [bits.tobytes().hex() if bits.any() else "" for bits in np.packbits(silent[low : low + step], axis=1)]
        sums = row_checksums(part).tolist()
        server.upsert(
            level,
            [
                {"id": first + low + at, "silent": text, "checksum": checksum, "vector": vector}
                for at, (text, checksum, vector) in enumerate(zip(texts, sums, part, strict=True))
            ],
        )
