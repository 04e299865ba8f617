"""`soundalike train descriptors`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundalike.cli.arguments import GIVEN_PATH, WholeNumber, jobs_option, json_option, option, ray_option, seed_option
from soundalike.cli.commands import command
from soundalike.cli.output import Progress, print_json, print_message
from soundalike.core.errors import one_line

__all__ = ["descriptors"]


@dataclass(frozen=True, slots=True)
class DescriptorsRecord:
    """A fitted tempo. Shares are of validation pieces, 0 to 1; `failed` names pieces without a result."""

    out: str
    seed: int
    train: int
    validation: int
    tempo_right: Mapping[str, float]
    key_sharpness: float
    failed: Sequence[str]


@command("descriptors")
@option("--grooves", type=GIVEN_PATH, required=True, metavar="DIR", help="Folder of the Groove MIDI Dataset.")
@option("--tunes", type=GIVEN_PATH, metavar="PATH", help="Folder or archive of MIDI files with melodies to render.")
@option("--out", type=GIVEN_PATH, required=True, metavar="DIR", help="Where to write the weights.")
@option("--work", type=GIVEN_PATH, required=True, metavar="DIR", help="Where to store intermediate results.")
@option("--pieces", type=WholeNumber(), default=500, metavar="N", help="Training pieces of each kind (default: 500).")
@seed_option("Seed of the music and of the fit (default: 0).")
@jobs_option()
@ray_option()
@json_option()
def descriptors(
    grooves: Path, tunes: Path | None, out: Path, work: Path, pieces: int, seed: int, jobs: int | None, as_json: bool
) -> int:
    """Fit the estimator of the tempo to music that is rendered for it.

    The music has six kinds: human drumming, loops of drum patterns at usual tempi, the most common ones of these, whole
    scenes, metronomes, and noise without a tempo. Drummers and patterns of the validation pieces are not in the
    training pieces. The command writes tempo.safetensors, for all models. An interrupted run continues. Needs
    soundalike[render,train] and FluidSynth.

    \b
      soundalike train descriptors --grooves groove --out fitted --work scratch
    """
    from soundalike.train.jobs import DescriptorsJob, train_descriptors

    job = DescriptorsJob(out, work, grooves, pieces=pieces, tunes=tunes, seed=seed)
    with Progress("piece", enabled=not as_json) as progress:

        def begin_step(name: str) -> None:
            progress.restart()
            if not as_json:
                print_message(name, "step")

        report = train_descriptors(job, jobs=jobs, step=begin_step, progress=progress)
    record = DescriptorsRecord(
        out=str(out),
        seed=seed,
        train=report.pieces[0],
        validation=report.pieces[1],
        tempo_right=report.tempo_right,
        key_sharpness=report.key_sharpness,
        failed=[f"{name}: {reason}" for name, reason in report.failed],
    )
    if as_json:
        print_json(record)
    else:
        print(f"{record.train:,} training and {record.validation:,} validation pieces, of which the tempo is right in:")
        for kind, share in record.tempo_right.items():
            print(f"{kind:10} {100 * share:.1f} %")
        print(f"key: the most likely sharpness is {record.key_sharpness:.1f}")
        print(f"weights written: {one_line(out)}")
    return 1 if record.failed else 0
