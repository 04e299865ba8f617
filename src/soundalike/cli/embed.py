"""`soundalike embed` and the writing of vectors."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from soundalike.cli import show
from soundalike.cli.inputs import check_folder, chosen_model, recording
from soundalike.errors import AudioError, UsageError, one_line
from soundalike.files import write_whole
from soundalike.types import Span, Vectors

__all__ = ["check_output", "run_embed", "write_npz"]


def run_embed(args: argparse.Namespace) -> int:
    """Encode recordings into one file; a bad one is listed and the rest is written: 1."""
    check_output(args.output)
    if args.audio.count("-") > 1:
        raise UsageError("only one of the recordings can come from standard input")
    parts: list[Vectors] = []
    failed: list[tuple[str, str]] = []
    progress = show.Progress("recording", enabled=not args.json and len(args.audio) > 1)
    seconds = 0.0
    with chosen_model(args) as (model, _):
        for done, name in enumerate(args.audio, start=1):
            try:
                with recording(name) as path:
                    encoding = model.encode(path)
            except AudioError as error:
                failed.append((name, str(error)))
                continue
            seconds += encoding.info.duration
            vectors = encoding.at(args.by)
            parts.append(
                Vectors(tuple(Span(name, s.start, s.end) for s in vectors.spans), vectors.rows, vectors.digest)
            )
            progress(done, len(args.audio), seconds)
    progress.end()
    for name, why in failed:
        show.message(f"{name}: {why}", "failed")
    if not parts:
        raise UsageError(f"none of the {len(args.audio)} recordings could be heard; nothing was written")
    write_npz(args.output, parts)
    rows = sum(len(part) for part in parts)
    if args.json:
        show.print_json(
            {
                "output": str(args.output),
                "rows": rows,
                "spaces": {s.name: s.dim for s in model.spaces},
                "model": model.name,
                "digest": model.recipe.digest,
                "failed": [{"path": name, "error": why} for name, why in failed],
            }
        )
    else:
        print(f"{show.count(rows, 'row')} of {show.count(len(parts), 'recording')} written: {one_line(args.output)}")
    return 1 if failed else 0


def check_output(path: Path) -> None:
    """Refuse early a name that is not for vectors, or a folder that is not there. Raises UsageError."""
    if path.suffix.lower() != ".npz":
        raise UsageError(f"cannot write {path}: this version writes .npz files; give a name that ends in .npz")
    check_folder(path)


def write_npz(path: Path, parts: Sequence[Vectors]) -> None:
    """Write path, start, end and each space's rows, all or nothing. Raises UsageError if it cannot be written."""
    spans = [span for part in parts for span in part.spans]
    arrays = {
        "path": np.array([span.track for span in spans], dtype=np.str_),
        "start": np.array([span.start for span in spans], dtype=np.float64),
        "end": np.array([span.end for span in spans], dtype=np.float64),
        **{name: np.concatenate([part.rows[name] for part in parts]) for name in parts[0].rows},
    }
    write_whole(path, lambda file: np.savez(file, allow_pickle=False, **arrays))
