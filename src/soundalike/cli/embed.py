"""`soundalike embed`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundalike.api.records.failures import FailureRecord, failure_records
from soundalike.api.records.matches import WarningRecord, warning_records
from soundalike.cli.arguments import (
    GIVEN_PATH,
    LEVEL,
    argument,
    check_folder,
    json_option,
    library_option,
    model_option,
    option,
)
from soundalike.cli.cells import count
from soundalike.cli.commands import command
from soundalike.cli.inputs import chosen_model, one_standard_input, recording
from soundalike.cli.output import Progress, print_json, print_message, print_warnings
from soundalike.cli.suggest import suggest_files
from soundalike.core.errors import AudioError, UsageError, one_line

__all__ = ["embed"]


@dataclass(frozen=True, slots=True)
class EmbedRecord:
    """What was written; `spaces` maps the name of a space to its dims."""

    output: str
    rows: int
    spaces: Mapping[str, int]
    model: str
    digest: str
    failed: Sequence[FailureRecord]
    warnings: Sequence[WarningRecord]


@command("embed")
@argument(
    "audio",
    shell_complete=suggest_files,
    nargs=-1,
    required=True,
    metavar="AUDIO...",
    help="Recordings; - for standard input.",
)
@option("-o", "--output", type=GIVEN_PATH, required=True, metavar="FILE", help="A .npz or .parquet file.")
@option("--by", type=LEVEL, default="passage", help="One row per passage or per track (default: passage).")
@model_option()
@library_option()
@json_option()
def embed(
    audio: Sequence[str], output: Path, by: Any, model: str | None, library_path: Path | None, as_json: bool
) -> int:
    """Write the vectors of recordings to a .npz or .parquet file.

    \b
      soundalike embed *.wav -o vectors.npz
      soundalike embed *.wav -o tracks.parquet --by track

    A .npz file holds the arrays path, start and end, and one float32 array (n, d) per space: unit rows, or zero where a
    passage has no audible content. Load it with numpy.load(FILE, allow_pickle=False). A .parquet file has columns of
    the same names, with a list of d numbers per space, and path_bytes, which is the exact path; it needs
    soundalike[parquet].
    """
    from soundalike.core.types import Span, Vectors
    from soundalike.library.exchange import check_output, write_vectors

    check_output(output)
    check_folder(output)
    one_standard_input(audio)
    parts: list[Vectors] = []
    failed: list[tuple[str, str]] = []
    warnings: list[tuple[str, str]] = []
    seconds = 0.0
    with (
        chosen_model(model, library_path) as chosen,
        Progress("recording", enabled=not as_json and len(audio) > 1) as progress,
    ):
        for done, name in enumerate(audio, start=1):
            try:
                encoding = chosen.encode(recording(name))
            except AudioError as error:
                failed.append((name, str(error)))
                continue
            seconds += encoding.info.duration
            if encoding.warning:
                warnings.append((name, encoding.warning))
            vectors = encoding.at(by)
            spans = tuple(Span(name, span.start, span.end) for span in vectors.spans)
            parts.append(Vectors(spans, vectors.rows, vectors.digest))
            progress(done, len(audio), seconds)
    for name, why in failed:
        print_message(f"{name}: {why}", "failed")
    print_warnings(warnings)
    if not parts:
        raise UsageError(f"none of the {len(audio)} recordings could be read; nothing was written")
    rows = write_vectors(output, parts, chosen.name)
    if as_json:
        dims = {space.name: space.dim for space in chosen.spaces}
        digest = chosen.recipe.digest
        failures, lines = failure_records(failed), warning_records(warnings)
        print_json(EmbedRecord(str(output), rows, dims, chosen.name, digest, failures, lines))
    else:
        print(f"{count(rows, 'row')} of {count(len(parts), 'recording')} written: {one_line(output)}")
    return 1 if failed else 0
