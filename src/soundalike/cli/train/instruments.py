"""`soundalike train instruments`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from soundalike.cli.arguments import (
    GIVEN_PATH,
    NUMBER,
    WholeNumber,
    check_folder,
    jobs_option,
    json_option,
    option,
    ray_option,
    seed_option,
)
from soundalike.cli.commands import command
from soundalike.cli.exit_codes import INTERRUPTED
from soundalike.cli.output import print_interrupted, print_json, print_message
from soundalike.cli.table import print_table
from soundalike.cli.train.progress import Curves, curves, model_argument, network_progress
from soundalike.core.errors import one_line
from soundalike.core.files import write_atomic
from soundalike.train.common import Precision
from soundalike.train.metric import METHODS, PUBLISHED, SMALL

if TYPE_CHECKING:
    from soundalike.train.jobs.instruments import InstrumentsReport

__all__ = ["instruments"]


@dataclass(frozen=True, slots=True)
class NetworkRecord:
    """A trained network; `found` says whether it was there before, `seconds` how long this run trained it."""

    name: str
    file: str
    found: bool
    seconds: float
    best_epoch: int


@dataclass(frozen=True, slots=True)
class InstrumentsRecord:
    """The networks of a method, in the order of training; `songs` counts those of each subset.

    `out` is the folder of the model, if one was asked for, and `uncalibrated` names the instruments that are audible in
    too few clips to calibrate them.
    """

    work: str
    method: str
    songs: Mapping[str, int]
    networks: Sequence[NetworkRecord]
    curves: Curves
    out: str | None
    separators: str | None
    uncalibrated: Sequence[str]
    failed: Sequence[str]


@command("instruments")
@option(
    "--songs",
    type=GIVEN_PATH,
    required=True,
    metavar="DIR",
    help="Slakh2100, or what `soundalike render songs` wrote, with parts train and validation.",
)
@option("--work", type=GIVEN_PATH, required=True, metavar="DIR", help="Where to keep samples and networks.")
@option(
    "--method",
    type=click.Choice(list(METHODS)),
    required=True,
    metavar="NAME",
    help=f"What to train: {', '.join(METHODS)}.",
)
@option(
    "--small/--published",
    default=True,
    help="Sizes that train on two cores, or those of the paper (default: small).",
)
@option("--paft", "labels", type=GIVEN_PATH, metavar="DIR", help="Tune the networks on the judgements of Inst-Sim-ABX.")
@option("--redux", type=GIVEN_PATH, metavar="FILE", help="The redux.json of slakh-utils: tracks of Slakh2100 to use.")
@option("--recorded", type=GIVEN_PATH, metavar="DIR", help="Recordings with a stems.csv to train on as well.")
@option("--recorded-songs", default="", metavar="SONG,...", help="The songs of --recorded to use (default: all).")
@option("--epochs", type=WholeNumber(), metavar="N", help="Epochs of each network at most.")
@option("--steps", type=WholeNumber(), metavar="N", help="Batches per epoch and instrument.")
@option(
    "--vary-levels",
    type=NUMBER,
    default=0.0,
    metavar="DB",
    help="Change the level of each stem at random, by up to DB up or down, and make rows independent of levels "
    "(default: 0, as published).",
)
@option("--device", default="cpu", metavar="NAME", help="Device: cpu, or cuda if there is a GPU (default: cpu).")
@option("--curves", "curve_file", type=GIVEN_PATH, metavar="FILE", help="Write the learning curves to a CSV file.")
@option("-o", "--out", type=GIVEN_PATH, metavar="DIR", help="Write a model: one space per instrument.")
@option("--name", metavar="NAME", help="Name of the model (default: that of its folder).")
@option("--licence", default="", metavar="SPDX", help="Licence of the weights of the model, such as CC0-1.0.")
@option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="float16",
    help="How the model stores weights; int8 takes a quarter of the space of float32 (default: float16).",
)
@option("--separator", metavar="NAME", help="What makes the stems that a model of the method clean describes.")
@seed_option()
@jobs_option("Number of processes that read and train (default: one per core).")
@ray_option()
@json_option()
def instruments(
    songs: Path,
    work: Path,
    method: str,
    small: bool,
    labels: Path | None,
    redux: Path | None,
    recorded: Path | None,
    recorded_songs: str,
    epochs: int | None,
    steps: int | None,
    vary_levels: float,
    device: str,
    curve_file: Path | None,
    out: Path | None,
    name: str | None,
    licence: str,
    precision: Precision,
    separator: str | None,
    seed: int,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Train networks that describe each instrument of a mix, from songs with stems.

    The methods are those of Imamura et al., 2025: clean (stems), cascade (separators, then extractors), cascade-ft
    (both tuned together), direct, direct-da and direct-reconst (one network for the whole mix). Those that end in
    normal are trained without pseudo-pieces. Every network that a method needs is trained once and kept in WORK, so
    methods share them. An interrupted run continues, with the same result. Needs soundalike[train].

    \b
      soundalike render songs 200 -o songs
      soundalike train instruments --songs songs --work scratch \\
          --method cascade-ft -o band --licence CC0-1.0
      soundalike index ~/Music --model band
      soundalike train instruments --songs slakh2100_flac --work slakh \\
          --published --method direct-reconst --device cuda
    """
    from soundalike.cli.models.clips import calibration_clips
    from soundalike.train.common import use_all_cores
    from soundalike.train.jobs import InstrumentModel, InstrumentsJob, train_instruments

    if recorded_songs and not recorded:
        raise click.UsageError("--recorded-songs needs --recorded", click.get_current_context())
    if out and not licence:
        raise click.UsageError("--out needs --licence, the licence of the weights", click.get_current_context())
    if curve_file:
        check_folder(curve_file)
    use_all_cores()
    usual = SMALL if small else PUBLISHED
    settings = replace(
        usual,
        epochs=epochs or usual.epochs,
        stage_epochs={} if epochs else usual.stage_epochs,
        steps_per_epoch=steps or usual.steps_per_epoch,
        vary_levels=vary_levels,
        network=replace(usual.network, one_level=vary_levels > 0),
        seed=seed,
        device=device,
    )
    chosen = [name for name in recorded_songs.split(",") if name]
    model = None
    if out:
        called = name or out.absolute().name
        model = InstrumentModel(out, called, licence, calibration_clips(), separator, precision)
    job = InstrumentsJob(songs, work, method, settings, redux, {recorded: chosen} if recorded else {}, model, labels)
    try:
        with network_progress("song", quiet=as_json) as progress:
            report = train_instruments(job, progress, jobs=jobs)
    except KeyboardInterrupt:
        print_interrupted()
        return INTERRUPTED
    for song, reason in report.failed:
        print_message(f"{one_line(song)}: {reason}", "failed")
    if curve_file:
        _write_curves(report, curve_file)
    if as_json:
        print_json(_record(work, method, report, out))
    else:
        _print_report(work, report)
        if report.uncalibrated:
            print_message(f"audible in too few clips to calibrate: {', '.join(report.uncalibrated)}", "note")
        if out:
            print(f"model written: {one_line(out)}; try it with --model {model_argument(out)}")
        if report.separators:
            weights = one_line(report.separators)
            print(f"separators written: soundalike separators install unet --weights {weights}")
    return 1 if report.failed else 0


def _write_curves(report: InstrumentsReport, path: Path) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["network", "epoch", "train_loss", "validation_loss", "validation_accuracy"])
    for network in report.networks:
        for epoch in network.curve:
            losses = (epoch.train_loss, epoch.validation_loss, epoch.validation_accuracy)
            writer.writerow([network.name, epoch.number, *(f"{value:.6g}" for value in losses)])
    write_atomic(path, lambda file: file.write(text.getvalue().encode()))


def _record(work: Path, method: str, report: InstrumentsReport, out: Path | None) -> InstrumentsRecord:
    return InstrumentsRecord(
        work=str(work),
        method=method,
        songs=report.songs,
        networks=[
            NetworkRecord(one.name, str(one.path), one.found, round(one.seconds, 3), one.best.number)
            for one in report.networks
        ],
        curves=curves({one.name: one.curve for one in report.networks}),
        out=str(out) if out else None,
        separators=str(report.separators) if report.separators else None,
        uncalibrated=report.uncalibrated,
        failed=[f"{name}: {reason}" for name, reason in report.failed],
    )


def _print_report(work: Path, report: InstrumentsReport) -> None:
    rows = [
        [
            one.name,
            f"{one.best.number} of {len(one.curve)}",
            f"{one.curve[0].validation_loss:.3f}",
            f"{one.best.validation_loss:.3f}",
            f"{100 * one.best.validation_accuracy:.1f}",
            "found" if one.found else f"{one.seconds:.0f}",
        ]
        for one in report.networks
    ]
    print_table(["network", "best epoch", "first loss", "best loss", "right (%)", "seconds"], rows, left=[0])
    print(f"networks written: {one_line(work)}")
