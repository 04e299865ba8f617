"""`soundalike embed`."""

from __future__ import annotations

import argparse

from soundalike.cli import show
from soundalike.cli.inputs import check_folder, chosen_model, recording
from soundalike.core.errors import AudioError, UsageError, one_line
from soundalike.core.types import Span, Vectors
from soundalike.library.exchange import check_output, write_vectors

__all__ = ["run_embed"]


def run_embed(args: argparse.Namespace) -> int:
    """Encode recordings into one file; a bad one is listed and the rest is written: 1."""
    check_output(args.output)
    check_folder(args.output)
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
    rows = write_vectors(args.output, parts, model.name)
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
