"""`soundalike train compact`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.api.records.failures import FailureRecord, failure_records
from soundalike.cli.arguments import GIVEN_PATH, WholeNumber, jobs_option, json_option, option, ray_option, seed_option
from soundalike.cli.commands import command
from soundalike.cli.exit_codes import INTERRUPTED
from soundalike.cli.output import Progress, print_interrupted, print_json, print_message
from soundalike.cli.train.progress import (
    Accuracies,
    Curves,
    curves,
    print_accuracies,
    print_epoch,
    report_failed,
)
from soundalike.core.errors import one_line

if TYPE_CHECKING:
    from soundalike.train.common import Epoch

__all__ = ["compact"]


@dataclass(frozen=True, slots=True)
class CompactRecord:
    """A trained model."""

    out: str
    curves: Curves
    test_triplet_accuracy: Accuracies
    failed: Sequence[FailureRecord]


@command("compact")
@option("--out", type=GIVEN_PATH, required=True, metavar="DIR", help="Where to write the model.")
@option("--work", type=GIVEN_PATH, required=True, metavar="DIR", help="Where to store intermediate results.")
@option("--renders", type=GIVEN_PATH, metavar="DIR", help="What `soundalike render` wrote (default: render into WORK).")
@option(
    "--folders", type=WholeNumber(), default=1000, metavar="N", help="Folders to render per factor (default: 1000)."
)
@option("--render-seed", type=WholeNumber(lowest=0), default=8, metavar="N", help="Seed of the renders (default: 8).")
@option("--tunes", type=GIVEN_PATH, metavar="PATH", help="Folder or archive of MIDI files with melodies to render.")
@option(
    "--grooves", type=GIVEN_PATH, metavar="PATH", help="Folder or archive of MIDI files with drum grooves to render."
)
@option("--start", type=GIVEN_PATH, metavar="WORK", help="Continue from the networks of another run.")
@option("--epochs", type=WholeNumber(), metavar="N", help="Epochs per network (default: those of the bundled model).")
@option("--device", default="cpu", metavar="NAME", help="Device: cpu, or cuda if there is a GPU (default: cpu).")
@seed_option()
@jobs_option()
@ray_option()
@json_option()
def compact(
    out: Path,
    work: Path,
    renders: Path | None,
    folders: int,
    render_seed: int,
    tunes: Path | None,
    grooves: Path | None,
    start: Path | None,
    epochs: int | None,
    device: str,
    seed: int,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Train the model compact: small networks and projections, from rendered triplets.

    The command renders triplets and trains small networks to transcribe them: the leading pitch, the notes and the
    chord, the onsets of drums and notes, and the instruments. The renderer supplies the ground truth. Then every clip
    is encoded with the networks, and one projection is fitted per factor. An interrupted run continues at the step
    where it stopped. Needs soundalike[render,train] and FluidSynth.

    \b
      soundalike train compact --out mine --work scratch
      soundalike train compact --out mine --work scratch --renders triplets
                                         use existing renders
      SOUNDALIKE_COMPACT=mine soundalike index ~/Music --model mine
                                         likewise for search
    """
    from soundalike.train.jobs import CompactJob, train_compact
    from soundalike.train.jobs import Progress as Callbacks

    job = CompactJob(
        out, work, renders=renders, folders=folders, render_seed=render_seed, tunes=tunes, grooves=grooves, start=start,
        epochs=epochs, seed=seed, device=device,
    )  # fmt: skip
    with Progress("piece", enabled=not as_json) as progress:

        def begin_step(name: str) -> None:
            progress.restart()
            print_message(name, "step")

        def show_epoch(network: str, epoch: Epoch) -> None:
            progress.end()
            print_epoch(network, epoch)

        try:
            report = train_compact(job, Callbacks(begin_step, progress, show_epoch), jobs=jobs)
        except KeyboardInterrupt:
            progress.end()
            print_interrupted()
            return INTERRUPTED
    report_failed(report.failed)
    if as_json:
        accuracies = report.heads.accuracy
        print_json(CompactRecord(str(out), curves(report.curves), accuracies, failure_records(report.failed)))
    else:
        print_accuracies(report.heads.accuracy)
        place = one_line(out)
        print(f"model written: {place}; use it with SOUNDALIKE_COMPACT={place} and --model {place}")
    return 1 if report.failed else 0
