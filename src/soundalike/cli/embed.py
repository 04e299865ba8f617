"""`soundalike embed`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundalike.api.records.failures import FailureRecord, failure_records
from soundalike.api.records.matches import WarningRecord, warning_records
from soundalike.cli.arguments import (
    GIVEN_PATH,
    LEVEL,
    argument,
    check_folder,
    jobs_option,
    json_option,
    library_option,
    model_option,
    option,
    ray_option,
)
from soundalike.cli.cells import count
from soundalike.cli.commands import command
from soundalike.cli.inputs import chosen_model, one_standard_input, recording
from soundalike.cli.output import Progress, print_json, print_message, print_warnings
from soundalike.cli.suggest import suggest_files
from soundalike.core.errors import AudioError, SoundalikeError, UsageError, one_line
from soundalike.core.executors.base import InThisProcess, in_this_process, run_tasks, use_executor
from soundalike.core.object_stores import local_target, name_of

if TYPE_CHECKING:
    from soundalike.core.types import Level, Vectors

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
@option(
    "-o",
    "--output",
    type=GIVEN_PATH,
    required=True,
    metavar="FILE",
    help="A .npz or .parquet file, as a path or a URL.",
)
@option("--by", type=LEVEL, default="passage", help="One row per passage or per track (default: passage).")
@model_option()
@library_option()
@jobs_option()
@ray_option()
@json_option()
def embed(
    audio: Sequence[str],
    output: Path,
    by: Any,
    model: str | None,
    library_path: Path | None,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Write the vectors of recordings to a .npz or .parquet file.

    \b
      soundalike embed *.wav -o vectors.npz
      soundalike embed *.wav -o tracks.parquet --by track

    A .npz file holds the arrays path, start and end, and one float32 array (n, d) per space: unit rows, or zero where a
    passage has no audible content. Load it with numpy.load(FILE, allow_pickle=False). A .parquet file has columns of
    the same names, with a list of d numbers per space, and path_bytes, which is the exact path; it needs
    soundalike[parquet]. Recordings and FILE may be URLs of object stores.
    """
    from soundalike.audio import recording_file
    from soundalike.library.exchange import check_output, write_vectors

    one_standard_input(audio)
    with ExitStack() as stack:
        place = stack.enter_context(local_target(output))
        check_output(place)
        check_folder(place)
        chosen = stack.enter_context(chosen_model(model, library_path))
        tasks: list[_Task] = []
        failed: dict[_Task, str] = {}
        for name in audio:
            task = _Task(chosen.source, name, Path(), by)
            try:  # standard input becomes a file, which has a length
                task = replace(task, path=stack.enter_context(recording_file(recording(name))))
            except AudioError as error:
                failed[task] = str(error)
            tasks.append(task)
        done: dict[_Task, _Embedded] = {}
        waiting = [task for task in tasks if task not in failed]
        with (
            in_this_process(len(tasks) == 1),
            Progress("recording", enabled=not as_json and len(tasks) > 1) as progress,
        ):
            for task, result in _embed_all(waiting, jobs, lambda one, since: progress.wait(Path(one.name), since)):
                if isinstance(result, AudioError):
                    failed[task] = str(result)
                elif isinstance(result, SoundalikeError):
                    raise result
                else:
                    done[task] = result
                progress(len(done) + len(failed), len(tasks), sum(one.seconds for one in done.values()))
        failures = [(task.name, failed[task]) for task in tasks if task in failed]
        warnings = [(task.name, text) for task in tasks if task in done and (text := done[task].warning)]
        for name, why in failures:
            print_message(f"{name}: {why}", "failed")
        print_warnings(warnings)
        if not done:
            raise UsageError(f"none of the {len(tasks)} recordings could be read; nothing was written")
        rows = write_vectors(place, [done[task].vectors for task in tasks if task in done], chosen.name)
    if as_json:
        dims = {space.name: space.dim for space in chosen.spaces}
        digest = chosen.recipe.digest
        listed, lines = failure_records(failures), warning_records(warnings)
        print_json(EmbedRecord(name_of(output), rows, dims, chosen.name, digest, listed, lines))
    else:
        print(f"{count(rows, 'row')} of {count(len(done), 'recording')} written: {one_line(name_of(output))}")
    return 1 if failed else 0


@dataclass(frozen=True, eq=False, slots=True)
class _Task:
    """A recording to encode, as typed; where it is; and what to encode it with."""

    model: str
    name: str
    path: Path
    by: Level


@dataclass(frozen=True, eq=False, slots=True)
class _Embedded:
    """The vectors of a recording, its seconds, and what could not be decoded."""

    vectors: Vectors
    seconds: float
    warning: str | None


def _embed_all(
    tasks: Sequence[_Task], jobs: int | None, waiting: Callable[[_Task, float], None]
) -> Iterator[tuple[_Task, _Embedded | SoundalikeError]]:
    """Encode recordings in workers, but standard input here: other machines do not see its file."""
    for task in tasks:
        if task.name == "-":
            with use_executor(InThisProcess()):
                yield from run_tasks(_embed, [task])
    yield from run_tasks(_embed, [task for task in tasks if task.name != "-"], jobs, waiting)


def _embed(task: _Task) -> _Embedded:
    """Run in a worker: encode a recording."""
    from soundalike.core.types import Span, Vectors
    from soundalike.models import load_once

    encoding = load_once(task.model).encode(task.path)
    vectors = encoding.at(task.by)
    spans = tuple(Span(task.name, span.start, span.end) for span in vectors.spans)
    return _Embedded(Vectors(spans, vectors.rows, vectors.digest), encoding.info.duration, encoding.warning)
