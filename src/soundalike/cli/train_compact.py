"""`soundalike train compact`: the model `compact`, from rendered triplets or from nothing."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.cli import show
from soundalike.cli.main import INTERRUPTED
from soundalike.cli.parser import whole_number
from soundalike.cli.train import curves_json, failed_json, print_accuracies, tell_epoch
from soundalike.core.errors import one_line

if TYPE_CHECKING:
    from argparse import _SubParsersAction

__all__ = ["add_compact", "run_compact"]

_ABOUT = """\
Make the model `compact`: render triplets, teach small networks what is played in them (the leading pitch, the notes and
the chord, where drums and notes begin, what plays, all of which the renderer knows), hear every clip with the networks,
and fit a projection for each factor. Every step goes on where it was. Needs torch, and for rendering FluidSynth:
pip install 'soundalike[render,train]'.

  soundalike train compact --out mine --work scratch
  soundalike train compact --out mine --work scratch --renders triplets       with what `soundalike render` wrote
  SOUNDALIKE_COMPACT=mine soundalike search song.mp3 --model mine             after: index, likewise
"""


def add_compact(
    subparsers: _SubParsersAction[argparse.ArgumentParser], common: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add `compact`. `common` adds what all commands share: `--json`."""
    parser = subparsers.add_parser(
        "compact",
        help="the model compact: networks and projections, from rendered triplets",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common(parser)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="where to write the model")
    add("--work", type=Path, required=True, metavar="DIR", help="where the steps keep what they made")
    add("--renders", type=Path, metavar="DIR", help="output of `soundalike render` (default: rendered in WORK)")
    add("--folders", type=whole_number, default=1000, metavar="N", help="to render of each factor (default: 1000)")
    add("--render-seed", type=partial(whole_number, lowest=0), default=8, metavar="N", help="default: 8")
    add("--tunes", type=Path, metavar="PATH", help="folder or archive of MIDI files with melodies, to render")
    add("--grooves", type=Path, metavar="PATH", help="folder or archive of MIDI files with drumming, to render")
    add("--start", type=Path, metavar="WORK", help="that of another run, whose networks learn on")
    add("--epochs", type=whole_number, metavar="N", help="of each network (default: as the bundled model has them)")
    add("--device", default="cpu", help="cpu, or cuda where there is a GPU (default: cpu)")
    add("--seed", type=partial(whole_number, lowest=0), default=0, metavar="N", help="default: 0")
    add("--jobs", type=whole_number, metavar="N", help="processes to render and to listen with (default: one a core)")
    parser.set_defaults(run=run_compact)


def run_compact(args: argparse.Namespace) -> int:
    """Make the model; 1 if some folders or clips could not be read. Raises UsageError."""
    from soundalike.train.jobs import CompactJob, Progress, train_compact

    job = CompactJob(
        args.out,
        args.work,
        renders=args.renders,
        folders=args.folders,
        render_seed=args.render_seed,
        tunes=args.tunes,
        grooves=args.grooves,
        start=args.start,
        epochs=args.epochs,
        seed=args.seed,
        device=args.device,
    )
    shown = show.Progress("piece", enabled=not args.json)

    def step(what: str) -> None:
        nonlocal shown
        shown.end()
        shown = show.Progress("piece", enabled=not args.json)
        show.message(what, "step")

    try:
        report = train_compact(job, Progress(step, lambda *done: shown(*done), tell_epoch), jobs=args.jobs)
    except KeyboardInterrupt:
        show.message("interrupted: what is done is kept; run it again to go on")
        return INTERRUPTED
    finally:
        shown.end()
    for path, why in report.failed:
        show.message(f"{one_line(path)}: {why}", "failed")
    if args.json:
        show.print_json(
            {
                "out": str(args.out),
                "curves": curves_json(report.curves),
                "test_triplet_accuracy": report.heads.accuracy,
                "failed": failed_json(report.failed),
            }
        )
    else:
        print_accuracies(report.heads.accuracy)
        place = one_line(args.out)
        print(f"model written: {place}; use it with SOUNDALIKE_COMPACT={place} and --model {place}")
    return 1 if report.failed else 0
