"""`soundalike train dsp`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from soundalike.cli.arguments import GIVEN_PATH, jobs_option, json_option, option, ray_option, seed_option
from soundalike.cli.commands import command
from soundalike.cli.output import Progress, print_json
from soundalike.cli.table import print_matrix
from soundalike.core.errors import one_line

__all__ = ["dsp"]


@dataclass(frozen=True, slots=True)
class DspRecord:
    """A fitted model: the accuracy, 0 to 1, of each space (first key) on the test folders of each factor."""

    out: str
    seed: int
    held_out_triplet_accuracy: Mapping[str, Mapping[str, float]]


@command("dsp")
@option("--renders", type=GIVEN_PATH, required=True, metavar="DIR", help="What `soundalike render` wrote.")
@option(
    "--recordings",
    type=GIVEN_PATH,
    required=True,
    metavar="DIR",
    help="Folder of recordings with an index.csv (columns include file, source and licence).",
)
@option("--out", type=GIVEN_PATH, required=True, metavar="DIR", help="Where to write the model.")
@seed_option("Seed of the random pairs, and of the split if the renders have none (default: 0).")
@option("--plain", is_flag=True, help="Leave the projections out: the baseline that shows what fitting adds.")
@jobs_option()
@ray_option()
@json_option()
def dsp(renders: Path, recordings: Path, out: Path, seed: int, plain: bool, jobs: int | None, as_json: bool) -> int:
    """Fit the model dsp: standardisation, projection and calibration of fixed descriptors.

    Projections are fitted in closed form on the training and validation folders and evaluated on the test folders. The
    recordings add to the variance between clips, and to the calibration.

    \b
      soundalike render --folders 150 -o triplets
      soundalike train dsp --renders triplets --recordings recordings --out my-dsp
    """
    from soundalike.train.jobs import fit

    with Progress("clip", enabled=not as_json) as progress:
        accuracies = fit(renders, recordings, out, seed, plain=plain, jobs=jobs, progress=progress)
    if as_json:
        print_json(DspRecord(str(out), seed, accuracies))
        return 0
    print("test folders: triplet accuracy in % (chance level 50), one row per space, one column per factor")
    print_matrix(accuracies)
    print(f"model written: {one_line(out)}")
    return 0
