"""Files of vectors: path, start, end and the rows of every space, as `.npz` or Parquet, by the suffix."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.files import write_atomic
from soundalike.core.types import Vectors
from soundalike.library.exchange.parquet import load_pyarrow, matrix_column, parquet_writer

__all__ = ["SUFFIXES", "check_output", "write_vectors"]

SUFFIXES = (".npz", ".parquet")


def check_output(path: Path) -> None:
    """Raise UsageError if the suffix is unknown, or Parquet is requested without pyarrow."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"cannot write {path}: give a name that ends in .npz or .parquet")
    if path.suffix.lower() == ".parquet":
        load_pyarrow()


def write_vectors(path: Path, parts: Iterable[Vectors], model: str) -> int:
    """Write vectors to a file, all or nothing.

    `.npz` holds the arrays path, start and end, and one (n, d) float32 array per space. `.parquet` holds the same as
    columns, one row group per part, so that only one part is in memory; `path_bytes` holds the exact path, and `path`
    shows bytes that are not UTF-8 as \\xNN. The schema's metadata name the model and its digest.

    Args:
        path: The file.
        parts: At least one part; all of the same model.
        model: The name of the model.

    Returns:
        The number of rows.

    Raises:
        UsageError: The file cannot be written.
    """
    rows = 0

    def counted() -> Iterator[Vectors]:
        nonlocal rows
        for part in parts:
            rows += len(part)
            yield part

    write = _write_parquet if path.suffix.lower() == ".parquet" else _write_npz
    write_atomic(path, lambda file: write(file, counted(), model))
    return rows


def _write_npz(file: BinaryIO, vectors: Iterable[Vectors], _: str) -> None:
    parts = list(vectors)
    spans = [span for part in parts for span in part.spans]
    arrays = {
        "path": np.array([span.track for span in spans], dtype=np.str_),
        "start": np.array([span.start for span in spans], dtype=np.float64),
        "end": np.array([span.end for span in spans], dtype=np.float64),
        **{name: np.concatenate([part.rows[name] for part in parts]) for name in parts[0].rows},
    }
    np.savez(file, allow_pickle=False, **arrays)


def _write_parquet(file: BinaryIO, parts: Iterable[Vectors], model: str) -> None:
    pa = load_pyarrow()
    writer = None
    try:
        for part in parts:
            names = [os.fsencode(span.track) for span in part.spans]
            columns = {
                "path": pa.array([name.decode("utf-8", "backslashreplace") for name in names], pa.string()),
                "path_bytes": pa.array(names, pa.binary()),
                "start": pa.array([span.start for span in part.spans], pa.float64()),
                "end": pa.array([span.end for span in part.spans], pa.float64()),
                **{name: matrix_column(rows) for name, rows in part.rows.items()},
            }
            table = pa.table(columns, metadata={"model": model, "digest": part.digest})
            writer = writer or parquet_writer(file, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
